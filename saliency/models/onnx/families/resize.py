"""Interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from saliency.models.onnx.operators import Call, Node, integers, on_host, operator

import chainer
import chainer.functions as F

_MODES = ("nearest", "linear", "cubic")
_COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)


# What every interpolation was before opset 11.
_BEFORE_11 = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}

# By how much a scale in float32 may have moved what is half way between two elements;
# that of onnxruntime.
_SLIP = 1e-6


def _refuse_modes(node: Node) -> Any:
    known = {
        "mode": _MODES,
        "coordinate_transformation_mode": _COORDINATES,
        "nearest_mode": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    }
    for name, values in known.items():
        value = node.attributes.get(name, values[0])
        if value not in values:
            yield f"its {name} {value!r} is not known"


class _Axis(NamedTuple):
    """How one axis is resized.

    Attributes:
        n_in (int): How long it is.
        n_out (int): How long it becomes.
        scale (Fraction or numpy.float32): By how much. Of lengths it is their ratio, so
            that no place is rounded across the border of an element.
        roi (tuple of float): The part of it that is resized, from 0 to 1.
    """

    n_in: int
    n_out: int
    scale: Fraction | np.float32
    roi: tuple[float, float] = (0.0, 1.0)

    def back(self, places: np.ndarray) -> np.ndarray:
        """Return places divided by the scale."""
        if isinstance(self.scale, Fraction):
            quotient: np.ndarray = places * self.scale.denominator
            return quotient / self.scale.numerator
        # In float32, as onnxruntime does: a third is more than a third there, and 1
        # divided by it is 3 only if it is rounded again.
        return (places.astype(np.float32) / self.scale).astype(np.float64)


@operator("Upsample", refuses=_refuse_modes, settings=("scales",))
def upsample(
    call: Call,
    X: Any,
    scales: Any = None,
    *,
    mode: str = "nearest",
    scales_: Sequence[float] | None = None,
) -> Any:
    """What became Resize: nearest or linear interpolation."""
    factors = np.asarray(scales_) if scales is None else on_host(scales)
    axes = _by_scales(X.shape, factors)
    return _resized(call, X, axes, {"mode": mode, **_BEFORE_11})


@operator("Resize", refuses=_refuse_modes, settings=("roi", "scales", "sizes"))
def resize(
    call: Call,
    X: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    """Nearest, linear or cubic interpolation."""
    options = dict(call.node.attributes)
    if call.opset < 11:  # the second input is the scales
        scales, roi = roi, None
        options.update(_BEFORE_11)
    found = list(range(X.ndim)) if axes is None else [a % X.ndim for a in axes]
    lengths = [X.shape[a] for a in found]
    if sizes is not None and on_host(sizes).size:
        changed = _by_sizes(lengths, integers(sizes), keep_aspect_ratio_policy)
    else:
        changed = _by_scales(lengths, on_host(scales))
    if options.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        has_sizes = sizes is not None and on_host(sizes).size > 0
        changed = _cropped(changed, on_host(roi).reshape(2, -1).T.tolist(), has_sizes)
    every = [_Axis(n, n, Fraction(1)) for n in X.shape]
    for axis, new in zip(found, changed):
        every[axis] = new
    return _resized(call, X, every, options)


def _by_scales(lengths: Sequence[int], scales: np.ndarray) -> list[_Axis]:
    """Return axes that become longer or shorter by these factors."""
    factors = scales.reshape(-1).astype(np.float32)
    # Rounded to float32 before it is cut, as onnxruntime does: 0.7 in float32 is less
    # than 0.7, but ten times that is 7.
    products = np.array(lengths, np.float32) * factors
    return [_Axis(*axis) for axis in zip(lengths, map(math.floor, products), factors)]


def _by_sizes(lengths: Sequence[int], sizes: Sequence[int], policy: str) -> list[_Axis]:
    """Return axes that get these sizes, or those that keep the ratio of the sides."""
    factors = [Fraction(m, n) for n, m in zip(lengths, sizes)]
    if policy == "stretch":
        return [_Axis(n, m, f) for n, m, f in zip(lengths, sizes, factors)]
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [_Axis(n, math.floor(n * factor + Fraction(1, 2)), factor) for n in lengths]


def _cropped(
    axes: Sequence[_Axis], regions: Sequence[Sequence[float]], has_sizes: bool
) -> list[_Axis]:
    """Return axes of which a region is resized."""
    result = []
    for axis, (start, end) in zip(axes, regions):
        n_out = axis.n_out
        if not has_sizes:
            length = np.float32(axis.n_in * (end - start))
            n_out = math.floor(length * np.float32(axis.scale))
        result.append(axis._replace(n_out=n_out, roi=(start, end)))
    return result


def _resized(
    call: Call, x: chainer.Variable, axes: Sequence[_Axis], options: dict[str, Any]
) -> chainer.Variable:
    outside = []
    for i, axis in enumerate(axes):
        if axis.n_in == axis.n_out and axis.scale == 1 and axis.roi == (0.0, 1.0):
            continue
        places = _places(axis, options)
        if options.get("coordinate_transformation_mode") == "tf_crop_and_resize":
            outside.append((i, (places < 0) | (places > axis.n_in - 1)))
        if options.get("mode", "nearest") == "nearest":
            nearest = _nearest(places, axis, options)
            x = x[(slice(None),) * i + (call.array(nearest),)]
        else:
            x = _interpolated(call, x, i, _weights(places, axis, options))
    return _extrapolated(call, x, outside, options.get("extrapolation_value", 0.0))


def _places(axis: _Axis, options: dict[str, Any]) -> np.ndarray:
    """Return where in the input each output lies."""
    mode = options.get("coordinate_transformation_mode", "half_pixel")
    i: np.ndarray = np.arange(axis.n_out)
    n_in, n_out = axis.n_in, axis.n_out
    if mode == "asymmetric":
        return axis.back(i)
    if mode == "align_corners":
        return i * (n_in - 1) / max(n_out - 1, 1)
    if mode == "pytorch_half_pixel" and n_out == 1:
        return np.zeros(1)
    if mode == "tf_half_pixel_for_nn":
        return axis.back(i + 0.5)
    if mode == "tf_crop_and_resize":
        start, end = axis.roi
        if n_out == 1:
            return np.full(1, 0.5 * (start + end) * (n_in - 1))
        return start * (n_in - 1) + i * ((end - start) * (n_in - 1)) / (n_out - 1)
    if mode == "half_pixel_symmetric":
        # Both middles are the same place.
        return axis.back(i + 0.5 - n_out / 2) + n_in / 2 - 0.5
    return axis.back(i + 0.5) - 0.5


def _nearest(places: np.ndarray, axis: _Axis, options: dict[str, Any]) -> np.ndarray:
    mode = options.get("nearest_mode", "round_prefer_floor")
    if mode == "floor":
        found = np.floor(places)
    elif mode == "ceil":
        found = np.ceil(places)
    elif mode == "round_prefer_ceil":
        found = np.floor(places + (0.5 + _SLIP))
    else:
        found = np.ceil(places - (0.5 + _SLIP))
    nearest: np.ndarray = np.clip(found, 0, axis.n_in - 1).astype(np.int64)
    return nearest


def _weights(places: np.ndarray, axis: _Axis, options: dict[str, Any]) -> np.ndarray:
    """Return how much each input counts in each output: a matrix ``(out, in)``."""
    is_cubic = options.get("mode") == "cubic"
    # Where it becomes smaller, an output that is not to alias is a wider mean.
    is_wider = options.get("antialias", 0) and axis.scale < 1
    stretch = float(axis.scale) if is_wider else 1.0
    reach = math.ceil((2 if is_cubic else 1) / stretch)
    first = np.floor(places).astype(np.int64)
    members = first[:, None] + np.arange(-reach + 1, reach + 1)
    distance = np.abs(members - places[:, None]) * stretch
    if is_cubic:
        weights = _cubic(distance, options.get("cubic_coeff_a", -0.75))
    else:
        weights = np.maximum(1 - distance, 0)
    if options.get("exclude_outside", 0):
        weights = np.where((members < 0) | (members >= axis.n_in), 0, weights)
    if options.get("exclude_outside", 0) or is_wider:
        weights = weights / weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((axis.n_out, axis.n_in))
    rows = np.arange(axis.n_out)[:, None]
    np.add.at(matrix, (rows, np.clip(members, 0, axis.n_in - 1)), weights)
    return matrix


def _cubic(d: np.ndarray, a: float) -> np.ndarray:
    """Return the kernel of Keys (1981)."""
    near: np.ndarray = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    kernel: np.ndarray = np.where(d <= 1, near, np.where(d < 2, far, 0))
    return kernel


def _interpolated(
    call: Call, x: chainer.Variable, axis: int, weights: np.ndarray
) -> chainer.Variable:
    """Return the sums of elements along an axis, by a matrix."""
    matrix = call.array(weights.T.astype(x.dtype))
    order = list(range(x.ndim))
    order[axis], order[-1] = order[-1], order[axis]
    swapped = F.transpose(x, order) if axis != x.ndim - 1 else x
    y = F.matmul(swapped, matrix)
    return F.transpose(y, order) if axis != x.ndim - 1 else y


def _extrapolated(
    call: Call, x: chainer.Variable, outside: Sequence[tuple[int, Any]], value: float
) -> chainer.Variable:
    """Return it with one value for what lies outside of the input."""
    is_outside = np.zeros((1,) * x.ndim, bool)
    for axis, flags in outside:
        shape = [1] * x.ndim
        shape[axis] = -1
        is_outside = is_outside | flags.reshape(shape)
    if not is_outside.any():
        return x
    full = call.xp.full((), value, x.dtype)
    return F.where(call.array(np.broadcast_to(is_outside, x.shape)), full, x)
