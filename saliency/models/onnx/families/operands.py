"""Inputs of operators as functions of Chainer take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.models.onnx.operators import Call, number

import chainer
import chainer.functions as F


def operand(call: Call, value: Any, ndim: int = 0) -> Any:
    """Return a value as an operand of Chainer's arithmetic.

    Args:
        call (Call): Where it is.
        value (Variable or array): What goes in.
        ndim (int): How many axes the other operand has. A constant of one element with
            no more is a number: functions of numbers are told apart from those of two
            arrays, ``1 - x`` from a difference.
    """
    if isinstance(value, chainer.Variable):
        return value
    if value.size == 1 and value.ndim <= ndim:
        return number(value)
    return call.xp.asarray(value)


def operands(call: Call, x: Any, y: Any) -> tuple[Any, Any]:
    """Return both operands of Chainer's arithmetic."""
    return operand(call, x, y.ndim), operand(call, y, x.ndim)


def variable(call: Call, value: Any) -> chainer.Variable:
    """Return a value as a variable on the device of the model."""
    if isinstance(value, chainer.Variable):
        return value
    return chainer.as_variable(call.xp.asarray(value))


def root(x: chainer.Variable, p: float = 2) -> chainer.Variable:
    """Return the p-th root of sums of powers; the gradient of that of zero is zero.

    That is one of the subgradients of a norm, and PyTorch's as well.
    """
    is_zero = x.array == 0
    if not is_zero.any():
        return F.sqrt(x) if p == 2 else x ** (1 / p)
    xp = chainer.backend.get_array_module(x.array)
    others = root(F.where(is_zero, xp.ones_like(x.array), x), p)
    return F.where(is_zero, xp.zeros_like(x.array), others)


def axes_of(axes: Any, ndim: int) -> tuple[int, ...]:
    """Return axes counted from the front, in their order."""
    return tuple(sorted(int(a) % ndim for a in np.reshape(axes, -1)))
