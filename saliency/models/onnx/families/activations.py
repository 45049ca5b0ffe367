"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.operators import Call, operator

import chainer
import chainer.functions as F


@operator("Relu")
def relu(call: Call, X: Any) -> Any:
    """``max(X, 0)``."""
    return F.relu(X)


@operator("LeakyRelu")
def leaky_relu(call: Call, X: Any, *, alpha: float = 0.01) -> Any:
    """X, or ``alpha X`` below zero."""
    return F.leaky_relu(X, alpha)


@operator("PRelu")
def parametric_relu(call: Call, X: Any, slope: Any) -> Any:
    """X, or ``slope X`` below zero."""
    x, slope = variable(call, X), variable(call, slope)
    if slope.ndim == x.ndim - 1 and slope.size == slope.shape[0] == x.shape[1]:
        return F.prelu(x, F.reshape(slope, (-1,)))
    return F.where(x.array > 0, x, x * slope)


@operator("ThresholdedRelu")
def thresholded_relu(call: Call, X: Any, *, alpha: float = 1.0) -> Any:
    """X where it is above alpha, and else zero."""
    return F.where(X.array > alpha, X, call.xp.zeros_like(X.array))


@operator("Elu")
def elu(call: Call, X: Any, *, alpha: float = 1.0) -> Any:
    """X, or ``alpha (exp(X) - 1)`` below zero."""
    return F.elu(X, alpha)


@operator("Celu")
def celu(call: Call, X: Any, *, alpha: float = 1.0) -> Any:
    """X, or ``alpha (exp(X / alpha) - 1)`` below zero."""
    return F.elu(X * (1 / alpha), 1.0) * alpha


@operator("Selu")
def selu(
    call: Call, X: Any, *, alpha: float = 1.67326319217, gamma: float = 1.05070102215
) -> Any:
    """``gamma`` times an elu."""
    return F.selu(X, alpha, gamma)


@operator("Sigmoid")
def sigmoid(call: Call, X: Any) -> Any:
    """``1 / (1 + exp(-X))``."""
    return F.sigmoid(X)


@operator("HardSigmoid")
def hard_sigmoid(call: Call, X: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    """``alpha X + beta``, from 0 to 1."""
    # Chainer's has the slope 0.2, which a file has in float32, and 0.5 at zero.
    if np.float32(alpha) == np.float32(0.2) and beta == 0.5:
        return F.hard_sigmoid(X)
    return F.hard_sigmoid(X * (5 * alpha) + 5 * (beta - 0.5))


@operator("HardSwish")
def hard_swish(call: Call, X: Any) -> Any:
    """X times a hard sigmoid of the slope 1/6."""
    return X * hard_sigmoid(call, X, alpha=1 / 6)


@operator("Swish")
def swish(call: Call, X: Any, *, alpha: float = 1.0) -> Any:
    """X times a sigmoid of ``alpha X``."""
    return X * F.sigmoid(X if alpha == 1 else X * alpha)


@operator("Mish")
def mish(call: Call, X: Any) -> Any:
    """X times the tanh of its softplus."""
    return X * F.tanh(F.softplus(X))


@operator("Gelu")
def gelu(call: Call, X: Any, *, approximate: str = "none") -> Any:
    """X times the share of a normal distribution below it, or that by a tanh."""
    if approximate == "tanh":
        inner = (X + X * X * X * 0.044715) * math.sqrt(2 / math.pi)
        return X * (F.tanh(inner) + 1) * 0.5
    return X * (F.erf(X * math.sqrt(0.5)) + 1) * 0.5


@operator("Tanh")
def tanh(call: Call, input: Any) -> Any:
    """The hyperbolic tangent."""
    return F.tanh(input)


@operator("Softplus")
def softplus(call: Call, X: Any) -> Any:
    """``log(1 + exp(X))``."""
    return F.softplus(X)


@operator("Softsign")
def softsign(call: Call, input: Any) -> Any:
    """``x / (1 + |x|)``."""
    return input / (F.absolute(input) + 1)


@operator("Shrink")
def shrink(call: Call, input: Any, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    """X nearer to zero by the bias, and zero where it is within lambd of it."""
    x = input.array
    outside = call.xp.where(x > lambd, -bias, bias).astype(x.dtype)
    is_inside = (x <= lambd) & (x >= -lambd)
    return F.where(is_inside, call.xp.zeros_like(x), input + outside)


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(call: Call, input: Any, *, axis: int | None = None) -> Any:
    """Shares of each element along an axis; before opset 13, of all axes behind it."""
    function = _ALONG[call.node.type]
    if call.opset >= 13:
        return function(input, -1 if axis is None else axis)
    first = (1 if axis is None else axis) % max(input.ndim, 1)
    if first == input.ndim - 1:
        return function(input, first)
    rows = F.reshape(input, (math.prod(input.shape[:first]), -1))
    return F.reshape(function(rows, 1), input.shape)


def _hardmax(x: chainer.Variable, axis: int) -> chainer.Variable:
    xp = chainer.backend.get_array_module(x.array)
    first = xp.expand_dims(x.array.argmax(axis), axis)
    places = xp.arange(x.shape[axis]).reshape(
        (-1,) + (1,) * (x.ndim - 1 - axis % x.ndim)
    )
    return chainer.as_variable((places == first).astype(x.dtype))


_ALONG = {
    "Softmax": lambda x, axis: F.softmax(x, axis),
    "LogSoftmax": lambda x, axis: F.log_softmax(x, axis),
    "Hardmax": _hardmax,
}
