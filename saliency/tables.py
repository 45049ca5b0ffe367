"""Tables that print readably, as text and in notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape
from typing import ClassVar

_CELL = "text-align: {}; white-space: pre-wrap"


class PrintedTable(ABC):
    """What prints as a table: with aligned columns, and in a notebook as HTML.

    Attributes:
        n_text_column (int): How many columns, from the left, hold text, and are aligned
            at the left; the others hold numbers.
    """

    n_text_column: ClassVar[int]

    @abstractmethod
    def _rows(self) -> list[tuple[str, ...]]:
        """Return the cells of all rows, of which the first one names the columns."""

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i < self.n_text_column else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            ).rstrip()
            for row in rows
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return the table as HTML, which Jupyter shows."""
        head, *body = self._rows()
        lines = "\n".join(self._html_row(row, "td") for row in body)
        return (
            f"<table>\n<thead>\n{self._html_row(head, 'th')}\n</thead>\n"
            f"<tbody>\n{lines}\n</tbody>\n</table>"
        )

    def _html_row(self, row: tuple[str, ...], tag: str) -> str:
        cells = []
        for i, cell in enumerate(row):
            style = _CELL.format("left" if i < self.n_text_column else "right")
            cells.append(f'<{tag} style="{style}">{escape(cell)}</{tag}>')
        return f"<tr>{''.join(cells)}</tr>"
