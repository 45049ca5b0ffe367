"""Functions that have been compiled, and what they are to do."""

from __future__ import annotations

import ctypes
import functools
import json
import struct
import threading
from typing import Any, Callable, NamedTuple

from saliency.cpu.compiled.code import Code, Signature
from saliency.cpu.compiled.kept import kept
from saliency.cpu.compiled.machine import brought_to_life, object_code

_C_TYPES = {"float32": ctypes.c_float, "float64": ctypes.c_double}
# Each of these in a word of 8 bytes, as the module struct writes it.
_FORMATS = {
    ctypes.c_void_p: "q",
    ctypes.c_int64: "q",
    ctypes.c_float: "f4x",
    ctypes.c_double: "d",
}
#: Held while something is compiled.
_lock = threading.Lock()


class Function(NamedTuple):
    """A function that has been compiled.

    Attributes:
        whole (callable): It.
        part (int): Where the function is that does a part of its work,
        layout (struct.Struct): and how it is told what to do.
        places (dict of int): Where its arguments stand, by their names.
        n_step (int): How many of them may become more from a row to the next.
        engine (object): Holds the code.
    """

    whole: Callable[..., None]
    part: int
    layout: struct.Struct
    places: dict[str, int]
    n_step: int
    engine: Any


class Work(NamedTuple):
    """A compiled function and its arguments; parts of it can be done by themselves.

    Some of the arguments are addresses. Whoever has the work has the arrays, too.

    Attributes:
        function (Function): The function.
        arguments (tuple): What it is called with.
        along (str): The argument that says how many rows there are.
        steps (tuple of int): How much the arguments become more from a row to the next,
            in bytes where they are pointers; those at the end may be left out, for 0.
        unit (int): How many rows parts are multiples of.
    """

    function: Function
    arguments: tuple[Any, ...]
    along: str
    steps: tuple[int, ...]
    unit: int = 1

    @property
    def n_unit(self) -> int:
        """How many parts there can be."""
        n_row: int = self.arguments[self.function.places[self.along]]
        return n_row // self.unit

    def run(self) -> None:
        """Do all of the work."""
        self.function.whole(*self.arguments)

    def block(self) -> bytes:
        """Return what tells a part what to do: see :meth:`.Code.finished`."""
        function = self.function
        steps = self.steps + (0,) * (function.n_step - len(self.steps))
        return function.layout.pack(
            self.unit, function.places[self.along], *self.arguments, *steps
        )


def compiled(write: Callable[..., Code]) -> Callable[..., Function]:
    """Return what compiles the code that is written for arguments, once for the same.

    The function lets go of Python's lock while it runs.

    Args:
        write (callable): ``write(*arguments)`` returns the code. It depends on nothing
            but these; what ``repr`` says of them is all that there is to say.
    """
    known: dict[tuple[Any, ...], Function] = {}

    @functools.wraps(write)
    def function(*arguments: Any, **settings: Any) -> Function:
        key = (*arguments, *settings.items())
        found = known.get(key)
        if found is not None:
            return found
        with _lock:
            if key not in known:
                name = f"{write.__module__}.{write.__qualname__}{key!r}"
                known[key] = _compiled(name, lambda: write(*arguments, **settings))
            return known[key]

    return function


def _compiled(name: str, write: Callable[[], Code]) -> Function:
    """Return a function that is known by a name.

    Args:
        name (str): Of its code, in which it differs from all others.
        write (callable): Returns the code.
    """

    def compile_it() -> bytes:
        code = write()
        head = json.dumps(code.signature).encode()
        return head + b"\n" + object_code(code.finished())

    head, _, code = kept(name, compile_it).partition(b"\n")
    dtype, *names = json.loads(head)
    return _function(Signature(dtype, *map(tuple, names)), code)


def _function(signature: Signature, code: bytes) -> Function:
    """Return the function that object code is of."""
    engine = brought_to_life(code)
    c_types = [
        *[ctypes.c_void_p] * len(signature.pointers),
        *[ctypes.c_int64] * len(signature.integers),
        *[_C_TYPES[signature.dtype]] * len(signature.numbers),
    ]
    kind = ctypes.CFUNCTYPE(None, *c_types)
    of_arguments = "".join(_FORMATS[c_type] for c_type in c_types)
    return Function(
        kind(engine.get_function_address("run")),
        engine.get_function_address("part"),
        struct.Struct(f"=qq{of_arguments}{signature.n_moved}q"),
        {name: at for at, name in enumerate(signature.names)},
        signature.n_moved,
        engine,
    )
