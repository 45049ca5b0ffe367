"""Functions of Chainer by themselves: the multipliers of their inputs."""

from __future__ import annotations

import numpy as np

from link_hooks import RetainOutputHook
from saliency.deep_lift.walk import walk
from saliency.lrp.graph import Graph, function_of

import chainer


class Compared:
    """The multipliers of the inputs of f, for random multipliers of its outputs.

    Random numbers that f draws are the same at both ends.
    """

    def __init__(self, f, xs, xs0, train=False, start=None):
        ends = []
        for inputs in (xs, xs0):
            targets = [chainer.Variable(x) for x in inputs]
            np.random.seed(0)
            with RetainOutputHook() as hook, chainer.using_config("train", train):
                ys = f(*targets)
            ends.append((targets, ys if isinstance(ys, (tuple, list)) else [ys], hook))
        (targets, ys, hook), (_, ys0, hook0) = ends
        graph = Graph(ys, targets, hook)
        rng = np.random.default_rng(5)
        self.start = start or [
            np.asarray(rng.normal(size=y.shape), y.dtype) for y in ys
        ]
        self.multipliers = []
        found = walk(graph, self.start, ys, ys0, hook0)
        self.classes = {type(function_of(g)) for g in graph.functions}
        self.multipliers = [found.at(t) for t in targets]
        self.found = sum(
            float((m.astype("d") * (x.astype("d") - x0.astype("d"))).sum())
            for m, x, x0 in zip(self.multipliers, xs, xs0)
            if m is not None
        )
        parts = [
            s.astype("d") * (y.array.astype("d") - y0.array.astype("d"))
            for s, y, y0 in zip(self.start, ys, ys0)
        ]
        self.expected = float(sum(p.sum() for p in parts))
        self.size = float(sum(abs(p).sum() for p in parts))
