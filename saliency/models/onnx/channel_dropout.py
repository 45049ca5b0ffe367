"""The dropout of whole channels, which exporters write in random numbers.

ONNX has none. PyTorch writes ``Dropout2d`` of a network in training as

    x * (cast(uniform < p) / p)

with numbers for each example and channel, where p is the share that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import onnx
from onnx import TensorProto, helper, numpy_helper

from saliency.models.onnx.protos import constants_of


class _Noise(NamedTuple):
    """Random numbers that are 0, or 1 / kept.

    Attributes:
        kept (float): The share of those that are not 0.
        like (str): The name of a value of their shape.
    """

    kept: float
    like: str


def with_channel_dropout(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in which such products are Dropout nodes.

    These have a fourth input, which ONNX does not know: of its shape is what is drawn.
    """
    if all(node.op_type != "RandomUniformLike" for node in model.graph.node):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    makers = {name: node for node in graph.node for name in node.output}
    numbers = _numbers(graph)
    for node in graph.node:
        if node.op_type == "Mul":
            for data, factor in (node.input, reversed(node.input)):
                noise = _noise(factor, makers, numbers)
                if noise is not None:
                    _become_dropout(node, data, noise)
                    break
    return copy


def _become_dropout(node: onnx.NodeProto, data: str, noise: _Noise) -> None:
    node.op_type = "Dropout"
    node.input[:] = [data, "", "", noise.like]
    node.attribute.append(helper.make_attribute("ratio", 1 - noise.kept))


def _noise(
    name: str, makers: Mapping[str, onnx.NodeProto], numbers: Mapping[str, float]
) -> _Noise | None:
    """Return the random numbers of a name, if that is what the value is."""
    chain = []
    for operator in ("Div", "Cast", "Less", "RandomUniformLike"):
        node = makers.get(name)
        if node is None or node.op_type != operator:
            return None
        chain.append(node)
        name = node.input[0]
    division, _, comparison, uniform = chain
    kept = numbers.get(comparison.input[1])
    is_scaled = kept is not None and numbers.get(division.input[1]) == kept
    ends = {a.name: a.f for a in uniform.attribute}
    is_plain = ends.get("low", 0.0) == 0 and ends.get("high", 1.0) == 1
    return _Noise(kept, name) if kept and is_scaled and is_plain else None


def _numbers(graph: onnx.GraphProto) -> dict[str, float]:
    """Return the constants of one floating-point number, by their names."""
    return {
        name: numpy_helper.to_array(tensor).item()
        for name, tensor in constants_of(graph)
        if tensor.data_type == TensorProto.FLOAT and list(tensor.dims) in ([], [1])
    }
