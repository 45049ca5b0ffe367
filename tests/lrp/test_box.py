"""The z^B rule where the data is not in its box: one warning that says so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import GaussianNoiseSampler, LRPCalculator
from saliency.lrp import Box, Composite, Epsilon
from tests.networks import CNN, MLP, build

PRESETS_WITH_BOX = ["epsilon_gamma_box", "deep_taylor", "zbab"]


@pytest.fixture
def rng():
    return np.random.default_rng(6)


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, size=(5, 2, 6, 6)).astype("d")


@pytest.fixture
def model():
    return build(CNN)


def warned_by(call):
    """Returns the messages of the warnings of boxes that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught if "samples are equal" not in str(w.message)]


class TestDataOutsideTheBox:
    @pytest.mark.parametrize("preset", PRESETS_WITH_BOX)
    def test_is_warned_of_with_both_ranges(self, preset, model, images):
        calculator = LRPCalculator(model, rule=preset)
        (message,) = warned_by(lambda: calculator.compute(images))
        assert "Box(low=0.0, high=1.0)" in message
        assert "link 'conv'" in message
        assert f"from {images.min():g} to {images.max():g}" in message
        assert "low= and high= of LRPCalculator" in message

    @pytest.mark.parametrize(
        "how", [{"batchsize": 2}, {"M": 3}, {"train": True, "M": 2}], ids=str
    )
    def test_is_warned_of_once_in_each_call(self, how, model, images):
        calculator = LRPCalculator(model, rule="zbab", high=100)
        for _ in range(2):
            assert len(warned_by(lambda: calculator.compute(images, **how))) == 1
        for call in (calculator.conservation, calculator.assignment):
            assert len(warned_by(lambda c=call: c(images, **how))) == 1
        layers = warned_by(lambda: calculator.compute_layers(images, ["/norm"], **how))
        assert len(layers) == 1

    def test_is_told_element_by_element(self, rng):
        x = rng.uniform(0, 1, size=(3, 4)) * [1, 10, 1, 1]
        model = build(MLP)
        high = np.array([1.0, 10, 1, 1])
        right = LRPCalculator(model, rule=Composite(Epsilon(), first=Box(0, high)))
        wrong = LRPCalculator(model, rule="zbab", low=0, high=high[::-1])
        assert warned_by(lambda: right.compute(x)) == []
        (message,) = warned_by(lambda: wrong.compute(x))
        assert "high=<array of shape (4,)>" in message

    def test_counts_at_a_hidden_target_and_at_any_layer(self, rng):
        x = rng.uniform(0, 1, size=(3, 4))
        model = build(MLP, depth=3, n_hidden=6)
        hidden = VariableMonitorLinkHook(model.l1)
        for calculator, link in (
            (LRPCalculator(model, hidden, rule="zbab", high=0.1), "'1'"),
            (
                LRPCalculator(
                    model, rule=Composite(Epsilon(), by_link={"/layers/2": Box(0, 0.1)})
                ),
                "'2'",
            ),
        ):
            (message,) = warned_by(lambda c=calculator: c.compute(x))
            assert f"link {link}" in message

    def test_may_come_from_noise(self, model, rng):
        images = rng.uniform(0, 1, size=(2, 2, 6, 6))
        noise = GaussianNoiseSampler(scale=0.5)
        calculator = LRPCalculator(model, rule="deep_taylor")
        (message,) = warned_by(lambda: calculator.compute(images, noise_sampler=noise))
        assert "noise" in message


class TestDataInTheBox:
    @pytest.mark.parametrize("preset", PRESETS_WITH_BOX)
    @pytest.mark.parametrize("low_and_high", [(0, 255), (-1, 300.5)], ids=str)
    def test_is_no_matter(self, preset, low_and_high, model, images):
        low, high = low_and_high
        calculator = LRPCalculator(model, rule=preset, low=low, high=high)
        assert warned_by(lambda: calculator.compute(images)) == []

    def test_may_be_off_by_rounding(self, images):
        mean, std = 0.485, 0.229
        low, high = (0 - mean) / std, (1 - mean) / std
        x = (images.astype("f") / 255 - np.float32(mean)) / np.float32(std)
        x[0, 0, 0, :2] = np.nextafter(np.float32([low, high]), np.float32([-9, 9]))
        model = build(CNN, dtype="f")
        calculator = LRPCalculator(model, rule="zbab", low=low, high=high)
        assert warned_by(lambda: calculator.compute(x)) == []

    def test_may_be_off_by_rounding_at_zero(self, images):
        x = (images / 255).astype("f")
        x[0, 0, 0, :2] = [-1e-8, 1 + 1e-7]
        calculator = LRPCalculator(build(CNN, dtype="f"), rule="zbab")
        assert warned_by(lambda: calculator.compute(x)) == []
        x[0, 0, 0, 0] = -1e-5
        assert len(warned_by(lambda: calculator.compute(x))) == 1

    @pytest.mark.parametrize("rule", ["epsilon", "alpha2_beta1", "wwab"])
    def test_does_not_matter_to_other_rules(self, rule, model, images):
        calculator = LRPCalculator(model, rule=rule)
        assert warned_by(lambda: calculator.compute(images)) == []
