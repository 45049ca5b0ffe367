"""All tests of this folder compare a GPU with the CPU, and need one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def x(rng):
    """Seven examples of four features."""
    return rng.normal(size=(7, 4))
