r"""The Rescale rule: the quotient of the differences, element by element.

Shrikumar et al. (2017), section 3.5.1: :math:`m = \Delta y / \Delta x`, and the
gradient where :math:`\Delta x` vanishes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.deep_lift.pair import Pair
from saliency.deep_lift.reapplied import reapplied
from saliency.deep_lift.registry import Multipliers, multiplies

import chainer
import chainer.functions as F

# How many times the last digit of y the quotient's numerator may be off by rounding.
_ROUNDING = 2
# Elements that are worked on at a time on a CPU, so that they stay in its cache.
_BLOCK = 1 << 14


@multiplies("elementwise", "gate")
def rescaled(pair: Pair) -> Multipliers:
    """Rescale: the quotient of the differences; the gradient where rounding hides it.

    The gradient is the mean of those at both ends. It stands where the difference that
    it predicts cannot be told from that of y within the rounding errors of y: there the
    quotient would be made of these errors.
    """
    active = pair.active_indexes
    if len(active) == 2:
        return of_two_arguments(pair)
    (i,) = active
    if len(active) != 1 or pair.inputs[i].shape != pair.m.shape:
        raise ValueError(
            f"no contribution goes through {pair.label}: its parameters depend on the "
            "target, too; let the model call a function of Chainer for each step"
        )
    try:
        gradients = pair.gradient()[i], pair.gradient0()[i]
    except NotImplementedError:  # a function of a user's, which has no backward
        gradients = None, None
    (y,), (y0,) = pair.outputs, pair.outputs0
    return pair.at_active([quotient(pair.xp, pair.m, pair.dx(i), y, y0, gradients)])


def quotient(
    xp: Any,
    m: Array,
    dx: Array,
    y: Array,
    y0: Array,
    gradients: tuple[Array | None, Array | None],
) -> Array:
    r"""Return :math:`m \Delta y / \Delta x`, or the gradient where that is as good.

    Args:
        xp (module): NumPy or CuPy.
        m (array): The multiplier of y.
        dx (array): The difference of x.
        y (array): At the example.
        y0 (array): At the baseline.
        gradients (tuple of array or None): m times the derivative at both ends.
    """
    dy = y - y0
    result = m * (dy / dx)
    ends = [g for g in gradients if g is not None]
    mean = sum(ends) * dy.dtype.type(0.5) if ends else xp.zeros_like(result)
    digit = _ROUNDING * float(np.finfo(dy.dtype).eps)
    error = abs(m) * (abs(y) + abs(y0)) * digit
    is_as_good = abs(m * dy - mean * dx) <= error
    is_as_good |= ~xp.isfinite(result)
    result = xp.where(is_as_good, mean, result)
    # The derivative of a root is infinite at 0.
    return xp.where(xp.isfinite(result), result, result.dtype.type(0))


@multiplies(F.activation.relu.ReLU)
def relu(pair: Pair) -> Multipliers:
    r"""Rescale; where x is its baseline, 1 if it is positive, else 0.

    The differences of x and of ReLU(x) lose no digit that rounding has left, so that
    the quotient is right wherever x is not its baseline.
    """
    x, x0, m = pair.inputs[0], pair.inputs0[0], pair.m
    if pair.xp is not np or x.size <= _BLOCK:
        return [_of_relu(pair.xp, x, x0, m)]
    result = np.empty_like(x)
    rows = _in_a_row(result, x, x0, m)
    for start in range(0, x.size, _BLOCK):
        out, *of_block = (row[start : start + _BLOCK] for row in rows)
        out[...] = _of_relu(np, *of_block)
    return [result]


def _in_a_row(first: Array, *others: Array) -> list[Array]:
    """Return arrays as rows, in the order that the first one has in memory."""
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    return [array.transpose(order).reshape(-1) for array in (first, *others)]


def _of_relu(xp: Any, x: Array, x0: Array, m: Array) -> Array:
    zero = x.dtype.type(0)
    dx = x - x0
    result = xp.maximum(x, zero)
    result -= xp.maximum(x0, zero)
    is_same = dx == 0
    if is_same.any():
        result = xp.where(is_same, x > 0, result)
        dx += is_same
    result /= dx
    result *= m
    return result


def of_two_arguments(pair: Pair) -> Multipliers:
    r"""Rescale for a function f(a, b) of two elements: the Shapley value of each.

    .. math::
        m_a \Delta a = \tfrac12 [f(a, b) - f(a', b) + f(a, b') - f(a', b')]

    and so for b; the sum of both is :math:`f(a, b) - f(a', b')`.
    """
    i, j = pair.active_indexes
    shapes = {pair.inputs[i].shape, pair.inputs[j].shape, pair.m.shape}
    if len(shapes) > 1:
        raise ValueError(
            f"no contribution goes through {pair.label}: its parameters depend on the "
            "target, too; let the model call a function of Chainer for each step"
        )
    (y,), (y0,) = pair.outputs, pair.outputs0
    mixed = []
    for changed in (i, j):
        arrays = list(pair.inputs)
        arrays[changed] = pair.inputs0[changed]
        mixed.append(reapplied(pair.at_x.function, arrays).outputs[0])
    without_i, without_j = mixed
    xp, m, half = pair.xp, pair.m, pair.m.dtype.type(0.5)
    shares = [(y - without_i) + (without_j - y0), (y - without_j) + (without_i - y0)]
    result = []
    gradients = zip(pair.gradient(), pair.gradient0())
    means = [sum(g for g in ends if g is not None) * half for ends in gradients]
    for k, share in zip((i, j), shares):
        dx = pair.dx(k)
        found = xp.where(dx == 0, means[k], m * (share * half / dx))
        result.append(xp.where(xp.isfinite(found), found, 0).astype(m.dtype))
    return pair.at_active(result)


@multiplies(F.array.where.Where)
def where(pair: Pair) -> Multipliers:
    r"""1 where it was chosen; Rescale where the choice is another at the baseline.

    The condition is an array in the graph, and nothing tells how it came about. Where
    it is the same at x and x', the one that is chosen has the multiplier 1. Where it is
    not, both inputs have :math:`\tfrac12`, plus what is missing of :math:`\Delta y` in
    proportion to their differences, :math:`\Delta_k (\Delta y - \tfrac12 \sum_j
    \Delta_j) / \sum_j \Delta_j^2`. For ``where(h > 0, h, a * h)`` that is the Rescale
    rule of this function of h. What is beyond 0 and 1 is no share of the inputs, but
    came through the condition alone; there it remains :math:`\tfrac12`.
    """
    xp, m = pair.xp, pair.m
    condition, condition0 = (
        xp.broadcast_to(xp.asarray(f.condition), m.shape)
        for f in (pair.function, _function_at_baseline(pair))
    )
    is_other = condition != condition0
    if not is_other.any():
        return pair.gradient()
    active = pair.active_indexes
    half = m.dtype.type(0.5)
    deltas = [xp.broadcast_to(pair.dx(i), m.shape) for i in active]
    missing = pair.dy - half * sum(deltas)
    missing = missing / sum(d * d for d in deltas)
    shares = [half + missing * d for d in deltas]
    slack = 16 * float(np.finfo(m.dtype).eps)
    is_share = xp.ones(m.shape, bool)
    for share in shares:
        is_share &= (share >= -slack) & (share <= 1 + slack)
    result = []
    for i, share in zip(active, shares):
        chosen = condition if i == 0 else ~condition
        at_other = xp.where(is_share, share, half)
        of_input = m * xp.where(is_other, at_other, chosen).astype(m.dtype)
        result.append(chainer.utils.sum_to(of_input, pair.inputs[i].shape))
    return pair.at_active(result)


def _function_at_baseline(pair: Pair) -> Any:
    return getattr(pair.at_baseline.function, "function", pair.at_baseline.function)
