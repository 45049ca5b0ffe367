"""Colours of scores: colour maps, limits and scales."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import CenteredNorm, to_rgb

from saliency import (
    atom_color,
    diverging_cmap,
    heatmap,
    magnitude_color,
    red_blue_cmap,
    sequential_cmap,
    signed_colors,
)
from saliency.visualizer.colors import (
    MISSING_COLOR,
    NEUTRAL_COLOR,
    POSITIVE_COLOR,
    ColorScale,
    limit_of_colors,
)


@pytest.mark.parametrize(
    ("score", "color"),
    [
        (0, (1, 1, 1)),
        (-0.0, (1, 1, 1)),
        (1, (1, 0, 0)),
        (-1, (0, 0, 1)),
        (0.25, (1, 0.75, 0.75)),
        (np.float32(-0.25), (0.75, 0.75, 1)),
    ],
)
def test_red_blue_cmap(score, color):
    assert red_blue_cmap(score) == color


@given(st.floats())
def test_red_blue_cmap_is_always_a_colour(score):
    """PEERS: values above 1 give invalid colours; NaN crashes the drawing."""
    assert all(0 <= channel <= 1 for channel in red_blue_cmap(score))


def test_red_blue_cmap_clips_and_greys_nan():
    assert red_blue_cmap(7) == red_blue_cmap(np.inf) == (1, 0, 0)
    assert red_blue_cmap(-7) == red_blue_cmap(-np.inf) == (0, 0, 1)
    red, green, blue = red_blue_cmap(np.nan)
    assert red == green == blue < 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_red_blue_cmap_deepens_with_the_magnitude(a, b):
    weak, strong = sorted([a, b])
    assert red_blue_cmap(strong)[1] <= red_blue_cmap(weak)[1]
    assert red_blue_cmap(-strong)[0] <= red_blue_cmap(-weak)[0]


def test_diverging_cmap_is_white_at_zero_and_grey_at_nan():
    colors = diverging_cmap(CenteredNorm()(np.ma.masked_invalid([-3, 0, 2, np.nan])))
    assert colors[0, 2] > colors[0, 0]  # blue
    np.testing.assert_array_equal(colors[1], [1, 1, 1, 1])
    assert colors[2, 0] > colors[2, 2]  # red
    assert colors[3, 0] == colors[3, 1] == colors[3, 2] < 1 == colors[3, 3]


def test_signed_colors():
    colors = signed_colors([-1e-9, 0, 1e-9, 5, np.nan])
    blue, zero, red, redder, missing = colors
    assert colors.shape == (5, 4)
    assert (colors[:, 3] == 1).all()
    assert blue[2] > 2 * blue[0]
    assert red[0] > 2 * red[2]
    np.testing.assert_array_equal(red, redder)
    assert zero[0] == zero[2] != missing[0] == missing[2]


# What readers with one kind of cone missing see, as linear RGB. Machado, Oliveira and
# Fernandes (2009), A Physiologically-based Model for Simulation of Color Vision
# Deficiency, severity 1.0.
VISION = {
    "common": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def cielab(colors, vision="common"):
    """Return L*, a* and b* (CIE 1976, white point D65) of sRGB colours, as it is seen.

    IEC 61966-2-1 says what sRGB is.
    """
    colors = np.asarray(colors, np.float64)[..., :3]
    low, high = colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4
    linear = np.where(colors <= 0.04045, low, high)
    linear = np.clip(linear @ VISION[vision].T, 0, 1)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    shares = linear @ to_xyz.T / [0.95047, 1, 1.08883]
    bent, straight = np.cbrt(shares), shares / (3 * (6 / 29) ** 2) + 4 / 29
    x, y, z = np.moveaxis(np.where(shares > (6 / 29) ** 3, bent, straight), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def test_lightness_is_that_of_known_colours():
    lightness = cielab(
        [to_rgb(color) for color in ("black", "white", "red", "#777777")]
    )
    np.testing.assert_allclose(lightness[:, 0], [0, 100, 53.24, 50.03], atol=0.01)
    np.testing.assert_allclose(lightness[2], [53.24, 80.09, 67.20], atol=0.02)


MAGNITUDES = np.linspace(0, 1, 129)


@pytest.mark.parametrize(
    "colors",
    [
        diverging_cmap(0.5 + MAGNITUDES / 2),
        diverging_cmap(0.5 - MAGNITUDES / 2),
        sequential_cmap(MAGNITUDES),
    ],
    ids=["for", "against", "no sign"],
)
def test_stronger_scores_are_darker(colors):
    lightness = cielab(colors)[:, 0]
    assert lightness[0] == pytest.approx(100, abs=0.01)
    assert (np.diff(lightness) < -0.2).all()


def test_signs_can_be_told_in_greyscale():
    shares = np.linspace(0.5, 1, 65)
    lighter = cielab(diverging_cmap(0.5 + shares / 2))[:, 0]
    darker = cielab(diverging_cmap(0.5 - shares / 2))[:, 0]
    difference = lighter - darker
    assert difference.min() > 10
    assert difference[-1] > 30
    against, zero, for_ = cielab(signed_colors([-1, 0, 1]))[:, 0]
    assert against + 15 < for_ < zero - 15


@pytest.mark.parametrize("vision", VISION)
def test_signs_can_be_told_with_every_colour_vision(vision):
    """A distance of 2.3 is just noticeable (Mahy et al., 1994)."""
    shares = np.linspace(0.5, 1, 65)
    warm = cielab(diverging_cmap(0.5 + shares / 2), vision)
    cold = cielab(diverging_cmap(0.5 - shares / 2), vision)
    assert np.linalg.norm(warm - cold, axis=1).min() > 40
    against, for_ = cielab(signed_colors([-1, 1]), vision)
    assert np.linalg.norm(against - for_) > 40


@pytest.mark.parametrize("vision", VISION)
def test_what_has_no_sign_is_not_taken_for_positive(vision):
    shares = np.linspace(0.5, 1, 65)
    neutral = cielab(sequential_cmap(shares), vision)
    warm = cielab(diverging_cmap(0.5 + shares / 2), vision)
    assert np.linalg.norm(neutral - warm, axis=1).min() > 35


def test_bars_are_dark_enough_for_thin_lines():
    bars = [*signed_colors([-1, 1])[:, :3], to_rgb(NEUTRAL_COLOR)]
    assert cielab(bars)[:, 0].max() < 50


def test_atom_color_diverges_from_white_at_zero():
    assert atom_color(0) == (1, 1, 1)
    red, blue = atom_color(1), atom_color(-1)
    assert red[0] > red[1] and red[0] > red[2]
    assert blue[2] > blue[1] > blue[0]
    for color in (red, blue):  # black letters are legible on it
        luminance = np.dot(np.array(color) ** 2.2, [0.2126, 0.7152, 0.0722])
        assert (luminance + 0.05) / 0.05 > 4.5
    assert atom_color(7) == red and atom_color(-7) == blue


def test_the_signs_of_atoms_can_be_told_in_greyscale():
    lightness = cielab(np.array([atom_color(1), atom_color(-1)]))[:, 0]
    assert lightness[0] - lightness[1] > 10


def test_magnitudes_of_atoms_are_purple():
    assert magnitude_color(0) == (1, 1, 1)
    red, green, blue = magnitude_color(1)
    assert blue > red > green
    luminance = np.dot(np.array(magnitude_color(1)) ** 2.2, [0.2126, 0.7152, 0.0722])
    assert (luminance + 0.05) / 0.05 > 4.5  # black letters are legible on it
    assert magnitude_color(7) == magnitude_color(1)
    assert magnitude_color(-1) == magnitude_color(0)


def test_colour_maps_have_the_colours_of_bars():
    np.testing.assert_array_equal(diverging_cmap(1.0)[:3], to_rgb(POSITIVE_COLOR))
    np.testing.assert_allclose(
        sequential_cmap(0.8)[:3], to_rgb(NEUTRAL_COLOR), atol=0.01
    )
    np.testing.assert_array_equal(sequential_cmap(0.0), [1, 1, 1, 1])
    for cmap in (diverging_cmap, sequential_cmap):
        np.testing.assert_array_equal(cmap.get_bad()[:3], to_rgb(MISSING_COLOR))


@pytest.mark.large
def test_colour_maps_have_nothing_left_to_fill():
    """Two threads that fill one at once, as matplotlib does at first use, spoil it."""
    code = """
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from saliency.visualizer import diverging_cmap, sequential_cmap
from saliency.visualizer.tables.beeswarm import FEATURE_CMAP
def refuse(cmap):
    raise AssertionError(f"{cmap.name} is filled at its first use")
LinearSegmentedColormap._init = ListedColormap._init = refuse
for cmap in (diverging_cmap, sequential_cmap, FEATURE_CMAP):
    cmap(0.5), cmap.get_bad()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- heatmap --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [("sum", [-2, 4]), ("mean", [-1, 2]), ("max", [3, 4]), ("norm", [10**0.5, 4])],
)
def test_heatmap_has_zero_in_the_middle_and_reduces_channels(reduce, expected):
    saliency = np.array([[[1.0, 4.0]], [[-3.0, 0.0]]])
    expected = np.array([expected])
    colors = heatmap(saliency, diverging_cmap, reduce, ch_axis=0)
    shares = 0.5 + expected / (2 * np.abs(expected).max())
    np.testing.assert_array_equal(colors, diverging_cmap(shares)[..., :3])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"reduce": "min"}, "reduce must be one of 'sum', 'mean', 'max', 'norm'"),
        ({"ch_axis": 2}, "ch_axis must be an axis of saliency with 2 axes, got 2"),
    ],
)
def test_heatmap_refuses(how, message):
    with pytest.raises(ValueError, match=message):
        heatmap(np.ones((2, 2)), **how)


# --- limits and scales ----------------------------------------------------------


@given(
    arrays(np.float64, (2, 5), elements=st.integers(-9, 9).map(float)),
    st.integers(0, 100),
)
def test_the_limit_is_a_percentile_of_the_magnitudes_and_never_0(scores, percentile):
    magnitudes = np.sort(np.abs(scores), axis=None)
    at = np.interp(percentile / 100 * 9, np.arange(10), magnitudes)
    expected = at or magnitudes[-1] or 1.0
    assert limit_of_colors(scores, percentile) == pytest.approx(expected)
    assert limit_of_colors(scores) == (magnitudes[-1] or 1.0)


def test_limits_of_rare_scores_and_of_none():
    scores = np.zeros(100)
    assert limit_of_colors(scores, 50) == 1
    scores[3] = -7
    assert limit_of_colors(scores, 50) == 7


def test_a_color_scale_says_how_strong_scores_are():
    scale = ColorScale(diverging_cmap, -2.0, 4.0)
    np.testing.assert_array_equal(
        scale.strength(np.array([-8, -2, 0, 1, 4, 9])), [0.5, 0.5, 0, 0.25, 1, 1]
    )
    np.testing.assert_array_equal(scale.norm([-3, -2, 1, 4, 5]), [0, 0, 0.5, 1, 1])
