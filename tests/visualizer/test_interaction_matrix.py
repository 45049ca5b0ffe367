"""Matrices of what pairs of features add: their order, colours and texts."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import TableVisualizer
from saliency.visualizer.colors import diverging_cmap, sequential_cmap

M = np.array([[0.5, -0.2, 0.001], [-0.2, -3.0, 1.0], [0.001, 1.0, 0.0]])
NAMES = ["age", "$weight$", "pulse"]


def draw(matrix=M, names=NAMES, **how):
    return TableVisualizer().visualize_interactions(matrix, names, **how)


def shown(figure):
    (image,) = figure.axes[0].images
    return np.asarray(image.get_array())


def texts(labels):
    return [label.get_text() for label in labels]


def test_the_title_stands_above_the_words_of_the_bar():
    figure = TableVisualizer().visualize_interactions(np.eye(3) - 0.5, [*"abc"])
    figure.draw_without_rendering()
    matrix, bar = figure.axes
    words = bar.title, bar._left_title
    word = next(one for one in words if one.get_text()).get_window_extent()
    assert not word.overlaps(matrix.title.get_window_extent())


def test_features_stand_by_the_magnitudes_of_their_rows():
    figure = draw()
    order = [1, 2, 0]
    np.testing.assert_array_equal(shown(figure), M[np.ix_(order, order)])
    ax = figure.axes[0]
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert texts(labels) == ["$weight$", "pulse", "age"]


def test_the_strongest_are_shown_and_the_others_counted():
    figure = draw(num_visualize=2)
    np.testing.assert_array_equal(shown(figure), [[-3, 1], [1, 0]])
    assert figure.axes[0].get_ylabel() == "and 1 more"


def test_values_are_written_without_a_negative_zero():
    figure = draw(np.array([[2.0, -0.0004], [-0.0004, -1.0]]), None)
    assert texts(figure.axes[0].texts) == ["2.00", "0.00", "0.00", "\N{MINUS SIGN}1.00"]
    assert not draw(show_values=False).axes[0].texts
    assert not draw(np.eye(13), None).axes[0].texts


@pytest.mark.parametrize("scale", [3e-12, 2e-5, 1e-3, 1, 5e3, 7e9])
def test_written_values_are_those_of_the_cells_however_large(scale):
    matrix = scale * np.array([[1, -0.5], [-0.5, 0.25]])
    found = [text.get_text() for text in draw(matrix, None).axes[0].texts]
    assert max(map(len, found)) <= 8
    values = [float(text.replace("\N{MINUS SIGN}", "-")) for text in found]
    np.testing.assert_allclose(values, matrix.ravel(), rtol=0.05)


@pytest.mark.parametrize(
    ("matrix", "how", "cmap", "low"),
    [
        (M, {}, diverging_cmap, -3.0),
        (abs(M), {}, sequential_cmap, 0.0),
        (abs(M), {"signed": True}, diverging_cmap, -3.0),
        (M, {"limit": 5.0}, diverging_cmap, -5.0),
    ],
)
def test_colours_have_a_sign_where_values_do(matrix, how, cmap, low):
    (image,) = draw(matrix, **how).axes[0].images
    assert image.cmap == cmap
    assert (image.norm.vmin, image.norm.vmax) == (low, how.get("limit", 3.0))


@pytest.mark.parametrize(
    ("matrix", "names", "message"),
    [
        (np.ones((2, 3)), None, r"\(n_feature, n_feature\), got the shape \(2, 3\)"),
        (np.ones((1, 2, 2)), None, r"\(n_feature, n_feature\)"),
        (np.full((2, 2), np.nan), None, "interactions .*finite"),
        (M, ["a"], "one name for each of the 3 features"),
    ],
)
def test_what_is_no_matrix(matrix, names, message):
    with pytest.raises(ValueError, match=message):
        draw(matrix, names)
