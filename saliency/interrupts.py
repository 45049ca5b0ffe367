"""Interrupts that wait until nothing is half changed.

Python raises KeyboardInterrupt between any two of its instructions: also within a
``finally`` that puts something back, and before the first instruction of an
``__exit__``. What a call changes (methods of Chainer, the configuration, hooks, hidden
states) would then stay changed. Within :func:`held_back` it is raised where an error
could be raised as well: in the user's code, in the functions of Chainer and in pure
arithmetic.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import signal
import sysconfig
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Callable

Handler = Callable[[int, Any], Any]

# What the functions of ``signal`` call. That they make enumerations of the numbers and
# handlers takes most of their time.
_getsignal: Callable[[int], Any] = _signal.getsignal
_set_handler: Callable[[int, Any], Any] = _signal.signal

_SIGNALS = [
    int(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)  # Windows has but two of them
]

# Our own code that changes nothing but its own arrays.
_PURE = (
    "lrp/",
    "cpu/convolution.py",
    "cpu/elementwise.py",
    "cpu/tiles.py",
    "cpu/winograd.py",
)
# Code of Chainer that enters and leaves blocks.
_STATEFUL = (
    "backend",
    "configuration.py",
    "device_resident.py",
    "function_hook.py",
    "link_hook.py",
    "reporter.py",
)
# Of the standard library: what enters and leaves blocks; callbacks, which lose what is
# raised in them.
_DELICATE = ("contextlib.py", "weakref.py", "_weakrefset.py")
# Packages that our own code calls.
_SERVANTS = {
    "cupy",
    "dask",
    "distributed",
    "numcodecs",
    "numpy",
    "threadpoolctl",
    "tqdm",
    "zarr",
}
_ROOT = Path(__file__).parents[1]
_STANDARD = Path(sysconfig.get_path("stdlib"))
# Seconds until it is looked again whether the interrupt can be raised.
_PATIENCE = 1e-3


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Return a block in which handlers of signals run where they may raise.

    It concerns handlers that are written in Python, and so can raise an exception; in
    the main thread, where they run. Within another such block it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {}
    for signum in _SIGNALS:
        handler = _getsignal(signum)
        if callable(handler) and not isinstance(handler, _Handler):
            handlers[signum] = handler
    held = _Held(handlers)
    try:
        held.begin()
        yield
    finally:
        held.end()


class _Held:
    """Signals that are held back.

    Args:
        handlers (dict): What is called for each signal as soon as it may raise.
    """

    def __init__(self, handlers: dict[int, Handler]) -> None:
        self._handlers = handlers
        self._ours = {signum: _Handler(self, signum) for signum in handlers}
        self._waiting: dict[int, None] = {}  # signals in the order of their arrival
        self._reminder: threading.Thread | None = None
        self._is_over = False

    def begin(self) -> None:
        for signum, handler in self._ours.items():
            _set_handler(signum, handler)

    def end(self) -> None:
        """Put the handlers back, and call them for what still waits."""
        self._is_over = True
        if self._reminder is not None:
            self._reminder.join()
        try:
            self._put_back()
        finally:
            self._put_back()  # what is left, if one of them has come meanwhile
        for signum in list(self._waiting):
            self._handlers[signum](signum, None)

    def _put_back(self) -> None:
        for signum, handler in self._ours.items():
            if _getsignal(signum) is handler:
                _set_handler(signum, self._handlers[signum])

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._is_over and _may_raise(frame):
            self._waiting.pop(signum, None)
            self._handlers[signum](signum, frame)
            return
        self._waiting[signum] = None
        if not self._is_over and self._reminder is None:
            self._reminder = threading.Thread(target=self._remind, daemon=True)
            self._reminder.start()

    def _remind(self) -> None:
        while not self._is_over:
            time.sleep(_PATIENCE)
            for signum in list(self._waiting):
                _send_to_main_thread(signum)


def _send_to_main_thread(signum: int) -> None:
    if hasattr(signal, "pthread_kill"):
        main = threading.main_thread().ident
        assert main is not None  # it has been started
        signal.pthread_kill(main, signum)  # wakes it up if it sleeps
    else:
        signal.raise_signal(signum)


class _Handler:
    """What a signal calls while it is held back."""

    def __init__(self, held: _Held, signum: int) -> None:
        self._held = held
        self._signum = signum

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self._held.handle(signum, frame)


def _may_raise(frame: FrameType | None) -> bool:
    """Tell whether an exception may come from a frame, or from what called it."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return False  # what is raised there is lost
        filename = frame.f_code.co_filename
        if filename == "<string>":  # of python -c, or made by a dataclass
            filename = frame.f_globals.get("__file__") or filename
        verdict = _verdict(filename)
        if verdict is not None:
            return verdict
        frame = frame.f_back
    return True


@cache
def _verdict(filename: str) -> bool | None:
    """Tell whether code may be interrupted; None if its caller decides.

    The standard library and the packages that we call ourselves serve whoever calls
    them. Everything else that is not ours is the user's.
    """
    path = Path(filename)
    if path.is_relative_to(_ROOT / "saliency"):
        return _begins(path.relative_to(_ROOT / "saliency"), _PURE)
    if path.is_relative_to(_ROOT / "link_hooks"):
        return False
    installed = _within_site_packages(path)
    if installed is not None:
        if installed.parts[0] == "chainer":
            return _verdict_on_chainer(installed.relative_to("chainer"))
        return None if installed.parts[0] in _SERVANTS else True
    if path.parent == _STANDARD and path.name in _DELICATE:
        return False
    is_standard = path.is_relative_to(_STANDARD) or filename.startswith("<frozen ")
    return None if is_standard else True


def _verdict_on_chainer(path: Path) -> bool | None:
    if _begins(path, ("functions/",)):
        return True
    return False if _begins(path, _STATEFUL) else None


def _within_site_packages(path: Path) -> Path | None:
    for name in ("site-packages", "dist-packages"):
        if name in path.parts[:-1]:
            return Path(*path.parts[path.parts.index(name) + 1 :])
    return None


def _begins(path: Path, beginnings: tuple[str, ...]) -> bool:
    return path.as_posix().startswith(beginnings)
