"""Rules on arrays that are large enough for the fast code, beside NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from link_hooks import RetainOutputHook
from saliency import LRPCalculator
from saliency.cpu import elementwise
from saliency.lrp import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    WSquare,
    Zero,
    ZPlus,
    arithmetic,
    registry,
)
from saliency.lrp.graph import Graph
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L

RULES = [
    Zero(),
    Epsilon(0.1),
    Epsilon(0.1, bias="ignore"),
    Gamma(0.5),
    ZPlus(),
    ZPlus(bias="ignore"),
    AlphaBeta(2, -1),
    Box(-10, 10),
    WSquare(),
    Flat(),
]


class Residual(chainer.Chain):
    """Convolutions with and without normalization, and a sum of the two."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.first = L.Convolution2D(3, 16, 3, pad=1)
            self.norm = L.BatchNormalization(16)
            self.second = L.Convolution2D(16, 16, 1)
            self.out = L.Linear(16, 3)

    def forward(self, x):
        h = F.relu(self.norm(self.first(x)))
        h = h + self.second(h)
        return self.out(F.average_pooling_2d(F.tanh(h), h.shape[2:]))


@pytest.fixture
def model():
    return build(Residual)


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 3, 48, 48))  # the layers' outputs have 590 kB


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_relevance_is_that_without_the_fast_code(rule, model, x, monkeypatch):
    calls = []
    in_parts = elementwise.in_parts

    def counted(work, *args, **kwargs):
        calls.append(work)
        return in_parts(work, *args, **kwargs)

    monkeypatch.setattr(elementwise, "in_parts", counted)
    calculator = LRPCalculator(model, rule=rule)
    found = calculator.compute(x)
    modules = {getattr(work, "__module__", None) for work in calls}
    assert arithmetic.__name__ in modules  # beside those of ReLU and the like
    with chainer.using_config("fast_cpu", False):
        expected = calculator.compute(x)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * scale)


def test_without_an_account_relevance_is_the_same_and_is_let_go(model, x):
    target = chainer.Variable(x)
    with RetainOutputHook() as hook, chainer.using_config("train", False):
        output = model(target)
    graph = Graph([output], [target], hook)
    found = {
        keeps_account: graph.walk(
            *([output.array], lambda this: registry.handle(this, ZPlus())),
            *(registry.is_part_of, ()),
            keeps_account=keeps_account,
        )
        for keeps_account in (True, False)
    }
    of_target = [relevances.at(target) for relevances in found.values()]
    np.testing.assert_array_equal(*of_target)
    assert sum(this.received for this in found[True].applications) != 0
    assert sum(this.taken_by_bias for this in found[True].applications) != 0
    for this in found[False].applications:
        assert not (this.relevance or this.input_relevance or this.bias_relevance)
