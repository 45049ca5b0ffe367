"""The fast block in several threads, and in processes that are forked meanwhile."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import pytest
import threadpoolctl

from saliency import fast_cpu
from saliency.cpu.threads import _quota, threads
from saliency.replaced_methods import ReplacedMethods
from tests.cpu.forks import TIMEOUT, forked

import chainer.functions as F
from chainer.functions.connection.convolution_2d import Convolution2DFunction

X = np.random.default_rng(0).standard_normal((8, 16, 60, 60)).astype("f")
W = np.random.default_rng(1).standard_normal((16, 16, 3, 3)).astype("f")


def convolve() -> np.ndarray:
    return F.convolution_2d(X, W, pad=1).array


def convolve_fast() -> np.ndarray:
    with fast_cpu():
        return convolve()


def n_blas_thread() -> list[int]:
    return [
        info["num_threads"]
        for info in threadpoolctl.threadpool_info()
        if info["user_api"] == "blas"
    ]


@contextlib.contextmanager
def another_thread_in(
    block: Callable[[threading.Event, threading.Event], None],
) -> Iterator[threading.Event]:
    """Run ``block(inside, leave)`` in a thread, from inside the block until the end."""
    inside, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=block, args=(inside, leave))
    thread.start()
    try:
        assert inside.wait(TIMEOUT)
        yield leave
    finally:
        leave.set()
        thread.join(TIMEOUT)
    assert not thread.is_alive()


def work(inside: threading.Event, leave: threading.Event) -> None:
    """Be at work on a BLAS of one thread, as in a convolution."""

    def wait() -> None:
        inside.set()
        leave.wait(TIMEOUT)

    with fast_cpu():
        threads.run(wait, [()], 1)


def stay(inside: threading.Event, leave: threading.Event) -> None:
    """Be in a block, in which convolutions are used."""
    with fast_cpu():
        convolve()
        inside.set()
        leave.wait(TIMEOUT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestFork:
    """Of the threads that were at work, a child has only the one that forked."""

    def test_blas_has_its_threads_again(self):
        before = n_blas_thread()
        assert set(before) == {2}
        with another_thread_in(work):
            assert set(n_blas_thread()) == {1}
            assert forked(n_blas_thread) == before
            assert set(n_blas_thread()) == {1}  # the thread here goes on
        assert n_blas_thread() == before

    def test_a_convolution_and_blas_after_it_are_as_before(self):
        expected, before = convolve_fast(), n_blas_thread()
        with another_thread_in(work):
            result, after = forked(lambda: (convolve_fast(), n_blas_thread()))
        np.testing.assert_array_equal(result, expected)
        assert after == before

    def test_chainers_methods_are_its_own(self):
        original = Convolution2DFunction.forward_cpu
        own = dict(vars(Convolution2DFunction))
        with another_thread_in(stay):
            assert dict(vars(Convolution2DFunction)) != own
            methods = forked(lambda: dict(vars(Convolution2DFunction)) == own)
        assert methods
        assert Convolution2DFunction.forward_cpu is original

    def test_a_block_of_the_forking_thread_goes_on_and_ends(self):
        own, expected = dict(vars(Convolution2DFunction)), convolve_fast()
        block = fast_cpu()
        with another_thread_in(stay), block:

            def check() -> tuple[np.ndarray, bool, bool]:
                result = convolve()
                is_replaced = dict(vars(Convolution2DFunction)) != own
                block.__exit__(None, None, None)
                return result, is_replaced, dict(vars(Convolution2DFunction)) == own

            result, is_replaced, is_put_back = forked(check)
        np.testing.assert_array_equal(result, expected)
        assert is_replaced
        assert is_put_back

    def test_blocks_that_replace_the_same_method_may_end_in_any_order(self):
        class Greeter:
            def greet(self) -> str:
                return "hello"

        class Heir(Greeter):
            pass

        def louder(method: Any) -> Any:
            return lambda self: method(self).upper()

        def twice(method: Any) -> Any:
            return lambda self: 2 * method(self)

        place = (Heir, "greet")
        for first_to_end in (0, 1):
            methods = [ReplacedMethods({place: f}) for f in (louder, twice)]
            blocks = [m.replaced() for m in methods]
            for block in blocks:
                block.__enter__()
            assert Heir().greet() == "HELLOHELLO"
            blocks[first_to_end].__exit__(None, None, None)
            assert Heir().greet() == ("hellohello" if first_to_end == 0 else "HELLO")
            blocks[1 - first_to_end].__exit__(None, None, None)
            assert "greet" not in vars(Heir)

    def test_while_methods_are_being_replaced(self):
        class Greeter:
            def greet(self) -> str:
                return "hello"

        original = Greeter.greet
        is_replacing = threading.Event()

        def replacement(method: Any) -> Any:
            is_replacing.set()
            time.sleep(0.3)
            return lambda self: method(self).upper()

        methods = ReplacedMethods({(Greeter, "greet"): replacement})

        def replace(inside: threading.Event, leave: threading.Event) -> None:
            with methods.replaced():
                inside.set()
                leave.wait(TIMEOUT)

        def check() -> tuple[str, str, bool]:
            before = Greeter().greet()
            with methods.replaced():
                within = Greeter().greet()
            return before, within, Greeter.greet is original

        inside, leave = threading.Event(), threading.Event()
        thread = threading.Thread(target=replace, args=(inside, leave))
        thread.start()
        assert is_replacing.wait(TIMEOUT)
        try:
            assert forked(check) == ("hello", "HELLO", True)
            assert inside.wait(TIMEOUT)
            assert Greeter().greet() == "HELLO"
        finally:
            leave.set()
            thread.join(TIMEOUT)
        assert Greeter.greet is original

    @pytest.mark.large
    def test_at_any_moment_of_convolutions_in_other_threads(self):
        expected, before = convolve_fast(), n_blas_thread()
        is_done = threading.Event()

        def convolve_until_done() -> None:
            while not is_done.is_set():
                convolve_fast()

        others = [threading.Thread(target=convolve_until_done) for _ in range(2)]
        for thread in others:
            thread.start()
        try:
            for _ in range(5):
                result, after = forked(lambda: (convolve_fast(), n_blas_thread()))
                np.testing.assert_array_equal(result, expected)
                assert after == before
        finally:
            is_done.set()
            for thread in others:
                thread.join(TIMEOUT)


class TestSeveralThreads:
    def test_one_may_leave_while_another_is_inside(self):
        own, plain, fast = (
            dict(vars(Convolution2DFunction)),
            convolve(),
            convolve_fast(),
        )
        assert (plain != fast).any()
        with fast_cpu():
            with another_thread_in(stay):
                pass
            np.testing.assert_array_equal(convolve(), fast)
        assert dict(vars(Convolution2DFunction)) == own
        with another_thread_in(stay) as leave:
            np.testing.assert_array_equal(convolve_fast(), fast)
            # This thread is out of its block, and the other one is still in its own.
            np.testing.assert_array_equal(convolve(), plain)
            leave.set()
        assert dict(vars(Convolution2DFunction)) == own

    @pytest.mark.parametrize("first_to_leave", [0, 1])
    def test_blas_has_its_threads_when_the_last_has_left(self, first_to_leave):
        before = n_blas_thread()
        with threadpoolctl.threadpool_limits(3), contextlib.ExitStack() as stack:
            leaves = [stack.enter_context(another_thread_in(work)) for _ in range(2)]
            assert set(n_blas_thread()) == {1}
            leaves[first_to_leave].set()
            time.sleep(0.1)
            assert set(n_blas_thread()) == {1}
            stack.close()
            assert set(n_blas_thread()) == {3}
        assert n_blas_thread() == before

    def test_an_inner_block_ends_neither_the_outer_one_nor_its_memory(self):
        fast = convolve_fast()
        with fast_cpu():
            address = F.relu(X).array.ctypes.data
            with fast_cpu():
                np.testing.assert_array_equal(convolve(), fast)
            np.testing.assert_array_equal(convolve(), fast)
            assert F.relu(X).array.ctypes.data == address

    def test_each_thread_has_memory_of_its_own(self):
        with fast_cpu():
            held = F.relu(X).array
            expected = held.copy()
            F.relu(X)  # memory that is idle again

            def use_memory(inside: threading.Event, leave: threading.Event) -> None:
                with fast_cpu():
                    results = [F.relu(-X).array for _ in range(3)]
                    inside.set()
                    leave.wait(TIMEOUT)
                    for result in results:
                        np.testing.assert_array_equal(result, np.maximum(-X, 0))

            with another_thread_in(use_memory):
                idle = F.relu(X).array
                address = idle.ctypes.data
                np.testing.assert_array_equal(idle, expected)
                del idle
            # The other thread's pool is closed, this one's is not.
            assert F.relu(X).array.ctypes.data == address
            np.testing.assert_array_equal(held, expected)

    def test_the_number_of_threads_does_not_depend_on_what_others_do(self):
        # Sums over the shares of threads depend on it, and so their last bits.
        seen, is_done = set(), threading.Event()

        def work_until_done() -> None:
            while not is_done.is_set():
                threads.run(lambda: None, [()], 1)

        thread = threading.Thread(target=work_until_done)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        thread.start()
        try:
            seen.update(len(threads) for _ in range(5000))
        finally:
            sys.setswitchinterval(interval)
            is_done.set()
            thread.join(TIMEOUT)
        assert seen == {2}

    @pytest.mark.large
    def test_results_are_those_of_one_thread(self):
        expected = convolve_fast()
        results: list[np.ndarray] = []

        def convolve_often() -> None:
            results.extend(convolve_fast() for _ in range(10))

        several = [threading.Thread(target=convolve_often) for _ in range(4)]
        for thread in several:
            thread.start()
        for thread in several:
            thread.join(TIMEOUT)
        assert len(results) == 40
        for result in results:
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("files", "n_core"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, sys.maxsize),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        (
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            sys.maxsize,
        ),
        ({}, sys.maxsize),
    ],
)
def test_there_are_no_more_threads_than_a_container_may_use(files, n_core, tmp_path):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert _quota(str(tmp_path)) == n_core
