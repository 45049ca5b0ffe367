"""Networks that go step by step: languages, speech, series of numbers."""

from __future__ import annotations

from tests.models_of_others.cases import (
    as_lists,
    explain,
    floats,
    ids,
    padded,
    sequence,
    together,
)

import chainer
import chainer.functions as F
import chainer.links as L


def read(model, tokens):
    """Forgets, reads a sentence token by token, and returns what comes next."""
    model.reset_state()
    for step in range(tokens.shape[1]):
        y = model(tokens[:, step])
    return y


@explain(ids(7, 4), target="/embed", eval_fun=read, class_index="argmax", draws=True)
class StatefulLanguageModel(chainer.Chain):
    """Two stateful LSTMs with dropout; one call for each token."""

    def __init__(self, n_word=7, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(n_word, n_unit)
            self.lower = L.LSTM(n_unit, n_unit)
            self.upper = L.LSTM(n_unit, n_unit)
            self.out = L.Linear(n_unit, n_word)

    def reset_state(self):
        self.lower.reset_state()
        self.upper.reset_state()

    def forward(self, token):
        h = self.embed(token)
        h = self.lower(F.dropout(h, 0.3))
        h = self.upper(F.dropout(h, 0.3))
        return self.out(F.dropout(h, 0.3))


@explain(floats(5, 2), class_index=0)
class StatefulGRUForecast(chainer.Chain):
    """Forgets in forward, then reads a series of numbers."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.gru = L.StatefulGRU(2, 3)
            self.out = L.Linear(3, 1)

    def forward(self, xs):
        self.gru.reset_state()
        for x in F.separate(xs, axis=1):
            h = self.gru(x)
        return self.out(h)


@explain(
    floats(3, 2),
    target="/inner",
    call=1,
    without={"conservation": "the other calls have their part"},
)
class PeepholeInTheMiddle(chainer.Chain):
    """A peephole LSTM behind a layer, whose second call is explained."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.inner = L.Linear(2, 3)
            self.lstm = L.StatefulPeepholeLSTM(3, 4)
            self.out = L.Linear(4, 2)

    def forward(self, xs):
        self.lstm.reset_state()
        for t in range(xs.shape[1]):
            h = self.lstm(F.tanh(self.inner(xs[:, t])))
        return self.out(h)


@explain(floats(4, 3))
class StatelessLoop(chainer.Chain):
    """Hands cell and hidden state on by itself."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.lstm = L.StatelessLSTM(None, 4)
            self.fc = L.Linear(None, 3)

    def __call__(self, x):
        c = h = None
        for step in F.transpose_sequence(list(F.separate(x))):
            c, h = self.lstm(c, h, step)
        return self.fc(F.relu(h))


@explain(floats(4, 2), draws=True)
class OwnGRU(chainer.Chain):
    """A GRU written with linear links, dropout on what goes into it."""

    def __init__(self, n_in=2, n_unit=3):
        super().__init__()
        self.n_unit = n_unit
        with self.init_scope():
            self.x_rz = L.Linear(n_in, 2 * n_unit)
            self.h_rz = L.Linear(n_unit, 2 * n_unit, nobias=True)
            self.x_n = L.Linear(n_in, n_unit)
            self.h_n = L.Linear(n_unit, n_unit, nobias=True)
            self.out = L.Linear(n_unit, 2)

    def step(self, x, h):
        r, z = F.split_axis(F.sigmoid(self.x_rz(x) + self.h_rz(h)), 2, axis=1)
        new = F.tanh(self.x_n(x) + self.h_n(r * h))
        return (1 - z) * new + z * h

    def forward(self, xs):
        h = self.xp.zeros((len(xs), self.n_unit), xs.dtype)
        for t in range(xs.shape[1]):
            h = self.step(F.dropout(xs[:, t], 0.2), h)
        return self.out(h)


@explain(sequence(8, 3), converter=as_lists, target="/embed", draws=True)
class PackedBiLSTM(chainer.Chain):
    """Two layers in both directions over sentences of different lengths."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(8, 3)
            self.encoder = L.NStepBiLSTM(2, 3, 2, 0.2)
            self.out = L.Linear(4, 2)

    def forward(self, xs):
        ends = [sum(map(len, xs[: i + 1])) for i in range(len(xs) - 1)]
        embedded = F.split_axis(self.embed(F.concat(xs, axis=0)), ends, 0)
        h, _, _ = self.encoder(None, None, list(embedded))
        return self.out(F.concat([h[-2], h[-1]], axis=1))


@explain(sequence(8, 4), converter=padded, target="/embed", draws=True)
class PaddedLoop(chainer.Chain):
    """Steps over padded tokens, with dropout in every step and at the end."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(8, n_unit)
            self.x = L.Linear(n_unit, n_unit)
            self.h = L.Linear(n_unit, n_unit, nobias=True)
            self.out = L.Linear(n_unit, 2)

    def forward(self, tokens):
        embedded = self.embed(tokens)
        h = self.xp.zeros_like(embedded.array[:, 0])
        for t in range(tokens.shape[1]):
            new = F.tanh(self.x(embedded[:, t]) + self.h(F.dropout(h, 0.3)))
            is_token = self.xp.broadcast_to((tokens[:, t] != 0)[:, None], new.shape)
            h = F.where(is_token, new, h)
        return self.out(F.dropout(h, 0.3))


def score_of_tag(model, xs):
    """Returns how much speaks for tag 2 of the first word of each sentence."""
    return F.stack([tags[0, 2] for tags in model(xs)])


@explain(
    sequence(8, 3),
    converter=as_lists,
    target="/embed",
    eval_fun=score_of_tag,
    class_index="sum",
)
class PosTagger(chainer.Chain):
    """A score of every tag for every word."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(8, 3)
            self.encoder = L.NStepBiGRU(1, 3, 2, 0)
            self.tags = L.Linear(4, 3)

    def forward(self, xs):
        ends = [sum(map(len, xs[: i + 1])) for i in range(len(xs) - 1)]
        embedded = F.split_axis(self.embed(F.concat(xs, axis=0)), ends, 0)
        _, hs = self.encoder(None, list(embedded))
        return [self.tags(h) for h in hs]


@explain(floats(4, 3))
class GRUOverSeries(chainer.Chain):
    """Series of one length, as a list, and the mean over the steps."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.encoder = L.NStepGRU(1, 3, 4, 0)
            self.out = L.Linear(4, 2)

    def forward(self, x):
        _, ys = self.encoder(None, list(F.separate(x)))
        return self.out(F.stack([F.average(y, axis=0) for y in ys]))


@explain(
    together(sequence(7, 4), sequence(7, 2)),
    converter=as_lists,
    target="/embed_x",
    class_index="argmax",
    without={"conservation": "what is written so far has its part"},
)
class Seq2Seq(chainer.Chain):
    """An encoder and a decoder; scores of the word that comes next."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed_x = L.EmbedID(7, 3)
            self.embed_y = L.EmbedID(7, 3)
            self.encoder = L.NStepLSTM(1, 3, 4, 0)
            self.decoder = L.NStepLSTM(1, 3, 4, 0)
            self.W = L.Linear(4, 7)

    @staticmethod
    def embedded(embed, xs):
        section = [0]
        for x in xs[:-1]:
            section.append(section[-1] + len(x))
        return list(F.split_axis(embed(F.concat(xs, axis=0)), section[1:], 0))

    def forward(self, xs, ys):
        xs = [x[::-1] for x in xs]
        h, c, _ = self.encoder(None, None, self.embedded(self.embed_x, xs))
        _, _, os = self.decoder(h, c, self.embedded(self.embed_y, ys))
        return self.W(F.stack([o[-1] for o in os]))


@explain(
    together(ids(6, 4), ids(6, 2)),
    target="/embed_x",
    without={"conservation": "what the decoder is given has its part"},
)
class AttentionDecoder(chainer.Chain):
    """Looks back at the source in every step."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed_x = L.EmbedID(6, n_unit)
            self.embed_y = L.EmbedID(6, n_unit)
            self.encoder = L.NStepBiLSTM(1, n_unit, n_unit, 0)
            self.cell = L.StatelessLSTM(3 * n_unit, n_unit)
            self.query = L.Linear(n_unit, 2 * n_unit)
            self.out = L.Linear(n_unit, 6)

    def context(self, h, source):
        query = F.expand_dims(self.query(h), 2)
        weights = F.softmax(F.matmul(source, query), axis=1)
        return F.sum(F.broadcast_to(weights, source.shape) * source, axis=1)

    def forward(self, xs, ys):
        embedded = self.embed_x(xs)
        _, _, source = self.encoder(None, None, list(F.separate(embedded)))
        source = F.stack(source)
        c, h = None, source[:, -1, :3]
        for t in range(ys.shape[1]):
            step = [self.embed_y(ys[:, t]), self.context(h, source)]
            c, h = self.cell(c, h, F.concat(step, axis=1))
        return self.out(h)


@explain(floats(2, 9), class_index=(1, 8))
class GatedCausalConvolutions(chainer.Chain):
    """Layers of a WaveNet: dilated, causal, gated, with skips; a score at each step."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.first = L.Convolution1D(2, n_unit, 1)
            self.layers = chainer.ChainList()
            for dilate in (1, 2):
                self.layers.add_link(self.layer(n_unit, dilate))
            self.last = L.Convolution1D(n_unit, 2, 1)

    @staticmethod
    def layer(n_unit, dilate):
        layer = chainer.Chain()
        with layer.init_scope():
            layer.gated = L.ConvolutionND(
                1, n_unit, 2 * n_unit, 2, pad=dilate, dilate=dilate
            )
            layer.mix = L.Convolution1D(n_unit, n_unit, 1)
        return layer

    def forward(self, x):
        h, skips = self.first(x), 0
        for layer in self.layers:
            both = layer.gated(h)[:, :, : x.shape[2]]
            signal, gate = F.split_axis(both, 2, axis=1)
            out = layer.mix(F.tanh(signal) * F.sigmoid(gate))
            h, skips = h + out, skips + out
        return self.last(F.relu(skips))


class DecayingCell(chainer.Chain):
    """A cell of a user's own, which keeps its state and counts its steps."""

    def __init__(self, n_in, n_out):
        super().__init__()
        with self.init_scope():
            self.upward = L.Linear(n_in, n_out)
            self.lateral = L.Linear(n_out, n_out, nobias=True)
        self.reset_state()

    def reset_state(self):
        self.state, self.n_step, self.trace = None, 0, []

    def __call__(self, x):
        h = self.upward(x)
        if self.state is not None:
            h = h + self.lateral(self.state)
        self.n_step += 1
        self.state = F.tanh(h) * 0.9**self.n_step
        self.trace.append(self.state.array.copy())
        return self.state


@explain(floats(2), class_index="sum")
class GoesOnFromItsState(chainer.Chain):
    """Is never reset: every call goes on from the state that is there."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.cell = DecayingCell(2, 3)
            self.out = L.Linear(3, 1)

    def forward(self, x):
        for _ in range(2):
            self.cell(x)
        return self.out(self.cell(x))
