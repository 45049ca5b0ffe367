"""How many rows go through the network together, where the user does not say it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.parts import Parts, array_of
from saliency.light_apply import telling_of_inputs

import chainer

#: Examples of a batch unless ``batchsize`` says another number, or several batches are
#: known to do as one. Where a model takes its batch whole, this is what it takes.
EXAMPLES_OF_BATCH = 16

# More rows are not faster: what Python takes for a pass is nothing beside them.
_ROWS_AT_MOST = 32768
# What a function is applied to in a pass, in bytes, as a mean over the functions. With
# less, what Python takes for each of them is in the way; more is not in the cache. For
# small networks for tables and graphs of many functions, passes of 2 to 4 MB are the
# fastest.
_BYTES_OF_FUNCTION = 3.5e6
# As many bytes more for each byte of the parameters it is applied to, which a pass has
# to read and to pack, however few its rows are. ResNet50 has the most to gain.
_BYTES_OF_PARAMETER = 10
# With more than this, the cache has lost what a function left before the next begins.
_BYTES_OF_FUNCTION_AT_MOST = 10e6
# What all of them are applied to, in bytes. A gradient needs a third to the whole of it
# at once; methods that hold all arrays need several times as much.
_ROOM = 2 << 30
_ROOM_FOR_ALL_ARRAYS = 512 << 20
# Of a model that applies no function of Chainer's, none of it is seen but the input.
_ROOM_OF_UNSEEN = 256 << 20
#: Of the first pass, only the inputs are known. A photograph of 224 x 224 has 0.6 MB,
#: and a network makes one to two hundred times as much of it.
FIRST_ROWS_AT_MOST = 64
_ROOM_OF_FIRST_INPUTS = 5e6
_ROOM_OF_FIRST_INPUTS_FOR_ALL_ARRAYS = 2.5e6
#: Rows of a trial. Two show whether the model has one value for all of them.
ROWS_OF_TRIAL = 2
# Of the input there are also its noise, its gradient, and the sum of the latter.
_COPIES_OF_INPUT = 4


class Choice(NamedTuple):
    """How many rows a pass is to have.

    Attributes:
        n_row (int): So many.
        bytes_of_input (float): Of a row, when that was found out.
    """

    n_row: int
    bytes_of_input: float


class PassSize:
    """Chooses how many rows go through the network together.

    If the user says a number, that is it. If not, what the functions of the model are
    applied to is counted in a first pass of few rows, or in a trial of two where rows
    are small; the passes that follow have as many rows as are fast, and as there is
    room for. The choice depends on the model and on the shapes of the data, and neither
    on time nor on the memory of the machine, so that the same call makes the same
    passes everywhere.

    Args:
        asked (int or None): What the user says.
        parts (Parts): What the models that are run consist of.
        is_on_cpu (bool): Whether they are on a CPU.
        holds_all_arrays (bool): Whether passes of the method hold all arrays at once.
    """

    def __init__(
        self, asked: int | None, parts: Parts, is_on_cpu: bool, holds_all_arrays: bool
    ) -> None:
        self._asked = asked
        self._parts = parts
        self._is_on_cpu = is_on_cpu
        self._room, self._room_of_first = (
            (_ROOM_FOR_ALL_ARRAYS, _ROOM_OF_FIRST_INPUTS_FOR_ALL_ARRAYS)
            if is_on_cpu and holds_all_arrays
            else (_ROOM, _ROOM_OF_FIRST_INPUTS)
        )
        self._takes_all = False  # examples of a batch, and no fewer
        self._n_example = 0  # of the batch under way
        self._is_all = False  # whether one pass may have all rows that are left
        self._bytes_of_input = 0.0  # of a row of the batch under way
        #: Once a pass was counted.
        self.choice: Choice | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether a pass has shown how many rows the next are to have."""
        return not self._is_fixed and self.choice is not None

    @property
    def _is_fixed(self) -> bool:
        return self._asked is not None or self._takes_all

    def forget(self) -> None:
        """Forget what the passes so far have shown."""
        self._takes_all = False
        self.choice = None

    def begin(self, batch: UserBatch, n_row: int, is_last: bool) -> None:
        """Take note of the batch whose rows come next.

        Args:
            batch (UserBatch): The examples.
            n_row (int): How many rows it needs.
            is_last (bool): Whether no batch follows.
        """
        if self._is_fixed:
            return
        self._n_example = batch.size
        self._bytes_of_input = _bytes_of_row(batch)
        if self.choice and self._bytes_of_input > self.choice.bytes_of_input:
            self.choice = None
        self._is_all = is_last and n_row <= self.rows()

    def rows(self) -> int:
        """Return how many rows the next pass may have."""
        if self._asked is not None:
            return self._asked
        if self._takes_all:
            return EXAMPLES_OF_BATCH
        if self.choice is not None:
            return self.choice.n_row
        fitting = self._room_of_first // max(self._bytes_of_input, 1)
        return int(min(max(fitting, ROWS_OF_TRIAL), FIRST_ROWS_AT_MOST))

    def is_worth_a_trial(self, batch: UserBatch) -> bool:
        """Tell whether rows are to be tried, since one pass cannot have all.

        Of small rows, a trial takes next to nothing, and a pass of few takes nearly as
        long as one of many.

        Args:
            batch (UserBatch): Has examples of the data.
        """
        if self._is_fixed or self.is_chosen:
            return False
        self._is_all = False  # of a batch before
        self._bytes_of_input = _bytes_of_row(batch)
        return self.rows() == FIRST_ROWS_AT_MOST

    def take_all(self) -> bool:
        """Let the first pass have all examples of the batch, unless it has had them.

        A model with a constant for each example, such as labels, takes no fewer.

        Returns:
            bool: Whether it had fewer.
        """
        if self._is_fixed or self.is_chosen or self.rows() >= self._n_example:
            return False
        self._takes_all = True
        return True

    @contextlib.contextmanager
    def counting(self, n_row: float) -> Iterator[None]:
        """Return a block for the forward of a pass, which is counted if need be.

        Args:
            n_row (float): How many rows that share nothing would take as much.
        """
        if self._is_fixed or self.is_chosen or self._is_all:
            yield
            return
        counter = _Counter(self._parts)
        with telling_of_inputs(counter.count):
            yield
        self.choice = Choice(self._choose(counter, n_row), self._bytes_of_input)

    def _choose(self, counted: _Counter, n_row: float) -> int:
        """Return how many rows a pass is to have.

        Args:
            counted (_Counter): What the functions of a pass were applied to.
            n_row (float): How many rows that was for.
        """
        taken = counted.n_byte / n_row + _COPIES_OF_INPUT * self._bytes_of_input
        taken = max(taken, 1)
        n_function = counted.n_function
        room = self._room if n_function else _ROOM_OF_UNSEEN
        fitting = min(max(int(room / taken), 1), _ROWS_AT_MOST)
        if not self._is_on_cpu or n_function == 0:
            return fitting
        worthwhile = min(
            n_function * _BYTES_OF_FUNCTION
            + counted.n_byte_of_parameters * _BYTES_OF_PARAMETER,
            n_function * _BYTES_OF_FUNCTION_AT_MOST,
        )
        return min(math.ceil(worthwhile / taken), fitting)


class _Counter:
    """Counts the bytes that functions are applied to.

    Args:
        parts (Parts): Have the parameters.

    Attributes:
        n_byte (int): So many, but for those of parameters.
        n_byte_of_parameters (int): Those, as often as a function is applied to them.
        n_function (int): How many functions were applied.
    """

    def __init__(self, parts: Parts) -> None:
        self.n_byte = self.n_byte_of_parameters = self.n_function = 0
        self._parameters = {id(array_of(p)) for _, p in parts.parameters}

    def count(self, inputs: Sequence[Any]) -> None:
        """Count what a function is applied to, without asking for the arrays."""
        self.n_function += 1
        for x in inputs:
            like = x.node if isinstance(x, chainer.Variable) else x
            if like.shape is None:
                continue
            n_byte = math.prod(like.shape) * like.dtype.itemsize
            if isinstance(x, chainer.Parameter) or id(x) in self._parameters:
                self.n_byte_of_parameters += n_byte
            else:
                self.n_byte += n_byte


def _bytes_of_row(batch: UserBatch) -> float:
    """Return the bytes of the inputs of an example, the largest if they differ."""
    total = 0.0
    for x in batch.inputs:
        if isinstance(x, list):
            total += max(map(bytes_of_example, x), default=0)
        else:
            total += x.nbytes / batch.size if hasattr(x, "nbytes") else 0
    return total


def bytes_of_example(example: Any) -> int:
    """Return the bytes of the arrays of an example, as far as they can be seen."""
    if isinstance(example, (tuple, list)):
        return sum(map(bytes_of_example, example))
    if isinstance(example, dict):
        return sum(map(bytes_of_example, example.values()))
    if isinstance(example, chainer.Variable):
        example = example.array
    is_array = isinstance(example, (*chainer.get_array_types(), np.generic))
    return int(example.nbytes) if is_array else 0
