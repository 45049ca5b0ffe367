"""Ctrl-C at any moment of a call leaves nothing changed."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    EnsemblePosterior,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
)
from saliency.interrupts import held_back
from tests.calculator.test_promises import state_of, trained_network

import chainer

pytestmark = pytest.mark.filterwarnings("ignore:all M=")


@pytest.fixture(autouse=True)
def _ctrl_c_raises():
    """Lets Ctrl-C raise, also where a shell has started the tests in the background.

    Such processes ignore it, and so do those that they start.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def kinds_of_calls(model, x):
    """Returns calls that take from a few milliseconds to a few tenths of a second."""
    at_hidden = VariableMonitorLinkHook(model.l1)
    calls = {
        "gradient": GradientCalculator(model).compute,
        "smooth": functools.partial(SmoothGradCalculator(model).compute, M=10),
        "bayes": functools.partial(BayesGradCalculator(model, at_hidden).compute, M=10),
        "occlusion": functools.partial(
            OcclusionCalculator(model, slide_axis=1).compute, train=True
        ),
        "lrp": functools.partial(LRPCalculator(model, class_index=0).compute, M=5),
        "paths": functools.partial(
            IntegratedGradientsCalculator(model, baseline="mean").compute_aggregate,
            M=2,
            noise_sampler=GaussianNoiseSampler(),
        ),
        "ensemble": functools.partial(
            GradientCalculator(model).compute,
            M=4,
            posterior=EnsemblePosterior([model] * 4),
        ),
    }
    return {k: functools.partial(f, x, show_progress=False) for k, f in calls.items()}


def subclasses(cls):
    return {cls}.union(*map(subclasses, cls.__subclasses__()))


def state_of_process():
    """Returns what a call borrows of the process."""
    classes = subclasses(chainer.FunctionNode) | subclasses(chainer.Link)
    classes |= {chainer.Variable, chainer.Parameter}
    return {
        "errstate": np.geterr(),
        "reporters": list(chainer.reporter._get_reporters()),
        "methods": {cls: dict(vars(cls)) for cls in classes},
        "handlers": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
    }


def interrupt(call, delay):
    """Makes a call and sends Ctrl-C after a while; returns whether it was raised."""

    def send():
        time.sleep(delay)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=send)
    try:
        thread.start()
        call()
        thread.join()
        time.sleep(0.001)
    except KeyboardInterrupt:
        return True
    finally:
        thread.join()
    return False


@pytest.mark.large
def test_nothing_is_left_changed_at_any_moment():
    n_interrupt = 400
    rng = np.random.default_rng(0)
    model = trained_network(None)
    x = rng.normal(size=(20, 4))
    calls = kinds_of_calls(model, x)
    durations = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        durations[name] = time.perf_counter() - start
    expected = state_of(model, x), state_of_process()
    n_raised = 0
    for name in rng.choice(list(calls), n_interrupt):
        n_raised += interrupt(calls[name], rng.uniform(0, durations[name]))
        assert (state_of(model, x), state_of_process()) == expected, name
    assert n_raised > 0.9 * n_interrupt


class TestHeldBack:
    def test_a_signal_waits_where_our_own_code_runs(self):
        events = []
        # Code that seems to be the engine's.
        code = compile(
            "signal.raise_signal(signal.SIGINT)\nevents.append('done')",
            held_back.__wrapped__.__code__.co_filename,
            "exec",
        )
        with pytest.raises(KeyboardInterrupt), held_back():
            exec(code, {"signal": signal, "events": events})
            time.sleep(60)  # is interrupted, since this is the user's code
            events.append("not interrupted")
        assert events == ["done"]

    def test_the_user_is_interrupted_at_once(self):
        with pytest.raises(KeyboardInterrupt), held_back():
            signal.raise_signal(signal.SIGINT)
            pytest.fail("not reached")

    def test_a_handler_of_the_users_own(self):
        heard = []
        before = signal.signal(signal.SIGINT, lambda signum, frame: heard.append(1))
        try:
            ours = signal.getsignal(signal.SIGINT)
            with held_back(), held_back():
                signal.raise_signal(signal.SIGINT)
            assert heard == [1]
            assert signal.getsignal(signal.SIGINT) is ours
        finally:
            signal.signal(signal.SIGINT, before)

    def test_one_that_the_user_sets_within_stays(self):
        before = signal.getsignal(signal.SIGINT)
        try:
            with held_back():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)

    def test_other_threads_have_nothing_to_hold_back(self):
        before = signal.getsignal(signal.SIGINT)
        found = []

        def look():
            with held_back():
                found.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert found == [before]


@pytest.mark.large
def test_a_hanging_model_can_be_interrupted():
    """In a process of its own, as it is done at a terminal."""
    script = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from saliency import GradientCalculator
import numpy as np

def hangs(x):
    print("hangs", flush=True)
    time.sleep(60)

try:
    GradientCalculator(hangs).compute(np.zeros((2, 3), "f"), show_progress=False)
except KeyboardInterrupt:
    print("interrupted")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out == "interrupted\n"
