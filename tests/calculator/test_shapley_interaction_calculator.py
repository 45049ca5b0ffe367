"""Shapley interactions beside the orders that define them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import (
    ShapleyCalculator,
    ShapleyInteractionCalculator,
)
from tests.calculator.oracles import run
from tests.networks import MLP, build

import chainer.functions as F


@pytest.fixture
def model():
    return build(MLP, activation=F.relu, depth=3)


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(3, 4))


def game(model, example, baseline):
    """Returns v, the score of class 1 with some features as they are."""

    def v(coalition):
        mixed = baseline.copy()
        members = sorted(coalition)
        mixed[members] = example[members]
        return run(model, mixed[None])[0, 1]

    return v


def by_orders(v, n, index):
    """Returns the matrix as means over all orders of the players.

    The index of Grabisch and Roubens has the pair join as one player; that of Shapley
    and Taylor counts what is there before the first of the two.
    """

    def delta(before, i, j):
        return v(before | {i, j}) - v(before | {i}) - v(before | {j}) + v(before)

    matrix = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        others = [k for k in range(n) if k not in (i, j)]
        found = []
        if index == "shapley":
            for order in itertools.permutations([*others, "pair"]):
                found.append(delta(set(order[: order.index("pair")]), i, j))
        else:
            for order in itertools.permutations(range(n)):
                first = min(order.index(i), order.index(j))
                found.append(delta(set(order[:first]), i, j))
        matrix[i, j] = matrix[j, i] = np.mean(found) / 2
    for i in range(n):
        if index == "taylor":
            matrix[i, i] = v({i}) - v(set())
            continue
        orders = itertools.permutations(range(n))
        joins = [v(set(o[: o.index(i) + 1])) - v(set(o[: o.index(i)])) for o in orders]
        matrix[i, i] = np.mean(joins) - matrix[i].sum()
    return matrix


@pytest.mark.parametrize("index", ["shapley", "taylor"])
class TestMatrices:
    def test_are_means_over_all_orders(self, index, model, x):
        baseline = np.array([0.5, -1.0, 0.0, 2.0])
        found = ShapleyInteractionCalculator(
            model, index=index, baseline=baseline, class_index=1
        ).compute(x)
        expected = by_orders(game(model, x[0], baseline), 4, index)
        assert_allclose(found[0, 0], expected, rtol=1e-9, atol=1e-12)

    def test_of_a_product_are_off_the_diagonal(self, index):
        data = np.array([[2.0, 3.0], [1.0, -2.0]])
        found = ShapleyInteractionCalculator(
            lambda v: v[:, :1] * v[:, 1:], index=index, class_index=0
        ).compute(data)
        assert_allclose(found[0], [[[0, 3], [3, 0]], [[0, -1], [-1, 0]]])

    @pytest.mark.parametrize("has_background", [False, True])
    def test_rows_add_up_to_shapley_values(self, index, has_background, model, x):
        how = {"class_index": 1, "background": x if has_background else None}
        found = ShapleyInteractionCalculator(model, index=index, **how).compute(x)
        values = ShapleyCalculator(model, method="exact", **how).compute(x)
        assert_allclose(found.sum(axis=3), values, rtol=1e-9, atol=1e-12)
        assert_allclose(found, found.swapaxes(2, 3), rtol=1e-12)

    def test_all_classes_at_once(self, index, model, x):
        every = ShapleyInteractionCalculator(model, index=index, class_index="all")
        found = every.compute(x)
        assert found.shape == (1, 3, 3, 4, 4)
        for c in range(3):
            one = ShapleyInteractionCalculator(model, index=index, class_index=c)
            assert_allclose(found[:, :, c], one.compute(x), rtol=1e-12, atol=1e-15)


class TestGames:
    def test_of_groups(self, model, x):
        groups = np.array([0, 0, 1, 1])
        found = ShapleyInteractionCalculator(
            model, groups=groups, class_index=1
        ).compute(x)
        v = game(model, x[1], np.zeros(4))
        members = [{0, 1}, {2, 3}]

        def of_groups(coalition):
            return v(set().union(*(members[g] for g in coalition)))

        assert found.shape == (1, 3, 2, 2)
        assert_allclose(found[0, 1], by_orders(of_groups, 2, "shapley"), atol=1e-12)

    def test_of_several_targets_is_one(self):
        a, b = np.array([[2.0]]), np.array([[3.0]])
        found = ShapleyInteractionCalculator(
            lambda a, b: a * b, targets=(0, 1), class_index=0
        ).compute((a, b))
        assert_allclose(found, [[[[0, 3], [3, 0]]]])

    def test_of_one_group_is_its_value(self, x):
        found = ShapleyInteractionCalculator(
            lambda v: F.sum(v**2, axis=1, keepdims=True), class_index=0
        ).compute(x[:, :1])
        assert_allclose(found[0, :, 0, 0], x[:, 0] ** 2)

    def test_an_explanation_has_base_values(self, model, x):
        calculator = ShapleyInteractionCalculator(model, class_index=1)
        found = calculator.explain(x)
        assert_allclose(
            found.values.sum(axis=(1, 2)), found.scores - found.base_values, atol=1e-9
        )
        assert_allclose(found.base_values, run(model, 0 * x)[:, 1], rtol=1e-9)

    def test_too_many_groups(self):
        with pytest.raises(ValueError, match=r"at most 16 groups.* got 17"):
            ShapleyInteractionCalculator(
                lambda v: F.sum(v, axis=1, keepdims=True), class_index=0
            ).compute(np.ones((2, 17)))

    def test_another_number_of_groups_in_each_example(self):
        groups = np.array([[0, 1, 2], [0, 0, 1]])
        with pytest.raises(ValueError, match=r"as many groups in every.* 2 and 3"):
            ShapleyInteractionCalculator(
                lambda v: F.sum(v, axis=1, keepdims=True), groups=groups, class_index=0
            ).compute(np.ones((2, 3)))

    def test_another_index(self, model):
        with pytest.raises(ValueError, match="index must be one of 'shapley'"):
            ShapleyInteractionCalculator(model, index="banzhaf")

    def test_a_baseline_beside_a_background(self, model):
        with pytest.raises(ValueError, match="must not be given both"):
            ShapleyInteractionCalculator(model, baseline=0, background=[0.0])
