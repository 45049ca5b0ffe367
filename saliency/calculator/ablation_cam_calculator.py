"""Ablation-CAM: maps weighted by how far the score falls without them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.array_types import Array
from saliency.calculator.channel_scores import (
    ChannelScoresCalculator,
    ChannelsRun,
    channels_run,
)
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.feature_maps import HowToRead, LayerMaps, as_maps, is_relu
from saliency.calculator.grad_cam_calculator import find_layers

import chainer


class AblationCAMCalculator(ChannelScoresCalculator):
    r"""Ablation-CAM: maps weighted by how far the score falls without them.

    .. math::
        w_k^c = \frac{y^c - y_k^c}{|y^c|}, \quad
        L^c = \mathrm{ReLU}\left(\sum_k w_k^c A^k\right)

    Desai and Ramaswamy (2020), "Ablation-CAM: visual explanations for deep
    convolutional network via gradient-free localization", WACV 2020. The score
    :math:`y_k^c` is that with the k-th map set to 0. The paper divides by
    :math:`y^c`, which it takes to be positive; the absolute value keeps the sign of
    the weights where it is not.

    It needs no gradient, but a pass for each channel. The maps :math:`A^k`, the
    arguments and what else is raised are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`. ``compute``
    also raises a ValueError where a score is 0, or where a map cannot be set to 0: it
    must be what a link gives, or what the ReLU behind a link gives, and ``reshape``
    must do no more than rearrange.
    """

    def start(self, batches: Batches, passes: CleanPasses) -> AblationsRun:
        """Return what sets maps to 0, and holds them until all scores are known."""
        return AblationsRun(find_layers(self.model, self.layer), self.how_to_read)

    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Return the target as it is; the rows are known from here on."""
        run = channels_run(this.run)
        assert isinstance(run, AblationsRun)  # what start has returned
        run.this = this
        return origin


class AblationsRun(ChannelsRun):
    """What one call of Ablation-CAM holds.

    Attributes:
        this (ForwardPass or None): The pass under way, once it has come to the target.
    """

    def __init__(self, layers: Any, how: HowToRead) -> None:
        super().__init__(layers, how)
        self.this: ForwardPass | None = None
        self._link_calls = _LinkCalls()
        self._ablating: list[VariableMonitorLinkHook] = []
        # For the maps of each call, the elements of every channel, (channel, place).
        self._elements: list[np.ndarray] = []

    @contextlib.contextmanager
    def looked_at(self) -> Iterator[None]:
        """Return a block for the first pass of a batch, which shows what links give."""
        with super().looked_at(), self._link_calls:
            yield

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Return a block for the forward pass, in which maps are set to 0."""
        with super().caught(), contextlib.ExitStack() as stack:
            for hook in self._ablating:
                stack.enter_context(hook)
            yield

    def let_go(self) -> None:
        """Let go of what was caught, and of the pass."""
        super().let_go()
        self.this = None
        for hook in self._ablating:
            hook.clear()

    def look_at(self, layers: list[LayerMaps], this: ForwardPass) -> None:
        """See which links give the maps, and where in what they give.

        Raises:
            ValueError: If maps cannot be set to 0.
        """
        super().look_at(layers, this)
        made_by: dict[chainer.Link, dict[int, list[int]]] = {}
        self._elements = []
        try:
            for layer in layers:
                for A in layer.calls:
                    link, call = self._link_calls.that_gives(A, layer.name)
                    calls = made_by.setdefault(link, {})
                    calls.setdefault(call, []).append(len(self._elements))
                    self._elements.append(_elements(A, layer.name, self.how))
        finally:
            self._link_calls.clear()
        self._ablating = []
        for i, (link, calls) in enumerate(made_by.items()):
            hook = VariableMonitorLinkHook(link, name=f"saliency/ablated/{i}")
            hook.add_process("ablate", partial(self._ablate, calls))
            self._ablating.append(hook)

    def _ablate(
        self,
        maps_of_calls: dict[int, list[int]],
        hook: VariableMonitorLinkHook,
        args: Any,
        variable: Any,
    ) -> None:
        """Set the maps that a call of a link has given to 0, each in its row."""
        maps = maps_of_calls.get(len(hook.variables) - 1, [])
        if self.this is None:
            return
        for i, rows, channels in self.channels(self.this):
            if i in maps:
                array = variable.array.copy()
                of_rows = array.reshape(len(array), -1)
                of_rows[rows[:, None], self._elements[i][channels]] = 0
                variable.array = array

    def weights(self, scores: np.ndarray, score: float, example: int) -> np.ndarray:
        """Return how far the score falls without each map, as a share of it."""
        if score == 0:
            raise ValueError(
                f"the score of example {example} is 0, so that Ablation-CAM cannot "
                "tell which share of it a map has; explain another score (class_index)"
            )
        weights: np.ndarray = (score - scores) / abs(score)
        return weights


class _LinkCalls(chainer.LinkHook):
    """Notes what the calls of all links give."""

    name = "saliency/link_calls"

    def __init__(self) -> None:
        # By the node of what it gave: the link, and which of its calls it was.
        self._by_node: dict[Any, tuple[chainer.Link, int]] = {}
        self._n_call: Counter[chainer.Link] = Counter()

    def clear(self) -> None:
        self._by_node.clear()
        self._n_call.clear()

    def added(self, link: chainer.Link | None) -> None:
        """Start afresh (called by Chainer when the hook is registered)."""
        self.clear()

    def forward_postprocess(self, args: Any) -> None:
        """Note a call (called by Chainer after a link's forward)."""
        if isinstance(args.out, chainer.Variable):
            place = args.link, self._n_call[args.link]
            # A link within another may give the same: the inner one is noted.
            self._by_node.setdefault(args.out.node, place)
        self._n_call[args.link] += 1

    def that_gives(self, A: chainer.Variable, name: str) -> tuple[chainer.Link, int]:
        """Return the link that gives maps, or what the ReLU before them is applied to.

        A ReLU of 0 is 0.

        Raises:
            ValueError: If there is none.
        """
        nodes = [A.node]
        if A.creator_node is not None:
            nodes += A.creator_node.inputs[:1] if is_relu(A.creator_node) else []
        for node in nodes:
            if node in self._by_node:
                return self._by_node[node]
        raise ValueError(
            f"the maps of layer {name} cannot be set to 0, since no link gives them, "
            "nor what a ReLU before them is applied to; choose another layer, or a "
            "method that needs no ablation, such as XGradCAM"
        )


def _elements(A: chainer.Variable, name: str, how: HowToRead) -> np.ndarray:
    """Return which elements of a row are those of each channel, ``(channel, place)``.

    Raises:
        ValueError: If ``reshape`` does more than rearrange.
    """
    n = int(np.prod(A.shape[1:]))
    numbers = np.arange(n, dtype="d").reshape(1, *A.shape[1:])
    maps = chainer.cuda.to_cpu(as_maps(numbers, name, how.reshape, 1))[0]
    elements: np.ndarray = maps.reshape(len(maps), -1).astype(int)
    if (elements != maps.reshape(len(maps), -1)).any() or (
        len(np.unique(elements)) < elements.size
    ):
        raise ValueError(
            "reshape must do no more than rearrange what the layer gives, since "
            "Ablation-CAM sets that to 0, channel by channel"
        )
    return elements
