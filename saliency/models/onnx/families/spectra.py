"""Fourier transforms, as products with a matrix of cosines and sines."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.models.onnx.families.operands import variable
from saliency.models.onnx.operators import Call, number, operator

import chainer
import chainer.functions as F


@operator("DFT", settings=("dft_length", "axis"))
def discrete_fourier_transform(
    call: Call,
    input: Any,
    dft_length: Any = None,
    axis: Any = None,
    *,
    axis_: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Any:
    """The Fourier transform along an axis, or its inverse; parts are the last axis."""
    if call.opset >= 20:
        axis_ = -2 if axis is None else int(number(axis))
    along = axis_ % input.ndim
    length = input.shape[along]
    if dft_length is not None:
        length = int(number(dft_length))
    elif inverse and onesided:
        length = 2 * (length - 1)
    x = F.moveaxis(input, along, -2)
    y = _transformed(call, x, length, bool(inverse), bool(onesided))
    return F.moveaxis(y, -2, along)


@operator("STFT", settings=("frame_step", "frame_length"))
def short_time_fourier_transform(
    call: Call,
    signal: Any,
    frame_step: Any,
    window: Any = None,
    frame_length: Any = None,
    *,
    onesided: int = 1,
) -> Any:
    """The Fourier transforms of windows that slide over a signal."""
    step = int(number(frame_step))
    length = len(window) if frame_length is None else int(number(frame_length))
    n_frame = (signal.shape[1] - length) // step + 1
    places = np.arange(n_frame)[:, None] * step + np.arange(length)
    x = variable(call, signal)[:, call.array(places)]
    if window is not None:
        x = x * F.broadcast_to(variable(call, window)[:, None], x.shape)
    return _transformed(call, x, length, False, bool(onesided))


def _transformed(
    call: Call, x: chainer.Variable, length: int, is_inverse: bool, is_half: bool
) -> chainer.Variable:
    """Return the Fourier transform along the last but one axis.

    Args:
        call (Call): The node as it is run.
        x (chainer.Variable): ``(..., n, part)``; one part is real numbers, of two the
            second is imaginary.
        length (int): Of the signal, which is cut, or filled up by zeros.
        is_inverse (bool): Whether x is a spectrum.
        is_half (bool): Whether the spectrum is that of real numbers, of which one half
            tells the other.
    """
    n_half = length // 2 + 1
    x = x[..., : n_half if is_half and is_inverse else length, :]
    *rows, n, n_part = x.shape
    n_out = n_half if is_half and not is_inverse else length
    turns = np.outer(np.arange(n), np.arange(n_out)) % length / length
    angles = 2 * np.pi * turns * (1 if is_inverse else -1)
    # How much each part counts in each part: (n, part, n_out, part).
    parts = [[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]]
    weights: np.ndarray = np.transpose(parts[:n_part], (2, 0, 3, 1))
    if is_inverse:
        weights = weights / length
    if is_inverse and is_half:
        weights = _twice_between_ends(weights, length)[..., :1]
    matrix = weights.reshape(n * n_part, -1).astype(x.dtype)
    y = F.matmul(F.reshape(x, (-1, n * n_part)), call.array(matrix))
    return F.reshape(y, (*rows, n_out, -1))


def _twice_between_ends(weights: np.ndarray, length: int) -> np.ndarray:
    """Return weights of frequencies, doubled where one stands for its conjugate too."""
    k = np.arange(len(weights))
    is_alone = (k == 0) | (2 * k == length)
    return weights * np.where(is_alone, 1, 2)[:, None, None, None]
