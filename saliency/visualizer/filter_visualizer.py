"""Pictures of filters and feature maps: many small images on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from saliency.array_types import Array
from saliency.checks import checked_arguments
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.color_keys import Key, draw_color_bar
from saliency.visualizer.colors import diverging_cmap
from saliency.visualizer.files import checked_path
from saliency.visualizer.images.tiles import compute_tiles, draw_tiles
from saliency.visualizer.names import AS_IT_IS, plain


class FilterVisualizer(BaseVisualizer):
    """Draws the filters of a layer, or its maps of relevance, as a grid.

    All have one scale of colours, which is symmetric around zero, so that a colour
    means the same value everywhere.

    Example:
        >>> import chainer.links as L
        >>> from saliency import FilterVisualizer
        >>> convolution, linear = L.Convolution2D(1, 16, 5), L.Linear(784, 10)
        >>> figure = FilterVisualizer().visualize(convolution.W.array)
        >>> images = linear.W.array.reshape(10, 28, 28)
        >>> figure = FilterVisualizer().visualize(images, labels="0123456789")
    """

    __slots__ = ()

    @checked_arguments
    def visualize(
        self,
        filters: Array,
        save_filepath: str | PathLike[str] | None = None,
        title: str | None = None,
        cmap: str | Colormap = diverging_cmap,
        show_colorbar: bool = True,
        bbox_inches: Any = "tight",
        *,
        limit: float | None = None,
        n_column: int | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "value",
        ax: Axes | None = None,
    ) -> Figure:
        """Draw filters or maps side by side.

        Args:
            filters: Real and finite, ``(n, h, w)`` or ``(n, 1, h, w)``; or
                ``(n, 3, h, w)``, which are drawn as RGB colours with grey for zero.
            save_filepath: File to write; the extension decides on the format.
                Default: nothing is saved.
            title: Title of the picture, or None.
            cmap: Colour map, with zero in its middle; not for RGB.
            show_colorbar: Whether to draw a colour bar; there is none for RGB.
            bbox_inches: As in `matplotlib.figure.Figure.savefig`.
            limit: Value of the strongest colours, which go from -limit to limit. Give
                several pictures the same limit to compare them. Default: the largest
                magnitude.
            n_column: How many are in a row. Default: as many as make the grid about
                square.
            labels: What stands above each filter.
            unit: What the values are, such as ``'weight'`` or ``'relevance'``, which
                stands beside the colour bar.
            ax: Axes to draw on. Default: those of a new figure.

        Returns:
            The figure, which is not registered with pyplot unless ``ax`` is from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` cannot be written to.
            TypeError: An argument has the wrong type.
        """
        path, ax = checked_path(save_filepath), self._checked_ax(ax)
        tiles = compute_tiles(filters, labels, n_column, limit, cmap)

        if ax is None:
            ax = self._new_ax(tiles.figure_size(title is not None))
        draw_tiles(ax, tiles)
        if title is not None:
            ax.set_title(plain(title), **AS_IT_IS)
        if show_colorbar and tiles.has_scores:
            key = Key(tiles.scale, "", "", plain(unit))
            draw_color_bar([ax], key, has_ends=False)
        return self._finish(ax, path, bbox_inches)
