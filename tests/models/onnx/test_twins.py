"""Networks of files beside the same in Chainer: every method gives the same."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose

import saliency
from link_hooks import VariableMonitorLinkHook
from saliency.lrp.composites import PRESETS
from tests.calculator.every_calculator import CALCULATORS, DISTURBANCES, three_groups
from tests.models.onnx import twins
from tests.models.onnx.twins import TWINS

import chainer

OF_MAPS = {
    "grad_cam": saliency.GradCAMCalculator,
    "grad_cam_plus_plus": saliency.GradCAMPlusPlusCalculator,
    "hires_cam": saliency.HiResCAMCalculator,
    "layer_cam": saliency.LayerCAMCalculator,
    "xgrad_cam": saliency.XGradCAMCalculator,
    "eigen_cam": saliency.EigenCAMCalculator,
    "score_cam": saliency.ScoreCAMCalculator,
    "ablation_cam": saliency.AblationCAMCalculator,
    "guided_grad_cam": saliency.GuidedGradCAMCalculator,
}
OF_RELU = {
    "guided_backprop": saliency.GuidedBackpropCalculator,
    "deconvnet": saliency.DeconvnetCalculator,
}
# They are told a layer.
OF_LAYERS = {
    "conductance": functools.partial(saliency.ConductanceCalculator, steps=2),
    "neuron_conductance": functools.partial(
        saliency.NeuronConductanceCalculator, neuron=1, steps=2
    ),
    "internal_influence": functools.partial(
        saliency.InternalInfluenceCalculator, steps=2
    ),
}
METHODS = {
    **CALCULATORS,
    **OF_MAPS,
    **OF_LAYERS,
    "deep_lift_shap": functools.partial(
        saliency.DeepLiftShapCalculator, background=[[0.0], [0.5]]
    ),
    "feature_ablation": functools.partial(
        saliency.FeatureAblationCalculator, groups=three_groups
    ),
    "lime": functools.partial(
        saliency.LimeCalculator, groups=three_groups, n_samples=8
    ),
    "shapley_interaction": functools.partial(
        saliency.ShapleyInteractionCalculator, groups=three_groups
    ),
    "full_grad": saliency.FullGradCalculator,
    **OF_RELU,
}
# These bring the noise or the dropout themselves; all others are run with both.
HOW = {"smooth_grad": "clean", "bayes_grad": "clean"}
# Networks have to be convolutional, or to have a ReLU.
NOT_OF = {
    # Grad-CAM++ refuses maps that are negative, as without a ReLU.
    "convolutional": {"grad_cam_plus_plus"},
    "perceptron": {*OF_MAPS, "full_grad"},
    "attention": {*OF_MAPS, "full_grad", *OF_RELU},
    # What its LSTM gives has the batch on axis 2.
    "recurrent": {*OF_MAPS, *OF_LAYERS, "full_grad"},
}
# One network has every kind of layer that methods tell apart.
SOME = [
    pytest.param(name, marks=[] if name == "convolutional" else pytest.mark.large)
    for name in TWINS
]


@functools.cache
def networks(name):
    return twins.twins(name)


def same(found, expected):
    """Equal but for rounding, and neither zero nor without a number everywhere."""
    largest = abs(expected).max()
    assert largest > 0
    assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * largest)


def test_all_public_calculators_are_among_the_methods():
    classes = {getattr(m, "func", m) for m in METHODS.values()}
    public = {n for n in saliency.__all__ if n.endswith("Calculator")}
    # Some are those of a test, made to draw the same each time.
    assert public <= {base.__name__ for c in classes for base in c.__mro__}


@pytest.mark.filterwarnings("ignore:the attributions of example")
@pytest.mark.parametrize("network", SOME)
@pytest.mark.large
def test_every_method_gives_the_same(network):
    *models, x = networks(network)
    # Integrated Hessians are of tables, and none of these explains one.
    left_out = {"integrated_hessians", *NOT_OF.get(network, set())}
    for name in METHODS.keys() - left_out:
        how = DISTURBANCES[HOW.get(name, "noise_and_dropout")]
        layer = names_of(network)[1]
        found, expected = (
            METHODS[name](
                model,
                class_index="argmax",
                **({"layer": model[layer]} if name in OF_LAYERS else {}),
            ).compute(x, M=2, seed=0, **how)
            for model in models
        )
        assert found.dtype == np.float64, name
        same(found, expected)


@pytest.mark.parametrize("network", SOME)
@pytest.mark.large
def test_every_preset_of_lrp_gives_the_same_at_each_node(network):
    *models, x = networks(network)
    # The first of them only moves what the network is given.
    paths = [f"/{name}" for name in names_of(network)]
    for preset in PRESETS:
        found, expected = (
            saliency.LRPCalculator(
                model, rule=preset, low=-5.0, high=5.0
            ).compute_layers(x, paths)
            for model in models
        )
        for path in paths:
            # No relevance goes through the weights of attention.
            if expected[path].any() or network != "attention":
                same(found[path], expected[path])
            else:
                assert not found[path].any()


@pytest.mark.parametrize("network", TWINS)
def test_activations_and_gradients_are_the_same_at_each_node(network):
    *models, x = networks(network)
    names = names_of(network)
    outputs, variables = zip(*(passed(model, x, names) for model in models))
    gradients = [chainer.grad([y[:, 1]], at) for y, at in zip(outputs, variables)]
    for (v, w), (g, h) in zip(zip(*variables), zip(*gradients)):
        same(v.array, w.array)
        same(g.array, h.array)


def passed(model, x, names):
    """Returns what a model gives, and what its nodes of these names give."""
    hooks = [VariableMonitorLinkHook(model[name], name=name) for name in names]
    with contextlib.ExitStack() as stack, chainer.using_config("train", False):
        for hook in hooks:
            stack.enter_context(hook)
        y = model(chainer.Variable(x))
    return y, [hook.variables[0] for hook in hooks]


@pytest.mark.parametrize("network", TWINS)
def test_extractors_take_nodes_by_their_names(network):
    *models, x = networks(network)
    first, second = names_of(network)[1:3]
    found, expected = (
        saliency.GradientCalculator(
            model,
            VariableMonitorLinkHook(model[first]),
            VariableMonitorLinkHook(model[second], name="output"),
            class_index="sum",
        ).compute(x)
        for model in models
    )
    same(found, expected)


def names_of(network):
    """Returns the names of all nodes; each is a link of both networks."""
    loaded, written, _ = networks(network)
    names = list(loaded.link_names)
    for model in (loaded, written):
        assert {link.name for link in model.children()} == set(names)
    return names
