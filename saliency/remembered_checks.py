"""Checks of a function's inputs that need not be made twice.

``check_type_forward`` of most functions looks at shapes and dtypes, and at some numbers
among the attributes of the function. Where its code reads nothing else, what has passed
once passes again with the same.
"""

from __future__ import annotations

import builtins
import dis
import threading
import types
import weakref
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Callable

import numpy as np

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.array_types import Array

from chainer import FunctionNode
from chainer.functions.connection.convolution_2d import (
    Convolution2DFunction,
    Convolution2DGradW,
)
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.math import matmul
from chainer.functions.normalization import batch_normalization
from chainer.utils import conv, type_check

#: Functions that pass their own check of memory layouts where no input has one.
_PASS_WITHOUT_LAYOUTS = {
    function.check_layout_forward
    for function in (
        FunctionNode,
        Convolution2DFunction,
        Convolution2DGradW,
        Deconvolution2DFunction,
        batch_normalization.BatchNormalization,
        batch_normalization.BatchNormalizationGrad,
    )
}

# What a check may name and still depend on nothing but its arguments.
_MODULES = (type_check, conv, np, type_check.six)
_FUNCTIONS = (
    batch_normalization._compute_axis,
    batch_normalization._compute_key_axis,
    matmul._check_ndim,
    matmul._get_check_index,
    matmul._get_size,
)
_BUILTINS = (enumerate, len, max, min, range, str, tuple, zip)
_ATTRIBUTES = {
    *("shape", "dtype", "ndim", "size", "kind", "char", "itemsize"),
    *("expect", "eval", "_argname", "make_variable", "prod", "InvalidType"),
    *("expect_broadcast_shapes", "get_conv_outsize", "moves", "range", "format"),
    *("float16", "float32", "float64", "int32", "int64", "bool_"),
}
_STORES = (
    "STORE_ATTR",
    "STORE_GLOBAL",
    "STORE_SUBSCR",
    "DELETE_",
    "IMPORT_",
    "LOAD_NAME",
)
# Attributes of these types cannot change behind the back of who remembers them.
_PLAIN = (type(None), bool, int, float, str, type, np.dtype, np.generic)

#: So many passed checks of one class are remembered.
_MOST_REMEMBERED = 4096


class Checks:
    """What is known of the checks of one class of functions.

    Args:
        check (callable): The class's ``check_type_forward``.
        attributes (sequence of str or None): The function's attributes that the check
            reads; None if it may read anything.
        passes_without_layouts (bool): Whether the check of memory layouts passes where
            no input has one.
    """

    __slots__ = ("_check", "_passed", "_read", "passes_without_layouts")

    def __init__(
        self,
        check: Callable[..., None],
        attributes: Sequence[str] | None,
        passes_without_layouts: bool,
    ) -> None:
        self._check = None if attributes is None else check
        # Of one attribute alone there would be no tuple; every function has this one.
        self._read = attrgetter("is_elementwise", *attributes) if attributes else None
        self._passed: set[tuple[Any, ...]] = set()
        self.passes_without_layouts = passes_without_layouts

    def check_types(self, function: Any, arrays: tuple[Array, ...]) -> None:
        """Check inputs as the function does, if they have not passed before.

        Args:
            function (chainer.FunctionNode): A function of the class.
            arrays (tuple of numpy.ndarray or cupy.ndarray): Its inputs.

        Raises:
            chainer.utils.type_check.InvalidType: If the function does not take them.
        """
        check = self._check
        # Another check may have taken the place of the one that was looked at.
        if check is None or (
            getattr(function.check_type_forward, "__func__", None) is not check
        ):
            function._check_data_type_forward(arrays)
            return
        key: list[Any] = []
        for array in arrays:
            key.append(array.shape)
            key.append(array.dtype)
        values: tuple[Any, ...] = ()
        try:
            if self._read is not None:
                values = self._read(function)
                key.extend(values)
                key.extend(map(type, values))  # what is equal may be of another type
            whole = tuple(key)
            if whole in self._passed:
                return
        except (AttributeError, TypeError):  # there is no such attribute, or no hash
            function._check_data_type_forward(arrays)
            return
        function._check_data_type_forward(arrays)
        if all(map(_is_plain, values)):
            if len(self._passed) >= _MOST_REMEMBERED:
                self._passed.clear()
            self._passed.add(whole)


def checks_of(cls: Any) -> Checks:
    """Return the checks of a class of functions, kept for as long as the class is."""
    with _lock:
        checks = _checks_of_classes.get(cls)
        if checks is None:
            checks = _checks_of_classes[cls] = Checks(
                cls.check_type_forward,
                _attributes_read(cls),
                cls.check_layout_forward in _PASS_WITHOUT_LAYOUTS,
            )
        return checks


_checks_of_classes: weakref.WeakKeyDictionary[type, Checks] = (
    weakref.WeakKeyDictionary()
)
_lock = threading.Lock()


def _is_plain(value: Any) -> bool:
    """Tell whether a value always stays what it is."""
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _attributes_read(cls: Any) -> list[str] | None:
    """Return which attributes a class's check reads; None if it may read anything."""
    check = cls.check_type_forward
    is_own = cls._check_data_type_forward is FunctionNode._check_data_type_forward
    if not (is_own and isinstance(check, types.FunctionType)):
        return None
    try:
        return sorted(set(_read_by(check)))
    except _ReadsMore:
        return None


class _ReadsMore(Exception):
    """A check may depend on more than on its arguments."""


def _read_by(check: types.FunctionType) -> Iterator[str]:
    """Yield the attributes of ``self`` that a check reads.

    Raises:
        _ReadsMore: If it names, stores or calls anything that is not known to depend
            on its arguments alone.
    """
    code = check.__code__
    if code.co_freevars or code.co_cellvars or not code.co_varnames:
        raise _ReadsMore
    self = code.co_varnames[0]
    was_self = False
    for instruction in _instructions(code):
        name, value = instruction.opname, instruction.argval
        is_attribute = name in ("LOAD_ATTR", "LOAD_METHOD")
        if was_self:
            if not is_attribute:
                raise _ReadsMore
            yield value
        elif is_attribute:
            if value not in _ATTRIBUTES:
                raise _ReadsMore
        elif name == "LOAD_GLOBAL":
            if not _is_pure(check.__globals__, value):
                raise _ReadsMore
        elif name.startswith(_STORES):
            raise _ReadsMore
        was_self = _loads(self, name, value)


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """Yield the instructions of a function, and of the functions within it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname not in ("EXTENDED_ARG", "CACHE"):
            yield instruction
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _instructions(constant)


def _loads(self: str, opname: str, argval: Any) -> bool:
    """Tell whether an instruction leaves ``self`` on top of the stack.

    Python 3.13 loads two variables in one instruction.

    Raises:
        _ReadsMore: If it does anything else with it.
    """
    names = argval if isinstance(argval, tuple) else (argval,)
    if "FAST" not in opname or self not in names:
        return False
    if names.count(self) > 1 or names[-1] != self or "LOAD_FAST" not in opname:
        raise _ReadsMore
    return True


def _is_pure(namespace: dict[str, Any], name: str) -> bool:
    """Tell whether a global name means something that depends on nothing."""
    value = namespace.get(name, getattr(builtins, name, None))
    return any(value is one for one in (*_MODULES, *_FUNCTIONS, *_BUILTINS))
