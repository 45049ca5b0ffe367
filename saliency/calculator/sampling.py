"""The plan of forward passes: which rows go through the network together.

A calculator needs, for each of M samples and each of N examples, one or several
steps (points of a path, occlusion windows). A *row* is one (sample, step, example).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable

import numpy as np


@dataclass(frozen=True)
class Rows:
    """The rows of one forward pass.

    Attributes:
        sample (numpy.ndarray): Which of the M samples each row belongs to.
        step (numpy.ndarray): Which step of its calculator each row is.
        example (numpy.ndarray): Position of each row in the user's batch.
        explained (numpy.ndarray): Positions (in this pass) of the rows that this
            pass explains; the others are there because the batch has to be whole.
    """

    sample: np.ndarray
    step: np.ndarray
    example: np.ndarray
    explained: np.ndarray

    def __len__(self) -> int:
        return len(self.example)


Layout = Callable[[int, int, int, int], Iterator[Rows]]


class CannotFold(Exception):
    """A pass turned out not to treat its rows independently.

    Args:
        layout: How to run the model instead.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout.__name__)
        self.layout = layout


def folded(
    n_sample: int, n_step: int, n_example: int, batchsize: int
) -> Iterator[Rows]:
    """Fill every pass with ``batchsize`` rows, whichever sample they belong to."""
    n_row = n_sample * n_step * n_example
    for start in range(0, n_row, batchsize):
        flat = np.arange(start, min(start + batchsize, n_row))
        sample, step, example = np.unravel_index(flat, (n_sample, n_step, n_example))
        yield Rows(sample, step, example, np.arange(len(flat)))


def one_row(
    n_sample: int, n_step: int, n_example: int, batchsize: int
) -> Iterator[Rows]:
    """Run every row by itself, for models that draw random numbers of their own."""
    return folded(n_sample, n_step, n_example, 1)


def whole_batch(
    n_sample: int, n_step: int, n_example: int, batchsize: int
) -> Iterator[Rows]:
    """Run the user's batch as it is, for functions that return one value for it."""
    return folded(n_sample, n_step, n_example, n_example)


def whole_batch_one_changed(
    n_sample: int, n_step: int, n_example: int, batchsize: int
) -> Iterator[Rows]:
    """Run the user's batch whole, with one example beyond step 0 at a time.

    For functions that return one value for the batch, where no gradient tells
    which example changed it. Step 0 must leave the example as it is.
    """
    examples = np.arange(n_example)
    for sample in range(n_sample):
        samples = np.full(n_example, sample)
        yield Rows(samples, np.zeros(n_example, int), examples, examples)
        for step in range(1, n_step):
            for changed in examples:
                steps = np.where(examples == changed, step, 0)
                yield Rows(samples, steps, examples, np.array([changed]))
