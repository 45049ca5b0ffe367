"""ImageVisualizer: what is drawn where, in which colour, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from saliency import (
    ImageVisualizer,
    diverging_cmap,
    min_max_scaler,
    sequential_cmap,
)

visualizer = ImageVisualizer()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def signed(rng):
    return rng.normal(size=(8, 10))


@pytest.fixture
def photograph(rng):
    return rng.integers(0, 256, (8, 10, 3)).astype(np.uint8)


def drawn(figure: Figure, ax: int = 0) -> list:
    """Returns the images on axes, from the lowest to the topmost."""
    return figure.axes[ax].get_images()


def panels(figure: Figure, n_column: int = 3) -> np.ndarray:
    """Return the axes of a grid with two rows."""
    return np.array(figure.axes[: 2 * n_column]).reshape(2, n_column)


def keys(figure: Figure) -> list[str]:
    """Return the words of the keys, which have no ticks."""
    strips = [ax for ax in figure.axes if ax.texts and not ax.get_images()]
    words = [text.get_text() for ax in strips for text in ax.texts]
    return words + [ax.get_xlabel() for ax in strips if ax.get_xlabel()]


class TestSaliency:
    @pytest.mark.parametrize("shape", [(8, 10), (1, 8, 10)])
    def test_one_channel(self, rng, shape):
        scores = rng.normal(size=shape)
        (image,) = drawn(visualizer.visualize(scores, scaler=None))
        assert_allclose(image.get_array(), scores.reshape(8, 10))

    def test_several_channels_are_added_up(self, rng):
        scores = rng.normal(size=(3, 8, 10))
        (image,) = drawn(visualizer.visualize(scores, scaler=None))
        assert_allclose(image.get_array(), scores.sum(axis=0))

    def test_the_callers_arrays_are_not_changed(self, signed, photograph):
        before = signed.copy(), photograph.copy()
        visualizer.visualize(signed, photograph)
        assert_array_equal(signed, before[0])
        assert_array_equal(photograph, before[1])

    @pytest.mark.parametrize("shape", [(), (5,), (1, 3, 8, 10), (0, 8), (3, 0, 4)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"saliency must have the shape \(h, w\)"):
            visualizer.visualize(np.zeros(shape))

    def test_a_batch_is_told_to_pick_one(self):
        with pytest.raises(ValueError, match=r"for one image pass saliency\[0\]"):
            visualizer.visualize(np.zeros((2, 3, 8, 10)))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite_is_refused(self, signed, value):
        signed[0, 0] = value
        with pytest.raises(ValueError, match="1 NaN or infinite of 80"):
            visualizer.visualize(signed)


class TestColours:
    def test_zero_is_the_middle_of_signed_maps(self, signed):
        signed[:, 0] = 100  # far from symmetric
        (image,) = drawn(visualizer.visualize(signed, percentile=100))
        assert image.cmap == diverging_cmap
        assert image.norm(0) == 0.5
        assert_allclose(image.cmap(image.norm(0)), (1, 1, 1, 1))

    def test_zero_is_the_lower_end_of_other_maps(self, signed):
        (image,) = drawn(visualizer.visualize(abs(signed) + 3))
        assert image.cmap == sequential_cmap
        assert image.norm(0) == 0

    @given(st.floats(1, 100))
    @pytest.mark.large
    def test_the_limit_is_a_percentile_of_the_magnitudes(self, percentile):
        scores = np.random.default_rng(1).normal(size=(20, 20))
        figure = visualizer.visualize(scores, scaler=None, percentile=percentile)
        (image,) = drawn(figure)
        limit = np.percentile(abs(scores), percentile)
        assert_allclose((image.norm.vmin, image.norm.vmax), (-limit, limit))

    def test_outliers_alone_do_not_make_the_limit_zero(self):
        scores = np.zeros((20, 20))
        scores[3, 4] = 5
        (image,) = drawn(visualizer.visualize(scores, scaler=None))
        assert image.norm.vmax == 5

    def test_zeros_everywhere_can_be_drawn(self):
        (image,) = drawn(visualizer.visualize(np.zeros((4, 4)), scaler=None))
        assert image.norm.vmin == 0 < image.norm.vmax

    def test_a_limit_and_a_colour_map_of_ones_own(self, signed):
        figure = visualizer.visualize(
            signed, scaler=None, cmap="viridis", limit=(-3, 7)
        )
        (image,) = drawn(figure)
        assert image.cmap.name == "viridis"
        assert (image.norm.vmin, image.norm.vmax) == (-3, 7)

    @pytest.mark.parametrize("limit", [(-1, 3), (-3, 1), (0, 3), (-3, 0)])
    def test_zero_is_white_between_any_limits(self, limit):
        scores = np.array([[0.0, 0.5, -0.5, *limit]])
        settings = {"scaler": None, "cmap": diverging_cmap, "mode": "heatmap"}
        (cut,) = drawn(visualizer.visualize(scores, limit=limit, **settings))
        (whole,) = drawn(visualizer.visualize(scores, limit=3, **settings))
        of_cut, of_whole = (
            one.cmap(one.norm(np.clip(scores, *limit))) for one in (cut, whole)
        )
        assert_allclose(of_cut, of_whole, atol=0.02)

    def test_scores_beyond_a_limit_are_no_stronger_than_it(self):
        scores, photograph = np.array([[-3.0, 0.0, 3.0]]), np.zeros((1, 3), "u1")
        limited = {"scaler": None, "limit": (-1, 3), "alpha": 1}
        _, colors = drawn(visualizer.visualize(scores, photograph, **limited))
        assert_allclose(colors.get_alpha(), [[1 / 3, 0, 1]])

    def test_the_scaler_is_applied(self, signed):
        (image,) = drawn(visualizer.visualize(signed, scaler=lambda v: 2 * v))
        assert_allclose(image.get_array(), 2 * signed)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"limit": (1, 1)}, r"limit must be .* two numbers with the smaller first"),
            ({"limit": (0, np.nan)}, r"limit must be .*, got \(0, nan\)"),
            ({"limit": 0}, "limit must be a number > 0, .*, got 0"),
            ({"limit": "1"}, "limit must be a number > 0, .*, got '1'"),
            ({"cmap": "no such map"}, "cmap must be a matplotlib colour map"),
            (
                {"percentile": 101},
                r"percentile must be a number in \[0, 100\], got 101",
            ),
            ({"percentile": "99"}, "percentile must be a number"),
            ({"alpha": -0.1}, r"alpha must be a number in \[0, 1\], got -0.1"),
            ({"mode": "side by side"}, "mode must be one of 'overlay', 'contour'"),
            ({"resize": "both"}, "resize must be one of 'saliency', 'image'"),
            ({"scaler": lambda v: v[0]}, "scaler must return finite values"),
        ],
    )
    def test_bad_arguments(self, signed, photograph, arguments, message):
        with pytest.raises(ValueError, match=message):
            visualizer.visualize(signed, photograph, **arguments)

    def test_a_scaler_that_is_none(self, signed):
        with pytest.raises(TypeError, match="scaler must be callable or None"):
            visualizer.visualize(signed, scaler="abs")


class TestKey:
    """What the colours mean is said in words."""

    @pytest.mark.parametrize(
        ("change", "how", "expected"),
        [
            (np.asarray, {}, ["speaks against", "speaks for"]),
            (np.abs, {}, ["no influence", "strong influence"]),
            (np.abs, {"cmap": diverging_cmap}, ["speaks against", "speaks for"]),
            (np.abs, {"limit": (-1, 1)}, ["speaks against", "speaks for"]),
            (np.abs, {"limit": (1, 2)}, ["low", "high"]),
            (np.asarray, {"mode": "mask"}, ["no influence", "strong influence"]),
            (np.asarray, {"scaler": np.tanh}, ["speaks against", "speaks for"]),
            # These scalers change the signs, and nobody knows what the ends mean.
            (np.asarray, {"scaler": min_max_scaler}, ["low", "high"]),
            (np.asarray, {"scaler": lambda v: v - 1}, ["low", "high"]),
            (np.asarray, {"show_key": False}, []),
        ],
    )
    def test_without_a_bar(self, signed, photograph, change, how, expected):
        figure = visualizer.visualize(change(signed), photograph, **how)
        assert keys(figure) == expected

    @pytest.mark.parametrize(
        ("how", "unit", "low", "high"),
        [
            ({}, "relative score", "speaks against", "speaks for"),
            ({"scaler": None}, "score", "speaks against", "speaks for"),
            (
                {"mode": "mask"},
                "magnitude of the relative score",
                "no influence",
                "strong influence",
            ),
        ],
    )
    def test_a_bar_has_a_unit_and_words_at_its_ends(
        self, signed, photograph, how, unit, low, high
    ):
        figure = visualizer.visualize(signed, photograph, show_colorbar=True, **how)
        _, bar = figure.axes
        assert bar.get_ylabel() == unit
        assert (bar.get_xlabel(), bar.get_title("left")) == (low, high)

    def test_the_bar_of_a_mask_is_grey(self, signed, photograph, tmp_path):
        figure = visualizer.visualize(
            signed, photograph, mode="mask", show_colorbar=True, percentile=100
        )
        bar = figure.axes[1].collections[-1]
        colors = bar.cmap(np.linspace(0, 1, 5))[:, :3]
        assert_allclose(colors, np.linspace(0, 1, 5)[:, None].repeat(3, 1), atol=0.01)
        assert figure.axes[1].get_ylim() == (0, 1)

    @pytest.mark.parametrize("shape", [(8, 10), (40, 9), (9, 40)])
    def test_a_bar_is_as_high_as_the_picture_and_beside_it(self, rng, shape):
        figure = visualizer.visualize(
            rng.normal(size=shape), show_colorbar=True, title="title"
        )
        figure.draw_without_rendering()
        picture, bar = (ax.get_window_extent() for ax in figure.axes)
        assert_allclose((bar.y0, bar.y1), (picture.y0, picture.y1), atol=0.5)
        assert 0 < bar.x0 - picture.x1 < 0.2 * figure.dpi
        title = figure.axes[0].title.get_window_extent()
        middle = (picture.x0 + picture.x1) / 2
        assert_allclose((title.x0 + title.x1) / 2, middle, atol=1)

    def test_the_numbers_of_a_bar_have_room_beside_a_low_picture(self, rng):
        figure = visualizer.visualize(
            rng.normal(size=(4, 300)), show_colorbar=True, title="a long title " * 5
        )
        figure.draw_without_rendering()
        picture, bar = (ax.get_window_extent() for ax in figure.axes)
        assert_allclose(bar.y1, picture.y1, atol=1)
        title = figure.axes[0].title.get_window_extent()
        assert title.x1 > bar.x0
        assert figure.axes[1].get_tightbbox().y1 <= title.y0
        low, high = figure.axes[1].get_ylim()
        numbers = [
            label.get_window_extent()
            for label in figure.axes[1].get_yticklabels()
            if low <= label.get_position()[1] <= high
        ]
        assert len(numbers) > 1
        assert all(a.y1 <= b.y0 for a, b in zip(numbers, numbers[1:]))

    @pytest.mark.parametrize(
        ("layout", "how"),
        [
            (None, {}),
            ("constrained", {}),
            ("constrained", {"show_colorbar": True}),
            ("tight", {}),
            ("tight", {"show_colorbar": True}),
        ],
    )
    def test_axes_of_ones_own_make_room(self, signed, layout, how):
        figure = Figure(layout=layout)
        left, right = figure.subplots(1, 2)
        for ax in (left, right):
            visualizer.visualize(signed, ax=ax, errors=np.ones((8, 10)), **how)
        figure.draw_without_rendering()
        boxes = [
            [ax.get_tightbbox() for ax in (first, second)]
            for first, second in ((left, figure.axes[2]), (right, figure.axes[3]))
        ]
        for (picture, bar), other in zip(boxes, boxes[::-1]):
            assert not any(bar.overlaps(box) for box in other)
            assert not bar.overlaps(picture.shrunk(0.98, 0.98))

    def test_all_zero_is_said(self, photograph, caplog):
        for picture in (None, photograph):
            figure = visualizer.visualize(np.zeros((8, 10)), picture)
            (text,) = figure.axes[0].texts
            assert text.get_text() == "all scores are 0"
        figure = visualizer.visualize_grid(
            {"a": np.stack([np.zeros((8, 10)), np.eye(8, 10)])}, [photograph] * 2
        )
        texts = [[t.get_text() for t in row[1].texts] for row in panels(figure, 2)]
        assert texts == [["all scores are 0"], []]
        assert not caplog.records

    def test_other_constants_are_not_called_zero(self):
        figure = visualizer.visualize(np.ones((8, 10)), scaler=min_max_scaler)
        assert not figure.axes[0].texts


class TestModes:
    def test_overlay_is_more_opaque_the_stronger_the_score(self, signed, photograph):
        figure = visualizer.visualize(
            signed, photograph, alpha=0.6, percentile=100, scaler=None
        )
        below, above = drawn(figure)
        grey = np.asarray(below.get_array())
        assert_allclose(grey[..., 0], grey[..., 2])
        expected = 0.6 * abs(signed) / abs(signed).max()
        assert_allclose(above.get_alpha(), expected)

    def test_mask_is_the_photograph_as_bright_as_the_score(self, signed, photograph):
        figure = visualizer.visualize(
            signed, photograph, mode="mask", percentile=100, scaler=None
        )
        (image,) = drawn(figure)
        strength = abs(signed) / abs(signed).max()
        assert_allclose(image.get_array(), photograph / 255 * strength[..., None])

    def test_contour_lines_are_at_fractions_of_the_limit(self, photograph):
        scores = np.linspace(-1, 1, 80).reshape(8, 10)
        figure = visualizer.visualize(
            scores, photograph, mode="contour", percentile=100
        )
        edges, lines = (
            c for c in figure.axes[0].get_children() if isinstance(c, QuadContourSet)
        )
        assert_allclose(lines.levels, [-0.75, -0.5, -0.25, 0.25, 0.5, 0.75])
        blue, red = diverging_cmap([0.1, 0.9])
        assert_allclose(lines.get_edgecolor(), [blue] * 3 + [red] * 3)
        assert_allclose(lines.get_linewidth(), np.abs(lines.levels) * 2 + 0.7)
        assert (np.array(edges.get_edgecolor()) == 1).all()
        assert (edges.get_linewidth() > np.array(lines.get_linewidth())).all()

    @pytest.mark.parametrize("is_row", [True, False])
    def test_contours_of_one_row_or_column_cross_it(self, is_row):
        scores = np.linspace(0, 1, 9)[None] if is_row else np.linspace(0, 1, 9)[:, None]
        image = np.zeros(scores.shape)
        figure = visualizer.visualize(scores, image, mode="contour", percentile=100)
        _, lines = (
            c for c in figure.axes[0].get_children() if isinstance(c, QuadContourSet)
        )
        for path, place in zip(lines.get_paths(), [2, 4, 6]):
            along, across = path.vertices.T if is_row else path.vertices.T[::-1]
            assert_allclose(along, place)
            assert_allclose(sorted(across), [-0.5, 0.5])

    def test_contours_of_zeros_are_none(self, photograph):
        figure = visualizer.visualize(np.zeros((8, 10)), photograph, mode="contour")
        assert len(drawn(figure)) == 1

    def test_heatmap_leaves_the_photograph_out(self, signed, photograph):
        figure = visualizer.visualize(signed, photograph, mode="heatmap")
        assert len(drawn(figure)) == 1

    @pytest.mark.parametrize("mode", ["contour", "mask"])
    def test_some_modes_need_an_image(self, signed, mode):
        with pytest.raises(ValueError, match=f"mode='{mode}' needs an image"):
            visualizer.visualize(signed, mode=mode)


class TestErrors:
    """What is not further from zero than its error is not coloured."""

    scores = np.array([[1.0, -2.0, 3.0], [-4.0, 0.0, 6.0]])
    errors = np.array([[1.0, 1.9, 3.5], [5.0, 0.0, 0.0]])
    unsure = np.array([[True, False, True], [True, False, False]])

    def test_a_heatmap_is_grey_there(self):
        figure = visualizer.visualize(self.scores, errors=self.errors)
        (image,) = drawn(figure)
        assert_array_equal(np.ma.getmaskarray(image.get_array()), self.unsure)
        red, green, blue, opacity = image.get_cmap().get_bad()
        assert red == green == blue
        assert opacity == 1
        assert figure.axes[0].get_xlabel() == "grey: not distinguishable from 0"

    def test_an_overlay_has_no_colour_there(self):
        photograph = np.full((2, 3, 3), 100, np.uint8)
        figure = visualizer.visualize(self.scores, photograph, errors=self.errors)
        _, above = drawn(figure)
        expected = np.where(self.unsure, 0, abs(self.scores))
        assert_array_equal(above.get_alpha() > 0, expected > 0)
        assert "no colour" in figure.axes[0].get_xlabel()

    def test_a_mask_is_black_there(self):
        photograph = np.full((2, 3, 3), 100, np.uint8)
        figure = visualizer.visualize(
            self.scores, photograph, errors=self.errors, mode="mask"
        )
        (image,) = drawn(figure)
        expected = np.where(self.unsure, 0, abs(self.scores)) > 0
        assert_array_equal(np.asarray(image.get_array()).all(axis=2), expected)

    def test_contours_take_it_as_zero(self, photograph):
        scores = np.linspace(-1, 1, 80).reshape(8, 10)
        figure = visualizer.visualize(
            scores, photograph, errors=np.full((8, 10), 2.0), mode="contour"
        )
        children = figure.axes[0].get_children()
        assert not any(isinstance(child, QuadContourSet) for child in children)

    def test_the_limits_are_those_of_all_scores(self):
        (image,) = drawn(
            visualizer.visualize(
                self.scores,
                errors=np.full((2, 3), 7.0),
                scaler=None,
                percentile=100,
            )
        )
        assert image.get_clim() == (-6, 6)

    def test_errors_are_in_the_units_of_the_saliency(self):
        """The scaler, which divides by 6, is not for them."""
        (image,) = drawn(visualizer.visualize(self.scores, errors=self.errors))
        assert_array_equal(np.ma.getmaskarray(image.get_array()), self.unsure)

    def test_they_go_with_the_map_to_the_size_of_the_image(self):
        photograph = np.full((4, 6), 100, np.uint8)
        figure = visualizer.visualize(self.scores, photograph, errors=self.errors)
        _, above = drawn(figure)
        large = np.kron(self.unsure, np.ones((2, 2))) > 0
        assert (above.get_alpha()[large] == 0).all()

    def test_without_them_nothing_is_said(self, signed):
        figure = visualizer.visualize(signed, errors=np.zeros((8, 10)))
        assert figure.axes[0].get_xlabel() == ""

    @pytest.mark.parametrize(
        "errors, message",
        [
            (np.ones((3, 2)), r"errors must have the shape of saliency, \(2, 3\)"),
            (np.full((2, 3), -1.0), "errors must be finite and not negative, got -1"),
            (np.full((2, 3), np.nan), "errors must be finite and not negative"),
        ],
    )
    def test_bad_errors(self, errors, message):
        with pytest.raises(ValueError, match=message):
            visualizer.visualize(self.scores, errors=errors)

    def test_in_a_grid_by_the_names_of_methods(self, photograph):
        scores = np.ones((1, 8, 10))
        figure = visualizer.visualize_grid(
            {"one": scores, "two": scores},
            [photograph],
            errors={"two": 2 * scores},
            mode="heatmap",
        )
        one, two = (drawn(figure, ax)[0].get_array() for ax in (1, 2))
        assert not np.ma.getmaskarray(one).any()
        assert np.ma.getmaskarray(two).all()
        assert figure.get_supxlabel() == "grey: not distinguishable from 0"

    @pytest.mark.parametrize("errors", [np.ones((1, 8, 10)), []])
    def test_errors_of_a_grid_without_names(self, photograph, errors):
        with pytest.raises(TypeError, match="errors must map the name of each method"):
            visualizer.visualize_grid(
                {"one": np.ones((1, 8, 10))}, [photograph], errors=errors
            )

    @pytest.mark.parametrize(
        "errors, message",
        [
            ({"three": np.ones((1, 8, 10))}, "errors has 'three', which is not among"),
            (
                {"one": np.ones((2, 8, 10))},
                r"errors\['one'\] must hold one for each",
            ),
            ({"one": -np.ones((1, 8, 10))}, r"errors\['one'\] must be finite and not"),
        ],
    )
    def test_bad_errors_of_a_grid(self, photograph, errors, message):
        with pytest.raises(ValueError, match=message):
            visualizer.visualize_grid(
                {"one": np.ones((1, 8, 10))}, [photograph], errors=errors
            )


class TestSizes:
    def test_the_map_is_brought_to_the_size_of_the_image(self, photograph):
        figure = visualizer.visualize(
            np.array([[0.0, 1.0]]), photograph, scaler=None, percentile=100
        )
        below, above = drawn(figure)
        assert above.get_array().shape == below.get_array().shape[:2] == (8, 10)
        row = np.asarray(above.get_array())[0]
        assert row[0] == 0
        assert row[-1] == 1
        assert (np.diff(row) >= 0).all()
        assert 0 < row[5] < 1  # in between, and not the nearest

    def test_or_the_image_to_that_of_the_map(self, photograph):
        figure = visualizer.visualize(np.ones((4, 5)), photograph, resize="image")
        below, above = drawn(figure)
        assert above.get_array().shape == below.get_array().shape[:2] == (4, 5)

    def test_the_image_is_not_mirrored(self):
        picture = np.zeros((8, 12, 3))
        picture[:4, :6, 0] = 1  # red, top left
        figure = visualizer.visualize(
            np.ones((4, 6)), picture, resize="image", mode="mask", percentile=100
        )
        image = np.asarray(drawn(figure)[0].get_array())
        assert image[0, 0, 0] == 1
        assert image[-1].max() == image[:, -1].max() == image[..., 1:].max() == 0


class TestFigure:
    def test_title_colour_bar_and_no_ticks(self, signed):
        figure = visualizer.visualize(signed, title="Corgi", show_colorbar=True)
        assert figure.axes[0].get_title() == "Corgi"
        assert len(figure.axes) == 2
        assert list(figure.axes[0].get_xticks()) == []
        assert figure.axes[1].get_ylim() == pytest.approx(
            tuple(drawn(figure)[0].get_clim())
        )

    def test_axes_of_ones_own(self, signed):
        figure = Figure()
        left, right = figure.subplots(1, 2)
        assert visualizer.visualize(signed, ax=right) is figure
        assert not left.get_images()
        assert right.get_images()

    def test_pyplot_knows_nothing_of_it(self, signed):
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        visualizer.visualize(signed)
        assert plt.get_fignums() == before

    @pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
    @pytest.mark.parametrize("kind", [str, Path])
    def test_is_saved(self, signed, photograph, suffix, kind, tmp_path):
        path = tmp_path / f"heat.{suffix}"
        visualizer.visualize(signed, photograph, kind(path))
        head = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[suffix]
        assert path.read_bytes().startswith(head)

    def test_what_is_wrong_leaves_no_file(self, signed, tmp_path):
        with pytest.raises(ValueError, match="mode"):
            visualizer.visualize(signed, None, tmp_path / "x.png", mode="x")
        assert list(tmp_path.iterdir()) == []


class TestGrid:
    @pytest.fixture
    def maps(self, rng):
        return {
            "one": rng.normal(size=(2, 8, 10)),
            "two": [rng.random((3, 8, 10)) * 9, rng.random((8, 10))],
        }

    @pytest.fixture
    def photographs(self, photograph):
        return [photograph, Image.fromarray(photograph[:, :6])]

    def test_has_a_row_for_each_image_and_a_column_for_each_method(
        self, maps, photographs
    ):
        figure = visualizer.visualize_grid(
            maps, photographs, title="All", row_titles=["dog", "cat"]
        )
        axes = panels(figure)
        assert [ax.get_title() for ax in axes[0]] == [
            "image",
            "one\nsigned",
            "two\nmagnitudes",
        ]
        assert [ax.get_ylabel() for ax in axes[:, 0]] == ["dog", "cat"]
        assert figure.get_suptitle() == "All"
        assert_allclose(axes[0, 0].get_images()[0].get_array(), photographs[0] / 255)
        assert_allclose(axes[1, 1].get_images()[-1].get_array().shape, (8, 6))

    @pytest.mark.parametrize(
        "scale, same",
        [
            ("separate", [[0, 1], [2, 3]]),
            ("row", [[0, 0], [1, 1]]),
            ("column", [[0, 1], [0, 1]]),
            ("all", [[0, 0], [0, 0]]),
        ],
    )
    def test_scales_are_shared_as_asked(self, maps, photographs, scale, same):
        figure = visualizer.visualize_grid(
            maps, photographs, scale=scale, mode="heatmap", percentile=100
        )
        limits = {}
        for ax, group in zip(panels(figure)[:, 1:].flat, np.ravel(same)):
            image = ax.get_images()[0]
            limits.setdefault(int(group), []).append(image.norm.vmax)
            scores = np.asarray(image.get_array())
            assert abs(scores).max() <= image.norm.vmax * (1 + 1e-12)
        assert all(len(set(some)) == 1 for some in limits.values())
        assert len({some[0] for some in limits.values()}) == len(limits)

    def test_signed_methods_and_magnitudes_are_told_apart(self, maps, photographs):
        """A method of which one map alone has negative scores is signed."""
        maps["one"][1] = abs(maps["one"][1])
        figure = visualizer.visualize_grid(maps, photographs)
        for one, two in panels(figure)[:, 1:]:
            assert one.get_images()[-1].cmap == diverging_cmap
            assert two.get_images()[-1].cmap == sequential_cmap
        assert keys(figure) == [
            "signed: speaks against",
            "speaks for",
            "magnitudes: no influence",
            "strong influence",
            "each map has its own scale",
        ]

    @pytest.mark.parametrize("mode", ["overlay", "mask"])
    def test_one_kind_needs_no_name(self, maps, photographs, mode):
        figure = visualizer.visualize_grid(
            {"two": maps["two"]}, photographs, mode=mode, scale="row"
        )
        assert panels(figure, 2)[0, 1].get_title() == "two"
        assert keys(figure) == [
            "no influence",
            "strong influence",
            "one scale for each row",
        ]

    def test_every_map_may_have_a_colour_bar(self, maps, photographs):
        figure = visualizer.visualize_grid(maps, photographs, show_colorbar=True)
        bars, shown = figure.axes[6:10], panels(figure)[:, 1:].ravel()
        for bar, ax in zip(bars, shown):
            assert bar.get_ylabel() == "score"
            assert bar.get_ylim() == ax.get_images()[-1].get_clim()
        assert len(keys(figure)) == 5

    def test_maps_on_one_scale_have_a_bar_for_each_kind(self, maps, photographs):
        figure = visualizer.visualize_grid(
            maps, photographs, scale="all", show_colorbar=True
        )
        signed, other = figure.axes[6:]
        assert (signed.get_title("left"), other.get_title("left")) == (
            "speaks\nfor",
            "strong\ninfluence",
        )
        low, high = signed.get_ylim()
        assert -low == high == other.get_ylim()[1]

    def test_a_limit_is_for_all_maps(self, maps, photographs):
        figure = visualizer.visualize_grid(maps, photographs, limit=3)
        limits = [
            ax.get_images()[-1].get_clim() for ax in panels(figure)[:, 1:].ravel()
        ]
        assert limits == [(-3, 3), (0, 3)] * 2
        assert keys(figure)[-1] == "one scale for all maps"

    def test_long_titles_of_rows_are_broken_into_lines(self, maps, photographs):
        titles = ["true: cat\npredicted: aircraft carrier, warship 71 %", ""]
        figure = visualizer.visualize_grid(maps, photographs, row_titles=titles)
        first, second = (ax.yaxis.label for ax in panels(figure)[:, 0])
        assert first.get_text().split("\n") == [
            "true: cat",
            "predicted: aircraft carrier,",
            "warship 71 %",
        ]
        assert second.get_text() == ""
        assert first.get_rotation() == 0
        figure.draw_without_rendering()
        photograph, text = (
            artist.get_window_extent() for artist in (panels(figure)[0, 0], first)
        )
        assert 0 <= text.x0 < text.x1 < photograph.x0

    @pytest.mark.large
    def test_is_saved(self, maps, photographs, tmp_path):
        visualizer.visualize_grid(maps, photographs, tmp_path / "grid.png")
        assert (tmp_path / "grid.png").stat().st_size > 1000

    @pytest.mark.parametrize(
        "change, error, message",
        [
            ({"saliency": {}}, ValueError, "must not be empty"),
            (
                {"saliency": np.ones((2, 8, 10))},
                TypeError,
                "saliency must map the name",
            ),
            (
                {"saliency": {"x": np.ones((3, 8, 10))}},
                ValueError,
                "each of the 2 images",
            ),
            ({"saliency": {"x": np.ones((2, 8))}}, ValueError, r"saliency\['x'\] must"),
            ({"row_titles": ["a"]}, ValueError, "row_titles must hold one for each"),
            ({"scale": "same"}, ValueError, "scale must be one of 'separate'"),
            ({"alpha": 2}, ValueError, "alpha must be"),
        ],
    )
    def test_bad_arguments(self, maps, photographs, change, error, message):
        arguments = {"saliency": maps, "images": photographs, **change}
        with pytest.raises(error, match=message):
            visualizer.visualize_grid(**arguments)


class TestRows:
    @pytest.fixture
    def rows(self, rng):
        return rng.random((2, 3, 1, 8, 8))

    def test_has_a_panel_for_each_image(self, rows):
        figure = visualizer.visualize_rows(
            rows,
            title="Maps",
            row_titles=["map 3", "map 5"],
            captions=[["a", "b", "$c$"], ["d", "e", "f"]],
        )
        axes = panels(figure)
        assert axes.shape == (2, 3)
        assert [ax.get_ylabel() for ax in axes[:, 0]] == ["map 3", "map 5"]
        captions = [ax.get_xlabel() for ax in axes.flat]
        assert captions == ["a", "b", "$c$", "d", "e", "f"]
        for ax, image in zip(axes.flat, rows.reshape(6, 8, 8)):
            shown = ax.get_images()[0].get_array()
            assert_allclose(shown, np.repeat(image[..., None], 3, axis=2))
        assert figure.get_suptitle() == "Maps"

    def test_each_map_lies_on_its_image(self, rows, rng):
        maps = rng.normal(size=(2, 3, 8, 8))
        figure = visualizer.visualize_rows(rows, maps, percentile=100)
        for row, of_row in zip(panels(figure), maps):
            for ax, one in zip(row, of_row):
                photograph, scores = ax.get_images()
                assert_allclose(scores.get_array(), one)
                assert scores.norm.vmax == abs(of_row).max()
                assert photograph.get_array().shape == (8, 8, 3)
        assert "speaks for" in keys(figure)

    def test_one_bar_is_for_one_scale(self, rows, rng):
        maps = rng.normal(size=(2, 3, 1, 8, 8))
        visualizer.visualize_rows(rows, maps, show_colorbar=True, scale="all")
        with pytest.raises(ValueError, match="show_colorbar=True needs saliency and"):
            visualizer.visualize_rows(rows, maps, show_colorbar=True)
        with pytest.raises(ValueError, match="show_colorbar=True needs saliency and"):
            visualizer.visualize_rows(rows, show_colorbar=True, scale="all")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"images": []}, "rows of images"),
            ({"images": [[np.ones((4, 4))], []]}, "got rows of 0, 1 images"),
            ({"saliency": np.ones((1, 3, 8, 8))}, "each of the 2 rows, got 1"),
            ({"saliency": np.ones((2, 2, 8, 8))}, r"saliency\[0\].* 3 images, got 2"),
            ({"captions": [["a"] * 3]}, "captions must .* 2 rows, got 1"),
            ({"captions": [["a"] * 2] * 2}, "captions must .* 3 images, got 2"),
            ({"row_titles": ["a"]}, "row_titles must .* 2 rows, got 1"),
        ],
    )
    def test_what_does_not_fit(self, rows, arguments, message):
        with pytest.raises(ValueError, match=message):
            visualizer.visualize_rows(**{"images": rows, **arguments})
