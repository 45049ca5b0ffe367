"""Data of a page: rounded numbers, bytes as text, and JSON that stays within a page."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from math import isfinite
from typing import Any

import numpy as np

#: How many significant digits numbers of a page have.
DIGITS = 5
#: The same of numbers whose differences are shown: what is left has `DIGITS`, too.
DIGITS_OF_SUMS = 15


def rounded(array: Any, digits: int = DIGITS) -> Any:
    """Return numbers in nested lists, rounded to digits; None where not finite."""
    return _rounded(np.asarray(array, np.float64).tolist(), digits)


def rounded_values(array: Any) -> Any:
    """Return values of features as `rounded` does, but with all their whole digits."""
    array = np.asarray(array, np.float64)
    is_long = np.abs(array) >= 10**DIGITS
    found = np.array(rounded(array), object)
    is_long &= np.isfinite(array)
    found[is_long] = np.rint(array[is_long]).tolist()
    return found.tolist()


def _rounded(values: Any, digits: int) -> Any:
    if isinstance(values, list):
        return [_rounded(value, digits) for value in values]
    return float(f"{values:.{digits}g}") if isfinite(values) else None


def as_base64(content: bytes) -> str:
    """Return bytes as text."""
    return b64encode(content).decode("ascii")


def packed_map(array: np.ndarray) -> dict[str, Any]:
    """Return a map in bytes, of which the largest magnitude is 127 steps.

    Args:
        array: Finite scores, ``(h, w)``.

    Returns:
        Height ``h``, width ``w``, the size of a ``step``, and ``q``: the number of
        steps of each score as the difference from its left neighbour, modulo 256,
        deflated and in base 64.
    """
    step = float(np.abs(array).max()) / 127 or 1.0
    steps = np.rint(array / step).astype(np.int64)
    differences = np.diff(steps, axis=1, prepend=0).astype(np.uint8)
    packed = zlib.compress(differences.tobytes())
    height, width = array.shape
    return {"h": height, "w": width, "step": step, "q": as_base64(packed)}


def json_of_script(data: Any) -> str:
    """Return data in JSON that cannot end the element of a page that it is in.

    Raises:
        ValueError: A number is not finite.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
