"""Tables of pandas as data, without importing pandas."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def names_in_table(data: Any) -> tuple[list[str] | None, Any]:
    """Return the names of a table's columns, and what its rows are called.

    Both are None for what is no DataFrame or Series of pandas, and the names of columns
    for a Series without a name.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return None, None
    if isinstance(data, pandas.DataFrame):
        return [_name_of_column(name) for name in data.columns], data.index.to_numpy()
    if isinstance(data, pandas.Series):
        return None if data.name is None else [str(data.name)], data.index.to_numpy()
    return None, None


def _name_of_column(name: Any) -> str:
    # Columns of several levels have tuples as names.
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def from_pandas(data: Any) -> Any:
    """Return the array that a DataFrame or a Series holds; anything else as it is.

    A DataFrame becomes an array of floats, ``(n_row, n_column)``, of one floating-point
    dtype if all its columns have it and of float64 otherwise, with NaN for what is
    missing. A Series keeps its dtype: it may hold labels.

    Raises:
        TypeError: If columns are not numeric.
    """
    # Whoever has a table has imported pandas.
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return data
    is_numeric = pandas.api.types.is_numeric_dtype
    if isinstance(data, pandas.Series):
        if not is_numeric(data.dtype):
            raise TypeError(
                f"data must be numeric, but the Series {data.name!r} is of dtype "
                f"{data.dtype}"
            )
        return np.asarray(data.to_numpy())
    if not isinstance(data, pandas.DataFrame):
        return data
    others = [str(name) for name, dtype in data.dtypes.items() if not is_numeric(dtype)]
    if others:
        raise TypeError(
            "data must be numeric, but the DataFrame has the columns "
            f"{', '.join(map(repr, others[:4]))}{', ...' if len(others) > 4 else ''}; "
            f"drop or encode them: data.drop(columns={others[:4]!r})"
        )
    dtypes = set(data.dtypes)
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    is_float = isinstance(dtype, np.dtype) and dtype.kind == "f"
    return data.to_numpy(dtype if is_float else np.float64, na_value=np.nan)
