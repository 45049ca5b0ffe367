"""What a model is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.models.onnx.operators import array_of

import chainer


class Input(NamedTuple):
    """What a model is given.

    Attributes:
        name (str): The file's name of it.
        dtype (numpy.dtype): Of its numbers.
        shape (tuple of int or None): None for what is free; None if all of it is.
        batch (int or None): The axis of the batch, if it has one.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...] | None
    batch: int | None = None

    @property
    def written_batch(self) -> int | None:
        """The size of the batch that the file is written for; None if that is free."""
        return None if not self.shape or self.batch is None else self.shape[self.batch]

    def checked(self, value: Any) -> Any:
        """Return a value as steps take it: floating-point numbers are a variable.

        Args:
            value (Variable, array or number): What a user gives.

        Raises:
            TypeError: If it has another kind of numbers than the file says.
            ValueError: If its shape does not fit.
        """
        array = array_of(value)
        if not hasattr(array, "__array_function__"):  # a number, or a list of them
            array = np.asarray(array)
        self._check(array.dtype, array.shape)
        if array.dtype.kind != "f":
            return array.astype(self.dtype, copy=False)
        is_variable = isinstance(value, chainer.Variable)
        return chainer.as_variable(value if is_variable else array)

    def _check(self, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """Raise an error unless dtype and shape fit, but for the size of the batch."""
        kinds = {dtype.kind, self.dtype.kind}
        if len(kinds) > 1 and kinds != {"i", "u"}:
            raise TypeError(
                f"input {self.name!r} must have the dtype {self.dtype}, got {dtype}"
            )
        if self.shape is None:
            return
        sizes = zip(self.shape, shape)
        other = {i for i, (n, m) in enumerate(sizes) if n not in (None, m)}
        if len(shape) != len(self.shape) or other - {self.batch}:
            wanted = tuple("any" if n is None else n for n in self.shape)
            raise ValueError(
                f"input {self.name!r} must have the shape {wanted}, got {shape}"
            )


def with_batches(inputs: Sequence[Input]) -> list[Input]:
    """Return the inputs of a model with the axes of their batches.

    It is the first axis of the first input. Elsewhere, as in the states of recurrent
    layers, it is the first axis of the same length.
    """
    first = inputs[0].shape if inputs else ()
    size = first[0] if first else None
    result = []
    for i in inputs:
        shape = i.shape or ()
        written = 1 if size is None else size
        if shape and shape[0] in (None, size):
            result.append(i._replace(batch=0))
        elif written in shape:
            result.append(i._replace(batch=shape.index(written)))
        else:
            result.append(i)
    return result
