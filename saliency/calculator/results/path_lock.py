"""A lock on a path, which one process of one machine holds at a time."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import socket
import sys
import weakref
from pathlib import Path
from typing import Any

from saliency.user_warnings import warn_user

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FAR_BEYOND = 1 << 30  # Windows lets nobody read the bytes that are locked
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class PathLock:
    """A ``with`` block that one thread of one process is in at a time.

    The operating system holds the lock and gives it back when the process ends, however
    that happens. A file that is left behind is therefore no lock.

    Args:
        path (Path): The file that is locked; it is there as long as the lock is held.
        name (str): What the user knows the locked thing by.

    Raises:
        BlockingIOError: On entering, if the lock is held; the message says by whom.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._file: int | None = None

    def __enter__(self) -> PathLock:
        while self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not self._try_lock(file):
                    raise BlockingIOError(self._who_has_it(file))
                if self._is_at_path(file):
                    self._file = file
            finally:
                if self._file is None:
                    os.close(file)
        os.ftruncate(self._file, 0)
        os.write(self._file, json.dumps(_ourselves()).encode())
        _held.add(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        _held.discard(self)
        file, self._file = self._file, None
        if file is None:  # in a forked child
            return
        if sys.platform == "win32":
            os.close(file)  # what is open cannot be removed there
            with contextlib.suppress(OSError):
                self._path.unlink()
            return
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()  # while nobody else can have it
        os.close(file)

    def forget(self) -> None:
        """Leave the lock to the process that this one was forked from."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _try_lock(self, file: int) -> bool:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as reason:
            if reason.errno not in _NO_LOCKS:
                raise
            warn_user(
                f"{self._name} is on a file system without locks: see to it that no "
                "other process writes there meanwhile"
            )
        return True

    def _is_at_path(self, file: int) -> bool:
        """Tell whether a file was not removed, by who held it, before it was locked."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def _who_has_it(self, file: int) -> str:
        try:
            who = json.loads(os.read(file, 1000))
            by = f"process {who['pid']} on {who['host']}, since {who['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            by = "another process"  # which is just about to say who it is
        return (
            f"{self._name} is in use by {by}. Wait until that ends, or pass another "
            "path"
        )


def _ourselves() -> dict[str, Any]:
    now = datetime.datetime.now().astimezone()
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": now.isoformat(" ", "seconds"),
    }


def _lock(file: int) -> None:
    """Lock a file for as long as it is open, or raise an OSError."""
    if sys.platform == "win32":
        os.lseek(file, _FAR_BEYOND, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# A forked child would hold on to its parent's locks, also when that has ended.
_held: weakref.WeakSet[PathLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
