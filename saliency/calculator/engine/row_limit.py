"""How many rows fit into memory in one pass, found out by trying."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, TypeVar

from saliency.calculator.engine.rows import Rows
from saliency.user_warnings import warn_user

Result = TypeVar("Result")


class RowLimit:
    """Halves the passes of one ``compute`` call where they do not fit into memory.

    The rows that did not fit are run again in passes of half as many, down to one, and
    so are all that follow; one warning says so.
    """

    def __init__(self) -> None:
        self._limit: int | None = None
        self._first_failed = 0
        self._warned = False

    def passes(
        self, rows: Rows, run: Callable[[Rows], Result], can_split: bool
    ) -> Iterator[Result]:
        """Give what ``run`` returns for the rows, piece by piece and in order.

        Args:
            rows (Rows): The rows of one pass, if they fit.
            run (callable): Runs some of them.
            can_split (bool): Whether the model may be given fewer rows.

        Raises:
            MemoryError: If one row alone does not fit, or the rows cannot be split.
        """
        todo = [rows]
        while todo:
            rows = todo.pop()
            if can_split and self._limit is not None and len(rows) > self._limit:
                todo += [rows.cut(self._limit, len(rows)), rows.cut(0, self._limit)]
                continue
            try:
                result = run(rows)
            except MemoryError as error:
                self._halve(len(rows), can_split, error)
                # With the error goes what holds the arrays of the failed pass.
                todo.append(rows)
            else:
                self._warn()
                yield result

    def _halve(self, n_row: int, can_split: bool, error: MemoryError) -> None:
        if n_row == 1:
            raise error
        if not can_split:
            raise MemoryError(
                f"a pass of {n_row} rows does not fit into memory, and the model needs "
                "its batch whole (its output is one value for the batch, or an input "
                f"is not one row for each example); pass a smaller batchsize ({error})"
            ) from error
        self._first_failed = self._first_failed or n_row
        self._limit = n_row // 2

    def _warn(self) -> None:
        """Warn, now that it is known how many rows do fit."""
        if self._limit is None or self._warned:
            return
        self._warned = True
        warn_user(
            f"a pass of {self._first_failed} rows ran out of memory; the work goes on "
            f"with {self._limit} rows. Pass batchsize={self._limit} to start with that"
        )
