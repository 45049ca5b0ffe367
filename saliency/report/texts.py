"""Texts on a page: the tokens of each, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency.report.elements import scores_of
from saliency.report.methods import Method
from saliency.visualizer.texts.pages import visible

_MOST = 5_000  # texts on a page


def number_shown(methods: Sequence[Method]) -> int:
    """Return how many examples a page shows."""
    return min(len(methods[0].explanation), _MOST)


def data_of(methods: Sequence[Method], n: int) -> dict[str, Any]:
    """Return the data of a page with the first n examples."""
    texts = methods[0].explanation.element_names or ()
    tokens = [[visible(token) for token in text] for text in texts[:n]]
    return {"tokens": tokens, **scores_of(methods, n)}
