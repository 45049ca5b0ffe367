"""Networks that read words and sentences."""

from __future__ import annotations

import numpy as np

from tests.models_of_others.cases import (
    as_lists,
    explain,
    ids,
    padded,
    sequence,
    together,
)

import chainer
import chainer.functions as F
import chainer.links as L


def embed_all(embed, xs):
    """Embeds the tokens of all sentences at once, as Chainer's example does."""
    lengths = [len(x) for x in xs]
    embedded = embed(F.concat(xs, axis=0))
    embedded = F.dropout(embedded, 0.1)
    return F.split_axis(embedded, np.cumsum(lengths)[:-1], axis=0)


@explain(sequence(9, 4), converter=as_lists, target="/embed", draws=True)
class TextRNN(chainer.Chain):
    """Concatenates, embeds, splits, and takes the last state of an LSTM."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 3)
            self.encoder = L.NStepLSTM(1, 3, 4, 0)
            self.out = L.Linear(4, 3)

    def forward(self, xs):
        last_h, _, _ = self.encoder(None, None, embed_all(self.embed, xs))
        return self.out(F.dropout(last_h[-1], 0.1))


@explain(
    sequence(9, 6),
    converter=padded,
    target="/embed",
    draws=True,
    without={"first": "padding, which other sentences bring, has its share"},
)
class TextCNN(chainer.Chain):
    """Convolutions of several widths over padded tokens, and the maximum of each."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, n_unit, ignore_label=0)
            self.cnn_w2 = L.Convolution2D(n_unit, 2, (2, 1), 1, (1, 0), nobias=True)
            self.cnn_w3 = L.Convolution2D(n_unit, 2, (3, 1), 1, (2, 0), nobias=True)
            self.mlp = L.Linear(4, 4)
            self.out = L.Linear(4, 2)

    def forward(self, xs):
        h = F.transpose(self.embed(xs), (0, 2, 1))[:, :, :, None]
        maxima = [F.max(conv(h), axis=2) for conv in (self.cnn_w2, self.cnn_w3)]
        h = F.relu(F.concat(maxima, axis=1))
        return self.out(F.relu(self.mlp(F.dropout(h, 0.2))))


@explain(sequence(9, 5), converter=as_lists, target="/embed")
class BagOfWords(chainer.Chain):
    """The mean of the embeddings of a sentence, and a perceptron."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 3)
            self.hidden = L.Linear(3, 4)
            self.out = L.Linear(4, 2)

    def forward(self, xs):
        blocks = F.split_axis(
            self.embed(self.xp.concatenate(xs)), np.cumsum([len(x) for x in xs])[:-1], 0
        )
        lengths = self.xp.array([[len(x)] for x in xs], self.out.W.dtype)
        h = F.concat([F.sum(b, axis=0, keepdims=True) for b in blocks], axis=0)
        return self.out(F.tanh(self.hidden(h / lengths)))


@explain(ids(8, 4), target="/embed", class_index="argmax")
class ContinuousBagOfWords(chainer.Chain):
    """Says the word in the middle from those around it."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(8, 3)
            self.out = L.Linear(3, 8, nobias=True)

    def forward(self, contexts):
        e = self.embed(contexts)
        return self.out(F.sum(e, axis=1) * (1.0 / contexts.shape[1]))


@explain(
    together(ids(8), ids(8, 3)),
    target="/embed",
    class_index=2,
)
class SkipGram(chainer.Chain):
    """How well words fit around one: products of two embeddings."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(8, 3)
            self.around = L.EmbedID(8, 3)

    def forward(self, center, contexts):
        x, around = self.embed(center), self.around(contexts)
        return F.matmul(around, x[:, :, None])[:, :, 0]


@explain(
    together(ids(9, 3, 4), ids(9, 4)),
    target="/embed_c",
    without={"conservation": "the question has its part"},
)
class MemoryNetwork(chainer.Chain):
    """Looks twice at what it remembers, with the weights of positions."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed_a = L.EmbedID(9, n_unit)
            self.embed_c = L.EmbedID(9, n_unit)
            self.embed_u = L.EmbedID(9, n_unit)
            self.H = L.Linear(n_unit, n_unit)
            self.W = L.Linear(n_unit, 9)

    def encode(self, embed, words):
        e = embed(words)
        n_word, n_unit = e.shape[-2:]
        k = np.arange(1, n_unit + 1) / n_unit
        j = (np.arange(1, n_word + 1) / n_word)[:, None]
        weight = (1 - j) - k * (1 - 2 * j)
        return F.sum(e * self.xp.array(weight, e.dtype), axis=-2)

    def forward(self, stories, question):
        m = self.encode(self.embed_a, stories)
        c = self.encode(self.embed_c, stories)
        u = self.encode(self.embed_u, question)
        for _ in range(2):
            p = F.softmax(F.matmul(m, u[:, :, None]))
            o = F.matmul(F.swapaxes(c, 2, 1), p)[:, :, 0]
            u = self.H(u) + o
        return self.W(u)


class Attention(chainer.Chain):
    """Several heads of self-attention, where the mask allows it."""

    def __init__(self, n_unit=4, n_head=2):
        super().__init__()
        self.n_head = n_head
        with self.init_scope():
            self.qkv = L.Linear(n_unit, 3 * n_unit, nobias=True)
            self.finish = L.Linear(n_unit, n_unit)

    def __call__(self, x, mask):
        n, n_token, n_unit = x.shape
        heads = F.reshape(self.qkv(x, n_batch_axes=2), (n, n_token, 3, self.n_head, -1))
        q, k, v = F.separate(F.transpose(heads, (2, 0, 3, 1, 4)))
        scores = F.matmul(q, k, transb=True) * (n_unit // self.n_head) ** -0.5
        forbidden = self.xp.full(scores.shape, -1e9, scores.dtype)
        allowed = self.xp.broadcast_to(mask[:, None, None, :], scores.shape)
        weights = F.dropout(F.softmax(F.where(allowed, scores, forbidden), 3), 0.1)
        h = F.transpose(F.matmul(weights, v), (0, 2, 1, 3))
        return self.finish(F.reshape(h, (n, n_token, n_unit)), n_batch_axes=2)


@explain(
    sequence(9, 5),
    converter=padded,
    target="/embed",
    draws=True,
    without={"conservation": "the positions have their part"},
)
class TransformerEncoder(chainer.Chain):
    """Embeds with positions, one block, and the mean over what is no padding."""

    def __init__(self, n_unit=4):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, n_unit, ignore_label=0)
            self.attention = Attention(n_unit)
            self.norm_1 = L.LayerNormalization(n_unit)
            self.norm_2 = L.LayerNormalization(n_unit)
            self.ff_1 = L.Linear(n_unit, 6)
            self.ff_2 = L.Linear(6, n_unit)
            self.out = L.Linear(n_unit, 2)
        self.positions = np.sin(np.arange(6)[:, None] / 10.0 ** np.arange(n_unit))

    def normalize(self, norm, h):
        n, n_token, n_unit = h.shape
        flat = norm(F.reshape(h, (n * n_token, n_unit)))
        return F.reshape(flat, (n, n_token, n_unit))

    def forward(self, tokens):
        mask = tokens != 0
        h = self.embed(tokens)
        h += self.xp.asarray(self.positions[: tokens.shape[1]], h.dtype)
        h = self.normalize(self.norm_1, h + self.attention(h, mask))
        ff = self.ff_2(F.relu(self.ff_1(h, n_batch_axes=2)), n_batch_axes=2)
        h = self.normalize(self.norm_2, h + F.dropout(ff, 0.1))
        weights = (mask / mask.sum(axis=1, keepdims=True)).astype(h.dtype)
        return self.out(F.sum(h * weights[:, :, None], axis=1))


def tree(rng, dtype, depth=2):
    """Draws a binary tree of words, as nested tuples."""
    if depth == 0 or rng.random() < 0.3:
        return int(rng.integers(0, 6))
    return tree(rng, dtype, depth - 1), tree(rng, dtype, depth - 1)


@explain(
    lambda rng, dtype: [tree(rng, dtype)],
    converter=lambda trees, device: [one for (one,) in trees],
    target="/leaf",
)
class TreeLSTM(chainer.Chain):
    """Goes down a tree by recursion: a call of the embedding for each leaf."""

    def __init__(self, n_unit=3):
        super().__init__()
        self.n_unit = n_unit
        with self.init_scope():
            self.leaf = L.EmbedID(6, n_unit)
            self.of_leaf = L.Linear(n_unit, 2 * n_unit)
            self.of_two = L.Linear(2 * n_unit, 5 * n_unit)
            self.out = L.Linear(n_unit, 2)

    def traverse(self, node):
        if isinstance(node, int):
            word = self.xp.array([node], np.int32)
            both = self.of_leaf(self.leaf(word))
            return F.split_axis(both, 2, axis=1)
        (c_1, h_1), (c_2, h_2) = map(self.traverse, node)
        gates = self.of_two(F.concat((h_1, h_2), axis=1))
        new, i, f_1, f_2, o = F.split_axis(gates, 5, axis=1)
        c = F.sigmoid(i) * F.tanh(new) + F.sigmoid(f_1) * c_1 + F.sigmoid(f_2) * c_2
        return c, F.sigmoid(o) * F.tanh(c)

    def __call__(self, trees):
        return self.out(F.concat([self.traverse(one)[1] for one in trees], axis=0))


@explain(
    together(sequence(7, 3), sequence(7, 3)),
    converter=as_lists,
    target="/encoder/embed",
    call=0,
    without={"conservation": "the other sentence has its part"},
)
class SentencePair(chainer.Chain):
    """One encoder for a premise and a hypothesis."""

    class Encoder(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.embed = L.EmbedID(7, 3)
                self.lstm = L.NStepBiLSTM(1, 3, 2, 0)

        def forward(self, xs):
            blocks = F.split_axis(
                self.embed(F.concat(xs, axis=0)),
                np.cumsum([len(x) for x in xs])[:-1],
                axis=0,
            )
            _, _, ys = self.lstm(None, None, blocks)
            return F.stack([F.max(y, axis=0) for y in ys])

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.encoder = self.Encoder()
            self.out = L.Linear(16, 3)

    def forward(self, premises, hypotheses):
        u, v = self.encoder(premises), self.encoder(hypotheses)
        return self.out(F.concat([u, v, abs(u - v), u * v], axis=1))


@explain(ids(6, 5), target="/conv", timing="pre", class_index="argmax", draws=True)
class CharacterHighway(chainer.Chain):
    """Convolutions over the letters of a word, highways, a score of each word."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(6, 3)
            self.conv = L.Convolution1D(3, 4, 2)
            self.highway = L.Highway(4)
            self.out = L.Linear(4, 5)

    def forward(self, letters):
        h = F.swapaxes(self.embed(letters), 1, 2)
        h = F.max(F.tanh(self.conv(h)), axis=2)
        return self.out(F.dropout(self.highway(h), 0.4))
