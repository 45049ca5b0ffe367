"""Command lines of scripts: help with defaults, arguments checked before any work.

The examples use it, and scripts of one's own can::

    parser = Parser(__doc__)
    parser.add_argument("--M", type=at_least(1), default=30, help="samples")
    parser.add_common_arguments(out="results/mine")
    args = parser.parse_args()

What is wrong with an argument is said in one line, and the script ends with status 2.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Callable


def at_least(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return the ``type`` of an argument that is a whole number within limits."""
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if number < low or (high is not None and number > high):
            raise _refused(f"must be a whole number {limits}, got {text!r}")
        return number

    return read


def as_seed(text: str) -> int:
    """Read a seed of ``numpy.random`` (``type`` of an argument)."""
    return at_least(0, 2**32 - 1)(text)


def as_ratio(text: str) -> float:
    """Read a ratio in [0, 1), such as that of dropout (``type`` of an argument)."""
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio < 1:
        raise _refused(f"must be a number from 0 to below 1, got {text!r}")
    return ratio


def as_device(text: str) -> Any:
    """Return a device that Chainer can use here (``type`` of an argument)."""
    from saliency import chainer_compat

    import chainer

    try:
        device = chainer.get_device(text)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise _refused(f"{text!r} cannot be used here: {reason}") from None
    is_gpu = isinstance(device, chainer.backend.GpuDevice)
    problem = chainer_compat.gpu_problem() if is_gpu else None
    if problem is not None:
        raise _refused(f"{text!r} cannot be used here: {problem}")
    return device


def as_file(text: str) -> Path:
    """Return the path of a file that is there (``type`` of an argument)."""
    path = Path(text)
    if not path.is_file():
        raise _refused(f"{text}: there is no such file")
    if not os.access(path, os.R_OK):
        raise _refused(f"{text} cannot be read")
    return path


def as_folder(text: str) -> Path:
    """Return the path of a folder that is there (``type`` of an argument)."""
    path = Path(text)
    if not path.is_dir():
        raise _refused(f"{text}: there is no such folder")
    return path


def as_folder_to_write(text: str) -> Path:
    """Return a folder that is there or can be made (``type`` of an argument).

    It is not made, so that wrong arguments leave nothing behind.
    """
    path = Path(text)
    problem = _why_not_into(path)
    if problem:
        raise _refused(f"{text} is no folder to write into: {problem}")
    return path


def _why_not_into(folder: Path) -> str:
    """Return why nothing can be written into a folder, or nothing."""
    places = (folder, *folder.absolute().parents)
    there = next(place for place in places if place.exists())
    if not there.is_dir():
        return f"{there} is a file"
    is_writable = os.access(there, os.W_OK | os.X_OK)
    return "" if is_writable else f"{there} is read-only"


def as_picture_to_write(text: str) -> Path:
    """Return the path of a picture that can be written (``type`` of an argument).

    Its folder is there or can be made.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    known = sorted(FigureCanvasBase.get_supported_filetypes())
    return _file_to_write(text, known, "picture")


def as_page_to_write(text: str) -> Path:
    """Return the path of a page of HTML that can be written (``type`` of an argument).

    Its folder is there or can be made.
    """
    return _file_to_write(text, ["html", "htm"], "page")


def as_table_to_write(text: str) -> Path:
    """Return the path of a table that can be written (``type`` of an argument).

    Its folder is there or can be made.
    """
    return _file_to_write(text, ["md", "html", "htm", "csv"], "table")


def _file_to_write(text: str, known: list[str], what: str) -> Path:
    path = Path(text)
    if path.suffix[1:].lower() not in known:
        raise _refused(f"{text} must end with one of {', '.join(known)}")
    if path.is_dir():
        raise _refused(f"{text} is a folder; add the name of the {what}")
    if path.exists() and not os.access(path, os.W_OK):
        raise _refused(f"{text} is read-only")
    problem = _why_not_into(path.parent)
    if problem:
        raise _refused(f"{text} cannot be written: {problem}")
    return path


def _refused(problem: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(problem)


class Parser(argparse.ArgumentParser):
    """A parser of arguments whose help shows their defaults.

    Args:
        docstring (str): That of the script, whose first line describes it in the help.
        settings: Others of ``argparse.ArgumentParser``.
    """

    def __init__(self, docstring: str, **settings: Any) -> None:
        super().__init__(
            description=docstring.splitlines()[0],
            formatter_class=HelpWithDefaults,
            **settings,
        )

    def add_common_arguments(
        self,
        out: str,
        out_type: Callable[[str], Path] = as_folder_to_write,
        out_help: str = "folder to write into",
        seed_help: str = "seed of all random numbers",
    ) -> None:
        """Add ``--seed``, ``--device`` and ``--out``, which nearly all scripts have.

        Args:
            out (str): Default of ``--out``.
            out_type (callable): What ``--out`` is, by default a folder.
            out_help (str): What the help says of ``--out``.
            seed_help (str): What the help says of ``--seed``.
        """
        self.add_argument("--seed", type=as_seed, default=0, help=seed_help)
        self.add_argument(
            "--device", type=as_device, default="@numpy", help="@cupy:0 for a GPU"
        )
        self.add_argument("--out", type=out_type, default=out, help=out_help)


class HelpWithDefaults(argparse.HelpFormatter):
    """Adds the default to the help of an option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        has_none = default is None or default is False or default == []
        if has_none or default == argparse.SUPPRESS or not action.option_strings:
            return action.help
        values = default if isinstance(default, (list, tuple)) else [default]
        shown = " ".join(map(str, values)).replace("%", "%%")
        return f"{action.help} (default: {shown})"
