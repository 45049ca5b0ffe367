"""Fixtures of the tests that compare a GPU with the CPU."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def x(rng):
    """Seven examples of four features."""
    return rng.normal(size=(7, 4))
