"""What all tests share. Imported first, so that ``import chainer`` works in them."""

from __future__ import annotations

import hypothesis
import matplotlib
import pytest

from saliency import chainer_compat

matplotlib.use("Agg")

# No deadline: the machines of a CI differ too much. The same examples in every run:
# a red test stays red until it is understood.
hypothesis.settings.register_profile(
    "saliency", deadline=None, derandomize=True, max_examples=30
)
hypothesis.settings.load_profile("saliency")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        problem = chainer_compat.gpu_problem()
        if problem:
            pytest.skip(problem)
