"""Examples of different lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saliency.calculator.dataset import UserBatch


def mark_padding(saliency: np.ndarray, batch: UserBatch) -> np.ndarray:
    """Return ``(M, size, length, ...)`` with NaN beyond the end of each example.

    So padding is told apart from a saliency of zero. What has no axis for the
    length of the batch's longest example is returned as it is.
    """
    if batch.lengths is None or saliency.ndim < 3:
        return saliency
    if saliency.shape[2] != batch.lengths.max() or saliency.dtype.kind != "f":
        return saliency
    saliency = saliency.copy()
    for i, length in enumerate(batch.lengths):
        saliency[:, i, length:] = np.nan
    return saliency


def concatenate_padded(
    arrays: Sequence[np.ndarray], axis: int, fill: float
) -> np.ndarray:
    """Concatenate along ``axis``, with ``fill`` where an array ends before another."""
    longest = np.max([array.shape for array in arrays], axis=0)
    padded = []
    for array in arrays:
        missing = longest - array.shape
        missing[axis] = 0
        if missing.any():
            array = np.pad(array, [(0, n) for n in missing], constant_values=fill)
        padded.append(array)
    return np.concatenate(padded, axis=axis)
