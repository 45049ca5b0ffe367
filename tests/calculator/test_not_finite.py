"""What is not finite inside a network is an error that names it, not a map of zeros."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import (
    EnsemblePosterior,
    GradientCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from tests.calculator.every_calculator import every_calculator, every_calculator_with
from tests.covering import every_pair, every_value
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L

pytestmark = [
    pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide)"),
]


class Network(chainer.Chain):
    """Has ReLUs, which take minus infinity for 0, and links that it does not use."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 6)
            self.norm = L.BatchNormalization(6)
            self.l2 = L.Linear(6, 2)
            self.scale = chainer.Parameter(1, (2,))
            self.unused = L.Linear(4, 6)

    def forward(self, x):
        h = F.relu(self.norm(self.l1(x)))
        return F.linear(h, self.l2.W, self.l2.b) * F.broadcast_to(
            self.scale, (len(x), 2)
        )


def spoil(model, where, value):
    *path, name = where.split("/")
    link = model
    for child in path:
        link = link[child]
    array = getattr(link, name)
    getattr(array, "array", array).flat[0] = value


WHERE = ["l1/W", "l1/b", "norm/gamma", "norm/avg_mean", "norm/avg_var", "l2/b", "scale"]


@every_calculator_with(every_pair, where=WHERE, value=[np.nan, np.inf, -np.inf])
def test_what_the_model_keeps(new_calculator, where, value, x):
    model = build(Network)
    spoil(model, where, value)
    kind = "persistent value" if "avg" in where else "parameter"
    with pytest.raises(ValueError, match=f"must be finite, but its {kind} /{where} "):
        new_calculator(model, class_index=0).compute(x, seed=0)


@every_calculator
def test_what_is_not_used_may_be_anything(new_calculator, x):
    model = build(Network)
    expected = new_calculator(model, class_index=0).compute(x, seed=0)
    spoil(model, "unused/W", np.nan)
    spoil(model, "unused/b", np.inf)
    found = new_calculator(model, class_index=0).compute(x, seed=0)
    np.testing.assert_array_equal(found, expected)


@every_calculator_with(every_value, where=WHERE)
def test_a_member_of_an_ensemble(new_calculator, where, x):
    model, member = build(Network), build(Network)
    spoil(member, where, np.inf)
    posterior = EnsemblePosterior([model, member])
    with pytest.raises(
        ValueError, match=f"posterior gives NaN or infinity in '{where}"
    ):
        new_calculator(model, class_index=0).compute(x, M=2, posterior=posterior)


def test_a_trained_one_that_the_posterior_takes_the_place_of(x):
    model, member = build(Network), build(Network)
    spoil(model, "l1/b", np.nan)
    found = GradientCalculator(model, class_index=0).compute(
        x, posterior=EnsemblePosterior([member])
    )
    expected = GradientCalculator(member, class_index=0).compute(x)
    np.testing.assert_allclose(found, expected)


class Stateful(chainer.Chain):
    """Goes on from the state of the call before."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.lstm = L.LSTM(4, 3)
            self.out = L.Linear(3, 2)

    def forward(self, x):
        return self.out(self.lstm(x))


@every_calculator_with(every_pair, state=["c", "h"], value=[np.nan, np.inf])
def test_a_hidden_state(new_calculator, state, value, x):
    model = build(Stateful)
    model.lstm.set_state(*(chainer.Variable(np.zeros((7, 3))) for _ in "ch"))
    getattr(model.lstm, state).array[0, 1] = value
    with pytest.raises(ValueError, match=f"but its hidden state /lstm/{state} holds"):
        new_calculator(model, class_index=0).compute(x, seed=0)


@every_calculator_with(every_value, value=[np.nan, np.inf])
def test_noise(new_calculator, value, x):
    class Noise:
        def sample(self, array):
            noise = np.zeros_like(array)
            noise[-1, 0] = value
            return noise

    with pytest.raises(ValueError, match="noise_sampler must give finite noise"):
        new_calculator(build(Network), class_index=0).compute(x, noise_sampler=Noise())


class TestWhereItBegins:
    def network(self, spoiled):
        class Spoiling(chainer.Link):
            def forward(self, h):
                return h + np.where(spoiled(h.array), np.nan, 0)

        return chainer.Sequential(
            build(Network), chainer.Sequential(Spoiling(), F.tanh), F.sin
        )

    def test_the_link_is_named(self, x):
        model = self.network(lambda h: np.arange(len(h))[:, None] == len(h) - 1)
        with pytest.raises(
            ValueError,
            match=r"explained output is nan for example 2 \(sample 0\).*Spoiling /1/0$",
        ):
            GradientCalculator(model, class_index=0).compute(x, batchsize=3)

    def test_outside_of_links(self, x):
        model = build(Network)
        with pytest.raises(ValueError, match="it begins outside of any link"):
            GradientCalculator(
                eval_fun=lambda v: model(v) * np.array(np.inf),
                model=model,
                class_index=0,
            ).compute(x)

    def test_with_noise_it_is_the_same_pass_again(self, x):
        model = self.network(lambda h: h > np.abs(h).max() * 0.999)
        with pytest.raises(ValueError, match=r"Spoiling /1/0"):
            SmoothGradCalculator(model, class_index="sum").compute(x, M=4)

    def test_other_classes_may_be_masked_with_infinity(self, x):
        model = build(Network)
        mask = np.array([0, -np.inf])
        masked = GradientCalculator(
            model, eval_fun=lambda v: model(v) + mask, class_index=0
        )
        expected = GradientCalculator(model, class_index=0).compute(x)
        np.testing.assert_allclose(masked.compute(x), expected)
        with pytest.raises(ValueError, match="explained output is -inf for example 0"):
            OcclusionCalculator(
                model,
                eval_fun=lambda v: model(v) + mask,
                class_index=1,
                slide_axis=1,
            ).compute(x)


@pytest.mark.parametrize("layout", ["rows", "columns", "every other column"])
def test_a_large_weight_is_looked_at_again_after_training(layout, x):
    model = build(L.Linear, 4, 2000)
    if layout == "columns":
        model.W.array = np.asfortranarray(model.W.array)
    elif layout == "every other column":
        model.W.array = model.W.array.repeat(2, axis=1)[:, ::2]
    GradientCalculator(model, class_index=0).compute(x)
    model.W.array[:] = np.inf
    with pytest.raises(ValueError, match="its parameter /W holds"):
        GradientCalculator(model, class_index=0).compute(x)


def test_an_aggregate_that_overflows(x):
    model = build(Network)
    calculator = GradientCalculator(
        model, class_index=0, eval_fun=lambda v: model(v) * 1e200
    )
    with pytest.raises(ValueError, match="infinite"):
        calculator.compute_aggregate(x, method="square")
    samples = calculator.compute(x)
    with pytest.raises(ValueError, match="infinite"):
        calculator.aggregate(samples, "square")
