"""An ``eval_fun`` may explain, too: neither call notices the other."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import EnsemblePosterior, GradientCalculator
from tests.calculator.kinds_of_calls import KINDS, Call, Subject, images
from tests.calculator.test_threads import state_of_all
from tests.covering import every_pair, every_value
from tests.networks import build

import chainer.links as L


@pytest.fixture
def subject():
    return Subject()


def check(outer, inner, when, outer_subject, inner_subject, folder):
    """Explains within an explanation, and compares both with what each gives alone."""
    data = images(0, 2)
    inside = Call(inner, inner_subject, images(1, 2), folder)
    expected = inside()
    expected_outside = Call(outer, outer_subject, data, folder)()
    model, found = outer_subject.model, []

    def eval_fun(v):
        if when == "before":
            found.append(inside())
        y = model(v)
        if when == "after":
            found.append(inside())
        return y

    before = state_of_all(outer_subject, inner_subject)
    outside = Call(outer, outer_subject, data, folder, eval_fun=eval_fun)
    assert outside() == expected_outside
    assert found
    assert all(result == expected for result in found)
    assert state_of_all(outer_subject, inner_subject) == before


TIMES = ["before", "after"]


@every_value(kind=list(KINDS), when=TIMES)
def test_a_calculator_within_its_like(kind, when, subject, tmp_path):
    check(kind, kind, when, subject, subject, tmp_path)


# Each puts something else in place during a pass: dropout masks, noise, hooks of links,
# parameters, hooks of functions.
INNER = ["bayes_grad", "smooth_grad", "extractor", "ensemble", "lrp"]


# Within a drawn network, what the model is would be a matter of opinion.
OUTER = [kind for kind in KINDS if kind not in INNER]


@every_value(outer=OUTER, inner=INNER, when=TIMES)
def test_a_calculator_within_another(outer, inner, when, subject, tmp_path):
    check(outer, inner, when, subject, subject, tmp_path)


@pytest.mark.large
@every_pair(outer=OUTER, inner=INNER, when=TIMES)
def test_any_calculator_within_any_other(outer, inner, when, subject, tmp_path):
    check(outer, inner, when, subject, subject, tmp_path)


@pytest.mark.large
@every_value(inner=list(KINDS), when=TIMES)
def test_a_calculator_of_another_model_within_a_posterior(
    inner, when, subject, tmp_path
):
    check("ensemble", inner, when, subject, Subject(1), tmp_path)


@pytest.mark.parametrize("batchsize", [1, 4])
def test_within_a_drawn_network_the_trained_one_is_explained(batchsize):
    """In each pass of the inner call, and the trained network stays what it is."""
    model, *members = (build(L.Linear, 3, 1, seed=seed) for seed in range(4))
    trained, data = model.W.array.copy(), np.ones((4, 3))
    inner, found = GradientCalculator(model), []

    def eval_fun(x):
        found.extend(inner.compute(data, batchsize=batchsize, show_progress=False)[0])
        return model(x)

    outer = GradientCalculator(model, eval_fun=eval_fun)
    posterior = EnsemblePosterior(members)
    samples = outer.compute(data[:1], M=3, posterior=posterior, show_progress=False)
    np.testing.assert_array_equal(samples[:, 0], [m.W.array[0] for m in members])
    assert len(found) == 3 * len(data)
    np.testing.assert_array_equal(found, np.tile(trained, (len(found), 1)))
    np.testing.assert_array_equal(model.W.array, trained)


def test_within_drawn_networks_a_file_is_of_the_trained_one(tmp_path):
    """So that each pass finds there what it would compute."""
    model, *members = (build(L.Linear, 3, 1, seed=seed) for seed in range(4))
    inner, data, out = GradientCalculator(model), np.ones((4, 3)), tmp_path / "x.npy"
    found = []

    def eval_fun(x):
        found.append(np.array(inner.compute_aggregate(data, out=out)))
        return model(x)

    outer = GradientCalculator(model, eval_fun=eval_fun)
    outer.compute(data[:1], M=3, posterior=EnsemblePosterior(members))
    assert len(found) == 3
    expected = inner.compute_aggregate(data, out=out)
    np.testing.assert_array_equal(found, [expected] * 3)
    np.testing.assert_array_equal(expected, np.tile(model.W.array, (4, 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_one_calculator_within_itself(kind, subject, tmp_path):
    """The eval_fun of a calculator that calls this calculator, but for the first."""
    data, found, depth = images(0, 2), [], []
    expected = Call(kind, subject, data, tmp_path)()
    expected_inside = Call(kind, subject, images(1, 2), tmp_path)()

    def eval_fun(v):
        if not depth:
            depth.append(1)
            found.append(inside())
            depth.pop()
        return subject.model(v)

    outside = Call(kind, subject, data, tmp_path, eval_fun=eval_fun)
    inside = Call(kind, subject, images(1, 2), tmp_path, calculator=outside.calculator)
    before = state_of_all(subject)
    assert outside() == expected
    assert found
    assert all(result == expected_inside for result in found)
    assert state_of_all(subject) == before


@pytest.mark.large
def test_an_inner_call_that_raises_leaves_the_outer_as_it_is(subject, tmp_path):
    """Where the eval_fun catches what its own explanation raised."""

    def blow(v):
        subject.model(v)
        raise RuntimeError("the fuse has blown")

    for kind in KINDS:
        broken = Call(kind, subject, images(1, 2), tmp_path, eval_fun=blow)

        def eval_fun(v, broken=broken):
            with pytest.raises(RuntimeError, match="the fuse has blown"):
                broken()
            return subject.model(v)

        expected = Call(kind, subject, images(0, 2), tmp_path)()
        before = state_of_all(subject)
        outside = Call(kind, subject, images(0, 2), tmp_path, eval_fun=eval_fun)
        assert outside() == expected, kind
        assert state_of_all(subject) == before, kind


def test_the_model_runs_as_before_behind_an_inner_call(subject, tmp_path):
    """In training mode, with the outer call's dropout and random numbers."""
    inside = Call("bayes_grad", subject, images(1, 2), tmp_path)
    calls = {}
    for explains in (False, True):
        outputs = calls[explains] = []

        def eval_fun(v, explains=explains, outputs=outputs):
            first = subject.model(v)
            if explains:
                inside()
            second = subject.model(v)
            outputs.append((first.array.tobytes(), second.array.tobytes()))
            outputs.append(np.random.normal())
            return first + second

        Call("bayes_grad", subject, images(0, 2), tmp_path, eval_fun=eval_fun)()
    assert calls[True] == calls[False]
