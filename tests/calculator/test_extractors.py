"""Explaining hidden variables, against the network cut in two there."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    GaussianNoiseSampler,
    GradCAMCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
)
from tests.calculator.every_calculator import (
    DISTURBANCES,
    every_calculator,
    every_calculator_with,
)
from tests.calculator.oracles import run
from tests.covering import every_pair, every_value
from tests.networks import MLP, Fuse, Repeated, Siamese, Tokens, TwoParts, build

import chainer
import chainer.functions as F
import chainer.links as L


@pytest.fixture
def f():
    """f = g(h(x)), with dropout in g."""
    h = build(MLP, n_out=5)
    g = build(MLP, n_in=5, n_out=2, dropout=0.5, normalize=True, seed=1)
    return TwoParts(h, g)


@every_calculator_with(
    every_pair,
    disturbance=DISTURBANCES,
    batchsize=[2, 16],
    at=["output of h", "input of g"],
)
def test_at_a_link_the_network_is_explained_as_its_rest_at_its_input(
    new_calculator, disturbance, batchsize, at, f, x
):
    """Noise, paths, windows and all."""
    x = x[:4]
    how = {"M": 2, "seed": 0, "batchsize": batchsize, **disturbance}
    extractor = (
        VariableMonitorLinkHook(f.h, timing="post")
        if at == "output of h"
        else VariableMonitorLinkHook(f.g, timing="pre")
    )
    whole = new_calculator(f, extractor, class_index=1).compute(x, **how)
    of_g = new_calculator(f.g, class_index=1).compute(run(f.h, x), **how)
    assert_allclose(whole, of_g, rtol=1e-9, atol=1e-12)


@every_calculator
class TestEmbedding:
    """Discrete inputs are explained where they become numbers."""

    @pytest.fixture
    def ids(self, rng):
        return rng.integers(1, 10, (4, 3)).astype(np.int32)

    def test_tokens(self, new_calculator, ids):
        model = build(Tokens)
        at_embedding = VariableMonitorLinkHook(model.embed)
        samples = new_calculator(model, at_embedding).compute(ids, batchsize=3, seed=0)

        def behind_embedding(v):
            return model.out(F.sum(F.tanh(model.hidden(v, n_batch_axes=2)), axis=1))

        embedded = model.embed.W.array[ids]
        expected = new_calculator(behind_embedding).compute(embedded, seed=0)
        assert_allclose(samples, expected, rtol=1e-10, atol=1e-13)


class TestOutputExtractor:
    @every_calculator_with(every_value, disturbance=DISTURBANCES, batchsize=[2, 16])
    def test_explains_the_output_of_a_link_in_the_middle(
        self, new_calculator, disturbance, batchsize, f, x
    ):
        how = {"M": 2, "seed": 0, "batchsize": batchsize, **disturbance}
        of_h = VariableMonitorLinkHook(f.h)
        middle = new_calculator(f, output_extractor=of_h, class_index=3).compute(
            x, **how
        )
        expected = new_calculator(f.h, class_index=3).compute(x, **how)
        assert_allclose(middle, expected, rtol=1e-9, atol=1e-12)

    @every_calculator_with(every_value, disturbance=DISTURBANCES, batchsize=[2, 16])
    def test_between_two_links(self, new_calculator, disturbance, batchsize, x):
        model = build(MLP, depth=4)
        how = {"M": 2, "seed": 0, "batchsize": batchsize, **disturbance}
        start = VariableMonitorLinkHook(model.layers[0])
        end = VariableMonitorLinkHook(model.layers[2])
        between = new_calculator(model, start, end, class_index=3).compute(x, **how)

        def piece(v):
            return model.layers[2](F.tanh(model.layers[1](F.tanh(v))))

        expected = new_calculator(piece, class_index=3).compute(
            run(model.layers[0], x), **how
        )
        assert_allclose(between, expected, rtol=1e-9, atol=1e-12)


def test_output_extractor_may_pick_the_input_of_a_link(f, x):
    of_g = VariableMonitorLinkHook(f.g, timing="pre")
    calculator = GradientCalculator(f, output_extractor=of_g, class_index=3)
    expected = GradientCalculator(f.h, class_index=3).compute(x)
    assert_allclose(calculator.compute(x, batchsize=3), expected)


def test_extract_fn_picks_any_variable(rng, x):
    """The second input of a link, say."""

    class Product(chainer.Link):
        def forward(self, a, b):
            return F.sum(a * b**2, axis=1)

    product = Product()
    second = VariableMonitorLinkHook(
        product, timing="pre", extract_fn=lambda hook, args: args.args[1]
    )
    samples = GradientCalculator(
        product, second, eval_fun=lambda v: product(v, 3 * v)
    ).compute(x)
    assert_allclose(samples[0], 6 * x**2)


class FixedNoise:
    def sample(self, array):
        return np.linspace(-1, 1, array.shape[1]) * np.ones_like(array)


class TestLinkThatIsCalledSeveralTimes:
    """Siamese: one link for the left and for the right half of the input."""

    @pytest.fixture
    def model(self):
        return build(Siamese)

    @every_calculator_with(every_value, disturbance=DISTURBANCES, batchsize=[3, 16])
    def test_the_calls_are_explained_one_by_one_and_added_up(
        self, new_calculator, disturbance, batchsize, model, x
    ):
        every, first, second = (
            new_calculator(
                model, VariableMonitorLinkHook(model.encoder, call=call)
            ).compute(x, M=2, batchsize=batchsize, seed=0, **disturbance)
            for call in (None, 0, 1)
        )
        assert_allclose(every, first + second, rtol=1e-9, atol=1e-12)

    @every_calculator_with(
        every_value, noise={"clean": None, "noise": FixedNoise()}, call=[0, 1]
    )
    def test_one_call_is_explained_with_the_other_as_it_is(
        self, new_calculator, call, noise, model, x
    ):
        def behind(*encoded):
            left, right = encoded[::-1] if call else encoded
            return model.out(F.tanh(left) * F.sigmoid(right))

        halves = x[:, :2], x[:, 2:]
        encoded = [run(model.encoder, half) for half in halves]
        how = {"M": 2, "noise_sampler": noise, "seed": 0}
        samples = new_calculator(
            model, VariableMonitorLinkHook(model.encoder, call=call)
        ).compute(x, batchsize=3, **how)
        data = encoded[::-1] if call else encoded
        expected = new_calculator(behind).compute(tuple(data), **how)
        assert_allclose(samples, expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("batchsize", [3, 16])
    def test_one_value_for_the_batch_may_be_made_of_them(self, model, batchsize, x):
        at_encoder = VariableMonitorLinkHook(model.encoder)
        for calculator in (
            partial(IntegratedGradientsCalculator, steps=4),
            partial(OcclusionCalculator, slide_axis=1),
        ):
            rows = calculator(model, at_encoder)
            total = calculator(model, at_encoder, eval_fun=lambda v: F.sum(model(v)))
            assert_allclose(
                total.compute(x, batchsize=batchsize), rows.compute(x), rtol=1e-9
            )

    def test_noise_of_calls_is_independent(self, x):
        """Of a link that gives back what it is given, called twice for the same."""
        link = Fuse()
        first, second = (
            GradientCalculator(
                link,
                VariableMonitorLinkHook(link, call=call),
                eval_fun=lambda v: F.sum(link(v) ** 2 + link(v) ** 2, axis=1),
            ).compute(x, noise_sampler=GaussianNoiseSampler(), seed=0)
            for call in (0, 1)
        )
        assert (np.abs(first - second) > 1e-6).all()

    def test_a_call_that_the_output_does_not_use_adds_nothing(self, x):
        link = build(L.Linear, 4, 1)

        def model(v):
            link(v * 2)  # unused
            return link(v)

        at_link = VariableMonitorLinkHook(link, timing="pre")
        samples = GradientCalculator(link, at_link, eval_fun=model).compute(x)
        assert_array_equal(samples[0], np.tile(link.W.array, (7, 1)))


class TestLinkThatIsCalledForItsOwnOutput:
    @pytest.fixture
    def model(self):
        return build(Repeated)

    @every_calculator_with(every_value, disturbance=DISTURBANCES)
    def test_the_calls_are_explained_one_by_one_and_added_up(
        self, new_calculator, disturbance, model, x
    ):
        every, first, second = (
            new_calculator(
                model, VariableMonitorLinkHook(model.step, call=call)
            ).compute(x, M=2, batchsize=16, seed=0, **disturbance)
            for call in (None, 0, 1)
        )
        assert_allclose(every, first + second, rtol=1e-9, atol=1e-12)

    @every_calculator_with(
        every_value, noise={"clean": None, "noise": FixedNoise()}, call=[0, 1]
    )
    def test_a_call_is_explained_through_all_that_comes_after(
        self, new_calculator, call, noise, model, x
    ):
        """Of the first, that is what the second makes of it."""
        behind = [
            lambda h: model.out(F.tanh(model.step(F.tanh(h)))),
            lambda h: model.out(F.tanh(h)),
        ][call]
        hidden = run(model.step, x)
        if call == 1:
            hidden = run(lambda h: model.step(F.tanh(h)), hidden)
        how = {"M": 2, "noise_sampler": noise, "seed": 0}
        samples = new_calculator(
            model, VariableMonitorLinkHook(model.step, call=call)
        ).compute(x, **how)
        expected = new_calculator(behind).compute(hidden, **how)
        assert_allclose(samples, expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("call", [None, 0, 1])
    def test_paths_are_complete(self, model, call, x):
        calculator = IntegratedGradientsCalculator(
            model, VariableMonitorLinkHook(model.step, call=call), steps=32
        )
        samples = calculator.compute(x)
        delta = calculator.convergence_delta(samples, x)
        assert_allclose(delta, 0, atol=1e-9)


class TestHookOfTheUser:
    """A hook that is registered already is not registered a second time."""

    @pytest.fixture
    def expected(self, f, x):
        return GradientCalculator(f.g, class_index=0).compute(run(f.h, x))

    def test_running_in_a_with_block(self, f, x, expected):
        with VariableMonitorLinkHook(f.h) as hook:
            run(f, x)
            samples = GradientCalculator(f, hook, class_index=0).compute(x)
        assert_allclose(samples, expected)

    def test_added_to_the_link(self, f, x, expected):
        hook = VariableMonitorLinkHook(f.h)
        f.h.add_hook(hook)
        samples = GradientCalculator(f, hook, class_index=0).compute(x)
        assert_allclose(samples, expected)
        f(x)
        assert len(hook.variables) == 1

    @every_calculator
    def test_used_before_and_again(self, new_calculator, f, x):
        hook = VariableMonitorLinkHook(f.h)
        calculator = new_calculator(f, hook, class_index=0)
        first = calculator.compute(x, seed=0)
        assert_array_equal(calculator.compute(x, seed=0), first)

    def test_one_hook_for_target_and_output(self, f, x):
        """The output of a link, explained at itself, is the identity."""
        hook = VariableMonitorLinkHook(f.h)
        samples = GradientCalculator(f, hook, hook, class_index=1).compute(x)
        assert_array_equal(samples[0], np.tile(np.eye(5)[1], (7, 1)))

    def test_processes_of_the_user_come_before_saliency(self, f, x):
        """A process that puts something in the variable is a part of the model."""

        def halve(hook, args, variable):
            variable.array = variable.array / 2

        hook = VariableMonitorLinkHook(f.h)
        hook.add_process("halve", halve)
        samples = GradientCalculator(
            f, hook, class_index=0, multiply_target=True
        ).compute(x)
        expected = GradientCalculator(f.g, class_index=0, multiply_target=True).compute(
            run(f.h, x) / 2
        )
        assert_allclose(samples, expected)
        assert list(hook.process_fns) == ["halve"]


class TestErrors:
    @every_calculator
    def test_a_link_that_is_never_called_is_named(self, new_calculator, f, x):
        f.add_link("unused", L.Linear(2, 2))
        for role in ("target_extractor", "output_extractor"):
            hook = VariableMonitorLinkHook(f.unused)
            calculator = new_calculator(f, class_index=0, **{role: hook})
            with pytest.raises(ValueError, match=r"unused.*Linear.*never called"):
                calculator.compute(x)

    @every_calculator
    def test_a_call_that_never_comes(self, new_calculator, f, x):
        for role in ("target_extractor", "output_extractor"):
            hook = VariableMonitorLinkHook(f.h, call=2)
            calculator = new_calculator(f, class_index=0, **{role: hook})
            with pytest.raises(ValueError, match=r"call=2.*'h'.*called 1 time"):
                calculator.compute(x)

    @every_calculator
    def test_a_target_that_is_no_variable(self, new_calculator, f, x):
        hook = VariableMonitorLinkHook(
            f.h, extract_fn=lambda hook, args: args.out.array
        )
        with pytest.raises(TypeError, match=r"target.*Variable.*target_extractor"):
            new_calculator(f, hook, class_index=0).compute(x)

    @every_calculator
    def test_an_output_that_is_no_variable(self, new_calculator, f, x):
        with pytest.raises(TypeError, match=r"output.*Variable.*ndarray"):
            new_calculator(f, eval_fun=lambda v: f(v).array).compute(x)
        with pytest.raises(TypeError, match=r"output.*Variable.*tuple"):
            new_calculator(f, eval_fun=lambda v: (f(v), v)).compute(x)

    @every_calculator_with(
        every_value,
        role=["target_extractor", "output_extractor"],
        what=["h", L.Linear, 3],
    )
    def test_something_else_than_a_hook(self, new_calculator, f, role, what):
        with pytest.raises(TypeError, match=rf"{role}.*VariableMonitorLinkHook"):
            new_calculator(f, **{role: what})

    @every_calculator
    def test_calls_of_different_shapes_cannot_be_added_up(self, new_calculator, x):
        link = build(L.Convolution1D, 1, 2, 1)

        def model(v):
            v = v[:, None]
            return F.sum(link(v), axis=(1, 2)) + F.sum(link(v[:, :, :3]), axis=(1, 2))

        calculator = new_calculator(
            link, VariableMonitorLinkHook(link, timing="pre"), eval_fun=model
        )
        with pytest.raises(ValueError, match="call"):
            calculator.compute(x)


class OverridesCall(chainer.Chain):
    """A link as those from before Chainer 5, one that calls its base as well."""

    def __init__(self, calls_base=False):
        super().__init__()
        self.calls_base = calls_base
        with self.init_scope():
            self.linear = L.Linear(4, 3)

    def forward(self, x):
        return F.tanh(self.linear(x))

    def __call__(self, x):
        if self.calls_base:
            return super().__call__(x)
        return self.forward(x)


class TestLinksThatOverrideCall:
    """Chainer tells hooks of no call of theirs."""

    @every_calculator_with(
        every_value, calls_base=[False, True], timing=["pre", "post"]
    )
    def test_are_read_at(self, new_calculator, timing, calls_base, x):
        inner = build(OverridesCall, calls_base)
        model = TwoParts(inner, build(MLP, n_in=3, n_out=2))
        call = OverridesCall.__call__
        extractor = VariableMonitorLinkHook(inner, timing=timing)
        samples = new_calculator(model, extractor, class_index=0).compute(x, seed=0)
        hidden = x if timing == "pre" else run(inner, x)
        rest = model if timing == "pre" else model.g
        expected = new_calculator(rest, class_index=0).compute(hidden, seed=0)
        assert_allclose(samples, expected, rtol=1e-10, atol=1e-13)
        assert OverridesCall.__call__ is call

    def test_catch_one_variable_a_call_in_a_block_of_the_users(self, x):
        for calls_base in (False, True):
            link = build(OverridesCall, calls_base)
            with VariableMonitorLinkHook(link) as hook:
                link(x)
                y = link(x)
            assert len(hook.variables) == 2
            assert hook.get_variable() is y

    def test_give_feature_maps(self):
        class Convolution(L.Convolution2D):
            def __call__(self, x):
                return self.forward(x)

        images = np.random.default_rng(0).normal(size=(2, 1, 6, 6))
        with chainer.using_config("dtype", np.float64):
            plain, other = (
                chainer.Sequential(convolution(1, 2, 3), F.relu, L.Linear(32, 2))
                for convolution in (L.Convolution2D, Convolution)
            )
        plain(images)
        other(images)
        other.copyparams(plain)
        expected, found = (
            GradCAMCalculator(model, layer="0", class_index=0).compute(images)
            for model in (plain, other)
        )
        assert_array_equal(found, expected)


def test_what_is_behind_the_target_is_not_run_to_look_at_the_target(f, x):
    monitor, rows = VariableMonitorLinkHook(f.h), []

    def eval_fun(x: chainer.Variable) -> chainer.Variable:
        h = f.h(x)
        rows.append(len(x))
        return f.g(h)

    made = GradientCalculator(f, monitor, eval_fun=eval_fun, class_index=1)
    made.compute(x[:4])
    assert rows == [4]


class Balance(chainer.LinkHook):
    """Counts calls of links that have begun and not ended."""

    n = 0

    def forward_preprocess(self, args):
        self.n += 1

    def forward_postprocess(self, args):
        self.n -= 1


@pytest.mark.parametrize("is_local", [False, True])
def test_hooks_of_the_users_see_the_end_of_all_that_they_see_begin(f, x, is_local):
    made = GradientCalculator(f, VariableMonitorLinkHook(f.h), class_index=1)
    hook = Balance()
    if is_local:
        f.add_hook(hook)
        made.compute(x[:4])
    else:
        with hook:
            made.compute(x[:4])
    assert hook.n == 0
