"""Functions that do several things at once, as compositions of what they do."""

from __future__ import annotations

from typing import Any

from saliency.deep_lift.handlers.affine import affine
from saliency.deep_lift.pair import Pair
from saliency.deep_lift.reapplied import mean_gradient
from saliency.deep_lift.registry import Multipliers, multiplies
from saliency.deep_lift.walk import of_composition

import chainer
import chainer.functions as F

# Points of a way between two ends, for functions of which nothing more is known.
_POINTS = 16


@multiplies("scaling")
def scaling(pair: Pair) -> Multipliers:
    """The mean of the gradient on the straight way from the baseline."""
    return mean_gradient(pair, 2 * _POINTS)


@multiplies("concatenated ReLU")
def concatenated_relu(pair: Pair) -> Multipliers:
    """As ReLU of x and of -x."""
    axis = pair.function.axis
    return of_composition(
        pair, lambda x: [F.concat([F.relu(x), F.relu(-x)], axis=axis)]
    )


@multiplies("batch normalization")
def batch_normalization(pair: Pair) -> Multipliers:
    """The gradient; as a composition where the statistics depend on the target."""
    if not set(pair.active_indexes) & {1, 3, 4}:
        return affine(pair)
    function = pair.function

    def normalized(x: Any, gamma: Any, beta: Any, mean: Any, var: Any) -> list[Any]:
        mean, deviation, gamma, beta = (
            _along(function.expander, v, x)
            for v in (mean, F.sqrt(var + function.eps), gamma, beta)
        )
        return [(x - mean) / deviation * gamma + beta]

    return of_composition(pair, normalized)


def _along(expander: Any, v: Any, x: Any) -> Any:
    """Return a vector of channels in the shape of x."""
    return F.broadcast_to(v[expander], x.shape)


@multiplies("batch normalization (training)")
def batch_normalization_in_training(pair: Pair) -> Multipliers:
    """As mean, deviation and quotient, over the batch."""
    function = pair.function

    def normalized(x: Any, gamma: Any, beta: Any) -> list[Any]:
        h = _standardized(x, function.axis, function.eps)
        gamma, beta = (_along(function.expander, v, x) for v in (gamma, beta))
        return [h * gamma + beta]

    return of_composition(pair, normalized)


@multiplies("layer normalization")
def layer_normalization(pair: Pair) -> Multipliers:
    """As mean, deviation and quotient."""
    eps = pair.function.eps

    def normalized(x: Any, gamma: Any, beta: Any) -> list[Any]:
        h = _standardized(x, 1, eps)
        return [h * F.broadcast_to(gamma, x.shape) + F.broadcast_to(beta, x.shape)]

    return of_composition(pair, normalized)


@multiplies("group normalization")
def group_normalization(pair: Pair) -> Multipliers:
    """As layer normalization, over groups of channels."""
    function = pair.function

    def normalized(x: Any, gamma: Any, beta: Any) -> list[Any]:
        rows = F.reshape(x, (len(x), function.groups, -1))
        h = F.reshape(_standardized(rows, 2, function.eps), x.shape)
        shape = (1, -1) + (1,) * (x.ndim - 2)
        gamma, beta = (
            F.broadcast_to(F.reshape(v, shape), x.shape) for v in (gamma, beta)
        )
        return [h * gamma + beta]

    return of_composition(pair, normalized)


def _standardized(x: Any, axis: Any, eps: float) -> Any:
    """Return x minus its mean, divided by its deviation."""
    centred = x - F.broadcast_to(F.mean(x, axis=axis, keepdims=True), x.shape)
    variance = F.mean(F.square(centred), axis=axis, keepdims=True)
    return centred / F.broadcast_to(F.sqrt(variance + eps), x.shape)


@multiplies(F.normalization.l2_normalization.NormalizeL2)
def l2_normalization(pair: Pair) -> Multipliers:
    """As the quotient of x and its norm."""
    function = pair.function

    def normalized(x: Any) -> list[Any]:
        norm = F.sqrt(F.sum(F.square(x), axis=function.axis, keepdims=True))
        return [x / F.broadcast_to(norm + function.eps, x.shape)]

    return of_composition(pair, normalized)


@multiplies(F.normalization.local_response_normalization.LocalResponseNormalization)
def local_response_normalization(pair: Pair) -> Multipliers:
    """As the product of x and a power of the sum of squares around it."""
    function = pair.function

    def normalized(x: Any) -> list[Any]:
        reach, n_channel = function.n // 2, x.shape[1]
        padding = [(0, 0)] * x.ndim
        padding[1] = (reach, reach)
        squares = F.pad(F.square(x), padding, "constant")
        total = sum(squares[:, i : i + n_channel] for i in range(2 * reach + 1))
        return [x * (function.k + function.alpha * total) ** -function.beta]

    return of_composition(pair, normalized)


@multiplies("LSTM")
def lstm(pair: Pair) -> Multipliers:
    """As the gates and products that it is made of."""

    def cell(c: Any, x: Any) -> list[Any]:
        n = len(x)  # the sequences that go on; the cells of the others stay
        a, i, f, o = _gates(x, 4)
        new = F.tanh(a) * F.sigmoid(i) + F.sigmoid(f) * c[:n]
        h = F.sigmoid(o) * F.tanh(new)
        return [new if n == len(c) else F.concat([new, c[n:]], axis=0), h]

    return of_composition(pair, cell)


@multiplies("S-LSTM")
def slstm(pair: Pair) -> Multipliers:
    """As the gates and products that it is made of."""

    def cell(c1: Any, c2: Any, x1: Any, x2: Any) -> list[Any]:
        a1, i1, f1, o1 = _gates(x1, 4)
        a2, i2, f2, o2 = _gates(x2, 4)
        new = F.tanh(a1) * F.sigmoid(i1) + F.tanh(a2) * F.sigmoid(i2)
        new += F.sigmoid(f1) * c1 + F.sigmoid(f2) * c2
        return [new, F.sigmoid(o1 + o2) * F.tanh(new)]

    return of_composition(pair, cell)


@multiplies("tree LSTM")
def tree_lstm(pair: Pair) -> Multipliers:
    """As the gates and products that it is made of."""

    def cell(*inputs: Any) -> list[Any]:
        *cells, x = inputs
        a, i, o, *forget = F.split_axis(x, 3 + len(cells), axis=1)
        new = F.tanh(a) * F.sigmoid(i)
        for c, f in zip(cells, forget):
            new += c * F.sigmoid(f)
        return [new, F.sigmoid(o) * F.tanh(new)]

    return of_composition(pair, cell)


def _gates(x: chainer.Variable, n: int) -> list[chainer.Variable]:
    """Return the gates of an LSTM, which are interleaved."""
    gates = F.reshape(x, (len(x), -1, n, *x.shape[2:]))
    return [gates[:, :, k] for k in range(n)]
