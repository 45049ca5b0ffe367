"""The content of swarms, without drawing."""

from __future__ import annotations

import numpy as np

from saliency.visualizer.tables.beeswarm import (
    DOT_PITCH,
    SWARM_COLUMNS,
    compute_swarms,
)

SCORES = np.array([[1.0, -5.0, 0.0], [3.0, 5.0, 0.0]])
FEATURES = np.array([[7.0, np.nan, 1.0], [8.0, 2.0, 1.0]])


def compute(scores, features, *how):
    (swarms,) = compute_swarms({"saliency": scores}, {"features": features}, *how)
    return swarms


def test_rows_are_features_by_mean_magnitude():
    swarms = compute(SCORES, FEATURES, ["a", "b", "c"], 2)
    assert swarms.names == ["b", "a"]
    np.testing.assert_array_equal(swarms.scores, [[-5, 5], [1, 3]])
    np.testing.assert_array_equal(swarms.heights, [[0, 0], [1, 1]])


def test_colours_are_relative_to_the_values_of_the_feature():
    swarms = compute(SCORES, FEATURES, None, -1)
    assert swarms.names == ["1", "0", "2"]
    np.testing.assert_array_equal(swarms.features, [[np.nan, 0.5], [0, 1], [0.5, 0.5]])


def test_the_colour_bar_says_what_grey_is():
    swarms = compute(SCORES, FEATURES, None, -1)
    assert swarms.color_label == "feature value\n(grey: no value)"
    swarms = compute(SCORES, np.nan_to_num(FEATURES), None, -1)
    assert swarms.color_label == "feature value"


def test_dots_at_one_place_are_stacked_with_low_values_at_the_bottom():
    scores, features = np.zeros((3, 1)), np.array([[3.0], [1.0], [2.0]])
    heights = compute(scores, features, None, -1).heights[0]
    assert heights[0] < heights[2] < heights[1]  # the axis points down
    np.testing.assert_allclose(heights.sum(), 0, atol=1e-12)


def test_of_many_dots_those_are_left_out_that_a_later_one_hides(rng):
    scores, features = rng.normal(size=(2, 4000, 2))
    swarms = compute(scores, features, None, -1)
    width = np.ptp(scores) / SWARM_COLUMNS
    for x, y, is_seen in zip(swarms.scores, swarms.heights, swarms.is_seen):
        assert 200 < is_seen.sum() < 3600
        places = np.stack([x / width, y / DOT_PITCH], axis=1)
        for i in np.flatnonzero(~is_seen):
            away = np.abs(places[i + 1 :] - places[i]).max(axis=1)
            assert away[is_seen[i + 1 :]].min() <= 0.2
        assert is_seen[[x.argmin(), x.argmax()]].all()


def test_of_few_dots_all_are_drawn():
    swarms = compute(np.zeros((2000, 1)), np.zeros((2000, 1)), None, -1)
    assert swarms.is_seen.all()


def test_the_last_of_equal_dots_is_drawn():
    """Dots at one place have the colour of the one that is drawn upon the others."""
    scores = np.zeros((30_000, 1))
    features = np.arange(30_000.0)[:, np.newaxis] % 7
    swarms = compute(scores, features, None, -1)
    assert 1 < swarms.is_seen.sum() < 100
    assert np.unique(swarms.features[swarms.is_seen]).size == 7
