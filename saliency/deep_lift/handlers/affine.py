"""Functions that are affine in the target: their multipliers are their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.backprop import input_gradients
from saliency.deep_lift.pair import Pair
from saliency.deep_lift.reapplied import reapplied
from saliency.deep_lift.registry import Multipliers, multiplies
from saliency.lrp.handlers import routing

import chainer.functions as F


@multiplies(
    "addition",
    "subtraction",
    "added constant",
    "subtracted from constant",
    "scattered addition",
    "pooling",
    "unpooling",
    "linear map",
    "embedding",
    "routing",
    F.math.basic_math.Neg,
    F.math.basic_math.MulConstant,
    F.noise.dropout.Dropout,
)
def affine(pair: Pair) -> Multipliers:
    """The gradient."""
    found = pair.gradient()
    if all(m is None for m in found):
        raise ValueError(
            f"no contribution goes through {pair.label}: only its indexes or "
            "conditions depend on the target"
        )
    return found


@multiplies("padding")
def padding(pair: Pair) -> Multipliers:
    """The sum of those of all copies of an element."""
    return routing.padding(pair.at_x, None)


@multiplies("sampling")
def sampling(pair: Pair) -> Multipliers:
    r"""As a product of what is sampled and how: the mean of the gradients at both ends.

    What is sampled, V, is a function of the array x and of the points g, linear in x:

    .. math:: \Delta V = V(\Delta x, g) / 2 + V(\Delta x, g') / 2
        + V(\bar x, g) - V(\bar x, g')

    The first two terms are those of x. The last difference is that of the points. Each
    has the mean m of its gradients at g and g', and what this misses of the difference
    d at the point in proportion to its coordinates, :math:`\Delta g (d - m \Delta g) /
    |\Delta g|^2`.
    """
    if pair.active_indexes == (0,) and pair.is_same(1):
        return affine(pair)
    is_sampler = isinstance(
        pair.function, F.array.spatial_transformer_sampler.SpatialTransformerSampler
    )
    if not is_sampler:
        raise ValueError(
            f"no contribution goes through {pair.label}: where it samples depends on "
            "the target"
        )
    half = pair.m.dtype.type(0.5)
    result: list[Array | None] = [None, None]
    if 0 in pair.active_indexes:
        at_ends: Any = (pair.gradient()[0], pair.gradient0()[0])
        result[0] = sum(at_ends) * half
    if 1 in pair.active_indexes:
        result[1] = _of_points(pair)
    return result


def _of_points(pair: Pair) -> Array:
    """Return the multipliers of the points where a sampler samples."""
    xp, m = pair.xp, pair.m
    middle = pair.mean(0)
    there = [
        reapplied(pair.at_x.function, [middle, inputs[1]])
        for inputs in (pair.inputs, pair.inputs0)
    ]
    y, y0 = (one.outputs[0] for one in there)
    gradients: list[Any] = [
        input_gradients(one.function, (1,), [m])[0] for one in there
    ]
    mean = (gradients[0] + gradients[1]) * m.dtype.type(0.5)
    delta = pair.dx(1)
    missing = (m * (y - y0)).sum(axis=1) - (mean * delta).sum(axis=1)
    error = (abs(m) * (abs(y) + abs(y0))).sum(axis=1) * float(np.finfo(m.dtype).eps)
    missing[abs(missing) <= error] = 0
    length = (delta * delta).sum(axis=1)
    share = missing / xp.where(length == 0, 1, length)
    return mean + delta * share[:, None]
