"""What all tests share. Imported first, so that ``import chainer`` works in them."""

from __future__ import annotations

import gc
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from unittest import mock

import hypothesis
import matplotlib
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency import chainer_compat

matplotlib.use("Agg")

# No deadline: the machines of a CI differ too much. The same examples in every run:
# a red test stays red until it is understood.
hypothesis.settings.register_profile(
    "saliency", deadline=None, derandomize=True, max_examples=30
)
hypothesis.settings.load_profile("saliency")

#: So many cases of a test, and a fifth of them is taken.
_SEVERAL, _PARTS = 4, 5
#: Which fifth: 0 to 4; or all.
_CASES = os.environ.get("CASES", "0")
#: The runs of `python -m pytest` and of `make test`.
_WHOLE_RUNS = ("not large", "large or not large")


def pytest_configure(config: pytest.Config) -> None:
    """Let all processes of the tests compile once, and leave the user's files alone."""
    folder = config.rootpath / ".pytest_cache" / "compiled"
    os.environ.setdefault("SALIENCY_CACHE_DIR", str(folder))


@pytest.fixture(scope="session", autouse=True)
def a_core_for_each_process() -> Iterator[None]:
    """The suite runs in a process for each core; BLAS has one thread in each.

    So it has in the processes that tests start: a second one only waits for a core.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    of_others = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with threadpool_limits(1), mock.patch.dict(os.environ, of_others):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests are garbage to nobody: the collector never looks at them.

    It would look through all of them again and again while they are collected, and
    whenever a test calls it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out cases that another one stands for.

    Without a GPU, the first case of a test for one says why all are skipped. Of a test
    with several cases a fifth is enough, unless ``CASES=all``, or pytest is given a
    path or ``-k``.
    """
    if _CASES not in (*map(str, range(_PARTS)), "all"):
        raise pytest.UsageError(
            f"CASES must be from 0 to {_PARTS - 1}, or all, got {_CASES!r}"
        )
    has_gpu = not chainer_compat.gpu_problem()
    has_path = config.args_source is pytest.Config.ArgsSource.ARGS
    is_of_all = not has_path and not config.option.keyword
    takes_some = is_of_all and config.option.markexpr in _WHOLE_RUNS and _CASES != "all"
    n_case = Counter(map(_test_of, items))
    seen: set[str] = set()
    kept, left_out = [], []
    for item in items:
        test = _test_of(item)
        # Every fifth one could have the same value of a parameter each time.
        part = zlib.crc32(item.nodeid.encode()) % _PARTS
        is_drawn = takes_some and part == int(_CASES)
        if item.get_closest_marker("gpu"):
            is_enough = not has_gpu
        else:
            is_enough = takes_some and n_case[test] >= _SEVERAL and not is_drawn
        (left_out if test in seen and is_enough else kept).append(item)
        seen.add(test)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def _test_of(item: pytest.Item) -> str:
    """Return the name of the test that an item is a case of."""
    return item.nodeid.partition("[")[0]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        problem = chainer_compat.gpu_problem()
        if problem:
            pytest.skip(problem)


@pytest.fixture
def small_pictures() -> Iterator[None]:
    """Pictures have a quarter of the pixels, where nobody looks at their details.

    A user who has set this has them so as well.
    """
    with matplotlib.rc_context({"savefig.dpi": 100}):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    """Seven examples of four features."""
    return rng.normal(size=(7, 4))
