"""A function of pairs of columns, whose Shapley values are known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.checks import check_at_least
from saliency.metrics.truths.truth_set import (
    TruthSet,
    check_seed,
    metrics_of_contributions,
)

import chainer
import chainer.functions as F


class PairFunction(chainer.Link):
    """Weights times columns, and times products or maxima of pairs of them, ``(n, 1)``.

    Args:
        w (numpy.ndarray): The weights of columns, ``(n_feature,)``.
        v (numpy.ndarray): Those of pairs, ``(n_feature // 2,)``: columns 0 and 1, 2 and
            3, and so on; pairs 0, 2, ... are multiplied, of the others the larger one
            is taken.
    """

    def __init__(self, w: np.ndarray, v: np.ndarray) -> None:
        super().__init__()
        with self.init_scope():
            self.w = chainer.Parameter(w[None])
            self.v = chainer.Parameter(v[None])

    def forward(self, x: Any) -> chainer.Variable:
        """Return the value of each row."""
        return F.linear(x, self.w) + F.linear(self.values(x), self.v)

    def values(self, x: Any) -> chainer.Variable:
        """Return the products and maxima of the pairs, ``(n, n_pair)``."""
        columns = F.split_axis(x, x.shape[1], axis=1)
        pairs = zip(columns[::2], columns[1::2])
        return F.concat(
            [a * b if i % 2 == 0 else F.maximum(a, b) for i, (a, b) in enumerate(pairs)]
        )


def interaction_table(n: int = 100, n_feature: int = 12, seed: int = 0) -> TruthSet:
    r"""Return a table and a function in which pairs of its columns act together.

    .. math:: f(x) = \sum_i w_i x_i + \sum_{(i, j)} v_{ij} h_{ij}(x_i, x_j)

    where each column is in one pair, and h is a product or a maximum. Of a function of
    two features there are two orders, so that the Shapley value of the first is

    .. math:: \tfrac{1}{2} \bigl[h(x_i, r_j) - h(r_i, r_j)
            + h(x_i, x_j) - h(r_i, x_j)\bigr]

    and the Shapley interaction index of the pair

    .. math:: h(x_i, x_j) - h(x_i, r_j) - h(r_i, x_j) + h(r_i, r_j)

    half of which is in each cell of the matrix, as in
    :class:`saliency.ShapleyInteractionCalculator`. Those of a sum of functions are the
    sums of theirs. Integrated Gradients have the same values for products, as for all
    functions that are linear in each feature (Owen 1972, "Multilinear extensions of
    games", Management Science 18(5)), and others for maxima.

    The contributions depend on what is thought of as fair: Shapley values are the truth
    here by their definition, and rankings for removal are another matter.

    Args:
        n (int): Number of examples.
        n_feature (int): Number of columns, even.
        seed (int): One seed, one set.

    Returns:
        TruthSet: Examples ``(n, n_feature)`` in float32, with ``interactions``.

    Raises:
        ValueError: If an argument is not allowed.
    """
    check_at_least("n", n, 1)
    check_at_least("n_feature", n_feature, 2)
    if n_feature % 2:
        raise ValueError(f"n_feature must be even, got {n_feature}")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    w, reference = rng.standard_normal((2, n_feature)).astype(np.float32)
    v = rng.standard_normal(n_feature // 2).astype(np.float32)
    x = rng.standard_normal((n, n_feature)).astype(np.float32)
    model = PairFunction(w, v)
    interactions = _interactions(model, x.astype(np.float64), reference)
    contributions = interactions.sum(axis=2)
    return TruthSet(
        name="interaction table",
        doc=(
            "f(x) = sum w_i x_i + sum v_ij h(x_i, x_j) with products and maxima h; the "
            "truth are the Shapley values, in closed form."
        ),
        model=model,
        data=x,
        class_index=0,
        reference=reference,
        true_scores=contributions,
        metrics=metrics_of_contributions(contributions, model, 0, reference),
        interactions=interactions,
    )


def _interactions(
    model: PairFunction, x: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """Return what pairs add together, and on the diagonal what each adds by itself."""
    first, second = x.copy(), x.copy()  # with the other one of each pair absent
    first[:, 1::2], second[:, ::2] = reference[1::2], reference[::2]
    none = np.broadcast_to(reference.astype(np.float64), x.shape)
    with chainer.no_backprop_mode():
        both, of_first, of_second, of_none = (
            model.values(one).array * model.v.array.astype(np.float64)
            for one in (x, first, second, none)
        )
    n, n_feature = x.shape
    alone = model.w.array.astype(np.float64) * (x - none)
    alone[:, ::2] += of_first - of_none
    alone[:, 1::2] += of_second - of_none
    matrices = np.zeros((n, n_feature, n_feature))
    matrices[:, np.arange(n_feature), np.arange(n_feature)] = alone
    i = np.arange(0, n_feature, 2)
    together = both - of_first - of_second + of_none
    matrices[:, i, i + 1] = matrices[:, i + 1, i] = together / 2
    return matrices
