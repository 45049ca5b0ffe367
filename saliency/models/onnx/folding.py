"""Operators on arrays, by the reference implementation that comes with ONNX."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from saliency.models.onnx.operators import Node, integers, number

# Bytes of one array that is computed from constants. No file can hold more.
_LARGEST = 2**31


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
        MemoryError: If an output would be larger than 2 GB.
        ValueError: If the operator does not take these arrays.
    """
    _check_size(node, inputs)
    evaluator, outputs = _evaluator(node.proto, node.opset)
    feeds = {f"i{k}": x for k, x in enumerate(inputs) if x is not None}
    try:
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


def _check_size(node: Node, inputs: Sequence[np.ndarray | None]) -> None:
    """Raise a MemoryError if few bytes would become very many."""
    size = _grown_size(node.type, inputs)
    if size * 8 > _LARGEST * 2:
        raise MemoryError(
            f"{node.type} ({node.name}) would make an array of {size} numbers from "
            "constants alone"
        )


def _grown_size(operator: str, inputs: Sequence[np.ndarray | None]) -> int:
    """Return how many numbers an operator gives that can give more than it gets."""
    first, second, *_ = *inputs, None, None
    if operator == "ConstantOfShape" and first is not None:
        return math.prod(integers(first))
    if first is None or second is None:
        return 0
    if operator in ("Expand", "Tile"):
        return first.size * math.prod(max(n, 0) for n in integers(second))
    if operator == "Pad":
        return math.prod(
            n + max(sum(p), 0)
            for n, p in zip(first.shape, np.reshape(second, (2, -1)).T.tolist())
        )
    if operator == "OneHot":
        return first.size * max(integers(second))
    if operator == "Range" and inputs[2] is not None:
        start, limit, step = (float(number(x)) for x in (first, second, inputs[2]))
        span = abs(limit - start) / max(abs(step), 1e-300)
        return int(min(span, 2**62))
    return 0
