"""What is done to the result of a product or a convolution before it leaves the cache.

A bias, a residual and a rectifier are passes over memory of their own otherwise, each
of which takes as long as a product with few channels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from saliency.cpu import compiled
from saliency.cpu.memory import channels_last

# Bytes that are worked on at a time: they stay in the cache from one step to the next.
_PART = 1 << 18
# Elements of an innermost loop that are enough for it to pay, and that are too few.
_BLOCK, _SHORT = 512, 32


@dataclass(frozen=True)
class Epilogue:
    """``min(max(y + added, floor), ceiling)`` for a result ``y``: steps that are given.

    An offset, a scale and a shift come before all of them, behind a bias. Normalization
    subtracts a mean before it scales: where the mean is large beside the deviation,
    one sum for both loses most digits.

    NaN goes through, as it does through Chainer's ``relu`` (``floor=0``) and
    ``clipped_relu`` (``floor=0, ceiling=z``).

    Attributes:
        added: An array of the shape and dtype of the result, in any layout.
        floor: The smallest value.
        ceiling: The largest value.
        scale: What the result, with its bias, is multiplied by, ``(channel,)``.
        shift: What is added then, ``(channel,)``.
        offset: What is added before that, ``(channel,)``.
    """

    added: np.ndarray | None = None
    floor: float | None = None
    ceiling: float | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    offset: np.ndarray | None = None

    def steps(self, bias: np.ndarray | None) -> compiled.Steps:
        """Return what is done to each number, with a bias before it."""
        return compiled.Steps(
            bias, self.offset, self.scale, self.shift, self.floor, self.ceiling
        )

    def limits(self, dtype: np.dtype) -> tuple[np.generic | None, np.generic | None]:
        """Return floor and ceiling as numbers of a dtype."""
        floor, ceiling = (
            None if number is None else dtype.type(number)
            for number in (self.floor, self.ceiling)
        )
        return floor, ceiling

    def channels_last(self) -> Epilogue:
        """Return it with the channels, which are on axis 1, on the last axis."""
        if self.added is None:
            return self
        return replace(self, added=channels_last(self.added))

    def of_groups(self, groups: int) -> list[Epilogue]:
        """Return the epilogues of groups of channels, which are on axis 1."""

        def parts(array: np.ndarray | None, axis: int = 0) -> list[Any]:
            return [None] * groups if array is None else np.split(array, groups, axis)

        return [
            replace(self, added=added, scale=scale, shift=shift, offset=offset)
            for added, scale, shift, offset in zip(
                parts(self.added, 1),
                *map(parts, (self.scale, self.shift, self.offset)),
            )
        ]


#: Nothing is done.
NOTHING = Epilogue()


class Finish:
    """A bias and an epilogue, for the pixels of a result.

    Args:
        y (numpy.ndarray): The result, ``(..., channel)``, whose pixels lie evenly in
            memory.
        b (numpy.ndarray or None): Bias of each channel.
        then (Epilogue): What comes after it; its array is ``(..., channel)`` as well.

    Attributes:
        is_needed (bool): Whether anything is done.
        adds (bool): Whether an array is added.
        steps (compiled.Steps): All else that is done.
    """

    def __init__(self, y: np.ndarray, b: np.ndarray | None, then: Epilogue) -> None:
        n_channel = y.shape[-1]
        self._y = y.reshape(-1, n_channel)
        self._added = None
        if then.added is not None:
            self._added = then.added.reshape(-1, n_channel)
        self._limits = then.limits(y.dtype)
        self.steps = then.steps(b)
        # So few channels make short loops: several pixels are worked on at once.
        n = self._n_repeated = _BLOCK // n_channel if n_channel <= _SHORT else 1
        operations = (
            *((np.add, b), (np.add, then.offset)),
            *((np.multiply, then.scale), (np.add, then.shift)),
        )
        self._by_channel = [
            (operation, vector, vector if n == 1 else np.tile(vector, n))
            for operation, vector in operations
            if vector is not None
        ]
        has_limits = self._limits != (None, None)
        self._n_step = len(self._by_channel) + (self._added is not None) + has_limits
        self.is_needed = self._n_step > 0
        self.adds = self._added is not None

    def __call__(self, start: int, stop: int, columns: slice = slice(None)) -> None:
        """Finish the pixels from ``start`` to ``stop``, or some of their channels."""
        if not self.is_needed:
            return
        part = self._y[start:stop, columns]
        added = None if self._added is None else self._added[start:stop, columns]
        arrays = (part,) if added is None else (part, added)
        if self._n_step > 1 and compiled.can_finish(*arrays):
            self._compiled(part, added, part, columns.start or 0)
        else:
            self._finish_in_numpy(part, added, columns)

    @functools.cached_property
    def _compiled(self) -> compiled.Finish:
        return compiled.Finish(self.steps, self._y.shape[1], self._y.dtype)

    def _finish_in_numpy(
        self, y: np.ndarray, added: np.ndarray | None, columns: slice
    ) -> None:
        n_row = len(y)
        if self._n_step > 1:
            n_row = max(1, _PART // (y.shape[1] * y.itemsize))
        for first in range(0, len(y), n_row):
            rows = slice(first, first + n_row)
            part = y[rows]
            for operation, vector, repeated in self._by_channel:
                self._apply(operation, part, vector, repeated, columns)
            if added is not None:
                part += added[rows]
            limit(part, *self._limits)

    def _apply(
        self,
        operation: np.ufunc,
        part: np.ndarray,
        vector: np.ndarray,
        repeated: np.ndarray,
        columns: slice,
    ) -> None:
        """Multiply pixels by a number of each channel, or add it."""
        n = self._n_repeated
        is_whole = part.shape[1] == len(vector) and part.flags.c_contiguous
        if n == 1 or not is_whole:
            operation(part, vector[columns], out=part)
            return
        whole = len(part) - len(part) % n
        if whole:
            several = part[:whole].reshape(-1, n * part.shape[1])
            operation(several, repeated, out=several)
        if whole < len(part):
            operation(part[whole:], vector, out=part[whole:])


def limit(
    part: np.ndarray, floor: np.generic | None, ceiling: np.generic | None
) -> None:
    """Let no value of an array be less than one number, nor more than another."""
    # In the order of Chainer's functions, which decides on the sign of a zero.
    if ceiling is None:
        if floor is not None:
            np.maximum(part, floor, out=part)
    elif floor is None:
        np.minimum(part, ceiling, out=part)
    else:
        np.clip(part, floor, ceiling, out=part)
