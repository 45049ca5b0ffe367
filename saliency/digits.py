"""How many digits numbers have where people read them."""

from __future__ import annotations


def written_out(number: float, n_digit: int, sign: str = "") -> str:
    """Return a number with some significant digits, and all of its whole ones.

    250913 has six, where ``.3g`` would write 2.51e+05. There is an exponent from 1e15
    on, of which floats do not have all digits.

    Args:
        number: The number.
        n_digit: How many significant digits it has at least.
        sign: ``'+'`` for a sign of positive numbers as well.
    """
    is_long = 10**n_digit - 0.5 <= abs(number) < 1e15
    return format(number, f"{sign}.0f" if is_long else f"{sign}.{n_digit}g")


def with_minus(text: str) -> str:
    """Return a number's text with the sign that matplotlib's axes have."""
    return text.replace("-", "\N{MINUS SIGN}")
