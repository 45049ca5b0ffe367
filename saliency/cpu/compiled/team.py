"""Threads that share the work of a compiled function, without Python's lock.

A thread that sleeps takes a tenth of a millisecond to wake up, and then waits for
Python's lock; many functions take no longer than that. So those who help stay in
compiled code for a while after their work (``serve``), and look there for the next.

What is to be done stands in a box of memory. Its *ticket* says which job it is, how
many parts it has, and how many of them have been taken: whoever adds one to it has
taken a part. The thread that puts a job into the box (``share``) takes parts as well,
so that nobody waits for a helper that has not come, and returns after the last part
has been done.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import sys
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import numpy as np

from saliency.cpu.compiled.kept import kept
from saliency.cpu.compiled.machine import brought_to_life, object_code

# Words from one line of the cache to the next. What is written at different times is to
# be in different ones.
_LINE = 8
_TICKET, _N_DONE, _JOB, LEAVE, _YIELD = range(0, 5 * _LINE, _LINE)
_N_WORD = 5 * _LINE
# The ticket's lowest bits say how many parts have been taken, the next ones how many
# there are, and the rest counts the jobs.
_BITS = 16
# After how many looks for work a thread lets others have its core.
_LOOKS = 256
_FOREVER = 1 << 62


class Team(NamedTuple):
    """What is compiled for threads that share their work.

    Attributes:
        share (callable): ``share(box, function, block, n_part)`` calls
            ``function(block, i, n_part)`` for each part i, here and wherever the box is
            served. There are fewer than 2**16 parts, and one thread at a time may do so
            with a box.
        serve (callable): ``serve(box, n_look)`` takes part in what others share, until
            there has been nothing to do so many times in a row, or all are to leave.
    """

    share: Callable[[int, int, bytes, int], None]
    serve: Callable[[int, int], None]


def new_box() -> np.ndarray:
    """Return a box without work. While the word ``LEAVE`` is not 0, nobody serves."""
    box = np.zeros(_N_WORD, np.int64)
    # Not part of the code, which is to be the same in each process.
    box[_YIELD] = _address_of_yield()
    return box


@functools.cache
def team() -> Team:
    """Return it, compiled for this machine."""
    engine = brought_to_life(kept("team", lambda: object_code(_Writer().module)))
    address, integer = ctypes.c_void_p, ctypes.c_int64
    types = {
        "share": (address, address, ctypes.c_char_p, integer),
        "serve": (address, integer),
    }
    functions: dict[str, Any] = {}
    for name, of_arguments in types.items():
        kind = ctypes.CFUNCTYPE(None, *of_arguments)
        functions[name] = kind(engine.get_function_address(name))
        functions[name].engine = engine  # which its code lives in
    return Team(**functions)


class _Writer:
    """Writes the functions.

    Attributes:
        module (llvmlite.ir.Module): Has them.
    """

    def __init__(self) -> None:
        from llvmlite import ir

        self._ir = ir
        self.module = ir.Module("team")
        self._integer = ir.IntType(64)
        self._pointer = self._integer.as_pointer()
        take_part = self._write_take_part()
        self._write_share(take_part)
        self._write_serve(take_part)

    def _write_take_part(self) -> Any:
        """Write what takes a part, if there is one, and does it; return that."""
        (box,) = self._begin("take_part", 1, 0, self._integer)
        builder, one = self._builder, self._integer(1)
        look, take, work, nothing = (builder.append_basic_block() for _ in range(4))
        builder.branch(look)
        builder.position_at_end(look)
        ticket = self._read(self._word(box, _TICKET))
        bits = self._integer((1 << _BITS) - 1)
        part = builder.and_(ticket, bits)
        n_part = builder.and_(builder.lshr(ticket, self._integer(_BITS)), bits)
        builder.cbranch(self._is("<", part, n_part), take, nothing)
        builder.position_at_end(take)
        place = self._word(box, _TICKET)
        taken = builder.cmpxchg(
            *(place, ticket, builder.add(ticket, one)), "seq_cst", "seq_cst"
        )
        builder.cbranch(builder.extract_value(taken, 1), work, look)
        builder.position_at_end(work)
        # The job is not over before this part of it is, so that it is still there.
        function, block = (
            builder.load(self._word(box, word)) for word in (_JOB, _JOB + 1)
        )
        kind = self._ir.FunctionType(
            self._ir.VoidType(), [self._pointer, self._integer, self._integer]
        )
        builder.call(
            builder.inttoptr(function, kind.as_pointer()),
            [builder.inttoptr(block, self._pointer), part, n_part],
        )
        builder.atomic_rmw("add", self._word(box, _N_DONE), one, "seq_cst")
        builder.ret(one)
        builder.position_at_end(nothing)
        builder.ret(self._integer(0))
        return builder.function

    def _write_share(self, take_part: Any) -> None:
        box, function, block, n_part = self._begin("share", 3, 1)
        builder = self._builder
        self._write(self._integer(0), self._word(box, _N_DONE))
        for at, pointer in enumerate((function, block)):
            address = builder.ptrtoint(pointer, self._integer)
            builder.store(address, self._word(box, _JOB + at))
        place = self._word(box, _TICKET)
        all_bits = self._integer(2 * _BITS)
        n_job = builder.add(builder.lshr(self._read(place), all_bits), self._integer(1))
        ticket = builder.or_(
            builder.shl(n_job, all_bits), builder.shl(n_part, self._integer(_BITS))
        )
        self._write(ticket, place)
        again, behind = (builder.append_basic_block() for _ in range(2))
        builder.branch(again)
        builder.position_at_end(again)
        has_worked = self._is("!=", builder.call(take_part, [box]), self._integer(0))
        builder.cbranch(has_worked, again, behind)
        builder.position_at_end(behind)
        with self._looking(box, self._integer(_FOREVER)) as (_, stop_if):
            stop_if(self._is(">=", self._read(self._word(box, _N_DONE)), n_part))
        builder.ret_void()

    def _write_serve(self, take_part: Any) -> None:
        box, n_look = self._begin("serve", 1, 1)
        with self._looking(box, n_look) as (start_anew_if, stop_if):
            has_worked = self._builder.call(take_part, [box])
            start_anew_if(self._is("!=", has_worked, self._integer(0)))
            leaves = self._read(self._word(box, LEAVE))
            stop_if(self._is("!=", leaves, self._integer(0)))
        self._builder.ret_void()

    def _begin(
        self, name: str, n_pointer: int, n_integer: int, result: Any = None
    ) -> Any:
        """Begin a function, and return its arguments."""
        types = [*[self._pointer] * n_pointer, *[self._integer] * n_integer]
        kind = self._ir.FunctionType(result or self._ir.VoidType(), types)
        function = self._ir.Function(self.module, kind, name)
        self._builder = self._ir.IRBuilder(function.append_basic_block("entry"))
        return function.args

    @contextlib.contextmanager
    def _looking(
        self, box: Any, n_look: Any
    ) -> Iterator[tuple[Callable[[Any], None], Callable[[Any], None]]]:
        """Write a loop that looks so many times, with the block as its body.

        The block gets two functions: one says when the counting starts anew, the other
        when the loop ends.
        """
        builder, one = self._builder, self._integer(1)
        before = builder.block
        head, again, behind = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        left = builder.phi(self._integer)
        left.add_incoming(n_look, before)
        next_left = [builder.sub(left, one)]
        stops: list[Any] = []

        def start_anew_if(condition: Any) -> None:
            next_left[0] = builder.select(condition, n_look, next_left[0])

        yield start_anew_if, stops.append
        is_over = self._is("<=", next_left[0], self._integer(0))
        for stop in stops:
            is_over = builder.or_(is_over, stop)
        builder.cbranch(is_over, behind, again)
        builder.position_at_end(again)
        self._rest(box, next_left[0])
        left.add_incoming(next_left[0], builder.block)
        builder.branch(head)
        builder.position_at_end(behind)

    def _rest(self, box: Any, left: Any) -> None:
        """Write what is done between two looks into a box."""
        builder, ir = self._builder, self._ir
        nothing = ir.FunctionType(ir.VoidType(), [])
        # What tells a core that it is in such a loop.
        if _machine() == "x86":
            builder.call(self._declared("llvm.x86.sse2.pause", nothing), [])
        elif _machine() == "arm":
            of_number = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            pause = self._declared("llvm.aarch64.hint", of_number)
            builder.call(pause, [ir.IntType(32)(1)])
        left_for_now = builder.and_(left, self._integer(_LOOKS - 1))
        with builder.if_then(self._is("==", left_for_now, self._integer(0))):
            # Its result, an integer, is not needed.
            address = builder.load(self._word(box, _YIELD))
            builder.call(builder.inttoptr(address, nothing.as_pointer()), [])

    def _declared(self, name: str, kind: Any) -> Any:
        """Return a function that LLVM has."""
        if name in self.module.globals:
            return self.module.get_global(name)
        return self._ir.Function(self.module, kind, name)

    def _word(self, box: Any, at: int) -> Any:
        return self._builder.gep(box, [self._integer(at)])

    def _read(self, place: Any) -> Any:
        return self._builder.load_atomic(place, "seq_cst", 8)

    def _write(self, value: Any, place: Any) -> None:
        self._builder.store_atomic(value, place, "seq_cst", 8)

    def _is(self, sign: str, one: Any, other: Any) -> Any:
        return self._builder.icmp_signed(sign, one, other)


def _machine() -> str:
    """Return which kind of machine this is, of those with such an instruction."""
    kinds = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}
    return kinds.get(platform.machine().lower(), "")


def _address_of_yield() -> int:
    """Return where the function is that lets other threads have a core."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
