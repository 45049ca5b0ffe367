"""Results in arrays of Zarr, and in folders that hold one."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from saliency.calculator.results.files import beside, reserve, sync, write_at_once
from saliency.calculator.results.path_lock import PathLock
from saliency.calculator.results.record import OtherFormat, Record
from saliency.calculator.results.store import (
    GivenArray,
    Store,
    not_ours,
    read_call,
    read_json,
)

_ATTRIBUTE = "saliency"  # of an array of the user's
_BLOCK = 4096  # bytes that a file takes on the disk at least


class ZarrArray(GivenArray):
    """An array of Zarr, with the record among its attributes."""

    record_name = f"the attribute {_ATTRIBUTE!r} of out"
    begin_anew = f"delete the attribute {_ATTRIBUTE!r} of the array"

    def read_record(self) -> Any:
        """Return the content of the record; None if nothing was begun."""
        return self._array.attrs.asdict().get(_ATTRIBUTE)

    def write_record(self, record: Record) -> None:
        """Put a record in the place of the one before, at once or not at all."""
        self._array.attrs[_ATTRIBUTE] = record.content()

    def open(self, record: Record) -> str | None:
        """Open the array; return what is wrong with it as a whole, if anything is."""
        is_same = (
            self._array.shape == record.shape and self._array.dtype == record.dtype
        )
        return None if is_same else "it is not the array that was begun"


class ZarrFolder(Store):
    """``x.zarr`` in the file system, with a chunk for each batch and its record.

    Args:
        path (Path): The folder.
        batchsize (int): Number of rows that are written together.
    """

    def __init__(self, path: Path, batchsize: int) -> None:
        self.name = f"out={str(path)!r}"
        self.begin_anew = f"remove {path}"
        self._path = path.absolute()
        self._record_path = self._path / "saliency.json"
        self.record_name = str(self._record_path)
        self._reserved = self._path / "saliency.reserved"
        self._batchsize = batchsize
        self._array: Any = None
        self._not_synced: set[int] = set()

    def lock(self) -> PathLock:
        """Return a block that one process is in at a time."""
        zarr()  # if Zarr is missing, this says so before any work is done
        return PathLock(beside(self._path, ".lock"), self.name)

    def read_record(self) -> Any:
        """Return the content of the record; None if nothing was begun."""
        shutil.rmtree(beside(self._path, ".new"), ignore_errors=True)
        if not self._path.exists():
            return None
        if self._record_path.exists():
            self._tidy()
            return read_json(self._record_path)
        if _has_attribute(self._path):
            raise OtherFormat("an earlier version")
        raise not_ours(self.name)

    def write_record(self, record: Record) -> None:
        """Put a record in the place of the one before, at once or not at all."""
        write_at_once(self._record_path, json.dumps(record.content()))

    def create(self, record: Record) -> None:
        """Make the array, ready to be written, with its first record."""
        # It comes into its place whole: without a record it is somebody else's.
        new = beside(self._path, ".new")
        try:
            _make_array(new, record)
            at_new = ZarrFolder(new, self._batchsize)
            at_new.name = self.name
            at_new.make_room(record, len(record.batches))
            at_new.write_record(record)
            _sync_all(new)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        new.rename(self._path)
        sync(self._path.parent)
        self.open(record)

    def open(self, record: Record) -> str | None:
        """Open the array; return what is wrong with it as a whole, if anything is."""
        self._array = None
        try:
            self._array = _open_zarr(self._path)
        except Exception as reason:  # of many kinds, by Zarr's version
            return f"Zarr cannot open it ({reason})"
        array, dtype = self._array, np.dtype(record.dtype)
        is_as_made = (
            array.shape == record.shape
            and array.dtype == dtype
            and array.chunks == _chunks(record)
        )
        return None if is_as_made else "it is not the array that was made"

    def restore(self, record: Record) -> None:
        """Mend what :meth:`open` found wrong; what is left of the rows stays."""
        new = beside(self._path, ".new")
        _make_array(new, record)
        for file in new.iterdir():
            file.replace(self._path / file.name)
            sync(self._path / file.name)
        shutil.rmtree(new)
        sync(self._path)
        self.open(record)

    @property
    def array(self) -> Any:
        """The array, as the user gets it."""
        return self._array

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows; whatever is wrong with the files is an exception here."""
        return np.asarray(self._array[start:stop])

    def read_call(self) -> Any:
        """Return what the call was made with that is being written."""
        return read_call(self._record_path)

    def attach(self) -> tuple[tuple[int, ...], np.dtype]:
        """Open the array for a part of the work; return its shape and dtype."""
        self._array = _open_zarr(self._path)
        return self._array.shape, self._array.dtype

    def write(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write the rows of a batch."""
        self._array[start:stop] = rows
        self._not_synced.add(start // self._batchsize)

    def remove(self, batch: int) -> None:
        """Remove a chunk, which Zarr may want to read before it writes."""
        chunk = self._chunk(batch)
        if chunk is not None:
            chunk.unlink()

    def flush(self) -> None:
        """See that what was written is on the disk."""
        files = [self._chunk(batch) for batch in sorted(self._not_synced)]
        written = [file for file in files if file is not None]
        folders = {self._path}
        for file in written:
            within = file.relative_to(self._path).parents
            folders |= {self._path / folder for folder in within}
        for path in [*written, *folders]:
            sync(path)
        self._not_synced.clear()

    def make_room(self, record: Record, n_batch: int) -> None:
        """Keep the space for so many batches that are yet to come, and no more."""
        # Chunks are written when they come, so that a file keeps the space for them.
        if n_batch == 0:
            self._reserved.unlink(missing_ok=True)
            return
        row = math.prod(record.shape[1:]) * np.dtype(record.dtype).itemsize
        size = n_batch * _BLOCK * -(-row * record.batchsize // _BLOCK)
        with self._reserved.open("a+b") as file:
            reserve(file, size, self.name)
            file.truncate(size)

    def discard(self) -> None:
        """Remove what is there, since its record is damaged."""
        shutil.rmtree(self._path)

    def close(self) -> None:
        """Leave no files behind that workers have half written before they died."""
        self._tidy()

    def _tidy(self) -> None:
        """Remove the files that Zarr gives their name when they are complete."""
        for rest in self._path.rglob("*.partial"):
            rest.unlink(missing_ok=True)

    def _chunk(self, batch: int) -> Path | None:
        """Return the file of a batch; one that holds nothing but NaN has none."""
        key = [str(batch), *["0"] * (self._array.ndim - 1)]
        # Where Zarr 3 and Zarr 2 have it.
        files = self._path.joinpath("c", *key), self._path / ".".join(key)
        return next((file for file in files if file.is_file()), None)


def zarr() -> Any:
    """Return the module, which is an optional one."""
    try:
        import zarr
    except ImportError as reason:
        raise ImportError("out='....zarr' needs Zarr: pip install zarr") from reason
    return zarr


def _open_zarr(path: Path) -> Any:
    """Return the Zarr array at ``path``, to be written into."""
    return zarr().open_array(str(path), mode="r+")


def _make_array(path: Path, record: Record) -> None:
    """Make a Zarr array with one chunk for each batch."""
    shutil.rmtree(path, ignore_errors=True)
    zarr().open_array(
        str(path),
        mode="w",
        shape=record.shape,
        chunks=_chunks(record),
        dtype=np.dtype(record.dtype),
        fill_value=np.nan,
    )


def _chunks(record: Record) -> tuple[int, ...]:
    return min(record.batchsize, record.shape[0]), *record.shape[1:]


def _has_attribute(path: Path) -> bool:
    """Tell whether an array of Zarr is what an earlier version has begun."""
    try:
        return _ATTRIBUTE in _open_zarr(path).attrs.asdict()
    except Exception:  # of many kinds, by Zarr's version
        return False


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
