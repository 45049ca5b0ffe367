"""Metrics: is an explanation any good? Each measures what its definition says."""

from saliency.metrics.agreement import Agreement
from saliency.metrics.completeness import Completeness
from saliency.metrics.complexity import Complexity
from saliency.metrics.deletion import Deletion
from saliency.metrics.efficient_model_randomisation import (
    EfficientModelRandomisation,
)
from saliency.metrics.evaluation import Differences, Evaluation, evaluate
from saliency.metrics.faithfulness_correlation import FaithfulnessCorrelation
from saliency.metrics.infidelity import Infidelity
from saliency.metrics.insertion import Insertion
from saliency.metrics.local_lipschitz import LocalLipschitz
from saliency.metrics.localisation import masks_of_atoms, masks_of_boxes
from saliency.metrics.localisation_auc import LocalisationAUC
from saliency.metrics.max_sensitivity import MaxSensitivity
from saliency.metrics.metric import Metric
from saliency.metrics.model_randomisation import Cascade, ModelRandomisation
from saliency.metrics.pixel_flipping import PixelFlipping
from saliency.metrics.pointing_game import PointingGame
from saliency.metrics.random_logit import RandomLogit
from saliency.metrics.relevance_mass import RelevanceMass
from saliency.metrics.relevance_rank import RelevanceRank
from saliency.metrics.result import MetricResult
from saliency.metrics.road import ROAD
from saliency.metrics.sensitivity_n import SensitivityN
from saliency.metrics.sparseness import Sparseness
from saliency.metrics.truth_correlation import TruthCorrelation

__all__ = [
    "ROAD",
    "Agreement",
    "Cascade",
    "Completeness",
    "Complexity",
    "Deletion",
    "Differences",
    "EfficientModelRandomisation",
    "Evaluation",
    "FaithfulnessCorrelation",
    "Infidelity",
    "Insertion",
    "LocalLipschitz",
    "LocalisationAUC",
    "MaxSensitivity",
    "Metric",
    "MetricResult",
    "ModelRandomisation",
    "PixelFlipping",
    "PointingGame",
    "RandomLogit",
    "RelevanceMass",
    "RelevanceRank",
    "SensitivityN",
    "Sparseness",
    "TruthCorrelation",
    "evaluate",
    "masks_of_atoms",
    "masks_of_boxes",
]
