"""Sigmoid and hyperbolic tangent, and their gradients: in one pass over the memory.

The functions themselves are computed by polynomials.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from typing import Callable, NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from saliency.cpu.compiled.code import Code, Value
from saliency.cpu.compiled.functions import compiled

# Where tanh is a polynomial; further away, the difference of two numbers loses nothing.
_NEAR = 0.625


class _Format(NamedTuple):
    """What a floating-point format asks for.

    Attributes:
        n_bit (int): Bits of its fraction.
        lowest (float): What the exponential takes to the smallest normal number.
        degree (int): Of the polynomials, for an error below rounding.
    """

    n_bit: int
    lowest: float
    degree: int


_FORMATS = {
    np.dtype("f4"): _Format(23, -87.3, 5),
    np.dtype("f8"): _Format(52, -708.3, 11),
}


@compiled
def sigmoid(dtype: np.dtype) -> Code:
    """Return what writes ``1 / (1 + exp(-x))`` to ``out``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n,)``.
    """

    def of(code: Code, x: Value, lanes: int) -> Value:
        zero, one = (code.constant(number, lanes) for number in (0, 1))
        # exp(-|x|), so that nothing overflows.
        power = _exp_of_negative(code, x.at_most(zero - x), lanes)
        return x.if_less(zero, power, one) / (one + power)

    return _elementwise(dtype, ("x",), of)


@compiled
def sigmoid_to_input(dtype: np.dtype) -> Code:
    """Return what writes ``gy y (1 - y)`` to ``out``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n,)``.
    """

    def of(code: Code, gy: Value, y: Value, lanes: int) -> Value:
        return gy * y * (code.constant(1, lanes) - y)

    return _elementwise(dtype, ("gy", "y"), of)


@compiled
def tanh(dtype: np.dtype) -> Code:
    """Return what writes the hyperbolic tangent of ``x`` to ``out``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n,)``.
    """
    degree = _FORMATS[dtype].degree

    def of_squared(u: np.ndarray) -> np.ndarray:
        near: np.ndarray = (np.tanh(u**0.5) / u**0.5 - 1) / u
        return near

    near = _interpolated(of_squared, degree, 0, _NEAR**2)

    def of(code: Code, x: Value, lanes: int) -> Value:
        zero, one = (code.constant(number, lanes) for number in (0, 1))
        size = x.at_least(zero - x)
        squared = x * x
        of_near = x * (one + squared * code.polynomial(near, squared, lanes))
        power = _exp_of_negative(code, zero - size - size, lanes)
        of_far = (one - power) / (one + power)
        of_far = x.if_less(zero, zero - of_far, of_far)
        return size.if_less(code.constant(_NEAR, lanes), of_near, of_far)

    return _elementwise(dtype, ("x",), of)


@compiled
def tanh_to_input(dtype: np.dtype) -> Code:
    """Return what writes ``gy (1 - y**2)`` to ``out``.

    Args:
        dtype (numpy.dtype): Of the arrays, ``(n,)``.
    """

    def of(code: Code, gy: Value, y: Value, lanes: int) -> Value:
        return (code.constant(1, lanes) - y * y) * gy

    return _elementwise(dtype, ("gy", "y"), of)


def _elementwise(
    dtype: np.dtype, names: tuple[str, ...], of: Callable[..., Value]
) -> Code:
    """Return what writes ``of(code, *numbers, lanes)`` for the numbers of arrays."""
    code = Code(dtype, (*names, "out"), ("n",), ())
    for place, lanes in code.in_vectors(code["n"]):
        numbers = [code.load(name, place, lanes) for name in names]
        code.store(of(code, *numbers, lanes), "out", place, lanes)
    return code


def _exp_of_negative(code: Code, x: Value, lanes: int) -> Value:
    """Return ``exp(x)`` where x is at most 0; 0 where no normal number is that small.

    It is ``2**n exp(r)``, with the integer n for which r is closest to 0.
    """
    form = _FORMATS[code.dtype]
    # Numbers this large have no fraction, and n is what their last bits say.
    large = code.constant(1.5 * 2.0**form.n_bit, lanes)
    lowest = code.constant(form.lowest, lanes)
    limited = x.at_least(lowest)
    shifted = limited * code.constant(1 / math.log(2), lanes) + large
    n = shifted - large
    # Cody and Waite (1980): log(2) in two parts, the first of so few bits that its
    # product with n is exact.
    coarse = round(math.log(2) * 2**9) / 2**9
    digits = Context(prec=30)  # whatever the user's own has
    fine = float(digits.subtract(digits.ln(2), Decimal(coarse)))
    r = n.times_plus(code.constant(-coarse, lanes), limited)
    r = n.times_plus(code.constant(-fine, lanes), r)
    half = math.log(2) / 2
    rest = _interpolated(_exp_without_start, form.degree, -half, half)
    one = code.constant(1, lanes)
    power = one + (r + r * r * code.polynomial(rest, r, lanes))
    # NaN stays what it is in a product, whatever the power of two is.
    power = power * code.power_of_two(shifted, form.n_bit, lanes)
    return x.if_less(lowest, code.constant(0, lanes), power)


def _exp_without_start(r: np.ndarray) -> np.ndarray:
    """Return ``(exp(r) - 1 - r) / r**2``, by its series, which loses no digits."""
    terms = [r**k / math.factorial(k + 2) for k in range(20)]
    return np.sum(terms, axis=0)  # type: ignore[no-any-return]


def _interpolated(
    function: Callable[[np.ndarray], np.ndarray],
    degree: int,
    start: float,
    stop: float,
) -> list[float]:
    """Return a polynomial's coefficients, that of ``x**0`` first.

    It has the function's values at Chebyshev's points, so that it is close to the best.
    """
    found = Chebyshev.interpolate(function, degree, (start, stop))
    coefficients: list[float] = found.convert(kind=Polynomial).coef.tolist()
    return coefficients
