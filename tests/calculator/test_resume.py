"""A call that was interrupted is resumed by the same call, and by no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    EnsemblePosterior,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    UniformNoiseSampler,
)
from saliency.calculator.results import aggregate_work
from saliency.calculator.results import machine as machines
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import DatasetMixin, concat_examples
from chainer.datasets import TupleDataset

ROOT = Path(__file__).parents[2]
N = 11
SCALE = 1.0


class Interruption(Exception):
    pass


class Fuse:
    """Counts forward passes, and blows at one; no call is described by it."""

    n = 0
    blows_at = None
    seen: ClassVar[set] = set()

    @classmethod
    def burn(cls, x):
        cls.n += 1
        cls.seen |= {*chainer.as_array(x)[:, 0]}
        if cls.n == cls.blows_at:
            raise Interruption


@pytest.fixture(autouse=True)
def new_fuse():
    Fuse.n, Fuse.blows_at = 0, None


def by_global(h):
    return h * SCALE


def by_default(h, scale=1.0, *, shift=0.0):
    return h * scale + shift


def calls_another(h):
    def nested(v):
        return by_global(v)

    return nested(h)


class Network(chainer.Chain):
    """A network that can be another one in many ways."""

    power = 1

    def __init__(self, **attributes):
        super().__init__()
        self.activation = F.tanh
        self.pooling = F.average_pooling_1d
        self.ratio = 0.5
        self.factors = [1.0, 1.0]
        self.options = {"bias": 0.0}
        self.function = calls_another
        vars(self).update(attributes)
        with self.init_scope():
            self.same = L.Scale(axis=1, W_shape=(4,))
            self.l1 = L.Linear(4, 6)
            self.norm = L.BatchNormalization(6)
            self.l2 = L.Linear(3, 3)

    def forward(self, x):
        Fuse.burn(x)
        h = self.activation(self.norm(self.l1(self.same(x)))) ** self.power
        h = self.pooling(h[:, None], 2)[:, 0]
        h = F.dropout(h, self.ratio) * self.factors[1] + self.options["bias"]
        return self.function(self.l2(h))


class Sampler:
    """A noise sampler with slots, and a scale that is the class's."""

    __slots__ = ("width",)
    sign = 1.0

    def __init__(self, width=0.1):
        self.width = width

    def sample(self, array, rng):
        noise = np.stack([g.standard_normal(array.shape[1:]) for g in rng])
        return self.sign * self.width * noise


class Scaler:
    """A function that is an object."""

    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, v):
        return v * self.scale

    def method(self, v):
        return v * self.scale


class OfExamples(DatasetMixin):
    """Examples that are made as they are asked for."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def get_example(self, i):
        return self.x[i]


def data():
    return np.random.default_rng(0).normal(size=(N, 4))


def changed(index, by=1e-9):
    x = data()
    x[index] += by
    return x


def network(**attributes):
    return build(Network, **attributes)


def other_weight(part):
    model = network()
    part(model)[...] += 1e-9
    return model


def scaled(factor):
    """Returns a function that closes over a number."""
    return lambda h: h * factor


def nested(exponent):
    """Returns functions that differ in one that they define."""

    def square(h):
        def inner(v):
            return v**2

        return inner(h)

    def cube(h):
        def inner(v):
            return v**3

        return inner(h)

    cube.__qualname__ = square.__qualname__
    return {2: square, 3: cube}[exponent]


def of_another(seed):
    """Returns a function that closes over a network that is no model."""
    closed_over = other_seed(seed)
    return lambda h: closed_over(h)


def by_configuration(h):
    return h * getattr(chainer.config, "of_the_user", 1.0)


def other_seed(seed):
    return build(Network, seed=seed)


def classes(last):
    return [*np.zeros(N - 1, int), last]


def objects(last):
    """Returns examples in an array of objects."""
    x = np.empty(N, object)
    x[:] = [{"row": row} for row in data()]
    x[-1] = {"row": data()[-1] + last}
    return x


def rows_of_dicts(examples, device):
    return device.send(np.stack([example["row"] for example in examples]))


# What a call consists of.
CALL = {
    "data": data,
    "model": network,
    "calculator": GradientCalculator,
    "extractor": lambda model: None,
    "eval_fun": lambda model: None,
    "class_index": 0,
    "patch": None,
    "M": 2,
    "batchsize": 2,
    "converter": concat_examples,
    "preprocess_fn": None,
    "postprocess_fn": None,
    "train": True,
    "noise_sampler": GaussianNoiseSampler(),
    "seed": 0,
    "posterior": None,
    "method": "abs",
    "statistic": "mean",
    "ch_axis": None,
}


# Without random numbers and with one pass for each batch.
PLAIN = {"M": 1, "train": False, "noise_sampler": None}


def change(first=None, **second):
    """Returns two calls that differ from it; the second has what the first has."""
    first = {**CALL, **(first or {})}
    return first, {**first, **second}


def patched(name, value, **how):
    return lambda patch: patch.setattr(name, value, **how)


CHANGES = {
    "first row": change(data=lambda: changed(0)),
    "row of a batch that is not done yet": change(data=lambda: changed(-1)),
    "one number": change(data=lambda: changed((6, 2))),
    "dtype of data": change(data=lambda: data().astype("f")),
    "order of rows": change(data=lambda: data()[::-1]),
    "order of the last rows": change(data=lambda: data()[[*range(N - 2), -1, -2]]),
    "number of rows": change(data=lambda: data()[:-1]),
    "row of a dataset": change(
        {"data": lambda: OfExamples(data())}, data=lambda: OfExamples(changed(9))
    ),
    "label": change(
        {
            "data": lambda: TupleDataset(data(), np.arange(N)),
            "eval_fun": lambda model: lambda x, t: model(x),
        },
        data=lambda: TupleDataset(data(), np.arange(N)[::-1]),
    ),
    "object in an array": change(
        {"data": lambda: objects(0), "converter": rows_of_dicts},
        data=lambda: objects(1e-9),
    ),
    "weight": change(model=lambda: other_weight(lambda m: m.l1.W.array)),
    "bias": change(model=lambda: other_weight(lambda m: m.l2.b.array)),
    "persistent": change(model=lambda: other_weight(lambda m: m.norm.avg_var)),
    "activation": change(model=lambda: network(activation=F.sigmoid)),
    "dropout ratio": change(model=lambda: network(ratio=0.51)),
    "kind of pooling": change(model=lambda: network(pooling=F.max_pooling_1d)),
    "number in a list of a link": change(model=lambda: network(factors=[1, 1.001])),
    "number in a dictionary of a link": change(
        {"eval_fun": lambda model: lambda x: model(x) ** 2},
        model=lambda: network(options={"bias": 1e-3}),
    ),
    "number in a closure": change(
        {"model": lambda: network(function=scaled(1.0))},
        model=lambda: network(function=scaled(1.0001)),
    ),
    "network in a closure": change(
        {"model": lambda: None, "eval_fun": lambda model: of_another(0)},
        eval_fun=lambda model: of_another(1),
    ),
    "nested function": change(
        {"model": lambda: network(function=nested(2))},
        model=lambda: network(function=nested(3)),
    ),
    "function of a link": change(model=lambda: network(function=F.sin)),
    "eval_fun": change(
        {"eval_fun": lambda model: lambda x: model(x)},
        eval_fun=lambda model: lambda x: model(x) * 2,
    ),
    "no eval_fun any more": change(
        {"eval_fun": lambda model: lambda x: model(x) * 2},
        eval_fun=lambda model: None,
    ),
    "global": change(patch=patched(f"{__name__}.SCALE", 1.001)),
    "default argument": change(
        {"model": lambda: network(function=by_default)},
        patch=patched(f"{__name__}.by_default.__defaults__", (1.1,)),
    ),
    "default of a keyword": change(
        {"model": lambda: network(function=lambda h: by_default(h) ** 2)},
        patch=patched(f"{__name__}.by_default.__kwdefaults__", {"shift": 0.1}),
    ),
    "function that a function calls": change(
        patch=patched(f"{__name__}.by_global", F.tanh)
    ),
    "class attribute": change(patch=patched(f"{__name__}.Network.power", 2)),
    "method of the noise sampler": change(
        {"noise_sampler": Sampler()},
        patch=patched(f"{__name__}.Sampler.sample", lambda self, array, rng: 0 * array),
    ),
    "class attribute of the noise sampler": change(
        {"noise_sampler": Sampler()}, patch=patched(f"{__name__}.Sampler.sign", 2.0)
    ),
    "slot of the noise sampler": change(
        {"noise_sampler": Sampler(0.1)}, noise_sampler=Sampler(0.1001)
    ),
    "scale of the noise": change(noise_sampler=GaussianNoiseSampler(scale=0.1501)),
    "kind of noise": change(noise_sampler=UniformNoiseSampler()),
    "no noise any more": change(noise_sampler=None),
    "preprocess_fn": change(
        {"preprocess_fn": scaled(1.0)}, preprocess_fn=scaled(1.0001)
    ),
    "argument of preprocess_fn": change(
        {"preprocess_fn": partial(np.multiply, 1.0)},
        preprocess_fn=partial(np.multiply, 1.0001),
    ),
    "object as preprocess_fn": change(
        {"preprocess_fn": Scaler(1.0)}, preprocess_fn=Scaler(1.0001)
    ),
    "object of a method": change(
        {"preprocess_fn": Scaler(1.0).method}, preprocess_fn=Scaler(1.0001).method
    ),
    "no preprocess_fn any more": change(
        {"preprocess_fn": scaled(2.0)}, preprocess_fn=None
    ),
    "postprocess_fn": change(
        {"postprocess_fn": scaled(1.0)}, postprocess_fn=scaled(2.0)
    ),
    "converter": change(
        {"converter": lambda rows, device: concat_examples(rows, device)},
        converter=lambda rows, device: concat_examples(rows, device) * 1.001,
    ),
    "padding": change(
        {"converter": partial(concat_examples, padding=0)},
        converter=partial(concat_examples, padding=1),
    ),
    "class": change(class_index=1),
    "list of classes": change({"class_index": classes(0)}, class_index=classes(1)),
    "seed": change(seed=1),
    "M": change(M=3),
    "batchsize": change(batchsize=3),
    "method of aggregation": change(method="square"),
    "statistic": change(statistic="std"),
    "ch_axis": change(ch_axis=2),
    "train": change(train=False),
    "posterior": change(
        {"train": False, "posterior": EnsemblePosterior([network(), other_seed(1)])},
        posterior=EnsemblePosterior([network(), other_seed(2)]),
    ),
    "calculator": change(calculator=IntegratedGradientsCalculator),
    "setting of the calculator": change(
        {"calculator": partial(IntegratedGradientsCalculator, steps=3)},
        calculator=partial(IntegratedGradientsCalculator, steps=4),
    ),
    "target": change(extractor=lambda model: VariableMonitorLinkHook(model.same)),
    "configuration of Chainer": change(
        {"model": lambda: network(function=by_configuration)},
        patch=patched("chainer.config.of_the_user", 2.0, raising=False),
    ),
    "version of the package": change(
        patch=patched(f"{aggregate_work.__name__}.__version__", "9")
    ),
    "how a seed gives numbers": change(
        patch=patched(f"{aggregate_work.__name__}.SCHEME", 1)
    ),
}


def identity(call):
    """Returns what calls have in common that are made of the very same objects."""
    return tuple(map(id, call.values()))


# A change of each call that is begun, which many of them share.
ONE_CHANGE = {identity(first): name for name, (first, _) in CHANGES.items()}


def run(call, out, **how):
    """Makes a call."""
    call = dict(call)
    new = {name: call.pop(name) for name in ("data", "model", "calculator")}
    model = new["model"]()
    calculator = new["calculator"](
        model,
        call.pop("extractor")(model),
        eval_fun=call.pop("eval_fun")(model),
        class_index=call.pop("class_index"),
    )
    call.pop("patch")
    return calculator.compute_aggregate(new["data"](), out=out, **call, **how)


def interrupted(call, out, at=None):
    """Has a call blow in the middle."""
    Fuse.n, Fuse.blows_at = 0, None
    run(call, out.with_name(f"whole{out.suffix}"))
    Fuse.n, Fuse.blows_at = 0, at or Fuse.n * 2 // 3
    with pytest.raises(Interruption):
        run(call, out)
    Fuse.n, Fuse.blows_at = 0, None


def record_of(out):
    return json.loads(out.with_name(f"{out.name}.progress.json").read_text())


def contents(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def begin(tmp_path_factory):
    """Has a call blow in the middle, once for all tests; each is given a copy."""
    begun = {}

    def copy_of(call, folder):
        key = identity(call)
        if key not in begun:
            begun[key] = tmp_path_factory.mktemp("begun")
            interrupted(call, begun[key] / "x.npy")
        shutil.copytree(begun[key], folder, dirs_exist_ok=True)
        return folder / "x.npy"

    return copy_of


class TestChange:
    def test_there_are_more_than_thirty(self):
        assert len(CHANGES) > 50

    def refuse(self, second, out, monkeypatch):
        """Makes a call that is refused, and compares what is there before and after."""
        before = contents(out.parent)
        if second["patch"]:
            second["patch"](monkeypatch)
        with pytest.raises(ValueError, match=r"x\.npy'.* To begin anew, remove"):
            run(second, out)
        assert contents(out.parent) == before
        monkeypatch.undo()

    @pytest.mark.large
    @pytest.mark.parametrize("name", CHANGES)
    def test_is_refused(self, name, begin, tmp_path, monkeypatch):
        first, second = CHANGES[name]
        self.refuse(second, begin(first, tmp_path), monkeypatch)

    @pytest.mark.large
    @pytest.mark.parametrize("name", ONE_CHANGE.values())
    def test_the_call_that_began_it_still_can_go_on(
        self, name, begin, tmp_path, monkeypatch
    ):
        first, second = CHANGES[name]
        out = begin(first, tmp_path)
        self.refuse(second, out, monkeypatch)
        run(first, out)
        assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()

    @pytest.mark.parametrize("name", ["last row", "activation", "weight"])
    def test_of_what_is_finished_is_refused(self, name, tmp_path):
        """Nothing is left to do, but what would be returned is another call's."""
        first, second = CHANGES.get(name, change(data=lambda: changed(-1)))
        out = tmp_path / "x.npy"
        run(first, out)
        with pytest.raises(ValueError, match="To begin anew"):
            run(second, out)

    def test_is_told(self, begin, tmp_path):
        first, second = CHANGES["function of a link"]
        out = begin(first, tmp_path)
        there, now = run(first, None), run(second, None)
        differs = abs(now[:2] - there[:2]).max() / abs(there[:2]).max()
        message = (
            rf"cannot be resumed by this call: batch 0 differs by {differs:.2g} of its "
            "largest value: the model, eval_fun or a function that it calls has changed"
        )
        with pytest.raises(ValueError, match=message):
            run(second, out)

    def test_of_a_shape_is_told(self, tmp_path):
        out = tmp_path / "x.npy"
        interrupted(change({"postprocess_fn": lambda s: s})[0], out)
        other = change({"postprocess_fn": lambda s: s[:, :3]})[0]
        with pytest.raises(ValueError, match="batch 0 has NaN or infinity elsewhere"):
            run(other, out)
        other = change({"postprocess_fn": lambda s: s[..., None]})[0]
        with pytest.raises(ValueError, match=r"batch 0 is of shape \(2, 4, 1\), not"):
            run(other, out)

    def test_that_shows_in_the_last_finished_batch_alone(self, tmp_path):
        first = {**CALL, **PLAIN}
        out = tmp_path / "x.npy"
        interrupted(first, out)
        stop = 2 * sum(b is not None for b in record_of(out)["batches"])
        row = data()[stop - 1]

        def twice_that_row(h):
            return h * (1 + (abs(h.array - of_row) < 1e-9).all(axis=1, keepdims=True))

        with chainer.using_config("train", False):
            of_row = network()(row[None]).array
        second = {**first, "model": lambda: network(function=twice_that_row)}
        with pytest.raises(ValueError, match=rf"batch {stop // 2 - 1} differs by 1 of"):
            run(second, out)


class OwnNoise:
    """Noise from a generator of its own, which goes on from call to call."""

    def __init__(self):
        self.rng = GENERATOR

    def __reduce__(self):
        return OwnNoise, ()

    def sample(self, array):
        return GENERATOR.normal(size=array.shape)


GENERATOR = np.random.default_rng(0)


class TestWhatIsNotTheSameTwice:
    def test_is_refused_and_named(self, tmp_path):
        call, _ = change({"noise_sampler": OwnNoise()})
        interrupted(call, tmp_path / "x.npy")
        with pytest.raises(
            ValueError, match="it differs each time that it is computed"
        ):
            run(call, tmp_path / "x.npy")

    def test_random_numbers_of_a_dataset_are_those_of_the_seed(self, tmp_path):
        """Also of one that was drawn; and the global state stays as it is."""

        class Augmented(OfExamples):
            def get_example(self, i):
                return self.x[i] + np.random.normal(size=4)

        model = network()
        call, _ = change({"data": lambda: Augmented(data()), "seed": None})
        call["model"] = lambda: model
        out = tmp_path / "x.npy"
        np.random.seed(0)
        state = np.random.get_state()[1].copy()
        interrupted(call, out)
        run(call, out)
        assert_array_equal(np.random.get_state()[1], state)
        seed = record_of(out)["call"]["seed"]
        run({**call, "seed": seed}, tmp_path / "y.npy")
        assert out.read_bytes() == (tmp_path / "y.npy").read_bytes()


class TestPrice:
    @pytest.mark.parametrize("kind", ["npy", "zarr"])
    @pytest.mark.parametrize("n_done", [1, 2, 3, 4, 5])
    def test_is_that_of_three_batches_at_most(self, kind, n_done, tmp_path):
        call = {**CALL, **PLAIN}
        out = tmp_path / f"x.{kind}"
        interrupted(call, out, at=n_done + 1)
        run(call, out)
        assert Fuse.n == min(n_done, 3) + 6 - n_done

    @pytest.mark.large
    def test_any_batch_in_between_may_be_compared(self, tmp_path):
        call = {**CALL, **PLAIN}
        run(call, tmp_path / "x.npy")
        seen = set()
        for _ in range(40):
            Fuse.seen = set()
            run(call, tmp_path / "x.npy")
            assert {*data()[[0, 1, 10], 0]} < Fuse.seen
            assert len(Fuse.seen) == 5
            seen |= Fuse.seen
        assert seen == {*data()[:, 0]}


SCRIPT = """
import sys
from functools import partial
import numpy as np
from saliency import SmoothGradCalculator
import chainer
import chainer.functions as F
import chainer.links as L

class Network(chainer.Chain):
    def __init__(self):
        super().__init__()
        np.random.seed(0)
        with self.init_scope():
            self.l1 = L.Linear(4, 5)
            self.l2 = L.Linear(5, 1)

    def forward(self, x):
        return self.l2(F.dropout(F.tanh(self.l1(x)), 0.5))

class Data:
    n_left = int(sys.argv[2])

    def __len__(self):
        return 11

    def __getitem__(self, i):
        return np.random.default_rng(i).normal(size=4).astype("f")

def scaled(scale):
    def scale_all(v):
        Data.n_left -= 1
        if Data.n_left == 0:
            raise SystemExit(3)
        return v * scale

    return scale_all

SmoothGradCalculator(Network()).compute_aggregate(
    Data(), 3, "square", batchsize=2, out=sys.argv[1], train=True, seed=5,
    preprocess_fn=scaled(2.0), postprocess_fn=lambda s: s[:, :3], show_progress=False,
)
"""


class TestAnotherProcess:
    @pytest.mark.large
    def test_resumes_also_after_an_edit_of_other_code(self, tmp_path):
        def run_script(text, out, n, status):
            (tmp_path / "script.py").write_text(text)
            done = subprocess.run(
                [sys.executable, "script.py", out, str(n)],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                timeout=60,
                capture_output=True,
                text=True,
            )
            assert done.returncode == status, done.stderr
            return done.stderr

        edited = SCRIPT.replace(
            "import chainer\n", "\n\n# A comment.\nimport chainer\n"
        )
        edited = edited.replace(
            "def scaled", "def of_no_use():\n    pass\n\ndef scaled"
        )
        run_script(SCRIPT, "whole.npy", -1, 0)
        run_script(SCRIPT, "x.npy", 5, 3)
        other = SCRIPT.replace("scaled(2.0)", "scaled(2.5)")
        assert "batch 0 differs by" in run_script(other, "x.npy", -1, 1)
        run_script(edited, "x.npy", -1, 0)
        for name in ("x.npy", "x.npy.progress.json"):
            whole = (tmp_path / name.replace("x", "whole", 1)).read_bytes()
            assert (tmp_path / name).read_bytes() == whole


class TestAnotherMachine:
    """Where the last digits may be others."""

    @pytest.fixture
    def out(self, begin, tmp_path):
        return begin(CALL, tmp_path)

    def other_machine(self, monkeypatch):
        elsewhere = lambda: ["openblas 0.0 Z80"]  # noqa: E731
        monkeypatch.setattr(machines, "_blas_of_numpy", elsewhere)

    def changed_by(self, factor):
        return {**CALL, "model": lambda: network(function=lambda h: h * factor)}

    @pytest.mark.parametrize("by", [1e-12, 1e-9])
    def test_rounding_is_no_difference(self, by, out, monkeypatch):
        with pytest.raises(ValueError, match="differs by"):
            run(self.changed_by(1 + by), out)
        self.other_machine(monkeypatch)
        result = run(self.changed_by(1 + by), out)
        assert_allclose(result, run(CALL, None), rtol=1e-8)
        assert len(record_of(out)["machines"]) == 2

    def test_more_than_rounding_is(self, out, monkeypatch):
        self.other_machine(monkeypatch)
        with pytest.raises(ValueError, match="batch 0 differs by 1e-06 of its largest"):
            run(self.changed_by(1 + 1e-6), out)
