"""What a truth set is: examples, a model, and what is known to decide about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, TypeVar

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator import BaseCalculator
from saliency.checks import is_int
from saliency.metrics.completeness import Completeness
from saliency.metrics.deletion import Deletion
from saliency.metrics.faithfulness_correlation import FaithfulnessCorrelation
from saliency.metrics.infidelity import Infidelity
from saliency.metrics.insertion import Insertion
from saliency.metrics.localisation_auc import LocalisationAUC
from saliency.metrics.metric import Metric
from saliency.metrics.pixel_flipping import PixelFlipping
from saliency.metrics.pointing_game import PointingGame
from saliency.metrics.relevance_mass import RelevanceMass
from saliency.metrics.relevance_rank import RelevanceRank
from saliency.metrics.sensitivity_n import SensitivityN
from saliency.metrics.truth_correlation import TruthCorrelation

Calculator = TypeVar("Calculator", bound=BaseCalculator)


@dataclass(frozen=True, eq=False)
class TruthSet:
    """Examples of which it is known what decides, and a model that decides by it.

    Attributes:
        name (str): What it is called in tables.
        doc (str): What is true, why, and within which limits.
        model (callable): The model.
        data: Its examples, as ``compute`` of calculators takes them.
        class_index: Which score is explained.
        reference: What features are compared with: what contributions are differences
            from, where they are known.
        true_scores (numpy.ndarray): The explanation that is right: the contributions of
            features, or 1 where something decides and 0 elsewhere. ``(N,) + shape``, in
            float64, without channels; NaN behind the end of shorter examples.
        metrics (dict): From names to the metrics that this truth can judge by. The true
            scores are the best ones by each of them.
        masks (numpy.ndarray or None): Which elements decide, of bool, as localisation
            metrics take it; None where contributions are known.
        interactions (numpy.ndarray or None): What pairs of features add together, as
            :class:`saliency.ShapleyInteractionCalculator` gives it, ``(N, n_feature,
            n_feature)``, in float64; None where nothing interacts, or it is not known.
        without: The examples before something was planted in them; None where nothing
            was.
        learned (float or None): What a trained model reaches on examples that were held
            out: for which share what was planted decides, or its R2; None where the
            model is the function itself.
        layer (str or None): The last convolution, for Grad-CAM.
        target_extractor (VariableMonitorLinkHook or None): Where saliency is read.
        settings (dict): The other arguments of a calculator's ``compute_aggregate``.
    """

    name: str
    doc: str
    model: Callable[..., Any]
    data: Any
    class_index: Any
    reference: Any
    true_scores: np.ndarray
    metrics: Mapping[str, Metric]
    masks: np.ndarray | None = None
    interactions: np.ndarray | None = None
    without: Any = None
    learned: float | None = None
    layer: str | None = None
    target_extractor: VariableMonitorLinkHook | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.true_scores)

    def __repr__(self) -> str:
        learned = "" if self.learned is None else f", learned={self.learned:.3f}"
        names = ", ".join(self.metrics)
        return f"TruthSet({self.name}: {len(self)} examples{learned}; {names})"

    def calculator(
        self, kind: Callable[..., Calculator], **settings: Any
    ) -> Calculator:
        """Return a calculator that explains the score that the truth is of.

        Args:
            kind (type): The class of the calculator.
            settings: Its other arguments.
        """
        given = {
            "class_index": self.class_index,
            "target_extractor": self.target_extractor,
        }
        return kind(self.model, **{**given, **settings})

    def random_scores(self, seed: int = 0) -> np.ndarray:
        """Return scores without any knowledge: the floor for all explanations.

        Args:
            seed (int): One seed, one result.

        Returns:
            numpy.ndarray: Uniform in [0, 1), of the shape of ``true_scores``; NaN where
            these are.
        """
        check_seed(seed)
        # Of another stream than the examples, which may have the same seed.
        rng = np.random.default_rng([seed, 1])
        drawn = rng.random(self.true_scores.shape)
        return np.where(np.isnan(self.true_scores), np.nan, drawn)


def metrics_of_contributions(
    contributions: np.ndarray, model: Any, class_index: Any, reference: Any
) -> dict[str, Metric]:
    """Return what judges by contributions that add up to f(x) - f(reference)."""
    settings: dict[str, Any] = {
        "model": model,
        "class_index": class_index,
        "reference": reference,
    }
    return {
        "truth correlation": TruthCorrelation(contributions=contributions),
        "completeness": Completeness(**settings),
    }


def metrics_of_additive(
    contributions: np.ndarray, model: Any, class_index: Any, reference: Any
) -> dict[str, Metric]:
    """Return what judges by the contributions of a sum of functions of one feature.

    Removing features in their order is the fastest way down, since each takes away its
    own contribution, whatever else is there; and any subset takes away its sum.
    """
    settings: dict[str, Any] = {
        "model": model,
        "class_index": class_index,
        "reference": reference,
    }
    return {
        **metrics_of_contributions(contributions, model, class_index, reference),
        "deletion": Deletion(**settings),
        "insertion": Insertion(**settings),
        "pixel flipping": PixelFlipping(order="difference", **settings),
        "sensitivity-n": SensitivityN(**settings),
        "faithfulness correlation": FaithfulnessCorrelation(**settings),
        "infidelity": Infidelity(units="contribution", **settings),
    }


def metrics_of_masks(masks: np.ndarray) -> dict[str, Metric]:
    """Return what judges by where something decides."""
    return {
        "pointing game": PointingGame(truth=masks),
        "relevance mass": RelevanceMass(truth=masks),
        "relevance rank": RelevanceRank(truth=masks),
        "ROC area": LocalisationAUC(truth=masks),
        "PR area": LocalisationAUC(truth=masks, curve="precision_recall"),
    }


def check_seed(seed: Any) -> None:
    """Raise a ValueError unless a seed is an int that NumPy takes."""
    if not (is_int(seed) and 0 <= seed < 2**32):
        raise ValueError(f"seed must be an int in 0..2**32 - 1, got {seed!r}")


def check_learned(name: str, learned: float, least: float) -> None:
    """Raise a RuntimeError if a network has not learned what decides.

    Args:
        name (str): The truth set.
        learned (float): What it reaches on examples that were held out: for which share
            what was planted decides, or its R2.
        least (float): What it has to reach.
    """
    if learned < least:
        raise RuntimeError(
            f"the network of {name} reaches {learned:.2f} on held-out examples, and "
            f"has to reach {least} for the truth to hold: it has not learned what "
            "decides. Take another seed, more epochs or more examples"
        )
