"""``explain``: the values of ``compute``, with names, scores and what was explained."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    Explanation,
    GradientCalculator,
    GuidedBackpropCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import concat_examples

COLUMNS = ["age", "red", "green", "weight"]


@pytest.fixture
def model() -> chainer.Chain:
    layers = L.Linear(4, 8), F.relu, F.dropout, L.Linear(8, 3)
    return build(chainer.Sequential, *layers, dtype=np.float32)


@pytest.fixture
def table() -> pd.DataFrame:
    x = np.random.default_rng(1).normal(size=(20, 4))
    return pd.DataFrame(x, columns=COLUMNS, index=np.arange(100, 120))


def scores_of(model, x):
    with chainer.using_config("train", False):
        return model(np.asarray(x, np.float32)).array


CALCULATORS = {
    "gradient": GradientCalculator,
    "times_target": functools.partial(GradientCalculator, multiply_target=True),
    "bayes_grad": BayesGradCalculator,
    "smooth_grad": SmoothGradCalculator,
    "integrated_gradients": functools.partial(IntegratedGradientsCalculator, steps=4),
    "adaptive": functools.partial(
        IntegratedGradientsCalculator, steps=20, method="adaptive"
    ),
    "guided_backprop": GuidedBackpropCalculator,
    "lrp": functools.partial(LRPCalculator, rule="lrp0"),
    "occlusion": functools.partial(OcclusionCalculator, slide_axis=1),
}


@pytest.mark.parametrize("name", CALCULATORS)
@pytest.mark.filterwarnings("ignore:all .* samples are equal")
def test_values_and_errors_are_those_of_compute_and_aggregate(model, table, name):
    calculator = CALCULATORS[name](model, class_index="argmax")
    settings = {"M": 3, "seed": 0, "batchsize": 7, "show_progress": False}
    samples = calculator.compute(table, **settings)
    explanation = calculator.explain(table, method="abs", **settings)
    expected = calculator.aggregate(samples, "abs")
    np.testing.assert_array_equal(explanation.values, expected)
    std = calculator.aggregate(samples, "abs", statistic="std")
    np.testing.assert_array_equal(explanation.errors, std)
    assert explanation.values.dtype == np.float32
    assert (explanation.method, explanation.n_sample) == ("abs", 3)
    assert explanation.calculator == repr(calculator)
    assert explanation.base_values is None  # magnitudes do not add up


@pytest.mark.parametrize("name", CALCULATORS)
@pytest.mark.parametrize("class_index", ["argmax", 1, [0, 1] * 10])
def test_classes_and_scores_are_those_of_the_model(model, table, name, class_index):
    calculator = CALCULATORS[name](model, class_index=class_index)
    explanation = calculator.explain(table, seed=0, batchsize=7, show_progress=False)
    scores = scores_of(model, table)
    classes = scores.argmax(axis=1) if class_index == "argmax" else class_index
    np.testing.assert_array_equal(explanation.classes, np.broadcast_to(classes, 20))
    expected = scores[np.arange(20), explanation.classes]
    np.testing.assert_allclose(explanation.scores, expected, rtol=1e-5, atol=1e-6)
    assert (explanation.errors is None) == (explanation.n_sample == 1)


def test_a_sum_has_no_classes(model, table):
    explanation = GradientCalculator(model, class_index="sum").explain(table)
    assert explanation.classes is None
    expected = scores_of(model, table).sum(axis=1)
    np.testing.assert_allclose(explanation.scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("baseline", [None, "mean", [0.5, np.arange(4.0)]])
def test_values_add_up_from_the_base_value_to_the_score(model, table, baseline):
    calculator = IntegratedGradientsCalculator(
        model, class_index="argmax", baseline=baseline, steps=64, method="adaptive"
    )
    explanation = calculator.explain(table, batchsize=7)
    total = explanation.base_values + explanation.values.sum(axis=1, dtype="d")
    np.testing.assert_allclose(total, explanation.scores, atol=2e-6)
    references = {None: [np.zeros(4)], "mean": [table.mean(axis=0)]}
    given = baseline if isinstance(baseline, list) else references[baseline]
    points = np.stack([np.broadcast_to(b, 4) for b in given])
    expected = scores_of(model, points).mean(axis=0)[explanation.classes]
    np.testing.assert_allclose(explanation.base_values, expected, atol=2e-6)


def test_with_noise_and_dropout_values_add_up_on_average(model, table):
    calculator = IntegratedGradientsCalculator(
        model, class_index=1, steps=64, method="adaptive"
    )
    explanation = calculator.explain(table, M=4, train=True, seed=0)
    total = explanation.base_values + explanation.values.sum(axis=1, dtype="d")
    np.testing.assert_allclose(total, explanation.scores, atol=2e-6)


def test_other_methods_have_no_base_value(model, table):
    assert GradientCalculator(model, class_index=0).explain(table).base_values is None
    assert LRPCalculator(model).explain(table).base_values is None


class TestNames:
    def test_a_data_frame_names_columns_and_rows(self, model, table):
        explanation = GradientCalculator(model, class_index=0).explain(table)
        assert explanation.feature_names == tuple(COLUMNS)
        np.testing.assert_array_equal(explanation.index, table.index)
        np.testing.assert_array_equal(explanation.data, table.astype(np.float32))

    def test_given_names_come_first(self, model, table):
        names = np.array(["a", "b", "c", "d"])
        explanation = GradientCalculator(model, class_index=0).explain(
            table, feature_names=names, class_names=["no", "yes", "maybe"]
        )
        assert explanation.feature_names == ("a", "b", "c", "d")
        assert explanation.name_of_class(1) == "yes"

    def test_the_frame_that_is_explained_gives_the_names(self, table):
        def add(x, y):
            return F.sum(x * 2, axis=1) + F.sum(y**2, axis=1)

        calculator = GradientCalculator(None, eval_fun=add)
        other = table.rename(columns=str.upper)
        explanation = calculator.explain((table, other))
        assert explanation.feature_names == tuple(COLUMNS)

    def test_columns_do_not_name_a_hidden_layer(self, table):
        model = chainer.Sequential(L.Linear(4, 4), F.tanh, L.Linear(4, 2))
        hidden = VariableMonitorLinkHook(model[0], timing="post")
        calculator = GradientCalculator(model, hidden, class_index=0)
        explanation = calculator.explain(table)
        assert explanation.feature_names is None
        assert explanation.data.shape == (20, 4)

    def test_a_series_names_the_one_feature(self):
        calculator = GradientCalculator(None, eval_fun=lambda x: x**2)
        explanation = calculator.explain(pd.Series([1.0, 2.0, 3.0], name="length"))
        assert explanation.feature_names == ("length",)
        assert list(explanation.to_dataframe()["length"]) == [2.0, 4.0, 6.0]


class TestOtherShapes:
    def test_images_with_their_channels_summed(self):
        model = chainer.Sequential(
            L.Convolution2D(3, 2, 3), F.tanh, functools.partial(F.mean, axis=(2, 3))
        )
        images = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
        calculator = IntegratedGradientsCalculator(model, class_index=1, steps=20)
        explanation = calculator.explain(images, ch_axis=2)
        assert explanation.values.shape == (3, 8, 8)
        np.testing.assert_array_equal(explanation.data, images)
        total = explanation.base_values + explanation.values.sum(axis=(1, 2))
        np.testing.assert_allclose(total, explanation.scores, atol=1e-5)

    def test_sequences_of_different_lengths(self):
        class Words(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.embed = L.EmbedID(9, 5, ignore_label=-1)
                    self.out = L.Linear(5, 2)

            def forward(self, tokens):
                return self.out(F.sum(F.tanh(self.embed(tokens)), axis=1))

        words = Words()
        sentences = [np.arange(n, dtype=np.int32) for n in (3, 5, 2)]
        calculator = IntegratedGradientsCalculator(
            words, VariableMonitorLinkHook(words.embed), class_index=1
        )
        pad = functools.partial(concat_examples, padding=-1)
        explanation = calculator.explain(
            sentences, converter=pad, ch_axis=3, batchsize=2
        )
        np.testing.assert_array_equal(explanation.lengths, [3, 5, 2])
        np.testing.assert_array_equal(calculator.lengths, [3, 5, 2])
        np.testing.assert_array_equal(
            np.isnan(explanation.values).sum(axis=1), [2, 0, 3]
        )
        expected = [float(words(s[None]).array[0, 1]) for s in sentences]
        np.testing.assert_allclose(explanation.scores, expected, atol=1e-5)
        total = explanation.base_values + np.nansum(explanation.values, axis=1)
        np.testing.assert_allclose(total, explanation.scores, atol=1e-4)

    def test_examples_without_a_batch_axis(self):
        model = chainer.Sequential(L.Linear(4, 6), F.tanh, L.Linear(6, 2))
        rng = np.random.default_rng(0)
        graphs = [rng.random((n, 4), np.float32) for n in (2, 3, 1)]

        def scores(nodes):  # one list of all nodes, summed for each graph
            ends = np.cumsum([len(x) for x in nodes])[:-1]
            of_nodes = model(F.concat(nodes, axis=0))
            parts = F.split_axis(of_nodes, ends, axis=0)
            return F.stack([F.sum(part, axis=0) for part in parts])

        calculator = GradientCalculator(
            model,
            VariableMonitorLinkHook(model[0]),
            eval_fun=scores,
            class_index=1,
        )
        explanation = calculator.explain(graphs)
        expected = [float(model(x).array[:, 1].sum()) for x in graphs]
        np.testing.assert_allclose(explanation.scores, expected, atol=1e-5)
        np.testing.assert_array_equal(explanation.lengths, [2, 3, 1])
        assert explanation.data is None  # it is no array

    def test_one_value_for_the_batch_has_no_base_values(self, table):
        calculator = IntegratedGradientsCalculator(
            None, eval_fun=lambda x: F.mean(x**2), steps=3
        )
        explanation = calculator.explain(table, batchsize=20)
        assert explanation.base_values is None
        expected = np.full(20, np.square(table.to_numpy()).mean())
        np.testing.assert_allclose(explanation.scores, expected)


class TestErrors:
    def test_names_that_do_not_fit(self, model, table):
        calculator = GradientCalculator(model, class_index=2)
        with pytest.raises(ValueError, match=r"feature_names .* got 3"):
            calculator.explain(table, feature_names=["a", "b", "c"])
        with pytest.raises(ValueError, match=r"class_names .* class 2 .* 2 names"):
            calculator.explain(table, class_names=["a", "b"])
        with pytest.raises(TypeError, match="feature_names must be a list"):
            calculator.explain(table, feature_names="abcd")

    def test_several_targets_and_all_classes_are_refused(self, model, table):
        calculator = GradientCalculator(model, class_index=0, targets="all")
        with pytest.raises(ValueError, match="explain explains one target"):
            calculator.explain(table)
        calculator = OcclusionCalculator(model, class_index="all", slide_axis=1)
        with pytest.raises(ValueError, match=r"class_index .* got 'all'"):
            calculator.explain(table)

    def test_what_it_does_not_take(self, model, table):
        calculator = GradientCalculator(model, class_index=0)
        with pytest.raises(ValueError, match="method must be one of"):
            calculator.explain(table, method="mean")
        with pytest.raises(TypeError, match="did you mean 'class_names'"):
            calculator.explain(table, class_name=["a"])
        with pytest.raises(TypeError, match="no argument 'postprocess_fn'"):
            calculator.explain(table, postprocess_fn=abs)


def test_the_model_and_the_data_stay_what_they_are(model, table):
    before = {name: p.array.copy() for name, p in model.namedparams()}
    data = table.to_numpy(np.float32)
    explanation = BayesGradCalculator(model, class_index=0).explain(data, M=2, seed=0)
    explanation.data[...] = 0
    np.testing.assert_array_equal(data, table.to_numpy(np.float32))
    for name, parameter in model.namedparams():
        np.testing.assert_array_equal(parameter.array, before[name])
    assert isinstance(explanation, Explanation)
