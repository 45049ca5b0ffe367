"""A gradient on its way back: its array, and whether that may be written into."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.cpu import elementwise, is_fast
from saliency.cpu.mask import Mask


class Gradient:
    """The gradient at a variable.

    On a CPU it may still have to be multiplied by a mask and by a number for each
    channel. So one pass over the memory does both; and a convolution that knows how
    does neither by itself.

    Args:
        array (array): The gradient, but for its factors.
        is_owned (bool): Whether nobody but the walk holds the array or a view of it, so
            that it may be written into once the gradient is not needed any more.
        mask (Mask or None): Where it is let through.
        scale (numpy.ndarray or None): What it is multiplied by, for each place on axis
            1; in its dtype.

    Attributes:
        raw (array): The gradient, but for its factors.
    """

    __slots__ = ("is_owned", "mask", "raw", "scale")

    def __init__(
        self,
        array: Array,
        is_owned: bool,
        mask: Mask | None = None,
        scale: np.ndarray | None = None,
    ) -> None:
        self.raw = array
        self.is_owned = is_owned
        self.mask = mask
        self.scale = scale

    @property
    def array(self) -> Array:
        """The gradient, its factors multiplied in."""
        if self.mask is not None or self.scale is not None:
            out = self.raw if self.is_owned else None
            self.raw = _multiplied(self.raw, self.mask, self.scale, out)
            self.mask = self.scale = None
            self.is_owned = True
        return self.raw

    def masked(self, mask: Mask) -> Gradient:
        """Return this gradient where it is let through."""
        if self.mask is not None or self.scale is not None:
            return Gradient(self.array, self.is_owned, mask)
        return Gradient(self.raw, self.is_owned, mask)

    def scaled(self, scale: np.ndarray) -> Gradient:
        """Return this gradient times a number for each place on axis 1."""
        if self.scale is not None:
            return Gradient(self.array, self.is_owned, None, scale)
        return Gradient(self.raw, self.is_owned, self.mask, scale)


def _multiplied(
    gy: np.ndarray,
    mask: Mask | None,
    scale: np.ndarray | None,
    out: np.ndarray | None,
) -> np.ndarray:
    """Return a gradient times its factors, in ``out`` if it is given."""
    if elementwise.is_large(gy) and is_fast(gy):
        if scale is not None:
            return elementwise.scaled(gy, scale, mask, out)
        assert mask is not None  # there is something to multiply by
        return elementwise.masked(gy, mask, out)
    if mask is not None:
        out = np.empty_like(gy) if out is None else out
        mask.multiply(gy, ..., out)
        gy = out
    if scale is not None:
        shape = (-1,) + (1,) * (gy.ndim - 2)
        gy = np.multiply(gy, scale.reshape(shape), out=out)
    return gy
