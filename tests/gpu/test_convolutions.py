"""Convolutions on a GPU: in parts, by cuDNN, and as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.gpu import cudnn, fast_gpu, replacements

import chainer
import chainer.functions as F

# (function, shape of x, shape of W, its settings)
CONVOLUTIONS = {
    "plain": (F.convolution_2d, (5, 3, 9, 8), (4, 3, 3, 3), {"pad": 1}),
    "strides": (
        F.convolution_2d,
        (5, 3, 9, 8),
        (4, 3, 3, 2),
        {"stride": (2, 3), "pad": (2, 1)},
    ),
    "cover_all": (
        F.convolution_2d,
        (5, 3, 8, 8),
        (4, 3, 3, 3),
        {"stride": 2, "cover_all": True},
    ),
    "dilated": (F.convolution_2d, (5, 3, 9, 8), (4, 3, 3, 3), {"dilate": 2}),
    "groups": (F.convolution_2d, (5, 4, 9, 8), (6, 2, 3, 3), {"groups": 2}),
    "depthwise": (
        F.convolution_2d,
        (5, 4, 9, 8),
        (4, 1, 3, 3),
        {"groups": 4, "pad": 1, "stride": 2},
    ),
    "pointwise": (F.convolution_2d, (5, 4, 9, 8), (6, 4, 1, 1), {}),
    "one axis": (F.convolution_1d, (5, 3, 9), (4, 3, 3), {"pad": 1, "stride": 2}),
    "three axes": (F.convolution_3d, (5, 3, 5, 6, 4), (4, 3, 3, 2, 2), {"pad": 1}),
    "n axes": (F.convolution_nd, (5, 4, 9, 8), (4, 2, 3, 3), {"groups": 2}),
    "transposed": (
        F.deconvolution_2d,
        (5, 3, 5, 4),
        (3, 4, 3, 3),
        {"stride": 2, "pad": 1},
    ),
    "transposed groups": (
        F.deconvolution_2d,
        (5, 4, 5, 4),
        (4, 3, 3, 3),
        {"groups": 2},
    ),
    "transposed, one axis": (F.deconvolution_1d, (5, 3, 6), (3, 4, 3), {"stride": 2}),
    "transposed, three axes": (
        F.deconvolution_3d,
        (5, 3, 3, 4, 3),
        (3, 4, 2, 2, 2),
        {},
    ),
}

#: What one or two rows of five have.
FEW_ELEMENTS = 150

every_convolution = pytest.mark.parametrize("name", CONVOLUTIONS)


def y_and_gradient(name, dtype, send=lambda x: x):
    """Returns the output of a convolution and a gradient at its input."""
    function, of_x, of_W, how = CONVOLUTIONS[name]
    rng = np.random.default_rng(0)
    n_out = of_W[0]
    if "deconvolution" in function.__name__:
        n_out = of_W[1] * how.get("groups", 1)
    x, W, b = (rng.normal(size=s).astype(dtype) for s in (of_x, of_W, (n_out,)))
    x = chainer.Variable(send(x))
    y = function(x, send(W), send(b), **how)
    gy = send(rng.normal(size=y.shape).astype(dtype))
    (gx,) = chainer.grad([y], [x], [chainer.Variable(gy)])
    return chainer.cuda.to_cpu(y.array), chainer.cuda.to_cpu(gx.array)


@every_convolution
def test_in_parts_without_a_gpu(name, monkeypatch):
    # Those of one function for all array modules; the others need CuPy's kernels.
    if name in ("plain", "strides", "cover_all", "dilated", "pointwise", "transposed"):
        pytest.skip("computed by kernels of a GPU")
    with chainer.using_config("fast_cpu", False):
        expected = y_and_gradient(name, "d")
    calls = []
    in_parts = replacements.in_parts

    def counted(forward, x, elements_of_row):
        calls.append(len(x))
        return in_parts(forward, x, elements_of_row)

    monkeypatch.setattr(replacements, "in_parts", counted)
    monkeypatch.setattr(replacements, "_is_on_gpu", lambda x: True)
    monkeypatch.setattr(replacements, "MOST_ELEMENTS", FEW_ELEMENTS)
    monkeypatch.setattr(cudnn, "covers", lambda *arrays: False)
    with fast_gpu():
        found = y_and_gradient(name, "d")
    assert max(calls) == 5
    assert min(calls) < 3
    for one, other in zip(found, expected):
        assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_the_block_is_turned_off_by_the_configuration(monkeypatch):
    def refuse(*arguments):
        raise AssertionError

    monkeypatch.setattr(replacements, "_is_on_gpu", refuse)
    with chainer.using_config("fast_gpu", False), fast_gpu():
        y_and_gradient("n axes", "d")
    with pytest.raises(AssertionError), fast_gpu():
        y_and_gradient("n axes", "d")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", "fd")
@every_convolution
def test_as_on_the_cpu(name, dtype):
    expected = y_and_gradient(name, dtype)
    with fast_gpu():
        found = y_and_gradient(name, dtype, chainer.get_device("@cupy:0").send)
    rtol = {"f": 1e-5, "d": 1e-12}[dtype]
    for one, other in zip(found, expected):
        assert one.dtype == other.dtype
        assert_allclose(one, other, rtol=rtol, atol=rtol * np.abs(other).max())


@pytest.mark.gpu
@every_convolution
def test_in_parts(name, monkeypatch):
    send = chainer.get_device("@cupy:0").send
    expected = y_and_gradient(name, "d", send)
    monkeypatch.setattr(replacements, "MOST_ELEMENTS", FEW_ELEMENTS)
    with fast_gpu():
        found = y_and_gradient(name, "d", send)
    for one, other in zip(found, expected):
        assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("with_cudnn", [False, True])
def test_patches_of_more_than_2_to_the_31_elements(with_cudnn, monkeypatch):
    if with_cudnn and cudnn.frontend() is None:
        pytest.skip("nvidia-cudnn-frontend is not installed")
    if not with_cudnn:
        monkeypatch.setattr(cudnn, "covers", lambda *arrays: False)
    cupy = chainer.backends.cuda.cupy
    # 9 * 64 * 224 * 224 elements for each image.
    x = chainer.Variable(cupy.ones((80, 64, 224, 224), "f"))
    W = cupy.full((2, 64, 3, 3), 2**-10, "f")
    with fast_gpu():
        y = F.convolution_2d(x, W, pad=1)
        (gx,) = chainer.grad([y], [x], [chainer.Variable(cupy.ones_like(y.array))])
    assert_allclose(y.array[-1, :, 5, 5].get(), 64 * 9 / 1024, rtol=1e-6)
    assert_allclose(gx.array[-1, :, 5, 5].get(), 2 * 9 / 1024, rtol=1e-6)


@pytest.mark.gpu
def test_cudnn_runs_what_it_covers():
    if cudnn.frontend() is None:
        pytest.skip("nvidia-cudnn-frontend is not installed")
    plans = cudnn._plans._plans
    plans.clear()
    with fast_gpu():
        for _ in range(2):
            y_and_gradient("plain", "f", chainer.get_device("@cupy:0").send)
    assert [plan is not None for plan in plans.values()] == [True, True]
    assert {key[1] for key in plans} == {"convolve", "to_input"}
