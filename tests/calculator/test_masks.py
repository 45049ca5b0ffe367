"""LIME, RISE and permutation, against what their papers say."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    FeatureAblationCalculator,
    LimeCalculator,
    OcclusionCalculator,
    PermutationCalculator,
    RISECalculator,
    ShapleyCalculator,
    VariableMonitorLinkHook,
)
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


class Recorded:
    """A function that keeps what it is called with."""

    def __init__(self, function):
        self.function = function
        self.rows = []

    def __call__(self, v):
        self.rows.append(v.array.copy())
        return self.function(v)

    def seen(self):
        return np.concatenate(self.rows)


def squares(v):
    y = F.sum(F.reshape(v, (len(v), -1)) ** 2, axis=1)
    return F.stack([y, F.sqrt(y + 1)], axis=1)


class TestLime:
    @pytest.mark.parametrize("baseline", [0.5, "mean"])
    def test_of_a_linear_model_it_is_weight_times_difference(self, baseline):
        model = build(L.Linear, 6, 2)
        x = np.random.default_rng(0).standard_normal((3, 6))
        calculator = LimeCalculator(
            model, class_index=1, alpha=0, n_samples=40, baseline=baseline
        )
        reference = x.mean(axis=0) if baseline == "mean" else baseline
        expected = model.W.array[1] * (x - reference)
        assert_allclose(calculator.compute(x)[0], expected, atol=1e-10)
        groups = np.array([0, 1, 1, 2, 0, 2])
        found = calculator.replace(groups=groups, per="group").compute(x)[0]
        sums = np.stack([expected[:, groups == g].sum(axis=1) for g in groups], axis=1)
        assert_allclose(found, sums, atol=1e-10)

    def test_it_is_the_ridge_regression_of_what_was_run(self):
        linear_model = pytest.importorskip("sklearn.linear_model")
        model = Recorded(squares)
        x = np.array([[1.0, -2.0, 3.0, 0.5, 4.0]])
        calculator = LimeCalculator(
            model, class_index=1, n_samples=50, kernel_width=0.4, alpha=2.5
        )
        (found,) = calculator.compute(x, seed=3)
        rows = model.seen()
        z = (rows == x).astype(float)
        distance = 1 - z.sum(axis=1) / np.sqrt(z.sum(axis=1) * 5 + 1e-300)
        ridge = linear_model.Ridge(alpha=2.5).fit(
            z,
            squares(chainer.Variable(rows)).array[:, 1],
            np.exp(-((distance / 0.4) ** 2)),
        )
        assert_allclose(found[0], ridge.coef_, atol=1e-10)
        # The number of absent features is as likely to be one as another.
        n_absent = 5 - z[1:].sum(axis=1)
        assert set(n_absent) == {1, 2, 3, 4, 5}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"n_samples": 0}, "n_samples must be an int >= 1"),
            ({"kernel_width": 0}, "kernel_width must be a number in"),
            ({"alpha": -1}, "alpha must be a number in"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            LimeCalculator(squares, **settings)

    @pytest.mark.parametrize("alpha", [0.0, 5.0])
    def test_errors_of_a_sample_are_the_spread_of_samples(self, alpha):
        x = np.random.default_rng(0).standard_normal((2, 6))
        calculator = LimeCalculator(
            lambda v: F.sin(F.cumsum(v, axis=1))[:, ::-1],
            class_index="all",
            n_samples=200,
            alpha=alpha,
            groups=np.array([0, 1, 2, 2, 3, 4]),
            kernel_width=1.0,
        )
        spread = calculator.explain(x, M=60, seed=0).errors
        told = np.mean(
            [calculator.explain(x, seed=i).errors for i in range(10)], axis=0
        )
        assert_allclose(told, spread, rtol=0.35, atol=1e-12)
        assert_allclose(
            calculator.explain(x, seed=0).values,
            calculator.compute(x, seed=0)[0],
            atol=1e-12,
        )

    @pytest.mark.parametrize("n_samples", [10, 16])
    def test_errors_tell_of_few_samples_as_well(self, n_samples):
        x = np.random.default_rng(0).standard_normal((4, 8))
        calculator = LimeCalculator(
            lambda v: F.sin(F.cumsum(v, axis=1))[:, ::-1],
            class_index="all",
            n_samples=n_samples,
            kernel_width=1.0,
        )
        spread = calculator.explain(x, M=40, seed=0).errors
        told = [calculator.explain(x, seed=i).errors for i in range(20)]
        root_mean_square = np.sqrt(np.mean(np.square(told), axis=0))
        assert 0.75 < np.median(root_mean_square / spread) < 1.4

    def test_a_sample_that_alone_tells_of_a_group_leaves_no_residual(self):
        calculator = LimeCalculator(squares, class_index=0, alpha=0, n_samples=6)
        found = calculator.explain(np.ones((1, 3)), seed=0)
        assert np.isfinite(found.errors).all()

    def test_too_few_samples_without_a_penalty(self):
        calculator = LimeCalculator(squares, class_index=0, alpha=0, n_samples=3)
        with pytest.raises(ValueError, match="3 samples do not determine"):
            calculator.compute(np.ones((1, 6)))


class TestRISE:
    @pytest.mark.parametrize(
        ("shape", "axes"),
        [
            ((2, 6), 1),
            ((2, 3, 7), 2),
            ((2, 2, 5, 8), (2, 3)),
            ((1, 2, 3, 4, 5), (3, 2)),
        ],
    )
    def test_is_the_mean_of_masks_times_scores(self, shape, axes):
        model = Recorded(squares)
        x = np.random.default_rng(0).uniform(1, 2, shape)
        baseline = 0.5
        settings = {"n_masks": 9, "p": 0.3, "grid": 3, "axes": axes}
        calculator = RISECalculator(model, class_index=0, baseline=baseline, **settings)
        (found,) = calculator.compute(x, seed=2)
        rows = model.seen().reshape(10, *shape)  # step by step
        masks = (rows[1:] - baseline) / (x - baseline)
        scores = (rows[1:] ** 2).reshape(9, len(x), -1).sum(axis=2)
        expected = (masks.T * scores.T).T.sum(axis=0) / (9 * 0.3)
        assert_allclose(np.broadcast_to(found, shape), expected, atol=1e-9)
        centred = calculator.replace(subtract_mean=True).compute(x, seed=2)[0]
        expected = (masks.T * (scores - scores.mean(axis=0)).T).T.sum(axis=0)
        assert_allclose(
            np.broadcast_to(centred, shape), expected / (9 * 0.3), atol=1e-9
        )
        axes = axes if isinstance(axes, tuple) else (axes,)
        one = [n if a in axes else 1 for a, n in enumerate(shape)]
        assert found.shape == (len(x), *one[1:])
        assert masks.min() > -1e-9
        assert masks.max() < 1 + 1e-9

    def test_masks_are_grids_enlarged_and_moved(self):
        model = Recorded(squares)
        n = 12
        RISECalculator(model, class_index=0, n_masks=400, grid=3, axes=1).compute(
            np.ones((1, n)), seed=0
        )
        masks = model.seen()[1:]
        # 3 cells are enlarged to 4 of 4 elements; 12 of these are cut out, from 0 to 4.
        grid = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1).T
        at = ((np.arange(16) + 0.5) * 3 / 16 - 0.5).clip(0, 2)
        whole = np.array([np.interp(at, np.arange(3), cells) for cells in grid])
        possible = np.concatenate([whole[:, s : s + n] for s in range(5)])
        distance = abs(masks[:, None] - possible).max(axis=2)
        assert distance.min(axis=1).max() < 1e-6
        assert len(set(distance.argmin(axis=1).tolist())) > 25
        assert_allclose(masks.mean(), 0.5, atol=0.05)

    def test_all_classes_and_several_targets(self):
        def model(v, w):
            return squares(F.concat([v, w], axis=1))

        rng = np.random.default_rng(0)
        v, w = rng.standard_normal((3, 4)), rng.standard_normal((3, 6))
        calculator = RISECalculator(
            model, targets=(0, 1), class_index="all", n_masks=5, grid=2, axes=1
        )
        of_v, of_w = calculator.compute((v, w), seed=0)
        assert (of_v.shape, of_w.shape) == ((1, 3, 2, 4), (1, 3, 2, 6))
        one = calculator.replace(class_index=1).compute((v, w), seed=0)
        assert_allclose(of_w[:, :, 1], one[1], atol=1e-12)

    @pytest.mark.parametrize("subtract_mean", [False, True])
    def test_errors_of_a_sample_are_the_spread_of_samples(self, subtract_mean):
        x = np.random.default_rng(0).standard_normal((2, 6))
        calculator = RISECalculator(
            squares,
            class_index=0,
            n_masks=64,
            grid=3,
            axes=1,
            subtract_mean=subtract_mean,
        )
        spread = calculator.explain(x, M=60, seed=0).errors
        told = np.mean(
            [calculator.explain(x, seed=i).errors for i in range(10)], axis=0
        )
        assert_allclose(told, spread, rtol=0.35)
        assert_allclose(
            calculator.explain(x, seed=0).values,
            calculator.compute(x, seed=0)[0],
            atol=1e-12,
        )

    def test_two_masks_do_not_tell_how_far_their_difference_is_off(self):
        calculator = RISECalculator(squares, class_index=0, n_masks=2, grid=3, axes=1)
        x = np.random.default_rng(0).standard_normal((2, 6))
        assert calculator.explain(x, seed=0).errors is not None
        centred = calculator.replace(subtract_mean=True)
        assert centred.explain(x, seed=0).errors is None
        assert centred.replace(n_masks=3).explain(x, seed=0).errors is not None

    def test_large_maps_are_made_class_by_class_and_without_errors(self, monkeypatch):
        x = np.random.default_rng(0).standard_normal((3, 6))
        calculator = RISECalculator(
            squares, class_index="all", n_masks=20, grid=3, axes=1
        )
        expected = calculator.explain(x, seed=0)
        monkeypatch.setattr("saliency.calculator.masks.soft_mask_run._BYTES_OF_MAPS", 1)
        (alone,) = calculator.compute(x, seed=0)
        assert_allclose(alone, expected.values, atol=1e-12)
        monkeypatch.setattr("saliency.calculator.masks.mask_run._BYTES_OF_PARTS", 999)
        found = calculator.explain(x, seed=0)
        assert_allclose(found.values, expected.values, atol=1e-12)
        assert (expected.errors > 0).all()
        assert found.errors is None

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"n_masks": 0}, "n_masks must be an int >= 1"),
            ({"p": 1}, "p must be a number between 0 and 1"),
            ({"axes": (2, 2)}, "axes must hold different axes"),
            ({"axes": 0}, "axes must be an int >= 1"),
            ({"grid": (1, 2, 3)}, "grid must hold one int for each of the 2 axes"),
            ({"axes": 2}, r"axes must be in 1\.\.1 for a target of shape \(2, 3\)"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            RISECalculator(squares, class_index=0, **settings).compute(np.ones((2, 3)))

    def test_integers_have_no_parts(self):
        model = chainer.Sequential(L.EmbedID(3, 2), F.sum)
        with pytest.raises(TypeError, match="a mask cannot let through a part"):
            RISECalculator(model, axes=1).compute(np.zeros((2, 4), np.int32))


class TestFlags:
    """Data of bool, as fingerprints of molecules are."""

    W = np.array([[0.5], [2.0], [-1.0]])
    x = np.array([[True, False, True], [False, False, True], [True, True, True]])

    def model(self, x):
        return F.matmul(F.cast(x, np.float64), self.W)

    @pytest.mark.parametrize("rows", [x[:2], x[:2].tolist(), x[:2].astype(int)])
    def test_references_may_be_flags(self, rows):
        calculators = [
            FeatureAblationCalculator(self.model, class_index=0, baseline=rows[1]),
            ShapleyCalculator(self.model, class_index=0, background=rows),
            PermutationCalculator(self.model, n_draws=2, background=rows),
        ]
        means = [np.array(rows[1], float), *2 * [np.mean(rows, axis=0)]]
        for calculator, mean in zip(calculators, means):
            found = calculator.compute(self.x)[0]
            assert_allclose(found, (self.x - mean) * self.W[:, 0], atol=1e-6)

    def test_rows_of_the_data_are_drawn(self):
        found = PermutationCalculator(self.model, n_draws=3).compute(self.x)[0]
        expected = (self.x - self.x.mean(axis=0)) * self.W[:, 0]
        assert_allclose(found, expected, atol=1e-6)

    @pytest.mark.parametrize("baseline", [0.5, 2, -1, [0, 0, 3], "mean"])
    def test_other_numbers_are_refused(self, baseline):
        for settings in ({"baseline": baseline}, {"background": [[0, 0, 3]]}):
            calculator = ShapleyCalculator(self.model, class_index=0, **settings)
            with pytest.raises(ValueError, match="whole numbers from 0 to 1 for"):
                calculator.compute(self.x)


class TestPermutation:
    def test_all_rows_are_drawn_once_if_there_are_as_many_draws(self):
        model = build(MLP)
        rng = np.random.default_rng(0)
        x, rows = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
        calculator = PermutationCalculator(
            model, class_index=0, background=rows, n_draws=5
        )
        with chainer.using_config("train", False):
            for groups in (None, np.array([0, 1, 1, 0])):
                numbers = np.arange(4) if groups is None else groups
                (found,) = calculator.replace(groups=groups, per="group").compute(x)
                for i, row in enumerate(x):
                    for group in set(numbers.tolist()):
                        drawn = np.where(numbers == group, rows, row)
                        fall = model(row[None]).array[0, 0] - model(drawn).array[:, 0]
                        place = numbers == group
                        assert_allclose(found[i][place], fall.mean(), atol=1e-12)

    def test_a_draw_shuffles_the_data(self):
        model = Recorded(squares)
        x = np.arange(1.0, 13).reshape(6, 2)
        calculator = PermutationCalculator(model, class_index=0, n_draws=3)
        calculator.compute(x, seed=0)
        steps = model.seen()[-7 * 6 :].reshape(7, 6, 2)  # as it is, then draw by draw
        for step, rows in enumerate(steps[1:]):
            changed, other = step % 2, 1 - step % 2
            assert_array_equal(rows[:, other], x[:, other])
            assert_array_equal(np.sort(rows[:, changed]), x[:, changed])
        assert len({rows.tobytes() for rows in steps}) == 7

    def test_errors_of_a_sample_are_the_spread_of_samples(self):
        model = build(MLP)
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((500, 4))
        calculator = PermutationCalculator(
            model, class_index=0, background=rows, n_draws=40
        )
        spread = calculator.explain(rows[:3], M=60, seed=0).errors
        told = np.mean(
            [calculator.explain(rows[:3], seed=i).errors for i in range(10)], axis=0
        )
        assert_allclose(told, spread, rtol=0.35)

    @pytest.mark.parametrize("n_draws", [8, 15])
    def test_errors_are_of_the_rows_that_are_drawn_by_chance(self, n_draws):
        rows = np.random.default_rng(0).standard_normal((10, 4))
        calculator = PermutationCalculator(
            build(MLP), class_index=0, background=rows, n_draws=n_draws
        )
        spread = calculator.explain(rows[:3], M=60, seed=0).errors
        told = [calculator.explain(rows[:3], seed=i).errors for i in range(20)]
        assert 0.8 < np.median(np.sqrt(np.mean(np.square(told), axis=0)) / spread) < 1.2
        # With each row as often as any other, values are the mean over all rows.
        assert calculator.replace(n_draws=20).explain(rows[:3]).errors is None

    def test_of_data_that_is_not_in_memory_some_rows_are_drawn(self, monkeypatch):
        monkeypatch.setattr(
            "saliency.calculator.permutation_calculator._ROWS_OF_DATA", 4
        )
        model = Recorded(squares)
        x = np.arange(40.0)[:, None] + 1
        calculator = PermutationCalculator(model, class_index=0, n_draws=4)
        calculator.compute(x, seed=0)
        values, counts = np.unique(model.seen(), return_counts=True)
        assert set(values[counts > 10]) == {1.0, 14.0, 27.0, 40.0}

    def test_calls_of_a_link_draw_from_themselves(self):
        class Twice(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.h = L.Linear(3, 2)

            def forward(self, v):
                return F.sum(self.h(v) ** 2 * self.h(2 * v), axis=1, keepdims=True)

        model = build(Twice)
        x = np.random.default_rng(0).standard_normal((4, 3))

        def of(call):
            target = VariableMonitorLinkHook(model.h, call=call)
            calculator = PermutationCalculator(model, target, n_draws=4)
            return calculator.compute(x, seed=0)

        assert_allclose(of(None), of(0) + of(1), atol=1e-12)

    def test_one_row_has_none_to_draw_from(self):
        with pytest.raises(ValueError, match="which is one example here"):
            PermutationCalculator(squares, class_index=0).compute(np.ones((1, 3)))


class TestRounding:
    """An output that changes by rounding alone says nothing of any feature."""

    KINDS = (
        FeatureAblationCalculator,
        ShapleyCalculator,
        partial(LimeCalculator, n_samples=20),
        PermutationCalculator,
        partial(OcclusionCalculator, slide_axis=1),
    )

    @staticmethod
    def warnings_of(calculator, x, **settings):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            calculator.compute(x, seed=0, **settings)
        return [str(one.message) for one in caught]

    @pytest.mark.parametrize("kind", KINDS)
    def test_saturated_probabilities(self, kind):
        model = build(MLP, dtype=np.float32)
        x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
        shift = np.array([0, 16, 0], np.float32)

        def probability(v):
            return F.softmax(model(v) + shift)

        calculator = kind(model, eval_fun=probability, class_index=1)
        for batchsize in (1, 6):
            (told,) = self.warnings_of(calculator, x, batchsize=batchsize)
            assert "changes by no more than rounding in float32 makes of it" in told
        # The others have small probabilities, which change.
        assert not self.warnings_of(calculator.replace(class_index=0), x)
        assert not self.warnings_of(calculator.replace(eval_fun=None), x)

    def test_examples_are_counted(self):
        def year(v):
            return 2000 + v[:, :1] * v[:, 1:]

        x = np.array([[1, 1e-4], [1, 1], [2, 1e-4]], np.float32)
        calculator = FeatureAblationCalculator(year, class_index=0, groups=[0, -1])
        for settings in ({}, {"M": 2, "train": True}):
            told = self.warnings_of(calculator, x, **settings)
            assert "the output of 2 examples changes" in told[-1]
        assert not self.warnings_of(calculator, x.astype(np.float64))


@pytest.mark.parametrize("batchsize", [1, None])
@pytest.mark.parametrize(
    ("calculator", "settings"),
    [
        (FeatureAblationCalculator, {}),
        (ShapleyCalculator, {}),
        (ShapleyCalculator, {"method": "sampling"}),
        (LimeCalculator, {"n_samples": 20}),
        (RISECalculator, {"axes": 1, "n_masks": 20}),
    ],
)
def test_a_text_without_words_is_explained_among_others(
    calculator, settings, batchsize
):
    def explanation(texts):
        found = calculator(lambda v: F.sum(v, axis=1) ** 2 + 1, **settings)
        converter = partial(chainer.dataset.concat_examples, padding=0)
        return found.explain(texts, converter=converter, batchsize=batchsize, seed=0)

    texts = [np.array(text, float) for text in ([1, 2, 3], [], [4, 5])]
    with_it, without = explanation(texts), explanation(texts[::2])
    assert_array_equal(with_it.values[::2], without.values)
    assert np.isnan(with_it.values[1]).all()
    assert_array_equal(with_it.scores, [37, 1, 82])
    if with_it.base_values is not None:
        assert_allclose(with_it.base_values, 1)
