"""Elementwise functions of large arrays on all cores."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from saliency.cpu.threads import threads

#: Arithmetic operations of a matrix product that take as long as an element of an
#: elementwise function.
COST = 40
# Bytes of a part, which is to stay in the cache from one pass over it to the next.
_PART = 1 << 20


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
    out = np.empty_like(arrays[0])
    n_thread = threads.for_work(COST * out.size)
    if n_thread == 1:
        work(*arrays, out)
        return out
    # Along the axis of the largest stride, parts are whole pieces of memory.
    axes = [a for a in range(out.ndim) if a != whole]
    axis = max(axes, key=lambda a: (out.shape[a] > 1) * out.strides[a])
    n_part = min(max(2 * n_thread, out.nbytes // _PART), out.shape[axis])
    edges = np.linspace(0, out.shape[axis], n_part + 1).astype(int).tolist()
    before = (slice(None),) * axis
    jobs = []
    for start, stop in zip(edges[:-1], edges[1:]):
        part = (*before, slice(start, stop))
        jobs.append([array[part] for array in (*arrays, out)])
    threads.run(work, jobs, n_thread)
    return out
