"""The npz file that holds an explanation: arrays, and a header in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

#: What the header says, so that no other npz is taken for an explanation.
_FORMAT = "saliency.Explanation"
#: Version 1 had the header as a text, in four bytes a letter.
_VERSION, _OLDER = 2, (1,)
#: What the array of an image is called.
_IMAGE = "image {}"


def write_file(
    path: str | PathLike[str],
    arrays: Mapping[str, np.ndarray],
    header: Mapping[str, Any],
    images: tuple[np.ndarray, ...] | None,
) -> None:
    """Write arrays and a header.

    Args:
        path (path): The file; ``.npz`` is added if there is no extension.
        arrays (dict): Arrays by name.
        header (dict): What else there is, in the types of JSON.
        images (tuple of numpy.ndarray or None): Arrays of any shapes.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the extension is another one.
    """
    path = Path(fspath(path))
    if path.suffix not in ("", ".npz"):
        raise ValueError(f"path must end in .npz, got {str(path)!r}")
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "n_image": None if images is None else len(images),
        **header,
    }
    stored: dict[str, Any] = dict(arrays)
    stored["header"] = np.frombuffer(json.dumps(about).encode("utf-8"), np.uint8)
    stored.update({_IMAGE.format(i): image for i, image in enumerate(images or ())})
    np.savez(path.with_suffix(".npz"), **stored)


def read_file(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what :func:`write_file` wrote, by name; ``images`` among them.

    Args:
        path (path): As it was given to that.

    Raises:
        OSError: If there is no such file.
        ValueError, KeyError, TypeError, AttributeError, EOFError: If it holds something
            else.
    """
    path = Path(fspath(path))
    if not path.suffix and not path.exists():
        path = path.with_suffix(".npz")
    with (
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        header = _header(stored["header"])
        is_known = header.pop("version") in (_VERSION, *_OLDER)
        if header.pop("format") != _FORMAT or not is_known:
            raise ValueError("a file of another kind or version")
        n_image = header.pop("n_image", None)
        names = [_IMAGE.format(i) for i in range(n_image or 0)]
        if n_image is not None:
            header["images"] = [stored[name] for name in names]
        others = [name for name in stored if name not in {"header", *names}]
        return {**{name: stored[name] for name in others}, **header}


def _header(stored: np.ndarray) -> dict[str, Any]:
    text = str(stored) if stored.dtype.kind == "U" else stored.tobytes().decode("utf-8")
    header: dict[str, Any] = json.loads(text)
    return header
