"""Progress bars, for terminals and for notebooks."""

from __future__ import annotations

import sys
from typing import Any, Union

from tqdm import tqdm

_SHORT = 1.0  # seconds; work that takes no longer has no progress bar
_WIDTH = 79  # characters of a bar as text in a notebook, whose width is not known


class NoBar:
    """Counts where nobody looks, as a bar of tqdm does, which takes longer to make.

    Attributes:
        n (int): How many units are done.
        total (int or None): How many there are, if that is known.
    """

    def __init__(self) -> None:
        self.n = 0
        self.total: int | None = None

    def update(self, n: int = 1) -> None:
        """Count units that are done."""
        self.n += n

    def reset(self, total: int | None = None) -> None:
        """Begin again."""
        self.n, self.total = 0, total

    def __enter__(self) -> NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass


#: A bar, for a ``with`` block.
Bar = Union[tqdm, NoBar]


def progress_bar(
    desc: str, total: int | None, unit: str, is_wanted: bool = True, **settings: Any
) -> Bar:
    """Return a progress bar that is drawn only where somebody looks at it.

    That is in a terminal, on stderr, and in a notebook: as a widget where ipywidgets is
    installed, and else as text. ``tqdm.auto`` warns without ipywidgets, or raises in
    its older versions. Work that is done within a second has no bar.

    Args:
        desc (str): What is done.
        total (int or None): How many units there are, if that is known.
        unit (str): What is counted.
        is_wanted (bool): Whether there is to be a bar at all.
        settings: Others of ``tqdm.tqdm``.

    Returns:
        tqdm.tqdm or NoBar: The bar, for a ``with`` block.
    """
    is_in_notebook = is_wanted and _is_in_notebook()
    if not (is_in_notebook or (is_wanted and _is_terminal(sys.stderr))):
        return NoBar()
    settings.update(desc=desc, total=total, unit=unit, delay=_SHORT)
    if not is_in_notebook:
        return tqdm(**settings)
    with_widgets = _class_with_widgets()
    if with_widgets is not None:
        return with_widgets(**settings)
    # What is written to stderr has a red background in notebooks.
    return tqdm(file=sys.stdout, ncols=_WIDTH, **settings)


def name_of_method(calculator: object) -> str:
    """Return what a bar of a calculator says: the name of its method."""
    return type(calculator).__name__.lstrip("_").replace("Calculator", "")


def _is_terminal(file: Any) -> bool:
    """Tell whether a file shows what is written to it; None is where there is none."""
    return file is not None and getattr(file, "isatty", lambda: True)()


def _is_in_notebook() -> bool:
    """Tell whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def _class_with_widgets() -> type[tqdm] | None:
    """Return the class of bars that are widgets; None without ipywidgets."""
    from tqdm import notebook

    # In older versions it is not there without ipywidgets; in newer ones it is None.
    has_widgets = getattr(notebook, "IProgress", None) is not None
    return notebook.tqdm if has_widgets else None
