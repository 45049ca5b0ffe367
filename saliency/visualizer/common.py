"""Scalers and colours under one name, as in Chainer Chemistry."""

from __future__ import annotations

from saliency.visualizer.colors import (
    diverging_cmap,
    heatmap,
    red_blue_cmap,
    sequential_cmap,
    signed_colors,
)
from saliency.visualizer.scalers import (
    abs_max_scaler,
    min_max_scaler,
    normalize_scaler,
    project_scaler,
)

__all__ = [
    "abs_max_scaler",
    "diverging_cmap",
    "heatmap",
    "min_max_scaler",
    "normalize_scaler",
    "project_scaler",
    "red_blue_cmap",
    "sequential_cmap",
    "signed_colors",
]
