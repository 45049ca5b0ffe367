"""Pictures of saliency for table data: one score per feature, or per cell."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saliency.array_types import Array
from saliency.checks import checked_arguments
from saliency.visualizer.bars import compute_bars, draw_bars
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.beeswarm import (
    compute_swarms,
    draw_feature_bar,
    draw_swarms,
)
from saliency.visualizer.feature_rows import draw_axes, figure_size
from saliency.visualizer.scalers import Scaler, abs_max_scaler

# Heights of a row in a new figure, in inches.
BAR_HEIGHT = 0.28
SWARM_HEIGHT = 0.42


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
        ax: Axes | None = None,
    ) -> Figure:
        """Draw one score per feature as horizontal bars.

        ``saliency`` itself decides on the order and the choice of the features;
        ``scaler`` sets only the units of the axis. It is applied before features are
        left out, so that shares remain shares of the whole.

        Args:
            saliency: Scores, shape (n_feature,), real and finite.
            feature_names: One name per feature, drawn as it is: a dollar sign is one,
                and no mathematics. Default: the column numbers.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            num_visualize: How many features to show, from the top of the order that
                ``sort`` gives; -1, or more than there are, shows all. How many are left
                out is written below the names. Default: all of up to 100 features, and
                the first 20 of more, since thousands take minutes to draw.
            scaler: Callable that maps the scores to those drawn, such as
                `abs_max_scaler`, `min_max_scaler` or `normalize_scaler`; None draws
                them unchanged.
            sort: What comes at the top: ``'descending'`` the largest score (by its
                signed value, so that negative scores come last), ``'ascending'`` the
                smallest, ``'magnitude'`` the strongest of either sign, ``'none'``
                the first in the order given. Ties keep the order given.
            title: Title of the plot, or None.
            color: One matplotlib colour for all bars. Default: red for positive and
                blue for negative values as drawn, grey for those that are 0 or no
                further from it than their error.
            xlabel: Label of the score axis, or None.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            errors: How far each score may be off, shape (n_feature,), in the units of
                ``saliency``, for example the standard deviation over samples. They
                are drawn as error bars, stretched as much as ``scaler`` stretches the
                scores; bars that are no longer than their error are grey.
            ax: Axes to draw on. Default: those of a new figure, which is as high as
                the number of features requires.

        Returns:
            The figure, which is not registered with pyplot unless ``ax`` is from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; ``save_filepath`` cannot be written to; or
                ``errors`` are given with a scaler that is not affine.
            TypeError: An argument has the wrong type.
        """
        path, ax = self._checked_path(save_filepath), self._checked_ax(ax)
        bars = compute_bars(
            saliency, feature_names, num_visualize, scaler, sort, color, errors
        )

        if ax is None:
            ax = self._new_ax(figure_size(bars.names, BAR_HEIGHT, bars.note))
        draw_bars(ax, bars)
        draw_axes(ax, bars.names, bars.note, title, xlabel)
        return self._finish(ax, path, bbox_inches)

    @checked_arguments
    def visualize_summary(
        self,
        saliency: Array,
        features: Array,
        feature_names: Iterable[Any] | None = None,
        save_filepath: str | PathLike[str] | None = None,
        num_visualize: int | None = 20,
        title: str | None = "Feature Importance by Sample",
        xlabel: str | None = "Saliency",
        bbox_inches: Any = "tight",
        *,
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
            saliency: Scores, shape (n_sample, n_feature), real and finite.
            features: Values of the features, same shape. A constant feature has the
                middle colour; a missing value (NaN) is grey.
            feature_names: One name per feature, drawn as it is: a dollar sign is one,
                and no mathematics. Default: the column numbers.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            num_visualize: How many features to show, from the top; -1, or more than
                there are, shows all, and None is as in `visualize`. How many are left
                out is written below the names.
            title: Title of the plot, or None.
            xlabel: Label of the score axis, or None.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            ax: Axes to draw on; axes for the colour bar are added to their figure.
                Default: those of a new figure.

        Returns:
            The figure, which is not registered with pyplot unless ``ax`` is from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` cannot be written to.
            TypeError: An argument has the wrong type.
        """
        path, ax = self._checked_path(save_filepath), self._checked_ax(ax)
        swarms = compute_swarms(saliency, features, feature_names, num_visualize)

        if ax is None:
            ax = self._new_ax(figure_size(swarms.names, SWARM_HEIGHT, swarms.note))
        dots = draw_swarms(ax, swarms)
        draw_axes(ax, swarms.names, swarms.note, title, xlabel)
        draw_feature_bar(ax, dots, swarms.color_label)
        return self._finish(ax, path, bbox_inches)
