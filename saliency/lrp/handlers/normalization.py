"""Normalizations, as affine functions of x."""

from __future__ import annotations

from saliency.lrp.affine import (
    Scaled,
    Standardized,
    check_weights,
    fixed_scale_and_shift,
    share,
)
from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.registry import handles
from saliency.lrp.rules import SumRule

import chainer.functions as F


@handles(
    "batch normalization",
    F.normalization.batch_normalization.FixedBatchNormalization,
    rule=SumRule,
)
def batch_normalization(this: Application, rule: SumRule | None) -> InputRelevance:
    """One with the linear layer or convolution it follows, else share by the rule."""
    check_weights(this)
    scale, shift = fixed_scale_and_shift(this)
    expand = this.function.expander
    return share(this, rule, Scaled(this, scale[expand], shift[expand]))


@handles(
    "batch normalization (training)",
    F.normalization.batch_normalization.BatchNormalization,
    rule=SumRule,
)
def batch_normalization_in_training(
    this: Application, rule: SumRule | None
) -> InputRelevance:
    """Share by the rule, with the statistics of the batch as constants."""
    check_weights(this)
    x, gamma, beta = this.inputs
    function = this.function
    expand = function.expander
    mean = x.mean(axis=function.axis, keepdims=True)
    deviation = x.var(axis=function.axis, keepdims=True) + function.eps
    scale = gamma[expand] / this.xp.sqrt(deviation)
    return share(this, rule, Scaled(this, scale, beta[expand] - mean * scale))


@handles(
    "layer normalization",
    F.normalization.layer_normalization.LayerNormalization,
    rule=SumRule,
)
def layer_normalization(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares by the rule in the centred x, with the deviation as a constant."""
    check_weights(this)
    x, gamma, beta = this.inputs
    deviation = this.xp.sqrt(x.var(axis=1, keepdims=True) + this.function.eps)
    return share(this, rule, Standardized(this, x.shape, gamma / deviation, beta))


@handles(
    "group normalization",
    F.normalization.group_normalization.GroupNormalization,
    rule=SumRule,
)
def group_normalization(this: Application, rule: SumRule | None) -> InputRelevance:
    """As layer normalization, over groups of channels."""
    check_weights(this)
    x, gamma, beta = this.inputs
    groups = this.function.groups
    rows = x.reshape(len(x), groups, -1)
    deviation = this.xp.sqrt(rows.var(axis=2) + this.function.eps)
    ones = (1,) * (x.ndim - 2)
    per_channel = this.xp.repeat(deviation, x.shape[1] // groups, axis=1)
    scale = gamma.reshape(1, -1, *ones) / per_channel.reshape(*x.shape[:2], *ones)
    shift = beta.reshape(1, -1, *ones)
    return share(this, rule, Standardized(this, rows.shape, scale, shift))
