"""FilterVisualizer: which filter is where, in which colours, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from saliency import FilterVisualizer, diverging_cmap

visualizer = FilterVisualizer()


@pytest.fixture
def filters():
    return np.random.default_rng(0).normal(size=(7, 4, 5))


def drawn(figure: Figure) -> list:
    return figure.axes[0].get_images()


class TestGrid:
    @settings(max_examples=10)
    @given(n=st.integers(1, 12), n_column=st.integers(1, 14), labelled=st.booleans())
    @pytest.mark.large
    def test_filters_are_read_like_text_and_do_not_overlap(self, n, n_column, labelled):
        values = np.arange(1, n * 6 + 1).reshape(n, 2, 3)
        labels = "abcdefghijkl"[:n] if labelled else None
        figure = visualizer.visualize(values, n_column=n_column, labels=labels)
        images = drawn(figure)
        places = []
        for image, expected in zip(images, values):
            assert_array_equal(image.get_array(), expected)
            left, right, bottom, top = image.get_extent()
            assert_allclose((bottom - top) / (right - left), 2 / 3)
            places.append((top, bottom, left, right))
        assert len(images) == n
        for i, (top, _, left, _) in enumerate(places):
            if i % n_column:
                assert left > places[i - 1][3] and top == places[i - 1][0]
            elif i:
                assert left == places[0][2] and top > places[i - 1][1]
        low, high = sorted(figure.axes[0].get_ylim())
        assert low < places[0][0] and places[-1][1] < high
        low, high = figure.axes[0].get_xlim()
        assert low < places[0][2] and max(p[3] for p in places) < high

    def test_each_has_a_frame(self, filters):
        """Zero is as white as the paper."""
        figure = visualizer.visualize(filters)
        frames = [patch.get_bbox() for patch in figure.axes[0].patches]
        for image, frame in zip(drawn(figure), frames):
            left, right, bottom, top = image.get_extent()
            assert_allclose(frame.extents, [left, top, right, bottom])
        assert len(frames) == 7

    def test_it_is_about_square_by_default(self, filters):
        lefts = [
            image.get_extent()[0] for image in drawn(visualizer.visualize(filters))
        ]
        assert len(set(lefts)) == 3

    def test_labels_stand_above_their_filters(self, filters):
        figure = visualizer.visualize(filters, labels="abcdefg")
        for image, text in zip(drawn(figure), figure.axes[0].texts):
            left, right, bottom, top = image.get_extent()
            x, y = text.get_position()
            assert left < x < right
            assert y == top < bottom  # the axis points down
        assert "".join(t.get_text() for t in figure.axes[0].texts) == "abcdefg"


class TestColours:
    def test_all_share_one_symmetric_scale(self, filters):
        filters[3, 1, 2] = -9
        figure = visualizer.visualize(filters)
        for image in drawn(figure):
            assert image.cmap is diverging_cmap
            assert (image.norm.vmin, image.norm.vmax) == (-9, 9)
            assert image.norm(0) == 0.5
        bar = figure.axes[1]
        assert bar.get_ylim() == (-9, 9)

    def test_the_scale_may_be_given(self, filters):
        (image, *_) = drawn(visualizer.visualize(filters, limit=0.5))
        assert (image.norm.vmin, image.norm.vmax) == (-0.5, 0.5)

    def test_zeros_are_drawn_as_zeros(self):
        (image,) = drawn(visualizer.visualize(np.zeros((1, 2, 2))))
        assert image.norm(0) == 0.5

    def test_zeros_everywhere_are_called_so(self, filters):
        (text,) = visualizer.visualize(0 * filters).axes[0].texts
        assert text.get_text() == "all scores are 0"
        assert not visualizer.visualize(filters).axes[0].texts

    def test_the_bar_says_what_the_values_are(self, filters):
        labels = [
            visualizer.visualize(filters, **how).axes[1].get_ylabel()
            for how in ({}, {"unit": "weight"})
        ]
        assert labels == ["value", "weight"]

    def test_one_channel_is_left_out(self, filters):
        (image, *_) = drawn(visualizer.visualize(filters[:, None]))
        assert_array_equal(image.get_array(), filters[0])

    def test_three_channels_are_colours_around_grey(self):
        filters = np.array([[-2.0, 0, 2], [0, 1, 0]])[:, :, None, None]
        figure = visualizer.visualize(filters)
        colors = [image.get_array()[0, 0] for image in drawn(figure)]
        assert_allclose(colors, [[0, 0.5, 1], [0.5, 0.75, 0.5]])
        assert len(figure.axes) == 1  # no colour bar

    def test_the_callers_array_is_not_changed(self, filters):
        before = filters.copy()
        visualizer.visualize(filters)
        assert_array_equal(filters, before)


class TestFigure:
    @pytest.mark.parametrize("n, n_column", [(1, 1), (10, 5), (30, 10)])
    @pytest.mark.large
    def test_the_title_is_over_the_filters_and_the_bar_as_high_as_they(
        self, n, n_column
    ):
        """Side by side, bars of pictures of one height have one height, too."""
        figure = Figure((11, 4), layout="constrained")
        for ax in figure.subplots(1, 2):
            visualizer.visualize(
                np.ones((n, 4, 5)), title="title", n_column=n_column, ax=ax
            )
        figure.draw_without_rendering()
        heights = set()
        for ax, bar in zip(figure.axes[:2], figure.axes[2:]):
            boxes = [image.get_window_extent() for image in ax.get_images()]
            left, right = min(b.x0 for b in boxes), max(b.x1 for b in boxes)
            title, beside = ax.title.get_window_extent(), bar.get_window_extent()
            assert_allclose((title.x0 + title.x1) / 2, (left + right) / 2, atol=1)
            top, bottom = max(b.y1 for b in boxes), min(b.y0 for b in boxes)
            assert_allclose((beside.y1, beside.y0), (top, bottom), atol=4)
            assert 0 < beside.x0 - right < 20
            heights.add(round(beside.height))
        assert len(heights) == 1

    def test_it_is_saved(self, filters, tmp_path):
        visualizer.visualize(filters, tmp_path / "f.png", title="filters")
        with Image.open(tmp_path / "f.png") as picture:
            assert min(picture.size) > 300

    def test_it_draws_on_the_axes_given(self, filters):
        ax = Figure().add_subplot()
        figure = visualizer.visualize(filters, ax=ax, show_colorbar=False)
        assert figure is ax.figure
        assert len(ax.get_images()) == len(filters)
        assert figure.axes == [ax]


class TestRefusals:
    @pytest.mark.parametrize(
        "shape, hint",
        [
            ((10, 784), r"W.reshape\(n, h, w\)"),
            ((8, 4, 3, 3), r"W\[:, 0\]"),
            ((0, 3, 3), "empty"),
            ((3,), r"shape \(3,\)"),
        ],
    )
    def test_other_shapes(self, shape, hint):
        with pytest.raises(ValueError, match=rf"filters must have the shape.*{hint}"):
            visualizer.visualize(np.zeros(shape))

    @pytest.mark.parametrize(
        "wrong, message",
        [
            (
                {"labels": "abc"},
                "labels must hold one for each of the 7 filters, got 3",
            ),
            ({"n_column": 0}, "n_column must be an int >= 1, got 0"),
            ({"limit": -1.0}, "limit must be a number > 0 or None, got -1.0"),
            ({"limit": "1"}, "limit must be a number > 0 or None, got '1'"),
            ({"limit": np.nan}, "limit must be a number > 0 or None, got nan"),
            (
                {"cmap": "no such"},
                "cmap must be a matplotlib colour map, got 'no such'",
            ),
        ],
        ids=str,
    )
    def test_arguments(self, filters, wrong, message, tmp_path):
        path = tmp_path / "f.png"
        with pytest.raises(ValueError, match=message):
            visualizer.visualize(filters, path, **wrong)
        assert not path.exists()

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite(self, filters, value):
        filters[0, 0, 0] = value
        with pytest.raises(ValueError, match="1 NaN or infinite of 140 values"):
            visualizer.visualize(filters)
