"""One group after the other is absent: what ablation and permutation compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.calculator.masks.design import Design, units_of_parts, value_of_part


class LeaveOneOut(Design):
    r"""One group after the other is absent, and its value is by how much scores fall.

    .. math:: \phi_g = f(x) - \frac{1}{D} \sum_{d=1}^D f(x \text{ without } g, d)

    where d is what is drawn to take its place. Step :math:`1 + (d - 1) n + g` is group
    g, counted from 0, of draw d.

    Args:
        n_group (int): How many groups there are.
        orders (numpy.ndarray or None): For each draw, the rows of the background in
            some order, ``(n_draw, n_background)``. None if what takes the place of a
            group is the same each time; then there is one draw.
    """

    def __init__(self, n_group: int, orders: np.ndarray | None = None) -> None:
        self.n_group = n_group
        self._orders = orders
        self._n_draw = 1 if orders is None else len(orders)
        self.n_step = 1 + n_group * self._n_draw
        self.n_unit = 0 if orders is None else self._n_draw

    def present(self, step: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Tell which elements are present: those of all groups but one."""
        absent = np.where(step > 0, (step - 1) % self.n_group, -2)
        absent = absent.reshape((-1,) + (1,) * (numbers.ndim - 1))
        present: np.ndarray = numbers != absent
        return present

    def background(self, step: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the row that a draw has for each example."""
        assert self._orders is not None  # or there is no background
        draw = np.maximum(step - 1, 0) // self.n_group
        rows: np.ndarray = self._orders[draw, index % self._orders.shape[1]]
        return rows

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Return by how much scores fall, on average."""
        falls: np.ndarray = self._falls(scores).mean(axis=1)
        return falls

    def parts(self, scores: np.ndarray, n_part: int) -> Iterator[np.ndarray]:
        """Give by how much scores fall in some draws, on average.

        Where each row of the background is drawn as often as any other, nothing is left
        to chance.
        """
        assert self._orders is not None  # or nothing is random
        falls = self._falls(scores)
        values = falls.mean(axis=1)
        chance = chance_of_rows(*self._orders.shape)
        for draws in units_of_parts(self._n_draw, n_part):
            share = chance * len(draws) * n_part / self._n_draw
            yield value_of_part(values, falls[:, draws].mean(axis=1), share)

    def _falls(self, scores: np.ndarray) -> np.ndarray:
        """Return by how much scores fall, ``(n, n_draw, n_group, n_class)``."""
        n, _, n_class = scores.shape
        without = scores[:, 1:].reshape(n, self._n_draw, self.n_group, n_class)
        falls: np.ndarray = scores[:, None, :1] - without
        return falls


class Ablation:
    """Makes designs in which what takes the place of a group is the same each time."""

    is_random = False
    has_errors = False
    adds_up = False

    def __call__(self, n_group: int, n_background: int, rng: Any) -> LeaveOneOut:
        """Return the design for so many groups."""
        return LeaveOneOut(n_group)


class Permutation:
    """Makes designs in which a group is that of another row of the data.

    Args:
        n_draw (int): How many rows are drawn for each example.
    """

    is_random = True
    adds_up = False

    def __init__(self, n_draw: int) -> None:
        self._n_draw = n_draw
        self.has_errors = n_draw > 1

    def __call__(self, n_group: int, n_background: int, rng: Any) -> LeaveOneOut:
        """Return a design for so many groups."""
        orders = orders_of_rows(self._n_draw, n_background, rng)
        # Draws that follow each other have different rows, and a part may be any draws.
        return LeaveOneOut(n_group, rng.permutation(orders))


def orders_of_rows(n_draw: int, n_background: int, rng: Any) -> np.ndarray:
    """Return the rows of a background for each draw, in a random order.

    Example i gets the i-th of them. Each draw has all rows, as where a column of the
    data is shuffled, and an example gets no row again before it has had all.

    Args:
        n_draw (int): How many draws there are.
        n_background (int): How many rows the background has.
        rng (numpy.random.Generator): Draws the order.

    Returns:
        numpy.ndarray: Of int, ``(n_draw, n_background)``.
    """
    places = np.add.outer(np.arange(n_draw), np.arange(n_background))
    rows: np.ndarray = rng.permutation(n_background)[places % n_background]
    return rows


def chance_of_rows(n_draw: int, n_background: int) -> float:
    """Return how far rows that come in turn let a mean be off, beside those at random.

    The standard error of a mean over draws that are independent is multiplied by it.
    Of draws in turn, those after the last time that all rows were drawn are there by
    chance, and each of them is another row (finite population correction).

    Args:
        n_draw (int): How many draws there are, as :func:`orders_of_rows` makes them.
        n_background (int): How many rows the background has.
    """
    n_left = n_draw % n_background
    return math.sqrt(n_left / n_draw * (1 - n_left / n_background))
