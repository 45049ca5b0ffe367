"""The networks of examples/text, and the scores of tokens by every method."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.text.example import methods, networks, sentiment, training

import chainer
import chainer.functions as F

SENTENCES = [
    np.random.default_rng(n).integers(2, 30, n).astype(np.int32) for n in (6, 3, 9, 1)
]
NETWORKS = list(sentiment.NETWORKS.values())
NAMES = [
    *("gradient", "gradient x input", "SmoothGrad x input", "BayesGrad x input"),
    *("IntegratedGradients", "Occlusion", "LRP (epsilon)"),
]
every_network = pytest.mark.parametrize("network", NETWORKS)


def made(network, **settings):
    np.random.seed(0)
    model = network(30, n_unit=8, **settings)
    for parameter in model.params():
        parameter.array[...] = np.random.default_rng(parameter.size).normal(
            0, 0.4, parameter.shape
        )
    return model


def plain_output(model, embedded):
    """Returns the output for one embedded sentence, without padding, by hand."""
    if isinstance(model, networks.RNN):
        last, _, _ = model.encoder(None, None, [embedded])
        return model.output(last[-1])
    if isinstance(model, networks.BagOfWords):
        h = F.sum(embedded, axis=0, keepdims=True)
        return model.output(F.relu(model.hidden(h)))
    maxima = []
    for layer in model.convolutions:
        width = layer.W.shape[2]
        kernel = layer.W[:, :, :, 0].transpose(2, 1, 0)  # (width, in, out)
        ends = chainer.Variable(np.zeros((width - 1, embedded.shape[1]), np.float32))
        padded = F.concat([ends, embedded, ends], axis=0)
        steps = [
            sum(padded[t + k : t + k + 1] @ kernel[k] for k in range(width))
            for t in range(len(padded) - width + 1)
        ]
        maxima.append(F.max(F.concat(steps, axis=0), axis=0, keepdims=True))
    return model.output(F.relu(F.concat(maxima)))


def plain_gradient(model, sentence):
    embedded = chainer.Variable(model.embed.W.array[sentence])
    y = plain_output(model, embedded)
    (gradient,) = chainer.grad([y], [embedded])
    return y.array[0, 0], gradient.array, embedded.array


@every_network
def test_the_output_does_not_depend_on_padding(network):
    model = made(network)
    together = training.predict(model, SENTENCES)
    for sentence, found in zip(SENTENCES, together):
        assert_allclose(found, training.predict(model, [sentence])[0], rtol=1e-5)
        assert_allclose(found, plain_gradient(model, sentence)[0], rtol=1e-4)


@every_network
def test_gradients_are_those_of_a_plain_loop(network):
    model = made(network)
    calculators = methods.calculators(model, np.zeros(8, np.float32))
    for name, factor in (("gradient", False), ("gradient x input", True)):
        scores = methods.token_scores(
            calculators[name][0], SENTENCES, show_progress=False
        )
        for sentence, found in zip(SENTENCES, scores):
            _, gradient, embedded = plain_gradient(model, sentence)
            expected = (gradient * embedded if factor else gradient).sum(axis=1)
            assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@every_network
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.large
def test_scores_do_not_depend_on_the_batch(network, name):
    model = made(network)
    baseline = methods.mean_embedding(model, SENTENCES)
    calculator, wants_samples = methods.calculators(model, baseline)[name]
    n_sample = 2 if wants_samples else 1
    results = [
        methods.token_scores(
            calculator, SENTENCES, n_sample, batchsize, seed=3, show_progress=False
        )
        for batchsize in (1, 3, 64)
    ]
    for one, three, all_ in zip(*results):
        assert_allclose(one, all_, rtol=1e-4, atol=1e-5)
        assert_allclose(three, all_, rtol=1e-4, atol=1e-5)
    assert [len(scores) for scores in results[0]] == [6, 3, 9, 1]


@every_network
def test_bayesgrad_has_dropout(network):
    model = made(network, dropout=0.5)
    calculators = methods.calculators(model, np.zeros(8, np.float32))
    spread = methods.token_scores(
        calculators["BayesGrad x input"][0],
        SENTENCES,
        8,
        statistic="std",
        seed=0,
        show_progress=False,
    )
    assert all((of_sentence > 0).any() for of_sentence in spread)


def test_lrp_of_a_recurrent_network_without_biases_conserves():
    model = made(networks.RNN)
    for parameter in model.params():
        if parameter.name.startswith("b"):
            parameter.array[...] = 0
    calculator, _ = methods.calculators(model, np.zeros(8, np.float32))["LRP (epsilon)"]
    scores = methods.token_scores(calculator, SENTENCES, show_progress=False)
    predicted = training.predict(model, SENTENCES)
    for of_sentence, output in zip(scores, predicted):
        assert_allclose(of_sentence.sum(), output, rtol=1e-2, atol=1e-3)


@every_network
@pytest.mark.large
def test_integrated_gradients_add_up(network):
    model = made(network)
    baseline = methods.mean_embedding(model, SENTENCES)
    calculator, _ = methods.calculators(model, baseline, steps=256)[
        "IntegratedGradients"
    ]
    scores = methods.token_scores(calculator, SENTENCES, show_progress=False)
    for sentence, of_sentence in zip(SENTENCES, scores):
        at_baseline = np.tile(baseline, (len(sentence), 1)).astype(np.float32)
        start = plain_output(model, chainer.Variable(at_baseline)).array[0, 0]
        difference = plain_gradient(model, sentence)[0] - start
        assert_allclose(of_sentence.sum(), difference, rtol=2e-2, atol=2e-2)


class TestGrades:
    truth = (np.array([0.0, 2, 0, -1, 0]), np.array([0.0, 0, 1]))

    def test_pairs_in_order(self):
        assert sentiment.pairs_in_order(self.truth, self.truth) == 1
        assert sentiment.pairs_in_order([-t for t in self.truth], self.truth) == 0
        equal = [np.zeros(5), np.zeros(3)]
        assert sentiment.pairs_in_order(equal, self.truth) == 0.5
        # Of the pairs (1, 0), (1, 2), (1, 3), (1, 4), (0, 3), (2, 3), (4, 3) five are
        # right and one is equal; in the other sentence both are.
        scores = [np.array([0.0, 2, 3, -1, -1]), np.array([-5.0, 0, 1])]
        assert sentiment.pairs_in_order(scores, self.truth) == (5.5 + 2) / 9

    def test_the_best_there_can_be(self):
        references = sentiment.references(self.truth, 0)
        best = references["truth, ties broken"]
        assert sentiment.pairs_in_order(best, self.truth) == 1
        rho = sentiment.rank_correlations(best, self.truth)
        assert (rho < 1).all()
        assert (rho > 0.8).all()

    def test_sentences_without_an_order_are_left_out(self):
        truth = [np.zeros(3), np.array([1.0, 2])]
        scores = [np.array([1.0, 2, 3]), np.array([0.0, 5])]
        assert_allclose(sentiment.rank_correlations(scores, truth), [1.0])
        assert sentiment.rank_correlations([scores[0], np.zeros(2)], truth) == [0]


def test_sentences_are_embedded_in_one_row():
    model = made(networks.RNN, dropout=0.0)
    sentences = [np.array(numbers, np.int32) for numbers in ([5, 6], [7], [8, 9, 5])]
    for found, sentence in zip(networks.embedded(model, sentences), sentences):
        assert_allclose(found.array, model.embed.W.array[sentence])


def test_a_batch_for_training():
    batch = [
        (np.array([2, 3], np.int32), np.float32([1])),
        (np.array([4], np.int32), np.float32([0])),
    ]
    sentences, targets = training.convert(batch)
    assert [sentence.tolist() for sentence in sentences] == [[2, 3], [4]]
    assert targets.tolist() == [[1], [0]]
    assert targets.dtype == np.float32


@pytest.mark.parametrize("network", [networks.RNN, networks.CNN])
def test_sentences_go_through_the_network_together(network, monkeypatch):
    model = made(network)
    n_row = []
    forward = network.forward

    def counting(self, sentences):
        n_row.append(len(sentences))
        return forward(self, sentences)

    monkeypatch.setattr(network, "forward", counting)
    calculator, _ = methods.calculators(model, np.zeros(8, np.float32))[
        "BayesGrad x input"
    ]
    methods.token_scores(calculator, SENTENCES, 10, 16, seed=0, show_progress=False)
    assert len(n_row) < 15  # 40 rows, and what is tried before
