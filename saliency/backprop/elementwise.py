"""Products of functions of each element: activations, powers, and their like.

Where Chainer has a function of its own for a gradient, its forward pass is what
computes it here, too: on a GPU that is one kernel.
"""

from __future__ import annotations

import math

import numpy as np

from saliency.array_types import Array
from saliency.backprop.registry import InputGradients, Memory, Step, applied, vjp
from saliency.cpu import is_fast
from saliency.cpu.elementwise import is_large, sigmoid_to_input, tanh_to_input
from saliency.cpu.mask import Mask

import chainer.functions as F
from chainer.functions import activation
from chainer.functions import math as functions_of_numbers

_basic = functions_of_numbers.basic_math
_trigonometric = functions_of_numbers.trigonometric


@vjp(activation.relu.ReLU, memory=Memory.NEW)
def relu(step: Step) -> InputGradients | None:
    """The gradient where the output is positive."""
    y = step.y()
    if step.xp is np:
        if is_large(y):
            return [step.gradient.masked(Mask(y))]
        return [np.multiply(step.gy, y > 0, out=step.workspace())]
    if step.function._use_cudnn:
        return None
    return applied(activation.relu.ReLUGrad2(y), step.gy)


@vjp(activation.clipped_relu.ClippedReLU, memory=Memory.NEW)
def clipped_relu(step: Step) -> InputGradients | None:
    """The gradient where the input is between 0 and the cap."""
    cap = step.function.cap
    if step.xp is np:
        # The output is between the two where the input is; it may be kept instead.
        has_output = step.function._output_indexes_to_retain == (0,)
        kept = step.y() if has_output else step.x()
        return [step.gradient.masked(Mask(kept, ceiling=cap))]
    if step.function._use_cudnn:
        return None
    return applied(activation.clipped_relu.ClippedReLUGrad2(step.x(), cap), step.gy)


@vjp(activation.leaky_relu.LeakyReLU, memory=Memory.NEW)
def leaky_relu(step: Step) -> InputGradients:
    """The gradient, times the slope where the input is not positive."""
    slope = step.function.slope
    sign = step.y() if slope >= 0 else step.x()
    return applied(activation.leaky_relu._LeakyReLUGrad(sign, slope), step.gy)


@vjp(activation.elu.ELU, memory=Memory.NEW)
def elu(step: Step) -> InputGradients:
    """The gradient, times ``y + alpha`` where the input is not positive."""
    y, alpha = step.y(), step.function.alpha
    sign = step.x() if alpha < 0 else y
    (slope,) = activation.elu.ELUGrad(alpha, sign).forward((y,))
    slope *= step.gy
    return [slope]


@vjp(activation.sigmoid.Sigmoid, memory=Memory.NEW)
def sigmoid(step: Step) -> InputGradients:
    """The gradient times ``y (1 - y)``."""
    y = step.y()
    if step.xp is np:
        gy, out = step.gy, step.workspace(y.dtype)
        if is_large(y) and is_fast(gy, y):
            return [sigmoid_to_input(gy, y, out)]
        gx = np.multiply(gy, y, out=out)
        gx *= y.dtype.type(1) - y
        return [gx]
    x = step.x() if step.function._use_cudnn else None
    return applied(activation.sigmoid.SigmoidGrad((x,)), y, step.gy)


@vjp(activation.tanh.Tanh, memory=Memory.NEW)
def tanh(step: Step) -> InputGradients:
    """The gradient times ``1 - y**2``."""
    y = step.y()
    if step.xp is np:
        gy = step.gy
        if is_large(y) and is_fast(gy, y):
            return [tanh_to_input(gy, y, step.workspace(y.dtype))]
        return [(y.dtype.type(1) - y * y) * gy]
    x = step.x() if step.function._use_cudnn else None
    return applied(activation.tanh.TanhGrad(x), y, step.gy)


@vjp(activation.softplus.Softplus, memory=Memory.NEW)
def softplus(step: Step) -> InputGradients:
    """The gradient times the sigmoid of ``beta x``."""
    kernel = activation.softplus.SoftplusGrad((step.function.beta,))
    return applied(kernel, step.x(), step.gy)


@vjp(activation.hard_sigmoid.HardSigmoid, memory=Memory.NEW)
def hard_sigmoid(step: Step) -> InputGradients:
    """A fifth of the gradient where the output is neither 0 nor 1."""
    return applied(activation.hard_sigmoid.HardSigmoidGrad(step.x()), step.gy)


@vjp(activation.swish.Swish, memory=Memory.NEW)
def swish(step: Step) -> InputGradients:
    """The gradients at x and beta."""
    module = activation.swish
    x, beta = step.x(0), step.x(1)
    shape = module._get_extended_shape(beta, x)
    if step.xp is np and step.indexes == (0,):
        # Chainer's function sums up the gradient at beta as well.
        beta = beta.reshape(shape)
        sigmoid_x = module._sigmoid(beta * x)
        scaled_y = beta * (x * sigmoid_x)
        slope = scaled_y + sigmoid_x * (x.dtype.type(1) - scaled_y)
        return [step.gy * slope]
    kernel = module.SwishGrad(shape, module._get_reduction_axes(beta, x))
    both = kernel.forward((x, beta, step.gy))
    return [both[i] for i in step.indexes]


@vjp(activation.prelu.PReLUFunction, memory=Memory.NEW)
def prelu(step: Step) -> InputGradients | None:
    """The gradient at x, times the slopes where x is negative."""
    if step.indexes != (0,):
        return None
    x, W = step.x(0), step.x(1)
    slopes = W.reshape(activation.prelu._get_extended_shape(W, x))
    gx = step.xp.where(x >= 0, step.gy, step.gy * slopes)
    return [gx.astype(x.dtype, copy=False)]


@vjp(activation.rrelu.RReLU, memory=Memory.NEW)
def rrelu(step: Step) -> InputGradients:
    """The gradient, times the slope that was drawn where the input is negative."""
    return applied(activation.rrelu._RReLUGrad(step.y(), step.function.r), step.gy)


@vjp(activation.crelu.CReLU, memory=Memory.NEW)
def crelu(step: Step) -> InputGradients:
    """The difference of the gradients of both halves, where each is active."""
    x = step.x()
    of_positive, of_negative = step.xp.split(step.gy, 2, axis=step.function.axis)
    return [of_positive * (x > 0) - of_negative * (x < 0)]


@vjp(functions_of_numbers.clip.Clip, memory=Memory.NEW)
def clip(step: Step) -> InputGradients:
    """The gradient where the input is within the bounds."""
    function = step.function
    kernel = functions_of_numbers.clip.ClipGrad(
        step.x(), function.x_min, function.x_max
    )
    return applied(kernel, step.gy)


@vjp(F.noise.dropout.Dropout, memory=Memory.NEW)
def dropout(step: Step) -> InputGradients | None:
    """The gradient times the mask."""
    mask = getattr(step.function, "mask", None)
    if mask is None or step.xp is not np:
        return None
    gy = step.gy
    dtype = np.result_type(gy, mask)
    return [np.multiply(gy, mask, out=step.workspace(dtype))]


@vjp(functions_of_numbers.exponential.Exp, memory=Memory.NEW)
def exp(step: Step) -> InputGradients:
    """The gradient times the output."""
    return [step.y() * step.gy]


@vjp(functions_of_numbers.exponential_m1.Expm1, memory=Memory.NEW)
def expm1(step: Step) -> InputGradients:
    """The gradient times the output and 1."""
    y = step.y()
    return [(y + y.dtype.type(1)) * step.gy]


@vjp(functions_of_numbers.exponential.Log, memory=Memory.NEW)
def log(step: Step) -> InputGradients:
    """The gradient over the input."""
    return [step.gy / step.x()]


@vjp(functions_of_numbers.exponential.Log2, memory=Memory.NEW)
def log2(step: Step) -> InputGradients:
    """The gradient over the input and the logarithm of 2."""
    return [_scaled(step.gy / step.x(), 1 / math.log(2))]


@vjp(functions_of_numbers.exponential.Log10, memory=Memory.NEW)
def log10(step: Step) -> InputGradients:
    """The gradient over the input and the logarithm of 10."""
    return [_scaled(step.gy / step.x(), 1 / math.log(10))]


@vjp(functions_of_numbers.logarithm_1p.Log1p, memory=Memory.NEW)
def log1p(step: Step) -> InputGradients:
    """The gradient over ``1 + x``."""
    x = step.x()
    return [step.gy / (x + x.dtype.type(1))]


@vjp(functions_of_numbers.sqrt.Sqrt, memory=Memory.NEW)
def sqrt(step: Step) -> InputGradients:
    """The gradient over twice the output."""
    return [step.gy / _scaled(step.y(), 2)]


@vjp(functions_of_numbers.square.Square, memory=Memory.NEW)
def square(step: Step) -> InputGradients:
    """The gradient times twice the input."""
    return [_scaled(step.gy, 2) * step.x()]


@vjp(functions_of_numbers.erf.Erf, memory=Memory.NEW)
def erf(step: Step) -> InputGradients:
    """The gradient times the density of the normal distribution, of variance 1/2."""
    return [_scaled(_bell(step), 2 / math.pi**0.5) * step.gy]


@vjp(functions_of_numbers.erfc.Erfc, memory=Memory.NEW)
def erfc(step: Step) -> InputGradients:
    """The negative of that."""
    return [_scaled(_bell(step), -2 / math.pi**0.5) * step.gy]


@vjp(functions_of_numbers.ndtr.Ndtr, memory=Memory.NEW)
def ndtr(step: Step) -> InputGradients:
    """The gradient times the density of the normal distribution."""
    x = step.x()
    density = step.xp.exp(_scaled(x ** x.dtype.type(2), -0.5))
    return [_scaled(density, (2 * math.pi) ** -0.5) * step.gy]


@vjp(functions_of_numbers.hyperbolic.Sinh, memory=Memory.NEW)
def sinh(step: Step) -> InputGradients:
    """The gradient times ``cosh(x)``."""
    return [step.xp.cosh(step.x()) * step.gy]


@vjp(functions_of_numbers.hyperbolic.Cosh, memory=Memory.NEW)
def cosh(step: Step) -> InputGradients:
    """The gradient times ``sinh(x)``."""
    return [step.xp.sinh(step.x()) * step.gy]


@vjp(functions_of_numbers.arctanh.Arctanh, memory=Memory.NEW)
def arctanh(step: Step) -> InputGradients:
    """The gradient over ``1 - x**2``."""
    x = step.x()
    one, two = x.dtype.type(1), x.dtype.type(2)
    return [one / (one - x**two) * step.gy]


@vjp(_trigonometric.Sin, memory=Memory.NEW)
def sin(step: Step) -> InputGradients:
    """The gradient times ``cos(x)``."""
    return applied(_trigonometric.SinGrad(), step.x(), step.gy)


@vjp(_trigonometric.Cos, memory=Memory.NEW)
def cos(step: Step) -> InputGradients:
    """The gradient times ``-sin(x)``."""
    return applied(_trigonometric.CosGrad(), step.x(), step.gy)


@vjp(_trigonometric.Tan, memory=Memory.NEW)
def tan(step: Step) -> InputGradients:
    """The gradient over the square of ``cos(x)``."""
    return [step.gy / step.xp.square(step.xp.cos(step.x()))]


@vjp(_trigonometric.Arcsin, memory=Memory.NEW)
def arcsin(step: Step) -> InputGradients:
    """The gradient over ``sqrt(1 - x**2)``."""
    return applied(_trigonometric.ArcsinGrad(), step.x(), step.gy)


@vjp(_trigonometric.Arccos, memory=Memory.NEW)
def arccos(step: Step) -> InputGradients:
    """The negative of that."""
    return applied(_trigonometric.ArccosGrad(), step.x(), step.gy)


@vjp(_trigonometric.Arctan, memory=Memory.NEW)
def arctan(step: Step) -> InputGradients:
    """The gradient over ``1 + x**2``."""
    return applied(_trigonometric.ArctanGrad(), step.x(), step.gy)


@vjp(_basic.Absolute, memory=Memory.NEW)
def absolute(step: Step) -> InputGradients:
    """The gradient with the sign of the input."""
    return applied(_basic.AbsoluteGrad(step.x()), step.gy)


@vjp(_basic.PowVarConst, memory=Memory.NEW)
def power_by_constant(step: Step) -> InputGradients:
    """The gradient times ``c x**(c - 1)``."""
    return applied(_basic.PowVarConstGrad(step.function.value), step.x(), step.gy)


@vjp(_basic.PowConstVar, memory=Memory.NEW)
def power_of_constant(step: Step) -> InputGradients:
    """The gradient times ``c**x log(c)``."""
    return applied(_basic.PowConstVarGrad(step.function.value), step.y(), step.gy)


@vjp(_basic.DivFromConstant, memory=Memory.NEW)
def constant_over(step: Step) -> InputGradients:
    """The gradient times ``-c / x**2``."""
    return applied(_basic.DivFromConstantGrad(step.function.value), step.x(), step.gy)


def _scaled(x: Array, number: float) -> Array:
    """Return x times a number, in the dtype of x."""
    return x.dtype.type(number) * x


def _bell(step: Step) -> Array:
    """Return ``exp(-x**2)``."""
    x = step.x()
    return step.xp.exp(-(x ** x.dtype.type(2)))
