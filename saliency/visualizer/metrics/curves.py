"""Curves: their mean over examples and how sure it is, for one method or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from saliency.array_types import Array
from saliency.checks import check_choice
from saliency.visualizer.metrics.samples import checked_mapping, mean_and_error
from saliency.visualizer.names import AS_IT_IS, plain, width_of
from saliency.visualizer.scores import as_real_array, checked_finite
from saliency.visualizer.tables.feature_rows import LETTER_WIDTH
from saliency.visualizer.tables.means import half_of_interval
from saliency.visualizer.tables.panels import Sheet

#: What notes call a band, whose half is so many standard errors.
BANDS = {
    "standard_error": "standard error of the mean",
    "interval": "95 % interval of the mean",
    "none": "",
}
#: What the curve of random rankings is called.
RANDOM = "random ranking"

# Those of Okabe and Ito (2008) that can be told apart on white with every common colour
# vision deficiency; grey is that of random rankings.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
# Lines of one colour differ in their dashes.
_DASHES: tuple[Any, ...] = (
    "solid",
    (0, (4, 1.5)),
    (0, (1, 1.2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)),
)
_GREY, _PALE = "0.45", "0.82"
_BAND_OPACITY = 0.2
_SAMPLE = 0.6  # of a line in the legend, with its gaps, in inches


class Curve(NamedTuple):
    """The mean of the curves of examples.

    Attributes:
        name: The method.
        fractions: Where its points are, ``(n,)``, ascending.
        mean: The mean over examples, ``(n,)``.
        error: How far the band goes to each side, ``(n,)``; 0 with one example.
        n_example: Of how many examples.
    """

    name: str
    fractions: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    n_example: int

    @property
    def height(self) -> float:
        """The mean height of the curve, which is its area for a width of 1."""
        if len(self.mean) == 1:
            return float(self.mean[0])
        widths = np.diff(self.fractions)
        areas = widths * (self.mean[1:] + self.mean[:-1]) / 2
        return float(areas.sum() / widths.sum())


# --- what is shown ----------------------------------------------------------------


def compute_curves(
    curves: Mapping[Any, Array], fractions: Array, random: Array | None, band: str
) -> tuple[list[Curve], Curve | None]:
    """Return the mean curve of each method, and that of random rankings.

    Where the points of examples lie at different places, the curves are straight
    between them, and the mean is taken at even places where all examples have a value.

    Args:
        curves: From the name of each method to its curves, ``(N, n_point)``.
        fractions: Where their points are, ``(n_point,)`` or ``(N, n_point)``.
        random: The curves of random rankings, of the same shape, or None.
        band: One of `BANDS`.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    check_choice("band", band, BANDS)
    given = checked_mapping("curves", curves, "the name of each method to its curves")
    places = _Places.of(fractions)
    found = [
        _mean_curve(str(method), f"curves[{method!r}]", value, places, band)
        for method, value in given.items()
    ]
    if random is None:
        return found, None
    return found, _mean_curve(RANDOM, "random", random, places, band)


def _mean_curve(
    name: str, label: str, value: Array, places: _Places, band: str
) -> Curve:
    values = places.at_common(as_real_array(value, label), label)
    mean, error = mean_and_error(values)
    n = len(values)
    halves = {"standard_error": 1.0, "interval": half_of_interval(n), "none": 0.0}
    return Curve(name, places.common, mean, halves[band] * error, n)


class _Places(NamedTuple):
    """Where the points of curves are.

    Attributes:
        given: ``(n_point,)``, or ``(N, n_point)`` with NaN behind the last of each.
        common: Where the mean is taken, ``(n,)``.
        is_shared: Whether all examples have their points there.
    """

    given: np.ndarray
    common: np.ndarray
    is_shared: bool

    @classmethod
    def of(cls, fractions: Array) -> _Places:
        given = as_real_array(fractions, "fractions").astype(np.float64)
        if given.ndim not in (1, 2) or given.size == 0:
            raise ValueError(
                "fractions must have the shape (n_point,) or (N, n_point) and not be "
                f"empty, got the shape {given.shape}"
            )
        rows = np.atleast_2d(given)
        lengths = _lengths(rows, "fractions")
        for row, length in zip(rows, lengths.tolist()):
            if not (np.diff(row[:length]) > 0).all():
                raise ValueError(
                    "fractions must ascend from point to point in each row, got "
                    f"{row[:length].tolist()}"
                )
        if (rows == rows[0]).all():
            return cls(given, rows[0], True)
        first = rows[:, 0].max()
        last = rows[np.arange(len(rows)), lengths - 1].min()
        if first > last:
            raise ValueError(
                "fractions must have places where all examples have a value; one "
                f"begins at {first:g} and another one ends at {last:g}"
            )
        n_point = rows.shape[1] if first < last else 1
        return cls(given, np.linspace(first, last, n_point), False)

    def at_common(self, values: np.ndarray, label: str) -> np.ndarray:
        """Return curves at the common places, ``(N, n)``, in float64."""
        n_example = len(self.given) if self.given.ndim == 2 else "N"
        n_point = self.given.shape[-1]
        fits = values.ndim == 2 and values.shape[1] == n_point and len(values) > 0
        if not fits or n_example not in ("N", len(values)):
            raise ValueError(
                f"{label} must have the shape ({n_example}, {n_point}), as fractions "
                f"say, got the shape {values.shape}"
            )
        if self.is_shared:
            return checked_finite(values, label)
        rows = np.broadcast_to(self.given, values.shape)
        lengths = _lengths(values, label)
        is_other = lengths != _lengths(rows, "fractions")
        if is_other.any():
            raise ValueError(
                f"{label} must have as many points as fractions for each example, got "
                f"{lengths[is_other][0]} for example {int(is_other.argmax())}"
            )
        return np.stack(
            [
                np.interp(self.common, row[:length], one[:length])
                for row, one, length in zip(rows, values, lengths.tolist())
            ]
        )


def _lengths(rows: np.ndarray, label: str) -> np.ndarray:
    """Return how many points each row has; behind the last one there is only NaN."""
    is_there = np.isfinite(rows)
    lengths: np.ndarray = is_there.sum(axis=1)
    is_padded = np.arange(rows.shape[1]) >= lengths[:, None]
    wrong = (is_there == is_padded) | (is_padded & ~np.isnan(rows))
    if wrong.any() or not lengths.all():
        raise ValueError(
            f"{label} must be finite, with at least one point in each row and NaN only "
            "behind the last one"
        )
    return lengths


def note_on_lines(
    curves: Sequence[Curve], random: Curve | None, band: str, together: bool
) -> str:
    """Return what is said below the curves of bands and, without a legend, of lines.

    Args:
        curves: All that are drawn.
        random: That of random rankings, or None.
        band: One of `BANDS`.
        together: Whether they are on the same axes, with a legend.
    """
    parts = []
    counts = {curve.n_example for curve in curves}
    if band != "none" and counts == {1}:
        parts.append("one example, so that there are no bands")
    elif band != "none":
        of = f" over {counts.pop()} examples" if len(counts) == 1 else " over examples"
        parts.append(f"bands: {BANDS[band]}{of}")
    if not together:
        parts += ["dashed: random rankings"] * (random is not None)
        parts.append("pale: the other methods")
    return "; ".join(parts)


def width_of_legend(curves: Sequence[Curve]) -> float:
    """Return the width of a legend that stands beside the curves, in inches."""
    lines = [line for curve in curves for line in plain(curve.name).split("\n")]
    return _SAMPLE + LETTER_WIDTH * max(map(width_of, lines))


# --- how it is drawn --------------------------------------------------------------


def draw_together(ax: Axes, curves: Sequence[Curve], random: Curve | None) -> None:
    """Draw all curves on one pair of axes, with a legend beside it.

    The legend has them from the highest curve down.
    """
    lines: list[tuple[Curve, Line2D]] = []
    if random is not None:
        lines.append((random, _draw_random(ax, random)))
    for i, curve in enumerate(curves):
        color = COLORS[i % len(COLORS)]
        dashes = _DASHES[i // len(COLORS) % len(_DASHES)]
        lines.append((curve, _draw_curve(ax, curve, color, dashes)))
    _draw_grid(ax)
    lines.sort(key=lambda pair: -pair[0].height)
    legend = ax.legend(
        [line for _, line in lines],
        [" "] * len(lines),  # names that begin with an underscore would be left out
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize="small",
        handlelength=2.6,
        labelspacing=0.35,
    )
    for text, (curve, _) in zip(legend.get_texts(), lines):
        text.set(text=plain(curve.name), **AS_IT_IS)


def draw_apart(sheet: Sheet, curves: Sequence[Curve], random: Curve | None) -> None:
    """Draw each curve in a panel of its own, before all others in pale grey."""
    shown = [*curves, *([] if random is None else [random])]
    low = min(float((one.mean - one.error).min()) for one in shown)
    high = max(float((one.mean + one.error).max()) for one in shown)
    margin = 0.05 * (high - low) or 1.0
    for panel, curve in zip(sheet.panels, curves):
        for other in curves:
            if other is not curve:
                _draw_line(panel.ax, other, color=_PALE, linewidth=0.6)
        if random is not None:
            _draw_random(panel.ax, random)
        _draw_curve(panel.ax, curve, COLORS[0], "solid")
        _draw_grid(panel.ax)
        panel.ax.set_ylim(low - margin, high + margin)
        panel.ax.tick_params(
            labelleft=panel.is_first, labelbottom=panel.is_lowest, labelsize="small"
        )


def _draw_random(ax: Axes, curve: Curve) -> Line2D:
    return _draw_curve(ax, curve, _GREY, (0, (2, 1.5)))


def _draw_curve(ax: Axes, curve: Curve, color: str, dashes: Any) -> Line2D:
    if curve.error.any():
        ax.fill_between(
            curve.fractions,
            curve.mean - curve.error,
            curve.mean + curve.error,
            color=color,
            alpha=_BAND_OPACITY,
            linewidth=0,
        )
    return _draw_line(ax, curve, color=color, linestyle=dashes, linewidth=1.6)


def _draw_line(ax: Axes, curve: Curve, **style: Any) -> Line2D:
    marker = "o" if len(curve.mean) == 1 else None  # a single point has no line
    (line,) = ax.plot(curve.fractions, curve.mean, marker=marker, **style)
    return line


def _draw_grid(ax: Axes) -> None:
    ax.grid(color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0.02)
