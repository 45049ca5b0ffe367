"""Opens files of weights, in the formats that people share them in."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Callable

from saliency.models.formats.caffe import open_caffe
from saliency.models.formats.keras import open_keras
from saliency.models.formats.npz import open_npz
from saliency.models.formats.pytorch import open_pytorch
from saliency.models.formats.safetensors import open_safetensors
from saliency.models.formats.stored import Refused, Weights


@contextlib.contextmanager
def open_weights(path: Path, largest: int) -> Iterator[Weights]:
    """Return a block with the arrays that a file declares, by its format's names.

    - ``.safetensors``, ``.pth``, ``.pt``: the names of the state dict;
    - ``.h5``: ``layer/role`` for the layers of Keras, with the roles ``kernel``,
      ``bias``, ``gamma``, ``beta``, ``mean``, ``var``;
    - ``.caffemodel``: ``layer/name`` as Chainer's CaffeFunction has them;
    - ``.npz``: the paths of a Chainer link;
    - ``.onnx``: a :class:`~saliency.models.formats.stored.Trunk`.

    Args:
        path (Path): The file.
        largest (int): Bytes that it may have: what is read of it before its arrays are
            takes memory in proportion.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the library that reads it is not installed.
        MemoryError: If there is too little memory to see what it holds.
        ValueError: If the suffix is none of these, or the file is too large or cannot
            be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"path={str(path)!r}: there is no such file")
    if path.suffix not in _FORMATS:
        raise ValueError(
            f"path={str(path)!r} must end with one of {', '.join(_FORMATS)}"
        )
    size = path.stat().st_size
    if size > largest:
        raise ValueError(
            f"path={str(path)!r} has {size} bytes, and at most {largest} are read of "
            "weights for this network"
        )
    open_format, module, hint = _FORMATS[path.suffix]
    try:
        importlib.import_module(module)
    except ImportError as reason:
        raise ImportError(f"{path.name} is read with {module}: {hint}") from reason
    with contextlib.ExitStack() as stack:
        try:
            weights = stack.enter_context(open_format(path))
        except MemoryError as reason:
            raise MemoryError(
                f"path={str(path)!r}: there is too little memory to read it ({reason})"
            ) from reason
        except Refused as reason:
            raise ValueError(f"path={str(path)!r} is not read: {reason}") from reason
        except Exception as reason:  # of as many kinds as there are libraries
            raise ValueError(
                f"path={str(path)!r} cannot be read as {path.suffix}; is it complete? "
                f"({type(reason).__name__}: {reason})"
            ) from reason
        yield weights


def _open_onnx(path: Path) -> AbstractContextManager[Weights]:
    from saliency.models.formats.onnx import open_onnx

    return open_onnx(path)


_Format = Callable[[Path], AbstractContextManager[Weights]]
# How each is opened, with which library, and where that comes from.
_FORMATS: dict[str, tuple[_Format, str, str]] = {
    ".safetensors": (open_safetensors, "safetensors", "pip install safetensors"),
    ".pth": (open_pytorch, "numpy", ""),
    ".pt": (open_pytorch, "numpy", ""),
    ".h5": (open_keras, "h5py", "pip install h5py"),
    ".caffemodel": (open_caffe, "mmap", ""),
    ".npz": (open_npz, "numpy", ""),
    ".onnx": (_open_onnx, "onnx", "pip install 'chainer-saliency[onnx]'"),
}
