"""Straight ways from a reference to the target."""

from __future__ import annotations

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.forward_pass import ForwardPass

import chainer


def way_from(reference: Array, origin: Array, this: ForwardPass) -> Array:
    """Return the way from a reference to the target, 0 in its padding.

    Args:
        reference (array): Of the target's shape.
        origin (array): The target, ``(n_row,) + shape``.
        this (ForwardPass): The pass.
    """
    way = origin - reference
    if this.lengths is not None:
        for row, length in zip(way, this.lengths):
            row[length:] = 0  # padding stays what it is
    return way


def for_rows(values: np.ndarray, array: Array) -> Array:
    """Return one value for each row, broadcastable to ``array``, in its dtype."""
    shape = (-1,) + (1,) * (array.ndim - 1)
    device = chainer.backend.get_device_from_array(array)
    return device.send(values.astype(array.dtype).reshape(shape))
