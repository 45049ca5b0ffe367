"""Confidence intervals of paired differences."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from saliency.quantiles import t_quantile


class Interval(NamedTuple):
    """A mean, and where it may lie.

    Attributes:
        mean (float): The mean.
        low (float): The lower end; NaN where there is one value.
        high (float): The upper end; likewise.
    """

    mean: float
    low: float
    high: float


def paired_interval(
    values: np.ndarray, others: np.ndarray, confidence: float
) -> Interval:
    r"""Return the mean difference of paired values, with its confidence interval.

    .. math:: \bar d \pm t_{N - 1} \frac{s_d}{\sqrt N}

    Student (1908), "The probable error of a mean", Biometrika 6(1). The examples are
    the same for both, so that what makes an example hard for both drops out.

    Args:
        values (numpy.ndarray): ``(N,)``.
        others (numpy.ndarray): What is subtracted, ``(N,)``.
        confidence (float): Between 0 and 1.
    """
    differences = values - others
    n, mean = len(differences), float(differences.mean())
    if n < 2:
        return Interval(mean, math.nan, math.nan)
    t = t_quantile((1 + confidence) / 2, n - 1)
    half = t * float(differences.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)
