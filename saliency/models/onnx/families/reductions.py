"""Sums, means and the like over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.models.onnx.families.operands import axes_of, root
from saliency.models.onnx.operators import Call, integers, operator

import chainer
import chainer.functions as F

_Axes = tuple[int, ...]


def _l1(x: chainer.Variable, axes: _Axes) -> chainer.Variable:
    return F.sum(F.absolute(x), axes)


def _l2(x: chainer.Variable, axes: _Axes) -> chainer.Variable:
    return root(F.sum(F.square(x), axes))


def _log_sum(x: chainer.Variable, axes: _Axes) -> chainer.Variable:
    return F.log(F.sum(x, axes))


def _sum_square(x: chainer.Variable, axes: _Axes) -> chainer.Variable:
    return F.sum(F.square(x), axes)


_REDUCTIONS = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": F.logsumexp,
    "ReduceMax": F.max,
    "ReduceMean": F.mean,
    "ReduceMin": F.min,
    "ReduceProd": F.prod,
    "ReduceSum": F.sum,
    "ReduceSumSquare": _sum_square,
}
# What they give of nothing at all.
_EMPTY = {"ReduceProd": 1.0, "ReduceLogSum": -np.inf, "ReduceLogSumExp": -np.inf}
_EMPTY |= {"ReduceMax": -np.inf, "ReduceMin": np.inf}


@operator(*_REDUCTIONS, settings=("axes",))
def reduction(
    call: Call,
    data: Any,
    axes: Any = None,
    *,
    axes_: Sequence[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Any:
    """A sum, mean, product, norm or extreme over axes, over all if none are given."""
    given = axes_ if axes is None else integers(axes)
    if not given and noop_with_empty_axes:
        over: _Axes = ()
    else:
        over = axes_of(given, data.ndim) if given else tuple(range(data.ndim))
    kept = tuple(1 if a in over else n for a, n in enumerate(data.shape))
    shape = (
        kept
        if keepdims
        else tuple(n for a, n in enumerate(data.shape) if a not in over)
    )
    if data.size == 0:
        value = _EMPTY.get(call.node.type, 0.0)
        return chainer.as_variable(call.xp.full(shape, value, data.dtype))
    reduce = _REDUCTIONS[call.node.type]
    if not over:
        # Of one element each.
        data, over = F.expand_dims(data, data.ndim), (data.ndim,)
    return F.reshape(reduce(data, over), shape)
