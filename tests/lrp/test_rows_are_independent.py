"""The relevance of an example does not depend on the batch that it stands in."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import LRPCalculator
from saliency.lrp import PRESETS
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L


class ClassEmbedding(chainer.Chain):
    """Adds an embedding of a second input behind a linear layer."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.a = L.Linear(4, 3)
            self.embed = L.EmbedID(5, 3)
            self.b = L.Linear(3, 2)

    def forward(self, x, ids):
        return self.b(F.relu(self.a(x) + self.embed(ids)))


class ArrayBeside(ClassEmbedding):
    """Adds an array that comes with the input."""

    def forward(self, x, ids):
        rows = np.cos(np.outer(getattr(ids, "array", ids), [1.0, 2.0, 3.0]))
        return self.b(F.relu(self.a(x) + rows))


class TwoSteps(chainer.Chain):
    """Two steps of an LSTM, of which the first has no input."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.cell = L.StatelessLSTM(4, 3)
            self.out = L.Linear(3, 2)

    def forward(self, x, ids):
        c, h = self.cell(None, None, np.ones_like(getattr(x, "array", x)))
        scale = (getattr(ids, "array", ids)[:, None] + 1.0) / 5
        _, h = self.cell(c * scale, h * scale, x)
        return self.out(h)


class Recurrent(chainer.Chain):
    """NStepGRU, from a hidden state that comes with the input."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.gru = L.NStepGRU(1, 2, 3, 0.0)
            self.out = L.Linear(3, 2)

    def forward(self, x, ids):
        rows = np.cos(np.outer(getattr(ids, "array", ids), [1.0, 2.0, 3.0]))
        steps = [F.reshape(row, (2, 2)) for row in F.separate(x)]
        h, _ = self.gru(rows[None], steps)
        return self.out(h[0])


class GatedPooling(chainer.Chain):
    """Global pooling over positions, with a gate of what comes with the input."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution1D(1, 3, 2)
            self.gate = L.EmbedID(5, 3)
            self.out = L.Linear(3, 2)

    def forward(self, x, ids):
        h = self.conv(x[:, None])
        gate = F.broadcast_to(F.sigmoid(self.gate(ids))[:, :, None], h.shape)
        return self.out(F.sum(F.relu(h * gate), axis=2))


class Attention(chainer.Chain):
    """Attention over four positions, some of them masked."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.keys = L.Linear(1, 3)
            self.values = L.Linear(1, 3)
            self.out = L.Linear(3, 2)

    def forward(self, x, ids):
        n = len(x)
        positions = F.reshape(x, (-1, 1))
        keys = F.reshape(self.keys(positions), (n, 4, 3))
        values = F.reshape(self.values(positions), (n, 4, 3))
        mask = np.arange(4) <= getattr(ids, "array", ids)[:, None]
        scores = F.sum(keys * keys, axis=2) + np.where(mask, 0.0, -50.0)
        weights = F.broadcast_to(F.softmax(scores)[:, :, None], values.shape)
        return self.out(F.sum(weights * values, axis=1))


MODELS = [ClassEmbedding, ArrayBeside, TwoSteps, Recurrent, GatedPooling, Attention]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", MODELS)
def test_alone_as_in_a_batch(model, preset):
    rng = np.random.default_rng(3)
    x, ids = rng.random((5, 4)), np.array([0, 3, 1, 4, 2], np.int32)
    calculator = LRPCalculator(build(model), rule=preset)
    alone = [calculator.compute((x[i : i + 1], ids[i : i + 1]))[0, 0] for i in range(5)]
    for batchsize in (1, 3, 16):
        relevance = calculator.compute((x, ids), batchsize=batchsize)[0]
        np.testing.assert_allclose(relevance, alone, rtol=1e-9, atol=1e-12)


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
