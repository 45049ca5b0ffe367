"""Samples that are all the same: a warning says so, and why."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

from saliency import (
    BayesGradCalculator,
    EnsemblePosterior,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
)
from tests.networks import MLP, build

import chainer
import chainer.functions as F

every_call = pytest.mark.parametrize("name", ["compute", "compute_aggregate"])


def warnings_of(calculator: Any, name: str, x: np.ndarray, **how: Any) -> list[str]:
    with pytest.warns(UserWarning) as caught:
        warnings.warn("so that there is one", stacklevel=1)
        getattr(calculator, name)(x, batchsize=3, **how)
    found = [w for w in caught if "samples are equal" in str(w.message)]
    assert all(w.filename == __file__ for w in found)
    return [str(w.message) for w in found]


@every_call
@pytest.mark.parametrize(
    "calculator",
    [
        GradientCalculator,
        IntegratedGradientsCalculator,
        partial(OcclusionCalculator, slide_axis=1),
    ],
)
def test_nothing_is_random(calculator, name, x):
    explained = calculator(build(MLP, dropout=0.5), class_index=0)
    (message,) = warnings_of(explained, name, x, M=3)
    assert message.startswith("all M=3 samples are equal: nothing in a pass is random")


@every_call
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_without_dropout(name, dtype, x):
    calculator = BayesGradCalculator(build(MLP, dtype=dtype), class_index=0)
    (message,) = warnings_of(calculator, name, x.astype(dtype), M=5)
    assert "all M=5 samples are equal: the model applies no dropout" in message


@every_call
@pytest.mark.parametrize(("n_member", "M"), [(1, 2), (1, 5), (2, 2), (2, 5)])
def test_an_ensemble_of_one(n_member, M, name, x):
    members = [build(MLP, seed=i) for i in range(n_member)]
    calculator = BayesGradCalculator(build(MLP), class_index=0)
    found = warnings_of(calculator, name, x, M=M, posterior=EnsemblePosterior(members))
    assert len(found) == (n_member == 1)
    assert all("posterior gives the same network" in message for message in found)


class OwnGenerator(chainer.Chain):
    """Draws from a generator of its own, which nobody sees."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x: Any) -> Any:
        return F.sum(x * self.rng.normal(size=x.shape), axis=1, keepdims=True)


@every_call
@pytest.mark.parametrize(
    ("model", "how"),
    [
        (build(MLP, dropout=0.5), {"train": True}),
        (build(MLP), {"noise_sampler": GaussianNoiseSampler()}),
        (lambda x: x * np.random.normal(size=x.shape), {}),
        (OwnGenerator(), {}),
        (build(MLP), {"M": 1, "train": True}),
    ],
    ids=["dropout", "noise", "global", "own", "one_sample"],
)
def test_samples_that_differ(model, how, name, x):
    calculator = GradientCalculator(model, class_index=0)
    assert warnings_of(calculator, name, x, **{"M": 4, **how}) == []


@every_call
def test_a_dropout_that_drops_nothing(name, x):
    model = build(MLP)

    def apply(v: Any) -> Any:
        return model(F.dropout(v, 0.0))

    calculator = BayesGradCalculator(model, eval_fun=apply, class_index=0)
    (message,) = warnings_of(calculator, name, x, M=4)
    assert "the model applies no dropout" in message


def test_code_without_a_module_is_warned(x):
    """As what notebooks and tools run by ``exec``."""
    names = {"calculator": GradientCalculator(build(MLP), class_index=0), "x": x}
    with pytest.warns(UserWarning, match="samples are equal") as caught:
        exec(compile("calculator.compute(x, M=2)", "<cell>", "exec"), names)
    assert {w.filename for w in caught} == {"<cell>"}
