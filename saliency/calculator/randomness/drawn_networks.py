"""Networks drawn from a posterior, in the place of the trained one."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator.randomness.posteriors import Network, Posterior
from saliency.calculator.randomness.random_streams import RandomStreams
from saliency.checks import is_finite

import chainer

_MISSING = object()


class DrawnNetworks:
    """Runs a model with the parameters of each sample.

    The model of the user has them in the thread that asks for them, and there alone:
    others go on seeing the trained ones, which nothing is written into.

    Args:
        posterior (Posterior): What networks are drawn from.
        model (chainer.Link): Whose parameters they have.
        streams (RandomStreams): Where random numbers come from.

    Raises:
        TypeError: If ``model`` is no link.
    """

    def __init__(
        self, posterior: Posterior, model: Any, streams: RandomStreams
    ) -> None:
        if not isinstance(model, chainer.Link):
            raise TypeError(
                "posterior needs a model that is a chainer.Link, whose parameters it "
                f"draws; got {type(model).__name__}"
            )
        self._posterior = posterior
        self._streams = streams
        # What has no value yet is not used, so that no value is drawn for it either.
        parameters = model.namedparams(include_uninit=False)
        self._parameters = {k[1:]: p for k, p in parameters}
        self._persistents = {
            f"{path}/{name}".lstrip("/"): (link, name)
            for path, link in model.namedlinks()
            for name in link._persistent
        }
        self._sample = -1
        self._drawn: dict[str, Any] = {}  # for that sample, on the model's device

    @contextlib.contextmanager
    def of_sample(self, sample: int) -> Iterator[None]:
        """Return a block in which the model is the network of one sample.

        One thread at a time may be in such a block.
        """
        if self._sample != sample:
            rng = self._streams.of_sample(sample)
            self._drawn = self._checked(self._posterior.draw(sample, rng))
            self._sample = sample
        with contextlib.ExitStack() as stack:
            attributes: dict[tuple[type, str], dict[int, Any]] = defaultdict(dict)
            for name, value in self._drawn.items():
                if name in self._parameters:
                    stack.enter_context(_array_here(self._parameters[name], value))
                else:
                    link, attribute = self._persistents[name]
                    # A copy, since the model may write into it.
                    values = attributes[type(link), attribute]
                    values[id(link)] = copy.copy(value)
            for (owner, attribute), values in attributes.items():
                stack.enter_context(_attribute_here(owner, attribute, values))
            yield

    def _checked(self, network: Network) -> dict[str, Any]:
        """Return what was drawn in the types of the model.

        Raises:
            ValueError: If a parameter is missing, unknown, or of another shape.
        """
        own = {name: p.array for name, p in self._parameters.items()}
        missing = [name for name in own if name not in network]
        if missing:
            raise ValueError(
                f"posterior gives no value for the parameter {missing[0]!r} of the "
                f"model; it has {', '.join(map(repr, sorted(network)[:4])) or 'none'}"
            )
        own.update({k: getattr(*of) for k, of in self._persistents.items()})
        return {name: _like(name, value, own) for name, value in network.items()}


def _like(name: str, value: Any, own: dict[str, Any]) -> Any:
    if name not in own:
        raise ValueError(
            f"posterior gives {name!r}, which is no parameter of the model; it has "
            f"{', '.join(map(repr, sorted(own)[:4]))}"
        )
    if np.shape(value) != np.shape(own[name]):
        raise ValueError(
            f"posterior gives {name!r} of shape {np.shape(value)}, but the model's is "
            f"of shape {np.shape(own[name])}"
        )
    value = np.asarray(chainer.cuda.to_cpu(value))
    if not is_finite(value):
        raise ValueError(
            f"posterior gives NaN or infinity in {name!r}; its networks must be finite"
        )
    if not isinstance(own[name], chainer.get_array_types()):
        return type(own[name])(value)
    device = chainer.backend.get_device_from_array(own[name])
    return device.send(value.astype(own[name].dtype))


@contextlib.contextmanager
def _array_here(parameter: chainer.Parameter, array: Array) -> Iterator[None]:
    """Return a block in which a parameter has another array, for this thread alone."""
    before = parameter._data
    try:
        parameter._data = _ArrayHere(before, array)
        yield
    finally:
        parameter._data = before


class _Thread(threading.local):
    """A thread, and how many calls, one within the other, it is in."""

    def __init__(self) -> None:
        # Numbers of threads are given again, also to those of a forked child.
        self.identity = object()
        self.depth = 0


_thread = _Thread()


@contextlib.contextmanager
def trained_network() -> Iterator[None]:
    """Return a block in which this thread sees trained networks again.

    It is for a call within a pass of another one, which explains the trained network
    and not the one that is drawn at the moment.
    """
    _thread.depth += 1
    try:
        yield
    finally:
        _thread.depth -= 1


class _Here:
    """The place where a drawn network is seen: one thread, and one call in it."""

    def __init__(self) -> None:
        self._place = _thread.identity, _thread.depth

    def is_here(self) -> bool:
        """Tell whether this is asked in that place."""
        return self._place == (_thread.identity, _thread.depth)


class _ArrayHere:
    """Takes the place of the list in which a variable of Chainer keeps its array."""

    def __init__(self, elsewhere: Any, array: Array) -> None:
        self._elsewhere = elsewhere
        self._here = [array]
        self._where = _Here()

    def __getitem__(self, index: int) -> Array:
        return self._list()[index]

    def __setitem__(self, index: int, array: Array) -> None:
        self._list()[index] = array

    def _list(self) -> Any:
        return self._here if self._where.is_here() else self._elsewhere


@contextlib.contextmanager
def _attribute_here(owner: type, name: str, values: dict[int, Any]) -> Iterator[None]:
    """Return a block in which links have other values of an attribute, as above.

    Args:
        owner (type): The class of the links.
        name (str): The attribute.
        values (dict): The value of each link, by its id.
    """
    before = owner.__dict__.get(name, _MISSING)
    try:
        setattr(owner, name, _AttributeHere(name, values, before))
        yield
    finally:
        if before is not _MISSING:
            setattr(owner, name, before)
        elif isinstance(owner.__dict__.get(name), _AttributeHere):
            delattr(owner, name)


class _AttributeHere:
    """An attribute of a class whose objects have other values in one thread."""

    def __init__(self, name: str, values: dict[int, Any], before: Any) -> None:
        self._name = name
        self._values = values
        self._before = before
        self._where = _Here()

    def __get__(self, link: Any, owner: type) -> Any:
        if link is not None and self._is_here(link):
            return self._values[id(link)]
        if isinstance(self._before, _AttributeHere):
            return self._before.__get__(link, owner)
        if link is not None and self._name in vars(link):
            return vars(link)[self._name]
        if self._before is not _MISSING:
            return self._before
        raise AttributeError(f"{owner.__name__} has no attribute {self._name!r}")

    def __set__(self, link: Any, value: Any) -> None:
        if self._is_here(link):
            self._values[id(link)] = value
        elif isinstance(self._before, _AttributeHere):
            self._before.__set__(link, value)
        else:
            vars(link)[self._name] = value

    def __delete__(self, link: Any) -> None:
        del vars(link)[self._name]

    def _is_here(self, link: Any) -> bool:
        return id(link) in self._values and self._where.is_here()
