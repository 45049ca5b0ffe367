"""Chainer Chemistry's name for the scalers and the colours of molecules."""

from __future__ import annotations

from saliency.visualizer.colors import red_blue_cmap
from saliency.visualizer.scalers import (
    abs_max_scaler,
    min_max_scaler,
    normalize_scaler,
)

__all__ = ["abs_max_scaler", "min_max_scaler", "normalize_scaler", "red_blue_cmap"]
