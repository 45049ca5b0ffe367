"""Methods of other people's classes that are replaced within a block."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Callable

Method = Callable[..., Any]
_MISSING = object()


class ReplacedMethods:
    """Replaces methods as long as anybody is in its block, and puts them back.

    The block may be entered again from within, and by several threads; the
    replacements have to find out by themselves whether their thread is in it.

    Args:
        replacements (dict): From class and name of the method to a function that is
            given the method as it was and returns the one to put there.
    """

    def __init__(
        self, replacements: Mapping[tuple[type, str], Callable[[Method], Method]]
    ) -> None:
        self._replacements = replacements
        self._lock = threading.Lock()
        self._n_block = 0
        self._own: dict[tuple[type, str], Any] = {}

    @contextlib.contextmanager
    def replaced(self) -> Iterator[None]:
        """Return the block."""
        with self._lock:
            if self._n_block == 0:
                for (owner, name), replacement in self._replacements.items():
                    # A class may have inherited the method.
                    self._own[owner, name] = owner.__dict__.get(name, _MISSING)
                    setattr(owner, name, replacement(getattr(owner, name)))
            self._n_block += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_block -= 1
                if self._n_block == 0:
                    for (owner, name), own in self._own.items():
                        if own is _MISSING:
                            delattr(owner, name)
                        else:
                            setattr(owner, name, own)
                    self._own.clear()
