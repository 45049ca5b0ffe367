"""``.safetensors``, with the names of PyTorch's state dict."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from saliency.models.formats.stored import Refused, Stored, Weights

# Bytes of what the file says of its arrays.
_LARGEST_HEADER = 10_000_000
_DTYPES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[Weights]:
    """Return a block with the arrays of a file, by their names.

    Raises:
        safetensors.SafetensorError: If it is no such file.
        Refused: If what it says of its arrays is larger than 10 MB.
    """
    from safetensors import safe_open

    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if _LARGEST_HEADER < header <= path.stat().st_size:
        raise Refused(f"its header of {header} bytes is larger than 10 MB")
    with safe_open(path, framework="np") as file:
        yield {
            name: Stored(
                tuple(file.get_slice(name).get_shape()),
                _name_of(file.get_slice(name).get_dtype()),
                functools.partial(_tensor, file, name),
            )
            for name in file.keys()  # noqa: SIM118 (it is no dict)
        }


def _tensor(file: Any, name: str) -> np.ndarray:
    """Return an array of an open file.

    Raises:
        MemoryError: If there is no room for it. In some places the library says so by
            its own MemoryError, and in others by an exception that is no Exception.
    """
    try:
        array: np.ndarray = file.get_tensor(name)
    except BaseException as reason:
        if type(reason).__name__ == "PanicException":
            raise MemoryError(f"safetensors: {reason}") from reason
        raise
    return array


def _name_of(dtype: str) -> str:
    """Return NumPy's name of a dtype, or the format's own for one without."""
    return _DTYPES.get(dtype, dtype)
