"""Samples that differ by dropout alone share the pass up to the first dropout."""

from __future__ import annotations

from collections import UserList
from typing import Any

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import BayesGradCalculator, GradientCalculator
from saliency.calculator.engine import learned_dropout
from tests.covering import every_pair

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.functions.noise.dropout import Dropout


class Network(chainer.Chain):
    """Convolution, then two linear layers, put together in several ways."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        rng = np.random.RandomState(0)
        with self.init_scope():
            self.conv = L.Convolution2D(1, 4, 3, initialW=rng.randn(4, 1, 3, 3))
            self.norm = L.BatchNormalization(4)
            self.l1 = L.Linear(100, 12, initialW=rng.randn(12, 100) / 10)
            self.l2 = L.Linear(12, 12, initialW=rng.randn(12, 12) / 3)
            self.l3 = L.Linear(12, 3, initialW=rng.randn(3, 12) / 3)
        self.kind = kind
        # No list, which calculators would put back.
        self.n_row: UserList[int] = UserList()

    def forward(self, x: Any, weight: Any = None) -> Any:
        self.n_row.append(len(x))
        h = F.max_pooling_2d(F.relu(self.norm(self.conv(x))), 2)
        if weight is not None:
            h = h * F.broadcast_to(F.reshape(weight, (-1, 1, 1, 1)), h.shape)
        return getattr(self, self.kind)(h)

    def in_the_head(self, h: Any) -> Any:
        h = F.relu(self.l1(F.dropout(h, 0.3)))
        return self.l3(F.dropout(self.l2(h), 0.5))

    def in_branches(self, h: Any) -> Any:
        h = self.l1(h)
        return self.l3(F.dropout(F.sigmoid(h)) + self.l2(F.dropout(F.tanh(h), 0.2)))

    def around(self, h: Any) -> Any:
        h = self.l1(h)
        return self.l3(h + F.dropout(self.l2(F.tanh(h))))

    def by_number_of_rows(self, h: Any) -> Any:
        n_row = len(h)
        h = F.dropout(F.tanh(self.l1(h)))
        return self.l3(F.reshape(h, (n_row, 12)))

    def by_number_of_rows_twice(self, h: Any) -> Any:
        n_row = len(h)
        h = F.dropout(F.tanh(self.l1(h)))[:n_row]
        return self.l3(F.dropout(self.l2(h), 0.2))

    def at_the_end(self, h: Any) -> Any:
        return F.dropout(self.l3(self.l2(F.tanh(self.l1(h)))))


SHARED = ["in_the_head", "in_branches", "at_the_end"]
NOT_SHARED = ["around", "by_number_of_rows", "by_number_of_rows_twice"]


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 1, 12, 12)).astype("f")


@pytest.fixture(autouse=True)
def every_start_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks share their start that are too small for it to pay."""
    for name in ("_WORTH_A_WAY_FOR_EACH", "_WORTH_ONE_WAY"):
        monkeypatch.setattr(learned_dropout, name, 0)


def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every row run through the whole network."""
    monkeypatch.setattr(GradientCalculator, "shares_start", False)


@every_pair(
    kind=SHARED + NOT_SHARED, batchsize=[1, 2, 7, 100], multiply_target=[False, True]
)
def test_the_samples_are_those_of_whole_passes(
    kind, batchsize, multiply_target, x, monkeypatch
):
    def compute() -> np.ndarray:
        calculator = GradientCalculator(
            Network(kind), class_index="argmax", multiply_target=multiply_target
        )
        return calculator.compute(
            x, M=5, train=True, batchsize=batchsize, seed=1, show_progress=False
        )

    result = compute()
    plainly(monkeypatch)
    np.testing.assert_allclose(result, compute(), atol=1e-5)


@every_pair(
    kind=SHARED + NOT_SHARED, method=["raw", "abs", "square"], batchsize=[2, 100]
)
def test_the_aggregate_is_that_of_whole_passes(kind, method, batchsize, x, monkeypatch):
    calculator = BayesGradCalculator(Network(kind), class_index=[2, 0, 1])
    settings = {"M": 6, "batchsize": batchsize, "seed": 1, "show_progress": False}
    result = calculator.compute_aggregate(x, method=method, **settings)
    plainly(monkeypatch)
    expected = calculator.aggregate(calculator.compute(x, **settings), method)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_samples_are_told_apart_after_an_aggregate(x):
    calculator = BayesGradCalculator(Network("in_the_head"), class_index=0)
    settings = {"M": 4, "seed": 1, "show_progress": False}
    expected = calculator.compute(x, **settings)
    calculator.compute_aggregate(x, **settings)
    np.testing.assert_array_equal(calculator.compute(x, **settings), expected)


@pytest.mark.parametrize("kind", SHARED)
def test_the_start_runs_once_for_each_example(kind, x):
    model = Network(kind)
    calculator = BayesGradCalculator(model, class_index=0)
    calculator.compute(x, M=8, show_progress=False, seed=0)
    # Before, the one row that shows the batch axes, and two that try it out.
    assert list(model.n_row) == [1, 2, 3]


def test_the_start_is_not_shared_where_it_is_small(x, monkeypatch):
    monkeypatch.undo()
    model = Network("in_the_head")
    calculator = BayesGradCalculator(model, class_index=0)
    calculator.compute(x, M=8, show_progress=False, seed=0)
    assert list(model.n_row) == [1, 2, 24]
    model.n_row.clear()
    # What is asked for is the mean, to which one way back leads.
    calculator.compute_aggregate(x, M=8, show_progress=False, seed=0)
    assert list(model.n_row) == [1, 2, 3]


@pytest.mark.parametrize("kind", NOT_SHARED)
def test_passes_are_whole_where_the_samples_share_no_start(kind, x):
    model = Network(kind)
    BayesGradCalculator(model, class_index=0).compute(
        x, M=10, batchsize=16, show_progress=False, seed=0
    )
    assert list(model.n_row)[2:] == [16, 14]


@pytest.mark.large
def test_a_pass_holds_no_more_than_one_of_batchsize_rows(x, monkeypatch):
    model = Network("at_the_end")
    n_element = [0]

    class Elements(chainer.FunctionHook):
        name = "elements"

        def forward_postprocess(self, function: Any, in_data: Any) -> None:
            n_element[-1] += in_data[0].size

    def eval_fun(x: Any) -> Any:
        n_element.append(0)
        with Elements():
            return model(x)

    def largest_pass() -> int:
        n_element.clear()
        calculator = BayesGradCalculator(model, eval_fun=eval_fun, class_index=0)
        calculator.compute(x, M=400, batchsize=4, seed=0, show_progress=False)
        return max(n_element)

    shared, n_pass = largest_pass(), len(n_element)
    plainly(monkeypatch)
    assert shared <= 1.05 * largest_pass()
    assert 4 < n_pass < len(n_element)


@pytest.mark.parametrize("link", ["norm", "l1", "l2"])
def test_at_the_output_of_a_link(link, x, monkeypatch):
    model = Network("in_the_head")

    def compute() -> np.ndarray:
        extractor = VariableMonitorLinkHook(getattr(model, link), timing="post")
        calculator = BayesGradCalculator(
            model, target_extractor=extractor, class_index=0
        )
        return calculator.compute(x, M=5, seed=1, show_progress=False)

    result = compute()
    plainly(monkeypatch)
    np.testing.assert_allclose(result, compute(), atol=1e-5)


def test_with_a_second_input(x, monkeypatch):
    model = Network("in_the_head")
    data = x, np.float32([0.5, -1, 2])

    def compute() -> np.ndarray:
        calculator = BayesGradCalculator(model, class_index=0)
        return calculator.compute(data, M=5, seed=1, show_progress=False)

    result = compute()
    plainly(monkeypatch)
    np.testing.assert_allclose(result, compute(), atol=1e-5)


def test_dropout_is_as_before_after_an_exception(x):
    before = dict(vars(Dropout))
    model = Network("in_the_head")

    def eval_fun(x: Any) -> Any:
        y = model(x)
        if len(model.n_row) > 2:
            raise ZeroDivisionError
        return y

    calculator = BayesGradCalculator(model, eval_fun=eval_fun, class_index=0)
    with pytest.raises(ZeroDivisionError):
        calculator.compute(x, M=5, show_progress=False)
    assert dict(vars(Dropout)) == before


def test_a_model_cut_off_from_its_target_is_an_error(x):
    model = Network("in_the_head")

    def eval_fun(x: Any) -> Any:
        return model(chainer.Variable(x.array))

    calculator = BayesGradCalculator(model, eval_fun=eval_fun, class_index=0)
    with pytest.raises(ValueError, match="influence"):
        calculator.compute(x, M=5, show_progress=False)
