"""Sums, differences, products and quotients of large arrays, beside Chainer's own."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

from saliency import fast_cpu
from saliency.backprop.walk import gradients

import chainer
import chainer.functions as F

RNG = np.random.default_rng(0)


def normal(*shape: int, dtype: str = "f") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


PAIRS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "of one layout": (normal(300, 17, 40), normal(300, 17, 40)),
    "in float64": (normal(300, 17, 40, dtype="d"), normal(300, 17, 40, dtype="d")),
    "that are parts": (normal(300, 17, 80)[..., :40], normal(300, 17, 80)[..., 40:]),
    "of two layouts": (normal(300, 17, 40), normal(17, 300, 40).transpose(1, 0, 2)),
    "one the same for all rows": (
        np.broadcast_to(normal(17, 40), (300, 17, 40)),
        normal(300, 17, 40),
    ),
    "both the same for all rows": (
        np.broadcast_to(normal(17, 40), (300, 17, 40)),
        np.broadcast_to(normal(17, 1), (300, 17, 40)),
    ),
    "of two shapes": (normal(300, 17, 40), normal(17, 1)),
    "that are small": (normal(3, 4), normal(3, 4)),
}
OF_TWO: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "quotient": lambda x, y: x / y,
    "square": lambda x, y: x * x + y,
    "gated cell": lambda x, y: (1 - x) * y + x * F.tanh(y),
}
OF_ONE: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x + 3,
    "difference": lambda x: 0.1 - x,
    "product": lambda x: x * np.float64(0.1),
    "quotient": lambda x: x / np.float32(3),
    "negative": lambda x: -x,
    "parts": lambda x: F.concat(F.split_axis(x, 2, axis=2)[::-1], axis=2),
    "a part": lambda x: F.split_axis(x, 2, axis=2)[1],
    "parts in rows": lambda x: F.concat([x, 2 * x[:, :3], x], axis=-2),
    "parts of another layout": lambda x: F.concat([F.transpose(x), F.transpose(x)], 0),
    "sums over rows": lambda x: F.sum(x, axis=0),
    "sums in the middle": lambda x: F.sum(x, axis=-2, keepdims=True),
    "sums of columns": lambda x: F.sum(x, axis=-1),
    "sums over two axes": lambda x: F.sum(x, axis=(0, 1)),
    "sum of all": lambda x: F.sum(x),
}


def assert_as_chainer(function: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Compare the output and the gradients at all inputs, bit by bit."""
    variables = [chainer.Variable(array) for array in arrays]
    y = function(*variables)
    gy = normal(*y.shape, dtype=y.dtype.char)
    given = gy.copy()
    expected = chainer.grad([y], variables, [chainer.Variable(gy)])
    with fast_cpu():
        fast = function(*variables)
        found = gradients([fast], variables, [gy])
    np.testing.assert_array_equal(fast.array, y.array)
    assert fast.dtype == y.dtype
    for gradient, wanted in zip(found, expected):
        assert gradient is not None
        np.testing.assert_array_equal(gradient, wanted.array)
        assert gradient.dtype == wanted.dtype
    np.testing.assert_array_equal(gy, given)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", OF_TWO)
def test_functions_of_two_arrays(name: str, pair: str) -> None:
    x, y = PAIRS[pair]
    if name != "gated cell":
        assert_as_chainer(OF_TWO[name], x, y)
        return
    # Its tanh is another one, within rounding.
    with fast_cpu():
        found = OF_TWO[name](chainer.Variable(x), chainer.Variable(y))
    expected = OF_TWO[name](chainer.Variable(x), chainer.Variable(y))
    np.testing.assert_allclose(found.array, expected.array, 1e-5, 1e-6)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", OF_ONE)
def test_functions_of_one_array(name: str, pair: str) -> None:
    x = PAIRS[pair][0]
    if x.ndim < 3:
        x = x[None]
    assert_as_chainer(OF_ONE[name], x)


@pytest.mark.parametrize("which", [0, 1])
def test_a_result_lies_as_what_is_not_the_same_everywhere(which: int) -> None:
    pair = PAIRS["one the same for all rows"]
    x, y = pair if which == 0 else pair[::-1]
    with fast_cpu():
        assert (chainer.Variable(x) * y).array.flags.c_contiguous
        x, y = PAIRS["both the same for all rows"]
        assert (chainer.Variable(x) * y).array.flags.c_contiguous


def test_a_constant_that_is_an_array_is_left_to_chainer() -> None:
    x = PAIRS["of one layout"][0]
    with fast_cpu():
        y = chainer.functions.math.basic_math.AddConstant(normal(40)).apply((x,))
    assert y[0].shape == x.shape


def test_retained_arrays_are_there_for_chainers_own_backward() -> None:
    x, y = (chainer.Variable(array) for array in PAIRS["of one layout"])
    with fast_cpu():
        z = F.sum(x * y / (y * y + 1))
        z.backward()
    found = x.grad, y.grad
    for variable in (x, y):
        variable.cleargrad()
    F.sum(x * y / (y * y + 1)).backward()
    for gradient, variable in zip(found, (x, y)):
        np.testing.assert_array_equal(gradient, variable.grad)


@pytest.mark.parametrize(
    "function",
    [lambda x: x + x, lambda x: 10 * x, lambda x: F.sum(x, axis=0)],
    ids=["sum of two", "times a number", "sum over rows"],
)
def test_an_overflow_is_an_error_where_numpy_is_told_so(function: Any) -> None:
    x = chainer.Variable(np.full((300, 17, 40), 3e38, "f"))
    with fast_cpu(), np.errstate(over="raise"), pytest.raises(FloatingPointError):
        function(x)
