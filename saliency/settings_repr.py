"""How objects print that consist of the settings given to their constructor."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from typing import Any

_LONGEST = 200  # characters; of what is longer, the name of its class is printed
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def repr_of_settings(settings: Any, always: Collection[str] = ()) -> str:
    """Return the call of the constructor that makes an equal object.

    Every parameter of the constructor must be an attribute of the same name; what is
    set later is printed as well. Arguments without a default are printed by position,
    and of the others those that differ from their default, by name. Functions and
    classes are printed by their name, and everything else by its own `repr`, on one
    line, if that is short and without an address in memory; else by its class.
    Variadic parameters (``*args``, ``**kwargs``) are left out.

    Args:
        settings: The object. If its class has a ``__signature__``, that is the
            constructor's.
        always (collection of str): Arguments that are printed at their default, too.

    Returns:
        For example ``"Occlusion(model, size=3)"``. Evaluating it makes an equal object
        as far as the representations of the values allow that: NumPy shortens those of
        large arrays, for example.

    Raises:
        AttributeError: A parameter is not an attribute.

    Example:
        >>> class Bars:
        ...     def __init__(self, height, color="grey", scaler=None):
        ...         self.height, self.color, self.scaler = height, color, scaler
        >>> bars = Bars(0.5, scaler=abs)
        >>> repr_of_settings(bars)
        'Bars(0.5, scaler=abs)'
        >>> bars.color = "red"
        >>> repr_of_settings(bars)
        "Bars(0.5, color='red', scaler=abs)"
    """
    arguments = []
    for name, parameter in inspect.signature(type(settings)).parameters.items():
        if parameter.kind in _VARIADIC:
            continue
        value = getattr(settings, name)
        if name not in always and _is_default(value, parameter.default):
            continue
        text = text_of(value)
        arguments.append(text if _is_by_position(parameter) else f"{name}={text}")
    return f"{type(settings).__name__}({', '.join(arguments)})"


def _is_by_position(parameter: inspect.Parameter) -> bool:
    is_required = parameter.default is parameter.empty
    return is_required and parameter.kind is not parameter.KEYWORD_ONLY


def _is_default(value: Any, default: Any) -> bool:
    # By their text, since == of two arrays is an array, and NaN does not equal itself.
    return value is default or (
        type(value) is type(default) and repr(value) == repr(default)
    )


def text_of(value: Any) -> str:
    """Return a value as :func:`repr_of_settings` prints it."""
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    if callable(value) and isinstance(name, str):
        return name
    if type(value) in (list, tuple):
        inner = ", ".join(map(text_of, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    text = re.sub(r"\s*\n\s*", " ", repr(value))
    # The default of Python is an address, which differs between equal objects.
    is_readable = len(text) <= _LONGEST and " at 0x" not in text
    return text if is_readable else f"<{type(value).__qualname__}>"
