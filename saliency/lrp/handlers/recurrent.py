"""Relevance at the cells of recurrent networks: sums of gated terms.

Gates get none (Arras et al. 2017, "Explaining recurrent neural network predictions in
sentiment analysis"): the cell is the signal of its output gate, and the terms of the
cell get shares in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency.lrp.graph import Application
from saliency.lrp.handlers.sums import Parts, stabilised_quotient


def interpolated(this: Application, rule: Any) -> Parts:
    """``p x + (1 - p) y``: shares of the two terms, none for the gate p."""
    p, x, y = this.inputs
    (r,) = this.relevance
    if not (this.active[1] or this.active[2]):
        of_p, of_y = _shares([p * (x - y), y], r, rule)
        return [of_p, None, of_y]
    of_x, of_y = _shares([p * x, (1 - p) * y], r, rule)
    return [None, of_x, of_y]


def lstm(this: Application, rule: Any) -> Parts:
    """Shares of what is kept of the cell and of what is new, none for the gates."""
    c, x = this.inputs
    xp = this.xp
    n = len(x)  # the sequences that go on; the cells of the others stay
    of_cell, of_h = this.relevance
    of_c = xp.zeros_like(c) if of_cell is None else of_cell.copy()
    r = of_c[:n] if of_h is None else of_c[:n] + of_h
    a, i, f, _ = (x.reshape(n, -1, 4, *x.shape[2:])[:, :, k] for k in range(4))
    terms = [c[:n] * _sigmoid(xp, f), xp.tanh(a) * _sigmoid(xp, i)]
    of_c[:n], of_a = _shares(terms, r, rule)
    return [of_c, _only_first_of_four(xp, x, of_a)]


def slstm(this: Application, rule: Any) -> Parts:
    """As the LSTM, with two cells and two inputs."""
    c1, c2, x1, x2 = this.inputs
    xp = this.xp
    r = sum(part for part in this.relevance if part is not None)
    kept, new = [], []
    for c, x in ((c1, x1), (c2, x2)):
        gates = x.reshape(len(x), -1, 4, *x.shape[2:])
        a, i, f = gates[:, :, 0], gates[:, :, 1], gates[:, :, 2]
        kept.append(c * _sigmoid(xp, f))
        new.append(xp.tanh(a) * _sigmoid(xp, i))
    of_c1, of_c2, of_a1, of_a2 = _shares([*kept, *new], r, rule)
    of_x1 = _only_first_of_four(xp, x1, of_a1)
    return [of_c1, of_c2, of_x1, _only_first_of_four(xp, x2, of_a2)]


def tree_lstm(this: Application, rule: Any) -> Parts:
    """As the LSTM, with a cell and a forget gate for each child."""
    *cells, x = this.inputs
    xp = this.xp
    r = sum(part for part in this.relevance if part is not None)
    parts = x.reshape(len(x), 3 + len(cells), -1, *x.shape[2:])
    a, i = parts[:, 0], parts[:, 1]
    terms = [c * _sigmoid(xp, parts[:, 3 + k]) for k, c in enumerate(cells)]
    *of_cells, of_a = _shares([*terms, xp.tanh(a) * _sigmoid(xp, i)], r, rule)
    of_x = xp.zeros_like(parts)
    of_x[:, 0] = of_a
    return [*of_cells, of_x.reshape(x.shape)]


def _shares(terms: Sequence[Any], r: Any, rule: Any) -> list[Any]:
    s = stabilised_quotient(r, sum(terms), rule)
    return [term * s for term in terms]


def _only_first_of_four(xp: Any, x: Any, r: Any) -> Any:
    """Return zeros like the input of an LSTM, but for what makes the new cell."""
    result = xp.zeros_like(x)
    result.reshape(len(x), -1, 4, *x.shape[2:])[:, :, 0] = r
    return result


def _sigmoid(xp: Any, x: Any) -> Any:
    return xp.tanh(x * 0.5) * 0.5 + 0.5
