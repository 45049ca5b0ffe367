"""Truth sets: closed forms beside all coalitions; the truth is best, chance known."""

from __future__ import annotations

import itertools
import math
import sys
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr

from saliency import (
    GradientCalculator,
    IntegratedGradientsCalculator,
    ShapleyCalculator,
    ShapleyInteractionCalculator,
)
from saliency.metrics import (
    Agreement,
    PixelFlipping,
    TruthCorrelation,
    truths,
)

import chainer

TABLES = ("linear_table", "additive_table", "interaction_table")
#: What is learned at once, and what takes seconds or reads files of RDKit.
QUICK = (*TABLES, "watermark on colours")
SLOW = ("planted_watermark", "planted_patches", "planted_substructures", "logp")
EVERY = [*QUICK, *(pytest.param(name, marks=pytest.mark.large) for name in SLOW)]
#: Shorter training than by default, which does as well.
SETTINGS = {
    "planted_watermark": {"n_epoch": 3},
    "planted_patches": {"n_train": 500},
    "planted_substructures": {"n_train": 250, "n_epoch": 8},
}


@cache
def made(name):
    if name == "watermark on colours":
        return watermark_on_colours()
    needed = {"planted_substructures": "rdkit", "logp": "rdkit"}
    pytest.importorskip(needed.get(name, "sklearn"))
    return getattr(truths, name)(20, **SETTINGS.get(name, {}))


def watermark_on_colours():
    """Returns a set of small images, whose class is the channel that is bright."""
    t = np.arange(150) % 3
    x = np.random.default_rng(0).normal(0, 0.3, (150, 3, 7, 7))
    x[np.arange(150), t] += 1
    return truths.planted_watermark(15, images=x, labels=t, label=1, n_epoch=8)


def compute(metric, scores, data):
    return metric.compute(scores, data, seed=0, show_progress=False)


def measured(found, name, scores):
    """Returns the values of a metric; graphs come with their converter."""
    metric = found.metrics[name]
    return metric.compute(scores, found.data, seed=0, show_progress=False)


def values_of_coalitions(found, i):
    """Returns the game of an example, by an explicit loop in float64."""
    x, r = found.data[i].astype(float), found.reference.astype(float)
    coalitions = list(itertools.product([False, True], repeat=len(x)))
    rows = np.where(np.array(coalitions), x, r)
    with chainer.no_backprop_mode():
        return dict(zip(coalitions, found.model(rows).array[:, 0].tolist()))


def shapley(values, n):
    found = np.zeros(n)
    for coalition, value in values.items():
        size = sum(coalition)
        for i, is_in in enumerate(coalition):
            others = size - is_in
            weight = math.factorial(others) * math.factorial(n - others - 1)
            found[i] += (1 if is_in else -1) * weight * value
    return found / math.factorial(n)


@pytest.mark.parametrize("name", TABLES)
class TestTables:
    def test_contributions_are_means_over_all_coalitions(self, name):
        found = getattr(truths, name)(3, 6, seed=1)
        for i in range(3):
            expected = shapley(values_of_coalitions(found, i), 6)
            assert_allclose(found.true_scores[i], expected, rtol=1e-6, atol=1e-6)

    def test_exact_shapley_values_find_them(self, name):
        found = getattr(truths, name)(3, 6, seed=1)
        calculator = found.calculator(ShapleyCalculator, baseline=found.reference)
        assert_allclose(calculator.compute(found.data)[0], found.true_scores, atol=1e-5)


def test_interactions_are_those_of_all_coalitions():
    found = truths.interaction_table(4, 6, seed=2)
    kind = ShapleyInteractionCalculator
    calculator = found.calculator(kind, baseline=found.reference)
    assert_allclose(calculator.compute(found.data)[0], found.interactions, atol=1e-5)


def test_integrated_gradients_miss_maxima_alone():
    found = truths.interaction_table(5, 8)
    kind = IntegratedGradientsCalculator
    calculator = found.calculator(kind, baseline=found.reference, steps=200)
    missed = abs(calculator.compute(found.data)[0] - found.true_scores).max(axis=0)
    of_products = np.arange(missed.size) % 4 < 2
    assert missed[of_products].max() < 1e-5
    assert missed[~of_products].min() > 1e-2


def rivals(found):
    """Yields explanations that are wrong, or that know another reference."""
    how = {"seed": 0, "show_progress": False, **found.settings}
    if "ch_axis" not in how and np.ndim(found.data) == 4:
        how["ch_axis"] = 2
    yield found.random_scores(1)
    yield np.where(np.isnan(found.true_scores), np.nan, 1.0)
    yield -found.true_scores
    for settings in ({}, {"multiply_target": True}):
        calculator = found.calculator(GradientCalculator, **settings)
        yield calculator.compute_aggregate(found.data, **how)
    calculator = found.calculator(IntegratedGradientsCalculator, steps=16)
    yield calculator.compute_aggregate(found.data, **how)


@pytest.mark.filterwarnings("ignore:.*is taken as 0", "ignore:the attributions of")
@pytest.mark.parametrize("name", EVERY)
def test_the_truth_is_best(name):
    found = made(name)
    others = list(rivals(found))
    for metric in found.metrics:
        best = measured(found, metric, found.true_scores)
        sign = 1 if best.larger_is_better else -1
        for scores in others:
            rival = measured(found, metric, scores)
            tolerance = 1e-5 * (1 + np.abs(rival.values))
            assert (sign * (best.values - rival.values) > -tolerance).all(), metric
        assert sign * (best.mean - measured(found, metric, others[0]).mean) > 0, metric


def average_precision_by_chance(k, n):
    """Returns the mean over all orders of n elements of which k matter."""
    harmonic = (1 / np.arange(1, n + 1)).sum()
    return (harmonic + (n - harmonic) * (k - 1) / (n - 1)) / n


def by_chance(found, metric):
    """Returns what a random ranking gets for each example, where that is known."""
    if found.masks is not None:
        k = found.masks.reshape(len(found), -1).sum(axis=1)
        n = np.isfinite(found.true_scores).reshape(len(found), -1).sum(axis=1)
        if metric == "PR area":
            return np.array([average_precision_by_chance(*pair) for pair in zip(k, n)])
        return np.full(len(found), 0.5) if metric == "ROC area" else k / n
    if metric in ("deletion", "insertion"):
        with chainer.no_backprop_mode():
            ends = [
                found.model(x).array[:, 0] for x in (found.data, found.reference[None])
            ]
        return (ends[0] + ends[1]) / 2
    if metric == "infidelity":
        return np.array([infidelity_by_chance(found, i) for i in range(len(found))])
    return None if metric == "completeness" else np.zeros(len(found))


@pytest.mark.parametrize(
    "name",
    [
        *("linear_table", "additive_table", "watermark on colours"),
        *(pytest.param(name, marks=pytest.mark.large) for name in SLOW),
    ],
)
def test_a_random_ranking_is_at_chance(name):
    found = made(name)
    for metric in set(found.metrics) - {"completeness", "infidelity"}:
        expected = by_chance(found, metric)
        misses = np.concatenate(
            [
                measured(found, metric, found.random_scores(seed)).values - expected
                for seed in range(4 if found.masks is None else 20)
            ]
        )
        error = misses.std(ddof=1) / np.sqrt(len(misses))
        assert abs(misses.mean()) < 3 * error, metric


def test_the_infidelity_of_random_scores_is_known():
    found = truths.linear_table(10, 6)
    expected = [infidelity_by_chance(found, i) for i in range(10)]
    metric = found.metrics["infidelity"]
    misses = [
        compute_with(seed, metric, found).values.mean() - np.mean(expected)
        for seed in range(30)
    ]
    assert abs(np.mean(misses)) < 3 * np.std(misses, ddof=1) / np.sqrt(30)


def compute_with(seed, metric, found):
    scores = found.random_scores(seed)
    return metric.compute(scores, found.data, seed=seed, show_progress=False)


def infidelity_by_chance(found, i):
    """Returns the mean over subsets, whose size is uniform, and over scores."""
    values = values_of_coalitions(found, i)
    n = len(found.data[i])
    total = 0.0
    for present, value in values.items():
        s = n - sum(present)
        if s:
            fall = values[(True,) * n] - value
            of_scores = s / 12 + (s / 2 - fall) ** 2  # uniform in [0, 1)
            total += of_scores / (n * math.comb(n, s))
    return total


def test_other_metrics_are_at_chance_on_a_linear_table():
    found = truths.linear_table(200, 8)
    scores = found.random_scores(3)
    fall = found.true_scores.sum(axis=1)  # f(x) - f(reference)
    flipping = PixelFlipping(found.model, reference=found.reference, class_index=0)
    for metric, expected in (
        (flipping, fall / 2),
        (flipping.replace(order="least"), fall / 2),
        (Agreement(found.true_scores, measure="top", k=2), 2 / 8),
        (Agreement(found.true_scores, measure="rank", k=2), 1 / 8),
        (Agreement(found.true_scores, measure="correlation"), 0),
    ):
        misses = compute(metric, scores, found.data).values - expected
        error = misses.std(ddof=1) / np.sqrt(len(misses))
        assert abs(misses.mean()) < 3 * error, metric


class TestTruthCorrelation:
    def test_is_spearmans(self):
        truth, scores = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).round(1)
        expected = [
            spearmanr(*pair)[0]
            for pair in zip(truth.reshape(5, -1), scores.reshape(5, -1))
        ]
        assert_allclose(TruthCorrelation(truth).compute(scores).values, expected)
        found = TruthCorrelation(truth).compute(7 * truth**3)
        assert_allclose(found.values, 1)
        assert_allclose(TruthCorrelation(truth).compute(-truth).values, -1)

    @pytest.mark.parametrize(
        ("truth", "error", "message"),
        [
            ("large", TypeError, "contributions must be an array of numbers"),
            (np.ones(5), ValueError, r"\(N,\) \+ shape"),
            (
                np.ones((5, 2)),
                ValueError,
                r"shape \(5, 3\) of the scores, got \(5, 2\)",
            ),
        ],
    )
    def test_what_does_not_fit_is_refused(self, truth, error, message):
        with pytest.raises(error, match=message):
            TruthCorrelation(truth).compute(np.ones((5, 3)))


class TestPlanted:
    def test_a_seed_is_a_set_and_all_else_stays(self):
        np.random.seed(3)
        state = np.random.get_state()[1].copy()
        first, again = made("watermark on colours"), watermark_on_colours()
        assert_array_equal(np.random.get_state()[1], state)
        assert chainer.config.train is True
        assert_array_equal(again.data, first.data)
        for a, b in zip(again.model.params(), first.model.params()):
            assert_array_equal(a.array, b.array)
            assert a.grad is None
        assert repr(first).startswith(
            "TruthSet(planted watermark: 15 examples, learned"
        )
        assert first.data.shape == (15, 3, 7, 7)

    def test_the_mark_decides_alone(self):
        found = made("watermark on colours")
        differs = (found.data != found.without).any(axis=1)
        assert not differs[:, ~found.masks[0]].any()
        with chainer.using_config("train", False):
            with_mark, without = (
                found.model(x).array.argmax(axis=1) for x in (found.data, found.without)
            )
        assert (with_mark == 1).all()
        assert (without != 1).all()

    def test_a_network_that_has_not_learned_is_refused(self, monkeypatch):
        def untrained(*args, **how):
            return lambda x: chainer.Variable(np.zeros((len(x), 10), "f"))

        module = sys.modules[truths.planted_watermark.__module__]
        monkeypatch.setattr(module, "trained", untrained)
        with pytest.raises(RuntimeError, match=r"reaches 0.00 .* has to reach 0.9"):
            truths.planted_watermark(3)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"n": 0}, "n must be an int >= 1, got 0"),
            ({"seed": -1}, "seed must be an int in"),
            ({"label": 10}, "label must be one of the classes"),
            ({"share": 2}, "share must be a number"),
            ({"images": np.ones((3, 1, 8, 8))}, "given together"),
            ({"images": np.ones((3, 8, 8)), "labels": [0, 1, 2]}, "images must have"),
            ({"images": np.ones((3, 1, 8, 8)), "labels": [0.0, 1, 2]}, "labels must"),
        ],
    )
    def test_what_is_not_allowed(self, settings, message):
        with pytest.raises(ValueError, match=message):
            truths.planted_watermark(**settings)


@pytest.mark.parametrize("name", ["logp", "planted_substructures"])
def test_without_rdkit_it_is_said_what_to_install(monkeypatch, name):
    for module in ("rdkit", "rdkit.Chem", "rdkit.RDConfig"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="needs rdkit: pip install rdkit"):
        getattr(truths, name)(2)


@pytest.mark.large
def test_patches_and_groups_decide_and_distractors_do_not():
    found = made("planted_patches")
    differs = (found.data != found.without)[:, 0]
    assert_array_equal(differs, found.masks)
    assert (found.masks.sum(axis=(1, 2)) == 16).all()
    pytest.importorskip("rdkit")
    found = made("planted_substructures")
    assert (found.masks.sum(axis=1) == 3).all()
    for (atoms, _), mask in zip(found.data, found.masks):
        kinds = sorted(atoms[mask[: len(atoms)]].tolist())
        assert kinds == [5 * 6, 5 * 8, 5 * 8 + 1]  # C, =O, OH
