"""Infidelity, sensitivity-n and faithfulness correlation, against loops and laws."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import GradientCalculator, VariableMonitorLinkHook
from saliency.metrics import FaithfulnessCorrelation, Infidelity, SensitivityN
from tests.networks import MLP, Siamese, build

import chainer.functions as F
import chainer.links as L
from chainer.dataset import concat_examples

RNG = np.random.default_rng(0)
X, SCORES, REFERENCE = RNG.standard_normal((3, 3, 5))
WEIGHTS = np.arange(1.0, 6)


def additive(v):
    return F.sum(F.exp(v) * WEIGHTS, axis=1, keepdims=True)


CONTRIBUTIONS = (np.exp(X) - np.exp(REFERENCE)) * WEIGHTS


class Recorded:
    """A function of rows that keeps what it is called with."""

    def __init__(self):
        self.rows = []

    def __call__(self, v):
        self.rows.append(v.array.copy())
        return F.sum(v**2 * WEIGHTS, axis=1, keepdims=True)


def correlations(x, reference, scores, size):
    """Returns the correlation over all subsets of a size, by NumPy's corrcoef."""
    model = build(MLP, n_in=5)

    def f(row):
        return float(model(row[None]).array[0, 2])

    sums, falls = [], []
    for subset in itertools.combinations(range(5), size):
        changed = x.copy()
        changed[list(subset)] = reference[list(subset)]
        sums.append(scores[list(subset)].sum())
        falls.append(f(x) - f(changed))
    return np.corrcoef(sums, falls)[0, 1]


class TestCorrelations:
    @pytest.mark.parametrize("batchsize", [None, 1, 4])
    def test_of_all_subsets(self, batchsize):
        settings = {"reference": REFERENCE, "class_index": 2}
        model = build(MLP, n_in=5)
        curve = SensitivityN(model, **settings)
        at_one = FaithfulnessCorrelation(model, share=0.4, **settings)
        curves = curve.compute(SCORES, X, batchsize=batchsize)
        points = at_one.compute(SCORES, X, batchsize=batchsize)
        for i, rows in enumerate(zip(X, REFERENCE, SCORES)):
            expected = [correlations(*rows, size) for size in (1, 2, 3, 4)]
            assert_allclose(curves.curve[i], expected, rtol=1e-9)
            assert_allclose(curves.values[i], np.mean(expected), rtol=1e-9)
            assert_allclose(points.values[i], expected[1], rtol=1e-9)
        assert_allclose(curves.fractions, [[0.2, 0.4, 0.6, 0.8]] * 3)

    @pytest.mark.parametrize("kind", [SensitivityN, FaithfulnessCorrelation])
    def test_what_the_definition_promises(self, kind):
        metric = kind(None, eval_fun=additive, reference=REFERENCE, class_index=0)
        found = metric.compute(CONTRIBUTIONS, X)
        assert_allclose(found.values, 1, rtol=1e-9)
        expected = metric.compute(SCORES, X).values
        assert_allclose(metric.compute(-7 * SCORES, X).values, -expected, rtol=1e-9)
        assert (abs(expected) < 0.999).all()

    def test_random_scores_are_at_zero(self):
        metric = FaithfulnessCorrelation(None, eval_fun=additive, class_index=0)
        x = np.repeat(X[:1], 100, axis=0)
        scores = np.random.default_rng(1).standard_normal((100, 5))
        found = metric.compute(scores, x)
        assert abs(found.mean) < 3 * found.standard_error

    def test_drawn_subsets_are_of_the_seed_and_not_of_the_batch(self):
        rng = np.random.default_rng(2)
        x, scores = rng.standard_normal((2, 4, 12))
        metric = SensitivityN(
            None, eval_fun=lambda v: F.sum(v**3, axis=1), n_subsets=7, n_sizes=3
        )
        found = metric.compute(scores, x, seed=1)
        same = metric.compute(scores, x, seed=1, batchsize=5)
        assert_allclose(same.curve, found.curve, rtol=1e-9)
        assert (metric.compute(scores, x, seed=2).curve != found.curve).any()
        assert_allclose(found.fractions[0] * 12, [1, 6, 10])

    def test_what_is_constant_has_none_and_a_warning(self):
        metric = FaithfulnessCorrelation(None, eval_fun=additive, class_index=0)
        scores = SCORES.copy()
        scores[1] = 0.1
        with pytest.warns(UserWarning, match="taken as 0 for 1 examples"):
            found = metric.compute(scores, X)
        assert found.values[1] == 0
        assert (found.values[[0, 2]] != 0).all()
        flat = metric.replace(eval_fun=lambda v: additive(v * 0))
        with pytest.warns(UserWarning, match="for 3 examples"):
            assert_array_equal(flat.compute(SCORES, X).values, 0)

    @pytest.mark.parametrize("kind", [SensitivityN, FaithfulnessCorrelation])
    def test_probabilities_that_are_1_but_for_rounding_have_none(self, kind):
        model = build(MLP, dtype=np.float32)

        def probability(v):
            return F.softmax(model(v) + np.array([0, 17, 0], np.float32))

        rng = np.random.default_rng(0)
        x = rng.standard_normal((4, 4)).astype(np.float32)
        metric = kind(model, eval_fun=probability, class_index=1)
        with pytest.warns(UserWarning, match="as 0 for 4 examples"):
            result = metric.compute(rng.standard_normal((4, 4)), x, seed=0)
        assert_array_equal(result.values, 0)

    def test_examples_of_different_lengths(self):
        lengths = [3, 2, 5]
        x = [row[:n] for row, n in zip(X, lengths)]
        scores = np.full((3, 5), np.nan)
        for row, all_of_them, n in zip(scores, SCORES, lengths):
            row[:n] = all_of_them[:n]
        metric = SensitivityN(None, eval_fun=lambda v: F.sum(v**2 + v, axis=1))
        found = metric.compute(scores, x, converter=partial(concat_examples, padding=0))
        for i, n in enumerate(lengths):
            alone = metric.compute(scores[i : i + 1, :n], x[i][None])
            assert_allclose(found.values[i], alone.values[0])
            n_size = alone.curve.shape[1]
            assert_allclose(found.curve[i, :n_size], alone.curve[0])
            assert np.isnan(found.curve[i, n_size:]).all()

    def test_one_group_is_refused(self):
        metric = SensitivityN(None, eval_fun=additive, groups=np.zeros(5, int))
        with pytest.raises(ValueError, match="groups must be two or more"):
            metric.compute(SCORES, X)


class TestInfidelity:
    @pytest.mark.parametrize("noise", [None, 0.3])
    @pytest.mark.parametrize("rescaled", [False, True])
    def test_by_an_explicit_loop(self, noise, rescaled):
        f = Recorded()
        metric = Infidelity(
            None,
            eval_fun=f,
            units="gradient",
            noise=noise,
            reference=REFERENCE[0],
            n_samples=20,
            rescaled=rescaled,
            class_index=0,
        )
        found = metric.compute(SCORES[:1], X[:1], seed=0)
        (rows,) = f.rows
        assert_array_equal(rows[0], X[0])
        said = np.array([(X[0] - row) @ SCORES[0] for row in rows[1:]])
        falls = np.array([X[0] ** 2 @ WEIGHTS - row**2 @ WEIGHTS for row in rows[1:]])
        if rescaled:
            said = said * np.linalg.lstsq(said[:, None], falls, rcond=None)[0]
        assert_allclose(found.values, [((said - falls) ** 2).mean()], rtol=1e-9)
        if noise is not None:
            assert found.reference == "noise of 0.3"
        else:  # each element is as it was or at the reference
            assert ((rows == X[0]) | (rows == REFERENCE[0])).all()
            sizes = (rows[1:] != X[0]).sum(axis=1)
            assert set(sizes) == {1, 2, 3, 4, 5}

    def test_gaussian_noise_on_a_quadratic(self):
        """I . phi - (f(x) - f(x - I)) is the sum of a I^2 for the gradient."""
        metric = Infidelity(
            None,
            eval_fun=lambda v: F.sum(v**2 * WEIGHTS, axis=1),
            units="gradient",
            noise=0.5,
            n_samples=2000,
        )
        found = metric.compute(2 * X * WEIGHTS, X, seed=0).values
        expected = 0.5**4 * (WEIGHTS.sum() ** 2 + 2 * (WEIGHTS**2).sum())
        assert_allclose(found, expected, rtol=0.1)
        batches = metric.compute(2 * X * WEIGHTS, X, seed=0, batchsize=501).values
        assert_allclose(batches, found, rtol=1e-9)

    @pytest.mark.parametrize(
        "settings",
        [{"noise": 1}, {"noise": 0.1, "rescaled": True}, {"reference": REFERENCE}],
    )
    def test_it_is_zero_for_the_gradient_of_a_linear_model(self, settings):
        model = build(L.Linear, 5, 2)
        metric = Infidelity(model, units="gradient", class_index=1, **settings)
        found = metric.compute(GradientCalculator(model, class_index=1), X)
        assert_allclose(found.values, 0, atol=1e-20)

    def test_it_is_zero_for_contributions_that_add_up(self):
        metric = Infidelity(
            None,
            eval_fun=additive,
            reference=REFERENCE,
            units="contribution",
            class_index=0,
        )
        assert_allclose(metric.compute(CONTRIBUTIONS, X).values, 0, atol=1e-20)
        assert (metric.compute(CONTRIBUTIONS * 2, X).values > 0.1).all()
        rescaled = metric.replace(rescaled=True)
        assert_allclose(rescaled.compute(CONTRIBUTIONS * -2, X).values, 0, atol=1e-20)

    def test_scores_of_zero_miss_all_of_it(self):
        metric = Infidelity(
            None, eval_fun=additive, units="contribution", class_index=0
        )
        plain = metric.compute(np.zeros((3, 5)), X, seed=0).values
        rescaled = metric.replace(rescaled=True).compute(np.zeros((3, 5)), X, seed=0)
        assert_array_equal(plain, rescaled.values)
        assert (plain > 0).all()

    def test_noise_is_not_rounded_to_integers(self):
        """It was 0 for them, and any scores were perfect."""

        def f(x):
            return F.sum(F.cast(x, "f") ** 2, axis=1, keepdims=True)

        metric = Infidelity(f, units="gradient", noise=0.3, class_index=0)
        x = np.array([[1, 2], [3, 4]])
        with pytest.raises(TypeError, match=r"noise=0.3 .*dtype int64.*astype"):
            metric.compute(np.ones((2, 2)), x, seed=0)
        assert metric.replace(noise=None).compute(np.ones((2, 2)), x).mean > 0

    def test_padding_gets_no_noise(self):
        x = [X[0, :3], X[1]]
        metric = Infidelity(
            None,
            eval_fun=lambda v: F.sum(v * WEIGHTS[: v.shape[1]] + 1, axis=1),
            units="gradient",
            noise=1,
        )
        gradients = np.array([[1, 2, 3, np.nan, np.nan], WEIGHTS])
        found = metric.compute(
            gradients, x, converter=partial(concat_examples, padding=0)
        )
        assert_allclose(found.values, 0, atol=1e-20)

    def test_what_cannot_be_measured_is_refused(self):
        with pytest.raises(TypeError, match="units"):
            Infidelity(build(MLP))
        with pytest.raises(ValueError, match="'gradient', 'contribution'"):
            Infidelity(build(MLP), units="logit")
        with pytest.raises(ValueError, match="noise must be None"):
            Infidelity(build(MLP), units="contribution", noise=1)
        model = build(Siamese)
        metric = Infidelity(
            model,
            units="gradient",
            class_index=0,
            target_extractor=VariableMonitorLinkHook(model.encoder),
        )
        with pytest.raises(ValueError, match="at one call of its link"):
            metric.compute(np.ones((3, 3)), X[:, :4])


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (SensitivityN, {"n_subsets": 1}, "n_subsets must be"),
        (SensitivityN, {"n_sizes": 0}, "n_sizes must be"),
        (FaithfulnessCorrelation, {"share": 2}, "share must be"),
        (Infidelity, {"units": "gradient", "noise": 0}, "noise must be"),
        (Infidelity, {"units": "gradient", "n_samples": 0}, "n_samples must be"),
    ],
)
def test_settings_are_checked(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(build(MLP), **settings)
