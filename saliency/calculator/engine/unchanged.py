"""The promise that explaining a model does not change it."""

from __future__ import annotations

import collections
import contextlib
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.parts import (
    CONSTANTS,
    OF_CHAINER,
    Parts,
    array_of,
    attributes_of,
)
from saliency.calculator.engine.read_only import read_only, that_can_be_protected
from saliency.exclusive import one_at_a_time

import chainer
from chainer import links as L

# Bytes that are copied in less time than NumPy's functions take to begin.
_SMALL = 1 << 14

# Links of Chainer that go on from the state of the call before, and where they keep it.
_STATES: dict[type, tuple[str, ...]] = {
    L.LSTM: ("c", "h"),
    L.StatefulGRU: ("h",),
    L.StatefulMGU: ("h",),
    L.StatefulPeepholeLSTM: ("c", "h"),
    L.StatefulZoneoutLSTM: ("c", "h"),
}


class Unchanged:
    """Gives back a model as it was, after each pass and after an exception.

    That is what it keeps between calls: persistent values (running statistics and the
    like), the hidden state of stateful links, and all else that its links have as
    attributes: numbers, arrays, Variables, and lists or dictionaries of these.
    Parameters and their gradients are kept by reference: a model's own code may replace
    them during forward, but not write into them, where that can be prevented: on a CPU.

    What the model keeps between calls is shared by all threads that use it, so that
    one pass runs at a time, and each begins with the model as it was.

    Args:
        parts (Parts): What the model consists of, or all that are run.
        n_example (int): Number of examples in the data.

    Attributes:
        attributes (list of dict): What each link has as attributes, as they are while
            no other thread runs the model.
    """

    def __init__(self, parts: Parts, n_example: int) -> None:
        self._n_example = n_example
        with one_at_a_time():
            # What has no value yet is looked after by FirstParameters.
            parameters = [
                _Parameter(p, array, _grad_of(p))
                for _, p in parts.parameters
                if (array := array_of(p)) is not None
            ]
            self._protected = that_can_be_protected(
                [a for p in parameters for a in (p.array, p.grad)]
            )
            links = [link for _, link in parts.links]
            self.attributes = list(map(attributes_of, links))
            self._links = list(map(_Attributes, links, self.attributes))
            self._everything: list[_Parameter | _Attributes]
            self._everything = [*parameters, *self._links]
            self._states = [
                (link, *state)
                for link, has in zip(links, self.attributes)
                for state in _states_of(link, has)
            ]

    @property
    def has_state(self) -> bool:
        """Whether the model goes on from a hidden state that it has at call time."""
        return bool(self._states)

    @contextlib.contextmanager
    def during_call(self) -> Iterator[None]:
        """Return a block around a whole call.

        What the model reports meanwhile (a classifier its loss and accuracy) goes
        nowhere, rather than into the observation of a training that is under way.
        """
        try:
            with _DeafReporter():
                yield
        finally:
            self._put_back()

    @contextlib.contextmanager
    def during_pass(self) -> Iterator[None]:
        """Return a block for a pass, forward and backward."""
        with one_at_a_time():
            try:
                with read_only(self._protected):
                    yield
            finally:
                self._put_back()

    def begin_forward(self, index: np.ndarray) -> None:
        """Let the model begin a forward, in a block for a pass, from where it was.

        Its hidden state has a row for each example of the data, or one row for all;
        the rows of the pass begin with theirs. Of a link of Chainer, a state that has
        neither is an error as soon as the model uses it.

        Args:
            index (numpy.ndarray): Index in the data of each row's example.
        """
        for attributes in self._links:
            attributes.put_back()
        for link, name, state in self._states:
            array = state.array if isinstance(state, chainer.Variable) else state
            if len(array) == self._n_example:
                rows = array[index]
            elif len(array) == 1:
                rows = array[np.zeros(len(index), int)]
            elif name not in _names_of_states(link):
                continue  # what a link keeps for others to read need be no state
            else:
                # A model that resets it in forward never looks at what was there.
                vars(link)[name] = _StateOfOtherRows(
                    f"the hidden state {name!r} of the model's link "
                    f"{link.name or type(link).__name__!r} has {len(array)} rows; it "
                    f"must have one for each of the {self._n_example} examples, or one "
                    "for all. Reset it (reset_state) before, or within eval_fun"
                )
                continue
            is_variable = isinstance(state, chainer.Variable)
            vars(link)[name] = chainer.Variable(rows) if is_variable else rows

    def _put_back(self) -> None:
        """Put everything back, also what comes after something that cannot be."""
        errors: list[Exception] = []
        with one_at_a_time():
            for before in self._everything:
                try:
                    before.put_back()
                except Exception as error:
                    errors.append(error)
        if errors:
            raise errors[0]


class _StateOfOtherRows(chainer.Variable):
    """Takes the place of a hidden state that fits no batch: to use it is an error.

    Args:
        message (str): What the error says.
    """

    def __init__(self, message: str) -> None:
        self._message = message  # and nothing else of a Variable

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise ValueError(super().__getattribute__("_message"))


class _Parameter(NamedTuple):
    """A parameter, and what it holds."""

    parameter: chainer.Parameter
    array: Array
    grad: Array | None

    def put_back(self) -> None:
        parameter = self.parameter
        # What the properties return, as a rule: they take three calls each.
        is_same = parameter._data[0] is self.array and parameter._grad is self.grad
        if is_same and parameter._grad_var is None:
            return
        if parameter.array is not self.array:
            parameter.array = self.array
        if parameter.grad is not self.grad:
            parameter.grad = self.grad


def _grad_of(parameter: chainer.Parameter) -> Array | None:
    is_plain = parameter._grad_var is None and parameter._grad_valid
    if not is_plain or parameter._has_chainerx_array or parameter._layout is not None:
        return parameter.grad
    return parameter._grad  # the same, without three calls


class _DeafReporter(chainer.Reporter):
    def report(self, values: Any, observer: Any = None) -> None:
        pass


class _Written(NamedTuple):
    """Something that can be written into, and what it held."""

    value: Any
    held: Any


class _Attributes:
    """What a link has as attributes, but for parameters, children and Chainer's own.

    Args:
        link (chainer.Link): The link.
        has (dict): Those attributes.
    """

    def __init__(self, link: chainer.Link, has: dict[str, Any]) -> None:
        self._now = vars(link)
        # All that there is, to see at once that nothing is another.
        self._names, self._values = list(self._now), list(self._now.values())
        self._before = has
        self._written = list(_what_can_be_written(has.values()))

    def put_back(self) -> None:
        """Give the link the attributes that it had."""
        now = self._now
        is_same = list(now) == self._names and all(
            map(operator.is_, now.values(), self._values)
        )
        if not is_same:
            self._put_back_attributes()
        for value, held in self._written:
            _write_back(value, held)

    def _put_back_attributes(self) -> None:
        now, before = self._now, self._before
        for name in now.keys() - set(self._names) - OF_CHAINER:
            del now[name]
        for name, value in before.items():
            if now.get(name, self) is not value:
                now[name] = value


# Of others, such as objects of the user's own, is not known what copies them.
_CONTAINERS = (
    *(list, dict, set, collections.deque, collections.OrderedDict),
    *(collections.defaultdict, collections.Counter),
)


def _what_can_be_written(values: Any) -> Iterator[_Written]:
    """Give arrays and containers among values, with a copy of what they hold."""
    for value in values:
        if type(value) in CONSTANTS or isinstance(value, chainer.Parameter):
            continue
        if isinstance(value, chainer.Variable):
            value = value.array
        if isinstance(value, chainer.get_array_types()):
            yield _Written(value, value.copy())
        elif type(value) in _CONTAINERS:
            yield _Written(value, value.copy())
            yield from _what_can_be_written(
                value.values() if isinstance(value, dict) else value
            )


def _write_back(value: Any, held: Any) -> None:
    if isinstance(value, (list, collections.deque)):
        if len(value) != len(held) or any(a is not b for a, b in zip(value, held)):
            value.clear()
            value.extend(held)
    elif isinstance(value, (dict, set)):
        if value != held if isinstance(value, set) else not _holds(value, held):
            value.clear()
            value.update(held)
    elif not _is_equal(value, held):
        value[...] = held


def _holds(value: dict[Any, Any], held: dict[Any, Any]) -> bool:
    return value.keys() == held.keys() and all(value[k] is held[k] for k in held)


def _is_equal(one: Array, other: Array) -> bool:
    """Tell whether two arrays hold the same bytes: NaN is NaN, and -0 is not 0."""
    if one.dtype.hasobject:
        return all(a is b for a, b in zip(one.ravel(), other.ravel()))
    if isinstance(one, np.ndarray) and one.nbytes <= _SMALL:
        return bool(one.tobytes() == other.tobytes())
    xp = chainer.backend.get_array_module(one)
    of_one, of_other = (xp.ascontiguousarray(a).reshape(-1) for a in (one, other))
    return bool((of_one.view(np.uint8) == of_other.view(np.uint8)).all())


def _states_of(link: chainer.Link, has: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give names and values of the hidden states that a link may go on from.

    Those of Chainer's stateful links are known; of a user's own, they are what its
    attributes have as Variables.
    """
    kinds = (chainer.Variable, *chainer.get_array_types())
    for name, value in has.items():
        if type(value) in CONSTANTS or not isinstance(value, kinds):
            continue
        if name in link._persistent:
            continue
        is_state = isinstance(value, chainer.Variable) or name in _names_of_states(link)
        if is_state and not isinstance(value, chainer.Parameter) and value.ndim > 0:
            yield name, value


def _names_of_states(link: chainer.Link) -> set[str]:
    names = [names for cls, names in _STATES.items() if isinstance(link, cls)]
    return {name for names_of_class in names for name in names_of_class}
