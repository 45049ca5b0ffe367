"""Images sampled at points, or in boxes, that the network computes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.operators import Call, Node, array_of, on_host, operator

import chainer
import chainer.functions as F

_MODES = {"bilinear": "linear", "bicubic": "cubic"}  # up to opset 19
_PADDINGS = ("zeros", "border", "reflection")
# That of PyTorch, whose function it is.
_CUBIC = -0.75


def _refuse_modes(node: Node) -> Any:
    mode = node.attributes.get("mode", "linear")
    if _MODES.get(mode, mode) not in ("linear", "nearest", "cubic"):
        yield f"its mode {mode!r} is not known"
    padding = node.attributes.get("padding_mode", "zeros")
    if padding not in _PADDINGS:
        yield f"its padding_mode {padding!r} is not known"


@operator("GridSample", refuses=_refuse_modes)
def grid_sample(
    call: Call,
    X: Any,
    grid: Any,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Any:
    """Interpolated at points, which are from -1 to 1 along each axis."""
    x, points = variable(call, X), variable(call, grid)
    sizes = x.shape[2:]
    places = []
    # The last axis of the image is the first of a point.
    for axis, n in enumerate(sizes):
        g = points[..., len(sizes) - 1 - axis]
        scaled = (
            (g + 1.0) * ((n - 1) / 2) if align_corners else (g + 1.0) * (n / 2) - 0.5
        )
        places.append(scaled)
    sampler = _Sampler(call, x, bool(align_corners), padding_mode)
    return sampler.sampled(places, _MODES.get(mode, mode))


class _Sampler:
    """Takes elements of images, and what counts as such outside of them.

    Args:
        call (Call): Where it is.
        x (Variable): ``(n, channel, ...)``.
        aligns (bool): Whether -1 and 1 are the centres of the outermost elements.
        padding (str): What is outside.
    """

    def __init__(
        self, call: Call, x: chainer.Variable, aligns: bool, padding: str
    ) -> None:
        self._xp = call.xp
        self._x = x
        self._aligns = aligns
        self._padding = padding

    def sampled(self, places: list[chainer.Variable], mode: str) -> chainer.Variable:
        """Return ``(n, channel, ...)`` of the points' shape."""
        if mode == "linear" and self._padding != "zeros":
            places = [self._folded(p, n) for p, n in zip(places, self._x.shape[2:])]
        taps = [list(self._taps(p, mode)) for p in places]
        total = None
        for corner in itertools.product(*taps):
            y = self._elements([index for index, _ in corner])
            for _, weight in corner:
                if weight is not None:
                    y = y * F.broadcast_to(F.expand_dims(weight, 1), y.shape)
            total = y if total is None else total + y
        return total

    def _taps(
        self, place: chainer.Variable, mode: str
    ) -> Iterator[tuple[Array, chainer.Variable | None]]:
        """Yield what counts along one axis: indexes, and how much each counts."""
        if mode == "nearest":
            yield self._xp.rint(array_of(place)).astype("int64"), None
            return
        first = self._xp.floor(array_of(place))
        fraction = place - first
        index = first.astype("int64")
        if mode == "linear":
            yield index, 1.0 - fraction
            yield index + 1, fraction
            return
        for step, distance in ((-1, fraction + 1.0), (0, fraction)):
            yield index + step, _cubic(distance, step == 0)
        for step, distance in ((1, 1.0 - fraction), (2, 2.0 - fraction)):
            yield index + step, _cubic(distance, step == 1)

    def _elements(self, indexes: list[Array]) -> chainer.Variable:
        """Return the elements at indexes ``(n, ...)``, for all channels."""
        xp = self._xp
        is_inside: Any = True
        inside = []
        for index, n in zip(indexes, self._x.shape[2:]):
            if self._padding == "reflection":
                index = self._reflected(index, n)
            is_inside = is_inside & (index >= 0) & (index < n)
            inside.append(xp.clip(index, 0, n - 1))
        n_point = indexes[0].ndim - 1
        rows = xp.arange(len(self._x)).reshape((-1,) + (1,) * n_point)
        y = F.moveaxis(self._x[(rows, slice(None), *inside)], -1, 1)
        if self._padding != "zeros":
            return y
        shown = xp.broadcast_to(xp.expand_dims(is_inside, 1), y.shape)
        return F.where(shown, y, xp.zeros((), y.dtype))

    def _reflected(self, index: Array, n: int) -> Array:
        """Return indexes mirrored at the ends of an axis, again and again."""
        if self._aligns:
            span = max(n - 1, 1)
            index = abs(index) % (2 * span)
            return self._xp.where(index > span, 2 * span - index, index)
        index = index % (2 * n)
        return self._xp.where(index >= n, 2 * n - 1 - index, index)

    def _folded(self, place: chainer.Variable, n: int) -> chainer.Variable:
        """Return places within an axis: moved to its end, or mirrored there."""
        if self._padding == "border":
            return F.clip(place, 0.0, float(n - 1))
        low, high = (0.0, n - 1.0) if self._aligns else (-0.5, n - 0.5)
        span = high - low
        if span == 0:
            return place * 0.0
        offset = array_of(place) - low
        turns = self._xp.floor(offset / span)
        is_mirrored = turns % 2 == 1
        there = place - turns * span
        back = (low + high) - there
        folded = F.where(is_mirrored, back, there)
        return F.clip(folded, 0.0, float(n - 1))


def _cubic(distance: chainer.Variable, is_near: bool) -> chainer.Variable:
    """Return the kernel of Keys (1981), for distances up to 1, or from 1 to 2."""
    d, a = distance, _CUBIC
    if is_near:
        return (d * (a + 2) - (a + 3)) * d * d + 1.0
    return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a


def _refuse_maximum(node: Node) -> Any:
    if node.attributes.get("mode", "avg") != "avg":
        yield f"its mode {node.attributes['mode']!r} is not known"


@operator("RoiAlign", settings=("rois", "batch_indices"), refuses=_refuse_maximum)
def roi_align(
    call: Call,
    X: Any,
    rois: Any,
    batch_indices: Any,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    """Boxes of images, each divided into as many bins, of which it gives the means."""
    is_shifted = call.opset >= 16 and coordinate_transformation_mode == "half_pixel"
    # In the boxes' own precision: the next integer is the number of points.
    boxes = on_host(rois) * rois.dtype.type(spatial_scale)
    boxes = boxes - rois.dtype.type(0.5 * is_shifted)
    starts, lengths = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    lengths = lengths if is_shifted else np.maximum(lengths, 1)
    x = variable(call, X)[call.array(batch_indices)]
    across, down = (
        _bins(starts[:, i], lengths[:, i], n_bin, x.shape[3 - i], sampling_ratio)
        for i, n_bin in enumerate((output_width, output_height))
    )
    return _both_ways(call, down, x, across)


def _both_ways(
    call: Call, down: np.ndarray, x: chainer.Variable, across: np.ndarray
) -> chainer.Variable:
    """Return images multiplied by matrices on both sides, ``(n, out, in)`` each."""
    left, right = (
        call.array(np.repeat(m[:, None], x.shape[1], axis=1).astype(x.dtype))
        for m in (down, across)
    )
    return F.matmul(F.matmul(left, x), right, transb=True)


def _bins(
    starts: np.ndarray, lengths: np.ndarray, n_bin: int, n: int, n_sample: int
) -> np.ndarray:
    """Return how much each pixel along an axis counts in the mean of each bin.

    Args:
        starts (numpy.ndarray): Where the first bin of each box begins.
        lengths (numpy.ndarray): Of all bins of each box together.
        n_bin (int): The number of bins.
        n (int): The number of pixels.
        n_sample (int): The number of points in a bin; 0 is one for each pixel.

    Returns:
        numpy.ndarray: ``(n_box, n_bin, n)``.
    """
    weights = np.zeros((len(starts), n_bin, n))
    for of_box, start, length in zip(weights, starts, lengths):
        n_point = n_sample if n_sample > 0 else max(math.ceil(length / n_bin), 1)
        steps = np.arange(n_bin)[:, None] + (np.arange(n_point) + 0.5) / n_point
        places = start + steps * length / n_bin
        is_near = (places >= -1) & (places <= n)
        places = np.clip(places, 0, n - 1)
        distances = np.abs(places[:, :, None] - np.arange(n))
        of_points = np.maximum(1 - distances, 0) * is_near[:, :, None]
        of_box[...] = of_points.mean(axis=1)
    return weights
