"""PyTorch's ``.pth`` and ``.pt``, with the names of its state dict."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from saliency.models.formats.archives import open_archive
from saliency.models.formats.stored import Refused, Stored, Weights


@contextlib.contextmanager
def open_pytorch(path: Path) -> Iterator[Weights]:
    """Return a block with the arrays of a file, by their names.

    PyTorch reads the whole file, and takes as much memory as it has bytes.

    Raises:
        Refused: If it is an archive that unpacks to more.
        pickle.UnpicklingError: If it holds anything but arrays and plain values.
    """
    import torch

    if zipfile.is_zipfile(path):
        with open_archive(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise Refused(f"its member {member.filename} is compressed")
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    yield {
        name.removeprefix("module."): Stored(
            tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.numpy
        )
        for name, tensor in state.items()
    }
