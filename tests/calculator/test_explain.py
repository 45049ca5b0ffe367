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
    GaussianNoiseSampler,
    GradCAMCalculator,
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
GROUPS = {"colour": ["green", "red"]}
SENTENCES = [np.arange(n, dtype=np.int32) for n in (3, 5, 2)]
TOKENS = [["a", "b", "c"], [*"vwxyz"], ["n", "o"]]
padded = functools.partial(concat_examples, padding=-1)


class Words(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 5, ignore_label=-1)
            self.out = L.Linear(5, 2)

    def forward(self, tokens):
        return self.out(F.sum(F.tanh(self.embed(tokens)), axis=1))


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
@pytest.mark.large
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


def test_how_samples_were_computed_is_written_down(model, table, tmp_path):
    assert GradientCalculator(model, class_index=0).explain(table).settings == ""
    calculator = BayesGradCalculator(model, class_index=0)
    settings = {"noise_sampler": GaussianNoiseSampler(), "seed": 7}
    explanation = calculator.explain(table, M=2, **settings)
    expected = f"M=2, train=True, noise_sampler={settings['noise_sampler']!r}, seed=7"
    assert explanation.settings == expected
    explanation.save(tmp_path / "it.npz")
    assert Explanation.load(tmp_path / "it.npz").settings == expected


class TestNames:
    @pytest.mark.parametrize("method", ["compute", "compute_aggregate", "explain"])
    def test_the_calculator_remembers_columns(self, model, table, method):
        calculator = GradientCalculator(model, class_index=0)
        assert calculator.feature_names is None
        getattr(calculator, method)(table)
        assert calculator.feature_names == COLUMNS
        getattr(calculator, method)(table.to_numpy())
        assert calculator.feature_names is None

    def test_columns_of_several_inputs(self, table):
        def add(x, y):
            return F.sum(x * y, axis=1)

        other = table.rename(columns=str.upper)
        calculator = GradientCalculator(None, eval_fun=add, targets=(1,))
        calculator.compute((table, other))
        assert calculator.feature_names is None  # there may be several
        calculator = GradientCalculator(None, eval_fun=add)
        calculator.compute((table, other))
        assert calculator.feature_names == COLUMNS

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
        assert explanation.at_link

    def test_columns_are_no_values_of_a_hidden_layer(self, table, tmp_path):
        model = chainer.Sequential(L.Linear(4, 4), F.tanh, L.Linear(4, 2))
        hidden = VariableMonitorLinkHook(model[0], timing="post")
        GradientCalculator(model, hidden, class_index=0).explain(table).save(
            tmp_path / "hidden"
        )
        explanation = Explanation.load(tmp_path / "hidden")
        assert "data" not in explanation.to_dataframe(tidy=True)
        assert '"x":null' in explanation.to_html()
        figure = explanation.plot()  # bars, where a swarm would be of columns
        assert figure.axes[0].get_xlabel().startswith("mean magnitude")
        for kind in ("beeswarm", "dependence"):
            with pytest.raises(ValueError, match="units of a link"):
                explanation.plot(kind)

    def test_numbers_of_tokens_belong_to_their_embeddings(self):
        words = Words()
        calculator = GradientCalculator(
            words, VariableMonitorLinkHook(words.embed), class_index=1
        )
        tokens = np.array([[1, 5, 2], [3, 3, 0]], np.int32)
        frame = calculator.explain(tokens, ch_axis=3).to_dataframe(tidy=True)
        assert frame["data"].tolist() == tokens.ravel().tolist()

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
        words = Words()
        sentences = [np.arange(n, dtype=np.int32) for n in (3, 5, 2)]
        calculator = IntegratedGradientsCalculator(
            words, VariableMonitorLinkHook(words.embed), class_index=1
        )
        explanation = calculator.explain(
            sentences, converter=padded, ch_axis=3, batchsize=2
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

    @pytest.mark.parametrize("lengths", [(3, 0, 2), (0, 0)], ids=str)
    @pytest.mark.parametrize("batchsize", [1, 2, 16])
    def test_a_sentence_without_words(self, batchsize, lengths):
        words = Words()
        sentences = [np.arange(n, dtype=np.int32) for n in lengths]
        hook = VariableMonitorLinkHook(words.embed)
        how = {"converter": padded, "ch_axis": 3, "batchsize": batchsize}
        tokens = [list(map(str, sentence)) for sentence in sentences]
        calculator = IntegratedGradientsCalculator(words, hook, class_index=1)
        explanation = calculator.explain(sentences, element_names=tokens, **how)
        assert explanation.values.shape == (len(lengths), max(lengths))
        assert explanation.numbers_of_elements() == list(lengths)
        total = explanation.base_values + np.nansum(explanation.values, axis=1)
        np.testing.assert_allclose(total, explanation.scores, atol=1e-4)

        calculator = SmoothGradCalculator(words, hook, class_index=1)
        noisy = calculator.explain(sentences, M=2, seed=0, **how)
        assert noisy.numbers_of_elements() == list(lengths)
        with pytest.raises(ValueError, match=r"ch_axis=2 .* different lengths"):
            calculator.explain([*sentences, SENTENCES[0]], **{**how, "ch_axis": 2})

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


class TestAllClasses:
    """Occlusion explains all classes in the same passes."""

    @pytest.mark.filterwarnings("ignore:all .* samples are equal")
    @pytest.mark.parametrize("M", [1, 2])
    def test_each_is_explained_as_if_alone(self, model, table, M):
        settings = {"M": M, "seed": 0, "train": M > 1, "batchsize": 7}
        names = ["no", "yes", "maybe"]
        calculator = OcclusionCalculator(model, class_index="all", slide_axis=1)
        explanation = calculator.explain(table, class_names=names, **settings)
        assert explanation.values.shape == (20, 3, 4)
        scores = scores_of(model, table)
        np.testing.assert_allclose(explanation.scores, scores, rtol=1e-5, atol=1e-6)
        for c, name in enumerate(names):
            calculator = OcclusionCalculator(model, class_index=c, slide_axis=1)
            alone = calculator.explain(table, **settings)
            one = explanation[:, name]
            np.testing.assert_allclose(one.values, alone.values, atol=1e-6)
            np.testing.assert_allclose(one.scores, alone.scores, rtol=1e-6)
            np.testing.assert_array_equal(one.classes, alone.classes)
            assert (one.errors is None) == (M == 1)
            if M > 1:
                np.testing.assert_allclose(one.errors, alone.errors, atol=1e-6)
        assert explanation.feature_names == tuple(COLUMNS)

    def test_the_axis_of_classes_is_not_summed(self, model, table):
        calculator = OcclusionCalculator(model, class_index="all", slide_axis=1)
        with pytest.raises(ValueError, match=r"ch_axis .* 3\.\.3.*axis 2 the classes"):
            calculator.explain(table, ch_axis=2)
        summed = calculator.explain(table, ch_axis=3)
        samples = calculator.compute(table)
        np.testing.assert_allclose(summed.values, samples[0].sum(axis=2), rtol=1e-5)


class TestGroups:
    @pytest.mark.parametrize("method", ["raw", "abs", "square"])
    def test_errors_are_those_of_the_sums(self, model, table, method):
        calculator = BayesGradCalculator(model, class_index=1)
        settings = {"M": 5, "seed": 0, "batchsize": 7}
        samples = calculator.compute(table, **settings).astype("d")
        change = {"raw": lambda s: s, "abs": np.abs, "square": np.square}[method]
        explanation = calculator.explain(
            table, method=method, groups=GROUPS, **settings
        )
        assert explanation.feature_names == ("age", "colour", "weight")
        for n in range(20):
            for column, members in enumerate([(0,), (1, 2), (3,)]):
                sums = [sum(change(s[n, i]) for i in members) for s in samples]
                found = explanation.values[n, column], explanation.errors[n, column]
                expected = np.mean(sums), np.std(sums, ddof=1)
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        afterwards = calculator.explain(table, method=method, **settings)
        grouped = afterwards.grouped(GROUPS)
        np.testing.assert_allclose(grouped.values, explanation.values, rtol=1e-5)
        np.testing.assert_array_equal(grouped.data, explanation.data)

    def test_columns_without_names_have_numbers(self, model, table):
        calculator = GradientCalculator(model, class_index=1)
        plain = calculator.explain(table.to_numpy())
        grouped = calculator.explain(table.to_numpy(), groups={"a": ["0", "3"]})
        assert grouped.feature_names == ("a", "1", "2")
        expected = plain.values[:, 0] + plain.values[:, 3]
        np.testing.assert_allclose(grouped.values[:, 0], expected, rtol=1e-6)

    def test_of_all_classes(self, model, table):
        calculator = OcclusionCalculator(model, class_index="all", slide_axis=1)
        grouped = calculator.explain(table, groups=GROUPS)
        expected = calculator.explain(table).grouped(GROUPS)
        np.testing.assert_allclose(grouped.values, expected.values, rtol=1e-6)

    def test_groups_that_do_not_fit(self, model, table):
        calculator = GradientCalculator(model, class_index=1)
        with pytest.raises(ValueError, match="got 'blue'"):
            calculator.explain(table, groups={"colour": ["red", "blue"]})
        with pytest.raises(TypeError, match="groups must be a dict"):
            calculator.explain(table, groups=["red"])
        with pytest.raises(ValueError, match="feature_names must have one name"):
            calculator.explain(table, groups={"a": ["b"]}, feature_names=["b"])
        images = np.zeros((2, 3, 4, 4), np.float32)
        calculator = GradientCalculator(lambda x: F.sum(x**2, axis=(1, 2, 3)))
        with pytest.raises(ValueError, match="groups are of the features"):
            calculator.explain(images, groups={"a": ["0"]})


class TestElements:
    @pytest.fixture
    def calculator(self):
        embed = L.EmbedID(9, 5)

        def rating(sentences):
            return F.stack([F.sum(F.tanh(embed(x)), axis=0)[:2] for x in sentences])

        return GradientCalculator(
            embed, VariableMonitorLinkHook(embed), eval_fun=rating, class_index=1
        )

    def test_tokens_stay_with_their_values(self, calculator):
        explanation = calculator.explain(
            SENTENCES, ch_axis=3, batchsize=2, element_names=TOKENS
        )
        assert explanation.element_names == tuple(map(tuple, TOKENS))
        assert explanation.numbers_of_elements() == [3, 5, 2]
        frame = explanation.to_dataframe(tidy=True)
        samples = calculator.aggregate(calculator.compute(SENTENCES), ch_axis=3)
        expected = [
            (i, token, samples[i, k])
            for i, of_text in enumerate(TOKENS)
            for k, token in enumerate(of_text)
        ]
        assert list(zip(frame["example"], frame["name"], frame["value"])) == expected

    def test_tokens_that_do_not_fit(self, calculator):
        tokens = [*TOKENS[:2], ["n"]]
        with pytest.raises(ValueError, match=r"2 elements of example 2, got 1"):
            calculator.explain(SENTENCES, batchsize=2, element_names=tokens)
        with pytest.raises(ValueError, match=r"each of the 3 examples of data, got 2"):
            calculator.explain(SENTENCES, element_names=TOKENS[:2])

    def test_molecules_name_their_atoms(self, calculator):
        chem = pytest.importorskip("rdkit.Chem", reason="needs RDKit")
        mols = [chem.MolFromSmiles(s) for s in ("CCO", "CCOCN", "CO")]
        explanation = calculator.explain(SENTENCES, ch_axis=3, molecules=mols)
        assert explanation.element_names[1] == ("C", "C", "O", "C", "N")
        assert [m.GetNumAtoms() for m in explanation.to_mols()] == [3, 5, 2]
        with pytest.raises(ValueError, match=r"an atom for .* example 0, got 2"):
            calculator.explain(SENTENCES, molecules=["CO", "CCOCN", "CO"])


def test_grad_cam_and_photographs():
    model = chainer.Sequential(
        L.Convolution2D(3, 4, 3), F.relu, functools.partial(F.mean, axis=(2, 3))
    )
    images = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    calculator = GradCAMCalculator(model, class_index="argmax")
    explanation = calculator.explain(images, images=list(images), batchsize=2)
    expected = calculator.aggregate(calculator.compute(images, batchsize=2))
    np.testing.assert_array_equal(explanation.values, expected)
    scores = scores_of(model, images)
    np.testing.assert_array_equal(explanation.classes, scores.argmax(axis=1))
    np.testing.assert_allclose(explanation.scores, scores.max(axis=1), rtol=1e-5)
    explanation.images[0][...] = 0
    np.testing.assert_array_equal(explanation.images[1], images[1])
    assert images[0].any()  # they are copies
    with pytest.raises(ValueError, match="images must hold one for each of the 3"):
        calculator.explain(images, images=list(images[:2]))


def test_a_relevance_that_is_given_is_no_score(model, table):
    start = np.array([1, -1, 0], np.float32)
    explanation = LRPCalculator(model, relevance=start).explain(table)
    assert explanation.scores is None and explanation.classes is None
    one = LRPCalculator(model, class_index=1, relevance=1.0).explain(table)
    expected = scores_of(model, table)[:, 1]
    np.testing.assert_allclose(one.scores, expected, rtol=1e-5, atol=1e-6)


class TestErrors:
    def test_names_that_do_not_fit(self, model, table):
        calculator = GradientCalculator(model, class_index=2)
        with pytest.raises(ValueError, match=r"feature_names .* got 3"):
            calculator.explain(table, feature_names=["a", "b", "c"])
        with pytest.raises(ValueError, match=r"class_names .* class 2 .* 2 names"):
            calculator.explain(table, class_names=["a", "b"])
        with pytest.raises(TypeError, match="feature_names must be a list"):
            calculator.explain(table, feature_names="abcd")

    def test_several_targets_are_refused(self, model, table):
        calculator = GradientCalculator(model, class_index=0, targets="all")
        with pytest.raises(ValueError, match="explain explains one target"):
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
