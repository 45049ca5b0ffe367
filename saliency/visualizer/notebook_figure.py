"""A figure that notebooks show as a picture."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A matplotlib figure that Jupyter shows by itself, as its picture.

    IPython shows other figures only after ``%matplotlib inline`` or an import of
    pyplot. Then its own way to show figures is taken, so that there is one picture.
    """

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=self.dpi, bbox_inches="tight")
        return picture.getvalue()
