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
    """Runs batches as they are, in evaluation mode and without a graph.

    A batch takes one pass if that fits into memory, or one for each example where the
    model draws random numbers even so. The passes of the last batch are kept.

    Args:
        subject (Subject): What is explained.
        run (callable): Runs rows of a batch, without noise or any other change.
        row_limit (RowLimit): How many rows of a pass fit into memory.
    """

    def __init__(
        self,
        subject: Subject,
        run: Callable[[UserBatch, Rows], ForwardPass],
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

    def of_rows(self, batch: UserBatch, examples: np.ndarray) -> ForwardPass:
        """Return a pass of a row for each of the given examples of a batch."""
        return self._run(batch, plain_rows(examples))

    def predicted_classes(
        self, batch: UserBatch, predict: Callable[[ForwardPass], np.ndarray | None]
    ) -> np.ndarray | None:
        """Return the class that ``predict`` says for each example of a batch."""
        predicted = [predict(this) for this in self.of(batch)]
        found = [classes for classes in predicted if classes is not None]
        return np.concatenate(found) if found else None

    def targets(self, batch: UserBatch) -> list[Array]:
        """Return the targets of each example, ``(size,) + shape``.

        There is one for each call of the target's link that is explained.
        """
        xp = self._subject.device.xp
        by_pass = [this.origins for this in self.of(batch)]
        return [xp.concatenate(calls) for calls in zip(*by_pass)]

    def target_shape(self, batch: UserBatch) -> tuple[int, ...]:
        """Return the shape of a batch's target, ``(size,) + shape``."""
        if self._subject.target_extractor is None:
            return tuple(batch.inputs[0].shape)
        this = self.of(batch)[0]
        return (batch.size, *this.with_batch_axis(this.targets[0].array).shape[1:])

    def number_of_targets(self, batch: UserBatch) -> int:
        """Return how many calls of the target's link are explained."""
        return len(self.of(batch)[0].targets)

    def _run_all(self, batch: UserBatch) -> list[ForwardPass]:
        def run(rows: Rows) -> ForwardPass:
            return self._run(batch, rows)

        rows = plain_rows(np.arange(batch.size))
        can_split = batch.can_gather()
        passes = list(self._row_limit.passes(rows, run, can_split))
        if any(this.drew_random_numbers for this in passes) and can_split:
            passes = [run(rows.cut(i, i + 1)) for i in range(batch.size)]
        return passes
