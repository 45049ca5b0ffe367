"""Operators that pick elements by their places, or put them there."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.families.windows import Windows
from saliency.models.onnx.operators import (
    Call,
    LinkWith,
    MakeLink,
    Node,
    integers,
    number,
    on_host,
    operator,
)

import chainer
import chainer.functions as F
from chainer import links as L


class Table(L.EmbedID):
    """The rows of a table, by integers; negative ones count from the end."""

    def __init__(self, table: np.ndarray) -> None:
        super().__init__(*table.shape, initialW=table)

    def forward(self, indices: Any) -> chainer.Variable:
        """Return the rows for integers of any shape."""
        places = self.xp.asarray(indices, "int64")
        places = self.xp.where(places < 0, places + len(self.W), places)
        if places.ndim == 0:
            return super().forward(places[None])[0]
        return super().forward(places)


def _table(node: Node) -> MakeLink | None:
    """Return an embedding for rows of a constant table."""
    table = node.constants.get(0)
    is_table = table is not None and table.ndim == 2 and table.dtype.kind == "f"
    if not is_table or table is None or node.attributes.get("axis", 0) not in (0, -2):
        return None
    return lambda: LinkWith(Table(table), [0])


@operator("Gather", link=_table)
def gather(call: Call, data: Any, indices: Any, *, axis: int = 0) -> Any:
    """The slices along an axis that integers name; an embedding of a constant table."""
    before = (slice(None),) * (axis % data.ndim)
    return data[(*before, _places(call, indices))]


def _places(call: Call, indices: Any) -> Any:
    """Return integers as Chainer takes them: one alone as Python's."""
    array = call.array(indices)
    return int(array) if array.ndim == 0 else array


@operator("GatherElements")
def gather_elements(call: Call, data: Any, indices: Any, *, axis: int = 0) -> Any:
    """The element along an axis that an integer names, in each place."""
    return data[_in_each_place(call, call.array(indices), axis % data.ndim)]


def _in_each_place(call: Call, indices: Array, axis: int) -> tuple[Array, ...]:
    """Return an index for each axis: integers along one, the place itself elsewhere."""
    places = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    result = [call.xp.asarray(p) for p in places]
    result[axis] = indices
    return tuple(result)


@operator("GatherND")
def gather_nd(call: Call, data: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    """The elements or slices that rows of integers name."""
    return data[_nd_index(call, data.shape, call.array(indices), batch_dims)]


def _nd_index(
    call: Call, shape: tuple[int, ...], indices: Array, batch_dims: int = 0
) -> tuple[Any, ...]:
    """Return an index for each of the first axes, from the last axis of integers."""
    n_place = indices.ndim - 1
    batch = tuple(
        call.xp.arange(n).reshape((-1,) + (1,) * (n_place - 1 - axis))
        for axis, n in enumerate(shape[:batch_dims])
    )
    return (*batch, *(indices[..., i] for i in range(indices.shape[-1])))


_REDUCTIONS = ("none", "add", "mul", "max", "min")


def _refuse_reduction(node: Node) -> Any:
    reduction = node.attributes.get("reduction", "none")
    if reduction not in _REDUCTIONS:
        yield f"its reduction {reduction!r} is not known"


@operator("ScatterElements", "Scatter", refuses=_refuse_reduction)
def scatter_elements(
    call: Call,
    data: Any,
    indices: Any,
    updates: Any,
    *,
    axis: int = 0,
    reduction: str = "none",
) -> Any:
    """The data with other elements in the places that integers name."""
    along = axis % data.ndim
    places = call.array(indices)
    places = call.xp.where(places < 0, places + data.shape[along], places)
    index = _in_each_place(call, places, along)
    return _scattered(call, data, index, updates, reduction)


@operator("ScatterND", refuses=_refuse_reduction)
def scatter_nd(
    call: Call, data: Any, indices: Any, updates: Any, *, reduction: str = "none"
) -> Any:
    """The data with other elements or slices where rows of integers say."""
    index = _nd_index(call, data.shape, call.array(indices))
    return _scattered(call, data, index, updates, reduction)


def _scattered(
    call: Call, data: Any, index: tuple[Any, ...], updates: Any, reduction: str
) -> Any:
    x, new = variable(call, data), variable(call, updates)
    if reduction == "add":
        return F.scatter_add(x, index, new)
    places = np.arange(x.size).reshape(x.shape)[tuple(map(on_host, index))].reshape(-1)
    if reduction == "mul":
        return _multiplied(call, x, places, F.reshape(new, (-1,)))
    every = F.concat([F.reshape(x, (-1,)), F.reshape(new, (-1,))], axis=0)
    places = np.concatenate([np.arange(x.size), places])
    # In this order they are put into their places, and the last one stays.
    order = np.arange(len(places))
    if reduction != "none":
        values = on_host(every)
        order = np.argsort(values if reduction == "max" else -values, kind="stable")
    winner = np.empty(x.size, np.int64)
    winner[places[order]] = order
    return F.reshape(every[call.array(winner)], x.shape)


def _multiplied(
    call: Call, x: chainer.Variable, places: np.ndarray, new: chainer.Variable
) -> chainer.Variable:
    """Return x with factors in some places, round by round where there are several."""
    y = F.reshape(x, (-1,))
    rest = np.arange(len(places))
    while len(rest):
        _, first = np.unique(places[rest], return_index=True)
        now = rest[first]
        factor = np.zeros(x.size, np.int64)
        factor[places[now]] = now
        is_there = np.zeros(x.size, bool)
        is_there[places[now]] = True
        product = y * new[call.array(factor)]
        y = F.where(call.array(is_there), product, y)
        rest = np.delete(rest, first)
    return F.reshape(y, x.shape)


@operator("Compress", settings=("condition",))
def compress(call: Call, input: Any, condition: Any, *, axis: int | None = None) -> Any:
    """The slices for which a condition is true."""
    chosen = np.flatnonzero(on_host(condition))
    if axis is None:
        return F.reshape(input, (-1,))[call.array(chosen)]
    before = (slice(None),) * (axis % input.ndim)
    return input[(*before, call.array(chosen))]


@operator("TopK", settings=("K",))
def top(
    call: Call,
    X: Any,
    K: Any = None,
    *,
    axis: int = -1,
    k: int | None = None,
    largest: int = 1,
    sorted: int = 1,
) -> Any:
    """The largest or the smallest elements along an axis, and their places."""
    n = k if K is None else int(number(K))
    along = axis % X.ndim
    values = on_host(X)
    order = np.argsort(-values if largest else values, axis=along, kind="stable")
    before = (slice(None),) * along
    first = order[(*before, slice(n))]
    return X[_in_each_place(call, call.array(first), along)], first


@operator("MaxUnpool", settings=("output_shape",))
def max_unpool(
    call: Call,
    X: Any,
    I: Any,  # noqa: E741 (ONNX's name)
    output_shape: Any = None,
    *,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """Elements put where a pooling has found them, and zeros elsewhere."""
    n_axis = X.ndim - 2
    steps = strides or [1] * n_axis
    low_high = pads or [0] * (2 * n_axis)
    sizes = [
        (X.shape[2 + i] - 1) * steps[i]
        - low_high[i]
        - low_high[n_axis + i]
        + kernel_shape[i]
        for i in range(n_axis)
    ]
    shape = (*X.shape[:2], *sizes)
    places = call.array(I).reshape(-1)
    given = shape
    if output_shape is not None:
        given = tuple(int(n) for n in on_host(output_shape))
        grid = np.unravel_index(on_host(places), shape)
        places = call.array(np.ravel_multi_index(grid, given))
    empty = variable(call, np.zeros(int(np.prod(given)), X.dtype))
    return F.reshape(F.scatter_add(empty, places, F.reshape(X, (-1,))), given)


@operator("Col2Im", settings=("image_shape", "block_shape"))
def columns_to_image(
    call: Call,
    input: Any,
    image_shape: Any,
    block_shape: Any,
    *,
    dilations: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """An image that is the sum of overlapping blocks, which are columns."""
    sizes = integers(image_shape)
    windows = Windows.of(integers(block_shape), call.node.attributes)
    counts = windows.counts(sizes, list(windows.pads))
    n_element = int(np.prod(windows.kernel))
    n, n_channel = len(input), input.shape[1] // n_element
    blocks = F.reshape(input, (n, n_channel, n_element, *counts))
    whole = [size + low + high for size, (low, high) in zip(sizes, windows.pads)]
    y = variable(call, np.zeros((n, n_channel, *whole), input.dtype))
    for i, places in enumerate(windows.slices(counts)):
        y = F.scatter_add(y, (slice(None), slice(None), *places), blocks[:, :, i])
    inner = [slice(low, low + size) for size, low in zip(sizes, windows.lows)]
    return y[(slice(None), slice(None), *inner)]
