"""The relevance of an example depends on nothing but the example."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import LRPCalculator
from saliency.lrp import PRESETS
from tests.covering import every_pair
from tests.lrp.test_networks import EVERY_RULE
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L

N_EXAMPLE = 3


class ClassEmbedding(chainer.Chain):
    """Adds the embedding of a class to feature maps, the same in every place."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(5, 4)
            self.conv = L.Convolution2D(2, 4, 3)
            self.hidden = L.Linear(4 * 4 * 4, 6)
            self.of_class = L.EmbedID(5, 6)
            self.out = L.Linear(6, 3)

    def forward(self, x, c):
        h = self.conv(x)
        maps = F.broadcast_to(self.embed(c)[:, :, None, None], h.shape)
        h = self.hidden(F.relu(h + maps))
        return self.out(F.relu(h + self.of_class(c)))

    @staticmethod
    def data(rng):
        return rng.normal(size=(N_EXAMPLE, 2, 6, 6)), np.array([3, 0, 4], np.int32)


class TwoSteps(chainer.Chain):
    """An LSTM cell, called twice; its second input is explained."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.cell = L.StatelessLSTM(3, 5)
            self.out = L.Linear(5, 3)

    def forward(self, second, first):
        c, h = self.cell(None, None, first)
        _, h = self.cell(c, h, second)
        return self.out(h)

    @staticmethod
    def data(rng):
        return rng.normal(size=(N_EXAMPLE, 3)), rng.normal(size=(N_EXAMPLE, 3))


class StepsInOne(chainer.Chain):
    """A GRU over a sequence, from a first state that is given."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.cell = L.NStepGRU(1, 3, 5, 0.0)
            self.out = L.Linear(5, 3)

    def forward(self, x, h):
        _, ys = self.cell(h[None], list(F.separate(x, axis=0)))
        return self.out(F.stack([y[-1] for y in ys]))

    @staticmethod
    def data(rng):
        return rng.normal(size=(N_EXAMPLE, 4, 3)), rng.normal(size=(N_EXAMPLE, 5))


class GatedPooling(chainer.Chain):
    """Scales the channels of a convolution by a gate, and takes their mean."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 4, 3)
            self.gate = L.Linear(3, 4)
            self.shift = L.Linear(3, 4)
            self.out = L.Linear(4, 3)

    def forward(self, x, z):
        h = self.conv(x)
        gate, shift = F.sigmoid(self.gate(z)), self.shift(z)
        h = h * F.broadcast_to(gate[:, :, None, None], h.shape)
        h = h + F.broadcast_to(shift[:, :, None, None], h.shape)
        return self.out(F.mean(F.relu(h), axis=(2, 3)))

    @staticmethod
    def data(rng):
        return rng.normal(size=(N_EXAMPLE, 2, 5, 5)), rng.normal(size=(N_EXAMPLE, 3))


class MaskedAttention(chainer.Chain):
    """Weighs the steps of a sequence that the mask does not leave out."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.score = L.Linear(4 * 3, 4)
            self.value = L.Linear(3, 5)
            self.out = L.Linear(5, 3)

    def forward(self, x, mask):
        # Not F.softmax, which would get no relevance.
        weights = F.exp(self.score(x) + (mask - 1) * 10)
        total = F.sum(weights, axis=1, keepdims=True)
        weights = weights / F.broadcast_to(total, weights.shape)
        values = self.value(x, n_batch_axes=2)
        mean = F.sum(F.broadcast_to(weights[:, :, None], values.shape) * values, axis=1)
        return self.out(F.relu(mean))

    @staticmethod
    def data(rng):
        mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 1]], "d")
        return rng.normal(size=(N_EXAMPLE, 4, 3)), mask


class BiasOfSteps(chainer.Chain):
    """Adds a parameter, broadcast to examples and steps, to a layer of all steps."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.each = L.Linear(3, 4)
            self.bias = chainer.Parameter(0, (4,))
            self.out = L.Linear(4, 3)

    def forward(self, x):
        n, n_step, _ = x.shape
        bias = F.broadcast_to(self.bias, (n, n_step, 4))
        h = self.each(F.reshape(x, (n * n_step, -1)))
        h = F.relu(h + F.reshape(bias, (n * n_step, 4)))
        return self.out(F.sum(F.reshape(h, (n, n_step, 4)), axis=1))

    @staticmethod
    def data(rng):
        return (rng.normal(size=(N_EXAMPLE, 4, 3)),)


NETWORKS = [
    ClassEmbedding,
    TwoSteps,
    StepsInOne,
    GatedPooling,
    MaskedAttention,
    BiasOfSteps,
]


@pytest.mark.large
@every_pair(
    network={network.__name__: network for network in NETWORKS},
    preset=EVERY_RULE,
    dtype_and_rtol={"float64": ("d", 1e-12), "float32": ("f", 1e-6)},
)
def test_an_example_alone_gives_what_it_gives_in_a_batch(
    network, preset, dtype_and_rtol
):
    dtype, rtol = dtype_and_rtol
    model = build(network, dtype=dtype)
    data = tuple(
        a.astype(dtype) if a.dtype.kind == "f" else a
        for a in network.data(np.random.default_rng(4))
    )
    calculator = LRPCalculator(model, rule=preset, low=-5, high=5)
    together = calculator.compute(data, batchsize=N_EXAMPLE)
    one_by_one = calculator.compute(data, batchsize=1)
    alone = np.concatenate(
        [
            calculator.compute(tuple(a[i : i + 1] for a in data))
            for i in range(N_EXAMPLE)
        ],
        axis=1,
    )
    atol = rtol * np.abs(together).max()
    assert_allclose(one_by_one, together, rtol=rtol, atol=atol)
    assert_allclose(alone, together, rtol=rtol, atol=atol)


class Scaled(chainer.Chain):
    """Scale, bias and a learned temperature behind a layer, all by parameters."""

    def __init__(self, merged):
        super().__init__()
        self.merged = merged
        with self.init_scope():
            self.layer = L.Linear(4, 3)
            self.scale = L.Scale(1, (3,))
            self.bias = L.Bias(1, (3,))
            self.temperature = chainer.Parameter(0.3, (1, 3))

    def forward(self, x):
        if self.merged:
            factor = self.scale.W.array * np.exp(self.temperature.array[0])
            shift = self.bias.b.array * np.exp(self.temperature.array[0])
            W = self.layer.W.array * factor[:, None]
            return F.linear(x, W, self.layer.b.array * factor + shift)
        h = self.bias(self.scale(self.layer(x)))
        return h * F.broadcast_to(F.exp(self.temperature), h.shape)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n_row", [1, 5])
def test_what_parameters_do_to_channels_is_one_with_the_layer(n_row, preset):
    x = np.random.default_rng(0).random((n_row, 4))
    found, expected = (
        LRPCalculator(build(Scaled, merged), rule=preset).compute(x)
        for merged in (False, True)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
