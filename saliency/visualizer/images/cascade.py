"""A cascade: maps of one network while its layers are drawn anew, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.checks import check_at_least
from saliency.visualizer.scores import as_real_array, checked_finite
from saliency.visualizer.tables.feature_rows import written

TRAINED = "trained network"


def compute_cascade(
    saliency: Sequence[Array],
    layers: Sequence[str | Sequence[str]],
    similarities: Array | None,
    measure: str,
    max_maps: int,
) -> tuple[dict[str, list[Any]], dict[str, list[str]] | None]:
    """Return the maps of each column by its title, and what stands below them.

    Args:
        saliency: For each row its maps, the first that of the trained network.
        layers: What is drawn anew at each step.
        similarities: ``(n_row, n_step)``, or None.
        measure: What they are.
        max_maps: How many columns there are at most.

    Raises:
        ValueError: There are not as many maps or similarities as steps.
        TypeError: An argument has the wrong type.
    """
    check_at_least("max_maps", max_maps, 2)
    names = _names(layers)
    rows = _rows(saliency, len(names))
    last = len(names)
    steps = np.unique(np.linspace(0, last, min(1 + last, max_maps)).round().astype(int))
    titles = {k: _title(names, k) for k in steps.tolist()}
    columns = {title: [row[k] for row in rows] for k, title in titles.items()}
    if len(columns) < len(titles):
        raise ValueError(f"layers must differ from step to step, got {layers!r}")
    if similarities is None:
        return columns, None
    values = checked_finite(as_real_array(similarities, "similarities"), "similarities")
    if values.shape != (len(rows), last):
        raise ValueError(
            f"similarities must have the shape ({len(rows)}, {last}), a row for each "
            f"of saliency and a column for each step, got the shape {values.shape}"
        )
    captions = {
        title: [f"{measure} {written(row[k - 1], '.2f')}" for row in values]
        for k, title in titles.items()
        if k > 0
    }
    return columns, captions


def _rows(saliency: Any, n_step: int) -> list[list[Any]]:
    """Return the maps of each row as a list."""
    is_sized = hasattr(saliency, "__len__") and not isinstance(saliency, str)
    if not (
        is_sized and len(saliency) and all(hasattr(m, "__len__") for m in saliency)
    ):
        raise TypeError(
            "saliency must hold the maps of each row, (1 + n_step, h, w), of one or "
            f"more rows, got {type(saliency).__name__}"
        )
    for i, row in enumerate(saliency):
        if len(row) != 1 + n_step:
            raise ValueError(
                f"saliency[{i}] must hold the map of the trained network and one for "
                f"each of the {n_step} steps of layers, got {len(row)} maps"
            )
    return [list(row) for row in saliency]


def _names(layers: Any) -> list[str]:
    if isinstance(layers, str) or not hasattr(layers, "__len__") or not len(layers):
        raise TypeError(
            "layers must hold what is drawn anew at each step, one or more, got "
            f"{layers!r}"
        )
    return [one if isinstance(one, str) else ", ".join(map(str, one)) for one in layers]


def _title(names: list[str], step: int) -> str:
    """Return the title of a column; what was drawn anew before remains so."""
    if step == 0:
        return TRAINED
    name = names[step - 1]
    return f"{name} drawn anew" if step == 1 else f"… to {name}"
