"""Where things are on a picture of molecules, and how each is painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from contourpy import contour_generator

from saliency.visualizer.colors import SIGNED_KEY, UNKNOWN_KEY, UNSIGNED_KEY
from saliency.visualizer.molecules.canvas import (
    Canvas,
    Drawing,
    Measures,
    common_measures,
    draw_molecule,
    text_height,
    text_width,
    wrapped,
)
from saliency.visualizer.molecules.cells import GREY, Cell, ColorFn, rgb
from saliency.visualizer.molecules.keys import (
    BAR_HEIGHT,
    GAP,
    TICK,
    WORDS_HEIGHT,
    Colors,
    paint_bar,
    paint_key,
)
from saliency.visualizer.molecules.shapes import Pair, extent
from saliency.visualizer.texts.pages import UNCERTAIN_KEY

# Sizes of letters, in pixels.
TITLE, LEGEND = 16, 14
_LEAST_HEIGHT = 0.3  # of a row that is made lower, as a share of its panel

# What is left free at each side of a panel, as a share of it, and the greatest length
# of a bond as a share of its width. Bells are wider than molecules and need more room.
_ROOM = {"highlight": (0.05, 0.16), "contour": (0.18, 0.13)}

_N_BAND = 12  # of each sign, on the colour bar of contours and on the plane
_N_SHADE = 32  # of other colour bars
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
        color_fn: Maps a score, divided by its limit, to red, green and blue; None for
            the function that suits the scores.
        mode: One of `cells.MODES`.
        bars: Which cells have a colour bar with numbers in common, one of
            `grids.SCALES`; None for no numbers.
        panel: Width and greatest height for a molecule.
        unit: What the numbers of colour bars are, such as ``'relative score'``.
        show_key: Whether the colours are explained below the molecules.
        key_labels: What the two ends of the colours mean; None for what is usual.
        title: Title of the whole picture.
        column_titles: Text above each column.
        row_titles: Text before each row.
        is_trimmed: Whether rows are only as high as their molecules.
        drawings: The molecules of each row, as `drawn` adds them.
    """

    rows: list[list[Cell]]
    color_fn: ColorFn | None
    mode: str
    bars: str | None
    panel: tuple[int, int]
    unit: str = "score"
    show_key: bool = True
    key_labels: tuple[str, str] | None = None
    title: str = ""
    column_titles: Sequence[str] = ()
    row_titles: Sequence[str] = ()
    is_trimmed: bool = False
    drawings: Sequence[Sequence[Drawing]] = ()

    def drawn(self) -> Sheet:
        """Return the sheet with its molecules as RDKit draws them, and lines broken.

        Several molecules have bonds and letters of similar sizes.
        """
        cells = [cell for row in self.rows for cell in row]
        width = self.panel[0] - GAP
        legends = iter([wrapped(cell.legend, LEGEND, width) for cell in cells])
        padding, share = _ROOM[self.mode]
        bond = share * self.panel[0]
        drawings = [self._drawing(cell, padding, Measures(bond)) for cell in cells]
        if len(cells) > 1:
            drawings = [
                self._drawing(cell, padding, measures)
                for cell, measures in zip(cells, common_measures(drawings, bond))
            ]
        all_drawings = iter(drawings)
        return self._replace(
            drawings=[[next(all_drawings) for _ in row] for row in self.rows],
            rows=[[c._replace(legend=next(legends)) for c in row] for row in self.rows],
            column_titles=[wrapped(t, LEGEND, width) for t in self.column_titles],
            title=wrapped(self.title, TITLE, self._width - GAP),
        )

    def _drawing(self, cell: Cell, padding: float, measures: Measures) -> Drawing:
        colors = cell.colors(self.color_fn, self.mode)
        return draw_molecule(cell.mol, self.panel, *colors, padding, measures)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        heights = [self._row_height(i) for i in range(len(self.rows))]
        height = self._top + sum(heights) + self._bottom
        return self._width, int(np.ceil(height))

    @property
    def words(self) -> str:
        """All texts that were given, as a description of the picture."""
        legends = [cell.legend for row in self.rows for cell in row]
        texts = [self.title, *self.column_titles, *self.row_titles, *legends]
        words = "; ".join(text for text in texts if text) or "saliency of a molecule"
        return " ".join(words.split())

    def painted(self) -> Canvas:
        """Return a canvas with everything."""
        canvas = Canvas(self.size)
        width, panel = canvas.size[0], self.panel[0]
        canvas.text(self.title, (width / 2, GAP), TITLE, width)
        above = self._top - self._height_of(self.column_titles, LEGEND)
        for j, title in enumerate(self.column_titles):
            canvas.text(title, (self._middle(j), above), LEGEND, panel - GAP)
        top = self._top
        for i, cells in enumerate(self.rows):
            height = self._molecule_height(i)
            if self.row_titles:
                title = self.row_titles[i]
                y = top + (height - text_height(title, LEGEND)) / 2
                canvas.text(title, (GAP, y), LEGEND, align=0)
            for j, cell in enumerate(cells):
                corner = (self._left + j * panel, top)
                self._paint_cell(canvas, cell, self.drawings[i][j], corner, i)
            top += self._row_height(i)
        self._paint_bottom(canvas, top + GAP / 2)
        return canvas

    def _paint_cell(
        self, canvas: Canvas, cell: Cell, drawing: Drawing, corner: Pair, row: int
    ) -> None:
        (left, top), height = corner, self._molecule_height(row)
        # The molecule is in the middle of its panel, and a row may be lower than that.
        at = (left, top - (self.panel[1] - height) / 2)
        if self.mode == "contour":
            _paint_bells(canvas, cell, drawing, at, self)
        canvas.place(drawing.shapes, at)
        middle, below = left + self.panel[0] / 2, top + height
        # A molecule by itself has its legend close below, not at the end of its room.
        close = below if self.is_trimmed else self._bottom_of(drawing, at[1], below)
        canvas.text(cell.legend, (middle, close), LEGEND, self.panel[0] - GAP)
        if self.bars in ("row", "separate"):
            below += self._legend_height(row) + GAP / 2
            paint_bar(canvas, self._colors(cell), self.unit, (middle, below))

    def _bottom_of(self, drawing: Drawing, top: float, below: float) -> float:
        """Return where a legend begins, at most where the room of the molecule ends."""
        if self.mode == "contour":
            return below
        _, (_, bottom) = extent(drawing.shapes)
        return float(min(top + bottom + GAP, below))

    def _paint_bottom(self, canvas: Canvas, y: float) -> None:
        """Paint what is below all rows: colour bars, and what the colours mean."""
        if self.bars == "column":
            for j, cell in enumerate(self.rows[0]):
                at = (self._middle(j), y)
                paint_bar(canvas, self._colors(cell), self.unit, at)
            y += BAR_HEIGHT
        for cell in self._keys:
            unit = self.unit if self.bars == "all" else None
            at = (self._width / 2, y)
            paint_key(canvas, self._colors(cell), self._words(cell), unit, at)
            y += self._key_height
        if self._has_uncertain:
            width = TICK + GAP / 2 + text_width(UNCERTAIN_KEY, TICK)
            x = max((self._width - width) / 2, 0)
            canvas.rectangle((x, y), (TICK, TICK), GREY)
            x += TICK + GAP / 2
            canvas.text(UNCERTAIN_KEY, (x, y - 1), TICK, self._width - x, align=0)

    def _colors(self, cell: Cell) -> Colors:
        n_shade = _N_BAND if self.mode == "contour" else _N_SHADE
        return Colors.of(cell, self.color_fn, n_shade)

    def _words(self, cell: Cell) -> Sequence[str]:
        """Return what the key says of the two ends of the colours."""
        if not self.show_key:
            return ()
        if self.key_labels is not None:
            return self.key_labels
        if not all(one.keeps_signs for row in self.rows for one in row):
            return UNKNOWN_KEY
        return SIGNED_KEY if cell.is_signed else UNSIGNED_KEY

    # --- how much room everything takes ---

    @property
    def _width(self) -> int:
        return int(np.ceil(self._left + len(self.rows[0]) * self.panel[0]))

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
        height = BAR_HEIGHT * (self.bars == "column")
        height += self._key_height * len(self._keys)
        return height + (TICK + GAP) * self._has_uncertain + GAP

    @property
    def _keys(self) -> list[Cell]:
        """Of each kind of colours that has a key, a cell: the signed ones first.

        Where all scores are 0, there are no colours.
        """
        if not self.show_key and self.bars != "all":
            return []
        coloured = [c for row in self.rows for c in row if c.all_scores.any()]
        cells = {cell.is_signed: cell for cell in coloured}
        if self.color_fn is not None and cells:
            cells = {any(cells): cells[any(cells)]}
        return [cells[kind] for kind in sorted(cells, reverse=True)]

    @property
    def _key_height(self) -> float:
        return BAR_HEIGHT if self.bars == "all" else WORDS_HEIGHT

    def _row_height(self, row: int) -> float:
        height = self._molecule_height(row) + self._legend_height(row)
        bars = BAR_HEIGHT * (self.bars in ("row", "separate"))
        return height + bars + (GAP if self.is_trimmed else 0)

    def _molecule_height(self, row: int) -> float:
        """Return how high the molecules of a row are, or its panel is."""
        if not self.is_trimmed or self.mode == "contour":
            return self.panel[1]
        middle, half = self.panel[1] / 2, _LEAST_HEIGHT / 2 * self.panel[1]
        for drawing in self.drawings[row]:
            (_, low), (_, high) = extent(drawing.shapes)
            half = max(half, middle - low, high - middle)
        return min(2 * half + GAP, self.panel[1])

    def _legend_height(self, row: int) -> float:
        return self._height_of([cell.legend for cell in self.rows[row]], LEGEND)

    @property
    def _has_uncertain(self) -> bool:
        return any(cell.is_uncertain.any() for row in self.rows for cell in row)

    def _middle(self, column: int) -> float:
        return self._left + (column + 0.5) * self.panel[0]

    @staticmethod
    def _height_of(texts: Sequence[str], size: float) -> float:
        return max((text_height(text, size) for text in texts), default=0)


def _paint_bells(
    canvas: Canvas, cell: Cell, drawing: Drawing, corner: Pair, sheet: Sheet
) -> None:
    """Colour the plane by the sum of bells around the atoms, band by band.

    Each band is painted over the weaker one that it lies in.
    """
    positions = drawing.positions
    narrow = _BELL * (drawing.bond or sheet.panel[0] / 8)
    sigma = max(narrow, _LEAST_BELL)
    x, y = _grid(positions, sigma, sheet.panel)
    # Wider bells overlap, and are lower for it: a chain keeps the height of its scores.
    plane = narrow / sigma * _sum_of_bells(cell, positions, sigma, x, y)
    color_fn = cell.color_fn(sheet.color_fn)
    steps = (np.arange(_N_BAND) + 0.5) / (_N_BAND + 0.5)
    for sign in (1, -1):
        contours = contour_generator(x, y, sign * plane, fill_type="OuterOffset")
        for k, step in enumerate(steps):
            color = rgb(color_fn, sign * (k + 1) / _N_BAND)
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
