"""Normalizations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.models.onnx.families.operands import axes_of, root, variable
from saliency.models.onnx.operators import Call, LinkWith, MakeLink, Node, operator

import chainer
import chainer.functions as F
from chainer import links as L


class FixedBatchNormalization(L.BatchNormalization):
    """Batch normalization by the statistics of the file, in training as well.

    Args:
        scale (numpy.ndarray): One number for each channel, as of all others.
        shift (numpy.ndarray): What is added.
        mean (numpy.ndarray): What is taken off.
        variance (numpy.ndarray): Of each channel.
        eps (float): What is added to the variance.
    """

    def __init__(
        self,
        scale: np.ndarray,
        shift: np.ndarray,
        mean: np.ndarray,
        variance: np.ndarray,
        eps: float,
    ) -> None:
        super().__init__(
            len(scale),
            eps=eps,
            dtype=scale.dtype,
            initial_gamma=scale,
            initial_beta=shift,
            initial_avg_mean=mean,
            initial_avg_var=variance,
        )

    def forward(self, x: Any, **_: Any) -> chainer.Variable:
        """Normalize ``(n, channel, ...)``."""
        return F.fixed_batch_normalization(
            x, self.gamma, self.beta, self.avg_mean, self.avg_var, self.eps
        )


def _batch_normalization(node: Node) -> MakeLink | None:
    arrays = [node.constants[i] for i in range(1, 5) if i in node.constants]
    if len(arrays) < 4 or any(a.ndim != 1 or a.dtype.kind != "f" for a in arrays):
        return None
    scale, shift, mean, variance = arrays
    eps = node.attributes.get("epsilon", 1e-5)

    def make() -> LinkWith:
        link = FixedBatchNormalization(scale, shift, mean, variance, eps)
        return LinkWith(link, range(1, 5))

    return make


def _refuse_training(node: Node) -> Any:
    if node.attributes.get("training_mode", 0):
        yield "it is in training mode; export the model in evaluation mode"
    if node.attributes.get("spatial", 1) != 1:
        yield "its attribute spatial=0 is not known"


@operator("BatchNormalization", refuses=_refuse_training, link=_batch_normalization)
def batch_normalization(
    call: Call,
    X: Any,
    scale: Any,
    B: Any,
    input_mean: Any,
    input_var: Any,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    spatial: int = 1,
) -> Any:
    """Batch normalization with the statistics of the file."""
    arrays = (scale, B, input_mean, input_var)
    x, *others = (variable(call, a) for a in (X, *arrays))
    return F.fixed_batch_normalization(x, *others, epsilon)


@operator("LayerNormalization")
def layer_normalization(
    call: Call,
    X: Any,
    Scale: Any,
    B: Any = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    """Centred and scaled over the last axes."""
    first = axis % X.ndim
    size = math.prod(X.shape[first:])
    rows = F.reshape(variable(call, X), (-1, size))
    scale = _as_row(call, Scale, X.shape[first:])
    zero = call.xp.zeros(size, X.dtype)
    shift = zero if B is None else _as_row(call, B, X.shape[first:])
    y = F.reshape(F.layer_normalization(rows, scale, shift, epsilon), X.shape)
    if call.n_output == 1:
        return y
    axes = tuple(range(first, X.ndim))
    mean = F.mean(X, axes, keepdims=True)
    centred = X - F.broadcast_to(mean, X.shape)
    variance = F.mean(F.square(centred), axes, keepdims=True)
    return (y, mean, 1 / F.sqrt(variance + epsilon))[: call.n_output]


def _as_row(call: Call, value: Any, shape: tuple[int, ...]) -> chainer.Variable:
    value = variable(call, value)
    if value.shape != shape:
        value = F.broadcast_to(value, shape)
    return F.reshape(value, (-1,))


@operator("InstanceNormalization")
def instance_normalization(
    call: Call, input: Any, scale: Any, B: Any, *, epsilon: float = 1e-5
) -> Any:
    """Each channel of each example, centred and scaled."""
    arrays = (variable(call, a) for a in (scale, B))
    return F.group_normalization(input, input.shape[1], *arrays, epsilon)


@operator("GroupNormalization")
def group_normalization(
    call: Call,
    X: Any,
    scale: Any,
    bias: Any,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: int = 1,
) -> Any:
    """Groups of channels of each example, centred and scaled."""
    gamma, beta = (variable(call, a) for a in (scale, bias))
    return F.group_normalization(X, num_groups, gamma, beta, epsilon)


@operator("LRN")
def local_response_normalization(
    call: Call,
    X: Any,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    bias: float = 1.0,
    size: int,
) -> Any:
    """Divided by a mean square of neighbouring channels."""
    if size % 2:
        return F.local_response_normalization(X, size, bias, alpha / size, beta)
    # Chainer's window is as long on both sides.
    before = (size - 1) // 2
    widths = [(0, 0)] * X.ndim
    widths[1] = (before, size - 1 - before)
    squares = F.pad(F.square(X), widths, "constant")
    total = sum(squares[:, i : i + X.shape[1]] for i in range(size))
    return X / (total * (alpha / size) + bias) ** beta


@operator("LpNormalization")
def lp_normalization(call: Call, input: Any, *, axis: int = -1, p: int = 2) -> Any:
    """Divided by its norm along an axis; zeros stay."""
    along = (axis % input.ndim,)
    if p == 1:
        norm = F.sum(F.absolute(input), along, keepdims=True)
    else:
        norm = root(F.sum(F.square(input), along, keepdims=True))
    is_zero = norm.array == 0
    norm = F.where(is_zero, call.xp.ones_like(norm.array), norm)
    return input / norm


@operator("MeanVarianceNormalization")
def mean_variance_normalization(
    call: Call, X: Any, *, axes: Sequence[int] = (0, 2, 3)
) -> Any:
    """Centred, and divided by the deviation."""
    over = axes_of(axes, X.ndim)
    centred = X - F.mean(X, over, keepdims=True)
    variance = F.mean(F.square(centred), over, keepdims=True)
    return centred / (root(variance) + 1e-9)


@operator("RMSNormalization")
def rms_normalization(
    call: Call,
    X: Any,
    scale: Any,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    """Divided by the root of the mean square over the last axes."""
    axes = tuple(range(axis % X.ndim, X.ndim))
    mean = F.mean(F.square(X), axes, keepdims=True)
    return X / F.sqrt(mean + epsilon) * variable(call, scale)
