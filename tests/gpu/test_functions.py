"""Each function of Chainer hands on a GPU the same relevance to its inputs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.lrp.handlers.test_every_function import trials
from tests.lrp.walked import Walked

import chainer

TRIALS = trials()


@pytest.fixture(autouse=True)
def float64_everywhere():
    """Some functions take float32 alone, for no reason but their type check."""
    with chainer.using_config("type_check", False):
        yield


@pytest.fixture
def constants_on_gpu(monkeypatch):
    """The constants that the functions under test hold are sent to the GPU."""
    gpu, as_variable = chainer.get_device("@cupy:0"), chainer.as_variable

    def on_gpu(x):
        x = as_variable(x)
        return chainer.Variable(gpu.send(x.array)) if x.xp is np else x

    def use():
        monkeypatch.setattr(chainer, "as_variable", on_gpu)

    return use


@pytest.mark.parametrize("i", range(len(TRIALS)))
def test_relevance(i, constants_on_gpu):
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
    for found, expected in zip(on_gpu.outputs, on_cpu.outputs):
        assert_allclose(found.get(), expected, rtol=1e-9, atol=1e-9)
    for found, expected in zip(on_gpu.relevance, on_cpu.relevance):
        assert (found is None) == (expected is None)
        if found is not None:
            assert isinstance(found, gpu.xp.ndarray)
            assert_allclose(found.get(), expected, rtol=1e-7, atol=1e-9)
