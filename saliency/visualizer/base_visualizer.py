"""What every visualizer needs: axes to draw on, and a picture saved whole or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saliency.settings_repr import repr_of_settings
from saliency.user_warnings import warn_user
from saliency.visualizer.files import write_file
from saliency.visualizer.fonts import warn_of_missing_letters
from saliency.visualizer.notebook_figure import NotebookFigure

# Sharp in print; matplotlib's own 100 dots per inch are meant for the screen.
SAVE_DPI = 200


class BaseVisualizer(ABC):
    """Draws saliency of one domain.

    A visualizer never uses pyplot: a figure that it makes is registered nowhere, is
    freed like any other object, and needs no display. So several threads may draw at
    once, and nothing global is changed. It checks all arguments before it draws, and
    every drawing method returns what Jupyter shows: a `matplotlib.figure.Figure`, or
    for molecules the text of an SVG.

    The visualizers of this package have no settings: everything is an argument of the
    call. Setting an attribute raises an AttributeError, so that nothing is ignored in
    silence. A subclass may have settings: arguments of its constructor, stored as
    attributes of the same names, which each call reads and checks. `repr` prints those
    that differ from their defaults.

    Args:
        logger: Taken for the sake of code written for Chainer Chemistry, and without
            effect, which a warning says: what it would have logged is an error here.
    """

    __slots__ = ()

    logger: ClassVar[Any] = None

    def __init__(self, logger: Any = None) -> None:
        if logger is not None:
            warn_user(
                f"logger has no effect on {type(self).__name__}: what cannot be drawn "
                "is an error here, which names the argument. Leave logger out"
            )

    def __repr__(self) -> str:
        return repr_of_settings(self)

    @abstractmethod
    def visualize(self, *args: Any, **kwargs: Any) -> Any:
        """Draw one saliency map; the arguments are those of the domain."""

    @staticmethod
    def _checked_ax(ax: Axes | None) -> Axes | None:
        """Return ``ax``, checked before anything is drawn."""
        if ax is None:
            return None
        if not isinstance(ax, Axes):
            raise TypeError(
                f"ax must be one matplotlib Axes or None, got {type(ax).__name__}"
            )
        if ax.figure is None:
            raise ValueError("ax belongs to no figure; was it removed from one?")
        return ax

    @staticmethod
    def _new_ax(figsize: tuple[float, float]) -> Axes:
        """Return the axes of a new figure of ``figsize`` (width, height) in inches."""
        return NotebookFigure(figsize=figsize, layout="constrained").add_subplot()

    @staticmethod
    def _finish(ax: Axes, path: Path | None, bbox_inches: Any) -> Figure:
        """Return the figure of ``ax``, and save it if there is a ``path``."""
        figure = ax.figure.figure  # the whole one if the axes are in a subfigure
        warn_of_missing_letters(figure)
        if path is not None:
            _save(figure, path, bbox_inches)
        return figure


def _save(figure: Figure, path: Path, bbox_inches: Any) -> None:
    """Save the figure, and leave no part of a file if drawing fails."""
    dpi = matplotlib.rcParams["savefig.dpi"]
    if dpi == "figure":
        dpi = max(figure.dpi, SAVE_DPI)
    picture = BytesIO()
    figure.savefig(
        picture, format=path.suffix[1:].lower(), dpi=dpi, bbox_inches=bbox_inches
    )
    write_file(path, picture.getvalue())
