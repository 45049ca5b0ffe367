"""Two-dimensional convolution on the CPU: an algorithm for each shape."""

from __future__ import annotations

import functools
import weakref
from typing import Any

import numpy as np

from saliency.cpu import depthwise, elementwise, memory, products, tiles, winograd
from saliency.cpu.epilogue import NOTHING, Epilogue
from saliency.cpu.geometry import Geometry
from saliency.cpu.mask import Mask

# Winograd's transforms, those of the weights in particular, cost as much as they save
# where there are few channels or pixels. It does not depend on the number of images, so
# that the result does not.
_MIN_CHANNELS = 16
_MIN_PIXELS = 36
_MIN_PRODUCTS = 2e6


def convolve(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    geometry: Geometry,
    groups: int,
    then: Epilogue = NOTHING,
    U: np.ndarray | None = None,
) -> np.ndarray:
    """Convolve images.

    Args:
        x (numpy.ndarray): Images ``(n, in, height, width)``, in any layout.
        W (numpy.ndarray): Kernels ``(out, in / groups, kh, kw)``.
        b (numpy.ndarray or None): Bias of each output channel.
        geometry (Geometry): Where the windows lie.
        groups (int): Groups of channels that are convolved separately.
        then (Epilogue): What is done to the result, while it is in the cache.
        U (numpy.ndarray or None): What :func:`transformed` has returned, which then
            takes the place of the kernels.

    Returns:
        numpy.ndarray: ``(n, out, out height, out width)``, channels last in memory.
    """
    if groups == 1:
        return _convolve(x, W, b, geometry, then, U)
    if W.shape[1] == 1:
        return depthwise.convolve(x, W, b, geometry, then)
    parts = [
        tiles.convolve(of_x, of_W, of_b, geometry, of_then)
        for of_x, of_W, of_b, of_then in zip(
            np.split(x, groups, 1),
            np.split(W, groups),
            [None] * groups if b is None else np.split(b, groups),
            then.of_groups(groups),
        )
    ]
    return _channels_last(parts)


def transformed(W: np.ndarray, geometry: Geometry, groups: int) -> np.ndarray | None:
    """Return kernels as Winograd's algorithm takes them; None for other algorithms.

    Args:
        W (numpy.ndarray): Kernels ``(out, in / groups, kh, kw)``.
        geometry (Geometry): Where the windows lie.
        groups (int): Groups of channels that are convolved separately.

    Returns:
        numpy.ndarray or None: An array that is not changed when ``W`` is.
    """
    if groups == 1 and not geometry.is_pointwise and _suits_winograd(W, geometry):
        return _weights.transformed(W)
    return None


def to_input(
    gy: np.ndarray,
    W: np.ndarray,
    geometry: Geometry,
    groups: int,
    mask: Mask | None = None,
    added: np.ndarray | None = None,
) -> np.ndarray:
    """Apply the transposed map of :func:`convolve` to what is at its output.

    Args:
        gy (numpy.ndarray): ``(n, out, out height, out width)``, in any layout.
        W (numpy.ndarray): Kernels ``(out, in / groups, kh, kw)``.
        geometry (Geometry): Where the windows lie.
        groups (int): Groups of channels that are convolved separately.
        mask (Mask or None): What of ``gy`` is taken: the way back through a rectifier
            that followed the convolution.
        added (numpy.ndarray or None): What is added to the result, of its shape.

    Returns:
        numpy.ndarray: ``(n, in, height, width)``.
    """
    if groups == 1:
        return _to_input(gy, W, geometry, mask, added)
    if W.shape[1] == 1:
        gx = depthwise.to_input(gy, W, geometry, groups, mask)
    else:
        parts = [
            tiles.to_input(of_gy, of_W, geometry, of_mask)
            for of_gy, of_W, of_mask in zip(
                np.split(gy, groups, 1),
                np.split(W, groups),
                [None] * groups if mask is None else mask.of_groups(groups),
            )
        ]
        gx = _channels_last(parts)
    return gx if added is None else elementwise.arithmetic(np.add, gx, added, out=gx)


def takes_scaled_weights(
    gy: np.ndarray, W: np.ndarray, geometry: Geometry, groups: int
) -> bool:
    """Tell whether it takes less to scale the weights of :func:`to_input` than ``gy``.

    Those of Winograd's algorithm are transformed once for all calls, as they are.
    """
    is_transformed = groups == 1 and _suits_winograd(W, geometry.transposed)
    return W.size < gy.size and not is_transformed


def to_weights(
    x: np.ndarray, gy: np.ndarray, geometry: Geometry, groups: int
) -> np.ndarray:
    """Return the gradient of the kernels, ``(out, in / groups, kh, kw)``.

    Args:
        x (numpy.ndarray): Images ``(n, in, height, width)``, in any layout.
        gy (numpy.ndarray): ``(n, out, out height, out width)``, in any layout.
        geometry (Geometry): Where the windows lie.
        groups (int): Groups of channels that are convolved separately.
    """
    if groups == 1:
        if geometry.is_pointwise:
            seen = x[(..., *geometry.pixels)]
            return products.matmul(_pixels(gy).T, _pixels(seen))[:, :, None, None]
        return tiles.to_weights(x, gy, geometry)
    if groups == x.shape[1]:
        return depthwise.to_weights(x, gy, geometry)
    parts = [
        tiles.to_weights(of_x, of_gy, geometry)
        for of_x, of_gy in zip(np.split(x, groups, 1), np.split(gy, groups, 1))
    ]
    return np.concatenate(parts)


class _TransformedWeights:
    """Weights as Winograd's algorithm takes them, for as long as an array lives.

    An array that was changed in the meantime is noticed by a projection on random
    numbers, which reads it once.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Any, float, np.ndarray]] = {}

    def transformed(self, W: np.ndarray) -> np.ndarray:
        """Return kernels ``(out, in, 3, 3)`` transformed."""
        fingerprint = _projection(W)
        kept = self._kept.get(id(W))
        if kept is not None and kept[0]() is W and kept[1] == fingerprint:
            return kept[2]
        U = winograd.transform_weight(W)
        forget = functools.partial(self._forget, id(W))
        self._kept[id(W)] = weakref.ref(W, forget), fingerprint, U
        return U

    def _forget(self, key: int, _: Any) -> None:
        self._kept.pop(key, None)


_weights = _TransformedWeights()


def _projection(array: np.ndarray) -> float:
    """Return a number that a change of the array changes."""
    rows = array.reshape(len(array), -1)
    left, right = (_random_numbers(n, array.dtype) for n in rows.shape)
    return float(left @ products.matmul(rows, right[:, None])[:, 0])


@functools.lru_cache(maxsize=64)
def _random_numbers(n: int, dtype: np.dtype) -> np.ndarray:
    return np.random.default_rng(0).random(n).astype(dtype)


def _convolve(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    geometry: Geometry,
    then: Epilogue,
    U: np.ndarray | None,
) -> np.ndarray:
    if geometry.is_pointwise:
        seen = x[(..., *geometry.pixels)]
        last = then.channels_last()
        pixels = products.matmul(_pixels(seen), W[:, :, 0, 0].T, b, last)
        by_pixel = pixels.reshape(len(x), *geometry.out, len(W))
    elif _suits_winograd(W, geometry):
        U = _weights.transformed(W) if U is None else U
        by_pixel = winograd.convolve(
            x.transpose(0, 2, 3, 1), U, b, geometry, then.channels_last()
        )
    else:
        return tiles.convolve(x, W, b, geometry, then)
    return by_pixel.transpose(0, 3, 1, 2)


def _to_input(
    gy: np.ndarray,
    W: np.ndarray,
    geometry: Geometry,
    mask: Mask | None,
    added: np.ndarray | None,
) -> np.ndarray:
    # With stride 1 the way back is a convolution, too.
    then = NOTHING if added is None else Epilogue(added)
    if geometry.is_pointwise and geometry.out == geometry.size:
        last, of_pixels = then.channels_last(), mask and mask.by_pixel()
        pixels = products.matmul(_pixels(gy), W[:, :, 0, 0], None, last, of_pixels)
        by_pixel = pixels.reshape(len(gy), *geometry.out, W.shape[1])
        return by_pixel.transpose(0, 3, 1, 2)
    back = geometry.transposed
    if _suits_winograd(W, back):
        U = _weights.transformed(W)
        by_pixel = winograd.convolve(
            *(gy.transpose(0, 2, 3, 1), U, None, back, then.channels_last()),
            mask=mask and mask.channels_last(),
            is_back=True,
        )
        return by_pixel.transpose(0, 3, 1, 2)
    if geometry.is_pointwise:
        gx = _to_some_pixels(gy, W, geometry, mask)
    elif geometry.stride == (1, 1) and W.shape[1] >= _MIN_CHANNELS:
        return tiles.convolve(gy, _flip(W), None, back, then, mask)
    else:
        gx = tiles.to_input(gy, W, geometry, mask)
    return gx if added is None else elementwise.arithmetic(np.add, gx, added, out=gx)


def _to_some_pixels(
    gy: np.ndarray, W: np.ndarray, geometry: Geometry, mask: Mask | None
) -> np.ndarray:
    """Return what pixels get that are windows by themselves; 0 for the others."""
    pixels = products.matmul(_pixels(gy), W[:, :, 0, 0], mask=mask and mask.by_pixel())
    by_pixel = pixels.reshape(len(gy), *geometry.out, W.shape[1])
    return _with_zeros_between(by_pixel, geometry).transpose(0, 3, 1, 2)


def _with_zeros_between(by_pixel: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return images with zeros where no window is, each of which is one pixel."""
    shape = (len(by_pixel), *geometry.size, by_pixel.shape[3])
    images = memory.empty(shape, by_pixel.dtype)

    def write(some: slice) -> None:
        images[some] = 0
        images[(some, *geometry.pixels)] = by_pixel[some]

    elementwise.over_images(write, images)
    return images


def _flip(W: np.ndarray) -> np.ndarray:
    """Return the kernels of the way back, ``(in, out, kh, kw)``."""
    return W[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)


def _suits_winograd(W: np.ndarray, geometry: Geometry) -> bool:
    n_pixel = geometry.out[0] * geometry.out[1]
    return (
        geometry.kernel == (3, 3)
        and geometry.stride == (1, 1)
        and geometry.dilate == (1, 1)
        and min(W.shape[:2]) >= _MIN_CHANNELS
        and n_pixel >= _MIN_PIXELS
        and W.size * n_pixel >= _MIN_PRODUCTS
    )


def _pixels(x: np.ndarray) -> np.ndarray:
    """Return images ``(n, channel, height, width)`` as ``(pixel, channel)``."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def _channels_last(groups: list[np.ndarray]) -> np.ndarray:
    """Return the images of all groups as one array of channels-last memory."""
    by_pixel = [of_group.transpose(0, 2, 3, 1) for of_group in groups]
    return np.concatenate(by_pixel, axis=3).transpose(0, 3, 1, 2)
