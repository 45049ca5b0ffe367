"""Classes whose constructor takes the settings that the class declares."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar, cast

from saliency.checks import annotated_check
from saliency.settings_repr import repr_of_settings

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:  # what type checkers read needs no package when the code runs

    def dataclass_transform(**how: Any) -> Any:
        """Return a decorator that leaves a class as it is."""
        return lambda cls: cls


_MISSING = inspect.Parameter.empty
Function = TypeVar("Function", bound=Callable[..., Any])


class _Positional:
    """Marks a setting that may be given by position, and holds its default."""

    def __init__(self, default: Any) -> None:
        self.default = default


def positional(*, default: Any = _MISSING, kw_only: bool = False) -> Any:
    """Declare a setting that may be given by position.

    A subclass that declares one of its bases' settings so puts it after those that
    may be given by position so far.

    Args:
        default: Its default value; without one it has to be given.
        kw_only (bool): Always False; type checkers read it here.
    """
    return _Positional(default)


@dataclass_transform(kw_only_default=True, field_specifiers=(positional,))
class Configured:
    """The base of classes that declare their settings, as dataclasses do.

    An annotated attribute of a class is a setting: an argument of the constructor, by
    keyword unless it is declared as :func:`positional`, and an attribute of the object
    that may be changed later. A subclass adds its settings to those of its bases, so
    that each is written once, and ``help``, completion and type checkers show all of
    them with their defaults. Annotations as ``ClassVar`` are no settings.

    :meth:`check` is called when an object has been made; who uses settings calls it
    again, since they may have been changed.
    """

    __signature__: ClassVar[inspect.Signature]
    _declared: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared = cls._declare()
        cls.__signature__ = _signature_of(cls)

    def __init__(self, *args: Any, **settings: Any) -> None:
        given = bind(type(self).__name__, self._declared, args, settings)
        vars(self).update(given)
        self.check()

    @classmethod
    def _declare(cls) -> inspect.Signature:
        """Return the arguments of the constructor, as the class declares them."""
        return _declared_by(cls)

    def check(self) -> None:
        """Raise if a setting has a value that is not allowed."""

    def settings(self) -> dict[str, Any]:
        """Return all arguments of the constructor with their present values."""
        return {
            name: getattr(self, name) for name in type(self).__signature__.parameters
        }

    def replace(self, **changes: Any) -> Self:
        """Return an object like this one, with some settings changed.

        Args:
            changes: The settings that differ, by name.

        Raises:
            TypeError: If there is no such setting.
        """
        return type(self)(**{**self.settings(), **changes})

    def __repr__(self) -> str:
        return repr_of_settings(self)


def bind(
    name: str,
    signature: inspect.Signature,
    args: Iterable[Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of a call by name, with defaults filled in.

    Raises:
        TypeError: If one is missing, given twice, or has a name that does not exist.
    """
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    unknown = [k for k in settings if not takes_any and k not in signature.parameters]
    if unknown:
        near = difflib.get_close_matches(unknown[0], signature.parameters, 1)
        known = f"it takes {', '.join(signature.parameters)}"
        raise TypeError(
            f"{name} takes no argument {unknown[0]!r}; "
            + (f"did you mean {near[0]!r}?" if near else known)
        )
    try:
        bound = signature.bind(*args, **settings)
    except TypeError as reason:
        raise TypeError(f"{name}: {reason}") from None
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(parameter.name))
    return arguments


def _plain_binding(
    signature: inspect.Signature,
) -> Callable[[tuple[Any, ...], Mapping[str, Any]], dict[str, Any] | None]:
    """Return what :func:`bind` does, for calls in which nothing is wrong.

    It takes a small part of the time, and returns None where there is more to say.
    """
    parameters = signature.parameters.values()
    by_position = [p.name for p in parameters if p.kind is _BY_POSITION]
    by_name = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    defaults = {p.name: p.default for p in parameters}
    is_plain = [*by_position, *by_name] == list(defaults)

    def bind_plainly(
        args: tuple[Any, ...], settings: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        given = dict(zip(by_position, args))
        n_given = len(given) + len(settings)
        given.update(settings)
        arguments = {**defaults, **given}
        fits = len(args) <= len(by_position) and len(given) == n_given
        if is_plain and fits and len(arguments) == len(defaults):
            missing = any(value is _MISSING for value in arguments.values())
            return None if missing else arguments
        return None

    return bind_plainly


def names_typos(method: Function) -> Function:
    """Decorate a method: what it says of an unknown argument helps to find a typo."""
    return _with_signature(method, inspect.signature(method))


def takes_settings_of(
    other: Callable[..., Any], but: Iterable[str] = ()
) -> Callable[[Function], Function]:
    """Return a decorator for a method whose ``**settings`` are another one's arguments.

    Where the method is called, they are complete, with the defaults of the other one;
    its signature shows them, and its docstring has the other one's text for every
    argument that it does not describe itself.

    Args:
        other (callable): The method that has them written out. Its first two arguments
            are ``self`` and the data.
        but (iterable of str): Those of its arguments that the method does not take.
    """

    def decorate(method: Function) -> Function:
        own = inspect.signature(method)
        named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        taken = [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in list(inspect.signature(other).parameters.values())[2:]
            if p.name not in {*own.parameters, *but}
        ]
        decorated = _with_signature(method, own.replace(parameters=[*named, *taken]))
        decorated.__doc__ = _with_arguments(decorated, other)
        return decorated

    return decorate


def with_defaults(method: Function, **defaults: Any) -> Function:
    """Return a method some of whose arguments have other defaults."""
    signature = inspect.signature(method)
    parameters = [
        p.replace(default=defaults[p.name]) if p.name in defaults else p
        for p in signature.parameters.values()
    ]
    return _with_signature(method, signature.replace(parameters=parameters))


def _with_signature(method: Function, signature: inspect.Signature) -> Function:
    """Return a method that is called by a signature, which may have other defaults."""
    # A method that is decorated already has been given its arguments by what follows.
    function = inspect.unwrap(method)
    check = annotated_check(signature)
    bind_plainly = _plain_binding(signature)

    @functools.wraps(method)
    def call(*args: Any, **settings: Any) -> Any:
        arguments = bind_plainly(args, settings)
        if arguments is None:
            arguments = bind(f"{method.__name__}()", signature, args, settings)
        check(arguments)
        return function(**arguments)

    call.__signature__ = signature  # type: ignore[attr-defined]
    return cast(Function, call)


def _with_arguments(method: Callable[..., Any], other: Callable[..., Any]) -> str:
    """Return a method's docstring with what another one says of the same arguments."""
    before, own, after = _split_at_arguments(method)
    described = {**_split_at_arguments(other)[1], **own}
    names = [name for name in inspect.signature(method).parameters if name in described]
    return "\n".join(
        [*before, *(line for name in names for line in described[name]), *after]
    )


def _split_at_arguments(
    function: Callable[..., Any],
) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Return a docstring's lines before, within (by argument) and after ``Args:``."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    first = lines.index("Args:") + 1
    last = lines.index("", first) if "" in lines[first:] else len(lines)
    arguments: dict[str, list[str]] = {}
    for line in lines[first:last]:
        named = re.match(r" {4}(\w+)", line)
        if named:
            arguments[named[1]] = []
            name = named[1]
        arguments[name].append(line)
    return lines[:first], arguments, lines[last:]


_BY_POSITION = inspect.Parameter.POSITIONAL_OR_KEYWORD


def _declared_by(cls: type) -> inspect.Signature:
    """Return the settings that a class and its bases declare, as a signature."""
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(cls.__mro__):
        for name, annotation in _own_annotations(base).items():
            if name.startswith("_") or "ClassVar" in str(annotation):
                continue
            declared = base.__dict__.get(name, _MISSING)
            is_positional = isinstance(declared, _Positional)
            if is_positional:
                found.pop(name, None)  # declared again, it comes after those before
            found[name] = inspect.Parameter(
                name,
                _BY_POSITION if is_positional else inspect.Parameter.KEYWORD_ONLY,
                default=_default(cls, name),
                annotation=annotation,
            )
    ordered = sorted(found.values(), key=lambda parameter: parameter.kind)
    return inspect.Signature(ordered)


def _own_annotations(cls: type) -> dict[str, Any]:
    """Return the annotations of a class, without those of its bases."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.STRING)
    return dict(vars(cls).get("__annotations__", {}))


def _default(cls: type, name: str) -> Any:
    """Return the default of a setting, which a subclass may have changed."""
    for base in cls.__mro__:
        if name in base.__dict__:
            value = base.__dict__[name]
            return value.default if isinstance(value, _Positional) else value
    return _MISSING


def _signature_of(cls: type[Configured]) -> inspect.Signature:
    """Return the signature of a class's constructor."""
    for base in cls.__mro__:
        if base is Configured:
            return cls._declared
        if "__init__" in base.__dict__:
            signature = inspect.signature(base.__dict__["__init__"])
            return signature.replace(parameters=list(signature.parameters.values())[1:])
    raise TypeError(f"{cls.__name__} must be a subclass of Configured")
