"""What takes the place of a group that is absent: a baseline, or a background."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.paths.reference import ReferenceForData


class Absence(Protocol):
    """What takes the place of a group that is absent.

    It is a :class:`Baseline`, or a
    :class:`~saliency.calculator.paths.background.Background`.

    Attributes:
        n_row (int): How many rows of a background there are; 0 if there is none.
    """

    n_row: int

    def at(
        self, origin: Array, this: ForwardPass, call: int, which: np.ndarray
    ) -> Array:
        """Return what takes a target's place, broadcastable to it, in its dtype.

        Args:
            origin (array): The target, ``(n_row,) + shape``.
            this (ForwardPass): The pass.
            call (int): Which of the explained calls of the target's link it is.
            which (numpy.ndarray): Which row of the background, for each of the pass.
        """


class Baseline:
    """One value for each example: a number, the mean of the data, a blurred image.

    Args:
        reference (ReferenceForData): What it is.
    """

    n_row = 0

    def __init__(self, reference: ReferenceForData) -> None:
        self._reference = reference

    def at(
        self, origin: Array, this: ForwardPass, call: int, which: np.ndarray
    ) -> Array:
        """Return the value, which is the same at each step."""
        return self._reference.at(origin, this, call)
