"""Where inputs enter the model: what does not fit is refused in one line."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from types import FunctionType, MethodType
from typing import Any, Callable

from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.first_parameters import FirstParameters
from saliency.calculator.engine.misfits import Misfit
from saliency.calculator.engine.parts import Parts
from saliency.calculator.engine.subject import Subject

import chainer
from chainer.utils.type_check import InvalidType

_ABOUT_WRITING = (
    "the model must not write into its parameters or their gradients while it is "
    "explained (such as W.array[...] = ... or zerograds): assign new arrays to them, "
    "or write into a copy"
)


class Door:
    """Looks after the forward passes of one call.

    Args:
        subject (Subject): What is explained.
        parts (Parts): What the models consist of that are run for that.
    """

    def __init__(self, subject: Subject, parts: Parts) -> None:
        self._subject = subject
        self._first_parameters = FirstParameters(parts)
        self._has_checked_number = False

    @contextlib.contextmanager
    def opened(self, batch: UserBatch, inputs: Sequence[Any]) -> Iterator[None]:
        """Return a block for a forward pass.

        Args:
            batch (UserBatch): Whose rows go through.
            inputs (sequence): What the model is going to be called with.

        Raises:
            TypeError: If there are more or fewer inputs than the model takes.
            ValueError: If the model is not trained, or does not take inputs of this
                shape or dtype. What the model has raised is its cause.
        """
        if not self._has_checked_number:
            self._check_number(batch)
            self._has_checked_number = True
        try:
            with self._first_parameters.refused():
                yield
        except Exception as error:
            misfit = Misfit(error, inputs, batch)
            message = misfit.what_to_write()
            if message is None and batch.is_listed:
                message = misfit.what_lists_are_for()
            if message is None and isinstance(error, InvalidType):
                message = misfit.what_chainer_says()
            if message is None and "read-only" in str(error):
                message = _ABOUT_WRITING
            if message is None:
                raise
            raise ValueError(message) from error

    def _check_number(self, batch: UserBatch) -> None:
        """Raise a TypeError if the model takes another number of inputs."""
        inputs = batch.inputs
        called = self._subject.eval_fun
        if len(inputs) == 1 and _is_classifier(called):
            raise TypeError(
                f"{type(called).__name__} takes (x, t) and returns a loss, but data "
                "has no t: to explain scores pass model.predictor in place of model"
            )
        function = first_called(called)
        if _requires_just(function, len(inputs)):
            return
        name = "the model" if called is self._subject.model else "eval_fun"
        accepted = _Parameters(function)
        if accepted.take(inputs):
            return
        n = len(inputs)
        what = " and ".join(_described(batch, i) for i in range(n))
        has = f"data has {n} input{'s' if n > 1 else ''}, {what}, but {name} takes "
        if n > accepted.n_required:
            advice = (
                "pass x alone if the others are labels, or an eval_fun that takes "
                "them all: eval_fun=lambda x, t: ..."
            )
        else:
            advice = "pass a tuple of arrays, one for each"
        raise TypeError(f"{has}{accepted}: {advice}")


def _requires_just(function: Callable[..., Any], n_input: int) -> bool:
    """Tell whether a function has as many parameters without a default as inputs.

    It sees that of plain functions and methods, and of objects whose class has such a
    ``__call__``, in a small part of the time that their signature takes.
    """
    if not isinstance(function, (FunctionType, MethodType, type)):
        function = function.__call__  # type: ignore[operator]
    is_method = inspect.ismethod(function)
    plain: Any = getattr(function, "__func__", None) if is_method else function
    if type(plain) is not FunctionType:
        return False
    if hasattr(plain, "__wrapped__") or hasattr(plain, "__signature__"):
        return False
    n_default = len(plain.__defaults__ or ())
    return plain.__code__.co_argcount - is_method - n_default == n_input


class _Parameters:
    """The parameters of a function that it can be given by position.

    Args:
        function (callable): A function, or anything else that can be called.

    Attributes:
        n_required (int): How many have no default.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        owner = getattr(function, "__self__", function)
        self._is_of_link = isinstance(owner, chainer.Link)
        self._signature: inspect.Signature | None = None
        self.n_required = 0
        with contextlib.suppress(TypeError, ValueError):  # some of C have no signature
            self._signature = inspect.signature(function)
            self.n_required = sum(p.default is p.empty for p in self._by_position())

    def __str__(self) -> str:
        known = [p for p in self._by_position() if not self._is_switch(p)]
        some = "" if len(known) == self.n_required else "at least "
        return f"{some}{self.n_required} ({', '.join(p.name for p in known)})"

    def take(self, inputs: Sequence[Any]) -> bool:
        """Tell whether inputs can be passed, as far as that can be known."""
        if self._signature is None:
            return True
        parameters = self._signature.parameters.values()
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            return True  # the model has to say what it misses
        known = self._by_position()
        is_open = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        if len(inputs) < self.n_required or (len(inputs) > len(known) and not is_open):
            return False
        return not any(
            self._is_switch(p) and isinstance(x, chainer.get_array_types())
            for p, x in zip(known, inputs)
        )

    def _is_switch(self, parameter: inspect.Parameter) -> bool:
        """Tell whether a parameter of a link is one that no array is meant for."""
        return self._is_of_link and isinstance(parameter.default, (bool, int, str))

    def _by_position(self) -> list[inspect.Parameter]:
        assert self._signature is not None  # or there is nothing to ask
        return [
            p
            for p in self._signature.parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]


def first_called(called: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that gets the inputs of a model."""
    while isinstance(called, chainer.Sequential) and len(called):
        called = called[0]
    is_plain = type(called).__call__ is chainer.Link.__call__
    if isinstance(called, chainer.Link) and is_plain and hasattr(called, "forward"):
        forward: Callable[..., Any] = called.forward
        return forward
    return called


def _is_classifier(called: Any) -> bool:
    """Tell whether a model is Chainer's classifier, or is built like it."""
    names = ("predictor", "lossfun", "label_key")
    return isinstance(called, chainer.Link) and all(hasattr(called, n) for n in names)


def _described(batch: UserBatch, position: int) -> str:
    x = batch.inputs[position]
    if not isinstance(x, chainer.get_array_types()):
        return type(x).__name__
    return f"{x.dtype} {batch.shape_of_data(position)}"
