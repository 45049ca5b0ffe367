"""The multipliers of every kind of functions, found as their relevance is.

The kinds are those of :mod:`saliency.lrp.registry`; functions of one kind for relevance
may differ here, so that classes come first. A subclass is treated as its base.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Callable, Optional, TypeVar

import numpy as np

from saliency.array_types import Array
from saliency.deep_lift.pair import Pair
from saliency.lrp.graph import function_of
from saliency.lrp.handlers.refusals import Refusal
from saliency.lrp.registry import kind_of

import chainer

#: The multiplier of each input of a function, None for those that have none.
Multipliers = Sequence[Optional[Array]]
#: ``handler(pair)`` returns them.
Handler = Callable[[Pair], Multipliers]

_AnyHandler = TypeVar("_AnyHandler", bound=Handler)

_of_kinds: dict[str, Handler] = {}
_of_classes: dict[type, Handler] = {}
_registered: dict[type, Handler] = {}

#: The handler of each kind, and of the classes that have one of their own.
HANDLER_OF_KIND = MappingProxyType(_of_kinds)
HANDLER_OF_CLASS = MappingProxyType(_of_classes)


def multiplies(*whose: str | type) -> Callable[[_AnyHandler], _AnyHandler]:
    """Declare that the decorated function gives the multipliers of functions.

    Args:
        whose (str or type): Kinds by name, and classes that differ from their kind.

    Raises:
        ValueError: If one of them has a handler already.
    """

    def declare(handler: _AnyHandler) -> _AnyHandler:
        for one in whose:
            if one in _of_kinds or one in _of_classes:
                raise ValueError(f"{one!r} must be declared once, got it again")
            if isinstance(one, str):
                _of_kinds[one] = handler
            else:
                _of_classes[one] = handler
        return handler

    return declare


def register_multipliers(function_class: type, handler: Handler) -> None:
    """Say which multipliers a function of yours has, from now on.

    A function that is of a kind (:func:`saliency.lrp.register_handler`) has those of
    its kind. This is for functions that are of none.

    Args:
        function_class (type): A subclass of :class:`chainer.FunctionNode` or
            :class:`chainer.Function`; it counts for its subclasses, too.
        handler (callable): ``handler(pair)`` returns the multiplier of each input, in
            its shape, None for zero; ``pair`` is a
            :class:`~saliency.deep_lift.pair.Pair`. Multipliers times differences of the
            inputs must add up to those of the outputs.

    Raises:
        TypeError: If ``function_class`` is no class of functions, or ``handler`` not
            callable.
    """
    bases = (chainer.FunctionNode, chainer.Function)
    if not (isinstance(function_class, type) and issubclass(function_class, bases)):
        raise TypeError(
            f"function_class must be a class of functions, got {function_class!r}"
        )
    if not callable(handler):
        raise TypeError(f"handler must be a callable, got {handler!r}")
    _registered[function_class] = handler


def multipliers_of(pair: Pair) -> list[Array | None]:
    """Return the multipliers of the inputs of a function, None for zero.

    Raises:
        ValueError: If nothing is known of the function, or it has none.
    """
    return _checked(pair, _handler_of(pair)(pair))


def _handler_of(pair: Pair) -> Handler:
    cls = type(function_of(pair.at_x.function))
    for base in cls.__mro__:
        for handlers in (_registered, _of_classes):
            if base in handlers:
                return handlers[base]
    kind = kind_of(pair.at_x.function)
    if kind is not None and isinstance(kind.handler, Refusal):
        raise ValueError(
            f"no contribution goes through {pair.label}: {kind.handler.reason}"
        )
    if kind is None or kind.name not in _of_kinds:
        raise ValueError(_advice(pair, cls.__name__))
    return _of_kinds[kind.name]


def _advice(pair: Pair, name: str) -> str:
    """Return what to do about a function that nothing is known of."""
    return (
        f"nothing is known of the multipliers of {pair.label}. If it is of one of the "
        "kinds that docs/deep_lift_functions.md lists ('elementwise', 'routing', "
        f"'pooling', ...), say so by saliency.lrp.register_handler({name}, kind). If "
        "not, register what returns the multiplier of each input: "
        f"saliency.deep_lift.register_multipliers({name}, handler). Or let the model "
        "call a function of Chainer for each step"
    )


def _checked(pair: Pair, multipliers: Any) -> list[Array | None]:
    """Return them as arrays of their inputs' dtypes."""
    result = [
        None if m is None else pair.xp.asarray(m).astype(_dtype_at(x), copy=False)
        for m, x in zip(multipliers, pair.inputs)
    ]
    shapes = [x.shape for x in pair.inputs]
    found = [None if m is None else m.shape for m in result]
    fits = all(f in (None, shape) for f, shape in zip(found, shapes))
    if not fits or len(multipliers) != len(shapes):
        raise ValueError(
            f"the multipliers of {pair.label} must be None or of its shape for each "
            f"input; the shapes are {shapes}, got {found}"
        )
    return result


def _dtype_at(x: Array) -> np.dtype:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
