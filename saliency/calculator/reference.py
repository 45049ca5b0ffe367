"""Values that stand for 'nothing there': baselines of a path, fills of a window."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.calculator.dataset import Batches
from saliency.calculator.forward_pass import ForwardPass, ForwardRunner

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

    def __init__(self, name: str, value: Any) -> None:
        if isinstance(value, chainer.Variable):
            value = value.array
        if not callable(value) and not (isinstance(value, str) and value == "mean"):
            value = _as_finite_array(name, value)
        self._name = name
        self._value = value
        self._mean: Any = None
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
        total: Any = 0
        for batch in batches:
            target = runner.run_clean(batch).targets[0].array
            if np.shape(total) not in ((), target.shape[1:]) or _is_ragged(batch):
                raise ValueError(
                    f"{self._name}='mean' needs targets of one shape, got "
                    f"{np.shape(total)} and {target.shape[1:]} in different batches or "
                    "examples of different lengths"
                )
            total = total + target.sum(axis=0, dtype="d")
        self._mean = total / batches.n_example

    def at(self, target: Any, this: ForwardPass) -> Any:
        """Return the reference for the rows of a pass, broadcastable to ``target``.

        Raises:
            ValueError: If its shape does not fit the target's.
        """
        xp = chainer.backend.get_array_module(target)
        if callable(self._value):
            value = xp.asarray(self._value(target))
        elif isinstance(self._value, str):
            value = xp.asarray(self._mean)
        else:
            value = xp.asarray(self._value)
        if self._is_per_example(value, target):
            value = value[this.index] if len(value) == self._n_example else value
        try:
            xp.broadcast_to(value, target.shape)
        except ValueError:
            raise ValueError(
                f"{self._name} must be a number or an array of the target's shape "
                f"{target.shape[1:]} (with or without an axis for the examples), got "
                f"shape {value.shape}"
            ) from None
        return value.astype(target.dtype)

    def _is_per_example(self, value: Any, target: Any) -> bool:
        # A callable has seen the rows; what it returns is in their order.
        is_given = not callable(self._value)
        return is_given and value.ndim == target.ndim and len(value) > 1


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


def _is_ragged(batch: Any) -> bool:
    return batch.lengths is not None and len(set(batch.lengths)) > 1
