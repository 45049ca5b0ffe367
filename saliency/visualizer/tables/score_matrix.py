"""Scores of a table as colours: a row for each feature, a column for each example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from saliency.array_types import Array
from saliency.checks import check_choice, check_number
from saliency.visualizer.color_keys import Key, draw_color_bar, ends_of
from saliency.visualizer.colors import (
    ColorScale,
    diverging_cmap,
    limit_of_colors,
    sequential_cmap,
)
from saliency.visualizer.scores import as_real_array, checked_finite
from saliency.visualizer.tables.feature_rows import (
    checked_names,
    checked_scores,
    note_on_more,
    order_of_features,
)
from saliency.visualizer.tables.panels import (
    SCORE_MARGIN,
    Panel,
    Sheet,
    common_strengths,
    draw_rows,
)
from saliency.visualizer.tables.score_keys import draw_all_zero

LINE_HEIGHT = 0.55  # of the line of f(x), in inches
LINE_GAP = 0.06
LEAST_SHARE = 0.15  # of the widest panel that the others have at least

#: In which order examples stand, and what is said of it.
ORDERS = {
    "similarity": "examples, similar ones side by side",
    "score": "examples, by f(x)",
    "none": "examples",
}


class ScoreMatrix(NamedTuple):
    """The colours of a panel.

    Attributes:
        names: The names of the features, from the top down.
        values: Their scores, shape (n_feature, n_sample), in the order of the examples.
        outputs: f(x) of each example, in their order, shape (n_sample,), or None.
        note: What is said of features that are left out.
        scale: How scores become colours; the same in all panels.
    """

    names: list[str]
    values: np.ndarray
    outputs: np.ndarray | None
    note: str
    scale: ColorScale


# --- what is shown ----------------------------------------------------------------


def compute_matrices(
    saliency: Mapping[str, Array],
    feature_names: Iterable[Any] | None,
    num_visualize: int | None,
    outputs: Mapping[str, Array | None],
    order: str,
    percentile: float,
    limit: float | None,
    signed: bool | None,
) -> list[ScoreMatrix]:
    """Return the colours of each panel; as `visualize_heatmap` describes them.

    Args:
        saliency: The scores of each panel, by what messages call them.
        feature_names: One name for each feature, or None.
        num_visualize: How many features to show, or None.
        outputs: f(x) of the examples of each panel, in the same order, or None.
        order: One of `ORDERS`.
        percentile: The percentile of the magnitudes that has the strongest colours.
        limit: The magnitude that has them, or None.
        signed: Whether scores have a sign, or None.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    check_choice("order", order, ORDERS)
    scores = [
        checked_scores(s, ("n_sample", "n_feature"), name)
        for name, s in saliency.items()
    ]
    ends = [
        _checked_outputs(given, len(s), name)
        for s, (name, given) in zip(scores, outputs.items())
    ]
    if order == "score" and any(given is None for given in ends):
        raise ValueError("order='score' needs scores, f(x) of each example")
    strength = common_strengths([np.abs(s).mean(axis=0) for s in scores])
    names = checked_names(feature_names, len(strength), *saliency.values())
    rows = order_of_features(strength, "descending", num_visualize)
    note = note_on_more(len(names), len(rows))
    scale = _scale_of([s[:, rows] for s in scores], percentile, limit, signed)
    found = []
    for s, given in zip(scores, ends):
        columns = order_of_examples(s[:, rows], given, order)
        values = s[np.ix_(columns, rows)].T
        line = None if given is None else given[columns]
        found.append(ScoreMatrix([names[i] for i in rows], values, line, note, scale))
    return found


def checked_percentile(percentile: float) -> float:
    """Return a percentile, or raise a ValueError if it is none."""
    check_number("percentile", percentile, 0, 100)
    return float(percentile)


def _checked_outputs(given: Array | None, n: int, name: str) -> np.ndarray | None:
    if given is None:
        return None
    array = checked_finite(as_real_array(given, name), name)
    if array.shape != (n,):
        raise ValueError(
            f"{name} must have one f(x) for each of {n} examples, got the shape "
            f"{array.shape}"
        )
    return array


def _scale_of(
    scores: Sequence[np.ndarray],
    percentile: float,
    limit: float | None,
    signed: bool | None,
) -> ColorScale:
    values = np.concatenate(scores).ravel()
    if limit is None:
        limit = limit_of_colors(values, percentile)
    if signed is None:
        signed = bool((values < 0).any())
    if signed:
        return ColorScale(diverging_cmap, -limit, limit)
    return ColorScale(sequential_cmap, 0.0, limit)


def order_of_examples(
    scores: np.ndarray, outputs: np.ndarray | None, order: str
) -> np.ndarray:
    """Return the examples from left to right.

    Those that are similar stand together in the order of their first principal
    component, the direction in which scores differ most. It points to where f(x) is
    large, or the scores are if f(x) is not known.

    Args:
        scores: Scores, shape (n_sample, n_feature).
        outputs: f(x) of each, shape (n_sample,), or None.
        order: One of `ORDERS`.
    """
    if order == "none":
        return np.arange(len(scores))
    if order == "score":
        assert outputs is not None  # as compute_matrices has checked
        return np.argsort(outputs, kind="stable")
    centred = scores - scores.mean(axis=0)
    # By the smaller of the two matrices of products, which have the same spectrum.
    if scores.shape[1] <= len(scores):
        along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    else:
        along = np.linalg.eigh(centred @ centred.T)[1][:, -1]
    towards = scores.sum(axis=1) if outputs is None else outputs
    if along @ (towards - towards.mean()) < 0:
        along = -along
    return np.argsort(along, kind="stable")


def widths_of_panels(panels: Sequence[ScoreMatrix]) -> list[float] | None:
    """Return how wide panels are, as their examples are many; None for one panel."""
    counts = [panel.values.shape[1] for panel in panels]
    if len(counts) == 1:
        return None
    return [max(count, LEAST_SHARE * max(counts)) for count in counts]


# --- how it is drawn --------------------------------------------------------------


def draw_matrices(sheet: Sheet, panels: Sequence[ScoreMatrix]) -> None:
    """Draw the colours of each panel, the line of f(x) above, and a colour bar.

    Args:
        sheet: Axes for each panel.
        panels: What each panel shows.
    """
    draw_rows(sheet, panels[0].names, panels[0].note)
    for panel, matrix in zip(sheet.panels, panels):
        _draw_colors(panel.ax, matrix)
    ends = [matrix.outputs for matrix in panels if matrix.outputs is not None]
    if ends:
        limits = np.concatenate(ends).min(), np.concatenate(ends).max()
    for panel, matrix in zip(sheet.panels, panels):
        if matrix.outputs is not None:
            _draw_line(panel, matrix.outputs, limits)
    scale = panels[0].scale
    unit = "score" if scale.is_signed else "magnitude of the score"
    key = Key(scale, *ends_of(scale, keeps_signs=True), unit, extend=_cut_ends(panels))
    draw_color_bar(sheet.axes, key)


def _cut_ends(panels: Sequence[ScoreMatrix]) -> str:
    """Return which ends of the colours have scores beyond them."""
    scale = panels[0].scale
    is_below = any((panel.values < scale.low).any() for panel in panels)
    is_above = any((panel.values > scale.high).any() for panel in panels)
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[
        is_below, is_above
    ]


def _draw_colors(ax: Axes, matrix: ScoreMatrix) -> None:
    n_row, n_example = matrix.values.shape
    bottom, top = ax.get_ylim()
    ax.imshow(
        matrix.values,
        cmap=matrix.scale.cmap,
        norm=matrix.scale.norm,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, n_example - 0.5, n_row - 0.5, -0.5),
    )
    ax.set_ylim(bottom, top)  # which has room for the note
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    if not matrix.values.any():
        draw_all_zero(ax)


def _draw_line(panel: Panel, outputs: np.ndarray, limits: tuple[float, float]) -> None:
    """Draw f(x) above the columns, on the same axis in all panels."""
    height = panel.ax.get_window_extent().height / panel.ax.figure.dpi  # inches
    line = panel.ax.inset_axes([0, 1 + LINE_GAP / height, 1, LINE_HEIGHT / height])
    places = np.arange(len(outputs) + 1) - 0.5
    steps = np.append(outputs, outputs[-1])
    line.step(places, steps, where="post", color="0.2", linewidth=1)
    line.set_xlim(panel.ax.get_xlim())
    margin = SCORE_MARGIN * (limits[1] - limits[0]) or 1.0
    line.set_ylim(limits[0] - margin, limits[1] + margin)
    line.set_xticks([])
    line.yaxis.set_major_locator(MaxNLocator(2))
    line.tick_params(axis="y", labelsize="small", labelleft=panel.is_first)
    line.grid(axis="y", color="0.9", linewidth=0.8)
    line.spines[["top", "right", "bottom"]].set_visible(False)
    if panel.is_first:
        line.set_ylabel("f(x)", rotation=0, ha="right", va="center")
