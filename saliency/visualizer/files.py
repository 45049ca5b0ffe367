"""Files that are written: their paths, checked before, and their content."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

from matplotlib.backend_bases import FigureCanvasBase


def checked_path(
    save_filepath: str | PathLike[str] | None,
    formats: Sequence[str] = (),
    name: str = "save_filepath",
) -> Path | None:
    """Return the path of a file, checked before anything is drawn or computed.

    Args:
        save_filepath: The path that the user gave; None saves nothing.
        formats: The extensions that are allowed. A name without one gets the first. By
            default these are matplotlib's, with its own default first, as in `savefig`.
        name: What messages call the path.

    Raises:
        TypeError: It is no path.
        ValueError: It is a directory, in none, or has another extension.
    """
    if save_filepath is None:
        return None
    if not isinstance(save_filepath, (str, PathLike)):
        raise TypeError(
            f"{name} must be a str, a path or None, got {type(save_filepath).__name__}"
        )
    path = Path(fspath(save_filepath))
    if path.is_dir():
        raise ValueError(
            f"{name}={str(save_filepath)!r} is a directory; add the name of the file"
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"{name}={str(save_filepath)!r}: the directory "
            f"{str(path.parent)!r} does not exist"
        )
    formats = formats or (
        FigureCanvasBase.get_default_filetype(),
        *sorted(FigureCanvasBase.get_supported_filetypes()),
    )
    if not path.suffix:
        path = path.with_suffix(f".{formats[0]}")
    if path.suffix[1:].lower() not in formats:
        raise ValueError(
            f"{name}={str(save_filepath)!r}: format {path.suffix[1:]!r} is "
            f"not supported; supported formats: {', '.join(sorted({*formats}))}"
        )
    return path


def write_file(path: Path, content: bytes) -> None:
    """Write a file, and leave no part of it if that fails."""
    with path.open("wb") as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            if path.is_file():  # rather than a device
                path.unlink()
            raise
