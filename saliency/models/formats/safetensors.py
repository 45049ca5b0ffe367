"""``.safetensors``, with the names of PyTorch's state dict."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

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
                functools.partial(file.get_tensor, name),
            )
            for name in file.keys()  # noqa: SIM118 (it is no dict)
        }


def _name_of(dtype: str) -> str:
    """Return NumPy's name of a dtype, or the format's own for one without."""
    return _DTYPES.get(dtype, dtype)
