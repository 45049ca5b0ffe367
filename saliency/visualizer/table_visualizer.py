"""Pictures of saliency for table data: one score per feature, or per cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saliency.array_types import Array
from saliency.checks import checked_arguments
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.color_keys import draw_title
from saliency.visualizer.colors import checked_limit
from saliency.visualizer.files import checked_path
from saliency.visualizer.names import AS_IT_IS, plain
from saliency.visualizer.scalers import Scaler, abs_max_scaler
from saliency.visualizer.tables.bars import compute_bars, draw_bars
from saliency.visualizer.tables.beeswarm import compute_swarms, draw_swarms
from saliency.visualizer.tables.decision_paths import compute_paths, draw_paths
from saliency.visualizer.tables.dependence import (
    STRONGEST,
    compute_dependence,
    draw_dependence,
)
from saliency.visualizer.tables.feature_rows import checked_names
from saliency.visualizer.tables.interaction_matrix import (
    compute_interactions,
    draw_interactions,
)
from saliency.visualizer.tables.means import compute_means
from saliency.visualizer.tables.panels import (
    columns_of_sheet,
    draw_texts,
    new_sheet,
    of_panels,
    sheet_of_rows,
    titles_of,
)
from saliency.visualizer.tables.score_matrix import (
    ORDERS,
    checked_percentile,
    compute_matrices,
    draw_matrices,
    widths_of_panels,
)
from saliency.visualizer.tables.waterfall import compute_waterfall, draw_waterfall

# Heights of a row in a new figure, in inches.
BAR_HEIGHT = 0.28
SWARM_HEIGHT = 0.42
STEP_HEIGHT = 0.32
CELL_HEIGHT = 0.24
# Of a panel that shows one feature: its height, and what is at its left.
SCATTER_HEIGHT, SCATTER_LEFT = 2.7, 0.7
LINE_HEIGHT = 0.65  # of the line of f(x) above a panel


class TableVisualizer(BaseVisualizer):
    """Draws saliency of table data.

    ========================  =================================================
    method                    what it shows
    ========================  =================================================
    `visualize`               one score per feature, as bars: of one example, or of a
                              data set
    `visualize_grid`          the same of several methods, in panels
    `visualize_waterfall`     one example: from the base value to f(x)
    `visualize_mean`          the mean over examples, with its 95 % interval
    `visualize_summary`       every example as one dot per feature
    `visualize_dependence`    the scores of one feature against its values
    `visualize_heatmap`       every score as a colour, examples beside features
    `visualize_decision`      every example as a path from the base value to f(x)
    `visualize_interactions`  what pairs of features add together, as a matrix
    ========================  =================================================

    Where scores have a sign, red speaks for what is explained, and blue against it, as
    a key says. What has no sign, such as mean magnitudes, is purple.

    Arguments that have one meaning in all methods:

    * ``saliency``: scores, real and finite. Methods for several examples take an array
      ``(n_sample, n_feature)``, or a mapping from titles to such arrays: groups,
      classes or methods, each in a panel of its own. All panels have the same order of
      features, in which each panel counts the same, and the same scale.
    * ``feature_names``: one name per feature, drawn as it is: a dollar sign is one, and
      no mathematics. Default: the columns of ``saliency`` or ``features`` if these are
      DataFrames, or else the column numbers.
    * ``save_filepath``: file to write; the extension decides on the format. Default:
      nothing is saved.
    * ``num_visualize``: how many features to show, from the top; -1, or more than there
      are, shows all. How many are left out is written below the names. None shows all
      of up to 100 features, and 20 of more, since thousands take minutes to draw.
    * ``title``, ``xlabel``: title of the picture and label of the score axis, or None.
    * ``bbox_inches``: as in `matplotlib.figure.Figure.savefig`.
    * ``limit``: the score at the ends of the axis, or of the strongest colours; a
      number above 0. Default: what the scores need.
    * ``n_column``: how many panels stand in a row. Default: up to 5.
    * ``ax``: axes to draw on, for one panel; a colour bar takes room beside them.
      Default: those of a new figure, which is as high as the number of features
      requires.

    All return the figure, which is not registered with pyplot unless ``ax`` is from
    there. They raise a ValueError where an argument has the wrong shape, is not finite,
    or is not among the values allowed, or ``save_filepath`` cannot be written to; and a
    TypeError where one has the wrong type.

    Example:
        >>> import numpy as np
        >>> from saliency.visualizer.table_visualizer import TableVisualizer
        >>> figure = TableVisualizer().visualize(
        ...     np.array([0.2, -0.1, 0.7]), feature_names=['age', 'weight', 'pulse'])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['pulse', 'age', 'weight']
    """

    __slots__ = ()

    @checked_arguments
    def visualize(
        self,
        saliency: Array,
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = None,
        scaler: Scaler | None = abs_max_scaler,
        sort: str = "descending",
        title: str | None = "Feature Importance",
        color: Any = None,
        xlabel: str | None = "Importance",
        bbox_inches: Any = "tight",
        *,
        errors: Array | None = None,
        limit: float | None = None,
        signed: bool | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw one score per feature as horizontal bars.

        ``saliency`` itself decides on the order and the choice of the features;
        ``scaler`` sets only the units of the axis. It is applied before features are
        left out, so that shares remain shares of the whole.

        Args:
            saliency: Scores, shape (n_feature,).
            scaler: Callable that maps the scores to those drawn, such as
                `abs_max_scaler`, `min_max_scaler` or `normalize_scaler`; None draws
                them unchanged.
            sort: What comes at the top: ``'descending'`` the largest score (by its
                signed value, so that negative scores come last), ``'ascending'`` the
                smallest, ``'magnitude'`` the strongest of either sign, ``'none'``
                the first in the order given. Ties keep the order given.
            color: One matplotlib colour for all bars. Default: red for positive and
                blue for negative values as drawn, purple for magnitudes, grey for those
                that are 0 or no further from it than their error.
            errors: How far each score may be off, shape (n_feature,), in the units of
                ``saliency``, for example the standard deviation over samples. They
                are drawn as error bars, stretched as much as ``scaler`` stretches the
                scores; bars that are no longer than their error are grey.
            signed: Whether scores have a sign, or are magnitudes. Default: whether any
                is negative as drawn.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`. ``errors`` need a scaler that is affine.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        limit = checked_limit(limit)
        bars = compute_bars(
            {"saliency": saliency},
            feature_names,
            num_visualize,
            scaler,
            sort,
            color,
            {"errors": errors},
            signed,
        )
        names, note = bars[0].names, bars[0].note
        sheet = sheet_of_rows(ax, [None], None, names, BAR_HEIGHT, note)
        draw_bars(sheet, bars, limit)
        draw_texts(sheet, title, xlabel, bars[0].signed, bars[0].grey)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_grid(
        self,
        saliency: Mapping[Any, Array],
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = None,
        scaler: Scaler | None = abs_max_scaler,
        sort: str = "magnitude",
        title: str | None = None,
        color: Any = None,
        xlabel: str | None = "relative score",
        bbox_inches: Any = "tight",
        *,
        errors: Mapping[Any, Array] | None = None,
        limit: float | None = None,
        n_column: int | None = None,
        signed: bool | None = None,
    ) -> Figure:
        """Draw one score per feature by several methods, as panels of bars.

        Args:
            saliency: For each title of a panel its scores, shape (n_feature,).
            scaler, sort, color, signed: As in `visualize`. The scaler is applied to
                each panel by itself, since methods have different units; the mean over
                the panels, each in units of its largest magnitude, decides on the
                order.
            errors: How far scores may be off, by title; panels may have none.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`.
        """
        path, limit = checked_path(save_filepath), checked_limit(limit)
        if not isinstance(saliency, Mapping):
            raise TypeError(
                "saliency must map the title of each panel to scores, got "
                f"{type(saliency).__name__}; `visualize` draws one"
            )
        titles = titles_of(saliency, None)
        columns_of_sheet(len(titles), n_column)
        bars = compute_bars(
            of_panels("saliency", saliency, titles),
            feature_names,
            num_visualize,
            scaler,
            sort,
            color,
            of_panels("errors", errors, titles, optional=True),
            signed,
        )
        names, note = bars[0].names, bars[0].note
        sheet = sheet_of_rows(None, titles, n_column, names, BAR_HEIGHT, note)
        draw_bars(sheet, bars, limit)
        grey = max(panel.grey for panel in bars)
        draw_texts(sheet, title, xlabel, bars[0].signed, grey)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_waterfall(
        self,
        saliency: Array,
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = 10,
        title: str | None = "From the Base Value to f(x)",
        xlabel: str | None = "f(x)",
        bbox_inches: Any = "tight",
        *,
        score: float,
        base_value: float = 0.0,
        features: Array | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw how the contributions to one example lead from the base value to f(x).

        The base value is at the bottom; each bar begins where the one below ends, and
        the strongest is at the top. What ``num_visualize`` leaves out is summed in one
        bar. Only contributions that add up can be drawn so: those of Integrated
        Gradients, and of LRP where biases absorb no relevance.

        Args:
            saliency: Contributions, shape (n_feature,).
            score: f(x), where the bars must end: within 1e-6 of what is added, or
                within 1e-4 for contributions in float32.
            base_value: Where they start: f(reference) for Integrated Gradients, 0 for
                LRP.
            features: The values of the features, shape (n_feature,), which are written
                beside the names; none where one is missing (NaN).

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`. Contributions that do not add up are a ValueError, which
        says by how much they miss f(x).
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        waterfall = compute_waterfall(
            saliency, feature_names, num_visualize, base_value, score, features
        )
        sheet = sheet_of_rows(ax, [None], None, waterfall.names, STEP_HEIGHT)
        draw_waterfall(sheet, waterfall)
        draw_texts(sheet, title, xlabel, signed=True)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_mean(
        self,
        saliency: Array | Mapping[Any, Array],
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = None,
        sort: str = "magnitude",
        title: str | None = "Mean over Examples",
        xlabel: str | None = "",
        bbox_inches: Any = "tight",
        *,
        magnitudes: bool = False,
        limit: float | None = None,
        n_column: int | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw the mean score of each feature over examples, and how sure it is.

        The interval is mean -/+ t std / sqrt(n_sample) with the quantile of Student's t
        distribution, which is 1.96 for many examples: where the mean would be over many
        such examples, and not how far single ones are spread. Means whose interval
        holds 0 are grey.

        Args:
            saliency: Scores, shape (n_sample, n_feature), or such by title.
            sort: As in `visualize`.
            xlabel: Label of the score axis. Default (''): which means these are.
            magnitudes: Whether to draw the means of magnitudes, which are purple,
                instead of those of the scores, in which signs cancel.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        limit, titles = checked_limit(limit), titles_of(saliency, ax)
        columns_of_sheet(len(titles), n_column)
        panels = of_panels("saliency", saliency, titles)
        means = compute_means(panels, magnitudes)
        bars = compute_bars(
            {name: mean.values for name, mean in zip(panels, means)},
            checked_names(feature_names, len(means[0].values), *panels.values()),
            num_visualize,
            None,
            sort,
            None,
            {f"errors of {name}": mean.errors for name, mean in zip(panels, means)},
            any(mean.has_signs for mean in means),
        )
        names, note = bars[0].names, bars[0].note
        sheet = sheet_of_rows(ax, titles, n_column, names, BAR_HEIGHT, note)
        draw_bars(sheet, bars, limit)
        grey = "grey: the interval holds 0" if any(b.grey for b in bars) else ""
        if xlabel == "":
            what = "magnitude" if magnitudes else "score"
            has_interval = any(len(scores) > 1 for scores in panels.values())
            xlabel = f"mean {what}" + ", with its 95 % interval" * has_interval
        draw_texts(sheet, title, xlabel, bars[0].signed, grey)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_summary(
        self,
        saliency: Array | Mapping[Any, Array],
        features: Array | Mapping[Any, Array],
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = 20,
        title: str | None = "Feature Importance by Sample",
        xlabel: str | None = "Saliency",
        bbox_inches: Any = "tight",
        *,
        limit: float | None = None,
        n_column: int | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw every sample as one dot per feature: score against feature value.

        There is one row per feature, with the largest mean magnitude at the top. A dot
        is drawn at its score and is coloured by the value of its feature, from low
        (5th percentile of that feature) to high (95th). Dots that would coincide are
        stacked, in layers with low values at the bottom, so that a row is as thick as
        its scores are dense, up to the height of the row. There is no randomness, and
        the order of the samples does not matter.

        Args:
            saliency: Scores, shape (n_sample, n_feature), or such by title. Scores of
                different classes belong into different panels.
            features: Values of the features, same shape. A constant feature has the
                middle colour; a missing value (NaN) is grey.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        limit, titles = checked_limit(limit), titles_of(saliency, ax)
        swarms = compute_swarms(
            of_panels("saliency", saliency, titles),
            of_panels("features", features, titles),
            feature_names,
            num_visualize,
            columns_of_sheet(len(titles), n_column),
        )
        names, note = swarms[0].names, swarms[0].note
        sheet = sheet_of_rows(ax, titles, n_column, names, SWARM_HEIGHT, note)
        draw_swarms(sheet, swarms, limit)
        signed = any((panel.scores < 0).any() for panel in swarms)
        draw_texts(sheet, title, xlabel, signed)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_dependence(
        self,
        saliency: Array | Mapping[Any, Array],
        features: Array | Mapping[Any, Array],
        feature: int | str,
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        title: str | None = "Dependence",
        xlabel: str | None = "",
        bbox_inches: Any = "tight",
        *,
        n_column: int | None = None,
        color_by: int | str | None = STRONGEST,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw the scores of one feature against its values, a dot for each example.

        Dots are coloured by another feature. By default it is the one with the
        strongest interaction: among examples with similar values of ``feature``, it
        explains most of how the scores differ from a line. What is not there (NaN) is
        drawn at "missing", or in grey. A feature of a few whole numbers has its ticks
        there, and its dots beside them.

        Args:
            saliency: Scores, shape (n_sample, n_feature), or such by title.
            features: Values of the features, same shape.
            feature: The feature that is drawn, by its name or its column.
            xlabel: Label of the axis of values. Default (''): the name of the feature.
            color_by: The feature that dots are coloured by, by its name or its column;
                ``'strongest'``, or None for one colour.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        titles = titles_of(saliency, ax)
        columns_of_sheet(len(titles), n_column)
        panels = compute_dependence(
            of_panels("saliency", saliency, titles),
            of_panels("features", features, titles),
            feature,
            feature_names,
            color_by,
        )
        sheet = new_sheet(ax, titles, n_column, SCATTER_HEIGHT, SCATTER_LEFT)
        draw_dependence(sheet, panels)
        draw_texts(sheet, title, panels[0].name if xlabel == "" else xlabel, False)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_heatmap(
        self,
        saliency: Array | Mapping[Any, Array],
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = 20,
        title: str | None = "Scores of All Examples",
        xlabel: str | None = "",
        bbox_inches: Any = "tight",
        *,
        percentile: float = 99.0,
        limit: float | None = None,
        scores: Array | Mapping[Any, Array] | None = None,
        order: str = "similarity",
        signed: bool | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw every score as a colour: features from the top, examples beside them.

        Args:
            saliency: Scores, shape (n_sample, n_feature), or such by title. Panels
                stand in one row, and are as wide as their examples are many.
            xlabel: Label of the examples. Default (''): in which order they are.
            percentile: Which percentile of the magnitudes has the strongest colours,
                if there is no ``limit``.
            scores: f(x) of each example, shape (n_sample,), drawn as a line above.
            order: In which order examples stand: ``'similarity'``, that of their first
                principal component, in which examples with similar scores are
                neighbours, from a low to a high f(x); ``'score'``, that of f(x); or
                ``'none'``, as they are given.
            signed: Whether scores have a sign, or are magnitudes, from white to purple.
                Default: whether any is negative.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        titles = titles_of(saliency, ax)
        panels = of_panels("saliency", saliency, titles)
        matrices = compute_matrices(
            panels,
            feature_names,
            num_visualize,
            of_panels("scores", scores, titles, optional=True),
            order,
            checked_percentile(percentile),
            checked_limit(limit),
            signed,
        )
        names, note = matrices[0].names, matrices[0].note
        sheet = sheet_of_rows(
            ax,
            titles,
            len(titles),
            names,
            CELL_HEIGHT,
            note,
            LINE_HEIGHT * any(matrix.outputs is not None for matrix in matrices),
            widths_of_panels(matrices),
        )
        draw_matrices(sheet, matrices)
        draw_texts(sheet, title, ORDERS[order] if xlabel == "" else xlabel, False)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_decision(
        self,
        saliency: Array | Mapping[Any, Array],
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = 20,
        title: str | None = "Paths from the Base Value to f(x)",
        xlabel: str | None = "f(x)",
        bbox_inches: Any = "tight",
        *,
        n_column: int | None = None,
        scores: Array | Mapping[Any, Array],
        base_values: Array | Mapping[Any, Array] = 0.0,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw every example as a path from the base value, at the bottom, to f(x).

        In the row of a feature the path moves by its contribution, and the feature with
        the largest mean magnitude is at the top. What ``num_visualize`` leaves out is
        summed in the lowest row. Paths that end above their base value are red, the
        others blue. As in `visualize_waterfall`, contributions must add up.

        Args:
            saliency: Contributions, shape (n_sample, n_feature), or such by title.
            scores: f(x) of each example, shape (n_sample,), where paths must end.
            base_values: Where they start: one number for each example, or for all.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        titles = titles_of(saliency, ax)
        columns_of_sheet(len(titles), n_column)
        if isinstance(saliency, Mapping) and not isinstance(base_values, Mapping):
            base_values = dict.fromkeys(titles, base_values)
        paths = compute_paths(
            of_panels("saliency", saliency, titles),
            feature_names,
            num_visualize,
            of_panels("base_values", base_values, titles),
            of_panels("scores", scores, titles),
        )
        sheet = sheet_of_rows(ax, titles, n_column, paths[0].names, STEP_HEIGHT)
        draw_paths(sheet, paths)
        draw_texts(sheet, title, xlabel, signed=True)
        return self._finish(sheet.axes[0], path, bbox_inches)

    @checked_arguments
    def visualize_interactions(
        self,
        interactions: Array,
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = 20,
        title: str | None = "What Pairs of Features Add",
        xlabel: str | None = None,
        bbox_inches: Any = "tight",
        *,
        limit: float | None = None,
        signed: bool | None = None,
        show_values: bool | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw a matrix of features by features, such as that of Integrated Hessians.

        What a feature adds by itself is on the diagonal, in a frame. Features stand in
        the order of the sum of magnitudes in their rows, the largest first.

        Args:
            interactions: Shape (n_feature, n_feature), of one example; of several their
                mean, or that of the magnitudes.
            limit: The magnitude of the strongest colours. Default: the largest.
            signed: Whether values have a sign, or are magnitudes, from white to purple.
                Default: whether any is negative.
            show_values: Whether to write the values into the cells. Default: where
                there are up to 12 features.

        The other arguments, and what is returned and raised, are those of every method:
        see `TableVisualizer`.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        matrix = compute_interactions(
            interactions,
            feature_names,
            num_visualize,
            checked_limit(limit),
            signed,
            show_values,
        )
        if ax is None:
            ax = self._new_ax(matrix.figure_size(title is not None))
        draw_interactions(ax, matrix)
        if title is not None:
            draw_title(ax, title, matrix.side, has_bar=True)
        if xlabel is not None:
            ax.set_xlabel(plain(xlabel), **AS_IT_IS)
        return self._finish(ax, path, bbox_inches)
