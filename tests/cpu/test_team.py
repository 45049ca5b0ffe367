"""Compiled work that threads share: each part of it is done once, whoever does it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency.cpu import compiled, elementwise, memory, products
from saliency.cpu.compiled import Steps, kernels
from saliency.cpu.compiled.functions import Function, Work
from saliency.cpu.compiled.team import LEAVE, new_box, team
from saliency.cpu.geometry import Geometry
from saliency.cpu.threads import threads
from tests.cpu.forks import forked

needs_llvm = pytest.mark.skipif(
    not compiled.is_available(), reason="llvmlite is not installed"
)
pytestmark = needs_llvm

#: Operations of work that is large enough to be shared.
MANY = 1e9


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


@contextlib.contextmanager
def served(box: np.ndarray, n_thread: int) -> Iterator[list[threading.Thread]]:
    """Return a block in which threads take part in what is in a box, until it ends."""
    others = [
        threading.Thread(
            target=team().serve, args=(memory.address_of(box), 10**12), daemon=True
        )
        for _ in range(n_thread)
    ]
    for thread in others:
        thread.start()
    try:
        yield others
    finally:
        box[LEAVE] = 1
        for thread in others:
            thread.join(8)
    assert not any(thread.is_alive() for thread in others)


@pytest.mark.parametrize("n_server", [0, 1, 5])
def test_each_part_is_done_once(n_server):
    rng = np.random.default_rng(n_server)
    box = new_box()
    numbers, n_added = np.zeros(3001, "f"), 0
    at_box = memory.address_of(box)
    with served(box, n_server):
        for _ in range(400):
            unit = int(rng.integers(1, 40))
            n = int(rng.integers(unit, len(numbers) + 1))
            work = adding_one(numbers[:n], unit)
            n_part = int(rng.integers(1, work.n_unit + 1))
            before = numbers.copy()
            team().share(at_box, work.function.part, work.block(), n_part)
            before[:n] += 1
            np.testing.assert_array_equal(numbers, before)
            n_added += n
    assert numbers.sum() == n_added


def normal(*shape: int, dtype: str = "f") -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


# Work, where its result goes, and what has to be held meanwhile.
Made = tuple[Work, np.ndarray, Any]


def made_of_rows() -> Iterator[Made]:
    x, y, wide = normal(300, 30, 40), normal(300, 30, 40), normal(300, 30, 90)
    out = np.empty_like(x)
    yield compiled.arithmetic("subtract", x, y, out), out, (x, y)
    yield compiled.arithmetic("multiply", x, wide[:, :, 50:], out), out, (x, wide)
    yield compiled.arithmetic("add", 0.5, wide[:, :, 5:45], out), out, wide
    yield compiled.multiply_by_mask(x, wide[:, :, :40], 0.1, 0.9, out), out, (x, wide)
    room = np.empty_like(wide)
    yield compiled.copy(x, room[:, :, 7:47]), room[:, :, 7:47], x


def made_of_one_row() -> Iterator[Made]:
    x, y, wide = normal(1, 1200, 40), normal(1, 1200, 40), normal(1, 1200, 90)
    out = np.empty_like(x)
    yield compiled.arithmetic("add", x, wide[:, :, :40], out), out, (x, wide)
    yield compiled.sigmoid(x, out), out, x
    yield compiled.tanh_to_input(x, y, out), out, (x, y)


def made_of_sums() -> Iterator[Made]:
    x = normal(40, 5, 30, 24)
    for axis in (0, 1, 2):
        out = np.empty(x.shape[:axis] + x.shape[axis + 1 :], "f")
        yield compiled.sums(x, axis, out), out, x


def made_of_products() -> Iterator[Made]:
    a, W, added = normal(1203, 20), normal(20, 40), normal(1203, 40)
    out = np.empty((1203, 40), "f")
    product = compiled.Product(W, Steps(normal(40), floor=0.0))
    yield product.work(a, None, out), out, (a, product)
    by_column = np.asfortranarray(a)
    yield product.work(by_column, added, out), out, (by_column, added, product)
    for steps in ((200, 4, 24), (4, 200, 24)):
        x, y = normal(*steps, 24), normal(*steps[:2], 24, 16)
        out = np.empty((*steps, 16), "f")
        yield compiled.Stacks.of(x, y, out).work(), out, (x, y)


def made_of_filters() -> Iterator[Made]:
    for stride, n in ((1, 20), (2, 10)):
        x, y = normal(3, 20, 22, 40), normal(3, 20, 22, 40)
        geometry = Geometry(
            (20, 22), (3, 3), (stride, stride), (1, 1), (1, 1), out=(n, n + 2 // stride)
        )
        run = compiled.ChannelFilter(normal(3, 3, 40), geometry, Steps())
        out = np.empty((3, *geometry.out, 40), "f")
        yield run.work(x, out), out, (x, run)
        yield run.work(x, out, (y, 0.0, None)), out, (x, y, run)


@pytest.mark.parametrize(
    "made",
    [made_of_rows, made_of_one_row, made_of_sums, made_of_products, made_of_filters],
)
def test_parts_make_the_whole(made: Callable[[], Iterator[Made]]):
    box = new_box()
    for work, out, _ in made():
        out[...] = np.nan
        work.run()
        whole = out.copy()
        assert np.isfinite(whole).all()
        for n_part in {1, 2, 3, min(7, work.n_unit), work.n_unit}:
            out[...] = np.nan
            function = work.function.part
            team().share(memory.address_of(box), function, work.block(), n_part)
            np.testing.assert_array_equal(out, whole)


def calling(function: Callable[[], Any]) -> Work:
    """Return work with 1,000 rows whose parts call a function of Python."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    part = kind(lambda block, i, n: function())
    address = ctypes.cast(part, ctypes.c_void_p).value
    compiled_one = Function(
        function, address, struct.Struct("=qqqq"), {"n": 0}, 1, engine=part
    )
    return Work(compiled_one, (1000,), "n", (0,))


def test_nobody_goes_on_before_the_last_part_is_done():
    box = new_box()
    has_begun, done, here = threading.Event(), [], threading.get_ident()

    def part() -> None:
        if threading.get_ident() == here:
            has_begun.wait(8)
        else:
            has_begun.set()
            time.sleep(0.05)
        done.append(threading.get_ident())

    work = calling(part)
    with served(box, 1) as (other,):
        team().share(memory.address_of(box), work.function.part, work.block(), 2)
        assert set(done) == {here, other.ident}


def test_a_helper_takes_part_whatever_was_before():
    # Each part has to be done at the same time as another one.
    at_once, seen, errors = threading.Barrier(2, timeout=8), set(), []

    def meet() -> None:
        try:
            at_once.wait()
            seen.add(threading.get_ident())
        except threading.BrokenBarrierError as error:
            errors.append(error)

    work = calling(meet)
    for _ in range(3):
        threads.share(work, MANY)
        threads.run(at_once.wait, [(), ()], 2)
        threads.share(work, MANY)
    time.sleep(0.1)  # the helper has gone to sleep
    threads.share(work, MANY)
    assert not errors
    assert len(seen) > 1


def test_who_serves_leaves_after_a_while_without_work():
    box = new_box()
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
    x, y = normal(2, 403, 31, 16, dtype=dtype)
    x[0, 0, :3] = 0
    wide = normal(403, 31, 40, dtype=dtype)
    a, W, b = (normal(*n, dtype=dtype) for n in ((5003, 24), (24, 40), (40,)))
    stacks = [normal(300, n, 24, m, dtype=dtype) for n, m in ((4, 24), (1, 16))]

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
