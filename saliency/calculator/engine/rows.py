"""The plan of forward passes: which rows go through the network together.

A calculator needs, for each of M samples and each of N examples, one or several
steps (points of a path, occlusion windows), and those for each call of the target's
link if there are several. A *row* is one (sample, call, step, example).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Callable

import numpy as np


@dataclass(frozen=True)
class Rows:
    """The rows of one forward pass.

    Attributes:
        sample (numpy.ndarray): Which of the M samples each row belongs to.
        call (numpy.ndarray or None): Which call of the target's link each row
            explains; None where the calls are not told apart.
        step (numpy.ndarray): Which step of its calculator each row is.
        example (numpy.ndarray): Position of each row in the user's batch.
        explained (numpy.ndarray): Positions (in this pass) of the rows that this
            pass explains; the others are there because the batch has to be whole.
    """

    sample: np.ndarray
    call: np.ndarray | None
    step: np.ndarray
    example: np.ndarray
    explained: np.ndarray

    def __len__(self) -> int:
        return len(self.example)

    def cut(self, start: int, stop: int) -> Rows:
        """Return the rows from ``start`` to ``stop``, which this pass all explains."""
        some = slice(start, stop)
        return Rows(
            self.sample[some],
            None if self.call is None else self.call[some],
            self.step[some],
            self.example[some],
            np.arange(len(self.example[some])),
        )

    @property
    def part(self) -> np.ndarray:
        """A number for each row's call and step; rows of one sample differ in it."""
        if self.call is None:
            return self.step
        part: np.ndarray = self.call * (self.step.max() + 1) + self.step
        return part


def plain_rows(examples: np.ndarray) -> Rows:
    """Return rows of examples, all of sample 0 and step 0."""
    zeros = np.zeros_like(examples)
    return Rows(zeros, None, zeros, examples, np.arange(len(examples)))


@dataclass(frozen=True)
class Extent:
    """How many rows one batch needs.

    Attributes:
        n_sample (int): Number of samples.
        n_call (int or None): Calls that are explained one by one, if they are.
        n_step (int): Steps for each sample and call.
        n_example (int): Examples in the user's batch.
        first_sample (int): Which of the M samples is the first of them.
    """

    n_sample: int
    n_call: int | None
    n_step: int
    n_example: int
    first_sample: int = 0

    @property
    def n_part(self) -> int:
        """Number of rows that are added up for each sample and example."""
        return (self.n_call or 1) * self.n_step

    def rows(self, start: int, stop: int) -> Rows:
        """Return the rows from ``start`` to ``stop``, counted through all axes."""
        return self.rows_at(np.arange(start, stop))

    def rows_at(self, flat: np.ndarray) -> Rows:
        """Return the rows of these numbers, counted through all axes."""
        # Faster than np.unravel_index where most axes are of length 1.
        rest, example = _divided(flat, self.n_example)
        rest, step = _divided(rest, self.n_step)
        sample, call = _divided(rest, self.n_call or 1)
        return Rows(
            self.first_sample + sample,
            None if self.n_call is None else call,
            step,
            example,
            np.arange(len(flat)),
        )

    def __len__(self) -> int:
        return self.n_sample * self.n_part * self.n_example


def _divided(numbers: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return quotients and remainders."""
    if n == 1:
        return numbers, np.zeros(len(numbers), numbers.dtype)
    low, high = int(numbers.min()) // n, int(numbers.max()) // n
    if low == high:
        return np.full_like(numbers, low), numbers - low * n
    quotients = numbers // n
    return quotients, numbers - quotients * n


# Says how many rows the next pass may have; what passes show may change it.
RowsOfPass = Callable[[], int]
PassPlan = Callable[[Extent, RowsOfPass], Iterator[Rows]]


class CannotFold(Exception):
    """A pass turned out not to treat its rows independently.

    Args:
        plan: How to run the model instead.
    """

    def __init__(self, plan: PassPlan) -> None:
        super().__init__(plan.__name__)
        self.plan = plan


class NoBatchAxis(ValueError):
    """The target turned out not to have the batch on its axis 0."""


def folded(extent: Extent, rows_of_pass: RowsOfPass) -> Iterator[Rows]:
    """Fill every pass with rows, whichever sample they belong to."""
    stop = 0
    while stop < len(extent):
        start, stop = stop, min(stop + rows_of_pass(), len(extent))
        yield extent.rows(start, stop)


def folded_apart(
    is_apart: Callable[[Rows], np.ndarray], extent: Extent, rows_of_pass: RowsOfPass
) -> Iterator[Rows]:
    """Fill every pass as :func:`folded` does, with rows of one of two kinds.

    Args:
        is_apart (callable): Tells for each row whether it is of the second kind.
        extent (Extent): The rows.
        rows_of_pass (callable): Says how many rows the next pass may have.
    """
    waiting = {kind: np.zeros(0, int) for kind in (False, True)}
    stop = 0
    while stop < len(extent):
        n_row = rows_of_pass()
        start, stop = stop, min(stop + n_row, len(extent))
        rows = np.arange(start, stop)
        apart = is_apart(extent.rows_at(rows))
        for kind in waiting:
            waiting[kind] = np.append(waiting[kind], rows[apart == kind])
            while len(waiting[kind]) >= n_row:
                yield extent.rows_at(waiting[kind][:n_row])
                waiting[kind] = waiting[kind][n_row:]
    for rows in waiting.values():
        if len(rows):
            yield extent.rows_at(rows)


def sample_by_sample(plan: PassPlan) -> PassPlan:
    """Return a plan whose passes are of one sample each, laid out by another."""

    def of_each_sample(extent: Extent, rows_of_pass: RowsOfPass) -> Iterator[Rows]:
        for m in range(extent.n_sample):
            one = replace(extent, n_sample=1, first_sample=extent.first_sample + m)
            yield from plan(one, rows_of_pass)

    return of_each_sample


def one_row(extent: Extent, rows_of_pass: RowsOfPass) -> Iterator[Rows]:
    """Run every row by itself, for models that draw random numbers of their own."""
    return folded(extent, lambda: 1)


def whole_batch(extent: Extent, rows_of_pass: RowsOfPass) -> Iterator[Rows]:
    """Run the user's batch as it is, for functions that return one value for it."""
    return folded(extent, lambda: extent.n_example)


def whole_batch_one_changed(extent: Extent, rows_of_pass: RowsOfPass) -> Iterator[Rows]:
    """Run the user's batch whole, with one example beyond step 0 at a time.

    For functions that return one value for the batch, where no gradient tells
    which example changed it. Step 0 must leave the example as it is.
    """
    for rows in whole_batch(extent, rows_of_pass):
        if rows.step[0] == 0:
            yield rows
            continue
        for changed in rows.example:
            step = np.where(rows.example == changed, rows.step, 0)
            yield replace(rows, step=step, explained=np.array([changed]))
