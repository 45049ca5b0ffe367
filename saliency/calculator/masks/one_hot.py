"""Columns of a table that encode one categorical feature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from saliency.calculator.engine.data_frames import as_table
from saliency.checks import checked_text


def one_hot_groups(table: Any, separator: str = "_") -> dict[str, list[str]]:
    """Return the columns of a table that encode one categorical feature in several.

    They are those whose names begin alike, as ``colour_red`` and ``colour_green`` do,
    of which at most one is 1 in each row, and all others are 0. The result is what
    calculators and ``explain`` take as ``groups``.

    Args:
        table (DataFrame or Table): Of pandas, polars or pyarrow.
        separator (str): What stands between the name of the feature and that of the
            category.

    Returns:
        dict: The names of the columns of each such feature, by its own name, in the
        order of the columns.

    Raises:
        TypeError: If it is no table with names, or has columns that are not numeric.
        ValueError: If ``separator`` is empty.

    Example:
        >>> groups = one_hot_groups(frame)
        >>> ShapleyCalculator(model, groups=groups).explain(frame, groups=groups)
    """
    if not checked_text("separator", separator):
        raise ValueError("separator must not be empty")
    found = as_table(table)
    if found is None or found.names is None or found.dtype is not None:
        raise TypeError(
            "table must be a DataFrame of pandas or polars or a Table of pyarrow, got "
            f"{type(table).__name__}"
        )
    found.check()
    return dict(_groups(found.names, found.to_array(), separator))


def _groups(
    names: list[str], values: np.ndarray, separator: str
) -> Iterator[tuple[str, list[str]]]:
    """Give features and their columns; the shorter of two names that both fit."""
    is_flag = ((values == 0) | (values == 1)).all(axis=0)
    taken: set[str] = set()
    for name in names:
        parts = name.split(separator)
        for n in range(1, len(parts)):
            feature = separator.join(parts[:n])
            places = [
                i
                for i, other in enumerate(names)
                if is_flag[i] and other.startswith(feature + separator)
            ]
            members = [names[i] for i in places]
            is_new = name in members and taken.isdisjoint(members)
            if is_new and len(members) > 1 and values[:, places].sum(axis=1).max() <= 1:
                taken.update(members)
                yield feature, members
                break
