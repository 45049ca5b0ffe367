"""A sum of functions of one column each, whose contributions are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

from saliency.checks import check_at_least
from saliency.metrics.truths.truth_set import (
    TruthSet,
    check_seed,
    metrics_of_additive,
)

import chainer
import chainer.functions as F


def _hinge(v: Any) -> Any:
    return F.relu(v - 0.5)


def _bump(v: Any) -> Any:
    return F.exp(-(v**2))


#: The functions, which columns have in turn: some saturate, some go up and down again.
FUNCTIONS: tuple[Callable[[Any], Any], ...] = (
    *(F.tanh, F.square, F.sin, _hinge, F.absolute, _bump),
)


class AdditiveFunction(chainer.Link):
    """The sum of a function of each column, times weights, ``(n, 1)``.

    Args:
        functions (sequence of callable): One for each column, elementwise.
        w (numpy.ndarray): Their weights, ``(n_feature,)``.
    """

    def __init__(
        self, functions: Sequence[Callable[[Any], Any]], w: np.ndarray
    ) -> None:
        super().__init__()
        self.functions = tuple(functions)
        with self.init_scope():
            self.w = chainer.Parameter(w[None])

    def forward(self, x: Any) -> chainer.Variable:
        """Return the value of each row."""
        return F.linear(self.values(x), self.w)

    def values(self, x: Any) -> chainer.Variable:
        """Return the functions of the columns, ``(n, n_feature)``."""
        columns = F.split_axis(x, len(self.functions), axis=1)
        return F.concat([g(v) for g, v in zip(self.functions, columns)])


def additive_table(n: int = 100, n_feature: int = 12, seed: int = 0) -> TruthSet:
    r"""Return a table and a sum of functions of its columns.

    .. math:: f(x) = \sum_i w_i g_i(x_i), \qquad
            \phi_i = w_i \bigl(g_i(x_i) - g_i(r_i)\bigr)

    is what feature i contributes over the reference r, for every order in which
    features are replaced, since nothing interacts. The functions (tanh, a square, a
    sine, a hinge, an absolute value and a bump) saturate, have kinks, and go up and
    down, so that the slope at x says little of the way from r.

    Args:
        n (int): Number of examples.
        n_feature (int): Number of columns, two or more.
        seed (int): One seed, one set.

    Returns:
        TruthSet: Examples ``(n, n_feature)`` in float32, twice as wide as a standard
        normal distribution.

    Raises:
        ValueError: If an argument is not allowed.
    """
    check_at_least("n", n, 1)
    check_at_least("n_feature", n_feature, 2)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    w, reference = rng.standard_normal((2, n_feature)).astype(np.float32)
    x = 2 * rng.standard_normal((n, n_feature)).astype(np.float32)
    functions = [FUNCTIONS[i % len(FUNCTIONS)] for i in range(n_feature)]
    model = AdditiveFunction(functions, w)
    with chainer.no_backprop_mode():
        of_x, of_reference = (
            model.values(v.astype(np.float64)).array for v in (x, reference[None])
        )
    contributions = w.astype(np.float64) * (of_x - of_reference)
    return TruthSet(
        name="additive table",
        doc=(
            "f(x) = sum w_i g_i(x_i); feature i contributes w_i (g_i(x_i) - g_i(r_i)), "
            "exactly. What a method makes of saturation and kinks is seen here."
        ),
        model=model,
        data=x,
        class_index=0,
        reference=reference,
        true_scores=contributions,
        metrics=metrics_of_additive(contributions, model, 0, reference),
    )
