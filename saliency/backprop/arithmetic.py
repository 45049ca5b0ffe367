"""Products of sums, differences, products and quotients, with broadcasting."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.backprop.registry import InputGradients, Memory, Step, vjp
from saliency.cpu import elementwise, is_fast
from saliency.cpu.elementwise import is_large

import chainer.functions as F
from chainer.functions.math import basic_math
from chainer.utils import sum_to


@vjp(basic_math.Add, basic_math.MultiAdd, memory=Memory.PASSED_ON)
def addition(step: Step) -> InputGradients:
    """The gradient itself at each term."""
    return [sum_to(step.gy, step.shape(i)) for i in step.indexes]


@vjp(basic_math.AddConstant, memory=Memory.PASSED_ON)
def added_constant(step: Step) -> InputGradients:
    """The gradient itself."""
    return [step.gradient]


@vjp(basic_math.Sub, memory=Memory.PASSED_ON)
def subtraction(step: Step) -> InputGradients:
    """The gradient itself, and its negative."""
    return step.at(
        lambda: sum_to(step.gy, step.shape(0)),
        lambda: _computed(step, "negative", sum_to(step.gy, step.shape(1))),
    )


@vjp(basic_math.Neg, basic_math.SubFromConstant, memory=Memory.NEW)
def negation(step: Step) -> InputGradients:
    """The negative of the gradient."""
    return [_computed(step, "negative", step.gy, out=step.workspace())]


@vjp(basic_math.MulConstant, memory=Memory.NEW)
def scaling(step: Step) -> InputGradients:
    """The gradient times the constant."""
    gy = step.gy
    value = gy.dtype.type(step.function.value)
    return [step.xp.multiply(value, gy, out=step.workspace())]


@vjp(basic_math.Mul, memory=Memory.NEW)
def multiplication(step: Step) -> InputGradients:
    """The gradient times the other factor."""
    gy, last = step.gy, step.indexes[-1]
    results = []
    for i in step.indexes:
        # The gradient itself is not needed any more for the last one.
        out = step.workspace(step.dtype(1 - i)) if i == last else None
        product = _computed(step, "multiply", gy, step.x(1 - i), out=out)
        results.append(sum_to(product, step.shape(i)))
    return results


@vjp(basic_math.Div, memory=Memory.NEW)
def division(step: Step) -> InputGradients:
    """The gradient over the divisor, and that times minus the quotient."""
    x0, x1 = step.x(0), step.x(1)
    of_x0 = step.gy / x1
    return step.at(
        lambda: sum_to(of_x0, x0.shape),
        lambda: sum_to(-of_x0 * x0 / x1, x1.shape),
    )


@vjp(basic_math.PowVarVar, memory=Memory.NEW)
def power(step: Step) -> InputGradients:
    """The gradient times ``x1 x0**(x1 - 1)``, and times ``x0**x1 log(x0)``."""
    x0, x1, gy = step.x(0), step.x(1), step.gy
    one = x1.dtype.type(1)
    return step.at(
        lambda: sum_to(x1 * (x0 ** (x1 - one)) * gy, x0.shape),
        lambda: sum_to(step.xp.log(x0) * step.function.y * gy, x1.shape),
    )


@vjp(F.math.maximum.Maximum, memory=Memory.NEW)
def maximum(step: Step) -> InputGradients:
    """The gradient where an input is the larger one; the first where both are equal."""
    return _selected(step, step.x(0) >= step.x(1))


@vjp(F.math.minimum.Minimum, memory=Memory.NEW)
def minimum(step: Step) -> InputGradients:
    """The gradient where an input is the smaller one; the first where both are equal.

    Where one of them is not a number, neither gets any.
    """
    x0, x1 = step.x(0), step.x(1)
    return step.at(
        lambda: sum_to(step.gy * (x0 <= x1), x0.shape),
        lambda: sum_to(step.gy * (x0 > x1), x1.shape),
    )


@vjp(F.array.where.Where, memory=Memory.NEW)
def where(step: Step) -> InputGradients:
    """The gradient where an input was chosen."""
    return _selected(step, step.function.condition)


@vjp(F.math.linear_interpolate.LinearInterpolate, memory=Memory.NEW)
def linear_interpolation(step: Step) -> InputGradients:
    """The gradients of ``p x + (1 - p) y``."""
    gy = step.gy
    return step.at(
        lambda: (step.x(1) - step.x(2)) * gy,
        lambda: step.x(0) * gy,
        lambda: gy - step.x(0) * gy,
    )


def _computed(step: Step, name: str, *arrays: Array, out: Array | None = None) -> Array:
    """Return what a function of arrays gives, on all cores where they are large.

    Args:
        step (Step): The function.
        name (str): What NumPy and CuPy call it.
        arrays (array): What it takes.
        out (array or None): Where the result goes; new memory if None.
    """
    first = arrays[0]
    are_alike = all(array.shape == first.shape for array in arrays)
    if are_alike and is_large(first) and is_fast(*arrays):
        return elementwise.arithmetic(getattr(np, name), *arrays, out=out)
    result: Array = getattr(step.xp, name)(*arrays, out=out)
    return result


def _selected(step: Step, is_first: Array) -> list[Array]:
    """Return the gradient at two inputs, the first where a condition is true."""
    gy, xp = step.gy, step.xp
    zero = gy.dtype.type(0)
    return step.at(
        lambda: sum_to(xp.where(is_first, gy, zero), step.shape(0)),
        lambda: sum_to(xp.where(is_first, zero, gy), step.shape(1)),
    )
