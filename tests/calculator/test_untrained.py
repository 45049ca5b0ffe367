"""A model is refused as untrained if forward would draw parameters, and only then."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from saliency import (
    BayesGradCalculator,
    EnsemblePosterior,
    GradientCalculator,
    IntegratedGradientsCalculator,
)
from tests.calculator.every_calculator import every_calculator
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


class WithSpare(chainer.Chain):
    """A trained network with a link that forward uses if it is told to."""

    def __init__(self, spare=None, uses_it=False):
        super().__init__()
        self.uses_it = uses_it
        with self.init_scope(), chainer.using_config("dtype", np.float64):
            self.trained = build(MLP, n_out=1)
            self.spare = spare or L.Linear(None, 1)

    def forward(self, x):
        y = self.trained(x)
        return y + self.spare(x) if self.uses_it else y


LAZY = {
    "linear": lambda: L.Linear(None, 1),
    "without_bias": lambda: L.Linear(None, 1, nobias=True),
    "normalization": lambda: chainer.Sequential(
        L.BatchNormalization(axis=0, initial_avg_mean=3), L.Linear(4, 1)
    ),
    "maxout": lambda: L.Maxout(None, 1, 2),
}


@every_calculator
@pytest.mark.parametrize("spare", [*LAZY])
def test_a_link_that_is_not_used_may_be_without_parameters(new_calculator, spare, x):
    model = WithSpare(LAZY[spare]())
    samples = new_calculator(model).compute(x, seed=0)
    assert_array_equal(samples, new_calculator(model.trained).compute(x, seed=0))


@every_calculator
@pytest.mark.parametrize("spare", [*LAZY])
def test_one_that_is_used_is_refused_and_stays_without(new_calculator, spare, x):
    model = WithSpare(LAZY[spare](), uses_it=True)
    link = [*model.spare.links()][-1] if spare != "normalization" else model.spare[0]
    before = dict(vars(link))
    without = [path for path, p in model.namedparams() if not p.is_initialized]
    np.random.seed(0)
    state = np.random.get_state()[1].tobytes()
    with pytest.raises(ValueError, match=r"model must be trained.*/spare/.*load_npz"):
        new_calculator(model).compute(x, seed=0)
    after = [path for path, p in model.namedparams() if not p.is_initialized]
    assert after == without != []
    assert vars(link) == before
    assert np.random.get_state()[1].tobytes() == state


def test_the_model_can_be_trained_afterwards(x):
    model = WithSpare(uses_it=True)
    with pytest.raises(ValueError, match="must be trained"):
        GradientCalculator(model).compute(x)
    model(x)
    assert GradientCalculator(model).compute(x).shape == (1, 7, 4)


def test_a_network_that_only_eval_fun_knows(x):
    other = L.Linear(None, 1)
    calculator = GradientCalculator(build(MLP), eval_fun=lambda v: other(v))
    with pytest.raises(ValueError, match=r"must be trained.*W is not initialized"):
        calculator.compute(x.astype(np.float32))
    assert not other.W.is_initialized


def test_parameters_that_forward_sets_by_itself(x):
    class Lazy(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.W = chainer.Parameter()

        def forward(self, x):
            if not self.W.is_initialized:
                self.W.array = np.ones((1, x.shape[1]))
            return F.linear(x, self.W)

    model = Lazy()
    with pytest.raises(ValueError, match=r"must be trained.*/W"):
        GradientCalculator(model).compute(x)
    assert not model.W.is_initialized


def test_another_error_leaves_nothing_behind_either(x):
    class Lazy(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.W = chainer.Parameter()

        def forward(self, x):
            self.W.array = np.ones((1, x.shape[1]))
            raise RuntimeError("broken")

    model = Lazy()
    with pytest.raises(RuntimeError, match="broken"):
        GradientCalculator(model).compute(x)
    assert not model.W.is_initialized


def test_another_thread_may_draw_first_parameters_meanwhile(x):
    """It trains a network of its own while this one is explained."""
    model = build(MLP, n_out=1)
    in_forward, has_drawn = threading.Event(), threading.Event()
    other = L.Linear(None, 2)

    def train():
        in_forward.wait(10)
        other(np.ones((2, 3), np.float32))
        has_drawn.set()

    def explained(v):
        in_forward.set()
        assert has_drawn.wait(10)
        return model(v)

    thread = threading.Thread(target=train)
    thread.start()
    GradientCalculator(model, eval_fun=explained).compute(x)
    thread.join()
    assert other.W.is_initialized


def test_mean_baselines_and_dropout_do_not_need_them_either(x):
    model = WithSpare()
    IntegratedGradientsCalculator(model, baseline="mean").compute(x)
    BayesGradCalculator(model).compute(x, M=2, seed=0)


@pytest.mark.parametrize("form", ["links", "files"])
def test_an_ensemble_of_such_networks(form, x, tmp_path):
    members = [WithSpare() for _ in range(2)]
    members[1].trained = build(MLP, n_out=1, seed=1)
    given = members
    if form == "files":
        given = [tmp_path / "0.npz", tmp_path / "1.npz"]
        for path, member in zip(given, members):
            chainer.serializers.save_npz(path, member)
    samples = GradientCalculator(members[0]).compute(
        x, M=2, posterior=EnsemblePosterior(given)
    )
    for sample, member in zip(samples, members):
        assert_array_equal(sample, GradientCalculator(member).compute(x)[0])
