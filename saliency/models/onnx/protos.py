"""What is in the messages that ONNX files are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, helper

from saliency.models.onnx.tensors import Tensors


def attribute_value(attribute: onnx.AttributeProto, tensors: Tensors) -> Any:
    """Return an attribute as a value of Python or NumPy; a graph as it is.

    Raises:
        ValueError: If it is a tensor that cannot be read.
    """
    if attribute.type == AttributeProto.TENSOR:
        return tensors.read(attribute.t)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return text_of(value)
    if attribute.type == AttributeProto.STRINGS:
        return [text_of(text) for text in value]
    return value if attribute.type == AttributeProto.GRAPH else _as_list(value)


def has_graphs(proto: onnx.NodeProto) -> bool:
    """Tell whether a node runs other graphs."""
    return any(a.type == AttributeProto.GRAPH for a in proto.attribute)


def text_of(value: str | bytes) -> str:
    """Return a text; damaged files have bytes that are none."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _as_list(value: Any) -> Any:
    """Return repeated numbers of a message as a list, anything else as it is."""
    is_repeated = isinstance(value, Sequence) and not isinstance(value, str)
    return list(value) if is_repeated else value


def needed_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, in their order."""
    needed = {output.name for output in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        nodes.append(node)
        needed.update(names_used(node))
    return nodes[::-1]


def names_used(node: onnx.NodeProto) -> set[str]:
    """Return the names that a node uses of the graph around it, in its graphs too."""
    found = {name for name in node.input if name}
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            graph = attribute.g
            used = {output.name for output in graph.output}
            used = used.union(*(names_used(inner) for inner in graph.node))
            found |= used.difference(names_made(graph))
    return found


def names_made(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of what a graph is given, holds and computes itself.

    A constant that is listed as an input comes twice.
    """
    yield from (info.name for info in graph.input)
    yield from constant_names(graph)
    yield from (name for node in graph.node for name in node.output if name)


def constant_names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of the tensors that a graph holds."""
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)


def constants_of(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the names of constants that are in the file itself, and their tensors."""
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            values = [a.t for a in node.attribute if a.name == "value"]
            tensors += zip(node.output, values)
    for name, tensor in tensors:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            yield name, tensor
