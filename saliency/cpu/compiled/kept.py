"""Object code that is kept in files, so that no later process compiles it again.

Such files hold code that runs without further questions, as Python's own ``.pyc`` do.
They are read only if they belong to the user, and hold what was written into them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np

from saliency.cpu.compiled.machine import description

#: Says where the files are, instead of the folder for such files of the user; nothing
#: is kept where it is empty.
VARIABLE = "SALIENCY_CACHE_DIR"
_PREFIX = "compiled-"
_N_DIGEST = hashlib.sha256().digest_size
# Seconds after which what other versions have compiled is removed.
_FORGOTTEN = 90 * 24 * 3600.0


def kept(name: str, compile_it: Callable[[], bytes]) -> bytes:
    """Return what has been compiled, by this process or an earlier one.

    Args:
        name (str): Tells it from all else that this version of the package compiles.
        compile_it (callable): Returns it.
    """
    folder = _folder()
    if folder is None:
        return compile_it()
    path = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
    code = _read(path)
    if code is None:
        code = compile_it()
        # Where there is no room, or nothing may be written, it is compiled each time.
        with contextlib.suppress(OSError):
            _write(path, code)
    return code


def place() -> Path | None:
    """Return the folder in which the folders are; None if nothing is kept."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return Path(chosen).absolute() if chosen else None
    try:
        from platformdirs import user_cache_path
    except ImportError:  # llvmlite has been installed by itself
        return None
    path = user_cache_path("saliency", appauthor=False)
    return path if path.is_absolute() else None  # a user without a home


def _folder() -> Path | None:
    """Return the folder of what is compiled by these sources for this machine."""
    around, sources = place(), _sources()
    if around is None or sources is None:
        return None
    return around / f"{_PREFIX}{sources}"


@functools.cache
def _sources() -> str | None:
    """Return a digest of all that the machine code depends on."""
    digest = hashlib.sha256(f"{description()} {np.__version__}".encode())
    paths = sorted(Path(__file__).parent.glob("*.py"))
    if not paths:  # they are not where Python has found them
        return None
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _read(path: Path) -> bytes | None:
    """Return what is in a file if it is the user's, and whole."""
    try:
        with path.open("rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            # Windows knows owners of another kind, and gives none.
            if hasattr(os, "geteuid") and owner != os.geteuid():
                return None
            content = file.read()
    except OSError:
        return None
    digest, code = content[:_N_DIGEST], content[_N_DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(path: Path, code: bytes) -> None:
    """Write a file that is whole as soon as it has its name."""
    folder, around = path.parent, path.parent.parent
    if not folder.exists():
        _remove_forgotten(around)
        folder.mkdir(parents=True, exist_ok=True)
    # One that a killed process leaves is removed some day, as folders are.
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=around) as own:
        part = Path(own) / path.name
        part.write_bytes(hashlib.sha256(code).digest() + code)
        os.replace(part, path)


def _remove_forgotten(around: Path) -> None:
    """Remove what has been compiled by other versions, to which nothing was added."""
    for folder in around.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _FORGOTTEN:
                shutil.rmtree(folder, ignore_errors=True)
