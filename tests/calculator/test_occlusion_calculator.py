"""Occlusion, against an explicit loop over the windows."""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from saliency import GaussianBlur, OcclusionCalculator
from tests.calculator.oracles import occlusion, run, windows
from tests.networks import CNN, MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


def interacting(v):
    """A function of all elements together, one value for each example."""
    v = F.reshape(v, (len(v), -1))
    place = np.arange(1, v.shape[1] + 1.0)
    return F.sum(F.sin(v * place), axis=1) + F.sum(v, axis=1) ** 2


def classes(v):
    """Three columns, all different."""
    y = interacting(v)
    return F.stack([y, F.tanh(y), 2 * y], axis=1)


@st.composite
def problems(draw):
    """Draws a target's shape, slide axes, window sizes and strides."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5))
    slide_axis = draw(
        st.lists(st.integers(1, len(shape) - 1), min_size=1, unique=True).map(tuple)
    )
    size = tuple(draw(st.integers(1, shape[axis])) for axis in slide_axis)
    stride = tuple(draw(st.integers(1, length)) for length in size)
    return shape, slide_axis, size, stride


FILLS = {
    "number": lambda x: (0.5, 0.5),
    "array": lambda x: (x[0] + 1, x[0] + 1),
    "one_per_example": lambda x: (x + 2, x + 2),
    "callable": lambda x: (lambda v: v * 0.5, x * 0.5),
    "mean": lambda x: ("mean", x.mean(axis=0)),
}


class TestExplicitLoop:
    @given(
        problem=problems(),
        fill=st.sampled_from(sorted(FILLS)),
        batchsize=st.integers(1, 20),
        seed=st.integers(0, 9),
    )
    def test_for_random_shapes_windows_strides_and_fills(
        self, problem, fill, batchsize, seed
    ):
        shape, slide_axis, size, stride = problem
        x = np.random.default_rng(seed).normal(size=shape)
        if fill == "mean" and len(x) == 1:
            fill = "number"
        given_fill, values = FILLS[fill](x)
        samples = OcclusionCalculator(
            interacting,
            size=size,
            slide_axis=slide_axis,
            stride=stride,
            fill=given_fill,
        ).compute(x, batchsize=batchsize)
        expected = occlusion(
            lambda v: run(interacting, v), x, slide_axis, size, stride, values
        )
        assert samples.shape == (1, *expected.shape)
        assert_allclose(samples[0], expected, rtol=1e-9, atol=1e-9)

    @given(problem=problems(), batchsize=st.integers(1, 20))
    @pytest.mark.large
    def test_all_classes_at_once(self, problem, batchsize):
        shape, slide_axis, size, stride = problem
        x = np.random.default_rng(0).normal(size=shape)
        samples = OcclusionCalculator(
            classes,
            class_index="all",
            size=size,
            slide_axis=slide_axis,
            stride=stride,
        ).compute(x, batchsize=batchsize)
        for c in range(3):
            expected = occlusion(
                lambda v, c=c: run(classes, v)[:, c], x, slide_axis, size, stride, 0.0
            )
            assert_allclose(samples[0][:, c], expected, rtol=1e-9, atol=1e-9)

    def test_of_images(self, rng):
        model, images = build(CNN), rng.normal(size=(3, 2, 6, 6))
        samples = OcclusionCalculator(
            model, class_index=1, size=3, stride=2, fill="mean"
        ).compute(images)
        expected = occlusion(
            lambda v: run(model, v)[:, 1],
            images,
            (2, 3),
            (3, 3),
            (2, 2),
            images.mean(0),
        )
        assert samples.shape == (1, 3, 1, 6, 6)
        assert_allclose(samples[0], expected, rtol=1e-9, atol=1e-12)

    def test_counts_the_windows_the_reader_expects(self):
        """The oracle itself: a length of 5, windows of 2, every second start."""
        starts = [w[1].start for w in windows((1, 5), (1,), (2,), (2,))]
        assert starts == [0, 2, 3]


class TestClosedForms:
    def test_of_a_linear_function_is_weight_times_input(self, x):
        model = build(L.Linear, 4, 1)
        samples = OcclusionCalculator(model, slide_axis=1).compute(x)
        assert_allclose(samples[0], x * model.W.array[0], atol=1e-14)

    def test_last_window_is_moved_back_to_the_end(self):
        """Length 5, size 2, stride 2: windows at 0, 2 and 3; element 3 in two."""
        x = np.array([[1.0, 10.0, 100.0, 1000.0, 10000.0]])
        samples = OcclusionCalculator(
            lambda v: F.sum(v, axis=1), size=2, stride=2, slide_axis=1
        ).compute(x)
        assert_allclose(
            samples[0, 0], [11, 11, 1100, (1100 + 11000) / 2, 11000], rtol=1e-12
        )

    def test_a_window_of_the_whole_axis_is_one_window(self, x):
        samples = OcclusionCalculator(
            lambda v: F.sum(v, axis=1), size=4, slide_axis=1
        ).compute(x)
        assert_allclose(samples[0], np.tile(x.sum(axis=1, keepdims=True), 4))

    def test_a_feature_without_influence_gets_zero(self, x):
        samples = OcclusionCalculator(
            lambda v: F.tanh(v[:, 0]) * v[:, 2], slide_axis=1
        ).compute(x)
        assert_array_equal(samples[0][:, [1, 3]], 0)

    @pytest.mark.parametrize("size", [1, 2, 3])
    @pytest.mark.parametrize("batchsize", [1, 2, None])
    def test_of_texts_that_are_shorter_than_a_window(self, size, batchsize):
        lengths = 3, 1, 0, 4, 1
        texts = [np.arange(1.0, n + 1) for n in lengths]
        calculator = OcclusionCalculator(
            lambda v: F.sum(v, axis=1) ** 2, slide_axis=1, size=size
        )
        converter = partial(chainer.dataset.concat_examples, padding=0)
        maps = calculator.compute(texts, converter=converter, batchsize=batchsize)[0]
        for found, text in zip(maps, texts):
            n, total = len(text), text.sum()
            length = min(size, n)
            falls = [
                total**2 - (total - text[i : i + length].sum()) ** 2
                for i in range(n - length + 1)
            ]
            expected = [
                np.mean([falls[j] for j in range(len(falls)) if j <= i < j + length])
                for i in range(n)
            ]
            assert_allclose(found[:n], expected)
            assert np.isnan(found[n:]).all()

    def test_of_discrete_inputs(self, rng):
        """Needs no gradient, so tokens can be covered as they are."""
        ids = rng.integers(1, 9, (3, 4)).astype(np.int32)
        weight = rng.normal(size=(10, 1))
        samples = OcclusionCalculator(
            lambda v: F.sum(F.embed_id(v, weight)[..., 0], axis=1), slide_axis=1
        ).compute(ids)
        assert samples.dtype == np.float32
        assert_allclose(samples[0], weight[ids, 0] - weight[0, 0], rtol=1e-5)


class TestArguments:
    def test_one_size_and_one_stride_hold_for_all_axes(self, rng):
        images = rng.normal(size=(2, 1, 5, 6))
        arguments = {"slide_axis": (2, 3), "fill": 0.1}
        short = OcclusionCalculator(interacting, size=3, stride=2, **arguments)
        long = OcclusionCalculator(interacting, size=(3, 3), stride=(2, 2), **arguments)
        assert_array_equal(short.compute(images), long.compute(images))

    def test_slide_axis_of_images_is_the_default(self, rng):
        images = rng.normal(size=(2, 1, 4, 4))
        assert OcclusionCalculator(interacting).compute(images).shape == (1, 2, 1, 4, 4)

    def test_a_list_of_axes_is_as_good_as_a_tuple(self, rng):
        images = rng.normal(size=(2, 1, 4, 4))
        with_list = OcclusionCalculator(interacting, size=[2, 1], slide_axis=[3, 2])
        with_tuple = OcclusionCalculator(interacting, size=(2, 1), slide_axis=(3, 2))
        assert_array_equal(with_list.compute(images), with_tuple.compute(images))

    def test_all_of_one_class_is_that_class(self, x):
        model = build(MLP, n_out=1)
        every = OcclusionCalculator(model, class_index="all", slide_axis=1).compute(x)
        one = OcclusionCalculator(model, slide_axis=1).compute(x)
        assert every.shape == (1, 7, 1, 4)
        assert_array_equal(every[:, :, 0], one)

    def test_all_of_a_vector_is_one_class(self, x):
        every = OcclusionCalculator(interacting, class_index="all", slide_axis=1)
        assert every.compute(x).shape == (1, 7, 1, 4)

    def test_a_fill_drawn_from_the_global_state_depends_on_the_seed_alone(self, x):
        calculator = OcclusionCalculator(
            interacting, slide_axis=1, fill=lambda v: np.random.normal(size=v.shape)
        )
        results = [
            calculator.compute(x, M=2, seed=0, batchsize=batchsize)
            for batchsize in (1, 3, 100)
        ]
        assert_allclose(results[1], results[0], rtol=1e-10)
        assert_allclose(results[2], results[0], rtol=1e-10)

    def test_passes_keep_no_graph(self, x):
        def model(v):
            assert not chainer.config.enable_backprop
            return F.sum(v, axis=1)

        OcclusionCalculator(model, slide_axis=1).compute(x)


class TestIntegers:
    """What covers an integer target is one of its dtype's numbers."""

    @staticmethod
    def of(fill, dtype=np.uint8, target=None, **how):
        x = np.arange(8).reshape(2, 4).astype(dtype)
        if target is not None:
            x = target
        return OcclusionCalculator(
            lambda v: F.sum(F.cast(v, np.float64) ** 2, axis=tuple(range(1, v.ndim))),
            slide_axis=1,
            fill=fill,
        ).compute(x, **how)

    @pytest.mark.parametrize(
        ("fill", "dtype"),
        [
            (0.5, np.uint8),
            (-1, np.uint8),
            (256, np.uint8),
            (128, np.int8),
            (1e12, np.int32),
            (np.array([0, 1, 2, 0.5]), np.int64),
            ("mean", np.uint8),
            (lambda v: v + 0.25, np.uint8),
        ],
    )
    def test_others_are_refused(self, fill, dtype):
        is_mean = isinstance(fill, str)
        target = np.array([[0, 1], [1, 1]], dtype) if is_mean else None
        with pytest.raises(
            ValueError, match=rf"fill.*{np.dtype(dtype)}.*astype\(np\.float32\)"
        ):
            self.of(fill, dtype, target)

    @pytest.mark.parametrize(
        "fill", [0, 3, 255, 2.0, [1, 2, 3, 4], "mean", lambda v: v[:, ::-1]]
    )
    def test_whole_numbers_are_as_of_floats(self, fill):
        floats = self.of(fill, np.float64)
        np.testing.assert_allclose(self.of(fill, np.uint8), floats)

    def test_a_blurred_fill(self):
        images = np.random.default_rng(0).integers(0, 255, (2, 1, 5, 5), np.uint8)
        with pytest.raises(ValueError, match=r"fill.*uint8.*GaussianBlur"):
            self.of(GaussianBlur(2), target=images)
        blurred = GaussianBlur(2)(images)
        np.testing.assert_allclose(blurred, GaussianBlur(2)(images.astype("d")))

    def test_noise(self):
        class Floats:
            def sample(self, array, rng):
                return np.full(array.shape, 0.5)

        with pytest.raises(TypeError, match=r"noise_sampler.*float64.*uint8"):
            self.of(0, noise_sampler=Floats(), seed=0)


class ManyClasses(chainer.Chain):
    """A network of few parameters whose output has many columns."""

    def __init__(self, n_class: int):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(3, 4, 8, stride=8)
            self.fc = L.Linear(4, n_class)

    def forward(self, x):
        return self.fc(F.mean(F.tanh(self.conv(x)), axis=(2, 3)))


def peak_memory(function, *arguments, **settings):
    """Return what a function returns, and the bytes that it took at its peak."""
    tracemalloc.start()
    try:
        result = function(*arguments, show_progress=False, **settings)
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestMemoryOfAllClasses:
    """It is that of the result, whatever the number of classes, rows and windows."""

    @pytest.fixture
    def model(self):
        return build(ManyClasses, 100, dtype=np.float32)

    @pytest.mark.parametrize("size", [32, 16])
    @pytest.mark.parametrize("n_image", [1, 2])
    def test_is_less_than_twice_the_result(self, model, size, n_image, rng):
        images = rng.normal(size=(n_image, 3, 128, 128)).astype(np.float32)
        calculator = OcclusionCalculator(
            model, class_index="all", size=size, stride=size // 2
        )
        samples, peak = peak_memory(calculator.compute, images, batchsize=8)
        assert samples.shape == (1, n_image, 100, 1, 128, 128)
        assert peak < 2 * samples.nbytes

    def test_of_an_aggregate_is_that_of_some_results_in_float64(self, model, rng):
        images = rng.normal(size=(1, 3, 128, 128)).astype(np.float32)
        calculator = OcclusionCalculator(model, class_index="all", size=32, stride=16)
        maps, peak = peak_memory(calculator.compute_aggregate, images, M=1)
        assert maps.shape == (1, 100, 1, 128, 128)
        assert peak < 6 * maps.nbytes

    def test_maps_that_are_made_one_after_the_other_are_right(self, model, rng):
        images = rng.normal(size=(2, 3, 128, 128)).astype(np.float32)
        windows = {"size": 32, "stride": 32}
        every = OcclusionCalculator(model, class_index="all", **windows).compute(images)
        for c in (0, 7, 31, 99):
            one = OcclusionCalculator(model, class_index=c, **windows).compute(images)
            assert_array_equal(every[:, :, c], one)

    @pytest.mark.large
    @pytest.mark.parametrize("size", [32, 16])
    def test_of_a_thousand_classes_at_full_size(self, size, rng):
        model = build(ManyClasses, 1000, dtype=np.float32)
        image = rng.normal(size=(1, 3, 224, 224)).astype(np.float32)
        calculator = OcclusionCalculator(
            model, class_index="all", size=size, stride=size // 2
        )
        samples, peak = peak_memory(calculator.compute, image)
        assert samples.shape == (1, 1, 1000, 1, 224, 224)
        assert peak < 1.5 * samples.nbytes
