"""Operators that move elements, copy them, or leave them out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.models.onnx.batch_axes import (
    cannot_grow,
    filled_shape,
    grown_shape,
    grown_target,
)
from saliency.models.onnx.families.operands import axes_of, variable
from saliency.models.onnx.operators import Call, Node, integers, number, operator

import chainer
import chainer.functions as F


@operator("Reshape", settings=("shape",))
def reshape(
    call: Call,
    data: Any,
    shape: Any = None,
    *,
    allowzero: int = 0,
    shape_: Sequence[int] | None = None,
) -> Any:
    """The same elements in another shape; 0 keeps an axis, -1 is what is left."""
    target = integers(shape_ if shape is None else shape)
    is_written = shape is None or 1 in call.node.fixed
    if call.growth is not None and is_written:
        return F.reshape(data, grown_shape(data.shape, target, allowzero, call.growth))
    return F.reshape(data, filled_shape(data.shape, target, allowzero))


@operator("Flatten")
def flatten(call: Call, input: Any, *, axis: int = 1) -> Any:
    """A matrix: the axes in front of one are its rows."""
    first = axis % input.ndim if axis < 0 else axis
    n_row = math.prod(input.shape[:first])
    return F.reshape(input, (n_row, math.prod(input.shape[first:])))


@operator("Squeeze", settings=("axes",))
def squeeze(
    call: Call, data: Any, axes: Any = None, *, axes_: Sequence[int] | None = None
) -> Any:
    """Without axes of length 1."""
    axes = axes_ if axes is None else integers(axes)
    if axes is None:
        axes = [a for a, n in enumerate(data.shape) if n == 1]
        if call.growth is not None and call.growth.axis is not None:
            axes += [call.growth.axis] * (call.growth.written == 1)
    left_out = axes_of(axes, data.ndim)
    if call.growth is not None and call.growth.axis in left_out:
        raise cannot_grow(f"Squeeze of {data.shape}", call.growth)
    if any(data.shape[a] != 1 for a in left_out):
        raise ValueError(f"axes {left_out} of {data.shape} cannot be squeezed")
    shape = [n for a, n in enumerate(data.shape) if a not in left_out]
    return F.reshape(data, tuple(shape))


@operator("Unsqueeze", settings=("axes",))
def unsqueeze(
    call: Call, data: Any, axes: Any = None, *, axes_: Sequence[int] | None = None
) -> Any:
    """With more axes of length 1."""
    added = integers(axes_ if axes is None else axes)
    ndim = data.ndim + len(added)
    new = axes_of(added, ndim)
    old = iter(data.shape)
    return F.reshape(data, tuple(1 if a in new else next(old) for a in range(ndim)))


@operator("Transpose")
def transpose(call: Call, data: Any, *, perm: Sequence[int] | None = None) -> Any:
    """The axes in another order."""
    return F.transpose(data, None if perm is None else tuple(perm))


@operator("Concat")
def concat(call: Call, *inputs_0: Any, axis: int = 1) -> Any:
    """All inputs, one behind the other along an axis."""
    parts = [variable(call, x) for x in inputs_0]
    along = axis % parts[0].ndim
    if call.growth is not None:
        parts = _with_batch(call, parts, along)
    if len({x.dtype for x in parts}) > 1:
        parts = [F.cast(x, parts[0].dtype) for x in parts]
    return F.concat(parts, axis=along) if len(parts) > 1 else parts[0]


def _with_batch(
    call: Call, parts: list[chainer.Variable], along: int
) -> list[chainer.Variable]:
    """Repeat what the file has once for an example, such as a token for the class."""
    growth = call.growth
    assert growth is not None
    axis = growth.axis
    if axis is None or axis == along or growth.written != 1:
        return parts
    n = max(x.shape[axis] for x in parts)
    return [
        x
        if x.shape[axis] == n
        else F.broadcast_to(x, (*x.shape[:axis], n, *x.shape[axis + 1 :]))
        for x in parts
    ]


@operator("Split", settings=("split",))
def split(
    call: Call,
    input: Any,
    split: Any = None,
    *,
    axis: int = 0,
    split_: Sequence[int] | None = None,
    num_outputs: int | None = None,
) -> Any:
    """Parts along an axis."""
    along = axis % input.ndim
    sizes = split_ if split is None else integers(split)
    if sizes is None:
        n_part = call.n_output if num_outputs is None else num_outputs
        largest = -(-input.shape[along] // n_part)
        sizes = [largest] * (n_part - 1)
        sizes.append(input.shape[along] - sum(sizes))
    ends = np.cumsum(sizes)
    if ends[-1] != input.shape[along]:
        raise ValueError(f"axis {along} of {input.shape} cannot be split into {sizes}")
    before = (slice(None),) * along
    return tuple(
        input[(*before, slice(e - n, e))] for n, e in zip(sizes, ends.tolist())
    )


@operator("Slice", settings=("starts", "ends", "axes", "steps"))
def cut(
    call: Call,
    data: Any,
    starts: Any = None,
    ends: Any = None,
    axes: Any = None,
    steps: Any = None,
    *,
    starts_: Sequence[int] | None = None,
    ends_: Sequence[int] | None = None,
    axes_: Sequence[int] | None = None,
) -> Any:
    """A part along some axes, with steps."""
    first = integers(starts_ if starts is None else starts)
    last = integers(ends_ if ends is None else ends)
    along = axes_ if axes is None else integers(axes)
    along = range(len(first)) if along is None else along
    by = (1,) * len(first) if steps is None else integers(steps)
    slices = [slice(None)] * data.ndim
    for axis, start, end, step in zip(along, first, last, by):
        slices[axis % data.ndim] = _slice(start, end, step, data.shape[axis])
    return data[tuple(slices)]


def _slice(start: int, end: int, step: int, n: int) -> slice:
    """Return a slice; at the end of one that goes backwards, -1 means nothing."""
    if step < 0:
        end = end + n if end < 0 else end
        return slice(start, None if end < 0 else end, step)
    return slice(start, end, step)


_PAD_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _refuse_mode(node: Node) -> Any:
    mode = node.attributes.get("mode", "constant")
    if mode != "constant" and mode not in _PAD_MODES:
        yield f"its mode {mode!r} is not known"


@operator("Pad", settings=("pads", "constant_value", "axes"), refuses=_refuse_mode)
def pad(
    call: Call,
    data: Any,
    pads: Any = None,
    constant_value: Any = None,
    axes: Any = None,
    *,
    mode: str = "constant",
    pads_: Sequence[int] | None = None,
    value: float = 0.0,
) -> Any:
    """With more elements around it, or fewer where the number is negative."""
    numbers = integers(pads_ if pads is None else pads)
    along = range(data.ndim) if axes is None else integers(axes)
    half = len(numbers) // 2
    widths = [(0, 0)] * data.ndim
    for axis, low, high in zip(along, numbers[:half], numbers[half:]):
        widths[axis % data.ndim] = (low, high)
    if any(n < 0 for pair in widths for n in pair):
        cuts = [
            slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, data.shape)
        ]
        data = data[tuple(cuts)]
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode != "constant":
        return F.pad(data, widths, _PAD_MODES[mode])
    fill = value if constant_value is None else number(constant_value)
    return F.pad(data, widths, "constant", constant_values=fill)


@operator("Expand", settings=("shape",))
def expand(call: Call, input: Any, shape: Any) -> Any:
    """Repeated along axes of length 1."""
    target = integers(shape)
    if call.growth is not None and 1 in call.node.fixed:
        target = grown_target(target, input.shape, call.growth)
    return F.broadcast_to(input, np.broadcast_shapes(input.shape, target))


@operator("Tile", settings=("repeats",))
def tile(call: Call, input: Any, repeats: Any) -> Any:
    """Repeated along each axis."""
    return F.tile(input, integers(repeats))


@operator("DepthToSpace")
def depth_to_space(call: Call, input: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    """Blocks of pixels from channels."""
    n, c, h, w = input.shape
    b, rest = blocksize, c // blocksize**2
    if mode == "CRD":
        y = F.reshape(input, (n, rest, b, b, h, w))
        y = F.transpose(y, (0, 1, 4, 2, 5, 3))
    else:
        y = F.reshape(input, (n, b, b, rest, h, w))
        y = F.transpose(y, (0, 3, 4, 1, 5, 2))
    return F.reshape(y, (n, rest, h * b, w * b))


@operator("SpaceToDepth")
def space_to_depth(call: Call, input: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    """Channels from blocks of pixels."""
    n, c, h, w = input.shape
    b = blocksize
    y = F.reshape(input, (n, c, h // b, b, w // b, b))
    order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    return F.reshape(F.transpose(y, order), (n, c * b * b, h // b, w // b))


@operator("ReverseSequence", settings=("sequence_lens",))
def reverse_sequence(
    call: Call,
    input: Any,
    sequence_lens: Any,
    *,
    batch_axis: int = 1,
    time_axis: int = 0,
) -> Any:
    """Each example backwards, up to its length."""
    n_step, n_row = input.shape[time_axis], input.shape[batch_axis]
    steps = np.tile(np.arange(n_step), (n_row, 1))
    for row, length in zip(steps, integers(sequence_lens)):
        row[:length] = row[:length][::-1].copy()
    index: list[Any] = [slice(None)] * input.ndim
    rows = np.arange(n_row)[:, None]
    if batch_axis == 1:
        steps, rows = steps.T, rows.T
    index[time_axis], index[batch_axis] = call.array(steps), call.array(rows)
    return input[tuple(index)]


@operator("Trilu", settings=("k",))
def triangle(call: Call, input: Any, k: Any = None, *, upper: int = 1) -> Any:
    """The upper or the lower triangle of matrices, and zeros in the other."""
    n, m = input.shape[-2:]
    diagonal = 0 if k is None else int(number(k))
    above = np.arange(m) - np.arange(n)[:, None]
    keeps = call.array(above >= diagonal if upper else above <= diagonal)
    return F.where(keeps, input, call.xp.zeros((), input.dtype))
