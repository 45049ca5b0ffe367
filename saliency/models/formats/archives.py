"""Zip archives whose list of members is as short as that of a network."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from saliency.models.formats.stored import Refused

# Bytes of the list of members, which is read as a whole; ResNet152 has 80,000.
_LARGEST_LIST = 1 << 20


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Return a block with a zip archive.

    Raises:
        Refused: If its list of members is larger than a megabyte.
        zipfile.BadZipFile: If it is none.
    """
    with _BoundedFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        yield archive


class _BoundedFile(io.BufferedReader):
    """A file of which only pieces are read."""

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, or all that are left.

        Raises:
            Refused: If they are more than a megabyte.
        """
        if size is None or size < 0 or size > _LARGEST_LIST:
            position = self.tell()
            left = self.seek(0, io.SEEK_END) - position
            self.seek(position)
            size = left if size is None or size < 0 else min(size, left)
        if size > _LARGEST_LIST:
            raise Refused(f"its list of members has {size} bytes")
        return super().read(size)
