"""One lock for what a process has but once."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager

_lock = threading.RLock()


def one_at_a_time() -> AbstractContextManager[bool]:
    """Return a block that one thread of the process is in at a time.

    While a model runs, things are borrowed that the whole process shares: NumPy's
    global random state, and what the model keeps of its own between calls. A thread
    may enter again from within, so that a model may call a calculator.
    """
    return _lock


def _start_afresh() -> None:
    # A thread of the parent that held the lock does not live on in the child.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
