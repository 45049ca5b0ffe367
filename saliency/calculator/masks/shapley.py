r"""Designs of Shapley values: all coalitions, permutations, kernel.

The Shapley value of a group is the mean of what it adds to the groups before it, over
all orders of the groups:

.. math::
    \phi_i = \sum_{S \subseteq N \setminus \{i\}}
        \frac{|S|!\, (n - |S| - 1)!}{n!} \bigl(v(S \cup \{i\}) - v(S)\bigr)

Shapley (1953), "A value for n-person games". v(S) is the score with the groups of S
present and all others absent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import comb, factorial, sqrt
from typing import Any

import numpy as np

from saliency.calculator.masks.design import (
    Design,
    LinearDesign,
    OverBackground,
    applied,
    units_of_parts,
)
from saliency.calculator.masks.leave_one_out import chance_of_rows, orders_of_rows

#: All coalitions of more groups than these are too many.
MOST_GROUPS_OF_EXACT = 16
#: Tables and systems of equations of more groups than these do not fit into memory.
_MOST_GROUPS = 4096
#: So many times the pairs are drawn that would be run if no coalition came twice.
_MORE_PAIRS = 4
#: Fewer pairs that are drawn would not tell how far values are off by chance.
_PAIRS_AT_LEAST = 2
#: So many pairs more than rows tell how far pairs of the same row are from each other.
_FREE_PAIRS_AT_LEAST = 8


class Exact:
    """Makes designs of all coalitions, whose values are exact."""

    is_random = False
    has_errors = False
    adds_up = True

    def __call__(self, n_group: int, n_background: int, rng: Any) -> Design:
        """Return the design for so many groups."""
        if n_group > MOST_GROUPS_OF_EXACT:
            raise ValueError(
                f"method='exact' takes at most {MOST_GROUPS_OF_EXACT} groups, of which "
                f"it runs all 2^n coalitions, got {n_group}; pass method='kernel' or "
                "method='sampling', or groups that put several elements together"
            )
        design = LinearDesign(*all_coalitions(n_group))
        return OverBackground(design, n_background) if n_background else design


def all_coalitions(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all coalitions of n groups, and the weight of each in their values."""
    table = _table_of_all(n)
    size = table.sum(axis=1)
    of_size = np.array([factorial(k) * factorial(n - k - 1) for k in range(n)], float)
    of_size /= factorial(n)
    joins = np.where(size > 0, of_size[size - 1], 0)  # v(S), i being in S
    stays = np.where(size < n, -of_size[np.minimum(size, n - 1)], 0)
    return table, np.where(table, joins[:, None], stays[:, None]).T


def _table_of_all(n: int) -> np.ndarray:
    """Return all coalitions of n groups in bool, from all groups to none."""
    codes = np.arange(2**n)[::-1, None]
    table: np.ndarray = (codes >> np.arange(n)) & 1 > 0
    return table


class Sampling:
    """Makes designs of random orders, in pairs of an order and its reverse.

    Castro, Gomez and Tejada (2009), "Polynomial calculation of the Shapley value based
    on sampling"; with antithetic pairs: Mitchell, Cooper, Frank and Holmes (2022),
    "Sampling permutations for Shapley value estimation", arXiv:2104.12199. With a
    background, each pair takes a row of it for every example.

    Args:
        n_coalitions (int or None): How many different coalitions are run, but for the
            rest of a pair. None is :func:`default_number`.
    """

    is_random = True
    has_errors = True
    adds_up = True

    def __init__(self, n_coalitions: int | None) -> None:
        self._n_coalitions = n_coalitions

    def __call__(self, n_group: int, n_background: int, rng: Any) -> Design:
        """Return a design for so many groups."""
        _check_number_of_groups(n_group, "sampling")
        n_coalition = self._n_coalitions or default_number(n_group)
        if n_group <= 2 and not n_background:
            return Orders(np.arange(n_group)[None])  # one pair is all orders
        of_pair = 2 * (n_group - 1) + (n_background > 0)
        n_pair = n_coalition // of_pair
        if n_pair < _PAIRS_AT_LEAST:
            raise ValueError(
                f"n_coalitions must be at least {_PAIRS_AT_LEAST * of_pair} for "
                f"{n_group} groups and method='sampling', which is {_PAIRS_AT_LEAST} "
                f"pairs of orders; got {n_coalition}"
            )
        if n_background:
            orders = _orders(n_group, n_pair, rng)
            return Orders(orders, orders_of_rows(n_pair, n_background, rng))
        orders = _orders(n_group, _MORE_PAIRS * n_pair, rng)
        return Orders(orders, n_coalition=n_coalition)


def _orders(n_group: int, n_pair: int, rng: Any) -> np.ndarray:
    """Return orders at random, ``(n_pair, n_group)``.

    Of n_group orders that follow each other, each group is once at each place: they are
    the rows of a Latin square, whose groups, rows and columns are shuffled. Each order
    is as likely as any other.
    """
    blocks = []
    for _ in range(-(-n_pair // n_group)):
        group, row, column = (rng.permutation(n_group) for _ in range(3))
        blocks.append(group[np.add.outer(row, column) % n_group])
    return np.concatenate(blocks)[:n_pair]


class Orders(LinearDesign):
    """Orders and their reverses, in which groups join one after the other.

    A value is the mean of what a group adds where it joins. Step 0 is where all have
    joined; where none has is step 1, or with a background a step for each pair.
    Without one, a coalition that several orders have is run once.

    Args:
        orders (numpy.ndarray): Groups in the order in which they join, for each pair,
            ``(n_pair, n_group)``.
        rows (numpy.ndarray or None): For each pair, the rows of the background in some
            order, ``(n_pair, n_background)``.
        n_coalition (int or None): How many different coalitions are run at most. The
            orders that would need more of them are left out.
    """

    def __init__(
        self,
        orders: np.ndarray,
        rows: np.ndarray | None = None,
        n_coalition: int | None = None,
    ) -> None:
        n_pair, n = orders.shape
        both = np.stack([orders, orders[:, ::-1]], axis=1)
        place = np.argsort(both, axis=2)  # of each group, (n_pair, 2, n)
        has_joined = place[:, :, None] < np.arange(1, n)[:, None]
        between = has_joined.reshape(-1, n)
        step = np.arange(len(between)).reshape(n_pair, -1)
        if rows is None:
            between, step = _different(between, step, n_coalition)
            n_pair = len(step)
        n_empty = 1 if rows is None else n_pair
        ends = np.zeros((1 + n_empty, n), bool)
        ends[0] = True
        self._rows = rows
        self._place = place[:n_pair]
        # The steps of each order: none has joined, one has, ..., all have.
        self._way = np.zeros((n_pair, 2, n + 1), int)
        self._way[:, :, 0] = 1 + np.arange(n_pair)[:, None] % n_empty
        self._way[:, :, 1:n] = 1 + n_empty + step.reshape(n_pair, 2, n - 1)
        self._pair = np.zeros(len(ends) + len(between), int)  # of each step
        self._pair[self._way[:, :, :n]] = np.arange(n_pair)[:, None, None]
        super().__init__(np.concatenate([ends, between]), self._weights())
        self.n_unit = n_pair if n_pair > 1 else 0

    def background(self, step: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the row that a pair has for each example."""
        assert self._rows is not None  # or there is no background
        rows: np.ndarray = self._rows[self._pair[step], index % self._rows.shape[1]]
        return rows

    def parts(self, scores: np.ndarray, n_part: int) -> Iterator[np.ndarray]:
        """Give what groups add in some pairs of orders, on average.

        Where rows of a background come in turn, how far they are from each other is no
        chance; of pairs that have the same row, it can be told from what orders do.
        """
        values = self.values(scores)
        of_rows, within, between = self._of_rows(scores, values)
        n_row = of_rows.shape[1]
        # Pairs of a part have rows in turn, whose mean is that of any other part.
        others = np.random.default_rng(0).permutation(self.n_unit)
        for pairs in units_of_parts(self.n_unit, n_part):
            misses = within * (self._adds(scores, pairs) - of_rows[:, pairs % n_row])
            misses += between * (of_rows[:, others[pairs] % n_row] - values[:, None])
            share = len(pairs) * n_part / self.n_unit
            yield values + misses.mean(axis=1) * share

    def _adds(self, scores: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Return what groups add in pairs, ``(n, n_pair, n_group, n_class)``."""
        adds = np.diff(scores[:, self._way[pairs]], axis=3)
        place = self._place[pairs][None, ..., None]
        of_pairs: np.ndarray = np.take_along_axis(adds, place, axis=3).mean(axis=2)
        return of_pairs

    def _of_rows(
        self, scores: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, float, float]:
        """Return the means over pairs of the same row, and how both spreads count.

        Returns:
            tuple: What groups add with each row of the background, ``(n, n_row,
            n_group, n_class)``; by how much what pairs have more than that counts; and
            what rows have more than all. Where too few pairs have the same row, all are
            taken for one row, so that rows count as if they were drawn at random.
        """
        n_row = 0 if self._rows is None else self._rows.shape[1]
        n_free = self.n_unit - n_row
        if not n_row or n_free < _FREE_PAIRS_AT_LEAST:
            return values[:, None], 1, 0
        means = [
            self._adds(scores, np.arange(row, self.n_unit, n_row)).mean(axis=1)
            for row in range(n_row)
        ]
        within = sqrt((self.n_unit - 1) / n_free)
        return np.stack(means, axis=1), within, chance_of_rows(self.n_unit, n_row)

    def _weights(self) -> np.ndarray:
        """Return the weight of each step in the value of each group."""
        n_pair, _, n = self._place.shape
        weights = np.zeros((n, len(self._pair)))
        group = np.broadcast_to(np.arange(n), self._place.shape)
        with_it = np.take_along_axis(self._way, self._place + 1, axis=2)
        without = np.take_along_axis(self._way, self._place, axis=2)
        np.add.at(weights, (group, with_it), 0.5 / n_pair)
        np.add.at(weights, (group, without), -0.5 / n_pair)
        return weights


def _different(
    table: np.ndarray, step: np.ndarray, n_most: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the different ones of coalitions, for as many pairs as need ``n_most``.

    Args:
        table (numpy.ndarray): The coalitions, ``(n_pair * n, n_group)``.
        step (numpy.ndarray): Which of them each pair has, ``(n_pair, n)``.
        n_most (int or None): How many there may be; None is all.

    Returns:
        tuple: The coalitions, ``n_most`` of them if there may be so many (of the last
        ones, all groups are present, and no pair has them); and which of them each pair
        has, ``(n_pair, n)``.
    """
    packed = np.packbits(table, axis=1)
    _, first, same = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    # In the order in which they came.
    rank = np.argsort(np.argsort(first))
    found, place = table[np.sort(first)], rank[same.reshape(-1)][step]
    if n_most is None:
        return found, place
    n_group = table.shape[1]
    n_different = np.maximum.accumulate(place.max(axis=1)) + 1
    n_pair = int(np.searchsorted(n_different, n_most, side="right"))
    n_most = min(n_most, 2**n_group - 2) if n_group < 64 else n_most
    kept = np.ones((n_most, n_group), bool)
    n_kept = min(int(n_different[n_pair - 1]), n_most)
    kept[:n_kept] = found[:n_kept]
    return kept, place[:n_pair]


class Kernel:
    r"""Makes designs of weighted least squares (KernelSHAP).

    Lundberg and Lee (2017), "A unified approach to interpreting model predictions",
    arXiv:1705.07874, theorem 2: Shapley values are the coefficients that minimize

    .. math::
        \sum_S \frac{n - 1}{\binom{n}{|S|} |S| (n - |S|)}
            \Bigl(v(S) - v(\emptyset) - \sum_{i \in S} \phi_i\Bigr)^2

    under the constraint that they add up to :math:`v(N) - v(\emptyset)`, over all
    coalitions but none and all. Of the coalitions that are not run, which are those
    near half of the groups, some are drawn in their place: in pairs of a coalition and
    its complement (Covert and Lee 2021, "Improving KernelSHAP", arXiv:2012.01536), no
    coalition twice, and as many of each size as its weight says.

    Those of one group and of all but one are always run.

    Args:
        n_coalitions (int or None): How many coalitions are run. None is
            :func:`default_number`.
    """

    is_random = True
    has_errors = True
    adds_up = True

    def __init__(self, n_coalitions: int | None) -> None:
        self._n_coalitions = n_coalitions

    def __call__(self, n_group: int, n_background: int, rng: Any) -> Design:
        """Return a design for so many groups."""
        _check_number_of_groups(n_group, "kernel")
        n_coalition = self._n_coalitions or default_number(n_group)
        least = 2 * n_group + 2 * _PAIRS_AT_LEAST
        if n_coalition < min(least, 2**n_group - 2):
            raise ValueError(
                f"n_coalitions must be at least {least} for {n_group} groups and "
                f"method='kernel', got {n_coalition}"
            )
        if n_group == 1:  # where there are no coalitions between none and all
            design = LinearDesign(*all_coalitions(1))
        else:
            coalitions = _coalitions_of_kernel(n_group, n_coalition, rng)
            design = WeightedLeastSquares(*coalitions)
        return OverBackground(design, n_background) if n_background else design


class WeightedLeastSquares(LinearDesign):
    """Coalitions with weights, whose values are least squares that add up.

    Step 0 is where all groups are present, step 1 where none is.

    Args:
        table (numpy.ndarray): The coalitions, ``(n_coalition, n_group)``; those drawn
            are the last of them, a coalition and its complement one after the other.
        weights (numpy.ndarray): Their weights.
        n_pair (int): How many pairs were drawn.

    Raises:
        ValueError: If they do not determine the values.
    """

    def __init__(self, table: np.ndarray, weights: np.ndarray, n_pair: int) -> None:
        n = table.shape[1]
        z = table.astype(float)
        inverse = _inverse(z.T @ (weights[:, None] * z))
        to_one = inverse.sum(axis=1) / inverse.sum()
        # Least squares without the constraint, and what it takes to add up.
        free = inverse @ (z.T * weights)
        self._coefficients = free - to_one[:, None] * free.sum(axis=0)
        all_or_none = np.stack(
            [to_one, -to_one - self._coefficients.sum(axis=1)], axis=1
        )
        ends = np.array([[True], [False]]).repeat(n, axis=1)
        super().__init__(
            np.concatenate([ends, table]),
            np.concatenate([all_or_none, self._coefficients], axis=1),
        )
        self._coalitions = z
        self.n_unit = n_pair

    def parts(self, scores: np.ndarray, n_part: int) -> Iterator[np.ndarray]:
        """Give values to which some of the pairs contribute more than the others.

        What a coalition contributes is its residual times its coefficients, and the
        spread of what pairs contribute is that of the values (delta method). Few pairs
        draw the values so far to themselves that nearly no residual is left: it counts
        as what it is for values without the pair (jackknife). The more of all pairs
        of a size are drawn, the less chance is in them.
        """
        values = self.values(scores)
        drawn = slice(-2 * self.n_unit, None)
        gains = scores[:, 2:][:, drawn] - scores[:, 1:2]
        coalitions = self._coalitions[drawn]
        residuals = gains - applied(coalitions, values)
        coefficients = self._coefficients[:, drawn]
        coefficients = coefficients / (1 - _leverages(coalitions, coefficients))
        coefficients *= np.sqrt(1 - _shares_drawn(coalitions))
        mean = applied(coefficients, residuals) / self.n_unit
        for pairs in units_of_parts(self.n_unit, n_part):
            steps = (2 * pairs[:, None] + np.arange(2)).ravel()
            own = applied(coefficients[:, steps], residuals[:, steps])
            yield values + (own - len(pairs) * mean) * n_part


def _leverages(coalitions: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return how far the values follow what is seen at each pair, from 0 to 1.

    It is that of the pair for a coalition and for its complement, which stand one after
    the other. What one has more, the other has less, since values add up.
    """
    of_one = coefficients[:, ::2] - coefficients[:, 1::2]
    leverages: np.ndarray = np.einsum("pi,ip->p", coalitions[::2], of_one).repeat(2)
    return leverages


def _shares_drawn(coalitions: np.ndarray) -> np.ndarray:
    """Return how many of all pairs of its size are drawn, for each coalition."""
    n = coalitions.shape[1]
    sizes, of_size, counts = np.unique(
        coalitions[::2].sum(axis=1).astype(int), return_inverse=True, return_counts=True
    )
    n_pairs = [comb(n, k) // (2 if 2 * k == n else 1) for k in sizes.tolist()]
    shares = np.array([drawn / m for drawn, m in zip(counts.tolist(), n_pairs)])
    return shares[of_size.reshape(-1)].repeat(2)


def default_number(n_group: int) -> int:
    """Return how many coalitions are run where the user does not say it, as in shap."""
    return 2 * n_group + 2048


def _check_number_of_groups(n_group: int, method: str) -> None:
    if n_group > _MOST_GROUPS:
        raise ValueError(
            f"method={method!r} takes at most {_MOST_GROUPS} groups, got {n_group}; "
            "pass groups that put several elements together, such as "
            "saliency.Superpixels() for images"
        )


def _inverse(matrix: np.ndarray) -> np.ndarray:
    if np.linalg.cond(matrix) > 1e10:
        raise ValueError(
            f"n_coalitions is too small for {len(matrix)} groups: the coalitions drawn "
            "do not determine all values; pass a larger one"
        )
    return np.linalg.inv(matrix)


def _coalitions_of_kernel(
    n: int, n_coalition: int, rng: Any
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return coalitions of n groups, their weights, and how many pairs are drawn."""
    if n < 64 and n_coalition >= 2**n - 2:
        table = _table_of_all(n)[1:-1]
        return table, _kernel(n, table.sum(axis=1)), 0
    tables, weights = [], []
    sizes = np.arange(1, n // 2 + 1)
    # With the complements, which are of size n - size.
    masses = (n - 1) / (sizes * (n - sizes)) * np.where(2 * sizes == n, 1, 2)
    n_whole = 0
    for size, mass in zip(sizes.tolist(), masses):
        n_of_size = comb(n, size) * (1 if 2 * size == n else 2)
        share = n_coalition * mass / masses[n_whole:].sum()
        if share < n_of_size and size > 1:  # without those of one, values are not known
            break
        tables.append(_all_of_size(n, size))
        weights.append(_kernel(n, tables[-1].sum(axis=1)))
        n_coalition -= n_of_size
        n_whole += 1
    n_pair = n_coalition // 2
    masses, sizes = masses[n_whole:], sizes[n_whole:]
    places = (np.arange(n_pair) + rng.random()) / n_pair * masses.sum()
    of_pairs = np.minimum(np.searchsorted(masses.cumsum(), places), len(sizes) - 1)
    for size, n_drawn in zip(sizes.tolist(), np.bincount(of_pairs).tolist()):
        drawn = _some_of_size(n, size, n_drawn, rng)
        tables.append(np.stack([drawn, ~drawn], axis=1).reshape(-1, n))
    weights.append(np.full(2 * n_pair, masses.sum() / (2 * n_pair)))
    return np.concatenate(tables), np.concatenate(weights), n_pair


def _kernel(n: int, size: np.ndarray) -> np.ndarray:
    """Return the weight of coalitions of these sizes (Lundberg and Lee, theorem 2)."""
    weights = np.array(
        [(n - 1) / (comb(n, k) * k * (n - k)) if 0 < k < n else 0 for k in range(n + 1)]
    )
    of_sizes: np.ndarray = weights[size]
    return of_sizes


def _all_of_size(n: int, size: int) -> np.ndarray:
    """Return all coalitions of a size, and all of their complements."""
    members = np.array(list(itertools.combinations(range(n), size)))
    table = np.zeros((len(members), n), bool)
    table[np.arange(len(members))[:, None], members] = True
    return table if 2 * size == n else np.concatenate([table, ~table])


def _some_of_size(n: int, size: int, n_drawn: int, rng: Any) -> np.ndarray:
    """Return coalitions of a size that are drawn at random, none of them twice.

    Of half of all groups, none is the complement of another.
    """
    found = np.zeros((0, n), bool)
    while len(found) < n_drawn:
        order = np.argsort(rng.random((n_drawn, n)), axis=1)
        drawn = order < size
        if 2 * size == n:
            drawn ^= ~drawn[:, :1]
        found = np.concatenate([found, drawn])
        _, first = np.unique(np.packbits(found, axis=1), axis=0, return_index=True)
        found = found[np.sort(first)]
    return found[:n_drawn]
