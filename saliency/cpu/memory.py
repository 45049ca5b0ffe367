"""Memory for results, used again and again within a block, and in the next one.

The system clears each page of memory before it hands it out, which takes as long as a
ReLU takes for its work; and what NumPy frees of large arrays goes back to the system.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import platform
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

# Smaller arrays come out of memory that the C library keeps anyway.
_MIN_BYTES = 1 << 20
# Bytes of a line of the cache, and of the longest vectors. Large arrays of NumPy begin
# 16 bytes behind one, so that each vector is read from two.
_LINE = 64
_MIN_ALIGNED = 1 << 14
# Bytes that stay when a block ends, and for how many seconds.
_MOST_KEPT, _SECONDS = 1 << 28, 5.0
# Leading bits of a number of bytes that may differ from one size of blocks to the next.
_BITS_OF_SIZE = 4
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

#: What glibc is told by the environment to keep as much: from how many bytes on free
#: memory at the end of the heap, and from how many on each block by itself, goes back.
KEEPING = {"MALLOC_TRIM_THRESHOLD_": 64 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}
# The numbers of these in mallopt(3), and what both are without.
_MALLOPT = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}
_DEFAULT = 128 << 10


@contextlib.contextmanager
def kept_by_the_c_library() -> Iterator[None]:
    """Return a block in which glibc keeps what is freed, although it was told not to.

    It learns nothing any more in a process that has begun with one of the variables
    above, as the workers of Dask do, and clears pages for each large array. In a
    process without them, and with another C library, nothing is changed.

    The process must not be in two such blocks at once.
    """
    library, before = _glibc(), _mallopt_at_start()
    learns = not before
    keeps = all(before.get(name, 0) >= n_byte for name, n_byte in KEEPING.items())
    if library is None or learns or keeps:
        yield
        return
    try:
        for name, number in _MALLOPT.items():
            library.mallopt(number, KEEPING[name])
        yield
    finally:
        for name, number in _MALLOPT.items():
            library.mallopt(number, before.get(name, _DEFAULT))
        library.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    """Return the C library if it is glibc, else None."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


@functools.cache
def _mallopt_at_start() -> dict[str, int]:
    """Return what the environment had told glibc when the process began."""
    try:
        with open("/proc/self/environ", "rb") as file:
            items = file.read().split(b"\0")
    except OSError:
        return {}
    pairs = (item.decode(errors="replace").partition("=") for item in items)
    given = {name: value for name, _, value in pairs if name in _MALLOPT}
    return {name: int(value) for name, value in given.items() if value.isdecimal()}


Blocks = dict[int, list[np.ndarray]]


class _Kept:
    """Blocks of memory, by their size, that the next pool takes, if it comes soon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: Blocks = {}
        self._until = 0.0
        self._is_watched = False
        # Threads do not live on in a forked child.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_anew)

    def take(self) -> Blocks:
        """Return all blocks, which are not kept here any more."""
        with self._lock:
            taken, self._blocks = self._blocks, {}
        return taken

    def add(self, blocks: Blocks) -> None:
        """Keep blocks, the largest of them first, as far as there is room."""
        with self._lock:
            room = _MOST_KEPT - sum(size * len(b) for size, b in self._blocks.items())
            for size in sorted(blocks, reverse=True):
                some = blocks[size][: max(0, room // size)]
                if some:
                    self._blocks.setdefault(size, []).extend(some)
                    room -= size * len(some)
            self._until = time.monotonic() + _SECONDS
            if self._blocks and not self._is_watched:
                self._watch()

    def _watch(self) -> None:
        thread = threading.Thread(
            target=self._drop_in_time, name="saliency-memory", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # as where the interpreter is about to end
            self._blocks = {}
        else:
            self._is_watched = True

    def _drop_in_time(self) -> None:
        while True:
            with self._lock:
                left = self._until - time.monotonic()
                if left <= 0:
                    self._blocks = {}
                    self._is_watched = False
                    return
            time.sleep(left)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._blocks = {}
        self._is_watched = False


_kept = _Kept()


class _Pool:
    """Blocks of memory that no array uses, by their size.

    All blocks together are at most twice as much as was in use at once.

    Args:
        blocks (dict): What it begins with.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._idle: Blocks = defaultdict(list, blocks)
        self._n_idle = sum(size * len(some) for size, some in blocks.items())
        self._n_used = 0
        self._most_used = 0
        self._is_open = True

    def take(self, n_byte: int) -> np.ndarray:
        """Return memory as an array of bytes, which comes back by itself.

        Arrays of a pass with fewer rows take the blocks of one with more: a block may
        be twice as large as what is asked for.
        """
        # From a power of two to the next there are so few sizes that blocks meet again.
        unit = 1 << max(n_byte.bit_length() - _BITS_OF_SIZE, 0)
        n_block = -(-n_byte // unit) * unit
        block = self._idle_block(range(n_block, 2 * n_block + 1, unit))
        if block is None:
            self._make_room(n_block)
            block = aligned(n_block)
        self._n_used += block.nbytes
        self._most_used = max(self._most_used, self._n_used)
        array: np.ndarray = np.asarray(_Lease(self, block))
        return array[:n_byte]

    def _idle_block(self, sizes: range) -> np.ndarray | None:
        """Return an idle block of the first size that there is, or None."""
        # Blocks may come back at any moment, from any thread, so no lock is held here:
        # each step by itself is whole.
        for size in sizes:
            if self._idle.get(size):
                with contextlib.suppress(IndexError):
                    block = self._idle[size].pop()
                    self._n_idle -= size
                    return block
        return None

    def give_back(self, block: np.ndarray) -> None:
        """Take a block that no array uses any longer."""
        self._n_used -= block.nbytes
        if not self._is_open:
            return
        self._make_room(block.nbytes)
        self._idle[block.nbytes].append(block)
        self._n_idle += block.nbytes

    def _make_room(self, n_byte: int) -> None:
        """Hand idle blocks back to the system, if there are too many with one more."""
        n_all = self._n_used + self._n_idle + n_byte
        if n_all > 2 * max(self._most_used, self._n_used + n_byte):
            self._idle.clear()
            self._n_idle = 0

    def close(self) -> None:
        """Keep what is idle; hand the rest back to the system when it is not used."""
        self._is_open = False
        _kept.add(self._idle)
        self._idle = defaultdict(list)


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
    _local.pool = _Pool(_kept.take())
    try:
        yield
    finally:
        _local.pool.close()
        _local.pool = None


def aligned(n_byte: int) -> np.ndarray:
    """Return bytes of memory, not initialized, of which a vector is one cache line."""
    room = np.empty(n_byte + _LINE, np.uint8)
    start = -address_of(room) % _LINE
    return room[start : start + n_byte]


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array, not initialized."""
    n_byte = math.prod(shape) * np.dtype(dtype).itemsize
    if n_byte < _MIN_ALIGNED:
        return np.empty(shape, dtype)
    if _local.pool is None or n_byte < _MIN_BYTES:
        return aligned(n_byte).view(dtype).reshape(shape)
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
    in_order = tuple([shape[axis] for axis in order])
    back = sorted(range(len(order)), key=order.__getitem__)
    return empty(in_order, array.dtype).transpose(back)


def axes_in_memory(array: np.ndarray) -> list[int]:
    """Return the axes from the largest stride to the smallest."""
    return sorted(range(array.ndim), key=[-abs(s) for s in array.strides].__getitem__)


def channels_last(images: np.ndarray) -> np.ndarray:
    """Return images ``(n, channel, ...)`` with the channels on the last axis."""
    return images.transpose(0, *range(2, images.ndim), 1)


def address_of(array: np.ndarray) -> int:
    """Return where in memory the first element of an array is."""
    address: int = _word(id(array) + _BEFORE_ADDRESS).value  # type: ignore[assignment]
    return address


def _slow_address_of(array: np.ndarray) -> int:
    # Takes two thirds of the time of array.ctypes.data.
    address: int = array.__array_interface__["data"][0]
    return address


# NumPy's binary interface has the address at the beginning of an array, behind what all
# of Python's objects begin with. To read it there takes a sixth of the time, and it is
# read several times for each function.
_word = ctypes.c_void_p.from_address
_BEFORE_ADDRESS = object.__basicsize__


def _can_be_read() -> bool:
    probe = np.empty((3, 4))[1:]
    is_cpython = platform.python_implementation() == "CPython"
    return is_cpython and address_of(probe) == _slow_address_of(probe)


if not _can_be_read():
    address_of = _slow_address_of


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array of zeros."""
    array = empty(shape, dtype)
    array[...] = 0
    return array
