"""Axes over which a function reduces its input."""

from __future__ import annotations

from saliency.array_types import Array
from saliency.lrp.graph import Application


def with_reduced_axes(this: Application, array: Array) -> Array:
    """Return an array of the output's shape with the reduced axes, of length 1."""
    (x,) = this.inputs
    axes = this.function.axis
    reduced = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
    return array.reshape([1 if i in reduced else n for i, n in enumerate(x.shape)])
