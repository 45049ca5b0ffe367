"""Pieces of work on all cores, each with a BLAS of one thread.

NumPy's copies, elementwise functions and matrix products let go of Python's lock, so
that plain threads do. A BLAS that starts threads of its own within each of them would
only get in their way, and after their work they spin for a while on cores that the next
pieces need.

What is compiled does not need that lock: :mod:`saliency.cpu.compiled.team` has threads
share it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Callable, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike
from threadpoolctl import ThreadpoolController

from saliency.cpu import memory
from saliency.cpu.compiled import is_available
from saliency.cpu.compiled.functions import Work
from saliency.cpu.compiled.team import LEAVE, new_box, team
from saliency.replaced_methods import SharedBlock

Result = TypeVar("Result")

# Waking up threads takes about a tenth of a millisecond.
_MIN_OPERATIONS = 3e7
# Those who look for compiled work have it after a hundredth of that; calling one who
# sleeps pays for more. So much of the work there is for each of them.
_MIN_SHARED, _MIN_CALLED = 1e6, 1e7
# Into how many parts work is divided for each thread: one may come late.
_PARTS = 4
# How often a thread looks for work before it goes to sleep: for about a millisecond.
_LOOKS = 30_000


class _Local(threading.local):
    """What each thread has.

    Attributes:
        is_busy: Whether it is at work.
        n_thread: How many threads there are, while it does not count them anew.
        scratch: Its scratch arrays by name.
    """

    def __init__(self) -> None:
        self.is_busy = False
        self.n_thread: int | None = None
        self.scratch: dict[str, np.ndarray] = {}


class Threads:
    """As many threads as the BLAS of NumPy may use.

    Who limits the BLAS, by ``OPENBLAS_NUM_THREADS`` or threadpoolctl, limits these.
    """

    def __init__(self) -> None:
        self._blas_threads: list[int] = []
        # The number of BLAS threads is the process's.
        self._blas_of_one_thread = SharedBlock(self._limit_blas, self._free_blas)
        self._start_anew()
        # Threads do not live on in a forked child.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_anew)

    def __len__(self) -> int:
        return self._local.n_thread or self._counted()

    def _counted(self) -> int:
        with self._blas_of_one_thread.lock:
            limits = self._blas_threads or _numbers_of_blas_threads()
        return max(1, min([_n_core(), *limits])) if limits else 1

    @contextlib.contextmanager
    def counted_once(self) -> Iterator[None]:
        """Return a block in which this thread does not count the threads again.

        That takes as long as a small array's arithmetic.
        """
        before = self._local.n_thread
        self._local.n_thread = len(self)
        try:
            yield
        finally:
            self._local.n_thread = before

    def for_work(self, n_operation: float) -> int:
        """Return how many threads pay for so many arithmetic operations."""
        return len(self) if n_operation > _MIN_OPERATIONS else 1

    def run(
        self, work: Callable[..., Result], jobs: Sequence[Any], n_thread: int
    ) -> list[Result]:
        """Return ``[work(*job) for job in jobs]``, done by so many threads.

        One of them is the caller's. After an exception no job is begun any more.
        """
        n_thread = min(n_thread, len(jobs))
        if self._local.is_busy:
            return [work(*job) for job in jobs]
        with self._blas_of_one_thread.entered():
            if n_thread <= 1:
                return [work(*job) for job in jobs]
            return self._run(work, jobs, n_thread)

    def share(self, work: Work, n_operation: float) -> None:
        """Do compiled work of so many arithmetic operations, with who helps.

        Results do not depend on how many threads there are.
        """
        most = len(self) - 1 if n_operation > _MIN_SHARED else 0
        n_called = min(most, int(n_operation / _MIN_CALLED))
        n_there = min(most, int(n_operation / _MIN_SHARED), self._n_server)
        n_helper = max(n_called, n_there)
        n_part = min(work.n_unit, _PARTS * (n_helper + 1))
        is_alone = not n_helper or n_part <= 1 or self._local.is_busy
        # Another thread's work may be in the box.
        if is_alone or not self._is_sharing.acquire(blocking=False):
            work.run()
            return
        try:
            share = team().share
            self._call_servers(n_called)
            share(self._at_box, work.function.part, work.block(), n_part)
        finally:
            self._is_sharing.release()

    def _run(
        self, work: Callable[..., Result], jobs: Sequence[Any], n_thread: int
    ) -> list[Result]:
        todo = deque(range(len(jobs)))
        results: dict[int, Result] = {}
        errors: SimpleQueue[BaseException | None] = SimpleQueue()

        def take_part() -> None:
            self._local.is_busy = True
            try:
                while True:
                    try:
                        i = todo.popleft()
                    except IndexError:
                        return
                    results[i] = work(*jobs[i])
            except BaseException:
                todo.clear()
                raise
            finally:
                self._local.is_busy = False

        def help_out(context: contextvars.Context) -> None:
            try:
                context.run(take_part)
            except BaseException as error:
                errors.put(error)
            else:
                errors.put(None)

        n_helper = n_thread - 1
        self._start_helpers(n_helper)
        for _ in range(n_helper):
            # In a copy of the caller's context, which holds NumPy's errstate.
            self._put(functools.partial(help_out, contextvars.copy_context()))
        try:
            take_part()
        finally:
            found = [errors.get() for _ in range(n_helper)]
        for error in found:
            if error is not None:
                raise error
        return [results[i] for i in range(len(jobs))]

    def scratch(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike
    ) -> np.ndarray:
        """Return an array that is not initialized; each thread has one of its own.

        It is the same memory each time, so that the system does not have to bring
        new pages. The next call with this name returns the same array again, and its
        contents are then overwritten.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        kept = self._local.scratch
        if name not in kept or len(kept[name]) < size:
            kept[name] = memory.aligned(size)
        return kept[name][:size].view(dtype).reshape(shape)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._local = _Local()
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._n_helper = 0
        self._n_server = 0
        self._is_sharing = threading.Lock()
        self._box = new_box()
        self._at_box = memory.address_of(self._box)

    def _start_helpers(self, n: int) -> None:
        """See that there are at least n threads besides the caller's."""
        with self._lock:
            while self._n_helper < n:
                # A queue hands over in a fourth of the time that a thread pool takes.
                threading.Thread(
                    target=self._help, name="saliency-fast-cpu", daemon=True
                ).start()
                self._n_helper += 1

    def _help(self) -> None:
        """Do what is put for a helper, and look for shared work in between."""
        while True:
            task = self._tasks.get()
            if task is None:
                self._serve()
                continue
            with self._lock:
                self._box[LEAVE] -= 1
            task()
            del task  # and with it the arrays that it has worked on
            if is_available() and self._tasks.empty():
                with self._lock:
                    self._n_server += 1
                self._serve()

    def _put(self, task: Callable[[], None]) -> None:
        """Put something for a helper to do, and let one come that looks for work."""
        with self._lock:
            self._box[LEAVE] += 1
        self._tasks.put(task)

    def _serve(self) -> None:
        """Take part in what is shared, until there is nothing for a while."""
        team().serve(self._at_box, _LOOKS)
        with self._lock:
            self._n_server -= 1

    def _call_servers(self, n: int) -> None:
        """See that so many helpers look for shared work, or soon will."""
        if self._n_server >= n:
            return
        self._start_helpers(n)
        with self._lock:
            n_missing = max(0, n - self._n_server)
            self._n_server += n_missing
        for _ in range(n_missing):
            self._tasks.put(None)

    def _limit_blas(self) -> None:
        self._blas_threads = _numbers_of_blas_threads()
        for blas, n_thread in zip(_all_blas(), self._blas_threads):
            if n_thread != 1:
                blas.set_n_thread(1)

    def _free_blas(self) -> None:
        for blas, n_thread in zip(_all_blas(), self._blas_threads):
            if n_thread != 1:
                blas.set_n_thread(n_thread)
        self._blas_threads = []


class _Blas(NamedTuple):
    """A BLAS that is loaded.

    Attributes:
        n_thread (callable): Returns how many threads it takes.
        set_n_thread (callable): Lets it take so many.
    """

    n_thread: Callable[[], int]
    set_n_thread: Callable[[int], object]

    @classmethod
    def of(cls, library: Any) -> _Blas:
        """Return one that threadpoolctl has found.

        The functions of OpenBLAS are called as they are, unless it leaves its threads
        to OpenMP: what threadpoolctl does around them takes ten times as long, and
        they are called before and after each product.
        """
        has_own_threads = getattr(library, "threading_layer", None) != "openmp"
        if library.internal_api == "openblas" and has_own_threads:
            for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64")):
                names = (
                    f"{prefix}openblas_{action}_num_threads{suffix}"
                    for action in ("get", "set")
                )
                get, set_ = (getattr(library.dynlib, name, None) for name in names)
                if get is not None and set_ is not None:
                    return cls(get, set_)
        return cls(lambda: library.num_threads, library.set_num_threads)


@functools.cache
def _all_blas() -> list[_Blas]:
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return [_Blas.of(library) for library in libraries]


def _numbers_of_blas_threads() -> list[int]:
    return [blas.n_thread() for blas in _all_blas()]


def even_parts(n: int, n_part: int) -> list[tuple[int, int]]:
    """Return where parts of a row of n things begin and end, as even as can be."""
    edges = [n * i // n_part for i in range(n_part + 1)]
    return list(zip(edges, edges[1:]))


def _n_core() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _quota())
    return os.cpu_count() or 1


@functools.cache
def _quota(root: str = "/sys/fs/cgroup") -> int:
    """Return how many cores a container gives its processes the time of, on Linux.

    More threads than these would use up the time of all, and then wait together.

    Args:
        root (str): Where Linux says so.
    """
    for path in ("cpu.max", "cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us"):
        with contextlib.suppress(OSError, ValueError):
            words = [Path(root, part).read_text() for part in path.split()]
            quota, period = map(int, " ".join(words).split())
            if quota > 0:
                return max(1, -(-quota // period))
    return sys.maxsize


threads = Threads()
