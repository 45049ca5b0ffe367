"""Integrated Gradients that do not add up are told, once a call."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from saliency import GaussianNoiseSampler, IntegratedGradientsCalculator
from tests.networks import CNN, MLP, build

import chainer
import chainer.functions as F

METHODS = ["gauss_legendre", "midpoint", "trapezoid", "right", "adaptive"]


def normalized(v):
    """Jumps at zero: the direction of v is what counts, however short v is."""
    return F.sum(F.normalize(v, eps=1e-20) * np.arange(1, 5, dtype=v.dtype), axis=1)


def layer_normalized(v):
    ones, zeros = np.ones(4, v.dtype), np.zeros(4, v.dtype)
    return F.tanh(F.layer_normalization(v, ones, zeros, eps=1e-12)[:, 0]) + v[:, 1]


def stepped(v):
    """Has a step where v[0] becomes positive, and a slope."""
    return F.sum(v, axis=1) + 3 * np.sign(v.array[:, 0])


def caught(function, *arguments, **settings):
    """Return the result and the messages of its warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = function(*arguments, show_progress=False, **settings)
    return result, [str(warning.message) for warning in found]


@pytest.fixture
def x(rng):
    return rng.normal(size=(6, 4))


@pytest.mark.parametrize("function", [normalized, layer_normalized, stepped])
@pytest.mark.parametrize("batchsize", [1, 50])
def test_a_jump_at_the_baseline_is_told_once_with_the_worst_delta(
    function, batchsize, x
):
    calculator = IntegratedGradientsCalculator(function, steps=20)
    samples, [message] = caught(calculator.compute, x, batchsize=batchsize)
    delta = calculator.convergence_delta(samples, x, show_progress=False)[0]
    example = int(re.search(r"example (\d+)", message)[1])
    difference = samples[0, example].sum() - delta[example]
    assert abs(delta[example]) > 0.2 * abs(difference)
    assert f"{difference:.3g} by {delta[example]:+.3g}, " in message
    assert f"{delta[example] / difference:+.0%}" in message
    for advice in ("another baseline", "more steps than 20", "method='adaptive'"):
        assert advice in message


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_told_whatever_the_quadrature(method, x):
    calculator = IntegratedGradientsCalculator(stepped, method=method, steps=20)
    samples, [message] = caught(calculator.compute, x)
    delta = calculator.convergence_delta(samples, x, show_progress=False)[0]
    np.testing.assert_allclose(abs(delta), 3, rtol=1e-2)
    assert ("or method='adaptive'" in message) == (method != "adaptive")


def test_another_baseline_helps(x):
    calculator = IntegratedGradientsCalculator(
        normalized,
        baseline=np.array([0.3, -0.2, 0.5, 0.1]),
        method="adaptive",
        steps=40,
    )
    assert caught(calculator.compute, x)[1] == []


@pytest.mark.parametrize("network", [MLP, CNN])
@pytest.mark.parametrize("method", ["gauss_legendre", "midpoint", "adaptive"])
@pytest.mark.parametrize("baseline", [0, "mean", [0, 0.5]], ids=str)
def test_networks_without_a_jump_are_not_told_of(network, method, baseline, x, rng):
    data = x if network is MLP else rng.normal(size=(6, 2, 6, 6))
    for class_index in (0, "argmax"):
        calculator = IntegratedGradientsCalculator(
            build(network),
            class_index=class_index,
            method=method,
            steps=20,
            baseline=baseline,
        )
        assert caught(calculator.compute, data)[1] == []


def test_what_is_zero_but_for_rounding_is_not_told_of(x):
    """The sum of all probabilities is 1 everywhere."""
    calculator = IntegratedGradientsCalculator(
        lambda v: F.sum(F.softmax(v), axis=1), steps=20
    )
    assert caught(calculator.compute, x.astype(np.float32))[1] == []
    assert caught(calculator.compute, 0 * x)[1] == []


def test_a_class_that_hardly_changes_for_one_example_is_not_told_of(x):
    """Its error is small by what the class changes for others."""
    model = build(MLP)
    x = np.concatenate([x, 1e-9 * x[:1]])
    calculator = IntegratedGradientsCalculator(model, class_index=0, steps=20)
    assert caught(calculator.compute, x)[1] == []


def test_of_a_loss_the_batch_is_told(x):
    calculator = IntegratedGradientsCalculator(lambda v: F.sum(stepped(v)), steps=20)
    samples, [message] = caught(calculator.compute, x, batchsize=6)
    jump = -3 * np.sign(x[:, 0]).sum()
    assert f"by {jump:+.3g}" in message
    assert "batch that begins with example 0" in message
    np.testing.assert_allclose(samples[0], x, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_noise_samples_and_aggregates(method, x):
    """Each sample has a path of its own, from the baseline to the noisy target."""
    calculator = IntegratedGradientsCalculator(stepped, method=method, steps=9)
    how = {"M": 3, "noise_sampler": GaussianNoiseSampler(), "seed": 0, "batchsize": 7}
    _, messages = caught(calculator.compute, x, **how)
    assert len(messages) == 1
    assert caught(calculator.compute_aggregate, x, **how)[1] == messages
    smooth = IntegratedGradientsCalculator(
        lambda v: F.sum(v**2, axis=1), method="gauss_legendre", steps=9
    )
    assert caught(smooth.compute, x, **how)[1] == []


@pytest.mark.parametrize(
    ("method", "n_end"),
    [
        ("gauss_legendre", 2),
        ("midpoint", 2),
        ("right", 1),
        ("trapezoid", 0),
        ("adaptive", 0),
    ],
)
@pytest.mark.parametrize("batchsize", [4, 64])
def test_it_takes_the_scores_at_both_ends_and_no_gradient_there(
    method, n_end, batchsize, x
):
    rows = {True: 0, False: 0}

    def model(v):
        rows[chainer.config.enable_backprop] += len(v)
        return F.sum(v**2, axis=1)

    calculator = IntegratedGradientsCalculator(model, method=method, steps=20)
    calculator.compute(x, batchsize=batchsize, show_progress=False)
    assert rows[False] == n_end * len(x)
    # Two more rows may go through to see how the model treats a batch.
    assert rows[True] - 20 * len(x) in (0, 2)


def test_an_output_that_is_undefined_at_the_baseline_is_a_warning(x):
    """Points of the path are inside of it, so that the samples are finite."""

    def model(v):
        norm = F.sqrt(F.sum(v**2, axis=1, keepdims=True))
        return v / F.broadcast_to(norm, v.shape)

    calculator = IntegratedGradientsCalculator(model, class_index=0)
    with np.errstate(invalid="ignore"), pytest.warns(UserWarning, match="miss f"):
        assert np.isfinite(calculator.compute(x)).all()
