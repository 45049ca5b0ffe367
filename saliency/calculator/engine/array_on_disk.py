"""Arrays that are read row by row: those of h5py and Zarr, and sparse ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.checks import plain_array

import chainer

# Each read has a price, whatever it brings, and that of one row may bring its chunk.
_BYTES_AT_LEAST = 1 << 20
# Of larger chunks, some rows are read at a time.
_BYTES_AT_MOST = 64 << 20


def in_memory_or_read_ahead(data: Any) -> Any:
    """Return an array that is not in memory, or sparse, as an :class:`ArrayOnDisk`.

    Anything else is returned as it is.
    """
    if hasattr(data, "tocsr"):  # of SciPy, in one of many forms
        return ArrayOnDisk(data.tocsr())
    if isinstance(data, (*chainer.get_array_types(), chainer.Variable)):
        return data
    shape, dtype = getattr(data, "shape", None), getattr(data, "dtype", None)
    if not (isinstance(shape, tuple) and shape and hasattr(data, "__getitem__")):
        return data
    is_of_numbers = isinstance(dtype, np.dtype) and dtype.kind in "fiub"
    return ArrayOnDisk(data) if is_of_numbers else data


class ArrayOnDisk:
    """Rows of an array that is not in memory as such, which are read some way ahead.

    What was read last is kept, so that rows that are asked for one after the other are
    read, and chunks unpacked, once.

    Args:
        array: Has ``shape``, ``dtype`` and slices; perhaps ``chunks``, as h5py and Zarr
            have them.

    Attributes:
        shape (tuple of int): Of the array.
        dtype (numpy.dtype): Of the array.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)
        self._n_ahead = _rows_ahead(self.shape, self.dtype, _rows_of_chunk(array))
        self._start = 0
        self._held = np.empty((0, *self.shape[1:]), self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice) -> Any:
        """Return a row, or consecutive rows."""
        if not isinstance(index, slice):
            return self._rows(index, index + 1)[0]
        start, stop, _ = index.indices(len(self))
        return self._rows(start, stop)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        if not self._start <= start <= stop <= self._start + len(self._held):
            first = start - start % self._n_ahead
            last = min(stop + -stop % self._n_ahead, len(self))
            self._held = self._held[:0]  # before there is another in memory
            some = self._array[first:last]
            if hasattr(some, "toarray"):  # of a sparse array
                some = some.toarray()
            # An array of netCDF4 gives masked ones.
            self._held = np.asarray(plain_array("data", some))
            self._start = first
        return self._held[start - self._start : stop - self._start]


def _rows_ahead(shape: tuple[int, ...], dtype: np.dtype, n_chunk: int) -> int:
    """Return how many rows are read at a time: whole chunks, if they are small."""
    n_byte = max(int(np.prod(shape[1:])) * dtype.itemsize, 1)
    at_least, at_most = (n // n_byte for n in (_BYTES_AT_LEAST, _BYTES_AT_MOST))
    if n_chunk > at_most:
        return max(at_most, 1)
    return n_chunk * -(-max(at_least, 1) // n_chunk)


def _rows_of_chunk(array: Any) -> int:
    chunks = getattr(array, "chunks", None)
    if not (isinstance(chunks, tuple) and chunks and isinstance(chunks[0], int)):
        return 1
    return max(chunks[0], 1)
