"""Fixtures of the tests of LRP."""

from __future__ import annotations

import pytest

from saliency.lrp import registry


@pytest.fixture
def own_registry(monkeypatch):
    """What a test registers is forgotten behind it."""
    monkeypatch.setattr(registry, "_registered", {})
