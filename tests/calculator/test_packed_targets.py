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
    list_examples,
)
from tests.covering import every_value
from tests.networks import Calls, build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import concat_examples

LENGTHS = [3, 5, 1, 4]


class Encoder(chainer.Chain):
    """A text classifier as Chainer's own example is written."""

    def __init__(self, kind="lstm", n_layer=1, of_embedding=0.0, inside=0.0):
        super().__init__()
        self.of_embedding = of_embedding
        self.counts = Calls()
        links = {"lstm": L.NStepLSTM, "gru": L.NStepGRU, "bilstm": L.NStepBiLSTM}
        with self.init_scope():
            self.embed = L.EmbedID(9, 3)
            self.encoder = links[kind](n_layer, 3, 4, inside)
            self.out = L.Linear(4, 2)

    def embedded(self, ids):
        self.counts.n += 1
        embedded = self.embed(ids)
        return F.dropout(embedded, self.of_embedding) if self.of_embedding else embedded

    def encode(self, steps):
        has_cell = not isinstance(self.encoder, L.NStepGRU)
        states = (None, None) if has_cell else (None,)
        h = self.encoder(*states, steps)[0]
        return self.out(F.dropout(h[-1], 0.3))

    def steps(self, xs):
        ends = np.cumsum([len(x) for x in xs[:-1]])
        embedded = self.embedded(F.concat(xs, axis=0))
        return list(F.split_axis(embedded, ends, 0)) if len(xs) > 1 else [embedded]

    def forward(self, xs):
        return self.encode(self.steps(xs))


class Padded(Encoder):
    """The same for ids in one array, padded with -1."""

    def forward(self, ids):
        ids = getattr(ids, "array", ids)
        embedded = self.embedded(np.maximum(ids, 0))
        steps = [e[: (row >= 0).sum()] for e, row in zip(F.separate(embedded), ids)]
        return self.encode(steps)


@pytest.fixture
def sentences():
    rng = np.random.default_rng(2)
    return [rng.integers(0, 9, n).astype(np.int32) for n in LENGTHS]


pads = partial(concat_examples, padding=-1)


def as_list(examples, device):
    return list(examples)


METHODS = {
    "gradient": GradientCalculator,
    "times_target": partial(GradientCalculator, multiply_target=True),
    "smooth_grad": SmoothGradCalculator,
    "bayes_grad": BayesGradCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=2),
    "adaptive": partial(IntegratedGradientsCalculator, steps=4, method="adaptive"),
    "occlusion": partial(OcclusionCalculator, slide_axis=1),
    "lrp": LRPCalculator,
}


def explain(new_calculator, cls, kind, sentences, call="compute", **how):
    model = build(cls, kind)
    calculator = new_calculator(
        model, VariableMonitorLinkHook(model.embed), class_index="argmax"
    )
    converter = pads if cls is Padded else as_list
    how = {"M": 2, "seed": 0, "converter": converter, **how}
    result = getattr(calculator, call)(sentences, **how)
    return np.asarray(result), calculator.lengths


@every_value(new_calculator=METHODS, kind=["lstm", "gru"], batchsize=[1, 3, 16])
def test_equal_their_padded_twin(new_calculator, kind, batchsize, sentences):
    packed, lengths = explain(
        new_calculator, Encoder, kind, sentences, batchsize=batchsize
    )
    padded, _ = explain(new_calculator, Padded, kind, sentences, batchsize=batchsize)
    assert packed.shape[:3] == (2, 4, 5)
    np.testing.assert_array_equal(lengths, LENGTHS)
    for i, n in enumerate(LENGTHS):
        assert np.isnan(packed[:, i, n:]).all()
    np.testing.assert_allclose(packed, padded, rtol=1e-9, atol=1e-13)


@pytest.mark.large
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


@every_value(
    where={
        "embedding": {"of_embedding": 0.4},
        "inside": {"n_layer": 2, "inside": 0.3},
        "both": {"n_layer": 2, "of_embedding": 0.4, "inside": 0.3},
    },
    batchsize=[1, 3, 16],
)
@pytest.mark.large
def test_masks_are_those_of_a_padded_twin(where, batchsize, sentences):
    """Whichever sentences stand beside a token, and however long the longest is."""
    results = []
    for cls, converter in ((Encoder, as_list), (Padded, pads)):
        model = build(cls, **where)
        hook = VariableMonitorLinkHook(model.embed)
        results.append(
            BayesGradCalculator(model, hook, class_index=1).compute(
                sentences, 4, batchsize, converter, seed=5
            )
        )
    packed, padded = results
    np.testing.assert_allclose(packed, padded, rtol=1e-9, atol=1e-13)
    assert np.ptp(packed[:, 3, :4], axis=0).max(axis=-1).min() > 0  # of each token
    model = build(Encoder, **where)
    hook = VariableMonitorLinkHook(model.embed)
    calculator = BayesGradCalculator(model, hook, class_index=1)
    longer = [*sentences[:3], np.resize(sentences[3], 7)]
    among_others = calculator.compute(longer, 4, 16, as_list, seed=5)
    np.testing.assert_allclose(among_others[:, :3, :5], packed[:, :3], rtol=1e-9)


class Centred(Encoder):
    """Takes the mean over the batch from each hidden state."""

    def encode(self, steps):
        h = self.encoder(None, None, steps)[0][-1]
        return self.out(h - F.broadcast_to(F.mean(h, 0, keepdims=True), h.shape) / 9)


class LongestFirst(Encoder):
    """Embeds the longest sentence first, and puts the outputs in order again."""

    def forward(self, xs):
        order = np.argsort([-len(x) for x in xs], kind="stable")
        y = self.encode(self.steps([xs[i] for i in order]))
        return y[np.argsort(order)]


def n_pass(cls, sentences, **how):
    model = build(cls)
    hook = VariableMonitorLinkHook(model.embed)
    found = SmoothGradCalculator(model, hook, class_index=1).compute(
        sentences, converter=as_list, seed=0, **how
    )
    return found, model.counts.n


@pytest.mark.large
def test_sentences_and_samples_go_through_the_model_together(sentences):
    folded, few = n_pass(Encoder, sentences, batchsize=20)
    alone, many = n_pass(Encoder, sentences, batchsize=1)
    assert few <= 6 + 4 < 120 < many  # 30 samples of 4 sentences, 20 in a pass
    np.testing.assert_allclose(folded, alone, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("cls", [Centred, LongestFirst])
def test_what_depends_on_the_batch_goes_through_alone(cls, sentences):
    found, n = n_pass(cls, sentences, batchsize=16, M=5)
    alone, _ = n_pass(cls, sentences, batchsize=1, M=5)
    assert n >= 20
    np.testing.assert_allclose(found, alone, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("batchsize", [1, 2, 16])
def test_sentences_of_one_word(batchsize, sentences, tmp_path):
    words = [s[:1] for s in sentences[:2]]
    found, lengths = explain(
        GradientCalculator,
        Encoder,
        "lstm",
        [*words, *sentences],
        M=1,
        batchsize=batchsize,
    )
    expected, _ = explain(GradientCalculator, Encoder, "lstm", sentences, M=1)
    np.testing.assert_array_equal(lengths, [1, 1, *LENGTHS])
    np.testing.assert_allclose(found[:, 2:], expected, rtol=1e-9)
    assert np.isnan(found[:, :2, 1:]).all()
    assert np.isfinite(found[:, :2, 0]).all()
    # Into a file, each batch is looked at by itself.
    into, _ = explain(
        GradientCalculator,
        Encoder,
        "lstm",
        [*words, *sentences],
        "compute_aggregate",
        M=1,
        batchsize=batchsize,
        out=tmp_path / "x.npy",
    )
    np.testing.assert_allclose(into, found[0], rtol=1e-9)


def test_a_list_of_different_lengths_needs_no_converter(sentences):
    model = build(Encoder)
    hook = VariableMonitorLinkHook(model.embed)
    calculator = GradientCalculator(model, hook, class_index=1)
    found = calculator.compute(sentences, batchsize=3, retain_inputs=True)
    expected = calculator.compute(sentences, batchsize=3, converter=as_list)
    np.testing.assert_array_equal(found, expected)
    alike = [s[:3] for s in sentences if len(s) >= 3]  # the first batch of this data
    found = calculator.compute([*alike, sentences[2]], batchsize=3, retain_inputs=True)
    for given, kept in zip([*alike, sentences[2]], calculator.inputs[0]):
        np.testing.assert_array_equal(given, kept)
    assert found.shape == (1, 4, 3, 3)


def test_a_model_of_padded_arrays_needs_one(sentences):
    model = build(Flat)
    hook = VariableMonitorLinkHook(model.embed)
    calculator = GradientCalculator(model, hook, class_index=1)
    with pytest.raises(ValueError, match=r"called with a list .*concat_examples, pad"):
        calculator.compute(sentences)


def test_the_converter_that_keeps_lists():
    a, b = np.arange(2), np.arange(3)
    first, second = list_examples([(a, "x"), (b, "y")], "@numpy")
    assert first[0] is a
    assert first[1] is b
    assert second == ["x", "y"]
    assert list_examples([a, b])[1] is b


def test_a_mean_of_concatenated_tokens_is_refused(sentences):
    model = build(Encoder)
    hook = VariableMonitorLinkHook(model.embed)
    calculator = OcclusionCalculator(model, hook, fill="mean", slide_axis=1)
    with pytest.raises(
        ValueError, match=r"fill='mean' needs targets with a batch axis"
    ):
        calculator.compute(sentences)


@pytest.mark.parametrize("cls", [Encoder, Padded])
def test_a_callable_is_given_no_padding(cls, sentences):
    model = build(cls)
    hook = VariableMonitorLinkHook(model.embed)
    shapes = []

    def mean(target):
        shapes.append(target.shape)
        return target.mean(axis=1, keepdims=True)

    calculator = OcclusionCalculator(
        model, hook, slide_axis=1, fill=mean, class_index=1
    )
    converter = as_list if cls is Encoder else pads
    found = calculator.compute(sentences, converter=converter)
    assert {shape[1] for shape in shapes} == set(LENGTHS)
    for i, (ids, n) in enumerate(zip(sentences, LENGTHS)):
        embedded = model.embed.W.array[ids]
        scores = []
        for covered in range(n):
            steps = embedded.copy()
            steps[covered] = embedded.mean(axis=0)
            with chainer.using_config("train", False):
                y = [model.encode([chainer.Variable(e)]) for e in (embedded, steps)]
            scores.append(y[0].array[0, 1] - y[1].array[0, 1])
        np.testing.assert_allclose(found[0, i, :n, 0], scores, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("kind", ["gru", "bilstm"])
def test_relevance_does_not_depend_on_what_stands_beside(kind, sentences):
    together, _ = explain(LRPCalculator, Encoder, kind, sentences, M=1)
    for i, ids in enumerate(sentences):
        alone, _ = explain(LRPCalculator, Encoder, kind, [ids], M=1)
        found = together[:, i : i + 1, : len(ids)].reshape(alone.shape)
        np.testing.assert_allclose(found, alone, rtol=1e-9, atol=1e-13)


class Flat(chainer.Chain):
    """Embeds an array of ids in one row, as wrappers of linear layers do."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 3)
            self.out = L.Linear(3, 2)

    def forward(self, ids):
        h = self.out(F.tanh(self.embed(ids.reshape(-1))))
        return F.sum(h.reshape(len(ids), -1, 2), axis=1)


def test_an_array_in_one_row():
    model = build(Flat)
    ids = np.arange(12, dtype=np.int32).reshape(3, 4) % 9
    hook = VariableMonitorLinkHook(model.embed)
    found = GradientCalculator(model, hook, class_index=1).compute(ids)
    slope = 1 - np.tanh(model.embed.W.array[ids]) ** 2
    np.testing.assert_allclose(found[0], slope * model.out.W.array[1], rtol=1e-12)


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


@pytest.mark.large
@pytest.mark.parametrize("new_calculator", METHODS.values(), ids=METHODS)
def test_calls_for_one_word_are_told_from_rows(new_calculator, sentences):
    results = [
        explain(new_calculator, WordByWord, "gru", data, batchsize=n)[0]
        for data in ([ids[:2] for ids in sentences[:2]], [sentences[0][:2]])
        for n in (1, 16)
    ]
    assert results[0].shape[:3] == (2, 2, 1)
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


class Tagger(Encoder):
    """A score for each token and tag, for part-of-speech tagging, in one row."""

    def forward(self, xs):
        _, _, hs = self.encoder(None, None, self.steps(xs))
        return self.out(F.concat(hs, axis=0))


class ListTagger(Tagger):
    """The same for each sentence by itself."""

    def forward(self, xs):
        return [self.out(h) for h in self.encoder(None, None, self.steps(xs))[2]]


class PaddedTagger(Padded):
    """The same with an axis of tokens behind that of the batch."""

    def encode(self, steps):
        _, _, hs = self.encoder(None, None, steps)
        return F.pad_sequence([self.out(h) for h in hs])


@every_value(new_calculator=METHODS, tagger={"row": Tagger, "list": ListTagger})
def test_tags_of_tokens(new_calculator, tagger, sentences):
    """``class_index=(t, c)``: the score of tag c for token t."""
    sentences = [s for s in sentences if len(s) > 1]
    how = {"M": 2, "seed": 0}
    model, twin = build(tagger), build(PaddedTagger)
    found = new_calculator(
        model, VariableMonitorLinkHook(model.embed), class_index=(1, 0)
    ).compute(sentences, converter=as_list, **how)
    expected = new_calculator(
        twin, VariableMonitorLinkHook(twin.embed), class_index=(1, 0)
    ).compute(sentences, converter=pads, **how)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def test_the_sum_of_a_tag(sentences):
    model = build(Tagger)
    hook = VariableMonitorLinkHook(model.embed)
    calculator = GradientCalculator(model, hook, class_index=(slice(None), 1))
    found = calculator.compute(sentences, converter=as_list)[0]
    for i, ids in enumerate(sentences):
        seen = VariableMonitorLinkHook(model.embed)
        with chainer.using_config("train", False), seen:
            y = F.sum(model([ids])[:, 1])
        (expected,) = chainer.grad([y], [seen.get_variable()])
        np.testing.assert_allclose(found[i, : len(ids)], expected.array, rtol=1e-12)
    calculator = GradientCalculator(model, hook, class_index=(2, 1))
    with pytest.raises(ValueError, match=r"class_index=\(2, 1\) .* shape \(1, 1, 2\)"):
        calculator.compute(sentences, converter=as_list)  # the third has one token


class Seq2seq(chainer.Chain):
    """The log probability of a translation, as Chainer's example is written."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed_x = L.EmbedID(9, 3)
            self.embed_y = L.EmbedID(6, 3)
            self.encoder = L.NStepLSTM(1, 3, 3, 0.0)
            self.decoder = L.NStepLSTM(1, 3, 3, 0.0)
            self.W = L.Linear(3, 6)

    def forward(self, xs, ys):
        eos = np.array([0], np.int32)
        ys_in = [np.concatenate([eos, y]) for y in ys]
        ys_out = [np.concatenate([y, eos]) for y in ys]
        h, c, _ = self.encoder(None, None, sequence_embed(self.embed_x, xs))
        _, _, os = self.decoder(h, c, sequence_embed(self.embed_y, ys_in))
        score = F.log_softmax(self.W(F.concat(os, axis=0)))
        chosen = F.select_item(score, np.concatenate(ys_out))
        ends = np.cumsum([len(y) for y in ys_out])[:-1]
        parts = F.split_axis(chosen, ends, 0) if len(ys) > 1 else [chosen]
        return F.stack([F.sum(part) for part in parts])


def sequence_embed(embed, xs):
    ends = np.cumsum([len(x) for x in xs[:-1]])
    embedded = embed(F.concat(xs, axis=0))
    return list(F.split_axis(embedded, ends, 0)) if len(xs) > 1 else [embedded]


@pytest.mark.large
@pytest.mark.parametrize("part", ["embed_x", "embed_y"])
def test_an_encoder_and_a_decoder(part, sentences, tmp_path):
    rng = np.random.default_rng(0)
    pairs = [
        (x, rng.integers(1, 6, n).astype("i")) for x, n in zip(sentences, (2, 4, 3, 1))
    ]
    model = build(Seq2seq)
    hook = VariableMonitorLinkHook(getattr(model, part))
    calculator = IntegratedGradientsCalculator(model, hook, steps=5)
    results = [
        calculator.compute(pairs, batchsize=n, converter=list_examples) for n in (1, 16)
    ]
    # The decoder begins with one token more, and has no length of the encoder's.
    lengths = LENGTHS if part == "embed_x" else [3, 5, 4, 2]
    np.testing.assert_array_equal(calculator.lengths, lengths)
    for i, n in enumerate(lengths):
        assert np.isfinite(results[0][0, i, :n]).all()
        assert np.isnan(results[0][0, i, n:]).all()
    for found in results[1:]:
        np.testing.assert_allclose(found, results[0], rtol=1e-9, atol=1e-13)
    out = tmp_path / "x.npy"
    into = calculator.compute_aggregate(pairs[::-1], converter=list_examples, out=out)
    np.testing.assert_allclose(into, results[0][0, ::-1], rtol=1e-9, atol=1e-13)
    np.testing.assert_array_equal(calculator.lengths, lengths[::-1])
    delta = calculator.convergence_delta(results[0], pairs, converter=list_examples)
    assert delta.shape == (1, 4)
    assert abs(delta).max() < 1e-6


class CrystalGraph(chainer.Chain):
    """Nodes of all graphs in one row, with the graph of each, as CGCNN and MEGNet."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 3)
            self.message = L.Linear(3, 3)
            self.out = L.Linear(3, 2)

    def forward(self, atoms, edges, graph):
        h = self.embed(atoms)
        received = self.message(h)[edges[:, 0]]
        into = np.eye(len(atoms))[:, edges[:, 1]]
        h = F.tanh(h + F.matmul(into, received))
        of_graph = (np.arange(graph.max() + 1)[:, None] == graph).astype(h.dtype)
        return self.out(F.dropout(F.matmul(of_graph, h), 0.3))


def joined(examples, device):
    """Joins graphs as a converter of such models does."""
    sizes = [len(atoms) for atoms, _ in examples]
    offsets = np.cumsum([0, *sizes[:-1]])
    return (
        np.concatenate([atoms for atoms, _ in examples]),
        np.concatenate([edges + k for (_, edges), k in zip(examples, offsets)]),
        np.repeat(np.arange(len(examples)), sizes),
    )


class PaddedGraph(CrystalGraph):
    """The same with an adjacency for each graph."""

    def forward(self, atoms, adjacency):
        is_there = (np.asarray(atoms) >= 0)[:, :, None]
        h = self.embed(np.maximum(atoms, 0))
        h = F.tanh(h + F.matmul(adjacency, self.message(h, n_batch_axes=2)))
        h = h * np.broadcast_to(is_there, h.shape).astype(h.dtype)
        return self.out(F.dropout(F.sum(h, axis=1), 0.3))


@every_value(new_calculator=METHODS, batchsize=[1, 16])
def test_nodes_of_graphs(new_calculator, batchsize, sentences):
    graphs, padded = [], []
    for atoms in sentences:
        n = len(atoms)
        edges = np.array([(i, (i + 1) % n) for i in range(n)])
        graphs.append((atoms, edges))
        adjacency = np.zeros((5, 5))
        np.add.at(adjacency, (edges[:, 1], edges[:, 0]), 1)
        padded.append((atoms, adjacency))
    how = {"M": 2, "seed": 0, "batchsize": batchsize}
    model, twin = build(CrystalGraph), build(PaddedGraph)
    calculator = new_calculator(
        model, VariableMonitorLinkHook(model.embed), class_index=1
    )
    found = calculator.compute(graphs, converter=joined, **how)
    np.testing.assert_array_equal(calculator.lengths, LENGTHS)

    def pad(examples, device):
        return (
            concat_examples([atoms for atoms, _ in examples], padding=-1),
            np.stack([adjacency for _, adjacency in examples])[
                :, : (n := max(len(atoms) for atoms, _ in examples)), :n
            ],
        )

    expected = new_calculator(
        twin, VariableMonitorLinkHook(twin.embed), class_index=1
    ).compute(padded, converter=pad, **how)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def test_layers_of_packed_sentences_are_refused_where_they_differ(sentences):
    model = build(Encoder)
    hook = VariableMonitorLinkHook(model.embed)
    calculator = LRPCalculator(model, hook, class_index=1)
    alike = [s[:3] for s in sentences if len(s) >= 3]
    layers = calculator.compute_layers(
        alike, ["/embed", "/out"], converter=as_list, batchsize=2
    )
    assert layers["/embed"].shape == (1, 3, 3, 3)
    assert layers["/out"].shape == (1, 3, 2)
    expected = calculator.compute(alike, converter=as_list)
    np.testing.assert_allclose(layers["/embed"], expected, rtol=1e-9)
    with pytest.raises(ValueError, match=r"of one shape in all examples"):
        calculator.compute_layers(sentences, ["/embed", "/out"], converter=as_list)
