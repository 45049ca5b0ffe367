"""Functions that are written number by number, for LLVM to compile.

A function is a program in Python that is run once: each operation on a :class:`Value`
writes an instruction, and loops of Python write their bodies again and again. Vectors
have several lanes, which the instructions work on side by side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple, Union

import numpy as np

from saliency.cpu.compiled.machine import lanes_of

Integer = Union["Value", int]


class Value:
    """An integer, a floating-point number or a vector of them, when the code runs.

    Args:
        builder (llvmlite.ir.IRBuilder): Writes the instructions.
        ir (llvmlite.ir.Value): What it is to LLVM.
    """

    __slots__ = ("_builder", "ir")

    def __init__(self, builder: Any, ir: Any) -> None:
        self._builder = builder
        self.ir = ir

    def __add__(self, other: Integer) -> Value:
        return self._of("fadd", "add", other)

    def __sub__(self, other: Integer) -> Value:
        return self._of("fsub", "sub", other)

    def __mul__(self, other: Integer) -> Value:
        return self._of("fmul", "mul", other)

    def __floordiv__(self, other: Integer) -> Value:
        """Divide integers, rounding towards zero."""
        return Value(self._builder, self._builder.sdiv(self.ir, self._ir_of(other)))

    def __truediv__(self, other: Value) -> Value:
        """Divide floating-point numbers."""
        return Value(self._builder, self._builder.fdiv(self.ir, other.ir))

    def if_less(self, limit: Value, then: Value, otherwise: Value) -> Value:
        """Return ``then`` where it is less than a limit, else the other, as for NaN."""
        is_less = self._builder.fcmp_ordered("<", self.ir, limit.ir)
        return Value(
            self._builder, self._builder.select(is_less, then.ir, otherwise.ir)
        )

    def times_plus(self, factor: Value, term: Value) -> Value:
        """Return ``self * factor + term``, rounded once where the machine can."""
        fuse = ("contract",)
        product = self._builder.fmul(self.ir, factor.ir, flags=fuse)
        total = self._builder.fadd(product, term.ir, flags=fuse)
        return Value(self._builder, total)

    def at_least(self, other: Integer) -> Value:
        """Return the larger one; ``self`` if either is NaN."""
        return self._chosen("<", other)

    def at_most(self, other: Integer) -> Value:
        """Return the smaller one; ``self`` if either is NaN."""
        return self._chosen(">", other)

    def _chosen(self, sign: str, other: Integer) -> Value:
        ours, theirs = self.ir, self._ir_of(other)
        is_integer = self._is_integer()
        compare = (
            self._builder.icmp_signed if is_integer else self._builder.fcmp_ordered
        )
        chosen = self._builder.select(compare(sign, ours, theirs), theirs, ours)
        return Value(self._builder, chosen)

    def _of(self, of_floats: str, of_integers: str, other: Integer) -> Value:
        name = of_integers if self._is_integer() else of_floats
        result = getattr(self._builder, name)(self.ir, self._ir_of(other))
        return Value(self._builder, result)

    def _is_integer(self) -> bool:
        return hasattr(self.ir.type, "width")

    def _ir_of(self, other: Integer) -> Any:
        return other.ir if isinstance(other, Value) else self.ir.type(other)


class Signature(NamedTuple):
    """What a function takes, in this order.

    Attributes:
        dtype (str): What its pointers point to, and its numbers are of.
        pointers (tuple of str): Names of its arguments that are addresses,
        integers (tuple of str): integers of 64 bits,
        numbers (tuple of str): and numbers.
    """

    dtype: str
    pointers: tuple[str, ...]
    integers: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Those of all arguments."""
        return self.pointers + self.integers + self.numbers

    @property
    def n_moved(self) -> int:
        """How many of them, the first ones, may become more from a row to the next."""
        return len(self.pointers) + len(self.integers)


class Code:
    """The body of a function, which returns nothing.

    Args:
        dtype (numpy.dtype): What its pointers point to, and its numbers are of.
        pointers (sequence of str): Names of its arguments; these come first,
        integers (sequence of str): then these,
        numbers (sequence of str): then these.

    Attributes:
        dtype (numpy.dtype): See above.
        signature (Signature): What the function takes.
        lanes (tuple of int): How many numbers vectors have, from the most, with which
            a machine is fastest, to one.
    """

    def __init__(
        self,
        dtype: np.dtype,
        pointers: Sequence[str],
        integers: Sequence[str],
        numbers: Sequence[str],
    ) -> None:
        from llvmlite import ir

        self._ir = ir
        self.dtype = dtype
        self._integer = ir.IntType(64)
        self._number = ir.FloatType() if dtype == np.float32 else ir.DoubleType()
        self.signature = Signature(
            dtype.name, tuple(pointers), tuple(integers), tuple(numbers)
        )
        types = [
            *[self._number.as_pointer()] * len(pointers),
            *[self._integer] * len(integers),
            *[self._number] * len(numbers),
        ]
        self._module = ir.Module("saliency")
        kind = ir.FunctionType(ir.VoidType(), types)
        function = ir.Function(self._module, kind, "run")
        self._builder = ir.IRBuilder(function.append_basic_block("entry"))
        values = (Value(self._builder, argument) for argument in function.args)
        self._arguments = dict(zip(self.signature.names, values))
        most = lanes_of(dtype)
        self.lanes = (most, most // 4, 1)

    def __getitem__(self, name: str) -> Value:
        """Return an argument."""
        return self._arguments[name]

    def integer(self, number: int) -> Value:
        """Return an integer that is known by now."""
        return Value(self._builder, self._integer(number))

    def zero(self, lanes: int) -> Value:
        """Return a vector of zeros."""
        return Value(self._builder, self._ir.Constant(self._vector(lanes), None))

    def constant(self, number: float, lanes: int) -> Value:
        """Return a vector with a number that is known by now in all lanes."""
        numbers = [float(number)] * lanes if lanes > 1 else float(number)
        return Value(self._builder, self._ir.Constant(self._vector(lanes), numbers))

    def polynomial(self, coefficients: list[float], x: Value, lanes: int) -> Value:
        """Return a polynomial's value; its coefficient of ``x**0`` comes first."""
        *others, last = (self.constant(number, lanes) for number in coefficients)
        y = last
        for coefficient in reversed(others):
            y = y.times_plus(x, coefficient)
        return y

    def power_of_two(self, shifted: Value, n_bit: int, lanes: int) -> Value:
        """Return ``2**n``, for an integer n from that of the least normal number on.

        Args:
            shifted (Value): ``1.5 * 2**n_bit + n``, whose last bits are those of n.
            n_bit (int): Bits of a number's fraction.
            lanes (int): Of the vector.
        """
        builder, ir = self._builder, self._ir
        n_all = 8 * self.dtype.itemsize
        integer = ir.IntType(n_all)
        kind = integer if lanes == 1 else ir.VectorType(integer, lanes)

        def repeated(number: int) -> Any:
            return ir.Constant(kind, [number] * lanes if lanes > 1 else number)

        bias = 2 ** (n_all - n_bit - 2) - 1
        n = builder.add(builder.bitcast(shifted.ir, kind), repeated(bias))
        bits = builder.shl(n, repeated(n_bit))
        return Value(builder, builder.bitcast(bits, self._vector(lanes)))

    def repeated(self, number: Value, lanes: int) -> Value:
        """Return a vector with a number in all lanes."""
        if lanes == 1:
            return number
        builder, vector = self._builder, self._vector(lanes)
        undefined = self._ir.Constant(vector, self._ir.Undefined)
        first = builder.insert_element(undefined, number.ir, self._integer(0))
        places = self._ir.Constant(
            self._ir.VectorType(self._ir.IntType(32), lanes), None
        )
        return Value(builder, builder.shuffle_vector(first, undefined, places))

    def between(self, y: Value, floor: Value, ceiling: Value) -> Value:
        """Return 1 where ``floor < y < ceiling``, else 0; no ceiling is NaN."""
        builder = self._builder
        passes = builder.and_(
            builder.fcmp_ordered(">", y.ir, floor.ir),
            builder.fcmp_unordered("<", y.ir, ceiling.ir),
        )
        lanes = getattr(y.ir.type, "count", 1)
        one = Value(builder, self._ir.Constant(self._number, 1))
        ones = self.repeated(one, lanes)
        return Value(builder, builder.select(passes, ones.ir, self.zero(lanes).ir))

    def load(self, pointer: str, at: Value, lanes: int) -> Value:
        """Return what is in memory, from a place on."""
        loaded = self._builder.load(self._address(pointer, at, lanes))
        loaded.align = self.dtype.itemsize
        return Value(self._builder, loaded)

    def store(self, value: Value, pointer: str, at: Value, lanes: int) -> None:
        """Write to memory, from a place on."""
        stored = self._builder.store(value.ir, self._address(pointer, at, lanes))
        stored.align = self.dtype.itemsize

    @contextlib.contextmanager
    def loop(self, start: Integer, stop: Value, step: int = 1) -> Iterator[Value]:
        """Write a loop, with the block as its body, whose index is yielded."""
        with self._loop(start, stop, step, []) as (index, _, _):
            yield index

    def accumulated(
        self,
        start: Integer,
        stop: Value,
        initial: list[Value],
        body: Callable[[Value, list[Value]], list[Value]],
    ) -> list[Value]:
        """Write a loop in which values become others, and return the last ones.

        Args:
            start (Value or int): The first index.
            stop (Value): The index after the last.
            initial (list of Value): What the values are before the loop.
            body (callable): ``body(index, values)`` returns what they are next.
        """
        with self._loop(start, stop, 1, initial) as (index, values, after):
            after.extend(body(index, list(values)))
        return values

    @contextlib.contextmanager
    def _loop(
        self, start: Integer, stop: Value, step: int, initial: list[Value]
    ) -> Iterator[tuple[Value, list[Value], list[Value]]]:
        builder = self._builder
        before = builder.block
        head, body, behind = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        first = start if isinstance(start, Value) else self.integer(start)
        phis = [builder.phi(value.ir.type) for value in (first, *initial)]
        for phi, value in zip(phis, (first, *initial)):
            phi.add_incoming(value.ir, before)
        index, *values = (Value(builder, phi) for phi in phis)
        goes_on = builder.icmp_signed("<", index.ir, stop.ir)
        builder.cbranch(goes_on, body, behind)
        builder.position_at_end(body)
        after: list[Value] = []
        yield index, values, after
        for phi, value in zip(phis, (index + step, *after)):
            phi.add_incoming(value.ir, builder.block)
        builder.branch(head)
        builder.position_at_end(behind)

    def in_vectors(self, stop: Value) -> Iterator[tuple[Value, int]]:
        """Write loops over the places before ``stop``, and yield place and lanes.

        What is written between one and the next is the body of a loop.
        """
        start = self.integer(0)
        for lanes in self.lanes:
            end = start + (stop - start) // lanes * lanes if lanes > 1 else stop
            with self.loop(start, end, lanes) as place:
                yield place, lanes
            start = end

    def in_overlapping_vectors(self, stop: Value) -> Iterator[tuple[Value, int]]:
        """Do the same with one loop for vectors, the last of which may begin earlier.

        So what is read must not be what has been written. Where there are fewer places
        than lanes, they are worked on one by one.
        """
        most = self.lanes[0]
        last = stop - most
        in_vectors = stop * (stop // most).at_most(1)  # all of them, or none
        for end, lanes in ((in_vectors, most), (stop - in_vectors, 1)):
            with self.loop(0, end, lanes) as place:
                yield (place.at_most(last) if lanes > 1 else place), lanes

    def finished(self) -> Any:
        """Return the module that the function is in, with one for parts of its work."""
        self._builder.ret_void()
        self._write_part()
        return self._module

    def _write_part(self) -> None:
        """Write ``part(block, i, n)``, which does the i-th of n parts of the work.

        The block says how many rows the parts are multiples of, but for what is left at
        the end; which argument says how many rows there are; what the arguments are;
        and how much the arguments become more from a row to the next, but for numbers.
        """
        ir, integer = self._ir, self._integer
        signature = ir.FunctionType(
            ir.VoidType(), [integer.as_pointer(), integer, integer]
        )
        part = ir.Function(self._module, signature, "part")
        builder = ir.IRBuilder(part.append_basic_block("entry"))
        block, i, n = part.args

        def word(at: Any, kind: Any = integer) -> Any:
            address = builder.gep(block, [at])
            return builder.load(builder.bitcast(address, kind.as_pointer()))

        unit, along = word(integer(0)), word(integer(1))
        length = word(builder.add(along, integer(2)))
        n_unit = builder.sdiv(length, unit)

        def edge(i: Any) -> Any:
            return builder.mul(builder.sdiv(builder.mul(n_unit, i), n), unit)

        start, after = edge(i), builder.add(i, integer(1))
        is_last = builder.icmp_signed("==", after, n)
        stop = builder.select(is_last, length, edge(after))
        run = self._module.get_global("run")
        n_argument, arguments = len(run.args), []
        for at, argument in enumerate(run.args):
            if at >= self.signature.n_moved:
                arguments.append(word(integer(2 + at), argument.type))
                continue
            moved = builder.mul(start, word(integer(2 + n_argument + at)))
            value = builder.add(word(integer(2 + at)), moved)
            if argument.type == integer:
                is_length = builder.icmp_signed("==", along, integer(at))
                value = builder.select(is_length, builder.sub(stop, start), value)
            else:
                value = builder.inttoptr(value, argument.type)
            arguments.append(value)
        builder.call(run, arguments)
        builder.ret_void()

    def _vector(self, lanes: int) -> Any:
        return self._number if lanes == 1 else self._ir.VectorType(self._number, lanes)

    def _address(self, pointer: str, at: Value, lanes: int) -> Any:
        address = self._builder.gep(self[pointer].ir, [at.ir])
        if lanes == 1:
            return address
        return self._builder.bitcast(address, self._vector(lanes).as_pointer())
