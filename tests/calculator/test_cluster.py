"""The same call on the processes of a Dask cluster, some of which are killed."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    SWAGPosterior,
)
from tests.calculator.test_data import Augmented
from tests.calculator.test_out import chunk_of, done_in, files_of
from tests.networks import CNN, MLP, OwnNoise, Sequence, Siamese, Tokens, build
from tests.terminal import pseudo_terminal

import chainer.functions as F
from chainer.dataset import DatasetMixin, concat_examples

distributed = pytest.importorskip(
    "distributed", reason="needs Dask: pip install 'dask[distributed]'"
)
zarr = pytest.importorskip("zarr", reason="needs Zarr: pip install zarr")
import dask  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from saliency.calculator.results import transport  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def from_elsewhere(monkeypatch):
    """Workers read no file of this process, as those of another machine."""
    monkeypatch.setattr(transport, "_text_of", lambda file: None)
    monkeypatch.setattr(transport.InFile, "of", None)  # is not called


@pytest.fixture
def in_threads():
    """A cluster with a worker of this process."""
    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


padded = partial(concat_examples, padding=0)


def sequences(rng):
    return [rng.normal(size=(n, 2)) for n in (2, 3, 3, 5, 1, 4, 2)]


def of_links(link_class):
    """Returns a calculator for the output of a link in the middle."""

    def new():
        model = build(link_class)
        link = {Siamese: "encoder", Tokens: "embed"}[link_class]
        hook = VariableMonitorLinkHook(getattr(model, link))
        return IntegratedGradientsCalculator(model, hook, steps=3)

    return new


# What depends on the example's place in the whole data, or on the whole data.
def swag_of_three(network):
    model = build(network)
    swag = SWAGPosterior(model)
    for i in range(3):
        for parameter in model.params():
            parameter.array[...] += 0.1 * i
        swag.collect()
    return swag


CALLS = {
    "smooth_grad": (lambda: SmoothGradCalculator(build(MLP), class_index=0), {}),
    "bayes_grad": (
        lambda: BayesGradCalculator(build(MLP, dropout=0.5), class_index="argmax"),
        {"M": 3},
    ),
    "one_class_each": (
        lambda: GradientCalculator(build(MLP), class_index=[0, 1, 2, 0, 1, 2, 0]),
        {},
    ),
    "mean_baseline": (
        lambda: IntegratedGradientsCalculator(
            build(MLP), class_index=0, baseline=["mean", np.arange(28.0).reshape(7, 4)]
        ),
        {},
    ),
    "adaptive": (
        lambda: IntegratedGradientsCalculator(
            build(MLP), class_index=0, steps=5, method="adaptive"
        ),
        {},
    ),
    "mean_fill": (
        lambda: OcclusionCalculator(
            build(MLP), class_index="all", slide_axis=1, fill="mean"
        ),
        {},
    ),
    "lrp": (lambda: LRPCalculator(build(MLP), rule="zbab", low=-5, high=5), {}),
    "own_noise": (lambda: GradientCalculator(build(OwnNoise), class_index=0), {}),
    "one_value": (
        lambda: GradientCalculator(build(MLP), eval_fun=lambda v: F.mean(v**2)),
        {},
    ),
    "extractor_called_twice": (of_links(Siamese), {}),
    "posterior": (
        lambda: GradientCalculator(build(MLP), class_index=0),
        {"M": 4, "posterior": swag_of_three(MLP)},
    ),
    "conditions": (
        lambda: LRPCalculator(
            build(MLP), class_index=0, conditions={"/layers/0": [0, 2]}
        ),
        {},
    ),
    "functions": (
        lambda: GradientCalculator(build(MLP), class_index=0),
        {"preprocess_fn": lambda v: v * 2, "postprocess_fn": lambda s: s.sum(axis=1)},
    ),
}


@pytest.mark.large
def test_dask_does_not_keep_the_data_in_its_log(client, from_elsewhere, tmp_path):
    """It keeps short messages, so that all parts of a table would stay in memory."""

    def n_kept():
        # The scheduler is in this process.
        gc.collect()
        found = gc.get_objects()
        return sum(isinstance(one, transport.Pickled) for one in found)

    x = np.random.default_rng(0).normal(size=(96, 4))
    calculator = GradientCalculator(build(MLP), class_index=0)
    out = tmp_path / "x.zarr"
    n_before = n_kept()
    calculator.compute_aggregate(
        x, out=out, workers=client, batchsize=4, show_progress=False
    )
    # Of 24 parts, those alone that the workers have not forgotten yet.
    assert n_kept() <= n_before + 4


@pytest.mark.large
def test_without_a_batchsize_gives_the_bytes_of_one_process(client, rng, tmp_path):
    x = rng.normal(size=(2100, 4)).astype(np.float32)
    calculator = BayesGradCalculator(
        build(MLP, dtype=np.float32, dropout=0.5), class_index="argmax"
    )
    how = {"M": 5, "seed": 0}
    with threadpool_limits(1):
        calculator.compute_aggregate(x, out=tmp_path / "one.zarr", **how)
    calculator.compute_aggregate(x, out=tmp_path / "many.zarr", workers=client, **how)
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "many.zarr")


class Locked(DatasetMixin):
    """Holds what cannot be pickled."""

    def __init__(self, array):
        self.array, self.lock = array, threading.Lock()

    def __len__(self):
        return len(self.array)

    def get_example(self, i):
        with self.lock:
            return self.array[i]


@pytest.mark.large
def test_what_cannot_be_pickled_is_an_error_that_says_why(client, x, tmp_path):
    """The rows of a data set are sent, and not the set itself."""
    model, lock = build(MLP), threading.Lock()

    def locked(v):
        with lock:
            return model(v)

    calculator = GradientCalculator(model, eval_fun=locked, class_index=0)
    match = r"workers=\.\.\. sends .* cannot pickle '_thread.lock' object\. Leave out"
    with pytest.raises(TypeError, match=match):
        calculator.compute_aggregate(x, out=tmp_path / "x.zarr", workers=client)
    found = GradientCalculator(model, class_index=0).compute_aggregate(
        Locked(x), out=tmp_path / "y.zarr", workers=client
    )
    assert_allclose(found[:], calculator.compute_aggregate(x))


@pytest.mark.large
def test_a_dataset_that_draws_gives_the_bytes_of_one_process(client, x, tmp_path):
    calculator = GradientCalculator(build(MLP), class_index=0)
    call = partial(calculator.compute_aggregate, Augmented(x), batchsize=2, seed=0)
    before = repr(np.random.get_state())
    with threadpool_limits(1):
        call(out=tmp_path / "one.zarr")
    call(out=tmp_path / "many.zarr", workers=client)
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "many.zarr")
    assert repr(np.random.get_state()) == before


@pytest.mark.large
@pytest.mark.parametrize("name", CALLS)
def test_gives_the_bytes_of_one_process(name, client, x, tmp_path):
    new, how = CALLS[name]
    how = {"method": "abs", "batchsize": 2, "seed": 0, **how}
    with threadpool_limits(1):
        new().compute_aggregate(x, out=tmp_path / "one.zarr", **how)
    new().compute_aggregate(x, out=tmp_path / "many.zarr", workers=client, **how)
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "many.zarr")


@pytest.mark.parametrize("ch_axis", [None, 3])
@pytest.mark.large
def test_examples_of_different_lengths(client, ch_axis, rng, tmp_path):
    data = sequences(rng)
    calculator = SmoothGradCalculator(build(Sequence))
    call = partial(
        calculator.compute_aggregate,
        data,
        ch_axis=ch_axis,
        converter=padded,
        batchsize=2,
        seed=0,
    )
    with threadpool_limits(1):
        expected = call(out=tmp_path / "one.zarr")
    result = call(out=tmp_path / "many.zarr", workers=client)
    assert_array_equal(calculator.lengths, [len(row) for row in data])
    assert_array_equal(result[:], expected[:])
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "many.zarr")


@pytest.mark.large
def test_the_number_of_workers_does_not_change_a_byte(client, rng, tmp_path):
    """With a process that is started for the call, and with two of two threads."""
    images = rng.normal(size=(12, 3, 32, 32)).astype("f")
    model = build(CNN, 3, 32, 10, dtype=np.float32)
    calculator = SmoothGradCalculator(model, class_index="argmax")
    for name, workers in {"one": 1, "many": client}.items():
        calculator.compute_aggregate(
            images,
            5,
            "abs",
            2,
            seed=0,
            batchsize=2,
            out=tmp_path / f"{name}.zarr",
            workers=workers,
        )
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "many.zarr")
    result = zarr.open_array(str(tmp_path / "many.zarr"), mode="r")[:]
    samples = calculator.compute(images, 5, seed=0)
    assert_allclose(
        result, calculator.aggregate(samples, "abs", 2), rtol=1e-3, atol=1e-6
    )


def sum_of_squares(v):
    return F.sum(v**2, axis=1)


@pytest.mark.large
@pytest.mark.parametrize("way", ["file", "message"])
@pytest.mark.parametrize("kind", ["array", "transposed", "memmap", "tuple"])
def test_large_examples_arrive_as_they_are(
    kind, way, client, rng, tmp_path, request, monkeypatch
):
    if way == "message":
        request.getfixturevalue("from_elsewhere")
    else:
        monkeypatch.setattr(transport.Pickled, "padded", None)  # is not called
    x = rng.normal(size=(4, 20_000))
    np.save(tmp_path / "x.npy", x)
    data = {
        "array": x,
        "transposed": np.asfortranarray(x),
        "memmap": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "tuple": (x,),
    }[kind]
    calculator = GradientCalculator(sum_of_squares)
    call = partial(calculator.compute_aggregate, data, batchsize=1)
    assert_array_equal(call(out=tmp_path / "x.zarr", workers=client)[:], 2 * x)


def test_a_worker_that_comes_later_from_elsewhere_is_sent_the_data(
    in_threads, x, tmp_path, monkeypatch
):
    seen = []

    def is_here(data):
        seen.append(data)
        return False

    monkeypatch.setattr(transport.InFile, "is_here", is_here)
    calculator = GradientCalculator(sum_of_squares)
    call = partial(calculator.compute_aggregate, x, batchsize=1)
    assert_array_equal(call(out=tmp_path / "x.zarr", workers=in_threads)[:], 2 * x)
    # Those that were on their way when the first came back.
    assert 1 <= len(seen) <= 2
    assert not any(one.path.exists() for one in seen)


class Killer:
    """A ``preprocess_fn`` that kills its process at one example, once."""

    def __init__(self, folder, value):
        self.folder = folder
        self.value = value

    def __call__(self, v):
        with (self.folder / "seen").open("a") as file:
            file.write(f"{v[0, 0]:.0f}\n")
        mark = self.folder / "killed"
        is_worker = os.getpid() != int((self.folder / "pid").read_text())
        if is_worker and self.value in v[:, 0] and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return v


@pytest.mark.large
def test_a_worker_that_is_killed_costs_its_shard_alone(tmp_path):
    x = np.arange(256.0).reshape(256, 1) * np.ones(4)
    killer = Killer(tmp_path, 101.0)
    (tmp_path / "pid").write_text(str(os.getpid()))
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    call = partial(
        calculator.compute_aggregate, x, 3, batchsize=2, preprocess_fn=killer, seed=0
    )
    with threadpool_limits(1):
        call(out=tmp_path / "one.zarr")
    (tmp_path / "seen").unlink()
    call(out=tmp_path / "many.zarr", workers=2)
    assert (tmp_path / "killed").exists()
    # 128 batches in shards of 16 at most, and one batch to find the shape. What its
    # worker had finished, and not handed over yet, is lost as well.
    seen = [float(line) for line in (tmp_path / "seen").read_text().split()]
    assert set(seen) == set(range(0, 256, 2))
    assert len(seen) <= 128 + 1 + 2 * 16
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "many.zarr")


class Failing:
    """A ``preprocess_fn`` that raises at one example while there is a file."""

    def __init__(self, path, value):
        self.path = path
        self.value = value

    def __call__(self, v):
        if self.path.exists() and self.value in v:
            raise RuntimeError("no such luck")
        return v


@pytest.mark.large
def test_an_error_on_a_worker_is_the_calls_and_the_work_goes_on(client, x, tmp_path):
    mark = tmp_path / "fail"
    mark.touch()
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    call = partial(
        calculator.compute_aggregate,
        x,
        batchsize=1,
        preprocess_fn=Failing(mark, x[5, 0]),
        seed=0,
    )
    with pytest.raises(RuntimeError, match="no such luck"):
        call(out=tmp_path / "many.zarr", workers=client)
    n_done = len(done_in(tmp_path / "many.zarr"))
    assert n_done < 7
    mark.unlink()
    # Here, or on the cluster: it is one work.
    with threadpool_limits(1):
        call(out=tmp_path / "many.zarr", workers=client if n_done % 2 else None)
        call(out=tmp_path / "one.zarr")
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "many.zarr")


@pytest.mark.large
def test_what_is_finished_is_returned_at_once(client, x, tmp_path):
    out = tmp_path / "x.zarr"
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    first = calculator.compute_aggregate(x, out=out, workers=client)[:]
    before = files_of(out)
    again = calculator.compute_aggregate(x, out=out, workers=client)
    assert_array_equal(again[:], first)
    assert files_of(out) == before


@pytest.mark.large
def test_gaps_are_filled_in_one_process_too(client, x, tmp_path):
    """As they are left where shards did not come back in order."""
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    call = partial(calculator.compute_aggregate, x, batchsize=1, seed=0)
    with threadpool_limits(1):
        call(out=tmp_path / "whole.zarr")
        call(out=tmp_path / "gaps.zarr")
        for batch in (0, 1, 4, 5):
            chunk_of(tmp_path / "gaps.zarr", batch).unlink()
        with pytest.raises(ValueError, match=r"batches 0 to 1 .* and batches 4"):
            call(out=tmp_path / "gaps.zarr", workers=client)
        result = call(out=tmp_path / "gaps.zarr", repair=True)
    assert files_of(tmp_path / "gaps.zarr") == files_of(tmp_path / "whole.zarr")
    assert_allclose(result[:], calculator.compute_aggregate(x, seed=0))


@pytest.mark.large
def test_workers_repair_what_is_damaged(client, x, tmp_path):
    seen = tmp_path / "seen"

    def note(v):
        with seen.open("a") as file:
            file.write(f"{os.getpid() == pid} {v[0, 0]}\n")
        return v

    pid = os.getpid()
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    call = partial(
        calculator.compute_aggregate,
        x,
        batchsize=1,
        seed=0,
        out=tmp_path / "x.zarr",
        preprocess_fn=note,
        workers=client,
    )
    call()
    before = files_of(tmp_path / "x.zarr")
    seen.unlink()
    chunk = chunk_of(tmp_path / "x.zarr", 3)
    chunk.write_bytes(chunk.read_bytes()[::-1])
    with pytest.raises(ValueError, match=r"damaged: batch 3 \(row 3\)"):
        call()
    call(repair=True)
    assert files_of(tmp_path / "x.zarr") == before
    by_workers = [line for line in seen.read_text().split("\n") if "False" in line]
    assert by_workers == [f"False {x[3, 0]}"]


class Replacing:
    """A ``preprocess_fn`` that has a worker do something to the store, once."""

    def __init__(self, out, work):
        self.out = out
        self.work = work
        self.pid = os.getpid()

    def __call__(self, v):
        if os.getpid() != self.pid and self.out.exists():
            self.work(self.out)
        return v


def remove(out):
    shutil.rmtree(out)


def begin_anew(out):
    """Puts the store of another call there."""
    shutil.rmtree(out)
    shutil.copytree(out.with_name("other.zarr"), out)


@pytest.mark.parametrize("work", [remove, begin_anew])
def test_a_worker_writes_into_no_store_but_that_of_its_call(work, client, x, tmp_path):
    """Tasks may live on when who sent them has been killed and the store removed."""
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    out = tmp_path / "x.zarr"
    other = calculator.compute_aggregate(x, out=tmp_path / "other.zarr", seed=1)[:]
    with pytest.raises(Exception, match=r"another call's meanwhile|No such file"):
        calculator.compute_aggregate(
            x, out=out, workers=client, preprocess_fn=Replacing(out, work)
        )
    if work is begin_anew:
        assert_array_equal(zarr.open_array(str(out), mode="r")[:], other)
    else:
        assert not out.exists()


def test_another_call_is_refused_before_work_is_sent(client, x, tmp_path):
    out = tmp_path / "x.zarr"
    for function in (F.tanh, F.sigmoid):
        calculator = SmoothGradCalculator(build(MLP, n_out=1, activation=function))
        call = partial(calculator.compute_aggregate, x, seed=0, workers=client)
        if function is F.tanh:
            call(out=out)
            before = files_of(out)
        else:
            with pytest.raises(ValueError, match="batch 0 differs by"):
                call(out=out)
    assert files_of(out) == before


def of_two_rows_at_most(v):
    if len(v) > 2:
        raise MemoryError
    return F.sum(v**2, axis=1)


def test_warnings_of_workers_are_given_once(client, x, tmp_path):
    calls = {
        "ran out of memory": GradientCalculator(of_two_rows_at_most),
        "sum of the 3 columns": GradientCalculator(build(MLP)),
    }
    for i, (message, calculator) in enumerate(calls.items()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            calculator.compute_aggregate(
                x, 4, out=tmp_path / f"{i}.zarr", workers=client, batchsize=3
            )
        ours = [w for w in caught if w.category is UserWarning]
        ours = [w for w in ours if "samples are equal" not in str(w.message)]
        assert [message in str(w.message) for w in ours] == [True]
        assert ours[0].filename == __file__


def test_the_cluster_is_left_as_it_was(client, x, tmp_path):
    before = client.run(lambda dask_worker: sorted(dask_worker.plugins))
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    calculator.compute_aggregate(x, out=tmp_path / "x.zarr", workers=client)
    assert client.run(lambda dask_worker: sorted(dask_worker.plugins)) == before


#: Seconds that a loop of Dask may take to come round, in a test; longer, it says so.
LIMIT = 1.0


class Looking:
    """A ``preprocess_fn`` that notes whether Dask observes what its worker executes."""

    def __init__(self, path, fails):
        self.path = path
        self.fails = fails

    def __call__(self, v):
        with contextlib.suppress(ValueError):  # in no worker
            is_off = turns(distributed.get_worker(), False)
            self.path.write_text(str(is_off))
            time.sleep(1.5 * LIMIT)
            if self.fails:
                raise RuntimeError("no such luck")
        return v


def turns(worker, is_on):
    """Tell whether a worker is observed, or is not, or will be so in a moment."""
    observing = [worker.periodic_callbacks[name] for name in ("profile", "tick")]
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if all(callback.is_running() == is_on for callback in observing):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.large
@pytest.mark.parametrize("fails", [False, True])
def test_dask_observes_nothing_meanwhile_and_goes_on(
    fails, in_threads, x, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(distributed.core, "tick_maximum_delay", LIMIT)
    caplog.set_level(logging.INFO, "distributed.core")
    look = Looking(tmp_path / "is_off", fails)
    calculator = GradientCalculator(sum_of_squares)
    call = partial(calculator.compute_aggregate, x, preprocess_fn=look)
    expected = pytest.raises(RuntimeError) if fails else contextlib.nullcontext()
    with expected:
        call(out=tmp_path / "x.zarr", workers=in_threads, batchsize=len(x))
    assert look.path.read_text() == "True"
    (worker,) = in_threads.cluster.workers.values()
    assert turns(worker, True)
    time.sleep(0.1)  # some ticks
    assert "unresponsive in Worker" not in caplog.text


def faults(n_byte):
    """Return how many pages the system clears for twenty arrays in turn."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(n_byte, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


class Allocating:
    """A ``preprocess_fn`` that notes what memory costs in a worker."""

    def __init__(self, path):
        self.path = path

    def __call__(self, v):
        with contextlib.suppress(ValueError):  # in no worker
            distributed.get_worker()
            self.path.write_text(str(faults(1 << 20)))
        return v


@pytest.mark.large
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library is not glibc"
)
def test_workers_of_the_user_keep_memory_meanwhile(client, x, tmp_path):
    calculator = GradientCalculator(sum_of_squares)
    calculator.compute_aggregate(
        x,
        out=tmp_path / "x.zarr",
        workers=client,
        preprocess_fn=Allocating(tmp_path / "seen"),
    )
    assert int((tmp_path / "seen").read_text()) < 1_000
    # Dask has them give it back otherwise, and so they do again. What lies below memory
    # in use cannot go back: an array of the same size might find room there.
    assert min(client.run(faults, 7 << 19).values()) > 5_000


class Noting:
    """A ``preprocess_fn`` that notes how Dask has started its process.

    That is whether it samples what is executed, and how many bytes that are free the C
    library keeps.
    """

    def __init__(self, path):
        self.path = path

    def __call__(self, v):
        with contextlib.suppress(ValueError):  # in no worker
            distributed.get_worker()
            is_sampled = dask.config.get("distributed.worker.profile.enabled")
            n_byte = os.environ["MALLOC_TRIM_THRESHOLD_"]
            self.path.write_text(f"{is_sampled} {n_byte}")
        return v


@pytest.mark.large
def test_processes_of_its_own_do_nothing_beside(x, tmp_path, monkeypatch):
    # Dask leaves behind what it has set for another cluster, and respects it.
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    before = dask.config.get("distributed.worker.profile.enabled")
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    calculator.compute_aggregate(
        x, out=tmp_path / "x.zarr", workers=1, preprocess_fn=Noting(tmp_path / "seen")
    )
    assert (tmp_path / "seen").read_text() == f"False {64 << 20}"
    assert dask.config.get("distributed.worker.profile.enabled") == before


SCRIPT = """
from saliency import SmoothGradCalculator
import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np

class Network(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 5)
            self.l2 = L.Linear(5, 1)

    def forward(self, x):
        return self.l2(F.tanh(self.l1(x)))

def main():
    x = np.random.default_rng(0).normal(size=(9, 4)).astype("f")
    calculator = SmoothGradCalculator(Network())
    result = calculator.compute_aggregate(
        x, 3, out="x.zarr", workers=1, batchsize=2, preprocess_fn=lambda v: v * 2
    )
    print(np.isfinite(result[:]).all())

if __name__ == "__main__":
    main()
"""


@pytest.mark.large
def test_a_script_with_a_model_of_its_own(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    with pseudo_terminal() as (terminal, shown):
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=120,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
        )
    assert done.stdout == "True\n", shown[0]
    assert "SmoothGrad: 100%" in shown[0]
    assert "example/s" in shown[0] or "s/example" in shown[0]


class TestBadInput:
    @pytest.fixture
    def calculator(self):
        def model(v):
            raise AssertionError("the model ran")

        return GradientCalculator(model)

    @pytest.mark.parametrize("workers", [0, -1])
    def test_no_workers(self, calculator, workers, x, tmp_path):
        with pytest.raises(ValueError, match="workers must be an int >= 1"):
            calculator.compute_aggregate(x, out=tmp_path / "x.zarr", workers=workers)

    @pytest.mark.parametrize("workers", ["4", 1.5, True, ...], ids=repr)
    def test_what_are_no_workers(self, calculator, workers, x, tmp_path):
        with pytest.raises(TypeError, match=r"workers must be an int, a .*Client"):
            calculator.compute_aggregate(x, out=tmp_path / "x.zarr", workers=workers)

    @pytest.mark.parametrize("out", [None, "x.npy", np.zeros((7, 4))], ids=type)
    def test_what_workers_cannot_write_into(self, calculator, out, x):
        with pytest.raises(ValueError, match=r"out must be a path .* \.zarr"):
            calculator.compute_aggregate(x, out=out, workers=2)

    @pytest.mark.large
    def test_without_dask_the_error_says_what_to_install(
        self, calculator, x, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "distributed", None)
        monkeypatch.delitem(
            sys.modules, "saliency.calculator.results.cluster", raising=False
        )
        monkeypatch.delattr("saliency.calculator.results.cluster", raising=False)
        with pytest.raises(ImportError, match=r"pip install 'dask\[distributed\]'"):
            calculator.compute_aggregate(x, out=tmp_path / "x.zarr", workers=2)
