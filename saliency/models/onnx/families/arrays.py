"""Operators whose outputs have no gradient: shapes, indexes, comparisons, logic."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.models.onnx.folding import evaluate
from saliency.models.onnx.operators import Call, Node, on_host, operator


@operator("Shape", gives_arrays=True)
def shape(call: Call, data: Any, *, start: int = 0, end: int | None = None) -> Any:
    """The shape, or a part of it."""
    return np.asarray(data.shape[start:end], np.int64)


@operator("Size", gives_arrays=True)
def size(call: Call, data: Any) -> Any:
    """The number of elements."""
    return np.asarray(data.size, np.int64)


def _by_reference(call: Call, *inputs: Any) -> Any:
    """Return what the reference implementation of ONNX computes on the host."""
    return evaluate(call.node, [x if x is None else on_host(x) for x in inputs])


@operator(
    "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", gives_arrays=True
)
def comparison(call: Call, A: Any, B: Any) -> Any:
    """Whether it is so, element by element."""
    return _by_reference(call, A, B)


@operator("And", "Or", "Xor", gives_arrays=True)
def logic(call: Call, A: Any, B: Any) -> Any:
    """Truth values of two inputs, element by element."""
    return _by_reference(call, A, B)


@operator("Not", gives_arrays=True)
def logical_not(call: Call, X: Any) -> Any:
    """The other truth value, element by element."""
    return _by_reference(call, X)


@operator("BitShift", gives_arrays=True)
def bit_shift(call: Call, X: Any, Y: Any, *, direction: str) -> Any:
    """The bits of integers, shifted."""
    return _by_reference(call, X, Y)


@operator("BitwiseAnd", "BitwiseOr", "BitwiseXor", gives_arrays=True)
def bitwise(call: Call, A: Any, B: Any) -> Any:
    """The bits of two integers, one by one."""
    return _by_reference(call, A, B)


@operator("BitwiseNot", gives_arrays=True)
def bitwise_not(call: Call, X: Any) -> Any:
    """The other bits."""
    return _by_reference(call, X)


@operator("IsNaN", gives_arrays=True)
def is_nan(call: Call, X: Any) -> Any:
    """Whether it is no number, element by element."""
    return _by_reference(call, X)


@operator("IsInf", gives_arrays=True)
def is_infinite(
    call: Call, X: Any, *, detect_negative: int = 1, detect_positive: int = 1
) -> Any:
    """Whether it is infinite, element by element."""
    return _by_reference(call, X)


@operator("ArgMax", "ArgMin", gives_arrays=True)
def arg_extreme(
    call: Call,
    data: Any,
    *,
    axis: int = 0,
    keepdims: int = 1,
    select_last_index: int = 0,
) -> Any:
    """Where the largest or the smallest element along an axis is."""
    return _by_reference(call, data)


@operator("NonZero", gives_arrays=True)
def non_zero(call: Call, X: Any) -> Any:
    """Where there is no zero."""
    return _by_reference(call, X)


@operator("Unique", gives_arrays=True)
def unique(call: Call, X: Any, *, axis: int | None = None, sorted: int = 1) -> Any:
    """Each value once, and where it is."""
    return _by_reference(call, X)


def _refuse_texts(node: Node) -> Any:
    strange = {"sparse_value", "value_string", "value_strings"}
    for name in sorted(strange.intersection(node.attributes)):
        yield f"its attribute {name!r} is not known"


@operator("Constant", gives_arrays=True, refuses=_refuse_texts)
def constant(
    call: Call,
    *,
    sparse_value: Any = None,
    value: Any = None,
    value_float: Any = None,
    value_floats: Any = None,
    value_int: Any = None,
    value_ints: Any = None,
    value_string: Any = None,
    value_strings: Any = None,
) -> Any:
    """What the file holds; it is computed when the file is loaded."""
    return _by_reference(call)


@operator("ConstantOfShape", gives_arrays=True)
def constant_of_shape(call: Call, input: Any, *, value: Any = None) -> Any:
    """An array of a given shape, of one value."""
    return _by_reference(call, input)


@operator("Range", gives_arrays=True)
def number_range(
    call: Call, start: Any, limit: Any, delta: Any, *, stash_type: int = 1
) -> Any:
    """Numbers in a row."""
    return _by_reference(call, start, limit, delta)


@operator("EyeLike", gives_arrays=True)
def eye_like(call: Call, input: Any, *, dtype: int | None = None, k: int = 0) -> Any:
    """The identity matrix of the shape of another."""
    return _by_reference(call, input)


@operator("OneHot", gives_arrays=True)
def one_hot(
    call: Call, indices: Any, depth: Any, values: Any, *, axis: int = -1
) -> Any:
    """Rows that differ at the index alone."""
    return _by_reference(call, indices, depth, values)


@operator("HannWindow", "HammingWindow", "BlackmanWindow", gives_arrays=True)
def window(
    call: Call, size: Any, *, output_datatype: int = 1, periodic: int = 1
) -> Any:
    """A window for spectra."""
    return _by_reference(call, size)


@operator("MelWeightMatrix", gives_arrays=True)
def mel_weights(
    call: Call,
    num_mel_bins: Any,
    dft_length: Any,
    sample_rate: Any,
    lower_edge_hertz: Any,
    upper_edge_hertz: Any,
    *,
    output_datatype: int = 1,
) -> Any:
    """The weights of frequencies in the bands of the mel scale."""
    edges = (lower_edge_hertz, upper_edge_hertz)
    return _by_reference(call, num_mel_bins, dft_length, sample_rate, *edges)


@operator("NonMaxSuppression", gives_arrays=True)
def non_max_suppression(
    call: Call,
    boxes: Any,
    scores: Any,
    max_output_boxes_per_class: Any = None,
    iou_threshold: Any = None,
    score_threshold: Any = None,
    *,
    center_point_box: int = 0,
) -> Any:
    """The boxes that are left of those that overlap."""
    found = (boxes, scores, max_output_boxes_per_class, iou_threshold, score_threshold)
    return _by_reference(call, *found[: call.node.n_input])
