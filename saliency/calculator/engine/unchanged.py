"""The promise that explaining a model does not change it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import chainer


@contextlib.contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Give back ``model`` as it was, after success and after an exception.

    Persistent values (running statistics and the like) are copied and written
    back. Parameters and their gradients are kept by reference: nothing here writes
    into them, but a model's own code may replace them during forward.

    What the model reports meanwhile (a classifier its loss and accuracy) goes nowhere,
    rather than into the observation of a training that is under way.

    Args:
        model (chainer.Link or any callable): What is not a link has no state that
            could be looked after.
    """
    with _DeafReporter(), _link_unchanged(model):
        yield


class _DeafReporter(chainer.Reporter):
    def report(self, values: Any, observer: Any = None) -> None:
        pass


@contextlib.contextmanager
def _link_unchanged(model: Any) -> Iterator[None]:
    if not isinstance(model, chainer.Link):
        yield
        return
    parameters = [(p, p.array, p.grad) for p in model.params()]
    persistents = [
        (link, name, getattr(link, name), copy.deepcopy(getattr(link, name)))
        for link in model.links()
        for name in sorted(link._persistent)
    ]
    try:
        yield
    finally:
        for parameter, array, grad in parameters:
            if parameter.array is not array:
                parameter.array = array
            if parameter.grad is not grad:
                parameter.grad = grad
        for link, name, value, saved in persistents:
            _restore_persistent(link, name, value, saved)


def _restore_persistent(link: chainer.Link, name: str, value: Any, saved: Any) -> None:
    if isinstance(value, chainer.get_array_types()):
        value[...] = saved
    else:
        value = saved
    if getattr(link, name) is not value:
        setattr(link, name, value)
