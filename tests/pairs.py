"""Fewer tests than a product, where no more than two arguments can interact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations, product
from typing import Any

import pytest


def every_pair(**arguments: Mapping[str, Any] | Iterable[Any]):
    """Parametrizes a test so that each pair of values of two arguments occurs.

    The product of the arguments has each of their combinations; of these, as many are
    taken as it needs for all pairs, always the same ones.

    Args:
        arguments: Two or more arguments of the test, each with its values; a mapping
            gives their ids as well.

    Returns:
        A decorator, as ``pytest.mark.parametrize`` returns it.
    """
    ids = {
        name: list(values) if isinstance(values, Mapping) else None
        for name, values in arguments.items()
    }
    choices = [
        list(values.values() if isinstance(values, Mapping) else values)
        for values in arguments.values()
    ]
    names = list(arguments)
    rows = [
        pytest.param(
            *(values[i] for values, i in zip(choices, row)),
            id="-".join(
                str(ids[name][i] if ids[name] else values[i])
                for name, values, i in zip(names, choices, row)
            ),
        )
        for row in rows_with_every_pair([len(values) for values in choices])
    ]
    return pytest.mark.parametrize(names, rows)


def rows_with_every_pair(sizes):
    """Returns rows of indices, below ``sizes``, in which each pair occurs.

    Each row begins with a pair that is still missing; its other columns are taken, one
    after the other, for as many missing pairs as possible.
    """
    columns = range(len(sizes))
    missing = dict.fromkeys(
        (a, i, b, j)
        for a, b in combinations(columns, 2)
        for i, j in product(range(sizes[a]), range(sizes[b]))
    )
    used = [[0] * size for size in sizes]
    rows = []
    while missing:
        a, i, b, j = next(iter(missing))
        row = {a: i, b: j}
        for column in columns:
            if column not in row:
                row[column] = max(
                    range(sizes[column]),
                    key=lambda value, column=column, row=row: (
                        sum(pair in missing for pair in pairs({**row, column: value})),
                        -used[column][value],
                    ),
                )
        for column, value in row.items():
            used[column][value] += 1
        for pair in pairs(row):
            missing.pop(pair, None)
        rows.append([row[column] for column in columns])
    return rows


def pairs(row):
    """Returns the pairs of columns and values in a row."""
    return [(a, i, b, j) for (a, i), (b, j) in combinations(sorted(row.items()), 2)]
