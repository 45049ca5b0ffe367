"""Elementwise functions of large arrays on all cores."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from saliency.cpu import memory
from saliency.cpu.threads import threads

#: Arithmetic operations of a matrix product that take as long as an element of an
#: elementwise function.
COST = 40
# Bytes of a part, which is to stay in the cache from one pass over it to the next.
_PART = 1 << 18


def is_large(array: np.ndarray) -> bool:
    """Tell whether there is anything to gain."""
    return array.nbytes > _PART


def relu(x: np.ndarray) -> np.ndarray:
    """Return ``max(x, 0)``."""

    def work(part: np.ndarray, out: np.ndarray) -> None:
        np.maximum(part, 0, out=out)

    return _in_parts(work, x)


def relu_to_input(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ``gy`` where ``y`` is positive, else 0."""

    def work(of_gy: np.ndarray, of_y: np.ndarray, out: np.ndarray) -> None:
        np.multiply(of_gy, of_y > 0, out=out)

    return _in_parts(work, gy, y)


def add(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ``x + y``, for arrays of one shape."""

    def work(of_x: np.ndarray, of_y: np.ndarray, out: np.ndarray) -> None:
        np.add(of_x, of_y, out=out)

    return _in_parts(work, x, y)


def normalize(x: np.ndarray, mean: Any, scale: Any, shift: Any) -> np.ndarray:
    """Return ``(x - mean) * scale + shift``, whose channels are on axis 1.

    Args:
        x (numpy.ndarray): ``(n, channel, ...)``.
        mean (numpy.ndarray): ``(channel,)``.
        scale (numpy.ndarray): ``(channel,)``.
        shift (numpy.ndarray): ``(channel,)``.
    """
    shape = (-1,) + (1,) * (x.ndim - 2)
    mean, scale, shift = (a.reshape(shape) for a in (mean, scale, shift))

    def work(part: np.ndarray, out: np.ndarray) -> None:
        np.subtract(part, mean, out=out)
        out *= scale
        out += shift

    return _in_parts(work, x, whole=1)


def scale_channels(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return ``x * scale``, with a number ``(channel,)`` for each place on axis 1."""
    of_channel = scale.reshape((-1,) + (1,) * (x.ndim - 2))

    def work(part: np.ndarray, out: np.ndarray) -> None:
        np.multiply(part, of_channel, out=out)

    return _in_parts(work, x, whole=1)


def _in_parts(
    work: Callable[..., Any], *arrays: np.ndarray, whole: int | None = None
) -> np.ndarray:
    """Return what ``work(*parts, out)`` writes, part by part, like the first array.

    Args:
        work (callable): Works on parts of the arrays, and of the result.
        arrays (numpy.ndarray): All of one shape.
        whole (int or None): An axis that is not cut.
    """
    out = memory.empty_like(arrays[0])
    n_thread = threads.for_work(COST * out.size)
    if n_thread == 1 and out.nbytes <= _PART:
        work(*arrays, out)
        return out
    *parts, axis = _to_be_cut([*arrays, out], whole)

    def work_through(start: int, stop: int, step: int) -> None:
        for at in range(start, stop, step):
            part = (slice(None),) * axis + (slice(at, min(at + step, stop)),)
            work(*(array[part] for array in parts))

    length = parts[0].shape[axis]
    step = max(1, length * _PART // out.nbytes)
    if n_thread == 1:
        work_through(0, length, step)
        return out
    edges = np.linspace(0, -(-length // step), n_thread + 1).astype(int) * step
    edges = np.minimum(edges, length).tolist()
    jobs = [(a, b, step) for a, b in zip(edges, edges[1:])]
    threads.run(work_through, jobs, n_thread)
    return out


def _to_be_cut(arrays: list[np.ndarray], whole: int | None) -> list[Any]:
    """Return the arrays in a form that can be cut finely, and along which axis."""
    first = arrays[0]
    order = memory.axes_in_memory(first)
    in_order = [array.transpose(order) for array in arrays]
    if whole is None and all(array.flags.c_contiguous for array in in_order):
        return [*(array.reshape(-1) for array in in_order), 0]
    # Along the axis of the largest stride, parts are whole pieces of memory.
    axes = [a for a in range(first.ndim) if a != whole]
    axis = max(axes, key=lambda a: (first.shape[a] > 1) * first.strides[a])
    return [*arrays, axis]
