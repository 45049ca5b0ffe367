"""Each function of Chainer hands on a GPU the same relevance to its inputs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.lrp.handlers.test_every_function import trials
from tests.lrp.walked import Walked

import chainer

pytestmark = pytest.mark.gpu

TRIALS = trials()
READ_AS_NUMBERS = {"indices_or_sections", "pad_bw"}


@pytest.fixture(autouse=True)
def float64_everywhere():
    """Some functions take float32 alone, for no reason but their type check."""
    with chainer.using_config("type_check", False):
        yield


@pytest.fixture
def constants_on_gpu(monkeypatch):
    """The constants that the functions under test hold are sent to the GPU.

    What a function reads as numbers stays where it is.
    """
    gpu, apply = chainer.get_device("@cupy:0"), chainer.FunctionNode.apply

    def sent(x):
        array = x.array if isinstance(x, chainer.Variable) else x
        return gpu.send(array) if isinstance(array, np.ndarray) else x

    def apply_on_gpu(function, inputs):
        for name, value in list(vars(function).items()):
            if isinstance(value, np.ndarray) and name not in READ_AS_NUMBERS:
                setattr(function, name, gpu.send(value))
        return apply(function, [sent(x) for x in inputs])

    def use():
        monkeypatch.setattr(chainer.FunctionNode, "apply", apply_on_gpu)

    return use


@pytest.mark.parametrize("i", range(len(TRIALS)))
def test_relevance(i, constants_on_gpu):
    # Some of CuPy's kernels for regions of interest compute in float32.
    f, xs = TRIALS[i]
    on_cpu = Walked(f, *xs)
    again = Walked(f, *xs, start=on_cpu.start)
    if any(map(np.any, map(np.not_equal, again.outputs, on_cpu.outputs))):
        pytest.skip("draws other random numbers on each device")
    constants_on_gpu()
    gpu = chainer.get_device("@cupy:0")
    start = [gpu.send(r) for r in on_cpu.start]
    with chainer.using_device(gpu):
        on_gpu = Walked(f, *map(gpu.send, xs), start=start)
    for found, expected in zip(
        map(chainer.cuda.to_cpu, on_gpu.outputs), on_cpu.outputs
    ):
        assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    for found, expected in zip(on_gpu.relevance, on_cpu.relevance):
        assert (found is None) == (expected is None)
        if found is not None:
            assert isinstance(found, gpu.xp.ndarray)
            assert_allclose(chainer.cuda.to_cpu(found), expected, rtol=1e-6, atol=1e-8)
