"""Pictures of what metrics found: curves with bands, and methods by many metrics."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saliency.array_types import Array
from saliency.checks import check_bool, checked_arguments
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.files import checked_path
from saliency.visualizer.metrics.curves import (
    COLORS,
    compute_curves,
    draw_apart,
    draw_together,
    note_on_lines,
    width_of_legend,
)
from saliency.visualizer.metrics.ranking import (
    NEITHER_COLOR,
    compute_ranking,
    draw_ranking,
)
from saliency.visualizer.names import AS_IT_IS, in_lines, plain
from saliency.visualizer.tables.panels import (
    columns_of_sheet,
    draw_texts,
    new_sheet,
    sheet_of_rows,
)

# Sizes in inches.
CURVES_HEIGHT, NUMBERS_WIDTH = 2.9, 0.7  # of all curves together; of their numbers
ENTRY_HEIGHT = 0.175  # of the legend
CURVE_HEIGHT = 1.15  # of a curve that is alone
ROW_HEIGHT = 0.22  # of a method in a ranking
AXIS_HEIGHT = 0.45  # of the numbers and the second line of the title of a metric
TITLE_WIDTH = 22  # letters in a line above a panel


class MetricVisualizer(BaseVisualizer):
    """Draws what metrics found for several methods: curves, and a ranking.

    It takes arrays with a value or a curve for each example, as a
    :class:`saliency.metrics.MetricResult` has them.
    :meth:`saliency.ImageVisualizer.visualize_cascade` draws how maps change under
    :class:`saliency.metrics.ModelRandomisation`.

    Example:
        >>> import numpy as np
        >>> from saliency import MetricVisualizer
        >>> falls = np.linspace(1, 0, 9) ** np.array([[1.0], [2], [3]])
        >>> figure = MetricVisualizer().visualize(
        ...     {'Gradient': falls, 'Occlusion': falls**2}, np.linspace(0, 1, 9))
    """

    __slots__ = ()

    @checked_arguments
    def visualize(
        self,
        curves: Mapping[Any, Array],
        fractions: Array,
        save_filepath: str | PathLike[str] | None = None,
        title: str | None = None,
        xlabel: str | None = "share of features removed",
        ylabel: str | None = "mean of f",
        bbox_inches: Any = "tight",
        *,
        random: Array | None = None,
        band: str = "standard_error",
        together: bool | None = None,
        n_column: int | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw the mean curve of each method, with a band that says how sure it is.

        All methods are those of one metric with the same settings and examples. Since
        the examples are the same, differences between methods may be surer than their
        bands look.

        Args:
            curves: From the name of each method to its curves, ``(N, n_point)``, with
                NaN behind the last point of examples that have fewer:
                ``result.curve``.
            fractions: Where the points are, ``(n_point,)``, or ``(N, n_point)`` as in
                ``result.fractions``. Where examples have points at different places,
                their curves are taken as straight between them, and the mean is drawn
                where all of them have a value.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            title: Title of the picture, or None.
            xlabel: What ``fractions`` are, or None.
            ylabel: What the curves are, or None.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            random: The curves of random rankings, of the same shape, which are a grey
                line: ``metric.of_random(data).curve``.
            band: What bands show: ``'standard_error'`` of the mean on each side;
                ``'interval'``, the 95 % interval by Student's t distribution, 1.96 of
                them for many examples; or ``'none'``. A note says which it is. One
                example has no band.
            together: Whether all curves are on the same axes, with a legend beside
                them from the highest curve down; or each in a panel of its own, before
                all others in pale grey. Default: together up to seven methods, which
                have colours of their own; more than seven also differ in their dashes.
            n_column: How many panels stand in a row. Default: up to 5.
            ax: Axes to draw all curves on. Default: those of a new figure.

        Returns:
            The figure, which is not registered with pyplot unless ``ax`` is from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` cannot be written to.
            TypeError: An argument has the wrong type.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        found, floor = compute_curves(curves, fractions, random, band)
        columns_of_sheet(len(found), n_column)
        if together is None:
            together = ax is not None or len(found) <= len(COLORS)
        check_bool("together", together)
        if ax is not None and not together:
            raise ValueError(
                "ax must be None with together=False, since each method has axes of "
                "its own"
            )
        shown = found if floor is None else [*found, floor]
        if together:
            height = max(CURVES_HEIGHT, ENTRY_HEIGHT * len(shown))
            left = NUMBERS_WIDTH + width_of_legend(shown)
            sheet = new_sheet(ax, [None], None, height, left)
            draw_together(sheet.axes[0], found, floor)
        else:
            titles = [in_lines(curve.name, TITLE_WIDTH) for curve in found]
            sheet = new_sheet(None, titles, n_column, CURVE_HEIGHT, NUMBERS_WIDTH)
            draw_apart(sheet, found, floor)
        for panel in sheet.panels:
            if panel.is_first and ylabel is not None:
                panel.ax.set_ylabel(plain(ylabel), **AS_IT_IS)
        note = note_on_lines(shown, floor, band, together)
        draw_texts(sheet, title, xlabel, signed=False, grey=note)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_ranking(
        self,
        values: Mapping[Any, Mapping[Any, Array]],
        larger_is_better: Mapping[Any, bool | None],
        save_filepath: str | PathLike[str] | None = None,
        title: str | None = None,
        xlabel: str | None = "mean over examples",
        bbox_inches: Any = "tight",
        *,
        random: Mapping[Any, Array] | None = None,
        sort: str = "rank",
        n_column: int | None = None,
    ) -> Figure:
        """Draw what several metrics say of several methods.

        There is a row for each method, and a panel with a scale of its own for each
        metric, in which better is always to the right: where a smaller value is better,
        the axis is reversed, as a note says. Whiskers are the standard error of the
        mean over examples. Metrics that are no quality by themselves are grey, and do
        not count in the order.

        Args:
            values: From the name of each metric to its methods, and from the name of
                each method to a value for each example, ``(N,)``: ``result.values``. A
                method may be missing; its row says so.
            larger_is_better: Of each metric; None where it is no quality by itself:
                ``metric.larger_is_better``.
            save_filepath: As in `visualize`.
            title: As in `visualize`.
            xlabel: What the values are, or None.
            bbox_inches: As in `visualize`.
            random: From the name of a metric to the values of random rankings,
                ``(N,)``, whose mean is a dashed line, and whose standard error is grey
                on both sides of it. A metric may be missing.
            sort: Which method comes at the top: ``'rank'``, that with the best mean of
                its ranks by the metrics that are qualities, where ties have the mean of
                their ranks; the name of a metric, the best by it; or ``'none'``, the
                first that is given.
            n_column: How many panels stand in a row. Default: up to 5.

        Returns:
            The figure, which is not registered with pyplot.

        Raises:
            ValueError: As in `visualize`; or a metric has no direction.
            TypeError: An argument has the wrong type.
        """
        path = checked_path(save_filepath)
        ranking = compute_ranking(
            values, larger_is_better, {} if random is None else random, sort
        )
        sheet = sheet_of_rows(
            None,
            ranking.titles,
            n_column,
            ranking.names,
            ROW_HEIGHT,
            above=AXIS_HEIGHT,
        )
        draw_ranking(sheet, ranking)
        draw_texts(sheet, title, xlabel, signed=False, grey=ranking.note)
        for panel, column in zip(sheet.panels, ranking.columns):
            if column.larger_is_better is None:
                panel.ax.title.set_color(NEITHER_COLOR)
        return self._finish(sheet.axes[0], path, bbox_inches)
