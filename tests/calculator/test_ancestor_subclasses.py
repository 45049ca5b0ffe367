"""Calculators written for Chainer Chemistry, which override its methods, run here."""

from __future__ import annotations

import inspect
import logging

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.calculator_utils import GaussianNoiseSampler
from saliency.calculator.gradient_calculator import GradientCalculator
from saliency.calculator.integrated_gradients_calculator import (
    IntegratedGradientsCalculator,
)
from saliency.calculator.occlusion_calculator import OcclusionCalculator
from saliency.calculator.randomness.posteriors import EnsemblePosterior
from tests.calculator.oracles import backward_gradient, run
from tests.calculator.test_promises import state_of
from tests.networks import MLP, Fuse, Siamese, Tokens, TwoInputs, build

import chainer
import chainer.functions as F

QUIET = {"show_progress": False}
NOISE = GaussianNoiseSampler()


class Grad(BaseCalculator):
    """A gradient as it was written there: backward, and what the target has then."""

    def __init__(
        self,
        model,
        target_extractor=None,
        output_extractor=None,
        eval_fun=None,
        device=None,
        logger=None,
    ):
        super().__init__(model, target_extractor, output_extractor, device, logger)
        self.eval_fun = eval_fun or model.__call__

    def _compute_core(self, *inputs):
        self.model.cleargrads()
        outputs = self.eval_fun(*inputs)
        target_var = self.get_target_var(inputs)
        target_var.grad = None
        output_var = F.sum(self.get_output_var(outputs))
        output_var.backward(retain_grad=True)
        return (target_var.grad,)


class Path(GradientCalculator):
    """The midpoint rule from zero to the target, a gradient at a time."""

    steps = 6

    def _compute_core(self, *inputs):
        self.eval_fun(*inputs)
        end = self.get_target_var(inputs).array.copy()
        total = 0
        for alpha in (np.arange(self.steps) + 0.5) / self.steps:
            if self.target_extractor is None:
                inputs[0].array = alpha * end
                total = total + super()._compute_core(*inputs)[0]
            else:

                def put(hook, args, target_var, array=alpha * end):
                    target_var.array[:] = array

                self.target_extractor.add_process("/saliency/put", put)
                total = total + super()._compute_core(*inputs)[0]
                self.target_extractor.delete_process("/saliency/put")
        return (total * end / self.steps,)


class LeaveOneOut(BaseCalculator):
    """The fall of the output when one feature after the other is zero."""

    def __init__(self, model, **kwargs):
        super().__init__(model, **kwargs)
        self.eval_fun = model

    def _compute_core(self, *inputs):
        before = self.get_output_var(self.eval_fun(*inputs)).array
        array = self.get_target_var(inputs).array.copy()
        falls = np.zeros_like(array)
        for i in range(array.shape[1]):
            if self.target_extractor is None:
                inputs[0].array = array.copy()
                inputs[0].array[:, i] = 0
            else:

                def mask(hook, args, target_var, i=i):
                    target_var.array = array.copy()
                    target_var.array[:, i] = 0

                self.target_extractor.add_process("/saliency/mask", mask)
            after = self.get_output_var(self.eval_fun(*inputs)).array
            falls[:, i] = (before - after)[:, 0]
        return (falls,)  # and the last process is left behind


@pytest.fixture
def model():
    return build(MLP, n_out=1, dropout=0.5)


WAYS = [
    {},
    {"noise_sampler": NOISE},
    {"train": True},
    {"train": True, "noise_sampler": NOISE},
]
every_way = pytest.mark.parametrize("way", WAYS, ids=["plain", "noise", "masks", "all"])
every_place = pytest.mark.parametrize("at", ["input", "hidden", "hidden input"])


def extractor_at(model, at):
    if at == "input":
        return None
    timing = "pre" if at == "hidden input" else "post"
    return VariableMonitorLinkHook(model.layers[1], timing=timing)


# --- the same numbers as ours ------------------------------------------------------


@every_way
@every_place
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (Grad, GradientCalculator),
        (
            Path,
            lambda m, e: IntegratedGradientsCalculator(
                m, e, steps=6, method="midpoint"
            ),
        ),
        (
            lambda m, e: LeaveOneOut(m, target_extractor=e),
            lambda m, e: OcclusionCalculator(m, e, slide_axis=1),
        ),
    ],
    ids=["gradient", "path", "leave one out"],
)
def test_noise_and_masks_are_those_of_our_calculators(theirs, ours, at, way, x):
    model = build(MLP, n_hidden=5, n_out=1, dropout=0.5, depth=3)
    how = {"M": 3, "seed": 5, **QUIET, **way}
    expected = ours(model, extractor_at(model, at)).compute(x, **how)
    samples = theirs(model, extractor_at(model, at)).compute(x, **how)
    assert_allclose(samples, expected, rtol=1e-10, atol=1e-14)
    assert (np.ptp(samples, axis=0).max() > 0) == bool(way)


@every_way
@pytest.mark.parametrize("calculator", [Grad, Path, LeaveOneOut])
def test_the_result_does_not_depend_on_the_batchsize(calculator, way, model, x):
    how = {"M": 2, "seed": 5, **QUIET, **way}
    expected = calculator(model).compute(x, batchsize=7, **how)
    for batchsize in (1, 3, 16):
        samples = calculator(model).compute(x, batchsize=batchsize, **how)
        assert_allclose(samples, expected, rtol=1e-10, atol=1e-14)


def test_a_core_sees_each_sample_of_each_batch_by_itself(model, x):
    sizes = []

    class Counts(Grad):
        def _compute_core(self, *inputs):
            sizes.append(len(inputs[0]))
            return super()._compute_core(*inputs)

    Counts(model).compute(x, M=2, batchsize=3, **QUIET)
    assert sizes == [3, 3, 3, 3, 1, 1]


def test_a_mean_over_samples_and_a_posterior(model, x):
    other = build(MLP, n_out=1, seed=9)
    ensemble = EnsemblePosterior([model, other])
    samples = Grad(model).compute(x, M=2, posterior=ensemble, **QUIET)
    for sample, network in zip(samples, (model, other)):
        assert_allclose(sample, backward_gradient(network, x), rtol=1e-12)
    mean = Grad(model).compute_aggregate(
        x, M=2, method="abs", posterior=ensemble, **QUIET
    )
    assert_allclose(mean, np.abs(samples).mean(axis=0), rtol=1e-12)


def test_results_go_into_a_file(model, x, tmp_path):
    out = Path(model).compute_aggregate(
        x, M=3, batchsize=3, seed=0, train=True, out=tmp_path / "x.npy", **QUIET
    )
    samples = Path(model).compute(x, M=3, seed=0, train=True, **QUIET)
    assert_allclose(out, samples.mean(axis=0), rtol=1e-10)


def test_a_model_that_draws_its_own_numbers_is_run_row_by_row(x):
    class Noisy(chainer.Chain):
        def forward(self, v):
            return F.sum(v**2, axis=1) + float(np.random.normal()) * v[:, 0]

    samples = Grad(Noisy()).compute(x, seed=3, batchsize=7, **QUIET)
    assert_array_equal(samples, Grad(Noisy()).compute(x, seed=3, batchsize=2, **QUIET))
    drawn = (samples[0] - 2 * x)[:, 0]
    assert len(np.unique(drawn.round(6))) == len(x)


# --- what they override --------------------------------------------------------------


def test_what_the_core_may_return(model, x):
    class Bare(BaseCalculator):
        returns = staticmethod(lambda v: v)

        def _compute_core(self, *inputs):
            self.model(*inputs)
            return self.returns(self.get_target_var(inputs))

    calculator = Bare(model)
    for returns in (
        lambda v: v,
        lambda v: v.array,
        lambda v: (v,),
        lambda v: [v.array],
    ):
        calculator.returns = returns
        assert_array_equal(calculator.compute(x, **QUIET)[0], x)
    for returns, error, message in (
        (lambda v: (v, v), ValueError, "one array in a tuple, got 2"),
        (lambda v: (None,), ValueError, "no influence"),
        (lambda v: ("x",), TypeError, "got str"),
        (lambda v: v.array.sum(axis=0), ValueError, r"7 examples, got shape \(4,\)"),
    ):
        calculator.returns = returns
        with pytest.raises(error, match=message):
            calculator.compute(x, **QUIET)


def test_a_target_that_is_the_second_input(rng):
    model = build(TwoInputs)
    x, z = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))

    class OfSecond(GradientCalculator):
        def get_target_var(self, inputs):
            return inputs[1]

    expected = backward_gradient(lambda second, first: model(first, second), z, x)
    calculator = OfSecond(model)
    assert_allclose(calculator.compute((x, z), **QUIET)[0], expected, rtol=1e-12)
    calculator.multiply_target = True
    samples = calculator.compute((x, z), batchsize=2, **QUIET)
    assert_allclose(samples[0], z * expected, rtol=1e-12)


def test_a_target_that_the_model_keeps(rng):
    class Keeps(Tokens):
        def forward(self, ids):
            self.embedded = self.embed(ids)
            h = F.tanh(self.hidden(self.embedded, n_batch_axes=2))
            return self.out(F.sum(h, axis=1))

    class OfKept(GradientCalculator):
        def get_target_var(self, inputs):
            return self.model.embedded

    model = build(Keeps, dtype=np.float32)
    ids = rng.integers(1, 10, (5, 6)).astype(np.int32)
    expected = GradientCalculator(model, VariableMonitorLinkHook(model.embed)).compute(
        ids, **QUIET
    )
    assert_allclose(OfKept(model).compute(ids, **QUIET), expected, rtol=1e-5)
    assert not hasattr(model, "embedded")


@pytest.mark.parametrize(
    "base",
    [
        GradientCalculator,
        IntegratedGradientsCalculator,
        lambda *a, **k: OcclusionCalculator(*a, slide_axis=1, **k),
    ],
    ids=["gradient", "paths", "occlusion"],
)
def test_an_output_of_their_own(base, x):
    model = build(MLP)

    def choose(self, outputs):
        return F.log_softmax(outputs)[:, 1]

    plain = base(model, None, None, lambda v: choose(None, model(v)))
    cls = type(plain)
    chooses = type("Chooses", (cls,), {"get_output_var": choose})
    calculator = chooses(**{**plain.settings(), "eval_fun": None})
    how = {"M": 3, "seed": 0, "noise_sampler": NOISE, **QUIET}
    assert_array_equal(calculator.compute(x, **how), plain.compute(x, **how))


@pytest.mark.parametrize("base", [GradientCalculator, Grad])
def test_an_output_beside_that_of_the_output_extractor(base, x):
    model = build(MLP, n_hidden=5, depth=3)
    hook = VariableMonitorLinkHook(model.layers[1], name="out")

    class Squares(base):
        def get_output_var(self, outputs):
            assert outputs.shape[1] == 3  # the model's own
            return F.sum(super().get_output_var(outputs) ** 2, axis=1)

    def squares(v):
        return F.sum(model.layers[1](model.activation(model.l1(v))) ** 2, axis=1)

    samples = Squares(model, output_extractor=hook).compute(x, **QUIET)
    assert_allclose(samples[0], backward_gradient(squares, x), rtol=1e-10)
    assert chainer._get_link_hooks() == {}


def test_each_call_of_a_link_has_noise_of_its_own(rng):
    model = build(Siamese)
    x = rng.normal(size=(6, 4))
    seen = []

    class Sees(Grad):
        def _compute_core(self, *inputs):
            result = super()._compute_core(*inputs)
            seen.append([v.array.copy() for v in self.target_extractor.variables])
            return result

    hook = VariableMonitorLinkHook(model.encoder)
    Sees(model, hook).compute(x, seed=0, noise_sampler=NOISE, **QUIET)
    clean = [run(model.encoder, x[:, :2]), run(model.encoder, x[:, 2:])]
    first, second = (noisy - plain for noisy, plain in zip(seen[-1], clean))
    assert np.abs(first).min() > 0
    assert np.abs(first - second).min() > 0


def test_columns_are_summed_with_a_warning(x):
    class Doubled(GradientCalculator):
        def _compute_core(self, *inputs):
            return (2 * super()._compute_core(*inputs)[0],)

    model = build(MLP)
    with pytest.warns(UserWarning, match="sum of the 3 columns"):
        samples = Doubled(model).compute(x, **QUIET)
    assert_allclose(samples[0], 2 * backward_gradient(model, x), rtol=1e-12)
    with pytest.raises(ValueError, match=r"class_index must be None.*get_output_var"):
        Doubled(model, class_index=1)


def test_a_subclass_of_a_method_with_several_passes_is_told_what_to_do(model, x):
    class Moved(IntegratedGradientsCalculator):
        def get_target_var(self, inputs):
            return inputs[0]

    with pytest.raises(NotImplementedError, match="target_extractor="):
        Moved(model).compute(x, **QUIET)


def test_one_protocol_or_the_other():
    class Both(GradientCalculator):
        def contribution(self, this, classes):
            return 2 * sum(this.gradients(classes))

        def _compute_core(self, *inputs):
            raise AssertionError("contribution is what counts")

    x = np.ones((2, 3))
    samples = Both(lambda v: F.sum(v**2, axis=1)).compute(x, **QUIET)
    assert_array_equal(samples[0], 4 * x)
    with pytest.raises(TypeError, match="derive from the class before it"):
        type("Mixed", (Path,), {"contribution": Both.contribution})


# --- their constructors ---------------------------------------------------------------


def test_arguments_are_in_their_order(model):
    class Plain(BaseCalculator):
        def _compute_core(self, *inputs):
            return (inputs[0],)

    names = ["model", "target_extractor", "output_extractor", "device", "logger"]
    parameters = inspect.signature(Plain).parameters
    assert list(parameters)[:5] == names
    kinds = [p.kind for p in parameters.values()]
    assert kinds[:5] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 5
    assert set(kinds[5:]) == {inspect.Parameter.KEYWORD_ONLY}
    logger = logging.getLogger("of the user")
    calculator = Plain(model, None, None, -1, logger)
    assert calculator.device == -1
    assert calculator.logger is logger
    assert Plain(model, logger=None).logger is logging.getLogger("saliency")
    assert repr(Plain(model, device=-1)) == "Plain(<MLP>, device=-1)"
    # Whoever derives from one of the methods has the order of that.
    assert list(inspect.signature(Path).parameters)[4:6] == [
        "multiply_target",
        "device",
    ]


def test_a_base_without_a_core_cannot_be_made(model):
    with pytest.raises(TypeError, match="contribution"):
        BaseCalculator(model)


def test_what_a_core_sets_stays(model, x):
    class Remembers(Grad):
        def _compute_core(self, *inputs):
            self.seen = getattr(self, "seen", 0) + len(inputs[0])
            return super()._compute_core(*inputs)

    calculator = Remembers(model)
    eval_fun = calculator.eval_fun
    calculator.compute(x, batchsize=3, **QUIET)
    assert calculator.seen == 7
    assert calculator.eval_fun == eval_fun


# --- promises ---------------------------------------------------------------------


@pytest.mark.parametrize("blows_at", [None, 1, 3])
@pytest.mark.parametrize("at", ["input", "hidden"])
@pytest.mark.parametrize("calculator", [Grad, Path, LeaveOneOut])
def test_nothing_is_left_changed(calculator, at, blows_at, x):
    model = build(MLP, n_hidden=5, n_out=1, depth=3, dropout=0.5)
    F.sum(model(x)).backward()
    model.fuse = Fuse(blows_at=blows_at)
    hook = extractor_at(model, at)
    if hook is not None:
        hook.add_process("of the user", print_nothing)
    before = state_of(model, x)
    new = calculator(model, target_extractor=hook)
    how = {"M": 2, "batchsize": 3, "noise_sampler": NOISE, "train": True, **QUIET}
    if blows_at is None:
        new.compute(x, **how)
    else:
        with pytest.raises(RuntimeError, match="fuse"):
            new.compute(x, **how)
    assert state_of(model, x) == before
    assert chainer._get_link_hooks() == {}
    if hook is not None:
        assert hook.process_fns == {"of the user": print_nothing}


def print_nothing(hook, args, variable):
    """Looks at a variable and does nothing."""


def test_a_core_may_write_into_its_inputs_and_zero_gradients(model, x):
    class Writes(Grad):
        def _compute_core(self, *inputs):
            for parameter in self.model.params():
                if parameter.grad is not None:
                    parameter.grad[...] = 0
            saliency = super()._compute_core(*inputs)
            inputs[0].array[...] = 0
            return saliency

    F.sum(model(x)).backward()
    before = state_of(model, x)
    samples = Writes(model).compute(x, **QUIET)
    assert state_of(model, x) == before
    assert_allclose(samples[0], backward_gradient(model, x), rtol=1e-12)
