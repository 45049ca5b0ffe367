"""Where memory runs out, passes are halved and the work goes on."""

from __future__ import annotations

import warnings
import weakref
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import GradientCalculator, LRPCalculator, SmoothGradCalculator
from tests.calculator.every_calculator import every_calculator_with
from tests.covering import every_pair, every_value
from tests.networks import MLP, Sequence, build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples


class Small:
    """A device with room for some rows; counts what ran with a graph."""

    def __init__(self, room):
        self.room = room
        self.n_row = 0

    def __call__(self, v):
        if len(v) > self.room:
            raise MemoryError(f"{len(v)} rows do not fit")
        self.n_row += len(v) * chainer.config.enable_backprop
        return v * 1


@pytest.mark.large
@every_calculator_with(
    every_pair, class_index=[0, "argmax"], train=[False, True], room=[1, 3, 8]
)
def test_the_result_is_the_same(new_calculator, class_index, train, room, x):
    model = build(MLP, dropout=0.5)
    how = {"M": 4, "seed": 0, "train": train}
    expected = new_calculator(model, class_index=class_index).compute(x, **how)
    small = Small(room)
    calculator = new_calculator(
        model, eval_fun=lambda v: small(model(v)), class_index=class_index
    )
    with pytest.warns(UserWarning, match="ran out of memory") as caught:
        result = calculator.compute(x, **how)
    assert_allclose(result, expected, rtol=1e-9, atol=1e-12)
    n_call = 2 if "paths" in vars(calculator) else 1
    assert len([w for w in caught if "out of memory" in str(w.message)]) == n_call


def test_no_row_is_run_twice_or_left_out(x):
    small = Small(4)
    calculator = SmoothGradCalculator(lambda v: F.sum(small(v) ** 2, 1, True))
    with pytest.warns(UserWarning, match="out of memory"):
        calculator.compute_aggregate(x, M=5)
    assert small.n_row == 7 * 5


def test_the_warning_names_both_sizes_and_the_users_line(x):
    small = Small(5)
    calculator = GradientCalculator(lambda v: F.sum(small(v), axis=1))
    message = r"a pass of 35 rows .* with 4 rows. Pass batchsize=4"
    with pytest.warns(UserWarning, match=message) as caught:
        calculator.compute_aggregate(x, M=5)
    assert caught[0].filename == __file__


def test_each_call_starts_with_the_batchsize_it_is_given(x):
    small = Small(4)
    calculator = GradientCalculator(lambda v: F.sum(small(v), axis=1))
    for _ in range(2):
        with pytest.warns(UserWarning, match="a pass of 7 rows"):
            calculator.compute_aggregate(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calculator.compute_aggregate(x, batchsize=4)


def test_one_row_that_does_not_fit_is_an_error(x):
    small = Small(0)
    calculator = GradientCalculator(lambda v: F.sum(small(v), axis=1))
    with pytest.raises(MemoryError, match="1 rows do not fit"):
        calculator.compute(x)


@pytest.mark.parametrize("room", [1, 3, 5])
def test_a_batch_that_must_be_whole_is_not_split(room, x):
    """It is one value of seven examples; three of them have another."""
    small = Small(room)
    calculator = GradientCalculator(lambda v: F.mean(small(v) ** 2))
    with pytest.raises(MemoryError, match=r"7 rows.*whole.*smaller batchsize"):
        calculator.compute(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calculator.compute(x, batchsize=room)


def test_an_input_that_is_not_split_is_not_split(x):
    small = Small(3)
    calculator = GradientCalculator(lambda v, table: F.matmul(small(v), table))
    table = np.ones((4, 1))
    with pytest.raises(MemoryError, match="whole"):
        calculator.compute(x, preprocess_fn=lambda v: (v, table))


def test_examples_of_different_lengths(rng):
    model = build(Sequence)
    small = Small(2)
    sequences = [rng.normal(size=(n, 2)) for n in (2, 5, 3, 3, 1)]
    how = {"converter": partial(concat_examples, padding=0), "M": 3, "seed": 0}
    expected = SmoothGradCalculator(model).compute(sequences, **how)
    calculator = SmoothGradCalculator(model, eval_fun=lambda v: model(small(v)))
    with pytest.warns(UserWarning, match="out of memory"):
        result = calculator.compute(sequences, **how)
    assert_allclose(result, expected, rtol=1e-9)


@every_calculator_with(every_value, train=[False, True])
def test_the_arrays_of_a_failed_pass_are_gone_before_the_next(new_calculator, train, x):
    """Their error would hold them otherwise."""
    network = build(MLP, dropout=0.5)
    alive = weakref.WeakSet()

    class Held:
        pass

    class Model(chainer.Chain):
        def forward(self, v):
            if chainer.config.enable_backprop:
                assert not alive
            held = Held()
            alive.add(held)
            h = network(v)
            if len(h) > 3:
                raise MemoryError
            return h

    with pytest.warns(UserWarning, match="out of memory"):
        new_calculator(Model(), class_index=0).compute(x, train=train, seed=0)


def test_of_relevance_that_is_accounted_for(x):
    """No pass is counted twice."""
    model = build(MLP, activation=F.relu)
    small = Small(4)
    calculator = LRPCalculator(model, eval_fun=lambda v: model(small(v)), class_index=0)
    with pytest.warns(UserWarning, match="out of memory"):
        report = str(calculator.conservation(x))
    small.room = 100
    assert report == str(calculator.conservation(x))
