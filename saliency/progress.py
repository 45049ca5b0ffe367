"""Progress bars, for terminals and for notebooks."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

_SHORT = 1.0  # seconds; work that takes no longer has no progress bar
_WIDTH = 79  # characters of a bar as text in a notebook, whose width is not known


def progress_bar(
    desc: str, total: int | None, unit: str, is_wanted: bool = True, **settings: Any
) -> tqdm:
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
        tqdm.tqdm: The bar, for a ``with`` block.
    """
    settings.update(desc=desc, total=total, unit=unit, delay=_SHORT)
    if not is_wanted:
        return tqdm(disable=True, **settings)
    if not _is_in_notebook():
        return tqdm(disable=None, **settings)  # None: only in a terminal
    with_widgets = _class_with_widgets()
    if with_widgets is not None:
        return with_widgets(**settings)
    # What is written to stderr has a red background in notebooks.
    return tqdm(file=sys.stdout, ncols=_WIDTH, **settings)


def name_of_method(calculator: object) -> str:
    """Return what a bar of a calculator says: the name of its method."""
    return type(calculator).__name__.lstrip("_").replace("Calculator", "")


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
