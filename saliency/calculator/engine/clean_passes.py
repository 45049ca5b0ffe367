"""Passes of the trained model over the data, for what has to be known first."""

from __future__ import annotations

from typing import Callable

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.row_limit import RowLimit
from saliency.calculator.engine.rows import Rows, plain_rows
from saliency.calculator.engine.subject import Subject


class CleanPasses:
    """Runs batches as they are, in evaluation mode.

    A batch takes one pass if that fits into memory, or one for each example where the
    model draws random numbers even so. The passes of the last batch are kept.

    Args:
        subject (Subject): What is explained.
        run (callable): ``run(batch, rows, needs_graph)`` runs rows of a batch, without
            noise or any other change.
        row_limit (RowLimit): How many rows of a pass fit into memory.
    """

    def __init__(
        self,
        subject: Subject,
        run: Callable[[UserBatch, Rows, bool], ForwardPass],
        row_limit: RowLimit,
    ) -> None:
        self._subject = subject
        self._run = run
        self._row_limit = row_limit
        self._batch: UserBatch | None = None
        self._passes: list[ForwardPass] = []

    def of(self, batch: UserBatch) -> list[ForwardPass]:
        """Return the passes of a batch, in the order of its examples."""
        if self._batch is not batch:
            self._batch, self._passes = None, []
            self._passes = self._run_all(batch)
            self._batch = batch
        return self._passes

    def of_rows(
        self, batch: UserBatch, examples: np.ndarray, needs_graph: bool = False
    ) -> ForwardPass:
        """Return a pass of a row for each of the given examples of a batch.

        Args:
            batch (UserBatch): The batch.
            examples (numpy.ndarray): The examples.
            needs_graph (bool): Whether the pass has its graph.
        """
        return self._run(batch, plain_rows(examples), needs_graph)

    def predicted_classes(
        self, batch: UserBatch, predict: Callable[[ForwardPass], np.ndarray | None]
    ) -> np.ndarray | None:
        """Return the class that ``predict`` says for each example of a batch."""
        predicted = [predict(this) for this in self.of(batch)]
        found = [classes for classes in predicted if classes is not None]
        return np.concatenate(found) if found else None

    def targets(self, batch: UserBatch) -> list[Array]:
        """Return the targets of each example, ``(size,) + shape``.

        There is one for each target, and of each call of its link that is explained.
        """
        xp = self._subject.device.xp
        by_pass = [
            [origin for one in this.caught for origin in one.origins]
            for this in self.of(batch)
        ]
        return [xp.concatenate(calls) for calls in zip(*by_pass)]

    def has_ragged_targets(self, batch: UserBatch) -> bool:
        """Tell whether the examples have different lengths at an input of a target."""
        targets = self._subject.targets_of(batch.inputs)
        n_input = len(batch.lengths)
        return any(
            batch.is_ragged(i)
            for target in targets
            for i in self._subject.inputs_behind(target, n_input)
        )

    def target_shapes(self, batch: UserBatch) -> list[tuple[int, ...]]:
        """Return the shape of each target of a batch, ``(size,) + shape``."""
        targets = self._subject.targets_of(batch.inputs)
        return [
            tuple(batch.inputs[target].shape)
            if isinstance(target, int)
            else self._shape_at_link(batch, position)
            for position, target in enumerate(targets)
        ]

    def _shape_at_link(self, batch: UserBatch, position: int) -> tuple[int, ...]:
        this = self.of(batch)[0].at_target(position)
        return (batch.size, *this.origins[0].shape[1:])

    def stack_of_calls(self, batch: UserBatch, position: int) -> Array:
        """Return the stacked calls of a target's link, ``(size, n_call) + shape``."""
        stacks = [this.caught[position].origins[0] for this in self.of(batch)]
        stack: Array = self._subject.device.xp.concatenate(stacks)
        return stack

    def number_of_calls(self, batch: UserBatch, position: int) -> int:
        """Return how many calls of a target's link are explained."""
        return len(self.of(batch)[0].caught[position].variables)

    def _run_all(self, batch: UserBatch) -> list[ForwardPass]:
        def run(rows: Rows) -> ForwardPass:
            return self._run(batch, rows, False)

        rows = plain_rows(np.arange(batch.size))
        can_split = batch.can_gather()
        passes = list(self._row_limit.passes(rows, run, can_split))
        if any(this.drew_random_numbers for this in passes) and can_split:
            passes = [run(rows.cut(i, i + 1)) for i in range(batch.size)]
        return passes
