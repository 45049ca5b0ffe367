"""Tables of pandas as data, without importing pandas."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


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
