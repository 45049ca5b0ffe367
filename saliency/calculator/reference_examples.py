"""Which examples of a data set a layer's channels are most relevant for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saliency.tables import PrintedTable


class Ranked(NamedTuple):
    """The best examples of each channel, the best first.

    Attributes:
        examples (numpy.ndarray of int): Their places in the data, ``(n_channel, k)``.
        values (numpy.ndarray): What they are ranked by, ``(n_channel, k)``.
    """

    examples: np.ndarray
    values: np.ndarray


class ReferenceExamples(PrintedTable):
    """The examples that channels of a layer are most relevant for; prints as a table.

    Attributes:
        layer (str): Path of the layer.
        channels (numpy.ndarray of int): Its channels, ``(n_channel,)``.
        by_relevance (Ranked): By the relevance of each channel for what was explained
            (relevance maximisation).
        by_activation (Ranked): By its activation, whatever that was good for
            (activation maximisation).
    """

    n_text_column = 0

    def __init__(
        self,
        layer: str,
        channels: np.ndarray,
        by_relevance: Ranked,
        by_activation: Ranked,
    ) -> None:
        self.layer = layer
        self.channels = channels
        self.by_relevance = by_relevance
        self.by_activation = by_activation

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            ("channel", "by relevance", "relevance", "by activation", "activation")
        ]
        for i, channel in enumerate(self.channels):
            cells = [str(channel)]
            for ranked in (self.by_relevance, self.by_activation):
                cells.append(" ".join(map(str, ranked.examples[i])))
                cells.append(f"{ranked.values[i, 0]:.4g}")
            rows.append(tuple(cells))
        return rows


class BestSoFar:
    """Keeps the best examples of each channel while batches go by.

    Args:
        k (int): How many of each.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._best: Ranked | None = None

    def add(self, values: np.ndarray, start: int) -> None:
        """Look at the next examples.

        Args:
            values (numpy.ndarray): ``(n, n_channel)``.
            start (int): Place of the first of them in the data.
        """
        places = np.arange(start, start + len(values))
        best = Ranked(np.broadcast_to(places, values.T.shape), values.T)
        if self._best is not None:
            pairs = zip(self._best, best)
            best = Ranked(*(np.concatenate(pair, axis=1) for pair in pairs))
        # Among equals the first in the data comes first, since the sort is stable.
        order = np.argsort(-best.values, axis=1, kind="stable")[:, : self._k]
        self._best = Ranked(*(np.take_along_axis(a, order, axis=1) for a in best))

    def get(self, channels: np.ndarray) -> Ranked:
        """Return the best of some channels."""
        assert self._best is not None  # data is never empty
        return Ranked(*(array[channels] for array in self._best))
