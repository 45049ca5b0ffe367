"""Explaining changes nothing: neither where it succeeds nor where forward raises."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import (
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
)
from tests.calculator.every_calculator import (
    AGGREGATING,
    every_calculator,
    every_calculator_with,
)
from tests.covering import every_pair, every_value
from tests.networks import MLP, Fuse, OwnNoise, build

import chainer
import chainer.functions as F
import chainer.links as L


def state_of(model, *arrays):
    """Returns all that a calculator must leave as it is, arrays as bytes."""
    with_bytes = {
        **{f"parameter {k}": p.array for k, p in model.namedparams()},
        **{f"gradient {k}": p.grad for k, p in model.namedparams()},
        **{
            f"persistent {path}/{name}": np.asarray(getattr(link, name))
            for path, link in model.namedlinks()
            for name in link._persistent
        },
        **{f"array {i}": array for i, array in enumerate(arrays)},
        "random state": np.random.get_state()[1],
    }
    return {
        **{k: None if v is None else v.tobytes() for k, v in with_bytes.items()},
        "position in random state": np.random.get_state()[2:],
        "identity": [(id(p), id(p.array), id(p.grad)) for p in model.params()],
        "link hooks": dict(chainer._get_link_hooks()),
        "hooks of links": {
            path: dict(link.local_link_hooks) for path, link in model.namedlinks()
        },
        "function hooks": dict(chainer.get_function_hooks()),
        "configuration": dict(vars(chainer.config._local)),
    }


class Counter(chainer.Link):
    """Counts its calls in a persistent value and in a persistent array."""

    def __init__(self):
        super().__init__()
        self.add_persistent("n_call", 0)
        self.add_persistent("calls", np.zeros(2))

    def forward(self, x):
        self.n_call += 1
        self.calls[1] += 1
        return x


class Network(chainer.Chain):
    """All that has a state: normalization, dropout, counters, a hidden target."""

    def __init__(self, blows_at=None):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 6)
            self.norm = L.BatchNormalization(6)
            self.counter = Counter()
            self.fuse = Fuse(blows_at)
            self.l2 = L.Linear(6, 1)

    def forward(self, x):
        h = F.dropout(F.tanh(self.norm(self.l1(x))), 0.5)
        return self.l2(self.fuse(self.counter(h)))


def trained_network(blows_at):
    """A network whose gradients the user still needs, one of them missing."""
    model = build(Network, blows_at)
    rng = np.random.default_rng(2)
    for parameter in model.params():
        parameter.grad = rng.normal(size=parameter.shape)
    model.l2.b.cleargrad()
    return model


@contextlib.contextmanager
def blowing(blows_at):
    if blows_at is None:
        yield
    else:
        with pytest.raises(RuntimeError, match="the fuse has blown"):
            yield


class ForeignLinkHook(chainer.LinkHook):
    name = "foreign link hook"


class ForeignFunctionHook(chainer.FunctionHook):
    name = "foreign function hook"


ENDS = {"succeeds": None, "blows_at_1": 1, "blows_at_2": 2, "blows_at_4": 4}
CALLS = ["compute", "compute_aggregate"]


def named(call, calculator):
    """Returns the method of that name; the check of paths has but one."""
    return getattr(calculator, call, calculator.compute)


@every_calculator_with(
    every_pair,
    call=CALLS,
    blows_at=ENDS,
    train={"evaluate": False, "train": True},
    noise={"clean": None, "noise": GaussianNoiseSampler()},
    target=["input", "hidden"],
)
def test_nothing_is_changed(new_calculator, call, blows_at, train, noise, target, x):
    model = trained_network(blows_at)
    before = state_of(model, x)
    extractor = VariableMonitorLinkHook(model.l1) if target == "hidden" else None
    calculator = new_calculator(model, target_extractor=extractor)
    with blowing(blows_at):
        named(call, calculator)(
            x, M=2, batchsize=3, train=train, noise_sampler=noise, seed=0
        )
    assert state_of(model, x) == before
    if extractor is not None:
        assert extractor.process_fns == {}
        assert extractor.variables == ()


@every_calculator_with(every_value, blows_at=ENDS)
def test_the_users_own_hooks_and_settings_stay(new_calculator, blows_at, x):
    model = trained_network(blows_at)
    hook = VariableMonitorLinkHook(model.l1, name="mine")
    hook.add_process("mine", lambda *args: None)
    processes = dict(hook.process_fns)
    model.l2.add_hook(ForeignLinkHook())
    with ForeignLinkHook(), ForeignFunctionHook(), chainer.using_config("train", True):
        before = state_of(model)
        with blowing(blows_at):
            new_calculator(model, target_extractor=hook).compute(x, batchsize=2, seed=0)
        assert state_of(model) == before
    assert hook.process_fns == processes


@every_calculator_with(every_value, blows_at=ENDS)
def test_a_hook_that_is_running_already_stays_running(new_calculator, blows_at, x):
    model = trained_network(blows_at)
    with VariableMonitorLinkHook(model.l1) as hook:
        with blowing(blows_at):
            new_calculator(model, target_extractor=hook).compute(x, batchsize=2, seed=0)
        model.fuse.blows_at = None
        model(x)
        assert hook.get_variable().shape == (7, 6)
    assert chainer._get_link_hooks() == {}


@every_value(new_calculator=AGGREGATING, blows_at=ENDS, kind=["npy", "zarr"])
def test_writing_changes_nothing(new_calculator, kind, blows_at, x, tmp_path):
    if kind == "zarr":
        pytest.importorskip("zarr", reason="needs Zarr: pip install zarr")
    model = trained_network(blows_at)
    before = state_of(model, x)
    calculator = new_calculator(model, VariableMonitorLinkHook(model.l1))
    with blowing(blows_at):
        calculator.compute_aggregate(
            x, 2, batchsize=3, train=True, out=tmp_path / f"x.{kind}"
        )
    assert state_of(model, x) == before


@every_calculator_with(every_value, blows_at=ENDS)
def test_both_extractors_are_taken_off(new_calculator, blows_at, x):
    model = trained_network(blows_at)
    before = state_of(model)
    target = VariableMonitorLinkHook(model.l1)
    output = VariableMonitorLinkHook(model.l2)
    with blowing(blows_at):
        new_calculator(model, target, output).compute(x, batchsize=2, seed=0)
    assert state_of(model) == before
    assert (target.variables, output.variables) == ((), ())


@every_calculator_with(every_value, blows_at=ENDS)
def test_variables_and_further_inputs_of_the_caller_stay(new_calculator, blows_at, x):
    model = trained_network(blows_at)
    v, factor = chainer.Variable(x), chainer.Variable(x[:, :1] + 3)
    v.grad = x * 2
    before = [a.tobytes() for a in (v.array, v.grad, factor.array)]
    arrays = [v.array, v.grad, factor.array]
    calculator = new_calculator(model, eval_fun=lambda v, z: model(v) * z)
    with blowing(blows_at):
        calculator.compute((v, factor), M=2, batchsize=3, seed=0)
    assert [a.tobytes() for a in (v.array, v.grad, factor.array)] == before
    assert all(a is b for a, b in zip([v.array, v.grad, factor.array], arrays))


@every_calculator_with(every_pair, data=["array", "list", "dataset", "variables"])
def test_a_model_that_works_in_place_does_not_reach_the_data(new_calculator, data, x):
    """Not even where the whole data is one batch, or an example is one array.

    What needs no gradient is right, and the others say what is the matter.
    """
    forms = {
        "array": lambda: x,
        "list": lambda: list(x),
        "dataset": lambda: chainer.datasets.TupleDataset(x),
        "variables": lambda: chainer.Variable(x),
    }

    def model(v):
        y = F.sum(v**2, axis=1)
        v.array[...] = 0
        return y

    before = x.tobytes()
    calculator = new_calculator(model)
    if not is_of_scores(calculator):
        with pytest.raises(ValueError, match=r"model must not write into the array"):
            calculator.compute(forms[data](), batchsize=100)
    else:
        expected = new_calculator(lambda v: F.sum(v**2, axis=1)).compute(x)
        samples = calculator.compute(forms[data](), batchsize=100)
        np.testing.assert_array_equal(samples, expected)
    assert x.tobytes() == before


def is_of_scores(calculator):
    return not getattr(calculator, "needs_gradient", True)


class WritesIntoItsInput(chainer.Chain):
    """Cuts off what is negative, or another input, in place."""

    def __init__(self, which):
        super().__init__()
        self.which = which
        with self.init_scope():
            self.l1 = L.Linear(4, 1)

    def forward(self, x, z):
        written = chainer.as_variable((x, z)[self.which]).array
        written[written < 0] = 0
        return self.l1(x * z)


@pytest.mark.parametrize("which", [0, 1])
def test_writing_into_an_input_is_noticed(which, x):
    model = build(WritesIntoItsInput, which)
    z = x[::-1].copy()
    before = x.tobytes(), z.tobytes()
    with pytest.raises(ValueError, match="model must not write into the array"):
        GradientCalculator(model).compute((x, z))
    of_scores = OcclusionCalculator(model, slide_axis=1, fill="mean")
    written = [np.maximum(a, 0) if i == which else a for i, a in enumerate((x, z))]
    expected = OcclusionCalculator(
        lambda v, w: model.l1((F.relu(v) if which == 0 else v) * w),
        slide_axis=1,
        fill="mean",
    ).compute((x, written[1]))
    np.testing.assert_allclose(of_scores.compute((x, z)), expected, atol=1e-14)
    assert (x.tobytes(), z.tobytes()) == before


def test_writing_into_a_hidden_target_is_noticed(x):
    model = build(MLP, n_out=1)

    def forward(v):
        h = model.l1(v)
        y = F.sum(h**2, axis=1)
        h.array[...] = 0
        return y

    calculator = GradientCalculator(
        model, VariableMonitorLinkHook(model.l1), eval_fun=forward
    )
    with pytest.raises(ValueError, match="model must not write into the array"):
        calculator.compute(x)


@pytest.mark.parametrize("form", ["array", "list"])
def test_an_input_without_rows_is_not_written_into(form, x):
    """All passes over a batch are given it, each as it was."""
    shared = np.ones(3) if form == "array" else [np.ones(3)]

    def model(v, w):
        w = w[0] if form == "list" else chainer.as_variable(w).array
        w *= 2
        return F.sum(v, axis=1) * w[0]

    samples = OcclusionCalculator(model, slide_axis=1).compute(
        x, preprocess_fn=lambda v: (v, shared)
    )
    np.testing.assert_allclose(samples[0], 2 * x, atol=1e-12)


@every_pair(
    new_calculator={
        "baseline": lambda model, reference: IntegratedGradientsCalculator(
            model, baseline=reference, steps=3
        ),
        "list_of_baselines": lambda model, reference: IntegratedGradientsCalculator(
            model, baseline=[reference, 0], steps=3
        ),
        "fill": lambda model, reference: OcclusionCalculator(
            model, fill=reference, slide_axis=1
        ),
    },
    blows_at=ENDS,
)
def test_baselines_and_fills_stay(new_calculator, blows_at, x):
    model = trained_network(blows_at)
    for reference in (x[0] + 1, x + 1, chainer.Variable(x + 1)):
        model.fuse.n_call = 0
        before = getattr(reference, "array", reference).tobytes()
        with blowing(blows_at):
            new_calculator(model, reference).compute(x, batchsize=3)
        assert getattr(reference, "array", reference).tobytes() == before


@every_calculator_with(every_value, call=CALLS, blows_at=ENDS, seed=[None, 3])
def test_the_global_random_state_is_left_alone(new_calculator, call, blows_at, seed, x):
    """Also by a model, a sampler and a baseline that draw from it."""

    class GlobalNoise:
        def sample(self, array):
            return np.random.normal(0, 0.1, array.shape)

    own_noise, fuse = build(OwnNoise, n_out=1), Fuse(blows_at)
    np.random.seed(9)
    np.random.normal()  # half of a pair: the other half is part of the state
    before = repr(np.random.get_state())
    calculator = new_calculator(own_noise, eval_fun=lambda v: fuse(own_noise(v)))
    # convergence_delta draws its samples again, for which it needs a seed
    if seed is not None or "paths" not in vars(calculator):
        with blowing(blows_at):
            named(call, calculator)(
                x, M=2, batchsize=3, noise_sampler=GlobalNoise(), seed=seed
            )
    assert repr(np.random.get_state()) == before


@every_calculator_with(every_value, call=CALLS)
def test_a_failing_converter_leaves_nothing_behind(new_calculator, call, x):
    model = trained_network(None)
    before = state_of(model)

    def converter(examples, device):
        if len(examples) == 1:
            raise OSError("no more data")
        return np.stack(examples)

    with pytest.raises(OSError, match="no more data"):
        named(call, new_calculator(model))(x, batchsize=3, converter=converter)
    assert state_of(model) == before


@every_calculator_with(every_value, call=CALLS)
def test_an_interrupt_leaves_nothing_behind(new_calculator, call, x):
    model = trained_network(None)
    before = state_of(model, x)

    def interrupted(v):
        model(v)
        raise KeyboardInterrupt

    extractor = VariableMonitorLinkHook(model.l1)
    calculator = new_calculator(model, eval_fun=interrupted, target_extractor=extractor)
    with pytest.raises(KeyboardInterrupt):
        named(call, calculator)(x, train=True, seed=0)
    assert state_of(model, x) == before
    assert extractor.process_fns == {}


@every_calculator_with(every_value, call=CALLS)
def test_a_result_refused_leaves_nothing_behind(new_calculator, call, x):
    model = trained_network(None)
    before = state_of(model, x)
    calculator = new_calculator(
        model, eval_fun=lambda v: model(v) * np.array(np.nan), class_index=0
    )
    with pytest.raises(ValueError, match="explained output is nan"):
        named(call, calculator)(x, train=True, seed=0)
    assert state_of(model, x) == before


class ReplacesItsParameter(chainer.Chain):
    """Assigns to a parameter and clears gradients during forward."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 1)

    def forward(self, x):
        self.cleargrads()
        self.l1.W.array = self.l1.W.array / 2
        return self.l1(x)


@every_calculator_with(every_value, call=CALLS)
def test_parameters_that_forward_replaces_come_back(new_calculator, call, x):
    model = build(ReplacesItsParameter)
    for parameter in model.params():
        parameter.grad = np.ones_like(parameter.array)
    before = state_of(model)
    named(call, new_calculator(model))(x, batchsize=3)
    assert state_of(model) == before


def test_the_model_can_be_trained_on_as_if_nothing_had_been_explained(x):
    """Two networks, one of them explained between the steps of training."""
    t = x.sum(axis=1, keepdims=True)
    results = []
    for explained in (False, True):
        model = build(MLP, n_out=1, normalize=True, dropout=0.5)
        optimizer = chainer.optimizers.Adam().setup(model)
        np.random.seed(0)
        for _ in range(3):
            optimizer.update(lambda: F.mean_squared_error(model(x), t))  # noqa: B023
            if explained:
                GradientCalculator(model).compute(x, M=3, train=True)
        results.append(state_of(model))
        results[-1].pop("identity")
    assert results[0] == results[1]


def test_a_training_under_way_does_not_hear_what_the_model_reports(x):
    classifier = L.Classifier(build(MLP))
    reporter = chainer.Reporter()
    reporter.add_observer("main", classifier)
    with reporter:
        GradientCalculator(classifier).compute((x, np.zeros(len(x), np.int32)))
    assert reporter.observation == {}


class WritesIntoItsParameter(chainer.Chain):
    """Clips a weight where it stands, or clears gradients in that way."""

    def __init__(self, writes):
        super().__init__()
        self.writes = writes
        with self.init_scope():
            self.l1 = L.Linear(4, 1)

    def forward(self, x):
        if self.writes == "array":
            np.clip(self.l1.W.array, -0.1, 0.1, out=self.l1.W.array)
        else:
            self.l1.W.grad[...] = 0
        return self.l1(x)


@every_calculator_with(every_value, call=CALLS, writes=["array", "gradient"])
def test_a_model_that_writes_into_its_parameters_is_refused(
    new_calculator, call, writes, x
):
    model = build(WritesIntoItsParameter, writes)
    for parameter in model.params():
        parameter.grad = np.ones_like(parameter.array)
    before = state_of(model)
    with pytest.raises(ValueError, match="must not write into its parameters"):
        named(call, new_calculator(model))(x, batchsize=3)
    assert state_of(model) == before
    model(x)  # it may do so again


@every_calculator
def test_parameters_in_a_file_that_is_read_only(new_calculator, tmp_path, x):
    """Memory-mapped, as large models are loaded; persistent values, too."""
    model = build(Network)
    expected = new_calculator(model).compute(x, seed=0)
    for i, parameter in enumerate(model.params()):
        np.save(tmp_path / f"{i}.npy", parameter.array)
        parameter.array = np.load(tmp_path / f"{i}.npy", mmap_mode="r")
    np.save(tmp_path / "mean.npy", model.norm.avg_mean)
    model.norm.avg_mean = np.load(tmp_path / "mean.npy", mmap_mode="r")
    before = state_of(model)
    np.testing.assert_array_equal(new_calculator(model).compute(x, seed=0), expected)
    assert state_of(model) == before
    assert not model.norm.avg_mean.flags.writeable


class Counting(chainer.Chain):
    """Counts its calls, and goes on from the state of the call before."""

    def __init__(self):
        super().__init__()
        self.n_call = 0
        with self.init_scope():
            self.lstm = L.LSTM(4, 3)
            self.out = L.Linear(3, 1)

    def forward(self, x):
        self.n_call += 1
        return self.out(self.lstm(x))

    def scaled(self, x, factor=2):
        return self(x) * factor


class Wrapped:
    """An object that holds a link somewhere and can be called."""

    def __init__(self, link):
        self.links = {"of mine": [link]}

    def __call__(self, x):
        return self.links["of mine"][0](x)


_counting = build(Counting)

CALLABLES = {
    "closure": lambda link: lambda x: link(x),
    "function within": lambda link: lambda x: (lambda v: link(v))(x),
    "default": lambda _: lambda x, link=_counting: link(x),
    "global": lambda _: lambda x: _counting(x),
    "method": lambda link: link.scaled,
    "partial": lambda link: functools.partial(link.scaled, factor=1),
    "object": Wrapped,
    "method of an object": lambda link: Wrapped(link).__call__,
}


@pytest.mark.parametrize("name", CALLABLES)
@pytest.mark.parametrize("is_model", [True, False], ids=["model", "eval_fun"])
def test_links_that_only_a_callable_knows(name, is_model, x):
    link = _counting
    link.lstm.reset_state()
    called = CALLABLES[name](link)
    calculator = (
        GradientCalculator(called)
        if is_model
        else GradientCalculator(build(MLP), eval_fun=called)
    )
    n_call = link.n_call
    first = calculator.compute(x, batchsize=3)
    assert (link.n_call, link.lstm.h) == (n_call, None)
    np.testing.assert_array_equal(calculator.compute(x, batchsize=3), first)


class TestTheUsersFunctions:
    """They may work in place, on copies."""

    @pytest.mark.parametrize("data", ["array", "list", "tuple"])
    def test_preprocess_fn_and_converter(self, data, x):
        def preprocess(*arrays):
            for array in arrays:
                array *= 2
            return arrays[0]

        def converter(examples, device):
            for example in examples:
                for array in example if isinstance(example, tuple) else (example,):
                    array += 1
            return chainer.dataset.concat_examples(examples, device)

        given = {"array": x, "list": list(x), "tuple": (x, x.copy())}[data]
        before = x.copy()
        calculator = GradientCalculator(build(MLP), class_index=0, multiply_target=True)
        found = calculator.compute(
            given, preprocess_fn=preprocess, converter=converter, batchsize=3
        )
        np.testing.assert_array_equal(x, before)
        np.testing.assert_allclose(found, calculator.compute(2 * (x + 1)), rtol=1e-9)

    def test_what_cannot_be_put_back_does_not_keep_the_rest_changed(self, x):
        class Stubborn(chainer.Link):
            """Has a persistent array that becomes read-only once it is written into."""

            def __init__(self):
                super().__init__()
                self.add_persistent("calls", np.zeros(1))

            def forward(self, x):
                self.calls += 1
                self.calls.flags.writeable = False
                return x

        model = chainer.Sequential(build(Counting), Stubborn(), build(MLP, n_in=1))
        calculator = GradientCalculator(model, class_index=0)
        with pytest.raises(ValueError, match="read-only"):
            calculator.compute(x)
        assert model[0].n_call == 0
        assert model[0].lstm.h is None
        assert "train" not in vars(chainer.config._local)
