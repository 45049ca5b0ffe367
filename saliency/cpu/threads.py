"""Pieces of work on all cores, each with a BLAS of one thread.

NumPy's copies, elementwise functions and matrix products let go of Python's lock, so
that plain threads do. A BLAS that starts threads of its own within each of them would
only get in their way.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

Result = TypeVar("Result")

# Waking up threads takes about a tenth of a millisecond.
_MIN_OPERATIONS = 3e7


class Threads:
    """As many threads as the BLAS of NumPy may use.

    Who limits the BLAS, by ``OPENBLAS_NUM_THREADS`` or threadpoolctl, limits these.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_user = 0
        self._blas_threads: list[int] = []
        self._start_anew()
        # Threads do not live on in a forked child.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_anew)

    def __len__(self) -> int:
        limits = self._blas_threads or [lib.num_threads for lib in _blas_libraries()]
        return max(1, min([_n_core(), *limits])) if limits else 1

    def for_work(self, n_operation: float) -> int:
        """Return how many threads pay for so many arithmetic operations."""
        return len(self) if n_operation > _MIN_OPERATIONS else 1

    def run(
        self, work: Callable[..., Result], jobs: Sequence[Any], n_thread: int
    ) -> list[Result]:
        """Return ``[work(*job) for job in jobs]``, done by so many threads."""
        n_thread = min(n_thread, len(jobs))
        if n_thread <= 1 or getattr(self._local, "is_worker", False):
            return [work(*job) for job in jobs]
        with self._blas_of_one_thread():
            # Each in a copy of the caller's context, which holds NumPy's errstate.
            contexts = [contextvars.copy_context() for _ in jobs]
            return list(
                self._pool(n_thread).map(
                    lambda context, job: context.run(work, *job), contexts, jobs
                )
            )

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array, not initialized, of which each thread has one by a name.

        It is the same memory each time, so that the system does not have to bring
        new pages; who asks for the name again overwrites it.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        kept = self._local.__dict__.setdefault("scratch", {})
        if name not in kept or len(kept[name]) < size:
            kept[name] = np.empty(size, np.uint8)
        return kept[name][:size].view(dtype).reshape(shape)

    def _start_anew(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._executor_size = 0
        self._local = threading.local()

    def _pool(self, n_thread: int) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None or self._executor_size < n_thread:
                self._executor = ThreadPoolExecutor(
                    len(self), "saliency-fast-cpu", initializer=self._become_worker
                )
                self._executor_size = len(self)
            return self._executor

    def _become_worker(self) -> None:
        self._local.is_worker = True

    @contextlib.contextmanager
    def _blas_of_one_thread(self) -> Iterator[None]:
        # The number is the process's: the first that comes in here changes it and the
        # last that goes out puts it back.
        libraries = _blas_libraries()
        with self._lock:
            if self._n_user == 0:
                self._blas_threads = [lib.num_threads for lib in libraries]
                for lib in libraries:
                    lib.set_num_threads(1)
            self._n_user += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_user -= 1
                if self._n_user == 0:
                    for lib, n_thread in zip(libraries, self._blas_threads):
                        lib.set_num_threads(n_thread)
                    self._blas_threads = []


@functools.cache
def _blas_libraries() -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _n_core() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


threads = Threads()
