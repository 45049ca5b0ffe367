r"""Functions that let the largest element through, or the smallest.

A maximum that has grown was made by the element that is the largest at x: that one has
grown by as much at least, since at the baseline it was not above the maximum there. So
it gets all of the difference, and its multiplier is from 0 to 1. A maximum that is
smaller than at the baseline was made, in the same way, by the element that was the
largest there. This is what the authors' code does, and that of shap and Captum; but
where several elements are the largest, as in the map of a baseline that is the same
everywhere, they get equal shares, and not the first of them all. Elements that differ
by no more than rounding may leave are the largest together, so that it is not rounding
which decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.deep_lift.pair import Pair
from saliency.deep_lift.registry import Multipliers, multiplies
from saliency.lrp.handlers.axes import with_reduced_axes

import chainer
import chainer.functions as F
from chainer.functions import pooling

# Elements are the largest together if they differ by so many times the last digit, ...
_ROUNDING = 128
# ... or by this share, which is less than that in float16.
_MOST_ROUNDING = 2**-8

#: Slices along the axes of an array.
Slices = tuple[Any, ...]


class _Maxima:
    """Maxima at both ends.

    Args:
        xp (module): NumPy or CuPy.
        y (array): At x.
        y0 (array): At the baseline.
    """

    def __init__(self, xp: Any, y: Array, y0: Array) -> None:
        self._xp = xp
        self._dy = y - y0
        self._half = self._dy * y.dtype.type(0.5)
        share = min(_ROUNDING * float(np.finfo(y.dtype).eps), _MOST_ROUNDING)
        digits = y.dtype.type(share)
        self._floor, self._floor0 = y - abs(y) * digits, y0 - abs(y0) * digits

    def is_winner(self, x: Array, x0: Array, at: Slices = ()) -> Array:
        """Tell which elements made the maxima what they are.

        What is the largest but for rounding has to have moved as well.

        Args:
            x (array): An element of each maximum at x.
            x0 (array): The same at the baseline.
            at (tuple of slice): Which maxima they are.
        """
        dy, half, dx = self._dy[at], self._half[at], x - x0
        at_x = (x >= self._floor[at]) & (dx >= half)
        at_baseline = (x0 >= self._floor0[at]) & (dx <= half)
        return self._xp.where(dy > 0, at_x, at_baseline)

    def quotient(self, x: Array, x0: Array, at: Slices = ()) -> Array:
        """Return the difference of the maxima over that of an element, 1 for 0 / 0."""
        dx = x - x0
        is_same = dx == 0
        return self._xp.where(is_same, 1, self._dy[at] / (dx + is_same)).astype(x.dtype)


@multiplies(F.math.maximum.Maximum)
def maximum(pair: Pair) -> Multipliers:
    """All to the winner at x if the maximum grows, else to that at the baseline."""
    return _of_two(pair, 1)


@multiplies(F.math.minimum.Minimum)
def minimum(pair: Pair) -> Multipliers:
    """As the maximum of the negative inputs."""
    return _of_two(pair, -1)


def _of_two(pair: Pair, sign: int) -> Multipliers:
    """Return the multipliers of the maximum of two inputs, times a sign."""
    (y,), (y0,), m = pair.outputs, pair.outputs0, pair.m
    maxima = _Maxima(pair.xp, sign * y, sign * y0)
    ends = [(sign * x, sign * x0) for x, x0 in zip(pair.inputs, pair.inputs0)]
    winners = [maxima.is_winner(*end) for end in ends]
    share = m / (winners[0].astype(m.dtype) + winners[1])
    return pair.at_active(
        chainer.utils.sum_to(
            share * pair.xp.where(winners[i], maxima.quotient(*ends[i]), 0),
            pair.inputs[i].shape,
        )
        for i in pair.active_indexes
    )


@multiplies("maximum over axes")
def maximum_over_axes(pair: Pair) -> Multipliers:
    """All to the winner at x if the maximum grows, else to that at the baseline."""
    (x,), (x0,) = pair.inputs, pair.inputs0
    y, y0, m = (
        with_reduced_axes(pair.at_x, array)
        for array in (*pair.outputs, *pair.outputs0, pair.m)
    )
    if isinstance(pair.function, F.math.minmax.Min):
        x, x0, y, y0 = -x, -x0, -y, -y0
    maxima = _Maxima(pair.xp, y, y0)
    winners = maxima.is_winner(x, x0)
    n_winner = winners.sum(axis=pair.function.axis, keepdims=True, dtype=m.dtype)
    # Masked elements are infinite at both ends, and no winners.
    share = pair.xp.where(winners, maxima.quotient(x, x0), 0)
    return [m / n_winner * share.astype(m.dtype)]


@multiplies(pooling.max_pooling_nd.MaxPoolingND)
def max_pooling(pair: Pair) -> Multipliers:
    """All to the winner at x if the maximum grows, else to that at the baseline."""
    (x,), (x0,), (y,), (y0,) = pair.inputs, pair.inputs0, pair.outputs, pair.outputs0
    maxima = _Maxima(pair.xp, y, y0)
    taps = list(_taps(pair.function, x.shape, y.shape))
    winners = [maxima.is_winner(x[seen], x0[seen], at) for at, seen in taps]
    n_winner = pair.xp.zeros_like(y)
    for (at, _), winner in zip(taps, winners):
        n_winner[at] += winner
    share = pair.m / n_winner
    result = pair.xp.zeros_like(x)
    for (at, seen), winner in zip(taps, winners):
        quotient = maxima.quotient(x[seen], x0[seen], at)
        quotient *= share[at]
        # What pads an image is infinite, and no winner.
        result[seen] += pair.xp.where(winner, quotient, 0)
    return [result]


def _taps(
    function: Any, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> Iterator[tuple[Slices, Slices]]:
    """Give for each tap which windows see an element by it, and which elements."""
    along = [
        [_along(n, n_out, stride, tap - pad) for tap in range(ksize)]
        for n, n_out, ksize, stride, pad in zip(
            in_shape[2:], out_shape[2:], function.ksize, function.stride, function.pad
        )
    ]
    rows = (slice(None), slice(None))
    for of_axes in itertools.product(*along):
        yield (*rows, *(at for at, _ in of_axes)), (*rows, *(x for _, x in of_axes))


def _along(n: int, n_out: int, stride: int, shift: int) -> tuple[slice, slice]:
    """Return which windows see an element at ``shift`` from where they begin."""
    start = max(0, -(shift // stride))
    stop = max(start, min(n_out, (n - 1 - shift) // stride + 1))
    first = start * stride + shift
    seen = slice(first, first + (stop - start) * stride, stride)
    return slice(start, stop), seen if stop > start else slice(0, 0)


@multiplies("maximum")
def regions(pair: Pair) -> Multipliers:
    """All to the winner at x if the maximum grows, else to that at the baseline."""
    dy, m = pair.dy, pair.m
    (i,) = pair.active_indexes
    at_x: Any = pair.gradient([m * dy.clip(min=0)])[i]
    at_baseline: Any = pair.gradient0([m * dy.clip(max=0)])[i]
    dx = pair.dx(i)
    quotient = (at_x + at_baseline) / dx
    return pair.at_active([pair.xp.where(dx == 0, pair.gradient()[i], quotient)])


@multiplies(pooling.roi_max_align_2d.ROIMaxAlign2D)
def maximum_of_interpolations(pair: Pair) -> Multipliers:
    """An error: which of the points is the largest may differ at the baseline."""
    raise ValueError(
        f"no contribution goes through {pair.label}: the largest of its points need "
        "not be the same at the baseline, and what is between the elements has no "
        "multipliers; use roi_average_align_2d"
    )
