"""The canvas that molecules are drawn on: RDKit's structures, areas, and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple
from unicodedata import east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from saliency.visualizer.fonts import font_families, warn_of_missing_letters
from saliency.visualizer.molecules.rdkit_modules import rd_mol_draw
from saliency.visualizer.molecules.shapes import (
    Line,
    Pair,
    Shape,
    area,
    draw_shapes,
    moved,
    shapes_of_svg,
    svg_of,
)
from saliency.visualizer.notebook_figure import NotebookFigure

# Red, green and blue, each in [0, 1].
Color = tuple[float, float, float]

BLACK = (0.0, 0.0, 0.0)
WHITE = (1.0, 1.0, 1.0)

# Pixels per inch of a picture, and how many times as many a PNG has.
DPI = 100
PNG_FACTOR = 2

LINE_SPACING = 1.3  # in units of the size of the letters

# Sizes of the letters of atoms: in units of a bond, the least and the greatest in
# pixels, and the least that several molecules are given in common.
_OF_BOND, _SMALLEST, _LARGEST, _LEGIBLE = 0.4, 6.0, 22.0, 9.0
# How long bonds may be beside shorter ones in one picture: as a multiple of the
# shortest, and what they may be in any case as a share of the greatest length.
_MOST_OF_SHORTEST, _LEAST_BOND = 1.5, 0.6
# Wide letters, such as Japanese ones, are as wide as this one.
_EM = "\N{EM DASH}"

_letters = TextToPath()


class SvgPicture(str):
    """The SVG text of a picture, which Jupyter shows as the picture."""

    def _repr_svg_(self) -> str:
        return str(self)


class Drawing(NamedTuple):
    """A molecule as RDKit draws it.

    Attributes:
        shapes: Its shapes, in pixels from the top left of its panel.
        positions: Where its atoms are, ``(n_atom, 2)``.
        bond: The median length of its bonds, in pixels; None if it has none.
    """

    shapes: list[Shape]
    positions: np.ndarray
    bond: float | None


class Canvas:
    """Collects the shapes of a picture.

    Lengths are in pixels, and places are counted from the top left.

    Args:
        size: Width and height.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.shapes: list[Shape] = []
        self.rectangle((0, 0), size, WHITE)

    def place(self, shapes: Sequence[Shape], corner: Pair) -> None:
        """Put shapes where their top left is at a corner."""
        self.shapes += [moved(shape, corner) for shape in shapes]

    def rectangle(self, corner: Pair, size: Pair, color: Color) -> None:
        """Fill a rectangle."""
        (x, y), (width, height) = corner, size
        sides = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        self.area([np.array(sides)], color)

    def area(self, outlines: Sequence[np.ndarray], color: Color) -> None:
        """Fill the area within closed outlines; one within another one is a hole."""
        self.shapes.append(area(outlines, _hex(color)))

    def text(
        self,
        text: str,
        at: Pair,
        size: float,
        width: float = np.inf,
        align: float = 0.5,
    ) -> None:
        """Write lines of text, smaller if they would be longer than ``width``.

        Where they would be too small to be read, they are cut.

        Args:
            text: One or several lines.
            at: The point at the top where lines are aligned.
            size: Size of the letters if there is enough room.
            width: How long a line may be.
            align: Which share of each line is before the point: 0 has lines begin
                there, 0.5 centres them, 1 has them end there.
        """
        size *= max(min(1, width / max(text_width(text, size), 1)), _SMALLEST / size)
        for i, line in enumerate(text.splitlines()):
            line = _cut(line, size, width)
            if line.strip():
                base = at[1] + size * (1 + LINE_SPACING * i)
                self.shapes.append(Line(line, (at[0], base), size, align))

    # --- what becomes of it ---

    def svg(self, title: str) -> SvgPicture:
        """Return the picture as an SVG with a title."""
        return SvgPicture(svg_of(self.shapes, self.size, title))

    def file(self, extension: str) -> bytes:
        """Return the picture as a file of the format ``'png'`` or ``'pdf'``."""
        # A bit more than it is, since the number of pixels is rounded down.
        inches = [(n + 1e-3) / DPI for n in self.size]
        figure = NotebookFigure(figsize=inches)
        self.draw(figure.add_axes((0, 0, 1, 1)))
        warn_of_missing_letters(figure)
        file = BytesIO()
        figure.savefig(file, format=extension, dpi=DPI * PNG_FACTOR)
        return file.getvalue()

    def draw(self, ax: Axes) -> None:
        """Draw the picture on axes, as large as there is room."""
        width, height = self.size
        ax.set_axis_off()
        ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        draw_shapes(ax, self.shapes, DPI)


def draw_molecule(
    mol: Any,
    panel: tuple[int, int],
    atom_colors: Mapping[int, Color],
    bond_colors: Mapping[int, Color],
    padding: float,
    measures: Measures,
) -> Drawing:
    """Return a molecule in a panel.

    Args:
        mol: The molecule, ready to be drawn.
        panel: Width and height of the panel.
        atom_colors: Colours of the atoms that have one, by index.
        bond_colors: Colours of the bonds that have one, by index.
        padding: The share of the panel that is left free at each side.
        measures: How large it is.
    """
    drawer = rd_mol_draw().MolDraw2DSVG(*panel)
    options = drawer.drawOptions()
    options.prepareMolsBeforeDrawing = False  # it is prepared already
    options.clearBackground = False
    # Red frames around atoms that are drawn close together look like scores.
    options.flagCloseContactsDist = -1
    options.useBWAtomPalette()  # colours are for the scores
    options.padding = padding
    if mol.GetNumBonds():  # ions without bonds are as far apart as there is room for
        options.fixedBondLength = measures.bond  # the greatest length
    options.bondLineWidth = 1.6
    options.highlightBondWidthMultiplier = 16
    options.annotationFontScale = 0.8
    options.minFontSize, options.maxFontSize = int(_SMALLEST), int(_LARGEST)
    if measures.letters is not None:
        options.fixedFontSize = round(measures.letters)
    drawer.DrawMolecule(
        mol,
        highlightAtoms=list(atom_colors),
        highlightAtomColors=dict(atom_colors),
        highlightBonds=list(bond_colors),
        highlightBondColors=dict(bond_colors),
    )
    drawer.FinishDrawing()
    points = [drawer.GetDrawCoords(i) for i in range(mol.GetNumAtoms())]
    positions = np.array([(point.x, point.y) for point in points])
    ends = [(one.GetBeginAtomIdx(), one.GetEndAtomIdx()) for one in mol.GetBonds()]
    length = None
    if ends:
        begin, end = positions[np.array(ends).T]
        length = float(np.median(np.linalg.norm(begin - end, axis=1)))
    return Drawing(shapes_of_svg(drawer.GetDrawingText()), positions, length)


class Measures(NamedTuple):
    """How large a molecule is drawn.

    Attributes:
        bond: The greatest length of a bond, in pixels.
        letters: Size of the letters of atoms; None for what suits the bonds.
    """

    bond: float
    letters: float | None = None


def common_measures(drawings: Sequence[Drawing], bond: float) -> list[Measures]:
    """Return measures for several molecules in one picture, which make them alike.

    No bond is much longer than the shortest. The letters have one size, what suits the
    shortest bonds. Where bonds are so short that others would be hard to read, these
    molecules alone have shorter bonds and smaller letters.

    Args:
        drawings: The molecules, drawn each by itself.
        bond: The greatest length of a bond, in pixels.
    """
    bonds = [drawing.bond or bond for drawing in drawings]
    longest = min(max(_MOST_OF_SHORTEST * min(bonds), _LEAST_BOND * bond), bond)
    own = [
        float(np.clip(_OF_BOND * min(length, longest), _SMALLEST, _LARGEST))
        for length in bonds
    ]
    common = max(min(own), _LEGIBLE)
    return [Measures(longest, min(size, common)) for size in own]


def text_width(text: str, size: float) -> float:
    """Return how wide the widest line of a text is."""
    return max((_width(line, size) for line in text.splitlines()), default=0)


def wrapped(text: str, size: float, width: float) -> str:
    """Return a text whose lines are broken between words to be no longer than that."""
    lines = []
    for whole in text.splitlines():
        line = ""
        for word in whole.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, size) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def text_height(text: str, size: float) -> float:
    """Return how high the lines of a text are together."""
    return LINE_SPACING * size * len(text.splitlines())


def _cut(line: str, size: float, width: float) -> str:
    while len(line) > 1 and _width(line, size) > width:
        line = f"{line[:-2]}\N{HORIZONTAL ELLIPSIS}"
    return line


def _width(line: str, size: float) -> float:
    """Return how wide a line is; the viewer of an SVG may have fonts that are not here.

    Such letters of Japanese and Chinese are an em wide, whichever font draws them.
    """
    letters = "".join(_EM if east_asian_width(a) in "WF" else a for a in line)
    font = FontProperties(family=font_families(), size=size)
    width, _, _ = _letters.get_text_width_height_descent(letters, font, ismath=False)
    return float(width)


def _hex(color: Color) -> str:
    # As RDKit does, it cuts off what is behind the point.
    return "#" + "".join(f"{int(255 * part + 1e-9):02X}" for part in color)
