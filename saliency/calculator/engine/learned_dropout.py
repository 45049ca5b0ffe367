"""What a model's dropout functions are applied to, learnt from one example."""

from __future__ import annotations

from typing import Callable

import numpy as np

from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.model_passes import ModelPasses
from saliency.calculator.engine.rows import Rows, plain_rows
from saliency.calculator.engine.shared_start import SharedStart

# Elements before the first dropout, of all examples of a pass, from which on it pays to
# share them: where gradients go back sample by sample, and where they go back once.
_WORTH_A_WAY_FOR_EACH = 150_000
_WORTH_ONE_WAY = 1_500


class LearnedDropout:
    """Learns which dropout functions see the batch, and what samples may share.

    Args:
        passes (ModelPasses): Runs rows through the model.
        run (callable): ``run(batch, rows, start)`` runs rows that are left as they are,
            in the mode that samples want.
        may_share (callable): Tells whether the method lets the rows of a pass share
            what comes before the first dropout.
        mean_will_do (bool): Whether nobody asks for more than the mean of samples.
    """

    def __init__(
        self,
        passes: ModelPasses,
        run: Callable[[UserBatch, Rows, SharedStart | None], ForwardPass],
        may_share: Callable[[], bool],
        mean_will_do: bool,
    ) -> None:
        self._passes = passes
        self._run = run
        self._may_share = may_share
        self._worth = _WORTH_ONE_WAY if mean_will_do else _WORTH_A_WAY_FOR_EACH
        # Elements of the graph before the first dropout, for each example, and
        # behind, for each row; None where passes do not share their start.
        self._shared_sizes: tuple[float, float] | None = None

    def forget(self) -> None:
        """Forget what the batches so far have shown of the model."""
        self._passes.forget_dropout()
        self._shared_sizes = None

    def learn(self, batch: UserBatch) -> None:
        """Learn from the first example of a batch, unless that has been done."""
        if self._passes.dropout.knows_batch_axes or not batch.can_gather():
            return
        self.shapes(batch)
        if self._may_share():
            self._shared_sizes = self._try_shared_start(batch)

    def shapes(self, batch: UserBatch) -> list[tuple[int, ...]]:
        """Return the shape of what each dropout function is applied to, in order.

        That is in a pass of the first example of a batch; from then on it is known
        which of them see the batch on axis 0.
        """
        with self._passes.dropout.learning_batch_axes() as shapes:
            self._run(batch, plain_rows(np.zeros(1, int)), None)
        return shapes

    def start_of(self, rows: Rows) -> SharedStart | None:
        """Return what rows share, if anything."""
        if self._shared_sizes is None:
            return None
        start = SharedStart(rows.example, rows.sample)
        pays = start.saves_rows and self.shares_start(len(start.examples))
        return start if pays else None

    def rows_of_pass(self, n_example: int, n_row: int) -> int:
        """Return how many rows take the memory of ``n_row`` that share nothing.

        Args:
            n_example (int): How many examples they are of.
            n_row (int): The number of rows that share nothing.
        """
        if self._shared_sizes is None or not self.shares_start(n_example):
            return n_row
        before, behind = self._shared_sizes
        room = n_row * (before + behind) - n_example * before
        return max(n_row, int(room / behind))

    def shares_start(self, n_example: int) -> bool:
        """Tell whether rows of an example share a pass up to the first dropout.

        Args:
            n_example (int): How many examples the pass is of.
        """
        if self._shared_sizes is None:
            return False
        return n_example * self._shared_sizes[0] >= self._worth

    def examples_of_pass(self, n_row: int, rows_of_example: int) -> int:
        """Return of how many examples all rows take the memory of ``n_row``.

        Args:
            n_row (int): A number of rows that share nothing.
            rows_of_example (int): How many rows each example has.
        """
        if self._shared_sizes is None:
            return n_row // rows_of_example
        before, behind = self._shared_sizes
        of_example = before + rows_of_example * behind
        return int(n_row * (before + behind) / of_example)

    def rows_alone(self, rows: Rows, start: SharedStart | None) -> float:
        """Return how many rows that share nothing take the memory of a pass.

        Args:
            rows (Rows): Those of the pass.
            start (SharedStart or None): What they share.
        """
        if self._shared_sizes is None or start is None:
            return len(rows)
        before, behind = self._shared_sizes
        taken = len(start.examples) * before + len(rows) * behind
        return taken / (before + behind)

    def _try_shared_start(self, batch: UserBatch) -> tuple[float, float] | None:
        """Return the sizes if the model can share the start of a pass, else None.

        Two examples with two samples each show whether it mixes rows from before the
        first dropout with those behind it: their numbers do not fit.
        """
        example = np.zeros(4, int)
        start = SharedStart(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
        start.examples[...] = 0
        try:
            this = self._run(batch, plain_rows(example), start)
        except Exception:
            # Whatever a model says of numbers that do not fit. An error that has
            # another cause comes again in the pass that follows.
            return None
        fits = all(y.ndim > 0 and len(y) == len(example) for y in this.outputs)
        if not fits or this.drew_random_numbers:
            return None
        return start.sizes(this.outputs, this.all_targets)
