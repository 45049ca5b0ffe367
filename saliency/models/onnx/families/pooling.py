"""Poolings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from saliency.array_types import Array
from saliency.models.onnx.families.operands import root
from saliency.models.onnx.families.windows import (
    Widths,
    Windows,
    padded,
    refuse_padding,
)
from saliency.models.onnx.operators import Call, array_of, operator

import chainer
import chainer.functions as F


@operator("MaxPool", refuses=refuse_padding)
def max_pool(
    call: Call,
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> Any:
    """The largest element of each window."""
    windows = Windows.of(kernel_shape, call.node.attributes)
    y = _largest(X, windows)
    if call.n_output == 1:
        return y
    return y, _places_of_largest(call, X, windows, "F" if storage_order else "C")


def _largest(x: chainer.Variable, windows: Windows) -> chainer.Variable:
    is_dense = set(windows.dilations) == {1}
    if windows.is_plain and is_dense:
        return F.max_pooling_nd(
            x, windows.kernel, windows.strides, windows.lows, cover_all=False
        )
    x, counts = _with_border(x, windows, -np.inf)
    if is_dense:
        return F.max_pooling_nd(x, windows.kernel, windows.strides, cover_all=False)
    return F.max(_stacked(x, windows, counts), axis=0)


def _places_of_largest(
    call: Call, x: chainer.Variable, windows: Windows, order: Literal["C", "F"]
) -> Array:
    """Return where the largest element of each window is: the first, if there are more.

    Args:
        call (Call): The node as it is run.
        x (chainer.Variable): ``(n, channel, ...)``.
        windows (Windows): As for the largest elements themselves.
        order (str): Whether the last axis of an image is counted fastest, or its first.

    Returns:
        array: Numbers of elements in the whole of x, whose images follow one another.
    """
    xp, sizes = call.xp, x.shape[2:]
    n_pixel = math.prod(sizes)
    bordered, counts = _with_border(x, windows, -np.inf)
    elements = array_of(bordered)
    widths = windows.reaching(counts, sizes, windows.widths(sizes))
    pixels = np.arange(n_pixel).reshape(sizes, order=order)
    pixels = call.array(np.pad(pixels, widths, constant_values=-1))
    shape = (*x.shape[:2], *counts)
    largest = xp.full(shape, -np.inf, x.dtype)
    found = xp.full(shape, -1, "int64")
    for place in windows.slices(counts):
        value = elements[(slice(None), slice(None), *place)]
        pixel = pixels[place]
        # An element of the border is none of x, even if no other is larger.
        is_larger = (pixel >= 0) & ((value > largest) | (found < 0))
        largest = xp.where(is_larger, value, largest)
        found = xp.where(is_larger, pixel, found)
    images = xp.arange(math.prod(x.shape[:2])).reshape(x.shape[:2])
    return found + n_pixel * images.reshape(images.shape + (1,) * len(sizes))


def _with_border(
    x: chainer.Variable, windows: Windows, value: float
) -> tuple[chainer.Variable, tuple[int, ...]]:
    """Return images in which all windows lie, and how many these are."""
    sizes = x.shape[2:]
    widths = windows.widths(sizes)
    counts = windows.counts(sizes, widths)
    reaching = windows.reaching(counts, sizes, widths)
    return padded(x, reaching, value), counts


def _stacked(
    x: chainer.Variable, windows: Windows, counts: Sequence[int]
) -> chainer.Variable:
    """Return the elements of all windows along a new first axis."""
    every = [x[(slice(None), slice(None), *s)] for s in windows.slices(counts)]
    return F.stack(every, axis=0)


@operator("AveragePool", refuses=refuse_padding)
def average_pool(
    call: Call,
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Any:
    """The mean of each window, without the border or with it."""
    windows = Windows.of(kernel_shape, call.node.attributes)
    is_dense = set(windows.dilations) == {1}
    if windows.is_plain and is_dense:
        is_bordered = any(windows.lows) and not count_include_pad
        if X.ndim == 4 and not is_bordered:
            return F.average_pooling_2d(
                X, windows.kernel, windows.strides, windows.lows
            )
        value = None if is_bordered else 0
        return F.average_pooling_nd(
            X, windows.kernel, windows.strides, windows.lows, value
        )
    mean = _mean(X, windows)
    sizes = X.shape[2:]
    border = windows.widths(sizes) if count_include_pad else [(0, 0)] * len(sizes)
    share = np.prod(windows.kernel) / _members(windows, sizes, border)
    return mean * call.array(share.astype(X.dtype))


def _mean(x: chainer.Variable, windows: Windows) -> chainer.Variable:
    """Return means of windows in which all that is outside of the image counts as 0."""
    x, counts = _with_border(x, windows, 0.0)
    if set(windows.dilations) == {1}:
        return F.average_pooling_nd(x, windows.kernel, windows.strides)
    return F.mean(_stacked(x, windows, counts), axis=0)


def _members(windows: Windows, sizes: Sequence[int], border: Widths) -> np.ndarray:
    """Return how many elements of each window are in the image or its border."""
    result = np.ones((1, 1, *(1 for _ in sizes)))
    widths = windows.widths(sizes)
    counts = windows.counts(sizes, widths)
    for axis, n in enumerate(sizes):
        starts = np.arange(counts[axis]) * windows.strides[axis] - widths[axis][0]
        steps = np.arange(windows.kernel[axis]) * windows.dilations[axis]
        places = starts[:, None] + steps
        low, high = border[axis]
        inside = ((places >= -low) & (places < n + high)).sum(axis=1)
        shape = [1] * (2 + len(sizes))
        shape[2 + axis] = len(inside)
        result = result * inside.reshape(shape)
    return result


@operator("LpPool", refuses=refuse_padding)
def lp_pool(
    call: Call,
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int],
    p: int = 2,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Any:
    """The norm of each window."""
    windows = Windows.of(kernel_shape, call.node.attributes)
    total = _mean(F.absolute(X) ** p, windows) * float(np.prod(windows.kernel))
    return root(total, p)


@operator("GlobalAveragePool")
def global_average_pool(call: Call, X: Any) -> Any:
    """The mean of each channel."""
    return F.mean(X, axis=tuple(range(2, X.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def global_max_pool(call: Call, X: Any) -> Any:
    """The largest element of each channel."""
    return F.max(X, axis=tuple(range(2, X.ndim)), keepdims=True)


@operator("GlobalLpPool")
def global_lp_pool(call: Call, X: Any, *, p: int = 2) -> Any:
    """The norm of each channel."""
    axes = tuple(range(2, X.ndim))
    return root(F.sum(F.absolute(X) ** p, axis=axes, keepdims=True), p)
