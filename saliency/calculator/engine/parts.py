"""What models consist of, found in one walk at the beginning of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import chainer


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
