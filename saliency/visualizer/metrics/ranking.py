"""A ranking: methods by what several metrics say of them, each on its own scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from saliency.array_types import Array
from saliency.checks import no_choice
from saliency.visualizer.colors import NEUTRAL_COLOR
from saliency.visualizer.metrics.samples import checked_mapping, mean_and_error
from saliency.visualizer.names import in_lines
from saliency.visualizer.scores import as_real_array, checked_finite
from saliency.visualizer.tables.panels import Sheet, draw_rows

NAME_WIDTH = 32  # letters in a line of a method's name
TITLE_WIDTH = 22  # and of a metric's
#: What stands below the name of a metric, by whether a larger value is better.
DIRECTIONS = {
    True: "larger is better →",
    False: "smaller is better →",
    None: "not a quality by itself",
}
#: The colour of metrics that are no quality by themselves.
NEITHER_COLOR = "0.5"
_RANDOM_COLOR = "0.35"
_NO_VALUE = "no value"
_MARGIN = 0.08  # on both sides of what is drawn, as a share of its range


class MetricColumn(NamedTuple):
    """What one metric says of all methods, from the top down.

    Attributes:
        title: Its name, in lines.
        larger_is_better: None if it is no quality by itself.
        means: The means over examples, ``(n_method,)``; NaN where there are none.
        errors: Their standard errors, ``(n_method,)``.
        random: The mean and the standard error of random rankings, or None.
    """

    title: str
    larger_is_better: bool | None
    means: np.ndarray
    errors: np.ndarray
    random: tuple[float, float] | None

    @property
    def ranks(self) -> np.ndarray:
        """The rank of each method, from 1 for the best; that of ties is their mean."""
        sign = -1 if self.larger_is_better else 1
        means = sign * self.means
        better = (means[None] < means[:, None]).sum(axis=1)
        tied = (means[None] == means[:, None]).sum(axis=1)
        return np.where(np.isnan(means), np.nan, better + (tied + 1) / 2)


class Ranking(NamedTuple):
    """What all metrics say of all methods.

    Attributes:
        names: The names of the methods from the top down, in lines.
        columns: The metrics.
        order: What decides on the order, in words.
    """

    names: list[str]
    columns: list[MetricColumn]
    order: str

    @property
    def titles(self) -> list[str]:
        """What stands above each panel: the metric, and in which direction it goes."""
        return [
            f"{column.title}\n{DIRECTIONS[column.larger_is_better]}"
            for column in self.columns
        ]

    @property
    def note(self) -> str:
        """What is said below the panels."""
        parts = ["whiskers: standard error of the mean"]
        if any(column.random for column in self.columns):
            parts.append("dashed line: random ranking")
        if any(column.larger_is_better is False for column in self.columns):
            parts.append("where smaller is better, the axis is reversed")
        return "; ".join(parts) + "\n" + self.order


# --- what is shown ----------------------------------------------------------------


def compute_ranking(
    values: Mapping[Any, Mapping[Any, Array]],
    larger_is_better: Mapping[Any, bool | None],
    random: Mapping[Any, Array],
    sort: str,
) -> Ranking:
    """Return the panels of metrics; as `visualize_ranking` describes them.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    given = checked_mapping("values", values, "the name of each metric to its methods")
    of_metrics = {
        metric: checked_mapping(
            f"values[{metric!r}]", found, "the name of each method to its values"
        )
        for metric, found in given.items()
    }
    directions = _checked_directions(larger_is_better, of_metrics)
    floors = _of_known("random", random, of_metrics)
    methods = list(dict.fromkeys(m for found in of_metrics.values() for m in found))
    columns = [
        _column(metric, found, methods, directions[metric], floors)
        for metric, found in of_metrics.items()
    ]
    order, reason = _order(columns, [str(metric) for metric in of_metrics], sort)
    return Ranking(
        [in_lines(methods[i], NAME_WIDTH) for i in order],
        [
            column._replace(means=column.means[order], errors=column.errors[order])
            for column in columns
        ],
        reason,
    )


def _column(
    metric: Any,
    found: Mapping[Any, Array],
    methods: Sequence[Any],
    larger_is_better: bool | None,
    floors: Mapping[Any, Array],
) -> MetricColumn:
    means, errors = np.full((2, len(methods)), np.nan)
    for i, method in enumerate(methods):
        if method in found:
            label = f"values[{metric!r}][{method!r}]"
            means[i], errors[i] = _mean_of(found[method], label)
    floor = None
    if metric in floors:
        floor = _mean_of(floors[metric], f"random[{metric!r}]")
    title = in_lines(metric, TITLE_WIDTH)
    return MetricColumn(title, larger_is_better, means, errors, floor)


def _mean_of(value: Array, label: str) -> tuple[float, float]:
    array = as_real_array(value, label)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{label} must have a value for each example, (N,), and not be empty, got "
            f"the shape {array.shape}"
        )
    mean, error = mean_and_error(checked_finite(array, label))
    return float(mean), float(error)


def _of_known(name: str, value: Any, metrics: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a mapping whose keys are metrics, some of which may be missing."""
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must map the name of each metric to what it has, got "
            f"{type(value).__name__}"
        )
    unknown = [metric for metric in value if metric not in metrics]
    if unknown:
        raise ValueError(
            f"{name} has {unknown[0]!r}, which is not among the metrics of values: "
            f"{', '.join(map(repr, metrics))}"
        )
    return dict(value)


def _checked_directions(
    larger_is_better: Any, metrics: Mapping[Any, Any]
) -> dict[Any, bool | None]:
    directions = _of_known("larger_is_better", larger_is_better, metrics)
    missing = [metric for metric in metrics if metric not in directions]
    if missing:
        raise ValueError(
            f"larger_is_better must say it of each metric, and does not of "
            f"{missing[0]!r}"
        )
    for metric, better in directions.items():
        if not (better is None or isinstance(better, (bool, np.bool_))):
            raise TypeError(
                f"larger_is_better[{metric!r}] must be True, False, or None where it "
                f"is no quality by itself, got {better!r}"
            )
        directions[metric] = None if better is None else bool(better)
    return directions


def _order(
    columns: Sequence[MetricColumn], metrics: Sequence[str], sort: str
) -> tuple[np.ndarray, str]:
    """Return the indices of the methods from the top down, and what decides on them."""
    n_method = len(columns[0].means)
    if sort == "none":
        return np.arange(n_method), "methods: in the order given"
    if sort == "rank":
        ranks = [c.ranks for c in columns if c.larger_is_better is not None]
        if not ranks:
            return np.arange(n_method), "methods: in the order given"
        is_there = ~np.isnan(ranks)
        sums = np.where(is_there, ranks, 0).sum(axis=0)
        counts = is_there.sum(axis=0)
        keys = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
        return np.argsort(keys, kind="stable"), "methods: by their mean rank"
    if sort not in metrics:
        raise no_choice("sort", sort, ["rank", "none", *metrics])
    ranks_of_one = columns[metrics.index(sort)].ranks
    return np.argsort(ranks_of_one, kind="stable"), f"methods: by {sort}"


# --- how it is drawn --------------------------------------------------------------


def draw_ranking(sheet: Sheet, ranking: Ranking) -> None:
    """Draw a panel for each metric, with a row for each method."""
    draw_rows(sheet, ranking.names, "")
    for panel, column in zip(sheet.panels, ranking.columns):
        _draw_stripes(panel.ax, len(ranking.names))
        _draw_column(panel.ax, column)
        panel.ax.tick_params(axis="x", labelbottom=True, labelsize="small")
        panel.ax.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))


def _draw_stripes(ax: Axes, n_row: int) -> None:
    """Let the eye find the row of a name in panels that are far from it."""
    for row in range(0, n_row, 2):
        ax.axhspan(row - 0.5, row + 0.5, color="0.955", linewidth=0, zorder=0)


def _draw_column(ax: Axes, column: MetricColumn) -> None:
    rows = np.flatnonzero(~np.isnan(column.means))
    is_quality = column.larger_is_better is not None
    color = NEUTRAL_COLOR if is_quality else NEITHER_COLOR
    means, errors = column.means[rows], column.errors[rows]
    ends = [means - errors, means + errors]
    if column.random is not None:
        mean, error = column.random
        ends.append(np.array([mean - error, mean + error]))
        ax.axvspan(mean - error, mean + error, color="0.88", linewidth=0, zorder=1)
        ax.axvline(mean, color=_RANDOM_COLOR, linewidth=1, linestyle="--", zorder=2)
    ax.errorbar(
        means,
        rows,
        xerr=errors if errors.any() else None,
        fmt="o",
        markersize=4.5,
        color=color,
        ecolor=color,
        elinewidth=1.2,
        capsize=2,
        zorder=3,
    )
    low, high = np.concatenate(ends).min(), np.concatenate(ends).max()
    margin = _MARGIN * (high - low) or 1.0
    low, high = low - margin, high + margin
    ax.set_xlim((high, low) if column.larger_is_better is False else (low, high))
    for row in np.flatnonzero(np.isnan(column.means)):
        ax.text(
            0.5,
            row,
            _NO_VALUE,
            transform=ax.get_yaxis_transform(),
            ha="center",
            va="center",
            fontsize="small",
            color="0.5",
        )
