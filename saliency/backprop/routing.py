"""Products of functions that move elements: shapes, axes, parts and copies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.backprop.padding import to_input
from saliency.backprop.registry import InputGradients, Memory, Step, applied, vjp
from saliency.cpu import elementwise, is_fast

import chainer
from chainer import utils
from chainer.functions import array as functions_of_arrays
from chainer.functions.array import get_item as get_item_module
from chainer.functions.math import identity as identity_module

A = functions_of_arrays


@vjp(identity_module.Identity, memory=Memory.PASSED_ON)
def identity(step: Step) -> InputGradients:
    """The gradients themselves."""
    return [step.gradients[i] for i in step.indexes]


@vjp(
    A.reshape.Reshape,
    A.expand_dims.ExpandDims,
    A.squeeze.Squeeze,
    memory=Memory.PASSED_ON,
)
def shape(step: Step) -> InputGradients:
    """The gradient in the shape of the input."""
    return [step.gy.reshape(step.shape(0))]


@vjp(A.transpose.Transpose, memory=Memory.PASSED_ON)
def transposition(step: Step) -> InputGradients:
    """The gradient with its axes where they were."""
    axes = step.function.axes
    if axes:
        axes = tuple(np.argsort([axis % len(axes) for axis in axes]).tolist())
    return [step.gy.transpose(axes)]


@vjp(A.swapaxes.Swapaxes, memory=Memory.PASSED_ON)
def swapped_axes(step: Step) -> InputGradients:
    """The gradient with both axes where they were."""
    return [step.gy.swapaxes(step.function.axis1, step.function.axis2)]


@vjp(A.moveaxis.Moveaxis, memory=Memory.PASSED_ON)
def moved_axes(step: Step) -> InputGradients:
    """The gradient with its axes where they were."""
    function = step.function
    return [step.xp.moveaxis(step.gy, function.destination, function.source)]


@vjp(A.rollaxis.Rollaxis, memory=Memory.PASSED_ON)
def rolled_axis(step: Step) -> InputGradients:
    """The gradient with the axis where it was."""
    function, ndim = step.function, len(step.shape(0))
    order = list(range(ndim))
    axis = order.pop(function.axis)
    start = function.start % ndim if function.start < 0 else function.start
    order.insert(start - (axis < start), axis)
    return [step.gy.transpose(np.argsort(order).tolist())]


@vjp(A.flip.Flip, memory=Memory.PASSED_ON)
def flip(step: Step) -> InputGradients:
    """The gradient in the reverse order."""
    return [step.xp.flip(step.gy, step.function.axis)]


@vjp(A.flipud.FlipUD, memory=Memory.PASSED_ON)
def flip_rows(step: Step) -> InputGradients:
    """The gradient in the reverse order."""
    return [step.xp.flipud(step.gy)]


@vjp(A.fliplr.FlipLR, memory=Memory.PASSED_ON)
def flip_columns(step: Step) -> InputGradients:
    """The gradient in the reverse order."""
    return [step.xp.fliplr(step.gy)]


@vjp(A.depth2space.Depth2Space, memory=Memory.PASSED_ON)
def depth_to_space(step: Step) -> InputGradients:
    """The gradient back in the channels."""
    return applied(A.space2depth.Space2Depth(step.function.r), step.gy)


@vjp(A.space2depth.Space2Depth, memory=Memory.PASSED_ON)
def space_to_depth(step: Step) -> InputGradients:
    """The gradient back in the plane."""
    return applied(A.depth2space.Depth2Space(step.function.r), step.gy)


@vjp(A.cast.Cast, memory=Memory.PASSED_ON)
def cast(step: Step) -> InputGradients:
    """The gradient in the dtype of the input, None for integers."""
    dtype = step.dtype(0)
    return [step.gy.astype(dtype, copy=False) if dtype.kind == "f" else None]


@vjp(A.concat.Concat, memory=Memory.PASSED_ON)
def concatenation(step: Step) -> InputGradients:
    """Each input's part of the gradient."""
    return _parts_along(step, step.gy, step.function.axis)


@vjp(A.vstack.Vstack, memory=Memory.PASSED_ON)
def vertical_stack(step: Step) -> InputGradients:
    """Each input's part of the gradient."""
    return _parts_along(step, step.gy, 0, of_one=len(step.shape(0)) < 2)


@vjp(A.hstack.Hstack, memory=Memory.PASSED_ON)
def horizontal_stack(step: Step) -> InputGradients:
    """Each input's part of the gradient."""
    ndim = len(step.shape(0))
    return _parts_along(step, step.gy, min(1, max(0, ndim - 1)), of_one=ndim == 0)


@vjp(A.dstack.Dstack, memory=Memory.PASSED_ON)
def depth_stack(step: Step) -> InputGradients:
    """Each input's part of the gradient."""
    return _parts_along(step, step.gy, 2, of_one=len(step.shape(0)) < 3)


@vjp(A.stack.Stack, memory=Memory.PASSED_ON)
def stack(step: Step) -> InputGradients:
    """Each input's part of the gradient."""
    gy, axis = step.gy, step.function.axis % step.gy.ndim
    return [gy[(slice(None),) * axis + (i,)] for i in step.indexes]


@vjp(A.split_axis.SplitAxis, memory=Memory.NEW)
def split(step: Step) -> InputGradients:
    """The gradients of all parts, one behind the other."""
    parts, axis = _or_zeros(step, step.function._shapes), step.function.axis
    if any(map(elementwise.is_large, parts)) and is_fast(*parts):
        return [elementwise.joined(parts, axis)]
    return [step.xp.concatenate(parts, axis)]


@vjp(A.separate.Separate, memory=Memory.NEW)
def separation(step: Step) -> InputGradients:
    """The gradients of all parts, one behind the other."""
    shapes = [step.function._shape] * len(step.gradients)
    return [step.xp.stack(_or_zeros(step, shapes), step.function.axis)]


@vjp(get_item_module.GetItem, memory=Memory.NEW)
def get_item(step: Step) -> InputGradients:
    """The gradient where the elements came from."""
    slices, gy = step.function.slices, step.gy
    if not all(_is_basic(s) for s in slices):
        kernel = get_item_module.GetItemGrad(slices, step.shape(0))
        return applied(kernel, gy)
    gx = step.xp.zeros(step.shape(0), gy.dtype)
    gx[slices] = gy
    return [gx]


@vjp(A.select_item.SelectItem, memory=Memory.NEW)
def select_item(step: Step) -> InputGradients | None:
    """The gradient where the elements came from."""
    if step.indexes != (0,):
        return None
    function, labels = step.function, chainer.Variable(step.x(1))
    kernel = A.select_item.Assign(function._in_shape, function._in_dtype, labels)
    return applied(kernel, step.gy)


@vjp(A.scatter_add.ScatterAdd, memory=Memory.SHARED)
def scattered_addition(step: Step) -> InputGradients:
    """The gradient itself, and those of its elements to which something was added."""
    return step.at(lambda: step.gy, lambda: step.gy[step.function.slices])


@vjp(A.pad.Pad, memory=Memory.PASSED_ON)
def padding(step: Step) -> InputGradients:
    """The gradient without the edges, which are added where they were copied from."""
    return [to_input(step.function, step.shape(0), step.gy)]


@vjp(A.pad_sequence.PadSequence, memory=Memory.PASSED_ON)
def padded_sequences(step: Step) -> InputGradients:
    """Each sequence's part of the gradient, without what it was padded with."""
    return [step.gy[i, : step.shape(i)[0]] for i in step.indexes]


@vjp(A.broadcast.BroadcastTo, memory=Memory.PASSED_ON)
def broadcast_to(step: Step) -> InputGradients:
    """The gradients of all copies of an element, added up."""
    return [utils.sum_to(step.gy, step.shape(0))]


@vjp(A.broadcast.Broadcast, memory=Memory.PASSED_ON)
def broadcast(step: Step) -> InputGradients:
    """The gradients of all copies of an element, added up."""
    gys = step.gys
    return [
        None if gy is None else utils.sum_to(gy, step.shape(i))
        for i, gy in ((i, gys[i]) for i in step.indexes)
    ]


@vjp(A.repeat.Repeat, memory=Memory.NEW)
def repetition(step: Step) -> InputGradients:
    """The gradients of all copies of an element, added up."""
    function = step.function
    kernel = A.repeat.RepeatGrad(
        function.repeats, function.axis, step.shape(0), step.dtype(0)
    )
    return applied(kernel, step.gy)


@vjp(A.tile.Tile, memory=Memory.NEW)
def tiling(step: Step) -> InputGradients:
    """The gradients of all copies of an element, added up."""
    gy, shape, reps = step.gy, step.shape(0), step.function.reps
    reps = (1,) * (gy.ndim - len(reps)) + tuple(reps)
    sizes = (1,) * (gy.ndim - len(shape)) + shape
    by_copy = gy.reshape([n for pair in zip(reps, sizes) for n in pair])
    copies = tuple(range(0, 2 * gy.ndim, 2))
    return [by_copy.sum(axis=copies).reshape(shape)]


@vjp(A.permutate.Permutate, memory=Memory.NEW)
def permutation(step: Step) -> InputGradients:
    """The gradient in the order of before."""
    function = step.function
    kernel = A.permutate.Permutate(function.indices, function.axis, not function.inv)
    return applied(kernel, step.gy)


@vjp(A.diagonal.Diagonal, memory=Memory.NEW)
def diagonal(step: Step) -> InputGradients:
    """The gradient on the diagonal, zeros elsewhere."""
    function = step.function
    kernel = A.diagonal.DiagonalGrad(
        step.shape(0), function.offset, function.axis1, function.axis2
    )
    return applied(kernel, step.gy)


@vjp(A.im2col.Im2Col, memory=Memory.NEW)
def patches(step: Step) -> InputGradients:
    """The gradients of all patches that an element is in, added up."""
    function = step.function
    kernel = A.im2col.Im2ColGrad(
        (function.kh, function.kw),
        (function.sy, function.sx),
        (function.ph, function.pw),
        function.cover_all,
        (function.dy, function.dx),
        step.shape(0),
    )
    return applied(kernel, step.gy)


@vjp(A.resize_images.ResizeImages, memory=Memory.NEW)
def resizing(step: Step) -> InputGradients:
    """The transpose of the interpolation."""
    function = step.function
    kernel = A.resize_images.ResizeImagesGrad(
        step.shape(0),
        (function.out_H, function.out_W),
        function.mode,
        function.align_corners,
    )
    return applied(kernel, step.gy)


def _parts_along(step: Step, gy: Array, axis: int, of_one: bool = False) -> list[Array]:
    """Return the parts of the gradient that belong to the inputs, in their shapes.

    Args:
        step (Step): The function.
        gy (array): The gradient at its output.
        axis (int): Along which they lie one behind the other.
        of_one (bool): Whether each has one place on that axis, which its input lacks.
    """
    axis %= gy.ndim
    before = (slice(None),) * axis
    sizes = [1 if of_one else x.shape[axis] for x in step.function.inputs]
    edges = [0, *itertools.accumulate(sizes)]
    return [
        gy[(*before, slice(edges[i], edges[i + 1]))].reshape(step.shape(i))
        for i in step.indexes
    ]


def _or_zeros(step: Step, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return the gradients at the outputs, zeros where there is none."""
    dtype = step.dtype(0)
    return [
        step.xp.zeros(shape, dtype) if gy is None else gy
        for gy, shape in zip(step.gys, shapes)
    ]


def _is_basic(index: Any) -> bool:
    """Tell whether an index takes each element once, and in a view."""
    return index is None or index is Ellipsis or isinstance(index, (int, slice))
