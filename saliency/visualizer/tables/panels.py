"""Panels side by side: features in one order, on one scale, and named once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator

from saliency.checks import check_positive
from saliency.visualizer.grids import names_of_methods
from saliency.visualizer.names import AS_IT_IS, plain
from saliency.visualizer.notebook_figure import NotebookFigure
from saliency.visualizer.tables.feature_rows import (
    LETTER_WIDTH,
    draw_names,
    height_of_rows,
    width_of_names,
)
from saliency.visualizer.tables.score_keys import draw_key_below, draw_key_within

# Sizes of a new figure, in inches.
PLOT_WIDTH = 4.6  # of a panel that is alone
PANELS_WIDTH, LEAST_WIDTH = 9.2, 1.75  # of a row of panels; of one panel in it
MARGIN_HEIGHT = 1.1  # above and below the only panel
ROW_MARGIN, SHEET_MARGIN = 0.6, 0.85  # of each row of panels; of all of them
COLUMN_GAP = 0.04  # between panels, as a share of their width
FOOTER_HEIGHT = 0.02  # its texts hang below it, for which the layout makes room
MAX_HEIGHT = 100.0  # what the renderer can still take

ROW_LENGTH = 5  # as many panels stand in one row unless it is said how many
TICK_GAP = 2  # letters between the numbers of an axis at least
MOST_TICKS = 9
SCORE_MARGIN = 0.05  # on both sides of what is drawn, as a share of its range


class Panel(NamedTuple):
    """Axes with their place among the others.

    Attributes:
        ax: The axes.
        title: What stands above it; None where it is the only one.
        is_first: Whether it is the first of its row, at which names stand.
        is_lowest: Whether none is below, so that the numbers of its axis are shown.
    """

    ax: Axes
    title: str | None = None
    is_first: bool = True
    is_lowest: bool = True


class Sheet(NamedTuple):
    """All panels of a picture.

    Attributes:
        panels: The panels, row by row.
        footer: Axes for what all panels have in common, below them; None where there is
            only one.
    """

    panels: list[Panel]
    footer: Axes | None = None

    @property
    def axes(self) -> list[Axes]:
        """The axes of the panels."""
        return [panel.ax for panel in self.panels]

    @property
    def figure(self) -> Figure:
        """The figure of the panels, or the subfigure."""
        return self.panels[0].ax.figure


# --- what is shown ----------------------------------------------------------------


def titles_of(saliency: Any, ax: Axes | None) -> list[Any]:
    """Return the title of each panel; one None where there is a single panel.

    Args:
        saliency: A mapping has a panel for each of its keys.
        ax: Axes of the user, which have room for one panel.

    Raises:
        ValueError: The mapping is empty, or has no room on ``ax``.
    """
    titles = names_of_methods(saliency)
    if titles is None:
        return [None]
    if ax is not None:
        raise ValueError(
            f"ax must be None where saliency has {len(titles)} panels, which need axes "
            "of their own"
        )
    return titles


def of_panels(
    name: str, value: Any, titles: Sequence[Any], optional: bool = False
) -> dict[str, Any]:
    """Return what each panel has, by what messages call it.

    Args:
        name: What messages call ``value``.
        value: A mapping with the same keys as ``saliency``, or what the only panel has.
        titles: The titles of the panels, as `titles_of` returns them.
        optional: Whether a panel may have none; it is None then.

    Raises:
        TypeError: ``value`` is a mapping and ``saliency`` is not, or the other way
            round.
        ValueError: It has other keys than ``saliency``.
    """
    is_mapping = isinstance(value, Mapping)
    if list(titles) == [None]:
        if is_mapping:
            raise TypeError(f"{name} must be an array where saliency is, got a mapping")
        return {name: value}
    if value is None and optional:
        value = {}
    elif not is_mapping:
        raise TypeError(
            f"{name} must map the title of each panel to what it has, as saliency "
            f"does, got {type(value).__name__}"
        )
    wrong = [key for key in value if key not in titles]
    wrong += [key for key in titles if key not in value and not optional]
    if wrong:
        raise ValueError(
            f"{name} must have the keys of saliency, {', '.join(map(repr, titles))}; "
            f"got {', '.join(map(repr, value)) or 'none'}"
        )
    return {f"{name}[{key!r}]": value.get(key) for key in titles}


def common_strengths(strengths: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean over panels, each of which counts the same.

    Args:
        strengths: One value for each feature, ``(n_feature,)``, of each panel.

    Raises:
        ValueError: Panels have different numbers of features.
    """
    counts = sorted({len(one) for one in strengths})
    if len(counts) > 1:
        raise ValueError(
            "saliency must have the same features in all panels, got "
            f"{' and '.join(map(str, counts))} features"
        )
    if len(strengths) == 1:
        return strengths[0]
    relative = [one / (np.abs(one).max() or 1.0) for one in strengths]
    mean: np.ndarray = np.mean(relative, axis=0)
    return mean


def columns_of_sheet(n_panel: int, n_column: int | None) -> int:
    """Return how many panels stand in a row.

    Raises:
        ValueError: ``n_column`` is not an int of at least 1.
    """
    if n_column is None:
        return math.ceil(n_panel / math.ceil(n_panel / ROW_LENGTH))
    check_positive("n_column", n_column)
    return min(int(n_column), n_panel)


# --- how it is drawn --------------------------------------------------------------


def sheet_of_rows(
    ax: Axes | None,
    titles: Sequence[Any],
    n_column: int | None,
    names: list[str],
    row_height: float,
    note: str = "",
    above: float = 0.0,
    ratios: Sequence[float] | None = None,
) -> Sheet:
    """Return panels whose rows are features, with room for every name.

    Args:
        ax: Axes of the user for the only panel, or None.
        titles: The titles of the panels, as `titles_of` returns them.
        n_column: How many panels stand in a row, or None.
        names: The names of the rows.
        row_height: The height of a row, in inches.
        note: What stands below the names.
        above: Room above the rows, in inches.
        ratios: The widths of the panels, if they differ.
    """
    height = height_of_rows(names, row_height, note) + above
    left = width_of_names(names, note)
    return new_sheet(ax, titles, n_column, height, left, ratios)


def new_sheet(
    ax: Axes | None,
    titles: Sequence[Any],
    n_column: int | None,
    height: float,
    left: float,
    ratios: Sequence[float] | None = None,
) -> Sheet:
    """Return panels of a new figure, or the only one.

    Args:
        ax: Axes of the user for the only panel, or None.
        titles: The titles of the panels, as `titles_of` returns them.
        n_column: How many panels stand in a row, or None.
        height: The height of a panel, in inches.
        left: The width of what stands at the left of the first panel, in inches.
        ratios: The widths of the panels, if they differ; they are in one row then.
    """
    if ax is not None:
        return Sheet([Panel(ax)])
    if list(titles) == [None]:
        size = (left + PLOT_WIDTH, min(height + MARGIN_HEIGHT, MAX_HEIGHT))
        return Sheet([Panel(NotebookFigure(size, layout="constrained").add_subplot())])
    n_column = columns_of_sheet(len(titles), n_column)
    n_row = math.ceil(len(titles) / n_column)
    width = min(max(PANELS_WIDTH / n_column, LEAST_WIDTH), PLOT_WIDTH)
    total = n_row * (height + ROW_MARGIN) + FOOTER_HEIGHT + SHEET_MARGIN
    figure = NotebookFigure(
        (left + n_column * width, min(total, MAX_HEIGHT)), layout="constrained"
    )
    engine = figure.get_layout_engine()
    assert engine is not None  # the constrained one, which was asked for
    engine.set(wspace=COLUMN_GAP)
    grid = figure.add_gridspec(
        n_row + 1,
        n_column,
        height_ratios=[*[height] * n_row, FOOTER_HEIGHT],
        width_ratios=ratios,
    )
    panels = []
    for i, title in enumerate(titles):
        place = divmod(i, n_column)
        panels.append(
            Panel(
                figure.add_subplot(grid[place]),
                plain(title),
                place[1] == 0,
                i + n_column >= len(titles),
            )
        )
    footer = figure.add_subplot(grid[n_row, :])
    footer.set_axis_off()
    return Sheet(panels, footer)


def draw_rows(sheet: Sheet, names: list[str], note: str) -> None:
    """Draw the names of features once in each row of panels, and a light grid."""
    for panel in sheet.panels:
        draw_names(panel.ax, names, note if panel.is_first else "", bool(note))
        panel.ax.tick_params(labelleft=panel.is_first, labelbottom=panel.is_lowest)


def share_scores(
    sheet: Sheet, low: float, high: float, limit: float | None, signed: bool
) -> None:
    """Give all panels one score axis.

    Args:
        sheet: The panels.
        low: The lowest score that is drawn in any of them.
        high: The highest.
        limit: The score of the ends of the axis, or None for where the scores end.
        signed: Whether the axis goes to ``-limit``, too.
    """
    if limit is not None:
        low, high = -limit if signed else 0.0, limit
    elif low == high:
        low, high = low - 1, high + 1
        for ax in sheet.axes if high == 1 else ():
            ax.set_xticks([])  # numbers would say nothing beside "all scores are 0"
    elif len(sheet.panels) == 1:
        return
    else:
        margin = SCORE_MARGIN * (high - low)
        # Bars stand on an edge at 0, and nothing is beyond it.
        low, high = low - margin * (low != 0), high + margin * (high != 0)
    for ax in sheet.axes:
        ax.set_xlim(low, high)


def draw_texts(
    sheet: Sheet,
    title: str | None,
    xlabel: str | None,
    signed: bool,
    grey: str = "",
) -> None:
    """Draw titles, the label of the score axis, and the key of its colours.

    Args:
        sheet: The panels.
        title: The title of the picture, or None.
        xlabel: The label of the axis, or None.
        signed: Whether the axis has a side that speaks for, and one against.
        grey: What grey means, if something is grey.
    """
    for ax in sheet.axes:
        if isinstance(ax.xaxis.get_major_locator(), AutoLocator):
            ax.xaxis.set_major_locator(_TicksWithRoom())
    if sheet.footer is None:
        (ax,) = sheet.axes
        if title is not None:
            ax.set_title(plain(title), **AS_IT_IS)
        if xlabel is not None:
            ax.set_xlabel(plain(xlabel), **AS_IT_IS)
        draw_key_below(ax, signed, grey)
        return
    draw_panel_titles(sheet)
    if title is not None:
        sheet.figure.suptitle(plain(title), **AS_IT_IS)
    draw_key_within(sheet.footer, plain(xlabel or ""), signed, grey)


class _TicksWithRoom(AutoLocator):
    """Has as many ticks as there is room for their numbers, however long these are.

    Matplotlib takes numbers for three times as wide as high, so that 250000 and 251000
    run into each other.
    """

    def __call__(self) -> Any:
        axis: Any = self.axis
        room = axis.axes.bbox.width / axis.axes.figure.dpi / LETTER_WIDTH
        for n_tick in range(MOST_TICKS, 0, -1):
            self.set_params(nbins=n_tick)
            ticks = super().__call__()
            low, high = sorted(axis.get_view_interval())
            shown = ticks[(ticks >= low) & (ticks <= high)]
            numbers = axis.get_major_formatter().format_ticks(shown)
            if sum(len(number) + TICK_GAP for number in numbers) <= room:
                break
        return ticks


def draw_panel_titles(sheet: Sheet) -> None:
    """Draw the title of each panel, where there are several."""
    for panel in sheet.panels:
        if panel.title is not None:
            panel.ax.set_title(panel.title, fontsize="medium", **AS_IT_IS)
