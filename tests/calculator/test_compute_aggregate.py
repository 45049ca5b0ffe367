"""The aggregated result in bounded memory is that of compute and aggregate."""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    BayesGradCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from tests.calculator.every_calculator import (
    AGGREGATING,
    AGGREGATING_IMAGES,
    DISTURBANCES,
)
from tests.covering import every_value
from tests.networks import CNN, MLP, OwnNoise, Sequence, TwoInputs, build

import chainer.functions as F
from chainer.dataset import DatasetMixin, concat_examples

METHODS = [("raw", None), ("abs", None), ("square", 2), ("abs", (2, 3)), ("raw", -1)]


def assert_is_aggregate_of_samples(calculator, data, method="abs", ch_axis=None, **how):
    how = {"M": 3, "seed": 0, **how}
    result = calculator.compute_aggregate(data, method=method, ch_axis=ch_axis, **how)
    samples = calculator.compute(data, **how)
    expected = calculator.aggregate(samples, method, ch_axis)
    assert result.dtype == expected.dtype
    assert_allclose(result, expected, rtol=1e-9, atol=1e-12)
    return result


@every_value(new_calculator=AGGREGATING, disturbance=DISTURBANCES, batchsize=[1, 3, 50])
def test_is_aggregate_of_the_samples(new_calculator, disturbance, batchsize, x):
    model = build(MLP, dropout=0.5, normalize=True, depth=3)
    calculator = new_calculator(model, class_index="argmax")
    assert_is_aggregate_of_samples(calculator, x, batchsize=batchsize, **disturbance)


@every_value(new_calculator=AGGREGATING_IMAGES, how=METHODS)
def test_of_images(new_calculator, how, rng):
    method, ch_axis = how
    calculator = new_calculator(build(CNN), class_index=0)
    images = rng.normal(size=(3, 2, 6, 6))
    assert_is_aggregate_of_samples(calculator, images, method, ch_axis, batchsize=2)


@every_value(new_calculator=AGGREGATING, statistic=["std", "lcb", "ucb", "snr"])
def test_statistics_are_those_of_the_samples(new_calculator, statistic, x):
    # BayesGrad runs up to the first dropout once; the mean alone has one way back.
    calculator = new_calculator(build(MLP, dropout=0.5, depth=3), class_index="argmax")
    how = {"M": 6, "train": True, "seed": 0}
    samples = calculator.compute(x, **how)
    for method in ("raw", "abs"):
        expected = calculator.aggregate(samples, method, statistic=statistic)
        result = calculator.compute_aggregate(
            x, method=method, statistic=statistic, batchsize=5, **how
        )
        assert_allclose(result, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.large
@every_value(new_calculator=AGGREGATING, batchsize=[1, 3, 50])
def test_where_passes_cannot_be_folded(new_calculator, batchsize, x):
    drawing = new_calculator(build(OwnNoise), class_index=0)
    assert_is_aggregate_of_samples(drawing, x, batchsize=batchsize)
    whole = new_calculator(build(MLP), eval_fun=None, class_index=0)
    whole.eval_fun = lambda v: F.sum(whole.model(v)[:, 0])
    assert_is_aggregate_of_samples(whole, x, batchsize=batchsize)


@pytest.mark.parametrize("first", [2, 3, 4])
def test_a_model_that_folds_at_first_only(first, x):
    """Samples that are complete by then come neither twice nor not at all."""
    model, n_call = build(MLP, n_out=1), 0

    def draws_from_some_pass_on(v):
        nonlocal n_call
        n_call += 1
        return model(v) + (0 * np.random.random() if n_call >= first else 0)

    calculator = SmoothGradCalculator(model)
    expected = calculator.compute(x, M=9, seed=0)
    calculator.eval_fun = draws_from_some_pass_on
    assert_allclose(calculator.compute(x, M=9, seed=0), expected, rtol=1e-9)
    n_call = 0
    result = calculator.compute_aggregate(x, M=9, seed=0)
    assert_allclose(result, expected.mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("calculator_class", "how"),
    [
        (SmoothGradCalculator, {"M": 30}),
        (BayesGradCalculator, {"M": 30, "train": True}),
    ],
)
def test_has_the_defaults_of_compute(calculator_class, how, x):
    calculator = calculator_class(build(MLP, n_out=1, dropout=0.5))
    by_default = calculator.compute_aggregate(x, seed=0)
    assert_array_equal(by_default, calculator.compute_aggregate(x, seed=0, **how))
    samples = calculator.compute(x, seed=0)
    assert len(samples) == 30
    assert_allclose(by_default, calculator.aggregate(samples), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype_and_accumulates_in_float64(dtype):
    """A sum of 4000 float32 values of 0.1 would be off in the fifth digit."""
    x = np.full((1, 3), 0.1, dtype)
    calculator = GradientCalculator(lambda v: F.sum(v * v.array, axis=1))
    result = calculator.compute_aggregate(x, M=4000, batchsize=400)
    assert result.dtype == dtype
    assert_array_equal(result, x)


def test_of_data_with_several_inputs(x, rng):
    data = (x, rng.normal(size=(7, 3)))
    calculator = SmoothGradCalculator(build(TwoInputs))
    assert_is_aggregate_of_samples(calculator, data, batchsize=3)


@pytest.mark.parametrize(
    "postprocess_fn",
    [np.abs, lambda s: s.sum(axis=1), lambda s: s[:, None] > 0, lambda s: s[:1]],
    ids=["abs", "sum", "integers", "fewer"],
)
def test_postprocess_fn_is_given_each_sample(postprocess_fn, x):
    """Also where the mean of the samples alone would have one way back."""
    calculator = BayesGradCalculator(build(MLP, n_out=1, dropout=0.5, depth=3))
    assert_is_aggregate_of_samples(
        calculator, x, "raw", postprocess_fn=postprocess_fn, batchsize=3
    )


def test_forgets_the_inputs_of_another_call(x):
    calculator = GradientCalculator(build(MLP, n_out=1))
    calculator.compute(x, retain_inputs=True)
    calculator.compute_aggregate(x)
    assert calculator.inputs is None


padded = partial(concat_examples, padding=0)
LENGTHS = (2, 5, 3, 3, 1)


class TestExamplesOfDifferentLengths:
    @pytest.fixture
    def sequences(self, rng):
        return [rng.normal(size=(n, 2)) for n in LENGTHS]

    @pytest.mark.parametrize("batchsize", [1, 2, 16])
    @pytest.mark.parametrize("ch_axis", [None, 3])
    @pytest.mark.parametrize(
        "new_calculator",
        [SmoothGradCalculator, partial(OcclusionCalculator, slide_axis=1)],
    )
    def test_are_padded_as_in_compute(
        self, new_calculator, batchsize, ch_axis, sequences
    ):
        calculator = new_calculator(build(Sequence))
        how = {"converter": padded, "batchsize": batchsize}
        result = assert_is_aggregate_of_samples(
            calculator, sequences, "abs", ch_axis, **how
        )
        is_padding = np.arange(5) >= np.array(LENGTHS)[:, None]
        assert_array_equal(np.isnan(result).reshape(5, 5, -1).all(axis=2), is_padding)
        assert_array_equal(calculator.lengths, LENGTHS)

    @pytest.mark.parametrize("batchsize", [1, 2, 16])
    @pytest.mark.parametrize("ch_axis", [2, (2, 3)], ids=str)
    def test_have_no_sum_over_their_lengths(self, batchsize, ch_axis, sequences):
        calculator = SmoothGradCalculator(build(Sequence))
        with pytest.raises(ValueError, match=r"ch_axis=.* different lengths"):
            calculator.compute_aggregate(
                sequences, ch_axis=ch_axis, converter=padded, batchsize=batchsize
            )


class TestMemory:
    """By tracemalloc, which NumPy tells of its arrays."""

    @staticmethod
    def peak(call):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    @pytest.mark.large
    @pytest.mark.parametrize(
        ("calculator_class", "few", "method"),
        # BayesGrad has more rows in a pass, where they share their start: 10 samples
        # do not fill one.
        [(SmoothGradCalculator, 10, "abs"), (BayesGradCalculator, 100, "raw")],
    )
    def test_does_not_grow_with_the_number_of_samples(
        self, calculator_class, few, method, rng
    ):
        model = build(CNN, 3, 16, 10, dropout=0.5, dtype=np.float32)
        calculator = calculator_class(model, class_index="argmax")
        images = rng.normal(size=(3, 3, 16, 16)).astype("f")

        def aggregate(m):
            calculator.compute_aggregate(images, m, method, 2, batchsize=16, seed=0)

        aggregate(1)  # caches, and memory that is kept
        of_few, many = (self.peak(lambda m=m: aggregate(m)) for m in (few, 200))
        assert many < 1.2 * of_few
        samples = self.peak(lambda: calculator.compute(images, 200, seed=0))
        assert samples > 2 * many  # so that the measure does measure

    @pytest.mark.large
    def test_does_not_grow_with_the_number_of_examples(self, tmp_path):
        class Images(DatasetMixin):
            def __init__(self, n):
                self.n = n

            def __len__(self):
                return self.n

            def get_example(self, i):
                return np.full((3, 16, 16), i % 7, np.float32)

        model = build(CNN, 3, 16, 10, dtype=np.float32)
        calculator = SmoothGradCalculator(model, class_index=0)

        def aggregate(n):
            for path in tmp_path.iterdir():
                path.unlink()
            calculator.compute_aggregate(
                Images(n), 3, out=tmp_path / "x.npy", seed=0, show_progress=False
            )

        aggregate(1)
        few, many = (self.peak(lambda n=n: aggregate(n)) for n in (32, 320))
        assert many < 1.2 * few


class TestBadInput:
    @pytest.fixture
    def calculator(self):
        return IntegratedGradientsCalculator(build(MLP, n_out=1), steps=2)

    @pytest.mark.parametrize("ch_axis", [0, 1, -2, -3, 3, (2, 1), (2, 2)], ids=str)
    def test_an_axis_that_is_not_one_of_channels(self, calculator, ch_axis, x):
        with pytest.raises(ValueError, match=r"ch_axis must be an int in 2\.\.2"):
            calculator.compute_aggregate(x, ch_axis=ch_axis)

    @pytest.mark.parametrize("ch_axis", [1.5, "2", (2, None), [2]], ids=repr)
    def test_what_is_no_axis(self, calculator, ch_axis, x):
        with pytest.raises(ValueError, match="ch_axis"):
            calculator.compute_aggregate(x, ch_axis=ch_axis)

    def test_an_unknown_statistic_and_a_spread_of_one_sample(self, calculator, x):
        with pytest.raises(ValueError, match=r"statistic.*'mean', 'std', 'lcb'"):
            calculator.compute_aggregate(x, statistic="median")
        with pytest.raises(ValueError, match=r"statistic='std' .* got M=1"):
            calculator.compute_aggregate(x, statistic="std")

    def test_an_unknown_method(self, calculator, x):
        with pytest.raises(ValueError, match=r"method.*'raw', 'abs', 'square'"):
            calculator.compute_aggregate(x, method="mean")

    @pytest.mark.parametrize(
        ("name", "value"), [("M", 0), ("batchsize", 1.5), ("seed", -1)]
    )
    def test_what_compute_refuses(self, calculator, name, value, x):
        with pytest.raises(ValueError, match=name):
            calculator.compute_aggregate(x, **{name: value})

    def test_is_found_before_the_model_runs(self, x):
        def model(v):
            raise AssertionError("called")

        calculator = GradientCalculator(model)
        for bad in ({"method": "x"}, {"ch_axis": 0.5}, {"out": 3}, {"workers": 0}):
            with pytest.raises((ValueError, TypeError)):
                calculator.compute_aggregate(x, **bad)
