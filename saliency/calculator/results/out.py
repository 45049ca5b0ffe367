"""Results as they are written: resumed, checked and repaired."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from saliency.calculator.results.machine import gives_same_bytes
from saliency.calculator.results.record import (
    DamagedRecord,
    OtherFormat,
    Record,
    Span,
    digest_of_call,
    digest_of_rows,
)
from saliency.calculator.results.store import Store
from saliency.calculator.results.stores import as_store
from saliency.calculator.results.zarr_stores import ZarrFolder

# Of the time, what is spent on the record at most: with very many batches it is long.
_SHARE_OF_RECORD = 0.05


@contextlib.contextmanager
def open_out(out: Any, n_example: int, batchsize: int, repair: bool) -> Iterator[Out]:
    """Return a block in which results are written, by nobody else.

    Args:
        out (path, numpy.ndarray or zarr.Array): As the user gave it.
        n_example (int): Number of rows.
        batchsize (int): Number of rows that are written together.
        repair (bool): Whether damaged batches are to be computed again.

    Raises:
        BlockingIOError: If somebody else writes there.
        ImportError: If Zarr is needed and not installed.
        TypeError, ValueError: If ``out`` does not fit, or its record is damaged.
    """
    store = as_store(out, batchsize)
    with store.lock():
        result = Out(store, n_example, batchsize, repair)
        try:
            yield result
        finally:
            result.close()


class Out:
    """An array that results are written into, and a record of which are there.

    A batch is recorded when it is on the disk, so that whatever is recorded is there
    even if the process is killed, or the power fails, at the worst moment. What is
    there is compared with the record before anybody believes it.

    Args:
        store (Store): What is written into.
        n_example (int): Number of rows.
        batchsize (int): Number of rows that are written together.
        repair (bool): Whether damaged batches are to be computed again.
    """

    def __init__(
        self, store: Store, n_example: int, batchsize: int, repair: bool
    ) -> None:
        self._store = store
        self._n_example = n_example
        self._batchsize = batchsize
        self._repair = repair
        self._call: dict[str, Any] = {}
        self._record = self._read_record()
        self._n_to_come = 0  # batches that space is reserved for
        self._is_saved = True
        self._saved_at = self._took = 0.0

    @property
    def has_record(self) -> bool:
        """Whether it is known next time what is there."""
        return self._store.has_record

    @property
    def array(self) -> Any:
        """What was written into, as the user gets it."""
        if not self._is_saved:
            self._save()
        return self._store.array

    @property
    def call(self) -> str:
        """The digest of the call."""
        return digest_of_call(self._call)

    @property
    def is_created(self) -> bool:
        """Whether the array is there."""
        return self._record is not None

    def seed(self, given: int | None) -> int:
        """Return the seed that was asked for, or else the one of the call before."""
        if given is not None:
            return given
        if self._record is not None:
            return int(self._record.call["seed"])
        entropy = np.random.SeedSequence().entropy
        assert isinstance(entropy, int)  # since it was asked for none
        return entropy

    def begin(self, call: dict[str, Any]) -> None:
        """Begin a call, or resume it.

        Args:
            call (dict): What it is made with, in JSON's types, with its ``seed``.

        Raises:
            ValueError: If what is there was begun by another call, or is damaged.
        """
        self._call = call
        if self._record is None:
            self._store.check_rows(self._n_example)
        else:
            self._check_same_call(self._record.call)
            self._check_damage(self._record)
            for batch in self._record.missing:
                self._store.remove(batch)
            self._n_to_come = len(self._record.missing)
            self._store.make_room(self._record, self._n_to_come)

    @property
    def missing(self) -> list[Span]:
        """The rows that are not there yet."""
        if self._record is None:
            return [(0, self._n_example)]
        return _merged(self._record.rows_of(i) for i in self._record.missing)

    def create(self, row_shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Make the array, if it is not there yet, for rows of this shape and dtype."""
        if self._record is None:
            shape = self._store.room_for((self._n_example, *row_shape), dtype)
            record = Record(self._call, shape, dtype.str, self._batchsize)
            self._store.create(record)
            self._record = record
            self._n_to_come = len(record.missing)

    def write(self, start: int, stop: int, rows: np.ndarray, machine: Any) -> None:
        """Write the rows of a batch, and record that they are there.

        Args:
            start (int): The first of the rows.
            stop (int): The one behind the last.
            rows (numpy.ndarray): ``(stop - start, ...)``.
            machine (dict): Where they were computed.
        """
        self.create(rows.shape[1:], rows.dtype)
        record = self._made()
        rows = _fitted(rows, start, stop, record.shape, np.dtype(record.dtype))
        self.expect(start, stop)
        self._store.write(start, stop, rows)
        self.add({start: digest_of_rows(rows)}, machine)

    def expect(self, start: int, stop: int) -> None:
        """Free the space of the batches of rows that are written next."""
        self._n_to_come -= -(-(stop - start) // self._batchsize)
        self._store.make_room(self._made(), self._n_to_come)

    def add(self, digests: dict[int, str], machine: dict[str, Any]) -> None:
        """Record batches that have been written.

        Args:
            digests (dict): The digest of each, by its first row.
            machine (dict): Where they were computed.
        """
        record = self._made()
        for start, digest in digests.items():
            record.add(start // self._batchsize, digest, machine)
        self._is_saved = False
        if time.monotonic() - self._saved_at > self._took / _SHARE_OF_RECORD:
            self._save()

    def close(self) -> None:
        """Record what has not been recorded yet, and close the files."""
        try:
            if not self._is_saved:
                self._save()
        finally:
            self._store.close()

    def probes(self) -> list[Span]:
        """Return the rows of finished batches that are to be computed again.

        They are those of the first, of the last and of one in between that is drawn.
        """
        if self._record is None:
            return []
        done = self._record.done
        between = done[1:-1]
        if between:
            between = [int(np.random.default_rng().choice(between))]
        return [self._record.rows_of(i) for i in [*done[:1], *between, *done[1:][-1:]]]

    def difference(
        self, start: int, stop: int, rows: np.ndarray, machine: dict[str, Any]
    ) -> str | None:
        """Compare rows that have been computed again with those that are there.

        Args:
            start (int): The first of the rows.
            stop (int): The one behind the last.
            rows (numpy.ndarray): ``(stop - start, ...)``.
            machine (dict): Where they were computed.

        Returns:
            str or None: How they differ, in words for the user. What was computed
            elsewhere may differ by rounding.
        """
        record, batch = self._made(), start // self._batchsize
        stored = self._store.read(start, stop)
        try:
            rows = _fitted(rows, start, stop, record.shape, stored.dtype)
        except ValueError:
            return f"batch {batch} is of shape {rows.shape}, not {stored.shape}"
        if digest_of_rows(rows) == record.digest_of(batch):
            return None
        difference = _relative_difference(stored, rows)
        is_exact = gives_same_bytes(record.machine_of(batch), machine)
        if difference <= (0 if is_exact else _rounding(rows.dtype)):
            return None
        if np.isinf(difference):
            return f"batch {batch} has NaN or infinity elsewhere"
        return f"batch {batch} differs by {difference:.2g} of its largest value"

    def not_resumable(self, difference: str, reason: str) -> ValueError:
        """Return the error for batches that differ when they are computed again."""
        return ValueError(
            f"{self._store.name} cannot be resumed by this call: {difference}: "
            f"{reason}. To begin anew, {self._store.begin_anew}"
        )

    def _made(self) -> Record:
        assert self._record is not None  # create comes first
        return self._record

    def _save(self) -> None:
        """Record what is there once it is on the disk."""
        begin = time.monotonic()
        self._store.flush()
        self._store.write_record(self._made())
        self._is_saved = True
        self._saved_at = time.monotonic()
        self._took = self._saved_at - begin

    def _read_record(self) -> Record | None:
        store = self._store
        try:
            content = store.read_record()
            return None if content is None else Record.read(content, self._batchsize)
        except OtherFormat as version:
            raise ValueError(
                f"{store.name} was begun by {version} of this package, and cannot be "
                f"checked by this one. To begin anew, {store.begin_anew}"
            ) from None
        except DamagedRecord:
            if not self._repair:
                raise ValueError(
                    f"{store.name} is damaged: {store.record_name} is not what was "
                    "written, so that nothing is known of any batch. Pass repair=True "
                    f"to compute all of them again, or {store.begin_anew}"
                ) from None
            store.discard()
            return None

    def _check_same_call(self, before: dict[str, Any]) -> None:
        now = self._call
        differences = [
            _difference_of(name, before.get(name), now.get(name))
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if differences:
            raise ValueError(
                f"{self._store.name} was begun by a call that differs from this one: "
                f"{'; '.join(differences)}. To begin anew, {self._store.begin_anew}"
            )

    def _check_damage(self, record: Record) -> None:
        """Compare all that is there with the record; forget what is damaged."""
        problem = self._store.open(record)
        if problem is not None and self._repair:
            self._store.restore(record)
            problem = None
        damaged = [i for i in record.done if self._is_damaged(record, i)]
        if not self._repair:
            self._raise_if_damaged(record, problem, damaged)
        elif damaged:
            record.remove(damaged)
            self._store.write_record(record)

    def _raise_if_damaged(
        self, record: Record, problem: str | None, damaged: list[int]
    ) -> None:
        found = [] if problem is None else [problem]
        if damaged:
            which = record.name_batches(damaged)
            found.append(f"{which} do not hold what was written")
        if found:
            raise ValueError(
                f"{self._store.name} is damaged: {'; '.join(found)}. Pass repair=True "
                "to compute again what is damaged, and nothing else"
            )

    def _is_damaged(self, record: Record, batch: int) -> bool:
        try:
            rows = self._store.read(*record.rows_of(batch))
        except Exception:  # whatever Zarr and its codecs raise
            return True
        return digest_of_rows(rows) != record.digest_of(batch)


class PartWriter:
    """Writes batches of a Zarr store for the process that records what is there.

    Args:
        path (Path): The store, which that process has created.
        batchsize (int): Number of rows that are written together.
        call (str): The digest of its call.

    Attributes:
        digests (dict): The digest of each batch that was written, by its first row.
        machine (dict): Where they were computed.
    """

    def __init__(self, path: Path, batchsize: int, call: str) -> None:
        self._call = call
        self._store = ZarrFolder(path, batchsize)
        self._shape, self._dtype = self._store.attach()
        self.digests: dict[int, str] = {}
        self.machine: dict[str, Any] = {}

    def write(self, start: int, stop: int, rows: np.ndarray, machine: Any) -> None:
        """Write the rows of a batch; see :meth:`Out.write`.

        Raises:
            RuntimeError: If that process has ended, and another call has begun anew.
        """
        if digest_of_call(self._store.read_call()) != self._call:
            raise RuntimeError(f"{self._store.name} is another call's meanwhile")
        rows = _fitted(rows, start, stop, self._shape, self._dtype)
        self._store.write(start, stop, rows)
        self.digests[start] = digest_of_rows(rows)
        self.machine = machine

    def flush(self) -> None:
        """See that what was written is on the disk."""
        self._store.flush()


def _fitted(
    rows: np.ndarray, start: int, stop: int, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """Return rows as the array has them; where they are shorter, NaN fills them up.

    Raises:
        ValueError: If there is not one row for each example, or they do not fit.
    """
    if len(rows) != stop - start:
        raise ValueError(
            "postprocess_fn must leave one row for each example where out is given; "
            f"for {stop - start} examples it left {len(rows)}"
        )
    room = shape[1:]
    fits = len(room) == rows.ndim - 1
    missing = [a - b for a, b in zip(room, rows.shape[1:])]
    if not fits or any(n < 0 for n in missing):
        raise ValueError(
            f"out has room for {room} for each example, but example {start} has a "
            f"result of shape {rows.shape[1:]}. If examples are of different lengths, "
            "pass them as a list, or an array as out that has room for the longest"
        )
    if any(missing):
        rows = np.pad(rows, [(0, n) for n in [0, *missing]], constant_values=np.nan)
    return rows.astype(dtype, copy=False)


def _relative_difference(before: np.ndarray, now: np.ndarray) -> float:
    """Return the largest difference, in parts of the largest value.

    It is infinite if NaN and infinity are at other places.
    """
    before, now = before.astype(np.float64), now.astype(np.float64)
    is_finite = np.isfinite(before)
    same = np.isfinite(now) == is_finite
    same &= is_finite | (before == now) | (np.isnan(before) & np.isnan(now))
    if not same.all():
        return np.inf
    before, now = before[is_finite], now[is_finite]
    difference, largest = abs(now - before).max(initial=0), abs(before).max(initial=0)
    if difference == 0:
        return 0.0
    return float(difference / largest) if largest else float(difference)


def _rounding(dtype: np.dtype) -> float:
    """Return by how much results of another machine may differ: half of the digits."""
    return float(np.sqrt(np.finfo(dtype).eps)) if dtype.kind == "f" else 0.0


def _difference_of(name: str, before: Any, now: Any) -> str:
    both = f"{name} was {before!r} and is {now!r}"
    return both if len(both) < 100 else f"{name} is another"


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans that come in order, neighbours as one."""
    merged: list[Span] = []
    for start, stop in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = merged[-1][0], stop
        else:
            merged.append((start, stop))
    return merged
