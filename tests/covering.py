"""Fewer tests than a product, where arguments cannot all interact.

Both decorators are like ``pytest.mark.parametrize`` for several arguments. Their values
come as a list, or as a mapping that gives their ids as well, and the tests are the same
in every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product

import pytest


def every_pair(**arguments):
    """Runs a test with each pair of values of any two of its arguments."""
    return parametrized(arguments, rows_with_every_pair)


def every_value(**arguments):
    """Runs a test with each value of each argument, as often as the longest has values.

    The values of the others come equally often, in as many pairs as possible.
    """
    return parametrized(arguments, rows_with_every_value)


def parametrized(arguments, rows_for):
    values, ids = [], []
    for of_argument in arguments.values():
        is_named = isinstance(of_argument, Mapping)
        values.append(list(of_argument.values() if is_named else of_argument))
        ids.append([str(value) for value in of_argument])
    params = [
        pytest.param(
            *(column[i] for column, i in zip(values, row)),
            id="-".join(column[i] for column, i in zip(ids, row)),
        )
        for row in rows_for([len(column) for column in values])
    ]
    return pytest.mark.parametrize(list(arguments), params)


class Rows:
    """Rows of indices below ``sizes``, and the pairs of columns that they lack."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.rows = []
        self.used = [[0] * size for size in sizes]
        self.missing = dict.fromkeys(
            (a, i, b, j)
            for a, b in combinations(range(len(sizes)), 2)
            for i, j in product(range(sizes[a]), range(sizes[b]))
        )

    def new_pairs(self, row):
        """Returns how many missing pairs a row, ``{column: index}``, would have."""
        return sum(pair in self.missing for pair in pairs(row))

    def add(self, row, preference):
        """Adds a row, and fills its other columns with the indices that are preferred.

        ``preference(used, new)`` is given how often an index was used, and how many new
        pairs it would make; the largest preference is taken.
        """
        row = dict(row)
        for column, size in enumerate(self.sizes):
            if column in row:
                continue
            scores = [
                preference(self.used[column][i], self.new_pairs({**row, column: i}))
                for i in range(size)
            ]
            row[column] = scores.index(max(scores))
        for column, i in row.items():
            self.used[column][i] += 1
        for pair in pairs(row):
            self.missing.pop(pair, None)
        self.rows.append([row[column] for column in range(len(self.sizes))])


def pairs(row):
    return [(a, i, b, j) for (a, i), (b, j) in combinations(sorted(row.items()), 2)]


def rows_with_every_pair(sizes):
    """Each row begins with a pair that is still missing."""
    rows = Rows(sizes)
    while rows.missing:
        a, i, b, j = next(iter(rows.missing))
        rows.add({a: i, b: j}, lambda used, new: (new, -used))
    return rows.rows


def rows_with_every_value(sizes):
    """Each row begins with the next value of the longest column."""
    rows, longest = Rows(sizes), sizes.index(max(sizes))
    for i in range(sizes[longest]):
        rows.add({longest: i}, lambda used, new: (-used, new))
    return rows.rows
