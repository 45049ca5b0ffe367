"""What one call of a method holds that looks at scores without a part of a target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.calculator.masks.rounding import RoundingCheck

#: Parts of a sample, whose spread tells its standard error, are in memory together: as
#: many as these bytes hold, and none where these are too few to tell it.
_BYTES_OF_PARTS = 512 << 20
_PARTS_AT_LEAST = 8


class MaskRun(Run, ABC):
    """The masks of the batch at hand, and how maps follow from the scores.

    At step 0 nothing is absent. It holds the scores of all steps until a sample is
    complete, and makes the maps then (:meth:`put_together`): there may be far more
    elements of all maps than scores.

    Attributes:
        rounding (RoundingCheck): What is shown the scores by those whose maps are
            differences of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rounding = RoundingCheck()

    @abstractmethod
    def lay_out(self, batch: UserBatch, passes: CleanPasses) -> int:
        """Lay out the masks of a batch.

        Args:
            batch (UserBatch): The examples.
            passes (CleanPasses): Passes over the data as it is.

        Returns:
            int: How many steps each sample has, with step 0.

        Raises:
            ValueError: If the masks do not fit a target.
        """

    @abstractmethod
    def masked(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target with a part of each row absent.

        Args:
            origin (array): ``(n_row,) + shape``; not to be changed.
            this (ForwardPass): The pass.
            call (int): Which of the explained calls of the target's link it is.
        """

    @abstractmethod
    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return the maps of samples of which all scores are known.

        Args:
            of_targets (list of numpy.ndarray): The same scores for each target,
                ``(n, size, n_step)`` or ``(n, size, n_step, n_class)``.
            dtypes (list of numpy.dtype): Of the maps of each.
            first (int): Which of the M samples is the first of them.

        Returns:
            list of numpy.ndarray: For each target ``(n, size) + map_shape`` or
            ``(n, size, n_class) + map_shape``; where parts are given, n is their
            number.

        Raises:
            ValueError: If a finite value is beyond the largest of its dtype.
        """

    def look_at(self, this: ForwardPass) -> None:
        """Take note of what a pass shows beside its scores; here, of nothing."""

    def conclude(self) -> None:
        """Warn of examples whose values are rounding."""
        self.rounding.warn()


def number_of_parts(shape: Sequence[int], n_most: int) -> int:
    """Return how many parts of a sample a run gives in its place.

    Args:
        shape (sequence of int): Shape of the maps of all examples and classes.
        n_most (int): More are not needed.

    Returns:
        int: From 8 on; or 1, the sample itself, where maps are too large.
    """
    n_fitting = _BYTES_OF_PARTS // max(8 * math.prod(shape), 1)
    return 1 if n_fitting < _PARTS_AT_LEAST else min(n_fitting, n_most)
