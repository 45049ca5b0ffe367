"""What takes the place of Chainer's own GPU code within a block."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Callable, Optional

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.array_types import Array
from saliency.cpu.geometry import is_nd, windows_of
from saliency.gpu import cudnn

import chainer
from chainer.functions.connection.convolution_2d import Convolution2DFunction
from chainer.functions.connection.convolution_nd import ConvolutionND
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.connection.deconvolution_nd import DeconvolutionND

Result = Optional[tuple[Array]]

#: The most elements that the patches of one call may have: Chainer's kernels count them
#: in 32 bits, and a GiB of them keeps a GPU busy.
MOST_ELEMENTS = 2**28


def in_parts(
    forward: Callable[[Array], Array], x: Array, elements_of_row: int
) -> Array | None:
    """Apply a function to parts of the rows whose patches are not too many at once.

    Args:
        forward (callable): Computes the result of some rows.
        x (numpy.ndarray or cupy.ndarray): All rows.
        elements_of_row (int): How many elements the patches of one row have.

    Returns:
        The result of all rows, or None where one call can have them all.
    """
    n = max(1, MOST_ELEMENTS // max(1, elements_of_row))
    if n >= len(x):
        return None
    xp = chainer.backend.get_array_module(x)
    return xp.concatenate([forward(x[i : i + n]) for i in range(0, len(x), n)])


def _convolution(
    method: str, function: Any, x: Array, W: Array, b: Array | None, *xp: Any
) -> Result:
    if not _is_on_gpu(x):
        return None
    if cudnn.covers(x, W):
        windows = windows_of(function, x.shape[2:], W.shape[2:])
        y = windows and cudnn.convolve(x, W, windows, function.groups)
        if y is not None:
            return (_plus(y, b),)
    padded = (size + 2 * pad for size, pad in zip(x.shape[2:], _pad(function)))
    elements = x.shape[1] * math.prod(W.shape[2:]) * math.prod(padded)
    return _in_parts(method, function, elements, x, W, b, *xp)


def _deconvolution(
    method: str, function: Any, x: Array, W: Array, b: Array | None, *xp: Any
) -> Result:
    if not _is_on_gpu(x):
        return None
    if cudnn.covers(x, W):
        size = function.outs if is_nd(function) else (function.outh, function.outw)
        windows = windows_of(function, size, W.shape[2:], x.shape[2:])
        y = windows and cudnn.to_input(x, W, windows, function.groups)
        if y is not None:
            return (_plus(y, b),)
    elements = W.shape[1] * function.groups * math.prod(W.shape[2:] + x.shape[2:])
    return _in_parts(method, function, elements, x, W, b, *xp)


def _in_parts(
    method: str, function: Any, elements: int, x: Array, *rest: Any
) -> Result:
    y = in_parts(lambda rows: getattr(function, method)(rows, *rest)[0], x, elements)
    return None if y is None else (y,)


def _is_on_gpu(x: Array) -> bool:
    return isinstance(x, chainer.backends.cuda.ndarray)


def _pad(function: Any) -> tuple[int, ...]:
    return function.pad if is_nd(function) else (function.ph, function.pw)


def _plus(y: Array, b: Array | None) -> Array:
    if b is not None:
        y += b.reshape(-1, *(1,) * (y.ndim - 2))
    return y


_NAMES_2D = ("_forward_gpu_core", "_forward_grouped_convolution")

#: By class and name of the method.
REPLACEMENTS: dict[tuple[type, str], Callable[..., Result]] = {
    (function, name): partial(replacement, name)
    for function, names, replacement in (
        (Convolution2DFunction, _NAMES_2D, _convolution),
        (ConvolutionND, ("_forward_xp",), _convolution),
        (Deconvolution2DFunction, _NAMES_2D, _deconvolution),
        (DeconvolutionND, ("_forward_xp",), _deconvolution),
    )
    for name in names
}
