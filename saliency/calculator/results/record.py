"""What is recorded of a store: the call, and a digest of every batch that is there.

A record is an object in JSON:

===========  =========================================================================
``digest``   SHA-256 of all the rest, ``json.dumps(rest, sort_keys=True)``
``format``   the number of this format, 2
``call``     what the call was made with
``shape``    of the array
``dtype``    of the array, as NumPy writes it: ``"<f4"``
``machines`` where batches were computed: NumPy, Chainer, BLAS, processor, threads
``batches``  for each batch, in order, ``[digest, machine]``, or null where it is not
             there: SHA-256 of its rows' bytes, the first 32 digits, and an index into
             ``machines``
===========  =========================================================================
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Span = tuple[int, int]  # rows from the first to before the second

_FORMAT = 2
_N_DIGIT = 32
_N_NAMED = 8  # runs of batches, in a message


class DamagedRecord(Exception):
    """What is there is not what was recorded."""


class OtherFormat(Exception):
    """The record is that of another version of this package."""


@dataclass
class Record:
    """What a store holds.

    Attributes:
        call (dict): What the call was made with, in JSON's types.
        shape (tuple of int): Of the array.
        dtype (str): Of the array.
        batchsize (int): How many rows a batch has; the last may have fewer.
        batches (list): For each batch its digest and machine, or None.
        machines (list of dict): Where batches were computed.
    """

    call: dict[str, Any]
    shape: tuple[int, ...]
    dtype: str
    batchsize: int
    batches: list[Any] = field(default_factory=list)
    machines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batches = self.batches or [None] * -(-self.shape[0] // self.batchsize)

    @classmethod
    def read(cls, content: Any, batchsize: int) -> Record:
        """Return what was written as :meth:`content`.

        Raises:
            DamagedRecord: If it was not.
            OtherFormat: If another version of this package has written it.
        """
        if not isinstance(content, dict):
            raise DamagedRecord
        if "done" in content and "format" not in content:
            raise OtherFormat("an earlier version")
        body = {name: value for name, value in content.items() if name != "digest"}
        if content.get("digest") != _digest_of(body):
            raise DamagedRecord
        if body["format"] != _FORMAT:
            raise OtherFormat("a later version")
        return cls(
            body["call"],
            tuple(body["shape"]),
            body["dtype"],
            batchsize,
            body["batches"],
            body["machines"],
        )

    def content(self) -> dict[str, Any]:
        """Return the record in JSON's types, with a digest of itself."""
        body = {
            "format": _FORMAT,
            "call": self.call,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "machines": self.machines,
            "batches": self.batches,
        }
        return {"digest": _digest_of(body), **body}

    @property
    def done(self) -> list[int]:
        """The batches that are there."""
        return [i for i, entry in enumerate(self.batches) if entry is not None]

    @property
    def missing(self) -> list[int]:
        """The batches that are not there yet."""
        return [i for i, entry in enumerate(self.batches) if entry is None]

    def rows_of(self, batch: int) -> Span:
        """Return the rows of a batch."""
        start = batch * self.batchsize
        return start, min(start + self.batchsize, self.shape[0])

    def digest_of(self, batch: int) -> str:
        """Return the digest of a batch that is there."""
        digest: str = self.batches[batch][0]
        return digest

    def machine_of(self, batch: int) -> dict[str, Any]:
        """Return where a batch that is there was computed."""
        machine: dict[str, Any] = self.machines[self.batches[batch][1]]
        return machine

    def add(self, batch: int, digest: str, machine: dict[str, Any]) -> None:
        """Record that a batch is there."""
        if machine not in self.machines:
            self.machines.append(machine)
        self.batches[batch] = [digest, self.machines.index(machine)]

    def remove(self, batches: list[int]) -> None:
        """Record that batches are not there any more."""
        for batch in batches:
            self.batches[batch] = None

    def name_batches(self, batches: list[int]) -> str:
        """Return which batches these are, in words for the user."""
        runs: list[list[int]] = []
        for batch in batches:
            if runs and runs[-1][1] == batch - 1:
                runs[-1][1] = batch
            else:
                runs.append([batch, batch])
        named = [self._name_run(first, last) for first, last in runs[:_N_NAMED]]
        if len(runs) > _N_NAMED:
            named.append(f"{sum(b - a + 1 for a, b in runs[_N_NAMED:])} more")
        return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))

    def _name_run(self, first: int, last: int) -> str:
        start, stop = self.rows_of(first)[0], self.rows_of(last)[1]
        batches = f"batch {first}" if first == last else f"batches {first} to {last}"
        rows = f"row {start}" if stop == start + 1 else f"rows {start} to {stop - 1}"
        return f"{batches} ({rows})"


def digest_of_rows(rows: np.ndarray) -> str:
    """Return the digest that is recorded of a batch's rows."""
    flat = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
    return hashlib.sha256(flat.data).hexdigest()[:_N_DIGIT]


def digest_of_call(call: dict[str, Any]) -> str:
    """Return a digest of what a call was made with."""
    return _digest_of(call)


def _digest_of(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
