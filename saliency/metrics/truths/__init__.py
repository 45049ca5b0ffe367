"""Truth sets: examples of which it is known what decides, for metrics and methods.

Each is made by a function with a seed, without a download.
"""

from saliency.metrics.truths.additive_table import additive_table
from saliency.metrics.truths.interaction_table import interaction_table
from saliency.metrics.truths.linear_table import linear_table
from saliency.metrics.truths.logp import logp
from saliency.metrics.truths.planted_patches import planted_patches
from saliency.metrics.truths.planted_substructures import planted_substructures
from saliency.metrics.truths.planted_watermark import planted_watermark
from saliency.metrics.truths.truth_set import TruthSet

__all__ = [
    "TruthSet",
    "additive_table",
    "interaction_table",
    "linear_table",
    "logp",
    "planted_patches",
    "planted_substructures",
    "planted_watermark",
]
