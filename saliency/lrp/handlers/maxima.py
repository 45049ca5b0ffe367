"""Functions that let the largest element through, or the smallest."""

from __future__ import annotations

from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.handlers.axes import with_reduced_axes
from saliency.lrp.handlers.routing import routing
from saliency.lrp.registry import handles
from saliency.lrp.rules import MaximumRule, WinnerTakesAll

import chainer.functions as F


@handles(
    "maximum",
    F.math.logsumexp.LogSumExp,
    F.math.maximum.Maximum,
    F.math.minimum.Minimum,
    F.pooling.max_pooling_nd.MaxPoolingND,
    F.pooling.roi_max_pooling_2d.ROIMaxPooling2D,
    F.pooling.roi_pooling_2d.ROIPooling2D,
    rule=MaximumRule,
    hint="the largest or the smallest of several elements",
)
def maximum(this: Application, rule: MaximumRule | None) -> InputRelevance:
    """Relevance goes to the winner; for logsumexp in shares of the softmax."""
    return routing(this, rule)


@handles("maximum over axes", F.math.minmax.Max, F.math.minmax.Min, rule=MaximumRule)
def maximum_over_axes(this: Application, rule: MaximumRule | None) -> InputRelevance:
    """Relevance goes to the winner, or equally to those that share its value.

    With the rule Gradient, each of these gets all of it.
    """
    (x,), (y,) = this.inputs, this.outputs
    is_winner = x == with_reduced_axes(this, y)
    r = with_reduced_axes(this, this.output_relevance)
    return (rule or WinnerTakesAll()).choose(this, is_winner, r, this.function.axis)
