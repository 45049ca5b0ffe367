"""Small images side by side: where each one is, in which colours, and its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.patches import Rectangle

from saliency.array_types import Array
from saliency.checks import check_positive
from saliency.visualizer.colors import (
    ALL_ZERO,
    ColorScale,
    checked_cmap,
    checked_limit,
    limit_of_colors,
)
from saliency.visualizer.images.heatmaps import draw_note
from saliency.visualizer.names import AS_IT_IS, plain
from saliency.visualizer.scores import as_real_array, checked_finite

# Sizes in inches.
WIDTH = 6.0
MAX_TILE = 1.1
TITLE_HEIGHT = 0.35
FRAME_COLOR = "#cccccc"
# Sizes in widths of a tile.
GAP = 0.12
EDGE = 0.005
LABEL_HEIGHT = 0.3


class Tiles(NamedTuple):
    """Images of one size in rows; the unit of lengths is the width of one.

    Attributes:
        images: Scores ``(n, h, w)``, or colours in [0, 1] ``(n, h, w, 3)``.
        scale: How scores become colours.
        labels: What stands above each image; empty without labels.
        n_column: How many are in a row.
    """

    images: np.ndarray
    scale: ColorScale
    labels: Sequence[str]
    n_column: int

    @property
    def has_scores(self) -> bool:
        """Whether the images are scores, to which a colour bar belongs."""
        return self.images.ndim == 3

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the whole, without the margin before the first."""
        n_row = -(-len(self.images) // self.n_column)
        return self.n_column * (1 + GAP), n_row * self._row_height

    def extent(self, i: int) -> tuple[float, float, float, float]:
        """Return left, right, bottom and top of the i-th image; the y axis points down.

        Rows are filled from left to right, as lines of text are.
        """
        row, column = divmod(i, self.n_column)
        left, bottom = column * (1 + GAP), (row + 1) * self._row_height
        return left, left + 1, bottom, bottom - self._height

    def figure_size(self, has_title: bool) -> tuple[float, float]:
        """Return the width and height for all images, in inches."""
        inches = min(WIDTH / self.n_column, MAX_TILE)
        width, height = (inches * length for length in self.size)
        return max(width + 0.8, 3.0), max(height + TITLE_HEIGHT * has_title, 1.0)

    @property
    def _height(self) -> float:
        height, width = self.images.shape[1:3]
        return float(height / width)

    @property
    def _row_height(self) -> float:
        return self._height + GAP + LABEL_HEIGHT * bool(len(self.labels))


# --- what is shown ----------------------------------------------------------------


def compute_tiles(
    filters: Array,
    labels: Sequence[str] | None,
    n_column: int | None,
    limit: float | None,
    cmap: str | Colormap,
) -> Tiles:
    """Return the images, and how they are arranged and coloured.

    Args:
        filters: Scores, ``(n, h, w)`` or ``(n, 1, h, w)``; or ``(n, 3, h, w)``, which
            become colours with grey for zero.
        labels: What stands above each one, or None.
        n_column: How many are in a row. Default: as many as make the whole about
            square.
        limit: Value of the strongest colours. Default: the largest magnitude.
        cmap: Colour map, with zero in its middle.

    Raises:
        ValueError: A shape or a number is wrong, a value is not finite, or there are
            not as many labels as filters.
        TypeError: ``filters`` does not hold real numbers.
    """
    images = _checked_filters(filters)
    limit = checked_limit(limit) or limit_of_colors(images)
    scale = ColorScale(checked_cmap(cmap), -limit, limit)
    if not (labels is None or isinstance(labels, Sequence)):
        raise TypeError(f"labels must be a sequence of str or None, got {labels!r}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(
            f"labels must hold one for each of the {len(images)} filters, got "
            f"{len(labels)}"
        )
    if n_column is None:
        n_column = int(np.ceil(np.sqrt(len(images))))
    check_positive("n_column", n_column)
    if images.ndim == 4:
        images = scale.norm(images).data  # zero is 0.5, grey
    labels = [] if labels is None else [plain(label) for label in labels]
    return Tiles(images, scale, labels, min(int(n_column), len(images)))


def _checked_filters(filters: Array) -> np.ndarray:
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


# --- how it is drawn --------------------------------------------------------------


def draw_tiles(ax: Axes, tiles: Tiles) -> None:
    """Draw all images and their labels, with squares as squares, and nothing else."""
    for i, image in enumerate(tiles.images):
        _draw_tile(ax, image, tiles.extent(i), tiles.scale)
    for i, label in enumerate(tiles.labels):
        left, right, _, top = tiles.extent(i)
        center = (left + right) / 2
        style = {"ha": "center", "va": "bottom", "fontsize": "small"}
        ax.text(center, top, label, **style, **AS_IT_IS)
    width, height = tiles.size
    ax.set_xlim(-EDGE, width - GAP + EDGE)
    ax.set_ylim(height + EDGE, GAP - EDGE)
    ax.set_aspect("equal")
    ax.axis("off")
    if tiles.has_scores and not tiles.images.any():
        draw_note(ax, ALL_ZERO)


def _draw_tile(
    ax: Axes,
    image: np.ndarray,
    extent: tuple[float, float, float, float],
    scale: ColorScale,
) -> None:
    colors = {"cmap": scale.cmap, "norm": scale.norm}
    ax.imshow(image, extent=extent, interpolation="nearest", **colors)
    # Zero is as white as the paper: a frame shows where the image ends.
    left, right, bottom, top = extent
    frame = Rectangle((left, top), right - left, bottom - top, clip_on=False)
    frame.set(fill=False, edgecolor=FRAME_COLOR, linewidth=0.5)
    ax.add_patch(frame)
