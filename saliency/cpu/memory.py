"""Memory for results, used again and again within a block.

The system clears each page of memory before it hands it out, which takes as long as a
ReLU takes for its work; and what NumPy frees of large arrays goes back to the system.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

# Smaller arrays come out of memory that the C library keeps anyway.
_MIN_BYTES = 1 << 20
# The largest block that glibc learns from, with what it has around it.
_MOST_LEARNT_FROM = (32 << 20) - (1 << 16)


def _teach_to_keep() -> None:
    """Let the C library keep what is freed for the next arrays, 64 MB at most.

    glibc gives large blocks back to the system, and learns from each that is freed that
    blocks of this size are worth keeping (``M_MMAP_THRESHOLD`` in mallopt(3)). So one
    is, which nobody has written into: it takes no memory. Others do not mind.
    """
    np.empty(_MOST_LEARNT_FROM, np.uint8)


_teach_to_keep()


class _Pool:
    """Blocks of memory that no array uses, by their size.

    All blocks together are at most twice as much as was in use at once.
    """

    def __init__(self) -> None:
        self._idle: dict[int, list[np.ndarray]] = defaultdict(list)
        self._n_idle = 0
        self._n_used = 0
        self._most_used = 0
        self._is_open = True

    def take(self, n_byte: int) -> np.ndarray:
        """Return a block of memory as an array of bytes, which comes back by itself."""
        # Blocks may come back at any moment, from any thread, so no lock is held here:
        # each step by itself is whole.
        try:
            block = self._idle[n_byte].pop()
            self._n_idle -= n_byte
        except IndexError:
            block = np.empty(n_byte, np.uint8)
        self._n_used += n_byte
        self._most_used = max(self._most_used, self._n_used)
        return np.asarray(_Lease(self, block))

    def give_back(self, block: np.ndarray) -> None:
        """Take a block that no array uses any longer."""
        self._n_used -= block.nbytes
        if not self._is_open:
            return
        if self._n_used + self._n_idle + block.nbytes > 2 * self._most_used:
            self._idle.clear()
            self._n_idle = 0
        self._idle[block.nbytes].append(block)
        self._n_idle += block.nbytes

    def close(self) -> None:
        """Hand everything back to the system, now or when it is not used any longer."""
        self._is_open = False
        self._idle.clear()


class _Lease:
    """What keeps a block from its pool: the arrays in it hold this object."""

    def __init__(self, pool: _Pool, block: np.ndarray) -> None:
        self._pool = pool
        self._block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        self._pool.give_back(self._block)


class _Local(threading.local):
    pool: _Pool | None = None


_local = _Local()


@contextlib.contextmanager
def reused() -> Iterator[None]:
    """Return a block in which this thread's results take the memory of earlier ones."""
    if _local.pool is not None:
        yield
        return
    _local.pool = _Pool()
    try:
        yield
    finally:
        _local.pool.close()
        _local.pool = None


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array, not initialized."""
    n_byte = math.prod(shape) * np.dtype(dtype).itemsize
    if _local.pool is None or n_byte < _MIN_BYTES:
        return np.empty(shape, dtype)
    return _local.pool.take(n_byte).view(dtype).reshape(shape)


def empty_like(array: np.ndarray, shape: Sequence[int] | None = None) -> np.ndarray:
    """Return an array of the same shape, dtype and layout, not initialized.

    Args:
        array (numpy.ndarray): The other array.
        shape (sequence of int or None): Another shape.
    """
    shape = array.shape if shape is None else tuple(shape)
    if array.flags.c_contiguous:
        return empty(shape, array.dtype)
    order = axes_in_memory(array)
    in_order = tuple(shape[axis] for axis in order)
    return empty(in_order, array.dtype).transpose(np.argsort(order))


def axes_in_memory(array: np.ndarray) -> list[int]:
    """Return the axes from the largest stride to the smallest."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array of zeros."""
    array = empty(shape, dtype)
    array[...] = 0
    return array
