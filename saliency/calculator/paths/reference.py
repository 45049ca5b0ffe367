"""Values that stand for 'nothing there': baselines of a path, fills of a window."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.data_frames import from_table
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import NoBatchAxis
from saliency.checks import is_finite, one_array

import chainer


class Reference:
    """A reference value for the target, in one of the forms that users give.

    Args:
        name (str): Name of the user's parameter, for messages.
        value: A number; an array of the shape of one example's target, or of
            ``(N,) + target shape`` for one reference per example; ``'mean'`` for the
            mean target over the data, element by element; or a callable that is
            given the target, ``(n_row,) + shape``, and returns what broadcasts to it.
        has_targets (bool): Whether a tuple is one of these for each of several targets,
            as in Captum. Otherwise it is an array, as a list is.

    Raises:
        ValueError: If it is none of these, or not finite.
    """

    def __init__(self, name: str, value: Any, has_targets: bool = False) -> None:
        is_of_targets = has_targets and isinstance(value, tuple)
        given = value if is_of_targets else (value,)
        self.name = name
        self.values = [_checked(name, one) for one in given]
        self.is_of_targets = is_of_targets

    def for_data(self, batches: Batches, passes: CleanPasses) -> ReferenceForData:
        """Return the reference for the examples of one call.

        Args:
            batches (Batches): The data, which the mean is taken over if that is what
                is asked for.
            passes (CleanPasses): Gives its targets.

        Raises:
            ValueError: If there is one example only (its mean is itself), or the
                examples have targets of different shapes.
        """
        means: list[np.ndarray] = []
        if any(isinstance(value, str) for value in self.values):
            means = self._means(batches, passes)
        return ReferenceForData(
            self.name, self.values, self.is_of_targets, means, batches.n_example
        )

    def _means(self, batches: Batches, passes: CleanPasses) -> list[np.ndarray]:
        """Return the mean over the data, for each target and each call of its link."""
        if batches.n_example == 1:
            raise ValueError(
                f"{self.name}='mean' is the mean over the data, which is one example "
                "here; pass a number, an array or a callable"
            )
        totals: list[Any] = []
        for batch in batches:
            try:
                targets = passes.targets(batch)
            except NoBatchAxis as error:
                raise ValueError(
                    f"{self.name}='mean' needs targets with a batch axis, but {error}; "
                    "pass an array, such as the mean of the embedding's W"
                ) from None
            totals = totals or [np.zeros(target.shape[1:]) for target in targets]
            shapes = [target.shape[1:] for target in targets]
            if passes.has_ragged_targets(batch) or shapes != [
                np.shape(total) for total in totals
            ]:
                raise ValueError(
                    f"{self.name}='mean' needs targets of one shape, and as many in "
                    "every batch; got examples of different lengths, or the shapes "
                    f"{[np.shape(total) for total in totals]} and {shapes}"
                )
            sums = [target.sum(axis=0, dtype="d") for target in targets]
            totals = [a + chainer.cuda.to_cpu(b) for a, b in zip(totals, sums)]
        return [total / batches.n_example for total in totals]


class ReferenceForData:
    """A reference value for the targets of one call's examples.

    Args:
        name (str): Name of the user's parameter, for messages.
        values: As in :class:`Reference`, checked; one for each target, or for all.
        is_of_targets (bool): Whether there is one for each.
        means (list of numpy.ndarray): For ``'mean'``, the mean of each target, or of
            each explained call of its link.
        n_example (int): How many examples there are in the data.
    """

    def __init__(
        self,
        name: str,
        values: list[Any],
        is_of_targets: bool,
        means: list[np.ndarray],
        n_example: int,
    ) -> None:
        self._name = name
        self._values = values
        self._is_of_targets = is_of_targets
        self._means = means
        self._n_example = n_example

    def at(self, target: Array, this: ForwardPass, call: int = 0) -> Array:
        """Return the reference for a target of a pass, broadcastable to it.

        Args:
            target (array): ``(n_row,) + shape``.
            this (ForwardPass): The pass.
            call (int): Which of the explained calls of the target's link it is.

        Raises:
            ValueError: If its shape does not fit the target's, or the target is of
                integers and it is not, or there are not as many as targets.
        """
        xp = chainer.backend.get_array_module(target)
        given = self._at_position(this)
        if callable(given):
            value = self._of_callable(given, target, this)
        elif isinstance(given, str):
            # Of several targets, each is one call.
            value = xp.asarray(self._means[this.position + call])
        else:
            value = self._of_examples(xp.asarray(given), target, this)
        if value.ndim:
            try:
                xp.broadcast_to(value, target.shape)
            except ValueError:
                raise self._wrong_shape(value, target) from None
        return self._cast(value, target, given)

    def _at_position(self, this: ForwardPass) -> Any:
        """Return the user's value for the target that a pass is seen from."""
        if not self._is_of_targets:
            return self._values[0]
        if len(self._values) != this.n_target:
            raise ValueError(
                f"{self._name} as a tuple must hold one for each of {this.n_target} "
                f"targets, got {len(self._values)}"
            )
        return self._values[this.position]

    def _of_callable(
        self, given: Callable[[Array], Any], target: Array, this: ForwardPass
    ) -> Array:
        """Return what the callable says of targets, of each without its padding."""
        xp = chainer.backend.get_array_module(target)
        if this.lengths is None:
            return xp.asarray(_as_finite_array(self._name, given(target)))
        result = xp.zeros(target.shape, target.dtype)
        for i, length in enumerate(this.lengths.tolist()):
            row = target[i : i + 1, :length]
            if row.size == 0:
                continue
            value = xp.asarray(_as_finite_array(self._name, given(row)))
            try:
                value = xp.broadcast_to(value, row.shape)
            except ValueError:
                raise self._wrong_shape(value, row) from None
            result[i, :length] = self._cast(value, row, given)[0]
        return result

    def _cast(self, value: Array, target: Array, given: Any) -> Array:
        """Return a value in the dtype of the target."""
        bad = beyond_integers(value, target.dtype)
        if len(bad):
            raise out_of_range(self._name, target.dtype, self._described(bad, given))
        return value.astype(target.dtype)

    def _described(self, bad: Array, given: Any) -> str:
        if callable(given) or isinstance(given, str):
            return f"{float(bad[0]):g} from {self._name}={given!r}"
        return f"{float(bad[0]):g}"

    def _of_examples(self, value: Array, target: Array, this: ForwardPass) -> Array:
        """Return the rows of a value that has one row for each example."""
        if value.ndim < target.ndim or len(value) == 1:
            return value
        if len(value) != self._n_example:
            raise self._wrong_shape(value, target)
        return value[this.index]

    def _wrong_shape(self, value: Array, target: Array) -> ValueError:
        return ValueError(
            f"{self._name} must be a number or an array of the shape "
            f"{target.shape[1:]} of one example, or of that for each of the "
            f"{self._n_example} examples, got shape {value.shape}"
        )


def beyond_integers(value: Array, dtype: np.dtype) -> Array:
    """Return the elements that a dtype of integers or bool does not have.

    Args:
        value (array): Numbers, of any shape.
        dtype (numpy.dtype): The dtype that they are to get; others have all of them.
    """
    if dtype.kind not in "iub" or np.can_cast(value.dtype, dtype):
        return value.ravel()[:0]
    low, high = _limits(dtype)
    is_whole = (value == value.round()) if value.dtype.kind == "f" else True
    fits = is_whole & (low <= value) & (value <= high)
    found: Array = value[~fits]
    return found


def out_of_range(name: str, dtype: np.dtype, got: str) -> ValueError:
    """Return the error for a value that a target of integers or bool cannot have."""
    low, high = _limits(dtype)
    return ValueError(
        f"{name} must hold whole numbers from {low} to {high} for a target of dtype "
        f"{dtype}, got {got}. If the model takes floats, pass data.astype(np.float32)"
    )


def _limits(dtype: np.dtype) -> tuple[int, int]:
    """Return the smallest and the largest number of a dtype of integers or bool."""
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _checked(name: str, value: Any) -> Any:
    """Return a reference in one of the forms that users give, an array as such."""
    if isinstance(value, chainer.Variable):
        value = value.array
    if callable(value) or (isinstance(value, str) and value == "mean"):
        return value
    return _as_finite_array(name, value)


def _as_finite_array(name: str, value: Any) -> Any:
    value = from_table(value, name)
    if not isinstance(value, chainer.get_array_types()):
        value = one_array(name, value)
    is_flag = value.dtype.kind == "b" and value.ndim == 0
    if value.dtype.kind not in "fiub" or is_flag:
        raise ValueError(
            f"{name} must be a number, an array, 'mean' or a callable, got {value!r}"
        )
    if not is_finite(value):
        raise ValueError(f"{name} must be finite, got NaN or infinity in it")
    return value
