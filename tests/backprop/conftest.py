"""Fixtures of the tests of handlers."""

from __future__ import annotations

import pytest

import saliency  # noqa: F401  (before chainer)

import chainer


@pytest.fixture(autouse=True)
def float64_everywhere():
    """Some functions take float32 alone, for no reason but their type check."""
    with chainer.using_config("type_check", False):
        yield
