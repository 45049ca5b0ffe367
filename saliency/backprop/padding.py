"""The way back through padding, which is Chainer's own for constants alone.

``F.pad`` copies elements in most modes, but Chainer's ``backward`` cuts the edges off
in all of them, so that copies count for nothing.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.replaced_methods import MethodsOfThread

import chainer
import chainer.functions as F
from chainer.functions.array.pad import Pad

_COPYING = ("edge", "reflect", "symmetric", "wrap")


def copies_elements(function: Pad) -> bool:
    """Tell whether what a function pads with are copies of elements."""
    is_even = function.keywords.get("reflect_type", "even") == "even"
    return function.mode in _COPYING and is_even


def to_input(function: Pad, shape: tuple[int, ...], gy: Array) -> Array:
    """Return the gradient at what was padded.

    Args:
        function (chainer.functions.array.pad.Pad): The function.
        shape (tuple of int): That of what was padded.
        gy (array): The gradient at the result.

    Returns:
        array: The sum over the copies of each element; a view of ``gy`` where constants
        were put around.

    Raises:
        ValueError: If it was padded with something else.
    """
    widths = np.asarray(function.pad_bw)
    if widths.ndim == 1:
        widths = np.tile(widths, (len(shape), 1))
    if function.mode == "constant":
        return gy[tuple(slice(w[0], w[0] + n) for n, w in zip(shape, widths))]
    if not copies_elements(function):
        raise ValueError(
            f"F.pad of mode {function.mode!r} has no gradient: Chainer's is that of "
            "mode 'constant', which is wrong here. Use 'constant', 'edge', 'reflect', "
            "'symmetric' or 'wrap'"
        )
    for axis, (n, width) in enumerate(zip(shape, widths.tolist())):
        if not any(width):
            continue
        came_from = np.pad(
            np.arange(n), width, mode=function.mode, **function.keywords
        ).tolist()
        before = (slice(None),) * axis
        inside = range(width[0], width[0] + n)
        gx = gy[(*before, slice(inside.start, inside.stop))].copy()
        for place, element in enumerate(came_from):
            if place not in inside:
                gx[(*before, element)] += gy[(*before, place)]
        gy = gx
    return gy


class _ToInput(chainer.FunctionNode):
    """The gradient at what was padded, as a function of that at the result."""

    def __init__(self, function: Pad) -> None:
        super().__init__()
        self._pad = function

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        return (to_input(self._pad, self._pad.inputs[0].shape, inputs[0]),)

    def backward(self, indexes: Any, grad_outputs: Any) -> Any:
        pad = self._pad
        return (F.pad(grad_outputs[0], pad.pad_width, pad.mode, **pad.keywords),)


def _backward(function: Pad, indexes: Any, grad_outputs: Any) -> Any:
    if function.mode == "constant":
        return None  # Chainer's own is right
    return _ToInput(function).apply(grad_outputs)


_right = MethodsOfThread({(Pad, "backward"): _backward})


def right_padding() -> contextlib.AbstractContextManager[None]:
    """Return a block in which Chainer's own way back is right as well."""
    return _right.replaced()
