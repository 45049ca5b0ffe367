"""Tables in panels: one order, one scale; and what keys and colours say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from scipy import stats

from saliency import Explanation, TableVisualizer, signed_colors
from saliency.visualizer.colors import NEGATIVE_COLOR, NEUTRAL_COLOR, POSITIVE_COLOR

NAMES = ["a", "b", "c"]
GREY = to_hex(signed_colors([0])[0])
KEY = {"← speaks against", "speaks for →"}
RNG = np.random.default_rng(0)
TABLES = {
    "one": RNG.normal(size=(20, 3)) * [1, 5, 0.2],
    "two": RNG.normal(size=(30, 3)) * [9, 2, 0.1] + [0, 0, 4],
}


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def widths(ax):
    bars = sorted(ax.patches, key=lambda bar: bar.get_y())
    return np.array([bar.get_width() for bar in bars])


def colors(ax):
    bars = sorted(ax.patches, key=lambda bar: bar.get_y())
    return [to_hex(bar.get_facecolor()) for bar in bars]


def half_errors(ax):
    (container,) = (c for c in ax.containers if isinstance(c, ErrorbarContainer))
    (lines,) = container.lines[2]
    segments = sorted(lines.get_segments(), key=lambda segment: segment[0, 1])
    return np.array([np.diff(segment[:, 0])[0] / 2 for segment in segments])


def texts(figure):
    return {text.get_text() for ax in figure.axes for text in ax.texts}


def dots(ax):
    (collection,) = (c for c in ax.collections if isinstance(c, PathCollection))
    return collection


def draw(method, *arguments, **how):
    return getattr(TableVisualizer(), method)(*arguments, **how)


SCORES = {title: table.sum(axis=1) for title, table in TABLES.items()}
IN_PANELS = {
    "visualize_grid": ({title: t[0] for title, t in TABLES.items()}, {}),
    "visualize_mean": (TABLES, {}),
    "visualize_summary": (TABLES, {"features": TABLES}),
    "visualize_dependence": (TABLES, {"features": TABLES, "feature": 1}),
    "visualize_heatmap": (TABLES, {"scores": SCORES}),
    "visualize_decision": (TABLES, {"scores": SCORES}),
}
every_plot_in_panels = pytest.mark.parametrize("method", IN_PANELS)


def draw_panels(method, **how):
    saliency, arguments = IN_PANELS[method]
    return draw(method, saliency, **{"feature_names": NAMES, **arguments, **how})


class TestPanels:
    @every_plot_in_panels
    def test_order_and_scale_are_shared_and_names_stand_once(self, method):
        figure = draw_panels(method)
        figure.draw_without_rendering()
        first, second = figure.axes[:2]
        assert [ax.get_title() for ax in (first, second)] == ["one", "two"]
        np.testing.assert_array_equal(first.get_yticks(), second.get_yticks())
        assert first.get_ylim() == second.get_ylim()
        shown = [ax.yaxis.get_tick_params()["labelleft"] for ax in (first, second)]
        assert shown == [True, False]
        if method == "visualize_heatmap":
            limits = [ax.images[0].get_clim() for ax in (first, second)]
            assert limits[0] == limits[1]
        else:
            assert first.get_xlim() == second.get_xlim()

    def test_each_panel_counts_the_same_in_the_order(self):
        """The first has the larger scores, and the second the larger difference."""
        figure = draw(
            "visualize_mean", {"x": [[100.0, 90, 1]], "y": [[0.1, 1.0, 0]]}, list("abc")
        )
        assert labels(figure.axes[0]) == ["b", "a", "c"]
        np.testing.assert_allclose(widths(figure.axes[0]), [90, 100, 1])

    def test_grid_draws_the_bars_and_errors_of_each(self):
        figure = draw(
            "visualize_grid",
            {"x": [2.0, -4], "y": [1.0, 0.5]},
            ["a", "b"],
            errors={"y": [0.1, 0.6]},
            scaler=None,
        )
        first, second = figure.axes[:2]
        assert labels(first) == ["a", "b"]  # (0.5 + 1) / 2 = (1 + 0.5) / 2
        assert widths(first).tolist() == [2, -4]
        assert colors(first) == [POSITIVE_COLOR, NEGATIVE_COLOR]
        assert colors(second) == [POSITIVE_COLOR, GREY]
        np.testing.assert_allclose(half_errors(second), [0.1, 0.6])
        assert "grey: no further from 0 than its error" in texts(figure)

    def test_grid_gives_each_panel_a_unit_of_its_own(self):
        figure = draw("visualize_grid", {"x": [2.0, -4], "y": [1.0, 0.5]}, ["a", "b"])
        assert widths(figure.axes[0]).tolist() == [0.5, -1]
        assert widths(figure.axes[1]).tolist() == [1, 0.5]

    @pytest.mark.parametrize(("n", "columns"), [(2, 2), (5, 5), (6, 3), (7, 4)])
    def test_how_many_stand_in_a_row(self, n, columns):
        figure = draw("visualize_grid", {str(i): [1.0, -2] for i in range(n)})
        spec = figure.axes[0].get_subplotspec().get_gridspec()
        assert spec.ncols == columns
        figure = draw(
            "visualize_grid", {str(i): [1.0, -2] for i in range(n)}, n_column=2
        )
        assert figure.axes[0].get_subplotspec().get_gridspec().ncols == 2

    def test_features_are_counted_where_they_are_left_out(self):
        table = {"x": np.ones((2, 5)), "y": np.ones((3, 5))}
        figure = draw("visualize_summary", table, table, num_visualize=2)
        assert "and 3 more" in {text.get_text() for text in figure.axes[0].texts}
        assert not figure.axes[1].texts

    @every_plot_in_panels
    def test_only_one_panel_fits_on_axes_of_the_user(self, method):
        if method != "visualize_grid":
            with pytest.raises(
                ValueError, match="ax must be None where saliency has 2"
            ):
                draw_panels(method, ax=Figure().add_subplot())

    @every_plot_in_panels
    def test_no_panels(self, method):
        _, arguments = IN_PANELS[method]
        with pytest.raises(ValueError, match="saliency must not be empty"):
            draw(method, {}, **arguments)

    @pytest.mark.parametrize(
        ("how", "error", "message"),
        [
            (
                {"features": {"one": TABLES["one"]}},
                ValueError,
                "features must have the",
            ),
            ({"features": TABLES["one"]}, TypeError, "features must map the title"),
            (
                {"features": {**TABLES, "x": 1}},
                ValueError,
                "features must have the key",
            ),
            ({"features": {**TABLES, "two": [[1]]}}, ValueError, r"features\['two'\]"),
            ({"n_column": 0}, ValueError, "n_column must be an int >= 1"),
            ({"limit": 0}, ValueError, "limit must be a number > 0"),
        ],
    )
    def test_wrong_arguments(self, how, error, message):
        with pytest.raises(error, match=message):
            draw_panels("visualize_summary", **how)

    def test_panels_of_different_features(self):
        with pytest.raises(
            ValueError, match="the same features in all panels, got 2 a"
        ):
            draw("visualize_mean", {"x": np.ones((3, 2)), "y": np.ones((3, 4))})

    def test_a_mapping_where_saliency_is_an_array(self):
        with pytest.raises(TypeError, match="features must be an array where saliency"):
            draw("visualize_summary", TABLES["one"], TABLES)
        with pytest.raises(TypeError, match="saliency must map the title"):
            draw("visualize_grid", TABLES["one"])


class TestMeans:
    def test_the_interval_is_that_of_the_mean(self):
        table = TABLES["one"]
        (ax,) = draw("visualize_mean", table, sort="none").axes
        np.testing.assert_allclose(widths(ax), table.mean(axis=0))
        spread = stats.sem(table)
        low, high = stats.t.interval(0.95, len(table) - 1, scale=spread)
        np.testing.assert_allclose(half_errors(ax), high)
        np.testing.assert_allclose(half_errors(ax), -low)

    def test_means_of_magnitudes_are_purple(self):
        table = TABLES["one"]
        figure = draw("visualize_mean", table, sort="none", magnitudes=True)
        np.testing.assert_allclose(widths(figure.axes[0]), abs(table).mean(axis=0))
        assert set(colors(figure.axes[0])) == {NEUTRAL_COLOR}
        assert not KEY & texts(figure)

    def test_what_cannot_be_told_from_zero_is_grey(self):
        table = np.array([[1.0, 1, -1], [1.1, -1, -1.1], [0.9, 0.1, -0.9]])
        figure = draw("visualize_mean", table, sort="none")
        assert colors(figure.axes[0]) == [POSITIVE_COLOR, GREY, NEGATIVE_COLOR]
        assert "grey: the interval holds 0" in texts(figure)

    def test_positive_means_of_signed_scores_speak_for(self):
        figure = draw("visualize_mean", [[-1.0, 5], [2, 6], [2, 6]], sort="none")
        assert colors(figure.axes[0]) == [GREY, POSITIVE_COLOR]
        assert texts(figure) >= KEY

    def test_one_example_has_no_interval(self):
        (ax,) = draw("visualize_mean", [[1.0, -2]], sort="none").axes
        assert widths(ax).tolist() == [1, -2]
        assert ax.get_xlabel() == "mean score"
        assert not any(isinstance(c, ErrorbarContainer) for c in ax.containers)

    def test_the_limit_is_the_end_of_the_axis(self):
        table = TABLES["one"] - 3
        assert draw("visualize_mean", table, limit=7).axes[0].get_xlim() == (-7, 7)
        figure = draw("visualize_mean", table, limit=7, magnitudes=True)
        assert figure.axes[0].get_xlim() == (0, 7)


class TestKeys:
    @pytest.mark.parametrize(
        "figure",
        [
            lambda: draw("visualize", [1.0, -2]),
            lambda: draw("visualize_mean", TABLES),
            lambda: draw("visualize_summary", TABLES["one"], TABLES["one"]),
            lambda: draw("visualize_dependence", TABLES["one"], TABLES["one"], 0),
            lambda: draw("visualize_decision", [[1.0, -2]], scores=[-1]),
            lambda: draw("visualize_waterfall", [1.0, -2], score=-1),
        ],
    )
    def test_signed_scores_have_one(self, figure):
        assert texts(figure()) >= KEY

    def test_the_key_is_in_the_colours_of_the_bars(self):
        (ax,) = draw("visualize", [1.0, -2]).axes
        found = {text.get_text(): to_hex(text.get_color()) for text in ax.texts}
        assert found["speaks for →"] == POSITIVE_COLOR
        assert found["← speaks against"] == NEGATIVE_COLOR

    def test_it_is_below_the_label_and_within_the_picture(self):
        figure = draw("visualize", [1.0, -2])
        figure.draw_without_rendering()
        (ax,) = figure.axes
        for text in ax.texts:
            box = text.get_window_extent()
            assert 0 <= box.y0 < box.y1 <= ax.xaxis.label.get_window_extent().y0
            assert 0 <= box.x0 < box.x1 <= figure.bbox.x1

    def test_magnitudes_have_none_and_are_purple(self):
        figure = draw("visualize", [1.0, 2, 0])
        assert not texts(figure)
        assert colors(figure.axes[0]) == [NEUTRAL_COLOR, NEUTRAL_COLOR, GREY]

    def test_whether_scores_have_a_sign_can_be_said(self):
        figure = draw("visualize", [1.0, 2], signed=True)
        assert texts(figure) >= KEY
        assert set(colors(figure.axes[0])) == {POSITIVE_COLOR}

    @pytest.mark.parametrize(
        ("method", "how"),
        [
            ("visualize", {}),
            ("visualize_mean", {}),
            ("visualize_summary", {"features": TABLES["one"]}),
            ("visualize_dependence", {"features": TABLES["one"], "feature": 0}),
            ("visualize_heatmap", {}),
        ],
    )
    def test_zeros_are_said_to_be_zeros(self, method, how):
        zeros = np.zeros(3 if method == "visualize" else (20, 3))
        figure = draw(method, zeros, **how)
        assert "all scores are 0" in texts(figure)
        figure = draw(method, zeros + 0.1, **how)
        assert "all scores are 0" not in texts(figure)

    @pytest.mark.parametrize("method", ["visualize_mean", "visualize_heatmap"])
    def test_one_panel_of_zeros(self, method):
        figure = draw(method, {"x": np.zeros((4, 2)), "y": np.ones((4, 2))})
        first, second = ({t.get_text() for t in ax.texts} for ax in figure.axes[:2])
        assert "all scores are 0" in first
        assert "all scores are 0" not in second


class TestExplanations:
    @pytest.fixture
    def explanation(self):
        values = np.concatenate([TABLES["one"], TABLES["two"]])
        return Explanation(
            values,
            data=values * 2,
            feature_names=NAMES,
            class_names=["no", "yes", "never"],
            classes=np.repeat([1, 0], [20, 30]),
            scores=values.sum(axis=1),
        )

    @pytest.mark.parametrize(
        "kind", ["bar", "beeswarm", "dependence", "heatmap", "decision"]
    )
    def test_classes_are_not_mixed(self, explanation, kind):
        figure = explanation.plot(kind)
        titles = [ax.get_title() for ax in figure.axes[:2]]
        assert titles == ["no (30 examples)", "yes (20 examples)"]
        assert "class explained of each" in figure._suptitle.get_text()
        figure = explanation[explanation.classes == 1].plot(kind)
        assert "class yes" in figure.axes[0].get_title()

    def test_a_swarm_has_the_dots_of_its_class(self, explanation):
        no, yes = explanation.plot("beeswarm").axes[:2]
        for ax, key in ((no, "two"), (yes, "one")):
            shown = np.asarray(dots(ax).get_offsets())[:, 0]
            assert sorted(shown) == sorted(TABLES[key].ravel())

    def test_means_of_scores_may_be_asked_for(self, explanation):
        figure = explanation.plot("bar", magnitudes=False, sort="none")
        np.testing.assert_allclose(widths(figure.axes[0]), TABLES["two"].mean(axis=0))
        assert "mean score, with its 95 % interval" in texts(figure)
        figure = explanation.plot("bar", sort="none")
        expected = abs(TABLES["two"]).mean(axis=0)
        np.testing.assert_allclose(widths(figure.axes[0]), expected)
        assert "mean magnitude, with its 95 % interval" in texts(figure)

    @pytest.mark.large
    def test_dependence_is_of_the_strongest_feature_or_of_one_by_name(
        self, explanation
    ):
        assert "a" in texts(explanation.plot("dependence"))
        assert "c" in texts(explanation.plot("dependence", feature="c"))

    def test_positive_scores_of_one_example_speak_for_it(self, explanation):
        positive = Explanation(np.ones((1, 3)))
        assert set(colors(positive.plot("bar").axes[0])) == {POSITIVE_COLOR}
        magnitudes = Explanation(np.ones((1, 3)), method="abs")
        figure = magnitudes.plot("bar")
        assert set(colors(figure.axes[0])) == {NEUTRAL_COLOR}
        assert figure.axes[0].get_xlabel() == "magnitude of the score"

    @pytest.mark.parametrize(
        "kind", ["bar", "beeswarm", "dependence", "heatmap", "decision"]
    )
    def test_classes_on_an_axis_have_a_panel_each(self, kind):
        values = np.stack([TABLES["one"], -2 * TABLES["one"]], axis=1)
        both = Explanation(
            values,
            data=TABLES["one"] + 1,
            class_names=["no", "yes"],
            classes=np.tile([0, 1], (20, 1)),
            scores=values.sum(axis=2),
        )
        figure = both.plot(kind)
        assert [ax.get_title() for ax in figure.axes[:2]] == ["no", "yes"]
        if kind == "beeswarm":
            shown = np.asarray(dots(figure.axes[1]).get_offsets())[:, 0]
            np.testing.assert_allclose(sorted(shown), sorted(values[:, 1].ravel()))

    def test_one_example_of_several_classes_is_bars_of_its_values(self):
        one = Explanation(
            [[[1.0, -3], [2, 4]]], errors=[[[0.1, 0.2], [3, 1]]], classes=[[0, 1]]
        )
        no, yes = one.plot("bar").axes[:2]
        assert [widths(no).tolist(), widths(yes).tolist()] == [[-3, 1], [4, 2]]
        np.testing.assert_allclose(half_errors(yes), [1, 3])
        assert colors(yes) == [POSITIVE_COLOR, GREY]

    def test_too_many_classes(self):
        many = Explanation(np.ones((13, 2)), classes=np.arange(13))
        with pytest.raises(ValueError, match=r"at most 12, got 13 .*of_class\(0\)"):
            many.plot("bar")

    def test_classes_of_one_name(self, explanation):
        same = Explanation(
            explanation.values, classes=explanation.classes, class_names=["x", "x"]
        )
        figure = same[10:30].plot("bar")
        assert figure.axes[0].get_title() == "x (10 examples)"
        assert figure.axes[1].get_title() == "1: x (10 examples)"

    @pytest.mark.parametrize("kind", ["beeswarm", "dependence"])
    def test_without_data(self, kind):
        with pytest.raises(ValueError, match=f"kind='{kind}' .* the data"):
            Explanation(np.zeros((2, 3))).plot(kind)


class TestNamesOfDataFrames:
    @pytest.mark.large
    def test_columns_are_the_names(self):
        frame = pd.DataFrame(TABLES["one"], columns=["x", "y", "z"])
        assert labels(draw("visualize", frame.iloc[0]).axes[0])[0] in {"x", "y", "z"}
        figures = [
            draw("visualize_mean", frame),
            draw("visualize_heatmap", {"a": frame}),
            draw("visualize_summary", TABLES["one"], frame),
            draw("visualize_dependence", TABLES["one"], frame, "x"),
            draw("visualize_decision", frame, scores=frame.sum(axis=1)),
            draw("visualize_waterfall", frame.iloc[0], score=frame.iloc[0].sum()),
        ]
        for figure in figures:
            figure.draw_without_rendering()
            names = {t.get_text() for ax in figure.axes for t in ax.get_yticklabels()}
            names.add(figure.axes[0].get_xlabel())
            assert names & {"x", "y", "z"}

    def test_given_names_come_first(self):
        frame = pd.DataFrame(TABLES["one"], columns=["x", "y", "z"])
        assert set(labels(draw("visualize_mean", frame, NAMES).axes[0])) == {*NAMES}

    def test_lists_have_no_names(self):
        assert set(labels(draw("visualize_mean", [[1, 2], [3, 4]]).axes[0])) == {
            "0",
            "1",
        }


ROWS = pd.DataFrame({"a": [3.0, 3.5], "b": [1.0, 1.5]})
TURNED = ROWS[["b", "a"]]
ROW, ROW_TURNED = ROWS.loc[0], TURNED.loc[0]
WITH_TABLES = {
    "visualize": lambda t, row, turned, *_: t.visualize(row, errors=turned),
    "grid": lambda t, row, turned, *_: t.visualize_grid({"m": row, "n": turned}),
    "waterfall": lambda t, row, turned, *_: t.visualize_waterfall(
        row, score=4.0, features=turned
    ),
    "mean": lambda t, _, __, rows, turned: t.visualize_mean({"m": rows, "n": turned}),
    "summary": lambda t, _, __, rows, turned: t.visualize_summary(rows, turned),
    "dependence": lambda t, _, __, rows, turned: t.visualize_dependence(
        rows, turned, "a"
    ),
    "heatmap": lambda t, _, __, rows, turned: t.visualize_heatmap(
        {"m": rows, "n": turned}
    ),
    "decision": lambda t, _, __, rows, turned: t.visualize_decision(
        {"m": rows, "n": turned},
        base_values={"m": 0.0, "n": 0.0},
        scores={"m": [4.0, 5.0], "n": [4.0, 5.0]},
    ),
}


@pytest.mark.parametrize("kind", WITH_TABLES)
def test_tables_with_columns_in_another_order_are_refused(kind):
    draw = WITH_TABLES[kind]
    with pytest.raises(
        ValueError, match="same columns in the same order, got 'a', 'b'"
    ):
        draw(TableVisualizer(), ROW, ROW_TURNED, ROWS, TURNED)
    unnamed = pd.DataFrame(ROWS.to_numpy())
    for row, rows in ((ROW, ROWS), (ROW.to_numpy(), unnamed)):
        draw(TableVisualizer(), ROW, row, ROWS, rows)
