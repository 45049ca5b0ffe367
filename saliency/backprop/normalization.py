"""Products of normalizations."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.backprop.registry import InputGradients, Memory, Step, applied, vjp

import chainer.functions as F
from chainer.functions.normalization import batch_normalization as batch_module
from chainer.functions.normalization import group_normalization as group_module


@vjp(batch_module.FixedBatchNormalization, memory=Memory.NEW)
def fixed_batch_normalization(step: Step) -> InputGradients | None:
    """The gradient times ``gamma`` over the deviation.

    Nothing but that of x is computed, and x itself is not needed.
    """
    if step.indexes != (0,):
        return None
    function = step.function
    gamma, ndim = step.x(1), len(step.shape(0))
    inv_std = function.inv_std
    if inv_std is None:
        inv_std = step.xp.sqrt(step.xp.reciprocal(step.x(4) + function.eps))
    scale = gamma * inv_std
    key_axis = tuple(function.key_axis)
    gy_dtype = step.gradient.raw.dtype
    if step.xp is np and key_axis == (1,) and scale.dtype == gy_dtype == step.dtype(0):
        return [step.gradient.scaled(scale)]
    expander = tuple(slice(None) if i in key_axis else None for i in range(ndim))
    return [(scale[expander] * step.gy).astype(step.dtype(0), copy=False)]


@vjp(F.normalization.layer_normalization.LayerNormalization, memory=Memory.NEW)
def layer_normalization(step: Step) -> InputGradients:
    """The gradients at x, gamma and beta."""
    xp, gy, function = step.xp, step.gy, step.function
    x, gamma = step.x(0), step.x(1)
    one = x.dtype.type(1)
    centred = x - x.mean(axis=1, keepdims=True)
    var = xp.square(centred).mean(axis=1, keepdims=True)
    shifted_var = var + x.dtype.type(function.eps)
    inv_std = one / xp.sqrt(shifted_var)

    def to_input() -> Array:
        mean = x.dtype.type(1.0 / x.shape[1])
        of_x_hat = gy * gamma
        of_inv_std = (of_x_hat * centred).sum(axis=1, keepdims=True)
        of_std = of_inv_std * (-one / shifted_var)
        of_var = of_std * x.dtype.type(0.5) * inv_std
        of_centred = of_x_hat * inv_std
        of_centred += of_var * mean * x.dtype.type(2) * centred
        of_mean = -of_centred.sum(axis=1, keepdims=True) * mean
        of_centred += of_mean
        return of_centred

    return step.at(
        to_input,
        lambda: (gy * (centred * inv_std)).sum(axis=0),
        lambda: gy.sum(axis=0),
    )


@vjp(group_module.GroupNormalization, memory=Memory.NEW)
def group_normalization(step: Step) -> InputGradients | None:
    """The gradient at x, if no other is asked for."""
    if step.indexes != (0,) or step.xp is not np:
        return None
    function, x, gamma = step.function, step.x(0), step.x(1)
    dtype = np.promote_types(x.dtype, gamma.dtype)
    rows = (x.shape[0] * function.groups, -1)
    inv_std = function.inv_std[:, None]
    x_hat = x.reshape(rows).astype(dtype, copy=False) - function.mean[:, None]
    x_hat *= inv_std
    by_channel = step.gy.astype(dtype, copy=False).reshape(*x.shape[:2], -1)
    of_x_hat = (by_channel * gamma.astype(dtype, copy=False)[:, None]).reshape(rows)
    of_rows = of_x_hat - of_x_hat.mean(axis=1, keepdims=True)
    of_rows -= x_hat * (of_x_hat * x_hat).mean(axis=1, keepdims=True)
    of_rows *= inv_std
    return [of_rows.reshape(x.shape).astype(x.dtype, copy=False)]


@vjp(
    F.normalization.local_response_normalization.LocalResponseNormalization,
    memory=Memory.NEW,
)
def local_response_normalization(step: Step) -> InputGradients | None:
    """The gradient of x over a power of the sum of squares beside it."""
    if step.xp is not np:
        return None
    module = F.normalization.local_response_normalization
    function = step.function
    kernel = module.LocalResponseNormalizationGrad(
        *(function.n, function.k, function.alpha, function.beta),
        *(function._use_ideep, function.scale, function.indexes, function.unit_scale),
    )
    return applied(kernel, step.x(), step.y(), step.gy)
