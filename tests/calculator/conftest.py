"""What the tests of calculators share."""

from __future__ import annotations

import pytest

from tests.calculator.every_calculator import LARGE, OF_IMAGES


def pytest_itemcollected(item: pytest.Item) -> None:
    """Silences warnings where they are not what is tested, and marks large tests.

    What is promised of several samples is promised where nothing is random, too, and
    few steps of a path do for most tests.
    """
    arguments = getattr(item, "callspec", None)
    if arguments and any(
        value is calculator
        for value in arguments.params.values()
        for calculator in (*LARGE.values(), *OF_IMAGES.values())
    ):
        item.add_marker(pytest.mark.large)
    if item.path.name != "test_equal_samples.py":
        equal = "ignore:all M=.* samples are equal:UserWarning"
        item.add_marker(pytest.mark.filterwarnings(equal))
    if item.path.name != "test_completeness.py":
        missed = "ignore:the attributions of:UserWarning"
        item.add_marker(pytest.mark.filterwarnings(missed))
