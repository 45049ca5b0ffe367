"""Where the windows of a convolution lie."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)

from chainer.utils.conv import get_conv_outsize

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """The windows of a two-dimensional convolution: height first, then width.

    Output pixel ``o`` sees input pixels ``o * stride + k * dilate - pad`` for ``k`` in
    ``range(kernel)``; what lies outside of the input is 0.

    Attributes:
        size: Of the input.
        kernel: Number of taps.
        stride: Between windows.
        pad: Before the first pixel; less than 0 cuts pixels off.
        dilate: Between taps.
        out: Number of windows.
    """

    size: Pair
    kernel: Pair
    stride: Pair
    pad: Pair
    dilate: Pair
    out: Pair

    def span(self, axis: int, n_window: int) -> int:
        """Return how many input pixels ``n_window`` windows see along an axis."""
        reach = (self.kernel[axis] - 1) * self.dilate[axis] + 1
        return (n_window - 1) * self.stride[axis] + reach

    @functools.cached_property
    def is_pointwise(self) -> bool:
        """Whether every window is one pixel of the input."""
        return (
            self.kernel == (1, 1)
            and self.pad == (0, 0)
            and all(
                (n - 1) * stride < size
                for n, stride, size in zip(self.out, self.stride, self.size)
            )
        )

    @functools.cached_property
    def pixels(self) -> tuple[slice, slice]:
        """Which pixels the windows are, if each is one."""
        rows, columns = (
            slice(0, (n - 1) * stride + 1, stride)
            for n, stride in zip(self.out, self.stride)
        )
        return rows, columns

    @functools.cached_property
    def transposed(self) -> Geometry:
        """The windows of the way back, whose kernel is flipped; stride 1."""
        return Geometry(
            size=self.out,
            kernel=self.kernel,
            stride=self.stride,
            pad=tuple(  # type: ignore[arg-type]
                (k - 1) * d - p for k, d, p in zip(self.kernel, self.dilate, self.pad)
            ),
            dilate=self.dilate,
            out=self.size,
        )


def is_nd(function: Any) -> bool:
    """Tell whether a function of Chainer is of any number of dimensions, not of 2."""
    return hasattr(function, "ndim")


def windows_of(
    function: Any,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    out: tuple[int, ...] | None = None,
) -> Geometry | None:
    """Return where a function's windows lie, in two dimensions; None for more.

    Args:
        function (chainer.Function or chainer.FunctionNode): A convolution or pooling.
        size (tuple of int): Size of its images.
        kernel (tuple of int): Size of its windows.
        out (tuple of int or None): Size of its output, if it is known.
    """
    if is_nd(function):
        stride, pad = function.stride, function.pad
        dilate = getattr(function, "dilate", (1,) * function.ndim)
    else:
        stride, pad = (function.sy, function.sx), (function.ph, function.pw)
        dilate = getattr(function, "dy", 1), getattr(function, "dx", 1)
    cover_all = out is None and function.cover_all
    # Chainer keeps some of them as the user gave them, which may be lists.
    lengths = (tuple(v) for v in (size, kernel, stride, pad, dilate))
    return _windows(*lengths, None if out is None else tuple(out), cover_all)


@functools.lru_cache(maxsize=1024)
def _windows(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
    dilate: tuple[int, ...],
    out: tuple[int, ...] | None,
    cover_all: bool,
) -> Geometry | None:
    """Return where windows lie, which are the same in each pass of equal shapes."""
    if out is None:
        out = tuple(
            get_conv_outsize(*of_axis[:4], cover_all, of_axis[4])
            for of_axis in zip(size, kernel, stride, pad, dilate)
        )
    if len(size) > 2 or min(out) < 1:
        return None
    first = 2 - len(size)  # one dimension is a height of 1

    def pair(values: tuple[int, ...], fill: int) -> tuple[int, int]:
        return (fill,) * first + tuple(values)  # type: ignore[return-value]

    return Geometry(
        size=pair(size, 1),
        kernel=pair(kernel, 1),
        stride=pair(stride, 1),
        pad=pair(pad, 0),
        dilate=pair(dilate, 1),
        out=pair(out, 1),
    )
