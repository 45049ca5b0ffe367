"""Scalers that bring saliency to a known range, and colours for signed scores.

A scaler is any callable that takes an array and returns one of the same shape.
The three scalers here share these rules:

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
from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgba_array

from saliency.checks import check_choice

# ColorBrewer's RdBu: told apart with every common colour vision deficiency, and
# (unlike pure red and blue) about equally dark, so neither sign shouts.
POSITIVE_COLOR = "#b2182b"
NEGATIVE_COLOR = "#2166ac"
ZERO_COLOR = "#808080"
MISSING_COLOR = "#cccccc"

#: Diverging matplotlib colour map: blue, exact white in the middle, red; light
#: grey for NaN. Use it with limits that are symmetric around zero, for example
#: ``matplotlib.colors.CenteredNorm()``.
diverging_cmap = LinearSegmentedColormap.from_list(
    "saliency_diverging",
    [
        "#053061",
        NEGATIVE_COLOR,
        "#4393c3",
        "#92c5de",
        "#d1e5f0",
        "#ffffff",
        "#fddbc7",
        "#f4a582",
        "#d6604d",
        POSITIVE_COLOR,
        "#67001f",
    ],
    N=257,  # odd, so that zero falls on the white entry and not beside it
).with_extremes(bad=MISSING_COLOR)


def abs_max_scaler(saliency: Any, logger: Logger | None = None) -> np.ndarray:
    """Divide by the largest magnitude: the result lies in [-1, 1], signs are kept.

    A map of zeros stays zero, and a warning is logged.

    Args:
        saliency: Real array of any shape; NaN marks padding.
        logger: Where to report a map that can not be scaled. Default: the logger
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


def min_max_scaler(saliency: Any, logger: Logger | None = None) -> np.ndarray:
    """Map the smallest value to 0 and the largest to 1. Signs are lost.

    A constant map has no range to stretch: it becomes 0, and a warning that tells
    the constant is logged.

    Args:
        saliency: Real array of any shape; NaN marks padding.
        logger: Where to report a map that can not be scaled. Default: the logger
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
    saliency: Any,
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
        axis: Axis or axes to sum over; every slice along them is normalised by
            itself. Default: the whole array is one slice.
        logger: Where to report slices that can not be scaled. Default: the logger
            of this module.

    Returns:
        Array of the shape and floating dtype of ``saliency``.

    Raises:
        ValueError: ``saliency`` is empty, all NaN, or holds infinity, or ``axis``
            is out of range.
        TypeError: ``saliency`` does not hold real numbers.
    """
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


def project_scaler(saliency: Any, logger: Logger | None = None) -> np.ndarray:
    """Map to [0, 1] with zero at 0.5: where colour maps have their middle.

    The largest magnitude goes to 0 or 1, by its sign. A map of zeros becomes 0.5, and a
    warning is logged.

    Args:
        saliency: Real array of any shape; NaN marks padding.
        logger: Where to report a map that can not be scaled. Default: the logger
            of this module.

    Returns:
        Array of the shape and floating dtype of ``saliency``, within [0, 1].

    Raises:
        ValueError: ``saliency`` is empty, all NaN, or holds infinity.
        TypeError: ``saliency`` does not hold real numbers.
    """
    return (abs_max_scaler(saliency, logger) + 1) / 2


def heatmap(
    saliency: Any,
    cmap: Any = "seismic",
    reduce: str = "sum",
    ch_axis: int | None = None,
) -> np.ndarray:
    """Return the colours of a map, with zero in the middle of the colour map.

    Args:
        saliency: Real and finite scores.
        cmap: A matplotlib colour map or the name of one.
        reduce: What is done along ``ch_axis``: ``'sum'``, ``'mean'``, ``'max'`` of the
            magnitudes, or ``'norm'``, the Euclidean one.
        ch_axis: The axis of channels, or None if there is none.

    Returns:
        RGB colours, the shape of ``saliency`` without ``ch_axis``, and 3; in [0, 1].

    Raises:
        ValueError: ``reduce`` is none of these, there is no such axis, or as in
            `project_scaler`.
    """
    reductions: dict[str, Callable[[np.ndarray], Any]] = {
        "sum": lambda values: values.sum(axis=ch_axis),
        "mean": lambda values: values.mean(axis=ch_axis),
        "max": lambda values: np.abs(values).max(axis=ch_axis),
        "norm": lambda values: np.linalg.norm(values, axis=ch_axis),
    }
    check_choice("reduce", reduce, reductions)
    values = as_real_array(saliency, "saliency").astype(np.float64)
    if ch_axis is not None:
        if not -values.ndim <= ch_axis < values.ndim:
            raise ValueError(
                f"ch_axis must be an axis of saliency with {values.ndim} axes, got "
                f"{ch_axis!r}"
            )
        values = reductions[reduce](values)
    return np.asarray(colormaps.get_cmap(cmap)(project_scaler(values)))[..., :3]


def red_blue_cmap(x: float) -> tuple[float, float, float]:
    """Colour of one scaled score: white at 0, pure red at 1, pure blue at -1.

    Args:
        x: Score, meant to be in [-1, 1]; values outside, infinity included, get the
            colour of the nearer end.

    Returns:
        Red, green and blue, each in [0, 1]. NaN ("not an element") is light grey.
    """
    x = float(x)
    if np.isnan(x):
        return (0.8, 0.8, 0.8)
    paleness = 1.0 - min(abs(x), 1.0)
    return (1.0, paleness, paleness) if x > 0 else (paleness, paleness, 1.0)


def signed_colors(values: Any) -> np.ndarray:
    """One opaque colour per value, by sign: red positive, blue negative, grey zero.

    Unlike `diverging_cmap` the colour does not fade towards zero, so small bars and
    thin lines stay legible.

    Args:
        values: Real array of shape (n,); NaN gets a light grey.

    Returns:
        RGBA colours, shape (n, 4), float64 in [0, 1].
    """
    values = as_real_array(values, "values")
    palette = to_rgba_array([NEGATIVE_COLOR, ZERO_COLOR, POSITIVE_COLOR, MISSING_COLOR])
    index = np.where(np.isnan(values), 3, np.nan_to_num(np.sign(values)) + 1)
    colors: np.ndarray = palette[index.astype(int)]
    return colors


def as_real_array(value: Any, name: str) -> np.ndarray:
    """``value`` as a real floating array on the host; a copy only if it has to be.

    Args:
        value: Array-like of real numbers; a CuPy array is brought to the host.
        name: How the caller calls it, for the messages.

    Returns:
        Array whose floating dtype is kept; integers and booleans become float64.

    Raises:
        ValueError: ``value`` is ragged.
        TypeError: ``value`` does not hold real numbers.
    """
    # `get` alone would not tell a CuPy array from a dict or a pandas Series.
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        value = value.get()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is not a regular array: {error}") from error
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name} must hold real numbers, got {type(value).__name__} of dtype "
            f"{array.dtype}"
        )
    return array


def checked_finite(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array in float64, or raise a ValueError if not all of it is finite."""
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite of {array.size} values"
        )
    return array.astype(np.float64)


def checked_cmap(cmap: Any) -> Colormap:
    """Return a colour map by its name, or raise a ValueError if there is none."""
    try:
        return colormaps.get_cmap(cmap)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cmap must be a matplotlib colour map, got {cmap!r}"
        ) from error


def apply_scaler(
    values: np.ndarray, scaler: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    """Return scores as a user's scaler has them, in float64; None leaves them.

    Args:
        values: Finite scores.
        scaler: Callable that is given a copy.

    Raises:
        TypeError: ``scaler`` is not callable.
        ValueError: It returned another shape, or what is not finite.
    """
    if scaler is None:
        return values
    if not callable(scaler):
        raise TypeError(f"scaler must be callable or None, got {scaler!r}")
    # A copy, since a scaler of the user's may work in place.
    scaled = as_real_array(scaler(values.copy()), "the result of scaler")
    if scaled.shape != values.shape or not np.isfinite(scaled).all():
        raise ValueError(
            f"scaler must return finite values of the shape {values.shape}, got "
            f"{scaled!r}"
        )
    return scaled.astype(np.float64)


def checked_errors(errors: Any, values: np.ndarray, name: str = "errors") -> np.ndarray:
    """Return how far each score may be off, in float64.

    Args:
        errors: Array of the shape of ``values``, not negative; None if that is not
            known, for zeros.
        values: The scores.
        name: How the caller calls ``errors``, for the messages.

    Raises:
        ValueError: ``errors`` has another shape, is not finite, or is negative.
        TypeError: ``errors`` does not hold real numbers.
    """
    if errors is None:
        return np.zeros(values.shape)
    array = as_real_array(errors, name)
    if array.shape != values.shape:
        raise ValueError(
            f"{name} must have the shape of saliency, {values.shape}, got {array.shape}"
        )
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(bad):
        raise ValueError(
            f"{name} must be finite and not negative, got {array.flat[bad[0]]} at "
            f"{tuple(int(i) for i in np.unravel_index(bad[0], array.shape))}"
        )
    return array.astype(np.float64)


def uncertain(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Tell which scores can not be told from zero.

    Args:
        values: Scores.
        errors: How far each may be off, as `checked_errors` returns it.

    Returns:
        Booleans: whether ``[value - error, value + error]`` holds more than the value,
        and 0.
    """
    return (np.abs(values) <= errors) & (errors > 0)


def _checked(saliency: Any) -> tuple[np.ndarray, np.ndarray]:
    """The array itself (for its dtype) and its values in float64."""
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
    """Largest magnitude per slice, without NaN; 0 for a slice of NaN alone."""
    return np.max(
        np.abs(values), axis=axis, keepdims=True, initial=0, where=~np.isnan(values)
    )


def _near_one(
    values: np.ndarray, axis: int | tuple[int, ...] | None = None
) -> np.ndarray:
    """Every slice times the power of two that brings its largest magnitude to ~1.

    Both scalers that use this undo it by their own division. Without it, the sums
    and differences of very large values overflow; and a power of two is exact.
    """
    _, exponent = np.frexp(_largest_magnitude(values, axis))
    return np.ldexp(values, -exponent)


def _with_dtype_of(array: np.ndarray, result: np.ndarray) -> np.ndarray:
    return np.asarray(result).reshape(array.shape).astype(array.dtype)


def _report(logger: Logger | None, message: str, *args: Any) -> None:
    (logger or getLogger(__name__)).warning(message, *args)
