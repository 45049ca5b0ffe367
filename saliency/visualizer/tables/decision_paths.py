"""Decision paths: contributions of many examples, added up one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from saliency.array_types import Array
from saliency.visualizer.colors import signed_colors
from saliency.visualizer.tables.additivity import checked_sums
from saliency.visualizer.tables.feature_rows import checked_names
from saliency.visualizer.tables.panels import (
    Sheet,
    common_strengths,
    draw_rows,
    share_scores,
)
from saliency.visualizer.tables.waterfall import name_of_others, strongest

LINE_WIDTH = 1.0
# So many lines are opaque; more are the paler, the more there are.
FEW, PALEST = 30, 0.15


class Paths(NamedTuple):
    """One path for each example, from the bottom up.

    Attributes:
        names: The names of the rows from the top down.
        points: The sums where rows meet, shape (n_sample, n_row + 1): from the base
            value, below the lowest row, to the score, above the uppermost.
    """

    names: list[str]
    points: np.ndarray


# --- what is shown ----------------------------------------------------------------


def compute_paths(
    saliency: Mapping[str, Array],
    feature_names: Iterable[Any] | None,
    num_visualize: int | None,
    base_values: Mapping[str, Array],
    scores: Mapping[str, Array],
) -> list[Paths]:
    """Return the paths of each panel; as `visualize_decision` describes them.

    Args:
        saliency: Contributions of each panel, by what messages call them.
        feature_names: One name for each feature, or None.
        num_visualize: How many features have rows of their own.
        base_values: The base values of each panel, in the same order.
        scores: The scores of each panel, in the same order.

    Raises:
        ValueError: Contributions do not add up, or an argument has the wrong shape, is
            not finite, or is not among the values allowed.
        TypeError: An argument has the wrong type.
    """
    sums = [
        checked_sums(*arrays, names)
        for names, arrays in zip(
            zip(saliency, base_values, scores),
            zip(saliency.values(), base_values.values(), scores.values()),
        )
    ]
    strength = common_strengths([np.abs(values).mean(axis=0) for values, *_ in sums])
    names = checked_names(feature_names, len(strength), *saliency.values())
    shown, others = strongest(strength, num_visualize)
    rows = [names[i] for i in shown]
    if len(others):
        rows.append(name_of_others(len(others)))
    return [
        Paths(rows, _points(values, starts, shown, others))
        for values, starts, _ in sums
    ]


def _points(
    values: np.ndarray, starts: np.ndarray, shown: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Return the sums where rows meet, from the bottom up."""
    steps = values[:, shown[::-1]]
    if len(others):
        rest = values[:, others].sum(axis=1, keepdims=True)
        steps = np.concatenate([rest, steps], axis=1)
    steps = np.concatenate([starts[:, np.newaxis], steps], axis=1)
    points: np.ndarray = np.cumsum(steps, axis=1)
    return points


# --- how it is drawn --------------------------------------------------------------


def draw_paths(sheet: Sheet, panels: Sequence[Paths]) -> None:
    """Draw a line for each example, red if it ends above its base value, else blue.

    Args:
        sheet: Axes for each panel.
        panels: The paths of each panel.
    """
    for ax, paths in zip(sheet.axes, panels):
        _draw_paths(ax, paths.points)
    draw_rows(sheet, panels[0].names, "")
    low = min(paths.points.min() for paths in panels)
    high = max(paths.points.max() for paths in panels)
    share_scores(sheet, low, high, None, signed=True)


def _draw_paths(ax: Axes, points: np.ndarray) -> None:
    heights = np.arange(points.shape[1])[::-1] - 0.5
    alpha = float(np.clip(np.sqrt(FEW / len(points)), PALEST, 1))
    lines = LineCollection(
        [np.column_stack([path, heights]) for path in points],
        colors=signed_colors(points[:, -1] - points[:, 0]),
        linewidths=LINE_WIDTH,
        alpha=alpha,
        zorder=3,
    )
    ax.add_collection(lines)
    ax.autoscale_view()
    if np.ptp(points[:, 0]) == 0:
        ax.axvline(points[0, 0], color="0.45", linewidth=0.8, linestyle=(0, (2, 2)))
