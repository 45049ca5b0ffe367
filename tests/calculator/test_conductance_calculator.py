"""Conductance and internal influence: sums, loops, and figures of Captum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import (
    ConductanceCalculator,
    IntegratedGradientsCalculator,
    InternalInfluenceCalculator,
    NeuronConductanceCalculator,
)
from tests.networks import CNN, MLP, Siamese, TwoInputs, build

import chainer
import chainer.functions as F

BASELINE = np.array([0.5, -0.5, 0.0, 1.0])


class Tanh(chainer.Chain):
    """The network that Captum was given, whose weights are sines."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = chainer.links.Linear(
                4,
                6,
                initialW=np.sin(np.arange(24)).reshape(6, 4),
                initial_bias=np.cos(np.arange(6)),
            )
            self.l2 = chainer.links.Linear(
                6,
                3,
                initialW=np.sin(1 + np.arange(18)).reshape(3, 6),
                initial_bias=np.array([0.1, -0.2, 0.3]),
            )

    def forward(self, x: Any) -> Any:
        return self.l2(F.tanh(self.l1(x)))


@pytest.fixture
def tanh():
    with chainer.using_config("dtype", np.float64):
        return Tanh()


# Captum 0.9.0, torch 2.13: an nn.Sequential of Linear(4, 6), Tanh, Linear(6, 3) in
# float64 with the weights of the class above; target=1, baselines=BASELINE.
INPUT = np.cos(np.arange(8)).reshape(2, 4)
# LayerConductance(..., n_steps=30, method="riemann_trapezoid") at the first layer
LAYER_CONDUCTANCE = [
    [0.076899075, -1.695388937, 0.737194464, 0.174834391, 0.708845512, -0.8070218],
    [0.245641791, -0.101980669, -0.070925354, -0.762868803, 0.722109648, 0.073874761],
]
# NeuronConductance(..., neuron_selector=2, n_steps=20, method="gausslegendre"): the
# weights of its default, the trapezoid rule, add up to 19 / 20
NEURON_CONDUCTANCE = [
    [0.115254619, 0.099888712, 0.05274692, 0.463641115],
    [-0.071595005, 0.020258555, -0.032765854, 0.015436927],
]
# InternalInfluence(..., n_steps=20), by Gauss-Legendre
INTERNAL_INFLUENCE = [
    [0.354034642, 0.660866762, 0.232988645, -0.10903502, -0.615508433, -0.261201411],
    [0.157669671, 0.333486229, 0.062727428, -0.438039353, -0.600115, -0.372126247],
]


def test_captum_gives_the_same(tanh):
    how = {"class_index": 1, "layer": "l1", "baseline": BASELINE}
    layer = ConductanceCalculator(tanh, steps=30, method="left", **how)
    assert_allclose(layer.compute(INPUT)[0], LAYER_CONDUCTANCE, atol=1e-8)
    neuron = NeuronConductanceCalculator(tanh, neuron=2, steps=20, **how)
    assert_allclose(neuron.compute(INPUT)[0], NEURON_CONDUCTANCE, atol=1e-8)
    influence = InternalInfluenceCalculator(tanh, steps=20, **how)
    assert_allclose(influence.compute(INPUT)[0], INTERNAL_INFLUENCE, atol=1e-8)


def test_conductances_of_every_layer_add_up_to_the_difference_of_scores(x):
    model = build(MLP, depth=4)
    difference = model(x).array[:, 2] - model(BASELINE[None]).array[0, 2]
    assert abs(difference).mean() > 0.2
    for layer in ("layers/0", "layers/1", "layers/2", "layers/3"):
        calculator = ConductanceCalculator(
            model, class_index=2, layer=layer, baseline=BASELINE, steps=200
        )
        samples = calculator.compute(x)
        assert samples.shape == (1, 7, 3 if layer == "layers/3" else 6)
        assert_allclose(samples[0].sum(axis=1), difference, atol=1e-4)
        delta = calculator.convergence_delta(samples, x)
        assert_allclose(delta[0], samples[0].sum(axis=1) - difference, atol=1e-12)


@pytest.mark.parametrize("method", ["trapezoid", "left"])
def test_is_the_sum_over_steps_of_explicit_gradients(method, x):
    """With dy/dalpha times dalpha as the difference of the layer's values."""
    model, steps = build(MLP), 7
    calculator = ConductanceCalculator(
        model, class_index=1, layer=model.l1, baseline=1.0, steps=steps, method=method
    )
    found = calculator.compute(x)[0]
    for batchsize in (1, 5, 100):
        again = calculator.compute(x, batchsize=batchsize)[0]
        assert_allclose(again, found, rtol=1e-10, atol=1e-14)
    for i, example in enumerate(x):
        values, slopes = [], []
        for t in range(steps + 1):
            h = model.l1((1 + t / steps * (example - 1))[None])
            y = model.layers[1](F.tanh(h))
            values.append(h.array[0])
            slopes.append(chainer.grad([y[0, 1]], [h])[0].array[0])
        expected = 0
        for t in range(steps):
            slope = slopes[t]
            if method == "trapezoid":
                slope = (slopes[t] + slopes[t + 1]) / 2
            expected = expected + slope * (values[t + 1] - values[t])
        assert_allclose(found[i], expected, rtol=1e-10, atol=1e-14)


@pytest.mark.large
def test_neurons_add_up_to_their_layer_and_to_integrated_gradients(x):
    model = build(MLP)
    how = {"class_index": 1, "baseline": [np.zeros(4), BASELINE]}
    layer = ConductanceCalculator(model, layer=model.l1, steps=4000, **how)
    of_layer = layer.compute(x)[0]
    neurons = [
        NeuronConductanceCalculator(model, layer=model.l1, neuron=j, steps=20, **how)
        for j in range(6)
    ]
    of_neurons = np.stack([neuron.compute(x)[0] for neuron in neurons])
    # over the inputs ...
    assert_allclose(of_neurons.sum(axis=2).T, of_layer, atol=1e-6)
    # ... and over the neurons.
    paths = IntegratedGradientsCalculator(model, steps=20, **how)
    assert_allclose(of_neurons.sum(axis=0), paths.compute(x)[0], rtol=1e-10)


def test_a_channel_is_the_sum_of_its_units(rng):
    model, images = build(CNN), rng.normal(size=(2, 2, 6, 6))
    how = {"class_index": 0, "layer": "conv", "steps": 5}
    channel = NeuronConductanceCalculator(
        model, neuron=(3, slice(None), slice(0, 2)), **how
    )
    units = [
        NeuronConductanceCalculator(model, neuron=(3, i, j), **how).compute(images)
        for i in range(6)
        for j in range(2)
    ]
    assert_allclose(channel.compute(images), sum(units), rtol=1e-9, atol=1e-12)


def test_internal_influence_is_the_mean_of_explicit_gradients(rng):
    model, images = build(CNN), rng.normal(size=(2, 2, 6, 6))
    calculator = InternalInfluenceCalculator(
        model, class_index=1, layer="conv", baseline=0.5, steps=3, method="midpoint"
    )
    found = calculator.compute(images)
    assert found.shape == (1, 2, 4, 6, 6)
    expected = 0
    with chainer.using_config("train", False):
        for alpha in (1 / 6, 1 / 2, 5 / 6):
            h = model.conv(0.5 + alpha * (images - 0.5))
            y = model.out(F.average_pooling_2d(F.tanh(model.norm(h)), 2))
            (gradient,) = chainer.grad([F.sum(y[:, 1])], [h])
            expected = expected + gradient.array / 3
    assert_allclose(found[0], expected, rtol=1e-10)
    assert_allclose(calculator.compute(images, batchsize=1), found, rtol=1e-10)


def test_a_hook_reads_what_a_link_is_given(x):
    """Behind the activation: there the first layer's units are the next one's input."""
    model = build(MLP)
    behind = VariableMonitorLinkHook(model.layers[1], timing="pre")
    samples = ConductanceCalculator(
        model, class_index=1, layer=behind, baseline=1.0, steps=3
    ).compute(x)
    # The rest is linear, and so the gradient does not change.
    gained = F.tanh(model.l1(x)) - F.tanh(model.l1(np.ones_like(x)))
    assert_allclose(samples[0], model.layers[1].W.array[1] * gained.array, rtol=1e-10)


def test_several_targets_move_together(rng):
    model = build(TwoInputs)
    data = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    how = {"targets": "all", "layer": "out", "steps": 50}
    samples = ConductanceCalculator(model, **how).compute(data)
    zero = model(np.zeros((1, 4)), np.zeros((1, 3))).array
    assert_allclose(samples[0], model(*data).array - zero, atol=1e-10)
    # Of a layer that one of them leads around, the other way is missing.
    half = ConductanceCalculator(model, targets="all", layer="of_x", steps=50)
    assert half.compute(data).shape == (1, 5, 5)
    neuron = NeuronConductanceCalculator(model, neuron=0, **how).compute(data)
    paths = IntegratedGradientsCalculator(model, targets="all", steps=50)
    for found, expected in zip(neuron, paths.compute(data)):
        assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_units_have_no_names_of_columns(x):
    """Also where there are as many of them."""
    pandas = pytest.importorskip("pandas")
    model = build(MLP, n_hidden=4)
    table = pandas.DataFrame(x, columns=list("abcd"))
    how = {"class_index": 1, "layer": model.l1, "steps": 3}
    for calculator, names in (
        (ConductanceCalculator(model, **how), None),
        (InternalInfluenceCalculator(model, **how), None),
        (NeuronConductanceCalculator(model, neuron=0, **how), ("a", "b", "c", "d")),
    ):
        explanation = calculator.explain(table)
        assert explanation.values.shape == (7, 4)
        assert explanation.feature_names == names
        assert calculator.feature_names == (None if names is None else list(names))


class TestWarning:
    @staticmethod
    def steep(x: Any, model: MLP) -> Any:
        return F.tanh(500 * (model(x) - 0.1))

    def test_steps_that_are_too_few(self, x):
        model = build(MLP)
        calculator = ConductanceCalculator(
            model,
            eval_fun=lambda v: self.steep(v, model),
            class_index=1,
            layer=model.l1,
            steps=2,
        )
        with pytest.warns(UserWarning, match=r"miss f.*pass more steps than 2"):
            calculator.compute(x)

    def test_a_layer_that_ways_lead_around_need_not_add_up(self, x, recwarn):
        model = build(MLP, n_out=4)
        calculator = ConductanceCalculator(
            model, eval_fun=lambda v: model(v) + 100 * v, class_index=1, layer=model.l1
        )
        calculator.compute(x)
        assert not recwarn.list


class TestWhatDoesNotFit:
    def test_a_layer_that_is_called_several_times(self, x):
        model = build(Siamese)
        calculator = ConductanceCalculator(model, layer="encoder")
        with pytest.raises(ValueError, match=r"called 2 times.*call=0"):
            calculator.compute(x)
        one = VariableMonitorLinkHook(model.encoder, call=1)
        assert calculator.replace(layer=one).compute(x).shape == (1, 7, 3)

    def test_a_layer_before_the_target(self, x):
        model = build(MLP, depth=3)
        calculator = InternalInfluenceCalculator(
            model,
            VariableMonitorLinkHook(model.layers[1]),
            class_index=0,
            layer="layers/0",
        )
        with pytest.raises(ValueError, match="does not depend on the target"):
            calculator.compute(x)

    @pytest.mark.parametrize("neuron", [6, (0, 0), -7])
    def test_a_neuron_that_there_is_not(self, neuron, x):
        model = build(MLP)
        calculator = NeuronConductanceCalculator(
            model, class_index=0, layer=model.l1, neuron=neuron
        )
        with pytest.raises(ValueError, match=r"neuron=.* is no index.*\(6,\)"):
            calculator.compute(x)

    @pytest.mark.parametrize("neuron", [None, 1.5, "a", ()])
    def test_a_neuron_of_a_wrong_kind(self, neuron):
        model = build(MLP)
        with pytest.raises(TypeError, match="neuron must be an int, or a tuple"):
            NeuronConductanceCalculator(model, layer=model.l1, neuron=neuron)

    def test_a_layer_of_another_name(self):
        with pytest.raises(ValueError, match=r"its links are .*layers/0"):
            ConductanceCalculator(build(MLP), layer="l1")

    def test_another_method(self):
        model = build(MLP)
        with pytest.raises(
            ValueError, match="method must be one of 'trapezoid', 'left'"
        ):
            ConductanceCalculator(model, layer=model.l1, method="right")
