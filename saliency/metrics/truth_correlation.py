"""Truth correlation: whether scores rank features as their known contributions do."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from saliency.configured import positional
from saliency.metrics.metric import ScoreMetric
from saliency.metrics.rank_correlation import rank_correlations
from saliency.metrics.scores import known_array


class TruthCorrelation(ScoreMetric):
    """Truth correlation: whether scores rank features as their contributions do.

    Spearman's rank correlation of the scores of an example and the contributions that
    its features are known to make, from -1 to 1. The scale of scores does not matter,
    and their signs do. Features of equal scores share their mean rank. A random map has
    0 on average; so has a constant one, of which a warning tells.

    Contributions are known where a function was made so
    (``saliency.metrics.truths``), or where what is predicted is a sum by definition,
    as Crippen's logP is a sum over atoms.

    Args:
        contributions (array): What each feature contributes, ``(N,) + shape``, of the
            shape of the scores; NaN behind the end of examples that have fewer features
            than others.

    Raises:
        TypeError: If ``contributions`` is no array of numbers.
        ValueError: If it has no axis of examples, or another shape than the scores.
    """

    contributions: Any = positional()

    transform: ClassVar[str] = "signed"
    _larger_is_better = True

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        self._truth()

    def _truth(self) -> np.ndarray:
        """Return the contributions as an array of NumPy."""
        array = known_array("contributions", self.contributions)
        if array.dtype.kind not in "fiu":
            raise TypeError(
                "contributions must be an array of numbers, got "
                f"{array.dtype} of shape {array.shape}"
            )
        if array.ndim < 2 or not array.size:
            raise ValueError(
                "contributions must have the shape (N,) + shape, one map for each "
                f"example, got {array.shape}"
            )
        return array

    def _values(self, scores: np.ndarray) -> np.ndarray:
        truth = self._truth()
        if truth.shape != scores.shape:
            raise ValueError(
                f"contributions must have the shape {scores.shape} of the scores, got "
                f"{truth.shape}"
            )
        return rank_correlations(scores, truth)
