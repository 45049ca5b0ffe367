"""Shapley values, against the sum over all coalitions, and their axioms."""

from __future__ import annotations

from functools import cache, partial
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    FeatureAblationCalculator,
    ShapleyCalculator,
    VariableMonitorLinkHook,
)
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import concat_examples


def network(n, n_out=2):
    """Returns an MLP that is far from linear, in float64."""
    model = build(MLP, n_in=n, n_out=n_out)
    for parameter in model.params():
        parameter.array *= 2
    return model


def score(model, x, column):
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(x).array[:, column]


def shapley(v, n):
    """Returns the Shapley values of a game by the sum over all coalitions."""
    v = cache(v)
    phi = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for s in combinations(others, size):
                phi[i] += weight * (v(frozenset({*s, i})) - v(frozenset(s)))
    return phi


def check_errors(calculator, x, n_told):
    """Standard errors are about what repeated samples are spread by."""
    spread = calculator.explain(x, M=40, seed=0).errors
    told = [calculator.explain(x, seed=i).errors for i in range(n_told)]
    root_mean_square = np.sqrt(np.mean(np.square(told), axis=0))
    assert 0.6 < np.median(root_mean_square / spread) < 1.7


def values_of_table(model, x, rows, column):
    """Returns those of each row of x, with absent features of the mean over rows."""

    def value(row, present):
        is_present = [j in present for j in range(len(row))]
        return score(model, np.where(is_present, row, rows), column).mean()

    return np.array([shapley(lambda s, row=row: value(row, s), len(row)) for row in x])


N = 5


@pytest.fixture(scope="module")
def model():
    return network(N)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).standard_normal((3, N))


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(2).standard_normal((4, N))


class TestAllCoalitions:
    @pytest.mark.parametrize("method", ["exact", "kernel"])
    def test_are_summed_up(self, method, model, x, rows):
        calculator = ShapleyCalculator(model, class_index=1, method=method)
        zeros = np.zeros((1, N))
        expected = values_of_table(model, x, zeros, 1)
        assert_allclose(calculator.compute(x)[0], expected, atol=1e-10)
        expected = values_of_table(model, x, rows, 1)
        interventional = calculator.replace(background=pd.DataFrame(rows))
        assert_allclose(interventional.compute(x)[0], expected, atol=1e-10)
        both = interventional.replace(class_index="all").compute(x)
        assert_allclose(both[0, :, 1], expected, atol=1e-10)
        assert_allclose(both[0, :, 0], values_of_table(model, x, rows, 0), atol=1e-10)

    @pytest.mark.parametrize("n", [1, 2, 3, 9])
    def test_the_kernel_with_all_of_them_is_exact(self, n):
        x = np.random.default_rng(0).standard_normal((2, n))
        exact = ShapleyCalculator(network(n), class_index=0, method="exact")
        kernel = exact.replace(method="kernel")
        assert_allclose(kernel.compute(x), exact.compute(x), atol=1e-8)

    def test_two_features_have_one_pair_of_orders(self):
        x = np.random.default_rng(0).standard_normal((2, 2))
        exact = ShapleyCalculator(network(2), class_index=0, method="exact")
        sampling = exact.replace(method="sampling", n_coalitions=1)
        assert_allclose(sampling.compute(x), exact.compute(x), atol=1e-12)

    def test_more_than_16_groups_are_refused_before_any_pass(self):
        calculator = ShapleyCalculator(lambda v: 1 / 0, method="exact", class_index=0)
        with pytest.raises(
            ValueError, match=r"at most 16 groups.*got 17; pass method="
        ):
            calculator.compute(np.zeros((2, 17)))
        groups = np.arange(17) // 2
        ShapleyCalculator(lambda v: v, method="exact", class_index=0, groups=groups)


class TestAxioms:
    methods = pytest.mark.parametrize(
        ("method", "n_coalitions"),
        [("exact", None), ("kernel", 60), ("sampling", 60)],
    )

    @methods
    @pytest.mark.parametrize("has_background", [False, True])
    def test_efficiency(self, method, n_coalitions, has_background):
        n = 8
        model = network(n)
        rng = np.random.default_rng(0)
        x, rows = rng.standard_normal((3, n)), rng.standard_normal((5, n))
        calculator = ShapleyCalculator(
            model, class_index=1, method=method, n_coalitions=n_coalitions
        )
        at_none = score(model, np.zeros((1, n)), 1)
        if has_background:
            # Of 60 coalitions, 4 pairs of orders have a row each.
            used = rows if method != "sampling" else rows[:4]
            calculator = calculator.replace(background=used)
            at_none = score(model, used, 1).mean()
        explained = calculator.explain(x, seed=0)
        assert_allclose(
            explained.values.sum(axis=1), score(model, x, 1) - at_none, atol=1e-10
        )
        assert_allclose(explained.base_values, np.broadcast_to(at_none, 3))
        assert_allclose(explained.scores, score(model, x, 1))

    @methods
    def test_symmetry_and_dummy(self, method, n_coalitions):
        def symmetric(v):  # in the first two, and without the third
            y = F.sin(v[:, 0] * v[:, 1]) * v[:, 3] + F.exp(v[:, 0] + v[:, 1])
            return F.expand_dims(y + F.sum(v[:, 4:] ** 2, axis=1) * v[:, 3], 1)

        x = np.random.default_rng(0).standard_normal((2, 7))
        x[:, 1] = x[:, 0]
        found = ShapleyCalculator(
            symmetric, method=method, n_coalitions=n_coalitions
        ).compute(x, M=60 if method != "exact" else 1, seed=0)
        deviation = found.std(axis=0) / np.sqrt(len(found)) * 3 + 1e-12
        mean = found.mean(axis=0)
        assert (abs(mean[:, 1] - mean[:, 0]) < 2 * deviation[:, 0]).all()
        if method == "kernel":
            assert (abs(mean[:, 2]) < 1.5 * deviation[:, 2]).all()
        else:
            assert_allclose(found[:, :, 2], 0, atol=1e-12)

    @methods
    def test_of_a_sum_of_functions_of_one_feature_each(self, method, n_coalitions):
        def additive(v):
            return F.expand_dims(F.sum(F.sin(v * np.arange(1.0, 8)), axis=1), 1)

        rng = np.random.default_rng(0)
        x, rows = rng.standard_normal((2, 7)), rng.standard_normal((4, 7))
        calculator = ShapleyCalculator(
            additive, method=method, n_coalitions=n_coalitions
        )
        parts = np.sin(x * np.arange(1, 8))
        assert_allclose(calculator.compute(x)[0], parts, atol=1e-12)
        found = calculator.replace(background=rows).compute(x)
        expected = parts - np.sin(rows * np.arange(1, 8)).mean(axis=0)
        assert_allclose(found[0], expected, atol=1e-12)

    def test_a_product_is_divided_and_ablation_counts_it_twice(self):
        def product(v):
            return F.expand_dims(v[:, 0] * v[:, 1], 1)

        x = np.array([[2.0, 3.0]])
        assert_allclose(ShapleyCalculator(product).compute(x)[0], [[3, 3]])
        assert_allclose(FeatureAblationCalculator(product).compute(x)[0], [[6, 6]])


class TestChance:
    """How far values that are drawn are from the exact ones."""

    @pytest.mark.large
    @pytest.mark.parametrize(
        ("method", "has_background"), [("kernel", False), ("sampling", True)]
    )
    def test_three_standard_errors_hold_99_percent(self, method, has_background):
        n = 12
        model = network(n)
        rng = np.random.default_rng(3)
        x = rng.standard_normal((200, n))
        settings = {"background": rng.standard_normal((3, n))} if has_background else {}
        exact = ShapleyCalculator(model, class_index=0, method="exact", **settings)
        expected = exact.compute(x)[0]
        calculator = exact.replace(method=method, n_coalitions=1000)
        # Examples share their coalitions: each of ten seeds is for twenty of them.
        parts = [calculator.explain(x[i::10], seed=i) for i in range(10)]
        misses = np.stack([p.values - expected[i::10] for i, p in enumerate(parts)])
        errors = np.stack([p.errors for p in parts])
        assert (abs(misses) <= 3 * errors).mean() >= 0.99
        # Errors are no larger than they have to be.
        assert np.sqrt((errors**2).mean()) < 2 * np.sqrt((misses**2).mean())

    @pytest.mark.parametrize("method", ["kernel", "sampling"])
    def test_errors_of_a_sample_are_the_spread_of_samples(self, method):
        n = 8
        calculator = ShapleyCalculator(
            network(n), class_index=0, method=method, n_coalitions=112
        )
        x = np.random.default_rng(0).standard_normal((4, n))
        spread = calculator.explain(x, M=40, seed=0).errors
        explained = [calculator.explain(x, seed=i) for i in range(20)]
        told = np.mean([one.errors for one in explained], axis=0)
        assert 0.7 < np.median(told / spread) < 1.4
        one = explained[5]
        assert_allclose(one.values, calculator.compute(x, seed=5)[0], atol=1e-12)
        assert one.n_sample == 1

    def test_errors_do_not_count_how_far_rows_are_from_each_other(self):
        n = 4
        calculator = ShapleyCalculator(
            network(n),
            class_index=0,
            method="sampling",
            n_coalitions=7 * 42,  # each row of the background six times
            background=3 * np.random.default_rng(1).standard_normal((7, n)),
        )
        x = np.random.default_rng(0).standard_normal((4, n))
        check_errors(calculator, x, 20)

    def test_errors_count_the_rows_that_come_more_often(self):
        def additive(v):
            return F.sum(F.tanh(v), axis=1, keepdims=True)

        rng = np.random.default_rng(1)
        calculator = ShapleyCalculator(
            additive,
            class_index=0,
            method="sampling",
            n_coalitions=3 * 203,  # 5 rows, of which three come once more
            background=rng.standard_normal((5, 2)),
        )
        x = rng.standard_normal((4, 2))
        check_errors(calculator, x, 8)

    @pytest.mark.parametrize("n_coalitions", [28, 32])
    def test_errors_tell_of_few_coalitions_as_well(self, n_coalitions):
        n = 12
        calculator = ShapleyCalculator(
            network(n), class_index=0, n_coalitions=n_coalitions
        )
        x = np.random.default_rng(0).standard_normal((4, n))
        check_errors(calculator, x, 20)

    def test_errors_of_sums_are_those_of_the_sums(self):
        n = 8
        calculator = ShapleyCalculator(
            network(n), class_index=0, method="sampling", n_coalitions=112
        )
        x = pd.DataFrame(np.random.default_rng(0).standard_normal((2, n)))
        everything = {"all": [str(i) for i in range(n)]}
        found = calculator.explain(x, seed=0, groups=everything)
        # They add up to f(x) - f(0), whatever the orders are.
        assert found.errors is None or found.errors.max() < 1e-12

    def test_examples_that_go_through_alone_have_errors_of_their_own(self):
        class Steps(chainer.Chain):  # dropout in each step: masks depend on padding
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.embed = L.EmbedID(9, 3)
                    self.h = L.Linear(3, 3)

            def forward(self, tokens):
                steps = F.separate(self.embed(tokens), axis=1)
                h = 0
                for step in steps:
                    h = F.dropout(F.tanh(self.h(step + h)))
                return self.h(h)

        model = build(Steps)
        tokens = [np.arange(n, dtype=np.int32) for n in (3, 7, 2)]
        calculator = ShapleyCalculator(
            model,
            VariableMonitorLinkHook(model.embed),
            class_index=0,
            method="sampling",
            n_coalitions=40,
        )
        found = calculator.explain(
            tokens,
            ch_axis=3,
            seed=1,
            train=True,
            converter=partial(concat_examples, padding=0),
        )
        assert found.errors.shape == found.values.shape == (3, 7)
        assert_array_equal(np.isnan(found.errors), np.isnan(found.values))
        assert (found.errors[1] > 0).all()
        # All orders of two groups are run.
        assert_allclose(found.errors[2, :2], 0, atol=1e-12)

    def test_nothing_is_left_to_chance(self, model, x):
        explained = ShapleyCalculator(model, class_index=0).explain(x)
        assert explained.errors is None
        with pytest.warns(UserWarning, match="all M=2 samples are equal"):
            ShapleyCalculator(model, class_index=0).compute(x, M=2)

    def test_a_sample_depends_on_its_seed_and_number_alone(self):
        n = 7
        calculator = ShapleyCalculator(
            network(n), class_index=0, method="sampling", n_coalitions=40
        )
        x = np.random.default_rng(0).standard_normal((5, n))
        several = calculator.compute(x, M=3, seed=1)
        assert_allclose(calculator.compute(x, seed=1), several[:1], atol=1e-12)
        assert_allclose(
            calculator.compute(x[:2], M=3, seed=1, batchsize=3),
            several[:, :2],
            atol=1e-12,
        )
        assert (abs(several[0] - several[1]) > 1e-9).any()
        assert (calculator.compute(x, seed=2) != several[:1]).any()


class TestCoalitionsOfTheKernel:
    @pytest.mark.parametrize("n_coalition", [60, 400, 1500])
    def test_small_and_large_ones_are_complete_and_no_pair_comes_twice(
        self, n_coalition
    ):
        n = 12
        seen = []

        def model(v):
            seen.append(v.array.copy())
            return F.sum(v, axis=1, keepdims=True)

        calculator = ShapleyCalculator(model, n_coalitions=n_coalition)
        calculator.compute(np.ones((1, n)), seed=0)
        rows = np.concatenate(seen)
        table = rows[(rows.sum(axis=1) > 0) & (rows.sum(axis=1) < n)]
        assert n_coalition - 2 <= len(table) <= n_coalition
        assert len(np.unique(table, axis=0)) == len(table)
        complements = {tuple(1 - row) for row in table}
        assert complements == {tuple(row) for row in table}
        assert (table.sum(axis=1) == 1).sum() == n


class TestOrders:
    def test_no_coalition_is_run_twice_and_each_order_comes_with_its_reverse(self):
        n, n_coalition = 6, 50
        seen = []

        def model(v):
            seen.append(v.array.copy())
            return F.sum(v, axis=1, keepdims=True)

        calculator = ShapleyCalculator(
            model, method="sampling", n_coalitions=n_coalition
        )
        calculator.compute(np.ones((1, n)), seed=0)
        rows = np.concatenate(seen)
        assert len(rows) == 2 + n_coalition
        table = rows[(rows.sum(axis=1) > 0) & (rows.sum(axis=1) < n)]
        assert len(np.unique(table, axis=0)) == len(table) > n_coalition - 2 * (n - 1)
        complements = {tuple(1 - row) for row in table}
        assert complements == {tuple(row) for row in table}

    def test_values_are_right_on_average(self, model, x):
        calculator = ShapleyCalculator(
            model, class_index=0, method="sampling", n_coalitions=16
        )
        found = calculator.compute(x, M=400, seed=0)
        exact = calculator.replace(method="exact", n_coalitions=None).compute(x)[0]
        error = found.std(axis=0) / np.sqrt(400)
        assert (abs(found.mean(axis=0) - exact) < 4 * error).all()


class TestErrors:
    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"method": "tree"}, ValueError, "method must be one of"),
            ({"n_coalitions": 0}, ValueError, "n_coalitions must be an int >= 1"),
            (
                {"method": "exact", "n_coalitions": 8},
                ValueError,
                "n_coalitions must be None for method='exact'",
            ),
            (
                {"baseline": 0, "background": np.ones((2, 3))},
                ValueError,
                "baseline and background must not be given both",
            ),
            ({"background": 0.0}, ValueError, "background must hold at least one row"),
            ({"background": np.zeros((0, 3))}, ValueError, "at least one row"),
            (
                {"background": [["a"]]},
                TypeError,
                "background must hold rows of numbers",
            ),
            ({"background": [[np.nan]]}, ValueError, "background must be finite"),
        ],
    )
    def test_settings(self, settings, error, message):
        with pytest.raises(error, match=message):
            ShapleyCalculator(lambda v: v, **settings)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"n_coalitions": 23}, "at least 24 for 10 groups and method='kernel'"),
            (
                {"n_coalitions": 35, "method": "sampling"},
                "at least 36 for 10 groups and method='sampling'",
            ),
            ({"background": np.zeros((2, 9))}, r"rows of the shape \(10,\)"),
            (
                {"background": np.zeros(10)},
                r"rows of the shape \(10,\).*one row pass background\[None\].*"
                r"reshape\(10, 1\)",
            ),
            (
                {"background": (np.zeros((2, 10)),)},
                r"rows of the shape \(10,\).*got shape \(1, 2, 10\)",
            ),
        ],
    )
    def test_what_does_not_fit_the_data(self, settings, message):
        calculator = ShapleyCalculator(L.Linear(10, 2), class_index=0, **settings)
        with pytest.raises(ValueError, match=message):
            calculator.compute(np.ones((2, 10), np.float32))

    def test_pixels_are_too_many(self):
        calculator = ShapleyCalculator(lambda v: v, class_index=0)
        with pytest.raises(ValueError, match=r"at most 4096 groups.*Superpixels"):
            calculator.compute(np.ones((1, 1, 70, 70), np.float32))

    def test_a_background_of_fractions_for_integers(self):
        model = chainer.Sequential(L.EmbedID(3, 2), F.sum)
        calculator = ShapleyCalculator(model, background=np.full((1, 4), 0.5))
        with pytest.raises(TypeError, match="background must be of integers"):
            calculator.compute(np.zeros((2, 4), np.int32))

    @pytest.mark.parametrize("row", [[300, 0], [0, -1]])
    def test_a_background_that_the_integers_of_the_data_do_not_reach(self, row):
        def model(x):
            return F.cast(x, np.float32)

        calculator = ShapleyCalculator(model, class_index=0, background=[row, [1, 1]])
        with pytest.raises(ValueError, match=r"background must .* from 0 to 255 .*got"):
            calculator.compute(np.array([[7, 8]], np.uint8))
        assert_array_equal(
            calculator.replace(background=[[3, 1]]).compute(np.uint8([[7, 8]])),
            [[[4, 0]]],
        )


def test_integers_are_explained_as_well():
    embed = L.EmbedID(4, 3)

    def model(tokens):
        return F.sum(F.tanh(F.sum(embed(tokens), axis=1)), axis=1, keepdims=True)

    x = np.array([[1, 2, 3], [3, 3, 1]], np.int32)
    found = ShapleyCalculator(model, background=np.zeros((2, 3), np.int32)).compute(x)
    assert_array_equal(found, ShapleyCalculator(model, baseline=0).compute(x))
    difference = model(x).array - model(np.zeros_like(x)).array
    assert_allclose(found[0].sum(axis=1), difference[:, 0], rtol=1e-5)
