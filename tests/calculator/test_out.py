"""Results that are written as they come, and work that is resumed where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    ShapleyCalculator,
    SmoothGradCalculator,
)
from tests.calculator.every_calculator import AGGREGATING
from tests.covering import every_pair, every_value
from tests.networks import MLP, Calls, Fuse, Sequence, Tokens, build

import chainer
import chainer.functions as F
from chainer.dataset import DatasetMixin, concat_examples

zarr = pytest.importorskip("zarr", reason="needs Zarr: pip install zarr")

ROOT = Path(__file__).parents[2]
every_kind = pytest.mark.parametrize("kind", ["npy", "zarr"])


def files_of(path):
    """Returns the bytes of a file or of all files in a folder, and of the record."""
    if path.is_dir():
        return {p.name: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    record = path.with_name(f"{path.name}.progress.json")
    return {p.name[len(path.stem) :]: p.read_bytes() for p in (path, record)}


def record_of(path):
    record = path / "saliency.json" if path.is_dir() else f"{path}.progress.json"
    return json.loads(Path(record).read_text())


def done_in(path):
    """Returns the batches that are recorded."""
    return [i for i, b in enumerate(record_of(path)["batches"]) if b is not None]


def chunk_of(path, batch):
    """Returns the file of a batch, where Zarr 3 or Zarr 2 has it."""
    files = path / "c" / str(batch) / "0", path / f"{batch}.0"
    return next(file for file in files if file.exists())


class Blowing(chainer.Chain):
    """A network with a fuse, which is no part of what is compared."""

    def __init__(self, blows_at=None):
        super().__init__()
        self.blows_at = blows_at
        self.calls = Calls()  # calculators put back what links have as attributes
        with self.init_scope():
            self.network = MLP(n_out=1, dropout=0.5)

    def forward(self, x):
        self.calls.n += 1
        if self.blows_at is not None and self.calls.n >= self.blows_at:
            raise RuntimeError("the fuse has blown")
        return self.network(x)


class TestWhatIsWritten:
    @every_kind
    @pytest.mark.parametrize("batchsize", [1, 3, 16])
    def test_is_the_result(self, kind, batchsize, x, tmp_path):
        calculator = SmoothGradCalculator(build(MLP, n_out=1))
        how = {"M": 3, "method": "abs", "batchsize": batchsize, "seed": 0}
        out = tmp_path / f"x.{kind}"
        written = calculator.compute_aggregate(x, out=out, **how)
        expected = calculator.compute_aggregate(x, **how)
        assert_array_equal(written[:], expected)
        assert written.dtype == expected.dtype
        if kind == "npy":
            assert isinstance(written, np.memmap)
            assert_array_equal(np.load(out), expected)
        else:
            assert isinstance(written, zarr.Array)
            assert_array_equal(zarr.open_array(str(out), mode="r")[:], expected)
            assert written.chunks == (min(batchsize, 7), 4)

    @every_kind
    def test_is_the_statistic_that_was_asked_for(self, kind, x, tmp_path):
        calculator = BayesGradCalculator(build(MLP, n_out=1, dropout=0.5))
        how = {"M": 4, "statistic": "std", "batchsize": 3, "seed": 0}
        written = calculator.compute_aggregate(x, out=tmp_path / f"x.{kind}", **how)
        assert_array_equal(written[:], calculator.compute_aggregate(x, **how))
        with pytest.raises(ValueError, match="statistic was 'std' and is 'ucb'"):
            calculator.compute_aggregate(
                x, out=tmp_path / f"x.{kind}", **{**how, "statistic": "ucb"}
            )

    def test_may_be_an_array_of_numpy(self, x):
        calculator = GradientCalculator(build(MLP, n_out=1))
        out = np.zeros((7, 4))
        assert calculator.compute_aggregate(x, out=out, batchsize=3) is out
        assert_array_equal(out, calculator.compute_aggregate(x, batchsize=3))
        out[...] = 0
        calculator.compute_aggregate(x, out=out, batchsize=3)
        assert out.all()  # nothing is remembered of it

    @pytest.mark.parametrize("chunk", [1, 2, 7])
    def test_may_be_an_array_of_zarr(self, chunk, x, tmp_path):
        calculator = GradientCalculator(Blowing())
        shape = {"shape": (7, 4), "chunks": (chunk, 3), "dtype": "f4"}
        out = zarr.open_array(str(tmp_path / "mine"), mode="w", **shape)
        x = x.astype("f")
        calculator.model.blows_at = 2
        with pytest.raises(RuntimeError, match="fuse"):
            calculator.compute_aggregate(x, out=out, batchsize=3)
        calculator.model.blows_at = None
        assert calculator.compute_aggregate(x, out=out, batchsize=3) is out
        assert calculator.model.calls.n == 2 + 1 + 2  # one is done again, to compare
        assert_array_equal(out[:], calculator.compute_aggregate(x, batchsize=3))
        with pytest.raises(ValueError, match=r"batchsize was 3 and is 4.*attribute"):
            calculator.compute_aggregate(x, out=out, batchsize=4)

    @every_kind
    def test_a_path_may_be_a_str(self, kind, x, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        calculator = GradientCalculator(build(MLP, n_out=1))
        calculator.compute_aggregate(x, out=f"x.{kind}")
        assert (tmp_path / f"x.{kind}").exists()

    @every_kind
    def test_one_number_for_each_example(self, kind, x, tmp_path):
        calculator = GradientCalculator(build(MLP, n_out=1))
        out = calculator.compute_aggregate(x, 1, "abs", 2, out=tmp_path / f"x.{kind}")
        assert_allclose(out[:], abs(calculator.compute(x)[0]).sum(axis=1))


padded = partial(concat_examples, padding=0)
LENGTHS = (2, 3, 3, 5, 1)


class TestExamplesOfDifferentLengths:
    @pytest.fixture
    def sequences(self, rng):
        return [rng.normal(size=(n, 2)) for n in LENGTHS]

    @every_pair(kind=["npy", "zarr"], batchsize=[1, 2, 16], ch_axis=[None, 3])
    def test_have_the_room_of_the_longest(
        self, kind, batchsize, ch_axis, sequences, tmp_path
    ):
        calculator = SmoothGradCalculator(build(Sequence))
        how = {"converter": padded, "batchsize": batchsize, "seed": 0}
        call = partial(
            calculator.compute_aggregate, sequences, 2, "abs", ch_axis, **how
        )
        out = call(out=tmp_path / f"x.{kind}")
        assert_array_equal(calculator.lengths, LENGTHS)
        assert_array_equal(out[:], call())
        assert_array_equal(
            np.isnan(out[:]).reshape(5, -1).any(axis=1), np.array(LENGTHS) < 5
        )

    def test_of_a_target_in_the_middle(self, rng, tmp_path):
        tokens = [rng.integers(1, 10, n).astype(np.int32) for n in LENGTHS]
        model = build(Tokens)
        for link, width in ((model.embed, 5), (model.out, 1)):
            calculator = GradientCalculator(model, VariableMonitorLinkHook(link))
            how = {"converter": padded, "batchsize": 2}
            out = tmp_path / f"{width}.npy"
            result = calculator.compute_aggregate(tokens, out=out, **how)
            assert result.shape[1] == width
            assert_array_equal(result, calculator.compute_aggregate(tokens, **how))

    def test_of_a_dataset_that_is_not_read_twice_need_room(self, sequences, tmp_path):
        class Examples(DatasetMixin):
            def __len__(self):
                return 5

            def get_example(self, i):
                return sequences[i]

        calculator = GradientCalculator(build(Sequence))
        call = partial(
            calculator.compute_aggregate, Examples(), converter=padded, batchsize=2
        )
        with pytest.raises(ValueError, match=r"out has room for \(3, 2\).*example 2"):
            call(out=tmp_path / "x.npy")
        out = np.zeros((5, 6, 2))
        call(out=out)
        assert np.isnan(out[:, 5:]).all()
        assert_array_equal(out[:, :5], call())


def interrupted(call, calculator, at, out):
    """Has a call blow at some pass; returns how many there were."""
    calculator.model.calls.n, calculator.model.blows_at = 0, at
    with pytest.raises(RuntimeError, match="the fuse has blown"):
        call(out=out)
    calculator.model.blows_at = None
    return calculator.model.calls.n


class TestRestart:
    @pytest.mark.large
    @every_value(
        new_calculator=AGGREGATING,
        kind=["npy", "zarr"],
        passes={"early": lambda n: (1, n // 2), "late": lambda n: (n - 1, n)},
    )
    def test_gives_the_bytes_of_an_uninterrupted_run(
        self, new_calculator, kind, passes, x, tmp_path
    ):
        """With the very calculator, and with a new one as in a new process."""
        how = {"M": 3, "batchsize": 2, "seed": 0, "train": True}

        def new(blows_at=None):
            return new_calculator(build(Blowing, blows_at))

        whole = new()
        whole.compute_aggregate(x, out=tmp_path / f"0.{kind}", **how)
        for i, at in enumerate(passes(whole.model.calls.n), 1):
            calculator, out = new(), tmp_path / f"{i}.{kind}"
            call = partial(calculator.compute_aggregate, x, **how)
            interrupted(call, calculator, at, out)
            if i % 2:
                call = partial(new().compute_aggregate, x, **how)
            call(out=out)
            assert files_of(out) == files_of(tmp_path / f"0.{kind}")

    @every_kind
    def test_resumes_after_the_last_complete_batch(self, kind, x, tmp_path):
        calculator = GradientCalculator(build(Blowing))
        out = tmp_path / f"x.{kind}"
        call = partial(calculator.compute_aggregate, x, batchsize=1)
        interrupted(call, calculator, 6, out)
        assert done_in(out) == [0, 1, 2, 3, 4]
        calculator.model.calls.n = 0
        call(out=out)
        assert calculator.model.calls.n == 3 + 2  # three are done again, to compare

    @every_kind
    def test_what_is_finished_costs_three_batches(self, kind, x, tmp_path):
        calculator = SmoothGradCalculator(build(Blowing))
        out = tmp_path / f"x.{kind}"
        call = partial(calculator.compute_aggregate, x, 1, batchsize=1, out=out)
        first = call()[:]
        before = files_of(out)
        calculator.model.calls.n = 0
        assert_array_equal(call()[:], first)
        assert calculator.model.calls.n == 3
        assert files_of(out) == before

    @every_kind
    def test_a_batch_is_run_as_it_shows_itself(self, kind, x, tmp_path):
        """Not as batches before it did, which a call that resumes may not have run.

        Here the first batch has random numbers drawn, so that its rows go one by one.
        """
        model, rows = MLP(), []

        def drawing(v):
            rows.append(len(v))
            is_first = np.abs(v.array - x[0]).max(axis=1).min() < 1e-6
            noise = np.random.random() if is_first else 1.0
            return model(v) * float(noise)

        calculator = GradientCalculator(model, eval_fun=drawing, class_index=0)
        out = tmp_path / f"x.{kind}"
        calculator.compute_aggregate(x[:6], batchsize=3, seed=0, out=out)
        assert rows[-1] == 3

    @every_kind
    def test_without_a_seed_goes_on_with_the_one_that_was_drawn(
        self, kind, x, tmp_path
    ):
        calculator = SmoothGradCalculator(build(Blowing))
        outs = [tmp_path / f"{i}.{kind}" for i in range(3)]
        call = partial(calculator.compute_aggregate, x, 3, batchsize=2)
        interrupted(call, calculator, 6, outs[0])
        result = call(out=outs[0])
        seed = record_of(outs[0])["call"]["seed"]
        assert_array_equal(result[:], call(seed=seed))
        call(out=outs[1], seed=seed)
        assert files_of(outs[1]) == files_of(outs[0])
        call(out=outs[2])
        assert record_of(outs[2])["call"]["seed"] != seed

    @every_kind
    @pytest.mark.large
    def test_examples_of_different_lengths(self, kind, rng, tmp_path):
        """Though how many rows are run together depends on lengths and on dropout."""
        lengths = (40, 3, 2, 9, 30, 1, 5, 6, 33, 4, 2)
        sequences = [rng.normal(size=(n, 2)).astype("f") for n in lengths]
        model, fuse = build(Sequence, n_hidden=9, dtype=np.float32), Fuse()

        def blowing(v):
            h = F.sum(F.tanh(model.hidden(fuse(v), n_batch_axes=2)), axis=1)
            return model.out(F.dropout(F.tanh(model.pooled(h)), 0.5))

        calculator = BayesGradCalculator(model, eval_fun=blowing)
        how = {"converter": padded, "batchsize": 4, "seed": 0}
        call = partial(calculator.compute_aggregate, sequences, 40, **how)
        call(out=tmp_path / f"0.{kind}")
        n_call = fuse.n_call
        for at in range(2, n_call, n_call // 3):
            out = tmp_path / f"{at}.{kind}"
            fuse.n_call, fuse.blows_at = 0, at
            with pytest.raises(RuntimeError, match="fuse"):
                call(out=out)
            fuse.blows_at = None
            call(out=out)
            assert files_of(out) == files_of(tmp_path / f"0.{kind}")

    def test_begins_anew_where_the_file_was_removed(self, x, tmp_path):
        calculator = GradientCalculator(build(MLP, n_out=1))
        out = tmp_path / "x.npy"
        first = calculator.compute_aggregate(x, out=out).copy()
        out.unlink()
        assert_array_equal(calculator.compute_aggregate(x * 1, out=out), first)

    @every_kind
    def test_leaves_nothing_but_the_result(self, kind, x, tmp_path):
        calculator = GradientCalculator(build(Blowing))
        out = tmp_path / f"x.{kind}"
        call = partial(calculator.compute_aggregate, x, batchsize=2)
        interrupted(call, calculator, 3, out)
        call(out=out)
        beside = ["x.npy.progress.json"] if kind == "npy" else []
        assert sorted(p.name for p in tmp_path.iterdir()) == [out.name, *beside]


OTHER_CALLS = {
    "M": {"M": 4},
    "method": {"method": "abs"},
    "ch_axis": {"ch_axis": 2},
    "batchsize": {"batchsize": 5},
    "seed": {"seed": 1},
    "train": {"train": True},
    "noise_sampler": {"noise_sampler": GaussianNoiseSampler(scale=0.2)},
    "postprocess_fn": {"postprocess_fn": lambda s: s + 1},
    "preprocess_fn": {"preprocess_fn": lambda s: s + 1},
    "converter": {"converter": padded},
}
OTHER_CALCULATORS = {
    "calculator": lambda model: BayesGradCalculator(model, class_index=0),
    "calculator.class_index": lambda model: GradientCalculator(model, class_index=1),
    "calculator.model": lambda model: GradientCalculator(
        build(MLP, seed=1), class_index=0
    ),
    "calculator.eval_fun": lambda model: GradientCalculator(
        model, eval_fun=lambda v: model(v) * 2, class_index=0
    ),
    "calculator.target_extractor": lambda model: GradientCalculator(
        model, VariableMonitorLinkHook(model.l1), class_index=0
    ),
    "calculator.multiply_target": lambda model: GradientCalculator(
        model, class_index=0, multiply_target=True
    ),
}


class TestAnotherCall:
    @pytest.fixture
    def model(self):
        return build(MLP, dropout=0.5, normalize=True)

    @every_value(name=list(OTHER_CALLS), kind=["npy", "zarr"])
    def test_with_other_settings_is_refused(self, name, kind, model, x, tmp_path):
        calculator = GradientCalculator(model, class_index=0)
        how = {"M": 3, "seed": 0}
        out = tmp_path / f"x.{kind}"
        calculator.compute_aggregate(x, out=out, **how)
        with pytest.raises(ValueError, match=rf"out=.*: {name} .*remove .*x\.{kind}"):
            calculator.compute_aggregate(x, out=out, **{**how, **OTHER_CALLS[name]})

    @pytest.mark.parametrize("name", OTHER_CALCULATORS)
    def test_of_another_calculator_is_refused(self, name, model, x, tmp_path):
        out = tmp_path / "x.npy"
        GradientCalculator(model, class_index=0).compute_aggregate(x, out=out)
        with pytest.raises(ValueError, match=rf"[:;] {name} (was|is another)"):
            OTHER_CALCULATORS[name](model).compute_aggregate(x, out=out)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (
                partial(IntegratedGradientsCalculator, steps=3),
                partial(IntegratedGradientsCalculator, steps=3, method="midpoint"),
            ),
            (
                partial(IntegratedGradientsCalculator, baseline=0.5),
                partial(IntegratedGradientsCalculator, baseline="mean"),
            ),
            (
                partial(OcclusionCalculator, slide_axis=1, fill=np.zeros(4)),
                partial(OcclusionCalculator, slide_axis=1, fill=np.ones(4)),
            ),
            (
                partial(LRPCalculator, rule="epsilon"),
                partial(LRPCalculator, rule="zplus"),
            ),
            (
                partial(LRPCalculator, rule="gamma"),
                partial(LRPCalculator, rule="gamma", relevance=1.0),
            ),
        ],
    )
    def test_with_other_settings_of_the_calculator(
        self, first, second, model, x, tmp_path
    ):
        out = tmp_path / "x.npy"
        first(model, class_index=0).compute_aggregate(x, out=out)
        first(model, class_index=0).compute_aggregate(x, out=out)
        with pytest.raises(ValueError, match=r"calculator\."):
            second(model, class_index=0).compute_aggregate(x, out=out)

    @pytest.mark.parametrize("part", ["parameter", "persistent"])
    def test_with_a_model_that_was_trained_on(self, part, model, x, tmp_path):
        out = tmp_path / "x.npy"
        calculator = GradientCalculator(model, class_index=0)
        calculator.compute_aggregate(x, out=out)
        changed = model.l1.W.array if part == "parameter" else model.norms[0].avg_var
        changed[0] += 1e-6
        with pytest.raises(ValueError, match=r"calculator\.model is another"):
            calculator.compute_aggregate(x, out=out)

    def test_with_other_data(self, model, x, tmp_path):
        out = tmp_path / "x.npy"
        calculator = GradientCalculator(model, class_index=0)
        calculator.compute_aggregate(x, out=out)
        for other in (x + 1e-9, x[::-1], x.astype("f")):
            with pytest.raises(ValueError, match="data is another"):
                calculator.compute_aggregate(other, out=out)
        with pytest.raises(ValueError, match="N was 7 and is 6"):
            calculator.compute_aggregate(x[:6], out=out)
        # One that differs in its form only is the same.
        calculator.compute_aggregate(list(x), out=out)


class TestBadOut:
    @pytest.fixture
    def calculator(self):
        def model(v):
            raise AssertionError("the model ran")

        return GradientCalculator(model)

    @pytest.mark.parametrize("out", ["x.csv", "x", "x.npz", "x.npy.gz"])
    def test_an_unknown_suffix(self, calculator, out, x, tmp_path):
        with pytest.raises(ValueError, match=r"out must end with \.npy or \.zarr"):
            calculator.compute_aggregate(x, out=tmp_path / out)

    @pytest.mark.parametrize("out", [3, [1.0], b"x.npy", ...], ids=repr)
    def test_what_is_no_path(self, calculator, out, x):
        with pytest.raises(TypeError, match="out must be a path, an array"):
            calculator.compute_aggregate(x, out=out)

    @every_kind
    def test_a_folder_that_does_not_exist(self, calculator, kind, x, tmp_path):
        with pytest.raises(ValueError, match=r"out=.*folder that does not exist"):
            calculator.compute_aggregate(x, out=tmp_path / "no" / f"x.{kind}")

    @pytest.mark.parametrize("rows", [0, 6, 8])
    def test_arrays_with_other_rows(self, calculator, rows, x, tmp_path):
        of_zarr = zarr.open_array(
            str(tmp_path / "z"), mode="w", shape=(rows, 4), chunks=(1, 4), dtype="f8"
        )
        for out in (np.zeros((rows, 4)), of_zarr):
            with pytest.raises(
                ValueError, match="out must have a row for each of the 7"
            ):
                calculator.compute_aggregate(x, out=out)

    def test_an_array_that_shares_memory_with_what_is_read(self, x):
        """Later rows would be computed from what has been written by then."""
        model, before = build(MLP, n_out=1), x.copy()
        backwards = [*x[::-1]]
        for data in (x[::-1], (x[::-1],), backwards):
            with pytest.raises(ValueError, match="must not share memory with data:"):
                GradientCalculator(model).compute_aggregate(data, out=x)
        with_background = ShapleyCalculator(model, background=x)
        for data in (x, x.copy()):
            with pytest.raises(ValueError, match="share memory with background:"):
                with_background.compute_aggregate(data, out=x)
        assert_array_equal(x, before)

    def test_the_array_of_the_data(self, x):
        """Each row is read before it is written over."""
        calculator = GradientCalculator(build(MLP, n_out=1))
        expected = calculator.compute_aggregate(x)
        calculator.data = calculator.out = "as a subclass may have"
        calculator.compute_aggregate(x, batchsize=2, out=x)
        assert_allclose(x, expected)

    def test_an_array_that_is_read_only(self, calculator, x):
        out = np.zeros((7, 4))
        out.flags.writeable = False
        with pytest.raises(ValueError, match="out must be writeable"):
            calculator.compute_aggregate(x, out=out)

    @pytest.mark.parametrize(
        ("out", "message"),
        [
            (np.zeros((7, 3)), r"out must have shape \(7, 4\), got \(7, 3\)"),
            (np.zeros((7, 4, 1)), r"out must have shape \(7, 4\)"),
            (np.zeros(7), r"out must have shape \(7, 4\)"),
            (np.zeros((7, 4), "f"), "out must be of dtype float64, got float32"),
            (np.zeros((7, 4), int), "out must be of dtype float64, got int64"),
        ],
    )
    def test_arrays_that_do_not_fit(self, out, message, x):
        calculator = GradientCalculator(build(MLP, n_out=1))
        with pytest.raises(ValueError, match=message):
            calculator.compute_aggregate(x, out=out)
        assert not out.any()

    def test_a_file_that_is_not_ours(self, calculator, x, tmp_path):
        np.save(tmp_path / "x.npy", x)
        zarr.open_group(str(tmp_path / "x.zarr"), mode="w")
        (tmp_path / "y.zarr").mkdir()
        zarr.open_array(
            str(tmp_path / "z.zarr"), mode="w", shape=(7, 4), chunks=(1, 4), dtype="f8"
        )
        for name in ("x.npy", "x.zarr", "y.zarr", "z.zarr"):
            with pytest.raises(ValueError, match=f"{name}.*not from compute_aggregate"):
                calculator.compute_aggregate(x, out=tmp_path / name)
        assert_array_equal(np.load(tmp_path / "x.npy"), x)

    @every_kind
    def test_rows_that_postprocess_fn_has_lost(self, kind, x, tmp_path):
        calculator = GradientCalculator(build(MLP, n_out=1))
        with pytest.raises(ValueError, match="postprocess_fn must leave one row"):
            calculator.compute_aggregate(
                x, out=tmp_path / f"x.{kind}", postprocess_fn=lambda s: s[:1]
            )

    def test_without_zarr_the_error_says_what_to_install(
        self, calculator, x, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "zarr", None)
        with pytest.raises(ImportError, match="pip install zarr"):
            calculator.compute_aggregate(x, out=tmp_path / "x.zarr")


KILLED = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from saliency import SmoothGradCalculator
from saliency.calculator import results
from tests.networks import MLP, build
import zarr

kind, folder = sys.argv[1], Path(sys.argv[2])
x = np.random.default_rng(0).normal(size=(9, 4))

def run(name):
    calculator = SmoothGradCalculator(build(MLP, n_out=1))
    calculator.compute_aggregate(
        x, 3, batchsize=2, seed=0, out=folder / f"{name}.{kind}", show_progress=False
    )

folder_of_code = str(Path(results.__file__).parent)
others = {"fingerprint.py", "aggregate_work.py", "aggregation.py", "machine.py"}

def writes(file):
    return file.startswith(folder_of_code) and os.path.basename(file) not in others

def killed_at_line(n):
    n_line = 0
    def trace(frame, event, arg):
        nonlocal n_line
        if not writes(frame.f_code.co_filename):
            return None
        n_line += event == "line"
        if n_line == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

assert child(lambda: run("whole")) == 0
n_kill = 0
firsts = range(1, 600, int(sys.argv[3]))  # lines until the first kill
for first in firsts:
    n, status = first, None
    while status != 0:
        status = child(lambda: (killed_at_line(n), run(f"killed{first}")))
        assert os.WIFSIGNALED(status) or status == 0, status
        n_kill += status != 0
        n += 151
assert n_kill > 2 * len(firsts), n_kill
"""
STEP = 193  # lines from one first kill to the next; no part of what is added after each


@every_kind
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.large
def test_a_process_that_is_killed_at_any_line_loses_nothing(kind, tmp_path):
    """SIGKILL at some line of the modules that write, again and again until done."""
    subprocess.run(
        [sys.executable, "-c", KILLED, kind, str(tmp_path), str(STEP)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    whole = files_of(tmp_path / f"whole.{kind}")
    outs = list(tmp_path.glob(f"killed*.{kind}"))
    assert len(outs) == len(range(1, 600, STEP))
    for out in outs:
        assert list(files_of(out).values()) == list(whole.values())
