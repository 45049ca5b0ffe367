"""Sums of what rows contribute, for the samples that are under way."""

from __future__ import annotations

import numpy as np

from saliency.calculator.engine.rows import Extent, Rows


class Sums:
    """Adds up what rows contribute, for the samples that are under way.

    Rows come sample by sample: those before the first that is not complete are all
    handed out, and of those behind only the few that a pass has begun are held.

    Args:
        extent (Extent): How many rows there are for each sample.
        keeps_steps (bool): Whether each step has a sum of its own.
    """

    def __init__(self, extent: Extent, keeps_steps: bool) -> None:
        self._extent = extent
        self._keeps_steps = keeps_steps
        # How many sums a sample has, and of how many rows each is.
        self._n_apart = extent.n_step if keeps_steps else 1
        self._n_added = extent.n_part // self._n_apart
        self._first = extent.first_sample  # of those in _sums
        # (n_begun, size) + shape, or (n_begun, n_step, size) + shape
        self._sums: np.ndarray | None = None
        self._n_row = np.zeros(0, int)  # how many came for each

    def add(self, rows: Rows, part: np.ndarray) -> None:
        """Add the explained rows of ``part`` to their samples."""
        sample, example, step = rows.sample - self._first, rows.example, rows.step
        first, last = int(sample.min()), int(sample.max())
        sums = self._begin(last + 1, part)
        parts = rows.part
        if len(rows.explained) < len(rows):
            explained = rows.explained
            sample, example, step = (
                sample[explained],
                example[explained],
                step[explained],
            )
            part, parts = part[explained], parts[explained]
        # Within a part no (sample, example) comes twice: += loses nothing.
        apart = sample * self._n_apart + step if self._keeps_steps else sample
        place = apart * self._extent.n_example + example
        # Examples may be empty, and then -1 could be any number.
        n_sum = len(sums) * self._n_apart * self._extent.n_example
        flat = sums.reshape(n_sum, *part.shape[1:])
        if self._n_added == 1:
            flat[_slice_if_run(place)] += part
        else:
            for one in set(parts.tolist()):
                chosen = parts == one
                flat[place[chosen]] += part[chosen]
        if first == last:
            self._n_row[first] += len(sample)
        else:
            self._n_row += np.bincount(sample, minlength=len(self._n_row))

    def take_completed(self) -> np.ndarray:
        """Return the samples from the first on that are complete, ``(n, size, ...)``.

        They are not held any longer.
        """
        assert self._sums is not None  # there was a pass
        is_missing = self._n_row < self._extent.n_part * self._extent.n_example
        n = int(is_missing.argmax()) if is_missing.any() else len(is_missing)
        completed, begun = self._sums[:n], self._sums[n:]
        if self._keeps_steps:
            completed = completed.swapaxes(1, 2)
        if n:
            self._sums = begun.copy()
            self._n_row = self._n_row[n:]
            self._first += n
        return completed

    def _begin(self, n: int, part: np.ndarray) -> np.ndarray:
        """Return the sums of ``n`` samples, those that are new at zero."""
        n_new = n - len(self._n_row)
        if self._sums is None or n_new > 0:
            n_step = (self._n_apart,) if self._keeps_steps else ()
            dtype = part.dtype if self._n_added == 1 else np.float64
            shape = (n_new, *n_step, self._extent.n_example, *part.shape[1:])
            new = np.zeros(shape, dtype)
            some = self._sums is not None and len(self._sums) > 0
            self._sums = np.concatenate([self._sums, new]) if some else new
            self._n_row = np.concatenate([self._n_row, np.zeros(n_new, int)])
        return self._sums


def _slice_if_run(index: np.ndarray) -> slice | np.ndarray:
    """Return indexes as a slice if they follow each other, which is faster."""
    if (index[1:] - index[:-1] == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
