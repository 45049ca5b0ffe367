"""Relevance at the cells of recurrent networks: sums of gated terms.

Gates get none (Arras et al. 2017, "Explaining recurrent neural network predictions in
sentiment analysis"): the cell is the signal of its output gate, and the terms of the
cell get shares in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency.array_types import Array
from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.registry import handles
from saliency.lrp.rules import InProportion, stabilised_quotient

import chainer.functions as F


@handles(
    "interpolation", F.math.linear_interpolate.LinearInterpolate, rule=InProportion
)
def interpolation(this: Application, rule: InProportion | None) -> InputRelevance:
    """``p x + (1 - p) y``: shares of the two terms, none for the gate p."""
    p, x, y = this.inputs
    r = this.output_relevance
    if not (this.active[1] or this.active[2]):
        r_p, r_y = _shares([p * (x - y), y], r, rule)
        return [r_p, None, r_y]
    r_x, r_y = _shares([p * x, (1 - p) * y], r, rule)
    return [None, r_x, r_y]


@handles("LSTM", F.rnn.lstm.LSTM, rule=InProportion)
def lstm(this: Application, rule: InProportion | None) -> InputRelevance:
    """Shares of what is kept of the cell and of what is new, none for the gates."""
    c, x = this.inputs
    xp = this.xp
    n = len(x)  # the sequences that go on; the cells of the others stay
    r_next_c, r_h = this.relevance
    r_c = xp.zeros_like(c) if r_next_c is None else r_next_c.copy()
    r = r_c[:n] if r_h is None else r_c[:n] + r_h
    a, i, f, _ = (x.reshape(n, -1, 4, *x.shape[2:])[:, :, k] for k in range(4))
    terms = [c[:n] * _sigmoid(xp, f), xp.tanh(a) * _sigmoid(xp, i)]
    r_c[:n], r_a = _shares(terms, r, rule)
    return [r_c, _as_first_of_four(xp, x, r_a)]


@handles("S-LSTM", F.rnn.slstm.SLSTM, rule=InProportion)
def slstm(this: Application, rule: InProportion | None) -> InputRelevance:
    """As the LSTM, with two cells and two inputs."""
    c1, c2, x1, x2 = this.inputs
    xp = this.xp
    kept, new = [], []
    for c, x in ((c1, x1), (c2, x2)):
        gates = x.reshape(len(x), -1, 4, *x.shape[2:])
        a, i, f = gates[:, :, 0], gates[:, :, 1], gates[:, :, 2]
        kept.append(c * _sigmoid(xp, f))
        new.append(xp.tanh(a) * _sigmoid(xp, i))
    r_c1, r_c2, r_a1, r_a2 = _shares([*kept, *new], _total(this), rule)
    r_x1 = _as_first_of_four(xp, x1, r_a1)
    return [r_c1, r_c2, r_x1, _as_first_of_four(xp, x2, r_a2)]


@handles("tree LSTM", F.rnn.tree_lstm.TreeLSTM, rule=InProportion)
def tree_lstm(this: Application, rule: InProportion | None) -> InputRelevance:
    """As the LSTM, with a cell and a forget gate for each child."""
    *cells, x = this.inputs
    xp = this.xp
    gates = x.reshape(len(x), 3 + len(cells), -1, *x.shape[2:])
    a, i = gates[:, 0], gates[:, 1]
    kept = [c * _sigmoid(xp, gates[:, 3 + k]) for k, c in enumerate(cells)]
    new = xp.tanh(a) * _sigmoid(xp, i)
    *r_cells, r_a = _shares([*kept, new], _total(this), rule)
    r_x = xp.zeros_like(gates)
    r_x[:, 0] = r_a
    return [*r_cells, r_x.reshape(x.shape)]


def _total(this: Application) -> Array:
    """Return the relevance of the new cell, with that of what it gives."""
    return sum(r for r in this.relevance if r is not None)


def _shares(terms: Sequence[Array], r: Array, rule: InProportion | None) -> list[Array]:
    """Return the relevance of the terms of a sum, in proportion."""
    s = stabilised_quotient(r, sum(terms), rule)
    return [term * s for term in terms]


def _as_first_of_four(xp: Any, x: Array, r: Array) -> Array:
    """Return zeros like the input of an LSTM, but for what makes the new cell."""
    result = xp.zeros_like(x)
    result.reshape(len(x), -1, 4, *x.shape[2:])[:, :, 0] = r
    return result


def _sigmoid(xp: Any, x: Array) -> Array:
    return xp.tanh(x * 0.5) * 0.5 + 0.5
