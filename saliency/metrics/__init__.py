"""Metrics: is an explanation any good? Each measures what its definition says."""

from saliency.metrics.completeness import Completeness
from saliency.metrics.complexity import Complexity
from saliency.metrics.metric import Metric
from saliency.metrics.result import MetricResult
from saliency.metrics.sparseness import Sparseness

__all__ = ["Completeness", "Complexity", "Metric", "MetricResult", "Sparseness"]
