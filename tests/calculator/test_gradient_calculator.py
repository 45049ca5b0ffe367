"""Gradients, against closed forms and finite differences."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    BayesGradCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    progress,
)
from tests.calculator.every_calculator import every_calculator
from tests.calculator.oracles import backward_gradient, numerical_gradient, run
from tests.networks import CNN, MLP, TwoInputs, build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.functions.connection.convolution_2d import Convolution2DGradW
from chainer.functions.connection.linear import LinearGradWeight


class TestClosedForms:
    @pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
    def test_of_a_power(self, x, k):
        samples = GradientCalculator(lambda v: F.sum(v**k, axis=1)).compute(x)
        assert samples.shape == (1, 7, 4)
        assert_allclose(samples[0], k * x ** (k - 1), rtol=1e-12)

    def test_of_a_linear_function_is_its_row_of_weights(self, x):
        model = build(L.Linear, 4, 3)
        samples = GradientCalculator(model, class_index=2).compute(x)
        assert_array_equal(samples[0], np.tile(model.W.array[2], (7, 1)))

    def test_of_a_softmax(self, x):
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        samples = GradientCalculator(F.softmax, class_index=1).compute(x)
        jacobian_row = p[:, [1]] * (np.eye(4)[1] - p)
        assert_allclose(samples[0], jacobian_row, atol=1e-14)

    def test_times_the_target(self, x):
        cubes = GradientCalculator(
            lambda v: F.sum(v**3, axis=1), multiply_target=True
        ).compute(x)
        assert_allclose(cubes[0], 3 * x**3, rtol=1e-12)

    def test_times_the_noisy_target_where_there_is_noise(self, x):
        """The product is taken at the point where the gradient is."""

        class Shift:
            def sample(self, array, rng):
                return np.full_like(array, 0.25)

        samples = GradientCalculator(
            lambda v: F.sum(v**2, axis=1), multiply_target=True
        ).compute(x, noise_sampler=Shift())
        assert_allclose(samples[0], 2 * (x + 0.25) ** 2, rtol=1e-12)

    def test_without_class_index_is_that_of_the_sum(self, x):
        model = build(L.Linear, 4, 3)
        with pytest.warns(UserWarning, match="class_index"):
            samples = GradientCalculator(model).compute(x)
        assert_allclose(samples[0], np.tile(model.W.array.sum(axis=0), (7, 1)))

    def test_sums_a_class_over_the_positions_of_an_output_map(self, rng):
        images = rng.normal(size=(2, 3, 4, 4))
        model = build(L.Convolution2D, 3, 2, 1)
        with pytest.warns(UserWarning, match="what is behind is summed"):
            samples = GradientCalculator(model, class_index=1).compute(images)
        weight = model.W.array[1, :, 0, 0].reshape(3, 1, 1)
        assert_allclose(samples[0], np.broadcast_to(weight, images.shape))


ACTIVATIONS = {"tanh": F.tanh, "sigmoid": F.sigmoid, "softplus": F.softplus}


class TestFiniteDifferences:
    @given(
        activation=st.sampled_from(sorted(ACTIVATIONS)),
        width=st.integers(1, 8),
        depth=st.integers(1, 4),
        n_in=st.integers(1, 5),
        n_class=st.integers(1, 4),
        normalize=st.booleans(),
        n=st.integers(1, 6),
        batchsize=st.integers(1, 7),
        seed=st.integers(0, 99),
        data=st.data(),
    )
    def test_of_random_networks(
        self,
        activation,
        width,
        depth,
        n_in,
        n_class,
        normalize,
        n,
        batchsize,
        seed,
        data,
    ):
        model = build(
            MLP,
            n_in,
            width,
            n_class,
            depth,
            ACTIVATIONS[activation],
            normalize=normalize,
            seed=seed,
        )
        c = data.draw(st.integers(0, n_class - 1))
        x = np.random.default_rng(seed).normal(size=(n, n_in))
        samples = GradientCalculator(model, class_index=c).compute(
            x, batchsize=batchsize
        )
        expected = numerical_gradient(lambda v: run(model, v)[:, c], x)
        assert_allclose(samples[0], expected, rtol=1e-5, atol=1e-8)

    def test_of_a_convolutional_network(self, rng):
        model, images = build(CNN), rng.normal(size=(3, 2, 6, 6))
        samples = GradientCalculator(model, class_index=0).compute(images)
        expected = numerical_gradient(lambda v: run(model, v)[:, 0], images)
        assert_allclose(samples[0], expected, rtol=1e-5, atol=1e-8)

    def test_of_the_first_of_two_inputs(self, x, rng):
        model, z = build(TwoInputs), rng.normal(size=(7, 3))
        samples = GradientCalculator(model).compute((x, z), batchsize=3)
        expected = numerical_gradient(lambda v: run(model, v, z)[:, 0], x)
        assert_allclose(samples[0], expected, rtol=1e-5, atol=1e-8)

    def test_agrees_with_backward(self, x):
        model = build(MLP, n_out=1, depth=3, activation=F.relu)
        samples = GradientCalculator(model).compute(x)
        assert_allclose(samples[0], backward_gradient(model, x), rtol=1e-12)


class TestDtype:
    @every_calculator
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_is_that_of_the_target(self, new_calculator, dtype, x):
        model = build(MLP, n_out=1, dropout=0.5, dtype=dtype)
        result = new_calculator(model).compute(x.astype(dtype), M=2, seed=0)
        is_delta = result.shape == (2, 7)  # a check, always in float64
        assert result.dtype == (np.float64 if is_delta else dtype)

    def test_is_that_of_a_hidden_target_where_the_input_is_another(self, x):
        cast = L.Linear  # the part behind the cast works in float32
        model = build(cast, 4, 1, dtype=np.float32)
        samples = GradientCalculator(lambda v: model(F.cast(v, np.float32))).compute(x)
        assert samples.dtype == np.float64

    @pytest.mark.parametrize("form", ["number", "array", "callable", "mean"])
    def test_is_not_that_of_a_baseline_or_a_fill(self, form, x):
        value = {
            "number": 0.5,
            "array": x[0],
            "callable": lambda v: np.zeros(v.shape),
            "mean": "mean",
        }[form]
        model = build(MLP, n_out=1, dtype=np.float32)
        for calculator in (
            IntegratedGradientsCalculator(model, baseline=value),
            OcclusionCalculator(model, slide_axis=1, fill=value),
        ):
            assert calculator.compute(x.astype(np.float32)).dtype == np.float32


class TestEffort:
    """Only what lies on the way from the output to the target is computed."""

    @pytest.fixture
    def weight_gradients(self, monkeypatch):
        calls = []
        for function in (LinearGradWeight, Convolution2DGradW):
            apply = function.apply

            def counted(self, inputs, apply=apply):
                calls.append(type(self).__name__)
                return apply(self, inputs)

            monkeypatch.setattr(function, "apply", counted)
        return calls

    def test_the_count_sees_backward(self, weight_gradients, rng):
        images = chainer.Variable(rng.normal(size=(2, 2, 6, 6)))
        F.sum(build(CNN)(images)).backward()
        assert sorted(weight_gradients) == ["Convolution2DGradW", "LinearGradWeight"]

    @every_calculator
    def test_no_gradient_of_a_weight_is_computed(
        self, new_calculator, weight_gradients, rng
    ):
        images = rng.normal(size=(3, 2, 6, 6))
        model = build(CNN, dropout=0.5)
        new_calculator(model, class_index=0).compute(images, M=2, train=True, seed=0)
        assert weight_gradients == []

    def test_one_forward_pass_holds_batchsize_rows(self, x):
        rows = []

        def model(v):
            rows.append(len(v))
            return F.sum(v**2, axis=1, keepdims=True)

        GradientCalculator(model).compute(x, M=4, batchsize=10)
        assert rows == [10, 10, 8]


class TestNamedSettings:
    """SmoothGrad and BayesGrad are two settings of the gradient, with names."""

    def test_smooth_grad_is_the_gradient_with_noise(self, x):
        model = build(MLP, n_out=1)
        calculator = SmoothGradCalculator(model)
        expected = GradientCalculator(model).compute(
            x, M=5, noise_sampler=calculator.noise_sampler, seed=3
        )
        assert_array_equal(calculator.compute(x, M=5, seed=3), expected)

    def test_bayes_grad_is_the_gradient_in_training_mode(self, x):
        model = build(MLP, n_out=1, dropout=0.5)
        expected = GradientCalculator(model).compute(x, M=5, train=True, seed=3)
        samples = BayesGradCalculator(model).compute(x, M=5, seed=3)
        assert_array_equal(samples, expected)

    @pytest.mark.parametrize("calculator", [SmoothGradCalculator, BayesGradCalculator])
    def test_draw_thirty_samples_unless_told(self, calculator, x):
        assert calculator(build(MLP, n_out=1)).compute(x).shape == (30, 7, 4)

    @pytest.mark.parametrize("calculator", [SmoothGradCalculator, BayesGradCalculator])
    def test_take_multiply_target(self, calculator, x):
        model = build(MLP, n_out=1)
        plain = calculator(model).compute(x, M=2, train=False, noise_sampler=None)
        times = calculator(model, multiply_target=True).compute(
            x, M=2, train=False, noise_sampler=None
        )
        assert_allclose(times, x * plain)


def be_on_terminal(monkeypatch):
    """Makes standard error a terminal, on which also short work has a bar."""
    monkeypatch.setattr(progress, "_SHORT", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


class TestProgressBar:
    @every_calculator
    def test_counts_all_rows_of_the_job_in_one_bar(
        self, new_calculator, x, capsys, monkeypatch
    ):
        be_on_terminal(monkeypatch)
        model = build(MLP, n_out=1)
        new_calculator(model).compute(x, M=3, batchsize=2, seed=0)
        bars = capsys.readouterr().err
        last = bars.strip().split("\r")[-1]
        assert "100%" in last
        assert "row/s" in last

    def test_is_named_after_the_method(self, x, capsys, monkeypatch):
        be_on_terminal(monkeypatch)
        GradientCalculator(build(MLP, n_out=1)).compute(x)
        assert capsys.readouterr().err.strip().startswith("Gradient: ")

    def test_is_not_shown_in_a_file_or_for_short_work(self, x, capsys, monkeypatch):
        calculator = GradientCalculator(build(MLP, n_out=1))
        calculator.compute(x)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        calculator.compute(x)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
        monkeypatch.setattr(progress, "_SHORT", 0)
        calculator.compute(x)
        assert capsys.readouterr() == ("", "")

    @every_calculator
    def test_is_not_shown_if_not_wanted(self, new_calculator, x, capsys):
        model = build(MLP, n_out=1)
        new_calculator(model).compute(x, show_progress=False)
        assert capsys.readouterr() == ("", "")

    def test_starts_the_count_again_where_rows_cannot_be_folded(
        self, x, capsys, monkeypatch
    ):
        """The third of four steps shows it, since the model draws numbers there."""

        def model(v):
            y = F.sum(v**2, axis=1)
            return y * np.random.normal() if v.array.max() > 50 else y

        be_on_terminal(monkeypatch)
        calculator = IntegratedGradientsCalculator(model, steps=4, method="trapezoid")
        x[:, 0] = 99
        samples = calculator.compute(x, batchsize=7, seed=0)
        assert " 28/28 " in capsys.readouterr().err.strip().split("\r")[-1]
        one_by_one = calculator.compute(x, batchsize=1, seed=0)
        assert_allclose(samples, one_by_one, rtol=1e-12)
