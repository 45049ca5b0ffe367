"""Guided backpropagation and deconvnet against an unrolled network."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import (
    DeconvnetCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
)
from tests.networks import CNN, MLP, build

import chainer
import chainer.functions as F

CALCULATORS = [GuidedBackpropCalculator, DeconvnetCalculator]


@pytest.fixture
def weights(rng):
    return [rng.normal(size=shape) for shape in ((5, 4), (6, 5), (3, 6))]


def network(weights, relu):
    def model(v):
        h = v
        for W in weights[:-1]:
            h = relu(F.matmul(h, W, transb=True))
        return F.matmul(h, weights[-1], transb=True)

    return model


def by_hand(weights, x, c, at_relu):
    """Returns the backward pass of class c, written out."""
    before = []
    h = x
    for W in weights[:-1]:
        before.append(h @ W.T)
        h = before[-1].clip(min=0)
    g = np.tile(weights[-1][c], (len(x), 1))
    for W, z in zip(weights[-2::-1], before[::-1]):
        g = at_relu(g, z) @ W
    return g


@pytest.mark.parametrize(
    ("calculator_class", "at_relu"),
    [
        (GuidedBackpropCalculator, lambda g, z: g.clip(min=0) * (z > 0)),
        (DeconvnetCalculator, lambda g, z: g.clip(min=0)),
    ],
)
def test_equals_the_backward_pass_written_out(calculator_class, at_relu, weights, x):
    calculator = calculator_class(network(weights, F.relu), class_index=2)
    expected = by_hand(weights, x, 2, at_relu)
    assert_allclose(calculator.compute(x, batchsize=3)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("calculator_class", CALCULATORS)
def test_without_relu_it_is_the_gradient(calculator_class, x):
    model = build(MLP, depth=3)  # tanh
    samples = calculator_class(model, class_index=1).compute(x)
    assert_allclose(samples, GradientCalculator(model, class_index=1).compute(x))


@pytest.mark.parametrize("calculator_class", CALCULATORS)
def test_of_a_network_that_only_adds_up_it_is_the_gradient(calculator_class, rng):
    """All gradients are positive there, and all units are on."""
    weights = [abs(rng.normal(size=shape)) for shape in ((5, 4), (6, 5), (3, 6))]
    x = abs(rng.normal(size=(7, 4)))
    model = network(weights, F.relu)
    samples = calculator_class(model, class_index=0).compute(x)
    assert_allclose(samples, GradientCalculator(model, class_index=0).compute(x))


@pytest.mark.parametrize("calculator_class", CALCULATORS)
def test_runs_on_images_and_leaves_nothing_behind(calculator_class, rng):
    model = build(CNN)
    images = rng.normal(size=(3, 2, 6, 6))
    samples = calculator_class(model, class_index="argmax").compute(images, M=2)
    assert samples.shape == (2, 3, 2, 6, 6)
    assert not chainer.get_function_hooks()
    assert not chainer._get_link_hooks()


def test_a_relu_in_line_counts(weights, x):
    """``F.clipped_relu`` with a bound out of reach is the same function."""
    usual = GuidedBackpropCalculator(network(weights, F.relu), class_index=0)
    clipped = GuidedBackpropCalculator(
        network(weights, lambda h: F.clipped_relu(h, 1e6)), class_index=0
    )
    assert_allclose(clipped.compute(x), usual.compute(x))
