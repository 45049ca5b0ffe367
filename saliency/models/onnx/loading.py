"""From a file to a chain."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import checker

from saliency.models.onnx.chain import RESERVED, OnnxChain
from saliency.models.onnx.channel_dropout import with_channel_dropout
from saliency.models.onnx.compiling import Compiler
from saliency.models.onnx.families import OPERATORS
from saliency.models.onnx.functions import all_nodes, without_functions
from saliency.models.onnx.inputs import Input, with_batches
from saliency.models.onnx.operators import DTYPES
from saliency.models.onnx.sequences import without_sequences
from saliency.models.onnx.tensors import (
    Tensors,
    has_external,
    without_external,
)

# The versions of ONNX whose operators are known. Before 7, broadcasting was another.
_OLDEST, _NEWEST = 7, 28
# Bytes of a file. What is larger cannot be read at once, and holds its arrays outside.
_LARGEST = 2**31


def load_onnx(model: str | PathLike[str] | bytes | onnx.ModelProto) -> OnnxChain:
    """Return the network of an ONNX file as a chain of Chainer.

    It computes what the file says, by Chainer's functions, so that every calculator and
    LRP explain it. Its links have the names of the file's nodes; parameters are copies.
    Normalizations use the statistics of the file, also under ``train=True``; dropout,
    where the file keeps it, follows ``chainer.config.train``, so that BayesGrad draws
    masks.

    ``docs/onnx_operators.md`` lists the operators.

    Example:
        >>> model = saliency.load_onnx("resnet18.onnx").before_softmax()
        >>> calculator = saliency.GradientCalculator(model, class_index="argmax")

    Args:
        model (path, bytes or onnx.ModelProto): The file, or what is in it. Tensors that
            are in other files have to be in its folder, or below it.

    Returns:
        OnnxChain: The network, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        MemoryError: If it has more than 2 GB without its external tensors.
        TypeError: If ``model`` is none of these.
        ValueError: If the file is damaged, is written in a version of ONNX that is not
            known, or has nodes that cannot be loaded: the message lists all of them
            with the reasons.
    """
    proto, data, folder, name = _opened(model)
    opset = _opset(proto, name)
    _check(proto, data, name)
    try:
        proto = without_functions(proto, OPERATORS, opset)
        proto = with_channel_dropout(without_sequences(proto, opset))
    except (ValueError, TypeError, RecursionError) as reason:
        raise ValueError(f"{name} is not read: {reason}") from None
    compiler = Compiler(opset, Tensors(folder), RESERVED.union(dir(OnnxChain)))
    plan = compiler.plan(proto.graph)
    inputs, problems = _inputs(proto.graph)
    problems += compiler.problems
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(f"{name} cannot be loaded:\n  {lines}")
    return OnnxChain(plan, inputs, compiler.links, compiler.node_names)


def _opened(
    model: Any,
) -> tuple[onnx.ModelProto, bytes | None, Path | None, str]:
    """Return what a file holds, its bytes, its folder, and how messages call it."""
    if isinstance(model, onnx.ModelProto):
        return model, None, None, "model"
    if isinstance(model, (bytes, bytearray, memoryview)):
        data = bytes(model)
        return _decoded(data, "model"), data, None, "model"
    if not isinstance(model, (str, PathLike)):
        raise TypeError(
            "model must be a path, bytes or an onnx.ModelProto, got "
            f"{type(model).__name__}"
        )
    path = Path(model)
    name = f"model={str(path)!r}"
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise MemoryError(f"{name} has more than 2 GB")
    data = path.read_bytes()
    return _decoded(data, name), data, path.parent, name


def _decoded(data: bytes, name: str) -> onnx.ModelProto:
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
        return model
    except (DecodeError, ValueError, RecursionError) as reason:
        raise ValueError(
            f"{name} cannot be read as ONNX; is it complete? ({reason})"
        ) from None


def _check(proto: onnx.ModelProto, data: bytes | None, name: str) -> None:
    """Raise a ValueError unless it is a model as ONNX wants it.

    Its arrays are compared with their shapes when they are read.
    """
    try:
        if data is None or has_external(proto):
            data = without_external(proto).SerializeToString()
        checker.check_model(data)
    except (checker.ValidationError, ValueError) as reason:
        raise ValueError(f"{name} is no valid ONNX model: {reason}") from None
    for node in all_nodes(proto.graph):
        attributes = (attribute.name for attribute in node.attribute)
        # What is no UTF-8 comes as bytes.
        if any(isinstance(n, bytes) for n in (*node.input, *node.output, *attributes)):
            raise ValueError(f"{name} is no valid ONNX model: it has a damaged name")


def _opset(proto: onnx.ModelProto, name: str) -> int:
    """Return the version of ONNX that a model is written in."""
    if not proto.graph.node and not proto.graph.output:
        raise ValueError(f"{name} is no ONNX model: it has no graph")
    found: list[int] = [
        o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")
    ]
    if not found or not _OLDEST <= max(found) <= _NEWEST:
        text = f"opset {max(found)}" if found else "none"
        raise ValueError(
            f"{name} must be written in an opset of ONNX from {_OLDEST} to {_NEWEST}, "
            f"got {text}"
        )
    return max(found)


def _inputs(graph: onnx.GraphProto) -> tuple[list[Input], list[str]]:
    """Return what the model is given, and what is wrong with that."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs, problems = [], []
    for info in graph.input:
        if info.name in constants:
            continue
        kind = info.type.WhichOneof("value")
        tensor = info.type.tensor_type
        if kind != "tensor_type" or tensor.elem_type not in DTYPES:
            problems.append(f"input {info.name!r} is no tensor of numbers")
            continue
        shape = [
            d.dim_value if d.WhichOneof("value") == "dim_value" else None
            for d in tensor.shape.dim
        ]
        # Some exporters write 0 or -1 for an axis that is free.
        shape = [n if n is not None and n > 0 else None for n in shape]
        known = tuple(shape) if tensor.HasField("shape") else None
        dtype = np.dtype(DTYPES[tensor.elem_type])
        inputs.append(Input(info.name, dtype, known))
    return with_batches(inputs), problems
