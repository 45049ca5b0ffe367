"""From M samples to one saliency."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from saliency import GradientCalculator

import chainer.functions as F

METHODS = {
    "raw": lambda value: value,
    "abs": lambda value: abs(value),
    "square": lambda value: value * value,
}


@pytest.fixture(scope="module")
def aggregate():
    return GradientCalculator(lambda v: v).aggregate


@given(
    samples=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=3, max_dims=5, max_side=4),
        elements=st.floats(-1e3, 1e3),
    ),
    method=st.sampled_from(sorted(METHODS)),
    data=st.data(),
)
def test_is_an_explicit_loop(aggregate, samples, method, data):
    ch_axis = data.draw(st.none() | st.integers(1, samples.ndim - 1))
    expected = 0
    for sample in samples:
        transformed = np.array(
            [METHODS[method](value) for value in sample.flat]
        ).reshape(sample.shape)
        if ch_axis is not None:
            transformed = sum(np.moveaxis(transformed, ch_axis - 1, 0))
        expected = expected + transformed
    result = aggregate(samples, method, ch_axis)
    assert_allclose(result, expected / len(samples), rtol=1e-12, atol=1e-9)


def explicit_statistic(values: list[float], statistic: str) -> float:
    m = len(values)
    mean = sum(values) / m
    std = (sum((value - mean) ** 2 for value in values) / (m - 1)) ** 0.5
    return {
        "mean": mean,
        "std": std,
        "lcb": mean - 1.96 * std,
        "ucb": mean + 1.96 * std,
        "snr": mean / std if std else 0 if mean == 0 else np.copysign(np.inf, mean),
    }[statistic]


@given(
    samples=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=4),
        # With three digits there is a spread that can be told from rounding, or none.
        elements=st.integers(-(10**6), 10**6).map(lambda x: x / 1000),
    ),
    method=st.sampled_from(sorted(METHODS)),
    statistic=st.sampled_from(["mean", "std", "lcb", "ucb", "snr"]),
)
def test_statistics_are_an_explicit_loop(aggregate, samples, method, statistic):
    sums = np.array(
        [[sum(METHODS[method](v) for v in row) for row in sample] for sample in samples]
    )
    spread = sums.std(axis=0)
    assume(((spread == 0) | (spread > 1e-9 * np.abs(sums).max())).all())
    expected = [explicit_statistic(list(column), statistic) for column in sums.T]
    result = aggregate(samples, method, 2, statistic)
    assert_allclose(result, expected, rtol=1e-6, atol=1e-6 * np.abs(sums).max())


def test_statistics_are_of_the_sums_and_not_summed(aggregate):
    """What goes up in one channel and down in another has no spread."""
    samples = np.array([[[1.0, -1.0]], [[-3.0, 3.0]], [[2.0, -2.0]]])
    assert_array_equal(aggregate(samples, "raw", 2, "std"), [0])
    assert_array_equal(aggregate(samples, "raw", 2, "snr"), [0])


def test_signal_without_noise_is_infinite_and_has_a_sign(aggregate):
    samples = np.array([[[0.1, -0.1, 0.0]]] * 7)
    result = aggregate(samples, statistic="snr")
    assert_array_equal(result, [[np.inf, -np.inf, 0]])


def test_the_spread_of_values_far_from_zero(aggregate, rng):
    """The difference of two sums of squares would have no correct digit."""
    samples = 1e9 + rng.normal(size=(500, 2, 3))
    expected = (samples - 1e9).std(axis=0, ddof=1)
    assert_allclose(aggregate(samples, statistic="std"), expected, rtol=1e-6)


def test_padding_stays_padding(aggregate, rng):
    samples = rng.normal(size=(3, 2, 4))
    samples[:, 1, 2:] = np.nan
    for statistic in ("std", "lcb", "ucb", "snr"):
        result = aggregate(samples, statistic=statistic)
        assert_array_equal(np.isnan(result), np.isnan(samples[0]))


@pytest.mark.parametrize("statistic", ["std", "lcb", "ucb", "snr"])
def test_one_sample_has_no_spread(aggregate, statistic):
    with pytest.raises(ValueError, match=f"statistic='{statistic}' .*got M=1"):
        aggregate(np.ones((1, 2, 3)), statistic=statistic)


def test_masked_samples_are_refused(aggregate, rng):
    samples = np.ma.masked_array(rng.normal(size=(2, 3, 4)))
    assert type(aggregate(samples)) is np.ndarray
    samples[1, 2, 3] = np.ma.masked
    with pytest.raises(ValueError, match="saliency_arrays must have a value for every"):
        aggregate(samples)


def test_an_unknown_statistic(aggregate):
    with pytest.raises(ValueError, match=r"statistic.*'mean', 'std', 'lcb', 'ucb'"):
        aggregate(np.ones((2, 2, 3)), statistic="median")


def test_transforms_before_it_sums(aggregate):
    """Signs do not cancel, neither over channels nor over samples."""
    samples = np.array([[[1.0, -1.0]], [[-3.0, 3.0]]])
    assert_array_equal(aggregate(samples, "raw", 2), [0])
    assert_array_equal(aggregate(samples, "abs", 2), [4])
    assert_array_equal(aggregate(samples, "square", 2), [10])


def test_raw_is_the_default(aggregate, rng):
    samples = rng.normal(size=(3, 2, 4))
    assert_array_equal(aggregate(samples), aggregate(samples, method="raw"))


def test_several_channel_axes(aggregate, rng):
    samples = rng.normal(size=(3, 2, 4, 5))
    expected = samples.sum(axis=(2, 3)).mean(axis=0)
    assert_allclose(aggregate(samples, ch_axis=(2, 3)), expected)


def test_axes_may_be_counted_from_the_end(aggregate, rng):
    samples = rng.normal(size=(3, 2, 4, 5))
    assert_array_equal(aggregate(samples, ch_axis=-1), aggregate(samples, ch_axis=3))


def test_a_list_of_samples_will_do(aggregate):
    assert_array_equal(aggregate([[[1.0, 2.0]], [[3.0, 4.0]]]), [[2, 3]])


def test_integers_have_a_mean_between_them(aggregate):
    assert_allclose(aggregate(np.array([[[1, 2]], [[2, 5]]])), [[1.5, 3.5]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_keeps_the_dtype(aggregate, dtype):
    assert aggregate(np.ones((2, 3, 4), dtype), "square", 2).dtype == dtype


def test_accumulates_in_float64(aggregate):
    """A sum of 3 million float32 values of 0.1 would be off in the third digit."""
    samples = np.full((3, 1, 10**6), 0.1, np.float32)
    assert_allclose(aggregate(samples, "raw", 2), 1e5, rtol=1e-6)
    big = np.full((2, 1, 2), 200, np.float16)  # whose squares overflow
    assert_array_equal(aggregate(big / 200 * np.float16(200), "abs"), big[0])


def test_leaves_the_samples_alone(aggregate, rng):
    samples = rng.normal(size=(3, 2, 4))
    before = samples.tobytes()
    for method in METHODS:
        result = aggregate(samples, method)
        result[...] = 0
        assert samples.tobytes() == before


@pytest.mark.parametrize("method", ["absolute", "mean", None, 1])
def test_unknown_methods_are_told_the_known_ones(aggregate, method):
    with pytest.raises(ValueError, match=r"method.*'raw', 'abs', 'square'"):
        aggregate(np.zeros((1, 2, 3)), method)


@pytest.mark.parametrize("ch_axis", [0, 3, -3, -4, (1, 3), (0, 2)], ids=str)
def test_an_axis_that_is_not_one_of_channels(aggregate, ch_axis):
    with pytest.raises(ValueError, match="ch_axis"):
        aggregate(np.zeros((1, 2, 3)), ch_axis=ch_axis)


@pytest.mark.parametrize("ch_axis", [1.5, "2", (2, 2), (1, None)], ids=repr)
def test_what_is_no_axis(aggregate, ch_axis):
    with pytest.raises((ValueError, TypeError), match="ch_axis"):
        aggregate(np.zeros((1, 2, 3)), ch_axis=ch_axis)


@pytest.mark.parametrize("samples", [3.0, np.zeros(()), np.zeros((0, 2, 3)), []])
def test_what_are_no_samples(aggregate, samples):
    with pytest.raises(ValueError, match="saliency_arrays"):
        aggregate(samples)


class TestOverflow:
    """What does not fit into the dtype is an error, and not infinite."""

    x = np.full((2, 8), 0.1, np.float16)

    @staticmethod
    def model(v):
        return F.sum(v * np.full(v.shape, 30000, np.float16), axis=1, keepdims=True)

    @pytest.mark.parametrize(
        ("how", "value"),
        [
            ({"method": "square"}, "9e+08"),
            ({"ch_axis": 2}, "240000"),
            ({"ch_axis": (2,), "method": "square", "statistic": "ucb"}, "7.2e+09"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:all M=2 samples")
    def test_of_what_is_aggregated(self, how, value):
        calculator = GradientCalculator(self.model)
        samples = calculator.compute(self.x, M=2)
        assert samples.dtype == np.float16
        message = rf"aggregated saliency.* is {re.escape(value)},.*float16 is 65504"
        with pytest.raises(ValueError, match=message):
            calculator.aggregate(samples, **how)
        with pytest.raises(ValueError, match=message):
            calculator.compute_aggregate(self.x, M=2, **how)
        wide = calculator.aggregate(samples.astype(np.float32), **how)
        assert wide.dtype == np.float32
        assert_allclose(wide, float(value), rtol=1e-3)

    def test_of_what_is_added_up_over_the_steps(self):
        """Each of three steps fits, and their sum does not."""

        class Sum(GradientCalculator):
            def number_of_steps(self, run, batch, passes):
                return 3

        for name in ("compute", "compute_aggregate"):
            with pytest.raises(ValueError, match=r"a saliency is 90000,.*65504"):
                getattr(Sum(self.model), name)(self.x)

    @pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
    def test_within_the_model(self):
        calculator = GradientCalculator(lambda v: self.model(v * np.float16(4)))
        with pytest.raises(ValueError, match=r"is inf .*65504: compute in float32"):
            calculator.compute(self.x)

    @pytest.mark.filterwarnings("ignore:all M=2 samples")
    def test_the_ratio_to_no_spread_stays_infinite(self):
        calculator = GradientCalculator(self.model)
        samples = calculator.compute(self.x, M=2)
        assert np.isinf(calculator.aggregate(samples, statistic="snr")).all()
