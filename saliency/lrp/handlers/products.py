"""Products, where gates get no relevance, and what is handled like them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from saliency.lrp.affine import WeightedSum, has_weights, share
from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.handlers.axes import with_reduced_axes
from saliency.lrp.registry import handles, kind_of
from saliency.lrp.rules import SumRule, Uniform, stabilised_quotient

import chainer
import chainer.functions as F


@handles(
    "product", F.math.basic_math.Mul, rule=Uniform, hint="the product of the inputs"
)
def product(this: Application, rule: Uniform | None) -> InputRelevance:
    """All to the signal, none to its gate; halves without a gate, or under Uniform().

    Arras et al. (2017), "Explaining recurrent neural network predictions in sentiment
    analysis". Where neither factor is a gate they share equally, as in Achtibat et
    al. (2024), "AttnLRP". See :func:`is_gate`.
    """
    signals = _signals(this, rule)
    equal = this.output_relevance / len(signals)
    return [
        chainer.utils.sum_to(equal, x.shape) if i in signals else None
        for i, x in enumerate(this.inputs)
    ]


@handles("product of elements", F.math.prod.Prod)
def product_of_elements(this: Application, rule: Any) -> InputRelevance:
    """Equal shares of all factors."""
    (x,) = this.inputs
    r = with_reduced_axes(this, this.output_relevance)
    return [this.xp.broadcast_to(r / (x.size // r.size), x.shape)]


@handles("cumulative product", F.math.cumprod.Cumprod)
def cumulative_product(this: Application, rule: Any) -> InputRelevance:
    """Equal shares of all factors of each product."""
    (x,), r = this.inputs, this.output_relevance
    xp = this.xp
    axis = this.function.axis
    if axis is None:
        axis = 0  # of the elements in a row, which r is
    r = xp.moveaxis(r, axis, -1)
    equal = r / xp.arange(1, r.shape[-1] + 1, dtype=r.dtype)
    total = xp.cumsum(equal[..., ::-1], axis=-1)[..., ::-1]
    return [xp.moveaxis(total, -1, axis).reshape(x.shape)]


@handles(
    "matrix product",
    F.connection.bilinear.BilinearFunction,
    F.math.einsum.EinSum,
    F.math.matmul.BatchMatMul,
    F.math.matmul.MatMul,
    F.math.sparse_matmul.CooMatMul,
    F.math.tensordot.TensorDot,
    rule=SumRule,
    hint="what is linear in each of two inputs, such as a matrix product",
)
def matrix_product(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares in proportion to the products; attention gets none but under Uniform().

    Where one factor alone depends on the target, the other one is its weights, and the
    rule is applied as at a linear layer. With a parameter it is one.

    Attention, a softmax, is a gate of the values, as in Ali et al. (2022), "XAI for
    transformers: better explanations through conservative propagation". Two signals,
    as queries and keys, get half each (Achtibat et al. 2024, "AttnLRP").
    """
    if has_weights(this):
        return share(this, rule, WeightedSum(this, this.active_indexes[0]))
    (y,) = this.outputs
    signals = _signals(this, rule)
    n = len(signals)
    gradient = this.gradient([stabilised_quotient(this.output_relevance, n * y, rule)])
    return [
        x * g if i in signals else None
        for i, (x, g) in enumerate(zip(this.inputs, gradient))
    ]


@handles(
    "quotient",
    F.math.basic_math.Div,
    F.math.fmod.Fmod,
    hint="the first input divided by the second",
)
def quotient(this: Application, rule: Any) -> InputRelevance:
    """All relevance to the numerator; a denominator is a scale."""
    return _to_the_first(this)


@handles(
    "power",
    F.math.basic_math.PowVarVar,
    hint="the first input raised to the power of the second",
)
def power(this: Application, rule: Any) -> InputRelevance:
    """All relevance to the base, unless only the exponent depends on the target."""
    return _to_the_first(this)


@handles("sum of squares", F.math.batch_l2_norm_squared.BatchL2NormSquared)
def sum_of_squares(this: Application, rule: Any) -> InputRelevance:
    """Shares in proportion to the squares."""
    (x,), (y,), r = this.inputs, this.outputs, this.output_relevance
    shape = (-1,) + (1,) * (x.ndim - 1)
    return [x * x * (r / this.xp.where(y == 0, 1, y)).reshape(shape)]


def is_gate(node: chainer.variable.VariableNode) -> bool:
    """Tell whether a variable is a sigmoid, softmax, or another share from 0 to 1.

    Phi and ``1 + tanh`` or ``1 + erf``, as in a GELU, are such shares, too. A gate may
    have been scaled, reshaped, dropped out, or subtracted from 1 since.
    """
    function = node.creator_node
    if function is None:
        return False
    made = [x for x in function.inputs if x.creator_node is not None]
    if isinstance(function, F.math.basic_math.AddConstant):
        is_one_added = len(made) == 1 and bool(np.all(function.value == 1))
        return is_one_added and isinstance(made[0].creator_node, _FROM_MINUS_1_TO_1)
    kind = kind_of(function)
    if kind is None or not kind.keeps_gates:
        return kind is not None and kind.is_gate
    return bool(made) and all(is_gate(x) for x in made)


_FROM_MINUS_1_TO_1 = (F.activation.tanh.Tanh, F.math.erf.Erf)


def _signals(this: Application, rule: SumRule | None) -> Sequence[int]:
    """Return the inputs that get relevance: those that are no gates, if any.

    Under :class:`~saliency.lrp.rules.Uniform`, a gate counts as one only where it is
    computed from the other factor, element by element.
    """
    active = this.active_indexes
    nodes = [this.function.inputs[i] for i in active]
    gates = [is_gate(node) for node in nodes]
    if isinstance(rule, Uniform):
        gates = [
            gate and len(nodes) == 2 and _is_of_signal(node, other)
            for gate, node, other in zip(gates, nodes, reversed(nodes))
        ]
    return [i for i, gate in zip(active, gates) if not gate] or active


_SCALED = frozenset({"scaling", "product", "quotient"})
_ELEMENT_BY_ELEMENT = _SCALED | {
    *("elementwise", "gate", "power", "addition", "subtraction"),
    *("added constant", "subtracted from constant"),
}


def _is_of_signal(
    gate: chainer.variable.VariableNode, signal: chainer.variable.VariableNode
) -> bool:
    """Tell whether a gate is computed from a signal, element by element.

    The signal may have been scaled since, as in ``0.5 * x * (1 + erf(x))``.
    """
    return not _behind(gate, _ELEMENT_BY_ELEMENT).isdisjoint(_behind(signal, _SCALED))


def _behind(
    node: chainer.variable.VariableNode, kinds: Collection[str]
) -> set[chainer.variable.VariableNode]:
    """Return a variable, and those that it is made of by functions of some kinds."""
    found, waiting = {node}, [node]
    while waiting:
        function = waiting.pop().creator_node
        kind = None if function is None else kind_of(function)
        if kind is not None and kind.name in kinds:
            new = set(function.inputs) - found
            found |= new
            waiting.extend(new)
    return found


def _to_the_first(this: Application) -> InputRelevance:
    """Return all relevance for the first of the active inputs."""
    first = this.active_indexes[0]
    r = chainer.utils.sum_to(this.output_relevance, this.inputs[first].shape)
    return this.at_active([r])
