"""A linear function of a table's columns, whose contributions are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.checks import check_at_least
from saliency.metrics.truths.truth_set import (
    TruthSet,
    check_seed,
    metrics_of_additive,
)

import chainer
import chainer.functions as F


class LinearFunction(chainer.Link):
    """The sum of columns times weights, ``(n, 1)``.

    Args:
        w (numpy.ndarray): The weights, ``(n_feature,)``.
    """

    def __init__(self, w: np.ndarray) -> None:
        super().__init__()
        with self.init_scope():
            self.w = chainer.Parameter(w[None])

    def forward(self, x: Any) -> chainer.Variable:
        """Return the value of each row."""
        return F.linear(x, self.w)


def linear_table(n: int = 100, n_feature: int = 12, seed: int = 0) -> TruthSet:
    r"""Return a table and a linear function of its columns.

    .. math:: f(x) = \sum_i w_i x_i, \qquad \phi_i = w_i (x_i - r_i)

    is what feature i contributes over the reference r, for every order in which
    features are replaced. Weights, examples and the reference are drawn from a standard
    normal distribution. So the gradient, which is w for all examples, and the gradient
    times the input, which is of a reference of 0, are both wrong, and show that metrics
    notice it.

    Args:
        n (int): Number of examples.
        n_feature (int): Number of columns, two or more.
        seed (int): One seed, one set.

    Returns:
        TruthSet: Examples ``(n, n_feature)`` in float32.

    Raises:
        ValueError: If an argument is not allowed.
    """
    check_at_least("n", n, 1)
    check_at_least("n_feature", n_feature, 2)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    w, reference = rng.standard_normal((2, n_feature)).astype(np.float32)
    x = rng.standard_normal((n, n_feature)).astype(np.float32)
    contributions = w.astype(np.float64) * (x.astype(np.float64) - reference)
    model = LinearFunction(w)
    return TruthSet(
        name="linear table",
        doc=(
            "f(x) = sum w_i x_i; feature i contributes w_i (x_i - r_i), exactly. A "
            "method that knows another reference, or none, is wrong by that alone."
        ),
        model=model,
        data=x,
        class_index=0,
        reference=reference,
        true_scores=contributions,
        metrics=metrics_of_additive(contributions, model, 0, reference),
    )
