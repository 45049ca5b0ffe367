"""What the tests of the CPU code share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work is divided, whatever the rest of the suite may use."""
    for limit in ("_MIN_SHARED", "_MIN_CALLED"):
        monkeypatch.setattr(f"saliency.cpu.threads.{limit}", 1.0)
    with threadpool_limits(2):
        yield
