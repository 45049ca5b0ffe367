"""Examples of different lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mark_padding(
    saliency: np.ndarray, lengths: np.ndarray | None, target_ndim: int
) -> np.ndarray:
    """Put NaN beyond the end of each example, to tell it from a saliency of zero.

    Args:
        saliency (numpy.ndarray): ``(M, size, ..., length, ...)``, where the axes of
            the target but its first come last. It is changed.
        lengths (numpy.ndarray or None): Length of each example; None if there is no
            padding.
        target_ndim (int): Number of axes of the target.

    Returns:
        numpy.ndarray: ``saliency``.
    """
    axis = saliency.ndim - (target_ndim - 1)
    if lengths is None or axis < 2 or saliency.shape[axis] != lengths.max():
        return saliency
    by_length = np.moveaxis(saliency, axis, 2)
    for i, length in enumerate(lengths):
        by_length[:, i, length:] = np.nan
    return saliency


def concatenate_padded(
    arrays: Sequence[np.ndarray], axis: int, fill: float
) -> np.ndarray:
    """Concatenate along ``axis``, with ``fill`` where an array ends before another."""
    longest = np.max([array.shape for array in arrays], axis=0)
    padded: list[np.ndarray] = []
    for array in arrays:
        missing: np.ndarray = longest - array.shape
        missing[axis] = 0
        if missing.any():
            array = np.pad(array, [(0, n) for n in missing], constant_values=fill)
        padded.append(array)
    return np.concatenate(padded, axis=axis)
