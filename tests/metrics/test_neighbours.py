"""Max-sensitivity and the local Lipschitz estimate, against loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    GradientCalculator,
    LRPCalculator,
    ShapleyCalculator,
    SmoothGradCalculator,
)
from saliency.metrics import LocalLipschitz, MaxSensitivity
from tests.networks import MLP, TwoInputs, build

import chainer.functions as F
import chainer.links as L
from chainer.datasets import DictDataset, SubDataset, TransformDataset, TupleDataset

X = np.random.default_rng(0).standard_normal((4, 5))


def squares(v):
    return F.sum(v**2, axis=1)


class Recorded:
    """The gradient of a sum of cubes, which keeps the examples that it is given."""

    def __init__(self):
        self.rows = []
        self.calculator = GradientCalculator(
            None, eval_fun=lambda v: F.sum(v**3, axis=1, keepdims=True), class_index=0
        )

    def preprocess(self, x):
        self.rows.append(x.copy())
        return x


class TestAgainstLoops:
    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            (MaxSensitivity, {}),
            (MaxSensitivity, {"relative": False}),
            (MaxSensitivity, {"transform": "absolute"}),
            (LocalLipschitz, {}),
        ],
    )
    def test_of_what_was_explained(self, kind, settings):
        seen = Recorded()
        metric = kind(radius=0.3, n_samples=3, **settings)
        found = metric.compute(
            seen.calculator, X, seed=0, preprocess_fn=seen.preprocess, batchsize=4
        )
        first, *others = [x for x in seen.rows if len(x) == 4]
        assert_array_equal(first, X)
        assert len(others) == 3
        take = np.abs if settings.get("transform") else np.asarray
        expected = []
        for i, x in enumerate(X):
            phi = take(3 * x**2)
            ratios = []
            for other in others:
                assert 0.15 < abs(other[i] - x).max() <= 0.3
                change = np.linalg.norm(take(3 * other[i] ** 2) - phi)
                if kind is LocalLipschitz:
                    change /= np.linalg.norm(other[i] - x)
                elif settings.get("relative", True):
                    change /= np.linalg.norm(phi)
                ratios.append(change)
            expected.append(max(ratios))
        assert_allclose(found.values, expected, rtol=1e-9)

    def test_the_gradient_of_a_square_has_the_constant_two(self):
        calculator = GradientCalculator(None, eval_fun=squares)
        found = LocalLipschitz(n_samples=2).compute(calculator, X)
        assert_allclose(found.values, 2, rtol=1e-6)

    def test_a_constant_explanation_never_changes(self):
        calculator = GradientCalculator(build(L.Linear, 5, 2), class_index=1)
        for metric in (MaxSensitivity(), LocalLipschitz()):
            assert_array_equal(metric.compute(calculator, X).values, 0)


class TestSameForAll:
    @pytest.mark.parametrize(
        ("kind", "settings"),
        [(SmoothGradCalculator, {"M": 2}), (ShapleyCalculator, {})],
    )
    def test_what_is_random_is_the_same_for_all(self, kind, settings):
        """At so small a distance, noise and coalitions alone could change values."""
        model = build(MLP, n_in=14)
        own = {"method": "sampling", "n_coalitions": 60, "baseline": 1}
        own = own if kind is ShapleyCalculator else {}
        x = np.random.default_rng(0).standard_normal((3, 14))
        calculator = kind(model, class_index=0, **own)
        metric = MaxSensitivity(radius=1e-9, n_samples=2)
        assert (metric.compute(calculator, x, **settings).values < 1e-6).all()

    @pytest.mark.parametrize("kind", [GradientCalculator, LRPCalculator])
    def test_the_predicted_class_is_that_of_the_example(self, kind):
        """Just beside the border of two classes, whose weights are opposite."""
        model = build(L.Linear, 5, 2, nobias=True)
        model.W.array[1] = -model.W.array[0]
        x = np.full((1, 5), 1e-3)
        x -= model.W.array[0] * (x @ model.W.array[0] / (model.W.array[0] ** 2).sum())
        given = {"class_index": "argmax"} if kind is GradientCalculator else {}
        metric = LocalLipschitz(radius=0.1, n_samples=5)
        found = metric.compute(kind(model, **given), x, seed=0).values
        largest = abs(model.W.array).max()
        assert (found <= (0 if kind is GradientCalculator else largest) + 1e-9).all()

    def test_one_seed_one_result(self):
        calculator = GradientCalculator(None, eval_fun=lambda v: F.sum(v**3, axis=1))
        metric = MaxSensitivity(n_samples=2)
        found = metric.compute(calculator, X, seed=1)
        same = metric.compute(calculator, X, seed=1, batchsize=3)
        assert_allclose(same.values, found.values, rtol=1e-12)
        # What an example gets does not depend on those behind it.
        some = metric.compute(calculator, X[:2], seed=1)
        assert_allclose(some.values, found.values[:2], rtol=1e-12)
        assert (metric.compute(calculator, X, seed=2).values != found.values).all()
        assert (metric.compute(calculator, X).values != found.values).all()


class TestFormsOfData:
    def test_all_give_the_same(self):
        pandas = pytest.importorskip("pandas")
        calculator = GradientCalculator(None, eval_fun=lambda v: F.sum(v**3, axis=1))

        class Dataset:
            def __len__(self):
                return len(X)

            def __getitem__(self, i):
                return X[i]

        metric = LocalLipschitz(n_samples=2)
        expected = metric.compute(calculator, X, seed=0).values
        sparse = scipy.sparse.csr_matrix(X)
        for data in (list(X), Dataset(), pandas.DataFrame(X), (X,), sparse):
            found = metric.compute(calculator, data, seed=0).values
            assert_allclose(found, expected, rtol=1e-9)

    def test_of_several_inputs_the_first_is_changed(self):
        model = build(TwoInputs)
        z = np.random.default_rng(1).standard_normal((4, 3))
        calculator = GradientCalculator(model, class_index=0)
        metric = LocalLipschitz(n_samples=2)
        found = metric.compute(calculator, (X[:, :4], z), seed=0).values
        first = X[:, :4]
        for same in (
            list(zip(first, z)),
            TupleDataset(first, z),
            (list(first), z),
            (SubDataset(first, 0, 4), list(z)),
            (scipy.sparse.csr_matrix(first), z),
        ):
            again = metric.compute(calculator, same, seed=0).values
            assert_allclose(again, found, rtol=1e-6)
        assert (found > 0).all()

    def test_arrays_on_disk(self, tmp_path):
        zarr = pytest.importorskip("zarr")
        like_X = {"shape": X.shape, "chunks": (3, 5), "dtype": X.dtype}
        array = zarr.open_array(str(tmp_path / "x.zarr"), mode="w", **like_X)
        array[:] = X
        calculator = GradientCalculator(None, eval_fun=lambda v: F.sum(v**3, axis=1))
        for kind in (LocalLipschitz, MaxSensitivity):
            metric = kind(n_samples=2)
            expected = metric.compute(calculator, X, seed=0).values
            for data in (array, (array,)):
                found = metric.compute(calculator, data, seed=0).values
                assert_allclose(found, expected)

    def test_what_a_dataset_draws_does_not_move_the_global_state(self):
        def augmented(row):
            return row + np.random.normal(size=row.shape)

        data = TransformDataset(X, augmented)
        calculator = GradientCalculator(None, eval_fun=lambda v: F.sum(v**3, axis=1))
        before = repr(np.random.get_state())
        found = MaxSensitivity(n_samples=2).compute(calculator, data, seed=0)
        assert repr(np.random.get_state()) == before
        assert found.values.max() < 0.5  # only the neighbours differ

    def test_examples_of_different_lengths(self):
        x = [X[0, :3], X[1]]
        calculator = GradientCalculator(None, eval_fun=squares)

        def pad(examples, device):
            rows = np.zeros((len(examples), max(map(len, examples))))
            for row, example in zip(rows, examples):
                row[: len(example)] = example
            return rows

        found = LocalLipschitz(n_samples=2).compute(calculator, x, converter=pad)
        assert_allclose(found.values, 2, rtol=1e-6)


class TestErrors:
    def test_scores_cannot_be_explained_again(self):
        with pytest.raises(TypeError, match="must be a calculator for MaxSens"):
            MaxSensitivity().compute(np.ones((4, 5)), X)

    def test_there_is_no_file_for_several_explanations(self):
        calculator = GradientCalculator(None, eval_fun=squares)
        with pytest.raises(ValueError, match="out must be None"):
            MaxSensitivity().compute(calculator, X, out="scores.npy")

    def test_a_zero_map_that_changes_has_no_relative_change(self):
        calculator = GradientCalculator(None, eval_fun=squares)
        x = X.copy()
        x[2] = 0
        with pytest.raises(ValueError, match="scores of example 2 are all 0"):
            MaxSensitivity().compute(calculator, x)
        found = MaxSensitivity(relative=False).compute(calculator, x)
        assert found.values[2] > 0

    def test_dicts_have_no_first_array(self):
        calculator = GradientCalculator(None, eval_fun=squares)
        with pytest.raises(TypeError, match=r"got dicts; pass .* in a tuple"):
            MaxSensitivity().compute(
                calculator, DictDataset(x=X), preprocess_fn=lambda batch: batch["x"]
            )

    def test_integers_are_not_changed(self):
        calculator = GradientCalculator(None, eval_fun=squares)
        with pytest.raises(TypeError, match="floating-point numbers"):
            MaxSensitivity().compute(calculator, np.ones((2, 3), int))

    def test_a_radius_that_is_lost_in_rounding(self):
        calculator = GradientCalculator(None, eval_fun=squares)
        x = np.full((1, 3), 1e8, np.float32)
        with pytest.raises(ValueError, match="does not change example 0"):
            LocalLipschitz(radius=1e-3).compute(calculator, x)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"radius": 0}, "radius must be"),
            ({"n_samples": 0}, "n_samples must be"),
            ({"transform": "abs"}, "transform must be"),
        ],
    )
    def test_settings_are_checked(self, settings, message):
        with pytest.raises(ValueError, match=message):
            LocalLipschitz(**settings)


def test_of_a_network():
    model = build(MLP, n_in=5)
    result = MaxSensitivity(n_samples=2).compute(
        GradientCalculator(model, class_index="argmax"), X.astype("f"), seed=0
    )
    assert repr(MaxSensitivity()) == (
        "MaxSensitivity(transform='signed'): smaller is better"
    )
    assert (result.values > 0).all()
