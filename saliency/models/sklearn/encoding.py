"""Computes what goes into a network from the rows of a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from saliency.models.sklearn.tracing import (
    Column,
    Preprocessing,
    Source,
    Step,
    without_input_names,
)


class Encoding:
    """Makes the columns that a network takes from those of a table.

    A column of numbers stays as it is. A column of categories becomes one column for
    each category, and missing numbers are filled, by the fitted transformers.

    Args:
        preprocessing (Preprocessing): What happens before the network.

    Attributes:
        names (tuple of str): The names of the encoded columns, in the order of the
            columns of the table, each of them once.
        groups (dict): The names of the columns of each raw column that has several, or
            one by another name.
        are_named (bool): Whether the estimator knows the names of columns.
        selection (tuple of int): The encoded column that each input of the network is.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._inputs = preprocessing.inputs
        self.are_named = preprocessing.are_named
        self._steps = preprocessing.steps
        unscaled = [column.unscaled() for column in preprocessing.columns]
        encoded = sorted(set(unscaled), key=lambda c: (c.feature, c.source))
        self._sources = tuple(column.source for column in encoded)
        self.names = _unique(encoded)
        self.groups = self._groups([self._inputs[c.feature] for c in encoded])
        self.selection = tuple(encoded.index(column) for column in unscaled)

    def _groups(self, features: Sequence[str]) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for feature, name in zip(features, self.names):
            found[feature] = (*found.get(feature, ()), name)
        return {f: members for f, members in found.items() if members != (f,)}

    def __call__(self, table: Any) -> np.ndarray:
        """Return the columns that the network takes, in float64.

        Args:
            table: A DataFrame of pandas or polars, a Table of pyarrow, or an array
                ``(N, n_raw_column)``.

        Raises:
            TypeError: If the table is neither, or a column that is to hold numbers does
                not.
            ValueError: If a column is missing, a category unknown, or a number NaN or
                infinite.
        """
        if hasattr(table, "column_names") and hasattr(table, "to_pandas"):
            table = table.to_pandas()  # of pyarrow, whose columns are no names
        rows = self._checked(table)
        results: list[np.ndarray] = []
        for step in self._steps:
            results.append(self._run(step, rows, results))
        encoded = np.empty((len(rows), len(self.names)))
        for column, (name, source) in enumerate(zip(self.names, self._sources)):
            encoded[:, column] = _numbers(self._column(source, rows, results), name)
        return encoded

    def _checked(self, table: Any) -> Any:
        if not _is_frame(table):
            return self._checked_array(table)
        if not self.are_named:
            if len(table.columns) != len(self._inputs):
                raise self._wrong_number(len(table.columns))
            # Not the frame: the transformers have seen no names.
            columns = [np.asarray(table[name]) for name in table.columns]
            return side_by_side(columns, len(table))
        # Those that the network does not use need not be there.
        steps = [source for step in self._steps for source in step.inputs]
        used = {s.position for s in (*self._sources, *steps) if s.step < 0}
        given = list(table.columns)
        for name in (self._inputs[i] for i in sorted(used)):
            if given.count(name) != 1:
                raise ValueError(
                    f"table must have the columns {', '.join(map(repr, self._inputs))} "
                    f"once each, got {given.count(name)} called {name!r}"
                )
        return table

    def _checked_array(self, table: Any) -> np.ndarray:
        array = np.asarray(table)
        if array.ndim != 2:
            raise TypeError(
                "table must be a DataFrame or an array (N, n_column), got "
                f"{type(table).__name__} of shape {array.shape}"
            )
        if array.shape[1] != len(self._inputs):
            raise self._wrong_number(array.shape[1])
        return array

    def _wrong_number(self, n_column: int) -> ValueError:
        return ValueError(
            f"table must have {len(self._inputs)} columns as what the estimator was "
            f"fitted to ({', '.join(self._inputs[:8])}"
            f"{', ...' if len(self._inputs) > 8 else ''}), got {n_column}"
        )

    def _run(self, step: Step, rows: Any, results: list[np.ndarray]) -> np.ndarray:
        transformer, taken = step.transformer, self._part_of_frame(step, rows)
        if taken is None:
            transformer = without_input_names(transformer)
            columns = [self._column(source, rows, results) for source in step.inputs]
            taken = side_by_side(columns, len(rows))
        try:
            given = transformer.transform(taken)
        except ValueError as error:
            raise ValueError(
                f"table: the columns {', '.join(map(repr, step.names))} cannot be "
                f"encoded by the {type(transformer).__name__}: {error}"
            ) from error
        return np.asarray(given.toarray() if hasattr(given, "toarray") else given)

    def _part_of_frame(self, step: Step, rows: Any) -> Any:
        """Return the columns of a DataFrame that a step knows; None if it does not."""
        if not _is_frame(rows) or any(source.step >= 0 for source in step.inputs):
            return None
        names = [self._inputs[source.position] for source in step.inputs]
        known = getattr(step.transformer, "feature_names_in_", None)
        return rows[names] if known is not None and list(known) == names else None

    def _column(self, source: Source, rows: Any, results: list[np.ndarray]) -> Any:
        if source.step >= 0:
            return results[source.step][:, source.position]
        if _is_frame(rows):
            return np.asarray(rows[self._inputs[source.position]])
        return rows[:, source.position]


def framed_like(table: Any, encoded: np.ndarray, names: Iterable[str]) -> Any:
    """Return encoded columns with their names and those of rows, if a table has any."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(table, pandas.DataFrame):
        return encoded
    return pandas.DataFrame(encoded, index=table.index, columns=list(names))


def _is_frame(table: Any) -> bool:
    return hasattr(table, "columns") and hasattr(table, "__getitem__")


def side_by_side(columns: Sequence[np.ndarray], n_row: int) -> np.ndarray:
    """Return columns as one array, of objects if some hold no numbers."""
    if all(column.dtype.kind in "iuf" for column in columns):
        return np.stack(columns, axis=1)
    array = np.empty((n_row, len(columns)), object)
    for i, column in enumerate(columns):
        array[:, i] = column
    return array


def _numbers(column: Any, name: str) -> np.ndarray:
    try:
        numbers = np.asarray(column, float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"table: the column {name!r} must hold numbers: {error}"
        ) from error
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise ValueError(
            f"table: the column {name!r} must hold finite numbers, got "
            f"{numbers[row]} in row {row}"
        )
    return numbers


def _unique(columns: Sequence[Column]) -> tuple[str, ...]:
    """Return names of which no two are equal; columns of the table keep theirs."""
    taken = {column.name for column in columns if column.source.step < 0}
    found = []
    for column in columns:
        name, n = column.name, 1
        while column.source.step >= 0 and name in taken:
            n += 1
            name = f"{column.name} ({n})"
        taken.add(name)
        found.append(name)
    return tuple(found)
