"""Integrated Gradients with points where the path has kinks, as ReLU networks have."""

from __future__ import annotations

import copy
import importlib.util
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

import saliency
from link_hooks import VariableMonitorLinkHook
from saliency import GaussianNoiseSampler, IntegratedGradientsCalculator
from tests.calculator.oracles import run
from tests.covering import every_value
from tests.networks import MLP, OwnNoise, Sequence, Siamese, build

import chainer
import chainer.functions as F
import chainer.links as L

Adaptive = partial(IntegratedGradientsCalculator, method="adaptive")


@cache
def iris():
    data = load_iris()
    scaled = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    return scaled, data.target.astype(np.int32)


@cache
def train(n_hidden, *, depth=3, activation=F.relu, seed=0, dtype=np.float32):
    """Returns an MLP that knows iris, and its data."""
    x, t = iris()
    x = x.astype(dtype)
    model = build(MLP, 4, n_hidden, 3, depth, activation, dtype=dtype, seed=seed)
    optimizer = chainer.optimizers.Adam(0.02).setup(model)
    for _ in range(100):
        optimizer.update(lambda: F.softmax_cross_entropy(model(x), t))
    assert (run(model, x).argmax(axis=1) == t).mean() > 0.95
    return model, x


def missing(model, x, baseline=0, batchsize=256, **arguments):
    """Returns by how much attributions miss f(x) - f(x'), computed by the model."""
    samples = Adaptive(
        model, class_index="argmax", baseline=baseline, **arguments
    ).compute(x, batchsize=batchsize)
    rows, top = np.arange(len(x)), run(model, x).argmax(axis=1)
    start = x * 0 + (x.mean(axis=0) if isinstance(baseline, str) else baseline)
    difference = (run(model, x) - run(model, start)).astype("d")[rows, top]
    return samples[0].sum(axis=1, dtype="d") - difference


def errors(model, every, steps, method):
    """Returns how far the attributions of some examples are from the integral."""
    samples = along_paths(model, every, steps, method)
    return abs(samples - integral(model, every))[0].max(axis=1)


@cache
def integral(model, every):
    return along_paths(model, every, 4_000, "midpoint")


def along_paths(model, every, steps, method):
    calculator = IntegratedGradientsCalculator(
        model, class_index="argmax", steps=steps, method=method
    )
    return calculator.compute(iris()[0][::every], batchsize=4_000)


@pytest.fixture(scope="module")
def example():
    """Returns the script examples/table/iris.py as a module."""
    path = Path(saliency.__file__).parents[1] / "examples/table/iris.py"
    spec = importlib.util.spec_from_file_location("example_iris", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class TestCompleteness:
    """The attributions add up to f(x) - f(x') at 32 steps, whatever the kinks."""

    @pytest.mark.large
    @every_value(n_hidden=[8, 16, 32, 64], depth=[2, 3], seed=[0, 1])
    def test_of_trained_relu_networks(self, seed, n_hidden, depth):
        model, x = train(n_hidden, depth=depth, seed=seed)
        for baseline in (0, "mean", 1):
            assert abs(missing(model, x, baseline, steps=32)).max() < 2e-5

    @pytest.mark.parametrize("n_hidden", [8, 32])
    @pytest.mark.large
    def test_in_float64(self, n_hidden):
        model, x = train(n_hidden, dtype=np.float64)
        assert abs(missing(model, x, steps=32)).max() < 1e-9

    @pytest.mark.parametrize("activation", ["leaky_relu", "elu", "tanh", "sigmoid"])
    @pytest.mark.large
    def test_of_other_networks(self, activation):
        model, x = train(16, activation=getattr(F, activation))
        assert abs(missing(model, x, steps=32)).max() < 2e-5

    @pytest.mark.large
    def test_of_the_network_of_the_example(self, example, tmp_path):
        np.random.seed(0)
        table = example.load_table("breast_cancer", 0)
        model = example.train(table, 10, chainer.get_device("@numpy"), tmp_path)
        assert abs(missing(model, table.x_test, steps=32)).max() < 2e-5

    @pytest.mark.large
    def test_is_what_convergence_delta_says(self):
        model, x = train(16)
        calculator = Adaptive(model, class_index="argmax", steps=32)
        delta = calculator.convergence_delta(calculator.compute(x), x)
        assert_allclose(delta[0], missing(model, x, steps=32), atol=2e-5)


class TestAttributions:
    """They are the integral, not just numbers that add up to the right sum."""

    @pytest.mark.parametrize(
        "n_hidden, depth, factor",
        [
            *((8, 2, 100), (32, 3, 3)),
            *(
                pytest.param(*case, marks=pytest.mark.large)
                for case in ((8, 3, 20), (16, 2, 50), (16, 3, 5), (32, 2, 5))
            ),
        ],
    )
    @pytest.mark.large
    def test_come_many_times_nearer_than_those_of_gauss_legendre(
        self, n_hidden, depth, factor
    ):
        model, _ = train(n_hidden, depth=depth, dtype=np.float64)
        adaptive = errors(model, 10, 32, "adaptive")
        fixed = errors(model, 10, 32, "gauss_legendre")
        assert adaptive.mean() < fixed.mean() / factor

    @pytest.mark.large
    def test_come_nearer_even_with_more_kinks_than_points(self):
        model, _ = train(48, dtype=np.float64)
        adaptive = errors(model, 5, 32, "adaptive")
        fixed = errors(model, 5, 32, "gauss_legendre")
        assert adaptive.mean() < fixed.mean() / 3
        assert adaptive.max() < fixed.max()

    @pytest.mark.large
    def test_come_nearer_with_more_points(self):
        model, _ = train(32, dtype=np.float64)
        few, more = (errors(model, 10, n, "adaptive") for n in (32, 128))
        assert more.mean() < few.mean() / 10

    @pytest.mark.parametrize(
        "activation, depth, factor, steps",
        [
            *((F.tanh, 2, 1, 8), (F.sigmoid, 2, 1, 32)),
            *((F.sigmoid, 3, 1, 8), (F.tanh, 3, 3, 32)),
        ],
    )
    @pytest.mark.large
    def test_of_smooth_networks_compare_with_the_midpoint_rule(
        self, activation, depth, factor, steps
    ):
        model, _ = train(16, depth=depth, activation=activation, dtype=np.float64)
        adaptive = errors(model, 10, steps, "adaptive")
        midpoint = errors(model, 10, steps, "midpoint")
        assert adaptive.mean() < factor * midpoint.mean()

    def test_of_an_input_without_influence_are_zero(self):
        model, x = train(16)
        model = copy.deepcopy(model)
        model.l1.W.array[:, 1] = 0
        assert_array_equal(Adaptive(model, class_index=0).compute(x)[..., 1], 0)


def bends(w, kinks, heights):
    """Returns the sum of ``height * relu(w x - kink w x0)`` and its IG for x0."""

    def model(v):
        z = F.matmul(v, w[:, None])[:, 0]
        return sum(c * F.relu(z - float(k)) for k, c in zip(kinks, heights))

    def integral(x):
        end = x @ w  # the path goes from 0 to here
        inside = [c * (1 - np.clip(k / end, 0, 1)) for k, c in zip(kinks, heights)]
        return x * w * sum(inside)[:, None]

    return model, integral


w = np.array([1.0, -2.0, 0.5, 3.0])
along_w = w / (w @ w) * np.linspace(0.7, 1, 5)[:, None]  # ends of w x from 0.7 to 1


class TestClosedForms:
    @given(kink=st.floats(0.01, 0.69), height=st.floats(0.1, 9), n=st.integers(2, 40))
    @pytest.mark.large
    def test_one_kink_is_found_by_any_number_of_points(self, kink, height, n):
        model, integral = bends(w, [kink], [height])
        samples = Adaptive(model, steps=n).compute(along_w)
        assert_allclose(samples[0], integral(along_w), rtol=1e-9, atol=1e-12)

    @given(
        kinks=st.lists(st.integers(1, 33), min_size=2, max_size=3, unique=True),
        heights=st.lists(st.sampled_from([-3.0, -1.0, 1.0, 2.0]), min_size=3),
    )
    @pytest.mark.large
    def test_several_kinks_are_told_apart(self, kinks, heights):
        model, integral = bends(w, np.array(kinks) / 50, heights)
        samples = Adaptive(model, steps=40).compute(along_w)
        assert_allclose(samples[0], integral(along_w), rtol=1e-9, atol=1e-12)

    def test_a_bend_up_and_down_again_is_not_taken_for_one_kink(self):
        """The tangents of its ends meet at a point of it."""
        model, integral = bends(w, [0.0, 0.3, 0.4], [1.0, 1.0, -3.0])
        samples = Adaptive(model, steps=32).compute(along_w)
        assert_allclose(samples[0], integral(along_w), rtol=1e-9)

    def test_points_that_are_left_look_where_nothing_was_seen(self):
        """A hat between two of the first points, with slope 0 on both sides."""
        model, integral = bends(w, [0.47, 0.5, 0.53], [1.0, -2.0, 1.0])
        x = w[None] / (w @ w)
        samples = Adaptive(lambda v: model(v) + 0 * v[:, 0], steps=32).compute(x)
        assert_allclose(samples[0], integral(x), atol=1e-12)

    def test_linear_and_quadratic_functions(self, x):
        model = build(L.Linear, 4, 1)
        for n in (2, 3, 7):
            assert_allclose(Adaptive(model, steps=n).compute(x)[0], x * model.W.array)
        square = Adaptive(lambda v: F.sum(v**2, axis=1), steps=5)
        assert_allclose(square.compute(x)[0], x**2, rtol=1e-12)

    def test_a_constant_has_no_attributions(self, x):
        assert_array_equal(Adaptive(lambda v: 0 * F.sum(v, axis=1)).compute(x), 0)


class TestInTheEngine:
    """Everything else than the points is as with other methods."""

    @pytest.mark.parametrize("steps", [2, 5, 32, 33])
    @pytest.mark.large
    def test_the_result_does_not_depend_on_the_batchsize(self, steps):
        model, x = train(32, dtype=np.float64)
        calculator = Adaptive(model, class_index="argmax", steps=steps)
        one_by_one = calculator.compute(x[::30], batchsize=1)
        for batchsize in (3, 16, 1000):
            together = calculator.compute(x[::30], batchsize=batchsize)
            assert_allclose(together, one_by_one, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("batchsize", [1, 7, 1000])
    @pytest.mark.large
    def test_samples_with_noise_and_dropout_are_complete(self, batchsize, x):
        x = x[:2]
        model = build(MLP, n_hidden=20, activation=F.relu, dropout=0.5)
        baselines = [0.5, "mean", lambda v: v / 2]
        calculator = Adaptive(model, class_index=1, steps=32, baseline=baselines)
        how = {
            "train": True,
            "noise_sampler": GaussianNoiseSampler(),
            "seed": 3,
            "batchsize": batchsize,
        }
        samples = calculator.compute(x, M=2, **how)
        assert_allclose(calculator.convergence_delta(samples, x, **how), 0, atol=1e-9)
        exact = IntegratedGradientsCalculator(
            model, class_index=1, steps=300, baseline=baselines
        ).compute(x, M=2, **{**how, "batchsize": 10_000})
        assert_allclose(samples, exact, atol=2e-2)

    def test_several_baselines_are_averaged_over(self, x):
        model = build(MLP, n_out=1, activation=F.relu)
        both = Adaptive(model, steps=8, baseline=[None, 0.5]).compute(x)
        each = [Adaptive(model, steps=8, baseline=b).compute(x) for b in (None, 0.5)]
        assert_allclose(both, np.mean(each, axis=0), rtol=1e-12)

    def test_at_a_hidden_target(self, x):
        h, g = build(L.Linear, 4, 6), build(MLP, 6, activation=F.relu, seed=1)
        whole = Adaptive(
            chainer.Sequential(h, g),
            target_extractor=VariableMonitorLinkHook(h),
            class_index=0,
        ).compute(x)
        assert_allclose(whole, Adaptive(g, class_index=0).compute(run(h, x)))

    @pytest.mark.parametrize("batchsize", [1, 5, 100])
    @pytest.mark.large
    def test_at_each_call_of_a_link(self, batchsize, x):
        model = build(Siamese)
        target = VariableMonitorLinkHook(model.encoder)
        both = Adaptive(model, target_extractor=target).compute(x, batchsize=batchsize)
        each = [
            Adaptive(
                model, target_extractor=VariableMonitorLinkHook(model.encoder, call=k)
            ).compute(x)
            for k in (0, 1)
        ]
        assert_allclose(both, sum(each), rtol=1e-9)

    def test_padding_is_not_on_the_way(self):
        sequences = [np.full((n, 2), 0.3 * n) for n in (2, 5, 3)]
        calculator = Adaptive(build(Sequence), steps=16, baseline=0.5)
        how = {
            "converter": partial(chainer.dataset.concat_examples, padding=0),
            "batchsize": 2,
        }
        samples = calculator.compute(sequences, **how)
        assert np.isnan(samples).any()
        delta = calculator.convergence_delta(samples, sequences, **how)
        assert_allclose(delta, 0, atol=1e-12)

    @pytest.mark.large
    @pytest.mark.parametrize("batchsize", [1, 3, 16])
    def test_a_batch_with_one_value_goes_along_one_path(self, batchsize):
        model, x = train(8, depth=2, dtype=np.float64)
        x = x[::30]

        def value(v):
            return F.sqrt(F.mean(model(v) ** 2))

        path = partial(IntegratedGradientsCalculator, eval_fun=value, baseline=0.5)
        samples = path(model, method="adaptive", steps=48).compute(
            x, batchsize=batchsize
        )
        fine = path(model, steps=150).compute(x, batchsize=batchsize)
        assert_allclose(samples, fine, atol=1e-2)
        for start in range(0, len(x), batchsize):
            batch = x[start : start + batchsize]
            difference = run(value, batch) - run(value, 0 * batch + 0.5)
            total = samples[0, start : start + batchsize].sum()
            assert_allclose(total, difference, rtol=1e-9)

    @pytest.mark.parametrize("batchsize", [1, 3])
    @pytest.mark.large
    def test_a_model_that_draws_numbers_of_its_own(self, batchsize, x):
        x = x[:4]
        calculator = Adaptive(build(OwnNoise), class_index=0, steps=16)
        how = {"seed": 0, "batchsize": batchsize}
        samples = calculator.compute(x, M=2, **how)
        assert_allclose(calculator.convergence_delta(samples, x, **how), 0, atol=1e-12)
        assert_allclose(samples, calculator.compute(x, M=2, seed=0), rtol=1e-9)

    def test_starts_anew_after_a_failure(self, x):
        """What an interrupted path has left does not reach the next call."""
        calls = []

        def model(v):
            calls.append(len(v))
            if len(calls) == 3:
                raise RuntimeError("the fuse has blown")
            return F.sum(F.relu(v), axis=1)

        calculator = Adaptive(model, steps=8)
        with pytest.raises(RuntimeError, match="fuse"):
            calculator.compute(x)
        assert_allclose(calculator.compute(x), np.maximum(x, 0)[None])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite_is_refused(self, value, x):
        def model(v):
            return F.sum(F.relu(v) * np.where(v.array > 0.5, value, 1), axis=1)

        with pytest.raises(ValueError, match="explained output is"):
            Adaptive(model).compute(x)

    def test_one_step_is_too_few(self):
        with pytest.raises(ValueError, match=r"steps.*2.*'adaptive', got 1"):
            Adaptive(build(MLP), steps=1)

    def test_is_among_the_methods_that_a_wrong_one_lists(self):
        with pytest.raises(ValueError, match="'adaptive'"):
            IntegratedGradientsCalculator(build(MLP), method="simpson")
