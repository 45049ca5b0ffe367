"""Threads for tests, and what no thread may leave behind in Chainer."""

from __future__ import annotations

import concurrent.futures
import threading

import saliency  # noqa: F401  (before chainer)

import chainer

# Seconds after which a thread is taken to hang.
LIMIT = 60


def in_threads(*works):
    """Returns what each of the works returns, all begun at once in their own threads.

    An exception of one of them is raised when all are done.
    """
    start = threading.Barrier(len(works))
    futures = [concurrent.futures.Future() for _ in works]

    def run(work, future):
        try:
            start.wait(LIMIT)
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    for work, future in zip(works, futures):
        threading.Thread(target=run, args=(work, future), daemon=True).start()
    late = concurrent.futures.wait(futures, LIMIT).not_done
    assert not late, f"{len(late)} of {len(works)} threads hang"
    return [future.result() for future in futures]


def state_of_thread():
    """Returns what a thread has of its own in Chainer: hooks and configuration."""
    return {
        "link hooks": dict(chainer._get_link_hooks()),
        "function hooks": dict(chainer.get_function_hooks()),
        "configuration": dict(vars(chainer.config._local)),
    }


def methods_of_chainer():
    """Returns all that is defined in Chainer's functions, links and variables."""
    found, todo = {}, [chainer.FunctionNode, chainer.Link, chainer.Variable]
    while todo:
        owner = todo.pop()
        todo += owner.__subclasses__()
        if owner.__module__.startswith("chainer."):
            # Reading a docstring or an annotation makes one of Python's own.
            own = {k: v for k, v in vars(owner).items() if callable(v)}
            found[owner] = own
    return found
