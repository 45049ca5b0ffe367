"""Arithmetic of rules on large arrays in parts, beside NumPy's of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency import fast_cpu
from saliency.lrp.arithmetic import Total, add, divide, negative

SHAPE = (3, 24, 90, 120)  # 3 MB: several parts, for two threads


@pytest.fixture(params=[1, 2], autouse=True)
def n_thread(request) -> Iterator[int]:
    with threadpool_limits(request.param), fast_cpu():
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
    total = Total(x)
    total.add_product(x, y, sign)
    first = total.get()
    np.testing.assert_array_equal(first, sign * x * y)
    before = first.copy()
    total.add_product(y, y, sign)
    assert total.get() is first
    np.testing.assert_array_equal(first, before + sign * (y * y))


def test_a_product_of_minus_0_is_0_as_in_a_sum(n_thread):
    x = np.full(SHAPE, -0.0, "f")
    total = Total(x)
    total.add_product(x, np.ones_like(x))
    assert not np.signbit(total.get()).any()


def test_of_a_factor_that_is_repeated(pair):
    _, y = pair
    low = np.broadcast_to(np.float32(-2), SHAPE)
    total = Total(y)
    total.add_product(low, y)
    np.testing.assert_array_equal(total.get(), -2 * y)


def test_a_quotient_of_a_stabilised_denominator(pair):
    x, z = pair
    z[:, :2] = 0
    z[:, 2] = -0.0
    z[:, 3] = np.nan
    epsilon = np.float32(0.25)
    expected = x / np.where(z < 0, z - epsilon, z + epsilon)
    np.testing.assert_array_equal(divide(x, z, epsilon), expected)


def test_a_quotient_is_0_where_the_denominator_is(pair):
    x, z = pair
    z[:, :2] = 0
    z[:, 2] = 1e-31
    with np.errstate(all="raise"):
        found = divide(x, z, 0)
    assert not found[:, :3].any()
    np.testing.assert_array_equal(found[:, 3:], x[:, 3:] / z[:, 3:])


def test_the_negative_part(pair):
    x, _ = pair
    np.testing.assert_array_equal(negative(x), x.clip(max=0))


def test_a_number_for_each_channel_is_added(pair, rng):
    x, _ = pair
    shift = rng.standard_normal(SHAPE[1]).astype("f")
    expected = x + shift[:, None, None]
    np.testing.assert_array_equal(add(x, shift[None, :, None, None]), expected)
