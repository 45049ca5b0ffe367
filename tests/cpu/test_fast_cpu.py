"""Convolution, pooling and ReLU of the fast block beside Chainer's own."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import threading
import tracemalloc
from typing import Any, Callable
from unittest import mock

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st

from saliency import GradientCalculator, LRPCalculator, fast_cpu
from saliency.cpu import compiled, memory
from saliency.light_apply import light_apply

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import gradient_check
from chainer.functions.connection.convolution_2d import Convolution2DFunction

# Relative to the largest value.
TILES = {np.dtype("f"): 1e-6, np.dtype("d"): 1e-12}
WINOGRAD = {np.dtype("f"): 1e-4, np.dtype("d"): 1e-12}


def forward_and_gradients(
    function: Callable[..., Any], *arrays: np.ndarray | None
) -> list[np.ndarray]:
    """Return the output and the gradients at all inputs, for a random one at it."""
    variables = [None if a is None else chainer.Variable(a.copy("K")) for a in arrays]
    y = function(*variables)
    y.grad = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    y.backward()
    return [y.array, *(v.grad for v in variables if v is not None)]


def assert_as_chainer(
    function: Callable[..., Any],
    *arrays: np.ndarray | None,
    rtol: dict[np.dtype, float],
) -> None:
    """Compare values, shapes and dtypes, or the errors that are raised."""
    try:
        expected = forward_and_gradients(function, *arrays)
    except Exception as error:
        with pytest.raises(type(error)) as caught, fast_cpu():
            forward_and_gradients(function, *arrays)
        assert str(caught.value) == str(error)
        return
    with fast_cpu():
        results = forward_and_gradients(function, *arrays)
    for result, wanted in zip(results, expected):
        assert result.shape == wanted.shape
        assert result.dtype == wanted.dtype
        finite = np.isfinite(wanted)
        np.testing.assert_array_equal(result[~finite], wanted[~finite])
        scale = np.abs(wanted[finite]).max(initial=0) or 1
        error = np.abs(result[finite] - wanted[finite]).max(initial=0)
        assert error <= rtol[wanted.dtype] * scale * 3


@st.composite
def images(draw: Any, n_channel: int, n_axis: int, largest: int = 14) -> np.ndarray:
    """Draw images in either memory layout."""
    shape = [draw(st.integers(1, 4)), n_channel]
    shape += [draw(st.integers(1, largest)) for _ in range(n_axis)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal(shape).astype(draw(st.sampled_from("fd")))
    if draw(st.booleans()):
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return x


@st.composite
def convolutions(draw: Any, transposed: bool) -> tuple[Any, ...]:
    """Draw a convolution function and its arguments."""
    n_axis = draw(st.sampled_from([1, 2, 2, 3]))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    n_in = groups * draw(st.sampled_from([1, 2, 16]))
    n_out = groups * draw(st.sampled_from([1, 3, 16]))
    x = draw(images(n_in, n_axis, largest=14 if n_axis < 3 else 5))
    kernel = [draw(st.integers(1, 4)) for _ in range(n_axis)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    n_of_W = (n_in, n_out // groups) if transposed else (n_out, n_in // groups)
    W = rng.standard_normal((*n_of_W, *kernel)).astype(x.dtype)
    b = rng.standard_normal(n_out).astype(x.dtype) if draw(st.booleans()) else None
    options = {
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(n_axis)),
        "pad": tuple(draw(st.integers(0, 3)) for _ in range(n_axis)),
        "dilate": tuple(draw(st.integers(1, 2)) for _ in range(n_axis)),
        "groups": groups,
    }
    is_2d = n_axis == 2 and draw(st.booleans())
    if transposed:
        name = F.deconvolution_2d if is_2d else F.deconvolution_nd
    else:
        name = F.convolution_2d if is_2d else F.convolution_nd
        options["cover_all"] = draw(st.booleans())
    return (lambda *arrays: name(*arrays, **options)), x, W, b


@st.composite
def depthwise_convolutions(draw: Any, transposed: bool) -> tuple[Any, ...]:
    """Draw a convolution in which each channel has kernels of its own."""
    n_channel = draw(st.sampled_from([1, 3, 40, 100, 1100]))
    x = draw(images(n_channel, 2, largest=14 if n_channel < 1000 else 5))
    n_kernel = n_channel * draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 5)) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    options = {
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(2)),
        "pad": tuple(draw(st.integers(0, 3)) for _ in range(2)),
        "dilate": tuple(draw(st.integers(1, 3)) for _ in range(2)),
        "groups": n_channel,
    }
    if transposed:
        name, n_out = F.deconvolution_2d, n_channel
        shape = (n_channel, 1, *kernel)
    else:
        name, n_out = F.convolution_2d, n_kernel
        shape = (n_kernel, 1, *kernel)
        options["cover_all"] = draw(st.booleans())
    W = rng.standard_normal(shape).astype(x.dtype)
    b = rng.standard_normal(n_out).astype(x.dtype) if draw(st.booleans()) else None
    return (lambda *arrays: name(*arrays, **options)), x, W, b


def assert_gradient_as_chainer(
    function: Callable[..., Any],
    x: np.ndarray,
    *others: np.ndarray | None,
    rtol: dict[np.dtype, float],
) -> None:
    """Compare gradients at the first input alone, of which no graph is wanted."""

    def gradient() -> np.ndarray:
        variable = chainer.Variable(x)
        y = function(variable, *others)
        gy = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        found = chainer.grad([y], [variable], grad_outputs=[chainer.Variable(gy)])
        return found[0].array

    try:
        expected = gradient()
    except Exception:  # the one that `assert_as_chainer` compares
        return
    with fast_cpu():
        result = gradient()
    assert result.dtype == expected.dtype
    scale = np.abs(expected).max(initial=0) or 1
    np.testing.assert_allclose(result, expected, rtol=0, atol=3 * rtol[x.dtype] * scale)


class TestConvolution:
    @settings(max_examples=75)
    @given(convolutions(transposed=False))
    @pytest.mark.large
    def test_any_convolution_is_chainers(self, drawn):
        assert_as_chainer(*drawn, rtol=TILES)

    @settings(max_examples=50)
    @given(convolutions(transposed=True))
    @pytest.mark.large
    def test_any_deconvolution_is_chainers(self, drawn):
        assert_as_chainer(*drawn, rtol=TILES)

    @pytest.mark.large
    @settings(max_examples=25)
    @given(
        st.integers(1, 3),
        st.integers(16, 80),
        st.integers(16, 80),
        st.tuples(st.integers(6, 45), st.integers(6, 45)),
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        st.sampled_from("fd"),
        st.booleans(),
    )
    def test_large_3_by_3_kernels_are_within_winograds_error(
        self, n_image, n_in, n_out, size, pad, dtype, has_bias
    ):
        rng = np.random.default_rng(n_in)
        x = rng.standard_normal((n_image, n_in, *size)).astype(dtype)
        W = rng.standard_normal((n_out, n_in, 3, 3)).astype(dtype)
        b = rng.standard_normal(n_out).astype(dtype) if has_bias else None
        assert_as_chainer(
            lambda *arrays: F.convolution_2d(*arrays, pad=pad), x, W, b, rtol=WINOGRAD
        )

    @settings(max_examples=30)
    @given(convolutions(transposed=False))
    def test_gradient_at_the_input_alone_is_chainers(self, drawn):
        assert_gradient_as_chainer(*drawn, rtol=TILES)

    def test_output_size_of_a_deconvolution_is_the_one_asked_for(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, 4, 5, 5)).astype("f")
        W = rng.standard_normal((4, 3, 3, 3)).astype("f")
        for deconvolution in (F.deconvolution_2d, F.deconvolution_nd):
            for outsize in [(11, 11), (12, 12), [12, 12]]:
                assert_as_chainer(
                    lambda *a, f=deconvolution, o=outsize: f(*a, stride=2, outsize=o),
                    *(x, W),
                    rtol=TILES,
                )

    def test_double_backward(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, 16, 36, 36))
        W = rng.standard_normal((16, 16, 3, 3))

        def gradient_of_gradient() -> np.ndarray:
            xv, Wv = chainer.Variable(x), chainer.Variable(W)
            y = F.max_pooling_2d(F.convolution_2d(xv, Wv, pad=1) ** 3, 2)
            (gx,) = chainer.grad([y], [xv], enable_double_backprop=True)
            (gW,) = chainer.grad([gx], [Wv])
            return gW.array

        expected = gradient_of_gradient()
        with fast_cpu():
            result = gradient_of_gradient()
        np.testing.assert_allclose(result, expected, rtol=1e-9)

    def test_weights_that_change_in_place_are_noticed(self):
        link = L.Convolution2D(16, 16, 3, pad=1)
        x = np.random.default_rng(0).standard_normal((1, 16, 40, 40)).astype("f")
        with fast_cpu():
            link(x)
            link.W.array[3, 4, 1, 2] += 0.5
            result = link(x).array
        np.testing.assert_allclose(result, link(x).array, atol=1e-5)

    def test_weights_that_are_gone_leave_nothing(self):
        x = np.ones((1, 64, 40, 40), "f")

        def convolve() -> None:
            link = L.Convolution2D(64, 64, 3, pad=1)
            with fast_cpu():
                link(x)

        convolve()
        gc.collect()
        tracemalloc.start()
        convolve()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert left < 64 * 64 * 9 * 4

    @pytest.mark.parametrize("ksize", [3, 5])
    @pytest.mark.parametrize("n_out", [2, 32])
    @pytest.mark.large
    def test_memory_beside_the_result_does_not_grow_with_the_batch(self, n_out, ksize):
        W = np.ones((n_out, 32, ksize, ksize), "f")

        def beside_the_result(n_image: int) -> int:
            x = np.ones((n_image, 32, 64, 64), "f")
            tracemalloc.start()
            y = F.convolution_2d(x, W, pad=ksize // 2).array
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak - y.nbytes

        with fast_cpu():
            few, many = beside_the_result(4), beside_the_result(64)
        # Which thread has its scratch arrays by when is a matter of luck.
        of_batch = 64 * 64 * 64 * 32 * ksize**2 * 4
        assert max(few, many) < of_batch / 15

    def test_float16_is_left_to_chainer(self):
        x = np.ones((1, 2, 5, 5), np.float16)
        W = np.ones((3, 2, 3, 3), np.float16)
        expected = F.convolution_2d(x, W).array
        with fast_cpu():
            np.testing.assert_array_equal(F.convolution_2d(x, W).array, expected)


class TestDepthwise:
    """Each channel has kernels of its own."""

    @settings(max_examples=40)
    @given(depthwise_convolutions(transposed=False), st.booleans())
    @pytest.mark.large
    def test_any_is_chainers(self, drawn, may_compile):
        may_compile = may_compile and compiled.is_available()
        with mock.patch.object(compiled, "is_available", return_value=may_compile):
            assert_as_chainer(*drawn, rtol=TILES)
            assert_gradient_as_chainer(*drawn, rtol=TILES)

    @settings(max_examples=40)
    @given(depthwise_convolutions(transposed=True))
    @pytest.mark.large
    def test_any_deconvolution_is_chainers(self, drawn):
        assert_as_chainer(*drawn, rtol=TILES)

    @pytest.mark.parametrize("multiplier", [1, 2])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_images_of_many_tiles(self, multiplier, stride):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((1, 64, 120, 121)).astype("f")
        W = rng.standard_normal((64 * multiplier, 1, 3, 3)).astype("f")
        b = rng.standard_normal(64 * multiplier).astype("f")
        assert_as_chainer(
            lambda *a: F.convolution_2d(*a, stride=stride, pad=1, groups=64),
            *(x, W, b),
            rtol=TILES,
        )

    @pytest.mark.parametrize("stride", [1, 2])
    def test_gradients_are_finite_differences(self, stride):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, 5, 6, 7))
        W, b = rng.standard_normal((10, 1, 3, 3)), rng.standard_normal(10)

        def function(*arrays: Any) -> Any:
            return F.convolution_2d(*arrays, stride=stride, pad=(2, 1), groups=5)

        gy = rng.standard_normal(function(x, W, b).shape)
        with fast_cpu():
            gradient_check.check_backward(function, (x, W, b), gy, dtype="d")

    @pytest.mark.parametrize("multiplier", [1, 2])
    def test_memory_beside_the_result_does_not_grow_with_the_batch(self, multiplier):
        W = np.ones((64 * multiplier, 1, 5, 5), "f")

        def beside_the_results(n_image: int) -> int:
            x = chainer.Variable(np.ones((n_image, 64, 64, 64), "f"))
            tracemalloc.start()
            y = F.convolution_2d(x, W, pad=2, groups=64)
            gy = chainer.Variable(y.array)
            (gx,) = chainer.grad([y], [x], grad_outputs=[gy])
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak - y.array.nbytes - gx.array.nbytes

        with fast_cpu():
            few, many = beside_the_results(2), beside_the_results(16)
        of_result = 16 * 64 * 64 * 64 * 4
        assert max(few, many) < of_result / 2

    @pytest.mark.parametrize("is_way_back", [False, True])
    def test_an_exception_in_the_middle_leaves_nothing(self, monkeypatch, is_way_back):
        rng = np.random.default_rng(0)
        x = chainer.Variable(rng.standard_normal((4, 64, 60, 60)).astype("f"))
        W = rng.standard_normal((64, 1, 3, 3)).astype("f")
        add_up, n_call = np.einsum, 0

        def fail_later(*args: Any, **kwargs: Any) -> Any:
            nonlocal n_call
            n_call += 1
            if n_call == 3:
                raise MemoryError
            return add_up(*args, **kwargs)

        def convolve() -> chainer.Variable:
            return F.convolution_2d(x, W, pad=1, groups=64)

        y = convolve()

        def way_back() -> chainer.Variable:
            return chainer.grad([y], [x])[0]

        compute = way_back if is_way_back else convolve
        expected = compute().array
        before = dict(vars(Convolution2DFunction)), threadpoolctl.threadpool_info()
        monkeypatch.setattr(np, "einsum", fail_later)
        with pytest.raises(MemoryError), fast_cpu():
            compute()
        monkeypatch.undo()
        after = dict(vars(Convolution2DFunction)), threadpoolctl.threadpool_info()
        assert after == before
        with fast_cpu():
            result = compute().array
        np.testing.assert_allclose(result, expected, atol=1e-5)

    @pytest.mark.parametrize("rule", ["epsilon", "zplus", "alpha2_beta1"])
    def test_relevance_is_that_without_the_block(self, rule):
        np.random.seed(0)  # Chainer initializes with it
        model = chainer.Sequential(
            L.Convolution2D(3, 24, 3, stride=2, pad=1),
            F.relu6,
            L.DepthwiseConvolution2D(24, 2, 5, pad=2),
            L.Convolution2D(48, 48, 3, stride=2, groups=48, nobias=True),
            F.relu6,
            lambda h: F.average(h, axis=(2, 3)),
            L.Linear(48, 3),
        )
        x = np.random.default_rng(0).random((2, 3, 17, 18))
        for parameter in model.params():
            parameter.array = parameter.array.astype("d")
        calculator = LRPCalculator(model, rule=rule)
        result = calculator.compute(x, show_progress=False)
        with chainer.using_config("fast_cpu", False):
            expected = calculator.compute(x, show_progress=False)
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


class TestPooling:
    @settings(max_examples=50)
    @given(st.data(), st.sampled_from(["max", "average"]), st.booleans())
    def test_any_pooling_is_chainers(self, data, kind, cover_all):
        n_axis = 2 if kind == "average" else data.draw(st.sampled_from([1, 2, 3]))
        x = data.draw(images(3, n_axis, largest=8))
        # Ties, as after ReLU: the first of equal elements is the maximum.
        x = np.round(np.maximum(x, 0))
        ksize = [data.draw(st.integers(1, 4)) for _ in range(n_axis)]
        stride = [data.draw(st.integers(1, 4)) for _ in range(n_axis)]
        pad = [data.draw(st.integers(0, k - 1)) for k in ksize]
        if kind == "average":
            assert_as_chainer(
                lambda x: F.average_pooling_2d(x, ksize, stride, pad), x, rtol=TILES
            )
        else:
            assert_as_chainer(
                lambda x: F.max_pooling_nd(x, ksize, stride, pad, cover_all),
                x,
                rtol=TILES,
            )

    def test_indices_are_chainers(self):
        x = np.random.default_rng(0).standard_normal((2, 3, 7, 7)).astype("f")
        expected = F.max_pooling_2d(x, 3, 2, return_indices=True)[1]
        with fast_cpu():
            result = F.max_pooling_2d(x, 3, 2, return_indices=True)[1]
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == expected.dtype

    def test_nan_is_a_maximum(self):
        x = np.zeros((1, 1, 4, 4), "f")
        x[0, 0, 1, 2] = np.nan
        with fast_cpu():
            y = F.max_pooling_2d(x, 2).array
        np.testing.assert_array_equal(
            np.isnan(y), np.isnan(F.max_pooling_2d(x, 2).array)
        )

    def test_backward_may_run_after_the_block(self):
        x = chainer.Variable(np.random.default_rng(0).random((2, 3, 6, 6)).astype("f"))
        with fast_cpu():
            y = F.max_pooling_2d(F.relu(x), 2)
        y.grad = np.ones_like(y.array)
        y.backward()
        result = x.grad
        y = F.max_pooling_2d(F.relu(x), 2)
        y.grad = np.ones_like(y.array)
        x.cleargrad()
        y.backward()
        np.testing.assert_array_equal(result, x.grad)


def transposed(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the array with its axes in another order in memory."""
    return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))


class TestElementwise:
    @given(
        st.tuples(st.integers(1, 9), st.integers(1, 400), st.integers(1, 400)),
        st.permutations(range(3)),
        st.permutations(range(3)),
    )
    @pytest.mark.large
    def test_of_any_size_and_layout_are_chainers(self, shape, axes, other_axes):
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((2, *shape)).astype("f")
        x, y = transposed(x, axes), transposed(y, other_axes)
        exactly = {np.dtype("f"): 0}
        assert_as_chainer(F.relu, x, rtol=exactly)
        assert_as_chainer(lambda x, y: F.relu(x) + y, x, y, rtol=exactly)

    @settings(max_examples=50)
    @given(
        st.tuples(st.integers(1, 9), st.integers(1, 400), st.integers(1, 400)),
        st.permutations(range(3)),
        st.permutations(range(3)),
        st.sampled_from("fd"),
    )
    @pytest.mark.large
    def test_clipped_relu_is_chainers(self, shape, axes, other_axes, dtype):
        rng = np.random.default_rng(0)
        x = (6 * rng.standard_normal(shape)).astype(dtype)
        x[0, 0, 0] = np.nan
        x[-1, -1, -1] = 6  # the edge
        x = transposed(x, axes)

        def function(x: Any) -> Any:
            # The gradient comes in another layout.
            return F.transpose(F.clipped_relu(x, 6.0), other_axes)

        assert_as_chainer(function, x, rtol={np.dtype(dtype): 0})
        assert_gradient_as_chainer(function, x, rtol={np.dtype(dtype): 0})

    @given(
        st.tuples(st.integers(1, 9), st.integers(1, 300), st.integers(1, 300)),
        st.permutations(range(3)),
        st.sampled_from("fd"),
    )
    @pytest.mark.large
    def test_sigmoid_and_tanh_are_chainers(self, shape, axes, dtype):
        x = (6 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)
        x = transposed(x, axes)
        precision = {np.dtype(dtype): 2 * np.finfo(dtype).eps}
        assert_as_chainer(F.sigmoid, x, rtol=precision)
        assert_as_chainer(F.tanh, x, rtol=precision)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("dtype", "fd")
    def test_sigmoid_is_right_at_the_ends(self, dtype):
        n = 100_000
        x = np.repeat(np.array([-np.inf, -1e4, 0, 1e4, np.inf, np.nan], dtype), n)
        with fast_cpu():
            y = F.sigmoid(x).array
        expected = np.array([0, 0, 0.5, 1, 1, np.nan], dtype)
        np.testing.assert_array_equal(y, expected.repeat(n))
        # Relative to what is small, where 1 + tanh is not.
        x = np.linspace(-80, 0, n, dtype=dtype)
        with fast_cpu():
            y = F.sigmoid(x).array
        exact = 1 / (1 + np.exp(-x.astype(np.longdouble)))
        eps = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(y, exact.astype(dtype), rtol=eps, atol=0)

    @settings(max_examples=50)
    @given(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=3
        ),
        st.permutations(range(3)),
        st.sampled_from([0, 0.5, [1, 2], "edge"]),
    )
    @pytest.mark.large
    def test_padding_is_chainers(self, widths, axes, value):
        x = np.random.default_rng(0).standard_normal((40, 50, 60)).astype("f")
        x = transposed(x, axes)
        options = {"constant_values": value} if value != "edge" else {}
        mode = "edge" if value == "edge" else "constant"
        exactly = {np.dtype("f"): 0}
        assert_as_chainer(lambda x: F.pad(x, widths, mode, **options), x, rtol=exactly)
        assert_as_chainer(lambda x: F.pad(x, 1, mode, **options), x, rtol=exactly)

    def test_sums_that_broadcast_are_chainers(self):
        x, y = np.ones((3, 400, 500), "f"), np.arange(500, dtype="f")
        assert_as_chainer(lambda x, y: x + y, x, y, rtol={np.dtype("f"): 0})


class TestLinear:
    @given(
        st.integers(1, 300),
        st.integers(1, 700),
        st.integers(1, 700),
        st.sampled_from("fd"),
        st.booleans(),
    )
    @pytest.mark.large
    def test_any_is_chainers(self, n_row, n_in, n_out, dtype, has_bias):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((n_row, n_in)).astype(dtype)
        W = rng.standard_normal((n_out, n_in)).astype(dtype)
        b = rng.standard_normal(n_out).astype(dtype) if has_bias else None
        assert_as_chainer(F.linear, x, W, b, rtol=TILES)

    def test_double_backward(self):
        rng = np.random.default_rng(0)
        x, W = rng.standard_normal((40, 500)), rng.standard_normal((300, 500))

        def gradient_of_gradient() -> np.ndarray:
            xv, Wv = chainer.Variable(x), chainer.Variable(W)
            y = F.linear(xv, Wv) ** 3
            (gx,) = chainer.grad([y], [xv], enable_double_backprop=True)
            (gW,) = chainer.grad([gx], [Wv])
            return gW.array

        expected = gradient_of_gradient()
        with fast_cpu():
            result = gradient_of_gradient()
        np.testing.assert_allclose(result, expected, rtol=1e-9)


class TestMemory:
    """What is not used any longer holds later results, and nothing else does."""

    x = np.random.default_rng(0).standard_normal((4, 16, 100, 100)).astype("f")

    def test_a_result_that_is_held_stays_as_it_is(self):
        with fast_cpu():
            first = F.relu(self.x).array[1:, 3]  # a view
            for _ in range(3):
                F.relu(-self.x)
        np.testing.assert_array_equal(first, np.maximum(self.x, 0)[1:, 3])

    def test_results_take_the_memory_of_those_before(self):
        with fast_cpu():
            addresses = {F.relu(self.x).array.ctypes.data for _ in range(5)}
        assert len(addresses) == 1

    def test_nothing_but_what_is_held_is_left_after_the_block(self):
        F.relu(self.x)
        gc.collect()
        memory._kept.take()  # what was left by those before is not traced
        tracemalloc.start()
        with fast_cpu():
            y = F.relu(self.x).array
            F.relu(self.x)
        memory._kept.take()  # what waits for the next block, some seconds
        left = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert left < 1.1 * y.nbytes

    def test_results_of_many_sizes_do_not_pile_up(self):
        with fast_cpu():
            F.relu(self.x)
            tracemalloc.start()
            for n in range(100, 60, -1):
                F.relu(np.ascontiguousarray(self.x[..., :n]))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 5 * self.x.nbytes

    @pytest.mark.skipif(
        platform.libc_ver()[0] != "glibc", reason="it is glibc that learns"
    )
    def test_what_is_freed_is_not_cleared_by_the_system_again(self):
        """Counts page faults where many arrays are freed at once, as a graph is."""
        code = """if True:
            import resource, runpy, sys
            import numpy as np
            runpy.run_path(sys.argv[1])
            for _ in range(3):
                arrays = [np.ones(1 << 17) for _ in range(40)]
                n_fault = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                del arrays
            arrays = [np.ones(1 << 17) for _ in range(40)]
            print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - n_fault)
        """
        # Dask sets such variables, after which the library does not learn.
        without = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        found = subprocess.run(
            [sys.executable, "-c", code, memory.__file__],
            env=without,
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(found.stdout) < 1000  # of about 10,000


class TestNormalization:
    @pytest.mark.parametrize("shape", [(3, 5), (2, 5, 7), (4, 40, 30, 31)])
    @pytest.mark.parametrize("dtype", ["f", "d"])
    def test_is_chainers(self, shape, dtype):
        rng = np.random.default_rng(0)
        x = rng.standard_normal(shape).astype(dtype)
        of_channels = rng.random((4, shape[1])).astype(dtype) + 0.1
        assert_as_chainer(F.fixed_batch_normalization, x, *of_channels, rtol=TILES)

    @pytest.mark.parametrize("dtype", ["f", "d"])
    def test_gradient_at_the_input_alone_is_chainers(self, dtype):
        rng = np.random.default_rng(0)
        x = chainer.Variable(rng.standard_normal((4, 40, 30, 31)).astype(dtype))
        of_channels = rng.random((4, 40)).astype(dtype) + 0.1
        gy = chainer.Variable(rng.standard_normal(x.shape).astype(dtype))

        def gradient() -> np.ndarray:
            y = F.fixed_batch_normalization(x, *of_channels)
            return chainer.grad([y], [x], grad_outputs=[gy])[0].array

        expected = gradient()
        with fast_cpu():
            result = gradient()
        np.testing.assert_allclose(result, expected, rtol=1e-5)

    def test_other_axes_are_left_to_chainer(self):
        x = np.random.default_rng(0).standard_normal((3, 4, 5))
        ones, zeros = np.ones(5), np.zeros(5)
        assert_as_chainer(
            lambda x: F.fixed_batch_normalization(
                x, ones, zeros, zeros, ones, axis=(0, 1)
            ),
            x,
            rtol=TILES,
        )


def small_convolution() -> None:
    F.convolution_2d(np.ones((1, 2, 5, 5), "f"), np.ones((2, 2, 3, 3), "f"))


class TestBlock:
    def test_nothing_of_chainer_is_changed_outside(self):
        before = dict(vars(Convolution2DFunction))
        with fast_cpu():
            assert dict(vars(Convolution2DFunction)) == before
            small_convolution()
            assert dict(vars(Convolution2DFunction)) != before
            with fast_cpu():
                pass
            assert dict(vars(Convolution2DFunction)) != before
        assert dict(vars(Convolution2DFunction)) == before

    def test_classes_of_functions_that_are_not_used_stay_as_they_are(self):
        before = dict(vars(Convolution2DFunction))
        with fast_cpu():
            F.relu(np.ones((2, 2), "f"))
            assert dict(vars(Convolution2DFunction)) == before

    def test_a_block_within_light_apply_runs_what_was_applied_before(self):
        with light_apply():
            small_convolution()
            before = dict(vars(Convolution2DFunction))
            with fast_cpu():
                small_convolution()
                assert dict(vars(Convolution2DFunction)) != before
            assert dict(vars(Convolution2DFunction)) == before

    def test_nothing_is_left_after_an_exception(self):
        before = dict(vars(Convolution2DFunction))
        with pytest.raises(ZeroDivisionError), fast_cpu():
            small_convolution()
            raise ZeroDivisionError
        assert dict(vars(Convolution2DFunction)) == before

    @pytest.mark.parametrize("fails", [False, True])
    def test_blas_has_its_threads_afterwards(self, fails):
        def n_thread() -> list[int]:
            return [info["num_threads"] for info in threadpoolctl.threadpool_info()]

        x = np.ones((4, 32, 64, 64), "f")
        W = np.ones((32, 32, 3, 3), "f")
        if fails:
            x[...] = np.inf  # products of infinity with 0 are invalid
        before = n_thread()
        with fast_cpu(), np.errstate(all="raise" if fails else "ignore"):
            try:
                F.convolution_2d(x, W, pad=1)
            except FloatingPointError:
                assert fails
        assert n_thread() == before

    def test_one_setting_turns_it_off(self):
        before = dict(vars(Convolution2DFunction))
        with chainer.using_config("fast_cpu", False), fast_cpu():
            assert dict(vars(Convolution2DFunction)) == before

    def test_other_threads_go_on_with_chainers_code(self):
        link = L.Convolution2D(16, 16, 3, pad=1)
        x = np.random.default_rng(0).standard_normal((1, 16, 40, 40)).astype("f")
        expected = link(x).array
        results = []
        with fast_cpu():
            thread = threading.Thread(target=lambda: results.append(link(x).array))
            thread.start()
            thread.join()
            inside = link(x).array
        np.testing.assert_array_equal(results[0], expected)
        assert (inside != expected).any()

    def test_calculators_run_within_it(self):
        link = L.Convolution2D(3, 4, 3)
        seen = []

        def eval_fun(x: chainer.Variable) -> chainer.Variable:
            y = F.sum(link(x), axis=(1, 2, 3))
            seen.append(Convolution2DFunction._forward_cpu_core)
            return y

        original = Convolution2DFunction._forward_cpu_core
        calculator = GradientCalculator(link, eval_fun=eval_fun)
        x = np.ones((1, 3, 5, 5), "f")
        calculator.compute(x, show_progress=False)
        with chainer.using_config("fast_cpu", False):
            calculator.compute(x, show_progress=False)
        assert [f is original for f in seen] == [False, True]

    def test_training_ends_where_chainers_does(self):
        def trained() -> np.ndarray:
            rng = np.random.RandomState(0)
            x = rng.standard_normal((8, 1, 28, 28))
            t = rng.randint(0, 3, 8)
            model = chainer.Sequential(
                L.Convolution2D(1, 16, 5, initialW=rng.standard_normal((16, 1, 5, 5))),
                F.relu,
                lambda h: F.max_pooling_2d(h, 2),
                L.Convolution2D(
                    16, 20, 3, stride=2, initialW=rng.standard_normal((20, 16, 3, 3))
                ),
                lambda h: F.average_pooling_2d(F.relu(h), 5),
                L.Linear(20, 3, initialW=rng.standard_normal((3, 20))),
            )
            for parameter in model.params():
                parameter.array = parameter.array.astype("d")
            optimizer = chainer.optimizers.SGD(0.001).setup(model)
            for _ in range(5):
                optimizer.update(lambda: F.softmax_cross_entropy(model(x), t))
            return np.concatenate([p.array.ravel() for p in model.params()])

        expected = trained()
        with fast_cpu():
            result = trained()
        np.testing.assert_allclose(result, expected, rtol=1e-9)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
    @pytest.mark.large
    def test_a_forked_child_has_threads_of_its_own(self):
        program = """
import multiprocessing, numpy as np
from saliency import fast_cpu
import chainer.functions as F
x, W = np.ones((8, 32, 40, 40), "f"), np.ones((32, 32, 3, 3), "f")
def run(_):
    with fast_cpu():
        return float(F.convolution_2d(x, W, pad=1).array[0, 0, 5, 5])
expected = run(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(run, range(4)) == [expected] * 4
"""
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], timeout=60, check=True
        )
