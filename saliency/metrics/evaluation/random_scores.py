"""Random scores, for metrics that have no random ranking of their own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from saliency.calculator.randomness.random_streams import METHOD, RandomStreams
from saliency.metrics.neighbours import norm

#: The target of the streams, which metrics draw nothing for.
_TARGET = 1


class Template(NamedTuple):
    """What random scores have in common with those of a method.

    Attributes:
        shape (tuple of int): Their shape.
        dtype (numpy.dtype): Their dtype.
        lengths (numpy.ndarray): How long each example is along axis 1, ``(N,)``; NaN
            is behind it.
        norms (numpy.ndarray): The Euclidean norm of each map, ``(N,)``.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    lengths: np.ndarray
    norms: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> Template:
        """Return what random scores take over from some others."""
        is_float = scores.dtype.kind == "f"
        dtype = scores.dtype if is_float else np.dtype(np.float64)
        lengths = np.full(len(scores), scores.shape[1])
        if is_float:
            lengths = np.array([_length(map_) for map_ in scores])
        return cls(scores.shape, dtype, lengths, np.array([*map(norm, scores)]))

    def draw(self, seed: int, order: int, path: Path | None) -> np.ndarray:
        """Return random scores, normally distributed, of the norm of the others.

        Args:
            seed (int): One seed, one result.
            order (int): Which of several random rankings it is.
            path (Path or None): Where they are written; None keeps them in memory.
        """
        found: np.ndarray
        if path is None:
            found = np.empty(self.shape, self.dtype)
        else:
            found = np.lib.format.open_memmap(path, "w+", self.dtype, self.shape)
        streams = RandomStreams(seed)
        for i, map_ in enumerate(found):
            length = int(self.lengths[i])
            rng = streams.generator(METHOD, order, i, target=_TARGET)
            drawn = rng.standard_normal((length, *self.shape[2:]))
            map_[:length] = drawn * (self.norms[i] / np.sqrt((drawn**2).sum()))
            map_[length:] = np.nan
        return found


def _length(map_: np.ndarray) -> int:
    """Return how many elements of a map lie before its padding."""
    is_padded = np.isnan(map_.reshape(len(map_), -1)).all(axis=1)
    n_padded = 0 if is_padded.all() else int(is_padded[::-1].argmin())
    return len(map_) - n_padded
