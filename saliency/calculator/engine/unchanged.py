"""The promise that explaining a model does not change it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from saliency.exclusive import one_at_a_time

import chainer


class Unchanged:
    """Gives back a model as it was, after each pass and after an exception.

    Persistent values (running statistics and the like) are copied and written
    back. Parameters and their gradients are kept by reference: nothing here writes
    into them, but a model's own code may replace them during forward.

    What the model keeps between calls is shared by all threads that use it, so that
    one pass runs at a time, and each begins with the model as it was.

    Args:
        model (chainer.Link or any callable): What is not a link has no state that
            could be looked after.
    """

    def __init__(self, model: Any) -> None:
        self._parameters: list[tuple[Any, Any, Any]] = []
        self._persistents: list[tuple[chainer.Link, str, Any, Any]] = []
        if not isinstance(model, chainer.Link):
            return
        with one_at_a_time():
            # What has no value yet is looked after by FirstParameters.
            self._parameters = [
                (p, p.array, p.grad) for p in model.params(include_uninit=False)
            ]
            self._persistents = [
                (link, name, getattr(link, name), copy.deepcopy(getattr(link, name)))
                for link in model.links()
                for name in sorted(link._persistent)
            ]

    @contextlib.contextmanager
    def during_call(self) -> Iterator[None]:
        """Return a block around a whole call.

        What the model reports meanwhile (a classifier its loss and accuracy) goes
        nowhere, rather than into the observation of a training that is under way.
        """
        try:
            with _DeafReporter():
                yield
        finally:
            self._put_back()

    @contextlib.contextmanager
    def during_pass(self) -> Iterator[None]:
        """Return a block for a pass, forward and backward."""
        with one_at_a_time():
            try:
                yield
            finally:
                self._put_back()

    def _put_back(self) -> None:
        with one_at_a_time():
            for parameter, array, grad in self._parameters:
                if parameter.array is not array:
                    parameter.array = array
                if parameter.grad is not grad:
                    parameter.grad = grad
            for link, name, value, saved in self._persistents:
                _put_persistent_back(link, name, value, saved)


class _DeafReporter(chainer.Reporter):
    def report(self, values: Any, observer: Any = None) -> None:
        pass


def _put_persistent_back(link: chainer.Link, name: str, value: Any, saved: Any) -> None:
    if isinstance(value, chainer.get_array_types()):
        value[...] = saved
    else:
        value = copy.deepcopy(saved)
    if getattr(link, name) is not value:
        setattr(link, name, value)
