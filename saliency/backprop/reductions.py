"""Products of sums, means, maxima and their like over axes."""

from __future__ import annotations

from collections.abc import Iterable

from saliency.array_types import Array
from saliency.backprop.registry import InputGradients, Memory, Step, applied, vjp

import chainer.functions as F
from chainer.functions.math import minmax


@vjp(F.math.sum.Sum, memory=Memory.SHARED)
def sum_over_axes(step: Step) -> InputGradients:
    """The gradient at every term."""
    gy = _with_axes(step, step.gy, step.function.axis, step.function.keepdims)
    return [step.xp.broadcast_to(gy, step.shape(0))]


@vjp(F.math.sum.SumTo, memory=Memory.SHARED)
def sum_to_shape(step: Step) -> InputGradients:
    """The gradient at every term."""
    return [step.xp.broadcast_to(step.gy, step.shape(0))]


@vjp(F.math.average.Mean, memory=Memory.SHARED)
def mean(step: Step) -> InputGradients:
    """The gradient's share at every term."""
    gy, function = step.gy, step.function
    share = step.xp.asarray(gy.dtype.type(function.multiplier) * gy)
    share = _with_axes(step, share, function.axis, function.keepdims)
    return [step.xp.broadcast_to(share, step.shape(0))]


@vjp(minmax.Max, minmax.Min, memory=Memory.NEW)
def extremum(step: Step) -> InputGradients:
    """The gradient at every element that is the largest, or the smallest."""
    x, axis = step.x(), step.function.axis
    gy = _with_axes(step, step.gy, axis)
    y = _with_axes(step, step.y(), axis)
    return [gy * (x == y)]


@vjp(F.math.logsumexp.LogSumExp, memory=Memory.NEW)
def log_sum_exp(step: Step) -> InputGradients:
    """The gradient times the softmax."""
    x, axis = step.x(), step.function.axis
    gy = _with_axes(step, step.gy, axis)
    y = _with_axes(step, step.y(), axis)
    return [gy * step.xp.exp(x - y)]


@vjp(F.math.batch_l2_norm_squared.BatchL2NormSquared, memory=Memory.NEW)
def sum_of_squares(step: Step) -> InputGradients:
    """The gradient times twice the input."""
    kernel = F.math.batch_l2_norm_squared.BatchL2NormSquaredGrad()
    return applied(kernel, step.x(), step.gy)


@vjp(F.math.cumsum.Cumsum, memory=Memory.NEW)
def cumulative_sum(step: Step) -> InputGradients:
    """The sum of the gradients from each place on."""
    gy, axis = step.gy, step.function.axis
    xp = step.xp
    over = 0 if axis is None else axis
    summed = xp.flip(xp.cumsum(xp.flip(gy, over), over), over)
    return [summed.reshape(step.shape(0))]


def _with_axes(
    step: Step,
    reduced: Array,
    axis: Iterable[int] | None,
    keepdims: bool = False,
) -> Array:
    """Return what was reduced with axes of length 1 where the input has others."""
    shape = step.shape(0)
    if keepdims:
        return reduced
    if axis is None:
        return reduced.reshape((1,) * len(shape))
    over = {a % len(shape) for a in axis}
    return reduced.reshape([1 if i in over else n for i, n in enumerate(shape)])
