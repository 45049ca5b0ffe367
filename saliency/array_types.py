"""Types that several modules name."""

from __future__ import annotations

from typing import Any

#: An array of NumPy or CuPy. The two share no base class, and Chainer has no stubs.
Array = Any
