"""Convolution in which every channel has kernels of its own (depthwise).

There is no sum over channels, and so no matrix product: each tap of the kernel is a
product of what the windows see with one number per channel.
"""

from __future__ import annotations

import numpy as np

from saliency.cpu import elementwise, memory
from saliency.cpu.geometry import Geometry
from saliency.cpu.threads import threads
from saliency.cpu.tiles import Patches, Tile


def convolve(
    x: np.ndarray, W: np.ndarray, b: np.ndarray | None, geometry: Geometry
) -> np.ndarray:
    """Convolve each channel with its kernels.

    Args:
        x (numpy.ndarray): Images ``(n, channel, height, width)``.
        W (numpy.ndarray): ``(channel * multiplier, 1, kh, kw)``.
        b (numpy.ndarray or None): Bias of each output channel.
        geometry (Geometry): Where the windows lie.

    Returns:
        numpy.ndarray: ``(n, channel * multiplier, out height, out width)``, channels
        last in memory.
    """
    patches = Patches(geometry, x.shape[1])
    taps = _taps(W, x.shape[1])
    y = memory.empty((len(x), *geometry.out, *taps.shape[1:]), x.dtype)

    def convolve_tile(tile: Tile) -> None:
        first, last, start, stop = tile
        of_tile = y[first:last, start:stop]
        of_tile[...] = 0 if b is None else b.reshape(taps.shape[1:])
        product = threads.scratch("product", of_tile.shape, x.dtype)
        region = patches.region(x, tile)
        for tap, seen in zip(taps, patches.windows(region, tile)):
            np.multiply(seen[..., None], tap, out=product)
            of_tile += product

    n_thread = _n_thread(patches, y)
    jobs = [(tile,) for tile in patches.tiles(len(x), x.itemsize, n_thread)]
    threads.run(convolve_tile, jobs, n_thread)
    return y.reshape(*y.shape[:3], len(W)).transpose(0, 3, 1, 2)


def to_input(
    gy: np.ndarray, W: np.ndarray, geometry: Geometry, n_channel: int
) -> np.ndarray:
    """Apply the transposed map of :func:`convolve` to what is at its output.

    Args:
        gy (numpy.ndarray): ``(n, channel * multiplier, out height, out width)``.
        W (numpy.ndarray): ``(channel * multiplier, 1, kh, kw)``.
        geometry (Geometry): Where the windows lie.
        n_channel (int): Channels of the images.

    Returns:
        numpy.ndarray: ``(n, channel, height, width)``, channels last in memory.
    """
    patches = Patches(geometry, n_channel)
    taps = _taps(W, n_channel)
    by_kernel = _by_kernel(gy, n_channel)
    gx = patches.zero_images(len(gy), gy.dtype)

    def spread(tiles: list[Tile]) -> None:
        for tile in tiles:
            first, last, start, stop = tile
            of_tile = by_kernel[first:last, start:stop]
            region = patches.empty_region(tile, gy.dtype)
            region[...] = 0
            for tap, seen in zip(taps, patches.windows(region, tile)):
                seen += np.einsum("nhwcm,cm->nhwc", of_tile, tap)
            patches.add(region, tile, gx)

    n_thread = _n_thread(patches, gy)
    jobs = patches.tiles_by_image(len(gy), gy.itemsize, n_thread)
    threads.run(spread, jobs, n_thread)
    return gx


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


def _taps(W: np.ndarray, n_channel: int) -> np.ndarray:
    """Return the kernels by tap, ``(kh * kw, channel, multiplier)``."""
    return W.reshape(n_channel, len(W) // n_channel, -1).transpose(2, 0, 1).copy()


def _by_kernel(gy: np.ndarray, n_channel: int) -> np.ndarray:
    """Return the outputs as ``(n, height, width, channel, multiplier)``."""
    n_image, n_out, height, width = gy.shape
    shape = (n_image, height, width, n_channel, n_out // n_channel)
    return gy.transpose(0, 2, 3, 1).reshape(shape)
