"""Notices a model that writes into what it is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import chainer

# Bytes that are compared in less time than NumPy's functions take to begin.
_SMALL = 1 << 14


class Overwritten:
    """Compares arrays after a forward pass with what they were.

    A graph refers to the arrays that functions were given. A model that writes into one
    of them (``x.array[...] = 0``) gets the gradient of a function that it has not
    computed. Without a graph there is nothing to go wrong, and nothing is compared.
    """

    def __init__(self) -> None:
        self._has_graph = chainer.config.enable_backprop
        self._arrays: list[tuple[Any, Any]] = []  # and copies of them

    def watch(self, inputs: Iterable[Any]) -> None:
        """Keep what is in arrays, and in those of Variables, if there is a graph."""
        if not self._has_graph:
            return
        arrays = [x.array if isinstance(x, chainer.Variable) else x for x in inputs]
        self._arrays += [
            (array, array.copy())
            for array in arrays
            if isinstance(array, chainer.get_array_types())
        ]

    def check(self) -> None:
        """Raise a ValueError if another value is in one of them."""
        if all(_is_same(array, before) for array, before in self._arrays):
            return
        raise ValueError(
            "the model must not write into the array of its input or of the target "
            "(such as x.array[...] = 0): its gradient would not be that of what it "
            "computes. Write into a copy, or use F.where, F.clip or F.dropout"
        )


def _is_same(array: Any, before: Any) -> bool:
    is_small = isinstance(array, np.ndarray) and array.nbytes <= _SMALL
    if is_small and array.tobytes() == before.tobytes():
        return True
    xp = chainer.backend.get_array_module(array)
    if (array == before).all():
        return True
    return bool(((array == before) | xp.isnan(array) & xp.isnan(before)).all())
