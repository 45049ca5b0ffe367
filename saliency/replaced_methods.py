"""What is changed for the whole process within a block, such as Chainer's methods.

A block may be entered again from within, and by several threads. It may also be running
when the process forks: a child has only the thread that forked, and so only its blocks.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Callable

Method = Callable[..., Any]
_MISSING = object()


class SharedBlock:
    """Changes something as long as any thread is in its block, and puts it back.

    It is made once, for as long as the process runs.

    Args:
        change (callable): Called where the first block begins.
        put_back (callable): Called where the last block ends. It may find that nothing,
            or not all, was changed.
    """

    def __init__(
        self, change: Callable[[], None], put_back: Callable[[], None]
    ) -> None:
        self._change = change
        self._put_back = put_back
        #: Held while something is changed or put back.
        self.lock = threading.RLock()
        # By which thread each block was entered.
        self._blocks: dict[object, int] = {}
        if hasattr(os, "register_at_fork"):
            # Whoever forks waits until nothing is half changed.
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork_in_parent,
                after_in_child=self._after_fork_in_child,
            )

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Return the block."""
        block = object()
        try:
            with self.lock:
                if not self._blocks:
                    self._change()
                self._blocks[block] = threading.get_ident()
            yield
        finally:
            with self.lock:
                self._blocks.pop(block, None)
                if not self._blocks:
                    self._put_back()

    def _before_fork(self) -> None:
        self.lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self.lock.release()

    def _after_fork_in_child(self) -> None:
        self.lock = threading.RLock()
        this_thread = threading.get_ident()
        for block, thread in list(self._blocks.items()):
            if thread != this_thread:
                del self._blocks[block]
        if not self._blocks:
            self._put_back()


class ReplacedMethods:
    """Replaces methods as long as anybody is in its block, and puts them back.

    The replacements have to find out by themselves whether their thread is in a block.

    Args:
        replacements (dict): From class and name of the method to a function that is
            given the method as it was and returns the one to put there.
    """

    def __init__(
        self, replacements: Mapping[tuple[type, str], Callable[[Method], Method]]
    ) -> None:
        self._replacements = replacements
        self._own: dict[tuple[type, str], Any] = {}
        # Each method as it was, and what was made of it: making takes a while.
        self._made: dict[tuple[type, str], tuple[Method, Method]] = {}
        self._block = SharedBlock(self._replace, self._put_back)

    def replaced(self) -> contextlib.AbstractContextManager[None]:
        """Return the block."""
        return self._block.entered()

    def _replace(self) -> None:
        for (owner, name), replacement in self._replacements.items():
            # A class may have inherited the method.
            self._own[owner, name] = owner.__dict__.get(name, _MISSING)
            original = getattr(owner, name)
            before, made = self._made.get((owner, name), (None, original))
            if before is not original:
                made = replacement(original)
                self._made[owner, name] = original, made
            setattr(owner, name, made)

    def _put_back(self) -> None:
        for (owner, name), own in self._own.items():
            if own is not _MISSING:
                setattr(owner, name, own)
            elif name in owner.__dict__:
                delattr(owner, name)
        self._own.clear()


class _IsInside(threading.local):
    value = False


class MethodsOfThread:
    """Replaces methods for the threads that are in its block alone.

    Args:
        replacements (dict): From class and name of the method to a function that takes
            what the method takes. It returns what the method returns, or None for what
            it does not cover, which is left to the method as it was.
    """

    def __init__(
        self, replacements: Mapping[tuple[type, str], Callable[..., Any]]
    ) -> None:
        self._is_inside = _IsInside()
        self._methods = ReplacedMethods(
            {
                place: functools.partial(self._where_inside, replacement)
                for place, replacement in replacements.items()
            }
        )

    @contextlib.contextmanager
    def replaced(self) -> Iterator[None]:
        """Return the block."""
        outer = self._is_inside.value
        with self._methods.replaced():
            self._is_inside.value = True
            try:
                yield
            finally:
                self._is_inside.value = outer

    def _where_inside(
        self, replacement: Callable[..., Any], original: Method
    ) -> Method:
        @functools.wraps(original)
        def method(this: Any, *args: Any) -> Any:
            if not self._is_inside.value:
                return original(this, *args)
            result = replacement(this, *args)
            return original(this, *args) if result is None else result

        return method
