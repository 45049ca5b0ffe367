"""Whether a result fits into memory, asked before it is computed."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

_CGROUP = Path("/sys/fs/cgroup")
# What takes no more is computed without asking: with less, Python itself cannot go on.
_NO_MATTER = 1 << 20


def check_room(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise a MemoryError if an array is larger than the memory that is free.

    Args:
        shape (tuple of int): Its shape, or a part of it.
        dtype (numpy.dtype): Its dtype.
    """
    n_byte = math.prod(shape) * dtype.itemsize
    if n_byte <= _NO_MATTER:
        return
    free = free_memory()
    if free is None or n_byte <= free:
        return
    raise MemoryError(
        f"the samples would take {_readable(n_byte)} in shape {shape} and dtype "
        f"{dtype}, but {_readable(free)} of memory are free. compute_aggregate keeps "
        "their mean alone; with out='x.npy' or 'x.zarr' that goes to a file"
    )


def free_memory() -> int | None:
    """Return how many bytes this process may still take; None if nobody says."""
    found = [n for n in (_of_machine(), _of_container()) if n is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # not on Linux
        return None


def _of_container() -> int | None:
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return limit - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no limit, or an older kernel
        return None


def _readable(n_byte: int) -> str:
    size = float(n_byte)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} PiB"
