"""All calculators, for tests of what holds for each of them."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest

from saliency import (
    AblationCAMCalculator,
    BayesGradCalculator,
    BlurIntegratedGradientsCalculator,
    ConductanceCalculator,
    DeconvnetCalculator,
    DeepLiftCalculator,
    DeepLiftShapCalculator,
    EigenCAMCalculator,
    ExpectedGradientsCalculator,
    FeatureAblationCalculator,
    FullGradCalculator,
    GaussianNoiseSampler,
    GradCAMCalculator,
    GradCAMPlusPlusCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
    GuidedIntegratedGradientsCalculator,
    HiResCAMCalculator,
    IntegratedGradientsCalculator,
    IntegratedHessiansCalculator,
    InternalInfluenceCalculator,
    LayerCAMCalculator,
    LimeCalculator,
    LRPCalculator,
    NeuronConductanceCalculator,
    OcclusionCalculator,
    PermutationCalculator,
    RISECalculator,
    ScoreCAMCalculator,
    ShapleyCalculator,
    ShapleyInteractionCalculator,
    SmoothGradCalculator,
    XGradCAMCalculator,
)
from saliency.lrp import AlphaBeta, Composite, Zero


class ConvergenceDelta:
    """The check of Integrated Gradients, to be run like a calculator."""

    def __init__(self, *arguments, **settings):
        self.paths = IntegratedGradientsCalculator(*arguments, **settings)

    def compute(self, data, **settings):
        samples = self.paths.compute(data, **settings)
        return self.paths.convergence_delta(samples, data, **settings)


# Most tests compare calls without a seed: what these draw is the same in all of them.
class SeededShapley(ShapleyCalculator):
    call_defaults: ClassVar = {"seed": 0}


class SeededLime(LimeCalculator):
    call_defaults: ClassVar = {"seed": 0}


class SeededRISE(RISECalculator):
    call_defaults: ClassVar = {"seed": 0}


class SeededPermutation(PermutationCalculator):
    call_defaults: ClassVar = {"seed": 0}


def three_groups(targets):
    """Returns groups of the positions along axis 1 of any target."""
    positions = np.arange(targets.shape[1]) % 3
    return positions.reshape(1, -1, *[1] * (targets.ndim - 2))


# Those whose way through the engine is that of another one: `make test` runs them with
# every test that is written for all calculators, and `pytest` alone does not.
LARGE: dict[str, Any] = {
    "deep_lift": partial(DeepLiftCalculator, baseline=[None, 0.5]),
    "deep_lift_shap": partial(DeepLiftShapCalculator, background=[[0.0], [0.5]]),
    "integrated_hessians": partial(
        IntegratedHessiansCalculator, steps=2, baseline=0.5, softplus=4.0
    ),
    "drawn_expected_gradients": partial(
        ExpectedGradientsCalculator, background=[[0.0], [0.5], [1.0]], steps=2
    ),
    "shapley": partial(
        SeededShapley, method="sampling", n_coalitions=8, groups=three_groups
    ),
    "kernel_shapley": partial(SeededShapley, groups=three_groups),
    "feature_ablation": partial(FeatureAblationCalculator, groups=three_groups),
    "lime": partial(SeededLime, n_samples=6, groups=three_groups),
    "permutation": partial(SeededPermutation, n_draws=2),
    "rise": partial(SeededRISE, n_masks=6, grid=2, axes=1),
    "gradient_times_target": partial(GradientCalculator, multiply_target=True),
    "expected_gradients": partial(
        IntegratedGradientsCalculator, steps=2, baseline=["mean", 0.5]
    ),
    "blur_integrated_gradients": partial(
        BlurIntegratedGradientsCalculator, max_sigma=1.0, steps=2, axes=1
    ),
    "guided_integrated_gradients": partial(
        GuidedIntegratedGradientsCalculator, steps=2, max_distance=0.3
    ),
}

# What needs an image, a layer or a ReLU, and what goes the way of Shapley values.
# test_promises_of_images.py has the promises of these, on a network of its own.
OF_IMAGES: dict[str, Any] = {
    "grad_cam": partial(GradCAMCalculator, layer="conv2"),
    "guided_grad_cam": partial(GuidedGradCAMCalculator, layer=["conv1", "conv2"]),
    "grad_cam_plus_plus": partial(GradCAMPlusPlusCalculator, layer="conv2"),
    "hires_cam": partial(HiResCAMCalculator, layer="conv2"),
    "layer_cam": partial(LayerCAMCalculator, layer=["conv1", "conv2"]),
    "xgrad_cam": partial(XGradCAMCalculator, layer="conv2"),
    "eigen_cam": partial(EigenCAMCalculator, layer="conv2"),
    "score_cam": partial(ScoreCAMCalculator, layer="conv2"),
    "ablation_cam": partial(AblationCAMCalculator, layer="conv1"),
    "conductance": partial(
        ConductanceCalculator, layer="conv1", steps=2, baseline=[None, 1.0]
    ),
    "neuron_conductance": partial(
        NeuronConductanceCalculator, layer="conv2", neuron=(slice(None), 0, 1), steps=2
    ),
    "internal_influence": partial(
        InternalInfluenceCalculator, layer="hidden", steps=2, baseline=0.5
    ),
    "full_grad": FullGradCalculator,
    "guided_backprop": GuidedBackpropCalculator,
    "deconvnet": DeconvnetCalculator,
    "shapley_interactions": partial(ShapleyInteractionCalculator, groups=three_groups),
}

CALCULATORS = {
    "gradient": GradientCalculator,
    "smooth_grad": SmoothGradCalculator,
    "bayes_grad": BayesGradCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=2),
    "adaptive_integrated_gradients": partial(
        IntegratedGradientsCalculator, steps=4, method="adaptive", baseline=[None, 0.5]
    ),
    # Without an epsilon, and without a rule for the first layer alone: what is first
    # depends on the target.
    "lrp0": partial(LRPCalculator, rule="lrp0"),
    "lrp_alpha_beta": partial(
        LRPCalculator, rule=Composite(AlphaBeta(2, -1), sums=Zero())
    ),
    "occlusion": partial(OcclusionCalculator, slide_axis=1, size=2),
    "convergence_delta": partial(ConvergenceDelta, steps=1, baseline=[1.0, "mean"]),
    **LARGE,
}

# What does not hold for layer-wise relevance propagation, and why.
NOT_OF_LRP = {
    # Relevance has no meaning at the functions of a backward pass.
    "test_models_that_differentiate_within_their_forward",
    # None is the predicted class there, so there is nothing to warn of, ...
    "TestWarning",
    # ... and one value for the batch, which has no classes, may be explained.
    "TestDetection.test_has_no_predicted_class",
    # A gate gets all relevance where its signal does not depend on the target.
    "TestLinkThatIsCalledSeveralTimes."
    "test_the_calls_are_explained_one_by_one_and_added_up",
}

# What a mask lets through of one value for the batch has the scores of all examples.
NOT_OF_RISE = {"test_sums_are_as_row_by_row_and_means_are_over_the_users_batch"}

# What is wrong with one example is wrong with those that draw its features.
NOT_OF_PERMUTATION = {"TestResult.test_not_finite"}
# Nor have the functions of a backward pass multipliers.
NOT_OF_DEEP_LIFT = {"test_models_that_differentiate_within_their_forward"}

# A batch with one value has one path, with the same points for all of its examples.
NOT_OF_ADAPTIVE = {"test_sums_are_as_row_by_row_and_means_are_over_the_users_batch"}

# Matrices of features by features, for tables alone.
NOT_OF_HESSIANS = {
    # Images and embedded tokens are refused, ...
    "test_of_a_convolutional_network",
    "TestEmbedding",
    "TestEffort.test_no_gradient_of_a_weight_is_computed",
    # ... and a sample has another shape than the target.
    "TestFunctionsOnTheWay.test_postprocess_fn_is_given_each_sample_of_each_batch",
}


def calculators_for(test):
    """Returns those that a test, or a class of tests, holds for."""
    left_out = {
        "lrp": NOT_OF_LRP,
        "adaptive": NOT_OF_ADAPTIVE,
        "permutation": NOT_OF_PERMUTATION,
        "rise": NOT_OF_RISE,
        "deep_lift": NOT_OF_DEEP_LIFT,
        "integrated_hessians": NOT_OF_HESSIANS,
    }
    names = {test.__qualname__, test.__qualname__.split(".")[0]}
    prefixes = tuple(p for p, tests in left_out.items() if names & tests)
    return {n: c for n, c in CALCULATORS.items() if not n.startswith(prefixes)}


def every_calculator(test):
    """Runs a test, or a class of tests, with every calculator that it holds for."""
    found = calculators_for(test)
    return pytest.mark.parametrize("new_calculator", found.values(), ids=found)(test)


def every_calculator_with(cover, **arguments):
    """Runs a test with every calculator and other arguments.

    Args:
        cover (callable): Which combinations there are: ``every_pair`` or
            ``every_value`` of ``tests.covering``.
        arguments: What else the test is given, as ``cover`` takes it.
    """

    def decorate(test):
        return cover(new_calculator=calculators_for(test), **arguments)(test)

    return decorate


# Those that have compute_aggregate.
AGGREGATING = {n: c for n, c in CALCULATORS.items() if n != "convergence_delta"}

# Of these, those that are not for tables alone.
AGGREGATING_IMAGES = {
    n: c for n, c in AGGREGATING.items() if n != "integrated_hessians"
}

# What is drawn at random for each sample.
DISTURBANCES = {
    "clean": {},
    "noise": {"noise_sampler": GaussianNoiseSampler()},
    "dropout": {"train": True},
    "noise_and_dropout": {"train": True, "noise_sampler": GaussianNoiseSampler()},
}
