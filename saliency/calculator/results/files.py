"""Files that are on the disk when they are said to be, and space that is theirs."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20
# What file systems answer that cannot reserve space.
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file whose name is another's with a suffix."""
    return path.with_name(path.name + suffix)


def sync(path: Path) -> None:
    """See that a file, or the names in a folder, are on the disk."""
    # Windows opens no folders, and some file systems of networks do not sync them.
    is_needed = not path.is_dir()
    with contextlib.nullcontext() if is_needed else contextlib.suppress(OSError):
        # Windows syncs only what may be written.
        opened = os.open(path, os.O_RDWR if is_needed else os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def write_at_once(path: Path, text: str) -> None:
    """Put a text in the place of what a file held, at once or not at all."""
    new = beside(path, ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync(path.parent)


def reserve(file: Any, size: int, name: str) -> None:
    """Make a file at least ``size`` bytes long, with space on the disk for all of them.

    What it holds already stays; the rest is zeros.

    Args:
        file (file): Open for reading and writing, in binary mode.
        size (int): Number of bytes.
        name (str): What the user knows it by.

    Raises:
        OSError: If the disk has less space; then the file is as long as it was.
    """
    before = file.seek(0, os.SEEK_END)
    if size <= before:
        return
    try:
        _reserve(file, before, size)
    except OSError as reason:
        with contextlib.suppress(OSError):
            file.truncate(before)
        message = (
            f"{name} needs {size - before:,} bytes more, which cannot be reserved: "
            f"{os.strerror(reason.errno or errno.EIO)}"
        )
        raise OSError(reason.errno, message) from reason


def _reserve(file: Any, before: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as reason:
            if reason.errno not in _CANNOT_RESERVE:
                raise
    for start in range(before, size, _BLOCK):
        file.write(bytes(min(_BLOCK, size - start)))
    file.flush()
