"""Convolution in which every channel has kernels of its own (depthwise).

There is no sum over channels, and so no matrix product: each tap of the kernel is a
product of what the windows see with one number per channel. What is compiled adds up
such products, and finishes the sums, in one pass. NumPy's ``einsum`` adds them up
without writing any of them to memory, at full speed where its innermost axis is long:
that axis is all channels of several pixels in a row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Callable, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from saliency.cpu import compiled, elementwise, memory
from saliency.cpu.epilogue import NOTHING, Epilogue, Finish
from saliency.cpu.geometry import Geometry
from saliency.cpu.mask import Mask
from saliency.cpu.threads import even_parts, threads
from saliency.cpu.tiles import Patches, Tile

# Elements of the innermost axis: long enough for its loop to pay, short enough for the
# kernels, which are repeated for each of its pixels, to stay in the cache.
_BLOCK = 1024
# Arithmetic operations of a matrix product that take as long as a product here, where
# that is compiled.
_COMPILED_COST = 7


def convolve(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    geometry: Geometry,
    then: Epilogue = NOTHING,
) -> np.ndarray:
    """Convolve each channel with its kernels.

    Args:
        x (numpy.ndarray): Images ``(n, channel, height, width)``.
        W (numpy.ndarray): ``(channel * multiplier, 1, kh, kw)``.
        b (numpy.ndarray or None): Bias of each output channel.
        geometry (Geometry): Where the windows lie.
        then (Epilogue): What is done to the result.

    Returns:
        numpy.ndarray: ``(n, channel * multiplier, out height, out width)``, channels
        last in memory.
    """
    y = memory.empty((len(x), *geometry.out, len(W)), x.dtype)
    finish = Finish(y, b, then.channels_last())
    _run([_Filter(W[:, 0], geometry, y)], x, geometry, finish)
    return y.transpose(0, 3, 1, 2)


def to_input(
    gy: np.ndarray,
    W: np.ndarray,
    geometry: Geometry,
    n_channel: int,
    mask: Mask | None = None,
) -> np.ndarray:
    """Apply the transposed map of :func:`convolve` to what is at its output.

    Args:
        gy (numpy.ndarray): ``(n, channel * multiplier, out height, out width)``.
        W (numpy.ndarray): ``(channel * multiplier, 1, kh, kw)``.
        geometry (Geometry): Where the windows lie.
        n_channel (int): Channels of the images.
        mask (Mask or None): What of ``gy`` is taken.

    Returns:
        numpy.ndarray: ``(n, channel, height, width)``, channels last in memory.
    """
    gx = memory.empty((len(gy), *geometry.size, n_channel), gy.dtype)
    filters = []
    for rows, columns, back in _ways_back(geometry):
        part = gx[:, rows.pixels, columns.pixels]
        if back is None:
            part[...] = 0
            continue
        kernels = W[:, 0, rows.taps][:, :, columns.taps]
        filters.append(_Filter(kernels, back, part))
    if filters:
        _run(filters, gy, _of_all([each.geometry for each in filters]), mask=mask)
    return gx.transpose(0, 3, 1, 2)


class _Phase(NamedTuple):
    """Every so many pixels along an axis: those that the same taps see.

    On the way back, they are a convolution with stride 1 of what is at the output.

    Attributes:
        pixels (slice): Which of the input.
        taps (list of int): Which taps see them, in the order of the windows.
        pad (int): Of that convolution.
        dilate (int): Of that convolution.
    """

    pixels: slice
    taps: list[int]
    pad: int
    dilate: int


@functools.lru_cache(maxsize=256)
def _ways_back(
    geometry: Geometry,
) -> tuple[tuple[_Phase, _Phase, Geometry | None], ...]:
    """Return the phases of rows and columns, and where the windows of each pair lie.

    These are windows on the output, for pixels of the input; None where no tap sees
    them.
    """
    found = []
    for rows in _phases(geometry, 0):
        for columns in _phases(geometry, 1):
            back = None
            if rows.taps and columns.taps:
                back = Geometry(
                    size=geometry.out,
                    kernel=(len(rows.taps), len(columns.taps)),
                    stride=(1, 1),
                    pad=(rows.pad, columns.pad),
                    dilate=(rows.dilate, columns.dilate),
                    out=(
                        len(range(geometry.size[0])[rows.pixels]),
                        len(range(geometry.size[1])[columns.pixels]),
                    ),
                )
            found.append((rows, columns, back))
    return tuple(found)


def _phases(geometry: Geometry, axis: int) -> Iterator[_Phase]:
    stride, dilate = geometry.stride[axis], geometry.dilate[axis]
    for first in range(min(stride, geometry.size[axis])):
        # Tap k of window o sees pixel o * stride + k * dilate - pad.
        place = first + geometry.pad[axis]
        taps = [
            k
            for k in reversed(range(geometry.kernel[axis]))
            if (place - k * dilate) % stride == 0
        ]
        pad = (taps[0] * dilate - place) // stride if taps else 0
        yield _Phase(
            slice(first, None, stride), taps, pad, dilate // math.gcd(stride, dilate)
        )


class _Filter:
    """Writes what kernels make of images.

    Args:
        W (numpy.ndarray): Kernels ``(n_kernel, kh, kw)``.
        geometry (Geometry): Where the windows lie.
        out (numpy.ndarray): ``(n, out height, out width, n_sum)``. Where there are
            several kernels for each place of its last axis, those in a row are summed.
    """

    def __init__(self, W: np.ndarray, geometry: Geometry, out: np.ndarray) -> None:
        self.geometry = geometry
        self.out = out
        self.n_kernel = len(W)
        self.taps = np.ascontiguousarray(W.transpose(1, 2, 0))
        self._is_in_place = (
            self.n_kernel == out.shape[3]
            and out.strides[2] == self.n_kernel * out.itemsize
        )

    @functools.cached_property
    def _repeated_taps(self) -> np.ndarray:
        is_strided = self.geometry.stride[1] > 1
        n_pixel = 1 if is_strided else max(1, _BLOCK // self.n_kernel)
        return np.tile(self.taps, min(n_pixel, self.out.shape[2]))

    @property
    def n_operation(self) -> int:
        """Products of numbers."""
        return self.taps.size * self.out[..., 0].size

    def __call__(self, region: np.ndarray, tile: Tile) -> None:
        """Write a tile of the result.

        Args:
            region (numpy.ndarray): What it sees, ``(n, height, width, n_kernel)``.
            tile: Which output pixels.
        """
        first, last, start, stop = tile
        of_tile = self.out[first:last, start:stop]
        if self._is_in_place:
            _add_taps(region, self._repeated_taps, self.geometry, of_tile)
            return
        shape = (*of_tile.shape[:3], self.n_kernel)
        terms = threads.scratch("terms", shape, region.dtype)
        _add_taps(region, self._repeated_taps, self.geometry, terms)
        n_sum = of_tile.shape[3]
        if n_sum == self.n_kernel:
            of_tile[...] = terms
        else:
            by_sum = terms.reshape(*of_tile.shape, self.n_kernel // n_sum)
            np.sum(by_sum, axis=4, out=of_tile)


def _run(
    filters: list[_Filter],
    x: np.ndarray,
    geometry: Geometry,
    finish: Finish | None = None,
    mask: Mask | None = None,
) -> None:
    """Write what filters make of images, all of them for a tile before the next.

    Args:
        filters (list of _Filter): All of equally many kernels.
        x (numpy.ndarray): Images ``(n, channel, height, width)``. Where there are
            several kernels for each channel, those in a row see the same one.
        geometry (Geometry): Windows that hold those of all filters.
        finish (Finish or None): What is done to the result, if there is one filter.
        mask (Mask or None): What of the images is taken.
    """
    n_operation = sum(each.n_operation for each in filters)
    if _can_be_compiled(filters, x):
        _run_compiled(filters, x, finish, mask)
        return
    patches = Patches(geometry, x.shape[1])
    run = _in_numpy(filters, x, patches, finish, mask)
    n_thread = threads.for_work(elementwise.COST * n_operation)
    n_element = filters[0].n_kernel * (1 + math.prod(geometry.stride))
    tiles = patches.tiles(len(x), x.itemsize, n_thread, n_element)
    if n_thread == 1:  # no matrix products, so no BLAS to keep from starting threads
        for tile in tiles:
            run(tile)
    else:
        threads.run(run, [(tile,) for tile in tiles], n_thread)


def _in_numpy(
    filters: list[_Filter],
    x: np.ndarray,
    patches: Patches,
    finish: Finish | None,
    mask: Mask | None,
) -> Callable[[Tile], None]:
    """Return what writes a tile with functions of NumPy, as :func:`_run` tells."""
    geometry = patches.geometry

    def run(tile: Tile) -> None:
        first, last, start, stop = tile
        region = _repeated(patches.region(x, tile, mask), filters[0].n_kernel)
        for each in filters:
            top, left = (a - b for a, b in zip(geometry.pad, each.geometry.pad))
            end = min(stop, each.geometry.out[0])
            if start < end:
                each(region[:, top:, left:], (first, last, start, end))
        if finish is not None:
            finish(*patches.pixels(tile))

    return run


def _can_be_compiled(filters: list[_Filter], x: np.ndarray) -> bool:
    has_kernel_each = all(
        each.n_kernel == x.shape[1] == each.out.shape[3] for each in filters
    )
    outs = (each.out for each in filters)
    return has_kernel_each and compiled.suits(x.transpose(0, 2, 3, 1), *outs)


def _run_compiled(
    filters: list[_Filter],
    x: np.ndarray,
    finish: Finish | None,
    mask: Mask | None,
) -> None:
    """Write what filters make of images with compiled functions: see :func:`_run`."""
    by_pixel = x.transpose(0, 2, 3, 1)
    passing = None
    if mask is not None:
        mask = mask.channels_last()
        if mask.y.strides == by_pixel.strides and mask.y.dtype == x.dtype:
            passing = mask.y, mask.floor, mask.ceiling
        else:
            out = memory.empty(by_pixel.shape, by_pixel.dtype)
            by_pixel = elementwise.masked(by_pixel, mask, out)
    steps = compiled.NO_STEPS
    if finish is not None and not finish.adds:
        steps = finish.steps
    for each in filters:
        run = compiled.ChannelFilter(each.taps, each.geometry, steps)
        work = run.work(by_pixel, each.out, passing)
        threads.share(work, _COMPILED_COST * each.n_operation)
    if finish is not None and finish.adds:
        n_pixel = math.prod(filters[0].out.shape[:3])
        n_thread = threads.for_work(elementwise.COST * filters[0].out.size)
        threads.run(finish, even_parts(n_pixel, n_thread), n_thread)


def _of_all(phases: list[Geometry]) -> Geometry:
    """Return windows that hold those of all phases, which have stride 1."""

    def along(axis: int) -> tuple[int, int, int]:
        pad = max(phase.pad[axis] for phase in phases)
        reach = max(pad - phase.pad[axis] + phase.span(axis, 1) for phase in phases)
        return pad, reach, max(phase.out[axis] for phase in phases)

    pads, kernel, out = zip(along(0), along(1))
    return Geometry(phases[0].size, kernel, (1, 1), pads, (1, 1), out)


def _repeated(region: np.ndarray, n_kernel: int) -> np.ndarray:
    """Return images with each channel once for each of its kernels."""
    n_channel = region.shape[3]
    if n_kernel <= n_channel:
        return region
    repeated = threads.scratch("repeated", (*region.shape[:3], n_kernel), region.dtype)
    by_channel = repeated.reshape(*region.shape, n_kernel // n_channel)
    by_channel[...] = region[..., None]
    return repeated


def _add_taps(
    region: np.ndarray, taps: np.ndarray, geometry: Geometry, out: np.ndarray
) -> None:
    """Write the sum over taps of what their windows see.

    Args:
        region (numpy.ndarray): What a tile sees, ``(n, height, width, n_kernel)``.
        taps (numpy.ndarray): ``(kh, kw, pixels of a block * n_kernel)``.
        geometry (Geometry): Where the windows lie.
        out (numpy.ndarray): ``(n, rows, columns, n_kernel)``.
    """
    n_image, n_row, n_column, n_kernel = out.shape
    n_pixel = taps.shape[2] // n_kernel
    of_image, of_row, of_column, of_kernel = region.strides
    whole = n_column - n_column % n_pixel
    for start, stop, width in (
        (0, whole, n_pixel),
        (whole, n_column, n_column - whole),
    ):
        if start == stop:
            continue
        shape = (n_image, n_row, (stop - start) // width, width * n_kernel)
        windows = as_strided(
            region[:, :, start * geometry.stride[1] :],
            (*shape, *geometry.kernel),
            (
                of_image,
                of_row * geometry.stride[0],
                of_column * geometry.stride[1] * width,
                of_kernel,
                of_row * geometry.dilate[0],
                of_column * geometry.dilate[1],
            ),
        )
        np.einsum(
            "nhuqij,ijq->nhuq",
            windows,
            taps[:, :, : width * n_kernel],
            out=out[:, :, start:stop].reshape(shape),
        )


def to_weights(x: np.ndarray, gy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the gradient of the kernels, ``(channel * multiplier, 1, kh, kw)``.

    Args:
        x (numpy.ndarray): Images ``(n, channel, height, width)``.
        gy (numpy.ndarray): ``(n, channel * multiplier, out height, out width)``.
        geometry (Geometry): Where the windows lie.
    """
    patches = Patches(geometry, x.shape[1])
    by_kernel = _by_kernel(gy, x.shape[1])
    kh, kw = geometry.kernel

    def add_up(tiles: list[Tile]) -> np.ndarray:
        total = np.zeros((kh * kw, *by_kernel.shape[3:]), gy.dtype)
        for tile in tiles:
            first, last, start, stop = tile
            of_tile = by_kernel[first:last, start:stop]
            region = patches.region(x, tile)
            for of_tap, seen in zip(total, patches.windows(region, tile)):
                of_tap += np.einsum("nhwc,nhwcm->cm", seen, of_tile)
        return total

    n_thread = _n_thread(patches, gy)
    jobs = patches.shares(len(x), x.itemsize, n_thread)
    parts = threads.run(add_up, jobs, n_thread)
    by_tap = sum(parts[1:], parts[0])
    return by_tap.transpose(1, 2, 0).reshape(gy.shape[1], 1, kh, kw)


def _n_thread(patches: Patches, y: np.ndarray) -> int:
    kh, kw = patches.geometry.kernel
    return threads.for_work(elementwise.COST * kh * kw * y.size)


def _by_kernel(gy: np.ndarray, n_channel: int) -> np.ndarray:
    """Return the outputs as ``(n, height, width, channel, multiplier)``."""
    n_image, n_out, height, width = gy.shape
    shape = (n_image, height, width, n_channel, n_out // n_channel)
    return gy.transpose(0, 2, 3, 1).reshape(shape)
