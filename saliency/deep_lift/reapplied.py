"""A function applied again, to other arrays."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.backprop import input_gradients
from saliency.deep_lift.pair import Pair

import chainer


class Reapplied(NamedTuple):
    """A function that was applied again.

    Attributes:
        function (chainer.FunctionNode): The copy that was.
        variables (tuple of chainer.Variable): What it gave.
    """

    function: chainer.FunctionNode
    variables: tuple[Any, ...]

    @property
    def outputs(self) -> list[Array]:
        """The arrays that it gave."""
        return [y.array for y in self.variables]


def reapplied(function: chainer.FunctionNode, arrays: Sequence[Array]) -> Reapplied:
    """Apply a copy of a function to other arrays; the original stays as it is."""
    again = copy.copy(function)
    again.inputs = again.outputs = None
    again._input_layouts = again._output_layouts = None
    again._retained_output_data = None
    if isinstance(function, chainer.function.FunctionAdapter):
        again._function = copy.copy(function.function)  # forward writes into it
        again._function._owned_node = again
    with chainer.force_backprop_mode():
        outputs = again.apply([chainer.Variable(x) for x in arrays])
    return Reapplied(again, outputs)


def mean_gradient(pair: Pair, degree: int) -> list[Array | None]:
    r"""Return the mean of the gradient on the straight way from x' to x.

    .. math::
        m_i = \int_0^1 \frac{\partial f}{\partial x_i}(x' + \alpha \Delta x) d\alpha

    It adds up to the difference of f, by the fundamental theorem of calculus, and for a
    product of two inputs it is the mean of the other one. Where f is a polynomial, a
    Gauss-Legendre quadrature has no error.

    Args:
        pair (Pair): The function f.
        degree (int): That of f as a polynomial in all its inputs together.
    """
    nodes, weights = np.polynomial.legendre.leggauss(max(1, (degree + 1) // 2))
    total: list[Array | None] = [None] * len(pair.inputs)
    for alpha, weight in zip((nodes + 1) / 2, weights / 2):
        arrays = [
            x0 + x.dtype.type(alpha) * (x - x0) if x.dtype.kind == "f" else x
            for x, x0 in zip(pair.inputs, pair.inputs0)
        ]
        there = reapplied(pair.at_x.function, arrays)
        found = input_gradients(there.function, pair.active_indexes, pair.multipliers)
        for i, g in zip(pair.active_indexes, found):
            if g is not None:
                part = g * g.dtype.type(weight)
                total[i] = part if total[i] is None else total[i] + part
    return total
