"""What the tests of the CPU code share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Large work is divided, whatever the rest of the suite may use."""
    with threadpool_limits(2):
        yield
