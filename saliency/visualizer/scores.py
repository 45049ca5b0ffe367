"""Checks of what is drawn: real scores, and how far each of them may be off."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.checks import plain_array


def as_real_array(value: Array, name: str) -> np.ndarray:
    """Return ``value`` as a real floating array on the host, copied only if necessary.

    Args:
        value: Array-like of real numbers; a CuPy array is brought to the host.
        name: What the messages call it.

    Returns:
        Array of the same floating dtype; integers and booleans become float64.

    Raises:
        ValueError: ``value`` is ragged, or an element of it is masked.
        TypeError: ``value`` does not hold real numbers.
    """
    # `get` alone would not tell a CuPy array from a dict or a pandas Series.
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        value = value.get()
    value = plain_array(name, value)
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


def checked_scores_of_elements(
    value: Array,
    n: int,
    name: str,
    element: str,
    whole: str,
    hint: str,
    place: str | None = None,
) -> np.ndarray:
    """Return the scores of elements in float64, ``(n,)``, without padding.

    Args:
        value: A score for each element, and after them only NaN.
        n: The number of elements.
        name: What the messages call ``value``.
        element: What they call an element, such as ``"atom"``.
        whole: What they call that which has the elements, such as ``"molecule"``.
        hint: What they say where there is an axis too many.
        place: What stands before the number of an element. Default: ``element``.

    Raises:
        ValueError: There are not as many scores as elements, or one is not finite.
        TypeError: ``value`` does not hold real numbers.
    """
    array = as_real_array(value, name)
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have the shape (n_{element},), got the shape {array.shape}"
            + hint * (array.ndim == 2)
        )
    scores, rest = array[:n], array[n:]
    if len(scores) < n or not np.isnan(rest).all():
        raise ValueError(
            f"{name} must have a score for each of the {whole}'s {n} {element}s, and "
            f"after them only NaN, which is padding; got {len(array)} scores"
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        where = f"{place or element} {bad[0]}"
        raise ValueError(
            f"{name} must be finite, got {scores[bad[0]]} at {where}"
            + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        )
    return scores.astype(np.float64)


def checked_errors(
    errors: Array | None, values: np.ndarray, name: str = "errors"
) -> np.ndarray:
    """Return how far each score may be off, in float64.

    Args:
        errors: Array of the shape of ``values``, not negative. None, where that is
            unknown, gives zeros.
        values: The scores.
        name: What the messages call ``errors``.

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
    """Tell which scores cannot be distinguished from zero.

    Args:
        values: Scores.
        errors: How far each may be off, as `checked_errors` returns it.

    Returns:
        Booleans: whether the score has an error that is not 0, and
        ``[value - error, value + error]`` holds 0.
    """
    is_uncertain: np.ndarray = (np.abs(values) <= errors) & (errors > 0)
    return is_uncertain
