"""What the tests of calculators share."""

from __future__ import annotations

import numpy as np
import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Silences the warning of equal samples where it is not what is tested.

    What is promised of several samples is promised where nothing is random, too.
    """
    if item.path.name != "test_equal_samples.py":
        equal = "ignore:all M=.* samples are equal:UserWarning"
        item.add_marker(pytest.mark.filterwarnings(equal))


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def x(rng):
    """Seven examples of four features."""
    return rng.normal(size=(7, 4))
