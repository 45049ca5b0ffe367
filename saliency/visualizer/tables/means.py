"""Means over examples, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.quantiles import t_quantile
from saliency.visualizer.tables.feature_rows import checked_scores

# Beyond so many examples, the interval does not become narrower by 1 in 10,000.
_MANY = 10_000


class Means(NamedTuple):
    """Means over examples.

    Attributes:
        values: The means, shape (n_feature,).
        errors: Half the width of their 95 % intervals, same shape; 0 with one example.
        has_signs: Whether there are scores below 0 among those whose mean it is.
    """

    values: np.ndarray
    errors: np.ndarray
    has_signs: bool


def compute_means(saliency: Mapping[str, Array], of_magnitudes: bool) -> list[Means]:
    """Return the means of each panel over its examples.

    The interval is mean -/+ t std / sqrt(n), with the standard deviation of a sample
    and the quantile of Student's t distribution, which is 1.96 for many examples: it
    says where the mean over many more such examples would be, and not how far single
    examples are spread.

    Args:
        saliency: Scores of each panel, shape (n_sample, n_feature), by what messages
            call them.
        of_magnitudes: Whether the means are those of magnitudes.

    Raises:
        ValueError: Scores have another shape, are not finite, or there are none.
        TypeError: They are no real numbers.
    """
    found = []
    for name, given in saliency.items():
        scores = checked_scores(given, ("n_sample", "n_feature"), name)
        scores = np.abs(scores) if of_magnitudes else scores
        n = len(scores)
        spread = scores.std(axis=0, ddof=1) if n > 1 else np.zeros(scores.shape[1])
        errors = half_of_interval(n) * spread / np.sqrt(n)
        has_signs = bool((scores < 0).any())
        found.append(Means(scores.mean(axis=0), errors, has_signs))
    return found


def half_of_interval(n: int) -> float:
    """Return half the width of the 95 % interval of a mean, in its standard errors.

    Args:
        n: Over how many examples the mean was taken; of one, there is no interval.
    """
    return t_quantile(0.975, min(n, _MANY) - 1) if n > 1 else 0.0
