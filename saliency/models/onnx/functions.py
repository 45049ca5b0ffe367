"""Takes apart what is defined by other operators: functions of a file and of ONNX."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

import onnx
from onnx import defs, helper, inliner, shape_inference

# The domain under which ONNX's own functions are put into a model to be taken apart.
_DOMAIN = "saliency.taken_apart"
_MOST_NODES = 1_000_000


def without_functions(
    model: onnx.ModelProto, known: Container[str], opset: int
) -> onnx.ModelProto:
    """Return a model in which ONNX's functions are replaced by what defines them.

    Args:
        model (onnx.ModelProto): Stays as it is.
        known (container of str): Operators that are not taken apart.
        opset (int): The version of ONNX that the model is written in.

    Raises:
        ValueError: If functions of the model call themselves, or have more than a
            million nodes once they are taken apart.
    """
    if model.functions:
        _check_functions(model)
        model = inliner.inline_local_functions(model)
    if all(_is_known(node, known) for node in all_nodes(model.graph)):
        return model
    return _taken_apart(model, known, opset)


def _check_functions(model: onnx.ModelProto) -> None:
    """Raise a ValueError if functions call themselves, or become very many nodes."""
    functions = {(f.domain, f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size_of(nodes: Iterable[onnx.NodeProto], callers: frozenset[Any]) -> int:
        total = 0
        for node in _nodes_of(nodes):
            name = (node.domain, node.op_type)
            if name in callers:
                raise ValueError(f"function {name[1]!r} of the model calls itself")
            if name in functions and name not in sizes:
                sizes[name] = size_of(functions[name], callers | {name})
            total += sizes.get(name, 1)
        return total

    if size_of(model.graph.node, frozenset()) > _MOST_NODES:
        raise ValueError(f"its functions become more than {_MOST_NODES} nodes")


def _taken_apart(
    model: onnx.ModelProto, known: Container[str], opset: int
) -> onnx.ModelProto:
    """Return a model in which ONNX's functions are replaced by what they stand for."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    types = _types_of(model)
    count = 0
    for node in all_nodes(copy.graph):
        if _is_known(node, known):
            continue
        function = _function_of(node, opset, types)
        if function is None:
            continue
        count += 1
        node.op_type = function.name = f"{node.op_type}_{count}"
        node.domain = function.domain = _DOMAIN
        copy.functions.append(function)
    if not count:
        return model
    copy.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return without_functions(inliner.inline_local_functions(copy), known, opset)


def _function_of(
    node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto]
) -> onnx.FunctionProto | None:
    """Return what a node stands for, and give it the attributes that are left out."""
    if is_quantised(node.op_type):
        return None
    try:
        schema: Any = defs.get_schema(node.op_type, opset, node.domain)
    except defs.SchemaError:
        return None
    text = _definition(schema, node, opset, types)
    function: onnx.FunctionProto = onnx.FunctionProto.FromString(text)
    if not function.node:
        return None
    given = {a.name for a in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.type:
            node.attribute.append(attribute.default_value)
    for imported in function.opset_import:
        if imported.domain in ("", "ai.onnx"):
            imported.version = opset
    return function


def _definition(
    schema: Any, node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto]
) -> bytes:
    """Return ONNX's function for a node, as it is in a file; nothing if it has none."""
    versions = [v for v in schema.function_opset_versions if v <= opset]
    if versions:
        found: bytes = schema.get_function_with_opset_version(max(versions))
        return found
    by_types = schema.context_dependent_function_opset_versions
    versions = [v for v in by_types if v <= opset]
    if not versions or not all(not x or x in types for x in node.input):
        return b""
    inputs = [types.get(x, onnx.TypeProto()) for x in node.input]
    found = schema.get_context_dependent_function_with_opset_version(
        max(versions), node.SerializeToString(), [t.SerializeToString() for t in inputs]
    )
    return found


def _types_of(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """Return the types of values, as far as ONNX infers them."""
    try:
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        graph = model.graph
    infos = [*graph.input, *graph.value_info, *graph.output]
    types = {info.name: info.type for info in infos}
    for tensor in graph.initializer:
        types[tensor.name] = helper.make_tensor_type_proto(
            tensor.data_type, list(tensor.dims)
        )
    return types


def is_of_onnx(node: onnx.NodeProto) -> bool:
    """Tell whether a node's operator is one of ONNX itself."""
    return node.domain in ("", "ai.onnx")


def is_quantised(operator: str) -> bool:
    """Tell whether an operator is about quantised numbers."""
    return any(part in operator.lower() for part in ("quantize", "qlinear", "integer"))


def _is_known(node: onnx.NodeProto, known: Container[str]) -> bool:
    return is_of_onnx(node) and node.op_type in known


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph, and of the graphs within it."""
    yield from _nodes_of(graph.node)


def _nodes_of(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes, and those of the graphs within them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes_of(attribute.g.node)
