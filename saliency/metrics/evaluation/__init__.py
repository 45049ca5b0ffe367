"""Many methods by many metrics, on the same examples, as one table."""

from __future__ import annotations

from saliency.metrics.evaluation.evaluating import evaluate as evaluate
from saliency.metrics.evaluation.table import Differences as Differences
from saliency.metrics.evaluation.table import Evaluation as Evaluation
