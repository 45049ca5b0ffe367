"""Sums, products, powers, and the like: of several inputs, element by element."""

from __future__ import annotations

import functools
from typing import Any

from saliency.models.onnx.families.operands import operand, operands, variable
from saliency.models.onnx.folding import evaluate
from saliency.models.onnx.operators import Call, array_of, on_host, operator

import chainer
import chainer.functions as F


@operator("Add")
def add(call: Call, A: Any, B: Any) -> Any:
    """``A + B``."""
    a, b = operands(call, A, B)
    return a + b


@operator("Sub")
def subtract(call: Call, A: Any, B: Any) -> Any:
    """``A - B``."""
    a, b = operands(call, A, B)
    return a - b


@operator("Mul")
def multiply(call: Call, A: Any, B: Any) -> Any:
    """``A * B``."""
    a, b = operands(call, A, B)
    return a * b


@operator("Div")
def divide(call: Call, A: Any, B: Any) -> Any:
    """``A / B``."""
    a, b = operands(call, A, B)
    return a / b


@operator("Pow")
def power(call: Call, X: Any, Y: Any) -> Any:
    """``X ** Y``."""
    if X.dtype.kind != "f":
        return evaluate(call.node, [on_host(X), on_host(Y)])
    x, y = X, Y
    if not isinstance(y, chainer.Variable):
        y = y.astype(x.dtype)
    elif y.dtype != x.dtype:
        y = F.cast(y, x.dtype)
    is_flat = call.array(y) == 0
    if is_flat.any():
        # All powers of 0 are 1, of slope 0. Chainer has 0 / 0 where the base is 0, too.
        is_flat = is_flat & (call.array(x) == 0)
        x = F.where(is_flat, call.xp.ones((), x.dtype), variable(call, x))
    x, y = operands(call, x, y)
    return x**y


@operator("Mod")
def modulo(call: Call, A: Any, B: Any, *, fmod: int = 0) -> Any:
    """What is left of ``A / B``, with the sign of B, or that of A if ``fmod`` is 1."""
    a, b = variable(call, A), variable(call, B)
    a, b = F.broadcast(a, b)
    if fmod:
        return F.fmod(a, b)
    xp = call.xp
    is_finite = xp.isfinite(b.array)
    quotient = xp.where(is_finite, xp.floor(a.array / b.array), 0).astype(a.dtype)
    rest = a - F.where(is_finite, b, xp.zeros_like(b.array)) * quotient
    return F.where(is_finite, rest, xp.mod(a.array, b.array))


@operator("Sum")
def total(call: Call, *data_0: Any) -> Any:
    """The sum of all inputs."""
    return functools.reduce(lambda a, b: add(call, a, b), data_0)


@operator("Mean")
def mean(call: Call, *data_0: Any) -> Any:
    """The mean of all inputs."""
    return total(call, *data_0) * (1 / len(data_0))


@operator("Max")
def maximum(call: Call, *data_0: Any) -> Any:
    """The largest of all inputs, element by element."""
    return functools.reduce(functools.partial(_chosen, call, F.maximum), data_0)


@operator("Min")
def minimum(call: Call, *data_0: Any) -> Any:
    """The smallest of all inputs, element by element."""
    return functools.reduce(functools.partial(_chosen, call, F.minimum), data_0)


def _chosen(call: Call, choose: Any, a: Any, b: Any) -> Any:
    if choose is F.maximum and isinstance(a, chainer.Variable):
        floor = operand(call, b, a.ndim)
        if isinstance(floor, float) and floor == 0:
            return F.relu(a)
    return choose(variable(call, a), variable(call, b))


@operator("Where")
def where(call: Call, condition: Any, X: Any, Y: Any) -> Any:
    """X where the condition is true, Y elsewhere."""
    chosen = call.array(condition).astype(bool)
    return F.where(chosen, variable(call, X), variable(call, Y))


@operator("CumSum")
def cumulative_sum(
    call: Call, x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0
) -> Any:
    """The sum of all elements up to each."""
    return _cumulated(call, F.cumsum, x, axis, exclusive, reverse, of_none=0)


@operator("CumProd")
def cumulative_product(
    call: Call, x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0
) -> Any:
    """The product of all elements up to each."""
    return _cumulated(call, F.cumprod, x, axis, exclusive, reverse, of_none=1)


def _cumulated(
    call: Call,
    function: Any,
    x: Any,
    axis: Any,
    exclusive: int,
    reverse: int,
    of_none: float,
) -> Any:
    """Return what a function makes of all elements up to each, or before each.

    Args:
        call (Call): The node as it is run.
        function (callable): ``F.cumsum`` or ``F.cumprod``.
        x (chainer.Variable): The elements.
        axis (array): The axis along which they are put together, one number.
        exclusive (int): Whether each element itself is left out.
        reverse (int): Whether it begins at the end.
        of_none (float): What the function makes of no element.
    """
    (along,) = call.array(axis).reshape(-1).tolist()
    along %= x.ndim
    y = F.flip(x, along) if reverse else x
    y = function(y, along)
    if exclusive:
        y = _moved_by_one(call, y, along, of_none)
    return F.flip(y, along) if reverse else y


def _moved_by_one(call: Call, y: Any, axis: int, value: float) -> Any:
    """Return it with a value in front, and without its last element."""
    first = array_of(y)[(slice(None),) * axis + (slice(0, 1),)]
    front = call.xp.full_like(first, value)
    rest = y[(slice(None),) * axis + (slice(0, -1),)]
    return F.concat([variable(call, front), rest], axis=axis)
