"""Dependence: the score of a feature against its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from saliency.array_types import Array
from saliency.checks import is_int
from saliency.visualizer.names import AS_IT_IS
from saliency.visualizer.tables.beeswarm import (
    FEATURE_CMAP,
    checked_samples,
    draw_bar_of_features,
)
from saliency.visualizer.tables.feature_rows import checked_names, written
from saliency.visualizer.tables.interactions import interactions
from saliency.visualizer.tables.panels import SCORE_MARGIN, Sheet, common_strengths
from saliency.visualizer.tables.score_keys import draw_all_zero, draw_key_beside

DOT_DIAMETER = 4.2  # points
#: Asks for the feature whose interaction with the one that is drawn is the strongest.
STRONGEST = "strongest"
# A feature of whole numbers is categorical if there are at most so many of them.
MANY_CATEGORIES = 12
# Letters of all labels of the axis that stand side by side.
_LETTERS_OF_AXIS = 56
CATEGORY_SPREAD = 0.3  # of the way to the next category
MISSING_GAP = 0.08  # between the values and those that are missing, as a share


class Dependence(NamedTuple):
    """One dot for each example.

    Attributes:
        name: The name of the feature.
        values: Its values, shape (n_sample,); NaN where one is missing.
        scores: Its scores, same shape.
        color_name: The name of the feature that the dots are coloured by, or None.
        colors: Its values, same shape; NaN where one is missing.
    """

    name: str
    values: np.ndarray
    scores: np.ndarray
    color_name: str | None
    colors: np.ndarray


# --- what is shown ----------------------------------------------------------------


def compute_dependence(
    saliency: Mapping[str, Array],
    features: Mapping[str, Array],
    feature: int | str,
    feature_names: Iterable[Any] | None,
    color_by: int | str | None,
) -> list[Dependence]:
    """Return the dots of each panel; as `visualize_dependence` describes them.

    Args:
        saliency: The scores of each panel, by what messages call them.
        features: The values of the features of each panel, in the same order.
        feature: The feature that is drawn, by its name or its column.
        feature_names: One name for each feature, or None.
        color_by: The feature of the colours, by its name or its column; `STRONGEST`, or
            None for no colours.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    scores, values = checked_samples(saliency, features)
    common_strengths([s[0] for s in scores])  # checks that features are the same
    tables = (*saliency.values(), *features.values())
    names = checked_names(feature_names, scores[0].shape[1], *tables)
    column = _column_of("feature", feature, names)
    if isinstance(color_by, str) and color_by == STRONGEST:
        by = _strongest_interaction(scores, values, column)
    else:
        by = None if color_by is None else _column_of("color_by", color_by, names)
    return [
        Dependence(
            names[column],
            v[:, column],
            s[:, column],
            None if by is None else names[by],
            np.full(len(v), np.nan) if by is None else v[:, by],
        )
        for s, v in zip(scores, values)
    ]


def _column_of(name: str, feature: int | str, names: list[str]) -> int:
    """Return the column of a feature.

    Raises:
        ValueError: There is no such feature, or several have the name.
        TypeError: ``feature`` is neither a name nor a number.
    """
    if isinstance(feature, str):
        (drawn,) = checked_names([feature], 1)  # as names are, in several lines if long
        columns = [i for i, known in enumerate(names) if known == drawn]
        if len(columns) == 1:
            return columns[0]
        if columns:
            raise ValueError(
                f"{name}={feature!r} is the name of several features; pass the column "
                f"of one of them, {' or '.join(map(str, columns))}"
            )
        some = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
        raise ValueError(f"{name} must be one of {some}, got {feature!r}")
    if not is_int(feature):
        raise TypeError(
            f"{name} must be the name or the column of a feature, got {feature!r}"
        )
    if not -len(names) <= feature < len(names):
        raise ValueError(
            f"{name} must be a column of {len(names)} features, got {feature}"
        )
    return int(feature) % len(names)


def _strongest_interaction(
    scores: Sequence[np.ndarray], values: Sequence[np.ndarray], column: int
) -> int | None:
    """Return the feature that explains most of what the value leaves open."""
    strength = np.sum(
        [interactions(s[:, column], v, column) for s, v in zip(scores, values)], axis=0
    )
    return int(strength.argmax()) if strength.max() > 0 else None


def are_categories(values: np.ndarray) -> bool:
    """Tell whether values are a few whole numbers; NaN counts for nothing."""
    present = np.unique(values[~np.isnan(values)])
    is_whole = bool((present == np.round(present)).all())
    return is_whole and 0 < len(present) <= MANY_CATEGORIES


# --- how it is drawn --------------------------------------------------------------


def draw_dependence(sheet: Sheet, panels: Sequence[Dependence]) -> None:
    """Draw the dots of all panels on the same axes, and the colour bar.

    Args:
        sheet: Axes for each panel.
        panels: What each panel shows.
    """
    values = np.concatenate([panel.values for panel in panels])
    scores = np.concatenate([panel.scores for panel in panels])
    low, high = min(scores.min(), 0.0), max(scores.max(), 0.0)
    margin = SCORE_MARGIN * (high - low) or 1.0
    places = _Places.of(values)
    scale = _scale_of(np.concatenate([panel.colors for panel in panels]))
    for panel, dependence in zip(sheet.panels, panels):
        ax = panel.ax
        ax.set_ylim(low - margin, high + margin)
        ax.axhline(0, color="0.35", linewidth=0.8, zorder=2.5)
        ax.grid(axis="y", color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelleft=panel.is_first)
        if panel.is_first:
            ax.set_ylabel(f"score of {dependence.name}", **AS_IT_IS)
            draw_key_beside(ax)
        places.draw_axis(ax)
        dots = _draw_dots(ax, places, dependence, scale)
        if not dependence.scores.any():
            draw_all_zero(ax)
    _draw_color_bar(sheet, dots, panels)


class _Places(NamedTuple):
    """Where values stand on the horizontal axis.

    Attributes:
        low: The lowest value that there is.
        high: The highest.
        categories: The values, if they are a few whole numbers.
        missing: Where dots stand whose value is missing, or None.
    """

    low: float
    high: float
    categories: np.ndarray | None
    missing: float | None

    @classmethod
    def of(cls, values: np.ndarray) -> _Places:
        present = values[~np.isnan(values)]
        if not len(present):
            return cls(0.0, 0.0, np.zeros(0), 0.0)
        low, high = float(present.min()), float(present.max())
        categories = np.unique(present) if are_categories(values) else None
        gap = 2 * MISSING_GAP * (high - low) or 1.0
        if categories is not None:
            gap = max(gap, _step_of(categories))
        has_missing = len(present) < len(values)
        return cls(low, high, categories, low - gap if has_missing else None)

    @property
    def margin(self) -> float:
        """How far the axis goes beyond what stands on it."""
        if self.categories is not None:
            return 0.6 * _step_of(self.categories)
        return MISSING_GAP * (self.high - self.low) or 1.0

    def x(self, values: np.ndarray) -> np.ndarray:
        """Return where values are drawn; those of a category are spread."""
        if self.missing is not None:
            values = np.where(np.isnan(values), self.missing, values)
        if self.categories is None:
            return values
        # Multiples of the golden ratio, modulo 1: even, and without randomness.
        spread = np.arange(len(values)) * 0.6180339887498949 % 1 - 0.5
        x: np.ndarray = values + CATEGORY_SPREAD * _step_of(self.categories) * spread
        return x

    def draw_axis(self, ax: Axes) -> None:
        """Draw ticks, and a line between the values and those that are missing."""
        first = self.low if self.missing is None else self.missing
        ax.set_xlim(first - self.margin, self.high + self.margin)
        ticks = self.categories
        if ticks is None:
            ticks = ax.get_xticks()
            ticks = ticks[(ticks >= self.low) & (ticks <= self.high)]
        formatter = ax.xaxis.get_major_formatter()
        labels = formatter.format_ticks(ticks)
        offset = formatter.get_offset()  # as 1e6, of which labels are multiples
        if self.categories is not None:  # codes, of which every digit counts
            labels, offset = [written(x, ".15g") for x in self.categories], ""
        if self.missing is not None:
            if len(ticks):
                between = (self.missing + self.low) / 2
                ax.axvline(between, color="0.6", linewidth=0.8, linestyle=(0, (2, 2)))
            ticks, labels = np.append(self.missing, ticks), ["missing", *labels]
        if self.missing is not None or self.categories is not None:
            ax.set_xticks(ticks, labels)
            ax.xaxis.get_major_formatter().set_offset_string(offset)
        if sum(map(len, labels)) > _LETTERS_OF_AXIS:
            ax.tick_params(axis="x", labelrotation=30)


def _step_of(categories: np.ndarray) -> float:
    """Return how far categories are from the next at least; 1 where there is one."""
    return float(np.diff(categories).min()) if len(categories) > 1 else 1.0


def _scale_of(colors: np.ndarray) -> Normalize:
    """Return the scale of colours, whose ends are the 5th and 95th percentile."""
    present = colors[~np.isnan(colors)]
    if not len(present):
        return Normalize(0, 1)
    low, high = np.percentile(present, [5, 95])
    if low == high or are_categories(colors):
        low, high = present.min(), present.max()
    return Normalize(low, high if low < high else low + 1)


def _draw_dots(
    ax: Axes, places: _Places, dependence: Dependence, scale: Normalize
) -> ScalarMappable:
    is_plain = dependence.color_name is None
    how: dict[str, Any] = {"color": FEATURE_CMAP(0.0)}
    if not is_plain:
        how = {
            "c": dependence.colors,
            "cmap": FEATURE_CMAP,
            "norm": scale,
            "plotnonfinite": True,
        }
    return ax.scatter(
        places.x(dependence.values),
        dependence.scores,
        s=DOT_DIAMETER**2,
        linewidths=0,
        alpha=0.85,
        zorder=3,
        **how,
    )


def _draw_color_bar(
    sheet: Sheet, dots: ScalarMappable, panels: Sequence[Dependence]
) -> None:
    name = panels[0].color_name
    if name is None:
        return
    colors = np.concatenate([panel.colors for panel in panels])
    missing = "\n(grey: no value)" if np.isnan(colors).any() else ""
    present = colors[~np.isnan(colors)]
    is_below = bool((present < dots.norm.vmin).any())
    is_above = bool((present > dots.norm.vmax).any())
    ends = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    bar = draw_bar_of_features(
        sheet, dots, name + missing, extend=ends[is_below, is_above]
    )
    if are_categories(colors):
        bar.set_ticks(np.unique(present))
