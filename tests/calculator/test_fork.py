"""A process that is forked while another thread explains can explain as well."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import threading

import numpy as np
import pytest
import threadpoolctl

from saliency import GradientCalculator
from saliency.cpu.threads import threads
from tests.calculator.kinds_of_calls import KINDS, Call, Subject, images
from tests.calculator.threads import LIMIT, in_threads, methods_of_chainer
from tests.covering import every_value

import chainer
import chainer.functions as F
import chainer.links as L

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
    # Python warns of what is tested here: forking beside other threads.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

LIMIT_OF_CHILD = 20  # seconds, after which it is taken to hang


def in_child(work):
    """Returns what the work returns in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            try:
                outcome = work()
            except BaseException as error:
                outcome = f"raised {error!r}"
            os.write(writing, pickle.dumps(outcome))
            code = 0
        finally:
            os._exit(code)  # neither what pytest does at its end, nor coverage
    os.close(writing)
    try:
        is_done, _, _ = select.select([reading], [], [], LIMIT_OF_CHILD)
        if not is_done:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the child hangs")
        return pickle.loads(os.read(reading, 1 << 16))
    finally:
        os.close(reading)
        os.waitpid(child, 0)


@contextlib.contextmanager
def held(model):
    """Returns an eval_fun for a block, and an event: it stands still in its pass.

    At the second pass, when something has been learned from the first.
    """
    is_inside, may_go_on, n_pass = threading.Event(), threading.Event(), []

    def eval_fun(v):
        n_pass.append(1)
        y = model(v)
        if len(n_pass) == 2:
            is_inside.set()
            assert may_go_on.wait(LIMIT), "forking waits for the other thread"
        return y

    try:
        yield eval_fun, is_inside, may_go_on
    finally:
        may_go_on.set()


def fork_beside(kind, work, subject, folder):
    """Returns what the work returns in a child forked in the middle of a call."""
    expected = Call(kind, subject, images(0), folder)()
    with held(subject.model) as (eval_fun, is_inside, may_go_on):
        call = Call(kind, subject, images(0), folder, eval_fun=eval_fun)

        def fork():
            assert is_inside.wait(LIMIT)
            try:
                return in_child(work)
            finally:
                may_go_on.set()

        result, of_child = in_threads(call, fork)
    assert result == expected  # the parent goes on as if nothing had happened
    return of_child


@pytest.mark.large
@every_value(
    kind=list(KINDS), of_child=["gradient", "bayes_grad", "ensemble", "own_noise"]
)
def test_a_child_explains_what_its_parent_would(kind, of_child, tmp_path):
    """It begins with the trained model as it is, and with Chainer's own code."""
    subject = Subject()
    call = Call(of_child, subject, images(1), tmp_path)
    original = methods_of_chainer()

    def plain_output():
        with chainer.using_config("train", False):
            return subject.model(images(1)).array.tobytes()

    def work():
        random_state = repr(np.random.get_state())
        hooks = [h for k in subject.model.links() for h in k.local_link_hooks]
        return {
            "hooks": hooks,
            "Chainer as it was at first": methods_of_chainer() == original,
            "output": plain_output(),
            "result": call(),
            "Chainer as it was": methods_of_chainer() == original,
            "random state as it was": repr(np.random.get_state()) == random_state,
        }

    expected = {
        "hooks": [],
        "Chainer as it was at first": True,
        "output": plain_output(),
        "result": call(),
        "Chainer as it was": True,
        "random state as it was": True,
    }
    assert fork_beside(kind, work, subject, tmp_path) == expected


@pytest.mark.large
@pytest.mark.parametrize("kind", KINDS)
def test_a_child_explains_in_threads(kind, tmp_path):
    subject = Subject()
    calls = [Call(kind, subject, images(i), tmp_path) for i in (1, 2)]
    expected = [call() for call in calls]
    assert fork_beside(kind, lambda: in_threads(*calls), subject, tmp_path) == expected


def n_blas_threads():
    return [
        info["num_threads"]
        for info in threadpoolctl.threadpool_info()
        if info["user_api"] == "blas"
    ]


def test_a_child_that_is_forked_during_a_convolution_has_all_threads_of_blas(rng):
    """While one runs, BLAS has one thread in the whole process.

    What stands for it here does not call BLAS, whose own preparations for a fork may
    hang where another thread is within it.
    """
    with chainer.using_config("dtype", np.dtype(np.float32)):
        model = chainer.Sequential(L.Convolution2D(16, 16, 5, pad=2), F.flatten)
    images = rng.normal(size=(1, 16, 48, 48)).astype("f")
    calculator = GradientCalculator(model, eval_fun=lambda v: F.sum(model(v) ** 2))
    expected = calculator.compute(images, show_progress=False)

    def work():
        before = n_blas_threads()
        samples = calculator.compute(images, show_progress=False)
        return before, samples.tobytes() == expected.tobytes(), n_blas_threads()

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        all_threads = n_blas_threads()
        # Some BLAS know a number for each thread, which those begun from it inherit.
        [[of_child]] = threads.run(
            lambda: in_threads(lambda: in_child(work)), [()], n_thread=1
        )
        assert n_blas_threads() == all_threads
    assert of_child == (all_threads, True, all_threads)
