"""What models consist of, found in one walk at the beginning of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saliency.array_types import Array

import chainer

#: What Chainer itself keeps in the attributes of every link.
OF_CHAINER = frozenset((*vars(chainer.Chain()), *vars(chainer.ChainList())))

#: Types of values that nothing can be written into, and that hold no arrays.
CONSTANTS = frozenset((bool, float, int, str, type(None)))


@dataclass(frozen=True)
class Parts:
    """The links and the parameters of models, each once.

    Attributes:
        links (list of (str, chainer.Link)): With their paths, as in
            ``model.namedlinks()``.
        attributes (list of dict): What else each of these links has: its attributes,
            persistent values among them, but for parameters, children and what Chainer
            keeps in every link.
        parameters (list of (str, chainer.Parameter)): With their paths, as in
            ``model.namedparams()``; also those that have no value yet.
        arrays (list of array or None): What each of these parameters holds.
    """

    links: list[tuple[str, chainer.Link]]
    attributes: list[dict[str, Any]]
    parameters: list[tuple[str, chainer.Parameter]]
    arrays: list[Array | None]


def parts_of(models: Sequence[chainer.Link]) -> Parts:
    """Return what models consist of."""
    links: dict[int, tuple[str, chainer.Link]] = {}
    attributes: list[dict[str, Any]] = []
    parameters: dict[int, tuple[str, chainer.Parameter]] = {}
    for model in models:
        for path, link in model.namedlinks():
            if id(link) in links:
                continue
            links[id(link)] = path, link
            attributes.append(_attributes_of(link))
            for name in sorted(link._params):
                parameter = vars(link)[name]
                parameters.setdefault(
                    id(parameter), (f"{path.rstrip('/')}/{name}", parameter)
                )
    found = list(parameters.values())
    arrays = [_array_of(parameter) for _, parameter in found]
    return Parts(list(links.values()), attributes, found, arrays)


def _attributes_of(link: chainer.Link) -> dict[str, Any]:
    params, persistent = link._params, link._persistent
    children = getattr(link, "_children", ())
    names = children if isinstance(children, set) else ()  # or they are in a list
    return {
        name: value
        for name, value in vars(link).items()
        if name in persistent
        or not (name in OF_CHAINER or name in params or name in names)
    }


def _array_of(parameter: chainer.Parameter) -> Array | None:
    if parameter._has_chainerx_array or parameter._layout is not None:
        return parameter.array
    return parameter._data[0]  # the same, without three calls
