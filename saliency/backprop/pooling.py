"""Products of poolings, by the functions that Chainer computes their gradients with."""

from __future__ import annotations

from saliency.backprop.registry import InputGradients, Memory, Step, applied, vjp

from chainer.functions import pooling


@vjp(pooling.max_pooling_nd.MaxPoolingND, memory=Memory.NEW)
def max_pooling(step: Step) -> InputGradients:
    """The gradient at each maximum."""
    return applied(pooling.max_pooling_nd.MaxPoolingNDGrad(step.function), step.gy)


@vjp(pooling.average_pooling_2d.AveragePooling2D, memory=Memory.NEW)
def average_pooling_2d(step: Step) -> InputGradients:
    """Its share for each element of a window."""
    kernel = pooling.average_pooling_2d.AveragePooling2DGrad(step.function)
    return applied(kernel, step.gy)


@vjp(pooling.average_pooling_nd.AveragePoolingND, memory=Memory.NEW)
def average_pooling(step: Step) -> InputGradients:
    """Its share for each element of a window."""
    function, gy = step.function, step.gy
    if function.pad_value is None and step.workspace() is None:
        gy = gy.copy()  # Chainer writes into it
    return applied(pooling.average_pooling_nd.AveragePoolingNDGrad(function), gy)


@vjp(pooling.unpooling_2d.Unpooling2D, memory=Memory.NEW)
def unpooling_2d(step: Step) -> InputGradients:
    """The sum over each window."""
    return applied(pooling.unpooling_2d.Unpooling2DGrad(step.function), step.gy)


@vjp(pooling.unpooling_nd.UnpoolingND, memory=Memory.NEW)
def unpooling(step: Step) -> InputGradients:
    """The sum over each window."""
    return applied(pooling.unpooling_nd.UnpoolingNDGrad(step.function), step.gy)


@vjp(pooling.upsampling_2d.Upsampling2D, memory=Memory.NEW)
def upsampling(step: Step) -> InputGradients:
    """The gradient where each element went."""
    return applied(pooling.upsampling_2d.Upsampling2DGrad(step.function), step.gy)
