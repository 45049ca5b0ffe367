"""Integrated Gradients, against polynomials, whose integrals are known."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

from link_hooks import VariableMonitorLinkHook
from saliency import GradientCalculator, IntegratedGradientsCalculator
from tests.calculator.oracles import run
from tests.networks import MLP, Sequence, build

import chainer
import chainer.functions as F
import chainer.links as L


def power(k):
    return lambda v: F.sum(v**k, axis=1)


def explain(model, data, *, seed=None, **arguments):
    return IntegratedGradientsCalculator(model, **arguments).compute(data, seed=seed)


# The sums over alpha^2 that take the place of 1/3, times 3.
FACTORS_FOR_CUBES = {
    "right": lambda n: (n + 1) * (2 * n + 1) / (2 * n**2),
    "midpoint": lambda n: 1 - 1 / (4 * n**2),
    "trapezoid": lambda n: 1 + 1 / (2 * (n - 1) ** 2),
    "gauss_legendre": lambda n: 1,
}


class TestQuadrature:
    @pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
    def test_gauss_legendre_is_exact_for_powers(self, x, k):
        samples = explain(power(k), x, steps=4)
        assert_allclose(samples[0], x**k, rtol=1e-10)

    @given(
        n=st.integers(1, 6),
        coefficients=st.lists(st.floats(-2, 2), min_size=1, max_size=12),
    )
    def test_gauss_legendre_is_exact_up_to_degree_2n(self, n, coefficients):
        coefficients = coefficients[: 2 * n]
        x = np.random.default_rng(0).normal(size=(3, 2))

        def polynomial(v):
            return sum(F.sum(c * v ** (k + 1), axis=1) for k, c in terms)

        terms = list(enumerate(coefficients))
        samples = explain(polynomial, x, steps=n)
        expected = sum(c * x ** (k + 1) for k, c in terms)
        assert_allclose(samples[0], expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("method", sorted(FACTORS_FOR_CUBES))
    @pytest.mark.parametrize("steps", [2, 5, 12])
    def test_error_for_cubes_is_the_known_one(self, x, method, steps):
        samples = explain(power(3), x, steps=steps, method=method)
        factor = FACTORS_FOR_CUBES[method](steps)
        assert_allclose(samples[0], factor * x**3, rtol=1e-10)

    @pytest.mark.parametrize("method", sorted(FACTORS_FOR_CUBES))
    def test_all_methods_agree_in_the_end(self, x, method):
        model = build(MLP, n_out=1)
        samples = explain(model, x, steps=500, method=method)
        exact = explain(model, x, steps=50)
        assert_allclose(samples, exact, atol=1e-2)


@pytest.fixture
def model():
    return build(MLP, n_out=1)


def exact(model, x, baseline):
    """Returns the integral by a rule of its own, fine enough for float64."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    baseline = np.broadcast_to(baseline, x.shape)
    total = np.zeros_like(x)
    for node, weight in zip(nodes, weights):
        v = chainer.Variable(baseline + (node + 1) / 2 * (x - baseline))
        F.sum(model(v)).backward()
        total += weight / 2 * v.grad
    return (x - baseline) * total


ROW = np.arange(4.0)
ROWS = np.arange(28.0).reshape(7, 4) / 28

# A baseline as the user gives it, and what it is for the data x.
BASELINES = {
    "none": (None, lambda x: 0.0),
    "number": (0.5, lambda x: 0.5),
    "integer": (1, lambda x: 1.0),
    "array": (ROW, lambda x: ROW),
    "array_of_integers": (ROW.astype(int), lambda x: ROW),
    "one_row": (np.ones((1, 4)), lambda x: 1.0),
    "one_per_example": (ROWS, lambda x: ROWS),
    "variable": (chainer.Variable(ROW), lambda x: ROW),
    "callable": (lambda v: v / 2, lambda x: x / 2),
    "callable_number": (lambda v: v.min(), lambda x: x.min()),
    "mean": ("mean", lambda x: x.mean(axis=0)),
}


class TestBaseline:
    @pytest.mark.parametrize("form", sorted(BASELINES))
    def test_forms(self, form, x, model):
        baseline, value = BASELINES[form]
        samples = explain(model, x, baseline=baseline, steps=32)
        assert_allclose(samples[0], exact(model, x, value(x)), atol=1e-9)

    @pytest.mark.parametrize("form", sorted(set(BASELINES) - {"callable_number"}))
    @pytest.mark.parametrize("batchsize", [1, 3, 100])
    def test_forms_give_the_same_for_every_batchsize(self, form, batchsize, x, model):
        baseline, _ = BASELINES[form]
        calculator = IntegratedGradientsCalculator(model, baseline=baseline, steps=4)
        assert_allclose(
            calculator.compute(x, batchsize=batchsize),
            calculator.compute(x, batchsize=16),
            rtol=1e-10,
        )

    def test_per_example_may_be_a_number_each(self, x, model):
        column = np.arange(7.0).reshape(7, 1) / 7
        samples = explain(model, x, baseline=column, steps=32)
        assert_allclose(samples[0], exact(model, x, column), atol=1e-9)

    def test_a_list_is_averaged_over(self, x, model):
        forms = [None, 0.5, np.arange(4.0), "mean", lambda v: v / 2]
        values = [0.0, 0.5, np.arange(4.0), x.mean(axis=0), x / 2]
        samples = explain(model, x, baseline=forms, steps=32)
        expected = np.mean([exact(model, x, value) for value in values], axis=0)
        assert_allclose(samples[0], expected, atol=1e-9)

    def test_a_tuple_of_training_examples_is_averaged_over(self, x, model):
        references = tuple(np.random.default_rng(5).normal(size=(6, 4)))
        samples = explain(model, x, baseline=references, steps=32)
        expected = np.mean([exact(model, x, b) for b in references], axis=0)
        assert_allclose(samples[0], expected, atol=1e-9)

    def test_the_mean_is_that_of_the_data_as_it_is_without_noise(self, x, rng):
        class Shift:
            def sample(self, array, rng):
                return np.full_like(array, 10.0)

        calculator = IntegratedGradientsCalculator(power(1), baseline="mean", steps=2)
        samples = calculator.compute(x, batchsize=3, noise_sampler=Shift())
        assert_allclose(samples[0], x + 10 - x.mean(axis=0))

    def test_the_mean_at_a_hidden_target_is_the_mean_there(self, x):
        h, g = build(L.Linear, 4, 3), build(MLP, 3, n_out=1, seed=1)
        whole = IntegratedGradientsCalculator(
            chainer.Sequential(h, g),
            target_extractor=VariableMonitorLinkHook(h),
            baseline="mean",
            steps=8,
        ).compute(x, batchsize=3)
        of_g = explain(g, run(h, x), baseline="mean", steps=8)
        assert_allclose(whole, of_g, rtol=1e-10)

    @pytest.mark.large
    def test_drawn_from_the_global_state_is_one_for_the_whole_path(self, x):
        """Expected gradients: the callable picks a baseline at random."""
        calculator = IntegratedGradientsCalculator(
            power(2),
            baseline=lambda v: np.random.normal(size=v.shape),
            steps=4,
        )
        samples = calculator.compute(x, M=3, seed=0)
        squared_length = (x**2).sum(axis=1) - samples.sum(axis=2)  # of x'
        assert (squared_length > 0).all()
        assert np.unique(squared_length).size == 21
        delta = calculator.convergence_delta(samples, x, seed=0)
        assert_allclose(delta, 0, atol=1e-12)
        for batchsize in (1, 3, 100):
            again = calculator.compute(x, M=3, seed=0, batchsize=batchsize)
            assert_allclose(again, samples, rtol=1e-10)

    def test_the_target_itself_gives_zero(self, x, model):
        assert_array_equal(explain(model, x, baseline=lambda v: v), 0)


class TestConvergenceDelta:
    def test_is_what_completeness_misses(self, x):
        calculator = IntegratedGradientsCalculator(power(3), steps=5, method="right")
        samples = calculator.compute(x)
        delta = calculator.convergence_delta(samples, x)
        assert delta.shape == (1, 7)
        assert delta.dtype == np.float64
        assert_allclose(delta[0], (6 * 11 / 50 - 1) * (x**3).sum(axis=1), rtol=1e-10)

    def test_is_zero_where_the_quadrature_is_exact(self, x):
        calculator = IntegratedGradientsCalculator(power(5), steps=4, baseline="mean")
        delta = calculator.convergence_delta(calculator.compute(x), x)
        assert_allclose(delta, 0, atol=1e-12)

    @pytest.mark.parametrize("batchsize", [1, 3, 100])
    def test_needs_the_seed_of_random_samples_and_the_samples_fit(self, x, batchsize):
        model = build(MLP, n_out=2, dropout=0.5)
        calculator = IntegratedGradientsCalculator(
            model, steps=40, baseline=[0.5, "mean"], class_index="argmax"
        )
        settings = {"train": True, "noise_sampler": None, "seed": 4}
        samples = calculator.compute(x, M=3, **settings)
        delta = calculator.convergence_delta(
            samples, x, batchsize=batchsize, **settings
        )
        assert_allclose(delta, 0, atol=1e-10)

    @pytest.mark.parametrize("random", [{"train": True}, {"noise_sampler": "any"}])
    def test_says_that_the_seed_is_missing(self, x, random):
        calculator = IntegratedGradientsCalculator(power(2))
        with pytest.raises(ValueError, match="seed"):
            calculator.convergence_delta(np.zeros((2, 7, 4)), x, **random)

    def test_leaves_out_padding(self):
        sequences = [np.full((n, 2), 0.3 * n) for n in (2, 5, 3)]
        calculator = IntegratedGradientsCalculator(build(Sequence), steps=32)
        settings = {
            "converter": partial(chainer.dataset.concat_examples, padding=0),
            "batchsize": 2,
        }
        samples = calculator.compute(sequences, **settings)
        assert np.isnan(samples).any()
        delta = calculator.convergence_delta(samples, sequences, **settings)
        assert_allclose(delta, 0, atol=1e-8)


@pytest.fixture(scope="module")
def iris():
    data = load_iris()
    scaled = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    return scaled.astype(np.float32), data.target.astype(np.int32)


def train(activation, iris):
    """Returns an MLP that knows iris."""
    x, t = iris
    model = build(MLP, 4, 16, 3, 3, activation, dtype=np.float32)
    optimizer = chainer.optimizers.Adam(0.02).setup(model)
    for _ in range(100):
        optimizer.update(lambda: F.softmax_cross_entropy(model(x), t))
    assert (run(model, x).argmax(axis=1) == t).mean() > 0.96
    return model


@pytest.fixture(scope="module", params=["tanh", "sigmoid"])
def trained(request, iris):
    return train(getattr(F, request.param), iris)


@pytest.fixture(scope="module")
def trained_with_relu(iris):
    return train(F.relu, iris)


class TestCompleteness:
    """The attributions add up to f(x) - f(x'), Sundararajan et al., prop. 1."""

    @pytest.mark.large
    @pytest.mark.parametrize("baseline", [None, "mean", 1.0], ids=str)
    def test_of_trained_networks_at_32_steps(self, trained, iris, baseline):
        model = trained
        x, _ = iris
        samples = explain(model, x, class_index="argmax", baseline=baseline, steps=32)
        top = run(model, x).argmax(axis=1)
        base = {None: 0 * x, "mean": 0 * x + x.mean(axis=0), 1.0: 0 * x + 1}[baseline]
        rows = np.arange(len(x))
        difference = run(model, x)[rows, top] - run(model, base)[rows, top]
        missing = samples[0].sum(axis=1) - difference
        assert np.abs(missing).max() < 1e-4

    @pytest.mark.parametrize("method", ["gauss_legendre", "midpoint", "trapezoid"])
    def test_of_relu_networks_comes_with_the_number_of_steps(
        self, trained_with_relu, iris, method
    ):
        """Their path has kinks, which no quadrature is made for: the error is 1/n."""
        x, _ = iris
        error = {}
        for steps in (32, 1024):
            calculator = IntegratedGradientsCalculator(
                trained_with_relu, class_index="argmax", steps=steps, method=method
            )
            samples = calculator.compute(x, batchsize=4096)
            error[steps] = np.abs(calculator.convergence_delta(samples, x)).mean()
        assert error[32] < 0.2
        assert error[1024] < error[32] / 8

    def test_is_what_convergence_delta_says(self, trained, iris):
        model = trained
        x, _ = iris
        calculator = IntegratedGradientsCalculator(model, class_index=0, steps=3)
        samples = calculator.compute(x)
        missing = samples[0].sum(axis=1) - (run(model, x) - run(model, 0 * x))[:, 0]
        delta = calculator.convergence_delta(samples, x)
        assert_allclose(delta[0], missing, atol=1e-5)

    def test_of_the_loss_of_a_classifier(self, trained, iris):
        model = trained
        x, t = iris
        calculator = IntegratedGradientsCalculator(
            model,
            eval_fun=lambda x, t: F.softmax_cross_entropy(model(x), t, reduce="no"),
            steps=300,
        )
        samples = calculator.compute((x, t), batchsize=4096)
        delta = calculator.convergence_delta(samples, (x, t))
        assert np.abs(delta).max() < 2e-3

    def test_gradient_times_input_where_the_function_is_linear(self, x):
        model = build(L.Linear, 4, 1)
        expected = GradientCalculator(model, multiply_target=True).compute(x)
        assert_allclose(explain(model, x, steps=1), expected, rtol=1e-12)


class TestListOfNumbers:
    """As long as a target, it may mean two things, and is refused."""

    @staticmethod
    def of(baseline, target_extractor=None):
        return IntegratedGradientsCalculator(
            lambda v: F.sum(v**2, axis=tuple(range(1, v.ndim))),
            baseline=baseline,
            target_extractor=target_extractor,
        )

    @pytest.mark.parametrize("kind", [list, tuple])
    @pytest.mark.parametrize("delta", [False, True], ids=["compute", "delta"])
    def test_as_long_as_the_features(self, kind, delta, x):
        calculator = self.of(kind(x.mean(axis=0)))
        message = r"baseline is a list of 4 numbers.*np\.array\(baseline\).*np\.full"
        with pytest.raises(ValueError, match=message):
            if delta:
                calculator.convergence_delta(np.zeros((1, 7, 4)), x)
            else:
                calculator.compute(x)

    def test_as_long_as_the_last_axis_or_all_elements(self, rng):
        x = rng.normal(size=(5, 2, 3))
        for n in (3, 6):
            with pytest.raises(ValueError, match=f"baseline is a list of {n} numbers"):
                self.of([0.5] * n).compute(x)

    def test_both_meanings_can_be_written(self, x):
        numbers = x.mean(axis=0).tolist()
        one = self.of(np.array(numbers)).compute(x)
        np.testing.assert_allclose(one[0], x**2 - np.square(numbers), atol=1e-12)
        several = self.of([np.full((4,), b) for b in numbers]).compute(x)
        expected = np.mean([x**2 - b**2 for b in numbers], axis=0)
        np.testing.assert_allclose(several[0], expected, atol=1e-12)

    @pytest.mark.parametrize("baseline", [[0.5], [0, 1], [0, 1, 2], [0, 1, 2, None]])
    def test_other_lists_are_several_baselines(self, baseline, x):
        values = [0 if b is None else b for b in baseline]
        expected = np.mean([x**2 - b**2 for b in values], axis=0)
        np.testing.assert_allclose(self.of(baseline).compute(x)[0], expected)
