"""Designs: which groups are present at each step, and what follows from the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol

import numpy as np


class Design(ABC):
    """Which groups are present at each step, and what follows from the scores.

    At step 0 all are present. Whatever follows is linear in the scores: values of a
    sum of outputs are the sum of their values.

    Attributes:
        n_group (int): How many groups there are.
        n_step (int): How many steps, with step 0.
        n_unit (int): How many random draws it consists of; 0 where nothing is random.
    """

    n_group: int
    n_step: int
    n_unit: int = 0

    @abstractmethod
    def present(self, step: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Tell which elements are present in rows.

        Args:
            step (numpy.ndarray): Step of each row, ``(n_row,)``.
            numbers (numpy.ndarray): Group of each element, ``(1 or n_row,) + shape``;
                -1 where it is in none and always present.

        Returns:
            numpy.ndarray: Of bool, ``(n_row,) + shape``.
        """

    def background(self, step: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return which row of the background takes the place of what is absent.

        Args:
            step (numpy.ndarray): Step of each row, ``(n_row,)``.
            index (numpy.ndarray): Index in the data of each row's example.
        """
        raise TypeError(f"{type(self).__name__} has no background")

    @abstractmethod
    def values(self, scores: np.ndarray) -> np.ndarray:
        """Return the value of each group.

        Args:
            scores (numpy.ndarray): ``(n, n_step, n_class)``, in float64.

        Returns:
            numpy.ndarray: ``(n, n_group, n_class)``, in float64.
        """

    def parts(self, scores: np.ndarray, n_part: int) -> Iterator[np.ndarray]:
        """Give values of parts of the design, whose mean :meth:`values` returns.

        Their spread tells how far it is from what it estimates: its standard error is
        their standard deviation, divided by the square root of ``n_part``.

        Args:
            scores (numpy.ndarray): ``(n, n_step, n_class)``, in float64.
            n_part (int): How many; from 2 to ``n_unit``.
        """
        raise TypeError(f"{type(self).__name__} does not consist of parts")


class Coalitions(Design):
    """A design that is given as a table.

    Args:
        table (numpy.ndarray): Which group is present at which step, in bool ``(n_step,
            n_group)``; in row 0, all are.
    """

    def __init__(self, table: np.ndarray) -> None:
        self.n_step, self.n_group = table.shape
        self._table = table

    def present(self, step: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Tell which elements are present in rows, as the table says."""
        flat = numbers.reshape(len(numbers), -1)
        table = self._table if flat.min(initial=0) >= 0 else self._with_none
        if len(flat) > 1:
            present = table[step[:, None], flat]
        else:
            present = table.take(step, axis=0)
            if not np.array_equal(flat[0], np.arange(self.n_group)):
                present = present.take(flat[0], axis=1)
        of_rows: np.ndarray = present.reshape(len(step), *numbers.shape[1:])
        return of_rows

    @cached_property
    def _with_none(self) -> np.ndarray:
        """The table with a column for elements in no group, which -1 finds."""
        return np.concatenate([self._table, np.ones((self.n_step, 1), bool)], axis=1)


class LinearDesign(Coalitions):
    """A design whose values are the scores times a matrix.

    Args:
        table (numpy.ndarray): As in :class:`Coalitions`.
        weights (numpy.ndarray): That of each step in each group's value, ``(n_group,
            n_step)``.
    """

    def __init__(self, table: np.ndarray, weights: np.ndarray) -> None:
        super().__init__(table)
        self.weights = weights

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Return the products of the matrix and the scores."""
        return applied(self.weights, scores)


class NoGroups(LinearDesign):
    """The design of an example without elements, such as a sentence without words."""

    def __init__(self) -> None:
        super().__init__(np.ones((1, 0), bool), np.zeros((0, 1)))

    def background(self, step: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return any row, since it takes no place."""
        return np.zeros(len(step), int)


class Designer(Protocol):
    """What makes designs, for any number of groups.

    Attributes:
        is_random (bool): Whether each sample has a design of its own.
        has_errors (bool): Whether the parts of a design tell its standard error.
        adds_up (bool): Whether values add up to the score with all groups minus that
            with none.
    """

    is_random: bool
    has_errors: bool
    adds_up: bool

    def __call__(self, n_group: int, n_background: int, rng: Any) -> Design:
        """Return a design.

        Args:
            n_group (int): How many groups there are; at least 1.
            n_background (int): How many rows the background has, 0 if there is none.
            rng (numpy.random.Generator): Draws what is random. How many steps there
                are does not depend on it.

        Raises:
            ValueError: If there cannot be one for so many groups.
        """


def units_of_parts(n_unit: int, n_part: int) -> list[np.ndarray]:
    """Return which units belong to each part of a design."""
    return np.array_split(np.arange(n_unit), n_part)


def value_of_part(values: np.ndarray, of_part: np.ndarray, share: float) -> np.ndarray:
    """Return what stands for a part, so that the mean over all parts is the whole.

    Args:
        values (numpy.ndarray): The mean over all units.
        of_part (numpy.ndarray): The mean over those of the part.
        share (float): How many these are, beside the units that a part has on average.
    """
    value: np.ndarray = values + (of_part - values) * share
    return value


def applied(weights: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return weights ``(n_value, n_step)`` times scores ``(n, n_step, n_class)``."""
    values: np.ndarray = np.tensordot(scores, weights, (1, 1)).swapaxes(1, 2)
    return values


class OverBackground(Design):
    """A design all of whose scores are means over the rows of a background.

    The score without some groups is the mean over all rows that may take their place
    (interventional expectation).

    Args:
        design (Design): Says what is done with the means.
        n_background (int): How many rows the background has.
    """

    def __init__(self, design: Design, n_background: int) -> None:
        self._design = design
        self._n_background = n_background
        self.n_group = design.n_group
        self.n_unit = design.n_unit
        self.n_step = 1 + (design.n_step - 1) * n_background

    def present(self, step: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Tell which elements are present, which is the same for each row."""
        return self._design.present(-(-step // self._n_background), numbers)

    def background(self, step: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return one row after the other."""
        rows: np.ndarray = (step - 1) % self._n_background
        return rows

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Return what follows from the means."""
        return self._design.values(self._means(scores))

    def parts(self, scores: np.ndarray, n_part: int) -> Iterator[np.ndarray]:
        """Give the values of parts that follow from the means."""
        return self._design.parts(self._means(scores), n_part)

    def _means(self, scores: np.ndarray) -> np.ndarray:
        n, _, n_class = scores.shape
        of_rows = scores[:, 1:].reshape(n, -1, self._n_background, n_class)
        return np.concatenate([scores[:, :1], of_rows.mean(axis=2)], axis=1)
