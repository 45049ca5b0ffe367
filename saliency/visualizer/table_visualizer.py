"""Pictures of saliency for table data: one score per feature, or per cell."""

from __future__ import annotations

import operator
import textwrap
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.beeswarm import draw_swarms
from saliency.visualizer.scalers import (
    abs_max_scaler,
    apply_scaler,
    as_real_array,
    checked_errors,
    checked_finite,
    signed_colors,
    uncertain,
)

# Sizes of a new figure, in inches.
BAR_HEIGHT = 0.28
SWARM_HEIGHT = 0.42
PLOT_WIDTH = 4.6
LETTER_WIDTH = 0.085
LINE_HEIGHT = 0.17
MARGIN_HEIGHT = 1.1
COLOR_BAR_WIDTH = 0.12
MAX_HEIGHT = 100.0  # what the renderer can still take

NAME_LENGTH = 40  # letters in a line of a feature name


class TableVisualizer(BaseVisualizer):
    """Draws saliency of table data.

    `visualize` shows one score per feature as bars: one sample, or the mean over a
    data set. `visualize_summary` shows every sample of a data set as one dot per
    feature.

    Example:
        >>> import numpy as np
        >>> from saliency.visualizer.table_visualizer import TableVisualizer
        >>> figure = TableVisualizer().visualize(
        ...     np.array([0.2, -0.1, 0.7]), feature_names=['age', 'weight', 'pulse'])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['pulse', 'age', 'weight']
    """

    def visualize(
        self,
        saliency: Any,
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int = -1,
        scaler: Callable[[np.ndarray], np.ndarray] | None = abs_max_scaler,
        sort: str = "descending",
        title: str | None = "Feature Importance",
        color: Any = None,
        xlabel: str | None = "Importance",
        bbox_inches: Any = "tight",
        *,
        errors: Any = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw one score per feature as horizontal bars.

        Order and choice of the features go by ``saliency`` itself; ``scaler`` sets
        only the units of the axis. It is applied before features are left out, so
        that shares remain shares of the whole.

        Args:
            saliency: Scores, shape (n_feature,), real and finite.
            feature_names: One name per feature. Default: the column numbers.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            num_visualize: How many features to show, from the top of the order that
                ``sort`` gives; -1, or more than there are, shows all.
            scaler: Callable that maps the scores to those drawn, such as
                `abs_max_scaler`, `min_max_scaler` or `normalize_scaler`; None draws
                them as they are.
            sort: What comes at the top: ``'descending'`` the largest score (by its
                signed value, so that negative scores come last), ``'ascending'`` the
                smallest, ``'magnitude'`` the strongest of either sign, ``'none'``
                the first in the order given. Ties keep the order given.
            title: Title of the plot, or None.
            color: One matplotlib colour for all bars. Default: red for positive and
                blue for negative values as drawn, grey for those that are 0 or not
                further from it than their error.
            xlabel: Label of the score axis, or None.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            errors: How far each score may be off, shape (n_feature,), in the units of
                ``saliency``, for example the standard deviation over samples. They
                are drawn as error bars, stretched as much as ``scaler`` stretches the
                scores; bars that are not longer than their error are grey.
            ax: Axes to draw on, in a figure of yours. Default: a new figure, as high
                as the number of features asks for.

        Returns:
            The figure, which pyplot knows nothing of unless ``ax`` comes from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; ``save_filepath`` can not be written there;
                or ``errors`` are given with a scaler that is not affine.
            TypeError: An argument has the wrong type.
        """
        path, ax = self._checked_path(save_filepath), self._checked_ax(ax)
        values = _checked_scores(saliency, "saliency", ("n_feature",))
        names = _checked_names(feature_names, len(values))
        order = _order(values, sort)[: _checked_count(num_visualize)]
        scaled = apply_scaler(values, scaler)
        errors = checked_errors(errors, values)
        lengths = _scaled_errors(errors, values, scaled, scaler)
        if color is None:
            colors = signed_colors(np.where(uncertain(values, errors), 0, scaled))
        else:
            colors = _repeated(color, names)

        names = [names[i] for i in order]
        if ax is None:
            ax = self._new_ax(_figsize(names, BAR_HEIGHT))
        _draw_bars(ax, scaled[order], lengths[order], colors[order])
        _dress(ax, names, title, xlabel)
        return self._finish(ax, path, bbox_inches)

    def visualize_summary(
        self,
        saliency: Any,
        features: Any,
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int = 20,
        title: str | None = "Feature Importance by Sample",
        xlabel: str | None = "Saliency",
        bbox_inches: Any = "tight",
        *,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw every sample as one dot per feature: score against feature value.

        One row per feature, that with the largest mean magnitude at the top. A dot
        stands at its score and is coloured by the value of its feature, from low
        (5th percentile of that feature) to high (95th). Where dots would coincide
        they are stacked, in layers with low values at the bottom, so that a row is
        as thick as its scores are dense, up to the height of the row. There is no
        randomness, and the order of the samples does not matter.

        Args:
            saliency: Scores, shape (n_sample, n_feature), real and finite.
            features: Values of the features, same shape. A constant feature has the
                middle colour; a missing value (NaN) is grey.
            feature_names: One name per feature. Default: the column numbers.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            num_visualize: How many features to show, from the top; -1, or more than
                there are, shows all.
            title: Title of the plot, or None.
            xlabel: Label of the score axis, or None.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            ax: Axes to draw on, in a figure of yours, which gets axes for the colour
                bar, too. Default: a new figure.

        Returns:
            The figure, which pyplot knows nothing of unless ``ax`` comes from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` can not be written
                there.
            TypeError: An argument has the wrong type.
        """
        path, ax = self._checked_path(save_filepath), self._checked_ax(ax)
        scores = _checked_scores(saliency, "saliency", ("n_sample", "n_feature"))
        features = _checked_features(features, scores.shape)
        names = _checked_names(feature_names, scores.shape[1])
        importance = np.abs(scores).mean(axis=0)
        order = _order(importance, "descending")[: _checked_count(num_visualize)]

        names = [names[i] for i in order]
        if ax is None:
            ax = self._new_ax(_figsize(names, SWARM_HEIGHT))
        features = features[:, order]
        _draw_zero_line(ax)
        dots = draw_swarms(ax, scores[:, order], features)
        _dress(ax, names, title, xlabel)
        missing = " (grey: missing)" if np.isnan(features).any() else ""
        _add_color_bar(ax, dots, "feature value" + missing)
        return self._finish(ax, path, bbox_inches)


# --- checks ---------------------------------------------------------------------


def _checked_scores(value: Any, name: str, axes: tuple[str, ...]) -> np.ndarray:
    """The scores in float64, if their shape is as ``axes`` and all are finite."""
    array = as_real_array(value, name)
    if array.ndim != len(axes) or array.size == 0:
        shape = f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"
        hint = ""
        if (array.ndim, len(axes)) == (2, 1):
            hint = f"; for one sample pass {name}[0], for all {name}.mean(axis=0)"
        raise ValueError(
            f"{name} must have the shape {shape} and not be empty, got the shape "
            f"{array.shape}{hint}"
        )
    return checked_finite(array, name)


def _checked_features(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = as_real_array(value, "features")
    if array.shape != shape:
        raise ValueError(
            f"features must have the shape of saliency, {shape}, got {array.shape}"
        )
    if np.isinf(array).any():
        raise ValueError(
            f"features must not be infinite, got {np.isinf(array).sum()} infinite of "
            f"{array.size} values; a missing value is NaN"
        )
    return array.astype(np.float64)


def _checked_names(feature_names: Iterable[Any] | None, n_feature: int) -> list[str]:
    """Names as they will stand beside the axis, long ones in several lines."""
    if feature_names is None:
        return [str(i) for i in range(n_feature)]
    if isinstance(feature_names, str) or not isinstance(feature_names, Iterable):
        raise TypeError(
            f"feature_names must be a list or an array of names, got {feature_names!r}"
        )
    names = [str(name) for name in feature_names]
    if len(names) != n_feature:
        raise ValueError(
            f"feature_names must have one name for each of the {n_feature} features "
            f"of saliency, got {len(names)}"
        )
    return [textwrap.fill(name, NAME_LENGTH) for name in names]


def _checked_count(num_visualize: int) -> int | None:
    """The end of a slice; None for all."""
    try:
        count = operator.index(num_visualize)
    except TypeError:
        raise TypeError(
            f"num_visualize must be an int, got {num_visualize!r}"
        ) from None
    if count == 0 or count < -1:
        raise ValueError(f"num_visualize must be -1 (all) or at least 1, got {count}")
    return None if count == -1 else count


def _repeated(color: Any, names: list[str]) -> np.ndarray:
    """``color`` for every feature, shape (n_feature, 4)."""
    try:
        return np.tile(to_rgba(color), (len(names), 1))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"color must be one matplotlib colour or None, got {color!r}"
        ) from error


# --- numbers --------------------------------------------------------------------


def _order(values: np.ndarray, sort: str) -> np.ndarray:
    """Indices of the features, from the top of the plot to the bottom."""
    keys = {
        "descending": -values,
        "ascending": values,
        "magnitude": -np.abs(values),
        "none": np.zeros_like(values),
    }
    if sort not in keys:
        raise ValueError(f"sort must be one of {', '.join(keys)}, got {sort!r}")
    return np.argsort(keys[sort], kind="stable")


def _scaled_errors(
    errors: np.ndarray,
    values: np.ndarray,
    scaled: np.ndarray,
    scaler: Callable[[np.ndarray], np.ndarray] | None,
) -> np.ndarray:
    """``errors`` in the units of ``scaled``."""
    if scaler is None or not errors.any():
        return errors
    return errors * _slope(values, scaled)


def _slope(values: np.ndarray, scaled: np.ndarray) -> float:
    """How much a scaler stretches: ``|a|`` of ``scaled = a * values + b``.

    Read from the data, since a scaler is only a callable. Tried first is a scaler
    that is proportional (b = 0), read at the largest magnitude: that also answers
    for a single feature and for equal scores. Next, a shifted one, from the
    differences to the smallest score.
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
        "errors can not be scaled with these scores: scaler must be affine (as "
        "abs_max_scaler, min_max_scaler and normalize_scaler are) and must not map "
        "all the scores to 0; pass scaler=None, or scale both yourself"
    )


# --- drawing --------------------------------------------------------------------


def _figsize(names: list[str], row_height: float) -> tuple[float, float]:
    """Room for every name; (width, height) in inches."""
    lines = [line for name in names for line in name.split("\n")]
    width = PLOT_WIDTH + LETTER_WIDTH * max(len(line) for line in lines)
    tallest = max(name.count("\n") + 1 for name in names)
    row = max(row_height, LINE_HEIGHT * tallest + 0.06)
    return width, min(MARGIN_HEIGHT + row * len(names), MAX_HEIGHT)


def _draw_bars(
    ax: Axes, values: np.ndarray, errors: np.ndarray, colors: np.ndarray
) -> None:
    """Bars from top to bottom, and a line at zero if there is ink on both sides."""
    ax.barh(
        np.arange(len(values)),
        values,
        height=0.7,
        color=colors,
        xerr=errors if errors.any() else None,
        error_kw={"ecolor": "0.15", "elinewidth": 1.2, "capsize": 2.5},
    )
    if (values - errors).min() < 0 < (values + errors).max():
        _draw_zero_line(ax)


def _add_color_bar(ax: Axes, dots: ScalarMappable, label: str) -> None:
    height = ax.get_window_extent().height / ax.figure.dpi  # inches
    aspect = max(height / COLOR_BAR_WIDTH, 5)
    bar = ax.figure.colorbar(dots, ax=ax, ticks=[0, 1], aspect=aspect, pad=0.02)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label(label, labelpad=-10)
    bar.outline.set_visible(False)


def _draw_zero_line(ax: Axes) -> None:
    ax.axvline(0, color="0.35", linewidth=0.8, zorder=2.5)


def _dress(ax: Axes, names: list[str], title: str | None, xlabel: str | None) -> None:
    """Names at the left from top to bottom, the title, the label, a light grid."""
    ax.set_yticks(range(len(names)), labels=names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    if title is not None:
        ax.set_title(title)
    if xlabel is not None:
        ax.set_xlabel(xlabel)
