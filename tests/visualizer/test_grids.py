"""Which cells of a grid share a scale, and what each method has for each row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency.visualizer.grids import (
    SCALES,
    columns_of,
    names_of_methods,
    shared_by_scale,
)


@given(st.sampled_from(SCALES), st.integers(1, 4), st.integers(1, 4))
def test_cells_share_what_their_scale_says(scale, n_row, n_column):
    rows = [[(i, j) for j in range(n_column)] for i in range(n_row)]
    shared = shared_by_scale(rows, scale, frozenset)
    same = {
        "separate": lambda a, b: a == b,
        "row": lambda a, b: a[0] == b[0],
        "column": lambda a, b: a[1] == b[1],
        "all": lambda a, b: True,
    }[scale]
    cells = [cell for row in rows for cell in row]
    for i, j in cells:
        assert shared[i][j] == {cell for cell in cells if same(cell, (i, j))}


def test_what_cells_share_is_computed_once():
    groups = []
    shared_by_scale([[1, 2], [3, 4]], "row", groups.append)
    assert groups == [[1, 2], [3, 4]]


def test_columns_are_in_the_order_of_the_methods():
    columns = columns_of("legends", {"b": (3, 4), "a": [1, 2]}, ["a", "b"], 2, "image")
    assert [tuple(column) for column in columns] == [
        ("legends['a']", [1, 2]),
        ("legends['b']", [3, 4]),
    ]


def test_a_method_that_is_left_out_has_nothing_in_each_row():
    columns = columns_of("errors", {"b": [1, 2]}, ["a", "b"], 2, "image")
    assert [column.entries for column in columns] == [[None, None], [1, 2]]
    columns = columns_of("errors", None, ["a", "b"], 2, "image")
    assert [column.entries for column in columns] == [[None, None]] * 2


def test_one_method_needs_no_name():
    assert names_of_methods([[1], [2]]) is None
    assert columns_of("saliency", [1, 2], None, 2, "image") == [("saliency", [1, 2])]
    assert columns_of("errors", None, None, 2, "image") == [("errors", [None, None])]


@pytest.mark.parametrize(
    ("value", "methods", "error", "message"),
    [
        ({"a": [1, 2]}, None, TypeError, "errors must be a list where saliency is"),
        ([1, 2], ["a"], TypeError, "errors must map the name of each method to"),
        ({"b": [1, 2]}, ["a"], ValueError, "errors has 'b', which is not among .*'a'"),
        (
            {"a": [1]},
            ["a"],
            ValueError,
            r"errors\['a'\].* 2 images, got 1",
        ),
        ({"a": "xy"}, ["a"], TypeError, r"errors\['a'\] .* each image, got str"),
        (3, None, TypeError, "errors must hold one for each image, got int"),
    ],
)
def test_what_is_refused(value, methods, error, message):
    with pytest.raises(error, match=message):
        columns_of("errors", value, methods, 2, "image")


def test_no_methods():
    with pytest.raises(ValueError, match="at least one method"):
        names_of_methods({})
