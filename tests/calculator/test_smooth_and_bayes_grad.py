"""Noise and dropout: their statistics, and that each sample has one draw of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    UniformNoiseSampler,
)
from tests.calculator.every_calculator import every_calculator
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L

A = np.array([1.0, -2.0, 0.5, 3.0])


def quadratic(v):
    """f(x) = sum a x^2, whose gradient at x + e is 2 a (x + e)."""
    return F.sum(A * v**2, axis=1)


class TestSmoothGradOfAQuadratic:
    M = 4000

    @pytest.mark.parametrize(
        ("sampler", "variance"),
        [
            (GaussianNoiseSampler("absolute", 0.3), lambda x: 0.3**2),
            (
                GaussianNoiseSampler("relative", 0.2),
                lambda x: (0.2 * np.ptp(x, axis=1, keepdims=True)) ** 2,
            ),
            (UniformNoiseSampler("absolute", 0.3), lambda x: 0.3**2 / 3),
            (
                UniformNoiseSampler("relative", 0.2),
                lambda x: (0.2 * np.ptp(x, axis=1, keepdims=True)) ** 2 / 3,
            ),
        ],
        ids=["gaussian", "relative_gaussian", "uniform", "relative_uniform"],
    )
    def test_mean_and_variance_are_the_analytic_ones(self, x, sampler, variance):
        calculator = SmoothGradCalculator(quadratic, noise_sampler=sampler)
        samples = calculator.compute(x, M=self.M, batchsize=4096, seed=0)
        expected = (2 * A) ** 2 * variance(x) * np.ones_like(x)
        off = calculator.aggregate(samples) - 2 * A * x
        assert np.abs(off / np.sqrt(expected / self.M)).max() < 4.5
        assert_allclose(samples.var(axis=0), expected, rtol=0.12)

    def test_noise_of_elements_examples_and_samples_is_independent(self, x):
        noise = SmoothGradCalculator(quadratic).compute(
            x, M=self.M, batchsize=4096, seed=0
        )
        correlation = np.corrcoef(noise.reshape(self.M, -1), rowvar=False)
        assert np.abs(correlation - np.eye(28)).max() < 4.5 / np.sqrt(self.M)
        assert np.unique(noise).size == noise.size

    @every_calculator
    @pytest.mark.parametrize("sampler", [GaussianNoiseSampler, UniformNoiseSampler])
    def test_without_scale_is_the_clean_result_byte_for_byte(
        self, new_calculator, sampler, x
    ):
        calculator = new_calculator(build(MLP, n_out=1))
        clean = {"noise_sampler": None, "train": False, "M": 1, "seed": 1}
        still = {**clean, "noise_sampler": sampler(scale=0)}
        result = calculator.compute(x, **still)
        assert result.tobytes() == calculator.compute(x, **clean).tobytes()


class TestBayesGrad:
    def test_mean_and_variance_of_a_linear_network_are_the_analytic_ones(self, x):
        """Each weight is kept with probability 1 - r, and divided by it."""
        weight, r, m = A.reshape(1, 4), 0.25, 8000
        samples = BayesGradCalculator(
            lambda v: F.matmul(F.dropout(v, r), weight.T)
        ).compute(x, M=m, batchsize=4096, seed=0)
        assert set(np.unique(samples)) <= {0.0, *(A / (1 - r))}
        kept = (samples != 0).mean(axis=0)
        assert_allclose(kept, 1 - r, atol=4.5 * np.sqrt(r * (1 - r) / m))

    def test_masks_of_layers_examples_and_samples_are_independent(self, x):
        masks = []

        def model(v):
            for _ in range(2):
                y, mask = F.dropout(v, 0.5, return_mask=True)
                if len(mask) == 7 * 2000:
                    masks.append(mask != 0)
            return F.sum(y, axis=1)

        BayesGradCalculator(model).compute(x, M=2000, batchsize=7 * 2000, seed=0)
        bits = np.stack(masks).reshape(2, 2000, 28).transpose(1, 0, 2)
        correlation = np.corrcoef(bits.reshape(2000, -1), rowvar=False)
        assert np.abs(correlation - np.eye(56)).max() < 5 / np.sqrt(2000)

    def test_keeps_a_mask_that_the_model_chose(self, x):
        mask = np.array([0.0, 2.0, 0.0, 2.0]) * np.ones_like(x)
        samples = BayesGradCalculator(
            lambda v: F.sum(F.dropout(v, 0.5, mask=mask), axis=1)
        ).compute(x, M=1)
        assert_array_equal(samples[0], mask)

    def test_leaves_parts_alone_that_the_model_runs_in_evaluation_mode(self, x):
        """A frozen part with batch normalization before its dropout."""
        norm = build(L.BatchNormalization, 4)

        def model(v):
            with chainer.using_config("train", False):
                h = F.dropout(norm(v), 0.5)
            return F.sum(h**2, axis=1)

        samples = BayesGradCalculator(norm, eval_fun=model).compute(x, M=3, seed=0)
        for sample in samples:
            assert_array_equal(sample, GradientCalculator(model).compute(x)[0])

    def test_is_the_gradient_where_there_is_no_dropout(self, x):
        model = build(MLP, n_out=1, normalize=True)
        samples = BayesGradCalculator(model).compute(x, M=3)
        expected = GradientCalculator(model).compute(x)
        assert_allclose(samples, np.tile(expected, (3, 1, 1)), rtol=1e-12)


class TestOneDrawForEachSample:
    """All path steps and windows of a sample go through one network."""

    @pytest.fixture
    def blind(self):
        """A network with dropout in which feature 1 has weight zero."""
        model = build(MLP, n_hidden=20, n_out=1, dropout=0.5)
        model.l1.W.array[:, 1] = 0
        return model

    @pytest.mark.large
    @pytest.mark.parametrize(
        "new_calculator",
        [IntegratedGradientsCalculator, partial(OcclusionCalculator, slide_axis=1)],
        ids=["integrated_gradients", "occlusion"],
    )
    @pytest.mark.parametrize("batchsize", [1, 5, 16])
    def test_a_feature_of_weight_zero_gets_zero(
        self, new_calculator, blind, x, batchsize
    ):
        samples = new_calculator(blind).compute(
            x, M=5, batchsize=batchsize, train=True, seed=0
        )
        assert np.abs(samples[:, :, 1]).max() < 1e-12
        assert samples[:, :, 0].std(axis=0).min() > 1e-4  # but others vary

    def test_noise_is_shared_too(self, x):
        """IG of a quadratic from 0 is exactly a (x + e)^2, for one e."""
        sampler = GaussianNoiseSampler("absolute", 0.5)
        samples = IntegratedGradientsCalculator(quadratic, steps=3).compute(
            x, M=4, noise_sampler=sampler, seed=7
        )
        gradient = GradientCalculator(quadratic).compute(
            x, M=4, noise_sampler=sampler, seed=7
        )
        assert_allclose(samples, A * (gradient / (2 * A)) ** 2, rtol=1e-10)

    def test_dropout_is_the_same_for_all_calculators(self, x):
        """With one seed, IG of a linear network is its gradient times input."""

        def model(v):
            return F.sum(F.dropout(v, 0.5), axis=1)

        gradient = GradientCalculator(model, multiply_target=True)
        paths = IntegratedGradientsCalculator(model, steps=2)
        windows = OcclusionCalculator(model, slide_axis=1)
        settings = {"M": 3, "train": True, "seed": 2}
        expected = gradient.compute(x, **settings)
        assert_allclose(paths.compute(x, **settings), expected, rtol=1e-12)
        assert_allclose(windows.compute(x, **settings), expected, atol=1e-12)


class TestNormalization:
    def test_is_that_of_evaluation_mode(self, x):
        """Both the one after the network's dropout and the one before it."""
        model = build(MLP, n_out=1, depth=3, normalize=True, dropout=0.5)
        seen = []

        class Spy(chainer.LinkHook):
            name = "spy"

            def forward_postprocess(self, args):
                if isinstance(args.link, L.BatchNormalization):
                    seen.append((args.link, args.args[0].array, args.out.array))

        with Spy():
            BayesGradCalculator(model).compute(x, M=3, seed=0)
        assert seen
        for link, before, after in seen:
            expected = (before - link.avg_mean) / np.sqrt(link.avg_var + link.eps)
            expected = expected * link.gamma.array + link.beta.array
            assert_allclose(after, expected, rtol=1e-10, atol=1e-12)
