"""Passes over memory that NumPy has no function for, compiled for this machine.

NumPy makes a pass over memory for each operation. What is compiled makes one for all of
them, and lets go of Python's lock for as long as it takes. LLVM compiles it, through
the package llvmlite; where that is not installed, NumPy is what there is.
"""

from __future__ import annotations

import functools
import math
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
    """Tell whether :class:`Finish` takes arrays, and is faster than NumPy."""
    return arrays[0].nbytes >= _MIN_BYTES and suits(*arrays)


class Finish:
    """Writes what steps make of arrays; something may be added before their limits.

    Args:
        steps (Steps): What is done.
        n_channel (int): Of the arrays.
        dtype (numpy.dtype): Of the arrays.
    """

    def __init__(self, steps: Steps, n_channel: int, dtype: np.dtype) -> None:
        self._vectors = steps.vectors(n_channel, dtype)
        self._addresses = [vector.ctypes.data for vector in self._vectors]
        self._limits = steps.limits()

    def __call__(
        self,
        x: np.ndarray,
        added: np.ndarray | None,
        out: np.ndarray,
        first_channel: int = 0,
    ) -> None:
        """Write a result.

        Args:
            x (numpy.ndarray): ``(n, channel)``.
            added (numpy.ndarray or None): Of the shape of ``x``.
            out (numpy.ndarray): Where the result goes, which may be ``x``.
            first_channel (int): Which of all is the first of these arrays.
        """
        size = x.itemsize
        term = x if added is None else added
        bias, scale, shift = self._addresses
        offset = first_channel * size
        kernels.finish(x.dtype, adds=added is not None)(
            *(x.ctypes.data, term.ctypes.data, out.ctypes.data),
            *(bias + offset, scale + offset, shift + offset),
            *x.shape,
            *(x.strides[0] // size, term.strides[0] // size, out.strides[0] // size),
            *self._limits,
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
        *(x.ctypes.data, y.ctypes.data, out.ctypes.data),
        *shape,
        *strides,
        floor,
        math.nan if ceiling is None else ceiling,
    )
    return True


class ChannelFilter:
    """Convolves each channel with a kernel of its own.

    Args:
        taps (numpy.ndarray): ``(kh, kw, channel)``.
        geometry (Geometry): Where the windows lie.
        steps (Steps): What is done to the result.
    """

    def __init__(self, taps: np.ndarray, geometry: Geometry, steps: Steps) -> None:
        self._taps = np.ascontiguousarray(taps)
        self._geometry = geometry
        n_channel = taps.shape[2]
        self._vectors = steps.vectors(n_channel, taps.dtype)
        addressed = (self._taps, *self._vectors)
        self._addresses = [array.ctypes.data for array in addressed]
        self._limits = steps.limits()
        stride, dilate = geometry.stride[1], geometry.dilate[1]
        # Windows of a row: as many before, and to the end of, those within the image.
        n_column = geometry.out[1]
        first = min(max(0, -(-geometry.pad[1] // stride)), n_column)
        reach = (geometry.kernel[1] - 1) * dilate - geometry.pad[1]
        behind = (geometry.size[1] - 1 - reach) // stride + 1
        self._windows = first, max(first, min(behind, n_column)), n_column

    def __call__(
        self,
        x: np.ndarray,
        start: int,
        out: np.ndarray,
        mask: tuple[np.ndarray, float, float | None] | None = None,
    ) -> None:
        """Write rows of the result.

        Args:
            x (numpy.ndarray): Images ``(n, height, width, channel)``.
            start (int): Which row of the result is the first.
            out (numpy.ndarray): Where they go, ``(n, rows, columns, channel)``.
            mask (tuple or None): An array of the shape and strides of ``x``, and
                between which limits of it ``x`` is taken, with 0 elsewhere.
        """
        size, geometry = x.itemsize, self._geometry
        (row_stride, column_stride), (row_dilate, dilate) = (
            geometry.stride,
            geometry.dilate,
        )
        y, floor, ceiling = (x, 0.0, None) if mask is None else mask
        taps, *vectors = self._addresses
        n_image, n_row, _, n_channel = out.shape
        kernels.filter_channels(
            *(x.dtype, geometry.kernel[1], column_stride, dilate),
            has_mask=mask is not None,
        )(
            *(x.ctypes.data, y.ctypes.data, taps, out.ctypes.data, *vectors),
            *(n_image, n_row, n_channel, geometry.kernel[0]),
            *self._windows,
            *[stride // size for stride in (*x.strides[:3], *out.strides[:3])],
            *(start * row_stride - geometry.pad[0], -geometry.pad[1]),
            *geometry.size,
            *(row_stride, row_dilate),
            *self._limits,
            *(floor, math.nan if ceiling is None else ceiling),
        )


@functools.lru_cache(maxsize=64)
def _neutral(n_channel: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    # Adding -0.0 leaves all numbers as they are, zeros of both signs among them.
    nothing = np.full(n_channel, -0.0, dtype)
    return nothing, np.ones(n_channel, dtype), nothing


def _as_rows(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return three arrays of one shape as three axes, of which the last is contiguous.

    Returns:
        tuple: The shape, and the strides in elements of the first axis in all arrays,
        and of the second. None if there are more axes.
    """
    x, y, out = arrays
    shape, itemsize = x.shape, x.itemsize
    if not shape == y.shape == out.shape:
        return None
    if all(array.flags.c_contiguous for array in arrays):
        return (1, 1, x.size), (0,) * 6
    order = sorted(range(len(shape)), key=lambda a: -abs(out.strides[a]))
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
