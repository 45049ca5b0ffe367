r"""Softmax and its kin, by an exact decomposition.

Let :math:`L = \log \sum_j e^{z_j}`, :math:`p_i = e^{z_i - L}`, and

.. math:: \ell_i = \frac{p_i - p_i'}{\ln p_i - \ln p_i'}

the logarithmic mean of p at both ends (p itself where they are equal). Since :math:`\ln
p_i = z_i - L`, the definition says :math:`\Delta p_i = \ell_i (\Delta z_i - \Delta L)`.
The p add up to 1 at both ends, so that the sum of this over i is 0, and

.. math:: \Delta L = \sum_i w_i \Delta z_i, \quad w_i = \ell_i / \sum_j \ell_j.

Both are exact, and do not change if a number is added to all z. As a gradient has p,
they have its logarithmic mean: the multipliers of z are

- :math:`w_j m` for logsumexp;
- :math:`m_j - w_j \sum_i m_i` for log-softmax;
- :math:`\ell_j (m_j - \sum_i w_i m_i)` for softmax.
"""

from __future__ import annotations

from typing import Any

from saliency.array_types import Array
from saliency.deep_lift.pair import Pair
from saliency.deep_lift.registry import Multipliers, multiplies
from saliency.lrp.handlers.axes import with_reduced_axes

import chainer.functions as F


@multiplies("softmax")
def softmax(pair: Pair) -> Multipliers:
    """As the gradient, with the logarithmic mean of both ends in the place of p."""
    axis = pair.function.axis
    means, weights = _means_and_weights(pair, axis)
    m = pair.m
    return [means * (m - (weights * m).sum(axis=axis, keepdims=True))]


@multiplies(F.activation.log_softmax.LogSoftmax)
def log_softmax(pair: Pair) -> Multipliers:
    """As the gradient, with the logarithmic mean of both ends in the place of p."""
    axis = pair.function.axis
    _, weights = _means_and_weights(pair, axis)
    m = pair.m
    return [m - weights * m.sum(axis=axis, keepdims=True)]


@multiplies(F.math.logsumexp.LogSumExp)
def logsumexp(pair: Pair) -> Multipliers:
    """Shares of the logarithmic mean of the softmax at both ends."""
    _, weights = _means_and_weights(pair, pair.function.axis)
    return [weights * with_reduced_axes(pair.at_x, pair.m)]


def _means_and_weights(pair: Pair, axis: Any) -> tuple[Array, Array]:
    """Return the logarithmic means of p, and their shares, over some axes."""
    xp = pair.xp
    log_p, log_p0 = (_log_softmax(xp, x, axis) for (x,) in (pair.inputs, pair.inputs0))
    # p and p' apart by the factor e**-t have the mean max(p, p') (1 - e**-t) / t.
    t = abs(log_p - log_p0)
    share = xp.where(t == 0, 1, -xp.expm1(-t) / t)
    means = xp.exp(xp.maximum(log_p, log_p0)) * share
    # Where both are 0, as behind a mask of -inf, so is their mean.
    means = xp.where(xp.isfinite(means), means, 0).astype(log_p.dtype)
    return means, means / means.sum(axis=axis, keepdims=True)


def _log_softmax(xp: Any, z: Array, axis: Any) -> Array:
    z = z - z.max(axis=axis, keepdims=True)
    return z - xp.log(xp.exp(z).sum(axis=axis, keepdims=True))
