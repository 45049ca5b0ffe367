"""Small networks that the tests explain."""

from __future__ import annotations

from unittest import mock

import numpy as np

import saliency  # noqa: F401  (before chainer)

import chainer
import chainer.functions as F
import chainer.links as L


def build(network, *args, dtype=np.float64, seed=0, **kwargs):
    """Returns ``network(*args, **kwargs)`` with random parameters and statistics."""
    with chainer.using_config("dtype", np.dtype(dtype)):
        model = network(*args, **kwargs)
    rng = np.random.default_rng(seed)
    for _, parameter in sorted(model.namedparams()):
        if not parameter.is_initialized:
            continue  # a part that is not in use
        n_last = parameter.shape[-1] if parameter.ndim else 1
        values = rng.normal(0, 1 / np.sqrt(n_last), parameter.shape)
        parameter.array = np.asarray(values, parameter.dtype)
    for link in model.links():
        if isinstance(link, L.BatchNormalization):
            link.avg_mean[...] = rng.normal(size=link.avg_mean.shape)
            link.avg_var[...] = rng.uniform(0.5, 2, link.avg_var.shape)
    return model


def of_chainer(name):
    """Returns one of Chainer's own large networks, with random weights.

    They are a million random numbers, over and over: to draw the 138 million of VGG16
    takes seconds.
    """
    drawn = np.random.default_rng(0).standard_normal(1_000_003, np.float32)

    def normal(loc, scale, size):
        return loc + np.resize(np.float32(scale) * drawn, size)

    with mock.patch.object(np.random, "normal", normal):
        return getattr(L, name)(pretrained_model=None)


class Calls:
    """Counts."""

    n = 0


class Fuse(chainer.Link):
    """Hands through what it is given; blows at one of its calls, from 1, for good."""

    def __init__(self, blows_at=None):
        super().__init__()
        self.blows_at = blows_at
        # In an object of its own: calculators put back what links have as attributes.
        self.calls = Calls()

    @property
    def n_call(self):
        return self.calls.n

    @n_call.setter
    def n_call(self, n):
        self.calls.n = n

    def forward(self, x):
        self.n_call += 1
        if self.blows_at is not None and self.n_call >= self.blows_at:
            raise RuntimeError("the fuse has blown")
        return x


class MLP(chainer.Chain):
    """Linear layers, with batch normalization and dropout between them if asked."""

    def __init__(
        self,
        n_in=4,
        n_hidden=6,
        n_out=3,
        depth=2,
        activation=F.tanh,
        dropout=0.0,
        normalize=False,
        fuse=None,
    ):
        super().__init__()
        self.activation = activation
        self.dropout = dropout
        widths = [n_in, *[n_hidden] * (depth - 1), n_out]
        with self.init_scope():
            self.layers = chainer.ChainList(
                *[L.Linear(i, o) for i, o in zip(widths, widths[1:])]
            )
            self.norms = chainer.ChainList(
                *[L.BatchNormalization(o) for o in widths[1:-1] if normalize]
            )
            self.fuse = fuse or Fuse()

    @property
    def l1(self):
        return self.layers[0]

    def forward(self, x):
        h = x
        for i, layer in enumerate(self.layers[:-1]):
            h = layer(h)
            if len(self.norms):
                h = self.norms[i](h)
            h = self.activation(h)
            if self.dropout:
                h = F.dropout(h, self.dropout)
        return self.layers[-1](self.fuse(h))


class CNN(chainer.Chain):
    """Convolution, batch normalization, pooling, dropout, linear."""

    def __init__(self, n_channel=2, side=6, n_out=3, dropout=0.0):
        super().__init__()
        self.dropout = dropout
        with self.init_scope():
            self.conv = L.Convolution2D(n_channel, 4, ksize=3, pad=1)
            self.norm = L.BatchNormalization(4)
            self.out = L.Linear(4 * (side // 2) ** 2, n_out)

    def forward(self, x):
        h = F.average_pooling_2d(F.tanh(self.norm(self.conv(x))), 2)
        return self.out(F.dropout(h, self.dropout))


class TwoParts(chainer.Chain):
    """f = g(h(x)): two networks, one after the other."""

    def __init__(self, h, g):
        super().__init__()
        with self.init_scope():
            self.h = h
            self.g = g

    def forward(self, x):
        return self.g(self.h(x))


class TwoInputs(chainer.Chain):
    """An output that depends on the product of what two inputs give."""

    def __init__(self, n_in=4, n_other=3, n_out=1):
        super().__init__()
        with self.init_scope():
            self.of_x = L.Linear(n_in, 5)
            self.of_z = L.Linear(n_other, 5)
            self.out = L.Linear(5, n_out)

    def forward(self, x, z):
        return self.out(F.tanh(self.of_x(x)) * self.of_z(z))


class Tokens(chainer.Chain):
    """Embeds ids, with 0 for padding; the sum over tokens makes one value."""

    def __init__(self, n_id=10, n_unit=4, n_hidden=5):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(n_id, n_unit)
            self.hidden = L.Linear(n_unit, n_hidden)
            self.out = L.Linear(n_hidden, 1)

    def forward(self, ids):
        h = F.tanh(self.hidden(self.embed(ids), n_batch_axes=2))
        is_token = (ids.array != 0)[..., None].astype(h.dtype)
        return self.out(F.sum(h * is_token, axis=1))


class Sequence(chainer.Chain):
    """One value for sequences ``(batch, time, unit)``; zeros are padding."""

    def __init__(self, n_unit=2, n_hidden=5, n_out=1):
        super().__init__()
        with self.init_scope():
            self.hidden = L.Linear(n_unit, n_hidden, nobias=True)
            self.pooled = L.Linear(n_hidden, n_hidden)
            self.out = L.Linear(n_hidden, n_out)

    def forward(self, x):
        h = F.sum(F.tanh(self.hidden(x, n_batch_axes=2)), axis=1)
        return self.out(F.tanh(self.pooled(h)))


class Siamese(chainer.Chain):
    """One encoder, called for each half of the input."""

    def __init__(self, n_half=2, n_hidden=3):
        super().__init__()
        self.n_half = n_half
        with self.init_scope():
            self.encoder = L.Linear(n_half, n_hidden)
            self.out = L.Linear(n_hidden, 1)

    def forward(self, x):
        left = self.encoder(x[:, : self.n_half])
        right = self.encoder(x[:, self.n_half :])
        return self.out(F.tanh(left) * F.sigmoid(right))


class Repeated(chainer.Chain):
    """One link, called for what it gave itself before."""

    def __init__(self, n_unit=4):
        super().__init__()
        with self.init_scope():
            self.step = L.Linear(n_unit, n_unit)
            self.out = L.Linear(n_unit, 1)

    def forward(self, x):
        h = self.step(x)
        return self.out(F.tanh(self.step(F.tanh(h))))


class OwnNoise(chainer.Chain):
    """Draws numbers from NumPy's global state in every forward."""

    def __init__(self, n_in=4, n_out=3):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(n_in, 6)
            self.l2 = L.Linear(6, n_out)

    def forward(self, x):
        h = F.tanh(self.l1(x))
        return self.l2(h * np.random.normal(1, 0.5, h.shape).astype(h.dtype))


class Zoneout(chainer.Chain):
    """Uses a function of Chainer that draws numbers in training mode."""

    def __init__(self, n_in=4, n_out=3):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(n_in, 6)
            self.l2 = L.Linear(n_in, 6)
            self.out = L.Linear(6, n_out)

    def forward(self, x):
        return self.out(F.zoneout(F.tanh(self.l1(x)), F.tanh(self.l2(x)), 0.5))


class TimeMajor(chainer.Chain):
    """Drops out from a tensor whose axis 0 is time, not the batch."""

    def __init__(self, n_time=4, n_out=3):
        super().__init__()
        self.n_time = n_time
        with self.init_scope():
            self.l1 = L.Linear(1, 5)
            self.out = L.Linear(5, n_out)

    def forward(self, x):
        steps = F.transpose(x)[..., None]  # (time, batch, 1)
        h = F.tanh(self.l1(steps, n_batch_axes=2))
        return self.out(F.sum(F.dropout(h, 0.5), axis=0))
