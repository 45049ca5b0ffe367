"""Quadrature rules on [0, 1]."""

from __future__ import annotations

import functools
from typing import Callable

import numpy as np

NodesAndWeights = tuple[np.ndarray, np.ndarray]


def gauss_legendre(n: int) -> NodesAndWeights:
    """Gauss-Legendre: exact for polynomials up to degree ``2n - 1``."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


def midpoint(n: int) -> NodesAndWeights:
    """Middle of each of ``n`` intervals."""
    return (np.arange(n) + 0.5) / n, np.full(n, 1 / n)


def trapezoid(n: int) -> NodesAndWeights:
    """``n`` points with both ends, which count half."""
    if n == 1:
        raise ValueError("steps must be at least 2 for method='trapezoid', got 1")
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, n), weights


def right(n: int) -> NodesAndWeights:
    """Right end of each of ``n`` intervals (Sundararajan et al. 2017, eq. 3)."""
    return np.arange(1, n + 1) / n, np.full(n, 1 / n)


@functools.cache
def nodes_and_weights(method: str, n: int) -> NodesAndWeights:
    """Return the nodes and the weights of one of :data:`RULES`, which are read-only."""
    nodes, weights = RULES[method](n)
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


def log_weighted(n: int) -> NodesAndWeights:
    r"""Return the rule for :math:`\int_0^1 g(t) (-\ln t)\,dt` at Gauss-Legendre nodes.

    It is exact for polynomials g up to degree n - 1: the weights are those of the
    interpolating polynomial, by the moments of :math:`-\ln t` with the Legendre
    polynomials shifted to [0, 1], which are 1 for degree 0, and
    :math:`(-1)^m / (m (m + 1))` for degree m.
    """
    nodes, weights = gauss_legendre(n)
    m = np.arange(n)
    moments = (-1.0) ** m / np.maximum(m * (m + 1), 1)
    polynomials = np.polynomial.legendre.legvander(2 * nodes - 1, n - 1)
    return nodes, weights * (polynomials @ ((2 * m + 1) * moments))


def with_ends(nodes: np.ndarray, weights: np.ndarray) -> NodesAndWeights:
    """Return nodes that hold 0 and 1, which weigh nothing if they were not there."""
    missing = np.array([end for end in (0.0, 1.0) if end not in nodes])
    return np.append(nodes, missing), np.append(weights, np.zeros(len(missing)))


RULES: dict[str, Callable[[int], NodesAndWeights]] = {
    "gauss_legendre": gauss_legendre,
    "midpoint": midpoint,
    "trapezoid": trapezoid,
    "right": right,
}
