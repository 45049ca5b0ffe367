"""What trials have shown, for calls that would try the same again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from types import MethodType
from typing import Any, Callable

import numpy as np

from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.parts import Parts
from saliency.calculator.engine.pass_size import Choice

import chainer

# Trials of one model.
_MOST_REMEMBERED = 8
# Types of attributes that are compared by their value.
_CONSTANTS = frozenset((bool, float, int, str, type(None), tuple))

_shown: weakref.WeakKeyDictionary[chainer.Link, dict[Hashable, Choice]] = (
    weakref.WeakKeyDictionary()
)
_lock = threading.Lock()


class Trial:
    """A trial of an example, which need not be made if one like it has been made.

    It would show the same, since the same is run on the same: the functions that are
    applied, and the sizes of what they are applied to, may depend on all that is
    compared here. Nothing of the trial but the choice of rows goes into a result.

    Args:
        parts (Parts): What the models consist of.
        eval_fun (callable): What is run.
        how (hashable): How it is run.
        batch (UserBatch): Has the example.
    """

    def __init__(
        self,
        parts: Parts,
        eval_fun: Callable[..., Any],
        how: Hashable,
        batch: UserBatch,
    ) -> None:
        self._model = parts.links[0][1] if parts.links else None
        try:
            self._key = (
                how,
                _reference(eval_fun),
                tuple(map(_example, batch.inputs)),
                *[_described(link) for _, link in parts.links],
            )
            hash(self._key)
        except TypeError:  # something of it cannot be compared
            self._model = None

    def shown(self) -> Choice | None:
        """Return what one like it has shown, or None."""
        if self._model is None:
            return None
        with _lock:
            return _shown.get(self._model, {}).get(self._key)

    def remember(self, choice: Choice) -> None:
        """Keep what it has shown."""
        if self._model is None:
            return
        with _lock:
            of_model = _shown.setdefault(self._model, {})
            if len(of_model) >= _MOST_REMEMBERED:
                of_model.clear()
            of_model[self._key] = choice


def _reference(function: Callable[..., Any]) -> Hashable:
    """Return what is equal for one and the same function, as long as that is there."""
    if isinstance(function, MethodType):
        return weakref.WeakMethod(function)
    return weakref.ref(function)


def _example(array: Any) -> Hashable:
    """Return what tells the first examples of arrays apart.

    Raises:
        TypeError: If it is no array of NumPy.
    """
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise TypeError
    return array.shape[1:], array.dtype, array[:1].tobytes()


def _described(link: chainer.Link) -> Hashable:
    """Return the numbers and texts among a link's attributes, and its shapes."""
    attributes = vars(link)
    return (
        type(link),
        *[(k, v) for k, v in attributes.items() if type(v) in _CONSTANTS],
        *[_shape(attributes[name]) for name in sorted(link._params)],
    )


def _shape(parameter: chainer.Parameter) -> tuple[int, ...] | None:
    """Return the shape of a parameter, None as long as it has no value."""
    return parameter.shape if parameter.is_initialized else None
