"""Memory of results that is used again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time

import numpy as np
import pytest

from saliency.cpu import memory


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Each test begins with nothing that earlier ones have left."""
    monkeypatch.setattr(memory, "_kept", memory._Kept())


def address_in_a_block(n_byte: int) -> int:
    with memory.reused():
        return memory.empty((n_byte,), np.uint8).ctypes.data


def test_a_vector_is_one_line_of_the_cache():
    for n_byte in (1 << 14, 1 << 20, (1 << 21) + 4):
        arrays = [memory.empty((n_byte,), np.uint8) for _ in range(3)]
        with memory.reused():
            arrays += [memory.empty((n_byte,), np.uint8) for _ in range(3)]
            arrays += [memory.empty_like(arrays[-1])]
        assert all(array.ctypes.data % 64 == 0 for array in arrays)
        assert all(array.shape == (n_byte,) for array in arrays)


def test_the_next_block_begins_with_the_memory_of_the_last(monkeypatch):
    first = address_in_a_block(1 << 22)
    in_between = np.empty(1 << 22, np.uint8)  # which would take its place
    assert address_in_a_block(1 << 22) == first
    del in_between


def test_what_is_in_use_when_a_block_ends_is_not_touched():
    with memory.reused():
        array = memory.zeros((1 << 20,), np.float32)
    with memory.reused():
        other = memory.empty((1 << 20,), np.float32)
        other[...] = 1
    assert not array.any()


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(memory, "_MOST_KEPT", 5 << 20)
    for _ in range(2):
        with memory.reused():
            arrays = [memory.empty((n << 20,), np.uint8) for n in (1, 2, 2, 4)]
            del arrays
    kept = memory._kept.take()
    assert {size >> 20: len(blocks) for size, blocks in kept.items()} == {4: 1, 1: 1}


def test_what_is_not_used_soon_goes_back(monkeypatch):
    monkeypatch.setattr(memory, "_SECONDS", 0.05)
    address_in_a_block(1 << 20)
    end = time.monotonic() + 5
    while memory._kept._blocks and time.monotonic() < end:
        time.sleep(0.01)
    assert not memory._kept.take()


def test_blocks_of_other_sizes_make_room_for_those_that_are_needed():
    address_in_a_block(1 << 24)
    with memory.reused():
        memory.empty((1 << 20,), np.uint8)
    assert set(memory._kept.take()) == {1 << 20}


def test_smaller_arrays_take_the_memory_of_larger_ones():
    """As in passes of fewer rows than the first: no more memory is asked for."""
    with memory.reused():
        arrays = [memory.empty((n << 20,), np.uint8) for n in (4, 6, 8)]
        places = {array.ctypes.data for array in arrays}
        del arrays
        fewer = [memory.empty((n << 20,), np.uint8) for n in (2, 3, 4)]
        assert {array.ctypes.data for array in fewer} == places
        assert [array.nbytes >> 20 for array in fewer] == [2, 3, 4]
        # One that is less than half as large takes none of them.
        del fewer
        assert memory.empty((1 << 20,), np.uint8).ctypes.data not in places


def test_memory_is_at_most_twice_what_was_in_use_at_once():
    with memory.reused():
        for n, n_mb in ((1, 32), (2, 15), (4, 7), (10, 3)):
            arrays = [memory.empty((n_mb << 20,), np.uint8) for _ in range(n)]
            del arrays
    kept = memory._kept.take()
    assert 0 < sum(size * len(blocks) for size, blocks in kept.items()) <= 64 << 20


def test_arrays_of_nearly_one_size_take_the_same_memory():
    """As those of texts do, whose lengths differ from batch to batch."""
    with memory.reused():
        sizes = (100_000, 99_000, 103_000, 90_000, 101_000)
        places = {memory.empty((n, 40), np.uint8).ctypes.data for n in sizes}
    assert len(places) == 1


FAULTS = """
import resource
import numpy as np
from saliency.cpu.memory import kept_by_the_c_library

def faults(n_byte):
    \"\"\"Return how many pages the system clears for twenty arrays in turn.\"\"\"
    np.ones(n_byte, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(n_byte, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

# What lies below memory in use cannot go back: an array of the same size might find
# room there.
small, large = 1 << 20, 7 << 19
found = [faults(large)]
with kept_by_the_c_library():
    found.append(faults(small))
    in_use = [np.ones(small, np.uint8) for _ in range(3)]
    del in_use[:-1]
found.append(faults(large))
try:
    with kept_by_the_c_library():
        raise RuntimeError
except RuntimeError:
    found.append(faults(large))
print(*found)
"""


@pytest.mark.large
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library is not glibc"
)
class TestKeptByTheCLibrary:
    def faults(self, **environment: str) -> list[int]:
        """Return those before, in, and after the block, and after an exception."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        done = subprocess.run(
            [sys.executable, "-c", FAULTS],
            env={**clean, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return [int(n) for n in done.stdout.split()]

    def test_where_the_environment_says_otherwise(self):
        before, within, *after = self.faults(MALLOC_TRIM_THRESHOLD_="65536")
        assert before > 5_000
        assert within < 1_000
        assert min(after) > 5_000

    @pytest.mark.parametrize(
        "environment",
        [
            {},
            {
                "MALLOC_TRIM_THRESHOLD_": "67108864",
                "MALLOC_MMAP_THRESHOLD_": "33554432",
            },
        ],
        ids=["learns", "keeps"],
    )
    def test_where_it_keeps_memory_anyway(self, environment):
        assert max(self.faults(**environment)) < 1_000


def test_an_address_is_that_of_the_first_element():
    x = np.arange(24.0).reshape(2, 3, 4)
    parts = (
        x,
        x[1:],
        x[:, ::-1],
        x.T[2:],
        np.empty((0, 3)),
        np.array(1.0),
        x.view(Kind),
    )
    for part in parts:
        assert memory.address_of(part) == part.__array_interface__["data"][0]


class Kind(np.ndarray):
    """A kind of arrays of somebody else."""
