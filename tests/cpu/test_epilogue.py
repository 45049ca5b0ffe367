"""Convolutions and products with an epilogue or a mask beside Chainer's functions."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from saliency.cpu import compiled, convolution, elementwise, products
from saliency.cpu.epilogue import Epilogue
from saliency.cpu.geometry import Geometry
from saliency.cpu.mask import Mask

import chainer
import chainer.functions as F
from chainer.utils.conv import get_conv_outsize

# Relative to the largest value.
RTOL = {np.dtype("f"): 1e-4, np.dtype("d"): 1e-12}
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 6.0]
# Each way to compute a convolution: input and output channels, groups, kernel, size.
PATHS = {
    "pointwise": (24, 40, 1, 1, 12),
    "many pointwise": (64, 96, 1, 1, 40),
    "tiles": (20, 12, 1, 5, 9),
    "planes": (3, 8, 1, 7, 21),
    "groups": (6, 9, 3, 3, 8),
    "winograd": (32, 48, 1, 3, 40),
    "depthwise": (40, 40, 40, 3, 15),
    "large depthwise": (96, 96, 96, 3, 60),
    "several kernels for each channel": (5, 15, 5, 3, 9),
}


def geometry_of(
    size: tuple[int, int], kernel: int, stride: int, pad: int, dilate: int
) -> Geometry:
    out = tuple(
        get_conv_outsize(n, kernel, stride, pad, cover_all=False, d=dilate)
        for n in size
    )
    return Geometry(size, *((n, n) for n in (kernel, stride, pad, dilate)), out=out)


def channels_last(array: np.ndarray) -> np.ndarray:
    """Return an array whose channels, on axis 1, are last in memory."""
    last = np.ascontiguousarray(np.moveaxis(array, 1, -1))
    return np.moveaxis(last, -1, 1)


def with_special(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    """Put NaN, infinities, zeros and the ceiling at random places of an array."""
    flat = array.reshape(-1)
    where = rng.choice(flat.size, min(flat.size, 6), replace=False)
    flat[where] = SPECIAL[: len(where)]
    return array


def rectified(y: Any, floor: float | None, ceiling: float | None) -> Any:
    """Return Chainer's ``relu`` or ``clipped_relu`` of a variable."""
    if floor is None:
        return y
    return F.relu(y) if ceiling is None else F.clipped_relu(y, ceiling)


def masked_by_chainer(
    gy: np.ndarray, h: np.ndarray, ceiling: float | None
) -> np.ndarray:
    """Return the gradient before a rectifier of ``h`` for the one behind it."""
    variable = chainer.Variable(h)
    y = rectified(variable, 0.0, ceiling)
    found = chainer.grad([y], [variable], grad_outputs=[chainer.Variable(gy)])
    return found[0].array


def assert_close(result: np.ndarray, wanted: np.ndarray) -> None:
    assert result.shape == wanted.shape
    assert result.dtype == wanted.dtype
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(result[~finite], wanted[~finite])
    scale = np.abs(wanted[finite]).max(initial=0) or 1
    np.testing.assert_allclose(
        result[finite], wanted[finite], rtol=0, atol=RTOL[wanted.dtype] * scale
    )


limits = st.sampled_from([(None, None), (0.0, None), (0.0, 6.0)])


class TestConvolution:
    @settings(max_examples=30, deadline=None)
    @given(
        st.sampled_from(sorted(PATHS)),
        st.integers(1, 3),
        st.integers(1, 2),
        st.integers(0, 2),
        st.integers(1, 2),
        limits,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.sampled_from("fd"),
        st.booleans(),
    )
    @pytest.mark.large
    def test_is_chainers_functions_in_a_row(
        self,
        path,
        n_image,
        stride,
        pad,
        dilate,
        limits,
        has_b,
        scales,
        adds,
        is_last,
        dtype,
        may_compile,
    ):
        n_in, n_out, groups, kernel, n = PATHS[path]
        if path == "winograd":
            stride = dilate = 1
        rng = np.random.default_rng(n_image)
        x = rng.standard_normal((n_image, n_in, n, n + 1)).astype(dtype)
        W = rng.standard_normal((n_out, n_in // groups, kernel, kernel)).astype(dtype)
        b = rng.standard_normal(n_out).astype(dtype) if has_b else None
        geometry = geometry_of((n, n + 1), kernel, stride, pad, dilate)
        y = F.convolution_2d(x, W, stride=stride, pad=pad, dilate=dilate, groups=groups)
        scale = shift = added = None
        if has_b:
            y = F.bias(y, b)
        if scales:
            scale, shift = rng.standard_normal((2, n_out)).astype(dtype)
            y = F.bias(F.scale(y, scale), shift)
        if adds:
            added = with_special(rng, rng.standard_normal(y.shape).astype(dtype))
            y = y + added
            added = channels_last(added) if is_last else added
        x = channels_last(x) if is_last else x
        then = Epilogue(added, *limits, scale, shift)
        may_compile = may_compile and compiled.is_available()
        with mock.patch.object(compiled, "is_available", return_value=may_compile):
            result = convolution.convolve(x, W, b, geometry, groups, then)
        assert_close(result, rectified(y, *limits).array)

    @pytest.mark.parametrize("path", sorted(PATHS))
    def test_neither_other_images_nor_threads_matter(self, path):
        n_in, n_out, groups, kernel, n = PATHS[path]
        rng = np.random.default_rng(0)
        x = rng.standard_normal((5, n_in, n, n))
        W = rng.standard_normal((n_out, n_in // groups, kernel, kernel))
        b = rng.standard_normal(n_out)
        geometry = geometry_of((n, n), kernel, 1, kernel // 2, 1)
        added = rng.standard_normal((5, n_out, *geometry.out))

        def convolve(images: slice) -> np.ndarray:
            then = Epilogue(added[images], 0.0, 6.0)
            return convolution.convolve(x[images], W, b, geometry, groups, then)

        of_all = convolve(slice(None))
        one_by_one = [convolve(slice(i, i + 1)) for i in range(5)]
        assert_close(np.concatenate(one_by_one), of_all)
        with threadpool_limits(1):
            assert_close(convolve(slice(None)), of_all)

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    @pytest.mark.parametrize("kernel", [1, 5])
    @pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
    def test_nan_and_infinity_of_images_go_where_chainers_go(self, kernel, special):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, 20, 7, 7)).astype("f")
        x[1, 3, 2, 2] = special
        W = rng.standard_normal((9, 20, kernel, kernel)).astype("f")
        geometry = geometry_of((7, 7), kernel, 1, 0, 1)
        for ceiling in (None, 6.0):
            wanted = rectified(F.convolution_2d(x, W), 0.0, ceiling).array
            then = Epilogue(None, 0.0, ceiling)
            result = convolution.convolve(x, W, None, geometry, 1, then)
            assert_close(result, wanted)

    @pytest.mark.parametrize("dtype", ["f", "d"])
    def test_a_filter_of_each_channel_is_finished_with_a_sum(self, dtype):
        rng = np.random.default_rng(0)
        x, added = rng.standard_normal((2, 3, 40, 30, 31)).astype(dtype)
        W, b = rng.standard_normal((40, 1, 3, 3)).astype(dtype), added[0, :, 0, 0]
        geometry = geometry_of((30, 31), 3, 1, 1, 1)
        y = F.bias(F.convolution_2d(x, W, pad=1, groups=40), b) + added
        then = Epilogue(channels_last(added), 0.0, 6.0)
        result = convolution.convolve(channels_last(x), W, b, geometry, 40, then)
        assert_close(result, rectified(y, 0.0, 6.0).array)


class TestProduct:
    @settings(max_examples=30, deadline=None)
    @given(
        st.integers(1, 3000),
        st.integers(1, 80),
        st.integers(1, 600),
        limits,
        st.booleans(),
        st.booleans(),
        st.sampled_from("fd"),
    )
    @pytest.mark.large
    def test_is_chainers_functions_in_a_row(
        self, n_row, n_in, n_out, limits, has_b, adds, dtype
    ):
        rng = np.random.default_rng(n_in)
        x = rng.standard_normal((n_row, n_in)).astype(dtype)
        W = rng.standard_normal((n_out, n_in)).astype(dtype)
        b = rng.standard_normal(n_out).astype(dtype) if has_b else None
        y = F.linear(x, W, b)
        added = None
        if adds:
            added = with_special(rng, rng.standard_normal(y.shape).astype(dtype))
            y = y + added
        result = products.matmul(x, W.T, b, Epilogue(added, *limits))
        assert_close(result, rectified(y, *limits).array)

    @pytest.mark.parametrize("n_row", [1, 3, 40])
    @pytest.mark.parametrize("n_out", [5, 32, 600])
    def test_is_the_same_on_several_threads(self, monkeypatch, n_row, n_out):
        monkeypatch.setattr("saliency.cpu.threads._MIN_OPERATIONS", 0)
        rng = np.random.default_rng(0)
        x, W = rng.standard_normal((n_row, 20)), rng.standard_normal((n_out, 20))
        b, added = rng.standard_normal(n_out), rng.standard_normal((n_row, n_out))
        mask = Mask(rng.standard_normal(x.shape))
        wanted = np.maximum((x * (mask.y > 0)) @ W.T + b + added, 0)
        result = products.matmul(x, W.T, b, Epilogue(added, 0.0), mask)
        assert_close(result, wanted)


class TestMask:
    @settings(max_examples=30, deadline=None)
    @given(
        st.sampled_from(sorted(PATHS)),
        st.integers(1, 3),
        st.integers(1, 2),
        st.integers(0, 2),
        st.integers(1, 2),
        st.sampled_from([None, 6.0]),
        st.booleans(),
        st.booleans(),
        st.sampled_from("fd"),
    )
    def test_is_the_way_back_through_a_rectifier_and_a_convolution(
        self, path, n_image, stride, pad, dilate, ceiling, is_last, y_is_last, dtype
    ):
        n_in, n_out, groups, kernel, n = PATHS[path]
        if path == "winograd":
            stride = dilate = 1
        rng = np.random.default_rng(n_image)
        x = chainer.Variable(np.zeros((n_image, n_in, n, n + 1), dtype))
        W = rng.standard_normal((n_out, n_in // groups, kernel, kernel)).astype(dtype)
        geometry = geometry_of((n, n + 1), kernel, stride, pad, dilate)
        y = F.convolution_2d(x, W, stride=stride, pad=pad, dilate=dilate, groups=groups)
        h = (4 * rng.standard_normal(y.shape)).astype(dtype)
        y = rectified(y + with_special(rng, h), 0.0, ceiling)
        gy = rng.standard_normal(y.shape).astype(dtype)
        found = chainer.grad([y], [x], grad_outputs=[chainer.Variable(gy)])
        gy = channels_last(gy) if is_last else gy
        mask = Mask(channels_last(y.array) if y_is_last else y.array, 0.0, ceiling)
        result = convolution.to_input(gy, W, geometry, groups, mask=mask)
        assert_close(result, found[0].array)

    @given(
        st.integers(1, 3000),
        st.integers(1, 80),
        st.integers(1, 600),
        st.sampled_from([None, 6.0]),
        st.sampled_from("fd"),
    )
    @pytest.mark.large
    def test_of_a_product_is_chainers(self, n_row, n_in, n_out, ceiling, dtype):
        rng = np.random.default_rng(n_in)
        W = rng.standard_normal((n_out, n_in)).astype(dtype)
        gy, h = rng.standard_normal((2, n_row, n_out)).astype(dtype)
        wanted = masked_by_chainer(gy, h, ceiling) @ W
        result = products.matmul(gy, W, mask=Mask(h, 0.0, ceiling))
        assert_close(result, wanted)

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    @given(
        st.tuples(st.integers(1, 9), st.integers(1, 400), st.integers(1, 400)),
        st.permutations(range(3)),
        st.permutations(range(3)),
        st.sampled_from([None, 6.0]),
    )
    def test_in_place_is_chainers(self, shape, axes, other_axes, ceiling):
        rng = np.random.default_rng(0)
        gy, h = rng.standard_normal((2, *shape)).astype("f")
        gy = with_special(rng, gy).transpose(axes)
        h = (4 * with_special(rng, h)).transpose(other_axes)
        if gy.shape != h.shape:
            h = np.resize(h, gy.shape)
        wanted = masked_by_chainer(gy, h, ceiling)
        result = elementwise.masked(gy, Mask(h, 0.0, ceiling), out=gy)
        assert result is gy
        np.testing.assert_array_equal(gy, wanted)

    @pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 90_000), (90_000, 1)])
    def test_of_any_number_of_elements(self, shape):
        rng = np.random.default_rng(0)
        gy, h = rng.standard_normal((2, *shape))
        result = np.empty(shape)
        Mask(h, ceiling=0.5).multiply(gy, ..., result)
        np.testing.assert_array_equal(result, gy * ((h > 0) & (h < 0.5)))

    @given(
        st.tuples(st.integers(1, 9), st.integers(1, 400), st.integers(1, 400)),
        st.permutations(range(3)),
    )
    def test_sum_in_place_is_chainers(self, shape, axes):
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((2, *shape)).astype("f")
        x = np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
        wanted = (chainer.Variable(x) + y).array
        result = elementwise.arithmetic(np.add, x, y, out=x)
        assert result is x
        np.testing.assert_array_equal(x, wanted)
