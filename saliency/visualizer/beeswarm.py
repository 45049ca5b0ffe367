"""Swarms of dots: one row per feature, one dot per sample."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap

from saliency.visualizer.scalers import MISSING_COLOR

DOT_DIAMETER = 3.4  # points
DOT_PITCH = 0.11  # distance of two dots in a swarm, in rows
SWARM_HALF_WIDTH = 0.4  # in rows: less than 0.5, or neighbours would touch
SWARM_COLUMNS = 90  # about the number of dots that fit side by side
SWARM_LAYERS = 5  # of feature values within a column

# Purple to orange: no colour of it reads as the sign of a score. The yellow end of
# plasma, which is too pale for dots on white, is left out.
FEATURE_CMAP = ListedColormap(
    matplotlib.colormaps["plasma"](np.linspace(0, 0.85, 256)), name="saliency_feature"
).with_extremes(bad=MISSING_COLOR)


def draw_swarms(ax: Axes, scores: np.ndarray, features: np.ndarray) -> ScalarMappable:
    """Draw one dot per cell; rows from top to bottom are the columns of the arrays.

    Args:
        ax: Axes to draw on; row i is at i, and the y axis points down.
        scores: Where the dots stand, shape (n_sample, n_feature).
        features: What their colours say, same shape; NaN is grey.

    Returns:
        The dots, for a colour bar from 0 (low) to 1 (high).
    """
    limits = (scores.min(), scores.max())
    relative = np.stack([_relative_values(column) for column in features.T])
    offsets = np.stack([_stacked(*row, limits) for row in zip(scores.T, relative)])
    places = np.arange(len(offsets))[:, np.newaxis] - offsets  # the axis points down
    return ax.scatter(
        scores.T.ravel(),
        places.ravel(),
        c=relative.ravel(),
        cmap=FEATURE_CMAP,
        vmin=0,
        vmax=1,
        plotnonfinite=True,
        s=DOT_DIAMETER**2,
        linewidths=0,
        zorder=3,
    )


def _relative_values(column: np.ndarray) -> np.ndarray:
    """Values of one feature from 0 (low) to 1 (high), NaN kept.

    The ends are the 5th and 95th percentile, so that one outlier does not take all
    the colours; or the extremes, where both percentiles fall on one frequent value.
    """
    present = column[~np.isnan(column)]
    if present.size == 0:
        return column
    low, high = np.percentile(present, [5, 95])
    if low == high:
        low, high = present.min(), present.max()
    if low == high:
        return np.where(np.isnan(column), np.nan, 0.5)
    return np.clip((column - low) / (high - low), 0, 1)


def _stacked(
    scores: np.ndarray, relative: np.ndarray, limits: tuple[float, float]
) -> np.ndarray:
    """Vertical offsets of the dots of one row, in rows.

    The row is cut into columns as wide as a dot, from ``limits[0]`` to
    ``limits[1]``; the dots of a column stand on each other, around the middle.

    Args:
        scores: Where the dots are on the score axis, shape (n_sample,).
        relative: What decides on the layers of a column, lowest at the bottom and
            NaN below; within [0, 1], shape (n_sample,).
        limits: Lowest and highest score of all rows.

    Returns:
        Offsets in ``[-SWARM_HALF_WIDTH, SWARM_HALF_WIDTH]``, shape (n_sample,).
    """
    width = (limits[1] - limits[0]) / SWARM_COLUMNS or 1.0
    columns = np.floor((scores - limits[0]) / width)
    layers = np.floor(np.nan_to_num(relative, nan=-1) * SWARM_LAYERS)
    order = np.lexsort((_spread(scores, relative), layers, columns))
    _, starts, counts = np.unique(columns[order], return_index=True, return_counts=True)
    rank = np.arange(len(scores)) - np.repeat(starts, counts)
    centred = rank - np.repeat((counts - 1) / 2, counts)
    pitch = min(DOT_PITCH, 2 * SWARM_HALF_WIDTH / max(int(counts.max()) - 1, 1))
    offsets = np.empty(len(scores))
    offsets[order] = centred * pitch
    return offsets


def _spread(scores: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Keys that part dots of similar scores: multiples of the golden ratio, modulo 1.

    Sorted by the scores themselves, the columns of a swarm would visibly lean.
    """
    order = np.lexsort((relative, scores))
    keys = np.empty(len(scores))
    keys[order] = np.arange(len(scores)) * 0.6180339887498949 % 1
    return keys
