"""Scores against a known truth: by hand, by chance, and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import GradientCalculator
from saliency.metrics import (
    LocalisationAUC,
    PointingGame,
    RelevanceMass,
    RelevanceRank,
    masks_of_atoms,
    masks_of_boxes,
)
from tests.networks import CNN, build

TRUTH = np.array([1, 1, 0, 0, 0], bool)
SCORES = np.array([[3.0, -1, 2, 0, 1], [1, 5, 5, 0, 5], [0, 0, 0, 0, 0]])
CASES = [
    # A hit; of three that share the maximum one hits; of five two.
    (PointingGame, {}, [1, 1 / 3, 2 / 5]),
    (RelevanceMass, {}, [3 / 6, 6 / 16, 2 / 5]),
    (RelevanceMass, {"transform": "absolute"}, [4 / 7, 6 / 16, 2 / 5]),
    # The top two: elements 0 and 2; two of the three with a score of 5.
    (RelevanceRank, {}, [1 / 2, (2 / 3) / 2, 2 / 5]),
    # Of six pairs: 3 + 0; then 1 > 0 and 5 > 0, 5 = 5 twice.
    (LocalisationAUC, {}, [3 / 6, (1 + 1 + 2 / 2) / 6, 1 / 2]),
    (
        LocalisationAUC,
        {"curve": "precision_recall"},
        [(1 + 2 / 5) / 2, (1 / 3 + 2 / 4) / 2, 2 / 5],
    ),
]
KINDS = [(kind, settings) for kind, settings, _ in CASES]


@pytest.mark.parametrize(("kind", "settings", "expected"), CASES)
def test_by_hand(kind, settings, expected):
    found = kind(TRUTH, **settings).compute(SCORES)
    assert_allclose(found.values, expected, rtol=1e-12)
    assert found.larger_is_better
    assert found.transform == settings.get(
        "transform", "positive" if kind is RelevanceMass else "signed"
    )


@pytest.mark.parametrize(("kind", "settings"), KINDS)
class TestOfAll:
    def test_scale_and_order_do_not_matter(self, kind, settings):
        rng = np.random.default_rng(0)
        scores = rng.standard_normal((4, 12)).round(1)
        truth = np.argsort(rng.random((4, 12)), axis=1) < 5
        expected = kind(truth, **settings).compute(scores).values
        assert_allclose(
            kind(truth, **settings).compute(scores * 1e300).values, expected
        )
        order = rng.permutation(12)
        found = kind(truth[:, order], **settings).compute(scores[:, order])
        assert_allclose(found.values, expected, rtol=1e-12)

    def test_the_truth_itself_is_best(self, kind, settings):
        truth = np.eye(4, 12, dtype=bool) | np.eye(4, 12, 5, dtype=bool)
        assert_allclose(kind(truth, **settings).compute(truth).values, 1)

    def test_maps_with_channels_and_one_mask_for_all(self, kind, settings):
        model = build(CNN)
        x = np.random.default_rng(0).standard_normal((3, 2, 6, 6))
        masks = masks_of_boxes([(1, 0, 4, 2)] * 3, (6, 6))
        calculator = GradientCalculator(model, class_index=1)
        found = kind(masks, **settings).compute(calculator, x, method="abs")
        scores = np.abs(calculator.compute(x)[0]).sum(axis=1)
        for metric in (kind(masks, **settings), kind(masks[0], **settings)):
            assert_allclose(metric.compute(scores).values, found.values, rtol=1e-12)

    def test_padding_is_left_out(self, kind, settings):
        scores = np.array([[[1.0], [3], [np.nan]], [[2], [0], [1]]])
        masks = masks_of_atoms([[1], [2, 0]], 3)
        found = kind(masks, **settings).compute(scores).values
        alone = kind(masks[0, :2], **settings).compute(scores[:1, :2, 0]).values
        assert_array_equal(found[0], alone[0])
        masks[0, 2] = True
        with pytest.raises(ValueError, match="shape of a map"):
            kind(masks, **settings).compute(scores)

    @pytest.mark.parametrize(
        ("truth", "error", "message"),
        [
            (np.ones(5), TypeError, "array of bool"),
            (np.array([0, 2, 1, 0, 0]), TypeError, "array of bool"),
            (np.zeros((3, 5), bool), ValueError, "names none"),
            (np.ones(5, bool), ValueError, "of example 0 it names all"),
            (np.ones((2, 5), bool), ValueError, "each of the 3 examples"),
            (np.array([1, 0]), ValueError, "shape of a map"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, kind, settings, truth, error, message):
        with pytest.raises(error, match=message):
            kind(truth, **settings).compute(SCORES)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(PointingGame, 0.2), (RelevanceRank, 0.2), (LocalisationAUC, 0.5)],
)
def test_a_random_map_is_at_chance(kind, expected):
    scores = np.random.default_rng(0).random((400, 30))
    found = kind(np.arange(30) < 6).compute(scores)
    assert abs(found.mean - expected) < 3 * found.standard_error


@pytest.mark.parametrize("seed", range(3))
def test_areas_are_those_of_sklearn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    scores, truth = rng.standard_normal((2, 4, 5)).round(1), rng.random((2, 4, 5)) < 0.3
    pairs = [(m.ravel(), s.ravel()) for m, s in zip(truth, scores)]
    for curve, f in (
        ("roc", metrics.roc_auc_score),
        ("precision_recall", metrics.average_precision_score),
    ):
        found = LocalisationAUC(truth, curve=curve).compute(scores).values
        assert_allclose(found, [f(*pair) for pair in pairs], rtol=1e-12)


def test_a_hit_may_be_near():
    mask = np.zeros((7, 7), bool)
    mask[3, 3] = True
    scores = np.eye(49).reshape(49, 7, 7)  # each points at one pixel
    places = np.argwhere(np.ones((7, 7))) - 3
    distances = np.hypot(*places.T)
    for tolerance in (0, 1, 1.5, 2.9, 3):
        found = PointingGame(mask, tolerance=tolerance).compute(scores).values
        assert_array_equal(found, distances <= tolerance)


class TestMasks:
    def test_boxes(self):
        masks = masks_of_boxes([(0, 1, 2, 3), [(3, 0, 4, 1), (0, 2, 1, 3)]], (3, 4))
        assert_array_equal(masks[0], [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
        assert_array_equal(masks[1], [[0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])

    @pytest.mark.parametrize("box", [(0, 0, 5, 2), (1, 1, 1, 2), (0, 0, 1), (0.5,) * 4])
    def test_boxes_that_are_none(self, box):
        with pytest.raises(ValueError, match="boxes must"):
            masks_of_boxes([box], (3, 4))

    def test_atoms(self):
        assert_array_equal(masks_of_atoms([[2], []], 3), [[0, 0, 1], [0, 0, 0]])
        with pytest.raises(ValueError, match=r"in 0\.\.2, got 3"):
            masks_of_atoms([[3]], 3)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (PointingGame, {"tolerance": -1}, "tolerance must"),
        (LocalisationAUC, {"curve": "pr"}, "'roc', 'precision_recall'"),
        (RelevanceMass, {"transform": "signed"}, "'positive', 'absolute'"),
        (RelevanceRank, {"transform": "positive"}, "'signed', 'absolute'"),
    ],
)
def test_settings_are_checked(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(TRUTH, **settings)


@pytest.mark.parametrize(
    "Metric", [PointingGame, RelevanceMass, RelevanceRank, LocalisationAUC]
)
def test_as_many_examples_as_channels(Metric):
    scores = np.zeros((3, 3, 8, 8))
    truth = masks_of_boxes([(0, 0, 3, 3), (4, 4, 8, 8), (0, 5, 2, 8)], (8, 8))
    for of_channels, mask in zip(scores, truth):
        of_channels[:, mask] = 1
    assert_array_equal(Metric(truth).compute(scores).values, 1)
    assert_array_equal(Metric(truth).compute(scores.sum(axis=1)).values, 1)


@pytest.mark.parametrize(
    "Metric", [PointingGame, RelevanceMass, RelevanceRank, LocalisationAUC]
)
def test_as_many_examples_as_features(Metric):
    scores, truth = np.eye(3) + np.eye(3)[0], np.array([1, 0, 0])
    values = Metric(truth).compute(scores).values
    assert_array_equal(
        values, [Metric(truth).compute(s[None]).values[0] for s in scores]
    )
    with pytest.raises(ValueError, match="one mask for each of 3 examples, without"):
        Metric(np.eye(3, dtype=int)).compute(np.ones((3, 3, 3)))
