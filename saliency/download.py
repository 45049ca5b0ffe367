"""Files from the internet, each fetched once and checked."""

from __future__ import annotations

import hashlib
import urllib.request
from os import PathLike
from pathlib import Path

from tqdm import tqdm

_PIECE = 1 << 20


def download(
    url: str,
    path: str | PathLike[str],
    checksum: str | None = None,
    show_progress: bool = True,
) -> Path:
    """Return the path of a file that is downloaded if it is not there.

    It gets its name when it is complete and checked, so a file of that name is whole.

    Args:
        url (str): Where it is to be had.
        path (path): Where it is kept; folders are made.
        checksum (str or None): Such as ``'sha256:9f86...'`` or ``'md5:...'``; what
            stands behind the colon may be the beginning of the digest.
        show_progress (bool): Whether to show a progress bar.

    Raises:
        OSError: If it can not be downloaded or is not what the checksum says. The
            message tells which file to get and where to put it.
    """
    path = Path(path)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        digest = _fetch(url, part, checksum, show_progress)
    except (OSError, ValueError) as reason:
        part.unlink(missing_ok=True)
        raise OSError(
            f"{url} can not be downloaded ({reason}). Download it elsewhere and put it "
            f"at {path}"
        ) from reason
    if checksum is not None and not digest.startswith(checksum.partition(":")[2]):
        part.unlink()
        raise OSError(
            f"{url} is not the file that is expected: its checksum is {digest}, not "
            f"{checksum}. If you have the right one, put it at {path}"
        )
    part.replace(path)
    return path


def _fetch(url: str, path: Path, checksum: str | None, show_progress: bool) -> str:
    """Write what is at the URL to the path, and return its digest."""
    digest = hashlib.new((checksum or "sha256:").partition(":")[0])
    with urllib.request.urlopen(url, timeout=60) as response, path.open("wb") as file:
        announced = response.headers.get("Content-Length")
        bar = tqdm(
            desc=path.stem,
            total=None if announced is None else int(announced),
            unit="B",
            unit_scale=True,
            disable=not show_progress,
        )
        n_byte = 0
        with bar:
            while piece := response.read(_PIECE):
                file.write(piece)
                digest.update(piece)
                n_byte += len(piece)
                bar.update(len(piece))
    if announced is not None and n_byte != int(announced):
        raise OSError(f"the connection ended after {n_byte} of {announced} bytes")
    return digest.hexdigest()
