"""What takes the place of a target: its noise, and the change of the method."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any, Callable

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.randomness.random_streams import NOISE, RandomStreams
from saliency.calculator.randomness.row_streams import RowStreams
from saliency.checks import is_finite

import chainer


class Disturbance:
    """Changes the targets of a pass.

    Args:
        recipe (Recipe): Changes them, too.
        noise_sampler: Has ``sample(array, rng)`` or ``sample(array)``; or None.
        streams (RandomStreams): Where its numbers come from.
    """

    def __init__(
        self, recipe: Recipe, noise_sampler: Any, streams: RandomStreams
    ) -> None:
        self._recipe = recipe
        self._noise_sampler = noise_sampler
        self._takes_rng = noise_sampler is not None and _takes_rng(noise_sampler.sample)
        self._streams = streams

    def apply(self, target: chainer.Variable, call: int, this: ForwardPass) -> None:
        """Add noise to a target, and change it as the method wants it.

        Args:
            target (chainer.Variable): It is given another array.
            call (int): Which call of its link it is.
            this (ForwardPass): The pass, seen from this target.

        Raises:
            ValueError: If another target, which is changed as well, leads to it.
        """
        if self._recipe.changes_target and self._recipe.needs_gradient:
            this.check_moves_alone(target)
        array = this.with_batch_axis(target.array)
        if this.stacked is None:
            origin = array
            if self._noise_sampler is not None:
                origin = array + self._noise(array, call, this)
            this.origins.append(origin)
            changed = self._changed(origin, array, this, len(this.origins) - 1)
            if this.rows.call is not None:
                changed = _where_rows(this.rows.call == call, changed, array)
        else:
            changed = self._changed_call(array, call, this)
        if changed is not array:
            target.array = this.without_batch_axis(changed)

    def changes(self) -> bool:
        """Tell whether targets become anything else than they are."""
        return self._noise_sampler is not None or self._recipe.changes_target

    def _changed(
        self, origin: Array, array: Array, this: ForwardPass, call: int
    ) -> Array:
        """Return a target as the method wants it, with its padding as it was."""
        changed = self._recipe.change_target(origin, this, call)
        if this.lengths is not None and changed is not array:
            # What is put into padding would reach the example through its neighbours.
            changed = changed.copy()
            for row, original, length in zip(changed, array, this.lengths):
                row[length:] = original[length:]
        return changed

    def _changed_call(self, array: Array, call: int, this: ForwardPass) -> Array:
        """Return one of several calls that are changed together."""
        stacked = this.stacked
        assert stacked is not None  # which is why this is called
        is_news = stacked.receive(call, array)
        if not stacked.is_changed:
            return array
        if is_news:
            values = origin = stacked.values
            if self._noise_sampler is not None:
                if stacked.noise is None:
                    stacked.noise = self._noise(values, 0, this)
                origin = values + stacked.noise
            this.origins[:] = [origin]
            stacked.changed = self._changed(origin, values, this, 0)
        changed: Array = stacked.changed[:, call].copy()
        return changed

    def _noise(self, array: Array, call: int, this: ForwardPass) -> Array:
        rows = this.sample_and_index()
        if this.lengths is None:
            return self._noise_of_rows(array, rows, call, this)
        noise = chainer.backend.get_array_module(array).zeros_like(array)
        for length in np.unique(this.lengths):
            alike = np.flatnonzero(this.lengths == length)
            part = array[alike, :length]
            noise[alike, :length] = self._noise_of_rows(part, rows[alike], call, this)
        return noise

    def _noise_of_rows(
        self,
        array: Array,
        rows: np.ndarray,
        call: int,
        this: ForwardPass,
    ) -> Array:
        if self._takes_rng:
            rng = RowStreams(self._streams, NOISE, rows, call, this.position)
            noise = self._noise_sampler.sample(array, rng=rng)
        else:
            noise = self._noise_sampler.sample(array)
        if not isinstance(noise, chainer.get_array_types()):
            raise TypeError(
                f"noise_sampler must give an array, got {type(noise).__name__}"
            )
        if noise.shape != array.shape:
            raise ValueError(
                "noise_sampler must give noise of the target's shape "
                f"{array.shape}, got shape {noise.shape}"
            )
        if array.dtype.kind != "f" and noise.dtype.kind == "f":
            raise TypeError(
                f"noise_sampler gives noise of dtype {noise.dtype}, which cannot be "
                f"added to a target of dtype {array.dtype}. If the model takes floats, "
                "pass data.astype(np.float32)"
            )
        if not is_finite(noise):
            raise ValueError(
                "noise_sampler must give finite noise, got NaN or infinity"
            )
        return noise.astype(array.dtype, copy=False)


def _takes_rng(sample: Callable[..., Any]) -> bool:
    """Tell whether a function has a parameter ``rng``."""
    plain = getattr(sample, "__func__", sample)
    is_plain = type(plain) is FunctionType and not vars(plain)
    if not is_plain:
        return "rng" in inspect.signature(sample).parameters
    # The same in a small part of the time, where no decorator says otherwise.
    code = plain.__code__
    return "rng" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _where_rows(chosen: Any, array: Array, other: Array) -> Array:
    """Return the chosen rows of ``array`` and the others of ``other``."""
    result = other.copy()
    result[chosen] = array[chosen]
    return result
