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

    def work(part: Array, out: Array) -> None:
        np.minimum(part, 0, out=out)

    return elementwise.in_parts(work, a) if _pays(a) else a.clip(max=0)


def add(x: Array, y: Array) -> Array:
    """Return ``x + y``, which broadcast."""
    if x.size < y.size:
        x, y = y, x
    if _pays(x, y):
        if x.shape == y.shape:
            return elementwise.arithmetic(np.add, x, y)
        if x.ndim > 1 and y.shape == (1, x.shape[1], *(1,) * (x.ndim - 2)):
            return elementwise.shift_channels(x, y.ravel())
    return x + y


def divide(relevance: Array, z: Array, epsilon: float) -> Array:
    """Return R / z, with 0 for R / 0 where there is no epsilon."""
    xp = chainer.backend.get_array_module(z)
    stabiliser = z.dtype.type(epsilon)

    def quotient(r: Array, z: Array, out: Array | None = None) -> Array:
        if stabiliser:
            # Several times as fast as to choose between two sums.
            signed = xp.multiply(z < 0, -2 * stabiliser, out=out)
            signed += stabiliser
            z = xp.add(z, signed, out=out)
        if stabiliser > _TINY:
            return xp.divide(r, z, out=out)
        is_zero = abs(z) <= _TINY
        z = xp.add(z, is_zero, out=out)
        return xp.multiply(xp.divide(r, z, out=out), ~is_zero, out=out)

    if relevance.shape == z.shape and _pays(relevance, z):
        return elementwise.in_parts(quotient, relevance, z, is_one_pass=False)
    # Arithmetic makes a number of an array without axes.
    return xp.asarray(quotient(relevance, z))


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
        like, total = self._like, self._sum
        xp = chainer.backend.get_array_module(like)

        def begin(y: Array, x: Any, out: Array | None = None) -> Array:
            product = xp.multiply(x, y, out=out)
            if sign < 0:
                product = xp.negative(product, out=out)
            product += 0  # what is -0 becomes 0, as it does in any other sum
            return product

        def go_on(y: Array, x: Any, total: Array) -> None:
            (xp.add if sign > 0 else xp.subtract)(total, x * y, out=total)

        shapes = (getattr(x, "shape", ()), y.shape)
        if shapes == (like.shape,) * 2 and _pays(like, x, y):
            work = begin if total is None else go_on
            self._sum = elementwise.in_parts(work, y, x, out=total, is_one_pass=False)
        elif total is None:
            # Arithmetic makes a number of an array without axes.
            self._sum = xp.asarray(begin(y, x)).astype(like.dtype, copy=False)
        else:
            go_on(y, x, total)

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
