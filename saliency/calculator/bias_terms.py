r"""What each function of a graph adds to the output by itself: FullGrad's biases.

A function :math:`y = h(x)` with the Jacobian J is :math:`y = J x + b` at x. The b is an
explicit bias, as that of a convolution; the shift of a batch normalization; a constant
that is added; or an implicit bias, where h is neither linear nor piecewise linear
without an offset (Srinivas and Fleuret 2019, "Full-gradient representation for neural
network visualization", arXiv:1905.00780). With the gradient g of the score at y, the
function adds :math:`g^\top b = g^\top y - (J^\top g)^\top x` to the score, and over the
whole graph these sums telescope.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.lrp.affine import WeightedSum
from saliency.lrp.graph import Application, function_of
from saliency.lrp.registry import kind_of
from saliency.lrp.rules import every

import chainer
import chainer.functions as F

# Functions without a b, whatever they are applied to: f(c x) = c f(x) for c > 0.
_HOMOGENEOUS = (
    F.activation.crelu.CReLU,
    F.activation.leaky_relu.LeakyReLU,
    F.activation.relu.ReLU,
    F.activation.rrelu.RReLU,
    F.math.basic_math.Absolute,
    F.math.basic_math.MulConstant,
    F.math.basic_math.Neg,
    F.noise.dropout.Dropout,
)
# Kinds without a b where all that is added up or chosen from depends on the target, ...
_OF_THE_ACTIVE = frozenset(
    {"addition", "subtraction", "routing", "embedding", "pooling", "unpooling"}
    | {"maximum", "maximum over axes", "linear map", "scattered addition"}
)
# ... and where one factor does.
_OF_ONE_FACTOR = frozenset({"product", "matrix product", "quotient"})


@dataclass
class BiasTerm:
    """What one function adds to the scores.

    Attributes:
        path (str): Of the link that applied the function; empty outside any.
        application (Application): The function.
        values (array): Of the shape of its output, or one number for each row where it
            cannot be told which elements of the output it belongs to.
        has_places (bool): Whether ``values`` has the shape of the output.
    """

    path: str
    application: Application
    values: Array
    has_places: bool


def bias_term(
    this: Application, gradient: Sequence[Array | None], n_row: int, path: str
) -> BiasTerm | None:
    """Return what a function adds to the scores, or None if it has no bias.

    Args:
        this (Application): The function; its relevance is the gradient above it.
        gradient (sequence of array or None): That at its inputs.
        n_row (int): The number of examples.
        path (str): Path of its link.
    """
    kind = kind_of(this.function)
    if kind is not None and kind.has_weights and not any(this.active[1:]):
        bias = WeightedSum(this).bias(every)
        if np.ndim(bias) == 0:
            return None
        return BiasTerm(path, this, this.output_relevance * bias, True)
    if _has_no_bias(this, "" if kind is None else kind.name):
        return None
    pairs = [
        (x, g) for x, g in zip(this.inputs, gradient) if g is not None and x is not None
    ]
    outputs = [(y, g) for y, g in zip(this.outputs, this.relevance) if g is not None]
    if len(pairs) == len(outputs) == 1 and pairs[0][0].shape == outputs[0][0].shape:
        ((x, gx),), ((y, gy),) = pairs, outputs
        return BiasTerm(path, this, _times(gy, y) - _times(gx, x), True)
    above = sum(_by_row(_times(g, y), n_row) for y, g in outputs)
    below = sum(_by_row(_times(g, x), n_row) for x, g in pairs)
    dtype = outputs[0][0].dtype
    return BiasTerm(path, this, (above - below).astype(dtype), False)


def by_name(terms: Iterable[BiasTerm]) -> dict[str, BiasTerm]:
    """Return terms by the paths of their links, numbered where there are several.

    Args:
        terms (iterable of BiasTerm): In the order of the walk, from the output down.
    """
    found: dict[str, BiasTerm] = {}
    n_so_far: Counter[str] = Counter()
    for term in reversed(list(terms)):
        name = term.path or type(function_of(term.application.function)).__name__
        n_so_far[name] += 1
        number = f" ({n_so_far[name]})" if n_so_far[name] > 1 else ""
        found[name + number] = term
    return found


def sums_of_rows(arrays: Sequence[Array], n_row: int) -> tuple[Array, Array]:
    """Return the sum of all arrays for each row, and that of their magnitudes."""
    total = sum(_by_row(a, n_row) for a in arrays)
    return total, sum(_by_row(abs(a), n_row) for a in arrays)


def _times(gradient: Array, values: Array) -> Array:
    """Return products that are 0 without a gradient, as behind a mask of -inf."""
    xp = chainer.backend.get_array_module(values)
    return gradient * xp.where(gradient == 0, 0, values)


def _by_row(array: Array, n_row: int) -> Array:
    return array.reshape(n_row, -1).sum(axis=1, dtype="d")


def _has_no_bias(this: Application, kind: str) -> bool:
    """Tell whether a function gives 0 where the inputs on the way are 0."""
    function = function_of(this.function)
    if isinstance(function, _HOMOGENEOUS):
        return True
    if isinstance(function, F.activation.prelu.PReLUFunction):
        return not this.active[1]
    if isinstance(function, (F.math.logsumexp.LogSumExp, F.math.fmod.Fmod)):
        return False
    if kind == "padding":
        constant: Any = function.keywords.get("constant_values", 0)
        return function.mode != "constant" or not np.any(constant)
    if kind in _OF_ONE_FACTOR:
        return sum(this.active) == 1 and (this.active[0] or kind != "quotient")
    is_number = [x.dtype.kind == "f" for x in this.inputs]
    return kind in _OF_THE_ACTIVE and all(
        is_active or not is_float for is_active, is_float in zip(this.active, is_number)
    )
