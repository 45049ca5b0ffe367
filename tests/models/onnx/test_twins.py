"""Networks of files beside the same in Chainer: every method gives the same."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose

import saliency
from link_hooks import VariableMonitorLinkHook
from saliency.lrp.composites import PRESETS
from tests.calculator.every_calculator import CALCULATORS, DISTURBANCES
from tests.models.onnx import twins
from tests.models.onnx.twins import TWINS

import chainer

METHODS = {
    **CALCULATORS,
    "grad_cam": saliency.GradCAMCalculator,
    "guided_backprop": saliency.GuidedBackpropCalculator,
    "guided_grad_cam": saliency.GuidedGradCAMCalculator,
    "deconvnet": saliency.DeconvnetCalculator,
}
# These bring the noise or the dropout themselves; all others are run with both.
HOW = {"smooth_grad": "clean", "bayes_grad": "clean"}
# Networks have to be convolutional, or to have a ReLU.
NOT_OF = {
    "perceptron": {"grad_cam", "guided_grad_cam"},
    "attention": {"grad_cam", "guided_grad_cam", "guided_backprop", "deconvnet"},
    "recurrent": {"grad_cam", "guided_grad_cam"},
}


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
    assert public - {"BaseCalculator"} <= {c.__name__ for c in classes}


@pytest.mark.filterwarnings("ignore:the attributions of example")
@pytest.mark.parametrize("network", TWINS)
def test_every_method_gives_the_same(network):
    *models, x = networks(network)
    for name in METHODS.keys() - NOT_OF.get(network, set()):
        how = DISTURBANCES[HOW.get(name, "noise_and_dropout")]
        found, expected = (
            METHODS[name](model, class_index="argmax").compute(x, M=2, seed=0, **how)
            for model in models
        )
        assert found.dtype == np.float64, name
        same(found, expected)


@pytest.mark.parametrize("network", TWINS)
def test_every_preset_of_lrp_gives_the_same_at_each_node(network):
    *models, x = networks(network)
    paths = [f"/{name}" for name in names_of(network)]
    for preset in PRESETS:
        calculators = [
            saliency.LRPCalculator(m, rule=preset, low=-5.0, high=5.0) for m in models
        ]
        same(*(c.compute(x) for c in calculators))
        found, expected = (c.compute_layers(x, paths) for c in calculators)
        for path in paths:
            # No relevance goes through the weights of attention.
            if expected[path].any() or network != "attention":
                same(found[path], expected[path])
            else:
                assert not found[path].any()


@pytest.mark.parametrize("network", TWINS)
def test_activations_and_gradients_are_the_same_at_each_node(network):
    *models, x = networks(network)
    for name in names_of(network):
        hooks = [VariableMonitorLinkHook(model[name]) for model in models]
        for model, hook in zip(models, hooks):
            with hook, chainer.using_config("train", False):
                model(x)
        same(*(hook.variables[0].array for hook in hooks))
        same(
            *(
                saliency.GradientCalculator(m, hook, class_index=1).compute(x)
                for m, hook in zip(models, hooks)
            )
        )
    for name in names_of(network)[:2]:
        same(
            *(
                saliency.GradientCalculator(
                    m,
                    output_extractor=VariableMonitorLinkHook(m[name]),
                    class_index="sum",
                ).compute(x)
                for m in models
            )
        )


def names_of(network):
    """Returns the names of all nodes; each is a link of both networks."""
    loaded, written, _ = networks(network)
    names = list(loaded.link_names)
    for model in (loaded, written):
        assert {link.name for link in model.children()} == set(names)
    return names
