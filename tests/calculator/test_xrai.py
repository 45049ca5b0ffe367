"""XRAI beside an explicit loop over segments."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import xrai


def by_loop(
    attributions: np.ndarray, segments: list[np.ndarray], min_pixels: int
) -> tuple[np.ndarray, list[int]]:
    """Add segments one by one, each time looking at all pixels of all of them."""
    covered = np.zeros(attributions.shape, bool)
    scores = np.full(attributions.shape, np.nan)
    left, order = dict(enumerate(segments)), []
    while True:
        gains = {}
        for number, segment in left.items():
            new = segment & ~covered
            if new.sum() >= min_pixels:
                gains[number] = sum(attributions[ij] for ij in zip(*np.nonzero(new)))
                gains[number] /= new.sum()
        if not gains:
            break
        best = max(gains, key=gains.__getitem__)
        scores[left[best] & ~covered] = gains[best]
        covered |= left.pop(best)
        order.append(best)
    scores[~covered] = attributions[~covered].mean() if not covered.all() else 0
    return scores, order


@pytest.mark.parametrize("n_segmentation", [1, 3])
@pytest.mark.parametrize("min_pixels", [1, 4])
def test_is_the_loop(n_segmentation, min_pixels, rng):
    # Whole numbers, whose sums are exact, so that of equal means the first is taken.
    attributions = rng.integers(-99, 99, size=(3, 9, 7)).astype("d")
    labels = rng.integers(-1, 8, size=(3, n_segmentation, 9, 7)).cumsum(axis=3) // 6
    found = xrai(attributions, segments=labels, min_pixels=min_pixels)
    assert found.scores.dtype == np.float64
    for scores, order, map_, of_image in zip(*found, attributions, labels):
        segments = [one == label for one in of_image for label in np.unique(one)]
        expected, order_by_loop = by_loop(map_, segments, min_pixels)
        assert_array_equal(order, order_by_loop)
        assert_allclose(scores, expected, rtol=1e-10, atol=1e-13)
        assert len(order) > 3


def test_parts_of_an_image_come_by_their_means():
    """Four quarters, and a pixel of large attribution in one that is not the best."""
    attributions = np.zeros((1, 4, 4))
    attributions[0, :2, :2] = 2
    attributions[0, 2:, :2] = -1
    attributions[0, 3, 3] = 6
    quarters = np.kron([[5, 7], [8, 9]], np.ones((2, 2), int))
    regions = xrai(attributions, segments=quarters)
    assert_array_equal(regions.orders[0], [0, 3, 1, 2])
    assert_array_equal(regions.scores[0, ::2, ::2], [[2, 0], [-1, 1.5]])
    assert_array_equal(regions.scores[0, 1::2, 1::2], [[2, 0], [-1, 1.5]])
    # The sum is kept where each pixel is in one segment.
    assert regions.scores.sum() == attributions.sum()
    assert_array_equal(regions.share(0.5)[0], (quarters == 5) | (quarters == 9))
    assert_array_equal(regions.share(0.49)[0], quarters == 5)
    assert not regions.share(0.2).any()
    assert regions.share(1).all()


def test_segments_of_all_images_and_of_each(rng):
    attributions = rng.normal(size=(2, 5, 6))
    labels = rng.integers(0, 3, size=(5, 6))
    expected = xrai(attributions, segments=labels).scores
    for segments in (
        np.stack([labels, labels]),
        np.stack([labels[None], labels[None]]),
    ):
        assert_array_equal(xrai(attributions, segments=segments).scores, expected)
    alone = xrai(attributions[1:], segments=labels).scores
    assert_array_equal(alone, expected[1:])


def test_images_are_divided_by_scikit_image():
    pytest.importorskip("skimage", reason="pip install scikit-image")
    images = np.zeros((1, 3, 60, 60), "f")
    images[0, :, :, 30:] = 200
    attributions = np.zeros((1, 60, 60))
    attributions[0, 10, 40] = 9
    regions = xrai(attributions, images)
    right = regions.share(0.7)[0]
    assert right[:, 36:].all()  # widened by 5 pixels
    assert not right[:, :24].any()


def test_without_scikit_image_segments_are_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ImportError, match="pip install scikit-image; or pass segments"):
        xrai(np.zeros((1, 8, 8)), np.zeros((1, 3, 8, 8)))


@pytest.mark.parametrize(
    ("attributions", "how", "error", "message"),
    [
        (np.zeros((1, 3, 8, 8)), {}, ValueError, "attributions must be maps"),
        (np.full((1, 8, 8), np.nan), {}, ValueError, "attributions must be finite"),
        (np.zeros((1, 8, 8)), {}, ValueError, "images, .* or segments; got neither"),
        (
            np.zeros((1, 8, 8)),
            {"images": np.zeros((2, 3, 8, 8))},
            ValueError,
            r"images must be \(1, channel, 8, 8\)",
        ),
        (
            np.zeros((2, 8, 8)),
            {"segments": np.zeros((3, 8, 8), int)},
            ValueError,
            r"segments must be \(8, 8\).*got shape \(3, 8, 8\)",
        ),
        (
            np.zeros((2, 8, 8)),
            {"segments": np.zeros((8, 8))},
            TypeError,
            "segments must be of int",
        ),
        (
            np.zeros((2, 8, 8)),
            {"segments": np.zeros((8, 8), int), "min_pixels": 0},
            ValueError,
            "min_pixels must be an int >= 1",
        ),
    ],
)
def test_what_does_not_fit(attributions, how, error, message):
    with pytest.raises(error, match=message):
        xrai(attributions, **how)


def test_a_share_that_is_none(rng):
    regions = xrai(rng.normal(size=(1, 4, 4)), segments=np.eye(4, dtype=int))
    with pytest.raises(ValueError, match="fraction must be a number from 0 to 1"):
        regions.share(1.5)


@pytest.mark.parametrize("n", [7, 29, 57, 58])
def test_a_region_of_just_the_share_is_in_it(n):
    labels = (np.arange(100) >= n).astype(int).reshape(10, 10)
    regions = xrai(1.0 - labels[None], segments=labels)
    assert regions.share(n / 100).sum() == n
