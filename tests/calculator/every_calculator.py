"""All calculators, for tests of what holds for each of them."""

from __future__ import annotations

from functools import partial

import pytest

from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)


class ConvergenceDelta:
    """The check of Integrated Gradients, to be run like a calculator."""

    def __init__(self, *arguments, **settings):
        self.paths = IntegratedGradientsCalculator(*arguments, **settings)

    def compute(self, data, **settings):
        samples = self.paths.compute(data, **settings)
        return self.paths.convergence_delta(samples, data, **settings)


CALCULATORS = {
    "gradient": GradientCalculator,
    "gradient_times_target": partial(GradientCalculator, multiply_target=True),
    "smooth_grad": SmoothGradCalculator,
    "bayes_grad": BayesGradCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=3),
    "expected_gradients": partial(
        IntegratedGradientsCalculator, steps=2, baseline=[None, "mean", 0.5]
    ),
    "occlusion": partial(OcclusionCalculator, slide_axis=1, size=2),
    "convergence_delta": partial(ConvergenceDelta, steps=2, baseline=[1.0, "mean"]),
}

every_calculator = pytest.mark.parametrize(
    "new_calculator", list(CALCULATORS.values()), ids=list(CALCULATORS)
)

# What is drawn at random for each sample.
every_disturbance = pytest.mark.parametrize(
    "disturbance",
    [
        {},
        {"noise_sampler": GaussianNoiseSampler()},
        {"train": True},
        {"train": True, "noise_sampler": GaussianNoiseSampler()},
    ],
    ids=["clean", "noise", "dropout", "noise_and_dropout"],
)
