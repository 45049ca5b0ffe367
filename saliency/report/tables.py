"""Tables on a page: what is drawn in the browser, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.report.encoding import as_base64, rounded, rounded_values
from saliency.report.methods import Method
from saliency.visualizer.explained.titles import names_of_classes
from saliency.visualizer.names import plain
from saliency.visualizer.tables.beeswarm import relative_values

#: How many examples a page lists at most, and how many numbers it holds.
_MOST, _MOST_NUMBERS = 5_000, 1_500_000
_NO_VALUE = 255  # the byte of a feature's value that is missing; others are up to 254


def number_shown(methods: Sequence[Method]) -> int:
    """Return how many examples a page shows."""
    columns = 1  # of the data; others are of scores and of their errors
    for method in methods:
        has_errors = method.explanation.errors is not None
        columns += len(method.layers) * (1 + has_errors)
    n_feature = int(methods[0].layers[0].shape[1])
    n = min(len(methods[0].explanation), _MOST)
    return max(1, min(n, _MOST_NUMBERS // max(columns * n_feature, 1)))


def data_of(methods: Sequence[Method], n: int) -> dict[str, Any]:
    """Return the data of a page with the first n examples."""
    first = methods[0]
    given = first.explanation
    data = given.data_of_features()
    x = None if data is None else data.astype("d")
    return {
        "features": [plain(name) for name in given.names_of_features()],
        "x": None if x is None else rounded_values(x[:n]),
        "relative": None if x is None else as_base64(_relative(x)[:n].tobytes()),
        "values": [[rounded(v[:n]) for v in method.layers] for method in methods],
        "errors": [
            None if m.errors is None else [_rows(e[:n]) for e in m.errors]
            for m in methods
        ],
        "summary": [_summary(method) for method in methods],
    }


def _rows(array: np.ndarray) -> Any:
    """Return what there is for each example and feature, rounded."""
    return rounded(array.reshape(len(array), -1))


def _relative(x: np.ndarray) -> np.ndarray:
    """Return how high each value is among those of its feature, in bytes."""
    columns = np.stack([relative_values(column) for column in x.T], axis=1)
    steps = np.rint(columns * (_NO_VALUE - 1))
    in_bytes: np.ndarray = np.nan_to_num(steps, nan=_NO_VALUE).astype(np.uint8)
    return in_bytes


def _summary(method: Method) -> list[dict[str, Any]]:
    """Return the means over the examples of each class, which are never mixed."""
    classes = method.explanation.classes
    if classes is None or classes.ndim == 2:
        names = method.class_names or [""]
        return [_means(n, v) for n, v in zip(names, method.layers)]
    (values,) = method.layers
    found, counts = np.unique(classes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    names_of = names_of_classes(method.explanation, found.tolist())
    return [_means(names_of[c], values[classes == c]) for c in found[order].tolist()]


def _means(name: str, values: np.ndarray) -> dict[str, Any]:
    values = values.astype("d")
    return {
        "class": name,
        "n": len(values),
        "strength": rounded(np.abs(values).mean(axis=0)),
        "mean": rounded(values.mean(axis=0)),
    }
