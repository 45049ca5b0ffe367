"""Calls in several threads give what each gives alone, and leave nothing behind."""

from __future__ import annotations

import sys
import threading
from functools import partial

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import GradientCalculator, IntegratedGradientsCalculator
from tests.calculator.kinds_of_calls import KINDS, Call, Subject, images
from tests.calculator.test_promises import state_of
from tests.calculator.threads import (
    LIMIT,
    in_threads,
    methods_of_chainer,
    state_of_thread,
)
from tests.networks import Fuse, Sequence, build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples

N_TRIAL = 3

every_kind = pytest.mark.parametrize("kind", KINDS)

# About a thousand trials.
pytestmark = pytest.mark.large


@pytest.fixture(autouse=True)
def threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def global_random_state():
    before = np.random.get_state()
    np.random.seed(9)
    np.random.normal()  # half of a pair: the other half is part of the state
    yield
    np.random.set_state(before)


@pytest.fixture
def subject():
    return Subject()


def state_of_all(*subjects):
    """Returns all that calls must leave as it is."""
    return {
        "models": [state_of(subject.model) for subject in subjects],
        "numbers of hooks": [
            link._n_local_link_hooks
            for subject in subjects
            for link in subject.model.links()
        ],
        "extractors": [
            (subject.monitor.variables, dict(subject.monitor.process_fns))
            for subject in subjects
        ],
        "random state": repr(np.random.get_state()),
        "methods of Chainer": methods_of_chainer(),
    }


def leaving_its_thread_alone(work):
    """Returns the work with a check that it leaves its thread as it was."""

    def checked():
        before = state_of_thread()
        try:
            return work()
        finally:
            assert state_of_thread() == before

    return checked


def together(*calls):
    return in_threads(*map(leaving_its_thread_alone, calls))


def check(calls, subjects, n_trial=N_TRIAL):
    """Makes the calls together, as often as there are trials, and compares."""
    alone = [call() for call in calls]
    before = state_of_all(*subjects)
    for _ in range(n_trial):
        assert together(*calls) == alone
    assert state_of_all(*subjects) == before


# Each with itself, with the next one and with the fifth behind it: what two have in
# common that share one block, of the CPU, of a hook or of dropout, each has with some.
_RING = [*KINDS, *KINDS]
SOME_TWO = [(_RING[i], _RING[i + k]) for i in range(len(KINDS)) for k in (0, 1, 5)]


@pytest.mark.parametrize(("first", "second"), SOME_TWO)
def test_two_calculators_on_one_model(first, second, subject, tmp_path):
    calls = [
        Call(kind, subject, images(i), tmp_path)
        for i, kind in enumerate((first, second))
    ]
    check(calls, [subject])


LIKE_AND_NEXT = [*zip(KINDS, KINDS), *zip(KINDS, list(KINDS)[1:])]


@pytest.mark.parametrize(("first", "second"), LIKE_AND_NEXT)
def test_two_models(first, second, tmp_path):
    subjects = [Subject(seed) for seed in (0, 1)]
    calls = [
        Call(kind, subject, images(i), tmp_path)
        for i, (kind, subject) in enumerate(zip((first, second), subjects))
    ]
    check(calls, subjects, n_trial=2)


@every_kind
def test_one_calculator_with_the_data_of_each_thread(kind, subject, tmp_path):
    first = Call(kind, subject, images(0), tmp_path)
    others = [
        Call(kind, subject, images(i, n), tmp_path, calculator=first.calculator)
        for i, n in ((1, 3), (2, 6))
    ]
    check([first, *others], [subject])


@every_kind
@pytest.mark.parametrize("blows_at", [1, 2])
def test_a_call_that_raises_does_not_disturb_the_other(
    kind, blows_at, subject, tmp_path
):
    fuse = Fuse(blows_at)
    broken = Call(
        kind,
        subject,
        images(1),
        tmp_path,
        eval_fun=lambda v: fuse(subject.model(v)),
    )
    right = Call(kind, subject, images(0), tmp_path)
    alone = right()
    before = state_of_all(subject)

    def blow():
        fuse.n_call = 0
        with pytest.raises(RuntimeError, match="the fuse has blown"):
            broken()

    for _ in range(N_TRIAL):
        assert together(right, blow) == [alone, None]
    assert state_of_all(subject) == before


def in_evaluation_mode(model, x):
    with chainer.using_config("train", False):
        return model(x).array.tobytes()


@every_kind
def test_a_thread_that_runs_the_model_itself_notices_nothing(kind, tmp_path):
    subject = Subject(counts=False)
    model, x = subject.model, images(1)
    call = Call(kind, subject, images(0), tmp_path)
    alone, expected = call(), in_evaluation_mode(model, x)
    before = state_of_all(subject)
    is_done = threading.Event()

    def explain():
        try:
            for _ in range(N_TRIAL):
                assert call() == alone
        finally:
            is_done.set()

    def run():
        own = state_of_thread()
        outputs, hooks = set(), []
        while not is_done.is_set():
            outputs.add(in_evaluation_mode(model, x))
            hooks += [
                hook
                for link in model.links()
                for hook in link.local_link_hooks.values()
            ]
            assert state_of_thread() == own
        return outputs, hooks

    assert together(explain, run) == [None, ({expected}, [])]
    assert state_of_all(subject) == before


@pytest.mark.parametrize("kind", ["extractor", "shared_extractor", "lrp_layers"])
def test_a_hook_of_the_user_catches_what_its_own_thread_does(kind, subject, tmp_path):
    model, x = subject.model, images(1)
    call = Call(kind, subject, images(0), tmp_path)
    alone = call()
    with VariableMonitorLinkHook(model.hidden) as hook:
        in_evaluation_mode(model, x)
    expected = hook.get_variable().array.tobytes()
    is_done = threading.Event()

    def explain():
        try:
            for _ in range(N_TRIAL):
                assert call() == alone
        finally:
            is_done.set()

    def watch():
        caught = []
        while not is_done.is_set():
            with VariableMonitorLinkHook(model.hidden) as hook:
                in_evaluation_mode(model, x)
            caught.append([v.array.tobytes() for v in hook.variables])
        return caught

    _, caught = together(explain, watch)
    assert all(variables == [expected] for variables in caught)


def test_an_extractor_reacts_in_the_thread_of_its_call_alone(subject):
    model, threads = subject.model, set()

    def extract(hook, args):
        threads.add(threading.get_ident())
        return args.out

    monitor = VariableMonitorLinkHook(model.hidden, extract_fn=extract)
    calculator = IntegratedGradientsCalculator(model, monitor, class_index=0, steps=3)
    is_done = threading.Event()

    def explain():
        try:
            for _ in range(N_TRIAL):
                calculator.compute(images(0), batchsize=4, show_progress=False)
        finally:
            is_done.set()
        return threading.get_ident()

    def run():
        while not is_done.is_set():
            in_evaluation_mode(model, images(1))

    assert {together(explain, run)[0]} == threads


def ragged(lengths):
    rng = np.random.default_rng(sum(lengths))
    return [rng.normal(size=(n, 2)) for n in lengths]


def test_lengths_and_inputs_are_of_the_threads_own_call():
    calculator = GradientCalculator(build(Sequence), class_index=0)
    how = {
        "converter": partial(concat_examples, padding=0),
        "batchsize": 2,
        "retain_inputs": True,
        "show_progress": False,
    }
    calculator.compute(ragged([6, 1]), **how)
    both_have_computed = threading.Barrier(2)

    def work(lengths):
        data = ragged(lengths)
        padded = F.pad_sequence(data, padding=0).array

        def compute():
            calculator.compute(data, **how)
            both_have_computed.wait(LIMIT)
            (inputs,) = calculator.inputs
            return calculator.lengths.tolist(), inputs.tobytes() == padded.tobytes()

        return compute

    for _ in range(5):
        results = together(work([2, 5, 3]), work([4, 1, 1, 2, 7]))
        assert results == [([2, 5, 3], True), ([4, 1, 1, 2, 7], True)]
    assert calculator.lengths.tolist() == [6, 1]
    assert calculator.inputs[0].shape == (2, 6, 2)


def test_a_thread_that_has_computed_nothing_has_no_lengths_and_inputs():
    calculator = GradientCalculator(build(Sequence), class_index=0)
    converter = partial(concat_examples, padding=0)
    data = ragged([2, 5])
    calculator.compute(
        data, converter=converter, retain_inputs=True, show_progress=False
    )
    assert calculator.lengths is not None
    assert in_threads(lambda: (calculator.lengths, calculator.inputs)) == [(None, None)]
