"""What the tests of calculators share."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Silences warnings where they are not what is tested.

    What is promised of several samples is promised where nothing is random, too, and
    few steps of a path do for most tests.
    """
    if item.path.name != "test_equal_samples.py":
        equal = "ignore:all M=.* samples are equal:UserWarning"
        item.add_marker(pytest.mark.filterwarnings(equal))
    if item.path.name != "test_completeness.py":
        missed = "ignore:the attributions of:UserWarning"
        item.add_marker(pytest.mark.filterwarnings(missed))
