"""What takes the place of Chainer's own CPU code within a block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Optional

import numpy as np

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.cpu import convolution, elementwise, pooling, products
from saliency.cpu.epilogue import Epilogue
from saliency.cpu.geometry import is_nd, windows_of
from saliency.cpu.mask import Mask

import chainer
from chainer.backends import intel64
from chainer.functions.activation.clipped_relu import ClippedReLU
from chainer.functions.activation.relu import ReLU
from chainer.functions.activation.sigmoid import Sigmoid
from chainer.functions.activation.tanh import Tanh
from chainer.functions.array.concat import Concat
from chainer.functions.array.pad import Pad
from chainer.functions.connection.convolution_2d import (
    Convolution2DFunction,
    Convolution2DGradW,
)
from chainer.functions.connection.convolution_nd import (
    ConvolutionND,
    ConvolutionNDGradW,
)
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.connection.deconvolution_nd import DeconvolutionND
from chainer.functions.connection.linear import (
    LinearFunction,
    LinearGradData,
    LinearGradWeight,
)
from chainer.functions.math.basic_math import (
    Add,
    AddConstant,
    Div,
    Mul,
    MulConstant,
    Sub,
    SubFromConstant,
)
from chainer.functions.math.matmul import MatMul
from chainer.functions.math.sum import Sum
from chainer.functions.normalization.batch_normalization import (
    FixedBatchNormalization,
)
from chainer.functions.pooling.average_pooling_2d import (
    AveragePooling2D,
    AveragePooling2DGrad,
)
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad
from chainer.utils.conv import get_conv_outsize

Arrays = tuple[np.ndarray, ...]
# Takes the method's arguments; returns what the method returns, or None for what it
# does not cover.
Replacement = Callable[..., Optional[Arrays]]

_DTYPES = (np.float32, np.float64)


def _convolution(
    function: Any,
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    xp: Any = np,
) -> Arrays | None:
    if not are_covered(x, W, b):
        return None
    geometry = windows_of(function, x.shape[2:], W.shape[2:])
    if geometry is None or x.shape[1] % function.groups or len(W) % function.groups:
        return None
    x, W = as_images(x), as_images(W)
    y = convolution.convolve(x, W, b, geometry, function.groups)
    return (as_before(y, function),)


def _convolution_to_input(
    function: Any,
    indexes: tuple[int, ...],
    grad_outputs: tuple[Any, ...],
) -> tuple[Any, ...] | None:
    if indexes != (0,) or chainer.config.enable_backprop:
        return None
    _, W = function.get_retained_inputs()
    gx = convolution_to_input(function, W.array, grad_outputs[0].array)
    return None if gx is None else (chainer.Variable(gx),)


def convolution_to_input(
    function: Any,
    W: np.ndarray,
    gy: np.ndarray,
    mask: Mask | None = None,
    scale: np.ndarray | None = None,
    added: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return the gradient at the input of a convolution, None if it is not covered.

    Args:
        function (Convolution2DFunction or ConvolutionND): The function.
        W (numpy.ndarray): Its kernels.
        gy (numpy.ndarray): The gradient at its output, but for mask and scale.
        mask (Mask or None): Where it goes through.
        scale (numpy.ndarray or None): What each channel of it is multiplied by.
        added (numpy.ndarray or None): What is added to the result, of its shape.
        out (numpy.ndarray or None): What may be written into on the way, of the shape
            of ``gy``, which it may be; nothing if None.
    """
    x = function.inputs[0]
    if not are_covered(W, gy, scale, added) or x.dtype != W.dtype:
        return None
    geometry = windows_of(function, x.shape[2:], W.shape[2:], gy.shape[2:])
    if geometry is None or gy.shape[1] % function.groups:
        return None
    gy, W = as_images(gy), as_images(W)
    if mask is not None:
        mask = replace(mask, y=as_images(mask.y))
    if scale is not None:
        if convolution.takes_scaled_weights(gy, W, geometry, function.groups):
            W = W * scale[:, None, None, None]
        else:
            out = None if out is None else as_images(out)
            gy, mask = elementwise.scaled(gy, scale, mask, out), None
    if added is not None:
        added = as_images(added)
    gx = convolution.to_input(gy, W, geometry, function.groups, mask, added)
    return as_before(gx, function)


def _deconvolution(
    function: Any,
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    xp: Any = np,
) -> Arrays | None:
    if not are_covered(x, W, b) or len(W) % function.groups:
        return None
    outs = function.outs if is_nd(function) else (function.outh, function.outw)
    geometry = windows_of(function, outs, W.shape[2:], x.shape[2:])
    if geometry is None:
        return None
    x, W = as_images(x), as_images(W)
    y = convolution.to_input(x, W, geometry, function.groups)
    if b is not None:
        y += b[:, None, None]
    return (as_before(y, function),)


def _weight_gradient(
    function: Any,
    x: np.ndarray,
    gy: np.ndarray,
    xp: Any = np,
) -> Arrays | None:
    if not are_covered(x, gy) or x.dtype != function.W_dtype:
        return None
    kernel = function.ksize if is_nd(function) else (function.kh, function.kw)
    geometry = windows_of(function, x.shape[2:], kernel, gy.shape[2:])
    if geometry is None:
        return None
    x, gy = as_images(x), as_images(gy)
    gW = convolution.to_weights(x, gy, geometry, function.groups)
    return (as_before(gW, function),)


def _linear(function: Any, inputs: Arrays) -> Arrays | None:
    if not are_covered(*inputs):
        return None
    x, W, *b = inputs
    retain_for_linear(function)
    if products.is_large(x, W.T):
        return (products.matmul(x, W.T, b[0] if b else None),)
    y = x.dot(W.T)  # as Chainer does, without what it needs for static graphs
    if b:
        y += b[0]
    return (y,)


def _linear_to_input(function: Any, inputs: Arrays) -> Arrays | None:
    W, gy = inputs
    if not (products.is_large(gy, W) and are_covered(W, gy)):
        return None
    retain_for_linear(function)
    return (products.matmul(gy, W),)


def _linear_to_weights(function: Any, inputs: Arrays) -> Arrays | None:
    x, gy = inputs
    same_dtype = x.dtype == function._w_dtype
    if not (products.is_large(gy.T, x) and are_covered(x, gy) and same_dtype):
        return None
    retain_for_linear(function)
    return (products.matmul(gy.T, x),)


def _matrix_product(function: Any, inputs: Arrays) -> Arrays | None:
    a, b = inputs
    if min(a.ndim, b.ndim) < 2 or not are_covered(a, b):
        return None
    transa, transb = function.transa, function.transb
    if function.transc:
        a, b, transa, transb = b, a, not transb, not transa
    a = a.swapaxes(-1, -2) if transa else a
    b = b.swapaxes(-1, -2) if transb else b
    y = products.of_stacks(a, b) if function.dtype in (None, a.dtype) else None
    if y is None:
        return None
    function.retain_inputs((0, 1))
    return (y,)


def retain_for_linear(function: Any) -> None:
    """Do what Chainer's own forward does for its backward."""
    function._config_use_ideep = chainer.config.use_ideep
    function.retain_inputs((0, 1))


def _max_pooling(function: Any, inputs: Arrays) -> Arrays | None:
    (x,) = inputs
    geometry = windows_of(function, x.shape[2:], _kernel(function))
    if not are_covered(x) or geometry is None:
        return None
    wants_taps = chainer.config.enable_backprop or function.return_indices
    y, taps = pooling.max_pool(as_images(x), geometry, wants_taps=wants_taps)
    function._in_shape, function._in_dtype = x.shape, x.dtype
    function.indexes = None if taps is None else as_before(taps, function)
    if function.return_indices:
        function.indexes = function.indexes.astype(np.int64)
    return (as_before(y, function),)


def _max_pooling_gradient(function: Any, inputs: Arrays) -> Arrays | None:
    pool, (gy,) = function.func, inputs
    size = pool._in_shape[2:]
    geometry = windows_of(pool, size, _kernel(pool), gy.shape[2:])
    if not are_covered(gy) or geometry is None or gy.dtype != pool._in_dtype:
        return None
    taps = as_images(pool.indexes)
    gx = pooling.max_pool_to_input(as_images(gy), taps, geometry)
    return (as_before(gx, pool),)


def _average_pooling(function: Any, inputs: Arrays) -> Arrays | None:
    (x,) = inputs
    out = tuple(
        get_conv_outsize(size, *of_axis)
        for size, *of_axis in zip(
            x.shape[2:],
            (function.kh, function.kw),
            (function.sy, function.sx),
            (function.ph, function.pw),
        )
    )
    geometry = windows_of(function, x.shape[2:], _kernel(function), out)
    if not are_covered(x) or geometry is None:
        return None
    function._in_shape, function._in_dtype = x.shape, x.dtype
    return (pooling.average_pool(x, geometry),)


def _average_pooling_gradient(function: Any, inputs: Arrays) -> Arrays | None:
    (gy,) = inputs
    size, kernel = function._in_shape[2:], _kernel(function)
    geometry = windows_of(function, size, kernel, gy.shape[2:])
    if not are_covered(gy) or geometry is None:
        return None
    return (pooling.average_pool_to_input(gy, geometry),)


def _relu(function: Any, inputs: Arrays) -> Arrays | None:
    (x,) = inputs
    if x.ndim == 0 or not are_covered(x):
        return None
    function.retain_outputs((0,))
    if elementwise.is_large(x):
        return (elementwise.relu(x),)
    return (np.maximum(x, 0, dtype=x.dtype),)


def _relu_to_input(
    function: Any,
    indexes: tuple[int, ...],
    grad_outputs: tuple[Any, ...],
) -> tuple[Any, ...] | None:
    return _elementwise_to_input(
        elementwise.relu_to_input, function.get_retained_outputs, grad_outputs
    )


def _sigmoid(function: Any, inputs: Arrays) -> Arrays | None:
    return _of_output(elementwise.sigmoid, function, inputs)


def _tanh(function: Any, inputs: Arrays) -> Arrays | None:
    return _of_output(elementwise.tanh, function, inputs)


def _of_output(
    compute: Callable[[np.ndarray], np.ndarray], function: Any, inputs: Arrays
) -> Arrays | None:
    """Return what a function gives whose gradient is computed from its output."""
    (x,) = inputs
    if not (elementwise.is_large(x) and are_covered(x)):
        return None
    function.retain_outputs((0,))
    function._use_cudnn = False
    return (compute(x),)


def _clipped_relu(function: Any, inputs: Arrays) -> Arrays | None:
    (x,) = inputs
    if not (elementwise.is_large(x) and are_covered(x)):
        return None
    function.retain_inputs((0,))
    return (elementwise.clipped_relu(x, function.cap),)


def _clipped_relu_to_input(
    function: Any,
    indexes: tuple[int, ...],
    grad_outputs: tuple[Any, ...],
) -> tuple[Any, ...] | None:
    def to_input(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return elementwise.clipped_relu_to_input(gy, x, function.cap)

    return _elementwise_to_input(to_input, function.get_retained_inputs, grad_outputs)


def _elementwise_to_input(
    to_input: Callable[[np.ndarray, np.ndarray], np.ndarray],
    retained: Callable[[], tuple[Any, ...]],
    grad_outputs: tuple[Any, ...],
) -> tuple[Any, ...] | None:
    """Return the gradient at the input, where it needs no graph of its own.

    Args:
        to_input (callable): Computes it from the one at the output, and what was kept.
        retained (callable): Returns what the function kept.
        grad_outputs (tuple of chainer.Variable): The gradient at the output.
    """
    if chainer.config.enable_backprop:
        return None
    (kept,), (gy,) = retained(), grad_outputs
    if not are_covered(gy.array, kept.array):
        return None
    return (chainer.Variable(to_input(gy.array, kept.array)),)


def _pad(function: Any, inputs: Arrays) -> Arrays | None:
    (x,) = inputs
    value = function.keywords.get("constant_values", 0)
    widths = np.asarray(function.pad_width)
    is_plain = (
        function.mode == "constant"
        and np.ndim(value) == 0
        and widths.shape == (x.ndim, 2)
        and widths.dtype.kind == "i"
        and (widths >= 0).all()
    )
    if not (is_plain and elementwise.is_large(x) and are_covered(x)):
        return None
    return (elementwise.pad(x, widths.tolist(), value),)


def _concatenation(function: Any, inputs: Arrays) -> Arrays | None:
    if not (any(map(elementwise.is_large, inputs)) and are_covered(*inputs)):
        return None
    return (elementwise.joined(inputs, function.axis),)


def _sum(function: Any, inputs: Arrays) -> Arrays | None:
    (x,) = inputs
    axes: tuple[int, ...] = function.axis or ()
    if not (len(axes) == 1 and elementwise.is_large(x) and are_covered(x)):
        return None
    y = elementwise.summed(x, axes[0], function.keepdims)
    return None if y is None else (y,)


def _arithmetic(operation: np.ufunc, *, retains: bool) -> Replacement:
    """Return the forward pass of a function of two arrays, if they are of one shape.

    Args:
        operation (numpy.ufunc): What it does.
        retains (bool): Whether its backward needs the arrays.
    """

    def forward(function: Any, inputs: Arrays) -> Arrays | None:
        x, y = inputs
        if not (elementwise.is_large(x) and x.shape == y.shape and are_covered(x, y)):
            return None
        if retains:
            function.retain_inputs((0, 1))
        return (elementwise.arithmetic(operation, x, y),)

    return forward


def _with_constant(operation: np.ufunc) -> Replacement:
    """Return the forward pass of a function of a number and an array."""

    def forward(function: Any, inputs: Arrays) -> Arrays | None:
        (x,) = inputs
        if not (elementwise.is_large(x) and are_covered(x)):
            return None
        constant = x.dtype.type(function.value)
        if np.ndim(constant):
            return None
        return (elementwise.with_constant(operation, constant, x),)

    return forward


def _normalization(function: Any, inputs: Arrays) -> Arrays | None:
    x, gamma, beta, mean, var = inputs
    if not are_covered(*inputs) or not is_of_channels(function, x.ndim, gamma):
        return None
    scale = prepare_normalization(function, x.ndim, gamma, var)
    then = Epilogue(scale=scale, shift=beta, offset=-mean)
    return (elementwise.normalized(x, then),)


def prepare_normalization(
    function: Any, ndim: int, gamma: np.ndarray, var: np.ndarray
) -> np.ndarray:
    """Set what Chainer's own forward sets, for a backward that is not replaced.

    Args:
        function (FixedBatchNormalization): The function.
        ndim (int): Number of axes of what it normalizes, with channels on axis 1.
        gamma (numpy.ndarray): ``(channel,)``.
        var (numpy.ndarray): The variance, ``(channel,)``.

    Returns:
        numpy.ndarray: What each channel is multiplied by.
    """
    function.retain_inputs((0, 1, 3, 4))
    function.axis = tuple(a for a in range(ndim) if a != 1)
    function.key_axis = (1,)
    function.expander = (None, slice(None), *(None,) * (ndim - 2))
    function.inv_var = 1 / (var + var.dtype.type(function.eps))
    function.inv_std = np.sqrt(function.inv_var)
    scale: np.ndarray = gamma * function.inv_std
    return scale


def _normalization_gradient(
    function: Any,
    indexes: tuple[int, ...],
    grad_outputs: tuple[Any, ...],
) -> tuple[Any, ...] | None:
    # Chainer computes the gradients of all five inputs to return one of them.
    if indexes != (0,) or chainer.config.enable_backprop or function.inv_std is None:
        return None
    _, gamma, _, _ = function.get_retained_inputs()
    (gy,) = grad_outputs
    if not are_covered(gy.array, gamma.array) or function.key_axis != (1,):
        return None
    scale = gamma.array * function.inv_std
    return (chainer.Variable(elementwise.scale_channels(gy.array, scale)),)


def is_of_channels(function: Any, ndim: int, gamma: np.ndarray) -> bool:
    """Tell whether batch normalization has statistics for each place on axis 1.

    Args:
        function (FixedBatchNormalization): The function.
        ndim (int): Number of axes of what it normalizes.
        gamma (numpy.ndarray): One of its statistics.
    """
    others = tuple(a for a in range(ndim) if a != 1)
    return gamma.ndim == 1 and ndim > 1 and function.axis in (None, others)


#: By class and name of the method.
REPLACEMENTS: dict[tuple[type, str], Replacement] = {
    (Convolution2DFunction, "_forward_cpu_core"): _convolution,
    (Convolution2DFunction, "_forward_grouped_convolution"): _convolution,
    (Convolution2DFunction, "backward"): _convolution_to_input,
    (ConvolutionND, "_forward_xp"): _convolution,
    (Deconvolution2DFunction, "_forward_cpu_core"): _deconvolution,
    (Deconvolution2DFunction, "_forward_grouped_convolution"): _deconvolution,
    (DeconvolutionND, "_forward_xp"): _deconvolution,
    (Convolution2DGradW, "_forward_cpu_core"): _weight_gradient,
    (Convolution2DGradW, "_forward_grouped_convolution"): _weight_gradient,
    (ConvolutionNDGradW, "_forward_xp"): _weight_gradient,
    (LinearFunction, "forward"): _linear,
    (LinearGradData, "forward"): _linear_to_input,
    (LinearGradWeight, "forward"): _linear_to_weights,
    (MatMul, "forward"): _matrix_product,
    (MaxPoolingND, "forward_cpu"): _max_pooling,
    (MaxPoolingNDGrad, "forward_cpu"): _max_pooling_gradient,
    (AveragePooling2D, "forward_cpu"): _average_pooling,
    (AveragePooling2DGrad, "forward_cpu"): _average_pooling_gradient,
    (FixedBatchNormalization, "forward"): _normalization,
    (FixedBatchNormalization, "backward"): _normalization_gradient,
    (Add, "forward"): _arithmetic(np.add, retains=False),
    (Sub, "forward"): _arithmetic(np.subtract, retains=False),
    (Mul, "forward"): _arithmetic(np.multiply, retains=True),
    (Div, "forward"): _arithmetic(np.divide, retains=True),
    (AddConstant, "forward"): _with_constant(np.add),
    (SubFromConstant, "forward"): _with_constant(np.subtract),
    (MulConstant, "forward"): _with_constant(np.multiply),
    (Pad, "forward"): _pad,
    (Concat, "forward"): _concatenation,
    (Sum, "forward"): _sum,
    (ReLU, "forward_cpu"): _relu,
    (ReLU, "backward"): _relu_to_input,
    (Sigmoid, "forward_cpu"): _sigmoid,
    (Tanh, "forward_cpu"): _tanh,
    (ClippedReLU, "forward_cpu"): _clipped_relu,
    (ClippedReLU, "backward"): _clipped_relu_to_input,
}


def are_covered(*arrays: Any) -> bool:
    """Tell whether all are NumPy arrays of one float dtype, and none is empty."""
    if intel64.is_ideep_available() and intel64.should_use_ideep(">=auto"):
        return False
    dtype = None
    for array in arrays:
        if array is None:
            continue
        if not isinstance(array, np.ndarray) or array.size == 0:
            return False
        if array.dtype is not dtype:
            if dtype is None and array.dtype in _DTYPES:
                dtype = array.dtype
            elif dtype != array.dtype:
                return False
    return True


def _kernel(pool: Any) -> tuple[int, ...]:
    return pool.ksize if is_nd(pool) else (pool.kh, pool.kw)


def as_images(array: np.ndarray) -> np.ndarray:
    """Return an array with two axes of space, if it has one."""
    return array[:, :, None] if array.ndim == 3 else array


def as_before(array: np.ndarray, function: Any) -> np.ndarray:
    """Return images without the axis of height if the function has one dimension."""
    return array[:, :, 0] if getattr(function, "ndim", 2) == 1 else array
