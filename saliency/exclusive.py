"""What a process has only once: one lock for it, and a seed for a while."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np

_lock = threading.RLock()


def one_at_a_time() -> AbstractContextManager[bool]:
    """Return a block that one thread of the process is in at a time.

    While a model runs, things are borrowed that the whole process shares: NumPy's
    global random state, and what the model keeps of its own between calls. A thread
    may enter again from within, so that a model may call a calculator.
    """
    return _lock


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Return a block in which NumPy's global random state starts at a seed.

    Chainer draws the first parameters of links from it. Afterwards it is as it was.
    """
    with one_at_a_time():
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _start_afresh() -> None:
    # A thread of the parent that held the lock does not live on in the child.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
