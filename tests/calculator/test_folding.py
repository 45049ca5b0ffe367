"""The result depends on the data and the seed, not on how rows are put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    SmoothGradCalculator,
    UniformNoiseSampler,
)
from tests.calculator.every_calculator import (
    CALCULATORS,
    DISTURBANCES,
    every_calculator,
    every_calculator_with,
)
from tests.covering import every_value
from tests.networks import CNN, MLP, OwnNoise, TimeMajor, Zoneout, build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.link_hooks import SpectralNormalization

BATCHSIZES = (3, 16, 10_000)  # 3 divides neither data nor samples


class GlobalNoise:
    """A sampler as people write them: the global state, and float64."""

    def sample(self, array):
        return np.random.normal(0, 0.3, array.shape)


def assert_same_for_every_batchsize(calculator, data, batchsizes=BATCHSIZES, **how):
    how = {"M": 2, "seed": 0, **how}
    one_by_one = calculator.compute(data, batchsize=1, **how)
    for batchsize in batchsizes:
        together = calculator.compute(data, batchsize=batchsize, **how)
        assert_allclose(together, one_by_one, rtol=1e-9, atol=1e-12)
    return one_by_one


class LaplaceNoise:
    """A sampler that draws for all examples at once."""

    def sample(self, array, rng):
        u = rng.random(array.shape, array.dtype) - 0.5
        return -np.sign(u) * np.log1p(-2 * abs(u))


@every_value(
    how={
        "gaussian": {"noise_sampler": GaussianNoiseSampler()},
        "uniform": {"noise_sampler": UniformNoiseSampler("absolute")},
        "laplace": {"noise_sampler": LaplaceNoise()},
        "dropout": {"train": True},
    },
    dtype=[np.float32, np.float64],
    n_feature=[1, 5, 31, 100],
)
def test_numbers_of_each_row_of_a_table(how, dtype, n_feature, rng):
    """Byte for byte, with a function whose rows add up nothing."""
    table = rng.normal(size=(70, n_feature)).astype(dtype)
    calculator = GradientCalculator(lambda v: F.sum(F.dropout(v, 0.3) ** 2, axis=1))
    how = {"M": 3, "seed": 4, "noise_sampler": None, **how}
    if n_feature == 1 and isinstance(how["noise_sampler"], GaussianNoiseSampler):
        how["noise_sampler"] = GaussianNoiseSampler("absolute")  # one has no range
    one_by_one = calculator.compute(table, batchsize=1, **how)
    assert len(np.unique(one_by_one[:, :, 0])) > 50
    for batchsize in (7, 64, 70, 1000):
        together = calculator.compute(table, batchsize=batchsize, **how)
        assert together.tobytes() == one_by_one.tobytes()


@pytest.mark.large
@every_calculator_with(every_value, disturbance=DISTURBANCES)
def test_of_a_network_with_dropout_and_normalization(new_calculator, disturbance, x):
    model = build(MLP, dropout=0.5, normalize=True, depth=3)
    assert_same_for_every_batchsize(
        new_calculator(model, class_index="argmax"), x, **disturbance
    )


@every_calculator_with(every_value, disturbance=DISTURBANCES)
def test_of_a_convolutional_network(new_calculator, disturbance, rng):
    model = build(CNN, dropout=0.5)
    images = rng.normal(size=(3, 2, 6, 6))
    assert_same_for_every_batchsize(
        new_calculator(model, class_index=0), images, (16,), M=2, **disturbance
    )


@given(
    calculator=st.sampled_from(sorted(CALCULATORS)),
    width=st.integers(1, 6),
    depth=st.integers(1, 3),
    activation=st.sampled_from(["relu", "tanh", "elu"]),
    dropout=st.sampled_from([0.0, 0.3, 0.8]),
    normalize=st.booleans(),
    noise=st.booleans(),
    train=st.booleans(),
    n=st.integers(2, 9),
    m=st.integers(1, 5),
    batchsizes=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    seed=st.integers(0, 2**64),
)
@settings(max_examples=30)
def test_of_random_networks(
    calculator,
    width,
    depth,
    activation,
    dropout,
    normalize,
    noise,
    train,
    n,
    m,
    batchsizes,
    seed,
):
    model = build(
        MLP,
        3,
        width,
        2,
        depth,
        getattr(F, activation),
        dropout,
        normalize,
        seed=seed % 1000,
    )
    x = np.random.default_rng(seed % 1000).normal(size=(n, 3))
    first, second = (
        CALCULATORS[calculator](model, class_index="argmax").compute(
            x,
            M=m,
            batchsize=batchsize,
            train=train,
            noise_sampler=GaussianNoiseSampler() if noise else None,
            seed=seed,
        )
        for batchsize in batchsizes
    )
    assert_allclose(first, second, rtol=1e-8, atol=1e-11)


class TestModelsThatDrawNumbersOfTheirOwn:
    @every_calculator_with(
        every_value,
        noise={"clean": None, "noise": GaussianNoiseSampler()},
        class_index=[0, "argmax"],
    )
    def test_from_the_global_state(self, new_calculator, noise, class_index, x):
        calculator = new_calculator(build(OwnNoise), class_index=class_index)
        samples = assert_same_for_every_batchsize(
            calculator, x[:4], (3, 16), noise_sampler=noise
        )
        assert len(np.unique(samples[:, 0].reshape(2, -1), axis=0)) == 2

    @every_calculator
    def test_with_zoneout(self, new_calculator, x):
        calculator = new_calculator(build(Zoneout), class_index=0)
        samples = assert_same_for_every_batchsize(
            calculator, x[:4], (3, 16), train=True
        )
        assert len(np.unique(samples[:, 0].reshape(2, -1), axis=0)) == 2

    @every_calculator_with(every_value, n_time=[2, 4])
    def test_with_dropout_where_axis_0_is_time(self, new_calculator, n_time, x):
        """Also where there happen to be as many steps of time as rows in a pass."""
        calculator = new_calculator(build(TimeMajor, n_time), class_index=0)
        samples = assert_same_for_every_batchsize(
            calculator, np.ascontiguousarray(x[:4, :n_time]), (n_time, 16), train=True
        )
        assert len(np.unique(samples[:, 0].reshape(2, -1), axis=0)) > 1

    @every_calculator_with(every_value, rows=[3, 5, 8])
    def test_with_dropout_of_weights(self, new_calculator, rows, x):
        """Weights have as many rows as a layer has units, and a pass examples."""
        weight = np.random.default_rng(0).normal(size=(rows, 4))

        def model(v):
            return F.sum(F.linear(v, F.dropout(weight, 0.5)), axis=1)

        calculator = new_calculator(model)
        assert_same_for_every_batchsize(calculator, x[:4], (rows, 16), train=True)

    @every_calculator
    def test_with_spectral_normalization(self, new_calculator, x):
        """Its power iteration would go on in training mode."""
        model = build(MLP, dropout=0.5)
        model.l1.add_hook(SpectralNormalization())
        with chainer.using_config("train", True):
            model(x)
        calculator = new_calculator(model, class_index=0)
        assert_same_for_every_batchsize(calculator, x, train=True)

    def test_with_a_recurrent_network_of_chainer(self, rng):
        """NStepGRU drops out from the rows that are left at each time."""
        model = build(L.NStepGRU, 2, 3, 4, 0.5)

        def last_state(v):
            return model(None, list(F.separate(v)))[0][-1]

        calculator = BayesGradCalculator(model, eval_fun=last_state, class_index=0)
        assert_same_for_every_batchsize(calculator, rng.normal(size=(5, 3, 3)))


class TestSamplers:
    @pytest.mark.large
    @every_calculator_with(every_value, dtype=[np.float32, np.float64])
    def test_that_use_the_global_state(self, new_calculator, dtype, x):
        """Where a pass is float32, so is its noise, whatever the sampler gives."""
        calculator = new_calculator(build(MLP, n_out=1, dtype=dtype))
        how = {"M": 2, "seed": 0, "noise_sampler": GlobalNoise()}
        results = [
            calculator.compute(x.astype(dtype), batchsize=batchsize, **how)
            for batchsize in (1, 3, 16)
        ]
        tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == np.float32 else {}
        assert_allclose(results[1], results[0], **tolerance)
        assert_allclose(results[2], results[0], **tolerance)
        assert (results[0][0] != results[0][1]).all()

    def test_of_examples_that_are_one_number_each(self, rng):
        calculator = GradientCalculator(lambda v: v**2)
        noise = GaussianNoiseSampler("absolute", 0.1)
        assert_same_for_every_batchsize(
            calculator, rng.normal(size=7), noise_sampler=noise
        )

    def test_that_take_one_generator_for_the_batch_by_another_name(self, x):
        class Lambda:
            sample = staticmethod(lambda array: np.zeros_like(array))

        calculator = GradientCalculator(build(MLP, n_out=1))
        noisy = calculator.compute(x, noise_sampler=Lambda())
        assert_array_equal(noisy, calculator.compute(x))


class TestSeed:
    @every_calculator_with(every_value, train=[False, True])
    def test_one_seed_gives_one_result_and_another_another(
        self, new_calculator, train, x
    ):
        calculator = new_calculator(build(MLP, n_out=1, dropout=0.5))
        noise = None if train else GaussianNoiseSampler()
        first, again, other = (
            calculator.compute(x, M=2, train=train, noise_sampler=noise, seed=seed)
            for seed in (0, 0, 1)
        )
        assert_array_equal(first, again)
        is_delta = first.shape == (2, 7)
        assert is_delta or (first != other).mean() > 0.5

    def test_without_a_seed_every_call_gives_another_result(self, x):
        calculator = SmoothGradCalculator(build(MLP, n_out=1))
        np.random.seed(0)
        first = calculator.compute(x, M=2, seed=None)
        np.random.seed(0)
        assert (first != calculator.compute(x, M=2, seed=None)).all()

    @every_calculator_with(every_value, disturbance=DISTURBANCES)
    def test_fewer_samples_are_the_first_of_more(self, new_calculator, disturbance, x):
        calculator = new_calculator(build(MLP, n_out=1, dropout=0.5))
        three = calculator.compute(x, M=3, seed=0, **disturbance)
        five = calculator.compute(x, M=5, seed=0, **disturbance)
        assert_allclose(five[:3], three, rtol=1e-10, atol=1e-14)

    def test_without_anything_random_all_samples_are_alike(self, x):
        samples = GradientCalculator(build(MLP, n_out=1)).compute(x, M=4, batchsize=5)
        assert_allclose(samples, np.tile(samples[:1], (4, 1, 1)), rtol=1e-12)

    @pytest.mark.parametrize("seed", [0, 2**100, np.int64(7)])
    def test_may_be_any_int(self, seed, x):
        calculator = SmoothGradCalculator(build(MLP, n_out=1))
        first, again, other = (
            calculator.compute(x, M=1, seed=s) for s in (seed, int(seed), seed + 1)
        )
        assert_array_equal(first, again)
        assert (first != other).all()

    def test_samples_of_several_examples_differ_though_the_examples_do_not(self):
        x = np.ones((5, 4)) * np.arange(4)
        samples = SmoothGradCalculator(build(MLP, n_out=1)).compute(x, M=1, seed=0)
        assert len(np.unique(samples[0], axis=0)) == 5


@pytest.mark.large
def test_float32_agrees_within_its_precision(x):
    model = build(MLP, n_out=1, dropout=0.5, dtype=np.float32)
    calculator = IntegratedGradientsCalculator(model)
    results = [
        calculator.compute(
            x.astype(np.float32), M=3, train=True, seed=0, batchsize=batchsize
        )
        for batchsize in (1, 16, 1000)
    ]
    assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-6)
    assert_allclose(results[2], results[0], rtol=1e-4, atol=1e-6)
