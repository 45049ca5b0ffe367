"""Arrays of Variables that nobody else can change, for as long as they are held.

What has been put off is computed from the arrays that were there when it was asked for.
Nobody may have written into them meanwhile.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any

import numpy as np

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.light_apply import WatchedVariable

import chainer
from chainer.variable import Variable, VariableNode


class WithoutArray(WatchedVariable):
    """A Variable on a CPU, whose properties are known without its array."""

    def __copy__(self) -> Variable:
        self._data  # noqa: B018 (from here on it is an ordinary Variable)
        copied: Variable = self.__copy__()
        return copied

    def __len__(self) -> int:
        return self._node.shape[0]  # type: ignore[no-any-return]

    @property
    def shape(self) -> Any:
        """The shape of the array."""
        return self._node.shape

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self._node.shape)

    @property
    def size(self) -> int:
        """The number of its elements."""
        return int(np.prod(self._node.shape))

    @property
    def dtype(self) -> Any:
        """The dtype of the array."""
        return self._node.dtype

    @property
    def device(self) -> Any:
        """The CPU."""
        return chainer.backend.CpuDevice()


class HeldVariable(WithoutArray):
    """A Variable whose array nobody has but the graph.

    Where somebody asks for it, what is computed from it is computed before.
    """

    @property
    def _data(self) -> list[Any]:
        hold = self.__dict__["_hold"]()
        if hold is not None:
            hold.end()
        _let_go(self)
        return self._data

    def array_for(self, function: chainer.FunctionNode) -> np.ndarray:
        """Return the array; functions of Chainer do not write into it."""
        if type(function).__module__.startswith("chainer."):
            array: np.ndarray = self.__dict__["_data"][0]
            return array
        array = self._data[0]
        return array


class Hold:
    """Keeps an array as it is: read-only, and with nobody who could write into it.

    That is so until it is not referred to any more, or somebody asks the Variable for
    the array.

    Args:
        variable (chainer.Variable): What the array is of.

    Attributes:
        array (numpy.ndarray): The array.
        waiting (list): Weak references to what is computed from it, at the latest when
            somebody asks for the array; that has a method ``settle``.
    """

    __slots__ = ("__weakref__", "_variable", "array", "waiting")

    def __init__(self, variable: Variable) -> None:
        self.waiting: list[weakref.ref[Any]] = []
        self.array: np.ndarray = variable._data[0]
        self._variable = weakref.ref(variable)
        self.array.flags.writeable = False
        variable.__dict__["_hold"] = weakref.ref(self)
        variable.__class__ = HeldVariable

    def end(self) -> None:
        """Compute what is waiting, and let the array go."""
        for reference in self.waiting:
            waiting = reference()
            if waiting is not None:
                waiting.settle()
        self.waiting.clear()
        self._restore()

    def __del__(self) -> None:
        self._restore()

    def _restore(self) -> None:
        self.array.flags.writeable = True
        variable = self._variable()
        if variable is not None and type(variable) is HeldVariable:
            _let_go(variable)


def can_be_held(variable: Variable) -> bool:
    """Tell whether nobody but a Variable and its place in the graph has its array.

    That is neither the array nor a view of it, nor what its memory is of. Whoever asks
    must not refer to the array either.
    """
    if type(variable) is HeldVariable:
        return variable.__dict__["_hold"]() is not None
    return type(variable) is Variable and _has_array_alone(variable)


def hold(variable: Variable) -> Hold:
    """Return what keeps the array of a Variable as it is.

    Args:
        variable (chainer.Variable): A Variable that can be held.
    """
    if type(variable) is HeldVariable:
        found: Hold = variable.__dict__["_hold"]()
        return found
    return Hold(variable)


def _let_go(variable: Variable) -> None:
    """Make an ordinary Variable of one that was held."""
    variable.__dict__.pop("_hold", None)
    variable.__class__ = Variable


def _has_array_alone(variable: Variable) -> bool:
    node = variable._node
    if type(node) is not VariableNode:
        return False
    array = variable._data[0]
    if type(array) is not np.ndarray or not array.flags.writeable:
        return False
    n_in_graph = int(node._data is array)
    if node._creator_node is not None:
        for kept in node._creator_node._retained_output_data or ():
            n_in_graph += kept is array
            del kept
    del array
    of_list, of_array, *of_bases = _numbers_of_references(variable)
    return (
        of_list == _ALONE[0]
        and of_array == _ALONE[1] + n_in_graph
        and all(n == _ALONE[2] for n in of_bases)
    )


def _numbers_of_references(variable: Variable) -> list[int]:
    """Return how many references there are to what holds an array, as Python counts.

    That is to the list that holds it, to itself, and to what its memory is of: views of
    the same memory refer to that, too.
    """
    of_list: list[Any] = variable.__dict__["_data"]
    found = [sys.getrefcount(of_list), sys.getrefcount(of_list[0])]
    base = of_list[0].base
    while base is not None:
        found.append(sys.getrefcount(base))
        base = getattr(base, "base", None)
    return found


# Counted where there is nobody else: how Python counts depends on its version.
_ALONE = _numbers_of_references(Variable(np.empty(2)[:1]))
