"""Functions of Chainer as rules see them: affine in the inputs that get relevance."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from saliency.array_types import Array
from saliency.backprop import input_gradients
from saliency.lrp.constants import channel_constant, is_made_of_parameters
from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.rules import Affine, Norm, Selection, SumRule, every, nothing

import chainer
from chainer.functions.connection import deconvolution_2d, deconvolution_nd
from chainer.functions.math import (
    basic_math,
    einsum,
    matmul,
    sparse_matmul,
    tensordot,
)
from chainer.functions.normalization import batch_normalization


class WeightedSum:
    """A linear layer, convolution, deconvolution or product: x, W and perhaps b.

    What is merged behind it (batch normalization, scale, bias) becomes part of W and
    b. The function itself is applied again to other arrays, through its own forward
    and backward, so this covers every stride, padding, dilation and group.

    Args:
        this (Application): The function; its inputs are x, W and perhaps b.
        at (int): Which input is x; the other one of the first two is W.
    """

    def __init__(self, this: Application, at: int = 0) -> None:
        x, W = this.inputs[at], this.inputs[1 - at]
        self._at = at
        self._own_W = W  # that of the function itself
        self.xs = [x]
        self.output = (this.merged or [this])[-1].outputs[0]
        b = this.inputs[2] if len(this.inputs) > 2 else None
        if b is not None:
            b = b[None] if b.ndim > 1 else _on_axis(1, b, self.output.ndim)
        axes = channel_axes(this)
        for upper in this.merged:
            assert axes is not None  # it would not have been merged
            of_W, of_output = axes
            found = channel_scaling(upper, of_output)
            assert found is not None
            scale, shift = found
            W = _scaled_weights(this.function, W, scale, of_W)
            shift = _on_axis(of_output, shift, self.output.ndim)
            b = shift if b is None else b * _on_axis(of_output, scale, b.ndim) + shift
        self._W = W
        self._b = b
        self._function = this.function
        self._selected: dict[Selection, Array] = {}  # of W

    def product(self, xs: Sequence[Array], select: Selection) -> Array:
        """Return the function of x and what is selected of W, without the bias."""
        arrays = self._in_order(xs[0], self._selected_weights(select))
        return _applied_again(self._function, arrays).forward(arrays)[0]

    def transposed(self, s: Array, select: Selection) -> list[Array]:
        """Return its gradient at x, with what is selected of W."""
        W = self._selected_weights(select)
        function = self._function
        if W is not self._own_W:
            function = _applied_again(function, self._in_order(self.xs[0], W))
        return input_gradients(function, (self._at,), [s])

    def bias(self, select: Selection) -> Array:
        """Return what is selected of the bias."""
        return 0 if self._b is None or select is nothing else select(self._b)

    def _in_order(self, x: Array, W: Array) -> tuple[Array, ...]:
        return (W, x) if self._at else (x, W)

    def _selected_weights(self, select: Selection) -> Array:
        if select not in self._selected:
            self._selected[select] = select(self._W)
        return self._selected[select]


class SignedSum:
    """``a + b``, ``a - b``, ``x + 1``, ``1 - x``: each input with a sign.

    Args:
        this (Application): The function.
        signs (sequence of int): 1 or -1 for each input.
        constant (float or array): What it adds by itself.
    """

    def __init__(
        self, this: Application, signs: Sequence[int], constant: float | Array = 0
    ) -> None:
        self.xs = [x for x, a in zip(this.inputs, this.active) if a]
        self._signs = [s for s, a in zip(signs, this.active) if a]
        self.output = this.outputs[0]
        passive = [s * x for s, x, a in zip(signs, this.inputs, this.active) if not a]
        xp = this.xp
        bias = xp.asarray(sum(passive) + xp.asarray(constant, self.output.dtype))
        # An attention mask adds minus infinity, and what is infinite shares nothing.
        self._bias = xp.where(xp.isinf(bias), bias.dtype.type(0), bias)

    def product(self, xs: Sequence[Array], select: Selection) -> Array:
        """Return the sum with what is selected of the signs as weights."""
        return sum(_selected_number(select, s, x) * x for s, x in zip(self._signs, xs))

    def transposed(self, s: Array, select: Selection) -> list[Array]:
        """Return s for each input, with what is selected of its sign."""
        weights = (_selected_number(select, w, x) for w, x in zip(self._signs, self.xs))
        return [
            chainer.utils.sum_to(s if w == 1 else w * s, x.shape)
            for w, x in zip(weights, self.xs)
        ]

    def bias(self, select: Selection) -> Array:
        """Return what is selected of what passive inputs and the constant add."""
        return 0 if select is nothing else select(self._bias)


class Pooled:
    """A sum or mean of elements, all with positive weights, which rules take as 1.

    Args:
        this (Application): The function; linear in its first inputs.
        n_summed (int): In how many of them it is.
    """

    def __init__(self, this: Application, n_summed: int = 1) -> None:
        self._this = this
        self._active = [i for i in range(n_summed) if this.active[i]]
        self._passive = [i for i in range(n_summed) if not this.active[i]]
        self.xs = [this.inputs[i] for i in self._active]
        self.output = this.outputs[0]

    def product(self, xs: Sequence[Array], select: Selection) -> Array:
        """Return the function of other inputs."""
        y = self._applied(xs, [0 * self._this.inputs[i] for i in self._passive])
        return _selected_number(select, 1, y) * y

    def transposed(self, s: Array, select: Selection) -> list[Array]:
        """Return its gradient."""
        gradient = self._this.gradient([s])
        return [_selected_number(select, 1, s) * gradient[i] for i in self._active]

    def bias(self, select: Selection) -> Array:
        """Return what is selected of what passive inputs add."""
        if select is nothing or not self._passive:
            return 0
        passive = [self._this.inputs[i] for i in self._passive]
        return select(self._applied([0 * x for x in self.xs], passive))

    def _applied(self, active: Sequence[Array], passive: Sequence[Array]) -> Array:
        arrays = list(self._this.inputs)
        for i, x in zip([*self._active, *self._passive], [*active, *passive]):
            arrays[i] = x
        again = _applied_again(self._this.function, arrays)
        return again.forward(tuple(arrays))[0]


class Scaled:
    """Elementwise ``scale * x + shift``: normalization with given statistics.

    Args:
        this (Application): The function; its first input is x.
        scale (array): Broadcastable to x.
        shift (array): Broadcastable to x.
    """

    def __init__(self, this: Application, scale: Array, shift: Array) -> None:
        self.xs = [this.inputs[0]]
        self.output = this.outputs[0]
        self._scale, self._shift = scale, shift

    def product(self, xs: Sequence[Array], select: Selection) -> Array:
        """Return x times what is selected of the scale."""
        return xs[0] * select(self._scale)

    def transposed(self, s: Array, select: Selection) -> list[Array]:
        """Return s times what is selected of the scale."""
        return [s * select(self._scale)]

    def bias(self, select: Selection) -> Array:
        """Return what is selected of the shift."""
        return 0 if select is nothing else select(self._shift)


class Standardized:
    r"""Centred and scaled over axes, with the deviation taken as constant.

    Layer and group normalization, ``scale * (x - mean) / std + shift``, as in Ali et
    al. (2022), "XAI for transformers: better explanations through conservative
    propagation". The weights are :math:`w_{jk} = s_k (\delta_{jk} - 1 / n)` for n
    elements that are normalized together, and :math:`s_k` the scale over the deviation.

    Args:
        this (Application): The function; its first input is x.
        shape (tuple of int): Shape of x in which the last axis is normalized.
        scale (array): Scale divided by the deviation, broadcastable to x.
        shift (array): Broadcastable to x.
    """

    def __init__(
        self, this: Application, shape: tuple[int, ...], scale: Array, shift: Array
    ) -> None:
        self.xs = [this.inputs[0]]
        self.output = this.outputs[0]
        self._shape, self._scale, self._shift = shape, scale, shift

    def product(self, xs: Sequence[Array], select: Selection) -> Array:
        """Return the sum of x times what is selected of the weights."""
        (x,) = xs
        if select is every:  # has fewer rounding errors
            return self._scale * (x - self._total(x) / self._shape[-1])
        own, common = self._weights(select)
        return own * x + common * self._total(x)

    def transposed(self, s: Array, select: Selection) -> list[Array]:
        """Return the transpose of that."""
        if select is every:
            scaled = self._scale * s
            return [scaled - self._total(scaled) / self._shape[-1]]
        own, common = self._weights(select)
        return [own * s + self._total(common * s)]

    def bias(self, select: Selection) -> Array:
        """Return what is selected of the shift."""
        return 0 if select is nothing else select(self._shift)

    def _weights(self, select: Selection) -> tuple[Array, Array]:
        """Return what an element's own weight has besides, and the common weight."""
        n = self._shape[-1]
        common = select(-self._scale / n)
        return select(self._scale * (1 - 1 / n)) - common, common

    def _total(self, x: Array) -> Array:
        """Return the sum over the elements that are normalized together."""
        rows = x.reshape(self._shape)
        total = rows.sum(axis=-1, keepdims=True)
        return (
            chainer.backend.get_array_module(x)
            .broadcast_to(total, self._shape)
            .reshape(x.shape)
        )


def share(this: Application, rule: SumRule | None, affine: Affine) -> InputRelevance:
    """Return the relevance of the inputs of an affine function, by a rule.

    Args:
        this (Application): The function.
        rule (SumRule or None): None is :class:`~saliency.lrp.rules.Norm`.
        affine (Affine): The same function, as the rule sees it.
    """
    return (rule or Norm()).share(this, affine)


def check_weights(this: Application) -> None:
    """Raise a ValueError if anything but the first input depends on the target."""
    if any(this.active[1:]):
        raise ValueError(
            f"no relevance goes through {this.label}: its weights or bias depend on "
            "the target, too; register a handler for what should be done there"
        )


_PRODUCTS = (
    einsum.EinSum,
    matmul.BatchMatMul,
    matmul.MatMul,
    sparse_matmul.CooMatMul,
    tensordot.TensorDot,
)


def is_linear_layer(this: Application) -> bool:
    """Tell whether a matrix product is a linear layer, as in ``x @ self.W``.

    One factor is a signal, and the other one is made of parameters alone. An array
    that is none, such as the adjacency matrix of a graph, is part of the data.
    """
    if not (isinstance(this.function, _PRODUCTS) and has_weights(this)):
        return False
    return is_made_of_parameters(this.function.inputs[this.active.index(False)])


def has_weights(this: Application) -> bool:
    """Tell whether one of two factors is a signal, so that the other is its weights."""
    return len(this.inputs) == 2 and sum(this.active) == 1


def channel_axes(this: Application) -> tuple[int, int] | None:
    """Return the axes of the weights and of the output that count a layer's channels.

    Returns:
        tuple of int or None: The axis of W and that of the output; None for a product
        that has no such axis. (A deconvolution's axis of W is split into groups.)
    """
    function = this.function
    ndim = this.outputs[0].ndim
    if isinstance(function, matmul.MatMul):
        is_behind = this.active[0] and this.inputs[1].ndim == 2 and ndim > 1
        return (1 - function.transb, ndim - 1) if is_behind else None
    if isinstance(function, einsum.EinSum):
        subscripts = function.in_subs.split(",")
        of_x, of_W = subscripts if this.active[0] else reversed(subscripts)
        own = [char for char in function.out_sub if char not in of_x]
        if "@" in of_W or len(own) != 1 or of_W.count(own[0]) != 1:
            return None
        return of_W.index(own[0]), function.out_sub.index(own[0])
    return None if isinstance(function, _PRODUCTS) else (0, 1)


def channel_scaling(this: Application, axis: int) -> tuple[Array, Array] | None:
    """Return scale and shift of each channel, if that is what it does.

    For batch normalization with given statistics, and for sums and products with
    parameters and persistent values that depend on the channel alone.

    Args:
        this (Application): The function.
        axis (int): The axis of the channels.
    """
    xp = this.xp
    function = this.function
    if sum(this.active) != 1:
        return None
    if isinstance(function, batch_normalization.FixedBatchNormalization):
        is_affine = this.active[0] and tuple(function.key_axis) == (axis,)
        return fixed_scale_and_shift(this) if is_affine else None
    if not isinstance(function, (basic_math.Add, basic_math.Mul)):
        return None
    active, passive = (0, 1) if this.active[0] else (1, 0)
    if this.inputs[active].shape != this.outputs[0].shape:
        return None  # it was broadcast to the constant
    channels = channel_constant(this, passive, axis)
    if channels is None:
        return None
    if isinstance(function, basic_math.Mul):
        return channels, xp.zeros_like(channels)
    return xp.ones_like(channels), channels


def fixed_scale_and_shift(this: Application) -> tuple[Array, Array]:
    """Return scale and shift of batch normalization with given statistics."""
    _, gamma, beta, mean, var = this.inputs
    scale = gamma / this.xp.sqrt(var + this.function.eps)
    return scale, beta - mean * scale


def _scaled_weights(
    function: chainer.FunctionNode, W: Array, scale: Array, axis: int
) -> Array:
    """Return the weights with the output's channels scaled."""
    is_deconvolution = isinstance(
        function,
        (deconvolution_2d.Deconvolution2DFunction, deconvolution_nd.DeconvolutionND),
    )
    if not is_deconvolution:
        return W * _on_axis(axis, scale, W.ndim)
    # Its W has the axes input, output, ...; outputs are counted within each group.
    groups = getattr(function, "groups", 1)
    rows = W.reshape(groups, -1, *W.shape[1:])
    ones = (1,) * (W.ndim - 2)
    return (rows * scale.reshape(groups, 1, W.shape[1], *ones)).reshape(W.shape)


def _on_axis(axis: int, vector: Array, ndim: int) -> Array:
    """Return a vector as an array of so many dimensions, along one of them."""
    return vector.reshape([-1 if i == axis else 1 for i in range(ndim)])


def _applied_again(
    function: chainer.FunctionNode, arrays: Sequence[Array]
) -> chainer.FunctionNode:
    """Return a copy of a function that has other inputs; the original stays."""
    again = copy.copy(function)
    variables = [chainer.Variable(a, requires_grad=False) for a in arrays]
    for variable in variables:
        variable.retain_data()
    again.inputs = tuple(v.node for v in variables)
    again.held = variables  # nodes know their variables weakly
    again._input_layouts = function.input_layouts[: len(arrays)]
    again._retained_output_data = None
    if isinstance(function, chainer.function.FunctionAdapter):
        again._function = copy.copy(function.function)  # forward writes into it
    return again


def _selected_number(select: Selection, number: float, like: Array) -> Array:
    """Return what is selected of a weight that is one number, 1 or -1."""
    return like.dtype.type(select(np.array([number], like.dtype))[0])
