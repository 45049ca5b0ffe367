"""Maps whose weights are scores: what becomes of an output channel by channel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import Extent, Rows, RowsOfPass
from saliency.calculator.engine.run import Run
from saliency.calculator.feature_maps import (
    HowToRead,
    LayerMaps,
    MapsRun,
    mean_of_layers,
    size_of_maps,
)
from saliency.calculator.grad_cam_calculator import GradCAMCalculator
from saliency.checks import narrowed

import chainer


class ChannelScoresCalculator(GradCAMCalculator):
    """Weighs feature maps by the score with something done for each channel.

    There is a pass of each example as it is (step 0), which gives the maps, and one for
    each channel of each map, whose scores the weights are made of. A subclass does
    something for the channel in :meth:`change_target`, and its run says what the
    weights are. The arguments are those of
    :class:`~saliency.calculator.grad_cam_calculator.GradCAMCalculator`.
    """

    keeps_steps = True
    changes_one_example = True
    tells_calls_apart = False

    @property
    def how_to_read(self) -> HowToRead:
        """Which maps there are."""
        return HowToRead(self.call, self.reshape, self.resize)

    @abstractmethod
    def start(self, batches: Batches, passes: CleanPasses) -> ChannelsRun:
        """Return what holds the maps until all scores are known."""

    @abstractmethod
    def change_target(self, origin: Array, this: ForwardPass, call: int) -> Array:
        """Do what is done for the channel of each row; return the target's value."""

    def number_of_steps(self, run: Run, batch: UserBatch, passes: CleanPasses) -> int:
        """Return the number of channels, and one for the example as it is."""
        channels = channels_run(run)
        n_example = 1 if batch.can_gather() else batch.size
        with channels.looked_at():
            this = passes.of_rows(batch, np.arange(n_example), needs_graph=True)
        channels.begin(batch, this)
        return 1 + channels.n_channel

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return the scores; the run keeps the maps of examples as they are."""
        channels_run(this.run).keep(this)
        return this.scores(classes)


class Channel(NamedTuple):
    """A channel of the maps of a call.

    Attributes:
        call (int): Which of the calls of all layers.
        k (int): Which of its channels.
    """

    call: int
    k: int


class ChannelsRun(MapsRun):
    """What one call holds: maps of the samples under way.

    Args:
        layers (sequence of chainer.Link or None): The layers, as in ``MapsRun``.
        how (HowToRead): How maps are read.

    Attributes:
        how (HowToRead): The same.
        n_channel (int): How many channels the maps of the batch at hand have.
    """

    def __init__(self, layers: Any, how: HowToRead) -> None:
        super().__init__(layers)
        self.plan = as_they_are_first
        self.how = how
        self.n_channel = 0
        self._first_example = 0
        self._layers: list[tuple[str, int]] = []  # names, and numbers of calls
        self._channels: list[Channel] = []
        self._size: tuple[int, ...] | None = None
        # For each sample and example, the maps of all calls, (channel, ...).
        self._maps: dict[tuple[int, int], list[Array]] = {}

    def needs_graph(self, rows: Rows) -> bool:
        """Tell whether a pass of these rows keeps its graph, which shows the maps."""
        return bool((rows.step == 0).any())

    def looked_at(self) -> AbstractContextManager[None]:
        """Return a block for the first pass of a batch, given to :meth:`begin`."""
        return self.caught()

    def begin(self, batch: UserBatch, this: ForwardPass) -> None:
        """Get ready for a batch, given a pass of an example with its graph."""
        self._first_example = batch.start
        self._maps.clear()
        layers = self.read(this, self.how)
        of_calls = [A for layer in layers for A in layer.arrays(this, self.how)]
        self._layers = [(layer.name, len(layer.calls)) for layer in layers]
        self._channels = [
            Channel(i, k) for i, A in enumerate(of_calls) for k in range(A.shape[1])
        ]
        self.n_channel = len(self._channels)
        self.look_at(layers, this)

    def look_at(self, layers: list[LayerMaps], this: ForwardPass) -> None:
        """Look at a pass of an example for what the maps of a batch have in common.

        Args:
            layers (list of LayerMaps): The maps.
            this (ForwardPass): The pass.
        """
        n_axis = layers[0].arrays(this, self.how)[0].ndim - 2
        self._size = size_of_maps(this, self.how.resize, n_axis)

    def keep(self, this: ForwardPass) -> None:
        """Keep the maps of those rows of a pass that are examples as they are."""
        rows = this.rows
        if not self.needs_graph(rows):
            self.let_go()
            return
        layers = self.read(this, self.how)
        of_calls = [A for layer in layers for A in layer.arrays(this, self.how)]
        for row in np.flatnonzero(rows.step == 0).tolist():
            place = int(rows.sample[row]), int(rows.example[row])
            self._maps[place] = [A[row].copy() for A in of_calls]

    def channels(
        self, this: ForwardPass
    ) -> Iterator[tuple[int, np.ndarray, list[int]]]:
        """Give the rows for which something is done, by the call whose maps it is for.

        Returns:
            iterator of tuple: Which of the calls of all layers, the rows, and for each
            row the channel.
        """
        changed = np.flatnonzero(this.rows.step)
        of_rows = [self._channels[step - 1] for step in this.rows.step[changed]]
        for i in sorted({channel.call for channel in of_rows}):
            found = [n for n, channel in enumerate(of_rows) if channel.call == i]
            yield i, changed[found], [of_rows[n].k for n in found]

    def maps_of(self, this: ForwardPass, row: int) -> list[Array]:
        """Return the maps of all calls for a row's example, ``(channel, ...)``."""
        return self._maps[int(this.rows.sample[row]), int(this.rows.example[row])]

    def put_together(
        self, of_targets: list[np.ndarray], dtypes: list[np.dtype], first: int
    ) -> list[np.ndarray]:
        """Return the maps of samples of which all scores are known.

        Args:
            of_targets (list of numpy.ndarray): The scores, ``(n, size, 1 + channel)``.
            dtypes (list of numpy.dtype): Of the maps.
            first (int): Which of the M samples is the first of them.

        Raises:
            ValueError: If there are no weights, or a finite value is beyond the largest
                of its dtype.
        """
        (scores,), (dtype,) = of_targets, dtypes
        maps = [
            [
                self._map(of_example, self._maps.pop((sample, i)), i)
                for i, of_example in enumerate(of_sample)
            ]
            for sample, of_sample in enumerate(scores, first)
        ]
        return [narrowed(np.array(maps), dtype, "a saliency")]

    def _map(self, scores: np.ndarray, maps: list[Array], i: int) -> np.ndarray:
        """Return the map of an example, given its scores and the maps of all calls."""
        starts = np.cumsum([1, *map(len, maps)])
        parts = []
        for A, start in zip(maps, starts.tolist()):
            of_channels = scores[start : start + len(A)]
            alpha = self.weights(of_channels, scores[0], self._first_example + i)
            xp = chainer.backend.get_array_module(A)
            parts.append(xp.tensordot(xp.asarray(alpha), A.astype("d"), 1)[None])
        of_layers = []
        for name, n_call in self._layers:
            of_layers.append((name, parts[:n_call]))
            parts = parts[n_call:]
        found = chainer.cuda.to_cpu(mean_of_layers(of_layers, self._size))
        of_example: np.ndarray = found[0]
        return of_example

    @abstractmethod
    def weights(self, scores: np.ndarray, score: float, example: int) -> np.ndarray:
        """Return the weights of the maps of a call.

        Args:
            scores (numpy.ndarray): ``(channel,)``, with what is done for each.
            score (float): That of the example as it is.
            example (int): Its index in the data.
        """


def as_they_are_first(extent: Extent, rows_of_pass: RowsOfPass) -> Iterator[Rows]:
    """Fill passes sample by sample, with step 0 of all examples before the others."""
    of_sample = extent.n_part * extent.n_example
    for start in range(0, len(extent), of_sample):
        at = start
        for stop in (start + extent.n_example, start + of_sample):
            while at < stop:
                first, at = at, min(at + rows_of_pass(), stop)
                yield extent.rows(first, at)


def channels_run(run: Run) -> ChannelsRun:
    """Return what a call holds."""
    assert isinstance(run, ChannelsRun)  # what start has returned
    return run
