"""Waterfalls: how contributions lead from the base value to the score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from saliency.array_types import Array
from saliency.digits import with_minus, written_out
from saliency.visualizer.colors import signed_colors
from saliency.visualizer.tables.additivity import checked_sums
from saliency.visualizer.tables.feature_rows import (
    checked_names,
    checked_scores,
    order_of_features,
    with_values,
)
from saliency.visualizer.tables.panels import Sheet, draw_rows

BAR_HEIGHT = 0.62  # in rows
LABEL_GAP = 3  # points between a bar and its number
SIDE_MARGIN = 0.2  # room for numbers, as a share of the range
DARK, GREY = "0.15", "0.45"


class Waterfall(NamedTuple):
    """Bars that stand on each other, from the top down; the lowest is the first.

    Attributes:
        names: The names of all rows: the score, features, what is left, the base value.
        starts: Where the bars of features begin, shape (n_row - 2,).
        lengths: Their signed lengths, same shape.
        base_value: Where the lowest bar begins.
        score: Where the uppermost bar ends.
    """

    names: list[str]
    starts: np.ndarray
    lengths: np.ndarray
    base_value: float
    score: float


# --- what is shown ----------------------------------------------------------------


def compute_waterfall(
    saliency: Array,
    feature_names: Iterable[Any] | None,
    num_visualize: int | None,
    base_value: float,
    score: float,
    features: Array | None,
) -> Waterfall:
    """Return the bars that `TableVisualizer.visualize_waterfall` draws.

    Raises:
        ValueError: The contributions do not add up, or an argument has the wrong shape,
            is not finite, or is not among the values allowed.
        TypeError: An argument has the wrong type.
    """
    checked_scores(saliency, ("n_feature",))
    (values,), (start,), (end,) = checked_sums(
        np.asarray(saliency)[np.newaxis], base_value, score
    )
    names = checked_names(feature_names, len(values), saliency, features)
    names = with_values(names, features)
    shown, others = strongest(np.abs(values), num_visualize)
    lengths, rows = values[shown], [names[i] for i in shown]
    if len(others):
        lengths = np.append(lengths, values[others].sum())
        rows.append(name_of_others(len(others)))
    ends = start + np.cumsum(lengths[::-1])[::-1]
    rows = ["f(x)", *rows, "base value"]
    return Waterfall(rows, ends - lengths, lengths, float(start), float(end))


def strongest(
    strength: np.ndarray, num_visualize: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features that are shown, the strongest first, and all others.

    One feature alone is not called "1 other feature", but is shown.

    Args:
        strength: What decides on the order, shape (n_feature,).
        num_visualize: How many to show, as in `order_of_features`.
    """
    order = np.argsort(-strength, kind="stable")
    count = len(order_of_features(strength, "descending", num_visualize))
    if count == len(order) - 1:
        count += 1
    return order[:count], order[count:]


def name_of_others(n: int) -> str:
    """Return the name of the row in which ``n`` features are summed."""
    return f"{n:,} other features"


# --- how it is drawn --------------------------------------------------------------


def draw_waterfall(sheet: Sheet, waterfall: Waterfall) -> None:
    """Draw the bars with their numbers, and lines from each to the next."""
    (ax,) = sheet.axes
    draw_rows(sheet, waterfall.names, "")
    starts, lengths = waterfall.starts, waterfall.lengths
    rows = np.arange(1, len(lengths) + 1)
    ends = starts + lengths
    ax.axvline(waterfall.base_value, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    ax.barh(
        rows,
        lengths,
        left=starts,
        height=BAR_HEIGHT,
        color=signed_colors(lengths),
        zorder=3,
    )
    half = BAR_HEIGHT / 2
    ax.vlines(ends, rows - 1 + half, rows - half, color=GREY, linewidth=0.8, zorder=2)
    last = len(lengths) + 1
    ax.vlines(
        starts[-1], rows[-1] + half, last - half, color=GREY, linewidth=0.8, zorder=2
    )
    for row, value in ((0, waterfall.score), (last, waterfall.base_value)):
        ax.plot([value] * 2, [row - half, row + half], color=DARK, linewidth=2.5)
        _draw_number(
            ax,
            value,
            row,
            with_minus(written_out(value, 4)),
            is_right=True,
            weight="bold",
        )
    for i, (end, length) in enumerate(zip(ends, lengths), 1):
        text = with_minus(written_out(length, 3, "+"))
        _draw_number(ax, end, i, text, is_right=length >= 0)
    points = np.concatenate([starts, ends, [waterfall.base_value, waterfall.score]])
    low, high = points.min(), points.max()
    margin = SIDE_MARGIN * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)


def _draw_number(
    ax: Axes, x: float, row: float, text: str, is_right: bool, weight: str = "normal"
) -> None:
    """Draw a number beside the end of a bar."""
    ax.annotate(
        text,
        xy=(x, row),
        xytext=(LABEL_GAP if is_right else -LABEL_GAP, 0),
        textcoords="offset points",
        ha="left" if is_right else "right",
        va="center",
        fontsize="small",
        color=DARK,
        fontweight=weight,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # over lines
        parse_math=False,
        usetex=False,
        # In matplotlib's own font: others have no bold digits, which it logs.
    )
