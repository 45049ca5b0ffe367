r"""Designs of what pairs of groups add together, by all coalitions.

With :math:`\delta_{ij} v(S) = v(S \cup ij) - v(S \cup i) - v(S \cup j) + v(S)`, what
the pair adds to a coalition beyond what each of the two adds.
"""

from __future__ import annotations

from math import comb, factorial
from typing import Any

import numpy as np

from saliency.calculator.masks.design import Design, LinearDesign, OverBackground
from saliency.calculator.masks.group_run import GroupRun
from saliency.calculator.masks.shapley import MOST_GROUPS_OF_EXACT, all_coalitions
from saliency.checks import narrowed

#: How much of :math:`\delta_{ij} v(S)` counts, by the number of groups in S.
INDEXES = ("shapley", "taylor")


class Interactions:
    """Makes designs of all coalitions, whose values are the cells of a matrix.

    Args:
        index (str): One of :data:`INDEXES`.
    """

    is_random = False
    has_errors = False
    adds_up = True

    def __init__(self, index: str) -> None:
        self._index = index

    def __call__(self, n_group: int, n_background: int, rng: Any) -> Design:
        """Return the design for so many groups."""
        if n_group > MOST_GROUPS_OF_EXACT:
            raise ValueError(
                f"Shapley interactions take at most {MOST_GROUPS_OF_EXACT} groups, of "
                f"which all 2^n coalitions are run, got {n_group}; pass groups that "
                "put several elements together"
            )
        table, of_groups = all_coalitions(n_group)
        weights = _weights(table, of_groups, self._index)
        design = LinearDesign(table, weights)
        return OverBackground(design, n_background) if n_background else design


class InteractionRun(GroupRun):
    """The designs of a batch, and the matrices that follow from the scores."""

    def _values(self, scores: np.ndarray, first: int) -> np.ndarray:
        """Return the cells of the matrices, ``(n, size, n_group ** 2, n_class)``."""
        numbers = sorted(set(self._n_group.tolist()))
        if len(numbers) > 1:
            raise ValueError(
                "Shapley interactions need as many groups in every example, got "
                f"{' and '.join(map(str, numbers))}; explain examples of one length at "
                "a time"
            )
        design = self._design(first, numbers[0])
        return np.stack([design.values(sample) for sample in scores])

    def _maps(self, values: np.ndarray, dtypes: list[np.dtype]) -> list[np.ndarray]:
        """Return the matrices, ``(n, size, n_class, n_group, n_group)``."""
        n_sample, n_example, n_cell, n_class = values.shape
        n = round(n_cell**0.5)
        cells = np.moveaxis(values, 3, 2)
        matrices = cells.reshape(n_sample, n_example, n_class, n, n)
        return [narrowed(matrices, dtypes[0], "a saliency")]


def _weights(table: np.ndarray, of_groups: np.ndarray, index: str) -> np.ndarray:
    """Return that of each coalition in each cell, ``(n_group ** 2, n_coalition)``."""
    n = table.shape[1]
    size = table.sum(axis=1)
    weights = np.zeros((n, n, len(table)))
    of_size = np.array([_of_size(k, n, index) for k in range(n - 1)])
    for i in range(n):
        for j in range(i):
            inside = table[:, i].astype(int) + table[:, j]
            sign = np.where(inside == 1, -1, 1)
            # A pair is in two cells, with half of it in each.
            weights[i, j] = weights[j, i] = sign * of_size[size - inside] / 2
    for i in range(n):
        if index == "shapley":
            weights[i, i] = of_groups[i] - weights[i].sum(axis=0)
        else:
            weights[i, i, (size == 1) & table[:, i]] = 1
            weights[i, i, size == 0] = -1
    return weights.reshape(n * n, -1)


def _of_size(k: int, n: int, index: str) -> float:
    if index == "shapley":
        return factorial(k) * factorial(n - k - 2) / factorial(n - 1)
    return 2 / n / comb(n - 1, k)
