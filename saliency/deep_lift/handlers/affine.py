"""Functions that are affine in the target: their multipliers are their gradients."""

from __future__ import annotations

from saliency.deep_lift.pair import Pair
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
            f"no contribution goes through {pair.label}: only its indexes or conditions "
            "depend on the target"
        )
    return found


@multiplies("padding")
def padding(pair: Pair) -> Multipliers:
    """The sum of those of all copies of an element."""
    return routing.padding(pair.at_x, None)


@multiplies("sampling")
def sampling(pair: Pair) -> Multipliers:
    """The gradient at what is sampled; where it is must not depend on the target."""
    if pair.active_indexes != (0,):
        raise ValueError(
            f"no contribution goes through {pair.label}: where it samples depends on "
            "the target, and the differences of what is sampled cannot be told from "
            "those of the places"
        )
    return affine(pair)
