"""Passes over memory that NumPy has no function for, compiled for this machine.

NumPy makes a pass over memory for each operation. What is compiled makes one for all of
them, and lets go of Python's lock for as long as it takes. LLVM compiles it, through
the package llvmlite; where that is not installed, NumPy is what there is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saliency.cpu.compiled import kernels
from saliency.cpu.geometry import Geometry

# Smaller arrays take no longer in NumPy, whose functions are called faster.
_MIN_BYTES = 1 << 17
_DTYPES = (np.dtype("f4"), np.dtype("f8"))


class Steps(NamedTuple):
    """``min(max((x + bias) * scale + shift, floor), ceiling)``: steps that are given.

    Attributes:
        bias (numpy.ndarray or None): ``(channel,)``.
        scale (numpy.ndarray or None): ``(channel,)``.
        shift (numpy.ndarray or None): ``(channel,)``.
        floor (float or None): The smallest value.
        ceiling (float or None): The largest value.
    """

    bias: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    floor: float | None = None
    ceiling: float | None = None

    def of_channels(self, channels: slice) -> Steps:
        """Return them for some of the channels."""
        bias, scale, shift = (
            None if vector is None else vector[channels]
            for vector in (self.bias, self.scale, self.shift)
        )
        return self._replace(bias=bias, scale=scale, shift=shift)

    def vectors(self, n_channel: int, dtype: np.dtype) -> list[np.ndarray]:
        """Return bias, scale and shift; what changes no value where there is none."""
        given = self.bias, self.scale, self.shift
        return [
            neutral if vector is None else np.ascontiguousarray(vector)
            for vector, neutral in zip(given, _neutral(n_channel, dtype))
        ]

    def limits(self) -> list[float]:
        """Return floor and ceiling; NaN, with which no number compares, for none."""
        given = self.floor, self.ceiling
        return [math.nan if limit is None else float(limit) for limit in given]


#: Nothing is done.
NO_STEPS = Steps()


@functools.cache
def is_available() -> bool:
    """Tell whether there is what compiles."""
    try:
        import llvmlite.binding  # noqa: F401
    except (ImportError, OSError):  # no package, or not for this system
        return False
    return True


def _are_covered(*arrays: np.ndarray) -> bool:
    """Tell whether there is what compiles, for arrays of one dtype."""
    dtype = arrays[0].dtype
    return is_available() and dtype in _DTYPES and all(a.dtype == dtype for a in arrays)


def suits(*arrays: np.ndarray) -> bool:
    """Tell whether arrays of one dtype have the channels of a pixel side by side."""
    return _are_covered(*arrays) and all(a.strides[-1] == a.itemsize for a in arrays)


def can_finish(*arrays: np.ndarray) -> bool:
    """Tell whether :func:`finish` takes arrays, and is faster than NumPy."""
    return arrays[0].nbytes >= _MIN_BYTES and suits(*arrays)


def finish(
    x: np.ndarray, steps: Steps, added: np.ndarray | None, out: np.ndarray
) -> None:
    """Write what steps make of an array; something is added before its limits.

    Args:
        x (numpy.ndarray): ``(n, channel)``.
        steps (Steps): What is done.
        added (numpy.ndarray or None): Of the shape of ``x``.
        out (numpy.ndarray): Where the result goes, which may be ``x``.
    """
    arrays = [x, x if added is None else added, out]
    vectors = steps.vectors(x.shape[1], x.dtype)
    kernels.finish(x.dtype, adds=added is not None)(
        *(array.ctypes.data for array in (*arrays, *vectors)),
        *x.shape,
        *(array.strides[0] // x.itemsize for array in arrays),
        *steps.limits(),
    )


def multiply_by_mask(
    x: np.ndarray,
    y: np.ndarray,
    floor: float,
    ceiling: float | None,
    out: np.ndarray,
) -> bool:
    """Write ``x`` where ``floor < y < ceiling``, and ``x * 0`` elsewhere.

    Args:
        x (numpy.ndarray): An array.
        y (numpy.ndarray): Of its shape.
        floor (float): What ``y`` is more than.
        ceiling (float or None): What it is less than.
        out (numpy.ndarray): Where the result goes, which may be ``x``.

    Returns:
        bool: Whether it has been done, which it is for large arrays whose memory is
        made of long rows.
    """
    arrays = (x, y, out)
    is_large = x.nbytes >= _MIN_BYTES
    found = _as_rows(arrays) if is_large and _are_covered(*arrays) else None
    if found is None:
        return False
    shape, strides = found
    kernels.mask(x.dtype)(
        *(array.ctypes.data for array in arrays),
        *shape,
        *strides,
        floor,
        math.nan if ceiling is None else ceiling,
    )
    return True


def filter_channels(
    x: np.ndarray,
    taps: np.ndarray,
    geometry: Geometry,
    steps: Steps,
    rows: slice,
    out: np.ndarray,
) -> None:
    """Convolve each channel with a kernel of its own.

    Args:
        x (numpy.ndarray): Rows of images ``(n, height, width, channel)``.
        taps (numpy.ndarray): ``(kh, kw, channel)``, contiguous.
        geometry (Geometry): Where the windows lie in ``x``.
        steps (Steps): What is done to the result.
        rows (slice): Which rows of windows.
        out (numpy.ndarray): Those of the result, ``(n, rows, columns, channel)``.
    """
    n_image, n_row, n_column, n_channel = out.shape
    stride, dilate = geometry.stride, geometry.dilate
    left = -geometry.pad[1]
    first = min(max(0, -(left // stride[1])), n_column)
    reach = left + (geometry.kernel[1] - 1) * dilate[1]
    behind = (geometry.size[1] - 1 - reach) // stride[1] + 1
    behind = max(first, min(behind, n_column))
    vectors = steps.vectors(n_channel, x.dtype)
    run = kernels.filter_channels(x.dtype, geometry.kernel[1], stride[1], dilate[1])
    run(
        *(array.ctypes.data for array in (x, taps, out, *vectors)),
        *(n_image, n_row, n_channel, geometry.kernel[0]),
        *(first, behind, n_column),
        *(stride // x.itemsize for array in (x, out) for stride in array.strides[:3]),
        *(rows.start * stride[0] - geometry.pad[0], left, *geometry.size),
        *(stride[0], dilate[0]),
        *steps.limits(),
    )


@functools.lru_cache(maxsize=64)
def _neutral(n_channel: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    # Adding -0.0 leaves all numbers as they are, zeros of both signs among them.
    nothing = np.full(n_channel, -0.0, dtype)
    return nothing, np.ones(n_channel, dtype), nothing


def _as_rows(
    arrays: Sequence[np.ndarray],
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return arrays of one shape as three axes, of which the last is contiguous.

    Returns:
        tuple: The shape, and the strides in elements of the first axis in all arrays,
        and of the second. None if there are more axes.
    """
    shape, itemsize = arrays[0].shape, arrays[0].itemsize
    if any(array.shape != shape for array in arrays):
        return None
    order = sorted(range(len(shape)), key=lambda a: -abs(arrays[-1].strides[a]))
    # From the innermost axis on: its length, and its strides in all arrays.
    merged: list[tuple[int, tuple[int, ...]]] = []
    for axis in reversed(order):
        if shape[axis] == 1:
            continue
        strides = tuple(array.strides[axis] for array in arrays)
        if merged:
            length, inner = merged[-1]
            if all(s == length * i for s, i in zip(strides, inner)):
                merged[-1] = shape[axis] * length, inner
                continue
        merged.append((shape[axis], strides))
    if not merged or len(merged) > 3 or set(merged[0][1]) != {itemsize}:
        return None
    merged += [(1, (0,) * len(arrays))] * (3 - len(merged))
    (n_column, _), (n_row, of_row), (n_outer, of_outer) = merged
    in_elements = tuple(s // itemsize for s in (*of_outer, *of_row))
    return (n_outer, n_row, n_column), in_elements
