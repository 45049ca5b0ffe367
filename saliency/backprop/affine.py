"""Products of layers with weights."""

from __future__ import annotations

import numpy as np

from saliency.backprop.registry import InputGradients, Memory, Step, vjp
from saliency.cpu import is_fast
from saliency.cpu.replacements import convolution_to_input

import chainer.functions as F
from chainer.functions.connection import linear as linear_module


@vjp(
    F.connection.convolution_2d.Convolution2DFunction,
    F.connection.convolution_nd.ConvolutionND,
    memory=Memory.NEW,
)
def convolution(step: Step) -> InputGradients | None:
    """The transposed convolution, for what is covered on a CPU."""
    if step.indexes != (0,) or step.xp is not np:
        return None
    gradient, W = step.gradient, step.x(1)
    if not is_fast(gradient.raw, W):
        return None
    gx = convolution_to_input(
        step.function, W, gradient.raw, gradient.mask, gradient.scale
    )
    return None if gx is None else [gx]


@vjp(linear_module.LinearFunction, memory=Memory.NEW)
def linear(step: Step) -> InputGradients:
    """The products with the weights, and with what they were multiplied by."""
    gy = step.gy

    def cast(array: np.ndarray, i: int) -> np.ndarray:
        return array.astype(step.dtype(i), copy=False)

    def to_input() -> np.ndarray:
        return cast(linear_module.LinearGradData().forward((step.x(1), gy))[0], 0)

    def to_weights() -> np.ndarray:
        kernel = linear_module.LinearGradWeight(step.dtype(1))
        return cast(kernel.forward((step.x(0), gy))[0], 1)

    return step.at(to_input, to_weights, lambda: gy.sum(axis=0))


@vjp(F.connection.embed_id.EmbedIDFunction, memory=Memory.NEW)
def embedding(step: Step) -> InputGradients:
    """The gradients of all places that a row went to, added up at that row."""
    function = step.function
    kernel = F.connection.embed_id.EmbedIDGrad(function._w_shape, function.ignore_label)
    of_rows = kernel.forward((step.x(0), step.gy))[0]
    return step.at(lambda: None, lambda: of_rows)
