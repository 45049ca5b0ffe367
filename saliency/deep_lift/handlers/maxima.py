r"""Functions that let the largest element through, or the smallest.

A maximum that has grown was made by the element that is the largest at x: that one has
grown by as much at least, since at the baseline it was not above the maximum there. So
it gets all of the difference, and its multiplier is from 0 to 1. A maximum that is
smaller than at the baseline was made, in the same way, by the element that was the
largest there. This is what the authors' code does, and those of shap and Captum.
"""

from __future__ import annotations

from collections.abc import Sequence

from saliency.array_types import Array
from saliency.deep_lift.pair import Pair, quiet
from saliency.deep_lift.registry import Multipliers, multiplies
from saliency.lrp.graph import Application
from saliency.lrp.handlers.axes import with_reduced_axes

import chainer.functions as F


@multiplies("maximum")
def maximum(pair: Pair) -> Multipliers:
    """All to the winner at x if the maximum grows, else to that at the baseline."""
    grown, shrunk = _parts(pair)
    is_minimum = isinstance(pair.function, F.math.minimum.Minimum)
    at_x, at_baseline = (shrunk, grown) if is_minimum else (grown, shrunk)
    return _shared(
        pair, pair.gradient([at_x]), pair.gradient0([at_baseline]), pair.gradient()
    )


@multiplies(F.math.minmax.Max, F.math.minmax.Min)
def maximum_over_axes(pair: Pair) -> Multipliers:
    """All to the winner, as :func:`maximum`; equally to those that share its value."""
    grown, shrunk = _parts(pair)
    is_minimum = isinstance(pair.function, F.math.minmax.Min)
    at_x, at_baseline = (shrunk, grown) if is_minimum else (grown, shrunk)
    return _shared(
        pair,
        [_to_winners(pair.at_x, at_x)],
        [_to_winners(pair.at_baseline, at_baseline)],
        [_to_winners(pair.at_x, pair.m)],
    )


def _parts(pair: Pair) -> tuple[Array, Array]:
    """Return what the multipliers bring where the output grows, and elsewhere."""
    dy = pair.dy
    return pair.m * dy.clip(min=0), pair.m * dy.clip(max=0)


def _to_winners(this: Application, at_output: Array) -> Array:
    """Return equal shares for the elements that have the value of the output."""
    (x,), (y,) = this.inputs, this.outputs
    is_winner = x == with_reduced_axes(this, y)
    axes = this.function.axis
    n_winner = is_winner.sum(axis=axes, keepdims=True)
    return (with_reduced_axes(this, at_output) / n_winner * is_winner).astype(x.dtype)


def _shared(
    pair: Pair,
    at_x: Sequence[Array | None],
    at_baseline: Sequence[Array | None],
    gradient: Sequence[Array | None],
) -> list[Array | None]:
    """Return the multipliers that bring inputs what they are to contribute.

    Args:
        pair (Pair): The function.
        at_x (sequence of array or None): What winners at x contribute.
        at_baseline (sequence of array or None): What those at the baseline do.
        gradient (sequence of array or None): What multipliers are where inputs are as
            at the baseline.
    """
    result: list[Array | None] = []
    xp = pair.xp
    for i, parts in enumerate(zip(at_x, at_baseline, gradient)):
        of_winner, of_winner0, g = parts
        if of_winner is None or of_winner0 is None or g is None:
            result.append(None)
            continue
        dx = pair.dx(i)
        is_same = dx == 0
        with quiet():
            result.append(xp.where(is_same, g, (of_winner + of_winner0) / dx))
    return result


@multiplies(F.pooling.roi_max_align_2d.ROIMaxAlign2D)
def maximum_of_interpolations(pair: Pair) -> Multipliers:
    """An error: which of the points is the largest may differ at the baseline."""
    raise ValueError(
        f"no contribution goes through {pair.label}: the largest of its points need "
        "not be the same at the baseline, and what is between the elements has no "
        "multipliers; use roi_average_align_2d"
    )
