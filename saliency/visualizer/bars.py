"""Bars: one score per feature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from saliency.array_types import Array
from saliency.visualizer.colors import signed_colors
from saliency.visualizer.feature_rows import (
    checked_names,
    checked_scores,
    draw_zero_line,
    note_on_more,
    order_of_features,
)
from saliency.visualizer.scalers import Scaler, apply_scaler
from saliency.visualizer.scores import checked_errors, uncertain


class Bars(NamedTuple):
    """Bars from the top down.

    Attributes:
        names: The names of their features.
        values: Where they end, shape (n,).
        errors: Half the lengths of the error bars, shape (n,); all 0 without errors.
        colors: RGBA colours, shape (n, 4).
        note: What is said of features that are left out.
    """

    names: list[str]
    values: np.ndarray
    errors: np.ndarray
    colors: np.ndarray
    note: str

    @property
    def are_on_both_sides(self) -> bool:
        """Whether bars or error bars lie on both sides of zero."""
        low, high = self.values - self.errors, self.values + self.errors
        return bool(low.min() < 0 < high.max())


# --- what is shown ----------------------------------------------------------------


def compute_bars(
    saliency: Array,
    feature_names: Iterable[Any] | None,
    num_visualize: int | None,
    scaler: Scaler | None,
    sort: str,
    color: Any,
    errors: Array | None,
) -> Bars:
    """Return the bars that `TableVisualizer.visualize` draws; as it describes.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    values = checked_scores(saliency, ("n_feature",))
    names = checked_names(feature_names, len(values))
    order = order_of_features(values, sort, num_visualize)
    scaled = apply_scaler(values, scaler)
    errors = checked_errors(errors, values)
    lengths = errors if scaler is None else _scaled_errors(errors, values, scaled)
    if color is None:
        colors = signed_colors(np.where(uncertain(values, errors), 0, scaled))
    else:
        colors = np.tile(_checked_color(color), (len(values), 1))
    names = [names[i] for i in order]
    note = note_on_more(len(values), len(order))
    return Bars(names, scaled[order], lengths[order], colors[order], note)


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


def draw_bars(ax: Axes, bars: Bars) -> None:
    """Draw bars from the top down, and a line at zero if they lie on both sides."""
    ax.barh(
        np.arange(len(bars.values)),
        bars.values,
        height=0.7,
        color=bars.colors,
        xerr=bars.errors if bars.errors.any() else None,
        error_kw={"ecolor": "0.15", "elinewidth": 1.2, "capsize": 2.5},
    )
    if bars.are_on_both_sides:
        draw_zero_line(ax)
