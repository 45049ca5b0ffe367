"""Products of layers with weights."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.backprop.registry import InputGradients, Memory, Step, vjp
from saliency.cpu import is_fast, products
from saliency.cpu.replacements import convolution_to_input

import chainer.functions as F
from chainer.functions.connection import linear as linear_module


@vjp(
    F.connection.convolution_2d.Convolution2DFunction,
    F.connection.convolution_nd.ConvolutionND,
    memory=Memory.NEW,
    adds=True,
)
def convolution(step: Step) -> InputGradients | None:
    """The transposed convolution, for what is covered on a CPU."""
    if step.indexes != (0,) or step.xp is not np:
        return None
    gradient, W = step.gradient, step.x(1)
    if not is_fast(gradient.raw, W):
        return None
    gx = convolution_to_input(
        *(step.function, W, gradient.raw, gradient.mask, gradient.scale),
        added=None if step.before is None else step.before.array,
        out=gradient.raw if gradient.is_owned else None,
    )
    return None if gx is None else [gx]


@vjp(linear_module.LinearFunction, memory=Memory.NEW)
def linear(step: Step) -> InputGradients:
    """The products with the weights, and with what they were multiplied by."""
    gy = step.gy
    results = []
    for i in step.indexes:
        if i == 0:
            result = _times_weights(gy, step.x(1))
        elif i == 1:
            kernel = linear_module.LinearGradWeight(step.dtype(1))
            (result,) = kernel.forward((step.x(0), gy))
        else:
            result = gy.sum(axis=0)
        results.append(result.astype(step.dtype(i), copy=False))
    return results


def _times_weights(gy: Array, W: Array) -> Array:
    if isinstance(gy, np.ndarray) and not products.is_large(gy, W):
        return gy.dot(W)  # what is checked otherwise takes longer
    return linear_module.LinearGradData().forward((W, gy))[0]


@vjp(F.connection.embed_id.EmbedIDFunction, memory=Memory.NEW)
def embedding(step: Step) -> InputGradients:
    """The gradients of all places that a row went to, added up at that row."""
    function = step.function
    kernel = F.connection.embed_id.EmbedIDGrad(function._w_shape, function.ignore_label)
    of_rows = kernel.forward((step.x(0), step.gy))[0]
    return step.at(lambda: None, lambda: of_rows)
