r"""Convolution with 3 x 3 kernels by Winograd's minimal filtering F(4 x 4, 3 x 3).

.. math:: Y = A^T \left[ (G g G^T) \odot (B^T d B) \right] A

Lavin and Gray (2016), "Fast algorithms for convolutional neural networks",
arXiv:1509.09308, eq. 8: 4 x 4 output pixels from a tile of 6 x 6 input pixels with 36
products in place of 144. The sum over channels turns the products into 36 matrix
products, and each transform is one, too, with the Kronecker product of its matrix
with itself. Arrays have their channels last, so that all copies are of long runs.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from saliency.cpu import compiled, memory
from saliency.cpu.elementwise import clear_around
from saliency.cpu.epilogue import NOTHING, Epilogue, Finish
from saliency.cpu.geometry import Geometry
from saliency.cpu.mask import Mask, take
from saliency.cpu.threads import even_parts, threads

# Where the polynomials of the algorithm are evaluated, besides infinity. Measured in
# float32, these round to half the error of the usual 0, 1, -1, 2, -2. With each point
# comes its inverse, which is where a flipped kernel has the value of the kernel, and
# read backwards, the list is that of the inverses: so the way back takes the same
# transformed weights, the last first.
_POINTS = [Fraction(p) for p in ("0", "2/3", "-2/3", "-3/2", "3/2")]


def _transforms(points: list[Fraction]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Return :math:`B^T`, :math:`G` and :math:`A^T` of F(4, 3) by Toom and Cook.

    The matrices of Blahut (2010), "Fast algorithms for signal processing", ch. 5:
    values at the points, interpolation from them, and the same for infinity. Values of
    kernels at a point are divided by its size, so that those at its inverse are the
    same backwards; interpolation makes up for that.
    """
    vanishing = np.array([Fraction(1)])
    for point in points:
        vanishing = np.convolve(vanishing, [-point, Fraction(1)])
    B_T: list[Any] = []
    G: list[Any] = []
    A: list[Any] = []
    for k, point in enumerate(points):
        others = points[:k] + points[k + 1 :]
        basis = np.array([Fraction(1)])
        for other in others:
            basis = np.convolve(basis, [-other, Fraction(1)])
        size = abs(point) or Fraction(1)
        scale = size / math.prod(point - other for other in others)
        B_T.append([*(basis * scale), Fraction(0)])
        G.append([point**i / size for i in range(3)])
        A.append([point**i for i in range(4)])
    B_T.append(list(vanishing))
    G.append([0, 0, 1])
    A.append([0, 0, 0, 1])
    return np.array(B_T, "d"), np.array(G, "d"), np.array(A, "d").T


_B_T, _G, _A_T = _transforms(_POINTS)
_OF_WEIGHT = np.kron(_G, _G)


class _Transform(NamedTuple):
    """A matrix that tiles are multiplied by from the left, and by its transpose.

    Attributes:
        in_one_pass (compiled.Transform): Does so where it can be compiled.
        of_both_sides (numpy.ndarray): Its Kronecker product with itself.
    """

    in_one_pass: compiled.Transform
    of_both_sides: np.ndarray

    @classmethod
    def by(cls, matrix: np.ndarray) -> _Transform:
        """Return the one by a matrix."""
        return cls(compiled.Transform(matrix), np.kron(matrix, matrix))


_OF_INPUT, _OF_OUTPUT = _Transform.by(_B_T), _Transform.by(_A_T)

# What a thread works on at a time, in bytes: it is to stay in its cache, and to be
# enough columns for the matrix products to be efficient.
_WORKING_SET = 1 << 24
_MIN_TILES, _MAX_TILES = 96, 200
# So few tiles are best transformed by one thread; others help with their products, each
# of which reads another part of the weights.
_FEW_TILES = 64
# Numbers that lie between the planes of what is transformed.
_BETWEEN_PLANES = 16
# Kernels that are transformed at a time.
_KERNELS = 1 << 12


def transform_weight(W: np.ndarray) -> np.ndarray:
    """Return the weights as :func:`convolve` takes them.

    Args:
        W (numpy.ndarray): ``(out, in, 3, 3)``.

    Returns:
        numpy.ndarray: ``(36, in, out)``, of the dtype of ``W``.
    """
    n_out, n_in = W.shape[:2]
    by_kernel = W.reshape(n_out, n_in, 9)
    U = np.empty((36, n_in, n_out), W.dtype)
    of_weight = _OF_WEIGHT.astype(W.dtype)

    def transform(start: int, stop: int) -> None:
        kernels = by_kernel[:, start:stop].transpose(2, 1, 0).reshape(9, -1)
        np.matmul(of_weight, kernels, out=U[:, start:stop].reshape(36, -1))

    n_thread = threads.for_work(36 * 2 * W.size)
    n_channel = max(1, _KERNELS // n_out)
    edges = [*range(0, n_in, n_channel), n_in]
    threads.run(transform, list(zip(edges, edges[1:])), n_thread)
    return U


def convolve(
    x: np.ndarray,
    U: np.ndarray,
    b: np.ndarray | None,
    geometry: Geometry,
    then: Epilogue = NOTHING,
    mask: Mask | None = None,
    *,
    is_back: bool = False,
) -> np.ndarray:
    """Convolve images with 3 x 3 kernels, stride 1 and dilation 1.

    Args:
        x (numpy.ndarray): Images ``(n, height, width, in)``.
        U (numpy.ndarray): What :func:`transform_weight` returned.
        b (numpy.ndarray or None): Bias of each output channel.
        geometry (Geometry): Where the windows lie.
        then (Epilogue): What is done to the result; its array is like the result.
        mask (Mask or None): What of the images is taken; its array is like theirs.
        is_back (bool): Whether it is the way back: with the kernels flipped, from
            their output channels to those of the input.

    Returns:
        numpy.ndarray: ``(n, out height, out width, out)``.
    """
    if is_back:
        U = U[::-1].transpose(0, 2, 1)  # (36, out, in)
    n_out = U.shape[2]
    y = memory.empty((len(x), *geometry.out, n_out), x.dtype)
    finish = Finish(y, b, then)
    # A band is a row of tiles over the whole width of one image.
    n_band_image, n_tile_band = (-(-size // 4) for size in geometry.out)
    n_band = len(x) * n_band_image
    bytes_tile = 36 * max(U.shape[1:]) * x.itemsize
    n_tile = min(max(_WORKING_SET // bytes_tile, _MIN_TILES), _MAX_TILES)
    n_thread = threads.for_work(72 * n_band * n_tile_band * U[0].size)
    if n_band * n_tile_band <= _FEW_TILES:
        n_job, n_thread_bands, n_thread_products = 1, 1, n_thread
    else:
        n_job = -(-n_band // max(1, n_tile // n_tile_band))
        n_job = min(-(-n_job // n_thread) * n_thread, n_band)
        n_thread_bands, n_thread_products = n_thread, 1

    def first_pixel(band: int) -> int:
        image, of_image = divmod(band, n_band_image)
        return (image * geometry.out[0] + of_image * 4) * geometry.out[1]

    def convolve_bands(start: int, stop: int) -> None:
        bands = range(start, stop)
        _convolve_bands(x, mask, U, y, geometry, bands, n_tile_band, n_thread_products)
        finish(first_pixel(start), first_pixel(stop))

    threads.run(convolve_bands, even_parts(n_band, n_job), n_thread_bands)
    return y


def _convolve_bands(
    x: np.ndarray,
    mask: Mask | None,
    U: np.ndarray,
    y: np.ndarray,
    geometry: Geometry,
    bands: range,
    n_tile: int,
    n_thread: int,
) -> None:
    n_band = len(bands)
    n_in, n_out = U.shape[1:]
    rows = _padded_rows(x, mask, geometry, bands, n_tile)
    V = _planes("other", n_band * n_tile, n_in, x.dtype)
    _transform_input(rows, V)
    M = _planes("one", n_band * n_tile, n_out, x.dtype)
    M = _products(V, U, M, n_thread)
    n_band_image = -(-geometry.out[0] // 4)
    whole = None
    if not any(size % 4 for size in geometry.out):
        whole = y.reshape(-1, 4, n_tile, 4, n_out)[bands.start : bands.stop]
    tiles = _transform_output(M, (n_band, 4, n_tile, 4, n_out), whole)
    if whole is not None:
        if tiles is not whole:
            whole[...] = tiles
        return
    for of_band, band in zip(tiles, bands):
        image, top = band // n_band_image, band % n_band_image * 4
        rows = y[image, top : top + 4]
        full = geometry.out[1] // 4
        inside = rows[:, : full * 4].reshape(len(rows), full, 4, n_out)
        inside[...] = of_band[: len(rows), :full]
        rest = rows[:, full * 4 :]
        if rest.size:
            rest[...] = of_band[: len(rows), full, : rest.shape[1]]


def _planes(name: str, n_tile: int, n_channel: int, dtype: Any) -> np.ndarray:
    """Return scratch memory ``(36, tile, channel)``.

    The planes do not begin at multiples of a power of two of each other: a cache has
    few places for those, and a tile is in all planes.
    """
    size = n_tile * n_channel
    padded = threads.scratch(name, (36, size + _BETWEEN_PLANES), dtype)
    return padded[:, :size].reshape(36, n_tile, n_channel)


def _transform_input(rows: np.ndarray, V: np.ndarray) -> None:
    """Write the tiles of rows, transformed, to ``V``."""
    n_band, _, n_pixel, n_in = rows.shape
    n_tile = (n_pixel - 2) // 4
    planes = V.reshape(6, 6, n_band, n_tile, n_in)
    if compiled.suits(rows, V):
        of_band, of_row, of_pixel, of_channel = rows.strides
        tiles = np.lib.stride_tricks.as_strided(
            rows,
            (n_band, n_tile, 6, 6, n_in),
            (of_band, 4 * of_pixel, of_row, of_pixel, of_channel),
        )
        _OF_INPUT.in_one_pass(tiles, planes.transpose(2, 3, 0, 1, 4))
        return
    d = threads.scratch("one", planes.shape, V.dtype)
    for i in range(6):
        for j in range(6):
            d[i, j] = rows[:, i, j : j + 4 * n_tile - 3 : 4]
    of_both_sides = _OF_INPUT.of_both_sides.astype(V.dtype)
    np.matmul(of_both_sides, d.reshape(36, -1), out=V.reshape(36, -1))


def _transform_output(
    M: np.ndarray, shape: tuple[int, ...], out: np.ndarray | None
) -> np.ndarray:
    """Return products, transformed.

    Args:
        M (numpy.ndarray): ``(36, tile, channel)``. It may be that in memory, or with
            the channels before the tiles.
        shape (tuple of int): Of the results, ``(band, row, tile, column, channel)``.
        out (numpy.ndarray or None): What is written to if that is as fast.
    """
    n_band, _, n_tile, _, n_out = shape
    is_by_tile = M.strides[2] == M.itemsize
    if is_by_tile and compiled.suits(M):
        if out is None:
            out = threads.scratch("other", shape, M.dtype)
        planes = M.reshape(6, 6, n_band, n_tile, n_out)
        _OF_OUTPUT.in_one_pass(
            planes.transpose(2, 3, 0, 1, 4), out.transpose(0, 2, 1, 3, 4)
        )
        return out
    in_memory = M if is_by_tile else M.transpose(0, 2, 1)
    n, n_inner = in_memory.shape[1:]
    Y = threads.scratch("other", (4, 4, n, n_inner), M.dtype)
    if compiled.suits(in_memory):
        planes = in_memory.reshape(1, 6, 6, n, n_inner)
        _OF_OUTPUT.in_one_pass(
            planes.transpose(0, 3, 1, 2, 4), Y[np.newaxis].transpose(0, 3, 1, 2, 4)
        )
    else:
        of_both_sides = _OF_OUTPUT.of_both_sides.astype(M.dtype)
        np.matmul(of_both_sides, in_memory.reshape(36, -1), out=Y.reshape(16, -1))
    if is_by_tile:
        return Y.reshape(4, 4, n_band, n_tile, n_out).transpose(2, 0, 3, 1, 4)
    return Y.reshape(4, 4, n_out, n_band, n_tile).transpose(3, 0, 4, 1, 2)


def _products(
    V: np.ndarray, U: np.ndarray, out: np.ndarray, n_thread: int
) -> np.ndarray:
    """Return ``V @ U``, in the memory of ``out``."""
    if U.flags.c_contiguous or V.shape[1] >= U.shape[2]:
        operands = V, U, out
    else:
        # A BLAS turns the smaller matrix over faster than the larger one.
        swapped = out.reshape(36, out.shape[2], out.shape[1])
        operands = U.transpose(0, 2, 1), V.transpose(0, 2, 1), swapped

    def multiply(some: slice) -> None:
        a, b, of_out = (array[some] for array in operands)
        np.matmul(a, b, out=of_out)

    parts = [(slice(*ends),) for ends in even_parts(36, n_thread)]
    threads.run(multiply, parts, n_thread)
    return out if operands[2] is out else operands[2].transpose(0, 2, 1)


def _padded_rows(
    x: np.ndarray,
    mask: Mask | None,
    geometry: Geometry,
    bands: range,
    n_tile: int,
) -> np.ndarray:
    """Return the rows that the tiles of bands are in: (band, row, column, channel)."""
    n_in = x.shape[3]
    height, width = geometry.size
    n_band_image = -(-geometry.out[0] // 4)
    rows = threads.scratch("rows", (len(bands), 6, 4 * n_tile + 2, n_in), x.dtype)
    left = -geometry.pad[1]
    first, last = max(left, 0), min(left + rows.shape[2], width)
    for of_band, band in zip(rows, bands):
        top = band % n_band_image * 4 - geometry.pad[0]
        up, down = max(top, 0), min(top + 6, height)
        if up < down and first < last:
            at = band // n_band_image, slice(up, down), slice(first, last)
            inside = slice(up - top, down - top), slice(first - left, last - left)
            clear_around(of_band, *inside)
            take(x, at, mask, of_band[inside])
        else:
            of_band[...] = 0
    return rows
