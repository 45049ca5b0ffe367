"""The design of LIME: random coalitions near the example, and a ridge regression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.calculator.masks.design import LinearDesign, applied, units_of_parts

#: How much of a residual is taken to be left at least.
_LEAST = 1e-6


class Lime:
    """Makes designs of random coalitions whose values are coefficients of a ridge.

    Args:
        n_samples (int): How many coalitions are drawn.
        kernel_width (float): That of the weights.
        alpha (float): The penalty of the squared coefficients.
    """

    is_random = True
    adds_up = False

    def __init__(self, n_samples: int, kernel_width: float, alpha: float) -> None:
        self._n_samples = n_samples
        self._kernel_width = kernel_width
        self._alpha = alpha
        self.has_errors = n_samples > 1

    def __call__(self, n_group: int, n_background: int, rng: Any) -> LinearDesign:
        """Return a design for so many groups."""
        table = np.ones((1 + self._n_samples, n_group), bool)
        n_absent = rng.integers(1, n_group, self._n_samples, endpoint=True)
        places = np.argsort(rng.random((self._n_samples, n_group)), axis=1)
        table[1:] = places >= n_absent[:, None]
        return Ridge(table, similarity(table, self._kernel_width), self._alpha)


class Ridge(LinearDesign):
    """Coalitions whose values are the coefficients of a ridge regression.

    Step 0 is where all groups are present; the others are drawn.

    Args:
        table (numpy.ndarray): The coalitions, ``(n_step, n_group)``.
        weights (numpy.ndarray): That of each in the regression.
        alpha (float): The penalty.
    """

    def __init__(self, table: np.ndarray, weights: np.ndarray, alpha: float) -> None:
        z = table.astype(float)
        super().__init__(table, ridge(z, weights, alpha))
        self._centred = z - np.average(z, axis=0, weights=weights)
        self._shares = weights / weights.sum()
        leverages = self._shares + np.einsum("si,is->s", self._centred, self.weights)
        # At 1, no other coalition says anything of the score, and no residual is left.
        self._leverages = leverages.clip(max=1 - _LEAST)
        self.n_unit = len(table) - 1 if len(table) > 2 else 0

    def parts(self, scores: np.ndarray, n_part: int) -> Iterator[np.ndarray]:
        """Give coefficients to which some coalitions contribute more than the others.

        What one contributes is its residual times its weights (delta method). Few of
        them draw the regression to themselves: a residual counts as what it is for the
        regression without the coalition (jackknife).
        """
        values = self.values(scores)
        mean = applied(self._shares[None], scores)
        residuals = (scores - mean - applied(self._centred, values))[:, 1:]
        weights = self.weights[:, 1:] / (1 - self._leverages[1:])
        of_each = applied(weights, residuals) / self.n_unit
        for drawn in units_of_parts(self.n_unit, n_part):
            own = applied(weights[:, drawn], residuals[:, drawn])
            yield values + (own - len(drawn) * of_each) * n_part


def similarity(table: np.ndarray, kernel_width: float) -> np.ndarray:
    r"""Return how near coalitions are to that of all groups.

    It is :math:`\exp(-D^2 / \sigma^2)` with the cosine distance D between z' and the
    vector of ones.

    Args:
        table (numpy.ndarray): The coalitions, ``(n_coalition, n_group)``.
        kernel_width (float): :math:`\sigma`.
    """
    distance = 1 - np.sqrt(table.mean(axis=1))
    weights: np.ndarray = np.exp(-((distance / kernel_width) ** 2))
    return weights


def ridge(z: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Return the matrix that makes coefficients of scores.

    They minimize the weighted squares of the residuals, plus ``alpha`` times their own
    squares, beside an intercept that is not penalized.

    Args:
        z (numpy.ndarray): ``(n_row, n_group)``.
        weights (numpy.ndarray): That of each row.
        alpha (float): The penalty.

    Returns:
        numpy.ndarray: ``(n_group, n_row)``.

    Raises:
        ValueError: If the coefficients are not determined.
    """
    centred = z - np.average(z, axis=0, weights=weights)
    squares = centred.T @ (weights[:, None] * centred)
    squares += alpha * np.eye(z.shape[1])
    if np.linalg.cond(squares) > 1e12:
        raise ValueError(
            f"alpha={alpha} and {len(z) - 1} samples do not determine the coefficients "
            f"of {z.shape[1]} groups; pass a larger alpha, n_samples or kernel_width"
        )
    matrix: np.ndarray = np.linalg.solve(squares, centred.T * weights)
    return matrix
