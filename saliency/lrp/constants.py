"""Constants of the channels, which are told from the graph and never from values.

Values would not do: where a batch holds one example, or equal ones, everything is the
same in all rows, and the relevance of an example would depend on its batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from saliency.array_types import Array
from saliency.lrp.graph import Application

import chainer
from chainer.functions.activation import relu, sigmoid, softplus, tanh
from chainer.functions.array import (
    broadcast,
    expand_dims,
    get_item,
    reshape,
    squeeze,
)
from chainer.functions.math import basic_math, exponential, sqrt

# What gives each element from one element, as a learned scale exp(log_scale) is made.
_ELEMENTWISE = (
    basic_math.AddConstant,
    basic_math.MulConstant,
    basic_math.Neg,
    basic_math.PowVarConst,
    exponential.Exp,
    relu.ReLU,
    sigmoid.Sigmoid,
    softplus.Softplus,
    sqrt.Sqrt,
    tanh.Tanh,
)
_RESHAPING = (reshape.Reshape, expand_dims.ExpandDims, squeeze.Squeeze)

# Axes along which an array may vary, True or False for each.
_Varies = tuple[bool, ...]


def channel_constant(this: Application, i: int, axis: int = 1) -> Array | None:
    """Return what an input is in each channel, if it is nothing but that by design.

    It has to be a parameter, or a vector among the persistent values of the link that
    applied the function, perhaps reshaped, broadcast or mapped element by element
    since.

    Args:
        this (Application): A function with one output.
        i (int): Which of its inputs; one that does not depend on the target.
        axis (int): The axis of the channels.

    Returns:
        array or None: One value for each element of that axis of the output; None where
        the input may differ along another axis, or between the rows of a batch.
    """
    shape = this.outputs[0].shape
    varies = _varying_axes(this.function.inputs[i], this)
    if varies is None or len(shape) < 2:
        return None
    in_front = len(shape) - len(varies)
    if any(v for own, v in enumerate(varies, in_front) if own != axis):
        return None
    array = this.inputs[i].reshape((1,) * in_front + this.inputs[i].shape)
    vector = this.xp.moveaxis(array, axis, 0)[(slice(None), *(0,) * (len(shape) - 1))]
    return this.xp.broadcast_to(vector, shape[axis : axis + 1])


def is_made_of_parameters(node: chainer.variable.VariableNode) -> bool:
    """Tell whether a variable is a parameter, or computed from parameters alone."""
    waiting, seen = [node], {node}
    while waiting:
        one = waiting.pop()
        if one.creator_node is None:
            if not _is_parameter(one):
                return False
            continue
        new = set(one.creator_node.inputs) - seen
        seen |= new
        waiting.extend(new)
    return True


def _varying_axes(
    node: chainer.variable.VariableNode, this: Application
) -> _Varies | None:
    """Return the axes along which a constant may vary; None if it is no constant."""
    function = node.creator_node
    if function is None:
        is_constant = _is_parameter(node) or _is_persistent(node, this)
        return tuple(n > 1 for n in node.shape) if is_constant else None
    known = (broadcast.BroadcastTo, *_ELEMENTWISE, *_RESHAPING)
    if not (isinstance(function, known) or _adds_axes(function)):
        return None
    (x,) = function.inputs
    varies = _varying_axes(x, this)
    if varies is None or isinstance(function, _ELEMENTWISE):
        return varies
    if isinstance(function, broadcast.BroadcastTo):
        return (False,) * (len(node.shape) - len(varies)) + varies
    return _reshaped(varies, x.shape, node.shape)


def _adds_axes(function: chainer.FunctionNode) -> bool:
    """Tell whether a function is an index such as ``[:, None, None]``: a reshaping."""
    return isinstance(function, get_item.GetItem) and all(
        one is None
        or one is Ellipsis
        or (isinstance(one, slice) and one == slice(None))
        for one in function.slices
    )


def _reshaped(varies: _Varies, shape: tuple[int, ...], to: tuple[int, ...]) -> _Varies:
    """Return the axes along which what is reshaped may vary.

    Strides that both shapes have cut the elements into blocks of axes, and the axes
    of one block may be joined and split. So a batch of one example, whose axis is of
    length 1, comes out as any other.
    """
    strides, new_strides = _strides(shape), _strides(to)
    common = set(strides) & set(new_strides)

    def block(stride: int) -> int:
        return max(s for s in common if s <= stride)

    varying_blocks = {block(s) for s, v in zip(strides, varies) if v}
    return tuple(n > 1 and block(s) in varying_blocks for s, n in zip(new_strides, to))


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Return how many elements lie between neighbours along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _is_parameter(node: chainer.variable.VariableNode) -> bool:
    return isinstance(node.get_variable_or_none(), chainer.Parameter)


def _is_persistent(node: chainer.variable.VariableNode, this: Application) -> bool:
    """Tell whether a variable is a vector that the function's link keeps.

    Anything that has as many axes as the output might be a state of each row.
    """
    array = this.array_of(node)
    if array is None:
        return False
    n_axis = this.outputs[0].ndim
    return any(
        array is kept or (array.base is kept and array.size == kept.size)
        for kept in _persistent_arrays(this.link)
        if kept.ndim < n_axis and kept.size == max(kept.shape, default=1)
    )


def _persistent_arrays(link: chainer.Link | None) -> Iterator[Array]:
    """Return the arrays among the persistent values of a link, of it alone."""
    if link is None:
        return
    for name in link._persistent:
        value = getattr(link, name)
        if isinstance(value, (np.ndarray, chainer.backend.cuda.ndarray)):
            yield value
