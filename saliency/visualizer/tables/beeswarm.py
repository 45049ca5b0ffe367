"""Swarms of dots: one row per feature, one dot per sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap

from saliency.array_types import Array
from saliency.visualizer.colors import MISSING_COLOR, filled
from saliency.visualizer.names import AS_IT_IS
from saliency.visualizer.scores import as_real_array
from saliency.visualizer.tables.feature_rows import (
    checked_names,
    checked_scores,
    draw_zero_line,
    note_on_more,
    order_of_features,
)
from saliency.visualizer.tables.panels import (
    Sheet,
    common_strengths,
    draw_rows,
    share_scores,
)
from saliency.visualizer.tables.score_keys import draw_all_zero

DOT_DIAMETER = 3.4  # points
DOT_PITCH = 0.11  # distance of two dots in a swarm, in rows
SWARM_HALF_WIDTH = 0.4  # in rows: less than 0.5, or neighbours would touch
SWARM_COLUMNS = 90  # about the number of dots that fit side by side
SWARM_LAYERS = 5  # of feature values within a column
MANY_DOTS = 2000  # in a row, of which those that nobody sees are not drawn
_CELLS = 5  # of a dot's width and of its height, in which one dot hides another
COLOR_BAR_WIDTH = 0.12  # inches
_FEW = 2  # rows, beside which the label of the colour bar is longer than the bar

# Purple to orange: none of its colours reads as the sign of a score. The yellow end of
# plasma is left out, since it is too pale for dots on white.
FEATURE_CMAP = filled(
    ListedColormap(
        matplotlib.colormaps["plasma"](np.linspace(0, 0.85, 256)),
        name="saliency_feature",
    ).with_extremes(bad=MISSING_COLOR)
)


class Swarms(NamedTuple):
    """Rows of dots from the top down: one row per feature, one dot per sample.

    Attributes:
        names: The names of the features.
        scores: Where the dots are on the score axis, shape (n_feature, n_sample).
        heights: Where they are on the other axis, same shape; row i is around i, and
            the axis points down.
        features: What their colours show, from 0 (low) to 1 (high), same shape; NaN for
            a missing value.
        is_seen: Which of them are drawn, same shape.
        note: What is said of features that are left out.
    """

    names: list[str]
    scores: np.ndarray
    heights: np.ndarray
    features: np.ndarray
    is_seen: np.ndarray
    note: str

    @property
    def color_label(self) -> str:
        """What is written beside the colour bar."""
        missing = "\n(grey: no value)" if np.isnan(self.features).any() else ""
        return "feature value" + missing


# --- what is shown ----------------------------------------------------------------


def compute_swarms(
    saliency: Mapping[str, Array],
    features: Mapping[str, Array],
    feature_names: Iterable[Any] | None,
    num_visualize: int | None,
    n_column: int = 1,
) -> list[Swarms]:
    """Return the dots of each panel; as `visualize_summary` describes them.

    Args:
        saliency: The scores of each panel, by what messages call them.
        features: The values of the features of each panel, in the same order.
        feature_names: One name for each feature, or None.
        num_visualize: How many features to show, or None.
        n_column: How many panels stand side by side, which leaves less room for dots.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    scores, values = checked_samples(saliency, features)
    importance = common_strengths([np.abs(s).mean(axis=0) for s in scores])
    tables = (*saliency.values(), *features.values())
    names = checked_names(feature_names, len(importance), *tables)
    order = order_of_features(importance, "descending", num_visualize)
    note = note_on_more(len(names), len(order))
    names = [names[i] for i in order]
    low, high = min(s.min() for s in scores), max(s.max() for s in scores)
    width = (high - low) / (SWARM_COLUMNS // min(n_column, 4)) or 1.0  # of a dot
    together = np.concatenate(values)
    relative = np.stack([relative_values(together[:, i]) for i in order])
    ends = np.cumsum([len(s) for s in scores])[:-1]
    found = []
    for s, colors in zip(scores, np.split(relative, ends, axis=1)):
        rows = s[:, order].T
        offsets = np.stack([_offsets(*row, low, width) for row in zip(rows, colors)])
        heights = np.arange(len(order))[:, np.newaxis] - offsets
        is_seen = np.stack([_are_seen(*row, width) for row in zip(rows, offsets)])
        found.append(Swarms(names, rows, heights, colors, is_seen, note))
    return found


def checked_samples(
    saliency: Mapping[str, Array], features: Mapping[str, Array]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the scores and the values of the features of each panel.

    Args:
        saliency: The scores of each panel, by what messages call them.
        features: The values of the features of each panel, in the same order.

    Raises:
        ValueError: An argument has the wrong shape, or is not finite.
        TypeError: An argument does not hold real numbers.
    """
    scores = [
        checked_scores(s, ("n_sample", "n_feature"), name)
        for name, s in saliency.items()
    ]
    values = [
        checked_features(f, s.shape, name)
        for s, (name, f) in zip(scores, features.items())
    ]
    return scores, values


def checked_features(
    value: Array, shape: tuple[int, ...], name: str = "features"
) -> np.ndarray:
    """Return the values of features in float64; NaN is a missing one.

    Raises:
        ValueError: They have another shape than the scores, or are infinite.
        TypeError: They are no real numbers.
    """
    array = as_real_array(value, name)
    if array.shape != shape:
        raise ValueError(
            f"{name} must have the shape of saliency, {shape}, got {array.shape}"
        )
    if np.isinf(array).any():
        raise ValueError(
            f"{name} must not be infinite, got {np.isinf(array).sum()} infinite of "
            f"{array.size} values; a missing value is NaN"
        )
    return array.astype(np.float64)


def relative_values(column: np.ndarray) -> np.ndarray:
    """Return the values of one feature from 0 (low) to 1 (high), with NaN kept.

    The ends are the 5th and 95th percentile, so that one outlier does not take all the
    colours. If both percentiles fall on one frequent value, they are the extremes.
    """
    present = column[~np.isnan(column)]
    if present.size == 0:
        return column
    low, high = np.percentile(present, [5, 95])
    if low == high:
        low, high = present.min(), present.max()
    if low == high:
        return np.where(np.isnan(column), np.nan, 0.5)
    relative: np.ndarray = np.clip((column - low) / (high - low), 0, 1)
    return relative


def _offsets(
    scores: np.ndarray, relative: np.ndarray, low: float, width: float
) -> np.ndarray:
    """Return the vertical offsets of the dots of one row, in rows, upwards.

    The row is cut into columns as wide as a dot. The dots of a column are stacked,
    around the middle of the row.

    Args:
        scores: Where the dots are on the score axis, shape (n_sample,).
        relative: Values in [0, 1] that decide on the layers of a column, with the
            lowest at the bottom and NaN below them, shape (n_sample,).
        low: Lowest score of all rows.
        width: Of a dot, on the score axis.

    Returns:
        Offsets in ``[-SWARM_HALF_WIDTH, SWARM_HALF_WIDTH]``, shape (n_sample,).
    """
    columns = np.floor((scores - low) / width)
    layers = np.floor(np.nan_to_num(relative, nan=-1) * SWARM_LAYERS)
    order = np.lexsort((_spread(scores, relative), layers, columns))
    _, starts, counts = np.unique(columns[order], return_index=True, return_counts=True)
    rank = np.arange(len(scores)) - np.repeat(starts, counts)
    centred = rank - np.repeat((counts - 1) / 2, counts)
    pitch = min(DOT_PITCH, 2 * SWARM_HALF_WIDTH / max(int(counts.max()) - 1, 1))
    offsets = np.empty(len(scores))
    offsets[order] = centred * pitch
    return offsets


def _spread(scores: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Return keys that separate dots of similar scores.

    They are multiples of the golden ratio, modulo 1. If dots were sorted by the scores
    themselves, the columns of a swarm would visibly lean.
    """
    order = np.lexsort((relative, scores))
    keys = np.empty(len(scores))
    keys[order] = np.arange(len(scores)) * 0.6180339887498949 % 1
    return keys


def _are_seen(scores: np.ndarray, offsets: np.ndarray, width: float) -> np.ndarray:
    """Tell which dots of a row are seen; all of them unless there are many.

    A dot is hidden where a later one lies upon it, but for a fifth of its width. To
    draw it would take ten microseconds, and a hundred bytes of an SVG.

    Args:
        scores: Where the dots are on the score axis, shape (n_sample,).
        offsets: Where they are on the other axis, in rows, same shape.
        width: Of a dot, on the score axis.
    """
    is_seen = np.ones(len(scores), bool)
    if len(scores) > MANY_DOTS:
        cells = np.stack([scores / width, offsets / DOT_PITCH])
        columns, rows = np.floor(cells * _CELLS).astype(np.int64)
        numbers = columns * (int(np.ptp(rows)) + 1) + rows
        # The first one from behind is the last one that is drawn.
        _, last = np.unique(numbers[::-1], return_index=True)
        is_seen[:] = False
        is_seen[len(scores) - 1 - last] = True
    return is_seen


# --- how it is drawn --------------------------------------------------------------


def draw_swarms(sheet: Sheet, panels: Sequence[Swarms], limit: float | None) -> None:
    """Draw a dot for each cell, a line at zero, and a colour bar from low to high.

    Args:
        sheet: Axes for each panel.
        panels: The dots of each panel.
        limit: The score at the ends of the axis, or None.
    """
    draw_rows(sheet, panels[0].names, panels[0].note)
    for ax, swarms in zip(sheet.axes, panels):
        dots = _draw_dots(ax, swarms)
        if not swarms.scores.any():
            draw_all_zero(ax)
    low = min(swarms.scores.min() for swarms in panels)
    high = max(swarms.scores.max() for swarms in panels)
    share_scores(sheet, low, high, limit, low < 0)
    label = max((swarms.color_label for swarms in panels), key=len)
    bar = draw_bar_of_features(sheet, dots, label)
    bar.set_ticks([0, 1], labels=["low", "high"])
    if len(panels[0].names) > _FEW:  # the bar is higher than its label is long
        bar.ax.yaxis.labelpad = -10


def _draw_dots(ax: Axes, swarms: Swarms) -> ScalarMappable:
    draw_zero_line(ax)
    return ax.scatter(
        swarms.scores[swarms.is_seen],
        swarms.heights[swarms.is_seen],
        c=swarms.features[swarms.is_seen],
        cmap=FEATURE_CMAP,
        vmin=0,
        vmax=1,
        plotnonfinite=True,
        s=DOT_DIAMETER**2,
        linewidths=0,
        zorder=3,
    )


def draw_bar_of_features(
    sheet: Sheet, dots: ScalarMappable, label: str, **settings: Any
) -> Colorbar:
    """Draw the colour bar of dots beside all panels."""
    (ax, *_) = sheet.axes
    height = ax.get_window_extent().height / ax.figure.dpi  # inches
    aspect = max(height / COLOR_BAR_WIDTH, 5)
    beside = sheet.axes if len(sheet.axes) > 1 else ax
    bar = ax.figure.colorbar(dots, ax=beside, aspect=aspect, pad=0.02, **settings)
    bar.set_label(label, **AS_IT_IS)
    bar.outline.set_visible(False)
    return bar
