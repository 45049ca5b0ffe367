"""What results are written into, and the record of what is there."""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from saliency.calculator.results.record import DamagedRecord, Record

# What stands before the call in a record, and how many bytes are read at a time until
# all of the call has been read.
_BEFORE_CALL = '"call": '
_BLOCK = 4096


class Store(ABC):
    """An array and its record, as :class:`~.out.Out` needs them.

    Attributes:
        name (str): What the user knows it by, for messages.
        record_name (str): The same of its record.
        begin_anew (str): What to do to begin anew.
        has_record (bool): Whether anything can be recorded.
    """

    name: str
    record_name: str
    begin_anew: str
    has_record: bool = True

    def lock(self) -> AbstractContextManager[Any]:
        """Return a block that one process is in at a time."""
        return contextlib.nullcontext()

    @abstractmethod
    def read_record(self) -> Any:
        """Return the content of the record; None if nothing was begun.

        Raises:
            DamagedRecord: If it cannot be read.
            OtherFormat: If an earlier version of this package has begun it.
            ValueError: If there is something that is not ours.
        """

    @abstractmethod
    def write_record(self, record: Record) -> None:
        """Put a record in the place of the one before, at once or not at all."""

    def room_for(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
        """Return the shape of the array that a result goes into.

        Raises:
            ValueError: If the array is given and does not fit.
        """
        return shape

    @abstractmethod
    def create(self, record: Record) -> None:
        """Make the array, ready to be written, with its first record.

        Raises:
            OSError: If there is no space for it.
        """

    def open(self, record: Record) -> str | None:
        """Open the array that was begun.

        Returns:
            str or None: What is wrong with it as a whole, in words for the user.
        """
        return None

    def restore(self, record: Record) -> None:
        """Mend what :meth:`open` found wrong; what is left of the rows stays.

        Raises:
            ValueError: If the array is the user's.
        """
        raise ValueError(f"{self.name} cannot be repaired; {self.begin_anew}")

    @property
    @abstractmethod
    def array(self) -> Any:
        """The array, as the user gets it."""

    @abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows; whatever is wrong with the files is an exception here."""

    @abstractmethod
    def write(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write the rows of a batch, which have the array's shape and dtype."""

    def remove(self, batch: int) -> None:  # noqa: B027 (most write over it)
        """Remove what is left of a batch that is not recorded, or is damaged."""

    def check_rows(self, n_example: int) -> None:  # noqa: B027 (paths have none yet)
        """Raise a ValueError if the array is given and has another number of rows."""

    def flush(self) -> None:  # noqa: B027 (memory has no disk)
        """See that what was written is on the disk."""

    def make_room(self, record: Record, n_batch: int) -> None:  # noqa: B027 (as above)
        """Keep the space for so many batches that are yet to come, and no more."""

    def discard(self) -> None:  # noqa: B027 (what is created takes its place)
        """Remove what is there, since its record is damaged."""

    def close(self) -> None:  # noqa: B027 (most have nothing open)
        """Leave the files as they are."""


class GivenArray(Store):
    """An array of the user's.

    Args:
        array (numpy.ndarray or zarr.Array): It may have more room than rows need.
    """

    name = "out"

    def __init__(self, array: Any) -> None:
        self._array = array

    def check_rows(self, n_example: int) -> None:
        """Raise a ValueError if the array has another number of rows."""
        if self._array.shape[:1] != (n_example,):
            raise ValueError(
                f"out must have a row for each of the {n_example} examples, got shape "
                f"{self._array.shape}"
            )

    def room_for(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
        """Return the shape of the array, if a result fits into it."""
        array = self._array
        fits = array.ndim == len(shape)
        if not fits or any(a < b for a, b in zip(array.shape, shape)):
            raise ValueError(f"out must have shape {shape}, got {array.shape}")
        if array.dtype != dtype:
            raise ValueError(f"out must be of dtype {dtype}, got {array.dtype}")
        room: tuple[int, ...] = array.shape
        return room

    def create(self, record: Record) -> None:
        """Write the first record."""
        self.write_record(record)

    @property
    def array(self) -> Any:
        """The array."""
        return self._array

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows."""
        return np.asarray(self._array[start:stop])

    def write(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write rows."""
        self._array[start:stop] = rows


def read_json(path: Path) -> Any:
    """Return what a file holds, or raise DamagedRecord."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as reason:
        raise DamagedRecord from reason


def read_call(path: Path) -> Any:
    """Return the call that a record tells of, without reading the record whole.

    It stands in front of the batches, of which there may be very many.

    Raises:
        DamagedRecord: If the file holds no record.
    """
    with path.open("rb", buffering=0) as file:
        head = b""
        while block := file.read(_BLOCK):
            head += block
            with contextlib.suppress(ValueError):
                text = head.decode()
                start = text.index(_BEFORE_CALL) + len(_BEFORE_CALL)
                return json.JSONDecoder().raw_decode(text, start)[0]
    raise DamagedRecord


def not_ours(name: str) -> ValueError:
    """Return the error for something that is there and has no record."""
    return ValueError(
        f"{name} is there already, and not from compute_aggregate; remove it or pass "
        "another path"
    )
