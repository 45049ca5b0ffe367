"""What a call costs for each row does not depend on how many rows there are."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from saliency import GradientCalculator, SmoothGradCalculator
from tests.networks import MLP, build

distributed = pytest.importorskip(
    "distributed", reason="needs Dask: pip install 'dask[distributed]'"
)
zarr = pytest.importorskip("zarr", reason="needs Zarr: pip install zarr")


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


@pytest.mark.large
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
    for n in (100, 400):
        CountedFile.n_byte = 0
        calculator.compute_aggregate(
            rows(n), batchsize=1, out=tmp_path / f"{n}.zarr", workers=client
        )
        read.append(CountedFile.n_byte)
    assert 0 < read[1] < 1.5 * 4 * read[0]


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


class OnDisk:
    """An array as h5py and Zarr have them, which keeps what is read of it."""

    def __init__(self, array, chunks=None):
        self._array = array
        self.chunks = chunks
        self.reads = []

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)

    def __getitem__(self, index):
        assert isinstance(index, slice)
        self.reads.append(range(*index.indices(len(self._array))))
        return self._array[index]

    @property
    def largest(self):
        """How many bytes the largest read has brought."""
        n_byte = self._array.itemsize * self._array[0].size
        return max(map(len, self.reads)) * n_byte


@pytest.mark.parametrize("with_workers", [False, True])
@pytest.mark.large
def test_an_array_on_disk_is_read_piece_by_piece(with_workers, client, tmp_path):
    n = 100_000  # of 32 bytes
    x = OnDisk(rows(n))
    calculator = GradientCalculator(build(MLP, n_out=1))
    result = calculator.compute_aggregate(
        x,
        batchsize=5_000,
        out=tmp_path / "x.zarr",
        workers=client if with_workers else None,
    )
    assert x.largest <= 2 << 20
    # For the digest, and for the work; and the beginning, to see what there is.
    assert sum(map(len, x.reads)) <= 2 * n + 3 * 2**16
    assert len(x.reads) <= 2 * 4 + 6
    expected = calculator.compute_aggregate(rows(n), batchsize=5_000)
    assert_array_equal(result[:], expected)


def test_arrays_on_disk_in_a_tuple_are_read_once_for_the_digest_and_once(tmp_path):
    def model(a, b):
        return a * b

    first, second = OnDisk(rows(60)), OnDisk(rows(60) + 1)
    calculator = GradientCalculator(model, class_index="sum")
    out = tmp_path / "x.npy"
    result = calculator.compute_aggregate((first, second), batchsize=20, out=out)
    assert max(len(first.reads), len(second.reads)) <= 2
    assert_array_equal(result, rows(60) + 1)


@pytest.mark.parametrize("wrap", [OnDisk, lambda x: (OnDisk(x),)])
def test_an_array_on_disk_takes_as_many_passes_as_one_in_memory(wrap):
    calls = []

    def model(v):
        calls.append(len(v))
        return v**2

    calculator = GradientCalculator(model, class_index="sum")
    for data in (rows(1_000), wrap(rows(1_000))):
        calculator.compute_aggregate(data)
    n = len(calls) // 2
    assert calls[:n] == calls[n:]


def test_chunks_are_read_whole(tmp_path):
    x = OnDisk(rows(100_000), chunks=(30_007, 4))
    calculator = GradientCalculator(build(MLP, n_out=1))
    calculator.compute_aggregate(x, batchsize=1_000, out=tmp_path / "x.npy")
    assert all(read.start % 30_007 == 0 for read in x.reads)
    assert all(read.stop % 30_007 == 0 or read.stop == 100_000 for read in x.reads)
    assert len(x.reads) <= 2 * 4 + 2


def test_a_chunk_that_holds_all_is_not_read_whole():
    x = OnDisk(np.broadcast_to(np.zeros(1_000), (100_000, 1_000)), (100_000, 1_000))
    calculator = GradientCalculator(lambda v: v, class_index=5_000)
    with pytest.raises(ValueError, match="class_index must be in"):
        calculator.compute(x)  # stops at the first batch
    assert x.largest <= 64 << 20


@pytest.mark.parametrize("kind", ["zarr", "h5py"])
def test_files_of_zarr_and_h5py_are_data(kind, tmp_path):
    x = rows(50)
    if kind == "zarr":
        how = {"shape": x.shape, "chunks": (8, 4), "dtype": x.dtype}
        data = zarr.open_array(str(tmp_path / "data.zarr"), mode="w", **how)
        data[:] = x
    else:
        h5py = pytest.importorskip("h5py", reason="needs h5py: pip install h5py")
        file = h5py.File(tmp_path / "data.h5", "w")
        data = file.create_dataset("x", data=x, chunks=(8, 4))
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    found = calculator.compute(data, 2, seed=0, batchsize=7)
    assert_array_equal(found, calculator.compute(x, 2, seed=0, batchsize=7))
    out = tmp_path / "x.npy"
    calculator.compute_aggregate(x, 2, seed=0, batchsize=7, out=out)
    # It is the same call, whose work is done.
    calculator.compute_aggregate(data, 2, seed=0, batchsize=7, out=out)


@pytest.mark.large
def test_batches_that_take_no_time_are_sent_together(client, tmp_path, monkeypatch):
    """A task costs some milliseconds, whatever is in it."""
    submitted = []

    def submit(*args, **kwargs):
        submitted.append(args)
        return type(client).submit(client, *args, **kwargs)

    monkeypatch.setattr(client, "submit", submit)
    calculator = GradientCalculator(build(MLP, n_out=1))
    calculator.compute_aggregate(
        rows(800), batchsize=1, out=tmp_path / "x.zarr", workers=client
    )
    assert len(submitted) < 70


@pytest.mark.large
def test_data_does_not_travel_with_the_tasks_of_own_processes(
    client, tmp_path, monkeypatch
):
    """It takes two sockets and four copies that way; it is in files for a while."""
    sent, folder = [], tmp_path / "temporary"

    def submit(*args, **kwargs):
        sent.append(sum(len(pickle.dumps(one)) for one in args[1:]))
        files.update(folder.rglob("*"))
        assert all(one.stat().st_mode & 0o077 == 0 for one in folder.iterdir())
        return type(client).submit(client, *args, **kwargs)

    files = set()
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(client, "submit", submit)
    monkeypatch.setattr(
        "saliency.calculator.results.cluster._client",
        lambda workers: contextlib.nullcontext(client),
    )
    x = np.random.default_rng(0).normal(size=(64, 1_000))
    calculator = GradientCalculator(lambda v: v**2, class_index="sum")
    result = calculator.compute_aggregate(
        x, batchsize=4, out=tmp_path / "x.zarr", workers=2
    )
    assert_array_equal(result[:], 2 * x)
    assert max(sent) < 4_000
    assert files and not list(folder.iterdir())
