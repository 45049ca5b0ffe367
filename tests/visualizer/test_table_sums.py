"""Waterfalls and decision paths: what is drawn ends at f(x), or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from saliency import (
    Explanation,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    SmoothGradCalculator,
    TableVisualizer,
    lrp,
    signed_colors,
)
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L

RED, BLUE = (tuple(color) for color in signed_colors([1, -1]))
NAMES = ["a", "b", "c", "d"]
X = np.random.default_rng(0).normal(size=(8, 4))


def network(nobias: bool = False, dtype: type = np.float64) -> chainer.Chain:
    rng = np.random.default_rng(1)
    with chainer.using_config("dtype", np.dtype(dtype)):
        layers = [L.Linear(4, 12, nobias=nobias), L.Linear(12, 3, nobias=nobias)]
    model = chainer.Sequential(layers[0], F.relu, layers[1])
    for _, parameter in sorted(model.namedparams()):
        parameter.array = rng.normal(size=parameter.shape).astype(dtype)
    return model


def output(model: chainer.Chain, x: np.ndarray, index: int) -> np.ndarray:
    with chainer.no_backprop_mode(), chainer.using_config("train", False):
        return model(x).array[:, index]


def explain(calculator, x=X, **how) -> Explanation:
    return calculator.explain(x, feature_names=NAMES, show_progress=False, **how)


def integrated(model, **how) -> IntegratedGradientsCalculator:
    how = {"class_index": 1, "baseline": 0.5, "method": "adaptive", **how}
    return IntegratedGradientsCalculator(model, **how)


def bars(figure):
    """Start and end of each bar, from the bottom up."""
    patches = sorted(figure.axes[0].patches, key=lambda bar: -bar.get_y())
    return [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in patches]


def labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def lines(ax):
    (collection,) = (c for c in ax.collections if isinstance(c, LineCollection))
    return collection.get_segments()


def conserving(rule):
    model = network(nobias=True)
    return model, LRPCalculator(model, class_index=1, rule=rule), None


def without_bias_loss():
    model = network()
    rule = lrp.ZPlus(bias="ignore")
    return model, LRPCalculator(model, class_index=1, rule=rule), None


def of_paths():
    model = network()
    return model, integrated(model), 0.5


def of_a_smooth_network():
    model = build(MLP)
    return model, integrated(model, method="gauss_legendre"), 0.5


class TestAdditivity:
    @pytest.mark.parametrize(
        "explained",
        [
            of_paths,
            of_a_smooth_network,
            lambda: conserving("lrp0"),
            lambda: conserving("zplus"),
            without_bias_loss,
        ],
        ids=["IG", "IG of tanh", "LRP-0", "LRP z+", "LRP that ignores biases"],
    )
    def test_bars_lead_from_the_base_value_to_the_output(self, explained):
        model, calculator, baseline = explained()
        start = 0.0
        if baseline is not None:
            start = output(model, np.full((1, 4), baseline), 1)[0]
        for example, end in zip(explain(calculator), output(model, X, 1)):
            found = bars(example.plot("waterfall"))
            assert found[0][0] == pytest.approx(start, abs=1e-9)
            assert found[-1][1] == pytest.approx(end, rel=1e-6, abs=1e-6)
            # Each begins where the one below ends.
            np.testing.assert_allclose(
                [begin for begin, _ in found[1:]], [end for _, end in found[:-1]]
            )

    def test_paths_lead_from_the_base_value_to_the_output(self):
        model = network()
        figure = explain(integrated(model)).plot("decision")
        ends = output(model, X, 1)
        start = output(model, np.full((1, 4), 0.5), 1)[0]
        for path, end in zip(lines(figure.axes[0]), ends):
            assert path[0, 0] == pytest.approx(start)
            assert path[-1, 0] == pytest.approx(end, rel=1e-6, abs=1e-6)
            np.testing.assert_allclose(path[:, 1], [3.5, 2.5, 1.5, 0.5, -0.5])

    def test_networks_of_float32(self):
        model = network(dtype=np.float32)
        example = explain(integrated(model), X.astype("f"))[2]
        assert example.values.dtype == np.float32
        end = output(model, X.astype("f"), 1)[2]
        assert bars(example.plot("waterfall"))[-1][1] == pytest.approx(end, rel=1e-4)

    @pytest.mark.parametrize("kind", ["waterfall", "decision"])
    @pytest.mark.parametrize(
        "calculator",
        [
            SmoothGradCalculator(network(), class_index=1),
            GradientCalculator(network(), class_index=1),
            integrated(network(), method="gauss_legendre", steps=2),
            LRPCalculator(network(), class_index=1, rule="zplus"),
        ],
        ids=["SmoothGrad", "Gradient", "IG of 2 steps", "LRP with biases"],
    )
    def test_what_does_not_add_up_is_refused_with_the_number(self, calculator, kind):
        (example,) = explain(calculator, X[:1])
        start = 0.0 if example.base_values is None else example.base_values[0]
        miss = abs(start + example.values.sum() - example.scores[0])
        with pytest.raises(ValueError, match="must add up to f") as caught:
            example.plot(kind)
        message = str(caught.value)
        assert f"{example.scores[0]:.6g} by {miss:.2g}. Additive are" in message
        assert "method='raw'" in message and "SmoothGrad, BayesGrad" in message

    def test_the_worst_example_is_named(self):
        values = np.ones((5, 2))
        scores = np.array([2.0, 2, 2.5, 3, 2])
        with pytest.raises(
            ValueError, match="of example 3 lead to 2 and miss scores=3"
        ):
            TableVisualizer().visualize_decision(values, scores=scores)

    @pytest.mark.parametrize("off", [0.9, 1.1])
    @pytest.mark.parametrize(("dtype", "tolerance"), [("f8", 1e-6), ("f4", 1e-4)])
    def test_how_far_a_sum_may_be_off(self, dtype, tolerance, off):
        values = np.array([64, -32, 16], dtype)  # 112 in all
        score = 48 + off * tolerance * 112
        if off < 1:
            TableVisualizer().visualize_waterfall(values, score=score)
        else:
            with pytest.raises(ValueError, match="saliency must add up"):
                TableVisualizer().visualize_waterfall(values, score=score)

    @pytest.mark.parametrize("kind", ["waterfall", "decision"])
    def test_magnitudes_are_no_contributions(self, kind):
        example = explain(integrated(network()), method="abs")[0]
        with pytest.raises(ValueError, match=r"method=.abs. do not\. Additive"):
            example.plot(kind)

    @pytest.mark.parametrize("kind", ["waterfall", "decision"])
    def test_without_scores_there_is_no_end(self, kind):
        with pytest.raises(ValueError, match=f"kind='{kind}'.* has no scores"):
            Explanation(np.ones((1, 3))).plot(kind)

    def test_a_waterfall_is_of_one_example(self):
        with pytest.raises(ValueError, match="one example, got 8; plot explanation"):
            explain(integrated(network())).plot("waterfall")


class TestWaterfall:
    VALUES = np.array([0.5, -2.0, 1.0, -0.25])

    def draw(self, **how):
        how = {"score": 0.25, "base_value": 1.0, **how}
        return TableVisualizer().visualize_waterfall(self.VALUES, NAMES, **how)

    def test_the_strongest_is_at_the_top(self):
        figure = self.draw()
        assert labels(figure) == ["f(x)", "b", "c", "a", "d", "base value"]
        assert bars(figure) == [(1, 0.75), (0.75, 1.25), (1.25, 2.25), (2.25, 0.25)]

    def test_what_is_left_out_is_summed(self):
        figure = self.draw(num_visualize=1)
        assert labels(figure) == ["f(x)", "b", "3 other features", "base value"]
        assert bars(figure) == [(1, 2.25), (2.25, 0.25)]
        # One feature takes as much room as a sum of one.
        assert "d" in labels(self.draw(num_visualize=3))
        assert len(labels(self.draw(num_visualize=-1))) == 6

    def test_numbers_stand_beside_the_bars(self):
        written = texts(self.draw())
        minus = "\N{MINUS SIGN}"
        for number in ("0.25", f"{minus}2", "+1", "+0.5", f"{minus}0.25", "1"):
            assert number in written

    def test_values_of_features_stand_beside_their_names(self):
        figure = self.draw(features=[3, -1.5, np.nan, 0.123456])
        assert labels(figure)[1:5] == [
            "b = \N{MINUS SIGN}1.5",
            "c",
            "a = 3",
            "d = 0.1235",
        ]

    def test_whole_values_have_all_their_digits(self):
        figure = self.draw(features=[94913, -20240131, 1e20, 101325.37])
        assert labels(figure)[1:5] == [
            "b = \N{MINUS SIGN}20240131",
            "c = 1e+20",
            "a = 94913",
            "d = 101325",
        ]

    def test_sums_and_contributions_have_all_their_whole_digits(self):
        given = Explanation(
            np.array([[1200.0, -286.8, 999.6]]),
            scores=np.array([-250913.2]),
            base_values=np.array([-252826.0]),
        )
        figure = given.plot("waterfall")
        minus = "\N{MINUS SIGN}"
        numbers = f"{minus}250913", f"{minus}252826", "+1200", f"{minus}287", "+1000"
        assert {*numbers} <= {*texts(figure)}
        title = figure.axes[0].get_title()
        assert title.endswith(f"f(x) = {minus}250913, base value {minus}252826")

    def test_long_numbers_of_the_axis_stand_apart(self):
        figure = TableVisualizer().visualize_waterfall(
            [1200.0, -287, 0], score=250913.0, base_value=250000.0
        )
        figure.draw_without_rendering()
        boxes = [n.get_window_extent() for n in figure.axes[0].get_xticklabels()]
        assert len(boxes) > 2
        assert all(one.x1 + 5 < other.x0 for one, other in zip(boxes, boxes[1:]))

    def test_colours_and_the_key_say_what_speaks_for(self):
        figure = self.draw()
        for bar in figure.axes[0].patches:
            assert bar.get_facecolor() == (RED if bar.get_width() > 0 else BLUE)
        assert {"← speaks against", "speaks for →"} <= set(texts(figure))

    def test_numbers_are_within_the_axes(self):
        figure = self.draw()
        figure.draw_without_rendering()
        (ax,) = figure.axes
        for text in ax.texts:
            if text.get_text().strip("+\N{MINUS SIGN}")[0].isdigit():
                box = text.get_window_extent()
                assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 + 1

    def test_an_explanation_says_the_values_of_its_data(self):
        example = explain(integrated(network()))[0]
        names = {label.split(" = ")[0] for label in labels(example.plot("waterfall"))}
        assert names == {*NAMES, "f(x)", "base value"}

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"score": [1, 2]}, ValueError, "score must be one number"),
            ({"score": "a"}, TypeError, "score must hold real numbers"),
            ({"base_value": np.nan}, ValueError, "base_value must be finite"),
            ({"features": [1, 2]}, ValueError, "features must have the shape"),
            ({"num_visualize": 0}, ValueError, "num_visualize must be -1"),
        ],
    )
    def test_wrong_arguments(self, arguments, error, message):
        with pytest.raises(error, match=message):
            self.draw(**arguments)


class TestDecision:
    VALUES = np.array([[1.0, 0, -3], [2, 0.5, 1], [1, -0.5, 2]])
    STARTS = np.array([0.0, 1, 0])

    def draw(self, **how):
        scores = self.VALUES.sum(axis=1) + self.STARTS
        how = {"scores": scores, "base_values": self.STARTS, **how}
        return TableVisualizer().visualize_decision(self.VALUES, list("abc"), **how)

    def test_paths_move_by_the_contribution_of_each_row(self):
        figure = self.draw()
        assert labels(figure) == ["c", "a", "b"]  # by mean magnitude
        expected = [[0, 0, 1, -2], [1, 1.5, 3.5, 4.5], [0, -0.5, 0.5, 2.5]]
        found = [path[:, 0] for path in lines(figure.axes[0])]
        np.testing.assert_allclose(found, expected)

    def test_colours_say_where_a_path_ends(self):
        (collection,) = self.draw().axes[0].collections
        colors = [tuple(color[:3]) for color in collection.get_colors()]
        assert colors == [BLUE[:3], RED[:3], RED[:3]]

    def test_what_is_left_out_is_summed_in_the_lowest_row(self):
        figure = self.draw(num_visualize=1)
        assert labels(figure) == ["c", "2 other features"]
        assert lines(figure.axes[0])[1][:, 0].tolist() == [1, 3.5, 4.5]

    def test_panels_have_one_order_and_one_scale(self):
        figure = TableVisualizer().visualize_decision(
            {"first": [[1.0, 0.0]], "second": [[0.0, 40.0], [3, 20]]},
            ["a", "b"],
            scores={"first": [1.5], "second": [40.5, 23.5]},
            base_values=0.5,
        )
        first, second = figure.axes[:2]
        assert first.get_xlim() == second.get_xlim()
        assert lines(first)[0][-1, 0] == 1.5
        assert [len(lines(ax)) for ax in (first, second)] == [1, 2]
