"""The links that a callable is going to run, as far as one can see from outside."""

from __future__ import annotations

import functools
import inspect
import sysconfig
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import chainer

_LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")
)


def links_within(*called: Any) -> list[chainer.Link]:
    """Return the outermost links that callables refer to, each once.

    These are the callables themselves, and what they hold: as an object of a bound
    method, as an argument of ``functools.partial``, in a closure, a default or an
    attribute, or as a global name of the user's own functions.
    """
    found: dict[int, chainer.Link] = {}
    seen: set[int] = set()
    waiting = list(called)
    while waiting:
        value = waiting.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, chainer.Link):
            found[id(value)] = value
        else:
            waiting.extend(_held_by(value))
    return list(found.values())


def _held_by(value: Any) -> Iterator[Any]:
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif inspect.ismethod(value):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, FunctionType):
        yield from _held_by_function(value)
    elif type(value) in (list, tuple, set):
        yield from value
    elif type(value) is dict:
        yield from value.values()
    elif _is_of_the_user(value):
        yield from vars(value).values()


def _held_by_function(function: FunctionType) -> Iterator[Any]:
    if function.__code__.co_filename.startswith(_LIBRARIES):
        return
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty as yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]


def _names(code: CodeType) -> Iterator[str]:
    """Give the global names that a function uses, and those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_of_the_user(value: Any) -> bool:
    """Tell whether a value is an object that can be called, of a class of the user."""
    cls = type(value)
    if not (callable(value) and hasattr(value, "__dict__")) or isinstance(value, type):
        return False
    call = getattr(cls.__call__, "__code__", None)
    return call is not None and not call.co_filename.startswith(_LIBRARIES)
