"""Terminals for tests, which know what was written to them."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager


class Screen(io.StringIO):
    """A terminal within this process, in the place of stdout or stderr."""

    def isatty(self) -> bool:
        return True


@contextmanager
def pseudo_terminal() -> Iterator[tuple[int, list[str]]]:
    """A terminal for another process: a file descriptor, and what was written to it.

    The text, of a few kilobytes at most, is in the list after the block.
    """
    screen, terminal = os.openpty()
    written: list[str] = []
    try:
        size = struct.pack("HHHH", 24, 80, 0, 0)  # 80 characters wide
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
        yield terminal, written
        os.write(terminal, b"\n")  # so that there is something to read
        written.append(os.read(screen, 1 << 16).decode())
    finally:
        os.close(terminal)
        os.close(screen)
