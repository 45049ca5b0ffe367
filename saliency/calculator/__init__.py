"""Calculators: from a trained model and data to M saliency samples per example."""

from saliency.calculator import calculator_utils as calculator_utils
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.bayes_grad_calculator import BayesGradCalculator
from saliency.calculator.common import (
    GaussianBlur,
    GaussianNoiseSampler,
    UniformNoiseSampler,
)
from saliency.calculator.engine.dataset import list_examples
from saliency.calculator.engine.padding import cut_to_lengths
from saliency.calculator.grad_cam_calculator import (
    GradCAMCalculator,
    GuidedGradCAMCalculator,
)
from saliency.calculator.gradient_calculator import GradientCalculator
from saliency.calculator.guided_backprop_calculator import (
    DeconvnetCalculator,
    GuidedBackpropCalculator,
)
from saliency.calculator.integrated_gradients_calculator import (
    IntegratedGradientsCalculator,
)
from saliency.calculator.lrp_calculator import LRPCalculator
from saliency.calculator.occlusion_calculator import OcclusionCalculator
from saliency.calculator.randomness.posteriors import (
    EnsemblePosterior,
    Posterior,
    SWAGPosterior,
)
from saliency.calculator.smooth_grad_calculator import SmoothGradCalculator

__all__ = [
    "BaseCalculator",
    "BayesGradCalculator",
    "DeconvnetCalculator",
    "EnsemblePosterior",
    "GaussianBlur",
    "GaussianNoiseSampler",
    "GradCAMCalculator",
    "GradientCalculator",
    "GuidedBackpropCalculator",
    "GuidedGradCAMCalculator",
    "IntegratedGradientsCalculator",
    "LRPCalculator",
    "OcclusionCalculator",
    "Posterior",
    "SWAGPosterior",
    "SmoothGradCalculator",
    "UniformNoiseSampler",
    "cut_to_lengths",
    "list_examples",
]
