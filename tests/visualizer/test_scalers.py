"""Scalers, by their public behaviour."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from saliency.visualizer.scalers import (
    abs_max_scaler,
    min_max_scaler,
    normalize_scaler,
    project_scaler,
    unit_of,
)

SCALERS = [abs_max_scaler, min_max_scaler, normalize_scaler]


@pytest.fixture(params=SCALERS, ids=lambda scaler: scaler.__name__)
def scaler(request):
    return request.param


class FakeCupyArray:
    """As much of a CuPy array as the visualizers may rely on."""

    __cuda_array_interface__ = None

    def __init__(self, array):
        self._array = array

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self):
        return self._array


def maps(with_nan=True):
    """Float64 maps of 1 or 2 dimensions, not of nothing but NaN.

    Magnitudes between 0 and 1e-6 are left out: products with them may underflow,
    which says nothing about a scaler.
    """
    numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
    elements = st.one_of(numbers, st.just(np.nan)) if with_nan else numbers
    return arrays(
        np.float64, array_shapes(max_dims=2, max_side=4), elements=elements
    ).filter(lambda array: not np.isnan(array).all())


# --- what a scaler returns ------------------------------------------------------


def test_abs_max_scaler_divides_by_the_largest_magnitude():
    np.testing.assert_allclose(abs_max_scaler([1.0, -4.0, 2.0]), [0.25, -1, 0.5])


def test_min_max_scaler_maps_the_ends_to_0_and_1():
    np.testing.assert_allclose(min_max_scaler([1.0, -3.0, 5.0]), [0.5, 0, 1])


def test_normalize_scaler_divides_by_the_sum_of_magnitudes():
    np.testing.assert_allclose(normalize_scaler([1.0, -4.0, 5.0]), [0.1, -0.4, 0.5])


@given(maps())
def test_abs_max_scaler_range_and_signs(saliency):
    scaled = abs_max_scaler(saliency)
    assert np.nanmax(np.abs(scaled)) == (1 if np.nanmax(np.abs(saliency)) else 0)
    np.testing.assert_array_equal(np.sign(scaled), np.sign(saliency))


@given(maps())
def test_min_max_scaler_range(saliency):
    scaled = min_max_scaler(saliency)
    assert np.nanmin(scaled) == 0
    assert np.nanmax(scaled) == (np.nanmin(saliency) != np.nanmax(saliency))


@given(maps())
def test_normalize_scaler_sum_and_signs(saliency):
    scaled = normalize_scaler(saliency)
    total = np.nansum(np.abs(scaled))
    assert total == pytest.approx(1 if np.nansum(np.abs(saliency)) else 0)
    np.testing.assert_array_equal(np.sign(scaled), np.sign(saliency))


@pytest.mark.parametrize("scaler", SCALERS)
@given(saliency=maps())
def test_nan_stays_nan_and_nothing_else_becomes_nan(scaler, saliency):
    np.testing.assert_array_equal(np.isnan(scaler(saliency)), np.isnan(saliency))


@pytest.mark.parametrize("scaler", SCALERS)
@given(saliency=maps())
def test_nan_takes_no_part(scaler, saliency):
    present = ~np.isnan(saliency)
    np.testing.assert_allclose(
        scaler(saliency)[present], scaler(saliency[present]), rtol=1e-12
    )


@pytest.mark.parametrize("scaler", SCALERS)
@given(saliency=maps())
def test_scaling_twice_is_scaling_once(scaler, saliency):
    once = scaler(saliency)
    np.testing.assert_allclose(scaler(once), once, rtol=1e-12)


@pytest.mark.parametrize("scaler", SCALERS)
@given(saliency=maps(), factor=st.floats(1e-3, 1e3))
def test_units_do_not_matter(scaler, saliency, factor):
    spread = np.nanmax(saliency) - np.nanmin(saliency)
    assume(spread == 0 or spread > 1e-6 * np.nanmax(np.abs(saliency)))
    np.testing.assert_allclose(
        scaler(factor * saliency), scaler(saliency), rtol=1e-6, atol=1e-8
    )


@given(maps(with_nan=False), st.floats(-1e3, 1e3))
def test_min_max_scaler_does_not_see_an_offset(saliency, offset):
    spread = saliency.max() - saliency.min()
    assume(spread > 1e-3)
    np.testing.assert_allclose(
        min_max_scaler(saliency + offset), min_max_scaler(saliency), atol=1e-5
    )


# --- dtypes, devices, the caller's array ----------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_dtype_is_kept(scaler, dtype):
    assert scaler(np.array([1, -2, 3], dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_integers_become_float64(scaler, dtype):
    scaled = scaler(np.array([0, 1, 1], dtype))
    assert scaled.dtype == np.float64
    assert scaled.max() > 0


def test_the_work_is_done_in_float64(scaler):
    saliency = np.random.default_rng(0).normal(size=999).astype(np.float32)
    expected = scaler(saliency.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(scaler(saliency), expected)


@pytest.mark.parametrize("size", [1e308, 1e-310])
def test_extreme_magnitudes_neither_overflow_nor_vanish(size):
    saliency = np.array([-size, 0, size, size])
    np.testing.assert_allclose(abs_max_scaler(saliency), [-1, 0, 1, 1])
    np.testing.assert_allclose(min_max_scaler(saliency), [0, 0.5, 1, 1])
    np.testing.assert_allclose(normalize_scaler(saliency), np.array([-1, 0, 1, 1]) / 3)


def test_slices_of_extreme_and_different_magnitudes():
    saliency = np.array([[1e308, -1e308], [1e-310, 0]])
    scaled = normalize_scaler(saliency, axis=1)
    np.testing.assert_allclose(scaled, [[0.5, -0.5], [1, 0]])


def test_small_range_on_a_large_offset_is_exact():
    np.testing.assert_array_equal(
        min_max_scaler(1e8 + np.array([0, 0.25, 1.0])), [0, 0.25, 1]
    )


def test_the_argument_is_not_changed(scaler):
    saliency = np.array([[1.0, -2.0], [np.nan, 0.0]])
    before = saliency.copy()
    saliency.flags.writeable = False
    scaled = scaler(saliency)
    assert not np.shares_memory(scaled, saliency)
    np.testing.assert_array_equal(saliency, before)


@pytest.mark.parametrize("saliency", [np.zeros(3), np.full(3, 1.0), np.array([1.0])])
def test_the_result_is_never_the_argument(scaler, saliency):
    assert not np.shares_memory(scaler(saliency), saliency)


def test_cupy_arrays_come_to_the_host(scaler):
    array = np.array([1.0, -2.0], np.float32)
    scaled = scaler(FakeCupyArray(array))
    assert type(scaled) is np.ndarray
    np.testing.assert_array_equal(scaled, scaler(array))


# --- maps that cannot be scaled -------------------------------------------------


def test_a_map_of_zeros_stays_zero_and_is_reported_as_zero(scaler, caplog):
    np.testing.assert_array_equal(scaler(np.array([0.0, np.nan])), [0, np.nan])
    assert len(caplog.records) == 1
    assert "saliency is" in caplog.text
    assert "0 everywhere" in caplog.text


def test_constant_map_is_not_reported_as_all_0(caplog):
    """PEERS: the ancestor reports a constant map as "all 0"."""
    np.testing.assert_array_equal(min_max_scaler(np.full(3, -2.5)), np.zeros(3))
    assert "constant (-2.5 everywhere)" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(abs_max_scaler(np.full(3, -2.5)), -np.ones(3))
    np.testing.assert_allclose(normalize_scaler(np.full(3, -2.5)), -np.ones(3) / 3)
    assert not caplog.records


def test_report_goes_to_the_logger_that_is_given(scaler, caplog):
    scaler(np.zeros(2), logger=logging.getLogger("mine"))
    assert [record.name for record in caplog.records] == ["mine"]


@pytest.mark.parametrize(
    ("saliency", "message"),
    [
        ([], "empty"),
        ([np.nan, np.nan], "NaN in all of its 2 values"),
        ([1.0, np.inf, -np.inf], "2 infinite of 3 values"),
        ([[1.0], [1.0, 2.0]], "regular"),
    ],
)
def test_no_scale_is_a_value_error(scaler, saliency, message):
    with pytest.raises(ValueError, match=f"saliency.*{message}"):
        scaler(saliency)


@pytest.mark.parametrize("saliency", ["abc", [1 + 2j], [None], {"get": 1}])
def test_no_numbers_is_a_type_error(scaler, saliency):
    with pytest.raises(TypeError, match="saliency must hold real numbers"):
        scaler(saliency)


# --- normalize_scaler along an axis ---------------------------------------------


@pytest.mark.parametrize("axis", [0, -1, (0, 1)])
def test_normalize_scaler_treats_every_slice_by_itself(axis):
    saliency = np.random.default_rng(0).normal(size=(3, 4, 5))
    total = np.abs(normalize_scaler(saliency, axis=axis)).sum(axis=axis)
    np.testing.assert_allclose(total, 1)


def test_normalize_scaler_with_axis_where_one_slice_is_zero(caplog):
    """PEERS: the ancestor's `if vsum <= 0` raises for more than one slice."""
    scaled = normalize_scaler([[0.0, 0.0], [1.0, 3.0]], axis=1)
    np.testing.assert_array_equal(scaled, [[0, 0], [0.25, 0.75]])
    assert "0 everywhere in 1 of 2 slices" in caplog.text


def test_normalize_scaler_where_the_signed_sum_cancels():
    scaled = normalize_scaler([[1.0, -1.0], [1.0, 3.0]], axis=1)
    np.testing.assert_array_equal(scaled, [[0.5, -0.5], [0.25, 0.75]])


def test_normalize_scaler_leaves_a_padded_slice_at_nan(caplog):
    scaled = normalize_scaler([[np.nan, np.nan], [1.0, np.nan]], axis=1)
    np.testing.assert_array_equal(scaled, [[np.nan, np.nan], [1, np.nan]])
    assert not caplog.records


def test_normalize_scaler_axis_out_of_range():
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        normalize_scaler(np.ones((2, 2)), axis=2)


# --- project_scaler -------------------------------------------------------------


@given(maps())
def test_project_scaler_has_zero_in_the_middle(saliency):
    projected = project_scaler(saliency)
    largest = np.nanmax(np.abs(saliency)) or 1
    np.testing.assert_allclose(projected, 0.5 + saliency / (2 * largest), atol=1e-12)


# --- units ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scaler", "unit"),
    [
        (None, "score"),
        (abs_max_scaler, "relative score"),
        (partial(abs_max_scaler, logger=None), "relative score"),
        (min_max_scaler, "share of the range"),
        (normalize_scaler, "share of all scores"),
        (np.tanh, "scaled score"),
        (lambda scores: 100 * scores, "scaled score"),
    ],
)
def test_unit_of_scores(scaler, unit):
    assert unit_of(scaler) == unit
