"""How many digits numbers have where people read them."""

from __future__ import annotations


def form_of(number: float, n_digit: int) -> str:
    """Return the format of a number: some significant digits, and all whole ones.

    250913 has six, where ``.3g`` would write 2.51e+05. There is an exponent from 1e15
    on, of which floats do not have all digits.

    Args:
        number: The number.
        n_digit: How many significant digits it has at least.
    """
    is_long = 10**n_digit - 0.5 <= abs(number) < 1e15
    return ".0f" if is_long else f".{n_digit}g"
