"""Compiled work that threads share: each part of it is done once, whoever does it."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency.cpu import compiled, elementwise, memory, products
from saliency.cpu.compiled import kernels
from saliency.cpu.compiled.code import Work
from saliency.cpu.compiled.team import LEAVE, N_WORD, team
from saliency.cpu.threads import threads
from tests.cpu.forks import forked

needs_llvm = pytest.mark.skipif(
    not compiled.is_available(), reason="llvmlite is not installed"
)
pytestmark = needs_llvm

#: Operations of work that is large enough to be shared.
MANY = 1e9
F4 = np.dtype("f4")


def adding_one(array: np.ndarray, unit: int = 1) -> Work:
    """Return what adds 1 to each number of a contiguous array, in place."""
    at = memory.address_of(array)
    return Work(
        kernels.arithmetic_with_constant(array.dtype, "add"),
        (at, at, 1, 1, array.size, 0, 0, 0, 0, 1.0),
        "n_column",
        (array.itemsize,) * 2,
        unit,
    )


def served(n_thread: int, box: np.ndarray) -> list[threading.Thread]:
    """Return threads that take part in what is in a box."""
    others = [
        threading.Thread(
            target=team().serve, args=(memory.address_of(box), 10**6), daemon=True
        )
        for _ in range(n_thread)
    ]
    for thread in others:
        thread.start()
    return others


@pytest.mark.parametrize("n_server", [0, 1, 5])
def test_each_part_is_done_once(n_server):
    rng = np.random.default_rng(n_server)
    box = np.zeros(N_WORD, np.int64)
    numbers, n_added = np.zeros(3001, "f"), 0
    others = served(n_server, box)
    for _ in range(400):
        unit = int(rng.integers(1, 40))
        n = int(rng.integers(unit, len(numbers) + 1))
        work = adding_one(numbers[:n], unit)
        n_part = int(rng.integers(1, work.n_unit + 1))
        before = numbers.copy()
        team().share(memory.address_of(box), work.function.part, work.block(), n_part)
        before[:n] += 1
        np.testing.assert_array_equal(numbers, before)
        n_added += n
    assert numbers.sum() == n_added
    box[LEAVE] = 1
    for thread in others:
        thread.join(8)
        assert not thread.is_alive()


def test_who_serves_leaves_after_a_while_without_work():
    box = np.zeros(N_WORD, np.int64)
    start = time.perf_counter()
    team().serve(memory.address_of(box), 1000)
    assert time.perf_counter() - start < 5


def test_helpers_sleep_when_there_has_been_nothing_to_do():
    x = np.ones(10**6, "f")
    elementwise.sigmoid(x)
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        start = time.process_time()
        time.sleep(0.1)
        if time.process_time() - start < 0.05:
            return
    pytest.fail("something computes all the time")


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_shared_work_gives_the_same_bits(dtype):
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    x, y = normal(2, 403, 31, 16)
    wide = normal(403, 31, 40)
    a, W, b = normal(5003, 24), normal(24, 40), normal(40)
    stacks = normal(300, 4, 24, 24), normal(300, 1, 24, 16)

    def results() -> list[Any]:
        return [
            elementwise.sigmoid(x),
            elementwise.tanh(x),
            elementwise.tanh(x.transpose(2, 0, 1)),
            elementwise.sigmoid_to_input(x, y),
            elementwise.tanh_to_input(x, y),
            elementwise.relu_to_input(x, y),
            elementwise.clipped_relu_to_input(x, wide[:, :, 3:19], 0.5),
            elementwise.arithmetic(np.add, x, y),
            elementwise.arithmetic(np.subtract, x, wide[:, :, :16]),
            elementwise.arithmetic(np.multiply, wide[:, 1:, :16], y[:, 1:]),
            elementwise.arithmetic(np.negative, x),
            elementwise.with_constant(np.subtract, x.dtype.type(1), x),
            products.matmul(a, W, b),
            products.of_stacks(*stacks),
        ]

    shared = results()
    with threadpool_limits(1):
        alone = results()
    for one, other in zip(shared, alone):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(shared[7], x + y)
    np.testing.assert_array_equal(shared[9], wide[:, 1:, :16] * y[:, 1:])
    np.testing.assert_array_equal(np.signbit(shared[10]), np.signbit(-x))
    np.testing.assert_array_equal(shared[11], 1 - x)


def test_several_threads_share_their_work_at_once():
    errors: list[BaseException] = []

    def add_up(seed: int) -> None:
        try:
            numbers = np.full(40_000 + seed, seed, "f")
            for _ in range(200):
                threads.share(adding_one(numbers), MANY)
            np.testing.assert_array_equal(numbers, seed + 200)
        except BaseException as error:
            errors.append(error)

    others = [threading.Thread(target=add_up, args=(seed,)) for seed in range(4)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(60)
        assert not thread.is_alive()
    assert errors == []


def test_helpers_come_for_work_in_python_from_compiled_work_and_back():
    numbers = np.zeros(50_000, "f")
    at_once = threading.Barrier(2, timeout=8)
    for _ in range(50):
        threads.share(adding_one(numbers), MANY)
        # Both jobs have to be done at the same time, by this thread and a helper.
        threads.run(at_once.wait, [(), ()], 2)
    np.testing.assert_array_equal(numbers, 50)


def test_work_within_work_is_done_alone():
    numbers = np.zeros((2, 50_000), "f")
    threads.run(lambda part: threads.share(adding_one(part), MANY), [*zip(numbers)], 2)
    np.testing.assert_array_equal(numbers, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_helpers_of_its_own():
    numbers = np.zeros(50_000, "f")
    threads.share(adding_one(numbers), MANY)

    def check() -> float:
        for _ in range(20):
            threads.share(adding_one(numbers), MANY)
        threads.run(threading.Barrier(2, timeout=8).wait, [(), ()], 2)
        return float(numbers.sum())

    assert forked(check) == 21 * len(numbers)
    np.testing.assert_array_equal(numbers, 1)
