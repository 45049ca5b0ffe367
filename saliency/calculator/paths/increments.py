"""Integrals along a path of a gradient with respect to a value that moves on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.array_types import Array

import chainer

#: What tells one path from others.
Path = tuple[int, ...]


class Increments:
    r"""Adds up gradients times increments, for many paths whose points come in order.

    .. math::
        \int \frac{\partial f}{\partial y}\, dy \approx \sum_t \frac{1}{2} \left(
            \frac{\partial f}{\partial y_{t - 1}} + \frac{\partial f}{\partial y_t}
            \right) (y_t - y_{t - 1})

    Args:
        is_left (bool): Whether the gradient at the beginning of each step counts alone,
            instead of the mean of both ends.
    """

    def __init__(self, is_left: bool = False) -> None:
        self._is_left = is_left
        self._last: dict[Path, tuple[Array, Array]] = {}

    def clear(self) -> None:
        """Forget the paths that are under way."""
        self._last.clear()

    def add(
        self, paths: Sequence[Path], point: np.ndarray, y: Array, gradient: Array
    ) -> Array:
        """Return what each row of a pass adds to the integral along its path.

        Args:
            paths (sequence of tuple): The path of each row.
            point (numpy.ndarray): Which point of its path each row is, from 0; the one
                before has come already, or stands before it in the pass.
            y (array): The value at each, ``(n_row,) + shape``.
            gradient (array): The gradient with respect to it.

        Returns:
            array: ``(n_row,) + shape``; 0 in the rows of first points.
        """
        xp = chainer.backend.get_array_module(y)
        y_before, gradient_before = xp.array(y), xp.array(gradient)
        for row, path in enumerate(paths):
            if point[row] > 0:
                y_before[row], gradient_before[row] = self._last[path]
            self._last[path] = y[row], gradient[row]
        for path in set(paths):  # what is kept does not keep the arrays of the pass
            self._last[path] = _copied(self._last[path])
        if not self._is_left:
            gradient_before = (gradient_before + gradient) / 2
        parts: Array = gradient_before * (y - y_before)
        return parts


def _copied(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    return pair[0].copy(), pair[1].copy()
