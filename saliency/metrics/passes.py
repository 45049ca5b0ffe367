"""Passes of a model over examples that are changed, for metrics."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Callable

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.mask_calculator import MaskCalculator
from saliency.calculator.masks.groups import GroupsForData, GroupsOfTarget
from saliency.calculator.masks.mask_run import MaskRun
from saliency.calculator.paths.reference import ReferenceForData
from saliency.metrics.scores import ScoresForData

import chainer

#: Makes what a call holds, of the data and of passes over it as it is.
StartsRun = Callable[[Batches, CleanPasses], MaskRun]


class Passes(MaskCalculator):
    """Runs a model with parts of its target absent, and keeps the scores of all steps.

    A link's target that is called several times is changed in all calls together.

    Args:
        starts_run (callable): Makes what a call holds; that says what is absent at each
            step.
        reference: What the metric puts in the place of what is absent, whose columns
            are compared with those of the data, if both are tables.
    """

    starts_run: StartsRun
    reference: Any = None

    tells_calls_apart = False
    tells_targets_apart = False
    explains_all_classes = False
    is_of_target = False
    is_of_examples = True

    def start(self, batches: Batches, passes: CleanPasses) -> MaskRun:
        """Return what the metric says of this call."""
        return self.starts_run(batches, passes)


class AbsentGroupsRun(MaskRun):
    """Groups of elements that are absent, with a reference in their place.

    Args:
        groups (GroupsForData): What belongs together.
        reference (ReferenceForData or None): What takes the place of what is absent;
            None where a subclass says it.

    Attributes:
        batch (UserBatch): The examples at hand.
        of_target (GroupsOfTarget): Their groups.
    """

    batch: UserBatch
    of_target: GroupsOfTarget

    def __init__(
        self, groups: GroupsForData, reference: ReferenceForData | None
    ) -> None:
        super().__init__()
        self._groups = groups
        self._reference = reference

    def lay_out(self, batch: UserBatch, passes: CleanPasses) -> int:
        """Find the groups of a batch, and return how many steps there are."""
        self.batch = batch
        (self.of_target,) = self._groups.of_batch(batch, passes)
        (shape,) = passes.target_shapes(batch)
        return self.number_of_steps(shape)

    @abstractmethod
    def number_of_steps(self, shape: tuple[int, ...]) -> int:
        """Return how many steps there are, with step 0, at which nothing is absent.

        Args:
            shape (tuple of int): That of the target of the batch.
        """

    @abstractmethod
    def absent(self, this: ForwardPass) -> np.ndarray:
        """Tell which groups are absent in each row of a pass.

        Returns:
            numpy.ndarray: Of bool, ``(n_row, n_group)``.
        """

    def masked(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target with the reference in the place of what is absent."""
        assert self._reference is not None
        xp = chainer.backend.get_array_module(origin)
        reference = self._reference.at(origin, this, call)
        return xp.where(xp.asarray(self.mask(this)), reference, origin)

    def mask(self, this: ForwardPass) -> np.ndarray:
        """Tell which elements are absent in each row, broadcastable to the target."""
        absent = self.absent(this)
        # With a column for elements in no group, which -1 finds.
        absent = np.concatenate([absent, np.zeros((len(absent), 1), bool)], axis=1)
        numbers = self.of_target.of_rows(this.rows.example)
        flat = numbers.reshape(len(numbers), -1)
        if len(flat) == 1:
            mask = absent.take(flat[0], axis=1)
        else:
            mask = np.take_along_axis(absent, flat, axis=1)
        of_rows: np.ndarray = mask.reshape(len(absent), *numbers.shape[1:])
        return of_rows


def sums_of_groups(
    scores: ScoresForData,
    batch: UserBatch,
    of_target: GroupsOfTarget,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Return the sum of the scores of each group.

    Args:
        scores (ScoresForData): Those of elements.
        batch (UserBatch): The examples.
        of_target (GroupsOfTarget): Their groups.
        shape (tuple of int): That of the target of the batch.

    Returns:
        numpy.ndarray: ``(size, n_group)``, in float64; 0 where an example has fewer
        groups.

    Raises:
        ValueError: If scores were summed over an axis along which groups differ.
    """
    found = scores.of_batch(batch, shape)
    n_most = int(of_target.n_group.max())
    sums = np.empty((len(found), n_most))
    for i, map_ in enumerate(found):
        numbers = of_target.numbers[i if len(of_target.numbers) > 1 else 0]
        for axis, n in enumerate(numbers.shape):
            if n == 1:
                map_ = map_.sum(axis=axis, keepdims=True)
        if map_.shape != numbers.shape:
            raise ValueError(
                f"explained must hold scores of the shape {shape[1:]} of the target, "
                "since groups differ along an axis that scores were summed over; got "
                f"maps of shape {map_.shape}"
            )
        places = numbers.ravel() + 1  # the first is for elements in no group
        sums[i] = np.bincount(places, map_.ravel(), n_most + 1)[1:]
    return sums
