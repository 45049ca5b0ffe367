"""Where a rectifier lets a gradient through.

The gradient is masked on its way into the next product, so that it takes no pass over
memory of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from saliency.cpu import compiled
from saliency.cpu.compiled.functions import Work
from saliency.cpu.memory import channels_last
from saliency.cpu.threads import threads

# Bytes that are worked on at a time.
_PART = 1 << 18


@dataclass(frozen=True)
class Mask:
    """Lets a gradient through where ``floor < y < ceiling``.

    Elsewhere the gradient is multiplied by 0, as by Chainer's ``relu`` and
    ``clipped_relu``: NaN stays NaN.

    Attributes:
        y: Output or input of the rectifier, of the gradient's shape, in any layout.
        floor: The rectifier's smallest value.
        ceiling: The rectifier's largest value, if it has one.
    """

    y: np.ndarray
    floor: float = 0.0
    ceiling: float | None = None

    def channels_last(self) -> Mask:
        """Return it with the channels, which are on axis 1, on the last axis."""
        return replace(self, y=channels_last(self.y))

    def by_pixel(self) -> Mask:
        """Return it for a gradient ``(pixel, channel)``."""
        y = channels_last(self.y)
        return replace(self, y=y.reshape(-1, y.shape[-1]))

    def of_groups(self, groups: int) -> list[Mask]:
        """Return the masks of groups of channels, which are on axis 1."""
        return [replace(self, y=part) for part in np.split(self.y, groups, 1)]

    def work(self, gy: np.ndarray, out: np.ndarray) -> Work | None:
        """Return what writes what is left of a gradient, which may be ``out``.

        None where nothing is compiled for it.
        """
        return compiled.multiply_by_mask(gy, self.y, self.floor, self.ceiling, out)

    def multiply(self, gy: np.ndarray, at: Any, out: np.ndarray) -> None:
        """Write what is left of a part of a gradient.

        Args:
            gy (numpy.ndarray): The part.
            at: Where it is in the whole, as an index.
            out (numpy.ndarray): Where to write it; it may be ``gy``.
        """
        y = self.y[at]
        work = compiled.multiply_by_mask(gy, y, self.floor, self.ceiling, out)
        if work is not None:
            work.run()
            return
        if gy.nbytes <= _PART:
            np.multiply(gy, self._passes(y), out=out)
            return
        # So small parts that what passes is still in the cache when it is multiplied.
        n_row = max(1, len(gy) * _PART // gy.nbytes)
        for start in range(0, len(gy), n_row):
            rows = slice(start, start + n_row)
            np.multiply(gy[rows], self._passes(y[rows]), out=out[rows])

    def _passes(self, y: np.ndarray) -> np.ndarray:
        passes = y > self.floor
        if self.ceiling is not None:
            passes = passes & (y < self.ceiling)
        return passes


def take(x: np.ndarray, at: Any, mask: Mask | None, out: np.ndarray) -> None:
    """Copy a part of an array, masked if there is a mask.

    Args:
        x (numpy.ndarray): The whole array.
        at: Which part, as an index.
        mask (Mask or None): For the whole array.
        out (numpy.ndarray): Where to write it.
    """
    if mask is None:
        out[...] = x[at]
    else:
        mask.multiply(x[at], at, out)


def masked(x: np.ndarray, at: Any, mask: Mask | None) -> np.ndarray:
    """Return a part of an array, masked if there is a mask: for reading, and for now.

    Args:
        x (numpy.ndarray): The whole array.
        at: Which part, as an index.
        mask (Mask or None): For the whole array.
    """
    part: np.ndarray = x[at]
    if mask is None:
        return part
    out = threads.scratch("masked", part.shape, x.dtype)
    mask.multiply(part, at, out)
    return out
