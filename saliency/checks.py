"""Checks that calculators and rules share, and their messages."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np


def is_int(value: Any) -> bool:
    """Tell whether ``value`` is one integer, of Python or NumPy, and no bool."""
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "iu"
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is one real number, of Python or NumPy, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_positive(name: str, value: Any) -> None:
    """Raise a ValueError that names the parameter unless it is an int >= 1."""
    if not is_int(value) or value < 1:
        raise ValueError(f"{name} must be an int >= 1, got {value!r}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise a ValueError unless ``value`` is a number in ``[low, high]``."""
    if not (is_number(value) and low <= value <= high):
        raise ValueError(f"{name} must be a number in [{low}, {high}], got {value!r}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise a ValueError that lists the choices unless ``value`` is one of them."""
    choices = list(choices)
    if not (isinstance(value, str) and value in choices):
        allowed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}")


def checked_text(name: str, value: Any) -> str:
    """Return a text, or raise a TypeError that names the parameter."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    return value


def check_callable(name: str, value: Any) -> None:
    """Raise a TypeError that names the parameter unless it can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {value!r}")


def no_influence() -> ValueError:
    """Return the error for a target that the output does not depend on."""
    return ValueError(
        "the target has no influence on the output. Is it used by the model (or the "
        "eval_fun), and is the way between them free of .array, argmax and "
        "no_backprop_mode?"
    )
