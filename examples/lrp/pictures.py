"""The grid of heatmaps that the LRP examples draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

# saliency comes before chainer, which the examples import next.
from saliency import diverging_cmap

CELL = 1.05  # inches
DPI = 110


def draw_grid(
    images: np.ndarray,
    heatmaps: Mapping[str, np.ndarray],
    rows: Sequence[str],
    caption: str,
    path: Path,
    scale: str = "each",
) -> None:
    """Draw a row for each image: the image, and its heatmaps.

    Args:
        images (array): ``(n, 1, h, w)``, or in colours ``(n, 3, h, w)`` in [0, 1].
        heatmaps (mapping): From a column's title to its maps, ``(n, h, w)``.
        rows (sequence of str): What stands beside each image.
        caption (str): What stands below.
        path (path): File to write.
        scale (str): Which maps have one scale of colours: ``'each'`` its own, up to
            its largest magnitude; those of a ``'row'``, or ``'all'``, up to the
            percentile 99.5, so that no single pixel makes all others pale. Scales are
            symmetric around zero.
    """
    maps = np.stack(list(heatmaps.values()), axis=1)
    n_row, n_column = maps.shape[0], 1 + maps.shape[1]
    limits = _limits(maps, scale)
    label_width = 0.09 * max(len(line) for row in rows for line in row.split("\n"))
    width, height = CELL * n_column + label_width, CELL * n_row + 0.6
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(n_row, n_column, squeeze=False)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    for ax, title in zip(axes[0], ("input", *heatmaps)):
        ax.set_title(title, fontsize=10)
    for ax_row, image, label, maps_row, limits_row in zip(
        axes, images, rows, maps, limits
    ):
        ax_row[0].imshow(np.moveaxis(image, 0, -1).squeeze(), cmap="gray_r")
        ax_row[0].set_ylabel(
            label, rotation=0, ha="right", va="center", labelpad=6, fontsize=10
        )
        for ax, heatmap, limit in zip(ax_row[1:], maps_row, limits_row):
            norm = Normalize(-limit or -1, limit or 1)  # 1 where all is zero
            ax.imshow(heatmap, cmap=diverging_cmap, norm=norm)
    figure.supxlabel(caption, fontsize=10)
    figure.savefig(path, dpi=DPI)


def _limits(maps: np.ndarray, scale: str) -> np.ndarray:
    """Return the value of the strongest colours for each map, ``(n_row, n_column)``."""
    axes = {"each": (2, 3), "row": (1, 2, 3), "all": (0, 1, 2, 3)}[scale]
    percentile = 100 if scale == "each" else 99.5
    limits = np.percentile(np.abs(maps), percentile, axis=axes, keepdims=True)
    return np.broadcast_to(limits, (*maps.shape[:2], 1, 1))[:, :, 0, 0]
