"""Values that stand for 'nothing there': baselines of a path, fills of a window."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.runner import ForwardRunner

import chainer


class Reference:
    """A reference value for the target, in one of the forms that users give.

    Args:
        name (str): Name of the user's parameter, for messages.
        value: A number; an array of the shape of one example's target, or of
            ``(N,) + target shape`` for one reference per example; ``'mean'`` for the
            mean target over the data, element by element; or a callable that is
            given the target, ``(n_row,) + shape``, and returns what broadcasts to it.

    Raises:
        ValueError: If it is none of these, or not finite.
    """

    run_state = ("_means", "_n_example")

    def __init__(self, name: str, value: Any) -> None:
        if isinstance(value, chainer.Variable):
            value = value.array
        if not callable(value) and not (isinstance(value, str) and value == "mean"):
            value = _as_finite_array(name, value)
        self._name = name
        self._value = value
        self._means: list[np.ndarray] = []  # one for each call of the target's link
        self._n_example = 0

    def prepare(self, batches: Batches, runner: ForwardRunner) -> None:
        """Take the mean over the data, if that is what is asked for.

        Raises:
            ValueError: If there is one example only (its mean is itself), or the
                examples have targets of different shapes.
        """
        self._n_example = batches.n_example
        if not isinstance(self._value, str):
            return
        if batches.n_example == 1:
            raise ValueError(
                f"{self._name}='mean' is the mean over the data, which is one example "
                "here; pass a number, an array or a callable"
            )
        totals: list[Any] = []
        for batch in batches:
            targets = runner.clean_targets(batch)
            totals = totals or [np.zeros(target.shape[1:]) for target in targets]
            shapes = [target.shape[1:] for target in targets]
            if batch.is_ragged or shapes != [np.shape(total) for total in totals]:
                raise ValueError(
                    f"{self._name}='mean' needs targets of one shape, and as many in "
                    "every batch; got examples of different lengths, or the shapes "
                    f"{[np.shape(total) for total in totals]} and {shapes}"
                )
            sums = [target.sum(axis=0, dtype="d") for target in targets]
            totals = [a + chainer.cuda.to_cpu(b) for a, b in zip(totals, sums)]
        self._means = [total / batches.n_example for total in totals]

    def at(self, target: Any, this: ForwardPass) -> Any:
        """Return the reference for the pass's latest target, broadcastable to it.

        Raises:
            ValueError: If its shape does not fit the target's.
        """
        xp = chainer.backend.get_array_module(target)
        if callable(self._value):
            value = xp.asarray(_as_finite_array(self._name, self._value(target)))
        elif isinstance(self._value, str):
            value = xp.asarray(self._means[len(this.origins) - 1])
        else:
            value = self._of_examples(xp.asarray(self._value), target, this)
        try:
            xp.broadcast_to(value, target.shape)
        except ValueError:
            raise self._wrong_shape(value, target) from None
        return value.astype(target.dtype)

    def _of_examples(self, value: Any, target: Any, this: ForwardPass) -> Any:
        """Return the rows of a value that has one row for each example."""
        if value.ndim < target.ndim or len(value) == 1:
            return value
        if len(value) != self._n_example:
            raise self._wrong_shape(value, target)
        return value[this.index]

    def _wrong_shape(self, value: Any, target: Any) -> ValueError:
        return ValueError(
            f"{self._name} must be a number or an array of the shape "
            f"{target.shape[1:]} of one example, or of that for each of the "
            f"{self._n_example} examples, got shape {value.shape}"
        )


def _as_finite_array(name: str, value: Any) -> Any:
    if not isinstance(value, chainer.get_array_types()):
        value = np.asarray(value)
    if value.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be a number, an array, 'mean' or a callable, got {value!r}"
        )
    if not chainer.backend.get_array_module(value).isfinite(value).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity in it")
    return value
