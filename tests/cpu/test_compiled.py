"""What is compiled beside loops in float64, and what there is without it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency import GradientCalculator
from saliency.backprop import gradients
from saliency.cpu import compiled, depthwise, elementwise, fast_cpu, products
from saliency.cpu.compiled import Steps, kernels
from saliency.cpu.epilogue import NOTHING, Epilogue
from saliency.cpu.geometry import Geometry
from saliency.cpu.mask import Mask

import chainer
import chainer.functions as F
import chainer.links as L

needs_llvm = pytest.mark.skipif(
    not compiled.is_available(), reason="llvmlite is not installed"
)
# Kernel, stride, dilation, padding before and after: of rows, then of columns.
WINDOWS = {
    "3 x 3": ((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))),
    "uneven padding": ((5, 3), (2, 2), (1, 1), ((1, 2), (0, 1))),
    "dilated": ((2, 3), (1, 3), (3, 2), ((0, 0), (2, 2))),
    "more padding than image": ((3, 4), (1, 1), (1, 1), ((2, 2), (9, 9))),
    "cut off": ((1, 2), (2, 1), (1, 1), ((-1, 0), (-2, 0))),
}


def filtered(x: np.ndarray, W: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return each channel's convolution: a loop over windows and taps in float64."""
    y = np.zeros((len(x), x.shape[1], *geometry.out))
    for o in np.ndindex(geometry.out):
        for k in np.ndindex(geometry.kernel):
            row, column = (
                o[axis] * geometry.stride[axis]
                + k[axis] * geometry.dilate[axis]
                - geometry.pad[axis]
                for axis in (0, 1)
            )
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                y[..., o[0], o[1]] += x[..., row, column] * W[:, 0, k[0], k[1]]
    return y


def channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


class MobileNet(chainer.Chain):
    """A block of a network with depthwise convolutions, which are large."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.expand = L.Convolution2D(3, 40, 1, initialW=chainer.initializers.One())
            self.bn = L.BatchNormalization(40)
            self.depthwise = L.Convolution2D(40, 40, 3, 2, 1, groups=40)
            self.fc = L.Linear(40, 2)
        rng = np.random.default_rng(0)
        for parameter in self.params():
            parameter.array[...] = rng.standard_normal(parameter.shape) / 3

    def forward(self, x: Any) -> chainer.Variable:
        h = F.relu6(self.bn(self.expand(x)))
        h = F.relu(self.depthwise(h))
        return self.fc(F.average(h, axis=(2, 3)))


@needs_llvm
class TestDepthwise:
    @pytest.mark.parametrize("dtype", ["f", "d"])
    @pytest.mark.parametrize("n_channel", [1, 37])
    @pytest.mark.parametrize("windows", WINDOWS)
    def test_is_a_sum_over_taps(self, windows, n_channel, dtype):
        kernel, stride, dilate, padding = WINDOWS[windows]
        size = (9, 10)
        out = tuple(
            (n + sum(p) - (k - 1) * d - 1) // s + 1
            for n, p, k, d, s in zip(size, padding, kernel, dilate, stride)
        )
        pad = tuple(before for before, _ in padding)
        geometry = Geometry(size, kernel, stride, pad, dilate, out)
        rng = np.random.default_rng(0)
        x, gy, y = (
            channels_last(rng.standard_normal((3, n_channel, *n)).astype(dtype))
            for n in (size, out, out)
        )
        W = rng.standard_normal((n_channel, 1, *kernel)).astype(dtype)
        b, scale, shift = rng.standard_normal((3, n_channel)).astype(dtype)
        then = Epilogue(floor=-0.5, ceiling=2.0, scale=scale, shift=shift)
        rtol = {"f": 1e-5, "d": 1e-13}[dtype]

        sums = filtered(x, W, geometry)
        by_channel = (vector[:, None, None] for vector in (b, scale, shift))
        bias, times, plus = by_channel
        expected = np.clip((sums + bias) * times + plus, -0.5, 2.0)
        result = depthwise.convolve(x, W, b, geometry, then)
        np.testing.assert_allclose(result, expected, rtol, 10 * rtol)

        # The way back is the transposed map: <gy, A x> = <A^T gy, x>.
        mask = Mask(y, ceiling=1.0)
        gx = depthwise.to_input(gy, W, geometry, n_channel, mask)
        passed = (gy * ((y > 0) & (y < 1))).astype("d")
        expected = (passed * sums).sum(axis=(1, 2, 3))
        result = (gx.astype("d") * x).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(result, expected, 10 * rtol, 100 * rtol)

    def test_does_not_depend_on_the_number_of_threads(self):
        rng = np.random.default_rng(0)
        x = channels_last(rng.standard_normal((3, 33, 64, 65)).astype("f"))
        W = rng.standard_normal((33, 1, 5, 5)).astype("f")
        geometry = Geometry((64, 65), (5, 5), (1, 1), (2, 2), (1, 1), (64, 65))
        mask = Mask(x, ceiling=1.0)
        results = []
        for n_thread in (1, 2):
            with threadpool_limits(n_thread):
                y = depthwise.convolve(x, W, None, geometry)
                gx = depthwise.to_input(x, W, geometry, 33, mask)
            results.append((y, gx))
        np.testing.assert_array_equal(*(y for y, _ in results))
        np.testing.assert_array_equal(*(gx for _, gx in results))


@needs_llvm
class TestProduct:
    # As many columns as one, two and three vectors have, with and without AVX-512, and
    # some that are left over; rows that are, too.
    @pytest.mark.parametrize("dtype", ["f", "d"])
    @pytest.mark.parametrize("n_row, n_term, n_column", [
        (4100, 33, 16), (3101, 29, 24), (2000, 33, 37), (4001, 9, 64), (2002, 128, 21),
        (2501, 40, 45), (2100, 301, 16),
    ])  # fmt: skip
    def test_is_that_of_float64(self, n_row, n_term, n_column, dtype):
        rng = np.random.default_rng(0)
        # The rows of a larger matrix, and columns that lie side by side.
        a = rng.standard_normal((n_row, n_term + 3)).astype(dtype)[:, :n_term]
        y = rng.standard_normal((n_row, n_term)).astype(dtype)
        W = rng.standard_normal((n_column, n_term)).astype(dtype)
        added = rng.standard_normal((n_row, n_column)).astype(dtype)
        b, scale, shift = rng.standard_normal((3, n_column)).astype(dtype)
        assert compiled.can_multiply(a, W.T, added)
        eps = np.finfo(dtype).eps * n_term * 4

        sums = a.astype("d") @ W.T.astype("d")
        for then, expected in [
            (NOTHING, sums + b),
            (Epilogue(floor=0.0), np.maximum(sums + b, 0)),
            (
                Epilogue(added, -0.5, 2.0, scale, shift),
                np.clip((sums + b) * scale + shift + added, -0.5, 2),
            ),
        ]:
            result = products.matmul(a, W.T, b, then)
            np.testing.assert_allclose(result, expected, eps, 10 * eps)
        passed = a * ((y > 0) & (y < 1)).astype("d")
        result = products.matmul(a, W.T, mask=Mask(y, ceiling=1.0))
        np.testing.assert_allclose(result, passed @ W.T.astype("d"), eps, 10 * eps)
        # A matrix whose rows lie side by side.
        side_by_side = np.asfortranarray(a)
        result = products.matmul(side_by_side, W.T)
        np.testing.assert_allclose(result, sums, eps, 10 * eps)

    def test_a_row_does_not_depend_on_the_others(self):
        rng = np.random.default_rng(0)
        a = rng.standard_normal((20000, 40)).astype("f")
        W = rng.standard_normal((40, 50)).astype("f")
        of_all = products.matmul(a, W)
        for n_thread in (1, 2):
            with threadpool_limits(n_thread):
                of_some = products.matmul(a[7:3001], W)
            np.testing.assert_array_equal(of_some, of_all[7:3001])

    @pytest.mark.parametrize("n_row", [993, 1000, 1015, 1023])
    def test_on_many_threads(self, n_row, monkeypatch):
        rng = np.random.default_rng(0)
        a, y = rng.standard_normal((2, n_row, 60)).astype("f")
        W = rng.standard_normal((60, 40)).astype("f")
        results = []
        for n_thread in (1, 64):
            monkeypatch.setattr(products.threads, "for_work", lambda _, n=n_thread: n)
            found = products.matmul(a, W), products.matmul(a, W, mask=Mask(y))
            results.append(found)
        np.testing.assert_array_equal(*results)

    def test_numbers_that_are_not_finite_reach_their_row_alone(self):
        rng = np.random.default_rng(0)
        a = rng.standard_normal((2000, 40)).astype("f")
        a[5, 3], a[8, 0], a[1999, 39] = np.nan, np.inf, -np.inf
        W = abs(rng.standard_normal((40, 50)).astype("f"))
        y = products.matmul(a, W, then=Epilogue(floor=0.0))
        assert np.isnan(y[5]).all() and np.isposinf(y[8]).all() and (y[1999] == 0).all()
        assert np.isfinite(np.delete(y, [5, 8, 1999], axis=0)).all()

    def test_what_does_not_fit_is_an_error(self):
        a, W = np.ones((2000, 40), "f"), np.ones((50, 40), "f")
        with pytest.raises(ValueError):
            products.matmul(a[:, :30], W.T)
        product = compiled.Product(W.T)
        out = np.empty((2000, 50), "f")
        with pytest.raises(ValueError, match="5 rows are too few"):
            product.work(a[:5], None, out[:5])
        for arrays in [
            (a, None, out[:-1]),
            (a[:, 1:], None, out),
            (a, None, out[:, 1:]),
            (a, out[1:], out),
            (a, out[:, 1:], out),
        ]:
            with pytest.raises(ValueError, match="do not fit each other"):
                product.work(*arrays)
        with pytest.raises(ValueError, match="not a vector of 50 channels"):
            products.matmul(a, W.T, np.ones(49, "f"))
        with pytest.raises(ValueError):
            products.matmul(a, W.T, None, Epilogue(np.ones((1999, 50), "f")))


@needs_llvm
class TestTransform:
    @pytest.mark.parametrize("dtype", "fd")
    @pytest.mark.parametrize("n_inner", [1, 3, 8, 37])
    def test_is_a_product_from_both_sides(self, n_inner, dtype):
        rng = np.random.default_rng(n_inner)
        matrix = rng.standard_normal((4, 6))
        matrix[0, :3], matrix[1, 2], matrix[3] = 0, 1, 0
        rows = rng.standard_normal((2, 6, 14, n_inner)).astype(dtype)
        tiles = np.lib.stride_tricks.sliding_window_view(rows, 6, axis=2)
        x = tiles[:, :, ::4].transpose(0, 2, 1, 4, 3)  # they overlap
        planes = np.full((4, 4, 2, 3, n_inner), np.nan, dtype)
        compiled.Transform(matrix)(x, planes.transpose(2, 3, 0, 1, 4))
        expected = np.einsum("ik,abklc,jl->ijabc", matrix, x.astype("d"), matrix)
        scale = abs(expected).max()
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(planes, expected, rtol=0, atol=20 * eps * scale)

    def test_what_does_not_fit_is_an_error(self):
        transform = compiled.Transform(np.ones((4, 6)))
        x, out = np.ones((2, 3, 6, 6, 8), "f"), np.empty((2, 3, 4, 4, 8), "f")
        for arrays in [
            (x[:1], out),
            (x[:, :, :5], out),
            (x, out[..., :7]),
            (x, out.astype("d")),
            (x[..., ::2], out[..., ::2]),
        ]:
            with pytest.raises(ValueError, match="do not fit each other"):
                transform(*arrays)


@needs_llvm
class TestElementwise:
    @pytest.mark.parametrize("n_channel", [1, 7, 24, 64])
    def test_a_step_that_is_not_given_changes_nothing(self, n_channel):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((5, n_channel)).astype("f")
        x[:, 0] = [np.nan, np.inf, -np.inf, -0.0, 0.0]
        out = np.empty_like(x)
        compiled.Finish(Steps(), n_channel, x.dtype)(x, None, out)
        np.testing.assert_array_equal(out.view("i4"), x.view("i4"))

    def test_steps_are_those_of_numpy(self):
        rng = np.random.default_rng(0)
        x, added = rng.standard_normal((2, 6, 43)).astype("f")
        x[:, 0] = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1]
        b, offset, scale, shift = rng.standard_normal((4, 43)).astype("f")
        out = np.empty_like(x)
        steps = Steps(b, offset, scale, shift, -0.25, 0.7)
        compiled.Finish(steps, 43, x.dtype)(x, added, out)
        finished = (x + b + offset) * scale + shift + added
        expected = np.clip(finished, -0.25, np.float32(0.7))
        np.testing.assert_array_equal(out, expected)

    @pytest.mark.parametrize("ceiling", [None, 1.0])
    def test_a_mask_is_that_of_numpy(self, ceiling):
        rng = np.random.default_rng(0)
        gy, y = rng.standard_normal((2, 4, 20, 15, 35))
        gy[0, 0, 0, :4] = [np.nan, np.inf, -np.inf, 1]
        y[0, 0, :5, 0] = [np.nan, np.inf, 0, 1, -1]
        passes = (y > 0) & (y < (np.inf if ceiling is None else ceiling))
        passes |= np.isposinf(y) & (ceiling is None)
        with np.errstate(invalid="ignore"):
            expected = gy * passes
        # Rows of a larger array, and in place.
        room = np.empty((4, 20, 17, 35))
        for out in (room[:, :, 1:16], gy):
            work = compiled.multiply_by_mask(gy, y, 0.0, ceiling, out)
            work.run()
            np.testing.assert_array_equal(out, expected)

    @pytest.mark.parametrize("dtype", ["f", "d"])
    @pytest.mark.parametrize("name", ["sigmoid", "tanh"])
    def test_activations_are_those_of_more_digits(self, name, dtype):
        rng = np.random.default_rng(0)
        sizes = 10.0 ** np.arange(-30, 3)[:, None]
        x = (sizes * rng.standard_normal((len(sizes), 3000))).astype(dtype).ravel()
        with np.errstate(over="ignore"):
            more = x.astype("g")
            expected = np.tanh(more) if name == "tanh" else 1 / (1 + np.exp(-more))
        y = getattr(elementwise, name)(x)
        tiny = np.finfo(dtype).tiny
        np.testing.assert_allclose(y, expected, 3 * np.finfo(dtype).eps, 2 * tiny)

    @pytest.mark.parametrize("dtype", ["f", "d"])
    def test_activations_of_numbers_that_are_not_ordinary(self, dtype):
        x = np.full(80000, np.nan, dtype)
        x[::7], x[1::7], x[2::7], x[3::7] = np.inf, -np.inf, 0.0, -0.0
        x[4::7] = np.frombuffer(b"\1\0\xc0\x7f", "f4")[0]  # NaN that carries a bit
        sigmoid, tanh = elementwise.sigmoid(x), elementwise.tanh(x)
        np.testing.assert_array_equal(sigmoid[:7], [1, 0, 0.5, 0.5, *[np.nan] * 3])
        np.testing.assert_array_equal(tanh[:7], [1, -1, 0, 0, *[np.nan] * 3])
        np.testing.assert_array_equal(np.signbit(tanh[:4]), np.signbit(x[:4]))
        for y in (sigmoid, tanh):
            np.testing.assert_array_equal(y[7:14], y[:7])

    def test_other_layouts_are_left_to_numpy(self):
        array = np.zeros((300, 40, 8))[..., ::2]
        assert not compiled.multiply_by_mask(array, array, 0.0, None, array)
        assert not compiled.tanh(array, array)
        assert not compiled.can_finish(array)
        assert not compiled.can_finish(np.zeros((300, 400), "e"))


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_without_it_activations_are_those_of_numpy(name, monkeypatch):
    x = 10 * np.random.default_rng(0).standard_normal(80000).astype("f")
    results = [getattr(elementwise, name)(x)]
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    results.append(getattr(elementwise, name)(x))
    np.testing.assert_allclose(*results, 1e-6, 1e-37)


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("function", [F.sigmoid, F.tanh])
def test_gradients_of_activations_are_chainers(
    function, dtype, is_compiled, monkeypatch
):
    if not is_compiled:
        monkeypatch.setattr(compiled, "is_available", lambda: False)
    rng = np.random.default_rng(0)
    # Contiguous arrays of a length that no vector divides, and others.
    contiguous = rng.standard_normal((3, 26667)).astype(dtype)
    others = rng.standard_normal((300, 17, 40)).astype(dtype)[:, 1:16]
    for array in (3 * contiguous, others):
        gy = rng.standard_normal(array.shape).astype(dtype)
        gy.ravel()[:3] = np.nan, np.inf, 0
        x = chainer.Variable(array)
        y = function(x)
        (expected,) = chainer.grad([y], [x], [chainer.Variable(gy)])
        given = gy.copy()
        with fast_cpu():
            (found,) = gradients([y], [x], [gy])
            # The gradient that comes from above is written into: it is that of 2 y.
            (doubled,) = gradients([2 * function(x)], [x], [gy])
        np.testing.assert_array_equal(gy, given)
        np.testing.assert_array_equal(found, expected.array)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(doubled, 2 * expected.array, 8 * eps, 40 * eps)


def test_a_gradient_that_is_the_same_for_all_rows_is_taken_back_row_by_row():
    x = chainer.Variable(np.random.default_rng(0).standard_normal((3000, 64), "f"))
    for function in (F.sigmoid, F.tanh):
        with fast_cpu():
            (found,) = gradients([F.sum(function(x), axis=0)], [x])
        assert found.flags.c_contiguous  # as the output is, not by column
        (expected,) = chainer.grad([F.sum(function(x))], [x])
        np.testing.assert_allclose(found, expected.array, 1e-6, 1e-6)


def test_without_it_numpy_gives_the_same(monkeypatch):
    model = MobileNet()
    x = np.random.default_rng(1).standard_normal((2, 3, 64, 64)).astype("f")
    calculator = GradientCalculator(model, class_index=0)
    results = [calculator.compute(x, show_progress=False)]
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    for kernel in ("finish", "mask", "filter_channels", "product"):
        monkeypatch.delattr(kernels, kernel)
    results.append(calculator.compute(x, show_progress=False))
    scale = abs(results[0]).max()
    assert scale > 0
    np.testing.assert_allclose(results[1], results[0], 1e-5, 1e-5 * scale)


@pytest.mark.large
@pytest.mark.parametrize("size", [24, 30])
def test_without_it_winograds_transforms_are_products(size, monkeypatch):
    rng = np.random.default_rng(size)
    images = rng.standard_normal((2, 16, size, size)).astype("f")
    W = rng.standard_normal((32, 16, 3, 3))
    model = L.Convolution2D(16, 32, 3, pad=1, initialW=W)

    def forward(x: chainer.Variable) -> chainer.Variable:
        return F.sum(F.tanh(0.1 * model(x)), axis=(1, 2, 3))

    calculator = GradientCalculator(model, eval_fun=forward)
    results = [calculator.compute(images, show_progress=False)]
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    monkeypatch.delattr(kernels, "transform")
    results.append(calculator.compute(images, show_progress=False))
    scale = abs(results[0]).max()
    np.testing.assert_allclose(results[1], results[0], 1e-5, 1e-5 * scale)


def test_a_package_that_cannot_be_imported_is_one_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert not compiled.is_available.__wrapped__()
