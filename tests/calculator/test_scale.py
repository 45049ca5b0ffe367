"""What a call costs for each row does not depend on how many rows there are."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from saliency import GradientCalculator
from tests.networks import MLP, build

distributed = pytest.importorskip(
    "distributed", reason="needs Dask: pip install 'dask[distributed]'"
)
pytest.importorskip("zarr", reason="needs Zarr: pip install zarr")


@pytest.fixture(scope="module")
def client():
    """Workers that are threads of this process, so that one can see what they do."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """Nothing waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def rows(n):
    return np.random.default_rng(0).normal(size=(n, 4))


class CountedFile(io.FileIO):
    """A file opened for reading, which counts the bytes that all of them read."""

    n_byte = 0

    def readall(self):
        found = super().readall()
        CountedFile.n_byte += len(found)
        return found

    def read(self, size=-1):
        found = super().read(size)
        if size >= 0:
            CountedFile.n_byte += len(found)
        return found


def test_workers_read_no_more_for_a_row_of_many(client, tmp_path, monkeypatch):
    """The record of what is there has a line for each batch."""

    def opened(path, mode="r", *args, **kwargs):
        is_record = path.name == "saliency.json" and mode == "rb"
        if is_record:
            return CountedFile(path)
        return path_open(path, mode, *args, **kwargs)

    path_open = Path.open
    monkeypatch.setattr(Path, "open", opened)
    calculator = GradientCalculator(build(MLP, n_out=1))
    read = []
    for n in (100, 600):
        CountedFile.n_byte = 0
        calculator.compute_aggregate(
            rows(n), batchsize=1, out=tmp_path / f"{n}.zarr", workers=client
        )
        read.append(CountedFile.n_byte)
    assert 0 < read[1] < 1.5 * 6 * read[0]


class Counting(np.ndarray):
    """Counts how often something is picked from an array."""

    n = 0

    def __getitem__(self, index):
        Counting.n += 1
        return super().__getitem__(index)


def test_workers_stack_no_rows_of_an_array(client, tmp_path):
    x = rows(120).view(Counting)
    calculator = GradientCalculator(build(MLP, n_out=1))
    counts = []
    for workers in (None, client):
        Counting.n = 0
        calculator.compute_aggregate(
            x, batchsize=60, out=tmp_path / f"{len(counts)}.zarr", workers=workers
        )
        counts.append(Counting.n)
    assert counts[1] < counts[0] + 60
