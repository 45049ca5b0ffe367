"""Superpixels: groups of neighbouring pixels of like colours."""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from saliency.checks import check_choice, check_positive, is_number
from saliency.settings_repr import repr_of_settings
from saliency.user_warnings import warn_user

import chainer

_METHODS = ("slic", "grid")


class Superpixels:
    """Divides images into groups of neighbouring pixels of like colours.

    ``groups=Superpixels(50)`` explains superpixels in the place of pixels, and
    ``Superpixels(50)(images)`` returns which pixel is in which. They come from SLIC,
    which scikit-image has: Achanta et al. (2012), "SLIC superpixels compared to
    state-of-the-art superpixel methods". The values of an image may be on any scale:
    from the smallest to the largest, they are taken as colours from 0 to 1.

    Args:
        n_segments (int): About how many there are in an image.
        compactness (float): How much the distance of pixels counts beside that of their
            colours; the larger, the more they are squares.
        method (str or None): ``'slic'``; or ``'grid'``, rectangles of about one size.
            None is SLIC if scikit-image is installed, and otherwise rectangles, which a
            warning says.

    Raises:
        ImportError: If ``method='slic'`` and scikit-image is not installed.
        ValueError: If a setting is none of these.

    Example:
        >>> ShapleyCalculator(model, groups=Superpixels(50), baseline=GaussianBlur(20))
    """

    n_segments: int
    compactness: float
    method: str | None

    def __init__(
        self,
        n_segments: int = 50,
        compactness: float = 10.0,
        method: str | None = None,
    ) -> None:
        check_positive("n_segments", n_segments)
        if not (is_number(compactness) and 0 < compactness < np.inf):
            raise ValueError(
                f"compactness must be a finite number > 0, got {compactness!r}"
            )
        if method is not None:
            check_choice("method", method, _METHODS)
        if method == "slic" and not _has_skimage():
            raise ImportError(
                "method='slic' needs scikit-image: pip install scikit-image"
            )
        self.n_segments = n_segments
        self.compactness = float(compactness)
        self.method = method

    def __repr__(self) -> str:
        return repr_of_settings(self)

    def __call__(self, images: Any) -> np.ndarray:
        """Return which superpixel each pixel of images is in.

        Args:
            images (array): ``(n, channel, height, width)``.

        Returns:
            numpy.ndarray: Of int, ``(n, 1, height, width)``.

        Raises:
            ValueError: If the images have another shape.
        """
        array = chainer.cuda.to_cpu(images)
        if array.ndim != 4:
            raise ValueError(
                "Superpixels takes images (n, channel, height, width), got shape "
                f"{array.shape}"
            )
        if not self._is_slic():
            grid = _grid(self.n_segments, *array.shape[2:])
            return np.broadcast_to(grid, (len(array), 1, *grid.shape))
        return np.stack([self._slic(image)[None] for image in array])

    def _is_slic(self) -> bool:
        if self.method is not None:
            return self.method == "slic"
        if _has_skimage():
            return True
        warn_user(
            "Superpixels are rectangles, since scikit-image is not installed: pip "
            "install scikit-image; or pass method='grid'"
        )
        return False

    def _slic(self, image: np.ndarray) -> np.ndarray:
        """Return the superpixel of each pixel of an image ``(channel, h, w)``."""
        segmentation: Any = import_module("skimage.segmentation")
        low, high = float(image.min()), float(image.max())
        colours = (image.astype(np.float64) - low) / (high - low or 1.0)
        if len(image) not in (1, 3):
            # Not to be turned into the coordinates of Lab, which go up to 100.
            options = {"convert2lab": False, "compactness": self.compactness / 100}
        else:
            colours = np.broadcast_to(colours, (3, *image.shape[1:]))
            options = {"convert2lab": True, "compactness": self.compactness}
        found: np.ndarray = segmentation.slic(
            np.moveaxis(colours, 0, -1),
            n_segments=self.n_segments,
            channel_axis=-1,
            start_label=0,
            **options,
        )
        return found


def _has_skimage() -> bool:
    return find_spec("skimage") is not None


def _grid(n_segments: int, height: int, width: int) -> np.ndarray:
    """Return rectangles of about one size, which are nearly squares."""
    n_row = round(math.sqrt(n_segments * height / width))
    n_row = min(max(n_row, 1), height, n_segments)  # of tall images one column
    n_column = min(max(round(n_segments / n_row), 1), width)
    row = np.arange(height) * n_row // height
    column = np.arange(width) * n_column // width
    return row[:, None] * n_column + column
