"""Quantiles of Student's t distribution, by which few examples have wide intervals."""

from __future__ import annotations

import math

import numpy as np

#: Halvings of an interval after which nothing is left of it in float64.
_N_HALVING = 60


def t_quantile(p: float, df: int) -> float:
    """Return a quantile of Student's t distribution.

    By halving, since the probability is a finite sum where the degrees of freedom are
    an integer: Abramowitz and Stegun (1964), "Handbook of mathematical functions",
    26.7.3 and 26.7.4.

    Args:
        p (float): From 1/2 up to 1.
        df (int): The degrees of freedom, at least 1.
    """
    # In terms of theta = arctan(t / sqrt(df)), which is bounded.
    low, high = 0.0, math.pi / 2
    factors = _factors(df)
    for _ in range(_N_HALVING):
        theta = (low + high) / 2
        if _within(theta, df, factors) < 2 * p - 1:
            low = theta
        else:
            high = theta
    return math.sqrt(df) * math.tan((low + high) / 2)


def _factors(df: int) -> np.ndarray:
    """Return the factors of the powers of the cosine, from the lowest power on."""
    if df % 2:
        k = np.arange(2, df - 2, 2)  # 1, 2/3, 2 * 4 / (3 * 5), ...
        n_term = (df - 1) // 2
    else:
        k = np.arange(1, df - 2, 2)  # 1, 1/2, 1 * 3 / (2 * 4), ...
        n_term = df // 2
    return np.cumprod(np.concatenate([[1.0], k / (k + 1)]))[:n_term]


def _within(theta: float, df: int, factors: np.ndarray) -> float:
    """Return the probability that the magnitude of t is smaller."""
    sine, cosine = math.sin(theta), math.cos(theta)
    powers = cosine ** (2.0 * np.arange(len(factors)) + df % 2)
    total = sine * float(factors @ powers)
    return 2 / math.pi * (theta + total) if df % 2 else total
