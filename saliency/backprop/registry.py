"""The vector-Jacobian product of each function class, and what becomes of its memory.

A vector-Jacobian product takes the gradient at a function's outputs to its inputs, as
arrays. The decorator :func:`vjp` says, where a product is written, for which function
classes of Chainer it is, and to whom the memory of its result belongs.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional, TypeVar

import numpy as np

import saliency.chainer_compat  # noqa: F401 (makes Chainer importable)
from saliency.array_types import Array
from saliency.backprop.gradient import Gradient
from saliency.replaced_methods import stands_for

import chainer
from chainer.backend import get_array_module

#: Gradients at the inputs that were asked for, in their order, as arrays or as
#: :class:`Gradient`; None for zero.
InputGradients = Sequence[Any]
#: ``product(step)`` returns them, or None for what it leaves to Chainer's ``backward``.
Product = Callable[["Step"], Optional[InputGradients]]

_AnyProduct = TypeVar("_AnyProduct", bound=Product)


class Memory(enum.Enum):
    """To whom the memory of a product's result belongs.

    Attributes:
        NEW: To the walk alone. It is new, or that of a gradient which the walk owned
            and which the product was free to work in.
        PASSED_ON: To whom the output gradients belong: results are views of them, and
            no two results of one product share an element. One and the same array
            may be returned several times.
        SHARED: To others as well, or its elements share memory with each other.
    """

    NEW = enum.auto()
    PASSED_ON = enum.auto()
    SHARED = enum.auto()


class Step:
    """One function on the way back, as its product sees it.

    Args:
        function (chainer.FunctionNode): The function.
        indexes (tuple of int): Which of its inputs are on the way to a target, sorted.
            Gradients of no others are computed.
        gradients (list of Gradient or None): At its outputs; None is zero.

    Attributes:
        before (Gradient or None): What has been found at the input so far, for products
            that add it to theirs.
    """

    __slots__ = ("before", "function", "gradients", "indexes")

    def __init__(
        self,
        function: chainer.FunctionNode,
        indexes: tuple[int, ...],
        gradients: list[Gradient | None],
    ) -> None:
        self.function = function
        self.indexes = indexes
        self.gradients = gradients
        self.before: Gradient | None = None

    @property
    def gradient(self) -> Gradient:
        """The gradient at the output, for functions with one output."""
        (gradient,) = self.gradients
        assert gradient is not None  # nothing would have led here
        return gradient

    @property
    def gy(self) -> Array:
        """The array of the gradient at the output, for functions with one output."""
        return self.gradients[0].array  # type: ignore[union-attr]

    @property
    def gys(self) -> list[Array | None]:
        """The arrays of the gradients at the outputs; None is zero."""
        return [None if g is None else g.array for g in self.gradients]

    @property
    def xp(self) -> Any:
        """The array module, NumPy or CuPy."""
        for gradient in self.gradients:
            if gradient is not None and not isinstance(gradient.raw, np.ndarray):
                return get_array_module(gradient.raw)
        return np

    def shape(self, i: int) -> tuple[int, ...]:
        """Return the shape of an input, which need not have been kept."""
        shape: tuple[int, ...] = self.function.inputs[i].shape
        return shape

    def dtype(self, i: int) -> np.dtype:
        """Return the dtype of an input, which need not have been kept."""
        dtype: np.dtype = self.function.inputs[i].dtype
        return dtype

    def x(self, i: int = 0) -> Array:
        """Return the array of an input that the function has retained."""
        return _array_of(self.function.inputs[i])

    def y(self, i: int = 0) -> Array:
        """Return the array of an output that the function has retained."""
        function = self.function
        node = function.outputs[i]()
        if node is not None:
            return _array_of(node)
        # The node is gone, too; the function itself still has its array.
        kept = dict(
            zip(function._output_indexes_to_retain, function._retained_output_data)
        )
        return kept[i]

    def at(self, *by_input: Callable[[], Any]) -> list[Any]:
        """Return what the functions of the inputs that are asked for return."""
        return [by_input[i]() for i in self.indexes]

    def workspace(self, dtype: np.dtype | None = None) -> Array | None:
        """Return the output's gradient if the product may write into it, else None.

        Args:
            dtype (numpy.dtype or None): Which dtype is to be written; the gradient's
                own if None.
        """
        gradient = self.gradient
        if not gradient.is_owned or dtype not in (None, gradient.array.dtype):
            return None
        return gradient.array


def _array_of(node: Any) -> Array:
    """Return the array of a variable, or what its node has retained of it.

    A parameter has one node in all graphs, which has retained what the parameter was
    in the last of them, of whatever thread.
    """
    variable = node.get_variable_or_none()
    return node.data if variable is None else variable.array


def applied(function: chainer.FunctionNode, *arrays: Array) -> InputGradients:
    """Return what the forward pass of a function gives, without Variables."""
    result: InputGradients = function.forward(arrays)
    return result


class Known(NamedTuple):
    """What is known of a function class.

    Attributes:
        product (callable): Its vector-Jacobian product.
        memory (Memory): To whom the memory of what it returns belongs.
        backward (callable): The class's ``backward`` that it stands for.
        adds (bool): Whether it adds what has been found at its only input that is asked
            for, :attr:`Step.before`.
    """

    product: Product
    memory: Memory
    backward: Any
    adds: bool


_known: dict[type, Known] = {}


def vjp(
    *classes: Any, memory: Memory, adds: bool = False
) -> Callable[[_AnyProduct], _AnyProduct]:
    """Declare that the decorated function is the product of function classes.

    It is called within ``chainer.no_backprop_mode()``. It may write into the gradient
    that :meth:`Step.workspace` returns, and into nothing else that it has not made.

    Args:
        classes (type): The function classes; their subclasses do not count.
        memory (Memory): To whom the memory of what it returns belongs.
        adds (bool): Whether it adds :attr:`Step.before`, where one input is asked for.

    Returns:
        callable: The decorator; it returns the function as it is.

    Raises:
        ValueError: If a class has a product already.
    """

    def declare(product: _AnyProduct) -> _AnyProduct:
        for cls in classes:
            if cls in _known:
                raise ValueError(
                    f"classes must have one product each, got {cls.__name__} again"
                )
            _known[cls] = Known(product, memory, stands_for(cls.backward), adds)
        return product

    return declare


def known_of(function: chainer.FunctionNode) -> Known | None:
    """Return what is known of a function, None if that is Chainer's affair.

    A subclass is a class of its own, and a function whose ``backward`` somebody has
    replaced is not the one that the product was written for. The blocks of this
    package that replace it compute the same.
    """
    known = _known.get(type(function))
    if known is None:
        return None
    backward: Any = getattr(function.backward, "__func__", None)
    return known if stands_for(backward) is known.backward else None


def classes_with_products() -> frozenset[type]:
    """Return the function classes that have a product."""
    return frozenset(_known)
