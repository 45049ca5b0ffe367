"""Interactions as colours: features from the top, and the same from the left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from saliency.array_types import Array
from saliency.visualizer.color_keys import WIDTH_OF_BAR, Key, draw_color_bar, ends_of
from saliency.visualizer.colors import (
    ColorScale,
    diverging_cmap,
    limit_of_colors,
    sequential_cmap,
)
from saliency.visualizer.names import AS_IT_IS
from saliency.visualizer.tables.feature_rows import (
    checked_names,
    checked_scores,
    note_on_more,
    order_of_features,
    width_of_names,
    written,
)
from saliency.visualizer.tables.score_keys import draw_all_zero

# Sizes of a new figure, in inches.
CELL, CELL_WITH_VALUE = 0.3, 0.55
TITLE_HEIGHT = 0.35
LEAST = 2.2  # of the matrix, for the colour bar beside it

MOST_WITH_VALUES = 12  # features
PLAIN = (1e-4, 1e7)  # the largest values that have room in cells without an exponent
DARK = 0.55  # the share of the strongest colour from which letters are white


class InteractionMatrix(NamedTuple):
    """The colours of a matrix.

    Attributes:
        names: The names of the features that are shown, in their order.
        values: What each pair adds, shape (n_feature, n_feature).
        scale: How values become colours.
        shows_values: Whether they are written into the cells.
        note: What is said of features that are left out.
    """

    names: list[str]
    values: np.ndarray
    scale: ColorScale
    shows_values: bool
    note: str

    @property
    def side(self) -> float:
        """Height and width of the matrix, in inches."""
        cell = CELL_WITH_VALUE if self.shows_values else CELL
        return max(cell * len(self.names), LEAST)

    def figure_size(self, has_title: bool) -> tuple[float, float]:
        """Return the width and height of a new figure, in inches."""
        names = width_of_names(self.names, self.note)
        width = names + self.side + WIDTH_OF_BAR
        return width, names + self.side + TITLE_HEIGHT * has_title


# --- what is shown ----------------------------------------------------------------


def compute_interactions(
    interactions: Array,
    feature_names: Iterable[Any] | None,
    num_visualize: int | None,
    limit: float | None,
    signed: bool | None,
    show_values: bool | None,
) -> InteractionMatrix:
    """Return the colours of a matrix; as `visualize_interactions` describes them.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    values = checked_scores(interactions, ("n_feature", "n_feature"), "interactions")
    if values.shape[0] != values.shape[1]:
        raise ValueError(
            "interactions must have the shape (n_feature, n_feature), got the shape "
            f"{values.shape}"
        )
    names = checked_names(feature_names, len(values), interactions)
    strength = np.abs(values).sum(axis=1)
    rows = order_of_features(strength, "descending", num_visualize)
    shown = values[np.ix_(rows, rows)]
    limit = limit or limit_of_colors(shown, 100.0)
    is_signed = bool((shown < 0).any()) if signed is None else signed
    scale = ColorScale(
        diverging_cmap if is_signed else sequential_cmap,
        -limit if is_signed else 0.0,
        limit,
    )
    if show_values is None:
        show_values = len(rows) <= MOST_WITH_VALUES
    note = note_on_more(len(names), len(rows))
    return InteractionMatrix([names[i] for i in rows], shown, scale, show_values, note)


# --- how it is drawn --------------------------------------------------------------


def draw_interactions(ax: Axes, matrix: InteractionMatrix) -> None:
    """Draw the cells, the names at the left and below, and a colour bar."""
    scale, n = matrix.scale, len(matrix.names)
    ax.imshow(matrix.values, cmap=scale.cmap, norm=scale.norm, interpolation="nearest")
    ax.set_xticks(range(n), labels=matrix.names, rotation=90, **AS_IT_IS)
    ax.set_yticks(range(n), labels=matrix.names, **AS_IT_IS)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
    for i in range(n):
        frame = Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="0.35")
        frame.set(linewidth=0.8, clip_on=False, zorder=3)
        ax.add_patch(frame)
    if matrix.shows_values:
        _draw_values(ax, matrix)
    if matrix.note:
        ax.set_ylabel(matrix.note, color="0.35", fontsize="small")
    if not matrix.values.any():
        draw_all_zero(ax)
    unit = "what pairs add" if scale.is_signed else "magnitude of what pairs add"
    below = bool((matrix.values < scale.low).any())
    above = bool((matrix.values > scale.high).any())
    ends = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    words = ends_of(scale, keeps_signs=True)
    draw_color_bar([ax], Key(scale, *words, unit, extend=ends[below, above]))


def _draw_values(ax: Axes, matrix: InteractionMatrix) -> None:
    largest = float(np.abs(matrix.values).max()) or 1.0
    digits = int(np.clip(2 - np.floor(np.log10(largest)), 0, 6))
    is_plain = PLAIN[0] <= largest < PLAIN[1]
    for (i, j), value in np.ndenumerate(matrix.values):
        is_dark = abs(value) > DARK * matrix.scale.limit
        rounded = (value.round(digits) if is_plain else value) + 0.0  # 0 has no sign
        ax.text(
            j,
            i,
            written(rounded, f".{digits}f" if is_plain else ".1e"),
            ha="center",
            va="center",
            fontsize="x-small",
            color="white" if is_dark else "0.2",
        )
