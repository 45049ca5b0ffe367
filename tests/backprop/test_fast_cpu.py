"""The fast code for a CPU on the way back: masks and scales that become part of it."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import fast_cpu
from saliency.backprop import gradients
from saliency.cpu import convolution, elementwise
from tests.backprop.compared import Compared
from tests.covering import every_value
from tests.lrp.walked import normal

import chainer
import chainer.functions as F


def normalized(h, seed=3):
    """Returns batch normalization with statistics of its own."""
    n = h.shape[1]
    rng = np.random.default_rng(seed)
    gamma, beta, mean = rng.normal(size=(3, n)).astype(h.dtype)
    var = rng.uniform(0.5, 2, n).astype(h.dtype)
    return F.fixed_batch_normalization(h, gamma, beta, mean, var)


def layer(shape, **geometry):
    W = normal(*shape, seed=4) / np.sqrt(np.prod(shape[1:]))

    def convolve(x):
        kernels = W.astype(x.dtype)
        if x.ndim == 3:
            return F.convolution_1d(x, kernels, **geometry)
        return F.convolution_2d(x, kernels, **geometry)

    return convolve


# An algorithm each: name -> (convolution, shape of its input).
CONVOLUTIONS = {
    "pointwise": (layer((24, 16, 1, 1)), (2, 16, 20, 20)),
    "pointwise, with more weights than pixels": (
        layer((64, 32, 1, 1)),
        (1, 32, 4, 4),
    ),
    "pointwise, strided": (layer((24, 16, 1, 1), stride=2), (2, 16, 21, 20)),
    "Winograd": (layer((64, 32, 3, 3), pad=1), (2, 32, 20, 20)),
    "tiles": (layer((16, 16, 5, 5), pad=2), (2, 16, 12, 14)),
    "tiles, strided": (layer((8, 3, 7, 7), stride=2, pad=3), (2, 3, 30, 30)),
    "depthwise": (layer((32, 1, 3, 3), pad=1, groups=32), (2, 32, 20, 20)),
    "groups": (layer((32, 4, 3, 3), pad=1, groups=4), (2, 16, 20, 20)),
    "one dimension": (layer((16, 8, 3), pad=1), (2, 8, 400)),
}
# What stands behind it, whose factors are multiplied in on the way back.
BEHIND = {
    "a rectifier": F.relu,
    "a clipped one": lambda h: F.clipped_relu(h, 0.5),
    "a normalization": normalized,
    "both": lambda h: F.relu(normalized(h)),
    "both, clipped": lambda h: F.clipped_relu(normalized(h), 0.5),
    "the other way round": lambda h: normalized(F.relu(h)),
    "two normalizations": lambda h: normalized(normalized(h), seed=5),
    "two rectifiers": lambda h: F.clipped_relu(F.relu(h), 1.0),
    "a residual": lambda h: F.relu(normalized(h)) + 0.5 * h,
}


def check(name, behind):
    convolve, shape = CONVOLUTIONS[name]

    def f(x):
        return 0.5 * BEHIND[behind](convolve(F.tanh(x)))

    compared = Compared(f, normal(*shape))
    expected = compared.expected  # by Chainer's own code
    with fast_cpu():
        compared.check(1e-10, expected)


@every_value(name=list(CONVOLUTIONS), behind=list(BEHIND))
def test_what_stands_behind_a_convolution_becomes_part_of_it(name, behind):
    check(name, behind)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_has_been_found_at_its_input_is_added_to_what_it_gives(name):
    convolve, shape = CONVOLUTIONS[name]

    def f(x):
        h = F.tanh(x)
        return 0.3 * h, F.relu(normalized(convolve(h))), h

    compared = Compared(f, normal(*shape))
    expected = compared.expected
    with fast_cpu():
        compared.check(1e-10, expected)
        # The weight of the last output is what has been found there.
        at_input = Compared(lambda x: (convolve(x), x), normal(*shape))
        at_input.check(1e-10)


@pytest.mark.large
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_so_it_does_in_all_combinations(name, behind):
    check(name, behind)


@pytest.mark.parametrize("behind", BEHIND)
def test_in_float32_it_agrees_within_rounding(behind):
    convolve, shape = CONVOLUTIONS["pointwise"]
    x = normal(*shape).astype("f")
    with fast_cpu():
        Compared(lambda x: BEHIND[behind](convolve(2 * x)), x).check(rtol=1e-5)


def test_large_linear_layers_agree():
    def f(x, W):
        return F.relu(F.linear(2 * x, W, np.arange(64.0)))

    with fast_cpu():
        Compared(f, normal(128, 96), normal(64, 96)).check(rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_arrays_of_other_functions_agree(dtype):
    def f(x):
        h = F.relu(normalized(F.clipped_relu(2 * x, 1.0)))
        return F.max_pooling_2d(F.relu(h + 2 * x), 2) + F.average_pooling_2d(h, 2)

    x = normal(2, 8, 130, 128).astype(dtype)
    with fast_cpu():
        Compared(f, x).check(rtol=1e-6 if dtype == "float32" else 1e-12)


def test_the_switch_of_the_fast_code_is_honoured(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("fast_cpu is off")

    compared = Compared(
        lambda x: F.relu(normalized(layer((16, 8, 3, 3))(F.relu(2 * x)) + 1)),
        normal(1, 8, 80, 80),
    )
    for name in ("scaled", "masked", "arithmetic"):
        monkeypatch.setattr(elementwise, name, refuse)
    monkeypatch.setattr(convolution, "to_input", refuse)
    with chainer.using_config("fast_cpu", False), fast_cpu():
        compared.check()
    compared.check()  # outside of the block, either
    with fast_cpu(), pytest.raises(AssertionError):
        compared.check()


def test_a_normalization_does_not_read_what_it_normalized():
    # It may be the output of a convolution that nobody has computed.
    compared = Compared(lambda x: F.relu(normalized(2 * x)), normal(2, 3, 4))
    (expected,) = compared.expected
    weights = compared.graph()
    (normalization,) = (
        f for f in compared.functions if f.label == "FixedBatchNormalization"
    )
    normalization.inputs[0].get_variable().array[...] = np.nan
    normalization.inv_std = normalization.inv_var = None
    (found,) = gradients(compared.outputs, compared.targets, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
