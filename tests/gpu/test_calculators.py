"""On a GPU every calculator gives what it gives on the CPU, with the same seed."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from saliency import GaussianNoiseSampler, GradientCalculator
from tests.calculator.every_calculator import every_calculator
from tests.networks import MLP, build


@pytest.mark.gpu
@every_calculator
@pytest.mark.parametrize("train", [False, True])
def test_the_device_does_not_change_the_result(new_calculator, train, x):
    on_cpu = build(MLP, dropout=0.5, normalize=True)
    on_gpu = copy.deepcopy(on_cpu)
    on_gpu.to_device("@cupy:0")
    how = {"M": 3, "seed": 0, "train": train, "noise_sampler": GaussianNoiseSampler()}
    of_cpu = new_calculator(on_cpu, class_index=1).compute(x, **how)
    of_gpu = new_calculator(on_gpu, class_index=1).compute(x, **how)
    assert isinstance(of_gpu, np.ndarray)
    np.testing.assert_allclose(of_gpu, of_cpu, rtol=1e-8, atol=1e-10)


@pytest.mark.gpu
@pytest.mark.parametrize("is_model", [True, False], ids=["model", "eval_fun"])
def test_a_callable_is_where_the_links_are_that_it_holds(is_model, x):
    on_cpu = build(MLP)
    on_gpu = copy.deepcopy(on_cpu)
    on_gpu.to_device("@cupy:0")

    def scores(v):
        return on_gpu(v)

    how = {} if is_model else {"eval_fun": scores}
    calculator = GradientCalculator(scores if is_model else None, class_index=1, **how)
    of_cpu = GradientCalculator(on_cpu, class_index=1).compute(x)
    np.testing.assert_allclose(calculator.compute(x), of_cpu, rtol=1e-8, atol=1e-10)
