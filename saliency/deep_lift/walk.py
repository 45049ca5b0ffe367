"""Multipliers, from the outputs of two graphs of the same functions to the targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import numpy as np

from link_hooks import RetainOutputHook
from saliency.array_types import Array
from saliency.deep_lift.pair import Matched, Pair
from saliency.deep_lift.registry import Multipliers, multipliers_of
from saliency.lrp.graph import Application, Graph, InputRelevance, Relevances

import chainer


def walk(
    graph: Graph,
    start: Sequence[Array],
    outputs: Sequence[chainer.Variable],
    outputs0: Sequence[chainer.Variable],
    hook0: RetainOutputHook,
) -> Relevances:
    """Pass multipliers from the outputs to the targets, by the chain rule.

    Shrikumar et al. (2017), eq. 3: the multiplier of an input is the sum over the
    functions that use it, and a function passes on its own by those of its inputs.

    Args:
        graph (Graph): From the outputs at x to the targets.
        start (sequence of array): The multiplier of each output.
        outputs (sequence of chainer.Variable): The outputs at x.
        outputs0 (sequence of chainer.Variable): The outputs at the baseline.
        hook0 (RetainOutputHook): Was active while the graph at the baseline was made.

    Raises:
        ValueError: If the graphs are not of the same functions, or a function has no
            multipliers.
    """
    matched = Matched(graph, outputs, outputs0, hook0)

    def pass_back(this: Application) -> InputRelevance:
        # 0 / 0, and infinities of masks and roots, are where handlers look for them.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return multipliers_of(matched.pair(this))

    return graph.walk(start, pass_back, keeps_account=False)


def of_composition(
    pair: Pair, f: Callable[..., Sequence[chainer.Variable]]
) -> Multipliers:
    """Return the multipliers of a function that is a composition of others.

    They add up as those of its parts do.

    Args:
        pair (Pair): The function.
        f (callable): Takes a Variable for each input; returns those of the outputs.
    """
    ends = []
    for inputs in (pair.inputs, pair.inputs0):
        variables = [chainer.Variable(x) for x in inputs]
        with chainer.force_backprop_mode(), RetainOutputHook() as hook:
            ends.append((variables, f(*variables), hook))
    (variables, outputs, hook), (_, outputs0, hook0) = ends
    used = [i for i, m in enumerate(pair.multipliers) if m is not None]
    outputs, outputs0 = ([ys[i] for i in used] for ys in (outputs, outputs0))
    active = [variables[i] for i in pair.active_indexes]
    graph = Graph(outputs, active, hook)
    start = [pair.multipliers[i] for i in used]
    found = walk(graph, start, outputs, outputs0, hook0)
    return pair.at_active(found.at(x) for x in active)
