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
from typing import Any

import numpy as np

from saliency.cpu.geometry import Geometry
from saliency.cpu.threads import threads

# Where the polynomials of the algorithm are evaluated, besides infinity. Measured in
# float32, these round to half the error of the usual 0, 1, -1, 2, -2.
_POINTS = [Fraction(p) for p in ("0", "3/4", "-3/4", "3/2", "-3/2")]


def _transforms(points: list[Fraction]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Return :math:`B^T`, :math:`G` and :math:`A^T` of F(4, 3) by Toom and Cook.

    The matrices of Blahut (2010), "Fast algorithms for signal processing", ch. 5:
    values at the points, interpolation from them, and the same for infinity.
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
        B_T.append([*basis, Fraction(0)])
        scale = math.prod(point - other for other in others)
        G.append([point**i / scale for i in range(3)])
        A.append([point**i for i in range(4)])
    B_T.append(list(vanishing))
    G.append([0, 0, 1])
    A.append([0, 0, 0, 1])
    return np.array(B_T, "d"), np.array(G, "d"), np.array(A, "d").T


_OF_INPUT, _OF_WEIGHT, _OF_OUTPUT = (np.kron(m, m) for m in _transforms(_POINTS))

# What a thread works on at a time, in bytes: it is to stay in its cache, and to be
# enough columns for the matrix products to be efficient.
_WORKING_SET = 1 << 23
_MIN_TILES, _MAX_TILES = 96, 512
# Kernels that are transformed at a time.
_KERNELS = 1 << 12


def transform_weight(W: np.ndarray) -> np.ndarray:
    """Return the weights as :func:`convolve` takes them.

    Args:
        W (numpy.ndarray): ``(out, in, 3, 3)``.

    Returns:
        numpy.ndarray: ``(36, in, out)``, of the dtype of ``W``.
    """
    by_kernel = W.reshape(-1, 9)
    U = np.empty((36, len(by_kernel)), W.dtype)
    of_weight = _OF_WEIGHT.astype(W.dtype)

    def transform(start: int, stop: int) -> None:
        np.matmul(of_weight, by_kernel[start:stop].T.copy(), out=U[:, start:stop])

    n_thread = threads.for_work(36 * 2 * by_kernel.size)
    edges = range(0, len(by_kernel) + _KERNELS, _KERNELS)
    threads.run(transform, list(zip(edges, edges[1:])), n_thread)
    return U.reshape(36, *W.shape[:2]).transpose(0, 2, 1)


def convolve(
    x: np.ndarray, U: np.ndarray, b: np.ndarray | None, geometry: Geometry
) -> np.ndarray:
    """Convolve images with 3 x 3 kernels, stride 1 and dilation 1.

    Args:
        x (numpy.ndarray): Images ``(n, height, width, in)``.
        U (numpy.ndarray): What :func:`transform_weight` returned.
        b (numpy.ndarray or None): Bias of each output channel.
        geometry (Geometry): Where the windows lie.

    Returns:
        numpy.ndarray: ``(n, out height, out width, out)``.
    """
    n_out = U.shape[2]
    y = np.empty((len(x), *geometry.out, n_out), x.dtype)
    # A band is a row of tiles over the whole width of one image.
    n_band_image, n_tile_band = (-(-size // 4) for size in geometry.out)
    n_band = len(x) * n_band_image
    bytes_tile = 36 * max(U.shape[1:]) * x.itemsize
    n_tile = min(max(_WORKING_SET // bytes_tile, _MIN_TILES), _MAX_TILES)
    n_job = -(-n_band // max(1, n_tile // n_tile_band))
    n_thread = threads.for_work(72 * n_band * n_tile_band * U[0].size)
    n_job = -(-n_job // n_thread) * n_thread
    edges = np.linspace(0, n_band, min(n_job, n_band) + 1).astype(int)

    def convolve_bands(start: int, stop: int) -> None:
        _convolve_bands(x, U, b, y, geometry, range(start, stop), n_tile_band)

    threads.run(convolve_bands, list(zip(edges[:-1], edges[1:])), n_thread)
    return y


def _convolve_bands(
    x: np.ndarray,
    U: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    geometry: Geometry,
    bands: range,
    n_tile: int,
) -> None:
    n_band = len(bands)
    n_in, n_out = U.shape[1:]
    d = threads.scratch("d", (6, 6, n_band, n_tile, n_in), x.dtype)
    _take_tiles(d, x, geometry, bands)
    V = threads.scratch("V", (36, n_band * n_tile, n_in), x.dtype)
    np.matmul(_OF_INPUT.astype(x.dtype), d.reshape(36, -1), out=V.reshape(36, -1))
    M = threads.scratch("M", (36, n_band * n_tile, n_out), x.dtype)
    np.matmul(V, U, out=M)
    Y = threads.scratch("Y", (4, 4, n_band, n_tile, n_out), x.dtype)
    np.matmul(_OF_OUTPUT.astype(x.dtype), M.reshape(36, -1), out=Y.reshape(16, -1))
    if b is not None:
        Y += b
    n_band_image = -(-geometry.out[0] // 4)
    tiles = Y.transpose(2, 0, 3, 1, 4)  # (band, row, tile, column, channel)
    for of_band, band in zip(tiles, bands):
        image, top = band // n_band_image, band % n_band_image * 4
        rows = y[image, top : top + 4]
        full = geometry.out[1] // 4
        inside = rows[:, : full * 4].reshape(len(rows), full, 4, n_out)
        inside[...] = of_band[: len(rows), :full]
        rest = rows[:, full * 4 :]
        if rest.size:
            rest[...] = of_band[: len(rows), full, : rest.shape[1]]


def _take_tiles(d: np.ndarray, x: np.ndarray, geometry: Geometry, bands: range) -> None:
    """Copy the tiles of bands to ``d``: (row, column, band, tile, channel)."""
    n_tile, n_in = d.shape[3:]
    height, width = geometry.size
    n_band_image = -(-geometry.out[0] // 4)
    rows = threads.scratch("rows", (len(bands), 6, 4 * n_tile + 2, n_in), x.dtype)
    rows[...] = 0
    left = -geometry.pad[1]
    first, last = max(left, 0), min(left + rows.shape[2], width)
    for of_band, band in zip(rows, bands):
        top = band % n_band_image * 4 - geometry.pad[0]
        up, down = max(top, 0), min(top + 6, height)
        if up < down and first < last:
            of_band[up - top : down - top, first - left : last - left] = x[
                band // n_band_image, up:down, first:last
            ]
    for i in range(6):
        for j in range(6):
            d[i, j] = rows[:, i, j : j + 4 * n_tile - 3 : 4]
