"""Caffe's ``.caffemodel``: a message of protobuf, of which only blobs are read.

Chainer's ``CaffeFunction`` makes a message in memory of all that is in the file, and
arrays of whatever size it declares. This walks over the file instead, and knows where
each array is before it reads it. The encoding:
https://protobuf.dev/programming-guides/encoding/; the messages:
https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
"""

from __future__ import annotations

import contextlib
import functools
import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np

from saliency.models.formats.stored import Refused, Stored, Weights, add

# A file with more of them is none of a network; ResNet152 has about 20,000.
_MOST_FIELDS = 100_000
_LONGEST_NAME = 1000
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class _Field(NamedTuple):
    """A field of a message.

    Attributes:
        number (int): Which field it is.
        kind (int): How it is encoded.
        value (int): Of a varint.
        start (int): Where its bytes begin in the file.
        stop (int): Where they end.
    """

    number: int
    kind: int
    value: int
    start: int
    stop: int


class _Numbers(NamedTuple):
    """Which number a field has in a kind of layer: that of 2015, and the one before."""

    layer: int
    name: int
    type: int
    blobs: int


_LAYER = _Numbers(layer=100, name=1, type=2, blobs=7)
_OLD_LAYER = _Numbers(layer=2, name=4, type=5, blobs=6)
_OLD_TYPES = {4: "Convolution", 14: "InnerProduct"}
_ROLES = {
    "Convolution": ("W", "b"),
    "InnerProduct": ("W", "b"),
    "BatchNorm": ("avg_mean", "avg_var"),
    "Scale": ("W", "bias/b"),
}
# In BlobProto: the shape as it was (num, channels, height, width), and as it is.
_OLD_SHAPE = (1, 2, 3, 4)
_DATA, _SHAPE = 5, 7


class _Blob(NamedTuple):
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@contextlib.contextmanager
def open_caffe(path: Path) -> Iterator[Weights]:
    """Return a block with the arrays of a file, as ``layer/name``.

    The names are those of Chainer's ``CaffeFunction``: ``W`` and ``b`` of convolutions
    and linear layers, ``avg_mean`` and ``avg_var`` of normalizations, ``W`` and
    ``bias/b`` of scales. Arrays of other layers are called by their number in it.

    Raises:
        Refused: If it has more fields or arrays than any network.
        ValueError: If it is no such file, or not whole.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        reader = _Reader(path, data)
        net = list(reader.fields(0, len(data)))
        is_new = any(field.number == _LAYER.layer for field in net)
        numbers = _LAYER if is_new else _OLD_LAYER
        weights: dict[str, Stored] = {}
        for field in net:
            if field.number == numbers.layer:
                for name, stored in reader.arrays_of(field, numbers):
                    add(weights, name, stored)
        yield weights


class _Reader:
    """Finds the arrays in a file that is mapped into memory."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._n_field = 0

    def fields(self, start: int, stop: int) -> Iterator[_Field]:
        """Yield the fields of a message.

        Raises:
            Refused: If there are more fields in the file than any network has.
        ValueError: If it is none, or ends early.
        """
        position = start
        while position < stop:
            self._n_field += 1
            if self._n_field > _MOST_FIELDS:
                raise Refused(f"it has more than {_MOST_FIELDS} fields")
            key, position = self._varint(position, stop)
            number, kind = key >> 3, key & 7
            value, length = 0, 0
            if kind == _VARINT:
                value, position = self._varint(position, stop)
            elif kind == _BYTES:
                length, position = self._varint(position, stop)
            elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
                length = 4 if kind == _FOUR_BYTES else 8
            else:
                raise ValueError(f"there is no message at byte {position}")
            begin, position = position, position + length
            if position > stop:
                raise ValueError(f"it ends within the field at byte {begin}")
            yield _Field(number, kind, value, begin, position)

    def _varint(self, position: int, stop: int) -> tuple[int, int]:
        """Return the number at a position, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if position >= stop:
                raise ValueError(f"it ends within a number at byte {position}")
            byte = self._data[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, position
        raise ValueError(f"there is no number at byte {position}")

    def arrays_of(
        self, layer: _Field, numbers: _Numbers
    ) -> Iterator[tuple[str, Stored]]:
        """Yield the arrays of a layer."""
        name, kind = "", ""
        blobs: list[_Blob] = []
        for field in self.fields(layer.start, layer.stop):
            if field.number == numbers.name:
                name = self._text(field)
            elif field.number == numbers.type and field.kind == _BYTES:
                kind = self._text(field)
            elif field.number == numbers.type:
                kind = _OLD_TYPES.get(field.value, "")
            elif field.number == numbers.blobs:
                blobs.append(self._blob(f"blob {len(blobs)} of {name}", field))
        if kind == "BatchNorm" and len(blobs) == 3:
            *blobs, divisor = blobs
            blobs = [_divided(blob, divisor) for blob in blobs]
        roles = _ROLES.get(kind, ())
        for i, (shape, read) in enumerate(blobs):
            role = roles[i] if i < len(roles) else str(i)
            if role != "W":
                shape = (math.prod(shape),)  # four numbers, before 2015
            elif kind == "InnerProduct":
                shape = shape[-2:]
            yield f"{name}/{role}", Stored(shape, "float32", _shaped(read, shape))

    def _text(self, field: _Field) -> str:
        if field.stop - field.start > _LONGEST_NAME:
            raise Refused(f"it has a name of {field.stop - field.start} bytes")
        return self._data[field.start : field.stop].decode()

    def _blob(self, name: str, blob: _Field) -> _Blob:
        """Return the shape of a blob, and how its numbers are read.

        Raises:
            Refused: If it has another number of them than its shape says.
        """
        old: dict[int, int] = {}
        new: list[int] = []
        places: list[tuple[int, int]] = []
        for field in self.fields(blob.start, blob.stop):
            if field.number in _OLD_SHAPE:
                old[field.number] = field.value
            elif field.number == _SHAPE:
                new += self._dimensions(field)
            elif field.number == _DATA:
                places.append((field.start, (field.stop - field.start) // 4))
        shape = tuple(old.get(n, 1) for n in _OLD_SHAPE) if old else tuple(new)
        n_value = sum(n for _, n in places)
        if n_value != math.prod(shape):
            raise Refused(f"{name} has shape {shape}, but {n_value} values")
        return _Blob(shape, functools.partial(_floats, self._path, places))

    def _dimensions(self, shape: _Field) -> Iterator[int]:
        """Yield the numbers of a message that repeats one field of them."""
        for field in self.fields(shape.start, shape.stop):
            if field.kind == _VARINT:
                yield field.value
            else:  # several at once
                position = field.start
                while position < field.stop:
                    value, position = self._varint(position, field.stop)
                    yield value


def _floats(path: Path, places: list[tuple[int, int]]) -> np.ndarray:
    """Return the numbers at these places, of which each has its start and count."""
    parts = [np.fromfile(path, "<f4", count, offset=start) for start, count in places]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _divided(blob: _Blob, divisor: _Blob) -> _Blob:
    """Return the mean of what Caffe keeps as a sum, and by what it is divided."""
    return _Blob(blob.shape, lambda: blob.read() / divisor.read()[0])


def _shaped(
    read: Callable[[], np.ndarray], shape: tuple[int, ...]
) -> Callable[[], np.ndarray]:
    return lambda: read().reshape(shape)
