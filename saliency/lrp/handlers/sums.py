"""What is done with relevance at each kind of function.

A handler is called with an application of a function and the rule that it got, and
returns the relevance of each input, None for those that get none. What it returns for
an input that does not depend on the target stays there, as with a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

from saliency.lrp.affine import (
    Pooled,
    Scaled,
    SignedSum,
    Standardized,
    WeightedSum,
    fixed_scale_and_shift,
)
from saliency.lrp.graph import Application
from saliency.lrp.rules import Affine, Gradient, Norm, Pass, divide

import chainer

Parts = Sequence[Any]
Handler = Callable[[Application, Any], Parts]


def weighted(this: Application, rule: Any) -> Parts:
    """Shares by the rule; the weights must not depend on the target."""
    return _by_rule(WeightedSum, this, rule)


def embedded(this: Application, rule: Any) -> Parts:
    """Relevance of a token: the sum over its embedding."""
    (r,) = this.relevance
    of_ids = r.sum(axis=-1) if this.active[0] else None
    of_weights = this.gradient()[1] if this.active[1] else None
    return [of_ids, of_weights]


def added(this: Application, rule: Any) -> Parts:
    """Shares of the terms by the rule."""
    return _at_rule(SignedSum(this, [1] * len(this.inputs)), this, rule)


def subtracted(this: Application, rule: Any) -> Parts:
    """Shares of both terms by the rule, one with the weight -1."""
    return _at_rule(SignedSum(this, [1, -1]), this, rule)


def added_constant(this: Application, rule: Any) -> Parts:
    """Share of x by the rule; the constant is a bias."""
    return _at_rule(SignedSum(this, [1], this.function.value), this, rule)


def subtracted_from_constant(this: Application, rule: Any) -> Parts:
    """Share of x by the rule, with the weight -1; the constant is a bias."""
    return _at_rule(SignedSum(this, [-1], this.function.value), this, rule)


def scattered(this: Application, rule: Any) -> Parts:
    """Shares by the rule of the array and of what is added to it in places."""
    return _at_rule(Pooled(this, n_summed=2), this, rule)


def pooled(this: Application, rule: Any) -> Parts:
    """Shares by the rule of all elements that are summed, averaged or interpolated."""
    return _by_rule(Pooled, this, rule)


def sampled(this: Application, rule: Any) -> Parts:
    """Shares by the rule of the points that are sampled, none for where they are."""
    if not this.active[0]:
        check_weights(this)
    return _at_rule(Pooled(this), this, rule)


def unpooled(this: Application, rule: Any) -> Parts:
    """Relevance is added up where the element came from; shares where areas overlap."""
    function = this.function
    if hasattr(function, "kh"):
        ksize, stride = (function.kh, function.kw), (function.sy, function.sx)
    else:
        ksize, stride = function.ksize, function.stride
    if any(k > s for k, s in zip(ksize, stride)):
        return pooled(this, rule)
    return routing(this, rule)


def mapped(this: Application, rule: Any) -> Parts:
    """Shares in proportion to the contributions x_j w_jk of a linear map."""
    s = [
        None if r is None else stabilised_quotient(r, y, rule)
        for r, y in zip(this.relevance, this.outputs)
    ]
    gradient = this.gradient(s)
    parts = [None if g is None else x * g for x, g in zip(this.inputs, gradient)]
    shared = sum((a * y).sum() for a, y in zip(s, this.outputs) if a is not None)
    rest = shared - sum(part.sum() for part in parts if part is not None)
    this.bias_relevance.append(this.xp.asarray(rest))
    return parts


def batch_normalized(this: Application, rule: Any) -> Parts:
    """One with the linear layer or convolution it follows, else share by the rule."""
    check_weights(this)
    scale, shift = fixed_scale_and_shift(this)
    expand = this.function.expander
    return _at_rule(Scaled(this, scale[expand], shift[expand]), this, rule)


def trained_batch_normalized(this: Application, rule: Any) -> Parts:
    """Share by the rule, with the statistics of the batch as constants."""
    check_weights(this)
    x, gamma, beta = this.inputs
    function = this.function
    expand = function.expander
    mean = x.mean(axis=function.axis, keepdims=True)
    deviation = x.var(axis=function.axis, keepdims=True) + function.eps
    scale = gamma[expand] / this.xp.sqrt(deviation)
    return _at_rule(Scaled(this, scale, beta[expand] - mean * scale), this, rule)


def layer_normalized(this: Application, rule: Any) -> Parts:
    """Shares by the rule in the centred x, with the deviation as a constant."""
    check_weights(this)
    x, gamma, beta = this.inputs
    deviation = this.xp.sqrt(x.var(axis=1, keepdims=True) + this.function.eps)
    return _at_rule(Standardized(this, x.shape, gamma / deviation, beta), this, rule)


def group_normalized(this: Application, rule: Any) -> Parts:
    """As layer normalization, over groups of channels."""
    check_weights(this)
    x, gamma, beta = this.inputs
    groups = this.function.groups
    rows = x.reshape(len(x), groups, -1)
    deviation = this.xp.sqrt(rows.var(axis=2) + this.function.eps)
    ones = (1,) * (x.ndim - 2)
    per_channel = this.xp.repeat(deviation, x.shape[1] // groups, axis=1)
    scale = gamma.reshape(1, -1, *ones) / per_channel.reshape(*x.shape[:2], *ones)
    shift = beta.reshape(1, -1, *ones)
    return _at_rule(Standardized(this, rows.shape, scale, shift), this, rule)


def routing(this: Application, rule: Any) -> Parts:
    """Relevance goes where each element came from, and is added up there."""
    parts = this.gradient()
    if all(part is None for part in parts):
        raise ValueError(
            f"no relevance goes through {this.label}: only its indexes or conditions "
            "depend on the target"
        )
    return parts


def padded(this: Application, rule: Any) -> Parts:
    """Relevance goes to the element that was copied, or stays with the constant."""
    function = this.function
    if function.mode == "constant":
        return routing(this, rule)
    is_copy = function.mode in ("edge", "reflect", "symmetric", "wrap")
    if not is_copy or function.keywords.get("reflect_type", "even") != "even":
        raise ValueError(
            f"no relevance goes through {this.label} of mode {function.mode!r}, which "
            "does not copy elements; use 'constant', 'edge', 'reflect', 'symmetric' "
            "or 'wrap'"
        )
    (x,), (r,) = this.inputs, this.relevance
    xp = this.xp
    came_from = xp.arange(x.size).reshape(x.shape)
    came_from = xp.pad(
        came_from, function.pad_width, mode=function.mode, **function.keywords
    )
    total = xp.bincount(came_from.ravel(), weights=r.ravel(), minlength=x.size)
    return [total.reshape(x.shape).astype(r.dtype)]


def passing(this: Application, rule: Any) -> Parts:
    """Relevance goes through unchanged."""
    (r,) = this.relevance
    active = [i for i, is_active in enumerate(this.active) if is_active]
    if len(active) > 1 or this.inputs[active[0]].shape != r.shape:
        raise ValueError(
            f"no relevance goes through {this.label}: its parameters depend on the "
            "target, too; register a handler for what should be done there"
        )
    return _to(this, active[0], r)


def crelu(this: Application, rule: Any) -> Parts:
    """Relevance of both halves goes through unchanged."""
    (r,) = this.relevance
    first, second = this.xp.split(r, 2, axis=this.function.axis)
    return [first + second]


def won(this: Application, rule: Any) -> Parts:
    """Relevance goes to the winner; for logsumexp in shares of the softmax."""
    return routing(this, rule)


def won_over_axes(this: Application, rule: Any) -> Parts:
    """Relevance goes to the winner, or equally to those that share its value.

    With the rule Gradient, each of these gets all of it.
    """
    if isinstance(rule, Gradient):
        return routing(this, rule)
    (x,), (y,), (r,) = this.inputs, this.outputs, this.relevance
    is_winner = x == _like_input(this, y)
    axes = this.function.axis
    n_winner = is_winner.sum(axis=axes, keepdims=True).astype(r.dtype)
    return [is_winner * (_like_input(this, r) / n_winner)]


def gated(this: Application, rule: Any) -> Parts:
    """All relevance to the signal, none to its gate; halves without a gate.

    Arras et al. (2017), "Explaining recurrent neural network predictions in sentiment
    analysis". Where neither factor is a gate they share equally, as in Achtibat et
    al. (2024), "AttnLRP". See :func:`is_gate`.
    """
    (r,) = this.relevance
    sharing = _signals(this)
    result: list[Any] = [None] * len(this.inputs)
    for i in sharing:
        result[i] = chainer.utils.sum_to(r / len(sharing), this.inputs[i].shape)
    return result


def multiplied_over_axes(this: Application, rule: Any) -> Parts:
    """Equal shares of all factors."""
    (x,), (r,) = this.inputs, this.relevance
    r = _like_input(this, r)
    return [this.xp.broadcast_to(r / (x.size // r.size), x.shape)]


def multiplied_up(this: Application, rule: Any) -> Parts:
    """Equal shares of all factors of each product."""
    (x,), (r,) = this.inputs, this.relevance
    xp = this.xp
    axis = this.function.axis
    if axis is None:
        axis = 0  # of the elements in a row, which r is
    r = xp.moveaxis(r, axis, -1)
    share = r / xp.arange(1, r.shape[-1] + 1, dtype=r.dtype)
    total = xp.cumsum(share[..., ::-1], axis=-1)[..., ::-1]
    return [xp.moveaxis(total, -1, axis).reshape(x.shape)]


def multiplied_matrices(this: Application, rule: Any) -> Parts:
    """Shares in proportion to the products; attention (a softmax) gets none.

    Attention is a gate of the values, as in Ali et al. (2022), "XAI for transformers:
    better explanations through conservative propagation". Two signals, as queries and
    keys, get half each (Achtibat et al. 2024, "AttnLRP").
    """
    (r,), (y,) = this.relevance, this.outputs
    sharing = _signals(this)
    gradient = this.gradient([stabilised_quotient(r, y, rule)])
    result: list[Any] = [None] * len(this.inputs)
    for i in sharing:
        result[i] = this.inputs[i] * gradient[i] / len(sharing)
    return result


def numerator(this: Application, rule: Any) -> Parts:
    """All relevance to the numerator; a denominator is a scale."""
    (r,) = this.relevance
    to = 0 if this.active[0] else 1
    return _to(this, to, chainer.utils.sum_to(r, this.inputs[to].shape))


def base(this: Application, rule: Any) -> Parts:
    """All relevance to the base, unless only the exponent depends on the target."""
    return numerator(this, rule)


def sum_of_squares(this: Application, rule: Any) -> Parts:
    """Shares in proportion to the squares."""
    (x,), (y,), (r,) = this.inputs, this.outputs, this.relevance
    shape = (-1,) + (1,) * (x.ndim - 1)
    return [x * x * (r / this.xp.where(y == 0, 1, y)).reshape(shape)]


class NoRelevance:
    """Refuses a function where relevance has no meaning.

    Args:
        reason (str): Why, and what to do.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.__doc__ = f"An error: {reason}."

    def __call__(self, this: Application, rule: Any) -> Parts:
        """Raise a ValueError that names the function and the reason."""
        raise ValueError(f"no relevance goes through {this.label}: {self.reason}")


def stabilised_quotient(r: Any, z: Any, rule: Any) -> Any:
    """Return R / z with the epsilon of the rule, and 0 for R / 0 without any."""
    return divide(r, z, getattr(rule or Norm(), "epsilon", 0.0))


def is_gate(node: Any) -> bool:
    """Tell whether a variable is a sigmoid, softmax, or another share from 0 to 1.

    Those are Phi and ``1 + tanh`` or ``1 + erf`` in a GELU, too. It may have been
    scaled, reshaped, dropped out, or taken from 1 since.
    """
    from saliency.lrp.registry import kind_of

    function = node.creator_node
    if function is None:
        return False
    name = type(function).__name__
    if name in ("Sigmoid", "HardSigmoid", "Softmax", "Ndtr"):
        return True
    made = [x for x in function.inputs if x.creator_node is not None]
    if name == "AddConstant" and np.all(function.value == 1):
        made_by = [type(x.creator_node).__name__ for x in made]
        return made_by in (["Tanh"], ["Erf"])
    through = ("routing", "padding", "scaling", "subtracted from constant")
    if kind_of(function) not in through and name != "Dropout":
        return False
    return bool(made) and all(is_gate(x) for x in made)


def check_weights(this: Application) -> None:
    """Raise a ValueError if anything but the first input depends on the target."""
    if any(this.active[1:]):
        raise ValueError(
            f"no relevance goes through {this.label}: its weights or bias depend on "
            "the target, too; register a handler for what should be done there"
        )


def _by_rule(affine: Callable[[Application], Affine], this: Any, rule: Any) -> Parts:
    check_weights(this)
    return _at_rule(affine(this), this, rule)


def _at_rule(affine: Affine, this: Application, rule: Any) -> Parts:
    """Apply a rule to the active inputs of an affine function."""
    active = [i for i, is_active in enumerate(this.active) if is_active]
    if isinstance(rule, Gradient):
        return this.gradient()
    result: list[Any] = [None] * len(this.inputs)
    if isinstance(rule, Pass):
        of_xs = _passed(this, active)
    else:
        of_xs, of_bias = (rule or Norm()).propagate(affine, this.relevance[0])
        this.bias_relevance.append(of_bias)
    for i, r in zip(active, of_xs):
        result[i] = r
    return result


def _passed(this: Application, active: Sequence[int]) -> Parts:
    """Return the relevance as it is, in equal parts if there are several inputs."""
    (r,) = this.relevance
    shapes = [this.inputs[i].shape for i in active]
    for shape in shapes:
        try:
            fits = np.broadcast_shapes(shape, r.shape) == r.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"the rule Pass() does not fit {this.label}: its input of shape "
                f"{shape} has not the shape of its output, {r.shape}"
            )
    return [chainer.utils.sum_to(r / len(active), shape) for shape in shapes]


def _signals(this: Application) -> list[int]:
    """Return the inputs that get relevance: those that are no gates, if any."""
    active = [i for i, is_active in enumerate(this.active) if is_active]
    return [i for i in active if not is_gate(this.function.inputs[i])] or active


def _to(this: Application, index: int, r: Any) -> Parts:
    return [r if i == index else None for i in range(len(this.inputs))]


def _like_input(this: Application, y: Any) -> Any:
    """Return an output with the axes back over which the input was reduced."""
    (x,) = this.inputs
    axes = this.function.axis
    axes = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
    return y.reshape([1 if i in axes else n for i, n in enumerate(x.shape)])
