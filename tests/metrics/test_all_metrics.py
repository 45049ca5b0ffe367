"""What holds for every metric: how it prints, and what the page says of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

import saliency
from saliency import GradientCalculator, IntegratedGradientsCalculator
from saliency.metrics import Agreement, Deletion, Metric, Sparseness, evaluate
from saliency.metrics.result import BETTER
from tests.networks import CNN, MLP, build

import chainer.functions as F
from chainer.datasets import TransformDataset

METRICS = {
    name: one
    for name, one in vars(saliency.metrics).items()
    if isinstance(one, type) and issubclass(one, Metric) and one is not Metric
}
X = np.random.default_rng(0).standard_normal((3, 2, 6, 6)).astype("float32")
TRUTH = np.arange(36).reshape(6, 6) < 9


def made(name):
    """Returns a metric, with what has to be given, and its network."""
    model = build(CNN, dtype=np.float32)
    parameters = METRICS[name].__signature__.parameters
    given = {"model": model, "truth": TRUTH, "other": X[:, ::-1], "units": "gradient"}
    given["contributions"] = X[:, ::-1]
    few = {"n_steps": 4, "n_subsets": 4, "n_samples": 2, "n_sizes": 2}
    given.update(few, class_index=0)
    metric = METRICS[name](**{k: v for k, v in given.items() if k in parameters})
    return metric, model


@pytest.mark.parametrize("name", METRICS)
class TestEvery:
    def test_what_decides_is_in_its_repr(self, name):
        metric, _ = made(name)
        text = repr(metric)
        for setting in ("reference", "transform"):
            if setting in metric.settings():
                assert f"{setting}=" in text
        better = BETTER[metric.larger_is_better]
        expected = "not a quality" if better == "neither" else f"{better} is better"
        assert expected in text

    def test_the_page_says_which_way_is_better(self, name):
        page = Path(saliency.__file__).parents[1] / "docs" / "metrics.md"
        lines = page.read_text(encoding="utf-8").splitlines()
        (row,) = (line for line in lines if line.startswith(f"| `{name}` |"))
        assert row.split("|")[4].strip() == BETTER[made(name)[0].larger_is_better]

    def test_values_are_finite_and_nothing_is_changed(self, name):
        metric, model = made(name)
        x = X.copy()
        before = [p.array.tobytes() for p in model.params()]
        numpy_state = np.random.get_state()[1].tobytes()
        calculator = GradientCalculator(model, class_index=0)
        found = metric.compute(calculator, x, seed=0, show_progress=False)
        assert found.values.shape == (3,)
        assert found.values.dtype == np.float64
        assert np.isfinite(found.values).all()
        assert [p.array.tobytes() for p in model.params()] == before
        assert np.random.get_state()[1].tobytes() == numpy_state
        np.testing.assert_array_equal(x, X)
        again = metric.compute(calculator, x, seed=0, batchsize=2, show_progress=False)
        np.testing.assert_allclose(again.values, found.values, rtol=1e-3, atol=1e-6)
        with pytest.raises(ValueError, match="seed must be an int >= 0"):
            metric.compute(calculator, x, seed=-1)
        with pytest.raises(TypeError, match="did you mean 'train'"):
            metric.compute(calculator, x, trian=True)


@pytest.mark.parametrize(
    "name", ["Deletion", "PixelFlipping", "SensitivityN", "Infidelity", "Completeness"]
)
def test_groups_may_be_of_named_columns(name):
    """A dict of columns is the same groups as an array of int."""
    table = pd.DataFrame(X[:, :, 0, 0].astype("d"), columns=["dose", "age"])
    table["day"] = [1.0, 2.0, 3.0]
    scores = np.array([[1.0, 2.0, 4.0]] * 3)

    def product(x):
        return F.prod(x + 1, axis=1, keepdims=True)

    settings = {"units": "contribution"} if name == "Infidelity" else {}
    found = [
        METRICS[name](product, groups=groups, **settings).compute(
            scores, table, seed=0, show_progress=False
        )
        for groups in ({"when": ["dose", "day"]}, np.array([0, 1, 0]))
    ]
    assert_array_equal(found[0].values, found[1].values)


@pytest.mark.parametrize("form", ["sparse", "sparse_in_a_tuple", "zarr"])
@pytest.mark.parametrize(
    "name", ["Deletion", "PixelFlipping", "SensitivityN", "Infidelity", "Completeness"]
)
def test_scores_of_data_that_are_no_array_in_memory(name, form, tmp_path):
    x = X[:, :, 0, :2].reshape(3, 4).astype("d")
    if form == "zarr":
        zarr = pytest.importorskip("zarr")
        like_x = {"shape": x.shape, "chunks": (2, 4), "dtype": x.dtype}
        data = zarr.open_array(str(tmp_path / "x.zarr"), mode="w", **like_x)
        data[:] = x
    else:
        data = scipy.sparse.csr_matrix(x)
    units = {"units": "contribution"} if name == "Infidelity" else {}
    metric = METRICS[name](build(MLP), class_index=0, **units)
    how = {"seed": 0, "show_progress": False}
    found = metric.compute(x, (data,) if form.endswith("tuple") else data, **how)
    assert_array_equal(found.values, metric.compute(x, x, **how).values)
    with pytest.raises(ValueError, match="one map for each of the 3 examples"):
        metric.compute(x[:2], data, **how)


class TestDatasetThatDraws:
    """Each example is another one for another seed."""

    @pytest.fixture
    def data(self):
        x = np.random.default_rng(0).normal(size=(6, 4))
        return TransformDataset(x, lambda row: row + np.random.normal(size=4))

    def test_what_is_explained_is_what_is_measured(self, data):
        model = build(MLP)
        calculator = IntegratedGradientsCalculator(model, class_index=0, steps=30)
        metric = METRICS["Completeness"](model, class_index=0)
        assert metric.compute(calculator, data).values.max() < 1e-6

    def test_two_methods_explain_the_same_examples(self, data):
        calculator = GradientCalculator(build(MLP), class_index=0)
        metric = Agreement(calculator, measure="correlation")
        assert_allclose(metric.compute(calculator, data).values, 1)

    @pytest.mark.parametrize("name", ["MaxSensitivity", "RandomLogit"])
    def test_the_predicted_class_is_that_of_the_example(self, name, data):
        calculator = GradientCalculator(build(MLP), class_index="argmax")
        drawn = calculator.explain(data, seed=3).data
        metric = METRICS[name]()
        found = metric.compute(calculator, data, seed=3)
        assert_allclose(found.values, metric.compute(calculator, drawn, seed=3).values)


class TestTables:
    """What names its columns or rows has to have them in the order of the data."""

    @pytest.fixture
    def table(self):
        rng = np.random.default_rng(0)
        return pd.DataFrame(rng.normal(size=(3, 4)), columns=list("abcd"))

    @pytest.fixture(
        params=[
            *("Deletion", "PixelFlipping", "SensitivityN"),
            *("Completeness", "Infidelity"),
        ]
    )
    def metric(self, request):
        units = {"units": "contribution"} if request.param == "Infidelity" else {}
        return METRICS[request.param](build(MLP), class_index=0, **units)

    def test_an_explanation_in_another_order_is_refused(self, metric, table):
        explanation = GradientCalculator(metric.model, class_index=0).explain(table)
        how = {"seed": 0, "show_progress": False}
        with pytest.raises(ValueError, match="features of data in the same order, d, "):
            metric.compute(explanation, table[list("dcba")], **how)
        with pytest.raises(ValueError, match="examples of data in the same order, 2, "):
            metric.compute(explanation, table[::-1], **how)
        expected = metric.compute(explanation.values, table.to_numpy(), **how)
        renamed = dataclasses.replace(explanation, feature_names=[*"wxyz"])
        for same in (explanation, renamed):
            for data in (table, table.set_index(np.array([7, 8, 9]))):
                found = metric.compute(same, data, **how)
                assert_array_equal(found.values, expected.values)

    def test_scores_in_a_table_are_in_the_order_of_the_data(self, metric, table):
        table.index = [*"xyz"]
        scores = GradientCalculator(metric.model, class_index=0).explain(table).values
        named = pd.DataFrame(scores, table.index, table.columns)
        how = {"seed": 0, "show_progress": False}
        expected = metric.compute(scores, table, **how)
        for same in (named, pd.DataFrame(scores), named.rename(columns={"a": "age"})):
            assert_array_equal(
                metric.compute(same, table, **how).values, expected.values
            )
        # The numbers that pandas gives are no names: rows of data may be shuffled.
        shuffled = table.set_axis([2, 0, 1])
        found = metric.compute(pd.DataFrame(scores), shuffled, **how)
        assert_array_equal(found.values, expected.values)
        with pytest.raises(ValueError, match="features of data in the same order, a, "):
            metric.compute(named[list("dcba")], table, **how)
        with pytest.raises(ValueError, match="examples of data in the same order, x, "):
            metric.compute(named[::-1], table, **how)

    def test_a_reference_in_another_order_is_refused(self, metric, table):
        scores = np.arange(12.0).reshape(3, 4)
        mean = table.mean()
        how = {"seed": 0, "show_progress": False}
        turned = metric.replace(reference=mean[::-1])
        with pytest.raises(ValueError, match="reference must have the columns of data"):
            turned.compute(scores, table, **how)
        expected = metric.replace(reference="mean").compute(scores, table, **how)
        found = metric.replace(reference=mean).compute(scores, table, **how)
        assert_allclose(found.values, expected.values)

    def test_two_explanations_are_of_the_same_order(self, table):
        one = GradientCalculator(build(MLP), class_index=0).explain(table)
        other = GradientCalculator(build(MLP), class_index=1).explain(table[::-1])
        with pytest.raises(
            ValueError, match="examples of other in the same order, 2, "
        ):
            Agreement(other, k=2).compute(one)

    def test_so_are_those_of_an_evaluation(self, table):
        model = build(MLP)
        explanation = GradientCalculator(model, class_index=0).explain(table)
        metrics = [Deletion(model, class_index=0)]
        with pytest.raises(ValueError, match=r"methods.*examples of data in"):
            evaluate({"G": explanation}, table[::-1], metrics, show_progress=False)
        with pytest.raises(ValueError, match="features of data in the same order"):
            Sparseness().compute(explanation, table[list("dcba")])

    def test_nor_does_a_random_ranking_take_it(self, table):
        deletion = Deletion(build(MLP), class_index=0, reference=table.mean()[::-1])
        with pytest.raises(ValueError, match="reference must have the columns of data"):
            deletion.of_random(table, seed=0)

    @pytest.mark.parametrize("kind", ["PointingGame", "TruthCorrelation"])
    def test_what_is_known_is_an_array_or_a_list(self, table, kind):
        name = "truth" if kind == "PointingGame" else "contributions"
        known = table > 0 if kind == "PointingGame" else table
        with pytest.raises(TypeError, match=rf"{name} must be.*DataFrame.*to_numpy"):
            METRICS[kind](known)
        scores = table.to_numpy()[::-1]
        found = METRICS[kind](known.to_numpy().tolist()).compute(scores)
        expected = METRICS[kind](known.to_numpy()).compute(scores)
        assert_array_equal(found.values, expected.values)
