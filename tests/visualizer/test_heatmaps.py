"""The content of pictures of images, without drawing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import ImageVisualizer, diverging_cmap, sequential_cmap
from saliency.visualizer.colors import diverging_between
from saliency.visualizer.images.heatmaps import (
    MODES,
    compute_map,
    compute_maps,
    compute_panel,
    compute_scale,
    compute_scales,
    note_on_uncertain,
)

SCORES = np.array([[1.0, -2.0], [4.0, -0.5]])
ERRORS = np.array([[0.5, 2.5], [0.0, 0.5]])
PICTURE = np.full((2, 2, 3), [0.2, 0.4, 0.6])
UNCERTAIN = np.array([[False, True], [False, True]])


@pytest.fixture
def score_map():
    return compute_map(SCORES, None, ERRORS)


def panel_of(score_map, mode, picture=PICTURE):
    scale = compute_scale(score_map.scores, 100, None, None)
    return compute_panel(score_map, picture, scale, mode, 0.8, "saliency")


def test_a_map_knows_which_scores_are_uncertain(score_map):
    assert_array_equal(score_map.scores, SCORES)
    assert_array_equal(score_map.is_uncertain, UNCERTAIN)
    assert_array_equal(score_map.certain, [[1, 0], [4, 0]])


def test_heatmap(score_map):
    panel = panel_of(score_map, "heatmap")
    assert panel.picture is panel.opacity is None
    assert_array_equal(panel.scores.data, SCORES)
    assert_array_equal(panel.scores.mask, UNCERTAIN)


def test_overlay(score_map):
    panel = panel_of(score_map, "overlay")
    grey = 0.3 + 0.7 * (0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6)
    assert_allclose(panel.picture, np.full((2, 2, 3), grey))
    assert_array_equal(panel.scores, SCORES)
    assert_allclose(panel.opacity, [[0.2, 0], [0.8, 0]])


def test_mask(score_map):
    panel = panel_of(score_map, "mask")
    strength = np.array([[0.25, 0], [1, 0]])
    assert_allclose(panel.picture, PICTURE * strength[..., None])
    assert panel.scores is None


def test_contour(score_map):
    panel = panel_of(score_map, "contour")
    assert_array_equal(panel.picture, PICTURE)
    assert_array_equal(panel.heights, [[1, 0], [4, 0]])
    assert panel.levels == [1, 2, 3]
    flat = compute_map(np.zeros((2, 2)), None, None)
    assert panel_of(flat, "contour").levels == []


@pytest.mark.parametrize("resize, shape", [("saliency", (4, 6)), ("image", (2, 2))])
def test_map_and_picture_get_one_size(score_map, resize, shape):
    picture = np.full((4, 6, 3), 0.5)
    scale = compute_scale(SCORES, 100, None, None)
    panel = compute_panel(score_map, picture, scale, "overlay", 1.0, resize)
    assert panel.picture.shape == (*shape, 3)
    assert panel.scores.shape == panel.opacity.shape == shape


@pytest.mark.parametrize(
    ("scores", "how", "expected"),
    [
        (SCORES, {}, (diverging_cmap, -4, 4)),
        (abs(SCORES), {}, (sequential_cmap, 0, 4)),
        (SCORES, {"limit": (-1, 9)}, (diverging_between(-1, 9), -1, 9)),
        (SCORES, {"limit": (0, 9)}, (sequential_cmap, 0, 9)),
        (SCORES, {"limit": 3}, (diverging_cmap, -3, 3)),
        (abs(SCORES), {"limit": np.float32(3)}, (sequential_cmap, 0, 3)),
        (abs(SCORES), {"limit": [-3, 3]}, (diverging_cmap, -3, 3)),
        (abs(SCORES), {"cmap": diverging_cmap}, (diverging_cmap, -4, 4)),
        (0 * SCORES, {}, (sequential_cmap, 0, 1)),
        (SCORES, {"percentile": 50}, (diverging_cmap, -1.5, 1.5)),
    ],
)
def test_scales(scores, how, expected):
    how = {"percentile": 100, "limit": None, "cmap": None, **how}
    assert tuple(compute_scale(scores, **how)) == expected


def test_scales_of_a_grid():
    maps = {"a": [SCORES, 2 * SCORES], "b": [abs(SCORES), 8 * SCORES]}
    maps = compute_maps(maps, None, None, 2)
    limits = {
        scale: [
            [one.limit for one in row]
            for row in compute_scales(maps, scale, 100, None, None)
        ]
        for scale in ("separate", "row", "column", "all")
    }
    assert limits == {
        "separate": [[4, 4], [8, 32]],
        "row": [[4, 4], [32, 32]],
        "column": [[8, 32], [8, 32]],
        "all": [[32, 32], [32, 32]],
    }


def test_the_note_names_how_uncertain_scores_are_shown(score_map):
    certain = compute_map(SCORES, None, None)
    notes = [note_on_uncertain(mode, [certain, score_map]) for mode in MODES]
    assert notes == [
        f"{shown}: not distinguishable from 0"
        for shown in ("no colour", "no line", "black", "grey")
    ]
    assert note_on_uncertain("mask", [certain]) == ""


@pytest.mark.parametrize(
    ("shape", "is_refused"),
    [
        ((20, 50, 3), True),
        ((50, 50, 3), True),
        ((20, 50, 1), True),
        ((3, 20, 50), False),
        ((64, 20, 50), False),
        ((64, 4, 4), False),  # feature maps that are that small
        ((512, 1, 1), False),
        ((1, 5, 4), False),
    ],
)
def test_scores_with_channels_last_are_not_added_up_over_the_height(shape, is_refused):
    scores = np.random.default_rng(0).normal(size=shape)
    visualizer = ImageVisualizer()
    calls = [
        lambda: visualizer.visualize(scores, mode="heatmap", scaler=None),
        lambda: visualizer.visualize_grid(
            {"gradient": [scores]}, [np.zeros((8, 8))], mode="heatmap"
        ),
    ]
    for call in calls:
        if is_refused:
            message = r"\(h, w, ch\) or \(ch, h, w\).*\.sum\(axis=2\).*\.sum\(axis=0\)"
            with pytest.raises(ValueError, match=message):
                call()
        else:
            drawn = [ax.get_images() for ax in call().axes if ax.get_images()]
            image = drawn[-1][-1].get_array()
            assert image.shape[:2] in (shape[1:], (8, 8))
