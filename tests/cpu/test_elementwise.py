"""Arithmetic of large arrays in parts, beside NumPy's of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency.cpu import elementwise

SHAPE = (3, 24, 90, 120)  # 3 MB: several parts, for two threads


@pytest.fixture(params=[1, 2], autouse=True)
def n_thread(request) -> Iterator[int]:
    with threadpool_limits(request.param):
        yield request.param


@pytest.fixture(params=["both by pixel", "one by pixel", "by channel", "views"])
def pair(request, rng) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays, in layouts that a network may give them."""
    by_channel = rng.standard_normal((2, *SHAPE)).astype("f")
    if request.param == "by channel":
        return by_channel[0], by_channel[1]
    if request.param == "views":
        wide = rng.standard_normal((2, *SHAPE[:3], 250)).astype("f")
        return wide[0, ..., :120], wide[1, ..., 5:245:2]
    n, channel, height, width = SHAPE
    by_pixel = rng.standard_normal((2, n, height, width, channel)).astype("f")
    x, y = by_pixel.transpose(0, 1, 4, 2, 3)
    return x, (y if request.param == "both by pixel" else by_channel[1])


@pytest.mark.parametrize("sign", [1, -1])
def test_products_are_added_to_a_total(pair, sign):
    x, y = pair
    first = elementwise.add_product(x, y, sign)
    np.testing.assert_array_equal(first, sign * x * y)
    total = x.copy()
    found = elementwise.add_product(y, y, sign, total)
    assert found is total
    np.testing.assert_array_equal(total, x + sign * (y * y))


def test_a_product_of_minus_0_is_0_as_in_a_sum(n_thread):
    x = np.full(SHAPE, -0.0, "f")
    assert not np.signbit(elementwise.add_product(x, np.ones_like(x))).any()


def test_of_a_factor_that_is_repeated(pair):
    _, y = pair
    low = np.broadcast_to(np.float32(-2), SHAPE)
    np.testing.assert_array_equal(elementwise.add_product(low, y), -2 * y)


def test_a_quotient_of_a_stabilised_denominator(pair):
    x, z = pair
    z[:, :2] = 0
    z[:, 2] = -0.0
    z[:, 3] = np.nan
    epsilon = np.float32(0.25)
    expected = x / np.where(z < 0, z - epsilon, z + epsilon)
    found = elementwise.stabilised_quotient(x, z, epsilon)
    np.testing.assert_array_equal(found, expected)


def test_a_quotient_is_0_where_the_denominator_is(pair):
    x, z = pair
    z[:, :2] = 0
    z[:, 2] = 1e-31
    with np.errstate(all="raise"):
        found = elementwise.quotient_or_zero(x, z, 1e-30)
    assert not found[:, :3].any()
    np.testing.assert_array_equal(found[:, 3:], x[:, 3:] / z[:, 3:])


def test_the_negative_part(pair):
    x, _ = pair
    np.testing.assert_array_equal(elementwise.negative_part(x), x.clip(max=0))


def test_a_number_for_each_channel_is_added(pair, rng):
    x, _ = pair
    shift = rng.standard_normal(SHAPE[1]).astype("f")
    expected = x + shift[:, None, None]
    np.testing.assert_array_equal(elementwise.shift_channels(x, shift), expected)
