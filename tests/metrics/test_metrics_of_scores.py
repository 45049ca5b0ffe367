"""Metrics of scores alone, of what all of them are given, and how they print."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import Explanation, GradientCalculator, VariableMonitorLinkHook
from saliency.metrics import Agreement, Completeness, Complexity, Sparseness
from tests.networks import MLP, Tokens, build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples

SCORES = np.random.default_rng(0).standard_normal((5, 3, 4))


class TestSparseness:
    def test_by_hand(self):
        found = Sparseness().compute(
            np.array([[1.0, 3, -4], [0, 0, -7], [2, -2, 2], [0, 0, 0]])
        )
        # Of 1, 3, 4: 1 - 2 (1/8 2.5/3 + 3/8 1.5/3 + 4/8 0.5/3) = 1/4.
        assert_allclose(found.values, [1 / 4, 2 / 3, 0, 0], atol=1e-15)

    def test_it_is_the_mean_absolute_difference_of_pairs(self):
        a = np.abs(SCORES.reshape(5, -1))
        differences = np.abs(a[:, :, None] - a[:, None]).mean(axis=(1, 2))
        expected = differences / a.mean(axis=1) / 2
        assert_allclose(Sparseness().compute(SCORES).values, expected, rtol=1e-12)


class TestComplexity:
    def test_by_hand(self):
        scores = np.array([[1.0, -1, 0, 2], [0, 5, 0, 0], [-3, 3, 3, 3], [0, 0, 0, 0]])
        expected = [1.5 * np.log(2), 0, np.log(4), np.log(4)]
        assert_allclose(Complexity().compute(scores).values, expected, atol=1e-15)


@pytest.mark.parametrize("metric", [Sparseness(), Complexity()])
class TestOfScoresAlone:
    def test_scale_sign_and_order_do_not_matter(self, metric):
        expected = metric.compute(SCORES).values
        order = np.random.default_rng(1).permutation(12)
        permuted = SCORES.reshape(5, -1)[:, order]
        for same in (-SCORES, SCORES * 1e-150, SCORES * 1e300, permuted):
            assert_allclose(metric.compute(same).values, expected, rtol=1e-12)

    def test_padding_is_left_out(self, metric):
        padded = SCORES.copy()
        padded[1, 2:] = np.nan
        expected = metric.compute(SCORES[1:2, :2]).values
        assert_array_equal(metric.compute(padded).values[1:2], expected)
        padded[1] = SCORES[1]
        padded[1, 1, 2] = np.nan
        with pytest.raises(ValueError, match="scores of example 1 must be finite"):
            metric.compute(padded)
        padded[1] = np.nan
        with pytest.raises(ValueError, match="example 1 must be finite"):
            metric.compute(padded)

    def test_a_calculator_an_explanation_and_its_values_are_alike(self, metric):
        model = build(MLP)
        x = np.random.default_rng(0).standard_normal((3, 4))
        calculator = GradientCalculator(model, class_index=1)
        explanation = calculator.explain(x, method="square")
        expected = metric.compute(explanation.values).values
        assert_array_equal(metric.compute(explanation).values, expected)
        found = metric.compute(calculator, x, method="square", batchsize=2)
        assert_allclose(found.values, expected, rtol=1e-12)


class TestWhatIsGiven:
    def test_samples_of_a_calculator_are_reduced_first(self):
        x = np.ones((2, 4))
        calculator = GradientCalculator(build(MLP, dropout=0.5), class_index=0)
        settings = {"M": 3, "train": True, "seed": 1}
        samples = calculator.compute(x, **settings)
        found = Sparseness().compute(calculator, x, **settings)
        expected = Sparseness().compute(samples.mean(axis=0)).values
        assert_allclose(found.values, expected, rtol=1e-12)

    @pytest.mark.parametrize("name", ["scores.npy", "scores.zarr"])
    def test_scores_may_be_in_a_file(self, tmp_path, name):
        if name.endswith("zarr"):
            pytest.importorskip("zarr")
        x = np.random.default_rng(0).standard_normal((3, 4))
        model = build(MLP)
        calculator = GradientCalculator(model, class_index=0)
        for metric in (Sparseness(), Completeness(model, class_index=0)):
            expected = metric.compute(calculator, x).values
            for _ in range(2):  # the second time, all of it is there
                found = metric.compute(calculator, x, out=tmp_path / name)
                assert_allclose(found.values, expected, rtol=1e-9)
        assert (tmp_path / name).exists()

    @pytest.mark.parametrize(
        ("explained", "settings", "error", "message"),
        [
            (np.ones(3), {}, ValueError, r"\(N,\) \+ shape"),
            (np.ones((0, 3)), {}, ValueError, r"shape \(0, 3\)"),
            ((np.ones((2, 3)),) * 2, {}, ValueError, "of one target, got those of 2"),
            ("gradient", {}, TypeError, "a calculator, an Explanation or an array"),
            (np.ones((2, 3)), {"M": 3}, TypeError, "takes M where a calculator"),
            (
                Explanation(np.ones((1, 2, 3)), classes=np.array([[0, 1]])),
                {},
                ValueError,
                "of one class",
            ),
        ],
    )
    def test_what_does_not_fit_is_refused(self, explained, settings, error, message):
        with pytest.raises(error, match=message):
            Sparseness().compute(explained, **settings)

    def test_samples_that_nobody_has_reduced_are_refused(self):
        x = np.ones((3, 4))
        samples = GradientCalculator(build(MLP), class_index=0).compute(x)
        for metric in (Sparseness(), Completeness(build(MLP), class_index=0)):
            with pytest.raises(ValueError, match=r"each of the 3 examples.*aggregate"):
                metric.compute(samples, x)

    def test_a_calculator_needs_data(self):
        with pytest.raises(TypeError, match="data must be given"):
            Sparseness().compute(GradientCalculator(build(MLP)))

    def test_a_typo_of_a_calculators_argument_is_named(self):
        calculator = GradientCalculator(build(MLP))
        with pytest.raises(TypeError, match="did you mean 'train'"):
            Sparseness().compute(calculator, np.ones((2, 4)), trian=True)


class TestResults:
    def test_what_decides_is_printed(self):
        model = build(MLP)
        assert repr(Sparseness()) == "Sparseness(): not a quality by itself"
        metric = Completeness(model, class_index=1)
        assert "reference=0" in repr(metric)
        assert repr(metric).endswith("smaller is better")
        x = np.random.default_rng(0).standard_normal((3, 4))
        result = metric.compute(GradientCalculator(model, class_index=1), x)
        head, row = str(result).splitlines()
        assert head.split()[:4] == ["metric", "better", "reference", "transform"]
        assert row.split()[:4] == ["Completeness", "smaller", "0", "signed"]
        assert f"{result.values.mean():.4g}" in row
        assert "<table>" in result._repr_html_()
        assert_allclose(result.standard_error, result.values.std(ddof=1) / np.sqrt(3))

    def test_one_example_has_no_standard_error(self):
        result = Sparseness().compute(np.ones((1, 2)))
        assert result.standard_error is None
        assert str(result).splitlines()[1].split()[-2:] == ["-", "1"]


class TestCompleteness:
    def test_by_an_explicit_loop(self):
        model = build(MLP)
        rng = np.random.default_rng(0)
        x, scores = rng.standard_normal((2, 5, 4))
        reference = rng.standard_normal((5, 4))
        metric = Completeness(model, reference=reference, class_index=2)
        gains = [
            float(model(a[None]).array[0, 2] - model(r[None]).array[0, 2])
            for a, r in zip(x, reference)
        ]
        expected = np.abs(scores.sum(axis=1) - gains)
        for batchsize in (None, 1, 3):
            found = metric.compute(scores, x, batchsize=batchsize)
            assert_allclose(found.values, expected, rtol=1e-12)

    def test_elements_in_no_group_stay_and_are_not_summed(self):
        x = np.array([[1.0, 2.0, 4.0]])
        metric = Completeness(
            None, eval_fun=lambda v: F.sum(v**2, axis=1), groups=np.array([0, -1, 0])
        )
        found = metric.compute(np.array([[10.0, 99.0, 5.0]]), x)
        assert_allclose(found.values, [2])  # |15 - 17|

    def test_examples_of_different_lengths(self):
        rng = np.random.default_rng(0)
        lengths = [3, 1, 5, 5]
        x = [rng.standard_normal(n) for n in lengths]
        scores = np.full((4, 5), np.nan)
        for row, n in zip(scores, lengths):
            row[:n] = rng.standard_normal(n)
        metric = Completeness(
            None, eval_fun=lambda v: F.sum(v**3 + 1, axis=1), reference=-1
        )
        found = metric.compute(scores, x, converter=partial(concat_examples, padding=0))
        gains = np.array([np.sum(a**3 + 1) for a in x])
        expected = np.abs(np.nansum(scores, axis=1) - gains)
        assert_allclose(found.values, expected, rtol=1e-12)

    def test_at_a_link_and_without_channels(self):
        model = build(Tokens)
        ids = np.array([[1, 2, 3], [4, 5, 0]], np.int32)
        scores = np.random.default_rng(0).standard_normal((2, 3, 4))
        at_tokens = VariableMonitorLinkHook(model.embed)
        reference = model.embed.W.array.mean(axis=0)
        metric = Completeness(
            model, target_extractor=at_tokens, reference=reference, class_index=0
        )
        replaced = build(Tokens)
        replaced.embed.W.array[...] = reference
        ids_ = chainer.Variable(ids)
        gains = (model(ids_).array - replaced(ids_).array)[:, 0]
        expected = np.abs(scores.sum(axis=(1, 2)) - gains)
        for same in (scores, scores.sum(axis=2)):
            found = metric.compute(same, ids)
            assert_allclose(found.values, expected, rtol=1e-12)

    @pytest.mark.parametrize(
        ("settings", "scores", "message"),
        [
            ({}, np.ones((2, 5)), r"shape \(4,\) of the target"),
            ({}, np.ones((3, 4)), "each of the 2 examples"),
            ({}, np.full((2, 4), np.inf), "scores of example 0 must be finite"),
            ({"reference": np.nan}, np.ones((2, 4)), "reference must be finite"),
            ({"groups": np.zeros(3, int)}, np.ones((2, 4)), "groups must be"),
            ({"target_extractor": []}, np.ones((2, 4)), "target_extractor must"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, settings, scores, message):
        with pytest.raises(ValueError, match=message):
            Completeness(build(MLP), class_index=0, **settings).compute(
                scores, np.ones((2, 4))
            )


class TestClasses:
    X = np.random.default_rng(0).standard_normal((3, 4))

    @pytest.mark.parametrize(
        ("own", "other"), [(1, 0), ("argmax", 1), ([0, 1, 2], [0, 1, 1]), (1, (1,))]
    )
    def test_of_another_class_there_is_a_warning(self, own, other):
        model = build(MLP)
        calculator = GradientCalculator(model, class_index=other)
        with pytest.warns(UserWarning, match="pass the same to both"):
            Completeness(model, class_index=own).compute(calculator, self.X)

    @pytest.mark.parametrize("class_index", [1, "argmax", [0, 1, 2], (1,)])
    def test_of_the_same_class_there_is_none(self, class_index, recwarn):
        model = build(MLP)
        calculator = GradientCalculator(model, class_index=class_index)
        metric = Completeness(model, class_index=class_index)
        metric.compute(calculator, self.X)
        metric.compute(calculator.explain(self.X), self.X)
        metric.compute(calculator.compute(self.X)[0], self.X)
        assert not recwarn.list

    def test_of_an_explanation(self):
        model = build(MLP)
        explanation = GradientCalculator(model, class_index=[0, 1, 2]).explain(self.X)
        with pytest.warns(UserWarning, match="pass the same to both"):
            Completeness(model, class_index=1).compute(explanation, self.X)


def test_agreement_of_explanations_with_other_features():
    values = np.random.default_rng(0).normal(size=(6, 4))
    one = Explanation(values, feature_names=[*"abcd"])
    turned = Explanation(values[:, ::-1], feature_names=[*"dcba"])
    agreement = Agreement(one, measure="correlation")
    with pytest.raises(ValueError, match="features of other in the same order, a, b"):
        agreement.compute(turned)
    assert_allclose(agreement.compute(Explanation(values)).values, 1)
