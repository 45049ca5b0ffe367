"""Writes what PyTorch's ``torch.save`` writes, in both of its formats, without PyTorch.

The pickles are made by Python's own pickler, to which stand-ins for PyTorch's classes
and functions are known by PyTorch's names.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

KINDS = {
    "float64": "Double",
    "float32": "Float",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "int64": "Long",
    "int32": "Int",
    "int16": "Short",
    "int8": "Char",
    "uint8": "Byte",
    "bool": "Bool",
}


class Storage(NamedTuple):
    """Numbers of a file.

    Attributes:
        key: Its name in the file.
        numbers: What it holds.
        kind: Of PyTorch, if not that of the numbers.
        said: How many it is said to hold, if not as many as there are.
    """

    key: str
    numbers: np.ndarray
    kind: str | None = None
    said: int | None = None


class Tensor:
    """A view of a storage, by default all of it."""

    def __init__(
        self,
        storage: Storage,
        shape: Any = None,
        strides: Any = None,
        offset: Any = 0,
    ) -> None:
        array = storage.numbers
        self.storage = storage
        self.shape = array.shape if shape is None else shape
        steps = tuple(step // array.itemsize for step in array.strides)
        self.strides = steps if strides is None else strides
        self.offset = offset

    def __reduce__(self) -> Any:
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        view = (self.storage, self.offset, self.shape, self.strides)
        return rebuild, (*view, False, OrderedDict())


class Parameter:
    """A tensor that is learned."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> Any:
        rebuild = sys.modules["torch._utils"]._rebuild_parameter
        return rebuild, (self.tensor, True, OrderedDict())


def _stand_in(module: str, name: str) -> Any:
    return type(name, (), {"__module__": module, "__qualname__": name})


def _modules() -> dict[str, types.ModuleType]:
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in KINDS.values():
        name = f"{kind}Storage"
        setattr(torch, name, _stand_in("torch", name))

    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        setattr(utils, name, _stand_in("torch._utils", name))
    torch._utils = utils  # type: ignore[attr-defined]
    return {"torch": torch, "torch._utils": utils}


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self.storages: dict[str, Storage] = {}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        self.storages[value.key] = value
        kind = value.kind or KINDS[value.numbers.dtype.name]
        said = value.numbers.size if value.said is None else value.said
        of_kind = getattr(sys.modules["torch"], f"{kind}Storage")
        return ("storage", of_kind, value.key, "cpu", said)


def pickled(value: Any, protocol: int = 2) -> tuple[bytes, dict[str, Storage]]:
    """Returns a value as torch.save pickles it, and the storages in it."""
    file = io.BytesIO()
    with mock.patch.dict(sys.modules, _modules()):
        pickler = _Pickler(file, protocol)
        pickler.dump(value)
    return file.getvalue(), pickler.storages


def state_dict(arrays: dict[str, np.ndarray]) -> OrderedDict[str, Any]:
    """Returns a tensor for each array, each with a storage of its own."""
    tensors = OrderedDict(
        (name, Tensor(Storage(str(i), np.ascontiguousarray(array))))
        for i, (name, array) in enumerate(arrays.items())
    )
    tensors._metadata = OrderedDict([("", {"version": 1})])  # type: ignore[attr-defined]
    return tensors


def write_archive(
    path: Path, value: Any, protocol: int = 2, byteorder: str | None = "little"
) -> None:
    """Writes what PyTorch writes from version 1.6 on."""
    content, storages = pickled(value, protocol)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", content)
        if byteorder is not None:
            archive.writestr("weights/byteorder", byteorder)
        for key, storage in storages.items():
            archive.writestr(f"weights/data/{key}", storage.numbers.tobytes())
        archive.writestr("weights/version", "3\n")


def write_pickles(path: Path, value: Any, little_endian: bool = True) -> None:
    """Writes what PyTorch wrote before."""
    content, storages = pickled(value)
    machine = {"protocol_version": 1001, "little_endian": little_endian}
    with path.open("wb") as file:
        for first in (0x1950A86A20F9469CFC6C, 1001, machine):
            file.write(pickle.dumps(first, 2))
        file.write(content)
        file.write(pickle.dumps(sorted(storages), 2))
        for key in sorted(storages):
            numbers = storages[key].numbers
            file.write(numbers.size.to_bytes(8, "little") + numbers.tobytes())
