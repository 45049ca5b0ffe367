"""Channels on another axis than the one that a default takes for theirs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import (
    BlurIntegratedGradientsCalculator,
    FeatureAblationCalculator,
    LimeCalculator,
    OcclusionCalculator,
    PermutationCalculator,
    RISECalculator,
    ShapleyCalculator,
    Superpixels,
)
from saliency.metrics import Completeness, Deletion, Infidelity, SensitivityN
from tests.networks import CNN, build

import chainer.functions as F
import chainer.links as L

LAST = {"groups": np.arange(36).reshape(6, 6, 1)}
# Of signals, as the warning says.
POSITIONS = {"groups": lambda x: np.arange(x.shape[2])[None, None]}
CHANNELS = {"groups": lambda x: np.arange(x.shape[1])[None, :, None]}
PIXELS = {"groups": lambda x: np.arange(x[0].size).reshape(1, *x.shape[1:])}
# What each takes for images with their channels first, and last.
CALCULATORS = {
    ShapleyCalculator: ({"n_coalitions": 200}, LAST),
    FeatureAblationCalculator: ({}, LAST),
    PermutationCalculator: ({}, LAST),
    LimeCalculator: ({"n_samples": 50}, LAST),
    RISECalculator: ({"n_masks": 20}, {"axes": (1, 2)}),
    OcclusionCalculator: ({"size": 2}, {"slide_axis": (1, 2)}),
    BlurIntegratedGradientsCalculator: ({"steps": 5}, {"axes": (1, 2)}),
}
OF_GROUPS = [kind for kind, (_, advised) in CALCULATORS.items() if advised is LAST]


@pytest.fixture
def model():
    return build(CNN, n_channel=3)


@pytest.fixture
def x():
    return np.random.default_rng(0).random((2, 6, 6, 3))


@pytest.fixture
def last(model):
    """The same network, for images with their channels last."""
    return lambda images: model(F.transpose(images, (0, 3, 1, 2)))


def computed(calculator, data):
    return calculator.compute(data, seed=0, show_progress=False)


@pytest.mark.filterwarnings("ignore:.*miss f")
@pytest.mark.parametrize("kind", CALCULATORS, ids=lambda kind: kind.__name__)
class TestCalculators:
    def test_the_warning_says_what_to_pass(self, model, last, x, kind):
        """With that, they are what they are with channels first."""
        given, advised = CALCULATORS[kind]
        name = next(iter(advised))
        with pytest.warns(UserWarning, match=rf"\(2, 6, 6, 3\).*last, pass {name}="):
            computed(kind(last, class_index=0, **given), x)
        first = computed(
            kind(model, class_index=0, **given), x.transpose(0, 3, 1, 2).copy()
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="the target has the shape")
            found = computed(kind(last, class_index=0, **given, **advised), x)
        assert_allclose(found.transpose(0, 1, 4, 2, 3), first, atol=1e-9)

    def test_a_batch_after_the_other_is_one_warning(self, last, x, kind):
        given, _ = CALCULATORS[kind]
        calculator = kind(last, class_index=0, **given)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            calculator.compute(x, batchsize=1, seed=0, show_progress=False)
        assert sum("channels last" in str(one.message) for one in caught) == 1


@pytest.mark.parametrize("shape", [(2, 6, 6, 1), (2, 3, 8, 3), (2, 9, 9, 9)], ids=str)
def test_what_a_convolution_takes_is_no_surprise(shape):
    """Channels of a sensor may be many, and the width of what it measures 1."""
    convolution = build(L.Convolution2D, shape[1], 2, 1)

    def model(x):
        return F.mean(F.tanh(convolution(x)), axis=(2, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        computed(FeatureAblationCalculator(model, class_index=0), np.ones(shape))


def test_superpixels(model, last, x):
    groups = Superpixels(4, method="grid")
    calculator = FeatureAblationCalculator(last, groups=groups, class_index=0)
    with pytest.warns(UserWarning, match=r"groups=lambda x: np.moveaxis\(Superpixels"):
        computed(calculator, x)
    found = calculator.replace(
        groups=lambda x: np.moveaxis(groups(np.moveaxis(x, 3, 1)), 1, 3)
    ).compute(x)
    first = FeatureAblationCalculator(model, groups=groups, class_index=0)
    expected = computed(first, x.transpose(0, 3, 1, 2).copy())
    assert_allclose(found.transpose(0, 1, 4, 2, 3), expected, atol=1e-9)


def test_metrics(model, last, x):
    scores = np.random.default_rng(1).normal(size=x.shape)
    how = {"show_progress": False, "seed": 0}
    for kind in (Deletion, SensitivityN):
        with pytest.warns(UserWarning, match="channels last, pass groups="):
            kind(last, class_index=0).compute(scores, x, **how)
        found = kind(last, class_index=0, **LAST).compute(scores, x, **how)
        first = kind(model, class_index=0).compute(
            scores.transpose(0, 3, 1, 2), x.transpose(0, 3, 1, 2).copy(), **how
        )
        assert_allclose(found.values, first.values, atol=1e-9)


def test_metrics_to_which_it_does_not_matter(last, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Completeness(last, class_index=0).compute(x, x, show_progress=False)
        Infidelity(last, units="gradient", noise=0.1, class_index=0).compute(
            x, x, show_progress=False
        )


class TestSignals:
    """A convolution along a sequence has its channels on axis 1, and not positions."""

    @pytest.fixture
    def model(self):
        convolution = build(L.Convolution1D, 3, 2, 3, pad=1)
        return lambda x: F.mean(F.tanh(convolution(x)), axis=2)

    @pytest.fixture
    def x(self):
        return np.random.default_rng(0).random((2, 3, 6))

    @pytest.fixture
    def turned(self, model):
        """The same network, for sequences with positions on axis 1."""
        return lambda x: model(F.transpose(x, (0, 2, 1)))

    @pytest.mark.parametrize("kind", OF_GROUPS)
    def test_the_warning_says_what_to_pass(self, model, turned, x, kind):
        calculator = kind(model, class_index=0)
        with pytest.warns(UserWarning, match=r"\(2, 3, 6\).*takes it for channels"):
            found = computed(calculator, x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            of_channels = computed(calculator.replace(**CHANNELS), x)
            of_positions = computed(calculator.replace(**POSITIONS), x)
            expected = computed(kind(turned, class_index=0), x.transpose(0, 2, 1))
        assert_allclose(found, of_channels, atol=1e-9)
        assert_allclose(of_positions.transpose(0, 1, 3, 2), expected, atol=1e-9)

    def test_metrics(self, model, turned, x):
        scores = np.random.default_rng(1).normal(size=x.shape)
        how = {"show_progress": False, "seed": 0}
        for kind in (Deletion, SensitivityN):
            metric = kind(model, class_index=0)
            with pytest.warns(UserWarning, match="takes it for channels. Pass groups="):
                metric.compute(scores, x, **how)
            found = metric.replace(**POSITIONS).compute(scores, x, **how)
            expected = kind(turned, class_index=0).compute(
                scores.transpose(0, 2, 1), x.transpose(0, 2, 1), **how
            )
            assert_allclose(found.values, expected.values, atol=1e-9)

    def test_of_different_lengths(self, model):
        rng = np.random.default_rng(0)
        signals = [rng.random((3, n)) for n in (4, 6)]

        def padded(batch, device=None):
            n = max(one.shape[1] for one in batch)
            return np.stack([np.pad(x, [(0, 0), (0, n - x.shape[1])]) for x in batch])

        calculator = FeatureAblationCalculator(model, class_index=0, **POSITIONS)
        found = calculator.compute(signals, converter=padded)[0]
        for of_one, signal in zip(found, signals):
            alone = calculator.compute(signal[None])[0, 0]
            assert_allclose(of_one[:, : signal.shape[1]], alone, atol=1e-9)


class TestGreyImages:
    """The model itself gives images their axis of channels."""

    @staticmethod
    def network(size):
        convolution = build(L.Convolution2D, 1, 2, size)
        return lambda x: F.mean(F.tanh(convolution(x)), axis=(2, 3))

    @pytest.fixture
    def x(self):
        return np.random.default_rng(0).random((2, 6, 5))

    @pytest.mark.filterwarnings("ignore:.*miss f")
    @pytest.mark.parametrize(
        ("kind", "advised"),
        [
            *((kind, PIXELS) for kind in OF_GROUPS),
            (BlurIntegratedGradientsCalculator, {"axes": (1, 2)}),
        ],
    )
    @pytest.mark.parametrize(
        "seen", [lambda x: F.expand_dims(2 * x - 1, 1), lambda x: (2 * x - 1)[:, None]]
    )
    def test_the_warning_says_what_to_pass(self, x, kind, advised, seen):
        model = self.network(3)
        given, _ = CALCULATORS[kind]
        calculator = kind(lambda x: model(seen(x)), class_index=0, **given)
        name = next(iter(advised))
        with pytest.warns(UserWarning, match=rf"\(2, 6, 5\).*channels: pass {name}="):
            computed(calculator, x)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="the target has the shape")
            found = computed(calculator.replace(**advised), x)
            of_images = kind(lambda x: model(2 * x - 1), class_index=0, **given)
            expected = computed(of_images, x[:, None])
        assert_allclose(found, expected[:, :, 0], atol=1e-9)

    def test_windows_of_texts_have_all_units(self, x):
        model = self.network((3, 5))
        for kind in (FeatureAblationCalculator, ShapleyCalculator):
            calculator = kind(lambda x: model(F.expand_dims(x, 1)), class_index=0)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                computed(calculator, x)
