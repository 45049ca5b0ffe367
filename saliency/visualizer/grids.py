"""Grids of pictures: a row for each image or molecule, a column for each method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from saliency.visualizer.colors import limit_of_colors


class Limited(Protocol):
    """A named tuple with scores, and with the score of the strongest colours."""

    @property
    def all_scores(self) -> np.ndarray:
        """The scores that decide on its ``limit``."""

    def _replace(self, *, limit: float) -> Any: ...


LimitedT = TypeVar("LimitedT", bound=Limited)
CellT = TypeVar("CellT")
ValueT = TypeVar("ValueT")

#: Which cells have one scale of colours: none, those of a row, of a column, or all.
SCALES = ("separate", "row", "column", "all")


class Column(NamedTuple):
    """What one method has for each row.

    Attributes:
        label: What messages call it, such as ``saliency['gradient']``.
        entries: One entry for each row.
    """

    label: str
    entries: list[Any]


def names_of_methods(saliency: Any) -> list[Any] | None:
    """Return the keys of a mapping; None where there is one method without a name.

    Raises:
        ValueError: The mapping is empty.
    """
    if not isinstance(saliency, Mapping):
        return None
    if not saliency:
        raise ValueError(
            "saliency must not be empty: there must be at least one method"
        )
    return list(saliency)


def columns_of(
    name: str, value: Any, methods: Sequence[Any] | None, n_row: int, row_noun: str
) -> list[Column]:
    """Return the column of each method, or the only column.

    Args:
        name: What messages call ``value``.
        value: A mapping from names of methods to one entry for each row; without
            ``methods`` the entries themselves. None where there are no entries.
        methods: The names, as `names_of_methods` returns them. One that ``value`` does
            not have gets None in every row.
        n_row: The number of rows.
        row_noun: What a row is for, such as ``"image"``.

    Raises:
        TypeError: ``value`` is not a mapping though there are ``methods``, or the other
            way round, or the entries are not in a list or an array.
        ValueError: There are entries for another method, or not as many as rows.
    """
    missing = [None] * n_row
    if value is None:
        return [Column(name, missing) for _ in methods or [name]]
    if methods is None:
        if isinstance(value, Mapping):
            raise TypeError(f"{name} must be a list where saliency is, got a mapping")
        return [Column(name, one_for_each_row(name, value, n_row, row_noun))]
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must map the name of each method to what it has for each "
            f"{row_noun}, got {type(value).__name__}"
        )
    unknown = [key for key in value if key not in methods]
    if unknown:
        raise ValueError(
            f"{name} has {unknown[0]!r}, which is not among the methods of saliency: "
            f"{', '.join(map(repr, methods))}"
        )
    columns = []
    for key in methods:
        label, entries = f"{name}[{key!r}]", missing
        if key in value:
            entries = one_for_each_row(label, value[key], n_row, row_noun)
        columns.append(Column(label, entries))
    return columns


def one_for_each_row(name: str, values: Any, n_row: int, row_noun: str) -> list[Any]:
    """Return a list of what each row has.

    Raises:
        TypeError: ``values`` is a str, or has no length.
        ValueError: It has another length than there are rows.
    """
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(
            f"{name} must hold one for each {row_noun}, got {type(values).__name__}"
        )
    if len(values) != n_row:
        raise ValueError(
            f"{name} must hold one for each of the {n_row} {row_noun}s, got "
            f"{len(values)}"
        )
    return list(values)


def shared_by_scale(
    rows: Sequence[Sequence[CellT]],
    scale: str,
    value_of: Callable[[Sequence[CellT]], ValueT],
) -> list[list[ValueT]]:
    """Return for each cell what those cells have in common that share its scale.

    Args:
        rows: The cells, by row and column.
        scale: One of `SCALES`.
        value_of: Computes the common value from the cells that share a scale.
    """

    def group_of(i: int, j: int) -> tuple[int, ...]:
        return {"separate": (i, j), "row": (i,), "column": (j,), "all": ()}[scale]

    cells: defaultdict[tuple[int, ...], list[CellT]] = defaultdict(list)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            cells[group_of(i, j)].append(cell)
    values = {group: value_of(members) for group, members in cells.items()}
    return [
        [values[group_of(i, j)] for j in range(len(row))] for i, row in enumerate(rows)
    ]


def with_limits(
    rows: Sequence[Sequence[LimitedT]], scale: str, percentile: float
) -> list[list[LimitedT]]:
    """Return the cells with the limit of those that they share a scale with.

    Args:
        rows: The cells, by row and column.
        scale: Which cells share one, one of `SCALES`.
        percentile: The limit is this percentile of the magnitudes.
    """

    def limit_of(cells: Sequence[LimitedT]) -> float:
        scores = np.concatenate([cell.all_scores for cell in cells])
        return limit_of_colors(scores, percentile) if scores.size else 1.0

    limits = shared_by_scale(rows, scale, limit_of)
    return [
        [cell._replace(limit=limit) for cell, limit in zip(row, limits_of_row)]
        for row, limits_of_row in zip(rows, limits)
    ]
