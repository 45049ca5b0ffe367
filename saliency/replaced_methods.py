"""What is changed for the whole process within a block, such as Chainer's methods.

A block may be entered again from within, and by several threads. It may also be running
when the process forks: a child has only the thread that forked, and so only its blocks.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Mapping
from types import FunctionType
from typing import Any, Callable, ClassVar, NamedTuple

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

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """Return the block."""
        return _Block(self)

    def begin(self, block: object) -> None:
        """Let a block begin, in this thread."""
        with self.lock:
            if not self._blocks:
                self._change()
            self._blocks[block] = threading.get_ident()

    def end(self, block: object) -> None:
        """Let a block end; it may not have begun."""
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


class _Block:
    """A block in which something is changed."""

    def __init__(self, shared: SharedBlock) -> None:
        self._shared = shared

    def __enter__(self) -> None:
        try:
            self._shared.begin(self)
        except BaseException:
            self._shared.end(self)
            raise

    def __exit__(self, *error: object) -> None:
        self._shared.end(self)


#: The class and the name of a method.
Place = tuple[type, str]


class _Layers:
    """A method of a class, and what blocks have put over it, the last one on top.

    Blocks may end in another order than that in which they began: when a process forks,
    those of other threads end in the child.
    """

    def __init__(self, place: Place) -> None:
        self._owner, self._name = place
        self._layers: dict[object, Callable[[Method], Method]] = {}
        # A class may have inherited the method.
        self._own: Any = _MISSING
        self._original: Any = None

    def put_on(self, key: object, replacement: Callable[[Method], Method]) -> None:
        """Put a layer on top."""
        if self._layers:
            self._layers[key] = replacement
            self._set()
            return
        own = self._own = self._owner.__dict__.get(self._name, _MISSING)
        # A plain function of the class is what it returns for the name.
        is_plain = type(own) is FunctionType
        self._original = own if is_plain else getattr(self._owner, self._name)
        self._layers[key] = replacement
        setattr(self._owner, self._name, replacement(self._original))

    def take_off(self, key: object) -> None:
        """Take a layer off, if it is there."""
        if self._layers.pop(key, None) is None:
            return
        if self._layers or self._own is _MISSING:
            self._set()
        else:
            setattr(self._owner, self._name, self._own)

    def _set(self) -> None:
        if self._layers:
            method = self._original
            for replacement in self._layers.values():
                method = replacement(method)
            setattr(self._owner, self._name, method)
        elif self._own is not _MISSING:
            setattr(self._owner, self._name, self._own)
        elif self._name in self._owner.__dict__:
            delattr(self._owner, self._name)


class ReplacedMethods:
    """Replaces methods as long as anybody is in its block, and puts them back.

    The replacements have to find out by themselves whether their thread is in a block.

    Args:
        replacements (dict): From class and name of the method to a function that is
            given the method as it was and returns the one to put there.
        at_once (bool): Whether all are replaced where the first block begins. If not,
            those of a class are when somebody is about to use it, and says so with
            :meth:`meet`: Python forgets what it has learnt of each class that changes.
    """

    #: The methods that any block replaces, and what is held while they are changed: it
    #: is free at a fork, since that holds the locks of all blocks.
    _layers: ClassVar[dict[Place, _Layers]] = {}
    _lock: ClassVar[Any] = threading.RLock()

    def __init__(
        self,
        replacements: Mapping[Place, Callable[[Method], Method]],
        *,
        at_once: bool = True,
    ) -> None:
        # By module, since a function and its gradient are used together.
        self._replacements: dict[str, list[_Replacement]] = {}
        for place, replacement in replacements.items():
            # What takes the place of a method is made once, since that takes a while.
            made = _Replacement(
                self._layers.setdefault(place, _Layers(place)),
                _keeping_the_last(replacement),
            )
            # A function of a module is replaced in the module, which is its own.
            module = getattr(place[0], "__module__", place[0].__name__)
            self._replacements.setdefault(module, []).append(made)
        self._at_once = at_once
        self._replaced: list[str] = []  # modules
        self._block = SharedBlock(self._begin, self._put_back)

    def replaced(self) -> contextlib.AbstractContextManager[None]:
        """Return the block."""
        return self._block.entered()

    def meet(self, cls: type) -> None:
        """Replace methods before a class is used, within a block.

        Args:
            cls (type): The class. The methods are its own, those that it has inherited,
                and those of the classes in the same modules.
        """
        for base in cls.__mro__:
            module = base.__module__
            if module in self._replacements and module not in self._replaced:
                with self._block.lock:
                    self._replace(module)

    def _begin(self) -> None:
        if self._at_once:
            for module in self._replacements:
                self._replace(module)

    def _replace(self, module: str) -> None:
        with self._lock:
            if module in self._replaced:
                return
            self._replaced.append(module)
            for layers, replacement in self._replacements[module]:
                layers.put_on(self, replacement)

    def _put_back(self) -> None:
        with self._lock:
            for module in self._replaced:
                for layers, _ in self._replacements[module]:
                    layers.take_off(self)
            self._replaced.clear()


class _Replacement(NamedTuple):
    """What is replaced, and by what."""

    layers: _Layers
    replacement: Callable[[Method], Method]


def _keeping_the_last(
    replacement: Callable[[Method], Method],
) -> Callable[[Method], Method]:
    """Return a replacement that is made anew only for another method than before."""
    last: list[Method] = []

    def made(original: Method) -> Method:
        if not last or last[0] is not original:
            last[:] = original, replacement(original)
        return last[1]

    return made


class _IsInside(threading.local):
    value = False


class _BlockOfThread:
    """A block in which methods are replaced for this thread alone."""

    def __init__(
        self, block: contextlib.AbstractContextManager[None], is_inside: _IsInside
    ) -> None:
        self._block = block
        self._is_inside = is_inside

    def __enter__(self) -> None:
        self._outer = self._is_inside.value
        self._block.__enter__()
        try:
            self._is_inside.value = True
        except BaseException:  # an interrupt
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *error: Any) -> None:
        self._is_inside.value = self._outer
        self._block.__exit__(*error)


class MethodsOfThread:
    """Replaces methods for the threads that are in its block alone.

    Args:
        replacements (dict): From class and name of the method to a function that takes
            what the method takes. It returns what the method returns, or None for what
            it does not cover, which is left to the method as it was.
        at_once (bool): Whether all are replaced where the first block begins, as
            :class:`ReplacedMethods` says it.
    """

    def __init__(
        self,
        replacements: Mapping[Place, Callable[..., Any]],
        *,
        at_once: bool = True,
    ) -> None:
        self._is_inside = _IsInside()
        self._methods = ReplacedMethods(
            {
                place: functools.partial(self._where_inside, replacement)
                for place, replacement in replacements.items()
            },
            at_once=at_once,
        )
        self.meet = self._methods.meet

    def is_inside(self) -> bool:
        """Tell whether this thread is in the block."""
        return self._is_inside.value

    def replaced(self) -> contextlib.AbstractContextManager[None]:
        """Return the block."""
        return _BlockOfThread(self._methods.replaced(), self._is_inside)

    def _where_inside(
        self, replacement: Callable[..., Any], original: Method
    ) -> Method:
        @functools.wraps(original)
        def method(this: Any, *args: Any) -> Any:
            if not self._is_inside.value:
                return original(this, *args)
            result = replacement(this, *args)
            return original(this, *args) if result is None else result

        # With the method itself: whoever wraps it copies its attributes.
        method.stands_for = method, stands_for(original)  # type: ignore[attr-defined]
        return method


def stands_for(method: Method) -> Method:
    """Return the method in whose place another one has been put by a block, or it."""
    replaced, original = getattr(method, "stands_for", (None, method))
    return original if replaced is method else method
