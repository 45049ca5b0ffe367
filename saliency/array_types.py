"""The types of arrays, for annotations."""

from __future__ import annotations

from typing import Any

#: A ``numpy.ndarray`` or a ``cupy.ndarray``, whichever the model's device has. The two
#: share no base class, and CuPy need not be installed, so a type checker sees Any.
Array = Any
