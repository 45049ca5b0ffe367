"""What models consist of, found in one walk at the beginning of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from saliency.array_types import Array

import chainer

#: What Chainer itself keeps in the attributes of every link.
OF_CHAINER = frozenset((*vars(chainer.Chain()), *vars(chainer.ChainList())))

#: Types of values that nothing can be written into, and that hold no arrays.
CONSTANTS = frozenset((bool, float, int, str, type(None)))


class Parts(NamedTuple):
    """The links and the parameters of models, each once.

    Attributes:
        links (list of (str, chainer.Link)): With their paths, as in
            ``model.namedlinks()``.
        parameters (list of (str, chainer.Parameter)): With their paths, as in
            ``model.namedparams()``; also those that have no value yet.
    """

    links: list[tuple[str, chainer.Link]]
    parameters: list[tuple[str, chainer.Parameter]]


def parts_of(models: Sequence[chainer.Link]) -> Parts:
    """Return what models consist of."""
    links: dict[int, tuple[str, chainer.Link]] = {}
    parameters: dict[int, tuple[str, chainer.Parameter]] = {}
    for model in models:
        for path, link in model.namedlinks():
            if id(link) in links:
                continue
            links[id(link)] = path, link
            attributes = vars(link)
            for name in sorted(link._params):
                parameter = attributes[name]
                parameters.setdefault(
                    id(parameter), (f"{path.rstrip('/')}/{name}", parameter)
                )
    return Parts(list(links.values()), list(parameters.values()))


def array_of(parameter: chainer.Parameter) -> Array | None:
    """Return ``parameter.array``, as a rule without the three calls that it takes."""
    if parameter._has_chainerx_array or parameter._layout is not None:
        return parameter.array
    return parameter._data[0]


def attributes_of(link: chainer.Link) -> dict[str, Any]:
    """Return what a link has but for parameters, children and Chainer's own.

    Persistent values are among it.
    """
    params, persistent = link._params, link._persistent
    children = getattr(link, "_children", ())
    names = children if isinstance(children, set) else ()  # or they are in a list
    return {
        name: value
        for name, value in vars(link).items()
        if name in persistent
        or not (name in OF_CHAINER or name in params or name in names)
    }
