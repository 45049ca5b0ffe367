"""The canvas that molecules are drawn on: SVG and PNG by RDKit, PDF from the SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextToPath

from saliency.visualizer.svg_to_pdf import pdf_of_svg

# Red, green and blue, each in [0, 1].
Color = tuple[float, float, float]
Pair = tuple[float, float]

BLACK = (0.0, 0.0, 0.0)
WHITE = (1.0, 1.0, 1.0)

# Pixels per inch of a picture, and how many times as many a PNG has.
DPI = 100
PNG_FACTOR = 2

LINE_SPACING = 1.3  # in units of the size of the letters

_letters = TextToPath()


class SvgPicture(str):
    """The SVG text of a picture, which Jupyter shows as the picture."""

    def _repr_svg_(self) -> str:
        return str(self)


class Canvas:
    """An RDKit drawer that draws text and areas as well.

    Lengths are in pixels, and places are counted from the top left. SVG and PNG show
    the same. RDKit gets areas and text as polygons, since its own letters are ASCII.

    Args:
        size: Width and height.
        panel: Width and height for one molecule.
        factor: How many pixels of the file make one here; None for SVG.
    """

    def __init__(
        self, size: tuple[int, int], panel: tuple[int, int], factor: int | None
    ) -> None:
        drawers = rd_mol_draw()
        drawer = drawers.MolDraw2DSVG if factor is None else drawers.MolDraw2DCairo
        self._factor = factor or 1
        self._panel = panel
        self._drawer = drawer(*(self._factor * n for n in (*size, *panel)))
        self.rectangle((0, 0), size, WHITE)

    def molecule(
        self,
        mol: Any,
        corner: Pair,
        atom_colors: Mapping[int, Color],
        bond_colors: Mapping[int, Color],
        padding: float,
        bond: float,
    ) -> None:
        """Draw a molecule into a panel.

        Args:
            mol: The molecule, ready to be drawn.
            corner: The top left of the panel.
            atom_colors: Colours of the atoms that have one, by index.
            bond_colors: Colours of the bonds that have one, by index.
            padding: The share of the panel that is left free at each side.
            bond: The greatest length of a bond.
        """
        self._drawer.SetOffset(*(round(self._factor * n) for n in corner))
        _draw(self._drawer, self._factor, mol, atom_colors, bond_colors, padding, bond)

    def atom_positions(
        self,
        mol: Any,
        atom_colors: Mapping[int, Color],
        bond_colors: Mapping[int, Color],
        padding: float,
        bond: float,
    ) -> np.ndarray:
        """Return where `molecule` draws the atoms in a panel, ``(n_atom, 2)``."""
        trial = rd_mol_draw().MolDraw2DSVG(*self._panel)
        _draw(trial, 1, mol, atom_colors, bond_colors, padding, bond)
        points = [trial.GetDrawCoords(i) for i in range(mol.GetNumAtoms())]
        return np.array([(point.x, point.y) for point in points])

    def rectangle(self, corner: Pair, size: Pair, color: Color) -> None:
        """Fill a rectangle."""
        (x, y), (width, height) = corner, size
        sides = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        self.area([np.array(sides)], color)

    def area(self, outlines: Sequence[np.ndarray], color: Color) -> None:
        """Fill the area that closed outlines, each ``(n, 2)``, enclose.

        An outline within another one is a hole if it runs in the opposite direction.
        All become one outline, with paths from the first to each of them and back,
        which enclose nothing.
        """
        first = outlines[0][:1]
        paths = [path for line in outlines for path in (line, line[:1], first)]
        points = self._factor * np.concatenate(paths)
        drawer = self._drawer
        drawer.SetFillPolys(True)
        drawer.SetLineWidth(0)
        drawer.SetColour(color)
        drawer.DrawPolygon([_point(*point) for point in points.tolist()], True)

    def text(
        self,
        text: str,
        at: Pair,
        size: float,
        width: float = np.inf,
        align: float = 0.5,
    ) -> None:
        """Write lines of text, smaller if they would be longer than ``width``.

        Args:
            text: One or several lines.
            at: The point at the top where lines are aligned.
            size: Size of the letters if there is enough room.
            width: How long a line may be.
            align: Which share of each line is before the point: 0 has lines begin
                there, 0.5 centres them, 1 has them end there.
        """
        size *= min(1, width / max(text_width(text, size), 1))
        for i, line in enumerate(text.splitlines()):
            outlines = _outlines(line, size)
            if outlines:
                x = at[0] - align * text_width(line, size)
                y = at[1] + size * (1 + LINE_SPACING * i)
                self.area([(x, y) + outline * (1, -1) for outline in outlines], BLACK)

    def finish(self) -> bytes:
        """Return the file."""
        self._drawer.FinishDrawing()
        content = self._drawer.GetDrawingText()
        return content if isinstance(content, bytes) else content.encode("ascii")


def encode(
    paint: Callable[[Canvas], None],
    size: tuple[int, int],
    panel: tuple[int, int],
    extension: str,
) -> bytes:
    """Return a picture as a file of the format ``'svg'``, ``'png'`` or ``'pdf'``."""
    canvas = Canvas(size, panel, PNG_FACTOR if extension == "png" else None)
    paint(canvas)
    content = canvas.finish()
    return pdf_of_svg(content, size, DPI) if extension == "pdf" else content


def with_title(svg: str, title: str) -> SvgPicture:
    """Return an SVG with a title, which screen readers and searches find."""
    words = escape(" ".join(title.split())).encode("ascii", "xmlcharrefreplace")
    end = "<!-- END OF HEADER -->"
    return SvgPicture(svg.replace(end, f"<title>{words.decode()}</title>\n{end}", 1))


def text_width(text: str, size: float) -> float:
    """Return how wide the widest line of a text is."""
    return max((_width(line, size) for line in text.splitlines()), default=0)


def text_height(text: str, size: float) -> float:
    """Return how high the lines of a text are together."""
    return LINE_SPACING * size * len(text.splitlines())


def rd_mol_draw() -> ModuleType:
    """Return RDKit's drawing module.

    Raises:
        ImportError: It is not installed, or the system lacks libraries that it needs.
    """
    rd_chem()
    try:
        from rdkit.Chem.Draw import rdMolDraw2D
    except ImportError as reason:
        raise ImportError(
            f"RDKit cannot draw here ({reason}); on Debian or Ubuntu: apt-get install "
            "libxrender1 libxext6 libx11-6"
        ) from reason
    return rdMolDraw2D


def rd_chem() -> ModuleType:
    """Return ``rdkit.Chem``.

    Raises:
        ImportError: It is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError as reason:
        raise ImportError("molecules need RDKit: pip install rdkit") from reason
    return Chem


def _draw(
    drawer: Any,
    factor: int,
    mol: Any,
    atom_colors: Mapping[int, Color],
    bond_colors: Mapping[int, Color],
    padding: float,
    bond: float,
) -> None:
    """Draw a molecule by an RDKit drawer whose pixels are ``1 / factor`` of ours."""
    options = drawer.drawOptions()
    options.prepareMolsBeforeDrawing = False  # it is prepared already
    options.clearBackground = False
    # Red frames around atoms that are drawn close together look like scores.
    options.flagCloseContactsDist = -1
    options.useBWAtomPalette()  # colours are for the scores
    options.padding = padding
    if mol.GetNumBonds():  # ions without bonds are as far apart as there is room for
        options.fixedBondLength = bond * factor  # the greatest length
    options.bondLineWidth = 1.6 * factor
    # RDKit multiplies this by the width of lines, which grows with the factor.
    options.highlightBondWidthMultiplier = 16 // factor
    options.minFontSize, options.maxFontSize = 6 * factor, 22 * factor
    drawer.DrawMolecule(
        mol,
        highlightAtoms=list(atom_colors),
        highlightAtomColors=dict(atom_colors),
        highlightBonds=list(bond_colors),
        highlightBondColors=dict(bond_colors),
    )


def _outlines(line: str, size: float) -> list[np.ndarray]:
    """Return the outlines of letters from x = 0 on the line y = 0, with y upwards."""
    vertices, codes = _letters.get_text_path(FontProperties(), line)
    if not len(vertices):
        return []
    letters = Outline(np.asarray(vertices) * (size / _letters.FONT_SCALE), codes)
    polygons: list[np.ndarray] = letters.to_polygons()
    return polygons


def _width(line: str, size: float) -> float:
    width, _, _ = _letters.get_text_width_height_descent(
        line, FontProperties(size=size), ismath=False
    )
    return float(width)


def _point(x: float, y: float) -> Any:
    from rdkit.Geometry import Point2D

    return Point2D(x, y)
