"""Pictures of filters and feature maps: many small images on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from saliency.checks import check_positive
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.scalers import (
    as_real_array,
    checked_cmap,
    checked_finite,
    diverging_cmap,
)

# Sizes in inches.
WIDTH = 6.0
MAX_CELL = 1.1
TITLE_HEIGHT = 0.35
FRAME_COLOR = "#cccccc"
# Sizes in widths of an image.
GAP = 0.12
LABEL_HEIGHT = 0.3


class FilterVisualizer(BaseVisualizer):
    """Draws the filters of a layer, or its maps of relevance, as a grid.

    All are on one scale, which is symmetric around zero, so that one colour is one
    value everywhere.

    Example:
        >>> import chainer.links as L
        >>> from saliency import FilterVisualizer
        >>> convolution, linear = L.Convolution2D(1, 16, 5), L.Linear(784, 10)
        >>> figure = FilterVisualizer().visualize(convolution.W.array)
        >>> images = linear.W.array.reshape(10, 28, 28)
        >>> figure = FilterVisualizer().visualize(images, labels="0123456789")
    """

    def visualize(
        self,
        filters: Any,
        save_filepath: str | PathLike[str] | None = None,
        title: str | None = None,
        cmap: str | Colormap = diverging_cmap,
        show_colorbar: bool = True,
        bbox_inches: Any = "tight",
        *,
        labels: Sequence[str] | None = None,
        n_column: int | None = None,
        limit: float | None = None,
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
            labels: What stands above each one.
            n_column: How many are in a row. Default: as many as make the grid about
                square.
            limit: Value of the strongest colours, from -limit to limit; for pictures
                that share a scale. Default: the largest magnitude.
            ax: Axes to draw on, in a figure of yours. Default: a new figure.

        Returns:
            The figure, which pyplot knows nothing of unless ``ax`` comes from there.

        Raises:
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` can not be written
                there.
            TypeError: An argument has the wrong type.
        """
        path, ax = self._checked_path(save_filepath), self._checked_ax(ax)
        images = _checked_filters(filters)
        norm = _symmetric(images, limit)
        colors = checked_cmap(cmap)
        if labels is not None and len(labels) != len(images):
            raise ValueError(
                f"labels must hold one for each of the {len(images)} filters, got "
                f"{len(labels)}"
            )
        if n_column is None:
            n_column = int(np.ceil(np.sqrt(len(images))))
        check_positive("n_column", n_column)
        grid = _Grid(images.shape[:3], int(n_column), labels is not None)
        if ax is None:
            ax = self._new_ax(grid.figsize(title is not None))
        for i, image in enumerate(images):
            _draw(ax, image, grid.extent(i), colors, norm)
        for i, label in enumerate(labels or ()):
            left, right, _, top = grid.extent(i)
            center = (left + right) / 2
            ax.text(center, top, label, ha="center", va="bottom", fontsize="small")
        grid.frame(ax)
        if title is not None:
            ax.set_title(title)
        if show_colorbar and images.ndim == 3:
            ax.figure.figure.colorbar(ScalarMappable(norm, colors), ax=ax, shrink=0.8)
        return self._finish(ax, path, bbox_inches)


class _Grid:
    """Where each image is on the axes; the unit is the width of one."""

    def __init__(self, shape: tuple[int, ...], n_column: int, has_labels: bool) -> None:
        n, height, width = shape
        self._n_column = min(n_column, n)
        self._n_row = -(-n // self._n_column)
        self._height = height / width
        self._step = self._height + GAP + LABEL_HEIGHT * has_labels

    def extent(self, i: int) -> tuple[float, float, float, float]:
        """Return left, right, bottom and top of the i-th; the y axis points down."""
        row, column = divmod(i, self._n_column)
        left, bottom = column * (1 + GAP), (row + 1) * self._step
        return left, left + 1, bottom, bottom - self._height

    def frame(self, ax: Axes) -> None:
        """Show the whole grid, with squares as squares, and nothing else."""
        width = self._n_column * (1 + GAP)
        height = self._n_row * self._step
        ax.set_xlim(-GAP, width)
        ax.set_ylim(height + GAP, 0)
        ax.set_aspect("equal")
        ax.axis("off")

    def figsize(self, has_title: bool) -> tuple[float, float]:
        """Return the width and height of a figure of its own, in inches."""
        cell = min(WIDTH / self._n_column, MAX_CELL)
        height = self._n_row * self._step * cell + TITLE_HEIGHT * has_title
        return max(cell * self._n_column * (1 + GAP) + 0.8, 3.0), max(height, 1.0)


def _draw(
    ax: Axes, image: np.ndarray, extent: Any, colors: Colormap, norm: Normalize
) -> None:
    if image.ndim == 3:
        image = norm(image).data  # zero is 0.5, grey
    ax.imshow(image, cmap=colors, norm=norm, extent=extent, interpolation="nearest")
    # Zero is as white as the paper: a frame shows where the image ends.
    left, right, bottom, top = extent
    frame = Rectangle((left, top), right - left, bottom - top, clip_on=False)
    frame.set(fill=False, edgecolor=FRAME_COLOR, linewidth=0.5)
    ax.add_patch(frame)


def _checked_filters(filters: Any) -> np.ndarray:
    """Return them in float64, ``(n, h, w)`` or ``(n, h, w, 3)``."""
    array = as_real_array(filters, "filters")
    shape = array.shape
    is_image = array.ndim == 3 or (array.ndim == 4 and shape[1] in (1, 3))
    if not is_image or array.size == 0:
        hint = ""
        if array.ndim == 2:
            hint = "; for the weights of a linear layer pass W.reshape(n, h, w)"
        elif array.ndim == 4:
            hint = "; pick a channel, as in W[:, 0], or one filter, as in W[0]"
        raise ValueError(
            "filters must have the shape (n, h, w), (n, 1, h, w) or (n, 3, h, w) and "
            f"not be empty, got the shape {shape}{hint}"
        )
    array = checked_finite(array, "filters")
    if array.ndim == 3:
        return array
    return array[:, 0] if shape[1] == 1 else np.moveaxis(array, 1, -1)


def _symmetric(images: np.ndarray, limit: Any) -> Normalize:
    if limit is None:
        limit = np.abs(images).max() or 1.0  # all may be zero
    is_number = isinstance(limit, (int, float, np.number))
    if not (is_number and 0 < limit < np.inf):
        raise ValueError(f"limit must be a number > 0 or None, got {limit!r}")
    return Normalize(-float(limit), float(limit), clip=True)
