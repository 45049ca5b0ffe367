"""The noise samplers by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from saliency import GaussianNoiseSampler, UniformNoiseSampler

every_sampler = pytest.mark.parametrize(
    "sampler_class", [GaussianNoiseSampler, UniformNoiseSampler]
)


def generators(n):
    return [np.random.default_rng(seed) for seed in range(n)]


@every_sampler
class TestEverySampler:
    @given(
        array=hnp.arrays(
            st.sampled_from([np.float16, np.float32, np.float64]),
            hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
            elements=st.floats(-8, 8, width=16),
        ),
        mode=st.sampled_from(["relative", "absolute"]),
    )
    def test_keeps_shape_dtype_and_the_array(self, sampler_class, array, mode):
        before = array.tobytes()
        noise = sampler_class(mode).sample(array, np.random.default_rng(0))
        assert (noise.shape, noise.dtype) == (array.shape, array.dtype)
        assert array.tobytes() == before

    def test_relative_scale_is_of_each_examples_range(self, sampler_class, rng):
        x = rng.normal(size=(3, 2, 50))
        x *= np.array([1.0, 10.0, 0.0]).reshape(3, 1, 1)
        relative = sampler_class("relative", 0.1).sample(x, generators(3))
        absolute = sampler_class("absolute", 0.1).sample(x, generators(3))
        spread = x.max(axis=(1, 2)) - x.min(axis=(1, 2))
        assert_allclose(relative, absolute * spread.reshape(3, 1, 1), rtol=1e-12)
        assert_array_equal(relative[2], 0)

    @pytest.mark.filterwarnings("error")
    def test_a_range_beyond_float16_is_one(self, sampler_class):
        x = np.array([[-60000, 0, 60000]])
        half, single = (
            sampler_class("relative", 0.1).sample(x.astype(dtype), generators(1))
            for dtype in (np.float16, np.float32)
        )
        assert_allclose(half, single, rtol=1e-3)

    def test_examples_of_one_number_each_have_no_range(self, sampler_class):
        x = np.array([0.0, 4.0, 1.0])
        with pytest.raises(ValueError, match="mode='absolute'"):
            sampler_class("relative").sample(x, generators(3))
        noise = sampler_class("absolute").sample(x, generators(3))
        assert (noise.shape, len(set(noise))) == ((3,), 3)

    def test_a_generator_for_each_row_gives_it_the_same_in_any_batch(
        self, sampler_class, rng
    ):
        x = rng.normal(size=(4, 3))
        whole = sampler_class().sample(x, generators(4))
        for i in range(4):
            alone = sampler_class().sample(x[[i]], [generators(4)[i]])
            assert_array_equal(whole[[i]], alone)

    def test_one_generator_gives_one_result(self, sampler_class, rng):
        x = rng.normal(size=(4, 3))
        draws = [
            sampler_class().sample(x, np.random.default_rng(seed)) for seed in (0, 0, 1)
        ]
        assert_array_equal(draws[0], draws[1])
        assert (draws[0] != draws[2]).all()

    def test_without_a_generator_leaves_the_global_state_alone(
        self, sampler_class, rng
    ):
        x = rng.normal(size=(4, 3))
        np.random.seed(0)
        before = np.random.get_state()[1].tobytes()
        draws = [sampler_class().sample(x) for _ in range(2)]
        assert np.random.get_state()[1].tobytes() == before
        assert (draws[0] != draws[1]).all()

    def test_no_scale_is_no_noise(self, sampler_class, rng):
        noise = sampler_class(scale=0).sample(rng.normal(size=(4, 3)))
        assert_array_equal(noise, 0)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_takes_the_scale_from_numpy_too(self, sampler_class, dtype, rng):
        x = rng.normal(size=(2, 3))
        scale = dtype(0.5)
        noise = sampler_class(scale=scale).sample(x, generators(2))
        assert_array_equal(noise, sampler_class(scale=0.5).sample(x, generators(2)))

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            ({"mode": "Relative"}, "mode"),
            ({"mode": None}, "mode"),
            ({"scale": -0.1}, "scale"),
            ({"scale": np.nan}, "scale"),
            ({"scale": np.inf}, "scale"),
            ({"scale": "big"}, "scale"),
        ],
    )
    def test_checks_its_arguments(self, sampler_class, arguments, name):
        with pytest.raises(ValueError, match=name):
            sampler_class(**arguments)

    def test_refuses_integers(self, sampler_class):
        with pytest.raises(TypeError, match=r"target_array.*int64"):
            sampler_class().sample(np.arange(3))

    def test_refuses_the_wrong_number_of_generators(self, sampler_class, rng):
        with pytest.raises(ValueError, match=r"rng.*4"):
            sampler_class().sample(rng.normal(size=(4, 3)), generators(3))


class TestDistributions:
    def test_gaussian(self):
        noise = GaussianNoiseSampler("absolute", 2.0).sample(
            np.zeros((100, 1000)), np.random.default_rng(0)
        )
        assert_allclose(noise.mean(), 0, atol=0.03)
        assert_allclose(noise.std(), 2, rtol=0.01)
        assert_allclose((np.abs(noise) < 2).mean(), 0.6827, atol=0.006)

    def test_uniform(self):
        noise = UniformNoiseSampler("absolute", 2.0).sample(
            np.zeros((100, 1000)), np.random.default_rng(0)
        )
        assert noise.min() >= -2
        assert noise.max() < 2
        assert_allclose(np.quantile(noise, [0.25, 0.5, 0.75]), [-1, 0, 1], atol=0.03)

    def test_float16_is_not_coarser_than_it_has_to_be(self):
        noise = GaussianNoiseSampler("absolute", 1.0).sample(
            np.zeros((1, 5000), np.float16), np.random.default_rng(0)
        )
        assert len(np.unique(noise)) > 3000
