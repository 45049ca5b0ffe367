"""Checks that calculators and rules share, and their messages."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Callable, TypeVar, cast

import numpy as np

from saliency.array_types import Array

Function = TypeVar("Function", bound=Callable[..., Any])

_SMALL = 4096  # elements; looking at each of so few takes no longer than a shortcut


def is_int(value: Any) -> bool:
    """Tell whether ``value`` is one integer, of Python or NumPy, and no bool."""
    if type(value) is int:
        return True
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "iu"
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is one real number, of Python or NumPy, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_finite(array: Array) -> bool:
    """Tell whether an array of any dtype holds neither NaN nor infinity."""
    if array.dtype.kind not in "fc":
        return True
    if isinstance(array, np.ndarray):
        if array.size <= _SMALL:
            return 0 not in np.isfinite(array).tobytes()  # faster than any reduction
        if array.flags.c_contiguous:
            flat = array.reshape(-1)
            with np.errstate(over="ignore", invalid="ignore"):
                # Twice as fast. The square of a finite array may be infinite, too.
                if np.isfinite(np.dot(flat, flat)):
                    return True
    return bool(np.isfinite(array).all())


def plain_array(name: str, value: Any) -> Any:
    """Return a masked array or a matrix of NumPy as an array; all else as it is.

    Args:
        name (str): What it is called in the message.
        value: What was given.

    Raises:
        ValueError: If an element is masked: it has no value.
    """
    if isinstance(value, np.matrix):  # of which a row has two axes
        return np.asarray(value)
    if not isinstance(value, np.ma.MaskedArray):
        return value
    is_masked = np.ma.getmaskarray(value)
    if is_masked.any():
        first = tuple(np.argwhere(is_masked)[0].tolist())
        raise ValueError(
            f"{name} must have a value for every element, but {is_masked.sum()} of "
            f"{value.size} are masked (first at {first}); fill them, or leave "
            "them out"
        )
    return value.data


def one_array(name: str, value: Any) -> np.ndarray:
    """Return a list, or anything else that NumPy makes an array of, as one.

    So is a sparse matrix of SciPy, of which NumPy makes an object.

    Raises:
        ValueError: If its parts are of different shapes.
    """
    if hasattr(value, "tocsr"):
        value = value.toarray()
    try:
        return np.asarray(value)
    except ValueError as error:
        shapes = [np.shape(part) for part in value]
        raise ValueError(
            f"{name} must be one array, got a {type(value).__name__} of "
            f"{len(shapes)} parts of different shapes: "
            f"{', '.join(map(str, shapes[:4]))}{', ...' if len(shapes) > 4 else ''}"
        ) from error


def check_bool(name: str, value: Any) -> None:
    """Raise a ValueError that names the parameter unless it is a bool, or 0 or 1."""
    is_bool = isinstance(value, (bool, np.bool_))
    if not (is_bool or (is_int(value) and value in (0, 1))):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def check_positive(name: str, value: Any, or_none: bool = False) -> None:
    """Raise a ValueError that names the parameter unless it is an int >= 1.

    Args:
        name (str): The parameter.
        value: What was given.
        or_none (bool): Whether None is allowed as well.
    """
    if or_none and value is None:
        return
    if not is_int(value) or value < 1:
        allowed = "an int >= 1 or None" if or_none else "an int >= 1"
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def check_at_least(name: str, value: Any, least: int) -> None:
    """Raise a ValueError that names the parameter unless it is a large enough int."""
    if not (is_int(value) and value >= least):
        raise ValueError(f"{name} must be an int >= {least}, got {value!r}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise a ValueError unless ``value`` is a number in ``[low, high]``."""
    if not (is_number(value) and low <= value <= high):
        raise ValueError(f"{name} must be a number in [{low}, {high}], got {value!r}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise a ValueError that lists the choices unless ``value`` is one of them."""
    choices = list(choices)
    if not (isinstance(value, str) and value in choices):
        raise no_choice(name, value, choices)


def no_choice(name: str, value: Any, choices: Iterable[str]) -> ValueError:
    """Return the error for a value that is none of the choices."""
    allowed = ", ".join(map(repr, choices))
    return ValueError(f"{name} must be one of {allowed}, got {value!r}")


def checked_text(name: str, value: Any) -> str:
    """Return a text, or raise a TypeError that names the parameter."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    return value


def check_callable(name: str, value: Any) -> None:
    """Raise a TypeError that names the parameter unless it can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {value!r}")


def checked_arguments(method: Function) -> Function:
    """Decorate a function: arguments annotated ``bool`` or ``str`` have to be that.

    Raises:
        TypeError, ValueError: With the name of the argument, before the function runs.
    """
    signature = inspect.signature(method)
    check = annotated_check(signature)

    @functools.wraps(method)
    def call(*args: Any, **arguments: Any) -> Any:
        bound = signature.bind(*args, **arguments)
        check(bound.arguments)
        return method(*args, **arguments)

    return cast(Function, call)


def annotated_check(
    signature: inspect.Signature,
) -> Callable[[Mapping[str, Any]], None]:
    """Return a check of arguments for the simple types that a signature asks for.

    Args:
        signature (inspect.Signature): Its annotations are texts, as in modules that
            begin with ``from __future__ import annotations``.

    Returns:
        callable: It is given arguments by name, and raises a TypeError or ValueError
        that names the first one of a wrong type. A default is allowed in any case.
    """
    checks = [
        (name, parameter.default, _CHECKS[parameter.annotation])
        for name, parameter in signature.parameters.items()
        if parameter.annotation in _CHECKS
    ]

    def check_arguments(arguments: Mapping[str, Any]) -> None:
        for name, default, check in checks:
            value = arguments.get(name, default)
            if value is not default:
                check(name, value)

    return check_arguments


def _check_text_or_none(name: str, value: Any) -> None:
    if not (value is None or isinstance(value, str)):
        raise TypeError(f"{name} must be a str or None, got {type(value).__name__}")


def _check_bool_or_none(name: str, value: Any) -> None:
    if value is not None:
        check_bool(name, value)


_CHECKS: dict[Any, Callable[[str, Any], Any]] = {
    "bool": check_bool,
    "bool | None": _check_bool_or_none,
    "str": checked_text,
    "str | None": _check_text_or_none,
}


def for_each_target(
    name: str, value: Any, n_target: int | None = None
) -> tuple[Any, ...]:
    """Return an argument about axes for each of several targets.

    A tuple that holds tuples or None is one for each; anything else is for all.

    Args:
        name (str): Name of the argument.
        value: The argument.
        n_target (int or None): How many targets there are, if that is known. If not,
            there is one element where it is for all.

    Raises:
        ValueError: If it is one for each of another number of targets.
    """
    is_tuple = isinstance(value, tuple)
    if not (is_tuple and any(one is None or isinstance(one, tuple) for one in value)):
        return (value,) * (n_target or 1)
    if n_target is not None and len(value) != n_target:
        raise ValueError(
            f"{name}={value!r} must be one for each of {n_target} targets, or one for "
            "all"
        )
    return tuple(value)


def narrowed(values: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
    """Return an array in a floating dtype that may be narrower than its own.

    Args:
        values (numpy.ndarray): Floating numbers.
        dtype (numpy.dtype): The dtype of the result.
        what (str): What messages call the values.

    Raises:
        ValueError: If a finite value is beyond the largest of ``dtype``.
    """
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        result = values.astype(dtype)
    if dtype.itemsize < values.dtype.itemsize:
        is_lost = np.isinf(result) & np.isfinite(values)
        if is_lost.any():
            wider = "float32" if dtype.itemsize == 2 else "float64"
            raise ValueError(
                f"{what} is {values[is_lost][0]:g}, but the largest number in {dtype} "
                f"is {np.finfo(dtype).max:g}; compute in {wider}, with a model and "
                f"data of that dtype, or aggregate samples.astype('{wider}')"
            )
    return result


def no_influence() -> ValueError:
    """Return the error for a target that the output does not depend on."""
    return ValueError(
        "the target has no influence on the output. Is it used by the model (or the "
        "eval_fun), and is the way between them free of .array, argmax and "
        "no_backprop_mode?"
    )
