"""Sequences of tensors, taken apart where their members are known at loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from saliency.models.onnx.protos import constants_of


def without_sequences(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a model that takes from tensors what it took from known sequences.

    The nodes that make sequences stay. Where something still needs them, they are
    refused as operators that are not known.

    Args:
        model (onnx.ModelProto): Stays as it is.
        opset (int): The version of ONNX that it is written in.
    """
    if all("Sequence" not in node.op_type for node in model.graph.node):
        return model
    members = _Members(_integers(model.graph), opset)
    nodes = [new for node in model.graph.node for new in members.replaced(node)]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


class _Members:
    """What is in the sequences of a graph.

    Args:
        integers (dict): Constants by their names.
        opset (int): The version of ONNX.
    """

    def __init__(self, integers: Mapping[str, np.ndarray], opset: int) -> None:
        self._integers = integers
        self._opset = opset
        # The names of the members of each known sequence.
        self._of: dict[str, list[str]] = {}

    def replaced(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return what a node becomes: itself, unless it uses a known sequence."""
        if node.op_type == "SequenceConstruct":
            self._of[node.output[0]] = list(node.input)
            return [node]
        if node.op_type == "SplitToSequence":
            return self._split(node)
        members = self._of.get(node.input[0]) if node.input else None
        if members and node.op_type == "SequenceAt":
            return self._picked(node, members)
        if members and node.op_type == "ConcatFromSequence":
            return self._joined(node, members)
        return [node]

    def _split(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return a Split as well, if the sizes of the parts are known."""
        sizes = self._integers.get(node.input[1]) if len(node.input) > 1 else None
        if sizes is None or sizes.ndim != 1:
            return [node]
        options = {"axis": _attributes(node).get("axis", 0)}
        inputs = list(node.input)
        if self._opset < 13:
            options["split"] = sizes.tolist()
            del inputs[1]
        members = [f"{node.output[0]}/{i}" for i in range(len(sizes))]
        self._of[node.output[0]] = members
        split = helper.make_node("Split", inputs, members, node.name, **options)
        return [node, split]

    def _picked(
        self, node: onnx.NodeProto, members: Sequence[str]
    ) -> list[onnx.NodeProto]:
        """Return the one member that a constant index picks."""
        index = self._integers.get(node.input[1])
        if index is None or not -len(members) <= index.item() < len(members):
            return [node]
        picked = [members[index.item()]]
        return [helper.make_node("Identity", picked, node.output, node.name)]

    def _joined(
        self, node: onnx.NodeProto, members: Sequence[str]
    ) -> list[onnx.NodeProto]:
        """Return what puts members side by side, perhaps along a new axis."""
        options = _attributes(node)
        axis = options["axis"]
        parts, nodes = list(members), []
        if options.get("new_axis", 0):
            parts = [f"{node.output[0]}/{i}" for i in range(len(members))]
            for member, part in zip(members, parts):
                nodes += self._unsqueezed(member, part, axis)
        nodes.append(
            helper.make_node("Concat", parts, node.output, node.name, axis=axis)
        )
        return nodes

    def _unsqueezed(self, name: str, result: str, axis: int) -> list[onnx.NodeProto]:
        if self._opset < 13:
            return [helper.make_node("Unsqueeze", [name], [result], axes=[axis])]
        axes = f"{result}/axes"
        return [
            helper.make_node("Constant", [], [axes], value_ints=[axis]),
            helper.make_node("Unsqueeze", [name, axes], [result]),
        ]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _integers(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the constants of integers that are in the file itself."""
    return {
        name: numpy_helper.to_array(tensor)
        for name, tensor in constants_of(graph)
        if tensor.data_type in (TensorProto.INT32, TensorProto.INT64)
    }
