"""Tables of pandas, polars and pyarrow as data, without importing any of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from saliency.calculator.engine.subject import Subject
from saliency.checks import plain_array


@dataclass(frozen=True)
class Table:
    """What a table, or one column of a table, says of itself.

    Attributes:
        what (str): What messages call it, such as ``"DataFrame"``.
        names (list of str or None): The names of its columns, if it has some.
        index (numpy.ndarray or None): What its rows are called.
        others (list of str): The columns that are not numeric.
        drop (str): How such columns are dropped, for messages.
        to_array (callable): Returns the numbers.
        dtype (object): That of the column, if it is one alone; None for a table.
        are_numbered (bool): Whether its columns have numbers, which are no names that
            could be compared.
    """

    what: str
    names: list[str] | None
    index: Any
    others: list[str]
    drop: str
    to_array: Callable[[], np.ndarray]
    dtype: Any = None
    are_numbered: bool = False

    def names_along_row(self) -> list[str] | None:
        """Return what the numbers of a row are called; None if they have no names.

        A row by itself is a Series, whose index has the names of columns.
        """
        if self.dtype is None:
            return None if self.are_numbered else self.names
        has_names = self.index is not None and all(
            isinstance(name, str) for name in self.index
        )
        return list(self.index) if has_names else None

    def check(self, name: str = "data") -> None:
        """Raise a TypeError that names the parameter if columns are not numeric."""
        if not self.others:
            return
        if self.dtype is not None:
            raise TypeError(
                f"{name} must be numeric, but the {self.what} is of dtype {self.dtype}"
            )
        more = ", ..." if len(self.others) > 4 else ""
        raise TypeError(
            f"{name} must be numeric, but the {self.what} has the columns "
            f"{', '.join(map(repr, self.others[:4]))}{more}; drop or encode them: "
            f"{name}.{self.drop.format(self.others[:4])}"
        )


def names_in(data: Any, subject: Subject) -> tuple[list[str] | None, Any]:
    """Return the names of the columns that are explained, and what rows are called.

    Args:
        data: The data as the user gave it.
        subject (Subject): What is explained.

    Returns:
        tuple: The names of columns; None where the data is no table, saliency is read
        at a link, or there are several targets. And what the data calls its rows, if it
        is a table of pandas, or None.
    """
    table = explained_table(data, subject)
    if table is None:
        return None, None
    return None if subject.is_of_one_link else table.names, table.index


def explained_table(data: Any, subject: Subject) -> Table | None:
    """Return the table of the input that is explained, or of the first for a link.

    None where it is no table, or there are several targets.
    """
    if subject.gives_tuple:
        return None
    target = subject.targets[0]
    if isinstance(data, tuple) and data:
        data = data[target if isinstance(target, int) else 0]
    return as_table(data)


def from_table(data: Any, name: str = "data") -> Any:
    """Return the array that a table or a column holds; anything else as it is.

    A table becomes an array of floats, ``(n_row, n_column)``, of one floating-point
    dtype if all its columns have it and of float64 otherwise, with NaN for what is
    missing. A column by itself keeps its dtype: it may hold labels. A masked array of
    NumPy becomes an array.

    Args:
        data: What the user gave.
        name (str): What it is called in messages.

    Raises:
        TypeError: If columns are not numeric, or a table of polars is a lazy one.
        ValueError: If elements are masked.
    """
    table = as_table(data)
    if table is None:
        return plain_array(name, data)
    table.check(name)
    return table.to_array()


def as_table(data: Any) -> Table | None:
    """Return what a table or a column says of itself; None for anything else."""
    if isinstance(data, np.ndarray):
        return None
    for package, read in _READ_BY.items():
        # Whoever has a table has imported its package.
        module = sys.modules.get(package)
        found = None if module is None else read(module, data)
        if found is not None:
            return found
    return None


def _of_pandas(pandas: Any, data: Any) -> Table | None:
    types = pandas.api.types

    def is_numeric(dtype: Any) -> bool:
        return types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype)

    if isinstance(data, pandas.Series):
        names = None if data.name is None else [str(data.name)]
        return Table(
            f"Series {data.name!r}",
            names,
            data.index.to_numpy(),
            [] if is_numeric(data.dtype) else [str(data.name)],
            "",
            lambda: np.asarray(data.to_numpy()),
            data.dtype,
        )
    if not isinstance(data, pandas.DataFrame):
        return None
    dtypes = set(data.dtypes)
    only = dtypes.pop() if len(dtypes) == 1 else None
    is_float = isinstance(only, np.dtype) and only.kind == "f"
    return Table(
        "DataFrame",
        [_name_of_column(name) for name in data.columns],
        data.index.to_numpy(),
        [str(name) for name, dtype in data.dtypes.items() if not is_numeric(dtype)],
        "drop(columns={})",
        lambda: data.to_numpy(only if is_float else np.float64, na_value=np.nan),
        are_numbered=not all(isinstance(name, (str, tuple)) for name in data.columns),
    )


def _of_polars(polars: Any, data: Any) -> Table | None:
    def is_numeric(dtype: Any) -> bool:
        return bool(dtype.is_numeric() or dtype == polars.Boolean)

    if isinstance(data, polars.LazyFrame):
        raise TypeError("data must hold values, got a LazyFrame; pass data.collect()")
    if isinstance(data, polars.Series):
        return Table(
            f"Series {data.name!r}",
            [data.name] if data.name else None,
            None,
            [] if is_numeric(data.dtype) else [data.name],
            "",
            data.to_numpy,
            data.dtype,
        )
    if not isinstance(data, polars.DataFrame):
        return None
    dtypes = set(data.dtypes)
    is_float = len(dtypes) == 1 and data.dtypes[0].is_float()
    dtype = data.dtypes[0] if is_float else polars.Float64
    return Table(
        "DataFrame",
        list(data.columns),
        None,
        [
            name
            for name, found in zip(data.columns, data.dtypes)
            if not is_numeric(found)
        ],
        "drop({})",
        lambda: data.cast(dtype).to_numpy(),
    )


def _of_pyarrow(pyarrow: Any, data: Any) -> Table | None:
    types = pyarrow.types

    def is_numeric(of_column: Any) -> bool:
        tests = types.is_integer, types.is_floating, types.is_decimal, types.is_boolean
        return any(test(of_column) for test in tests)

    if isinstance(data, (pyarrow.Array, pyarrow.ChunkedArray)):
        return Table(
            type(data).__name__,
            None,
            None,
            [] if is_numeric(data.type) else [""],
            "",
            lambda: np.asarray(data),
            data.type,
        )
    if not isinstance(data, (pyarrow.Table, pyarrow.RecordBatch)):
        return None
    of_columns = list(data.schema.types)
    is_float = len(set(of_columns)) == 1 and types.is_floating(of_columns[0])
    dtype = of_columns[0] if is_float else pyarrow.float64()
    return Table(
        type(data).__name__,
        list(data.schema.names),
        None,
        [n for n, of in zip(data.schema.names, of_columns) if not is_numeric(of)],
        "drop_columns({})",
        lambda: np.stack([np.asarray(c.cast(dtype)) for c in data.columns], axis=1),
    )


_READ_BY: dict[str, Callable[[Any, Any], Optional[Table]]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_pyarrow,
}


def _name_of_column(name: Any) -> str:
    # Columns of several levels have tuples as names.
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
