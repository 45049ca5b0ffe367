"""ONNX: the convolutions in a row that a graph begins with, as in VGG.

Weights in ONNX files have whatever names their exporter gave them. They are known by
their place in the graph instead, from its first convolution on.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from saliency.models.formats.stored import Refused, Stored, Trunk, add
from saliency.models.onnx.operators import DTYPES
from saliency.models.onnx.protos import attribute_value
from saliency.models.onnx.tensors import Tensors


@contextlib.contextmanager
def open_onnx(path: Path) -> Iterator[Trunk]:
    """Return a block with the convolutions that the graph of a file begins with.

    What comes before the first convolution, such as a transposition, is passed over.

    Raises:
        google.protobuf.message.DecodeError: If it is no such file.
        Refused: If it has no convolution that is like those of VGG at the beginning.
    """
    model = onnx.ModelProto.FromString(path.read_bytes())
    yield _Graph(model.graph, Tensors(path.parent)).trunk()


# Which nodes may follow which.
_NEXT = {"Conv": ("Relu",), "Relu": ("Conv", "MaxPool"), "MaxPool": ("Conv",)}
# What attributes have to be, and what they are where a node lacks them. A convolution
# that lacks the size of its kernel has that of its weights, which is checked later.
_ATTRIBUTES: dict[str, dict[str, tuple[Any, Any]]] = {
    "Conv": {
        "kernel_shape": ([3, 3], [3, 3]),
        "strides": ([1, 1], [1, 1]),
        "dilations": ([1, 1], [1, 1]),
        "group": (1, 1),
        "pads": ([1, 1, 1, 1], [0, 0, 0, 0]),
    },
    "Relu": {},
    "MaxPool": {
        "kernel_shape": ([2, 2], None),
        "strides": ([2, 2], [1, 1]),
        "dilations": ([1, 1], [1, 1]),
        "pads": ([0, 0, 0, 0], [0, 0, 0, 0]),
    },
}
# With a stride of 1, this is the same as pads of 1.
_SAME = ("SAME_UPPER", "SAME_LOWER")


class _Ended(Exception):
    """Says what comes after the trunk."""


class _Graph:
    """The nodes of a graph, and who uses what they compute.

    Args:
        graph (onnx.GraphProto): The graph.
        tensors (Tensors): Reads the arrays of the file.
    """

    def __init__(self, graph: onnx.GraphProto, tensors: Tensors) -> None:
        self._nodes = graph.node
        self._tensors = tensors
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.HasField("t"):
                    self._constants[node.output[0]] = attribute.t
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    def trunk(self) -> Trunk:
        """Return the convolutions from the first on, and what ends them."""
        first = next((node for node in self._nodes if node.op_type == "Conv"), None)
        if first is None:
            raise Refused("it has no convolution")
        trunk = Trunk()
        try:
            self._follow(first, trunk)
        except _Ended as reason:
            trunk.end = str(reason)
        if not trunk:
            raise Refused(f"it does not begin as VGG does: {trunk.end}")
        return trunk

    def _follow(self, node: onnx.NodeProto, trunk: Trunk) -> None:
        """Put convolutions into the trunk, until it ends.

        Raises:
            _Ended: In any case; the graph has an end.
        """
        block, number = 1, 1
        while True:
            self._check(node)
            following = self._next(node)
            if node.op_type == "Conv":
                self._add(trunk, f"block{block}.conv{number}", node)
                number += 1
            elif node.op_type == "MaxPool":
                block, number = block + 1, 1
            node = following

    def _next(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return the node that continues the trunk, beside other users of the value."""
        users = self._users.get(node.output[0], [])
        fitting = [user for user in users if user.op_type in _NEXT[node.op_type]]
        if len(fitting) == 1:
            return fitting[0]
        found = ", ".join(map(_called, users)) or "nothing"
        raise _Ended(f"{_called(node)} is followed by {found}")

    def _check(self, node: onnx.NodeProto) -> None:
        """Raise _Ended if a node does not compute what VGG's do."""
        attributes = {
            attribute.name: attribute_value(attribute, self._tensors)
            for attribute in node.attribute
        }
        if node.op_type == "Conv" and attributes.get("auto_pad") in _SAME:
            attributes["pads"] = [1, 1, 1, 1]
        for name, (wanted, default) in _ATTRIBUTES[node.op_type].items():
            value = attributes.get(name, default)
            if value != wanted:
                raise _Ended(f"{_called(node)} has {name} {value}, not {wanted}")

    def _add(self, trunk: Trunk, name: str, node: onnx.NodeProto) -> None:
        """Put the arrays of a convolution into the trunk."""
        for role, source in zip(("weight", "bias"), filter(None, node.input[1:])):
            if source not in self._constants:
                raise _Ended(f"the {role} of {_called(node)} is not in the file")
            tensor = self._constants[source]
            stored = Stored(
                tuple(tensor.dims),
                DTYPES.get(tensor.data_type, f"number {tensor.data_type} of ONNX"),
                functools.partial(self._tensors.read, tensor),
            )
            add(trunk, f"{name}.{role}", stored)


def _called(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]!r}"
