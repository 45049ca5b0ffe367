"""What a pickle of PyTorch describes, found without an unpickler.

A pickle is a program for a small machine with a stack. This module runs only those of
its instructions that build containers, numbers and texts. What PyTorch would call comes
out as the description of a tensor; any other name of a class or a function is refused.
Nothing is ever imported or called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from typing import IO, Any, Callable, NamedTuple

import numpy as np

from saliency.models.formats.stored import Refused

# What the description of a checkpoint with an optimizer stays far below. An instruction
# takes up to some hundred bytes of memory.
_MOST_INSTRUCTIONS = 300_000
_MOST_BYTES = 1 << 24
_LONGEST_ARGUMENT = 10_000  # bytes of a name or a number

#: Storages of PyTorch, by the dtype of their numbers and its bytes.
STORAGES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}


class Storage(NamedTuple):
    """Numbers in a row, of which tensors are views.

    Attributes:
        key (str): Its name within the file.
        dtype (str): Of its numbers.
        itemsize (int): Bytes of a number.
        size (int): How many numbers the file says that it has.
    """

    key: str
    dtype: str
    itemsize: int
    size: int

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of its numbers, which are little-endian.

        Raises:
            TypeError: If NumPy has none.
        """
        return np.dtype(self.dtype).newbyteorder("<")


class Tensor(NamedTuple):
    """A tensor as the file describes it.

    Attributes:
        storage (Storage): Where its numbers are.
        offset (int): Which of them is the first.
        shape (tuple of int): Its shape.
        strides (tuple of int): How many numbers lie between neighbours of each axis.
        span (int): How many numbers there are from its first to its last.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    span: int


class Table(dict[str, Any]):
    """A dict of which only entries with a text as key are kept."""


class Description(NamedTuple):
    """What a pickle describes.

    Attributes:
        value (object): A :class:`Table`, :class:`Tensor`, list, tuple, number, text or
            None.
        storages (dict): All storages that it names, by their keys.
    """

    value: Any
    storages: dict[str, Storage]


class _Name(str):
    """The name of a class or a function; it is not imported."""


class _Mark:
    """Where a container of several elements begins on the stack."""


class BoundedReader:
    """The bytes of a pickle, of which no more are read than any checkpoint needs.

    Args:
        file (file object): Binary, at the beginning of the pickle.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _MOST_BYTES

    def read(self, size: int) -> bytes:
        """Return so many bytes, or what is left.

        Raises:
            Refused: If they are too many.
        """
        self._take(size)
        return self._file.read(size)

    def readline(self) -> bytes:
        """Return the bytes up to the end of a line.

        Raises:
            Refused: If they are too many.
        """
        line = self._file.readline(_LONGEST_ARGUMENT + 1)
        self._take(len(line))
        return line

    def _take(self, size: int) -> None:
        if size > _LONGEST_ARGUMENT:
            raise Refused(f"a text or number in its description has {size} bytes")
        self._left -= size
        if self._left < 0:
            raise Refused(f"its description has more than {_MOST_BYTES} bytes")


def described(reader: BoundedReader) -> Description:
    """Return what the next pickle describes.

    Raises:
        Refused: If it names any class or function but those of which tensors are made,
            or is larger than those of weights.
        ValueError: If it is no pickle, or incomplete.
    """
    machine = _Machine()
    instructions: Iterable[Any] = pickletools.genops(reader)  # type: ignore[arg-type]
    for n, (opcode, argument, _) in enumerate(instructions):
        if n == _MOST_INSTRUCTIONS:
            raise Refused(f"its description has more than {n} instructions")
        if opcode.name == "STOP":
            break
        try:
            machine.run(opcode.name, argument)
        except (IndexError, KeyError) as reason:  # of the stack, of the memo
            raise ValueError(f"its pickle is damaged at {opcode.name}") from reason
    if len(machine.stack) != 1:
        raise ValueError("its pickle does not end with one value")
    return Description(machine.stack.pop(), machine.storages)


_PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The stack and the memo of a pickle.

    Attributes:
        stack (list): What is described so far.
        storages (dict): The storages among it.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.storages: dict[str, Storage] = {}
        self._memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """Run one instruction.

        Raises:
            IndexError: If the stack lacks what it takes.
            KeyError: If the memo lacks it.
            Refused: If weights need no such instruction.
        """
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(tuple(self._popped(_TUPLES[name])))
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in _INSTRUCTIONS:
            _INSTRUCTIONS[name](self, argument)
        else:
            raise Refused(f"its description has the instruction {name}")

    def _popped(self, n: int) -> list[Any]:
        if len(self.stack) < n:
            raise IndexError(n)
        taken = self.stack[-n:]
        del self.stack[-n:]
        return taken

    def _popped_to_mark(self) -> list[Any]:
        taken: list[Any] = []
        while True:
            top = self.stack.pop()
            if top is _Mark:
                return taken[::-1]
            taken.append(top)

    def _mark(self, _: None) -> None:
        self.stack.append(_Mark)

    def _empty_list(self, _: None) -> None:
        self.stack.append([])

    def _empty_dict(self, _: None) -> None:
        self.stack.append(Table())

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._popped_to_mark()))

    def _append(self, _: None) -> None:
        self._extend(self._popped(1))

    def _appends(self, _: None) -> None:
        self._extend(self._popped_to_mark())

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise IndexError
        self.stack[-1].extend(values)

    def _setitem(self, _: None) -> None:
        self._update(self._popped(2))

    def _setitems(self, _: None) -> None:
        self._update(self._popped_to_mark())

    def _update(self, pairs: list[Any]) -> None:
        if not isinstance(self.stack[-1], Table) or len(pairs) % 2:
            raise IndexError
        _fill(self.stack[-1], zip(pairs[::2], pairs[1::2]))

    def _put(self, index: int) -> None:
        self._memo[index] = self.stack[-1]

    def _memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self._memo[index])

    def _global(self, name: str) -> None:
        self.stack.append(_checked_name(*name.split(" ", 1)))

    def _stack_global(self, _: None) -> None:
        module, name = self._popped(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise IndexError
        self.stack.append(_checked_name(module, name))

    def _persistent(self, _: None) -> None:
        storage = _storage(self.stack.pop())
        if self.storages.setdefault(storage.key, storage) != storage:
            raise Refused(f"it describes its storage {storage.key} in two ways")
        self.stack.append(storage)

    def _reduce(self, _: None) -> None:
        function, arguments = self._popped(2)
        if not (isinstance(function, _Name) and isinstance(arguments, tuple)):
            raise IndexError
        if function not in _MADE:
            raise Refused(f"it calls {function}")
        self.stack.append(_MADE[function](*arguments))

    def _build(self, _: None) -> None:
        """Leave out the attributes of a state dict, which are versions of modules."""
        self.stack.pop()
        if not isinstance(self.stack[-1], Table):
            raise Refused("it gives attributes to what has none")


_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine._mark,
    "EMPTY_LIST": _Machine._empty_list,
    "EMPTY_DICT": _Machine._empty_dict,
    "TUPLE": _Machine._tuple,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._setitem,
    "SETITEMS": _Machine._setitems,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "BINPERSID": _Machine._persistent,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
}


def _fill(table: Table, pairs: Iterable[Any]) -> None:
    """Put pairs into a table; other keys than texts are those of optimizers."""
    for key, value in pairs:
        if isinstance(key, str):
            table[key] = value


def _checked_name(module: str, name: str = "") -> _Name:
    """Return the name of a class or a function that weights are made with.

    Raises:
        Refused: If it is any other.
    """
    full = _Name(f"{module}.{name}")
    if full not in _MADE and not (module == "torch" and name in STORAGES):
        raise Refused(
            f"it names {full}; only arrays, containers, numbers and texts are read"
        )
    return full


def _table(items: Any = None) -> Table:
    """Return an OrderedDict, to which Python 2 gives its items as pairs in a list.

    The list is emptied, so that no file has it copied again and again.
    """
    table = Table()
    if items is None:
        return table
    if not isinstance(items, list) or not all(
        isinstance(item, (list, tuple)) and len(item) == 2 for item in items
    ):
        raise IndexError
    _fill(table, items)
    items.clear()
    return table


def _storage(identity: Any) -> Storage:
    """Return the storage that PyTorch identifies in this way.

    Raises:
        Refused: If it is none.
    """
    is_one = (
        isinstance(identity, tuple)
        and len(identity) in (5, 6)
        and identity[0] == "storage"
        and isinstance(identity[1], _Name)
        and isinstance(identity[2], str)
        and _are_counts((identity[4],))
    )
    if not is_one:
        raise Refused("it refers to something that is no storage of numbers")
    if identity[5:] not in ((), (None,)):
        raise Refused(f"its storage {identity[2]} is a part of another one")
    dtype, itemsize = STORAGES[identity[1].rpartition(".")[2]]
    return Storage(identity[2], dtype, itemsize, identity[4])


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """Return a tensor, which lies within its storage.

    Raises:
        Refused: If it does not, or is none.
    """
    are_tuples = isinstance(shape, tuple) and isinstance(strides, tuple)
    is_one = (
        isinstance(storage, Storage)
        and are_tuples
        and len(shape) == len(strides) <= 32
        and _are_counts((offset, *shape, *strides))
    )
    if not is_one:
        raise Refused("it has a tensor of which shape or strides are no numbers")
    span = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides))
    span = 0 if 0 in shape else span
    if offset + span > storage.size:
        raise Refused(
            f"a tensor of shape {shape} with strides {strides} from {offset} on is not "
            f"within its storage {storage.key}, which has {storage.size} numbers"
        )
    return Tensor(storage, offset, shape, strides, span)


def _are_counts(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _parameter(tensor: Any, *_: Any) -> Any:
    """Return the tensor of a parameter."""
    return tensor


# What is made instead of a call of the function.
_MADE: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _table,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
