"""Expected Gradients beside what it is in expectation, within its standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    DeepLiftShapCalculator,
    ExpectedGradientsCalculator,
    IntegratedGradientsCalculator,
    PermutationCalculator,
    ShapleyCalculator,
    ShapleyInteractionCalculator,
)
from tests.networks import MLP, build

import chainer.functions as F

M = 400
HOW = {"M": M, "seed": 0, "show_progress": False}


@pytest.fixture
def background(rng):
    return rng.normal(1, 1, size=(9, 4))


def assert_within_errors(samples: np.ndarray, expected: np.ndarray) -> None:
    """4 standard errors: one in 16,000 is further off."""
    errors = samples.std(axis=0, ddof=1) / np.sqrt(M)
    assert (abs(samples.mean(axis=0) - expected) < 4 * errors).all()
    # And it could fail: the errors are small beside what is expected.
    assert np.median(errors) < 0.1 * abs(expected).max()


def test_converges_to_the_mean_of_integrated_gradients(x, background):
    model = build(MLP)
    calculator = ExpectedGradientsCalculator(
        model, class_index=1, background=background, steps=5
    )
    samples = calculator.compute(x, **HOW)
    paths = IntegratedGradientsCalculator(
        model, class_index=1, baseline=list(background), steps=20
    )
    assert_within_errors(samples, paths.compute(x)[0])
    # So they add up to the score less the mean score of the background.
    difference = model(x).array[:, 1] - model(background).array[:, 1].mean()
    assert_within_errors(samples.sum(axis=2), difference)


def test_of_a_sum_of_functions_it_is_the_shapley_values(x, background):
    """These are the value of each function less its mean over the background."""
    functions = [F.tanh, F.sin, F.square, F.exp]

    def model(v: Any) -> Any:
        return sum(f(v[:, i]) for i, f in enumerate(functions))

    calculator = ExpectedGradientsCalculator(model, background=background)
    columns = [
        f(x[:, i]).array - f(background[:, i]).array.mean()
        for i, f in enumerate(functions)
    ]
    assert_within_errors(calculator.compute(x, **HOW), np.stack(columns, axis=1))


def test_each_step_draws_anew(x, background):
    spreads = [
        ExpectedGradientsCalculator(
            build(MLP), class_index=1, background=background, steps=steps
        )
        .compute(x, **HOW)
        .std(axis=0)
        .mean()
        for steps in (1, 16)
    ]
    assert_allclose(spreads[0] / spreads[1], 4, rtol=0.1)  # the root of 16


def test_of_a_linear_function_one_background_row_is_exact(x, background, rng):
    w = rng.normal(size=4)
    calculator = ExpectedGradientsCalculator(
        lambda v: F.sum(v * w, axis=1), background=background[:1], steps=3
    )
    expected = w * (x - background[0])
    for sample in calculator.compute(x, M=2):
        assert_allclose(sample, expected, rtol=1e-12)


def test_what_is_drawn_depends_on_seed_sample_and_example_alone(x, background):
    calculator = ExpectedGradientsCalculator(
        build(MLP), class_index=1, background=background, steps=3
    )
    all_of_them = calculator.compute(x, M=3, seed=5)
    fewer = calculator.compute(x[:4], M=2, seed=5, batchsize=3)
    assert_allclose(fewer, all_of_them[:2, :4], rtol=1e-12)
    assert (calculator.compute(x, seed=6) != all_of_them[0]).all()
    # Examples that are equal draw by themselves.
    twice = calculator.compute(np.repeat(x[:1], 2, axis=0), seed=5)
    assert (twice[0, 0] != twice[0, 1]).all()


def test_several_targets_move_together(x, background):
    """As the halves of one: on one way each, from one row of the background."""
    model = build(MLP)
    joined = ExpectedGradientsCalculator(model, class_index=1, background=background)
    halves = ExpectedGradientsCalculator(
        lambda a, b: model(F.concat([a, b])),
        targets="all",
        class_index=1,
        background=(background[:, :2], background[:, 2:]),
    )
    first, second = halves.compute((x[:, :2], x[:, 2:]), M=2, seed=0)
    together = np.concatenate([first, second], axis=2)
    assert_allclose(together, joined.compute(x, M=2, seed=0), rtol=1e-12)


def test_a_hidden_target_and_rows_that_are_broadcast(x):
    model = build(MLP)
    target = VariableMonitorLinkHook(model.l1)
    zeros, zero = (
        ExpectedGradientsCalculator(model, target, class_index=0, background=given)
        for given in (np.zeros((2, 6)), [0, 0])
    )
    assert_array_equal(zeros.compute(x, seed=0), zero.compute(x, seed=0))


@pytest.mark.parametrize(
    ("background", "error", "message"),
    [
        (3.0, ValueError, "background must hold at least one row"),
        (np.zeros((0, 4)), ValueError, "background must hold at least one row"),
        ("mean", TypeError, "background must hold rows of numbers"),
        ([np.nan], ValueError, "background must be finite"),
        (
            [[1], [1, 2]],
            ValueError,
            r"one array, got a list of 2 parts.*\(1,\), \(2,\)",
        ),
    ],
)
def test_a_background_that_is_none(background, error, message):
    with pytest.raises(error, match=message):
        ExpectedGradientsCalculator(build(MLP), background=background)


def test_a_background_of_another_shape(x):
    calculator = ExpectedGradientsCalculator(
        build(MLP), class_index=0, background=np.zeros((2, 3))
    )
    with pytest.raises(ValueError, match=r"rows of the shape \(4,\).*\(2, 3\)"):
        calculator.compute(x)


@pytest.mark.parametrize("kind", [
    ExpectedGradientsCalculator, ShapleyCalculator, ShapleyInteractionCalculator,
    DeepLiftShapCalculator, PermutationCalculator,
])  # fmt: skip
def test_one_row_is_not_taken_for_rows_that_are_broadcast(kind, x):
    """Such as the mean of the data, which has no axis of rows."""
    model, row = build(MLP), x.mean(axis=0)

    def explained(background):
        calculator = kind(model, class_index=0, background=background)
        return calculator.compute(x, seed=0, show_progress=False)

    with pytest.raises(ValueError, match=r"rows of the shape \(4,\).*background\[None"):
        explained(row)
    expected = explained(np.repeat(row[:, None], 4, axis=1))
    assert_array_equal(explained(row.reshape(4, 1)), expected)
    assert not np.allclose(explained(row[None]), expected)


def test_it_has_to_be_given():
    with pytest.raises(TypeError, match="background"):
        ExpectedGradientsCalculator(build(MLP))
