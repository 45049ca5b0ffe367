"""Arrays in ONNX files, and in the files beside them that they name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from saliency.models.onnx.operators import DTYPES


class Tensors:
    """Reads the arrays of a model.

    Args:
        folder (Path or None): That of the model's file, which has to hold all files
            that the model names. None for a model that is no file.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, tensor: TensorProto) -> np.ndarray:
        """Return the array of a tensor.

        Raises:
            ValueError: If it holds more or fewer bytes than its shape says, is of a
                type that NumPy lacks, or names a file outside of the model's folder.
        """
        if tensor.data_type not in DTYPES:
            kind = _type_name(tensor.data_type)
            raise ValueError(f"tensor {tensor.name!r} is of type {kind}")
        dtype = np.dtype(DTYPES[tensor.data_type])
        shape = tuple(tensor.dims)
        if any(n < 0 for n in shape):
            raise ValueError(f"tensor {tensor.name!r} has the shape {shape}")
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._from_file(tensor, dtype, shape)
        if tensor.HasField("raw_data"):
            data = np.frombuffer(tensor.raw_data, dtype.newbyteorder("<"))
            return _shaped(tensor.name, data.astype(dtype), shape)
        try:
            return _shaped(tensor.name, numpy_helper.to_array(tensor), shape)
        except (ValueError, TypeError) as reason:
            raise ValueError(
                f"tensor {tensor.name!r} cannot be read: {reason}"
            ) from None

    def _from_file(
        self, tensor: TensorProto, dtype: np.dtype, shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return an array that another file of the model's folder holds."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        path = self._within_folder(tensor.name, entries.get("location", ""))
        start = _count(tensor.name, "offset", entries.get("offset", "0"))
        n_byte = math.prod(shape) * dtype.itemsize
        length = _count(tensor.name, "length", entries.get("length", str(n_byte)))
        if length != n_byte:
            raise ValueError(
                f"tensor {tensor.name!r} of shape {shape} and type {dtype} must have "
                f"{n_byte} bytes, got {length}"
            )
        size = path.stat().st_size
        if start + length > size:
            raise ValueError(
                f"tensor {tensor.name!r} ends at byte {start + length} of "
                f"{path.name!r}, which has {size}"
            )
        with path.open("rb") as file:
            file.seek(start)
            data = np.frombuffer(file.read(length), dtype.newbyteorder("<"))
        return _shaped(tensor.name, data.astype(dtype), shape)

    def _within_folder(self, name: str, location: str) -> Path:
        """Return the path of a file that is really in the model's folder."""
        if self._folder is None:
            raise ValueError(
                f"tensor {name!r} is in the file {location!r}, beside that of the "
                "model: pass the model's path"
            )
        folder = self._folder.resolve()
        try:
            path = (folder / location).resolve()
            is_within = path != folder and path.is_relative_to(folder)
            is_file = is_within and path.is_file()
        except (OSError, ValueError, RuntimeError):  # NUL, a circle of links
            is_within = is_file = False
        if not is_within or Path(location).is_absolute() or "\\" in location:
            raise ValueError(
                f"tensor {name!r} must be in a file within the model's folder, got "
                f"{location!r}"
            )
        if not is_file:
            raise ValueError(f"tensor {name!r} is in {location!r}, which is no file")
        return path


def has_external(model: onnx.ModelProto) -> bool:
    """Tell whether a model names other files."""
    return any(map(_is_external, _tensors_of(model)))


def without_external(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with empty tensors for those that are in other files."""
    if not has_external(model):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in filter(_is_external, _tensors_of(copy)):
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        del tensor.dims[:]
        tensor.dims.append(0)
    return copy


def _is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def _tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yield the tensors of a model's graph, and of its functions."""
    yield from _in_graph(model.graph)
    for function in model.functions:
        yield from _in_nodes(function.node)


def _in_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[TensorProto]:
    """Yield the tensors that nodes have, and the graphs within them."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _in_graph(attribute.g)


def _count(name: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"tensor {name!r} must have a count as {key}, got {text!r}")
    return int(text)


def _type_name(data_type: int) -> str:
    """Return ONNX's name of a type of numbers."""
    known = onnx.TensorProto.DataType.items()
    return next((name for name, value in known if value == data_type), str(data_type))


def _shaped(name: str, data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if data.size != math.prod(shape):
        raise ValueError(
            f"tensor {name!r} of shape {shape} must have {math.prod(shape)} numbers, "
            f"got {data.size}"
        )
    return np.asarray(data).reshape(shape)
