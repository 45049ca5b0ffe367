"""Which column of the output is explained."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    GaussianNoiseSampler,
    GradientCalculator,
    LRPCalculator,
    OcclusionCalculator,
)
from tests.calculator.every_calculator import every_calculator, every_calculator_with
from tests.calculator.oracles import run
from tests.covering import every_value
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


@pytest.fixture
def model():
    return build(MLP, n_out=3)


def of_each_class(new_calculator, model, x, **how):
    """Returns the saliency of classes 0, 1, 2: an oracle for all other forms."""
    results = []
    for c in range(3):
        calculator = new_calculator(model, eval_fun=lambda v, c=c: model(v)[:, c])
        results.append(calculator.compute(x, seed=0, **how))
    return np.stack(results)


class TestForms:
    @every_calculator_with(every_value, c=[0, 1, 2, np.int64(1)])
    def test_an_int_is_that_column(self, new_calculator, model, x, c):
        samples = new_calculator(model, class_index=c).compute(x, seed=0)
        expected = of_each_class(new_calculator, model, x)[int(c)]
        assert_allclose(samples, expected, rtol=1e-10, atol=1e-14)

    @every_calculator_with(
        every_value, batchsize=[2, 16], form={"list": list, "array": np.array}
    )
    def test_one_for_each_example(self, new_calculator, model, x, batchsize, form):
        classes = [2, 0, 1, 1, 0, 2, 0]
        how = {"M": 2, "batchsize": batchsize}
        samples = new_calculator(model, class_index=form(classes)).compute(
            x, seed=0, **how
        )
        each = of_each_class(new_calculator, model, x, **how)
        for i, c in enumerate(classes):
            assert_allclose(samples[:, i], each[c][:, i], rtol=1e-10, atol=1e-14)

    @every_calculator
    def test_argmax_is_the_class_predicted_for_each(self, new_calculator, model, x):
        predicted = run(model, x).argmax(axis=1)
        assert len(set(predicted)) > 1
        samples = new_calculator(model, class_index="argmax").compute(x, seed=0)
        expected = new_calculator(model, class_index=predicted).compute(x, seed=0)
        assert_allclose(samples, expected, rtol=1e-12)

    @every_calculator_with(every_value, train=[False, True])
    def test_argmax_is_predicted_without_noise_and_dropout(
        self, new_calculator, train, x
    ):
        model = build(MLP, n_out=3, dropout=0.7)
        how = {
            "M": 4,
            "train": train,
            "noise_sampler": GaussianNoiseSampler("absolute", 3.0),
            "seed": 0,
        }
        samples = new_calculator(model, class_index="argmax").compute(x, **how)
        predicted = run(model, x).argmax(axis=1)
        expected = new_calculator(model, class_index=predicted).compute(x, **how)
        assert_allclose(samples, expected, rtol=1e-12)

    @every_calculator
    def test_argmax_where_the_target_is_hidden(self, new_calculator, x):
        from link_hooks import VariableMonitorLinkHook

        model = build(MLP, n_out=3, depth=3)
        at_l1 = VariableMonitorLinkHook(model.l1)
        predicted = run(model, x).argmax(axis=1)
        samples, expected = (
            new_calculator(model, at_l1, class_index=c).compute(x, seed=0)
            for c in ("argmax", predicted)
        )
        assert_allclose(samples, expected, rtol=1e-12)

    @every_calculator
    def test_a_vector_has_one_class(self, new_calculator, x):
        one, every = (
            new_calculator(lambda v: F.sum(v**2, axis=1), class_index=c)
            for c in (0, "argmax")
        )
        plain = new_calculator(lambda v: F.sum(v**2, axis=1)).compute(x, seed=0)
        assert_array_equal(one.compute(x, seed=0), plain)
        assert_array_equal(every.compute(x, seed=0), plain)


class TestWarning:
    """None sums the columns, which is wrong for class scores: one warning says so."""

    def warnings_of(self, calculator, data, **how):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            calculator.compute(data, **how)
        return [w for w in caught if "class_index" in str(w.message)]

    @every_calculator
    def test_is_given_once_for_a_job_of_many_passes(self, new_calculator, model, x):
        calculator = new_calculator(model)
        how = {"M": 3, "batchsize": 2, "seed": 0}
        for _ in range(2):  # once for each compute, not once for ever
            caught = self.warnings_of(calculator, x, **how)
            n_job = 2 if "paths" in vars(calculator) else 1
            assert len(caught) == n_job
            assert "'argmax'" in str(caught[0].message)
            assert "3 columns" in str(caught[0].message)

    @every_calculator
    def test_points_at_the_line_that_called_compute(self, new_calculator, model, x):
        calculator = new_calculator(model)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(calculator, "paths", calculator).compute(x)
        ours = [w for w in caught if "sum of the" in str(w.message)]
        assert [w.filename for w in ours] == [__file__]

    @every_calculator
    def test_is_not_given_for_one_column(self, new_calculator, x):
        calculator = new_calculator(build(MLP, n_out=1))
        assert self.warnings_of(calculator, x, seed=0) == []

    @every_calculator_with(every_value, reduce=["vector", "scalar"])
    def test_is_not_given_for_one_value(self, new_calculator, model, reduce, x):
        axis = 1 if reduce == "vector" else None
        calculator = new_calculator(
            model, eval_fun=lambda v: F.sum(model(v), axis=axis)
        )
        assert self.warnings_of(calculator, x, seed=0) == []

    @every_calculator_with(every_value, class_index=[0, "argmax", [0] * 7])
    def test_is_not_given_where_a_class_is_chosen(
        self, new_calculator, model, class_index, x
    ):
        calculator = new_calculator(model, class_index=class_index)
        assert self.warnings_of(calculator, x, seed=0) == []


class TestBadValues:
    @every_calculator_with(
        every_value,
        class_index=[
            *("max", "all?", 1.0, True, [0.5, 1], [[0, 1]]),
            *(np.array([True, False]), {}, []),
        ],
    )
    def test_are_refused_at_the_door(self, new_calculator, model, class_index):
        with pytest.raises((ValueError, TypeError), match="class_index"):
            new_calculator(model, class_index=class_index)

    @every_calculator_with(every_value, class_index=[3, -1, [0, 1, 2, 0, 1, 2, 3]])
    def test_out_of_range(self, new_calculator, model, class_index, x):
        calculator = new_calculator(model, class_index=class_index)
        with pytest.raises(ValueError, match=r"class_index.*0\.\.2"):
            calculator.compute(x)

    @every_calculator_with(every_value, n=[1, 6, 8, 16])
    def test_of_the_wrong_length(self, new_calculator, model, n, x):
        calculator = new_calculator(model, class_index=[0] * n)
        with pytest.raises(ValueError, match=rf"class_index.*7 examples.*{n}"):
            calculator.compute(x)

    @every_calculator
    def test_argmax_of_an_output_map(self, new_calculator, x):
        calculator = new_calculator(
            lambda v: F.reshape(v, (-1, 2, 2)), class_index="argmax"
        )
        with pytest.raises(ValueError, match="class_index='argmax'"):
            calculator.compute(x)


def test_all_belongs_to_occlusion(model, x):
    every = OcclusionCalculator(model, class_index="all", slide_axis=1).compute(x)
    each = of_each_class(
        lambda *a, **k: OcclusionCalculator(*a, slide_axis=1, **k), model, x
    )
    assert_allclose(every, np.moveaxis(each, 0, 2), atol=1e-14)
    with pytest.raises(ValueError, match="class_index"):
        GradientCalculator(model, class_index="all")


def test_classes_of_a_linear_model_are_its_rows(x):
    model = build(L.Linear, 4, 3)
    classes = [0, 1, 2, 0, 1, 2, 0]
    samples = GradientCalculator(model, class_index=classes).compute(x, batchsize=3)
    assert_array_equal(samples[0], model.W.array[classes])


class TestSum:
    """``'sum'`` can be asked for in every calculator; None means it in most."""

    @every_calculator
    def test_is_what_is_explained_without_a_warning(self, new_calculator, x):
        model = build(MLP)
        how = {"M": 1, "seed": 0, "batchsize": 3}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Of two steps.
            warnings.filterwarnings("ignore", "the attributions of example")
            samples = new_calculator(model, class_index="sum").compute(x, **how)

        def summed(v):
            return F.sum(model(v), axis=1)

        expected = new_calculator(model, eval_fun=summed).compute(x, **how)
        np.testing.assert_allclose(samples, expected, rtol=1e-6, atol=1e-9)


class Steps(chainer.Chain):
    """Scores of shape (N, 3, 4, 2), of every element of the input."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.hidden = L.Linear(4, 6)
            self.scores = L.Linear(6, 24)

    def forward(self, x):
        return F.reshape(self.scores(F.tanh(self.hidden(x))), (-1, 3, 4, 2))


INDEXES = [(1,), (2, 3), (1, slice(1, 3)), (slice(None), 2, 1), (0, slice(0, 4, 2), 0)]


class TestIndexTuples:
    """An index into the axes behind the batch axis, for outputs of any rank."""

    @every_calculator_with(every_value, index=INDEXES)
    def test_explain_the_sum_of_what_they_pick(self, new_calculator, index, x):
        model = build(Steps)

        def picked(v):
            return F.sum(F.reshape(model(v)[(slice(None), *index)], (len(v), -1)), 1)

        how = {"M": 2, "seed": 0, "batchsize": 3}
        samples = new_calculator(model, class_index=index).compute(x, **how)
        if new_calculator.__class__ is partial and new_calculator.func is LRPCalculator:
            # There relevance begins at each picked element, not at their sum.
            assert_allclose(
                new_calculator(model, class_index=index).compute(x[1:2], M=1)[0, 0],
                samples[0, 1],
                rtol=1e-9,
            )
            return
        expected = new_calculator(model, eval_fun=picked).compute(x, **how)
        assert_allclose(samples, expected, rtol=1e-9, atol=1e-12)

    def test_relevance_of_a_part_adds_up_to_its_score(self, x):
        model = build(Steps)
        for parameter in (model.hidden.b, model.scores.b):
            parameter.array[...] = 0
        for index in INDEXES:
            lrp = LRPCalculator(model, rule="lrp0", class_index=index).compute(x)[0]
            picked = run(model, x)[(slice(None), *index)].reshape(len(x), -1)
            assert_allclose(lrp.sum(axis=1), picked.sum(axis=1), rtol=1e-9)

    def test_an_int_picks_along_axis_1_with_a_warning(self, x):
        model = build(Steps)
        with pytest.warns(UserWarning, match=r"axis 1 of an output of shape \(7, 3, 4"):
            samples = GradientCalculator(model, class_index=2).compute(x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            expected = GradientCalculator(model, class_index=(2,)).compute(x)
        assert_array_equal(samples, expected)

    @pytest.mark.parametrize(
        "index", [(3,), (-1,), (0, 4), (0, 0, 0, 0), (slice(5, 9),)]
    )
    def test_one_that_picks_nothing_is_refused(self, index, x):
        with pytest.raises(ValueError, match=r"class_index=.*picks nothing"):
            GradientCalculator(build(Steps), class_index=index).compute(x)

    @pytest.mark.parametrize("index", [(), (None,), ("a",), (0.5,), (True,), ([1],)])
    def test_what_is_no_index_is_refused_at_the_door(self, index):
        with pytest.raises(ValueError, match="class_index as a tuple"):
            GradientCalculator(build(Steps), class_index=index)
