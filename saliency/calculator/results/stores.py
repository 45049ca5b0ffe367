"""Where results go: arrays in memory and on disk, and the record of what is done."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

Span = tuple[int, int]  # rows from the first to before the second
Record = dict[str, Any]

_ATTRIBUTE = "saliency"  # of a Zarr array


def open_out(out: Any, call: dict[str, Any], n_example: int, batchsize: int) -> Out:
    """Return where results go, checked as far as that can be before they are there.

    Args:
        out (path, numpy.ndarray or zarr.Array): As the user gave it.
        call (dict): What the call was made with, in JSON's types. Its ``seed`` may
            be None.
        n_example (int): Number of rows.
        batchsize (int): Number of rows that are written together.

    Raises:
        ImportError: If Zarr is needed and not installed.
        TypeError, ValueError: If ``out`` does not fit, or was begun by another call.
    """
    return Out(_as_store(out, batchsize), call, n_example)


class Out:
    """An array that results are written into, and a record of which are there.

    A row is recorded when it is on the disk, so that whatever is recorded is there
    even if the process is killed at the worst moment.

    Args:
        store (Store): What is written into.
        call (dict): What the call was made with; see :func:`open_out`.
        n_example (int): Number of rows.
    """

    def __init__(self, store: Store, call: dict[str, Any], n_example: int) -> None:
        self._store = store
        self._n_example = n_example
        record = store.read_record()
        if record is None:
            seed = call["seed"]
            call = {**call, "seed": _new_seed() if seed is None else seed}
            record = {"call": call, "done": []}
        else:
            _check_same_call(store, record["call"], call)
        self._record = record
        self._array = store.open() if record["done"] else None
        store.check_rows(n_example)

    @property
    def seed(self) -> int:
        """The call's seed, or the one that was drawn for it."""
        return int(self._record["call"]["seed"])

    @property
    def array(self) -> Any:
        """What was written into."""
        return self._array

    @property
    def missing(self) -> list[Span]:
        """The rows that are not there yet."""
        ends = [0, *(n for span in self._record["done"] for n in span), self._n_example]
        return [(a, b) for a, b in zip(ends[::2], ends[1::2]) if a < b]

    def create(self, row_shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Make the array, if it is not there yet, for rows of this shape and dtype."""
        if self._array is None:
            shape = (self._n_example, *row_shape)
            self._array = self._store.create(shape, dtype, self._record)

    def write(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write the rows from ``start`` to ``stop``, and record that they are there."""
        self.create(rows.shape[1:], rows.dtype)
        write_rows(self._array, start, stop, rows)
        self._store.flush()
        self.record(start, stop)

    def tidy(self) -> None:
        """Remove what processes that were killed have left half written."""
        self._store.tidy()

    def record(self, start: int, stop: int) -> None:
        """Record that the rows from ``start`` to ``stop`` are there."""
        done = _merged([*self._record["done"], [start, stop]])
        self._record = {**self._record, "done": done}
        self._store.write_record(self._record)


def write_rows(array: Any, start: int, stop: int, rows: np.ndarray) -> None:
    """Write rows; where they are shorter than the array's, NaN fills them up.

    Raises:
        ValueError: If there is not one row for each example, or they do not fit.
    """
    if len(rows) != stop - start:
        raise ValueError(
            "postprocess_fn must leave one row for each example where out is given; "
            f"for {stop - start} examples it left {len(rows)}"
        )
    room = array.shape[1:]
    fits = len(room) == rows.ndim - 1
    missing = [a - b for a, b in zip(room, rows.shape[1:])]
    if not fits or any(n < 0 for n in missing):
        raise ValueError(
            f"out has room for {room} for each example, but example {start} has a "
            f"result of shape {rows.shape[1:]}. If examples are of different lengths, "
            "pass them as a list, or an array as out that has room for the longest"
        )
    if any(missing):
        rows = np.pad(rows, [(0, n) for n in [0, *missing]], constant_values=np.nan)
    array[start:stop] = rows


class Store(ABC):
    """An array and its record, as :class:`Out` needs them.

    Attributes:
        name (str): What the user knows it by, for messages.
        begin_anew (str): What to do to begin anew.
    """

    name: str
    begin_anew: str

    @abstractmethod
    def read_record(self) -> Record | None:
        """Return what is recorded; None if nothing was begun.

        Raises:
            ValueError: If there is something that is not ours.
        """

    @abstractmethod
    def write_record(self, record: Record) -> None:
        """Put a record in the place of the one before, at once or not at all."""

    @abstractmethod
    def create(self, shape: tuple[int, ...], dtype: np.dtype, record: Record) -> Any:
        """Return the array, ready to be written, with its first record."""

    @abstractmethod
    def open(self) -> Any:
        """Return the array that was begun."""

    def check_rows(self, n_example: int) -> None:  # noqa: B027 (paths have none yet)
        """Raise a ValueError if the array is given and has another number of rows."""

    def flush(self) -> None:  # noqa: B027 (Zarr's chunks are files)
        """See that what was written is on the disk."""

    def tidy(self) -> None:  # noqa: B027 (most have nothing)
        """Remove what processes that were killed have left half written."""


class _NumpyFile(Store):
    """``x.npy``, with ``x.npy.progress.json`` beside it."""

    def __init__(self, path: Path) -> None:
        self.name = f"out={str(path)!r}"
        self._path = path
        self._record_path = path.with_name(f"{path.name}.progress.json")
        self.begin_anew = f"remove {path} and {self._record_path.name}"
        self._array: Any = None

    def read_record(self) -> Record | None:
        if not self._path.exists():
            return None
        if not self._record_path.exists():
            raise _not_ours(self.name)
        record: Record = json.loads(self._record_path.read_text(encoding="utf-8"))
        return record

    def write_record(self, record: Record) -> None:
        new = self._record_path.with_name(f"{self._record_path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._record_path)

    def create(self, shape: tuple[int, ...], dtype: np.dtype, record: Record) -> Any:
        # The record first: a file without one is somebody else's.
        self.write_record(record)
        return self._open(mode="w+", dtype=dtype, shape=shape)

    def open(self) -> Any:
        return self._open(mode="r+")

    def flush(self) -> None:
        self._array.flush()

    def _open(self, **how: Any) -> Any:
        self._array = np.lib.format.open_memmap(self._path, **how)
        return self._array


class _ZarrArray(Store):
    """An array of Zarr, with the record among its attributes."""

    def __init__(self, array: Any) -> None:
        self.name = "out"
        self.begin_anew = f"delete the attribute {_ATTRIBUTE!r} of the array"
        self._array = array

    def read_record(self) -> Record | None:
        record: Record | None = self._array.attrs.asdict().get(_ATTRIBUTE)
        return record

    def write_record(self, record: Record) -> None:
        self._array.attrs[_ATTRIBUTE] = record

    def create(self, shape: tuple[int, ...], dtype: np.dtype, record: Record) -> Any:
        _check_given(self._array, shape, dtype)
        self.write_record(record)
        return self._array

    def open(self) -> Any:
        return self._array

    def check_rows(self, n_example: int) -> None:
        _check_rows(self._array, n_example)


class _ZarrPath(_ZarrArray):
    """``x.zarr`` in the file system, made with one chunk for each batch."""

    def __init__(self, path: Path, batchsize: int) -> None:
        super().__init__(None)
        self.name = f"out={str(path)!r}"
        self.begin_anew = f"remove {path}"
        self._path = path
        self._batchsize = batchsize

    def read_record(self) -> Record | None:
        zarr()  # now rather than after the first batch
        if not self._path.exists():
            return None
        try:
            self._array = open_zarr(self._path)
            record = super().read_record()
        except Exception as reason:  # of many kinds, by Zarr's version
            raise _not_ours(self.name) from reason
        if record is None:
            raise _not_ours(self.name)
        self.tidy()
        return record

    def create(self, shape: tuple[int, ...], dtype: np.dtype, record: Record) -> Any:
        if self._array is None:
            # It comes into its place with its record: without one it is not ours.
            new = self._path.with_name(f"{self._path.name}.new")
            shutil.rmtree(new, ignore_errors=True)
            chunks = (min(self._batchsize, shape[0]), *shape[1:])
            self._array = zarr().open_array(
                str(new),
                mode="w",
                shape=shape,
                chunks=chunks,
                dtype=dtype,
                fill_value=np.nan,
            )
            self.write_record(record)
            new.rename(self._path)
            self._array = open_zarr(self._path)
        return super().create(shape, dtype, record)

    def check_rows(self, n_example: int) -> None:
        """Do nothing: it is what we made, for this very call."""

    def tidy(self) -> None:
        """Remove the files that Zarr gives their name when they are complete."""
        for rest in self._path.rglob("*.partial"):
            rest.unlink()


class _Memory(Store):
    """A NumPy array, which nothing can be recorded of."""

    name = "out"
    begin_anew = "pass another array"

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def read_record(self) -> Record | None:
        return None

    def write_record(self, record: Record) -> None:
        pass

    def create(self, shape: tuple[int, ...], dtype: np.dtype, record: Record) -> Any:
        _check_given(self._array, shape, dtype)
        return self._array

    def open(self) -> Any:
        return self._array

    def check_rows(self, n_example: int) -> None:
        _check_rows(self._array, n_example)


def zarr() -> Any:
    """Return the module, which is an optional one."""
    try:
        import zarr
    except ImportError as reason:
        raise ImportError("out='....zarr' needs Zarr: pip install zarr") from reason
    return zarr


def open_zarr(path: Path) -> Any:
    """Return the Zarr array at ``path``, to be written into."""
    return zarr().open_array(str(path), mode="r+")


def as_zarr_path(out: Any) -> Path | None:
    """Return ``out`` as a path, if it is that of a Zarr store in the file system."""
    with contextlib.suppress(TypeError):
        path = Path(out)
        return path if path.suffix == ".zarr" else None
    return None


def _as_store(out: Any, batchsize: int) -> Store:
    if isinstance(out, np.ndarray):
        if not out.flags.writeable:
            raise ValueError("out must be writeable, got an array that is read-only")
        return _Memory(out)
    if _is_zarr_array(out):
        return _ZarrArray(out)
    try:
        path = Path(out)
    except TypeError:
        raise TypeError(
            "out must be a path, an array of NumPy or Zarr, or None; got "
            f"{type(out).__name__}"
        ) from None
    if not path.absolute().parent.is_dir():
        raise ValueError(f"out={str(path)!r} is in a folder that does not exist")
    if path.suffix == ".npy":
        return _NumpyFile(path)
    if path.suffix == ".zarr":
        return _ZarrPath(path, batchsize)
    raise ValueError(f"out must end with .npy or .zarr, got {str(path)!r}")


def _is_zarr_array(out: Any) -> bool:
    module = sys.modules.get("zarr")  # who has one has imported it
    return module is not None and isinstance(out, module.Array)


def _check_rows(array: Any, n_example: int) -> None:
    if array.shape[:1] != (n_example,):
        raise ValueError(
            f"out must have a row for each of the {n_example} examples, got shape "
            f"{array.shape}"
        )


def _check_given(array: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless an array can take what comes; rows that are padded need room."""
    fits = array.ndim == len(shape)
    if not fits or any(a < b for a, b in zip(array.shape, shape)):
        raise ValueError(f"out must have shape {shape}, got {array.shape}")
    if array.dtype != dtype:
        raise ValueError(f"out must be of dtype {dtype}, got {array.dtype}")


def _check_same_call(store: Store, before: Any, now: Any) -> None:
    differences = [
        _difference(name, before.get(name), now.get(name))
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
        # Without a seed, the one that was drawn goes on.
        and not (name == "seed" and now[name] is None)
    ]
    if differences:
        raise ValueError(
            f"{store.name} was begun by a call that differs from this one: "
            f"{'; '.join(differences)}. To begin anew, {store.begin_anew}"
        )


def _difference(name: str, before: Any, now: Any) -> str:
    both = f"{name} was {before!r} and is {now!r}"
    return both if len(both) < 100 else f"{name} is another"


def _not_ours(name: str) -> ValueError:
    return ValueError(
        f"{name} is there already, and not from compute_aggregate; remove it or pass "
        "another path"
    )


def _new_seed() -> int:
    entropy = np.random.SeedSequence().entropy
    assert isinstance(entropy, int)  # since it was asked for none
    return entropy


def _merged(spans: list[list[int]]) -> list[list[int]]:
    """Return spans in order, neighbours as one."""
    merged: list[list[int]] = []
    for start, stop in sorted(spans):
        if merged and merged[-1][1] == start:
            merged[-1][1] = stop
        else:
            merged.append([start, stop])
    return merged
