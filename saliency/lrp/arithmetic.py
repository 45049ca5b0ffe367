"""Arithmetic of rules, element by element.

Each step of it is a pass over memory, which takes as long as a convolution with few
channels. Within the fast block, large arrays on a CPU take all steps part by part, on
all cores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.cpu import elementwise, is_fast

import chainer

# A denominator below this is zero: dividing by it might overflow in float32.
_TINY = 1e-30


def positive(a: Array) -> Array:
    """Return the positive part."""
    return elementwise.relu(a) if _pays(a) else a.clip(min=0)


def negative(a: Array) -> Array:
    """Return the negative part."""
    return elementwise.negative_part(a) if _pays(a) else a.clip(max=0)


def add(x: Array, y: Array) -> Array:
    """Return ``x + y``, which broadcast."""
    if x.size < y.size:
        x, y = y, x
    if _pays(x, y):
        if x.shape == y.shape:
            return elementwise.add(x, y)
        if x.ndim > 1 and y.shape == (1, x.shape[1], *(1,) * (x.ndim - 2)):
            return elementwise.shift_channels(x, y.ravel())
    return x + y


def divide(relevance: Array, z: Array, epsilon: float) -> Array:
    """Return R / z, with 0 for R / 0 where there is no epsilon."""
    xp = chainer.backend.get_array_module(z)
    stabiliser = z.dtype.type(epsilon)
    if relevance.shape == z.shape and _pays(relevance, z):
        if stabiliser > _TINY:
            return elementwise.stabilised_quotient(relevance, z, stabiliser)
        if not stabiliser:
            return elementwise.quotient_or_zero(relevance, z, _TINY)
    if stabiliser:
        # Several times as fast as to choose between two sums.
        signed = (z < 0) * (-2 * stabiliser)
        signed += stabiliser
        z = z + signed
    if stabiliser > _TINY:
        quotient = relevance / z
    else:
        is_zero = abs(z) <= _TINY
        quotient = relevance / (z + is_zero) * ~is_zero
    # Arithmetic makes a number of an array without axes.
    return xp.asarray(quotient)


class Total:
    """A sum of arrays that begins at zero; it is not written down as long as it is.

    Args:
        like (array): Has the shape and the dtype of the sum.
    """

    def __init__(self, like: Array) -> None:
        self._like = like
        self._sum: Array | None = None

    def add_product(self, x: Any, y: Array, sign: int = 1) -> None:
        """Add a product that has the sum's shape, or subtract it."""
        shapes = (getattr(x, "shape", ()), y.shape)
        if shapes == (self._like.shape,) * 2 and _pays(self._like, x, y):
            self._sum = elementwise.add_product(x, y, sign, self._sum)
            return
        product = x * y
        if self._sum is None and product.dtype == self._like.dtype:
            xp = chainer.backend.get_array_module(self._like)
            self._sum = xp.asarray(product if sign > 0 else -product)
            self._sum += 0  # what is -0 becomes 0, as it does in any other sum
        elif sign > 0:
            self._sum = self.get()
            self._sum += product
        else:
            self._sum = self.get()
            self._sum -= product

    def get(self) -> Array:
        """Return the sum so far."""
        if self._sum is None:
            xp = chainer.backend.get_array_module(self._like)
            self._sum = xp.zeros_like(self._like)
        return self._sum


def _pays(*arrays: Any) -> bool:
    """Tell whether the fast code takes arrays, and the first one is large."""
    first = arrays[0]
    return (
        isinstance(first, np.ndarray)
        and elementwise.is_large(first)
        and is_fast(*arrays)
    )
