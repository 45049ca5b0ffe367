"""The content of swarms, without drawing."""

from __future__ import annotations

import numpy as np

from saliency.visualizer.tables.beeswarm import compute_swarms

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
