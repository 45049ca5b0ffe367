"""The hidden state of a model: each pass begins with it, and it is there afterwards."""

from __future__ import annotations

import collections
import functools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import GaussianNoiseSampler, GradientCalculator, LRPCalculator
from tests.calculator.every_calculator import AGGREGATING, every_calculator_with
from tests.calculator.oracles import loop_over_batches
from tests.covering import every_pair, every_value
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L


class OwnCell(chainer.Chain):
    """A cell as a user writes it, with a Variable as state, an array and a counter."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.h = None
        self.t = 0
        self.decay = np.full(n_out, 0.9)
        self.history = []
        with self.init_scope():
            self.x = L.Linear(n_in, n_out)
            self.g = L.Linear(n_out, n_out)

    def reset_state(self):
        self.h, self.t, self.history = None, 0, []

    def forward(self, x):
        h = self.x(x)
        if self.h is not None:
            h = h + self.g(self.h) * self.decay
        self.t += 1
        self.decay *= 0.99
        self.h = F.tanh(h) / self.t
        self.history.append(self.h)
        return self.h


CELLS = {
    "LSTM": L.LSTM,
    "StatefulGRU": lambda n_in, n_out: L.StatefulGRU(n_in, n_out),
    "StatefulPeepholeLSTM": L.StatefulPeepholeLSTM,
    "StatefulMGU": L.StatefulMGU,
    "StatefulZoneoutLSTM": L.StatefulZoneoutLSTM,
    "own": OwnCell,
}


class Network(chainer.Chain):
    """Two steps of a cell over both halves of its input, dropout between them."""

    def __init__(self, cell, ratio=0.0):
        super().__init__()
        self.ratio = ratio
        with self.init_scope():
            self.cell = CELLS[cell](2, 3)
            self.out = L.Linear(3, 2)

    def forward(self, x):
        self.cell(x[:, :2])
        h = self.cell(F.dropout(x[:, 2:], self.ratio))
        return self.out(F.dropout(h, self.ratio))


def states_of(model):
    """Returns all that the cell has as attributes, arrays as bytes."""

    def bytes_of(value):
        array = getattr(value, "array", value)
        return array.tobytes() if isinstance(array, np.ndarray) else value

    found = {k: v for k, v in vars(model.cell).items() if k != "_device"}
    return {k: (id(v), bytes_of(v)) for k, v in found.items()}


def warmed_up(cell, n_row, ratio=0.0):
    """Returns a network that has run on some rows before, if any."""
    # Chainer's StatefulMGU begins with zeros of float32.
    dtype = np.float32 if cell == "StatefulMGU" else np.float64
    model = build(Network, cell, ratio, dtype=dtype)
    if n_row:
        before = np.random.default_rng(1).normal(size=(n_row, 4)).astype(dtype)
        with chainer.using_config("train", False):
            model(before)
    return model


KINDS_OF_CELLS = ["LSTM", "own"]
every_cell = pytest.mark.parametrize("cell", CELLS)
every_cell_of_chainer = pytest.mark.parametrize(
    "cell", [c for c in CELLS if c != "own"]
)
# None, a row for each example, one row for all.
STATES = [0, 7, 1]


@pytest.mark.large
@every_calculator_with(
    every_value,
    is_disturbed={"clean": False, "disturbed": True},
    n_row=STATES,
    cell=KINDS_OF_CELLS,
)
def test_twice_in_a_row_is_the_same_and_the_state_stays(
    new_calculator, is_disturbed, n_row, cell, x
):
    model = warmed_up(cell, n_row, ratio=0.5)
    before = states_of(model)
    calculator = new_calculator(model, class_index=1)
    how = {"M": 3, "seed": 0}
    if is_disturbed:
        how.update(train=True, noise_sampler=GaussianNoiseSampler())
    first = calculator.compute(x, batchsize=2, **how)
    assert states_of(model) == before
    np.testing.assert_array_equal(calculator.compute(x, batchsize=2, **how), first)
    other = calculator.compute(x, batchsize=16, **how)
    np.testing.assert_allclose(other, first, rtol=1e-9, atol=1e-12)


@every_pair(n_row=STATES, cell=list(CELLS))
def test_the_gradient_is_that_of_a_loop_that_begins_with_the_state(n_row, cell, x):
    model = warmed_up(cell, n_row)
    x = x.astype(model.out.W.dtype)
    samples = GradientCalculator(model, class_index=1).compute(x, M=2, batchsize=3)
    attributes = dict(vars(model.cell))
    start = {k: v for k, v in attributes.items() if k in ("c", "h") and v is not None}
    simple = {k: v for k, v in attributes.items() if isinstance(v, int)}
    decay = getattr(model.cell, "decay", np.zeros(0)).copy()

    def gradient(rows, index):
        vars(model.cell).update(simple)
        for name, state in start.items():
            array = state.array[index[:, 0] if n_row == 7 else [0] * len(rows)]
            vars(model.cell)[name] = chainer.Variable(array)
        if not start:
            model.cell.reset_state()
        if len(decay):
            model.cell.decay[...] = decay
        v = chainer.Variable(rows)
        with chainer.using_config("train", False):
            F.sum(model(v)[:, 1]).backward()
        return v.grad

    index = np.arange(len(x))[:, None]
    expected = loop_over_batches(gradient, 1, x, index)
    digits = np.finfo(x.dtype).eps
    np.testing.assert_allclose(samples, [expected] * 2, rtol=1e4 * digits, atol=digits)


@every_value(new_calculator=AGGREGATING, at=[None, "a file"])
def test_a_result_that_is_reduced_is_that_of_the_samples(
    new_calculator, at, x, tmp_path
):
    model = warmed_up("LSTM", 7, ratio=0.5)
    before = states_of(model)
    calculator = new_calculator(
        model, VariableMonitorLinkHook(model.cell, call=0), class_index=0
    )
    how = {"M": 3, "seed": 0, "train": True, "batchsize": 3}
    expected = calculator.aggregate(calculator.compute(x, **how))
    out = None if at is None else tmp_path / "x.npy"
    result = calculator.compute_aggregate(x, out=out, **how)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)
    assert states_of(model) == before


@every_cell
def test_the_state_is_there_after_an_exception(cell, x):
    model = warmed_up(cell, 7)
    x = x.astype(model.out.W.dtype)
    before = states_of(model)

    def interrupted(v):
        model(v)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GradientCalculator(model, eval_fun=interrupted).compute(x)
    assert states_of(model) == before


@pytest.mark.parametrize("cell", KINDS_OF_CELLS)
def test_relevance_of_a_state_stays_with_it(cell, x):
    """As with a bias: with a state of zeros, the input gets all there is."""
    model = warmed_up(cell, 7)
    calculator = LRPCalculator(model, class_index=0)
    assert np.isfinite(calculator.compute(x)).all()
    np.testing.assert_allclose(
        calculator.compute(x, batchsize=1), calculator.compute(x), rtol=1e-9, atol=1e-12
    )


def test_a_state_of_another_number_of_rows_is_named(x):
    model = warmed_up("LSTM", 4)
    with pytest.raises(ValueError, match=r"hidden state 'h'.* 4 rows.*reset_state"):
        GradientCalculator(model, class_index=0).compute(x)


@every_cell_of_chainer
def test_nothing_of_a_state_of_another_number_of_rows_is_used(cell, x):
    model = warmed_up(cell, 9)  # Chainer itself would take the first 7 of an LSTM's
    before = states_of(model)
    x = x.astype(model.out.W.dtype)
    with pytest.raises(ValueError, match=r"hidden state '[ch]'.* 9 rows.*reset_state"):
        GradientCalculator(model, class_index=0).compute(x)
    assert states_of(model) == before


@every_cell_of_chainer
@pytest.mark.parametrize("n_row", [4, 7, 9])
def test_a_state_that_is_reset_in_forward_may_be_of_any_batch(cell, n_row, x):
    """As it is after training, or after predictions for other data."""
    model = warmed_up(cell, n_row)
    before = states_of(model)
    x = x.astype(model.out.W.dtype)

    def from_the_beginning(v):
        model.cell.reset_state()
        return model(v)

    fresh = warmed_up(cell, 0)
    for new_calculator in (GradientCalculator, LRPCalculator):
        expected = new_calculator(fresh, class_index=0).compute(x)
        calculator = new_calculator(model, eval_fun=from_the_beginning, class_index=0)
        assert_array_equal(calculator.compute(x), expected)
        assert_array_equal(calculator.compute(x[:2]), expected[:, :2])
        assert states_of(model) == before


def test_a_state_that_is_reset_in_forward_is_put_back(x):
    model = warmed_up("LSTM", 7)
    before = states_of(model)

    def from_the_beginning(v):
        model.cell.reset_state()
        return model(v)

    fresh = warmed_up("LSTM", 0)
    expected = GradientCalculator(fresh, class_index=0).compute(x)
    calculator = GradientCalculator(model, eval_fun=from_the_beginning, class_index=0)
    np.testing.assert_array_equal(calculator.compute(x), expected)
    assert states_of(model) == before


@pytest.mark.parametrize("container", [
    dict, list, collections.OrderedDict, collections.deque,
    functools.partial(collections.defaultdict, int),
])  # fmt: skip
def test_what_a_link_keeps_in_containers_is_put_back(container):
    class Counting(chainer.Chain):
        def __init__(self):
            super().__init__()
            self.kept = container()
            with self.init_scope():
                self.l = L.Linear(3, 2)

        def forward(self, x):
            if isinstance(self.kept, dict):
                self.kept["n"] = self.kept.get("n", 0) + 1
            else:
                self.kept.append(1)
            n = self.kept["n"] if isinstance(self.kept, dict) else len(self.kept)
            return self.l(x) * n

    model = Counting()
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("f")
    calculator = GradientCalculator(model, class_index=0)
    first = calculator.compute(x)
    assert_array_equal(calculator.compute(x), first)
    assert len(model.kept) == 0
