"""Pooling over windows of images, and its way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import numpy as np

from saliency.cpu import elementwise, memory
from saliency.cpu.geometry import Geometry

Slices = tuple[slice, slice]


def max_pool(
    x: np.ndarray, geometry: Geometry, *, wants_taps: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return each window's maximum, and which of its taps has it.

    Args:
        x (numpy.ndarray): Images ``(n, channel, height, width)``, in any layout.
        geometry (Geometry): Where the windows lie; what is outside never wins.
        wants_taps (bool): Whether the way back will be asked for.

    Returns:
        tuple of numpy.ndarray: ``(n, channel, out height, out width)``: maxima, and
        the number of the first tap that has it (counted along the kernel's rows), or
        None.
    """
    y = _images_like(x, geometry.out, x.dtype)
    n_tap = geometry.kernel[0] * geometry.kernel[1]
    taps = (
        _images_like(x, geometry.out, np.min_scalar_type(n_tap)) if wants_taps else None
    )

    def pool_images(images: slice) -> None:
        maxima = y[images]
        maxima[...] = -np.inf
        seen_by_tap = [(at, x[images][(..., *seen)]) for at, seen in _taps(geometry)]
        for at, seen in seen_by_tap:
            best = maxima[(..., *at)]
            np.maximum(best, seen, out=best)
        if taps is not None:
            _number_winners(taps[images], maxima, seen_by_tap)

    elementwise.over_images(pool_images, x)
    return y, taps


def max_pool_to_input(
    gy: np.ndarray, taps: np.ndarray, geometry: Geometry
) -> np.ndarray:
    """Give what is at each window to the element that was its maximum.

    Args:
        gy (numpy.ndarray): ``(n, channel, out height, out width)``.
        taps (numpy.ndarray): Tap numbers of :func:`max_pool`.
        geometry (Geometry): Where the windows lie.

    Returns:
        numpy.ndarray: ``(n, channel, height, width)``.
    """
    return _add_up(
        gy, geometry, lambda images, number, at: taps[(images, ..., *at)] == number
    )


def average_pool(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return each window's sum over the number of its taps; 0 is outside.

    Args:
        x (numpy.ndarray): Images ``(n, channel, height, width)``, in any layout.
        geometry (Geometry): Where the windows lie.

    Returns:
        numpy.ndarray: ``(n, channel, out height, out width)``.
    """
    y = _images_like(x, geometry.out, x.dtype)
    n_tap = geometry.kernel[0] * geometry.kernel[1]

    def pool_images(images: slice) -> None:
        total = y[images]
        total[...] = 0
        for at, seen in _taps(geometry):
            total[(..., *at)] += x[images][(..., *seen)]
        total /= n_tap

    elementwise.over_images(pool_images, x)
    return y


def average_pool_to_input(gy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Give every element of a window its share of what is at the window.

    Args:
        gy (numpy.ndarray): ``(n, channel, out height, out width)``.
        geometry (Geometry): Where the windows lie.

    Returns:
        numpy.ndarray: ``(n, channel, height, width)``.
    """
    share = gy.dtype.type(1 / (geometry.kernel[0] * geometry.kernel[1]))
    return _add_up(gy, geometry, lambda images, number, at: share)


def _taps(geometry: Geometry) -> Iterator[tuple[Slices, Slices]]:
    """Return for each tap which windows see a pixel by it, and which pixels."""
    for i in range(geometry.kernel[0]):
        for j in range(geometry.kernel[1]):
            rows, seen_rows = _along(geometry, 0, i)
            columns, seen_columns = _along(geometry, 1, j)
            yield (rows, columns), (seen_rows, seen_columns)


def _along(geometry: Geometry, axis: int, tap: int) -> tuple[slice, slice]:
    stride, size = geometry.stride[axis], geometry.size[axis]
    shift = tap * geometry.dilate[axis] - geometry.pad[axis]
    start = max(0, -(shift // stride))
    stop = min(geometry.out[axis], (size - 1 - shift) // stride + 1)
    stop = max(start, stop)
    first = start * stride + shift
    last = first + (stop - start - 1) * stride + 1 if stop > start else first
    return slice(start, stop), slice(first, last, stride)


def _number_winners(
    taps: np.ndarray,
    maxima: np.ndarray,
    seen_by_tap: list[tuple[Slices, np.ndarray]],
) -> None:
    """Write the number of the first tap that has the maximum.

    From the last tap to the first, ``number = lost * (number + 1)``: 0 where the tap
    has the maximum, and one more than the count behind it elsewhere.
    """
    taps[...] = 0
    for at, seen in reversed(seen_by_tap[:-1]):
        taps += 1
        taps[(..., *at)] *= seen != maxima[(..., *at)]


def _add_up(
    gy: np.ndarray,
    geometry: Geometry,
    weight: Callable[[slice, int, Slices], Any],
) -> np.ndarray:
    """Return for each pixel the weighted sum of what is at the windows that see it."""
    gx = _images_like(gy, geometry.size, gy.dtype)
    overlap = any(k > s for k, s in zip(geometry.kernel, geometry.stride))

    def add_up(images: slice) -> None:
        gx[images] = 0
        for number, (at, seen) in enumerate(_taps(geometry)):
            target = gx[images][(..., *seen)]
            source = gy[images][(..., *at)]
            if overlap:
                target += source * weight(images, number, at)
            else:
                np.multiply(source, weight(images, number, at), out=target)

    elementwise.over_images(add_up, gx)
    return gx


def _images_like(x: np.ndarray, size: tuple[int, int], dtype: Any) -> np.ndarray:
    """Return images of another size, not initialized, with the same memory layout."""
    n_image, n_channel = x.shape[:2]
    is_channels_last = x.strides[1] < x.strides[3]
    if is_channels_last:
        return memory.empty((n_image, *size, n_channel), dtype).transpose(0, 3, 1, 2)
    return memory.empty((n_image, n_channel, *size), dtype)
