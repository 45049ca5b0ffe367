"""What is done with relevance at a function, found by its class.

A *kind* names what is done. The handler of a kind declares, where it is defined, which
function classes of Chainer are of it (:func:`handles`); :func:`register_handler` adds
those of the user. A subclass is of the kind of its base.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Callable, TypeVar, Union

from saliency.array_types import Array
from saliency.lrp.affine import channel_axes, channel_scaling, is_linear_layer
from saliency.lrp.graph import Application, InputRelevance, function_of
from saliency.lrp.rules import MaximumRule, SumRule, Taylor

import chainer

#: ``handler(this, rule)`` returns the relevance of each input of an application.
#: What it returns for an input that does not depend on the target stays there, as with
#: a bias. The rule is None where the kind takes none, or where nobody gave one.
Handler = Callable[[Application, Any], InputRelevance]

#: What a function may get as a rule, and the class of the rules that a kind takes.
AnyRule = Union[SumRule, MaximumRule, Taylor]
RuleClass = Union[type[SumRule], type[MaximumRule], type[Taylor]]

_AnyHandler = TypeVar("_AnyHandler", bound=Handler)


@dataclass(frozen=True)
class Kind:
    """What is done with relevance at some functions.

    Attributes:
        name (str): How users call it, in ``by_kind`` and in :func:`register_handler`.
        handler (callable): Does it; see :data:`Handler`.
        rule (type or None): The class of the rules that a composite may give it:
            :class:`~saliency.lrp.rules.SumRule` or
            :class:`~saliency.lrp.rules.MaximumRule`; or
            :class:`~saliency.lrp.rules.Uniform` or
            :class:`~saliency.lrp.rules.Taylor`, if it also has an answer without a
            rule. None if it takes none.
        has_weights (bool): Whether it is a layer with weights.
        is_gate (bool): Whether it gives shares from 0 to 1, which get no relevance
            where they multiply a signal.
        keeps_gates (bool): Whether a gate is still one behind it.
        hint (str): For which functions of a user it is the kind to choose; empty if it
            fits none but Chainer's own.
    """

    name: str
    handler: Handler
    rule: RuleClass | None = None
    has_weights: bool = False
    is_gate: bool = False
    keeps_gates: bool = False
    hint: str = ""

    @property
    def what_is_done(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")


_kinds: dict[str, Kind] = {}
_declared: dict[type, Kind] = {}
_registered: dict[type, Kind] = {}

#: Every kind by its name, and the kind of each function class of Chainer.
KINDS: Mapping[str, Kind] = MappingProxyType(_kinds)
KIND_OF_CLASS: Mapping[type, Kind] = MappingProxyType(_declared)


def handles(
    kind: str,
    *classes: type,
    rule: RuleClass | None = None,
    has_weights: bool = False,
    is_gate: bool = False,
    keeps_gates: bool = False,
    hint: str = "",
) -> Callable[[_AnyHandler], _AnyHandler]:
    """Declare that the decorated handler is that of a kind of functions.

    Args:
        kind (str): The name of the kind.
        classes (type): The function classes of Chainer that are of this kind.
        rule (type or None): The class of the rules that it takes, if any.
        has_weights (bool): Whether it is a layer with weights.
        is_gate (bool): Whether it gives shares from 0 to 1.
        keeps_gates (bool): Whether a gate is still one behind it.
        hint (str): For which functions of a user it is the kind to choose.

    Returns:
        callable: The decorator; it returns the handler as it is.

    Raises:
        ValueError: If the kind, or the kind of a class, has been declared before.
    """

    def declare(handler: _AnyHandler) -> _AnyHandler:
        if kind in _kinds:
            raise ValueError(f"kind must be declared once, got {kind!r} again")
        new = Kind(kind, handler, rule, has_weights, is_gate, keeps_gates, hint)
        for cls in classes:
            if cls in _declared:
                raise ValueError(
                    f"classes must be of one kind each, but {cls.__name__} is declared "
                    f"as {_declared[cls].name!r} and as {kind!r}"
                )
            _declared[cls] = new
        _kinds[kind] = new
        return handler

    return declare


def register_handler(function_class: type, handler: Handler | str) -> None:
    """Say what is done with relevance at a function of yours, from now on.

    Args:
        function_class (type): A subclass of :class:`chainer.FunctionNode` or
            :class:`chainer.Function`; it counts for its subclasses, too.
        handler (str or callable): The kind of the function, one of those in
            ``docs/lrp_functions.md``: ``'elementwise'``, ``'routing'``,
            ``'pooling'``, ... Or ``handler(this, rule)``, which returns the relevance
            of each input, None for those that get none; ``this`` is an
            :class:`~saliency.lrp.graph.Application`, and ``rule`` is None.

    Raises:
        TypeError: If ``function_class`` is no class of functions, or ``handler`` is
            neither a name nor a callable.
        ValueError: If there is no such kind.
    """
    bases = (chainer.FunctionNode, chainer.Function)
    if not (isinstance(function_class, type) and issubclass(function_class, bases)):
        raise TypeError(
            f"function_class must be a class of functions, got {function_class!r}"
        )
    if isinstance(handler, str):
        if handler not in _kinds:
            raise ValueError(
                f"handler must be one of {', '.join(map(repr, _kinds))}, or a "
                f"callable; got {handler!r}"
            )
        _registered[function_class] = _kinds[handler]
    elif callable(handler):
        _registered[function_class] = _with_handler(function_class, handler)
    else:
        raise TypeError(
            f"handler must be the name of a kind or a callable, got {handler!r}"
        )


def _with_handler(function_class: type, handler: Handler) -> Kind:
    """Return the kind of a class whose relevance is the user's affair.

    A gate stays a gate: what the function gives is the same as before.
    """
    before = _kind_of_class(function_class) or Kind("registered", handler)
    return replace(
        before, name="registered", handler=handler, rule=None, has_weights=False
    )


def kind_of(function: chainer.FunctionNode) -> Kind | None:
    """Return the kind of a function node, None if nothing is known of its class.

    The kind of a function with a handler of the user's has the name ``'registered'``.
    """
    return _kind_of_class(type(function_of(function)))


def _kind_of_class(function_class: type) -> Kind | None:
    for cls in function_class.__mro__:
        if cls in _registered:
            return _registered[cls]
        if cls in _declared:
            return _declared[cls]
    return None


def kind_at(this: Application) -> Kind | None:
    """Return the kind of a function where it is applied; see :func:`kind_of`.

    A matrix product with a parameter is a linear layer there.
    """
    kind = kind_of(this.function)
    if kind is _kinds.get("matrix product") and is_linear_layer(this):
        return _kinds["linear"]
    return kind


def handle(this: Application, rule: AnyRule | None) -> InputRelevance:
    """Return the relevance of the inputs of a function.

    Args:
        this (Application): The function.
        rule (SumRule, MaximumRule, Taylor or None): The rule that it got, if any.

    Raises:
        ValueError: If relevance has no meaning there, or nothing is known of it.
    """
    kind = kind_of(this.function)
    if kind is None:
        raise ValueError(_advice(this))
    is_taken = kind.rule is not None and isinstance(rule, kind.rule)
    return _checked(this, kind.handler(this, rule if is_taken else None))


def is_part_of(upper: Application, lower: Application) -> bool:
    """Tell whether ``upper`` is one with the linear layer or convolution ``lower``.

    That is so for batch normalization, scales and biases of channels, one behind the
    other.
    """
    kind = kind_at(lower)
    if kind is None or not kind.has_weights:
        return False
    axes = channel_axes(lower)
    return axes is not None and channel_scaling(upper, axes[1]) is not None


def _advice(this: Application) -> str:
    """Return what to do about a function that nothing is known of."""
    name = type(function_of(this.function)).__name__
    hints = [f"  {kind.name!r}: {kind.hint}" for kind in _kinds.values() if kind.hint]
    return "\n".join(
        [
            f"nothing is known of relevance at {this.label}. Register it with "
            f"saliency.lrp.register_handler({name}, kind), where kind says what the "
            "function gives:",
            *hints,
            "If it gives something else, or does several of these at once, register a "
            "handler of yours, which returns the relevance of each input: "
            f"register_handler({name}, handler). Or let the model call a function of "
            "Chainer for each step",
        ]
    )


def _checked(this: Application, relevance: InputRelevance) -> list[Array | None]:
    """Return it as arrays; arithmetic makes numbers of arrays without axes."""
    result = [r if r is None else this.xp.asarray(r) for r in relevance]
    found = [r if r is None else r.shape for r in result]
    shapes = [x.shape for x in this.inputs]
    fits = all(f in (None, shape) for f, shape in zip(found, shapes))
    if not fits or len(found) != len(shapes):
        raise ValueError(
            f"the handler of {this.label} must return None or relevance of its shape "
            f"for each input; the shapes are {shapes}, got {found}"
        )
    return result
