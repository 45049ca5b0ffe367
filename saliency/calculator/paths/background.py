"""Examples that are like the data, of which each step of a method takes one."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.data_frames import from_table
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.paths.reference import (
    Reference,
    beyond_integers,
    out_of_range,
)
from saliency.checks import is_finite, one_array

import chainer


class Background:
    """Examples that are like the data, of which each step of a method takes one.

    Args:
        name (str): Name of the user's parameter, for messages.
        value: An array of targets, ``(n_row,) + shape``, whose rows can be broadcast to
            the target of an example; or a table; or with several targets a tuple of
            these.
        has_targets (bool): Whether a tuple is one of these for each of several targets.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it has no rows, or is not finite; or there are not as many rows
            for each target.

    Attributes:
        n_row (int): How many there are.
    """

    def __init__(self, name: str, value: Any, has_targets: bool = False) -> None:
        is_of_targets = has_targets and isinstance(value, tuple)
        given = value if is_of_targets else (value,)
        self._name = name
        self._is_of_targets = is_of_targets
        self._keep([_checked(name, one) for one in given])

    @classmethod
    def of_data(cls, name: str, targets: list[Array]) -> Background:
        """Return the examples of the data itself as a background.

        Args:
            name (str): Name of the user's parameter, for messages.
            targets (list of array): ``(n_row,) + shape`` for each target, or for each
                explained call of its link.
        """
        background = cls(name, targets[0])
        background._keep(targets)
        return background

    def _keep(self, arrays: list[Array]) -> None:
        numbers = [len(array) for array in arrays]
        if len(set(numbers)) != 1:
            raise ValueError(
                f"{self._name} must have as many rows for each target, got {numbers}"
            )
        self._arrays = arrays
        self.n_row = numbers[0]

    def references(self) -> list[Reference]:
        """Return each row as a reference of its own."""
        rows = zip(*self._arrays)
        if self._is_of_targets:
            return [Reference(self._name, of_targets, True) for of_targets in rows]
        return [Reference(self._name, row) for (row,) in rows]

    def check_rows(self, origin: Array, this: ForwardPass, call: int) -> None:
        """Raise a ValueError if what is given is one row, without the axis of rows.

        Its first axis would be taken for that of the rows, and what is behind it
        broadcast to the target.

        Args:
            origin (array): The target, ``(n_row,) + shape``.
            this (ForwardPass): The pass.
            call (int): Which of the explained calls of the target's link it is.
        """
        shape = self._array_of(this, call).shape
        # The lengths of padded targets may happen to be the number of rows.
        if shape == origin.shape[1:] and this.lengths is None:
            spread = (shape[0], 1, *shape[1:])
            raise ValueError(
                f"{self._name} must hold rows of the shape {shape} of one example's "
                f"target, got shape {shape}: for one row pass {self._name}[None], and "
                f"for {shape[0]} that are broadcast {self._name}.reshape{spread}"
            )

    def _array_of(self, this: ForwardPass, call: int) -> Array:
        """Return the rows for the target that a pass is seen from."""
        if self._is_of_targets and len(self._arrays) != this.n_target:
            raise ValueError(
                f"{self._name} as a tuple must hold one for each of {this.n_target} "
                f"targets, got {len(self._arrays)}"
            )
        # Of several targets, each is one call.
        return self._arrays[this.position + call if len(self._arrays) > 1 else 0]

    def at(
        self, origin: Array, this: ForwardPass, call: int, which: np.ndarray
    ) -> Array:
        """Return what each row of a pass takes, in the shape and dtype of the target.

        Args:
            origin (array): The target, ``(n_row,) + shape``.
            this (ForwardPass): The pass.
            call (int): Which of the explained calls of the target's link it is.
            which (numpy.ndarray): Which row of the background, for each of the pass.

        Raises:
            TypeError: If the target is of integers, and they are not.
            ValueError: If the target is of integers that do not reach as far as they
                do, their shape is not that of the target, or they are not one
                for each of several targets; or as in :meth:`check_rows`.
        """
        self.check_rows(origin, this, call)
        array = self._array_of(this, call)
        if origin.dtype.kind != "f" and array.dtype.kind == "f":
            raise TypeError(
                f"{self._name} must be of integers, as the target is, got {array.dtype}"
            )
        bad = beyond_integers(array, origin.dtype)
        if len(bad):
            raise out_of_range(self._name, origin.dtype, f"{int(bad[0])}")
        xp = chainer.backend.get_array_module(origin)
        n_axis = origin.ndim - array.ndim
        as_target = array.reshape(len(array), *(1,) * n_axis, *array.shape[1:])
        rows = xp.asarray(as_target)[xp.asarray(which)].astype(origin.dtype, copy=False)
        try:
            found: Array = xp.broadcast_to(rows, origin.shape)
        except ValueError:
            raise ValueError(
                f"{self._name} must hold rows of the shape {origin.shape[1:]} of one "
                f"example's target, got shape {array.shape}"
            ) from None
        return found


def _checked(name: str, value: Any) -> Array:
    if isinstance(value, chainer.Variable):
        value = value.array
    array = from_table(value, name)
    if not isinstance(array, chainer.get_array_types()):
        array = one_array(name, array)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold rows of numbers, as the data does, got {value!r}"
        )
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(
            f"{name} must hold at least one row, as the data does, got shape "
            f"{array.shape}"
        )
    if not is_finite(array):
        raise ValueError(f"{name} must be finite, got NaN or infinity in it")
    return array
