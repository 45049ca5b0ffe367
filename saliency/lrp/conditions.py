"""Conditions of concept relevance propagation: which channels relevance goes through.

Achtibat et al. (2023), "From attribution maps to human-understandable explanations
through concept relevance propagation", Nature Machine Intelligence 5.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.array_types import Array
from saliency.checks import is_int
from saliency.lrp.graph import Graph

import chainer

#: Channels of a layer's output (axis 1), or an index into the axes behind the batch
#: axis.
Channels = Union[int, Sequence[int], np.ndarray, tuple[Union[int, slice], ...]]


class Conditions:
    """Lets relevance through some channels of layers, and stops it at the others.

    Args:
        links (mapping): The layers, by their paths.
        channels (mapping): The channels of each, by the same paths.
    """

    def __init__(
        self, links: Mapping[str, chainer.Link], channels: Mapping[str, Channels]
    ) -> None:
        self._watched = [
            (path, _index_of(channels[path]), VariableMonitorLinkHook(link, name))
            for i, (path, link) in enumerate(links.items())
            for name in [f"saliency/condition{i}"]
        ]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Return a block for the forward pass, after which the layers are known."""
        with contextlib.ExitStack() as stack:
            for _, _, monitor in self._watched:
                stack.enter_context(monitor)
            yield

    def masks(self, graph: Graph) -> dict[chainer.variable.VariableNode, Array]:
        """Return what relevance is multiplied by at the layers' outputs: 1 or 0.

        Raises:
            ValueError: If a layer is not on the way from the targets to the outputs,
                or does not have the channels.
        """
        masks = {}
        for path, index, monitor in self._watched:
            monitor.check_called()
            calls = [v for v in monitor.variables if graph.is_on_the_way(v)]
            monitor.clear()
            if not calls:
                raise ValueError(
                    f"conditions has layer {path!r}, which is not on the way from the "
                    "target to the output, so that no relevance goes through it"
                )
            masks.update({v.node: _mask(v.array, index, path) for v in calls})
        return masks


def check_channels(path: str, channels: Any) -> None:
    """Raise a ValueError unless these may be the channels of a layer."""
    if not is_int(channels) and not isinstance(channels, tuple):
        array = np.asarray(channels)
        is_list = array.ndim == 1 and array.size and array.dtype.kind in "iu"
        if not is_list:
            raise ValueError(
                f"conditions[{path!r}] must be an int, a list of ints, or a tuple of "
                "ints and slices, which is an index into the axes behind the batch "
                f"axis; got {channels!r}"
            )
    elif isinstance(channels, tuple):
        is_index = channels and all(is_int(i) or type(i) is slice for i in channels)
        if not is_index:
            raise ValueError(
                f"conditions[{path!r}] as a tuple must hold ints and slices, an index "
                f"into the axes behind the batch axis; got {channels!r}"
            )


def _index_of(channels: Any) -> tuple[Any, ...]:
    """Return an index into the axes behind the batch axis."""
    if isinstance(channels, tuple):
        return channels
    return (np.atleast_1d(np.asarray(channels)),)


def _mask(output: Array, index: tuple[Any, ...], path: str) -> Array:
    """Return 1 at an index of each row of an output, and 0 elsewhere."""
    axes = output.shape[1:]
    fits = len(index) <= len(axes) and all(_is_in(i, n) for i, n in zip(index, axes))
    if not fits:
        raise ValueError(
            f"conditions[{path!r}] asks for what layer {path} does not have; behind "
            f"the batch axis its output has the shape {axes}, and numbers of channels "
            "begin at 0"
        )
    xp = chainer.backend.get_array_module(output)
    mask = xp.zeros_like(output)
    index = tuple(xp.asarray(i) if isinstance(i, np.ndarray) else i for i in index)
    mask[(slice(None), *index)] = 1
    return mask


def _is_in(index: Any, length: int) -> bool:
    """Tell whether part of an index picks something of an axis, and nothing beyond."""
    if isinstance(index, slice):
        return len(range(*index.indices(length))) > 0
    return bool(np.all((np.asarray(index) >= 0) & (np.asarray(index) < length)))
