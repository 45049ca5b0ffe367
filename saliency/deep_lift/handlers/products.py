"""Products: the mean of the other factor, and what polynomials have instead."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.deep_lift.handlers.elementwise import rescaled
from saliency.deep_lift.pair import Pair
from saliency.deep_lift.reapplied import mean_gradient
from saliency.deep_lift.registry import Multipliers, multiplies

import chainer
import chainer.functions as F

_ROUNDING = 16  # times the last digit


@multiplies("product")
def product(pair: Pair) -> Multipliers:
    r"""The mean of the other factor.

    .. math:: \Delta(ab) = \bar b \Delta a + \bar a \Delta b

    where :math:`\bar a = (a + a') / 2`; it is the Shapley value of each factor. Where
    only one of them depends on the target, and the other is another array at the
    baseline (a mask ``h.array > 0``), the multiplier is the quotient :math:`\Delta(ab)
    / \Delta a` as long as that is between b and b'.
    """
    active = pair.active_indexes
    if len(active) == 1:
        (i,) = active
        if not pair.is_same(1 - i):
            return pair.at_active([_masked(pair, i)])
    m = pair.m
    return pair.at_active(
        chainer.utils.sum_to(m * pair.mean(1 - i), pair.inputs[i].shape) for i in active
    )


def _masked(pair: Pair, i: int) -> Array:
    """Return the multiplier of a factor beside one that is cut off from the target."""
    xp, m = pair.xp, pair.m
    other, other0 = (
        xp.broadcast_to(xs[1 - i], m.shape) for xs in (pair.inputs, pair.inputs0)
    )
    delta = xp.broadcast_to(pair.dx(i), m.shape)
    is_zero = delta == 0
    delta = xp.where(is_zero, 1, delta)
    found = pair.dy / delta
    # By how much rounding may have moved it: it must not decide.
    (y,), (y0,) = pair.outputs, pair.outputs0
    digits = m.dtype.type(_ROUNDING * np.finfo(m.dtype).eps)
    slack = digits * ((abs(y) + abs(y0)) / abs(delta) + abs(found))
    low, high = xp.minimum(other, other0), xp.maximum(other, other0)
    is_between = (found >= low - slack) & (found <= high + slack)
    mean = (other + other0) * m.dtype.type(0.5)
    found = xp.where(is_zero | ~is_between, mean, xp.clip(found, low, high))
    return chainer.utils.sum_to(m * found, pair.inputs[i].shape)


@multiplies("matrix product", "linear", "convolution", "deconvolution")
def multilinear(pair: Pair) -> Multipliers:
    """The gradient; the mean of the other factor where several depend on the target.

    A bias is no factor, and has its gradient in any case.
    """
    active = pair.active_indexes
    others = [i for i in range(len(pair.inputs)) if i not in active]
    if len(active) == 1 and all(map(pair.is_same, others)):
        return pair.gradient()
    return mean_gradient(pair, len(pair.inputs))


@multiplies("product of elements")
def product_of_elements(pair: Pair) -> Multipliers:
    """The mean of the gradient on the straight way from the baseline."""
    return mean_gradient(pair, pair.inputs[0].size // max(pair.m.size, 1))


@multiplies("cumulative product")
def cumulative_product(pair: Pair) -> Multipliers:
    """The mean of the gradient on the straight way from the baseline."""
    axis = pair.function.axis
    x = pair.inputs[0]
    return mean_gradient(pair, x.size if axis is None else x.shape[axis])


@multiplies("sum of squares")
def sum_of_squares(pair: Pair) -> Multipliers:
    """The sum of x and its baseline."""
    return mean_gradient(pair, 2)


@multiplies("quotient", "power")
def of_two(pair: Pair) -> Multipliers:
    """The Shapley value of each of the two; Rescale where one depends on the target."""
    return rescaled(pair)


@multiplies(F.math.basic_math.Div)
def quotient(pair: Pair) -> Multipliers:
    r"""What the product ``a = y b`` says of ``y = a / b``.

    .. math::
        \Delta a = \bar b \Delta y + \bar y \Delta b \quad\Rightarrow\quad
        \Delta y = \frac{\Delta a - \bar y \Delta b}{\bar b}

    It has no large terms that cancel where b is small at one end, as the norm of a
    baseline of zeros is. If b has another sign at the baseline, it is the Shapley value
    of each, :math:`\tfrac12 (1 / b + 1 / b') \Delta a - \bar a \Delta b / (b b')`.
    """
    m, xp = pair.m, pair.xp
    (_, b), (_, b0) = pair.inputs, pair.inputs0
    half = m.dtype.type(0.5)
    is_one_sign = (b > 0) == (b0 > 0)
    if b is b0:
        of_a = m / b
    else:
        of_a = m * xp.where(is_one_sign, 1 / ((b + b0) * half), (1 / b + 1 / b0) * half)
    multipliers = {0: of_a}
    if 1 in pair.active_indexes:
        (y,), (y0,) = pair.outputs, pair.outputs0
        shapley = m * pair.mean(0) / (b * b0)
        multipliers[1] = -xp.where(is_one_sign, of_a * (y + y0) * half, shapley)
    return pair.at_active(
        chainer.utils.sum_to(multipliers[i], pair.inputs[i].shape)
        for i in pair.active_indexes
    )


@multiplies("interpolation")
def interpolation(pair: Pair) -> Multipliers:
    r"""``p x + (1 - p) y``: as the products that it is made of.

    .. math:: \bar p \Delta x + (1 - \bar p) \Delta y + (\bar x - \bar y) \Delta p
    """
    p, x, y = map(pair.mean, range(3))
    m = pair.m
    of_inputs = (lambda: m * (x - y), lambda: m * p, lambda: m - m * p)
    return pair.at_active(of_inputs[i]() for i in pair.active_indexes)
