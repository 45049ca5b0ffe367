"""Examples of named elements on a page: scores of tokens and of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.report.encoding import rounded
from saliency.report.findings import occurrences
from saliency.report.methods import Method
from saliency.visualizer.colors import limit_of_colors

_MOST_NAMES = 200  # in the summary


def scores_of(methods: Sequence[Method], n: int) -> dict[str, Any]:
    """Return the scores of the elements of the first n examples, and a summary."""
    return {
        "values": [[_rows(m, layer[:n]) for layer in m.layers] for m in methods],
        "errors": [
            None if m.errors is None else [_rows(m, e[:n]) for e in m.errors]
            for m in methods
        ],
        "limits": [
            [rounded(limit_of_colors(_finite(v))) for v in method.layers]
            for method in methods
        ],
        "summary": [[_summary(m, layer) for layer in m.layers] for m in methods],
    }


def _finite(values: np.ndarray) -> np.ndarray:
    """Return the values of elements, without padding."""
    return values[~np.isnan(values)] if not np.isnan(values).all() else np.zeros(1)


def _rows(method: Method, values: np.ndarray) -> list[Any]:
    """Return the values of each example, without padding."""
    lengths = method.explanation.numbers_of_elements()
    return [rounded(row[:n]) for row, n in zip(values, lengths)]


def _summary(method: Method, layer: np.ndarray) -> dict[str, Any]:
    found = occurrences(method, layer)
    shown = found[:_MOST_NAMES]
    return {
        "more": len(found) - len(shown),
        "rows": [
            [one.name, one.n, rounded(one.mean), rounded(one.strength)] for one in shown
        ],
    }
