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
    converter = as_list if cls is Encoder else pads
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


class Tagger(Encoder):
    """A score for each token, for part-of-speech tagging."""

    def forward(self, xs):
        ends = np.cumsum([len(x) for x in xs[:-1]])
        embedded = self.embed(F.concat(xs, axis=0))
        steps = F.split_axis(embedded, ends, 0) if len(xs) > 1 else [embedded]
        tags = self.encoder(None, None, list(steps))[2]
        return F.stack([F.sum(self.out(tag)[:, 1]) for tag in tags])[:, None]


def test_the_gradient_is_that_of_a_plain_loop(sentences):
    model = build(Tagger)
    calculator = GradientCalculator(model, VariableMonitorLinkHook(model.embed))
    found = calculator.compute(sentences, converter=as_list)[0]
    for i, ids in enumerate(sentences):
        with chainer.using_config("train", False):
            with VariableMonitorLinkHook(model.embed) as hook:
                y = F.sum(model([ids]))
            target = hook.get_variable()
        (expected,) = chainer.grad([y], [target])
        np.testing.assert_allclose(found[i, : len(ids)], expected.array, rtol=1e-12)
