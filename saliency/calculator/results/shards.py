"""Rows that are to be computed, in parts that are worth sending to a worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from saliency.calculator.results.record import Span

# To send a part takes about ten milliseconds, whatever is in it; and a worker that dies
# loses it.
_SECONDS = 2.0
# Of the data of a part: some of them are in the memory of the scheduler.
_BYTES = 8 << 20
# What is left is divided into as many parts, at least, for each worker, so that all end
# at about the same time; but not into parts that take less than a share of the above.
_PARTS_OF_THE_REST = 4
_SMALLEST = 0.1
# Shards grow by this factor at most, since the first may be quick by chance.
_GROWTH = 4


class Shards:
    """Gives shards, each some batches, until no row is left.

    The first are one batch each. What they took says how large the others are, which
    the results do not depend on.

    Args:
        missing (iterable of (int, int)): The rows, in spans.
        rows_together (int): How many rows are written together.
        n_worker (int): How many workers there are.
    """

    def __init__(
        self, missing: Iterable[Span], rows_together: int, n_worker: int
    ) -> None:
        self._spans = list(missing)[::-1]
        self._rows_together = rows_together
        self._n_worker = n_worker
        self._n_left = sum(stop - start for start, stop in self._spans)
        self._size = rows_together
        self._bytes_of_row = 0.0

    def __iter__(self) -> Iterator[Span]:
        return self

    def __next__(self) -> Span:
        if not self._spans:
            raise StopIteration
        start, stop = self._spans.pop()
        end = min(start + self._rows(), stop)
        if end < stop:
            self._spans.append((end, stop))
        self._n_left -= end - start
        return start, end

    def sent(self, shard: Span, n_byte: int) -> None:
        """Take note of how many bytes the data of a shard has."""
        self._bytes_of_row = n_byte / (shard[1] - shard[0])

    def done(self, shard: Span, seconds: float) -> None:
        """Take note of how long a shard took."""
        n_row = shard[1] - shard[0]
        in_time = int(_SECONDS / max(seconds, 1e-9) * n_row)
        self._size = min(in_time, max(self._size, _GROWTH * n_row))

    def _rows(self) -> int:
        """Return how many rows the next shard has: some batches, and one at least."""
        of_room = int(_BYTES / max(self._bytes_of_row, 1))
        of_rest = self._n_left // (_PARTS_OF_THE_REST * self._n_worker)
        of_rest = max(of_rest, int(_SMALLEST * self._size))
        n_row = min(self._size, of_room, of_rest)
        return max(n_row // self._rows_together, 1) * self._rows_together
