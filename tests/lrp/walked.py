"""Functions of Chainer by themselves: what a walk gives their inputs.

Each is applied through the public API to float64 arrays; tests compare what the walk
gives with something that knows nothing of how the project does it.
"""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from link_hooks import RetainOutputHook
from saliency.lrp.graph import Graph, function_of
from saliency.lrp.registry import handle, is_part_of

import chainer


class Walked:
    """The relevance of the inputs of f, for a random relevance of its outputs."""

    def __init__(self, f, *xs, rule=None, train=False, start=None):
        rng = np.random.default_rng(5)
        targets = [chainer.Variable(x) for x in xs]
        with RetainOutputHook() as hook, chainer.using_config("train", train):
            ys = f(*targets)
        ys = ys if isinstance(ys, (tuple, list)) else (ys,)
        self.graph = Graph(ys, targets, hook)
        self.outputs = [y.array for y in ys]
        dtypes = [y.dtype if y.dtype.kind == "f" else "d" for y in ys]
        self.start = start or [
            np.asarray(rng.normal(size=y.shape), dtype) for y, dtype in zip(ys, dtypes)
        ]
        handled = lambda this: handle(this, rule)  # noqa: E731
        found = self.graph.walk(self.start, handled, is_part_of)
        self.relevance = [found.at(t) for t in targets]
        self.of_bias = sum(a.taken_by_bias for a in found.applications)
        self.total = sum(r.sum() for r in self.relevance if r is not None)

    @property
    def classes(self):
        return {type(function_of(f)) for f in self.graph.functions}

    def check_conservation(self):
        expected = sum(r.sum() for r in self.start)
        assert_allclose(self.total + self.of_bias, expected, rtol=1e-9, atol=1e-9)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def between_0_and_1(*shape, seed=1):
    return np.random.default_rng(seed).uniform(0.1, 0.9, size=shape)


ROIS = np.array([[0.0, 0, 5, 5], [1, 1, 4, 5]])
ROI_INDEXES = np.array([0, 1], dtype=np.int32)
GRID = np.random.default_rng(7).uniform(-0.8, 0.8, size=(2, 2, 3, 3))
CONDITION = np.array([[True, False, True], [False, False, True]])


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def quotient(r, z):
    """Returns r / z, and 0 for 0 / 0."""
    is_zero = abs(z) < 1e-14
    return np.where(is_zero, 0, r / np.where(is_zero, 1, z))


def as_matrix(f, xs):
    """Returns the matrix of a linear f, by feeding it unit vectors."""
    rows = []
    for i, x in enumerate(xs):
        for j in range(x.size):
            units = [np.zeros_like(other) for other in xs]
            units[i].ravel()[j] = 1
            with chainer.no_backprop_mode():
                ys = f(*units)
            ys = ys if isinstance(ys, (tuple, list)) else (ys,)
            rows.append(flat([chainer.as_variable(y).array for y in ys]))
    return np.array(rows)


class TenTimes(chainer.FunctionNode):
    def forward(self, inputs):
        return (10 * inputs[0],)

    def backward(self, indexes, grads):
        return (10 * grads[0],)
