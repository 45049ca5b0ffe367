"""Calculators: from a trained model and data to M saliency samples per example."""

from saliency.calculator import calculator_utils as calculator_utils
from saliency.calculator.ablation_cam_calculator import AblationCAMCalculator
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.bayes_grad_calculator import BayesGradCalculator
from saliency.calculator.blur_integrated_gradients_calculator import (
    BlurIntegratedGradientsCalculator,
)
from saliency.calculator.common import (
    GaussianBlur,
    GaussianNoiseSampler,
    UniformNoiseSampler,
)
from saliency.calculator.conductance_calculator import (
    ConductanceCalculator,
    NeuronConductanceCalculator,
)
from saliency.calculator.deep_lift_calculator import DeepLiftCalculator
from saliency.calculator.deep_lift_shap_calculator import DeepLiftShapCalculator
from saliency.calculator.eigen_cam_calculator import EigenCAMCalculator
from saliency.calculator.engine.dataset import list_examples
from saliency.calculator.engine.padding import cut_to_lengths
from saliency.calculator.expected_gradients_calculator import (
    ExpectedGradientsCalculator,
)
from saliency.calculator.feature_ablation_calculator import FeatureAblationCalculator
from saliency.calculator.full_grad_calculator import FullGradCalculator
from saliency.calculator.grad_cam_calculator import (
    GradCAMCalculator,
    GuidedGradCAMCalculator,
)
from saliency.calculator.grad_cam_plus_plus_calculator import GradCAMPlusPlusCalculator
from saliency.calculator.gradient_calculator import GradientCalculator
from saliency.calculator.guided_backprop_calculator import (
    DeconvnetCalculator,
    GuidedBackpropCalculator,
)
from saliency.calculator.guided_integrated_gradients_calculator import (
    GuidedIntegratedGradientsCalculator,
)
from saliency.calculator.hires_cam_calculator import HiResCAMCalculator
from saliency.calculator.integrated_gradients_calculator import (
    IntegratedGradientsCalculator,
)
from saliency.calculator.integrated_hessians_calculator import (
    IntegratedHessiansCalculator,
)
from saliency.calculator.internal_influence_calculator import (
    InternalInfluenceCalculator,
)
from saliency.calculator.layer_cam_calculator import LayerCAMCalculator
from saliency.calculator.lime_calculator import LimeCalculator
from saliency.calculator.lrp_calculator import LRPCalculator
from saliency.calculator.masks.one_hot import one_hot_groups
from saliency.calculator.masks.superpixels import Superpixels
from saliency.calculator.occlusion_calculator import OcclusionCalculator
from saliency.calculator.permutation_calculator import PermutationCalculator
from saliency.calculator.randomness.posteriors import (
    EnsemblePosterior,
    Posterior,
    SWAGPosterior,
)
from saliency.calculator.rise_calculator import RISECalculator
from saliency.calculator.score_cam_calculator import ScoreCAMCalculator
from saliency.calculator.shapley_calculator import ShapleyCalculator
from saliency.calculator.shapley_interaction_calculator import (
    ShapleyInteractionCalculator,
)
from saliency.calculator.smooth_grad_calculator import SmoothGradCalculator
from saliency.calculator.xgrad_cam_calculator import XGradCAMCalculator
from saliency.calculator.xrai import Regions, xrai

__all__ = [
    "AblationCAMCalculator",
    "BaseCalculator",
    "BayesGradCalculator",
    "BlurIntegratedGradientsCalculator",
    "ConductanceCalculator",
    "DeconvnetCalculator",
    "DeepLiftCalculator",
    "DeepLiftShapCalculator",
    "EigenCAMCalculator",
    "EnsemblePosterior",
    "ExpectedGradientsCalculator",
    "FeatureAblationCalculator",
    "FullGradCalculator",
    "GaussianBlur",
    "GaussianNoiseSampler",
    "GradCAMCalculator",
    "GradCAMPlusPlusCalculator",
    "GradientCalculator",
    "GuidedBackpropCalculator",
    "GuidedGradCAMCalculator",
    "GuidedIntegratedGradientsCalculator",
    "HiResCAMCalculator",
    "IntegratedGradientsCalculator",
    "IntegratedHessiansCalculator",
    "InternalInfluenceCalculator",
    "LRPCalculator",
    "LayerCAMCalculator",
    "LimeCalculator",
    "NeuronConductanceCalculator",
    "OcclusionCalculator",
    "PermutationCalculator",
    "Posterior",
    "RISECalculator",
    "Regions",
    "SWAGPosterior",
    "ScoreCAMCalculator",
    "ShapleyCalculator",
    "ShapleyInteractionCalculator",
    "SmoothGradCalculator",
    "Superpixels",
    "UniformNoiseSampler",
    "XGradCAMCalculator",
    "cut_to_lengths",
    "list_examples",
    "one_hot_groups",
    "xrai",
]
