"""Metrics: is an explanation any good? Each measures what its definition says."""

from saliency.metrics.completeness import Completeness
from saliency.metrics.complexity import Complexity
from saliency.metrics.deletion import Deletion
from saliency.metrics.insertion import Insertion
from saliency.metrics.metric import Metric
from saliency.metrics.pixel_flipping import PixelFlipping
from saliency.metrics.result import MetricResult
from saliency.metrics.road import ROAD
from saliency.metrics.sparseness import Sparseness

__all__ = [
    "ROAD",
    "Completeness",
    "Complexity",
    "Deletion",
    "Insertion",
    "Metric",
    "MetricResult",
    "PixelFlipping",
    "Sparseness",
]
