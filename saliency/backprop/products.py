"""Products of matrix products and of softmax."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from saliency.array_types import Array
from saliency.backprop.registry import InputGradients, Memory, Step, applied, vjp
from saliency.cpu import is_fast, memory
from saliency.cpu.products import of_stacks

from chainer import utils
from chainer.functions.activation import log_softmax as log_softmax_module
from chainer.functions.activation import softmax as softmax_module
from chainer.functions.math import einsum as einsum_module
from chainer.functions.math import matmul as matmul_module
from chainer.functions.math import tensordot as tensordot_module


@vjp(matmul_module.MatMul, memory=Memory.NEW)
def matrix_product(step: Step) -> InputGradients | None:
    """The products with the other matrices, transposed."""
    function, gy = step.function, step.gy
    a, b = step.x(0), step.x(1)
    if a.ndim == 1 or b.ndim == 1:
        return None

    def product(left: Array, right: Array, trans: tuple[bool, ...], to: Array) -> Array:
        found = _in_layout_of(to, left, right, trans)
        if found is not None:
            return found
        kernel = matmul_module.MatMul(*trans, to.dtype)
        return utils.sum_to(kernel.forward((left, right))[0], to.shape)

    transa, transb, transc = function.transa, function.transb, function.transc
    return step.at(
        lambda: product(gy, b, (transc, not transb, transa), a),
        lambda: product(a, gy, (not transa, transc, transb), b),
    )


def _in_layout_of(
    to: Array, left: Array, right: Array, trans: tuple[bool, ...]
) -> np.ndarray | None:
    """Return a product of matrices in the layout that an array has in memory.

    Whatever has transposed the array then transposes its gradient back without a copy.

    Args:
        to (array): An array of the product's shape and dtype.
        left (array): ``(..., n, k)``, or its transpose.
        right (array): ``(..., k, m)``, or its transpose.
        trans (tuple of bool): Whether the first, the second and the product are to be
            transposed.

    Returns:
        numpy.ndarray or None: The product; None where there is nothing to gain, or it
        has to be summed up to that shape.
    """
    if not isinstance(to, np.ndarray) or to.ndim < 3 or to.flags.c_contiguous:
        return None
    out = memory.empty_like(to)
    if out.flags.c_contiguous or out.strides[-1] != out.itemsize:
        return None
    transa, transb, transc = trans
    if transc:
        left, right, transa, transb = right, left, not transb, not transa
    a = left.swapaxes(-1, -2) if transa else left
    b = right.swapaxes(-1, -2) if transb else right
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if (*shape, a.shape[-2], b.shape[-1]) != to.shape:
        return None
    found = of_stacks(a, b, out) if is_fast(a, b) else None
    return np.matmul(a, b, out=out) if found is None else found


@vjp(matmul_module.BatchMatMul, memory=Memory.NEW)
def batch_matrix_product(step: Step) -> InputGradients:
    """The products with the other matrices, transposed."""
    gy, a, b = step.gy, step.x(0), step.x(1)
    transa, transb = step.function.transa, step.function.transb
    multiply = matmul_module._batch_matmul
    return step.at(
        lambda: multiply(gy, b, False, not transb, transa).reshape(a.shape),
        lambda: multiply(a, gy, not transa, False, transb).reshape(b.shape),
    )


@vjp(tensordot_module.TensorDot, memory=Memory.NEW)
def tensor_product(step: Step) -> InputGradients:
    """The products with the other array, over the axes that it does not share."""
    function, gy = step.function, step.gy
    a, b = step.x(0), step.x(1)
    a_axes, b_axes, c_axes = function.a_axes, function.b_axes, function.c_axes

    def product(left: Array, right: Array, to: Array, *axes: object) -> Array:
        of_left, of_right, of_result = axes
        kernel = tensordot_module.TensorDot(
            a_axes=of_left, b_axes=of_right, c_axes=of_result, dtype=to.dtype
        )
        return kernel.forward((left, right))[0]

    return step.at(
        lambda: product(gy, b, a, c_axes, [b_axes[1], b_axes[0]], a_axes),
        lambda: product(a, gy, b, [a_axes[1], a_axes[0]], c_axes, b_axes),
    )


@vjp(einsum_module.EinSum, memory=Memory.SHARED)
def einsum(step: Step) -> InputGradients:
    """The sum of products with the gradient in the place of the input.

    Of one operand it may be a view of the gradient.
    """
    arrays = [step.x(i) for i in range(len(step.function.inputs))]
    function = step.function
    terms = [*function.in_subs.split(","), function.out_sub]
    *subscripts, of_output = with_letters(terms, [x.ndim for x in arrays], "@")

    def to_input(i: int) -> Array:
        operands, names = list(arrays), list(subscripts)
        operands[i], names[i] = step.gy, of_output
        kernel = einsum_module.DiagEinSum(
            in_subs=",".join(names), out_sub=subscripts[i], out_shape=step.shape(i)
        )
        return kernel.forward(tuple(operands))[0]

    return [to_input(i) for i in step.indexes]


def with_letters(terms: Sequence[str], n_axis: Sequence[int], dots: str) -> list[str]:
    """Return the terms of an Einstein sum with a letter for each axis behind dots.

    Chainer's own way back confuses these axes with those that only one operand has, if
    that sums them up.

    Args:
        terms (sequence of str): Those of the operands, and that of the output.
        n_axis (sequence of int): How many axes each operand has.
        dots (str): What stands for the axes that have no letters.
    """
    *operands, output = terms
    n_behind = [n + len(dots) - len(term) for term, n in zip(operands, n_axis)]
    most = max((n for t, n in zip(operands, n_behind) if dots in t), default=0)
    used = "".join(terms)
    letters = "".join(c for c in string.ascii_letters if c not in used)[:most]
    # Dots for fewer axes are the last of them.
    spelled = [t.replace(dots, letters[most - n :]) for t, n in zip(operands, n_behind)]
    return [*spelled, output.replace(dots, letters)]


@vjp(softmax_module.Softmax, memory=Memory.NEW)
def softmax(step: Step) -> InputGradients:
    """``y (g - sum(y g))``."""
    kernel = softmax_module._SoftmaxGrad(step.function.axis)
    return applied(kernel, step.y(), step.gy)


@vjp(log_softmax_module.LogSoftmax, memory=Memory.NEW)
def log_softmax(step: Step) -> InputGradients:
    """``g - exp(y) sum(g)``."""
    function = step.function
    kernel = log_softmax_module.LogSoftmaxGrad(
        function._x_xp, function._x_shape, function._x_dtype, function.axis
    )
    return applied(kernel, step.y(), step.gy)
