"""Where things are on a picture of molecules, and how each is painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from contourpy import contour_generator

from saliency.visualizer.mol_canvas import (
    BLACK,
    Canvas,
    Pair,
    text_height,
    text_width,
)
from saliency.visualizer.mol_cells import GREY, Cell, ColorFn, rgb

# Sizes of letters and of gaps, in pixels.
TITLE, LEGEND, TICK = 16, 14, 11
GAP = 10
BAR = (140, 10)

_N_BAND = 12  # of each sign, on the colour bar of contours and on the plane
_BELL = 0.4  # standard deviation of an atom's bell, in bonds, ...
_LEAST_BELL = 2.5  # ... and at least in pixels, to be seen beside the bonds
# From one point to the next where bells are added up, at most: in pixels, and in
# standard deviations.
_GRID, _GRID_OF_BELL = 2, 0.4
_REACH = 6  # standard deviations, behind which a bell has no colour


class Sheet(NamedTuple):
    """A picture of molecules in rows; texts that are missing are empty.

    Attributes:
        rows: The cells of each row; the last row may be shorter than the others.
        color_fn: Maps a score, divided by its limit, to red, green and blue.
        mode: One of `mol_cells.MODES`.
        bars: Which cells have a colour bar in common, one of `grids.SCALES`; None for
            no colour bars.
        panel: Width and height for a molecule.
        title: Title of the whole picture.
        column_titles: Text above each column.
        row_titles: Text before each row.
    """

    rows: list[list[Cell]]
    color_fn: ColorFn
    mode: str
    bars: str | None
    panel: tuple[int, int]
    title: str = ""
    column_titles: Sequence[str] = ()
    row_titles: Sequence[str] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        width = self._left + len(self.rows[0]) * self.panel[0]
        height = self._top + len(self.rows) * self._row_height + self._bottom
        return int(np.ceil(width)), int(np.ceil(height))

    @property
    def words(self) -> str:
        """All texts that were given, as a description of the picture."""
        legends = [cell.legend for row in self.rows for cell in row]
        texts = [self.title, *self.column_titles, *self.row_titles, *legends]
        return "; ".join(text for text in texts if text) or "saliency of a molecule"

    def paint(self, canvas: Canvas) -> None:
        """Paint everything."""
        width, panel = self.size[0], self.panel[0]
        canvas.text(self.title, (width / 2, GAP), TITLE, width)
        above = self._top - self._height_of(self.column_titles, LEGEND)
        for j, title in enumerate(self.column_titles):
            canvas.text(title, (self._middle(j), above), LEGEND, panel - GAP)
        for i, cells in enumerate(self.rows):
            top = self._top + i * self._row_height
            if self.row_titles:
                title = self.row_titles[i]
                y = top + (self.panel[1] - text_height(title, LEGEND)) / 2
                canvas.text(title, (GAP, y), LEGEND, align=0)
            for j, cell in enumerate(cells):
                self._paint_cell(canvas, cell, self._left + j * panel, top)
        self._paint_bottom(canvas)

    def _paint_cell(self, canvas: Canvas, cell: Cell, left: float, top: float) -> None:
        # A contour picture leaves more room, since bells are wider than the molecule.
        padding, bond = (0.05, 0.16) if self.mode == "highlight" else (0.16, 0.13)
        bond *= self.panel[0]
        colors = cell.colors(self.color_fn, self.mode)
        if self.mode == "contour":
            positions = canvas.atom_positions(cell.mol, *colors, padding, bond)
            _paint_bells(canvas, cell, positions, (left, top), self)
        canvas.molecule(cell.mol, (left, top), *colors, padding, bond)
        middle, below = left + self.panel[0] / 2, top + self.panel[1]
        canvas.text(cell.legend, (middle, below), LEGEND, self.panel[0] - GAP)
        if self.bars in ("row", "separate"):
            below += self._legend_height + GAP / 2
            self._paint_bar(canvas, cell.limit, (middle, below))

    def _paint_bottom(self, canvas: Canvas) -> None:
        """Paint what is below all rows: colour bars, and what grey means."""
        y = self._top + len(self.rows) * self._row_height + GAP / 2
        if self.bars == "all":
            self._paint_bar(canvas, self.rows[0][0].limit, (self.size[0] / 2, y))
        if self.bars == "column":
            for j, cell in enumerate(self.rows[0]):
                self._paint_bar(canvas, cell.limit, (self._middle(j), y))
        if self._has_uncertain:
            text = "not distinguishable from 0"
            width = TICK + GAP / 2 + text_width(text, TICK)
            x, y = (self.size[0] - width) / 2, self.size[1] - TICK - GAP
            canvas.rectangle((x, y), (TICK, TICK), GREY)
            canvas.text(text, (x + TICK + GAP / 2, y - 1), TICK, align=0)

    def _paint_bar(self, canvas: Canvas, limit: float, at: Pair) -> None:
        """Paint a colour bar whose top has its middle ``at`` a point."""
        (width, height), n = BAR, 128 if self.mode == "highlight" else 2 * _N_BAND + 1
        left = at[0] - width / 2
        canvas.rectangle((left - 1, at[1] - 1), (width + 2, height + 2), BLACK)
        for k, x in enumerate(np.linspace(-1, 1, n)):
            # Up to the end, where the next one covers it: two that only touched could
            # show a seam.
            start = width * k / n
            corner, size = (left + start, at[1]), (width - start, height)
            canvas.rectangle(corner, size, rgb(self.color_fn, x))
        for share, value in ((0, -limit), (0.5, 0), (1, limit)):
            text = f"{value:.2g}".replace("-", "\N{MINUS SIGN}")
            canvas.text(text, (left + share * width, at[1] + height), TICK)

    # --- how much room everything takes ---

    @property
    def _top(self) -> float:
        title_height = text_height(self.title, TITLE)
        return GAP + title_height + self._height_of(self.column_titles, LEGEND)

    @property
    def _left(self) -> float:
        if not self.row_titles:
            return 0
        return GAP + max(text_width(title, LEGEND) for title in self.row_titles)

    @property
    def _bottom(self) -> float:
        bar_height = _BAR_HEIGHT * (self.bars in ("all", "column"))
        return bar_height + (TICK + GAP) * self._has_uncertain + GAP

    @property
    def _row_height(self) -> float:
        bar_height = _BAR_HEIGHT * (self.bars in ("row", "separate"))
        return self.panel[1] + self._legend_height + bar_height

    @property
    def _legend_height(self) -> float:
        return self._height_of([c.legend for row in self.rows for c in row], LEGEND)

    @property
    def _has_uncertain(self) -> bool:
        return any(cell.is_uncertain.any() for row in self.rows for cell in row)

    def _middle(self, column: int) -> float:
        return self._left + (column + 0.5) * self.panel[0]

    @staticmethod
    def _height_of(texts: Sequence[str], size: float) -> float:
        return max((text_height(text, size) for text in texts), default=0)


_BAR_HEIGHT = BAR[1] + text_height("0", TICK) + GAP


def _paint_bells(
    canvas: Canvas, cell: Cell, positions: np.ndarray, corner: Pair, sheet: Sheet
) -> None:
    """Colour the plane by the sum of bells around the atoms, band by band.

    Each band is painted over the weaker one that it lies in.
    """
    narrow = _BELL * _bond_length(cell.mol, positions, sheet.panel[0])
    sigma = max(narrow, _LEAST_BELL)
    x, y = _grid(positions, sigma, sheet.panel)
    # Wider bells overlap, and are lower for it: a chain keeps the height of its scores.
    plane = narrow / sigma * _sum_of_bells(cell, positions, sigma, x, y)
    steps = (np.arange(_N_BAND) + 0.5) / (_N_BAND + 0.5)
    for sign in (1, -1):
        contours = contour_generator(x, y, sign * plane, fill_type="OuterOffset")
        for k, step in enumerate(steps):
            color = rgb(sheet.color_fn, sign * (k + 1) / _N_BAND)
            for points, ends in zip(*contours.filled(step, np.inf)):
                outlines = np.split(points + corner, ends[1:-1])
                canvas.area(outlines, color)


def _grid(
    positions: np.ndarray, sigma: float, panel: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points along both axes where bells are added up, in pixels.

    They are as close as the bells are narrow, and where the bells are.
    """
    reach = _REACH * sigma
    low = (positions.min(axis=0) - reach).clip(0, panel)
    high = (positions.max(axis=0) + reach).clip(0, panel)
    step = min(_GRID, _GRID_OF_BELL * sigma)
    x, y = (
        step * np.arange(np.floor(start / step), np.floor(stop / step) + 2)
        for start, stop in zip(low, high)
    )
    return x[x <= panel[0]], y[y <= panel[1]]


def _sum_of_bells(
    cell: Cell, positions: np.ndarray, sigma: float, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Return a plane ``(len(y), len(x))`` with a bell for each atom, high as its score.

    Scores are divided by their limit.
    """
    plane, scores = np.zeros((len(y), len(x))), cell.relative_scores
    for i in np.flatnonzero(cell.on_plane):
        across = np.exp(-(((x - positions[i, 0]) / sigma) ** 2) / 2)
        down = np.exp(-(((y - positions[i, 1]) / sigma) ** 2) / 2)
        plane += scores[i] * np.outer(down, across)
    return plane


def _bond_length(mol: Any, positions: np.ndarray, width: float) -> float:
    """Return the median length of a bond, in pixels."""
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    if not ends:
        return width / 8
    begin, end = np.array(ends).T
    return float(np.median(np.linalg.norm(positions[begin] - positions[end], axis=1)))
