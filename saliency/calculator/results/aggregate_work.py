"""The work of one ``compute_aggregate`` call: in memory, into a store, on a cluster."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from saliency.calculator.engine.dataset import Batches, lengths_if_ragged
from saliency.calculator.engine.job import ComputeJob, running_job
from saliency.calculator.engine.padding import concatenate_padded
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.results.aggregation import Aggregation
from saliency.calculator.results.fingerprint import fingerprint
from saliency.calculator.results.stores import Out, as_zarr_path, open_out

if TYPE_CHECKING:
    from saliency.calculator.base_calculator import BaseCalculator

_N_PEEKED = 8  # examples that stand for the data where a call is compared


class Writer(Protocol):
    """Takes rows as they come."""

    def write(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write the rows from ``start`` to ``stop``."""


class AggregateWork:
    """What is to be computed.

    Args:
        calculator (BaseCalculator): Explains.
        settings (ComputeSettings): How samples are computed.
        aggregation (Aggregation): How they are reduced.
        batches (Batches): The data.
    """

    def __init__(
        self,
        calculator: BaseCalculator,
        settings: ComputeSettings,
        aggregation: Aggregation,
        batches: Batches,
    ) -> None:
        self.calculator = calculator
        self.settings = settings
        self.aggregation = aggregation
        self.batches = batches

    def in_memory(self, show_progress: bool) -> np.ndarray:
        """Return the result of all batches."""
        n_example = self.batches.n_example
        blocks, lengths = [], []
        with self.running(n_example, show_progress) as job:
            job.prepare()
            for batch in self.batches:
                blocks.append(job.aggregate(batch, self.aggregation))
                lengths.append(batch.lengths)
        self.calculator.lengths = lengths_if_ragged(lengths)
        return concatenate_padded(blocks, axis=0, fill=np.nan)

    def into(self, out: Any, show_progress: bool) -> Any:
        """Write what is missing into ``out``, and return it."""
        opened = self._open(out)
        lengths = self.batches.lengths()
        if opened.missing:
            n_missing = sum(stop - start for start, stop in opened.missing)
            with self.running(n_missing, show_progress) as job:
                job.prepare()
                if lengths is not None:
                    self._create(opened, job, int(lengths.argmax()))
                for start, stop in opened.missing:
                    self.write(job, start, stop, opened)
        self.calculator.lengths = lengths
        return opened.array

    def on_cluster(self, out: Any, workers: Any, show_progress: bool) -> Any:
        """Have processes write what is missing into ``out``, and return it."""
        from saliency.calculator.results import cluster

        path = as_zarr_path(out)
        if path is None:
            raise ValueError(
                "out must be a path that ends with .zarr where there are workers, so "
                f"that all can write into it; got {out!r}"
            )
        cluster.check_workers(workers)
        opened = self._open(path)
        if opened.missing:
            cluster.run(self, opened, path, workers, show_progress)
        self.calculator.lengths = self.batches.lengths()
        return opened.array

    def get_ready(self, out: Out) -> None:
        """Do what needs the whole data, so that shards of it can be explained."""
        lengths = self.batches.lengths()
        with self.running(0, show_progress=False) as job:
            job.prepare()
            self._create(out, job, 0 if lengths is None else int(lengths.argmax()))

    def write(self, job: ComputeJob, start: int, stop: int, out: Writer) -> None:
        """Compute the rows from ``start`` to ``stop``, and write each batch."""
        for batch in self.batches.between(start, stop):
            job.learn_anew()  # whoever computes a batch, its bytes are the same
            rows = job.aggregate(batch, self.aggregation)
            out.write(batch.start, batch.start + batch.size, rows)

    def running(
        self, n_example: int, show_progress: bool
    ) -> AbstractContextManager[ComputeJob]:
        """Return a job for a ``with`` block that explains so many examples."""
        return running_job(
            self.calculator, self.settings, self.batches, n_example, show_progress
        )

    def _open(self, out: Any) -> Out:
        """Open ``out``, and take the seed that it was begun with."""
        batches = self.batches
        opened = open_out(out, self._call(), batches.n_example, batches.batchsize)
        self.settings = replace(self.settings, seed=opened.seed)
        return opened

    def _create(self, out: Out, job: ComputeJob, index: int) -> None:
        """Make the array with room for what one example gives."""
        start = index - index % self.batches.batchsize
        stop = min(start + self.batches.batchsize, self.batches.n_example)
        if out.array is None:
            out.create(*job.row(self.batches.load(start, stop), self.aggregation))

    def _call(self) -> dict[str, Any]:
        """Return what decides the result, in the types of JSON."""
        n = self.batches.n_example
        some = sorted({i * (n - 1) // _N_PEEKED for i in range(_N_PEEKED + 1)})
        call = {
            "N": n,
            "data": [self.batches.peek(i) for i in some],
            "method": self.aggregation.method,
            "ch_axis": self.aggregation.ch_axis,
            "statistic": self.aggregation.statistic,
            **vars(self.settings),
            "calculator": type(self.calculator),
        }
        run_state = self.calculator.run_state
        for name, value in vars(self.calculator).items():
            if name not in run_state:
                call[f"calculator.{name}"] = value
        return json.loads(json.dumps(fingerprint(call)))
