"""Every kind of call on one network, for tests of calls that run beside each other."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency import (
    AblationCAMCalculator,
    BayesGradCalculator,
    ConductanceCalculator,
    EnsemblePosterior,
    FullGradCalculator,
    GradCAMCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    ScoreCAMCalculator,
    SmoothGradCalculator,
)
from tests.calculator.test_promises import Counter
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L


class Network(chainer.Chain):
    """Small, with something for every calculator; explains images ``(N, 2, 4, 4)``."""

    def __init__(self, counts=True):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(2, 3, 3, pad=1)
            self.norm = L.BatchNormalization(3)
            self.conv2 = L.Convolution2D(3, 3, 3, stride=2, pad=1)
            self.hidden = L.Linear(12, 6)
            self.out = L.Linear(6, 3)
            if counts:
                self.counter = Counter()
        self.counts = counts

    def forward(self, x):
        h = F.relu(self.norm(self.conv1(x)))
        h = F.dropout(F.relu(self.conv2(h)), 0.5)
        if self.counts:
            h = self.counter(h)
        return self.out(F.dropout(F.relu(self.hidden(h)), 0.5))


class Subject:
    """A trained model whose gradients are still needed, and what its calls share.

    Args:
        seed (int): Of the parameters.
        counts (bool): Whether it counts its calls.
    """

    def __init__(self, seed=0, counts=True):
        self.model = build(Network, counts, seed=seed)
        rng = np.random.default_rng(seed)
        for parameter in self.model.params():
            parameter.grad = rng.normal(size=parameter.shape)
        self.monitor = VariableMonitorLinkHook(self.model.hidden)
        # With statistics of batch normalization, which are persistent.
        self.posterior = EnsemblePosterior(
            [build(Network, counts, seed=10 * seed + i) for i in (5, 6)]
        )


def images(seed, n=5):
    return np.random.default_rng(seed).normal(size=(n, 2, 4, 4))


class Kind(NamedTuple):
    """A kind of call.

    Attributes:
        new: ``new(subject, eval_fun)`` returns the calculator.
        call: ``call(calculator, subject, data, path)`` returns the result; it may
            write to the path.
    """

    new: Callable[[Subject, Any], Any]
    call: Callable[[Any, Subject, np.ndarray, Path], Any]


HOW = {"batchsize": 4, "seed": 3, "show_progress": False}


def compute(method="compute", **settings):
    def call(calculator, subject, data, path):
        return getattr(calculator, method)(data, **{**HOW, **settings})

    return call


def sampled_networks(calculator, subject, data, path):
    return calculator.compute(data, M=4, posterior=subject.posterior, **HOW)


def written(calculator, subject, data, path):
    how = {**HOW, "M": 3, "train": True, "out": path}
    return np.array(calculator.compute_aggregate(data, method="abs", **how))


def layers(calculator, subject, data, path):
    return calculator.compute_layers(data, ["/conv1", "/hidden"], **HOW)


def of(calculator, **settings):
    def new(subject, eval_fun=None):
        return calculator(
            subject.model, eval_fun=eval_fun, class_index="argmax", **settings
        )

    return new


def at_hidden(calculator, **settings):
    def new(subject, eval_fun=None):
        monitor = VariableMonitorLinkHook(subject.model.hidden)
        return of(calculator, target_extractor=monitor, **settings)(subject, eval_fun)

    return new


def at_shared_monitor(calculator, **settings):
    def new(subject, eval_fun=None):
        how = {"target_extractor": subject.monitor, **settings}
        return of(calculator, **how)(subject, eval_fun)

    return new


def with_own_noise(calculator, **settings):
    """The output is drawn from NumPy's global state."""

    def new(subject, eval_fun=None):
        run = eval_fun or subject.model

        def noisy(v):
            y = run(v)
            return y * np.random.normal(1, 0.5, y.shape)

        return of(calculator, **settings)(subject, noisy)

    return new


KINDS = {
    "gradient": Kind(of(GradientCalculator), compute()),
    "smooth_grad": Kind(of(SmoothGradCalculator), compute(M=3)),
    "bayes_grad": Kind(of(BayesGradCalculator), compute(M=3)),
    "bayes_smooth_grad": Kind(of(SmoothGradCalculator), compute(M=3, train=True)),
    "ensemble": Kind(of(GradientCalculator), sampled_networks),
    "extractor": Kind(at_hidden(GradientCalculator), compute(M=2, train=True)),
    "shared_extractor": Kind(
        at_shared_monitor(IntegratedGradientsCalculator, steps=2), compute()
    ),
    "adaptive_paths": Kind(
        of(IntegratedGradientsCalculator, steps=5, method="adaptive"), compute()
    ),
    "mean_baseline": Kind(
        of(IntegratedGradientsCalculator, steps=3, baseline=["mean", 0.5]), compute()
    ),
    "mean_fill": Kind(of(OcclusionCalculator, size=3, fill="mean"), compute()),
    "guided_backprop": Kind(of(GuidedBackpropCalculator), compute()),
    "grad_cam": Kind(of(GradCAMCalculator, layer="conv2"), compute()),
    "guided_grad_cam": Kind(of(GuidedGradCAMCalculator, layer="conv1"), compute()),
    "score_cam": Kind(of(ScoreCAMCalculator, layer="conv2"), compute()),
    "ablation_cam": Kind(of(AblationCAMCalculator, layer="conv1"), compute()),
    "conductance": Kind(of(ConductanceCalculator, layer="hidden", steps=3), compute()),
    "lrp": Kind(of(LRPCalculator, rule="epsilon_plus_flat"), compute()),
    "lrp_layers": Kind(of(LRPCalculator), layers),
    "lrp_conservation": Kind(of(LRPCalculator), compute("conservation")),
    "lrp_conditions": Kind(
        of(LRPCalculator, conditions={"/conv2": 0, "/conv1": [0, 2]}), compute()
    ),
    "full_grad": Kind(of(FullGradCalculator), compute()),
    "own_noise": Kind(with_own_noise(GradientCalculator), compute(M=2)),
    "written": Kind(of(GradientCalculator), written),
}


class Call:
    """One call that can be repeated; gives what came out, digests for arrays.

    Args:
        kind (str): Of the call.
        subject (Subject): What is explained.
        data (numpy.ndarray): The images.
        folder (Path): For what is written.
        calculator: Another call's, or None for one of its own.
        eval_fun (callable or None): As for calculators.
    """

    def __init__(self, kind, subject, data, folder, *, calculator=None, eval_fun=None):
        new, self._call = KINDS[kind]
        self.calculator = calculator or new(subject, eval_fun)
        self._subject = subject
        self._data = data
        self._folder = folder

    def __call__(self):
        path = self._folder / f"{len(list(self._folder.iterdir()))}_{id(self)}.npy"
        result = self._call(self.calculator, self._subject, self._data, path)
        return digest(result)


def digest(result):
    """Returns what is equal for results that are equal byte by byte, and short."""
    if isinstance(result, dict):
        return {name: digest(value) for name, value in result.items()}
    if isinstance(result, np.ndarray):
        of_bytes = hashlib.sha256(result.tobytes()).hexdigest()[:16]
        return str(result.dtype), result.shape, of_bytes
    return [result.start, *map(repr, result.entries)]  # an account of relevance
