"""Where results go: an array in memory or on disk, by what the user gives."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from saliency.calculator.results.numpy_file import NumpyFile
from saliency.calculator.results.record import Record
from saliency.calculator.results.store import GivenArray, Store
from saliency.calculator.results.zarr_stores import ZarrArray, ZarrFolder


def as_store(out: Any, batchsize: int) -> Store:
    """Return where results go, as far as that can be told before they are there.

    Args:
        out (path, numpy.ndarray or zarr.Array): As the user gave it.
        batchsize (int): Number of rows that are written together.

    Raises:
        TypeError, ValueError: If ``out`` is none of these.
    """
    if isinstance(out, np.ndarray):
        if not out.flags.writeable:
            raise ValueError("out must be writeable, got an array that is read-only")
        return _NumpyArray(out)
    if _is_zarr_array(out):
        return ZarrArray(out)
    try:
        path = Path(out)
    except TypeError:
        raise TypeError(
            "out must be a path, an array of NumPy or Zarr, or None; got "
            f"{type(out).__name__}"
        ) from None
    if not path.absolute().parent.is_dir():
        raise ValueError(f"out={str(path)!r} is in a folder that does not exist")
    if path.suffix == ".npy":
        return NumpyFile(path)
    if path.suffix == ".zarr":
        return ZarrFolder(path, batchsize)
    raise ValueError(f"out must end with .npy or .zarr, got {str(path)!r}")


def check_apart(out: Any, data: Any, settings: dict[str, Any]) -> None:
    """Raise a ValueError if rows would be written over what later ones are made of.

    Args:
        out (path, numpy.ndarray or zarr.Array): As the user gave it.
        data: The examples. ``out`` may be the array of them, each of which is read
            before it is written over.
        settings (dict): Those of the calculator, by their names.
    """
    if not isinstance(out, np.ndarray):
        return
    place = _place_of(out)
    held = [("data", a) for a in _arrays_of(data) if _place_of(a) != place]
    held += [(name, a) for name, value in settings.items() for a in _arrays_of(value)]
    for name, array in held:
        if np.may_share_memory(out, array):
            raise ValueError(
                f"out must not share memory with {name}: what is written first would "
                "change what is computed next. Pass another array"
            )


def _arrays_of(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _arrays_of(part)


def _place_of(array: np.ndarray) -> tuple[Any, ...]:
    return array.ctypes.data, array.shape, array.strides


def as_zarr_path(out: Any) -> Path | None:
    """Return ``out`` as a path, if it is that of a Zarr store in the file system."""
    with contextlib.suppress(TypeError):
        path = Path(out)
        return path if path.suffix == ".zarr" else None
    return None


class _NumpyArray(GivenArray):
    """A NumPy array, which nothing can be recorded of."""

    record_name = "out"
    begin_anew = "pass another array"
    has_record = False

    def read_record(self) -> Any:
        return None

    def write_record(self, record: Record) -> None:
        pass


def _is_zarr_array(out: Any) -> bool:
    module = sys.modules.get("zarr")  # imported by whoever made a Zarr array
    return module is not None and isinstance(out, module.Array)
