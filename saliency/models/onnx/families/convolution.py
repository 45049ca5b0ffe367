"""Convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.families.windows import (
    Widths,
    Windows,
    padded,
    refuse_padding,
)
from saliency.models.onnx.operators import Call, LinkWith, MakeLink, Node, operator

import chainer
import chainer.functions as F
from chainer import links as L


class UnevenConvolution2D(L.Convolution2D):
    """A convolution whose padding differs from side to side, or depends on the image.

    Attributes:
        windows (Windows): With the padding, of which Chainer's link has none.
    """

    windows: Windows

    def forward(self, x: Any) -> chainer.Variable:
        """Apply the convolution to ``(n, channel, height, width)``."""
        return super().forward(padded(x, self.windows.widths(x.shape[2:])))


class UnevenConvolutionND(L.ConvolutionND):
    """The same for images of one, three or more axes.

    Attributes:
        windows (Windows): With the padding, of which Chainer's link has none.
    """

    windows: Windows

    def forward(self, x: Any) -> chainer.Variable:
        """Apply the convolution to ``(n, channel, ...)``."""
        return super().forward(padded(x, self.windows.widths(x.shape[2:])))


def _weights_of(node: Node) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Return constant weights and perhaps a constant bias; None if one is computed."""
    W, b = node.constants.get(1), node.constants.get(2)
    has_bias = node.n_input > 2
    is_known = W is not None and W.dtype.kind == "f" and W.ndim > 2
    if not is_known or W is None or (has_bias and b is None):
        return None
    return W, b


def _of_rank(ndim: int, classes: tuple[type, type]) -> tuple[Any, tuple[int, ...]]:
    """Return Chainer's class for images of a rank, and what comes first to make one."""
    of_images, of_any = classes
    return (of_images, ()) if ndim == 4 else (of_any, (ndim - 2,))


def _convolution(node: Node) -> MakeLink | None:
    """Return Chainer's convolution for constant weights."""
    found = _weights_of(node)
    if found is None:
        return None
    W, b = found
    groups = node.attributes.get("group", 1)
    windows = Windows.of(W.shape[2:], node.attributes)
    is_plain = windows.is_plain

    def make() -> LinkWith:
        even = (L.Convolution2D, L.ConvolutionND)
        uneven = (UnevenConvolution2D, UnevenConvolutionND)
        cls, first = _of_rank(W.ndim, even if is_plain else uneven)
        link = cls(
            *first,
            W.shape[1] * groups,
            W.shape[0],
            windows.kernel,
            windows.strides,
            windows.lows if is_plain else (0,) * len(windows.kernel),
            nobias=b is None,
            initialW=W,
            initial_bias=b,
            dilate=windows.dilations,
            groups=groups,
        )
        if not is_plain:
            link.windows = windows
        return LinkWith(link, range(1, node.n_input))

    return make


@operator("Conv", refuses=refuse_padding, link=_convolution)
def convolution(
    call: Call,
    X: Any,
    W: Any,
    B: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Any:
    """A convolution of one axis or more; Chainer's link if its weights are constant."""
    windows = Windows.of(W.shape[2:], call.node.attributes)
    x = padded(variable(call, X), windows.widths(X.shape[2:]))
    bias = None if B is None else variable(call, B)
    options = {"stride": windows.strides, "dilate": windows.dilations, "groups": group}
    function = F.convolution_2d if X.ndim == 4 else F.convolution_nd
    return function(x, variable(call, W), bias, **options)


class Transposed:
    """A transposed convolution of which the border is cut off afterwards.

    Args:
        kernel (sequence of int): Sizes of the windows.
        attributes (dict): Those of the node.
    """

    def __init__(self, kernel: Sequence[int], attributes: Any) -> None:
        n = len(kernel)
        self.windows = Windows.of(kernel, attributes)
        self._more = tuple(attributes.get("output_padding") or [0] * n)
        self._shape = attributes.get("output_shape")
        self._auto_pad = attributes.get("auto_pad", "NOTSET")

    def sizes(
        self, sizes: Sequence[int]
    ) -> tuple[tuple[int, ...], list[slice], Widths]:
        """Return what is computed of images of these sizes.

        Returns:
            tuple: The sizes without padding, which part of them is wanted, and the
            zeros behind the image from which what lies beyond its windows comes.
        """
        whole, cuts, behind = [], [], []
        for i, (n, span, stride) in enumerate(
            zip(sizes, self.windows.spans, self.windows.strides)
        ):
            full = (n - 1) * stride + span
            low, high = self._pads(i, full, n * stride)
            wanted = full + self._more[i] - low - high
            if self._shape is not None:
                wanted = self._shape[i]
            whole.append(max(full, low + wanted))
            cuts.append(slice(low, low + wanted))
            # Chainer has at most `stride - 1` elements behind the last window.
            behind.append((0, (whole[-1] - full) // stride))
        return tuple(whole), cuts, behind

    def apply(self, x: Any, W: Any, b: Any, groups: int) -> chainer.Variable:
        """Return the transposed convolution of ``(n, channel, ...)``."""
        outsize, cuts, behind = self.sizes(x.shape[2:])
        function = F.deconvolution_2d if x.ndim == 4 else F.deconvolution_nd
        y = function(
            padded(x, behind),
            W,
            b,
            self.windows.strides,
            outsize=outsize,
            dilate=self.windows.dilations,
            groups=groups,
        )
        is_whole = all(c == slice(0, n) for c, n in zip(cuts, y.shape[2:]))
        return y if is_whole else y[(slice(None), slice(None), *cuts)]

    def _pads(self, i: int, full: int, same: int) -> tuple[int, int]:
        shape = self._shape
        if shape is None and not self._auto_pad.startswith("SAME"):
            return self.windows.pads[i]
        wanted = same if shape is None else shape[i]
        total = max(full + self._more[i] - wanted, 0)
        small, large = total // 2, total - total // 2
        return (small, large) if self._auto_pad == "SAME_UPPER" else (large, small)


class Deconvolution2D(L.Deconvolution2D):
    """A transposed convolution of which the border is cut off afterwards.

    Attributes:
        transposed (Transposed): What is computed, and what is wanted of it.
    """

    transposed: Transposed

    def forward(self, x: Any) -> chainer.Variable:
        """Apply it to ``(n, channel, height, width)``."""
        return self.transposed.apply(x, self.W, self.b, self.groups)


class DeconvolutionND(L.DeconvolutionND):
    """The same for images of one, three or more axes.

    Attributes:
        transposed (Transposed): What is computed, and what is wanted of it.
    """

    transposed: Transposed

    def forward(self, x: Any) -> chainer.Variable:
        """Apply it to ``(n, channel, ...)``."""
        return self.transposed.apply(x, self.W, self.b, self.groups)


def _deconvolution(node: Node) -> MakeLink | None:
    """Return Chainer's transposed convolution for constant weights."""
    found = _weights_of(node)
    if found is None:
        return None
    W, b = found
    groups = node.attributes.get("group", 1)

    def make() -> LinkWith:
        transposed = Transposed(W.shape[2:], node.attributes)
        windows = transposed.windows
        cls, first = _of_rank(W.ndim, (Deconvolution2D, DeconvolutionND))
        link = cls(
            *first,
            W.shape[0],
            W.shape[1] * groups,
            windows.kernel,
            windows.strides,
            nobias=b is None,
            initialW=W,
            initial_bias=b,
            dilate=windows.dilations,
            groups=groups,
        )
        link.transposed = transposed
        return LinkWith(link, range(1, node.n_input))

    return make


@operator("ConvTranspose", refuses=refuse_padding, link=_deconvolution)
def transposed_convolution(
    call: Call,
    X: Any,
    W: Any,
    B: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Any:
    """A transposed convolution; Chainer's link if its weights are constant."""
    transposed = Transposed(W.shape[2:], call.node.attributes)
    b = None if B is None else variable(call, B)
    return transposed.apply(variable(call, X), variable(call, W), b, group)
