"""Gradients of padding: each element's is the sum over its copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saliency import (
    GradientCalculator,
    IntegratedGradientsCalculator,
    IntegratedHessiansCalculator,
)

import chainer
import chainer.functions as F

X = np.random.default_rng(0).standard_normal((2, 3, 4))
WIDTHS = [1, (2, 1), ((0, 0), (2, 2), (0, 3)), ((0, 0), (7, 0), (1, 9))]
MODES = ["constant", "edge", "reflect", "symmetric", "wrap"]


def weighted(widths: Any, mode: str) -> Any:
    """Return a linear function of examples, and the matrix that it multiplies by."""
    widths = [(0, 0), *np.broadcast_to(widths, (3, 2)).tolist()[1:]]
    # What comes of each element alone, as a column.
    units = np.eye(12).reshape(12, 3, 4)
    columns = np.pad(units, widths, mode=mode).reshape(12, -1)
    W = np.random.default_rng(1).standard_normal((columns.shape[1], 2))

    def model(x: Any) -> Any:
        return F.matmul(F.reshape(F.pad(x, widths, mode), (len(x), -1)), W)

    return model, (columns @ W).T.reshape(2, 3, 4)


@pytest.mark.parametrize("is_watched", [False, True])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode: str, widths: Any, is_watched: bool) -> None:
    model, jacobian = weighted(widths, mode)
    calculator = GradientCalculator(model, class_index=1)
    with chainer.using_config("debug", is_watched):  # then Chainer itself goes back
        samples = calculator.compute(X)
    np.testing.assert_allclose(samples[0], np.stack([jacobian[1]] * 2), 1e-6, 1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_integrated_gradients_are_complete(mode: str) -> None:
    model, jacobian = weighted(2, mode)
    calculator = IntegratedGradientsCalculator(model, class_index=0, baseline=0)
    samples = calculator.compute(X)
    np.testing.assert_allclose(samples[0], X * jacobian[0], 1e-6, 1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives(mode: str) -> None:
    x = X[:, 0]
    pairs = np.pad(np.eye(4), ((0, 0), (2, 3)), mode=mode)

    def model(v: Any) -> Any:
        return F.sum(F.pad(v, ((0, 0), (2, 3)), mode) ** 2, axis=1)

    samples = IntegratedHessiansCalculator(model, baseline=0).compute(x)
    expected = np.diag((pairs**2).sum(axis=1)) * x[:, :, None] * x[:, None]
    np.testing.assert_allclose(samples[0], expected, 1e-6, 1e-6)


@pytest.mark.parametrize("mode", ["mean", "maximum", "linear_ramp"])
@pytest.mark.parametrize("is_watched", [False, True])
def test_what_is_no_copy_has_no_gradient(mode: str, is_watched: bool) -> None:
    calculator = GradientCalculator(
        lambda x: F.sum(F.pad(x, ((0, 0), (1, 1), (1, 1)), mode), axis=(1, 2))
    )
    wrong = pytest.raises(ValueError, match=f"F.pad of mode '{mode}' has no gradient")
    with chainer.using_config("debug", is_watched), wrong:
        calculator.compute(X)


def test_chainer_is_as_before_afterwards() -> None:
    x = chainer.Variable(X)
    (before,) = chainer.grad([F.pad(x, 1, "edge")], [x])
    GradientCalculator(
        lambda v: F.sum(F.pad(v, ((0, 0), (1, 1), (1, 1)), "edge"), axis=(1, 2))
    ).compute(X)
    (after,) = chainer.grad([F.pad(x, 1, "edge")], [x])
    np.testing.assert_array_equal(before.array, after.array)
