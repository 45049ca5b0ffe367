"""Targets without a batch axis: the tokens of a mini-batch, embedded in a row."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from tests.covering import every_value
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import concat_examples

LENGTHS = [3, 5, 1, 4]


class Encoder(chainer.Chain):
    """A text classifier as Chainer's own example is written."""

    def __init__(self, kind="lstm"):
        super().__init__()
        links = {"lstm": L.NStepLSTM, "gru": L.NStepGRU, "bilstm": L.NStepBiLSTM}
        with self.init_scope():
            self.embed = L.EmbedID(9, 3)
            self.encoder = links[kind](1, 3, 4, 0.0)
            self.out = L.Linear(4, 2)

    def encode(self, steps):
        has_cell = not isinstance(self.encoder, L.NStepGRU)
        states = (None, None) if has_cell else (None,)
        h = self.encoder(*states, steps)[0]
        return self.out(F.dropout(h[-1], 0.3))

    def forward(self, xs):
        ends = np.cumsum([len(x) for x in xs[:-1]])
        embedded = self.embed(F.concat(xs, axis=0))
        return self.encode(
            F.split_axis(embedded, ends, 0) if len(xs) > 1 else [embedded]
        )


class Padded(Encoder):
    """The same for ids in one array, padded with -1."""

    def forward(self, ids):
        ids = getattr(ids, "array", ids)
        embedded = self.embed(np.maximum(ids, 0))
        steps = [e[: (row >= 0).sum()] for e, row in zip(F.separate(embedded), ids)]
        return self.encode(steps)


@pytest.fixture
def sentences():
    rng = np.random.default_rng(2)
    return [rng.integers(0, 9, n).astype(np.int32) for n in LENGTHS]


def as_list(examples, device):
    return list(examples)


METHODS = {
    "gradient": GradientCalculator,
    "times_target": partial(GradientCalculator, multiply_target=True),
    "smooth_grad": SmoothGradCalculator,
    "bayes_grad": BayesGradCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=4),
    "adaptive": partial(IntegratedGradientsCalculator, steps=6, method="adaptive"),
    "occlusion": partial(OcclusionCalculator, slide_axis=1),
    "lrp": LRPCalculator,
}


def explain(new_calculator, cls, kind, sentences, call="compute", **how):
    model = build(cls, kind)
    calculator = new_calculator(
        model, VariableMonitorLinkHook(model.embed), class_index="argmax"
    )
    pads = partial(concat_examples, padding=-1)
    converter = pads if cls is Padded else as_list
    how = {"M": 3, "seed": 0, "converter": converter, **how}
    result = getattr(calculator, call)(sentences, **how)
    return np.asarray(result), calculator.lengths


@every_value(new_calculator=METHODS, kind=["lstm", "gru"], batchsize=[1, 3, 16])
def test_equal_their_padded_twin(new_calculator, kind, batchsize, sentences):
    packed, lengths = explain(
        new_calculator, Encoder, kind, sentences, batchsize=batchsize
    )
    padded, _ = explain(new_calculator, Padded, kind, sentences, batchsize=batchsize)
    assert packed.shape[:3] == (3, 4, 5)
    np.testing.assert_array_equal(lengths, LENGTHS)
    for i, n in enumerate(LENGTHS):
        assert np.isnan(packed[:, i, n:]).all()
    np.testing.assert_allclose(packed, padded, rtol=1e-9, atol=1e-13)


@every_value(new_calculator=METHODS, at=[None, "x.npy"])
def test_an_aggregate_is_that_of_the_samples(new_calculator, at, sentences, tmp_path):
    samples, _ = explain(new_calculator, Encoder, "bilstm", sentences, batchsize=3)
    out = None if at is None else tmp_path / at
    found, lengths = explain(
        new_calculator,
        Encoder,
        "bilstm",
        sentences,
        "compute_aggregate",
        method="abs",
        batchsize=3,
        out=out,
    )
    np.testing.assert_allclose(found, abs(samples).mean(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(lengths, LENGTHS)


def test_noise_comes_by_example_whatever_the_batch(sentences):
    how = {"noise_sampler": GaussianNoiseSampler(scale=0.5)}
    first, _ = explain(GradientCalculator, Encoder, "lstm", sentences, **how)
    again, _ = explain(GradientCalculator, Encoder, "lstm", sentences, **how)
    np.testing.assert_array_equal(first, again)
    assert np.ptp(first[:, 0, :3], axis=0).max() > 1e-3  # the first has three tokens


@pytest.mark.parametrize("batchsize", [1, 2, 16])
def test_sentences_of_one_token_are_told_from_rows(batchsize):
    sentences = [np.array(ids, np.int32) for ids in ([3], [5], [1, 2, 0], [4])]
    packed, lengths = explain(
        GradientCalculator, Encoder, "lstm", sentences, batchsize=batchsize
    )
    padded, _ = explain(
        GradientCalculator, Padded, "lstm", sentences, batchsize=batchsize
    )
    np.testing.assert_array_equal(lengths, [1, 1, 3, 1])
    np.testing.assert_allclose(packed, padded, rtol=1e-9, atol=1e-13)


class WordByWord(Encoder):
    """Calls the embedding for one word at a time."""

    def forward(self, xs):
        return self.encode(
            [F.concat([self.embed(x[i : i + 1]) for i in range(len(x))], 0) for x in xs]
        )


@pytest.mark.parametrize("new_calculator", METHODS.values(), ids=METHODS)
def test_calls_for_one_word_are_told_from_rows(new_calculator, sentences):
    results = [
        explain(new_calculator, WordByWord, "gru", data, batchsize=n)[0]
        for data in ([ids[:2] for ids in sentences[:2]], [sentences[0][:2]])
        for n in (1, 16)
    ]
    assert results[0].shape[:3] == (3, 2, 1)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-13)
    for alone in results[2:]:
        np.testing.assert_allclose(alone, results[0][:, :1], rtol=1e-9, atol=1e-13)


class TimeFirst(chainer.Chain):
    """Puts the axis of time before that of the batch."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.Linear(1, 3)
            self.out = L.Linear(3, 2)

    def forward(self, x):
        h = self.embed(F.transpose(x)[..., None], n_batch_axes=2)
        return self.out(F.sum(h * h, axis=0))


@pytest.mark.parametrize("n_example", [3, 4])
def test_an_axis_of_time_as_long_as_the_batch_is_told_from_it(n_example):
    model = build(TimeFirst)
    x = np.random.default_rng(1).normal(size=(n_example, 4))
    target = VariableMonitorLinkHook(model.embed)
    found = GradientCalculator(model, target, class_index=1).compute(x)[0]
    h = x[:, :, None, None] * model.embed.W.array[:, 0] + model.embed.b.array
    np.testing.assert_allclose(found, 2 * h * model.out.W.array[1], rtol=1e-12)


class Graphs(chainer.Chain):
    """The nodes of all graphs in a row; a converter says which belong together."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 3)
            self.out = L.Linear(3, 2)

    def forward(self, nodes, edges, owners):
        h = self.embed(nodes)
        h = F.tanh(F.scatter_add(h, edges[:, 0], h[edges[:, 1]]))
        graphs = np.zeros((owners[-1] + 1, 3))
        return self.out(F.scatter_add(graphs, owners, h) ** 2)


def in_a_row(examples, device):
    starts = np.cumsum([0, *map(len, examples)])
    chains = [np.stack([np.arange(len(x) - 1), np.arange(1, len(x))]) for x in examples]
    edges = [(chain + start).T for chain, start in zip(chains, starts)]
    owners = np.repeat(np.arange(len(examples)), [len(x) for x in examples])
    return np.concatenate(examples), np.concatenate(edges), owners


@every_value(new_calculator=METHODS, batchsize=[1, 3, 16])
def test_graphs_that_a_converter_packs_are_explained_one_by_one(
    new_calculator, batchsize, sentences
):
    model = build(Graphs)
    calculator = new_calculator(
        model, VariableMonitorLinkHook(model.embed), class_index="argmax"
    )
    how = {"M": 2, "seed": 0, "batchsize": batchsize, "converter": in_a_row}
    found = calculator.compute(sentences, **how)
    np.testing.assert_array_equal(calculator.lengths, LENGTHS)
    assert found.shape == (2, 4, 5, found.shape[-1])
    alone = calculator.compute(sentences[:1], **how)
    np.testing.assert_allclose(found[:, :1, :3], alone, rtol=1e-9, atol=1e-13)
    for i, nodes in enumerate(sentences):
        assert np.isnan(found[:, i, len(nodes) :]).all()
        assert np.isfinite(found[:, i, : len(nodes)]).all()
