"""How the targets of a pass's rows lie in the variable that was caught."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from saliency.array_types import Array

import chainer


class TargetLayout(ABC):
    """Turns what the model has as its target into one row for each row of the pass.

    Methods see ``(n_row,) + shape``, whatever the model makes of its batch. Layouts
    have no state, and are compared by identity: there is one of each kind.

    Attributes:
        name (str): What the one is called in this module, for pickles.
        pads (bool): Whether rows are of different lengths, and padded to the longest.
    """

    name: ClassVar[str]
    pads: ClassVar[bool] = False

    @abstractmethod
    def fits(
        self, shape: tuple[int, ...], n_row: int, lengths: np.ndarray | None
    ) -> bool:
        """Tell whether a target of a pass can be of this layout.

        Args:
            shape (tuple of int): The target's.
            n_row (int): Rows of the pass.
            lengths (numpy.ndarray or None): Length of each row's target.
        """

    @abstractmethod
    def to_rows(
        self, array: Array, lengths: np.ndarray | None, longest: int | None
    ) -> Array:
        """Return ``(n_row,) + shape`` for what has the target's shape.

        Args:
            array (array): Of the target's shape.
            lengths (numpy.ndarray or None): Length of each row's target.
            longest (int or None): What it is padded to.
        """

    @abstractmethod
    def to_target(self, rows: Array, lengths: np.ndarray | None) -> Array:
        """Return what has the target's shape for ``(n_row,) + shape``."""

    def __reduce__(self) -> str:
        return self.name


class _BatchFirst(TargetLayout):
    """Axis 0 of the target is the batch axis."""

    name = "BATCH_FIRST"

    def fits(
        self, shape: tuple[int, ...], n_row: int, lengths: np.ndarray | None
    ) -> bool:
        return len(shape) > 0 and shape[0] == n_row

    def to_rows(
        self, array: Array, lengths: np.ndarray | None, longest: int | None
    ) -> Array:
        return array

    def to_target(self, rows: Array, lengths: np.ndarray | None) -> Array:
        return rows


class _OneExample(TargetLayout):
    """The target is that of one example, of any shape and without a batch axis."""

    name = "ONE_EXAMPLE"

    def fits(
        self, shape: tuple[int, ...], n_row: int, lengths: np.ndarray | None
    ) -> bool:
        return n_row == 1

    def to_rows(
        self, array: Array, lengths: np.ndarray | None, longest: int | None
    ) -> Array:
        return array[None]

    def to_target(self, rows: Array, lengths: np.ndarray | None) -> Array:
        return rows[0]


class _Packed(TargetLayout):
    """The targets of all rows are concatenated: tokens of texts, nodes of graphs."""

    name = "PACKED"
    pads = True

    def fits(
        self, shape: tuple[int, ...], n_row: int, lengths: np.ndarray | None
    ) -> bool:
        assert lengths is not None  # they are known where targets are packed
        return len(shape) > 0 and shape[0] == lengths.sum()

    def to_rows(
        self, array: Array, lengths: np.ndarray | None, longest: int | None
    ) -> Array:
        assert lengths is not None  # they are known where targets are packed
        xp = chainer.backend.get_array_module(array)
        rows = xp.zeros((len(lengths), longest, *array.shape[1:]), array.dtype)
        start = 0
        for row, length in zip(rows, lengths.tolist()):
            row[:length] = array[start : start + length]
            start += length
        return rows

    def to_target(self, rows: Array, lengths: np.ndarray | None) -> Array:
        assert lengths is not None  # they are known where targets are packed
        xp = chainer.backend.get_array_module(rows)
        return xp.concatenate([row[:n] for row, n in zip(rows, lengths.tolist())])


BATCH_FIRST = _BatchFirst()
ONE_EXAMPLE = _OneExample()
PACKED = _Packed()
