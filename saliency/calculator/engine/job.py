"""The work of one ``compute`` call, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Union

import numpy as np
from tqdm import tqdm

from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import class_of_examples, warn_of_sum
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.padding import mark_padding
from saliency.calculator.engine.rows import (
    CannotFold,
    Extent,
    Layout,
    Rows,
    one_row,
    sample_by_sample,
    whole_batch,
)
from saliency.calculator.engine.runner import ForwardRunner
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.unchanged import unchanged
from saliency.calculator.randomness.random_streams import RandomStreams
from saliency.calculator.results.aggregation import (
    Aggregation,
    RunningStatistics,
    mean_dtype,
)

import chainer

if TYPE_CHECKING:
    from saliency.calculator.base_calculator import BaseCalculator

# The class of each example of a batch, 'argmax' to ask the pass, or None for the sum.
Classes = Union[np.ndarray, str, None]


@contextlib.contextmanager
def running_job(
    calculator: BaseCalculator,
    settings: ComputeSettings,
    batches: Batches,
    n_example: int,
    show_progress: bool,
) -> Iterator[ComputeJob]:
    """Return a job for a ``with`` block, after which nothing is left changed.

    Args:
        calculator (BaseCalculator): Says what a pass contributes.
        settings (ComputeSettings): How samples are computed.
        batches (Batches): The data.
        n_example (int): How many examples of it are going to be explained.
        show_progress (bool): Whether to show a progress bar.
    """
    streams = RandomStreams(settings.seed)
    runner = ForwardRunner(
        calculator,
        settings.train,
        settings.noise_sampler,
        streams,
        settings.posterior,
    )
    bar = tqdm(
        desc=type(calculator).__name__.lstrip("_"),
        total=settings.M * n_example,
        unit="row",
        disable=not show_progress,
    )
    with bar, unchanged(calculator.model), runner:
        yield ComputeJob(calculator, runner, settings, batches, n_example, bar)


class ComputeJob:
    """Explains batch after batch.

    Passes are folded until one shows that the model does not treat its rows
    independently; from then on they are laid out as the model needs it. What is in
    memory at a time is one pass, and the samples that its rows belong to.

    Args:
        calculator (BaseCalculator): Says what a pass contributes.
        runner (ForwardRunner): Runs the passes.
        settings (ComputeSettings): How samples are computed.
        batches (Batches): The data.
        n_example (int): How many examples of it are going to be explained.
        bar (tqdm.tqdm): Counts rows.
    """

    def __init__(
        self,
        calculator: BaseCalculator,
        runner: ForwardRunner,
        settings: ComputeSettings,
        batches: Batches,
        n_example: int,
        bar: tqdm,
    ) -> None:
        self._calculator = calculator
        self._runner = runner
        self._settings = settings
        self._batches = batches
        self._n_left = n_example
        self._bar = bar
        self._folded = calculator.layout()
        if settings.posterior is not None:
            self._folded = sample_by_sample(self._folded)
        self._layout: Layout = self._folded
        self._follows_lengths: bool | None = None
        self._warned_of_sum = calculator.class_index is not None
        self._summed_shape: tuple[int, ...] | None = None

    def prepare(self) -> None:
        """Have the calculator look at the whole data."""
        self._calculator.prepare(self._batches, self._runner)

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown of the model.

        Then how the next is run, and so its last digits, depends on itself alone.
        """
        self._layout = self._folded
        self._follows_lengths = None
        self._runner.learn_anew()

    def aggregate(self, batch: UserBatch, aggregation: Aggregation) -> np.ndarray:
        """Return a batch's saliency, ``(size,) + target shape`` without ``ch_axis``.

        Raises:
            ValueError: If there is no such ``ch_axis``, or examples have different
                lengths along it.
        """
        statistics = RunningStatistics(aggregation.statistic)
        self._runner.mean_will_do = (
            aggregation.method == "raw"
            and aggregation.statistic == "mean"
            and self._settings.postprocess_fn is None
        )
        for samples in self.explain(batch):
            aggregation.check_axes(samples.ndim, 2)
            statistics.add(aggregation.reduce(samples))
            summed, dtype = aggregation.summed_shape(samples), mean_dtype(samples)
        # An example that ends before others has no sum along the axis of lengths.
        rows = statistics.mean.reshape(len(statistics.mean), -1)
        no_sum = summed and batch.is_ragged and np.isnan(rows).all(axis=1).any()
        if no_sum or self._summed_shape not in (None, summed):
            raise ValueError(
                f"ch_axis={aggregation.ch_axis} sums over the axis along which "
                "examples have different lengths"
            )
        self._summed_shape = summed
        return statistics.result().astype(dtype)

    def row(
        self, batch: UserBatch, aggregation: Aggregation
    ) -> tuple[tuple[int, ...], np.dtype]:
        """Return shape and dtype of an example's saliency, from one sample of it."""
        trial = ComputeJob(
            self._calculator,
            self._runner,
            replace(self._settings, M=1),
            self._batches,
            batch.size,
            tqdm(disable=True),
        )
        trial._warned_of_sum = self._warned_of_sum
        rows = trial.aggregate(batch, aggregation)
        self._warned_of_sum = True
        return rows.shape[1:], rows.dtype

    def explain(self, batch: UserBatch) -> Iterator[np.ndarray]:
        """Give the saliency samples of a batch in order, as they are completed.

        They come several at a time, ``(n,) + (size,) + target shape``; or, with
        ``postprocess_fn``, what that returns in place of each.
        """
        postprocess_fn = self._settings.postprocess_fn
        for samples in self._samples(self._with_lengths_of_target(batch)):
            if postprocess_fn is None:
                yield samples
            else:
                yield np.stack([postprocess_fn(sample) for sample in samples])

    def _samples(self, batch: UserBatch) -> Iterator[np.ndarray]:
        if not batch.can_gather():
            self._layout = whole_batch
        extent = Extent(
            self._settings.M,
            self._runner.number_of_calls(batch),
            self._calculator.number_of_steps(batch, self._runner),
            batch.size,
        )
        classes = self._classes(batch, extent)
        # The bar tells how much is left if all examples are like these.
        rows_of_example = extent.n_sample * extent.n_part
        self._bar.total = self._bar.n + rows_of_example * self._n_left
        self._n_left -= batch.size
        n_sample, n_before = extent.n_sample, self._bar.n
        first = 0  # of the samples that are not complete
        while first < n_sample:
            extent = replace(extent, n_sample=n_sample - first, first_sample=first)
            try:
                for samples, target_ndim in self._completed(batch, extent, classes):
                    _check_result(samples, batch, first)
                    first += len(samples)
                    yield mark_padding(samples, batch.lengths, target_ndim)
            except CannotFold as reason:
                self._layout = reason.layout
                done = n_before + first * extent.n_part * batch.size
                self._bar.update(done - self._bar.n)

    def _completed(
        self, batch: UserBatch, extent: Extent, classes: Classes
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Give samples with the number of axes of the target."""
        sums = _Sums(extent)
        run = partial(self._run, batch, classes)
        can_split = self._layout is self._folded
        n_row = self._batches.batchsize
        if self._layout is self._folded:
            n_row = self._runner.rows_of_pass(batch, n_row)
        for planned in self._layout(extent, n_row):
            limit = self._runner.row_limit
            for rows, part in limit.passes(planned, run, can_split):
                sums.add(rows, part.of_rows)
                self._bar.update(len(rows.explained))
                completed = sums.take_completed()
                if len(completed):
                    yield completed.astype(part.dtype, copy=False), part.target_ndim

    def _run(
        self, batch: UserBatch, classes: Classes, rows: Rows
    ) -> tuple[Rows, _Part]:
        # The pass and its graph end here, before another pass is run.
        with self._runner.drawn_network(rows):
            this = self._runner.run(batch, rows)
            self._check_layout(this, batch)
            of_rows = self._contribution(this, classes)
        dtype = this.origins[0].dtype
        result = dtype if dtype.kind == "f" else np.dtype(np.float32)
        return rows, _Part(of_rows, result, this.targets[0].ndim)

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
            # Two examples, each by itself, show whether the axis is as long as they.
            self._follows_lengths = all(
                self._axis_follows(batch.start + int(i), int(lengths[i]))
                for i in (lengths.argmin(), lengths.argmax())
            )
        return batch if self._follows_lengths else replace(batch, lengths=None)

    def _axis_follows(self, index: int, length: int) -> bool:
        """Tell whether axis 1 of an example's target is as long as the example."""
        shape = self._runner.target_shape(self._batches.load(index, index + 1))
        return len(shape) > 1 and shape[1] == length

    def _check_layout(self, this: ForwardPass, batch: UserBatch) -> None:
        if self._layout is not self._folded or len(this.rows) == batch.size == 1:
            return
        if this.gives_one_value():
            raise CannotFold(self._calculator.layout_for_one_value())
        if this.drew_random_numbers and len(this.rows) > 1:
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


class _Part(NamedTuple):
    """What the rows of a pass contribute.

    Attributes:
        of_rows (numpy.ndarray): ``(n_row,) + shape``.
        dtype (numpy.dtype): In which samples are given.
        target_ndim (int): Number of axes of the target.
    """

    of_rows: np.ndarray
    dtype: np.dtype
    target_ndim: int


class _Sums:
    """Adds up what rows contribute, for the samples that are under way.

    Rows come sample by sample: those before the first that is not complete are all
    handed out, and of those behind only the few that a pass has begun are held.

    Args:
        extent (Extent): How many rows there are for each sample.
    """

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._first = extent.first_sample  # of those in _sums
        self._sums: np.ndarray | None = None  # (n_begun, size) + shape
        self._n_row = np.zeros(0, int)  # how many came for each

    def add(self, rows: Rows, part: np.ndarray) -> None:
        """Add the explained rows of ``part`` to their samples."""
        explained = rows.explained
        samples = rows.sample - self._first
        sums = self._begin(int(samples.max()) + 1, part)
        parts = rows.part
        for one in set(parts[explained].tolist()):
            # Within a part no (sample, example) comes twice: += loses nothing.
            chosen = explained[parts[explained] == one]
            sums[samples[chosen], rows.example[chosen]] += part[chosen]
        self._n_row += np.bincount(samples[explained], minlength=len(self._n_row))

    def take_completed(self) -> np.ndarray:
        """Return the samples from the first on that are complete, ``(n, size, ...)``.

        They are not held any longer.
        """
        assert self._sums is not None  # there was a pass
        is_missing = self._n_row < self._extent.n_part * self._extent.n_example
        n = int(is_missing.argmax()) if is_missing.any() else len(is_missing)
        completed, begun = self._sums[:n], self._sums[n:]
        if n:
            self._sums = begun.copy()
            self._n_row = self._n_row[n:]
            self._first += n
        return completed

    def _begin(self, n: int, part: np.ndarray) -> np.ndarray:
        """Return the sums of ``n`` samples, those that are new at zero."""
        n_new = n - len(self._n_row)
        if self._sums is None or n_new > 0:
            dtype = part.dtype if self._extent.n_part == 1 else np.float64
            shape = (n_new, self._extent.n_example, *part.shape[1:])
            new = np.zeros(shape, dtype)
            some = self._sums is not None and len(self._sums) > 0
            self._sums = np.concatenate([self._sums, new]) if some else new
            self._n_row = np.concatenate([self._n_row, np.zeros(n_new, int)])
        return self._sums


def _check_result(samples: np.ndarray, batch: UserBatch, first: int) -> None:
    finite = np.isfinite(samples)
    if finite.all():
        return
    sample, example = np.argwhere(~finite)[0][:2]
    raise ValueError(
        f"the saliency of example {batch.start + example} (sample {first + sample}) is "
        "NaN or infinite although the data is finite; the model's output or its "
        "gradient overflows or is undefined there"
    )
