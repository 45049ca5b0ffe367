"""What all tests share. Imported first, so that ``import chainer`` works in them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

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


@pytest.fixture(scope="session", autouse=True)
def a_core_for_each_process() -> Iterator[None]:
    """The suite runs in a process for each core; BLAS has one thread in each."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    with threadpool_limits(1):
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
    """Without a GPU, the first case of a test for one says why all are skipped."""
    if not chainer_compat.gpu_problem():
        return
    seen: set[str] = set()
    kept, left_out = [], []
    for item in items:
        test = item.nodeid.partition("[")[0]
        is_another = test in seen and item.get_closest_marker("gpu")
        (left_out if is_another else kept).append(item)
        seen.add(test)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        problem = chainer_compat.gpu_problem()
        if problem:
            pytest.skip(problem)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    """Seven examples of four features."""
    return rng.normal(size=(7, 4))
