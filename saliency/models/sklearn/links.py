"""What a chain does with columns before its first layer, and its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.models.sklearn.tracing import Affine, Clip, Stage

import chainer
import chainer.functions as F
import chainer.links as L


class Selection(chainer.Link):
    """Picks columns, where the network takes one twice.

    Attributes:
        index (numpy.ndarray): Which columns, ``(n_column,)``.
    """

    index: np.ndarray

    def __init__(self, index: Sequence[int]) -> None:
        super().__init__()
        self.add_persistent("index", np.array(index, np.int64))

    def forward(self, x: Any) -> chainer.Variable:
        """Return columns of ``(N, n_feature)``."""
        return F.get_item(x, (slice(None), self.index))


class Scaling(chainer.Link):
    """Scales each column: ``(x - offset) * factor + shift``.

    It is computed in the order in which scikit-learn does, for the same rounding.

    Attributes:
        offset, factor, shift (numpy.ndarray): A number a column, ``(n_column,)``.
    """

    offset: np.ndarray
    factor: np.ndarray
    shift: np.ndarray
    # What changes nothing is left out of the graph.
    _has_offset: bool
    _has_factor: bool
    _has_shift: bool

    def __init__(self, scalings: Sequence[Affine], dtype: np.dtype) -> None:
        super().__init__()
        arrays = np.array(scalings, dtype).T
        for name, array, neutral in zip(Affine._fields, arrays, Affine()):
            self.add_persistent(name, np.ascontiguousarray(array))
            setattr(self, f"_has_{name}", bool((array != neutral).any()))

    def forward(self, x: Any) -> chainer.Variable:
        """Scale the columns of ``(N, n_column)``."""
        scaled = chainer.as_variable(x)
        if self._has_offset:
            scaled = scaled - self._rows(self.offset, x)
        if self._has_factor:
            scaled = scaled * self._rows(self.factor, x)
        if self._has_shift:
            scaled = scaled + self._rows(self.shift, x)
        return scaled

    def _rows(self, numbers: np.ndarray, x: Any) -> Any:
        return self.xp.broadcast_to(numbers, x.shape)


class Clipping(chainer.Link):
    """Clips each column to limits of its own.

    Attributes:
        low, high (numpy.ndarray): A limit for each column, ``(n_column,)``.
    """

    low: np.ndarray
    high: np.ndarray

    def __init__(self, limits: Sequence[Clip], dtype: np.dtype) -> None:
        super().__init__()
        # A model must be finite: no limit is one that no number of the dtype exceeds.
        largest = np.finfo(dtype).max
        low, high = np.clip(np.array(limits, dtype), -largest, largest).T
        self.add_persistent("low", np.ascontiguousarray(low))
        self.add_persistent("high", np.ascontiguousarray(high))

    def forward(self, x: Any) -> chainer.Variable:
        """Clip the columns of ``(N, n_column)``."""
        low = self.xp.broadcast_to(self.low, x.shape)
        high = self.xp.broadcast_to(self.high, x.shape)
        return F.minimum(F.maximum(x, low), high)


def linear(matrix: np.ndarray, bias: np.ndarray) -> L.Linear:
    """Return a layer with weights ``(n_in, n_out)`` and biases ``(n_out,)``."""
    # Else arrays would be cast to the dtype that Chainer is set to.
    with chainer.using_config("dtype", matrix.dtype):
        return L.Linear(*matrix.shape, initialW=matrix.T, initial_bias=bias)


def links_of_stages(
    stages_of_columns: Sequence[Sequence[Stage]], dtype: np.dtype
) -> list[tuple[str, chainer.Link]]:
    """Return links that do with each column what its stages say, with their names.

    A column whose turn to be clipped has come waits for those that are still scaled.
    """
    waiting = [list(stages) for stages in stages_of_columns]
    found: list[tuple[str, chainer.Link]] = []
    n_scaling = n_clipping = 0
    while any(waiting):
        scalings = _next(waiting, Affine)
        if scalings is not None:
            n_scaling += 1
            found.append((f"scaling{n_scaling}", Scaling(scalings, dtype)))
            continue
        limits = _next(waiting, Clip)
        assert limits is not None  # there are no other stages
        n_clipping += 1
        found.append((f"clipping{n_clipping}", Clipping(limits, dtype)))
    return found


def _next(waiting: list[list[Stage]], kind: type) -> list[Any] | None:
    """Take the next stage of all columns that wait for this kind; None if none does."""
    is_next = [bool(stages) and isinstance(stages[0], kind) for stages in waiting]
    if not any(is_next):
        return None
    return [w.pop(0) if taken else kind() for w, taken in zip(waiting, is_next)]
