"""Models get their inputs as they are written for them, and may differentiate."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import BayesGradCalculator, GradientCalculator, LRPCalculator
from tests.calculator.every_calculator import every_calculator, every_calculator_with
from tests.covering import every_value
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import static_graph


class Masked(chainer.Chain):
    """Uses its other inputs as trainers pass them: as arrays."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(6, 4)
            self.l1 = L.Linear(4, 5)
            self.out = L.Linear(5, 2)

    def forward(self, x, ids, mask):
        keep = (ids != 0).astype(x.dtype)[:, None]
        if (mask > 0).any():
            keep = keep * mask.astype(x.dtype)
        return self.out(F.tanh(self.l1(x * keep + self.embed(ids))))


class OfVariables(Masked):
    """The same, written for Variables."""

    def forward(self, x, ids, mask):
        keep = (ids.array != 0).astype(x.dtype)[:, None] * mask.array
        return self.out(F.tanh(self.l1(x * keep + self.embed(ids))))


class OfBoth(Masked):
    """The same, with functions that take either."""

    def forward(self, x, ids, mask):
        keep = getattr(ids, "array", ids)[:, None] != 0
        h = x * (F.cast(keep, x.dtype) * mask)
        return self.out(F.tanh(self.l1(h + self.embed(ids))))


@pytest.fixture
def data(x):
    ids = np.array([0, 3, 1, 5, 2, 0, 4], np.int32)
    mask = np.random.default_rng(1).uniform(0.5, 1, (7, 1))
    return x, ids, mask


@every_calculator_with(
    every_value,
    model={"arrays": Masked, "variables": OfVariables},
    is_hidden={"input": False, "hidden": True},
)
def test_arrays_or_variables_as_the_model_wants_them(
    new_calculator, is_hidden, model, data
):
    results = []
    for cls in (model, OfBoth):
        network = build(cls)
        target = VariableMonitorLinkHook(network.l1, timing="pre")
        calculator = new_calculator(
            network, target if is_hidden else None, class_index="argmax"
        )
        results.append(calculator.compute(data, M=2, seed=0, batchsize=3))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-12)


def test_an_error_of_another_cause_is_the_models_own(x):
    def wrong(v):
        return v.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        GradientCalculator(wrong).compute(x)


class Force(chainer.Chain):
    """Gives the negative gradient of an energy, as models of molecules do."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 6)
            self.l2 = L.Linear(6, 1)

    def forward(self, x):
        x = chainer.as_variable(x)
        energy = self.l2(F.sigmoid(self.l1(x)))
        (gradient,) = chainer.grad([energy], [x], enable_double_backprop=True)
        return -gradient


def force_by_hand(model, x):
    s = 1 / (1 + np.exp(-(x @ model.l1.W.array.T + model.l1.b.array)))
    return -((s * (1 - s)) * model.l2.W.array[0]) @ model.l1.W.array


@every_calculator
def test_models_that_differentiate_within_their_forward(new_calculator, x):
    model = build(Force)

    def twin(v):
        s = F.sigmoid(F.linear(v, model.l1.W, model.l1.b))
        factor = F.broadcast_to(model.l2.W, s.shape)
        return -F.matmul(s * (1 - s) * factor, model.l1.W)

    np.testing.assert_allclose(twin(x).array, force_by_hand(model, x))
    how = {"M": 2, "seed": 0, "batchsize": 3}
    found = new_calculator(model, class_index=1).compute(x, **how)
    expected = new_calculator(model, eval_fun=twin, class_index=1).compute(x, **how)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


class Static(chainer.Chain):
    """What ``@static_graph`` would replay: its dropout with one mask for ever."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 6)
            self.out = L.Linear(6, 2)

    @static_graph
    def forward(self, x):
        return self.out(F.dropout(F.relu(self.l1(x)), 0.5))


class Dynamic(Static):
    """The same without."""

    def forward(self, x):
        return self.out(F.dropout(F.relu(self.l1(x)), 0.5))


@pytest.mark.parametrize("calculator", [BayesGradCalculator, LRPCalculator])
def test_a_static_graph_is_run_as_any_other(calculator, x):
    x = x.astype(np.float32)
    results = []
    for cls in (Static, Dynamic):
        model = build(cls, dtype=np.float32)
        with warnings.catch_warnings(), chainer.using_config("use_static_graph", True):
            warnings.simplefilter("ignore")
            found = calculator(model, class_index=1).compute(x, M=4, seed=0)
            assert chainer.config.use_static_graph
        results.append(found)
    np.testing.assert_array_equal(*results)
    if calculator is BayesGradCalculator:
        assert results[0].std(axis=0).max() > 0
