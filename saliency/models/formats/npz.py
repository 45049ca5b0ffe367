"""NumPy's ``.npz``, in which Chainer saves links: a zip archive of arrays."""

from __future__ import annotations

import contextlib
import functools
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from saliency.models.formats.archives import open_archive
from saliency.models.formats.stored import Refused, Stored, Weights, add

# What NumPy writes. Others may want gigabytes before they give a byte.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Weights]:
    """Return a block with the arrays of an archive, by their names.

    Raises:
        Refused: If a member is no array as NumPy writes it.
        zipfile.BadZipFile: If it is no such archive.
    """
    with open_archive(path) as archive:
        weights: dict[str, Stored] = {}
        for member in archive.infolist():
            try:
                stored = _stored(archive, member)
            except (OSError, ValueError, RuntimeError, zlib.error) as reason:
                raise Refused(f"its member {member.filename}: {reason}") from reason
            add(weights, member.filename.removesuffix(".npy"), stored)
        yield weights


def _stored(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Stored:
    """Return what the header of an array says; no more than 64 kB of it are read."""
    if member.compress_type not in _METHODS:
        raise Refused(f"it is compressed by method {member.compress_type}")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):  # the others are for tables with names
            raise Refused(f"it is an array of version {version}, not (1, 0)")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return Stored(shape, dtype.name, functools.partial(_read, archive, member))


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # which checks the digest of all, too
            raise Refused("there is more than the array")
    return array
