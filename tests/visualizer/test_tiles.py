"""The content of pictures of filters, without drawing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency.visualizer.images.tiles import compute_tiles


def compute(filters, labels=None, n_column=None, limit=None):
    return compute_tiles(filters, labels, n_column, limit, "seismic")


def test_scores_have_one_symmetric_scale():
    filters = np.arange(12.0).reshape(3, 2, 2) - 3
    tiles = compute(filters)
    assert_array_equal(tiles.images, filters)
    assert (tiles.scale.low, tiles.scale.high) == (-8, 8)
    assert tiles.has_scores
    assert compute(filters, limit=2).scale.limit == 2
    assert compute(0 * filters).scale.limit == 1


def test_three_channels_become_colours():
    tiles = compute(np.array([-2.0, 0, 2]).reshape(1, 3, 1, 1))
    assert_allclose(tiles.images, [[[[0, 0.5, 1]]]])
    assert not tiles.has_scores


@pytest.mark.parametrize("n, n_column", [(1, 1), (4, 2), (5, 3), (9, 3), (10, 4)])
def test_the_whole_is_about_square(n, n_column):
    assert compute(np.ones((n, 2, 2))).n_column == n_column


def test_there_are_no_more_columns_than_images():
    assert compute(np.ones((2, 2, 2)), n_column=7).n_column == 2


def test_labels_take_room_between_rows():
    filters = np.ones((4, 3, 3))
    plain, labelled = compute(filters, n_column=1), compute(filters, "abcd", 1)
    assert labelled.size[0] == plain.size[0]
    assert labelled.size[1] > plain.size[1]
    for tiles in (plain, labelled):
        bottoms = [tiles.extent(i)[2] for i in range(4)]
        tops = [tiles.extent(i)[3] for i in range(4)]
        assert all(bottom < top for bottom, top in zip(bottoms, tops[1:]))
