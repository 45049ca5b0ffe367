"""Photographs as arrays, which a file can hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from saliency.image_depths import grey_of_deep, is_deep

#: Modes of PIL that have no opacity.
_OPAQUE = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")


def checked_images(given: Any) -> tuple[np.ndarray, ...] | None:
    """Return images as arrays.

    Args:
        given (sequence or None): Arrays of uint8 or of floats in [0, 1], or images of
            PIL, which become arrays ``(h, w, 3)``, or ``(h, w, 4)`` where they may be
            transparent; grey ones of more than 8 bits become ``(h, w)`` of floats.

    Raises:
        TypeError: If they are no list, or one is no image.
        ValueError: As :func:`saliency.image_depths.grey_of_deep`.
    """
    if given is None:
        return None
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(
            "images must be a list or an array of images, one for each example, got "
            f"{type(given).__name__}"
        )
    return tuple(_as_array(one) for one in given)


def _as_array(image: Any) -> np.ndarray:
    if hasattr(image, "convert") and hasattr(image, "mode"):
        if is_deep(image):
            return grey_of_deep(image)
        return np.array(image.convert("RGB" if image.mode in _OPAQUE else "RGBA"))
    array = np.asarray(image.get() if hasattr(image, "get") else image)
    is_image = array.dtype == np.uint8 or array.dtype.kind == "f"
    if array.ndim not in (2, 3) or not is_image:
        raise TypeError(
            "images must be images of PIL or arrays (h, w), (h, w, ch) or (ch, h, w) "
            f"of uint8 or of floats in [0, 1], got {array.dtype} of shape {array.shape}"
        )
    return array
