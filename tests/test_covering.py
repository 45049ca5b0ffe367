"""The tests that stand for a product of arguments have what they say."""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.covering import every_pair, every_value

ARGUMENTS = {
    "calculator": [f"calculator {i}" for i in range(11)],
    "train": {"evaluate": False, "train": True},
    "blows_at": [None, 1, 2, 4],
    "batchsize": [1, 3, 50],
}


def rows_of(mark):
    return [param.values for param in mark.args[1]]


def values_of(argument):
    return list(argument.values() if isinstance(argument, dict) else argument)


def test_every_pair_occurs_in_as_many_tests_as_the_two_longest_need():
    mark = every_pair(**ARGUMENTS)
    assert mark.args[0] == list(ARGUMENTS)
    for a, b in combinations(range(len(ARGUMENTS)), 2):
        found = {(row[a], row[b]) for row in rows_of(mark)}
        first, second = (values_of(list(ARGUMENTS.values())[i]) for i in (a, b))
        assert found == {(v, w) for v in first for w in second}
    assert len(rows_of(mark)) == 11 * 4


def test_every_value_occurs_equally_often():
    rows = rows_of(every_value(**ARGUMENTS))
    assert len(rows) == 11
    for i, argument in enumerate(ARGUMENTS.values()):
        counts = [sum(row[i] == v for row in rows) for v in values_of(argument)]
        assert max(counts) - min(counts) <= 1
    # The others are not in step: their pairs occur, too.
    assert {row[1:3] for row in rows} == {
        (train, n) for train in (False, True) for n in (None, 1, 2, 4)
    }


@pytest.mark.parametrize("cover", [every_pair, every_value])
def test_ids_name_the_values_and_are_the_same_in_every_run(cover):
    ids = [param.id for param in cover(**ARGUMENTS).args[1]]
    assert ids[0].startswith("calculator 0-evaluate-None")
    assert len(set(ids)) == len(ids)
    assert ids == [param.id for param in cover(**ARGUMENTS).args[1]]
