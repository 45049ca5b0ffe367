"""Heatmaps of tables: which examples are neighbours, and what colours say."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import TableVisualizer
from saliency.visualizer.colors import diverging_cmap, sequential_cmap

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5)) * [1, 4, 2, 0.1, 0.5]
Y = RNG.normal(size=40)


def draw(saliency=X, **how):
    return TableVisualizer().visualize_heatmap(saliency, **how)


def image(figure):
    (shown,) = figure.axes[0].images
    return np.asarray(shown.get_array())


def line(figure):
    (above,) = figure.axes[0].child_axes
    return above.lines[0].get_ydata()[:-1]  # the last is the edge of the last column


def rows(table):
    return table.T[np.argsort(-abs(table).mean(axis=0))]


def test_rows_are_features_by_mean_magnitude():
    figure = draw(order="none", scores=Y)
    np.testing.assert_array_equal(image(figure), rows(X))
    np.testing.assert_array_equal(line(figure), Y)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["1", "2", "0", "4", "3"]


def test_examples_by_their_output():
    figure = draw(order="score", scores=Y)
    np.testing.assert_array_equal(line(figure), np.sort(Y))
    np.testing.assert_array_equal(image(figure), rows(X)[:, np.argsort(Y)])
    assert figure.axes[0].get_xlabel() == "examples, by f(x)"


@pytest.mark.parametrize("table", [X, X[:3]], ids=["many examples", "many features"])
def test_similar_examples_are_in_the_order_of_the_first_principal_component(table):
    outputs = table.sum(axis=1)
    centred = table - table.mean(axis=0)
    along = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    along *= np.sign(along @ outputs)
    figure = draw(table, scores=outputs)
    np.testing.assert_array_equal(line(figure), outputs[np.argsort(along)])
    np.testing.assert_array_equal(image(figure), rows(table)[:, np.argsort(along)])
    assert figure.axes[0].get_xlabel() == "examples, similar ones side by side"


def test_groups_of_similar_examples_stay_together():
    groups = np.repeat([[3.0, -1], [-3, 1]], 20, axis=0)
    shuffled = RNG.permutation(40)
    table = (groups + RNG.normal(size=(40, 2)) / 9)[shuffled]
    signs = np.sign(image(draw(table))[0])
    assert np.count_nonzero(np.diff(signs)) == 1


def test_signed_scores_have_zero_in_the_middle():
    (shown,) = draw(percentile=100).axes[0].images
    assert shown.cmap is diverging_cmap
    limit = abs(X).max()
    assert shown.get_clim() == (-limit, limit)
    (shown,) = draw(limit=2).axes[0].images
    assert shown.get_clim() == (-2, 2)


def test_magnitudes_are_purple():
    (shown,) = draw(abs(X)).axes[0].images
    assert shown.cmap is sequential_cmap
    assert shown.get_clim() == (0, np.percentile(abs(X), 99))
    (shown,) = draw(abs(X), signed=True).axes[0].images
    assert shown.cmap is diverging_cmap


def test_panels_are_as_wide_as_their_examples_are_many():
    figure = draw({"x": X, "y": X[:20]}, scores={"x": Y, "y": Y[:20]})
    figure.draw_without_rendering()
    wide, narrow = (ax.get_position().width for ax in figure.axes[:2])
    assert wide / narrow == pytest.approx(2, rel=0.02)
    above = [ax.child_axes[0].get_ylim() for ax in figure.axes[:2]]
    assert above[0] == above[1]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"order": "best"}, ValueError, "order must be one of 'similarity', 'score'"),
        ({"order": "score"}, ValueError, "order='score' needs scores"),
        ({"scores": Y[:3]}, ValueError, r"scores must have one f\(x\) for each of 40"),
        ({"scores": Y * np.nan}, ValueError, "scores must be finite"),
        ({"percentile": 101}, ValueError, "percentile must be a number in"),
        ({"limit": -1}, ValueError, "limit must be a number > 0"),
        ({"signed": "yes"}, ValueError, "signed must be True or False"),
    ],
)
def test_wrong_arguments(how, error, message):
    with pytest.raises(error, match=message):
        draw(**how)
