"""The content of bar plots, without drawing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saliency import abs_max_scaler, signed_colors
from saliency.visualizer.tables.bars import compute_bars

SCORES = np.array([0.5, -2.0, 1.0, -0.25])


def compute(saliency=SCORES, **how):
    defaults = {
        "feature_names": None,
        "num_visualize": -1,
        "scaler": None,
        "sort": "none",
        "color": None,
        "errors": None,
    }
    how = {**defaults, **how}
    how["errors"] = {"errors": how["errors"]}
    (bars,) = compute_bars({"saliency": saliency}, **how)
    return bars


def test_names_values_errors_and_colours_have_one_order():
    bars = compute(
        feature_names=list("abcd"),
        num_visualize=3,
        scaler=abs_max_scaler,
        sort="magnitude",
        errors=[0.1, 0.2, 1.5, 0],
    )
    assert bars.names == ["b", "c", "a"]
    np.testing.assert_allclose(bars.values, [-1, 0.5, 0.25])
    np.testing.assert_allclose(bars.errors, [0.1, 0.75, 0.05])
    np.testing.assert_array_equal(bars.colors, signed_colors([-1, 0, 1]))


@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=6),
    st.sampled_from(["descending", "ascending", "magnitude", "none"]),
)
def test_the_order_is_that_of_sorted(scores, sort):
    keys = {
        "descending": lambda i: -scores[i],
        "ascending": lambda i: scores[i],
        "magnitude": lambda i: -abs(scores[i]),
        "none": lambda i: 0,
    }
    order = sorted(range(len(scores)), key=keys[sort])  # stable
    bars = compute(scores, sort=sort)
    assert bars.names == [str(i) for i in order]
    assert bars.values.tolist() == [scores[i] for i in order]


def test_the_ends_hold_zero_and_the_error_bars():
    assert compute([1, -1]).ends == (-1, 1)
    assert compute([1, 2]).ends == (0, 2)
    assert compute([-1, 0]).ends == (-1, 0)
    assert compute([1, 2], errors=[1.5, 0]).ends == (-0.5, 2.5)


def test_grey_is_explained_where_a_grey_bar_is_shown():
    errors = [0.1, 0.1, 0.1, 0.5]
    assert compute(errors=errors).grey.startswith("grey:")
    assert not compute(errors=errors, num_visualize=3).grey
    assert not compute(errors=errors, color="red").grey
