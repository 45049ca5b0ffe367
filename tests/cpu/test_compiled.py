"""What is compiled beside loops in float64, and what there is without it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency import GradientCalculator
from saliency.cpu import compiled, depthwise
from saliency.cpu.compiled import Steps, kernels
from saliency.cpu.epilogue import Epilogue
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
        b, scale, shift = rng.standard_normal((3, 43)).astype("f")
        out = np.empty_like(x)
        steps = Steps(b, scale, shift, -0.25, 0.7)
        compiled.Finish(steps, 43, x.dtype)(x, added, out)
        expected = np.clip((x + b) * scale + shift + added, -0.25, np.float32(0.7))
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
            assert compiled.multiply_by_mask(gy, y, 0.0, ceiling, out)
            np.testing.assert_array_equal(out, expected)

    def test_other_layouts_are_left_to_numpy(self):
        array = np.zeros((300, 40, 8))[..., ::2]
        assert not compiled.multiply_by_mask(array, array, 0.0, None, array)
        assert not compiled.can_finish(array)
        assert not compiled.can_finish(np.zeros((300, 400), "e"))


def test_without_it_numpy_gives_the_same(monkeypatch):
    model = MobileNet()
    x = np.random.default_rng(1).standard_normal((2, 3, 64, 64)).astype("f")
    calculator = GradientCalculator(model, class_index=0)
    results = [calculator.compute(x, show_progress=False)]
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    for kernel in ("finish", "mask", "filter_channels"):
        monkeypatch.delattr(kernels, kernel)
    results.append(calculator.compute(x, show_progress=False))
    scale = abs(results[0]).max()
    assert scale > 0
    np.testing.assert_allclose(results[1], results[0], 1e-5, 1e-5 * scale)


def test_a_package_that_cannot_be_imported_is_one_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert not compiled.is_available.__wrapped__()
