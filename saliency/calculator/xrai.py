"""XRAI: attributions of pixels, as regions in the order of what they contribute."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from saliency.checks import is_finite, is_int, is_number

import chainer

#: As the authors' program has it: scales of Felzenszwalb's method, how far it smoothes,
#: the smallest segment, and by how many pixels segments are widened.
_SCALES = (50, 100, 150, 250, 500, 1200)
_SIGMA = 0.8
_MIN_SIZE = 150
_WIDENED = 5
_MIN_PIXELS = 50


class Regions(NamedTuple):
    """Regions of images, in the order of what they contribute.

    Attributes:
        scores (numpy.ndarray): ``(N, height, width)``: for each pixel the mean
            attribution of the region that it came with.
        orders (list of numpy.ndarray): For each image the segments that were added, the
            first one first, by their number: counted through all segmentations, and in
            each from its smallest label on.
    """

    scores: np.ndarray
    orders: list[np.ndarray]

    def share(self, fraction: float) -> np.ndarray:
        """Return which pixels are in the most important regions.

        Args:
            fraction (float): How large a share of each image they may cover at most,
                from 0 to 1. Regions are taken whole, those of the highest scores first.

        Returns:
            numpy.ndarray: Of bool, ``(N, height, width)``.

        Raises:
            ValueError: If ``fraction`` is no such number.
        """
        if not (is_number(fraction) and 0 <= fraction <= 1):
            raise ValueError(f"fraction must be a number from 0 to 1, got {fraction!r}")
        chosen = np.zeros(self.scores.shape, bool)
        for scores, mask in zip(self.scores, chosen):
            values, sizes = np.unique(scores, return_counts=True)
            covered = np.cumsum(sizes[::-1])
            n = int((covered / scores.size <= fraction).sum())
            mask[...] = np.isin(scores, values[::-1][:n])
        return chosen


def xrai(
    attributions: Any,
    images: Any = None,
    *,
    segments: Any = None,
    min_pixels: int | None = None,
) -> Regions:
    r"""Return the regions of images, in the order of what they contribute.

    Kapishnikov et al. (2019), "XRAI: better attributions through regions",
    arXiv:1906.02825, algorithm 1. Segments are added to the region that is there, one
    after the other: always the one whose pixels that are new have the largest mean
    attribution. It works on top of any attribution; the paper takes Integrated
    Gradients, averaged over a black and a white baseline, ``baseline=[low, high]``.

    Args:
        attributions (array): ``(N, height, width)``, as ``aggregate(samples,
            ch_axis=2)`` returns them, or the values of an explanation.
        images (array or None): The images ``(N, channel, height, width)``, which are
            divided by Felzenszwalb's method on six scales, as in the paper, made for
            images of about 224 pixels. That needs scikit-image. None if there are
            ``segments``.
        segments (array or None): Which segment each pixel is in, of int: ``(height,
            width)`` for all images, ``(N, height, width)``, or ``(N, n_segmentation,
            height, width)`` for several segmentations of each, whose segments may
            overlap.
        min_pixels (int or None): Segments that would add fewer pixels are left out, and
            pixels that no segment has added have their mean attribution as score. None
            is 50, or 1 where ``segments`` are given.

    Returns:
        Regions: The scores of pixels ``(N, height, width)`` in float64, and the order
        of the segments.

    Raises:
        ImportError: If there are no ``segments``, and scikit-image is not installed.
        TypeError: If ``segments`` are not of int.
        ValueError: If there are neither ``images`` nor ``segments`` or both, shapes do
            not fit each other, attributions are not finite, or ``min_pixels`` is not
            positive.

    Example:
        >>> regions = xrai(calculator.aggregate(samples, ch_axis=2), images)
        >>> ImageVisualizer().visualize(regions.scores[0])
    """
    maps = _as_numpy(attributions)
    if maps.ndim != 3 or maps.size == 0:
        raise ValueError(
            "attributions must be maps (N, height, width), as aggregate(samples, "
            f"ch_axis=2) returns them, got shape {maps.shape}"
        )
    if not is_finite(maps):
        raise ValueError("attributions must be finite, got NaN or infinity in them")
    if min_pixels is not None and not (is_int(min_pixels) and min_pixels >= 1):
        raise ValueError(f"min_pixels must be an int >= 1 or None, got {min_pixels!r}")
    if (images is None) == (segments is None):
        raise ValueError(
            "xrai takes images, which it divides into segments, or segments; got "
            + ("neither" if images is None else "both")
        )
    if segments is None:
        masks = _masks_of_images(images, maps.shape)
        min_pixels = min_pixels or _MIN_PIXELS
    else:
        masks = _masks_of_segments(segments, maps.shape)
        min_pixels = min_pixels or 1
    pairs = [_added(m.ravel(), of, min_pixels) for m, of in zip(maps, masks)]
    scores = np.stack([scores for scores, _ in pairs]).reshape(maps.shape)
    return Regions(scores, [order for _, order in pairs])


def _as_numpy(value: Any) -> np.ndarray:
    is_array = isinstance(value, chainer.get_array_types())
    return np.asarray(chainer.cuda.to_cpu(value) if is_array else value)


def _added(
    attributions: np.ndarray, masks: np.ndarray, min_pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of pixels, and the segments in the order of algorithm 1.

    Args:
        attributions (numpy.ndarray): ``(n_pixel,)``.
        masks (numpy.ndarray): Of bool, which pixels a segment has, ``(n_segment,
            n_pixel)``.
        min_pixels (int): How many each has to add.
    """
    values = attributions.astype(np.float64)
    is_free = np.ones(len(values), bool)
    is_left = np.ones(len(masks), bool)
    areas, sums = masks.sum(axis=1), masks @ values
    scores, order = np.zeros(len(values)), []
    while True:
        is_left &= areas >= min_pixels
        if not is_left.any():
            break
        best = int(np.where(is_left, sums / np.maximum(areas, 1), -np.inf).argmax())
        new = np.flatnonzero(masks[best] & is_free)
        scores[new] = values[new].mean()
        order.append(best)
        is_free[new], is_left[best] = False, False
        areas -= masks[:, new].sum(axis=1)
        sums -= masks[:, new] @ values[new]
    if is_free.any():
        scores[is_free] = values[is_free].mean()
    return scores, np.array(order, int)


def _masks_of_segments(segments: Any, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Give for each image which pixels its segments have, ``(n_segment, n_pixel)``."""
    labels = _as_numpy(segments)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"segments must be of int, the segment of each pixel, got {labels.dtype}"
        )
    n, *size = shape
    if labels.ndim in (2, 3):
        labels = labels[..., None, :, :]
    fits = labels.shape[-2:] == tuple(size) and labels.shape[:-3] in ((), (n,))
    if not fits or labels.size == 0:
        raise ValueError(
            f"segments must be {tuple(size)} for all images, or ({n}, {size[0]}, "
            f"{size[1]}), or ({n}, n_segmentation, {size[0]}, {size[1]}), got shape "
            f"{np.shape(segments)}"
        )
    return (
        _masks(of_image)
        for of_image in np.broadcast_to(labels, (n, *labels.shape[-3:]))
    )


def _masks(labels: np.ndarray) -> np.ndarray:
    """Return the masks of the segments of some segmentations ``(n, ...)``."""
    return np.concatenate(
        [one.ravel() == np.unique(one)[:, None] for one in labels], axis=0
    )


def _masks_of_images(images: Any, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Give for each image the widened segments of six scales, as masks."""
    array = _as_numpy(images)
    if array.ndim != 4 or (len(array), *array.shape[2:]) != shape:
        raise ValueError(
            f"images must be ({shape[0]}, channel, {shape[1]}, {shape[2]}), as the "
            f"attributions are, got shape {array.shape}"
        )
    try:
        segmentation: Any = import_module("skimage.segmentation")
        morphology: Any = import_module("skimage.morphology")
    except ImportError as error:
        raise ImportError(
            "xrai divides images by scikit-image: pip install scikit-image; or pass "
            "segments"
        ) from error
    disk = morphology.disk(_WIDENED)

    def masks(image: np.ndarray) -> np.ndarray:
        low, high = float(image.min()), float(image.max())
        colours = (image.astype(np.float64) - low) / (high - low or 1) * 2 - 1
        labels = [
            segmentation.felzenszwalb(
                colours,
                scale=scale,
                sigma=_SIGMA,
                min_size=_MIN_SIZE,
                channel_axis=0,
            )
            for scale in _SCALES
        ]
        found = _masks(np.stack(labels)).reshape(-1, *image.shape[1:])
        widened = [morphology.dilation(one, disk).ravel() for one in found]
        return np.stack(widened)

    return map(masks, array)
