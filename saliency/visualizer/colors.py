"""Colours of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import (
    Colormap,
    LinearSegmentedColormap,
    ListedColormap,
    Normalize,
    to_rgba_array,
)

from saliency.array_types import Array
from saliency.checks import check_choice, is_int, is_number
from saliency.visualizer.scalers import project_scaler
from saliency.visualizer.scores import as_real_array

#: The colours of bars, lines and dots. The two of signed scores can be told apart with
#: every common colour vision deficiency, and in greyscale: blue is the darker one.
POSITIVE_COLOR = "#d7302f"
NEGATIVE_COLOR = "#15467f"
#: The colour of what has no sign, such as mean magnitudes: neither for nor against.
NEUTRAL_COLOR = "#6a51a3"
ZERO_COLOR = "#a6a6a6"
MISSING_COLOR = "#cccccc"

#: What keys say of the two ends of signed scores, and of those without a sign.
SIGNED_KEY = ("speaks against", "speaks for")
UNSIGNED_KEY = ("no influence", "strong influence")
#: The same where a scaler has given scores other signs than they had.
UNKNOWN_KEY = ("low", "high")
#: What pictures say that have no other scores.
ALL_ZERO = "all scores are 0"


def filled(cmap: Colormap) -> Colormap:
    """Return a colour map whose table of colours is filled.

    By default matplotlib fills it when it is first used, and two threads that do so at
    once get wrong colours.
    """
    cmap(0.0)
    return cmap


#: Diverging matplotlib colour map: blue, exact white in the middle, red; light grey for
#: NaN. The blue end is the darker one, so that strong scores of both signs can be told
#: apart in greyscale. Use it with limits that are symmetric around zero, for example
#: those of ``matplotlib.colors.CenteredNorm()``.
diverging_cmap = filled(
    LinearSegmentedColormap.from_list(
        "saliency_diverging",
        [
            "#04254f",
            "#1a4f8f",
            "#3a88bd",
            "#8fc1dd",
            "#cfe4ef",
            "#ffffff",
            "#fddfd0",
            "#fbbda3",
            "#f5957a",
            "#ec6a55",
            POSITIVE_COLOR,
        ],
        N=257,  # odd, so that zero falls on the white entry and not beside it
    ).with_extremes(bad=MISSING_COLOR)
)

#: Sequential matplotlib colour map for magnitudes, which have no sign: white at zero,
#: then purple, which is neither for nor against; light grey for NaN.
sequential_cmap = filled(
    LinearSegmentedColormap.from_list(
        "saliency_sequential",
        ["#ffffff", "#e6def3", "#c8b8e4", "#a38ed0", NEUTRAL_COLOR, "#3b1f73"],
        N=257,
    ).with_extremes(bad=MISSING_COLOR)
)


def diverging_between(low: float, high: float) -> Colormap:
    """Return the part of `diverging_cmap` from a score to a higher one.

    White is at zero, and scores of one magnitude are equally strong on both sides.

    Args:
        low: The score of its lower end.
        high: The score of its upper end.
    """
    limit = max(abs(low), abs(high))
    if (low, high) == (-limit, limit):
        return diverging_cmap
    first, last = (1 + low / limit) / 2, (1 + high / limit) / 2
    colors = diverging_cmap(np.linspace(first, last, diverging_cmap.N))
    part = ListedColormap(colors, name=diverging_cmap.name)
    return filled(part.with_extremes(bad=MISSING_COLOR))


def red_blue_cmap(x: float) -> tuple[float, float, float]:
    """Return the colour of a scaled score: white at 0, pure red at 1, pure blue at -1.

    Args:
        x: Score, meant to be in [-1, 1]; values outside, infinity included, get the
            colour of the nearer end.

    Returns:
        Red, green and blue, each in [0, 1]. NaN ("not an element") is light grey.
    """
    x = float(x)
    if np.isnan(x):
        return (0.8, 0.8, 0.8)
    paleness = 1.0 - min(abs(x), 1.0)
    return (1.0, paleness, paleness) if x > 0 else (paleness, paleness, 1.0)


def atom_color(x: float) -> tuple[float, float, float]:
    """Return the colour that `diverging_cmap` has for a score, but for its dark ends.

    The letters of the atoms stay legible on it. The blue half ends earlier, since it is
    the darker one.

    Args:
        x: Score in [-1, 1]; values outside get the colour of the nearer end.

    Returns:
        Red, green and blue, each in [0, 1]; white at 0.
    """
    reach = 0.38 if x > 0 else 0.32
    red, green, blue, _ = diverging_cmap(0.5 + reach * float(np.clip(x, -1, 1)))
    return red, green, blue


def magnitude_color(x: float) -> tuple[float, float, float]:
    """Return the colour that `sequential_cmap` has for a magnitude, but for its end.

    The letters of the atoms stay legible on it.

    Args:
        x: Magnitude in [0, 1]; values outside get the colour of the nearer end.

    Returns:
        Red, green and blue, each in [0, 1]; white at 0.
    """
    red, green, blue, _ = sequential_cmap(0.65 * float(np.clip(x, 0, 1)))
    return red, green, blue


def signed_colors(values: Array) -> np.ndarray:
    """Return one opaque colour per value: red if positive, blue if negative, grey if 0.

    Unlike `diverging_cmap` the colour does not fade towards zero, so small bars and
    thin lines stay legible.

    Args:
        values: Real array of shape (n,); NaN gets a light grey.

    Returns:
        RGBA colours, shape (n, 4), float64 in [0, 1].
    """
    values = as_real_array(values, "values")
    palette = to_rgba_array([NEGATIVE_COLOR, ZERO_COLOR, POSITIVE_COLOR, MISSING_COLOR])
    index = np.where(np.isnan(values), 3, np.nan_to_num(np.sign(values)) + 1)
    colors: np.ndarray = palette[index.astype(int)]
    return colors


def heatmap(
    saliency: Array,
    cmap: str | Colormap = "seismic",
    reduce: str = "sum",
    ch_axis: int | None = None,
) -> np.ndarray:
    """Return the colours of a map, with zero in the middle of the colour map.

    Args:
        saliency: Real and finite scores.
        cmap: A matplotlib colour map or the name of one.
        reduce: What is done along ``ch_axis``: ``'sum'``, ``'mean'``, ``'max'`` of the
            magnitudes, or ``'norm'``, the Euclidean one.
        ch_axis: The axis of channels, or None if there is none.

    Returns:
        RGB colours, the shape of ``saliency`` without ``ch_axis``, and 3; in [0, 1].

    Raises:
        ValueError: ``reduce`` is none of these, there is no such axis, or as in
            `project_scaler`.
    """
    reductions: dict[str, Callable[[np.ndarray], Any]] = {
        "sum": lambda values: values.sum(axis=ch_axis),
        "mean": lambda values: values.mean(axis=ch_axis),
        "max": lambda values: np.abs(values).max(axis=ch_axis),
        "norm": lambda values: np.linalg.norm(values, axis=ch_axis),
    }
    check_choice("reduce", reduce, reductions)
    values = as_real_array(saliency, "saliency").astype(np.float64)
    if ch_axis is not None:
        if not (is_int(ch_axis) and -values.ndim <= ch_axis < values.ndim):
            raise ValueError(
                f"ch_axis must be an axis of saliency with {values.ndim} axes, got "
                f"{ch_axis!r}"
            )
        values = reductions[reduce](values)
    return np.asarray(checked_cmap(cmap)(project_scaler(values)))[..., :3]


def checked_cmap(cmap: str | Colormap) -> Colormap:
    """Return a colour map by its name, or raise a ValueError if there is none."""
    try:
        colors: Colormap = colormaps.get_cmap(cmap)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cmap must be a matplotlib colour map, got {cmap!r}"
        ) from error
    return colors


def checked_limit(limit: float | None) -> float | None:
    """Return the score of the strongest colours; None if it is not given.

    Raises:
        ValueError: It is not a number above 0.
    """
    if limit is None:
        return None
    if not (is_number(limit) and 0 < limit < np.inf):
        raise ValueError(f"limit must be a number > 0 or None, got {limit!r}")
    return float(limit)


def limit_of_colors(scores: np.ndarray, percentile: float = 100.0) -> float:
    """Return the magnitude that gets the strongest colours.

    Args:
        scores: Finite scores that share a scale; not empty.
        percentile: Which percentile of the magnitudes it is.

    Returns:
        The percentile; the largest magnitude if that is 0, and 1 if all are 0.
    """
    magnitudes = np.abs(scores)
    limit = float(np.percentile(magnitudes, percentile))
    return limit or float(magnitudes.max()) or 1.0


class ColorScale(NamedTuple):
    """How scores become colours.

    Attributes:
        cmap: The colour map.
        low: The score of its lower end.
        high: The score of its upper end.
    """

    cmap: Colormap
    low: float
    high: float

    @property
    def norm(self) -> Normalize:
        """The function from scores to the range of the colour map."""
        return Normalize(self.low, self.high, clip=True)

    @property
    def limit(self) -> float:
        """The magnitude of the strongest scores that have a colour of their own."""
        return max(abs(self.low), abs(self.high))

    @property
    def is_signed(self) -> bool:
        """Whether it has colours for scores on both sides of zero."""
        return self.low < 0 < self.high

    def strength(self, scores: np.ndarray) -> np.ndarray:
        """Return how strong scores are, in [0, 1]; beyond an end as there."""
        within = np.clip(scores, min(self.low, 0), max(self.high, 0))
        strength: np.ndarray = np.abs(within) / self.limit
        return strength
