"""Blur IG and Guided IG: sums, linear functions, and their paths point by point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BlurIntegratedGradientsCalculator,
    GaussianBlur,
    GuidedIntegratedGradientsCalculator,
    IntegratedGradientsCalculator,
)
from tests.networks import CNN, MLP, Tokens, build

import chainer
import chainer.functions as F


@pytest.fixture
def images(rng):
    return rng.normal(size=(4, 2, 6, 6))


class Seen:
    """A function whose inputs are noted."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.inputs: list[np.ndarray] = []

    def __call__(self, x: Any) -> Any:
        self.inputs.append(x.array.copy())
        return self.function(x)


def gradient_of(model: Any, x: np.ndarray, c: int) -> np.ndarray:
    v = chainer.Variable(x)
    with chainer.using_config("train", False):
        (gradient,) = chainer.grad([F.sum(model(v)[:, c])], [v])
    return gradient.array


class TestBlur:
    @pytest.mark.parametrize("batchsize", [1, 7, 100])
    def test_is_the_sum_along_the_path_of_blurred_images(self, batchsize, images):
        model, steps = build(CNN), 6
        calculator = BlurIntegratedGradientsCalculator(
            model, class_index=1, max_sigma=2.0, steps=steps
        )
        sigmas = [2 * (1 - t / steps) ** 2 for t in range(steps)]
        path = [*(GaussianBlur(sigma)(images) for sigma in sigmas), images]
        gradients = [gradient_of(model, x, 1) for x in path]
        expected = sum(
            (gradients[t] + gradients[t + 1]) / 2 * (path[t + 1] - path[t])
            for t in range(steps)
        )
        found = calculator.compute(images, batchsize=batchsize)[0]
        assert_allclose(found, expected, rtol=1e-9, atol=1e-14)

    def test_adds_up_the_better_the_more_steps_there_are(self, images):
        model = build(CNN)
        missed = []
        for steps in (20, 80):
            calculator = BlurIntegratedGradientsCalculator(
                model, class_index=1, max_sigma=5.0, steps=steps
            )
            samples = calculator.compute(images)
            delta = calculator.convergence_delta(samples, images)[0]
            with chainer.using_config("train", False):
                gained = model(images) - model(GaussianBlur(5.0)(images))
            sums = samples[0].sum(axis=(1, 2, 3))
            assert_allclose(delta, sums - gained.array[:, 1], atol=1e-12)
            missed.append(abs(delta).max())
        assert missed[1] < missed[0] / 10  # of 16
        assert missed[1] < 1e-3 * abs(gained.array[:, 1]).max()

    @pytest.mark.parametrize(
        ("shape", "axes"), [((3, 7), 1), ((3, 2, 7), None), ((3, 2, 4, 5, 3), None)]
    )
    def test_of_a_linear_function_it_is_exact_for_any_rank(self, shape, axes, rng):
        x, w = rng.normal(size=shape), rng.normal(size=shape[1:])
        calculator = BlurIntegratedGradientsCalculator(
            lambda v: F.sum(v * w, axis=tuple(range(1, v.ndim))),
            max_sigma=1.5,
            steps=3,
            axes=axes,
        )
        blurred = x
        for axis in [axes] if axes else range(2, len(shape)):
            blurred = blurred_along(blurred, axis, 1.5)
        expected = w * (x - blurred)
        assert_allclose(calculator.compute(x)[0], expected, rtol=1e-9, atol=1e-12)

    def test_a_hidden_target_and_several_targets(self, images):
        model = build(CNN)
        how = {"class_index": 0, "max_sigma": 1.0, "steps": 2}
        target = VariableMonitorLinkHook(model.conv)
        found = BlurIntegratedGradientsCalculator(model, target, **how).compute(images)
        assert found.shape == (1, 4, 4, 6, 6)
        halves = BlurIntegratedGradientsCalculator(
            lambda a, b: model(F.concat([a, b])), targets="all", **how
        ).compute((images[:, :1], images[:, 1:]))
        one = BlurIntegratedGradientsCalculator(model, **how).compute(images)
        assert_allclose(np.concatenate(halves, axis=2), one, rtol=1e-10)

    @pytest.mark.parametrize(
        "settings",
        [
            {"max_sigma": 0},
            {"max_sigma": np.inf},
            {"steps": 0},
            {"axes": 0},
            {"axes": ()},
            {"axes": (1, 2.5)},
        ],
    )
    def test_settings_that_are_not_allowed(self, settings):
        (name,) = settings
        with pytest.raises(ValueError, match=f"{name} must be"):
            BlurIntegratedGradientsCalculator(build(CNN), **settings)

    def test_a_table_has_no_axes_of_its_own(self, x):
        calculator = BlurIntegratedGradientsCalculator(build(MLP), class_index=0)
        with pytest.raises(ValueError, match=r"axes=None .*\(.*4\).*axes=1 blurs"):
            calculator.compute(x)

    def test_examples_of_different_lengths(self):
        model = build(Tokens)
        texts = [np.array(ids, "i") for ids in ([1, 2, 3], [4])]
        calculator = BlurIntegratedGradientsCalculator(
            model, VariableMonitorLinkHook(model.embed), axes=1
        )

        def padded(examples: Any, device: Any = None) -> Any:
            return chainer.dataset.concat_examples(examples, device, padding=0)

        with pytest.raises(ValueError, match="different lengths cannot be blurred"):
            calculator.compute(texts, converter=padded)


def blurred_along(x: np.ndarray, axis: int, sigma: float) -> np.ndarray:
    """Blur along one axis, pixel by pixel."""
    x = np.moveaxis(x, axis, -1)
    result = np.empty_like(x)
    for i in range(x.shape[-1]):
        weights = np.exp(-((np.arange(x.shape[-1]) - i) ** 2) / (2 * sigma**2))
        result[..., i] = (x * weights).sum(axis=-1) / weights.sum()
    return np.moveaxis(result, -1, axis)


class TestGuided:
    def test_of_a_linear_function_it_is_integrated_gradients(self, x, rng):
        w, baseline = rng.normal(size=(2, 4))
        for max_distance in (0.02, 1):
            calculator = GuidedIntegratedGradientsCalculator(
                lambda v: F.sum(v * w, axis=1),
                baseline=baseline,
                steps=7,
                max_distance=max_distance,
            )
            assert_allclose(calculator.compute(x)[0], w * (x - baseline), rtol=1e-9)

    def test_without_distance_the_path_is_straight(self, images):
        how = {"class_index": 1, "baseline": ["mean", 0.5]}
        guided = GuidedIntegratedGradientsCalculator(
            build(CNN), steps=10, max_distance=0, **how
        )
        straight = IntegratedGradientsCalculator(
            build(CNN), steps=11, method="trapezoid", **how
        )
        expected = straight.compute(images)
        assert_allclose(guided.compute(images), expected, rtol=1e-9, atol=1e-14)

    @pytest.mark.large
    def test_adds_up_the_better_the_more_steps_there_are(self, images):
        model = build(CNN)
        missed = []
        for steps in (10, 100):
            calculator = GuidedIntegratedGradientsCalculator(
                model, class_index=1, steps=steps, baseline=1.0
            )
            samples = calculator.compute(images)
            delta = calculator.convergence_delta(samples, images)
            missed.append(abs(delta).max())
        assert missed[1] < missed[0] / 10
        straight = IntegratedGradientsCalculator(model, class_index=1, baseline=1.0)
        assert abs(samples - straight.compute(images)).max() > 1e-3

    def test_each_step_takes_its_share_of_the_distance_within_the_band(self, images):
        model, steps, reach = Seen(build(CNN)), 8, 0.1
        GuidedIntegratedGradientsCalculator(
            model, class_index=1, steps=steps, max_distance=reach, baseline=1.0
        ).compute(images[:1], batchsize=1)
        path = np.concatenate(model.inputs[-steps - 1 :])
        way = images[0] - 1
        assert_array_equal(path[0], np.ones((2, 6, 6)))
        assert_array_equal(path[-1], images[0])
        left = abs(images[0] - path).sum(axis=(1, 2, 3)) / abs(way).sum()
        assert_allclose(left, 1 - np.arange(steps + 1) / steps, atol=1e-9)
        place = (path - 1) / way  # of each feature on its own way
        straight = (np.arange(steps + 1) / steps)[:, None, None, None]
        assert abs(place - straight).max() <= reach + 1e-9
        assert abs(place - straight).max() > reach - 1e-9  # and the band is used

    def test_the_least_sensitive_features_move_first(self, rng):
        """One by one, and without a band: the order of a linear function's weights."""
        w = np.array([3.0, -1.0, 0.5, -2.0])
        x, steps = rng.normal(size=(1, 4)), 9
        model = Seen(lambda v: F.sum(v * w, axis=1))
        GuidedIntegratedGradientsCalculator(
            model, steps=steps, max_distance=1, fraction=1e-6
        ).compute(x, batchsize=1)
        path = np.concatenate(model.inputs[-steps - 1 :])
        order = np.argsort(abs(w))
        for t, point in enumerate(path):
            room = t / steps * abs(x).sum()
            expected = np.zeros(4)
            for i in order:
                moved = min(room, abs(x[0, i]))
                expected[i] = np.sign(x[0, i]) * moved
                room -= moved
            assert_allclose(point, expected, atol=1e-9)

    @pytest.mark.parametrize(
        "settings",
        [
            {"steps": 0},
            {"fraction": 0},
            {"fraction": 1.5},
            {"max_distance": -0.1},
            {"max_distance": np.nan},
        ],
    )
    def test_settings_that_are_not_allowed(self, settings):
        (name,) = settings
        with pytest.raises(ValueError, match=f"{name} must be"):
            GuidedIntegratedGradientsCalculator(build(CNN), **settings)

    def test_steps_that_are_too_few(self, x):
        model = build(MLP)
        calculator = GuidedIntegratedGradientsCalculator(
            lambda v: F.tanh(500 * (model(v) - 0.1)), class_index=1, steps=2
        )
        with pytest.warns(UserWarning, match=r"miss f.*pass more steps than 2"):
            calculator.compute(x)
