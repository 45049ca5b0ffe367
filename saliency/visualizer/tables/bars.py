"""Bars: one score per feature, in one panel or in several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from saliency.array_types import Array
from saliency.visualizer.colors import NEUTRAL_COLOR, signed_colors
from saliency.visualizer.scalers import Scaler, apply_scaler
from saliency.visualizer.scores import checked_errors, uncertain
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

# What grey bars mean: none is grey but for its error, or because it is 0.
GREY = "grey: no further from 0 than its error"


class Bars(NamedTuple):
    """Bars from the top down.

    Attributes:
        names: The names of their features.
        values: Where they end, shape (n,).
        errors: Half the lengths of the error bars, shape (n,); all 0 without errors.
        colors: RGBA colours, shape (n, 4).
        note: What is said of features that are left out.
        signed: Whether the side of zero matters: that of bars that speak for, or
            against.
        grey: What grey bars mean, or nothing where none is grey for that.
    """

    names: list[str]
    values: np.ndarray
    errors: np.ndarray
    colors: np.ndarray
    note: str
    signed: bool
    grey: str

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest score that is drawn, zero included."""
        low, high = self.values - self.errors, self.values + self.errors
        return min(low.min(), 0.0), max(high.max(), 0.0)


# --- what is shown ----------------------------------------------------------------


def compute_bars(
    saliency: Mapping[str, Array],
    feature_names: Iterable[Any] | None,
    num_visualize: int | None,
    scaler: Scaler | None,
    sort: str,
    color: Any,
    errors: Mapping[str, Array | None],
    signed: bool | None = None,
) -> list[Bars]:
    """Return the bars of each panel; as `TableVisualizer` describes them.

    Args:
        saliency: The scores of each panel, by what messages call them.
        feature_names: One name for each feature, or None.
        num_visualize: How many features to show, or None.
        scaler: What is applied to the scores of each panel, or None.
        sort: What comes at the top; the order is that of the mean over panels.
        color: One colour of all bars, or None.
        errors: How far the scores of each panel may be off, in the same order.
        signed: Whether scores have a sign, or None.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    values = [checked_scores(s, ("n_feature",), name) for name, s in saliency.items()]
    of_magnitudes = sort == "magnitude"
    strength = common_strengths([np.abs(v) if of_magnitudes else v for v in values])
    tables = (*saliency.values(), *errors.values())
    names = checked_names(feature_names, len(strength), *tables)
    order = order_of_features(strength, sort, num_visualize)
    note = note_on_more(len(names), len(order))
    names = [names[i] for i in order]
    scaled = [apply_scaler(v, scaler) for v in values]
    if signed is None:
        signed = any((s < 0).any() for s in scaled)
    found = []
    for v, s, (name, error) in zip(values, scaled, errors.items()):
        lengths = checked_errors(error, v, name)
        is_grey = uncertain(v, lengths)
        if scaler is not None:
            lengths = _scaled_errors(lengths, v, s)
        colors = _colors(np.where(is_grey, 0, s), color, signed)
        grey = GREY if color is None and is_grey[order].any() else ""
        found.append(
            Bars(names, s[order], lengths[order], colors[order], note, signed, grey)
        )
    return found


def _colors(values: np.ndarray, color: Any, signed: bool) -> np.ndarray:
    """Return the colours of bars: by their sign, or one for all that have none."""
    if color is not None:
        return np.tile(_checked_color(color), (len(values), 1))
    colors = signed_colors(values)
    if not signed:
        colors[values != 0] = to_rgba(NEUTRAL_COLOR)
    return colors


def _checked_color(color: Any) -> tuple[float, float, float, float]:
    try:
        red, green, blue, opacity = to_rgba(color)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"color must be one matplotlib colour or None, got {color!r}"
        ) from error
    return red, green, blue, opacity


def _scaled_errors(
    errors: np.ndarray, values: np.ndarray, scaled: np.ndarray
) -> np.ndarray:
    """Return the errors in the units of the scaled values."""
    return errors * _slope(values, scaled) if errors.any() else errors


def _slope(values: np.ndarray, scaled: np.ndarray) -> float:
    """Return how much a scaler stretches: ``|a|`` of ``scaled = a * values + b``.

    It is read from the data, since a scaler is only a callable. A proportional scaler
    (b = 0) is tried first, at the largest magnitude: that also answers for a single
    feature and for equal scores. A shifted one is tried next, by the differences from
    the smallest score.
    """
    low = values.argmin()
    for x, y in ((values, scaled), (values - values[low], scaled - scaled[low])):
        top = np.abs(x).argmax()
        if x[top] == 0 or y[top] == 0:
            continue
        slope = y[top] / x[top]
        if np.allclose(y, slope * x, rtol=0, atol=1e-6 * abs(y[top])):
            return float(abs(slope))
    raise ValueError(
        "errors cannot be scaled with these scores: scaler must be affine (as "
        "abs_max_scaler, min_max_scaler and normalize_scaler are) and must not map "
        "all the scores to 0; pass scaler=None, or scale both yourself"
    )


# --- how it is drawn --------------------------------------------------------------


def draw_bars(sheet: Sheet, panels: Sequence[Bars], limit: float | None = None) -> None:
    """Draw bars from the top down, and a line at zero if they lie on both sides.

    Args:
        sheet: Axes for each panel.
        panels: The bars of each panel.
        limit: The score at the end of the axis, or None.
    """
    low = min(bars.ends[0] for bars in panels)
    high = max(bars.ends[1] for bars in panels)
    for ax, bars in zip(sheet.axes, panels):
        _draw_bars(ax, bars)
        if low < 0 < high:
            draw_zero_line(ax)
        if not (bars.values.any() or bars.errors.any()):
            draw_all_zero(ax)
    draw_rows(sheet, panels[0].names, panels[0].note)
    share_scores(sheet, low, high, limit, panels[0].signed)


def _draw_bars(ax: Axes, bars: Bars) -> None:
    ax.barh(
        np.arange(len(bars.values)),
        bars.values,
        height=0.7,
        color=bars.colors,
        xerr=bars.errors if bars.errors.any() else None,
        error_kw={"ecolor": "0.15", "elinewidth": 1.2, "capsize": 2.5},
    )
