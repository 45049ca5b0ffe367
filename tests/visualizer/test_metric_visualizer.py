"""MetricVisualizer: where curves and dots lie, and what names and notes say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from scipy import stats

from saliency import ImageVisualizer, MetricVisualizer
from saliency.visualizer.colors import NEUTRAL_COLOR
from saliency.visualizer.metrics.curves import COLORS

RNG = np.random.default_rng(0)
PLACES = np.array([0, 0.25, 0.5, 1])
CURVES = {"high": RNG.random((6, 4)) + 1, "_low": RNG.random((6, 4))}
RANDOM = RNG.random((6, 4)) + 0.5


def draw(curves=None, places=PLACES, **how) -> Figure:
    return MetricVisualizer().visualize(curves or CURVES, places, **how)


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def notes(figure) -> str:
    return "\n".join(text.get_text() for ax in figure.axes for text in ax.texts)


class TestCurves:
    @pytest.mark.parametrize(
        ("band", "factor"), [("standard_error", 1), ("interval", 0)]
    )
    def test_means_and_bands(self, band, factor):
        figure = draw(random=RANDOM, band=band)
        (ax,) = figure.axes
        factor = factor or stats.t.ppf(0.975, len(RANDOM) - 1)
        lines = {line.get_color(): line for line in ax.lines}
        bands = {to_hex(one.get_facecolor()[0]): one for one in ax.collections}
        drawn = {COLORS[0]: CURVES["high"], COLORS[1]: CURVES["_low"], "0.45": RANDOM}
        assert lines.keys() == drawn.keys()
        for color, values in drawn.items():
            mean = values.mean(axis=0)
            assert_allclose(lines[color].get_xydata(), np.stack([PLACES, mean], 1))
            edge = bands[to_hex(color)].get_paths()[0].vertices
            half = factor * stats.sem(values)
            for x, low, high in zip(PLACES, mean - half, mean + half):
                at_x = edge[np.isclose(edge[:, 0], x), 1]
                assert_allclose([at_x.min(), at_x.max()], [low, high])
        assert legend(ax) == ["high", "random ranking", "_low"]  # from the highest down
        assert ax.get_xlabel() == "share of features removed"
        assert ax.get_ylabel() == "mean of f"
        assert "of the mean over 6 examples" in notes(figure)

    def test_examples_of_other_places_are_straight_between_their_points(self):
        places = np.array(
            [[0, 0.2, 0.6, 1], [0, 0.5, 1, np.nan], [0.1, 0.9, 1, np.nan]]
        )
        values = np.where(np.isnan(places), np.nan, RNG.random((3, 4)))
        (ax,) = draw({"a": values}, places).axes
        x, y = ax.lines[0].get_data()
        assert_allclose(x, np.linspace(0.1, 1, 4))
        each = [
            [np.interp(at, p[:n], v[:n]) for at in x]
            for p, v, n in zip(places, values, (4, 3, 3))
        ]
        assert_allclose(y, np.mean(each, axis=0))
        for wrong in (np.ones((3, 4)), np.where(places == 0.1, np.nan, values)):
            with pytest.raises(ValueError, match=r"curves\['a'\] must"):
                draw({"a": wrong}, places)
        with pytest.raises(ValueError, match=r"begins at 0\.6 and another one ends at"):
            draw({"a": values[:2, :2]}, np.array([[0.6, 1], [0.2, 0.5]]))

    def test_one_example_and_one_point(self):
        figure = draw({"a": [[2.0]]}, [0.5])
        (line,) = figure.axes[0].lines
        assert line.get_marker() == "o"
        assert "one example, so that there are no bands" in notes(figure)
        assert not figure.axes[0].collections

    @pytest.mark.large
    def test_many_have_a_panel_each_before_all_others(self):
        many = {f"method {i}": CURVES["high"] + i for i in range(8)}
        figure = draw(many, random=RANDOM)
        axes = [ax for ax in figure.axes if ax.lines]
        assert [ax.get_title() for ax in axes] == list(many)
        for ax, values in zip(axes, many.values()):
            assert len(ax.lines) == 9
            (own,) = (line for line in ax.lines if line.get_color() == COLORS[0])
            assert_allclose(own.get_ydata(), values.mean(axis=0))
            assert ax.get_ylim() == axes[0].get_ylim()
        assert "pale: the other methods" in notes(figure)
        (ax,) = draw(many, together=True).axes
        styles = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
        assert len(styles) == 8
        with pytest.raises(ValueError, match="ax must be None with together=False"):
            draw(ax=Figure().add_subplot(), together=False)
        assert len(draw(many, ax=Figure().add_subplot()).axes) == 1


VALUES = {
    "Deletion": {"a": [0.1, 0.3], "b": [0.5, 0.6], "c": [0.9, 0.8]},
    "Insertion": {"b": [0.4, 0.5], "a": [0.7, 0.1]},
    "Sparseness": {"c": [0.4, 0.5], "a": [0.7, 0.1], "b": [0, 0]},
}
BETTER = {"Deletion": False, "Insertion": True, "Sparseness": None}


def rank(**how) -> Figure:
    return MetricVisualizer().visualize_ranking(VALUES, BETTER, **how)


def rows(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


class TestRanking:
    def test_better_is_to_the_right_and_the_best_mean_rank_at_the_top(self):
        figure = rank(random={"Deletion": [0.5, 0.7]})
        deletion, insertion, sparseness = (ax for ax in figure.axes if ax.lines)
        # Ranks of a are 1 and 2, those of b 2 and 1, that of c is 3.
        assert rows(deletion) == ["a", "b", "c"]
        for ax, (metric, found) in zip(figure.axes, VALUES.items()):
            names = [name for name in "abc" if name in found]
            x, y = ax.containers[0].lines[0].get_data()
            assert_allclose(x, [np.mean(found[name]) for name in names])
            assert_allclose(y, ["abc".index(name) for name in names])
            (whiskers,) = ax.containers[0].lines[2]
            lengths = [np.ptp(part[:, 0]) / 2 for part in whiskers.get_segments()]
            assert_allclose(
                lengths, [stats.sem(found[name]) for name in names], atol=1e-9
            )
            low, high = ax.get_xlim()
            assert (low > high) == (BETTER[metric] is False)
        assert_allclose(deletion.lines[0].get_xdata(), 0.6)
        assert insertion.get_title() == "Insertion\nlarger is better →"
        assert [text.get_text() for text in insertion.texts] == ["no value"]
        assert sparseness.get_title() == "Sparseness\nnot a quality by itself"
        colors = [
            ax.containers[0].lines[0].get_color() for ax in (deletion, sparseness)
        ]
        assert colors[0] == NEUTRAL_COLOR != colors[1]
        for said in (
            "the axis is reversed",
            "dashed line: random ranking",
            "mean rank",
        ):
            assert said in notes(figure)

    @pytest.mark.parametrize(
        ("sort", "order"),
        [("none", "abc"), ("Insertion", "bac"), ("Sparseness", "bac")],
    )
    def test_order(self, sort, order):
        assert rows(rank(sort=sort).axes[0]) == list(order)

    def test_without_a_quality_there_is_no_ranking(self):
        figure = MetricVisualizer().visualize_ranking(VALUES, dict.fromkeys(VALUES))
        assert rows(figure.axes[0]) == ["a", "b", "c"]
        assert "in the order given" in notes(figure)
        assert "reversed" not in notes(figure)


class TestCascade:
    MAPS = RNG.normal(size=(2, 5, 6, 6))
    LAYERS = ("fc", ("conv2", "bn"), "conv1", "conv0")

    def draw(self, **how) -> np.ndarray:
        figure = ImageVisualizer().visualize_cascade(self.MAPS, self.LAYERS, **how)
        return np.array([ax for ax in figure.axes if ax.images]).reshape(2, -1)

    def test_columns_are_steps_with_similarities_below(self):
        similarities = np.arange(8).reshape(2, 4) / 8 - 0.5
        axes = self.draw(similarities=similarities)
        assert [ax.get_title() for ax in axes[0]] == [
            *("trained network", "fc drawn anew", "… to conv2, bn"),
            *("… to conv1", "… to conv0"),
        ]
        for row, maps, values in zip(axes, self.MAPS, similarities):
            for ax, map_ in zip(row, maps):
                assert_allclose(ax.images[0].get_array(), map_)
            assert row[0].get_xlabel() == ""
            for ax, value in zip(row[1:], values):
                text = f"rank correlation {value:.2f}".replace("-", "\N{MINUS SIGN}")
                assert ax.get_xlabel() == text

    @pytest.mark.large
    def test_images_come_first_and_steps_are_left_out_evenly(self):
        images = np.zeros((2, 6, 6, 3))
        axes = self.draw(images=images, max_maps=3, similarities=np.eye(4)[:2])
        titles = [ax.get_title() for ax in axes[0]]
        assert titles == ["image", "trained network", "… to conv2, bn", "… to conv0"]
        captions = [ax.get_xlabel() for ax in axes[1]]
        assert captions == ["", "", "rank correlation 1.00", "rank correlation 0.00"]
        with pytest.raises(ValueError, match="mode='mask' needs an image"):
            self.draw(mode="mask")
        with pytest.raises(ValueError, match="layers must differ from step to step"):
            ImageVisualizer().visualize_cascade(self.MAPS, ["fc"] * 4)
