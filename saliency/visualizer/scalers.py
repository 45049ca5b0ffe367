"""Scalers, which bring saliency to a known range.

A scaler is any callable that takes an array and returns one of the same shape.
The scalers here share these rules:

* NaN means "not an element" (padding): it takes no part in any maximum or sum
  and stays NaN in the result.
* A floating dtype is kept, integers and booleans become float64; maxima and sums
  are always taken in float64.
* The argument is never changed. CuPy arrays are accepted; the result is always a
  NumPy array, because it is meant for drawing.
* An empty array, an array of nothing but NaN, and infinity raise ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger, getLogger
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.checks import is_int
from saliency.visualizer.scores import as_real_array

Scaler = Callable[[np.ndarray], np.ndarray]


def abs_max_scaler(saliency: Array, logger: Logger | None = None) -> np.ndarray:
    """Divide by the largest magnitude: the result lies in [-1, 1], signs are kept.

    A map of zeros stays zero, and a warning is logged.

    Args:
        saliency: Real array of any shape; NaN marks padding.
        logger: Where to report a map that cannot be scaled. Default: the logger
            of this module.

    Returns:
        Array of the shape and floating dtype of ``saliency``.

    Raises:
        ValueError: ``saliency`` is empty, all NaN, or holds infinity.
        TypeError: ``saliency`` does not hold real numbers.
    """
    array, values = _checked(saliency)
    largest = _largest_magnitude(values)
    if largest == 0:
        _report(logger, "saliency is 0 everywhere: abs_max_scaler leaves it at 0")
        largest = np.ones_like(largest)
    return _with_dtype_of(array, values / largest)


def min_max_scaler(saliency: Array, logger: Logger | None = None) -> np.ndarray:
    """Map the smallest value to 0 and the largest to 1. Signs are lost.

    A constant map has no range to stretch: it becomes 0, and a warning that tells
    the constant is logged.

    Args:
        saliency: Real array of any shape; NaN marks padding.
        logger: Where to report a map that cannot be scaled. Default: the logger
            of this module.

    Returns:
        Array of the shape and floating dtype of ``saliency``, within [0, 1].

    Raises:
        ValueError: ``saliency`` is empty, all NaN, or holds infinity.
        TypeError: ``saliency`` does not hold real numbers.
    """
    array, values = _checked(saliency)
    values = _near_one(values)
    shifted = values - np.nanmin(values)
    span = np.nanmax(shifted)
    if span == 0:
        _report(
            logger,
            "saliency is constant (%g everywhere): min_max_scaler sets it to 0",
            np.nanmax(array),
        )
        span = np.ones_like(span)
    return _with_dtype_of(array, shifted / span)


def normalize_scaler(
    saliency: Array,
    axis: int | tuple[int, ...] | None = None,
    logger: Logger | None = None,
) -> np.ndarray:
    """Divide by the sum of magnitudes, so that scores read as shares of the whole.

    Signs are kept: with negative scores it is the sum of the *absolute* values that
    becomes 1, and every value lies in [-1, 1]. (Dividing by the plain sum would
    explode where positive and negative scores cancel.) Where all the values of a
    slice are zero they stay zero, and a warning is logged; a slice of nothing but
    NaN stays NaN.

    Args:
        saliency: Real array of any shape; NaN marks padding.
        axis: Axis or axes to sum over; every slice along them is normalized by
            itself. Default: the whole array is one slice.
        logger: Where to report slices that cannot be scaled. Default: the logger
            of this module.

    Returns:
        Array of the shape and floating dtype of ``saliency``.

    Raises:
        ValueError: ``saliency`` is empty, all NaN, or holds infinity, or ``axis``
            is out of range.
        TypeError: ``saliency`` does not hold real numbers.
    """
    axes = axis if isinstance(axis, tuple) else (axis,)
    if axis is not None and not all(map(is_int, axes)):
        raise TypeError(f"axis must be an int, a tuple of int or None, got {axis!r}")
    array, values = _checked(saliency)
    values = _near_one(values, axis)
    total = np.nansum(np.abs(values), axis=axis, keepdims=True)
    padding = np.isnan(values).all(axis=axis, keepdims=True)
    zero = (total == 0) & ~padding
    if zero.any():
        _report(
            logger,
            "saliency is 0 everywhere in %d of %d slices: normalize_scaler leaves "
            "them at 0",
            np.count_nonzero(zero),
            np.count_nonzero(~padding),
        )
    return _with_dtype_of(array, values / np.where(total == 0, 1, total))


def project_scaler(saliency: Array, logger: Logger | None = None) -> np.ndarray:
    """Map to [0, 1] with zero at 0.5: where colour maps have their middle.

    The largest magnitude goes to 0 or 1, by its sign. A map of zeros becomes 0.5, and a
    warning is logged.

    Args:
        saliency: Real array of any shape; NaN marks padding.
        logger: Where to report a map that cannot be scaled. Default: the logger
            of this module.

    Returns:
        Array of the shape and floating dtype of ``saliency``, within [0, 1].

    Raises:
        ValueError: ``saliency`` is empty, all NaN, or holds infinity.
        TypeError: ``saliency`` does not hold real numbers.
    """
    return (abs_max_scaler(saliency, logger) + 1) / 2


def apply_scaler(values: np.ndarray, scaler: Scaler | None) -> np.ndarray:
    """Return the scores as a user's scaler changes them, in float64.

    Args:
        values: Finite scores.
        scaler: It is given a copy. None leaves the scores as they are.

    Raises:
        TypeError: ``scaler`` is not callable.
        ValueError: It returned another shape, or values that are not finite.
    """
    if scaler is None:
        return values
    if not callable(scaler):
        raise TypeError(f"scaler must be callable or None, got {scaler!r}")
    if scaler in _KEEP_ZEROS and not values.any():
        return values  # the picture says so, and nothing needs to be logged
    # A copy, since the user's scaler may work in place.
    scaled = as_real_array(scaler(values.copy()), "the result of scaler")
    if scaled.shape != values.shape or not np.isfinite(scaled).all():
        raise ValueError(
            f"scaler must return finite values of the shape {values.shape}, got "
            f"{scaled!r}"
        )
    return scaled.astype(np.float64)


def unit_of(scaler: Scaler | None) -> str:
    """Return what a scaler's result is, as axes and colour bars are labelled.

    Args:
        scaler: A scaler, or `functools.partial` of one; None for scores as they are.
    """
    if scaler is None:
        return "score"
    scaler = getattr(scaler, "func", scaler)
    units = [unit for known, unit in _UNITS if scaler is known]
    return units[0] if units else "scaled score"


_UNITS: tuple[tuple[Scaler, str], ...] = (
    (abs_max_scaler, "relative score"),
    (min_max_scaler, "share of the range"),
    (normalize_scaler, "share of all scores"),
)


_KEEP_ZEROS = (abs_max_scaler, min_max_scaler, normalize_scaler)


def _checked(saliency: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the array itself (for its dtype) and its values in float64."""
    array = as_real_array(saliency, "saliency")
    if array.size == 0:
        raise ValueError(f"saliency is empty, shape {array.shape}: nothing to scale")
    if np.isinf(array).any():
        raise ValueError(
            f"saliency has {np.isinf(array).sum()} infinite of {array.size} values; "
            "only finite values (and NaN for padding) can be scaled"
        )
    if np.isnan(array).all():
        raise ValueError(f"saliency is NaN in all of its {array.size} values")
    return array, array.astype(np.float64)


def _largest_magnitude(
    values: np.ndarray, axis: int | tuple[int, ...] | None = None
) -> np.ndarray:
    """Return the largest magnitude per slice, without NaN; 0 if all of it is NaN."""
    largest: np.ndarray = np.max(
        np.abs(values), axis=axis, keepdims=True, initial=0, where=~np.isnan(values)
    )
    return largest


def _near_one(
    values: np.ndarray, axis: int | tuple[int, ...] | None = None
) -> np.ndarray:
    """Multiply every slice by the power of two that brings its largest magnitude to ~1.

    Both scalers that use this undo it by their own division. Without it, the sums
    and differences of very large values would overflow. A power of two is exact.
    """
    _, exponent = np.frexp(_largest_magnitude(values, axis))
    scaled: np.ndarray = np.ldexp(values, -exponent)
    return scaled


def _with_dtype_of(array: np.ndarray, result: np.ndarray) -> np.ndarray:
    return np.asarray(result).reshape(array.shape).astype(array.dtype)


def _report(logger: Logger | None, message: str, *args: Any) -> None:
    (logger or getLogger(__name__)).warning(message, *args)
