"""The work of one ``compute`` call, batch by batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Union

import numpy as np
from tqdm import tqdm

from saliency.calculator.dataset import Batches, UserBatch
from saliency.calculator.explained_output import class_of_examples, warn_of_sum
from saliency.calculator.forward_pass import ForwardPass
from saliency.calculator.forward_runner import ForwardRunner
from saliency.calculator.padding import mark_padding
from saliency.calculator.sampling import (
    CannotFold,
    Extent,
    Layout,
    Rows,
    folded,
    one_row,
    whole_batch,
)

import chainer

if TYPE_CHECKING:
    from saliency.calculator.base_calculator import BaseCalculator

# The class of each example of a batch, 'argmax' to ask the pass, or None for the sum.
Classes = Union[np.ndarray, str, None]


class ComputeJob:
    """Explains batch after batch.

    Passes are folded until one shows that the model does not treat its rows
    independently; from then on they are laid out as the model needs it.

    Args:
        calculator (BaseCalculator): Says what a pass contributes.
        runner (ForwardRunner): Runs the passes.
        n_sample (int): M.
        batches (Batches): The data.
        bar (tqdm.tqdm): Counts rows.
    """

    def __init__(
        self,
        calculator: BaseCalculator,
        runner: ForwardRunner,
        n_sample: int,
        batches: Batches,
        bar: tqdm,
    ) -> None:
        self._calculator = calculator
        self._runner = runner
        self._n_sample = n_sample
        self._batches = batches
        self._bar = bar
        self._layout: Layout = folded
        self._follows_lengths: bool | None = None
        self._target_ndim = 0
        self._warned_of_sum = calculator.class_index is not None

    def explain(self, batch: UserBatch) -> np.ndarray:
        """Return the saliency samples of a batch, ``(M, size) + target shape``."""
        batch = self._with_lengths_of_target(batch)
        if not batch.can_gather():
            self._layout = whole_batch
        extent = Extent(
            self._n_sample,
            self._runner.number_of_calls(batch),
            self._calculator.number_of_steps(batch, self._runner),
            batch.size,
        )
        classes = self._classes(batch, extent)
        # The bar tells how much is left if all examples are like these.
        left = self._batches.n_example - batch.start
        self._bar.total = self._bar.n + self._n_sample * extent.n_part * left
        done = self._bar.n
        while True:
            try:
                saliency = self._sum_of_passes(batch, extent, classes)
                break
            except CannotFold as reason:
                self._layout = reason.layout
                self._bar.update(done - self._bar.n)
        _check_result(saliency, batch)
        return mark_padding(saliency, batch.lengths, self._target_ndim)

    def _sum_of_passes(
        self, batch: UserBatch, extent: Extent, classes: Classes
    ) -> np.ndarray:
        total: np.ndarray | None = None
        for rows in self._layout(extent, self._batches.batchsize):
            this = self._runner.run(batch, rows)
            self._check_layout(this)
            part = self._contribution(this, classes)
            if total is None:
                total = np.zeros(
                    (self._n_sample, batch.size, *part.shape[1:]),
                    part.dtype if extent.n_part == 1 else np.float64,
                )
            _add(total, rows, part)
            self._bar.update(len(rows.explained))
        assert total is not None  # a batch has at least one row
        self._target_ndim = this.targets[0].ndim
        dtype = this.origins[0].dtype
        return total.astype(dtype if dtype.kind == "f" else np.float32, copy=False)

    def _contribution(self, this: ForwardPass, classes: Classes) -> np.ndarray:
        if not self._warned_of_sum:
            self._warned_of_sum = True
            warn_of_sum(this.outputs, len(this.rows))
        if isinstance(classes, np.ndarray):
            of_rows = classes[this.rows.example]
        else:
            of_rows = (
                None if classes is None else self._calculator.predicted_classes(this)
            )
        return chainer.cuda.to_cpu(self._calculator.contribution(this, of_rows))

    def _with_lengths_of_target(self, batch: UserBatch) -> UserBatch:
        """Return the batch with lengths if axis 1 of the target follows them."""
        lengths = batch.lengths
        if lengths is None or not batch.is_ragged:
            return replace(batch, lengths=None)
        if self._follows_lengths is None:
            # Its shortest example by itself shows whether the axis is as short.
            n = batch.start + int(lengths.argmin())
            shape = self._runner.target_shape(self._batches.load(n, n + 1))
            self._follows_lengths = len(shape) > 1 and shape[1] == lengths.min()
        return batch if self._follows_lengths else replace(batch, lengths=None)

    def _check_layout(self, this: ForwardPass) -> None:
        if self._layout is not folded or len(this.rows) == 1:
            return
        if this.gives_one_value():
            raise CannotFold(self._calculator.layout_for_one_value())
        if this.drew_random_numbers:
            raise CannotFold(one_row)

    def _classes(self, batch: UserBatch, extent: Extent) -> Classes:
        class_index = self._calculator.class_index
        if isinstance(class_index, str) and class_index == "all":
            return None
        if isinstance(class_index, str):
            if extent.n_part == 1 and self._runner.is_deterministic:
                return class_index  # the pass itself predicts: no other is needed
            return self._runner.predicted_classes(batch)
        return class_of_examples(class_index, batch.index, self._batches.n_example)


def _add(total: np.ndarray, rows: Rows, part: np.ndarray) -> None:
    """Add the explained rows of ``part`` to ``total[sample, example]``."""
    explained = rows.explained
    for one in set(rows.part[explained].tolist()):
        # Within a part no (sample, example) comes twice, so that += loses nothing.
        chosen = explained[rows.part[explained] == one]
        total[rows.sample[chosen], rows.example[chosen]] += part[chosen]


def _check_result(saliency: np.ndarray, batch: UserBatch) -> None:
    finite = np.isfinite(saliency)
    if finite.all():
        return
    sample, example = np.argwhere(~finite)[0][:2]
    raise ValueError(
        f"the saliency of example {batch.start + example} (sample {sample}) is NaN or "
        "infinite although the data is finite; the model's output or its gradient "
        "overflows or is undefined there"
    )
