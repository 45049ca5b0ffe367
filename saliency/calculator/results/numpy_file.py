"""Results in a file of NumPy."""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from saliency.calculator.results.files import beside, reserve, sync, write_at_once
from saliency.calculator.results.path_lock import PathLock
from saliency.calculator.results.record import Record
from saliency.calculator.results.store import Store, not_ours, read_json


class NumpyFile(Store):
    """``x.npy``, with ``x.npy.progress.json`` beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._record_path = beside(self._path, ".progress.json")
        self.name = f"out={str(path)!r}"
        self.record_name = str(self._record_path)
        self.begin_anew = f"remove {path} and {self._record_path}"
        self._file: Any = None
        self._offset = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float64)

    def lock(self) -> PathLock:
        """Return a block that one process is in at a time."""
        return PathLock(beside(self._path, ".lock"), self.name)

    def read_record(self) -> Any:
        """Return the content of the record; None if nothing was begun."""
        beside(self._path, ".new").unlink(missing_ok=True)
        if not self._path.exists():
            return None
        if not self._record_path.exists():
            raise not_ours(self.name)
        return read_json(self._record_path)

    def write_record(self, record: Record) -> None:
        """Put a record in the place of the one before, at once or not at all."""
        write_at_once(self._record_path, json.dumps(record.content()))

    def create(self, record: Record) -> None:
        """Make the array, ready to be written, with its first record."""
        # It comes into its place whole, and behind its record: a file without one is
        # somebody else's.
        new = beside(self._path, ".new")
        try:
            with new.open("w+b") as file:
                file.write(_header(record))
                reserve(file, _size(record), self.name)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        self.write_record(record)
        new.replace(self._path)
        sync(self._path.parent)
        self.open(record)

    def open(self, record: Record) -> str | None:
        """Open the array; return what is wrong with it as a whole, if anything is."""
        self.close()
        self._file = self._path.open("r+b")
        self._shape, self._dtype = record.shape, np.dtype(record.dtype)
        self._offset = len(_header(record))
        if not _has_header_of(self._file, record):
            return "its header is not that of the array"
        self._offset = self._file.tell()
        found = os.fstat(self._file.fileno()).st_size
        expected = self._offset + _n_byte(record)
        if found != expected:
            return f"it has {found:,} bytes in place of {expected:,}"
        return None

    def restore(self, record: Record) -> None:
        """Mend what :meth:`open` found wrong; what is left of the rows stays."""
        self._file.seek(0)
        self._file.write(_header(record))
        self._file.truncate(min(_size(record), self._file.seek(0, os.SEEK_END)))
        reserve(self._file, _size(record), self.name)
        self.flush()
        self.open(record)

    @property
    def array(self) -> Any:
        """The array, as the user gets it."""
        # Who changes it has the change in memory, and the file stays what was checked.
        return np.lib.format.open_memmap(self._path, mode="c")

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows; whatever is wrong with the files is an exception here."""
        n_byte = self._seek(start, stop)
        return np.frombuffer(self._file.read(n_byte), self._dtype).reshape(
            stop - start, *self._shape[1:]
        )

    def write(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write the rows of a batch."""
        # Not by way of a memory map, where a disk that is full kills the process.
        self._seek(start, stop)
        self._file.write(np.ascontiguousarray(rows).data)

    def flush(self) -> None:
        """See that what was written is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _seek(self, start: int, stop: int) -> int:
        """Go to a row; return how many bytes the rows up to another have."""
        n_byte = math.prod(self._shape[1:]) * self._dtype.itemsize
        self._file.seek(self._offset + start * n_byte)
        return (stop - start) * n_byte


def _n_byte(record: Record) -> int:
    return math.prod(record.shape) * np.dtype(record.dtype).itemsize


def _size(record: Record) -> int:
    """Return how long a file of NumPy is."""
    return len(_header(record)) + _n_byte(record)


def _header(record: Record) -> bytes:
    """Return what a file of NumPy begins with."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file,
        {
            "shape": record.shape,
            "fortran_order": False,
            "descr": np.lib.format.dtype_to_descr(np.dtype(record.dtype)),
        },
    )
    return file.getvalue()


def _has_header_of(file: Any, record: Record) -> bool:
    """Tell whether a file begins as it should; afterwards it is behind its header."""
    file.seek(0)
    expected = record.shape, False, np.dtype(record.dtype)
    try:
        is_known = np.lib.format.read_magic(file) == (1, 0)
        return is_known and np.lib.format.read_array_header_1_0(file) == expected
    except Exception:  # of many kinds: the header is a piece of Python
        return False
