"""PyTorch's ``.pth`` and ``.pt``, with the names of its state dict.

Since version 1.6, PyTorch writes a zip archive: ``data.pkl`` describes the tensors, and
each storage of numbers is a member of its own. Before, a file was five pickles (a magic
number, the version of the format, the machine, the tensors, the keys of the storages),
and behind them the storages, each with its length. PyTorch is not needed for either.
"""

from __future__ import annotations

import contextlib
import functools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Callable

import numpy as np

from saliency.models.formats.archives import open_archive
from saliency.models.formats.pickles import (
    BoundedReader,
    Storage,
    Table,
    Tensor,
    described,
)
from saliency.models.formats.stored import Refused, Stored, Weights, add

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_PIECE = 1 << 18  # bytes of an archive that are read at once

# From how many numbers, and the position of the first, to these numbers.
_Reader = Callable[[int, int], np.ndarray]


@contextlib.contextmanager
def open_pytorch(path: Path) -> Iterator[Weights]:
    """Return a block with the arrays of a file, by their names.

    Raises:
        Refused: If it holds anything but arrays and plain values, an array is not
            within its storage, or a storage is not as large as it is said to be.
        ValueError: If it is no such file, or damaged.
        zipfile.BadZipFile: If it is a damaged archive.
    """
    if zipfile.is_zipfile(path):
        with open_archive(path) as archive:
            yield _of_archive(archive)
    else:
        yield _of_pickles(path)


def _weights(content: Any, readers: Mapping[str, _Reader]) -> Weights:
    """Return the arrays of a state dict, or of a checkpoint that holds one.

    Args:
        content (object): What the file describes.
        readers (mapping): How the numbers of each storage are read, by its key.
    """
    state = content.get("state_dict", content) if isinstance(content, Table) else None
    if not isinstance(state, Table):
        raise Refused("it holds no state dict")
    weights: dict[str, Stored] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise Refused(f"its {name} is no array")
        read = functools.partial(_read, tensor, readers[tensor.storage.key])
        stored = Stored(tensor.shape, tensor.storage.dtype, read)
        add(weights, name.removeprefix("module."), stored)
    return weights


def _read(tensor: Tensor, read: _Reader) -> np.ndarray:
    numbers = read(tensor.span, tensor.offset)
    if tensor.span == 0:
        return numbers.reshape(tensor.shape)
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides)


# --- archives -------------------------------------------------------------------------


def _of_archive(archive: zipfile.ZipFile) -> Weights:
    members = {}
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            raise Refused(f"its member {member.filename} is compressed")
        if member.filename in members:
            raise Refused(f"it holds {member.filename} twice")
        members[member.filename] = member
    folders = [name.removesuffix("data.pkl") for name in members if _is_pickle(name)]
    if len(folders) != 1:
        raise Refused("it does not have one member data.pkl")
    if f"{folders[0]}byteorder" in members:
        with archive.open(members[f"{folders[0]}byteorder"]) as order:
            if order.read(7) != b"little":
                raise Refused("its numbers are not little-endian")
    with archive.open(members[f"{folders[0]}data.pkl"]) as pickle:
        content, storages = described(BoundedReader(pickle))
    readers = {}
    for storage in storages.values():
        name = f"{folders[0]}data/{storage.key}"
        if name not in members:
            raise Refused(f"its storage {storage.key} is missing")
        member = members[name]
        n_byte = storage.size * storage.itemsize
        if not member.file_size == member.compress_size == n_byte:
            raise Refused(
                f"its member {member.filename} has {member.file_size} bytes, and "
                f"{n_byte} are said to be there"
            )
        readers[storage.key] = functools.partial(_read_member, archive, member, storage)
    return _weights(content, readers)


def _is_pickle(name: str) -> bool:
    return name.endswith("/data.pkl") and name.count("/") == 1


def _read_member(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    storage: Storage,
    size: int,
    offset: int,
) -> np.ndarray:
    """Return numbers of a storage; its digest is checked where all of it is read."""
    numbers = np.empty(size, storage.numpy_dtype)
    bytes_of_them = numbers.view(np.uint8)
    with archive.open(member) as file:
        if offset:
            file.seek(offset * storage.itemsize)
        for start in range(0, len(bytes_of_them), _PIECE):
            piece = bytes_of_them[start : start + _PIECE]
            content = file.read(len(piece))
            if len(content) != len(piece):
                raise Refused(f"{member.filename} ends too early")
            piece[:] = np.frombuffer(content, np.uint8)
    return numbers


# --- pickles and storages behind them -------------------------------------------------


def _of_pickles(path: Path) -> Weights:
    with path.open("rb") as file:
        # One limit for all of them.
        reader = BoundedReader(file)
        if described(reader).value != _MAGIC:
            raise ValueError("it does not begin as a file of PyTorch")
        version, machine = described(reader).value, described(reader).value
        if version != _VERSION:
            raise Refused("it is of an unknown version of the format")
        if not isinstance(machine, Table) or machine.get("little_endian") is not True:
            raise Refused("its numbers are not little-endian")
        content, storages = described(reader)
        keys = described(reader).value
        if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
            raise Refused("it has no list of storages")
        return _weights(content, _behind(file, path, storages, keys))


def _behind(
    file: IO[bytes], path: Path, storages: dict[str, Storage], keys: list[str]
) -> dict[str, _Reader]:
    """Return how the storages are read that begin at the position of a file."""
    readers: dict[str, _Reader] = {}
    n_byte = path.stat().st_size
    for key in keys:
        if key not in storages:
            raise Refused(f"its storage {key} belongs to nothing")
        storage = storages[key]
        size = int.from_bytes(file.read(8), "little")
        start = file.tell()
        end = start + size * storage.itemsize
        if size != storage.size or end > n_byte:
            raise Refused(
                f"its storage {key} has {size} numbers, {storage.size} are said to be "
                f"there, and the file has {n_byte - start} bytes more"
            )
        readers[key] = functools.partial(_read_file, path, storage, start)
        file.seek(end)
    for key in storages:
        if key not in readers:
            raise Refused(f"its storage {key} is missing")
    return readers


def _read_file(
    path: Path, storage: Storage, start: int, size: int, offset: int
) -> np.ndarray:
    position = start + offset * storage.itemsize
    return np.fromfile(path, storage.numpy_dtype, size, offset=position)
