"""Scores of a feature against its values, and what interacts with it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from saliency import TableVisualizer
from saliency.visualizer.tables.interactions import interactions

NAMES = ["a", "b", "c", "d"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))


def draw(scores, features=X, feature=0, names=NAMES, **how):
    table = np.zeros(np.shape(features))
    table[:, feature if isinstance(feature, int) else names.index(feature)] = scores
    return TableVisualizer().visualize_dependence(
        table, features, feature, names, **how
    )


def dots(figure):
    (collection,) = (
        c for c in figure.axes[0].collections if isinstance(c, PathCollection)
    )
    return collection


def color_label(figure):
    return figure.axes[1].get_ylabel()


def ticks(figure):
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_a_dot_is_at_the_value_and_the_score():
    scores = X[:, 1] ** 2
    figure = draw(scores, feature="b", color_by=None)
    expected = np.column_stack([X[:, 1], scores])
    np.testing.assert_allclose(np.asarray(dots(figure).get_offsets()), expected)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("b", "score of b")


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (X[:, 0] * X[:, 2], "c"),
        (X[:, 0] ** 2 + 0.5 * X[:, 0] * X[:, 3], "d"),
        (X[:, 0] * (X[:, 1] > 0) + 0.1 * X[:, 0] * X[:, 2], "b"),
    ],
)
def test_colours_are_those_of_the_strongest_interaction(scores, expected):
    figure = draw(scores)
    assert color_label(figure) == expected
    shown = X[:, NAMES.index(expected)]
    np.testing.assert_array_equal(np.ma.getdata(dots(figure).get_array()), shown)


def test_without_interactions_there_is_one_colour():
    figure = draw(3 * X[:, 0])
    assert len(figure.axes) == 1
    assert len({to_hex(color) for color in dots(figure).get_facecolor()}) == 1


def test_interactions_are_shares_of_the_spread():
    scores = X[:, 0] * X[:, 2]
    found = interactions(scores, X, 0)
    assert found[0] == 0
    assert 0.8 < found[2] <= 1
    assert found[[1, 3]].max() < 0.2
    # A missing value says nothing, and its example does of others.
    holes = X.copy()
    holes[::3, 2] = np.nan
    assert interactions(scores, holes, 0).argmax() == 2


def test_the_colour_may_be_chosen():
    assert color_label(draw(X[:, 0] * X[:, 2], color_by="b")) == "b"
    assert color_label(draw(X[:, 0] * X[:, 2], color_by=-1)) == "d"
    assert len(draw(X[:, 0] * X[:, 2], color_by=None).axes) == 1


def test_features_with_long_names_are_found():
    names = ["a", "b", "c", "a very long name of a feature, longer than a line"]
    figure = draw(X[:, 3], feature=names[3], names=names, color_by=names[3])
    assert figure.axes[0].get_xlabel().replace("\n", " ") == names[3]


def test_missing_values_stand_apart():
    features = X.copy()
    features[:10, 0] = np.nan
    figure = draw(X[:, 0], features, color_by="c")
    assert ticks(figure)[0] == "missing"
    at = np.asarray(dots(figure).get_offsets())[:, 0]
    assert len(set(at[:10])) == 1
    assert at[0] < np.nanmin(features[:, 0])
    np.testing.assert_array_equal(at[10:], features[10:, 0])
    assert "grey" not in color_label(figure)


def test_missing_colours_are_grey_and_named():
    features = X.copy()
    features[:10, 2] = np.nan
    figure = draw(X[:, 0], features, color_by="c")
    assert color_label(figure) == "c\n(grey: no value)"
    figure.draw_without_rendering()
    colors = dots(figure).get_facecolor()[:, :3]
    np.testing.assert_array_equal(np.ptp(colors, axis=1) == 0, np.arange(200) < 10)


def test_nothing_but_missing_values():
    features = np.full((5, 1), np.nan)
    figure = draw(np.arange(5.0), features, names=["a"])
    assert ticks(figure) == ["missing"]


def test_categories_have_their_ticks_and_dots_do_not_hide_each_other():
    features = X.copy()
    features[:, 0] = np.arange(200) % 3
    figure = draw(np.zeros(200), features, color_by=None)
    assert ticks(figure) == ["0", "1", "2"]
    at = np.asarray(dots(figure).get_offsets())[:, 0]
    np.testing.assert_array_equal(np.round(at), features[:, 0])
    assert len(set(at)) == 200
    features[0, 0] = np.nan
    assert ticks(draw(np.zeros(200), features)) == ["missing", "0", "1", "2"]


@pytest.mark.parametrize("codes", [[0, 500, 1000], [94110, 94114, 94301], [7, 10**6]])
def test_categories_stand_apart_however_far_they_are_from_each_other(codes):
    features = X.copy()
    features[:, 0] = np.resize([np.nan, *codes], 200)
    figure = draw(np.ones(200), features, color_by=None)
    at = np.asarray(dots(figure).get_offsets())[:, 0]
    ends = [
        (found.min(), found.max())
        for found in (at[np.arange(200) % (len(codes) + 1) == k] for k in range(4))
        if len(found)
    ]
    least, most = figure.axes[0].get_xlim()
    width, step = most - least, np.diff(codes).min()
    assert ends[1][0] - ends[0][1] > 0.05 * width
    for code, (low, high) in zip(codes, ends[1:]):
        assert code - step / 2 < low < code < high < code + step / 2
        assert high - low > 0.2 * step
    assert least < ends[0][0] - 0.2 * step
    assert ends[-1][1] + 0.2 * step < most


def test_many_whole_numbers_are_no_categories():
    features = X.copy()
    features[:, 0] = np.arange(200)
    figure = draw(np.ones(200), features, color_by=None)
    at = np.asarray(dots(figure).get_offsets())[:, 0]
    np.testing.assert_array_equal(at, features[:, 0])


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [(-9, 9, "both"), (-1, 9, "max"), (-9, 1, "min"), (-0.1, 0.1, "neither")],
)
def test_the_colour_bar_says_at_which_ends_there_are_other_values(low, high, ends):
    features = X.copy()
    features[:, 2] = np.clip(X[:, 2], low, high)
    bar = draw(X[:, 0], features, color_by="c").axes[1]._colorbar
    assert bar.extend == ends
    is_beyond = (features[:, 2].min() < bar.vmin, features[:, 2].max() > bar.vmax)
    assert is_beyond == (ends in ("min", "both"), ends in ("max", "both"))


def test_the_colour_bar_has_the_values_of_categories():
    features = X.copy()
    features[:, 2] = np.arange(200) % 2
    figure = draw(X[:, 0], features, color_by="c")
    assert figure.axes[1].get_yticks().tolist() == [0, 1]


def test_panels_have_one_scale_of_colours():
    halves = {"x": X[:100], "y": 3 * X[100:]}
    figure = TableVisualizer().visualize_dependence(halves, halves, 0, color_by=1)
    first, second = (ax.collections[-1] for ax in figure.axes[:2])
    assert first.get_clim() == second.get_clim()
    together = np.concatenate([X[:100, 1], 3 * X[100:, 1]])
    np.testing.assert_allclose(first.get_clim(), np.percentile(together, [5, 95]))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"feature": 4}, ValueError, "feature must be a column of 4 features, got 4"),
        ({"feature": "e"}, ValueError, "feature must be one of 'a', 'b', 'c', 'd'"),
        ({"feature": 1.5}, TypeError, "feature must be the name or the column"),
        ({"color_by": "e"}, ValueError, "color_by must be one of 'a'"),
        (
            {"feature": "a", "feature_names": [*"abca"]},
            ValueError,
            "feature='a' is the name of several features; .* of one of them, 0 or 3",
        ),
        ({"color_by": [1]}, TypeError, "color_by must be the name or the column"),
        ({"features": X[:, :2]}, ValueError, "features must have the shape of salie"),
    ],
)
def test_wrong_arguments(how, error, message):
    how = {"features": X, "feature": 0, "feature_names": NAMES, **how}
    with pytest.raises(error, match=message):
        TableVisualizer().visualize_dependence(X, **how)


@pytest.mark.parametrize("scale", [1e6, 1e-7])
def test_labels_beside_missing_values_say_what_they_are_multiples_of(scale):
    features = np.random.default_rng(0).uniform(2 * scale, 9 * scale, (60, 2))
    features[:6, 0] = np.nan
    figure = TableVisualizer().visualize_dependence(
        np.ones((60, 2)), features, 0, color_by=None
    )
    axis = figure.axes[0].xaxis
    figure.savefig(io.BytesIO())  # which places the texts
    offset = axis.get_offset_text().get_text()
    factor = float(offset.replace("\N{MINUS SIGN}", "-") or 1)
    missing, *labels = [label.get_text() for label in axis.get_ticklabels()]
    assert missing == "missing" and len(labels) > 1
    values = [float(label.replace("\N{MINUS SIGN}", "-")) * factor for label in labels]
    np.testing.assert_allclose(values, figure.axes[0].get_xticks()[1:])


def test_categories_are_named_in_full():
    codes = np.random.default_rng(0).integers(100001, 100013, (80, 2)).astype(float)
    figure = TableVisualizer().visualize_dependence(np.ones((80, 2)), codes, 0)
    figure.savefig(io.BytesIO())  # which places the texts
    axis = figure.axes[0].xaxis
    labels = [label.get_text() for label in axis.get_ticklabels()]
    assert labels == [str(code) for code in range(100001, 100013)]
    assert axis.get_offset_text().get_text() == ""
    boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
    assert all(label.get_rotation() == 30 for label in axis.get_ticklabels())
    assert all(a.x0 < b.x0 for a, b in zip(boxes, boxes[1:]))
