"""Rows of features, from the top down: their names, their order, and the axes."""

from __future__ import annotations

import operator
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from saliency.array_types import Array
from saliency.checks import check_choice
from saliency.digits import with_minus, written_out
from saliency.visualizer.names import AS_IT_IS, plain, width_of
from saliency.visualizer.scores import as_real_array, checked_finite

# Sizes of a new figure, in inches.
LETTER_WIDTH = 0.085
LINE_HEIGHT = 0.17

NAME_LENGTH = 40  # letters in a line of a feature name
# More features than that are too many to draw without being asked for them; so many are
# drawn then.
MANY, OF_MANY = 100, 20


# --- what is shown ----------------------------------------------------------------


def checked_scores(
    saliency: Array, axes: tuple[str, ...], name: str = "saliency"
) -> np.ndarray:
    """Return the scores in float64.

    Args:
        saliency: The scores.
        axes: What messages call their axes; as many as ``saliency`` must have.
        name: What messages call the scores.

    Raises:
        ValueError: ``saliency`` has other axes, is empty, or is not finite.
        TypeError: It does not hold real numbers.
    """
    array = as_real_array(saliency, name)
    if array.ndim != len(axes) or array.size == 0:
        shape = f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"
        hint = ""
        if (array.ndim, len(axes)) == (2, 1):
            hint = "; for one sample pass saliency[0], for all saliency.mean(axis=0)"
        raise ValueError(
            f"{name} must have the shape {shape} and not be empty, got the shape "
            f"{array.shape}{hint}"
        )
    return checked_finite(array, name)


def checked_names(
    feature_names: Iterable[Any] | None, n_feature: int, *tables: Any
) -> list[str]:
    """Return the names as they stand beside the axis, long ones in several lines.

    Args:
        feature_names: One name per feature. Default: those of the first of ``tables``
            that has them, or the column numbers.
        n_feature: The number of features.
        tables: What may have names: DataFrames, or the row of one.

    Raises:
        TypeError: ``feature_names`` is not a list or an array.
        ValueError: There are not as many names as features, or tables have different
            ones, or in another order.
    """
    known = [_names_in(table) for table in tables]
    fitting = [names for names in known if len(names) == n_feature]
    _check_same([names for names in fitting if not _are_numbers(names)])
    if feature_names is None:
        feature_names = fitting[0] if fitting else range(n_feature)
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
    return [textwrap.fill(plain(name), NAME_LENGTH) for name in names]


def _check_same(tables: list[list[Any]]) -> None:
    """Raise a ValueError unless all tables have the same names in the same order."""
    for names in tables[1:]:
        if names != tables[0]:
            one, other = (", ".join(map(repr, some[:8])) for some in (tables[0], names))
            raise ValueError(
                "tables must have the same columns in the same order, got "
                f"{one} and {other}"
            )


def _are_numbers(names: list[Any]) -> bool:
    """Tell whether columns have no names but numbers, as pandas gives them."""
    return all(isinstance(name, (int, np.integer)) for name in names)


def _names_in(table: Any) -> list[Any]:
    """Return what a table calls its columns, or a Series of pandas its rows."""
    names: Any = getattr(table, "column_names", None)  # of pyarrow
    if names is None:
        names = getattr(table, "columns", None)
    if names is None and hasattr(table, "to_numpy"):
        names = getattr(table, "index", None)
    return [] if names is None or callable(names) else list(names)


def with_values(names: list[str], features: Array | None) -> list[str]:
    """Return names with the value of each feature, such as ``age = 41``.

    Args:
        names: The names.
        features: The values of one example, shape (n_feature,), or None; a value that
            is missing (NaN) has none written.

    Raises:
        ValueError: ``features`` has another shape.
        TypeError: It does not hold real numbers.
    """
    if features is None:
        return names
    values = as_real_array(features, "features")
    if values.shape != (len(names),):
        raise ValueError(
            f"features must have the shape of saliency, ({len(names)},), got "
            f"{values.shape}"
        )
    return [
        name if np.isnan(value) else f"{name} = {with_minus(written_out(value, 4))}"
        for name, value in zip(names, values)
    ]


def written(number: float, form: str) -> str:
    """Return a number with a sign as long as that of matplotlib's axes."""
    return with_minus(format(number, form))


def order_of_features(
    values: np.ndarray, sort: str, num_visualize: int | None
) -> np.ndarray:
    """Return the indices of the features that are shown, from the top down.

    Args:
        values: What decides on the order, shape (n_feature,).
        sort: ``'descending'``, ``'ascending'``, ``'magnitude'`` or ``'none'``, as in
            `TableVisualizer.visualize`. Ties keep the order given.
        num_visualize: How many features to show, from the top; -1 for all, None for
            all of up to `MANY` features, and `OF_MANY` of more.

    Raises:
        ValueError: ``sort`` or ``num_visualize`` is not among the values allowed.
        TypeError: ``num_visualize`` is not an int or None.
    """
    keys = {
        "descending": -values,
        "ascending": values,
        "magnitude": -np.abs(values),
        "none": np.zeros_like(values),
    }
    check_choice("sort", sort, keys)
    order = np.argsort(keys[sort], kind="stable")
    if num_visualize is None:
        return order if len(order) <= MANY else order[:OF_MANY]
    return order[: _checked_count(num_visualize)]


def note_on_more(n_feature: int, n_shown: int) -> str:
    """Return what is said of features that are left out; nothing if none is."""
    return f"and {n_feature - n_shown:,} more" if n_shown < n_feature else ""


def width_of_names(names: list[str], note: str = "") -> float:
    """Return the width that every name fits into, in inches."""
    lines = [note, *(line for name in names for line in name.split("\n"))]
    return LETTER_WIDTH * max(map(width_of, lines))


def height_of_rows(names: list[str], row_height: float, note: str = "") -> float:
    """Return the height of rows with room for every name, in inches."""
    tallest = max(name.count("\n") + 1 for name in names)
    row = max(row_height, LINE_HEIGHT * tallest + 0.06)
    return row * (len(names) + bool(note))


def _checked_count(num_visualize: int) -> int | None:
    """Return the end of a slice; None for all."""
    try:
        count = operator.index(num_visualize)
    except TypeError:
        raise TypeError(
            f"num_visualize must be an int, got {num_visualize!r}"
        ) from None
    if count == 0 or count < -1:
        raise ValueError(f"num_visualize must be -1 (all) or at least 1, got {count}")
    return None if count == -1 else count


# --- how it is drawn --------------------------------------------------------------


def draw_zero_line(ax: Axes) -> None:
    """Draw a line at a score of zero."""
    ax.axvline(0, color="0.35", linewidth=0.8, zorder=2.5)


def draw_names(ax: Axes, names: list[str], note: str, has_note: bool) -> None:
    """Draw the names at the left from the top down, and a light grid.

    Args:
        ax: The axes.
        names: The names of the rows.
        note: What is said of features that are left out, or nothing.
        has_note: Whether it has a row below the names, where there would be more.
    """
    ax.set_yticks(range(len(names)), labels=names, **AS_IT_IS)
    ax.set_ylim(len(names) + has_note - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    if note:
        size = ax.yaxis.get_major_ticks()[0].label1.get_fontsize()
        ax.annotate(
            note,
            xy=(0, len(names)),
            xycoords=ax.get_yaxis_transform(),
            xytext=(-0.35 * size, 0),  # as far as the names are from the axis
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=size,
            color="0.35",
            annotation_clip=False,
        )
