"""The work of one ``compute_aggregate`` call: in memory, into a store, on a cluster."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.job import Job, running_job
from saliency.calculator.engine.padding import join_targets
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.subject import Subject
from saliency.calculator.randomness.drawn_networks import trained_network
from saliency.calculator.randomness.random_streams import SCHEME
from saliency.calculator.results.aggregation import (
    Aggregation,
    RunningStatistics,
    mean_dtype,
)
from saliency.calculator.results.fingerprint import digest_of_data, fingerprint
from saliency.calculator.results.machine import describe_machine
from saliency.calculator.results.out import Out, open_out
from saliency.calculator.results.record import Span
from saliency.calculator.results.rows_together import rows_together
from saliency.checks import narrowed
from saliency.version import __version__

_CHANGED = "the model, eval_fun or a function that it calls has changed"
_RANDOM = (
    "it differs each time that it is computed, so that something draws random numbers "
    "of its own, with a generator that seed does not reach"
)


class Writer(Protocol):
    """Takes rows as they come."""

    def write(self, start: int, stop: int, rows: np.ndarray, machine: Any) -> None:
        """Write the rows from ``start`` to ``stop``, which a machine computed."""


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
        # The lengths of the axes that a result was summed over, to compare the next;
        # for each target.
        self._summed: list[tuple[int, ...]] | None = None
        # Of the targets, where the data does not tell them.
        self._lengths: np.ndarray | None = None

    @functools.cached_property
    def rows_together(self) -> int:
        """How many rows are written together, and computed by themselves."""
        return rows_together(self.batches, self._settings.batchsize)

    def in_memory(self, show_progress: bool) -> Any:
        """Return the result of all batches, in a tuple if there are several targets."""
        n_example = self.batches.n_example
        blocks: list[list[np.ndarray]] = []
        lengths = []
        with self.running(n_example, show_progress) as job:
            for batch in job.batches(0, n_example):
                blocks.append(self._aggregated(job, batch))
                lengths.append(batch.lengths)
            job.run.lengths = job.lengths_of_examples(lengths)
        results = join_targets(blocks, 0, np.nan)
        return tuple(results) if job.gives_tuple else results[0]

    def into(self, out: Any, show_progress: bool, repair: bool) -> Any:
        """Write what is missing into ``out``, and return it."""
        with self.opened(out, repair) as opened:
            probes = opened.probes()
            n_example = sum(stop - start for start, stop in probes + opened.missing)
            with self.running(n_example, show_progress) as job:
                self.get_ready(job, opened, probes)
                for start, stop in opened.missing:
                    self.write(job, start, stop, opened)
            self.finish()
            return opened.array

    @contextlib.contextmanager
    def opened(self, out: Any, repair: bool) -> Iterator[Out]:
        """Return a block with ``out``, and take the seed that it was begun with."""
        with open_out(out, self.batches.n_example, self.rows_together, repair) as found:
            seed = found.seed(self._settings.seed)
            self._settings = replace(self._settings, seed=seed)
            self.batches = self.batches.with_seed(seed)
            found.begin(self._call() if found.has_record else {})
            yield found

    def get_ready(self, job: Job, out: Out, probes: list[Span]) -> None:
        """Do what comes before the first batch that is missing.

        What is finished is compared with what the call gives now, so that the results
        of two are never mixed; if nothing is there yet, and rows differ in length, the
        array is made with room for the longest.
        """
        for start, stop in probes:
            self._compare(job, start, stop, out)
        lengths = self.batches.lengths()
        if lengths is not None:
            self._create(out, job, int(lengths.argmax()))
        elif not self.batches.is_of_arrays:
            self._create(out, job, 0)

    def create(self, job: Job, out: Out) -> None:
        """Make the array before any batch is complete."""
        self._create(out, job, 0)

    def write(self, job: Job, start: int, stop: int, out: Writer) -> None:
        """Compute the rows from ``start`` to ``stop``, and write them."""
        machine = describe_machine(self._subject.device)
        for first in range(start, stop, self.rows_together):
            end = min(first + self.rows_together, stop)
            out.write(first, end, self._rows(job, first, end), machine)

    def _rows(self, job: Job, start: int, stop: int) -> np.ndarray:
        """Return the rows that are written together, from ``start`` to ``stop``."""
        job.learn_anew()  # whoever computes them, their bytes are the same
        parts = [self._aggregated(job, batch) for batch in job.batches(start, stop)]
        (rows,) = join_targets(parts, 0, np.nan)
        return rows

    def _compare(self, job: Job, start: int, stop: int, out: Out) -> None:
        """Raise a ValueError if a finished batch differs when computed again."""
        machine = describe_machine(self._subject.device)
        rows = self._rows(job, start, stop)
        difference = out.difference(start, stop, rows, machine)
        if difference is not None:
            again = self._rows(job, start, stop)
            is_same = again.shape == rows.shape and again.tobytes() == rows.tobytes()
            raise out.not_resumable(difference, _CHANGED if is_same else _RANDOM)

    def finish(self) -> None:
        """Leave behind the lengths of the examples."""
        self.run = self.run or Run()
        known = self._lengths
        self.run.lengths = self.batches.lengths() if known is None else known

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
        self,
        job: Job,
        batch: UserBatch,
        samples_of_batch: Iterable[list[np.ndarray]] | None = None,
    ) -> list[np.ndarray]:
        """Return a batch's saliency, ``(size,) + target shape`` without ``ch_axis``.

        The arguments, and what is raised, are those of :meth:`reduced`.
        """
        return [one.result() for one in self.reduced(job, batch, samples_of_batch)]

    def reduced(
        self,
        job: Job,
        batch: UserBatch,
        samples_of_batch: Iterable[list[np.ndarray]] | None = None,
    ) -> list[OfTarget]:
        """Return a batch's samples, reduced.

        Args:
            job (Job): Explains it.
            batch (UserBatch): The examples.
            samples_of_batch (iterable of list of numpy.ndarray or None): ``(n, size) +
                target shape`` for each target; None asks the job.

        Returns:
            list of OfTarget: One for each target.

        Raises:
            ValueError: If there is no such ``ch_axis``, or examples have different
                lengths along it.
        """
        of_targets: list[OfTarget] = []
        if samples_of_batch is None:
            samples_of_batch = job.explain(batch)
        for found in samples_of_batch:
            n = len(found)
            of_targets = of_targets or [
                OfTarget(self._aggregation.of_target(i, n)) for i in range(n)
            ]
            for one, samples in zip(of_targets, found):
                one.add(samples)
        summed = [one.summed for one in of_targets]
        is_ragged = job.arranged.is_ragged(batch)
        for one, before in zip(of_targets, self._summed or summed):
            if one.summed != before or (is_ragged and one.has_no_sum()):
                raise ValueError(
                    f"ch_axis={one.aggregation.ch_axis} sums over the axis along which "
                    "examples have different lengths"
                )
        self._summed = summed
        return of_targets

    def _create(self, out: Out, job: Job, index: int) -> None:
        """Make the array with room for what one example gives."""
        if out.is_created:
            return
        summed = self._summed
        row = self._try(job, index)
        self._lengths = job.arranged.lengths_of_targets()
        if self._lengths is not None and self._lengths[index] < self._lengths.max():
            row = self._try(job, int(self._lengths.argmax()))
        self._summed = summed
        out.create(row.shape[1:], row.dtype)

    def _try(self, job: Job, index: int) -> np.ndarray:
        """Return the result for one sample of the batch that an example is in."""
        start = index - index % self.batches.batchsize
        stop = min(start + self.batches.batchsize, self.batches.n_example)
        batch = self.batches.load(start, stop)
        (row,) = self._aggregated(job, batch, job.try_one_sample(batch))
        return row

    def _call(self) -> dict[str, Any]:
        """Return what decides the result, in the types of JSON."""
        call = {
            "version": __version__,
            "random_numbers": SCHEME,
            "N": self.batches.n_example,
            "data": digest_of_data(self.batches),
            "method": self._aggregation.method,
            "ch_axis": self._aggregation.ch_axis,
            "statistic": self._aggregation.statistic,
            "rows_together": self.rows_together,
            **vars(self._settings),
            "calculator": type(self.recipe),
            **{f"calculator.{k}": v for k, v in vars(self.recipe).items()},
        }
        # In a pass of another call, which has drawn a network, it is the trained one.
        with trained_network():
            described: dict[str, Any] = json.loads(json.dumps(fingerprint(call)))
        return described


class OfTarget:
    """The samples of a batch at one target, reduced as they come.

    Args:
        aggregation (Aggregation): How they are reduced.

    Attributes:
        summed (tuple of int): The lengths of the axes that they were summed over.
    """

    def __init__(self, aggregation: Aggregation) -> None:
        self.aggregation = aggregation
        self.summed: tuple[int, ...] = ()
        self._statistics = RunningStatistics(aggregation.statistic)
        self._dtype = np.dtype(np.float64)
        # Which examples have no element, so that no sum of theirs has a value.
        self._is_empty: np.ndarray | bool = False

    def add(self, samples: np.ndarray) -> None:
        """Take samples ``(n, size) + target shape`` in."""
        self.aggregation.check_axes(samples.ndim, 2)
        self._statistics.add(self.aggregation.reduce(samples))
        self.summed = self.aggregation.summed_shape(samples)
        self._dtype = mean_dtype(samples)
        if self.summed and not self.aggregation.sums_over(2, samples.ndim):
            self._is_empty = _is_nan(samples[0])

    def has_no_sum(self) -> bool:
        """Tell whether an example ended before others, along an axis summed over."""
        has_none = _is_nan(self._statistics.mean) & ~np.asarray(self._is_empty)
        return bool(self.summed) and bool(has_none.any())

    def result(self, statistic: str | None = None) -> np.ndarray:
        """Return a statistic of the samples, by default that of the aggregation."""
        statistic = statistic or self.aggregation.statistic
        what = f"an aggregated saliency ({statistic})"
        return narrowed(self._statistics.result(statistic), self._dtype, what)

    def standard_error(self) -> np.ndarray:
        """Return the standard error of the mean of the samples; NaN if there is one."""
        errors = self._statistics.result("std") / np.sqrt(self._statistics.count)
        if self._statistics.count == 1:
            errors = np.full_like(errors, np.nan)
        return narrowed(errors, self._dtype, "a standard error")


def _is_nan(of_examples: np.ndarray) -> np.ndarray:
    """Return for each example whether all that there is of it is NaN, ``(size,)``."""
    axes = tuple(range(1, of_examples.ndim))
    return np.asarray(np.isnan(of_examples).all(axis=axes))
