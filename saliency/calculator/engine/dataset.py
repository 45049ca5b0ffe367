"""The user's data: what counts as data, and how it comes in batches."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np

from saliency.calculator.engine.array_on_disk import (
    ArrayOnDisk,
    in_memory_or_read_ahead,
)
from saliency.calculator.engine.data_frames import from_table
from saliency.calculator.randomness.random_streams import (
    GlobalRandomState,
    RandomStreams,
)
from saliency.checks import is_finite

import chainer
from chainer.dataset import concat_examples
from chainer.datasets import TupleDataset

Converter = Callable[..., Any]

# Seeds apart from those of the model's passes, whose numbers would be the same.
_IN_THE_DATA, _ON_THE_WAY = 1, 2


@dataclass(frozen=True)
class UserBatch:
    """Consecutive examples of the data, converted and on the device.

    Attributes:
        start (int): Index of the first example in the data.
        size (int): Number of examples.
        inputs (tuple): What the model is called with; usually arrays of
            ``(size,) + shape``.
        lengths (tuple of numpy.ndarray or None): For each input, the length of each
            example before the converter padded it; None where all examples come as
            one array. In the engine, the same for each target, None where no axis of
            it is padded.
        n_data (int): Number of examples in the whole data.
        sizes (tuple of numpy.ndarray or None): For each input, the number of elements
            of each example before the converter padded it, as ``lengths``.
        is_listed (bool): Whether inputs are lists because examples have different
            lengths and no converter was given.
    """

    start: int
    size: int
    inputs: tuple[Any, ...]
    lengths: tuple[np.ndarray | None, ...]
    n_data: int
    sizes: tuple[np.ndarray | None, ...] = ()
    is_listed: bool = False

    @property
    def index(self) -> np.ndarray:
        """Index of each example in the data."""
        return np.arange(self.start, self.start + self.size)

    def lengths_at(self, position: int) -> np.ndarray | None:
        """Return the length of each example's input, or target, of a position."""
        return self.lengths[position] if position < len(self.lengths) else None

    def is_ragged(self, position: int = 0) -> bool:
        """Tell whether the examples have different lengths there."""
        lengths = self.lengths_at(position)
        return lengths is not None and len(set(lengths)) > 1

    def sizes_beside_lengths(self) -> tuple[np.ndarray | None, ...]:
        """Return the sizes of examples that differ although their lengths do not.

        They are None elsewhere: signals ``(channel, time)`` have one length.
        """
        pairs = enumerate(self.sizes)
        return tuple(None if self.is_ragged(i) else of for i, of in pairs)

    def shape_of_data(self, position: int) -> tuple[int, ...]:
        """Return the shape that an input has for the whole data."""
        x = self.inputs[position]
        shape = tuple(x.shape)
        return (self.n_data, *shape[1:]) if _has_rows(x, self.size) else shape

    def can_gather(self) -> bool:
        """Tell whether rows can be picked from every input."""
        return all(_has_rows(x, self.size) for x in self.inputs)

    def gather(self, examples: np.ndarray) -> list[Any]:
        """Return the inputs of the given rows, as arrays of their own.

        A list that a converter makes has an element for each row. What cannot be split
        into rows is returned whole; ``examples`` must then be the whole batch.
        """
        return [
            _rows_of(x, examples) if _has_rows(x, self.size) else _of_its_own(x)
            for x in self.inputs
        ]

    def one_by_one(self) -> Iterator[UserBatch]:
        """Give batches of one example each, without what was padded."""
        for i in range(self.size):
            inputs = tuple(self.gather(np.array([i])))
            alone = replace(self, start=self.start + i, size=1, inputs=inputs)
            yield replace(alone, lengths=(), sizes=())


class Batches:
    """Iterates over the data in batches of ``batchsize`` consecutive examples.

    Args:
        data: Array, list, Chainer dataset, Variable, table or column of pandas, polars
            or pyarrow, or tuple of arrays.
        batchsize (int): Number of examples in a batch; the last may be smaller.
        converter (callable): ``converter(examples, device)``.
        preprocess_fn (callable or None): Called with the converted inputs, or with the
            dict of them; returns those that the model is called with.
        device (chainer.backend.Device): Where the inputs go.
        seed (int or None): For what a dataset, a converter or ``preprocess_fn`` draws
            from the global random state.
        dtype (numpy.dtype or None): What floating-point inputs are cast to.
        may_list (bool): Whether examples of different lengths may stay a list if there
            is no converter but Chainer's own.
        feature_names (list of str or None): What the data calls the columns of the
            target, if it is a table.

    Raises:
        TypeError: If ``data`` is none of these.
        ValueError: If ``data`` is empty or its arrays differ in length.
    """

    def __init__(
        self,
        data: Any,
        batchsize: int,
        converter: Converter,
        preprocess_fn: Callable[..., Any] | None,
        device: Any,
        seed: int | None = None,
        dtype: np.dtype | None = None,
        may_list: bool = False,
        feature_names: list[str] | None = None,
    ) -> None:
        self._dataset = as_dataset(data)
        self._offset = 0  # of the examples that are held, in the whole data
        self._n_example = len(self._dataset)
        self.batchsize = batchsize
        self.feature_names = feature_names
        self._converter = converter
        self._preprocess_fn = preprocess_fn
        self._device = device
        self._streams = RandomStreams(seed)
        self._draws = False  # whether the dataset was seen to draw random numbers
        self._dtype = dtype
        self._may_list = may_list
        # Whether batches are lists; None as long as nobody has looked.
        self._is_listed: bool | None = None if may_list else False
        self._knows_longest = False
        self._longest: UserBatch | None = None

    @property
    def n_example(self) -> int:
        """Number of examples in the data."""
        return self._n_example

    @property
    def is_of_arrays(self) -> bool:
        """Whether the first input of an example is an array in the data."""
        return _lengths_of_inputs([self.peek(0, 1)[0]])[0] is not None

    def __iter__(self) -> Iterator[UserBatch]:
        return self.between(0, self.n_example)

    def between(self, start: int, stop: int) -> Iterator[UserBatch]:
        """Iterate over the batches of the examples from ``start`` to ``stop``."""
        for first in range(start, stop, self.batchsize):
            yield self.load(first, min(first + self.batchsize, stop))

    def end_of_alike(self, start: int, stop: int) -> int:
        """Return how far examples from ``start`` on make one batch as well as several.

        That is so where they are stacked, and no code of the user's sees the batch.

        Args:
            start (int): The first example.
            stop (int): The end of those that are looked at.

        Returns:
            int: The index behind the last of them; ``start`` if there are none.
        """
        if self._converter is not concat_examples or self._preprocess_fn is not None:
            return start
        if _gives_slices(self._dataset) or _holds_arrays(self._dataset):
            return stop
        is_held = isinstance(self._dataset, (list, tuple, TupleDataset))
        if not is_held or self._gives_lists():
            return start
        examples = iter(self._examples(start, stop))
        first = _kinds_of(next(examples))
        if first is None:
            return start
        others = (i for i, one in enumerate(examples, 1) if _kinds_of(one) != first)
        return min(start + next(others, stop - start), stop)

    def shard(self, start: int, stop: int) -> Batches:
        """Return batches that hold only the examples from ``start`` to ``stop``.

        They know what is the index of each in the whole data, and can be pickled.
        """
        # What the whole data shows, the shard could not find out.
        self._gives_lists()
        if self._may_list:
            self.longest()
        shard = copy.copy(self)
        if _holds_arrays(self._dataset):
            shard._dataset = TupleDataset(*self._arrays(start, stop))
        else:
            shard._dataset = self.peek(start, stop)
        shard._offset = start
        return shard

    def with_seed(self, seed: int | None) -> Batches:
        """Return the same batches with another seed."""
        batches = copy.copy(self)
        batches._streams = RandomStreams(seed)
        return batches

    def peek(self, start: int, stop: int) -> Any:
        """Return examples as they stand in the data, before the converter.

        They are a part of an array, or a list.
        """
        with self._borrowed_random(start):
            return self._examples(start, stop)

    @property
    def may_be_ragged(self) -> bool:
        """Whether examples, which are no rows of arrays, may differ in length."""
        return not (_gives_slices(self._dataset) or _holds_arrays(self._dataset))

    def lengths(self, position: int = 0) -> np.ndarray | None:
        """Return the length of each example's input of a position, ``(N,)``.

        None if all are of one length, or that cannot be told without reading the
        data: of a dataset that makes its examples as they are asked for.
        """
        if not isinstance(self._dataset, (list, tuple, TupleDataset)):
            return None
        if _is_of_one_shape(self._dataset, position):
            return None
        found = [
            _lengths_of_inputs(self._examples(i, i + 1))[position]
            for i in range(self._n_example)
        ]
        return lengths_if_ragged(found)

    def shortest_and_longest(self, position: int = 0) -> tuple[int, int] | None:
        """Return the index in the data of two examples, if lengths are known to differ.

        See :meth:`lengths`.
        """
        lengths = self.lengths(position)
        if lengths is None:
            return None
        shortest, longest = int(lengths.argmin()), int(lengths.argmax())
        return self._offset + shortest, self._offset + longest

    def longest(self) -> UserBatch | None:
        """Return the example of the whole data whose first input is longest, alone.

        None where all are of one length, or lengths cannot be told.
        """
        if not self._knows_longest:
            self._knows_longest = True
            lengths = self.lengths()
            if lengths is not None:
                index = int(lengths.argmax())
                self._longest = self.load(index, index + 1)
        return self._longest

    def load(self, start: int, stop: int) -> UserBatch:
        """Return the examples from ``start`` to ``stop`` as a batch.

        Raises:
            TypeError: If the converter or ``preprocess_fn`` gives no arrays.
            ValueError: If the inputs are not finite, or the examples differ in shape
                and the converter does not pad.
        """
        with self._borrowed_random(start):
            return self._load(start, stop)

    def _borrowed_random(self, start: int) -> AbstractContextManager[Any]:
        """Return a block for code of the user's, which may draw random numbers."""
        if (
            _is_held(self._dataset)
            and self._converter is concat_examples
            and self._preprocess_fn is None
        ):
            return contextlib.nullcontext()
        seed = self._streams.global_seed(0, start, _ON_THE_WAY)
        return GlobalRandomState(self._device).borrowed(seed)

    def _load(self, start: int, stop: int) -> UserBatch:
        lengths: tuple[np.ndarray | None, ...] = ()
        sizes: tuple[np.ndarray | None, ...] = ()
        are_stacked = self._converter is concat_examples
        converted: Any
        if are_stacked and _gives_slices(self._dataset):
            converted = self._device.send(self._examples(start, stop))
        elif are_stacked and _holds_arrays(self._dataset):
            converted = tuple(map(self._device.send, self._arrays(start, stop)))
        else:
            examples = list(self._examples(start, stop))
            if not are_stacked:
                examples = _of_its_own(examples)
            lengths = _lengths_of_inputs(examples)
            sizes = _lengths_of_inputs(examples, np.size)
            converted = self._convert(examples, lengths)
        if self._preprocess_fn is not None:
            # A dict, as the converter makes of examples that are dicts, stays whole.
            is_dict = isinstance(converted, dict)
            given = (converted,) if is_dict else _as_inputs(converted)
            converted = self._preprocess_fn(*_of_its_own(given))
        inputs = _as_inputs(converted)
        for position, x in enumerate(inputs):
            _check_finite(x, position, start)
        inputs = tuple(_cast(x, self._dtype) for x in inputs)
        return UserBatch(
            start,
            stop - start,
            inputs,
            lengths,
            self._n_example,
            sizes,
            is_listed=bool(lengths) and self._gives_lists(),
        )

    def _examples(self, start: int, stop: int) -> Any:
        """Return examples: a part of an array, or a list.

        What a dataset of the user's draws for an example from NumPy's global state does
        not depend on the batch. (What it draws from CuPy's does.)
        """
        first, end = start - self._offset, stop - self._offset
        if _gives_slices(self._dataset):
            return self._dataset[first:end]
        if type(self._dataset) is TupleDataset and _is_held(self._dataset):
            return [_unwrap(example) for example in self._dataset[first:end]]
        if _is_held(self._dataset):
            return [_unwrap(self._dataset[i]) for i in range(first, end)]
        global_random = GlobalRandomState(chainer.get_device("@numpy"))
        if not self._draws:
            # If it does draw, what it has given is not used.
            examples, self._draws = global_random.watch(
                lambda: [_unwrap(self._dataset[i]) for i in range(first, end)],
                lambda: 0,
            )
            if not self._draws:
                return examples
        return [self._drawn(i, global_random) for i in range(start, stop)]

    def _drawn(self, index: int, global_random: GlobalRandomState) -> Any:
        """Return an example for which code of the user's draws random numbers."""
        seed = self._streams.global_seed(0, index, _IN_THE_DATA)
        with global_random.borrowed(seed):
            return _unwrap(self._dataset[index - self._offset])

    def _arrays(self, start: int, stop: int) -> list[Any]:
        """Return the part of each of several arrays that are side by side."""
        start, stop = start - self._offset, stop - self._offset
        return [array[start:stop] for array in self._dataset._datasets]

    def _convert(
        self, examples: list[Any], of_inputs: tuple[np.ndarray | None, ...]
    ) -> Any:
        if self._gives_lists():
            return list_examples(examples, self._device)
        try:
            return self._converter(examples, self._device)
        except (TypeError, IndexError, KeyError) as reason:
            raise TypeError(
                f"converter cannot make arrays of data: {reason}. data must hold "
                "arrays, numbers, or tuples or dicts of these"
            ) from reason
        except ValueError as reason:
            found = [set(lengths) for lengths in of_inputs if lengths is not None]
            different = [lengths for lengths in found if len(lengths) > 1]
            if not different:
                _refuse_different_shapes(examples, reason)
                raise
            raise ValueError(
                "converter does not take examples of different lengths "
                f"({', '.join(map(str, sorted(different[0])))}); pass one that pads, "
                "such as functools.partial(concat_examples, padding=0), or "
                "saliency.list_examples, beside a target_extractor, for a model that "
                "takes lists"
            ) from reason

    def _gives_lists(self) -> bool:
        """Tell whether batches are lists, for want of a converter that pads."""
        if self._is_listed is None:
            is_list = type(self._dataset) in (list, tuple)
            is_default = self._converter is concat_examples
            self._is_listed = is_list and is_default and self.lengths() is not None
        return self._is_listed


def _refuse_different_shapes(examples: list[Any], reason: ValueError) -> None:
    """Raise a ValueError if examples are arrays of different shapes."""
    shapes = {x.shape: None for x in examples if _is_array(x)}
    if len(shapes) > 1:
        one, another = list(shapes)[:2]
        raise ValueError(
            f"data is a list of examples of different shapes, such as {one} and "
            f"{another}, which cannot be stacked. If they are the inputs of the model, "
            "pass them in a tuple"
        ) from reason


def list_examples(examples: Sequence[Any], device: Any = None) -> Any:
    """Return a batch as a list of examples, for models that take lists.

    Pass it as ``converter`` for models that concatenate, sort or pad the examples of a
    batch by themselves, as Chainer's examples of text classification and translation
    do. Where no converter is given, a list of arrays of different lengths is batched
    in this way.

    Args:
        examples (list): The examples of the batch, each an array, anything else that
            the model takes, or a tuple of these for a model of several inputs.
        device: Where arrays go: what :func:`chainer.get_device` takes, or None to leave
            them where they are.

    Returns:
        list, or tuple of list: One list for each input, with one element for each
        example.
    """
    send = (lambda x: x) if device is None else chainer.get_device(device).send
    if isinstance(examples[0], tuple):
        inputs = zip(*examples)
        return tuple([send(x) if _is_array(x) else x for x in one] for one in inputs)
    return [send(x) if _is_array(x) else x for x in examples]


def lengths_if_ragged(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the lengths of all batches' examples; None if all are the same."""
    if any(part is None for part in parts):
        return None
    lengths = np.concatenate([part for part in parts if part is not None])
    return None if len(set(lengths)) == 1 else lengths


def as_dataset(data: Any) -> Any:
    """Return the user's data as something that has a length, and examples by index.

    Tables are arrays, a tuple of inputs is a :class:`~chainer.datasets.TupleDataset`,
    and an array that is not in memory, or sparse, is read ahead.

    Raises:
        TypeError: If it is no data.
        ValueError: If it is empty or its arrays differ in length.
    """
    data = _unwrap(data)
    if isinstance(data, tuple):
        data = tuple(map(in_memory_or_read_ahead, data))
        lengths = [len(array) for array in data]
        if len(set(lengths)) > 1:
            raise ValueError(
                "data is a tuple of arrays, which must be of one length (one row for "
                f"each example); got lengths {lengths}. Examples go in a list."
            )
        data = TupleDataset(*data) if data else ()
    data = in_memory_or_read_ahead(data)
    has_examples = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if not has_examples or isinstance(data, (Mapping, str, bytes)):
        hint = ""
        if isinstance(data, Mapping):
            hint = "; for several inputs pass their arrays in a tuple, in order"
        raise TypeError(
            "data must be an array, a list of examples, a Chainer dataset, a DataFrame "
            f"or a tuple of arrays, got {type(data).__name__}{hint}"
        )
    if _is_array(data) and data.ndim == 0:
        raise ValueError("data must have a batch axis, got an array of shape ()")
    if len(data) == 0:
        raise ValueError("data is empty; there must be at least one example")
    return data


def _unwrap(x: Any) -> Any:
    """Replace Variables and tables by their arrays; a tuple's are replaced each."""
    if isinstance(x, chainer.Variable):
        return x.array
    if type(x) is tuple:
        return tuple(_unwrap(element) for element in x)
    return from_table(x)


def _as_inputs(converted: Any) -> tuple[Any, ...]:
    if isinstance(converted, dict):
        raise TypeError(
            "converter and preprocess_fn must return an array or a tuple of arrays, "
            "got a dict; pass a preprocess_fn, which is given the dict, to pick its "
            "values in the order in which the model takes them"
        )
    if not isinstance(converted, tuple):
        converted = (converted,)
    if not converted or any(x is None or isinstance(x, str) for x in converted):
        raise TypeError(
            "converter and preprocess_fn must return an array or a tuple of arrays, "
            f"got {converted if len(converted) != 1 else converted[0]!r}"
        )
    return tuple(_unwrap(x) for x in converted)


def _lengths_of_inputs(
    examples: list[Any], length_of: Callable[[Any], int] = len
) -> tuple[np.ndarray | None, ...]:
    """Return the length of each example's inputs, input by input."""
    as_tuples = [x if isinstance(x, tuple) else (x,) for x in examples]
    return tuple(_lengths(inputs, length_of) for inputs in zip(*as_tuples))


def _is_held(dataset: Any) -> bool:
    """Tell whether no code of the user's makes the examples as they are asked for."""
    if type(dataset) is TupleDataset:
        return all(map(_is_held, dataset._datasets))
    return isinstance(dataset, (list, tuple)) or _gives_slices(dataset)


def _holds_arrays(dataset: Any) -> bool:
    """Tell whether a data set is one of arrays that are side by side."""
    return type(dataset) is TupleDataset and all(map(_is_stack, dataset._datasets))


def _kinds_of(example: Any) -> list[Any] | None:
    """Return shape and dtype of each array of an example; None if it has others."""
    parts = example if isinstance(example, tuple) else (example,)
    if not all(_is_array(x) or isinstance(x, (int, float, np.generic)) for x in parts):
        return None
    return [(np.shape(x), getattr(x, "dtype", type(x))) for x in parts]


def _lengths(
    arrays: Sequence[Any], length_of: Callable[[Any], int]
) -> np.ndarray | None:
    if not all(_is_array(x) and x.ndim > 0 for x in arrays):
        return None
    return np.array([length_of(x) for x in arrays])


def _check_finite(x: Any, position: int, start: int) -> None:
    if not (_is_array(x) and x.dtype.kind == "f") or is_finite(x):
        return
    bad = np.argwhere(~np.isfinite(chainer.cuda.to_cpu(x)))[0]
    where = f"example {start + bad[0]}" if len(bad) else "it"
    raise ValueError(
        f"data must be finite, but input {position} of {where} holds NaN or infinity "
        f"(first at {tuple(int(i) for i in bad[1:])})"
    )


def _cast(x: Any, dtype: np.dtype | None) -> Any:
    """Return floating-point arrays in a dtype, and everything else as it is."""
    if type(x) in (list, tuple):
        return type(x)(_cast(element, dtype) for element in x)
    if dtype is None or not _is_array(x) or x.dtype.kind != "f" or x.dtype == dtype:
        return x
    with np.errstate(over="ignore"):
        cast = x.astype(dtype)
    if not is_finite(cast):
        raise ValueError(
            f"data must fit the model's dtype {dtype}, in which its largest absolute "
            f"value {float(abs(x).max()):g} is infinite"
        )
    return cast


def _of_its_own(x: Any) -> Any:
    """Return copies of arrays, so that the user's code may write into them."""
    if type(x) in (list, tuple):
        return type(x)(map(_of_its_own, x))
    if type(x) is dict:
        return {key: _of_its_own(value) for key, value in x.items()}
    return x.copy() if _is_array(x) else x


def _is_array(x: Any) -> bool:
    return isinstance(x, chainer.get_array_types())


def _gives_slices(dataset: Any) -> bool:
    """Tell whether consecutive examples are a slice, which is an array."""
    return _is_array(dataset) or isinstance(dataset, ArrayOnDisk)


def _is_of_one_shape(dataset: Any, position: int) -> bool:
    """Tell whether the examples of a tuple of arrays are alike at a position."""
    return type(dataset) is TupleDataset and _is_stack(dataset._datasets[position])


def _is_stack(array: Any) -> bool:
    """Tell whether an array is what its examples are when they are stacked."""
    return _gives_slices(array) and not array.dtype.hasobject


def _has_rows(x: Any, n_row: int) -> bool:
    is_array = _is_array(x) and x.ndim > 0
    return (is_array or isinstance(x, list)) and len(x) == n_row


def _rows_of(x: Any, examples: np.ndarray) -> Any:
    if isinstance(x, list):
        return [copy.copy(x[i]) for i in examples]
    if type(x) is np.ndarray:
        return x.take(examples, axis=0)  # in a third of the time of x[examples]
    return x[examples]
