"""The work of one ``compute_aggregate`` call: in memory, into a store, on a cluster."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from saliency.calculator.engine.dataset import Batches, UserBatch, lengths_if_ragged
from saliency.calculator.engine.job import Job, running_job
from saliency.calculator.engine.padding import join_padded
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.subject import Subject
from saliency.calculator.results.aggregation import (
    Aggregation,
    RunningStatistics,
    mean_dtype,
)
from saliency.calculator.results.fingerprint import fingerprint
from saliency.calculator.results.stores import Out, open_out
from saliency.checks import narrowed

_N_PEEKED = 8  # examples that stand for the data where a call is compared


class Writer(Protocol):
    """Takes rows as they come."""

    def write(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write the rows from ``start`` to ``stop``."""


class AggregateWork:
    """What is to be computed, reduced and kept.

    Args:
        recipe (Recipe): How the method explains.
        subject (Subject): What is explained.
        settings (ComputeSettings): How samples are computed.
        aggregation (Aggregation): How they are reduced.
        batches (Batches): The data.

    Attributes:
        run (Run or None): What the call holds, once it was started.
    """

    def __init__(
        self,
        recipe: Recipe,
        subject: Subject,
        settings: ComputeSettings,
        aggregation: Aggregation,
        batches: Batches,
    ) -> None:
        self.recipe = recipe
        self.batches = batches
        self.run: Run | None = None
        self._subject = subject
        self._settings = settings
        self._aggregation = aggregation
        # The lengths of the axes that a result was summed over, to compare the next.
        self._summed: tuple[int, ...] | None = None

    def in_memory(self, show_progress: bool) -> np.ndarray:
        """Return the result of all batches."""
        n_example = self.batches.n_example
        blocks, lengths = [], []
        with self.running(n_example, show_progress) as job:
            for batch in self.batches:
                blocks.append(self._aggregated(batch, job.explain(batch)))
                lengths.append(batch.lengths)
        job.run.lengths = lengths_if_ragged(lengths)
        return join_padded(blocks, axis=0, fill=np.nan)

    def into(self, out: Any, show_progress: bool) -> Any:
        """Write what is missing into ``out``, and return it."""
        opened = self.open(out)
        lengths = self.batches.lengths()
        if opened.missing:
            n_missing = sum(stop - start for start, stop in opened.missing)
            with self.running(n_missing, show_progress) as job:
                if lengths is not None:
                    self._create(opened, job, int(lengths.argmax()))
                for start, stop in opened.missing:
                    self.write(job, start, stop, opened)
        self.finish()
        return opened.array

    def open(self, out: Any) -> Out:
        """Open ``out``, and take the seed that it was begun with."""
        batches = self.batches
        opened = open_out(out, self._call(), batches.n_example, batches.batchsize)
        self._settings = replace(self._settings, seed=opened.seed)
        return opened

    def get_ready(self, out: Out) -> None:
        """Do what needs the whole data, so that shards of it can be explained."""
        lengths = self.batches.lengths()
        with self.running(0, show_progress=False) as job:
            self._create(out, job, 0 if lengths is None else int(lengths.argmax()))

    def write(self, job: Job, start: int, stop: int, out: Writer) -> None:
        """Compute the rows from ``start`` to ``stop``, and write each batch."""
        for batch in self.batches.between(start, stop):
            job.learn_anew()  # whoever computes a batch, its bytes are the same
            rows = self._aggregated(batch, job.explain(batch))
            out.write(batch.start, batch.start + batch.size, rows)

    def finish(self) -> None:
        """Leave behind the lengths of the examples."""
        self.run = self.run or Run()
        self.run.lengths = self.batches.lengths()

    @contextlib.contextmanager
    def running(self, n_example: int, show_progress: bool) -> Iterator[Job]:
        """Return a block with a job that explains so many examples."""
        mean_will_do = (
            self._aggregation.method == "raw"
            and self._aggregation.statistic == "mean"
            and self._settings.postprocess_fn is None
        )
        with running_job(
            self.recipe,
            self._subject,
            self._settings,
            self.batches,
            n_example,
            run=self.run,
            mean_will_do=mean_will_do,
            show_progress=show_progress,
        ) as job:
            self.run = job.run
            yield job

    def _aggregated(
        self, batch: UserBatch, samples_of_batch: Iterable[np.ndarray]
    ) -> np.ndarray:
        """Return a batch's saliency, ``(size,) + target shape`` without ``ch_axis``.

        Args:
            batch (UserBatch): The examples.
            samples_of_batch (iterable of numpy.ndarray): ``(n, size) + target shape``.

        Raises:
            ValueError: If there is no such ``ch_axis``, or examples have different
                lengths along it.
        """
        aggregation = self._aggregation
        statistics = RunningStatistics(aggregation.statistic)
        for samples in samples_of_batch:
            aggregation.check_axes(samples.ndim, 2)
            statistics.add(aggregation.reduce(samples))
            summed, dtype = aggregation.summed_shape(samples), mean_dtype(samples)
        # An example that ends before others has no sum along the axis of lengths.
        rows = statistics.mean.reshape(len(statistics.mean), -1)
        no_sum = summed and batch.is_ragged and np.isnan(rows).all(axis=1).any()
        if no_sum or self._summed not in (None, summed):
            raise ValueError(
                f"ch_axis={aggregation.ch_axis} sums over the axis along which "
                "examples have different lengths"
            )
        self._summed = summed
        what = f"an aggregated saliency ({aggregation.statistic})"
        return narrowed(statistics.result(), dtype, what)

    def _create(self, out: Out, job: Job, index: int) -> None:
        """Make the array with room for what one example gives."""
        if out.array is not None:
            return
        start = index - index % self.batches.batchsize
        stop = min(start + self.batches.batchsize, self.batches.n_example)
        summed = self._summed
        batch = self.batches.load(start, stop)
        row = self._aggregated(batch, job.try_one_sample(batch))
        self._summed = summed
        out.create(row.shape[1:], row.dtype)

    def _call(self) -> dict[str, Any]:
        """Return what decides the result, in the types of JSON."""
        n = self.batches.n_example
        some = sorted({i * (n - 1) // _N_PEEKED for i in range(_N_PEEKED + 1)})
        call = {
            "N": n,
            "data": [self.batches.peek(i) for i in some],
            "method": self._aggregation.method,
            "ch_axis": self._aggregation.ch_axis,
            "statistic": self._aggregation.statistic,
            **vars(self._settings),
            "calculator": type(self.recipe),
            **{f"calculator.{k}": v for k, v in vars(self.recipe).items()},
        }
        described: dict[str, Any] = json.loads(json.dumps(fingerprint(call)))
        return described
