"""What a call costs for each row does not depend on how many rows there are."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

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


class Labels(list):
    """Counts how often it is made an array."""

    n = 0

    def __array__(self, dtype=None, copy=None):
        Labels.n += 1
        return np.array(list(self), dtype)


def test_classes_in_a_list_become_an_array_once(tmp_path):
    model, counts = build(MLP), []
    for n in (10, 100):
        labels = Labels(np.arange(n) % 3)
        calculator = GradientCalculator(model, class_index=labels)
        Labels.n = 0
        out = tmp_path / f"{n}.npy"
        result = calculator.compute_aggregate(rows(n), batchsize=2, out=out)
        counts.append(Labels.n)
        calculator.class_index = np.array(list(labels))
        assert_array_equal(result, calculator.compute_aggregate(rows(n)))
    assert counts[0] == counts[1]


def test_the_record_does_not_hold_a_long_list_of_classes(tmp_path):
    sizes = []
    for n in (10_000, 20_000):
        calculator = GradientCalculator(build(MLP), class_index=[0, 1] * (n // 2))
        out = tmp_path / f"{n}.npy"
        calculator.compute_aggregate(rows(n), batchsize=5_000, out=out)
        record = json.loads(out.with_name(f"{n}.npy.progress.json").read_text())
        sizes.append(len(json.dumps(record["call"])))
    assert sizes[1] <= sizes[0] + 10


def test_a_long_list_of_classes_with_one_other_is_another_call(tmp_path):
    classes = [0, 1] * 5_000
    out = tmp_path / "x.npy"
    calculator = GradientCalculator(build(MLP), class_index=classes)
    calculator.compute_aggregate(rows(10_000), batchsize=5_000, out=out)
    calculator.class_index = [*classes[:7_000], 2, *classes[7_001:]]
    with pytest.raises(ValueError, match=r"calculator\.class_index is another"):
        calculator.compute_aggregate(rows(10_000), batchsize=5_000, out=out)
