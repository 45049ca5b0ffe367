"""Examples of different lengths in one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.checks import is_int


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


def cut_to_lengths(
    saliency: Any, lengths: Sequence[int] | np.ndarray | None, axis: int = 1
) -> list[Any]:
    """Return each example's saliency without the padding behind its end.

    Args:
        saliency (numpy.ndarray): What ``aggregate`` or ``compute`` returned for
            examples of different lengths.
        lengths (sequence of int or None): The length of each example: what
            ``calculator.lengths`` is afterwards. None if all are of one length.
        axis (int): The axis of the lengths; the one before it is that of the
            examples. 1 for what ``aggregate`` returned, 2 for what ``compute`` did.

    Returns:
        list of numpy.ndarray: A view for each example, without the axis of the
        examples.

    Raises:
        ValueError: If there are no such axes, not as many lengths as examples, or an
            example is longer than the axis.

    Example:
        >>> scores = calculator.aggregate(samples, ch_axis=3)  # (N, atom)
        >>> of_molecules = cut_to_lengths(scores, calculator.lengths)
    """
    saliency = np.asarray(saliency)
    if not (is_int(axis) and 1 <= axis < saliency.ndim):
        raise ValueError(
            f"axis must be an int in 1..{saliency.ndim - 1} for saliency of shape "
            f"{saliency.shape}, got {axis!r}"
        )
    examples = np.moveaxis(saliency, (axis - 1, axis), (0, 1))
    if lengths is None:
        lengths = [saliency.shape[axis]] * len(examples)
    if np.ndim(lengths) != 1 or len(lengths) != len(examples):
        raise ValueError(
            f"lengths must hold one for each of the {len(examples)} examples, got "
            + (str(len(lengths)) if np.ndim(lengths) == 1 else repr(lengths))
        )
    if not all(is_int(n) and 0 <= n <= saliency.shape[axis] for n in lengths):
        raise ValueError(
            f"lengths must be ints in 0..{saliency.shape[axis]}, the length of axis "
            f"{axis}, got {list(lengths)}"
        )
    return [
        np.moveaxis(example[:n], 0, axis - 1) for example, n in zip(examples, lengths)
    ]


def join_targets(
    parts: list[list[np.ndarray]], axis: int, fill: float
) -> list[np.ndarray]:
    """Join parts that have an array for each target, see :func:`join_padded`."""
    of_targets = [list(arrays) for arrays in zip(*parts)]
    parts.clear()
    return [join_padded(arrays, axis, fill) for arrays in of_targets]


def join_padded(arrays: list[np.ndarray], axis: int, fill: float) -> np.ndarray:
    """Join along ``axis``, with ``fill`` where an array ends before another.

    The list is emptied on the way, so that hardly more than the result is in memory. A
    single array is not copied.
    """
    if len(arrays) == 1:
        return arrays.pop()
    shape = np.max([array.shape for array in arrays], axis=0)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    joined = np.empty(shape, np.result_type(*arrays))
    start = 0
    arrays.reverse()
    while arrays:
        array = arrays.pop()
        stop = start + array.shape[axis]
        place = joined[(slice(None),) * axis + (slice(start, stop),)]
        if place.shape != array.shape:
            place[...] = fill
        place[tuple(map(slice, array.shape))] = array
        start = stop
    return joined
