"""Operators on arrays, by the reference implementation that comes with ONNX."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from saliency.models.onnx.operators import DTYPES, Node

# Bytes of arrays that a node may give. No file can hold more.
_LARGEST = 2**31
# What can give much of little while a model runs, from the shapes of its inputs.
_GROWING = frozenset(("ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Tile"))
# Operators that the reference implementation lacks in older versions, though all that
# these take is computed in the same way by that of the opset here.
_IMPLEMENTED_FROM = {"DequantizeLinear": 19}
# Numbers of an input that may decide on the shape of an output.
_MOST_SIZES = 1000


def anonymous(proto: onnx.NodeProto) -> bytes:
    """Return a node as :func:`evaluate` takes it, with numbers as names."""
    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    copy.ClearField("name")
    copy.ClearField("doc_string")
    for names, letter in ((copy.input, "i"), (copy.output, "o")):
        renamed = [f"{letter}{k}" if name else "" for k, name in enumerate(names)]
        del names[:]
        names.extend(renamed)
    return bytes(copy.SerializeToString())


def evaluate(
    node: Node, inputs: Sequence[np.ndarray | None]
) -> tuple[np.ndarray | None, ...]:
    """Return the outputs of a node, None for those that it leaves out.

    Args:
        node (Node): Its operator knows neither randomness nor other graphs.
        inputs (sequence of array or None): Arrays of NumPy, on the host.

    Raises:
        MemoryError: If an array would have more than 2 GB, of an operator that can make
            much of little.
        ValueError: If the operator does not take these arrays.
    """
    if node.type in _GROWING:
        check_size(node, n_byte_of(node, inputs))
    opset = max(node.opset, _IMPLEMENTED_FROM.get(node.type, 0))
    feeds = {f"i{k}": x for k, x in enumerate(inputs) if x is not None}
    try:
        evaluator, outputs = _evaluator(node.proto, opset)
        with np.errstate(all="ignore"):
            found = evaluator.run(None, feeds)
    except Exception as reason:  # of as many kinds as there are operators
        raise ValueError(
            f"{node.type} ({node.name}) cannot be computed: "
            f"{type(reason).__name__}: {reason}"
        ) from reason
    if any(not isinstance(value, (np.ndarray, np.generic)) for value in found):
        raise ValueError(f"{node.type} ({node.name}): it gives no tensor")
    values = iter(found)
    return tuple(np.asarray(next(values)) if name else None for name in outputs)


@functools.lru_cache(maxsize=10_000)
def _evaluator(proto: bytes, opset: int) -> tuple[ReferenceEvaluator, tuple[str, ...]]:
    """Return what computes a node, and the names of its outputs."""
    node = onnx.NodeProto.FromString(proto)

    def infos(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
        # Of no type: the evaluator does not look at it.
        return [onnx.ValueInfoProto(name=name) for name in names if name]

    graph = helper.make_graph([node], "node", infos(node.input), infos(node.output))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model), tuple(node.output)


def check_size(node: Node, n_byte: int) -> None:
    """Raise a MemoryError if few bytes would become very many."""
    if n_byte > _LARGEST:
        raise MemoryError(
            f"{node.type} ({node.name}): constants would take {n_byte} bytes, more "
            "than 2 GB"
        )


def n_byte_of(node: Node, inputs: Sequence[np.ndarray | None]) -> int:
    """Return how many bytes the outputs of a node have, as far as ONNX infers it."""
    proto = onnx.NodeProto.FromString(node.proto)
    given = {f"i{k}": x for k, x in enumerate(inputs) if x is not None}
    few = {name: x for name, x in given.items() if x.size <= _MOST_SIZES}
    try:
        schema = onnx.defs.get_schema(node.type, node.opset)
        types = onnx.shape_inference.infer_node_outputs(
            schema,
            proto,
            {name: _type_of(x) for name, x in given.items()},
            {name: numpy_helper.from_array(x, name) for name, x in few.items()},
            opset_imports=[helper.make_opsetid("", node.opset)],
        )
    except Exception:  # what it cannot infer is an error when it is computed
        return 0
    return sum(_n_byte_of_type(info.tensor_type) for info in types.values())


def _type_of(x: np.ndarray) -> onnx.TypeProto:
    element = helper.np_dtype_to_tensor_dtype(x.dtype)
    return helper.make_tensor_type_proto(element, x.shape)


def _n_byte_of_type(tensor: onnx.TypeProto.Tensor) -> int:
    """Return the bytes of a tensor, 0 if its shape is not known."""
    dtype = np.dtype(DTYPES.get(tensor.elem_type, "int64"))
    is_known = all(d.WhichOneof("value") == "dim_value" for d in tensor.shape.dim)
    if not tensor.HasField("shape") or not is_known:
        return 0
    size: int = math.prod(d.dim_value for d in tensor.shape.dim)
    return size * dtype.itemsize
