r"""Quadrature along a path whose integrand jumps: the gradient of a ReLU network.

Along a path, the score :math:`F(\alpha)` of a piecewise linear network has kinks, and
its gradient jumps there. A rule with nodes fixed beforehand does not know where, so
its error falls only like 1 / n. The rule here is one of our own, made of three old
ideas: bisection where most is unknown (adaptive quadrature), the derivative at both
ends of an interval (a kink lies where the two tangents meet), and a control variate
(the slope :math:`F'`, whose integral :math:`F(1) - F(0)` is known).
"""

from __future__ import annotations

from bisect import bisect
from typing import Any, NamedTuple

import numpy as np

#: Rounding errors of a network, in multiples of the last digit of what it returns.
_ROUNDING = 32


def nodes_per_round(n_node: int) -> list[int]:
    """Return how many nodes each round has; those of one do not need each other."""
    first, later = max(2, n_node // 4), max(1, n_node // 8)
    n_full, rest = divmod(n_node - first, later)
    return [first, *[later] * n_full, *[rest] * (rest > 0)]


class AdaptiveQuadrature:
    r"""Integrates :math:`G(\alpha)` over [0, 1], with nodes where it changes most.

    :math:`G` is an array whose elements add up to :math:`F'(\alpha)`, and
    :math:`F(\alpha)` is known at the nodes as well. For Integrated Gradients,
    :math:`F` is the score and :math:`G = (x - x') \odot \nabla f`.

    The nodes come in rounds. The first are equally spaced, with both ends; each
    further round halves the intervals where :math:`h \|G_b - G_a\|_1` is largest, h
    being the width. An interval that is not linear is never taken for done, however
    well it fits one kink: two tangents often meet at a point of F by chance.

    In the end an interval from a to b counts as
    :math:`s G_a + (h - s) G_b, 0 \le s \le h`, with s such that the slope's share is
    :math:`F_b - F_a`. If there is one kink in it, the tangents meet at a + s, and the
    share of G is exact. Where not one interval of the path is linear, F is taken to be
    smooth, and s to be h / 2 (trapezoidal rule). What of :math:`F_b - F_a` no s can
    reach, which takes several kinks, is made up for in all intervals whose slopes
    differ, each s moving in proportion to :math:`h (F'_a - F'_b)`, within 0 and h.

    Guaranteed is this: the weights are not negative and add up to 1; the integral of a
    piecewise linear F is exact if no two kinks lie between neighbouring nodes, and none
    between some; its elements add up to :math:`F(1) - F(0)` wherever such s exist. That
    they do does not prove them right: with more kinks than nodes they have errors that
    cancel.

    Args:
        n_node (int): Number of nodes, at least 2.
    """

    def __init__(self, n_node: int) -> None:
        first, *self._rounds = nodes_per_round(n_node)
        self._nodes: list[float] = np.linspace(0, 1, first).tolist()
        self._values: list[_Value] = []
        self._order: list[int] = []  # numbers of the nodes known, from 0 to 1
        self._jumps: list[float] = []  # ||G_b - G_a||_1 of the intervals between them

    def node(self, i: int) -> float:
        """Return the i-th node; those of all earlier rounds must have been added."""
        if i == len(self._nodes):
            self._nodes += self._most_unknown(self._rounds.pop(0))
        return self._nodes[i]

    def add(self, i: int, score: float, slope: float, terms: Any, digit: float) -> None:
        """Take the values at the i-th node, unless they are known; in order.

        Args:
            i (int): Number of the node.
            score (float): :math:`F`.
            slope (float): :math:`F'`.
            terms (array): :math:`G`, of NumPy or CuPy.
            digit (float): How large the last digit of F and F' is.
        """
        if i < len(self._values):
            return  # the pass ran out of memory at its end, and is run again
        self._values.append(_Value(score, slope, terms, digit))
        at = bisect([self._nodes[k] for k in self._order], self._nodes[i])
        around = self._order[max(at - 1, 0) : at + 1]
        self._order.insert(at, i)
        # An inner node divides an interval, an outer one adds one.
        self._jumps[max(at - 1, 0) : at] = [
            float(abs(self._values[k].terms - terms).sum(dtype="d")) for k in around
        ]

    def integral(self) -> Any:
        """Return the integral of :math:`G`, in float64."""
        intervals = self._intervals()
        share = intervals.shares()
        weights = np.append(share, 0) + np.append(0, intervals.h - share)
        return sum(
            weight * self._values[i].terms.astype("d")
            for i, weight in zip(self._order, weights.tolist())
        )

    def _most_unknown(self, n: int) -> list[float]:
        """Return the middles of the n intervals about which most is unknown."""
        intervals = self._intervals()
        size = np.log2(np.where(intervals.is_linear, 0, intervals.unknown))
        # What is nearly equal counts as equal, so that rounding errors do not decide.
        # Then the wider interval comes first, and of equally wide ones the left one.
        chosen = np.lexsort((-intervals.h, -np.round(8 * size)))[:n]
        middles: list[float] = (intervals.a + intervals.h / 2)[chosen].tolist()
        return middles

    def _intervals(self) -> _Intervals:
        known = [self._values[i] for i in self._order]
        a = np.array([self._nodes[i] for i in self._order])
        score = np.array([value.score for value in known])
        slope = np.array([value.slope for value in known])
        return _Intervals(
            a[:-1],
            np.diff(a),
            slope[:-1],
            slope[1:],
            np.diff(score),
            np.array(self._jumps),
            _ROUNDING * max(value.digit for value in known),
        )


class _Value(NamedTuple):
    """What is known at a node."""

    score: float
    slope: float
    terms: Any
    digit: float


class _Intervals(NamedTuple):
    """The intervals between neighbouring nodes, from left to right.

    Attributes:
        a: Their left ends.
        h: Their widths.
        p: The slopes at their left ends.
        q: The slopes at their right ends.
        rise: How much F grows from end to end.
        jump: By how much G differs between the ends.
        noise: What a number of the size of F can be wrong by.
    """

    a: np.ndarray
    h: np.ndarray
    p: np.ndarray
    q: np.ndarray
    rise: np.ndarray
    jump: np.ndarray
    noise: float

    @property
    def unknown(self) -> np.ndarray:
        """How far each is from linear, in units of F."""
        h, rise = self.h, self.rise
        result: np.ndarray = np.max(
            [h * self.jump, abs(rise - h * self.p), abs(rise - h * self.q)], 0
        )
        return result

    @property
    def is_linear(self) -> np.ndarray:
        """Whether F is linear in each, for all that is known."""
        return self.unknown <= self.noise

    def shares(self) -> np.ndarray:
        """Return how much of each interval counts with the value at its left end."""
        h, p, q, rise = self.h, self.p, self.q, self.rise
        is_bent = abs(p - q) * h > self.noise
        share = h / 2
        if self.is_linear.any():  # or F is smooth, and has no kinks
            meeting = (rise - h * q) / np.where(is_bent, p - q, 1)
            share = np.where(is_bent, np.clip(meeting, 0, h), share)
        missing = (rise - share * p - (h - share) * q).sum()
        # Each moves by t h (p - q), with one t for all, so far as it can. What they
        # gain is piecewise linear in t, and bends where one of them comes to its end.
        pull = np.where(is_bent, h * (p - q), 0)
        ends = np.concatenate([-share[is_bent], (h - share)[is_bent]])
        t = np.unique(np.append(ends / np.tile(pull[is_bent], 2), 0))
        gain = (np.clip(share + t[:, None] * pull, 0, h) - share) @ (p - q)
        result: np.ndarray = np.clip(share + np.interp(missing, gain, t) * pull, 0, h)
        return result
