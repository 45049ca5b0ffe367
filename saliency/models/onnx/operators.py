"""Operators, declared where they are written."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Callable, NamedTuple, TypeVar

import numpy as np

from saliency.array_types import Array

import chainer
from chainer.backends import cuda

#: NumPy's names of the types of numbers that both have, by ONNX's numbers of them.
DTYPES: Mapping[int, str] = MappingProxyType(
    {
        1: "float32",
        2: "uint8",
        3: "int8",
        4: "uint16",
        5: "int16",
        6: "int32",
        7: "int64",
        9: "bool",
        10: "float16",
        11: "float64",
        12: "uint32",
        13: "uint64",
    }
)


@dataclass(frozen=True)
class Node:
    """A node of a graph, as it is in the file.

    Attributes:
        name (str): The file's name of it, or that of its first output.
        type (str): The name of its operator.
        attributes (dict): As values of Python and NumPy.
        opset (int): The version of ONNX that the file is written in.
        constants (dict): Inputs that are known when the file is loaded, by position; no
            more once its link has them.
        fixed (frozenset of int): The positions of these.
        n_input (int): The number of its inputs; those that are left out count.
        n_output (int): The number of its outputs.
        proto (bytes): The node as ONNX writes it, with the names that
            :func:`~saliency.models.onnx.folding.evaluate` gives its inputs and outputs.
    """

    name: str
    type: str
    attributes: Mapping[str, Any]
    opset: int
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    fixed: frozenset[int] = frozenset()
    n_input: int = 0
    n_output: int = 1
    proto: bytes = b""


class Place(NamedTuple):
    """Where the batch is in an array.

    Attributes:
        axis (int): The axis; other things may be along it, too, if it was reshaped.
        inner (int): How many elements of this axis there are from one example to the
            next: 1 unless something else varies faster.
    """

    axis: int
    inner: int = 1


class Growth(NamedTuple):
    """By how much the batch is larger than the one that the file has been written for.

    Attributes:
        place (Place or None): Where the batch is in the first input that has it; None
            where that is not known.
        size (int): How many examples there are.
        written (int): How many the file was written for.
    """

    place: Place | None
    size: int
    written: int

    @property
    def axis(self) -> int | None:
        """The axis of the batch in that input, if it is known."""
        return None if self.place is None else self.place.axis


@dataclass(frozen=True)
class Call:
    """What an operator knows of its surroundings when it is applied.

    Attributes:
        node (Node): What it is applied for.
        xp (module): NumPy or CuPy.
        growth (Growth or None): How the batch differs from that of the file; None where
            the file leaves its size open, or it is the same.
        bodies (dict): The graphs within the node, by attribute, as functions: they take
            what the graph is given, and return a tuple of what it gives.
    """

    node: Node
    xp: Any
    growth: Growth | None = None
    bodies: Mapping[str, Callable[..., tuple[Any, ...]]] = field(default_factory=dict)

    @property
    def opset(self) -> int:
        """The version of ONNX that the file is written in."""
        return self.node.opset

    @property
    def n_output(self) -> int:
        """How many outputs the node has."""
        return self.node.n_output

    def array(self, value: Any) -> Array:
        """Return a variable's array, or an array, on the device of the model."""
        return self.xp.asarray(array_of(value))


def array_of(value: Any) -> Array:
    """Return a variable's array, or an array as it is."""
    return value.array if isinstance(value, chainer.Variable) else value


def on_host(value: Any) -> np.ndarray:
    """Return a value as an array of NumPy."""
    return np.asarray(cuda.to_cpu(array_of(value)))


def integers(value: Any) -> tuple[int, ...]:
    """Return the elements of a value, in a row, as integers of Python."""
    return tuple(int(i) for i in on_host(value).reshape(-1))


def number(value: Any) -> int | float:
    """Return a value of one element as a number of Python."""
    result: int | float = on_host(value).reshape(()).item()
    return result


class LinkWith(NamedTuple):
    """A link for a node, and what it holds.

    Attributes:
        link (Link): Called with the inputs that it does not hold, in their order.
        held (iterable of int): Positions of the inputs that it has as parameters.
    """

    link: chainer.Link
    held: Iterable[int]


#: Makes a link. It is called once for all nodes that share it.
MakeLink = Callable[[], LinkWith]


@dataclass(frozen=True)
class Operator:
    """An operator of ONNX in functions of Chainer.

    Attributes:
        name (str): ONNX's name of it.
        compute (callable): ``compute(call, *inputs, **attributes)`` returns its output,
            or a tuple of them.
        inputs (tuple of str): The names of its inputs.
        is_variadic (bool): Whether more of the last of them may follow.
        attributes (dict): The attributes that it takes, and what its function calls
            them.
        gives_arrays (bool): Whether its outputs never have a gradient.
        settings (frozenset of int): Positions of inputs that are not data, but say what
            is computed; they are no parameters.
        refuses (callable or None): ``refuses(node)`` yields the reasons for which a
            node cannot be loaded.
        link (callable or None): ``link(node)`` returns what makes a :class:`LinkWith`
            with one of Chainer's links, or None where there is none for the node.
    """

    name: str
    compute: Callable[..., Any]
    inputs: tuple[str, ...]
    is_variadic: bool
    attributes: Mapping[str, str]
    gives_arrays: bool
    settings: frozenset[int]
    refuses: Callable[[Node], Iterable[str]] | None
    link: Callable[[Node], MakeLink | None] | None

    @property
    def what_it_is(self) -> str:
        """The first line of its docstring."""
        return (self.compute.__doc__ or "").partition("\n")[0].rstrip(".")

    def problems(self, node: Node) -> list[str]:
        """Return why a node cannot be loaded; nothing if it can."""
        unknown = sorted(set(node.attributes) - set(self.attributes))
        found = [f"its attribute {name!r} is not known" for name in unknown]
        if not self.is_variadic and node.n_input > len(self.inputs):
            found.append(f"it has more than {len(self.inputs)} inputs")
        if self.refuses is not None and not found:
            found.extend(self.refuses(node))
        return found

    def input_name(self, position: int) -> str:
        """Return the name of an input, with a number where there are several of it."""
        last = len(self.inputs) - 1
        if self.is_variadic and position >= last:
            return f"{self.inputs[last].removesuffix('_0')}_{position - last}"
        return self.inputs[position]

    def apply(self, call: Call, inputs: Iterable[Any]) -> tuple[Any, ...]:
        """Return the outputs for inputs, None for those that are left out."""
        given = call.node.attributes
        attributes = {self.attributes[name]: value for name, value in given.items()}
        found = self.compute(call, *inputs, **attributes)
        return found if isinstance(found, tuple) else (found,)


_operators: dict[str, Operator] = {}

#: Every operator by ONNX's name of it.
OPERATORS: Mapping[str, Operator] = MappingProxyType(_operators)

_Compute = TypeVar("_Compute", bound=Callable[..., Any])


def operator(
    *names: str,
    gives_arrays: bool = False,
    settings: Iterable[str] = (),
    refuses: Callable[[Node], Iterable[str]] | None = None,
    link: Callable[[Node], MakeLink | None] | None = None,
) -> Callable[[_Compute], _Compute]:
    """Declare that the decorated function is an operator of ONNX.

    Its first argument is the :class:`Call`; its other positional arguments are the
    operator's inputs, and its keyword arguments the attributes, with an underscore
    behind those that are called as an input is.

    Args:
        names (str): ONNX's names of it. The function knows by ``call.node.type`` which
            of several it is.
        gives_arrays (bool): Whether its outputs never have a gradient.
        settings (iterable of str): Inputs that are not data.
        refuses (callable or None): Yields the reasons against a node.
        link (callable or None): Returns what makes one of Chainer's links for a node.

    Returns:
        callable: The decorator; it returns the function as it is.
    """

    def declare(compute: _Compute) -> _Compute:
        parameters = list(inspect.signature(compute).parameters.values())[1:]
        named = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        inputs = tuple(p.name for p in named)
        attributes = {
            p.name.rstrip("_"): p.name for p in parameters if p.kind is p.KEYWORD_ONLY
        }
        for name in names:
            assert name not in _operators, name
            _operators[name] = Operator(
                name,
                compute,
                inputs,
                bool(named) and named[-1].kind is inspect.Parameter.VAR_POSITIONAL,
                attributes,
                gives_arrays,
                frozenset(inputs.index(setting) for setting in settings),
                refuses,
                link,
            )
        return compute

    return declare
