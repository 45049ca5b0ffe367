"""Values that are not finite: in a model, and in what it computes.

A NaN or an infinity inside a network may well end as a saliency of zero: a ReLU gives 0
for minus infinity, and has no gradient there.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.parts import CONSTANTS, Parts, array_of
from saliency.checks import is_finite

import chainer

# Arrays up to this size are looked through each time. Of larger ones, a sample of that
# size tells whether they have been trained since.
_N_SAMPLE = 4096


class _Known:
    """Large arrays that were looked through before."""

    def __init__(self) -> None:
        self._samples: dict[int, tuple[weakref.ref[Array], bytes]] = {}

    def is_finite(self, array: Array) -> bool:
        if not isinstance(array, np.ndarray) or array.size <= _N_SAMPLE:
            return is_finite(array)
        key = id(array)
        # As it is in memory: an iterator takes ten times as long.
        elements = array.ravel("K") if array.flags.forc else array.flat
        sample = elements[:: array.size // _N_SAMPLE].tobytes()
        reference, known = self._samples.get(key, (None, b""))
        if reference is not None and reference() is array and known == sample:
            return True
        if not is_finite(array):
            return False
        forget = weakref.ref(array, lambda _: self._samples.pop(key, None))
        self._samples[key] = forget, sample
        return True


_known = _Known()


class Suspect(NamedTuple):
    """A parameter, persistent value or hidden state of a model that is not finite.

    Attributes:
        what (str): What a message calls it.
        link (chainer.Link): Whose it is.
        parameter (chainer.Parameter or None): None for what is no parameter.
        get (callable): Returns the array as it is now.
    """

    what: str
    link: chainer.Link
    parameter: chainer.Parameter | None
    get: Callable[[], Any]

    def is_one_of(self, used: set[int]) -> bool:
        """Tell whether its link was called, or the output was computed from it."""
        return id(self.link) in used or id(self.parameter) in used

    def error(self) -> ValueError:
        """Return the error for one that is used."""
        return ValueError(
            f"the model must be finite, but its {self.what} holds NaN or infinity; has "
            "its training diverged? Where infinity stands for a mask, a number such as "
            "-1e9 will do"
        )


def suspects(parts: Parts, attributes: Sequence[dict[str, Any]]) -> list[Suspect]:
    """Return what models have that is not finite; what is not used may well be so.

    Args:
        parts (Parts): What they consist of.
        attributes (sequence of dict): What each link has as attributes.
    """
    array_types = chainer.get_array_types()
    if _is_all_finite(parts, attributes, array_types):
        return []
    return [
        _suspect(path, link, name)
        for path, link in parts.links
        for name in _names_of_values(link)
        if not _is_finite(getattr(link, name), array_types)
    ]


def _is_all_finite(
    parts: Parts, attributes: Sequence[dict[str, Any]], array_types: tuple[type, ...]
) -> bool:
    """Tell at once that nothing is suspect, as in nearly all models."""
    for _, parameter in parts.parameters:
        array = array_of(parameter)
        if array is not None and not _known.is_finite(array):
            return False
    values = (value for has in attributes for value in has.values())
    return all(
        type(value) in CONSTANTS or _is_finite(value, array_types) for value in values
    )


def _names_of_values(link: chainer.Link) -> list[str]:
    """Return the attributes of a link that hold its values, parameters first."""
    names = [*sorted(link._params), *sorted(link._persistent)]
    # Chainer's stateful links keep Variables, as a user's own do.
    for name, value in vars(link).items():
        if isinstance(value, chainer.Variable) and name not in link._params:
            names.append(name)
    return names


def _is_finite(value: Any, array_types: tuple[type, ...]) -> bool:
    array = value.array if isinstance(value, chainer.Variable) else value
    return not isinstance(array, array_types) or _known.is_finite(array)


def _suspect(path: str, link: chainer.Link, name: str) -> Suspect:
    here = getattr(link, name)
    where = f"{path.rstrip('/')}/{name}"
    if isinstance(here, chainer.Parameter):
        return Suspect(f"parameter {where}", link, here, lambda: here.array)
    if isinstance(here, chainer.Variable):
        array = here.array
        # Forward replaces it, and the next one may well be finite.
        return Suspect(f"hidden state {where}", link, None, lambda: array)
    return Suspect(f"persistent value {where}", link, None, lambda: getattr(link, name))


class WatchedLinks(chainer.LinkHook):
    """Notes which links are called, and the first whose output is not finite.

    Attributes:
        called (set of int): Ids of the links.
    """

    name = "saliency/watched links"

    def __init__(self) -> None:
        self.called: set[int] = set()
        self._first: chainer.Link | None = None

    def forward_preprocess(self, args: Any) -> None:
        """Note a link."""
        self.called.add(id(args.link))

    def forward_postprocess(self, args: Any) -> None:
        """Look at what a link has given; those within it have been looked at before."""
        if self._first is None and not all(map(is_finite, _arrays(args.out))):
            self._first = args.link

    def described(self, models: Sequence[chainer.Link]) -> str:
        """Return where what is not finite begins, for a message."""
        if self._first is None:
            return "it begins outside of any link"
        paths = [
            path
            for model in models
            for path, link in model.namedlinks()
            if link is self._first
        ]
        kind = type(self._first).__name__
        return f"it begins in the output of {kind} {paths[0] if paths else ''}".rstrip()


def _arrays(value: Any) -> Iterator[Array]:
    """Give the arrays in what a link has returned."""
    if isinstance(value, chainer.Variable):
        value = value.array
    if isinstance(value, chainer.get_array_types()):
        yield value
    elif isinstance(value, (tuple, list)):
        for element in value:
            yield from _arrays(element)
    elif isinstance(value, dict):
        for element in value.values():
            yield from _arrays(element)


def leaves(outputs: Sequence[chainer.Variable]) -> set[int]:
    """Return the ids of the variables that outputs were computed from."""
    found, seen = set(), set()
    waiting = [y.node for y in outputs]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.creator_node is not None:
            waiting.extend(node.creator_node.inputs)
            continue
        variable = node.get_variable_or_none()
        if variable is not None:
            found.add(id(variable))
    return found
