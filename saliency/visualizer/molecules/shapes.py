"""What pictures of molecules are made of, as SVG and on the axes of matplotlib.

RDKit draws structures as an SVG of paths and ellipses; they are read from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Union
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse as EllipsePatch
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from saliency.visualizer.fonts import WEB_FAMILIES
from saliency.visualizer.names import AS_IT_IS

Pair = tuple[float, float]

_COMMANDS = {
    "M": [Path.MOVETO],
    "L": [Path.LINETO],
    "Q": [Path.CURVE3] * 2,
    "Z": [Path.CLOSEPOLY],
}
_LETTERS = {codes[0]: letter for letter, codes in _COMMANDS.items()}
_NONE = "none"
# Where the text of an SVG stands, by the share of it that is before its point.
_ANCHORS = {0.0: "start", 0.5: "middle", 1.0: "end"}
_FAMILY = ", ".join(f"'{f}'" if " " in f else f for f in WEB_FAMILIES)


class Style(NamedTuple):
    """The colours and the line of a shape; colours are such as ``#ff0000``.

    Attributes:
        fill: The colour within, or ``'none'``.
        stroke: The colour of the line, or ``'none'``.
        width: How wide the line is, in pixels.
        dashes: Lengths of dashes and gaps in turn, in pixels; none for a full line.
    """

    fill: str = _NONE
    stroke: str = _NONE
    width: float = 0.0
    dashes: tuple[float, ...] = ()


class Outline(NamedTuple):
    """Lines, curves, or the areas within them.

    Attributes:
        vertices: Points in pixels from the top left, ``(n, 2)``.
        codes: What leads to each of them, as in `matplotlib.path.Path`, ``(n,)``.
        style: Colours and line.
        name: What RDKit calls it, such as ``bond-3 atom-1 atom-2``.
    """

    vertices: np.ndarray
    codes: np.ndarray
    style: Style
    name: str = ""


class Ellipse(NamedTuple):
    """The ground of an atom.

    Attributes:
        center: Its middle.
        radii: Half its width and half its height.
        style: Colours and line.
        name: What RDKit calls it, such as ``atom-1``.
    """

    center: Pair
    radii: Pair
    style: Style
    name: str = ""


class Line(NamedTuple):
    """A line of text, in black.

    Attributes:
        text: The letters.
        at: A point on the base line.
        size: Size of the letters, in pixels.
        align: Which share of the line is before the point: 0, 0.5 or 1.
    """

    text: str
    at: Pair
    size: float
    align: float


Shape = Union[Outline, Ellipse, Line]


def area(outlines: Sequence[np.ndarray], fill: str) -> Outline:
    """Return the area within closed outlines, each ``(n, 2)``, as one shape.

    An outline within another one is a hole.
    """
    vertices, codes = [], []
    for points in outlines:
        vertices += [points, points[:1]]
        codes += [Path.MOVETO, *[Path.LINETO] * (len(points) - 1), Path.CLOSEPOLY]
    return Outline(np.concatenate(vertices), np.array(codes), Style(fill))


def moved(shape: Shape, by: Pair) -> Shape:
    """Return a shape at another place."""
    if isinstance(shape, Outline):
        return shape._replace(vertices=shape.vertices + by)
    if isinstance(shape, Ellipse):
        return shape._replace(center=_sum(shape.center, by))
    return shape._replace(at=_sum(shape.at, by))


def extent(shapes: Iterable[Shape]) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest coordinates of shapes other than texts."""
    points: list[np.ndarray] = []
    for shape in shapes:
        if isinstance(shape, Ellipse):
            radii = np.array(shape.radii)
            points.append(np.array([shape.center - radii, shape.center + radii]))
        elif isinstance(shape, Outline):
            points.append(shape.vertices)
    corners = np.concatenate(points)
    return corners.min(axis=0), corners.max(axis=0)


# --- from RDKit -------------------------------------------------------------------


def shapes_of_svg(svg: str) -> list[Shape]:
    """Return what an SVG of RDKit's draws, in which letters are paths.

    Raises:
        ValueError: The SVG holds something other than paths and ellipses.
    """
    shapes: list[Shape] = []
    for element in ElementTree.fromstring(svg):
        tag = element.tag.rpartition("}")[2]
        if tag not in ("path", "ellipse"):
            raise ValueError(f"RDKit's SVG holds <{tag}>, which is not understood")
        shapes.append(_outline(element) if tag == "path" else _ellipse(element))
    return shapes


def _outline(element: ElementTree.Element) -> Outline:
    vertices: list[Pair] = []
    codes: list[int] = []
    start = (0.0, 0.0)
    for letter, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", element.attrib["d"]):
        if letter not in _COMMANDS:
            raise ValueError(f"RDKit's SVG has a path with {letter!r}, not M, L, Q, Z")
        values = [float(value) for value in re.findall(r"[-+.\de]+", numbers)]
        ends = list(zip(values[::2], values[1::2])) or [start]  # Z has none
        if letter == "M":
            start = ends[0]
        vertices += ends
        of_one = _COMMANDS[letter]
        codes += of_one * (len(ends) // len(of_one))
    name = element.get("class", "")
    points = np.array(vertices).reshape(-1, 2)  # of a letter without lines, none
    return Outline(points, np.array(codes, int), _style(element), name)


def _ellipse(element: ElementTree.Element) -> Ellipse:
    x, y, rx, ry = (float(element.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
    return Ellipse((x, y), (rx, ry), _style(element), element.get("class", ""))


def _style(element: ElementTree.Element) -> Style:
    entries = re.findall(r"([\w-]+):([^;]+)", element.get("style", ""))
    style = {"fill": element.get("fill", "#000000"), **dict(entries)}
    dashes = [float(n) for n in style.get("stroke-dasharray", "").split(",") if n]
    width = float(style.get("stroke-width", "1").rstrip("px"))
    # What is as wide as nothing is the thinnest line there is in some formats.
    stroke = style.get("stroke", _NONE) if width else _NONE
    return Style(style["fill"], stroke, width, tuple(dashes))


# --- as SVG -----------------------------------------------------------------------


def svg_of(shapes: Iterable[Shape], size: tuple[int, int], title: str) -> str:
    """Return an SVG in which texts are texts.

    Args:
        shapes: What it shows, the last on top.
        size: Its width and height in pixels.
        title: What screen readers and searches find.
    """
    width, height = size
    parts = [
        f"<svg version='1.1' xmlns='http://www.w3.org/2000/svg' width='{width}px' "
        f"height='{height}px' viewBox='0 0 {width} {height}' xml:space='preserve'>",
        f"<title>{escape(title)}</title>",
        *(_element(shape) for shape in shapes),
        "</svg>\n",
    ]
    return "\n".join(parts)


def path_data(outline: Outline) -> str:
    """Return the ``d`` of a path."""
    words, before = [], None
    for (x, y), code in zip(outline.vertices.tolist(), outline.codes.tolist()):
        is_second = code == Path.CURVE3 == before
        if not is_second:
            words.append(_LETTERS[code])
        before = None if is_second else code
        if code != Path.CLOSEPOLY:
            words.append(f"{x:.1f},{y:.1f}")
    return " ".join(words)


def _element(shape: Shape) -> str:
    if isinstance(shape, Line):
        (x, y), anchor = shape.at, _ANCHORS[shape.align]
        return (
            f"<text x='{x:.1f}' y='{y:.1f}' font-size='{shape.size:.4g}px' "
            f"font-family=\"{_FAMILY}\" text-anchor='{anchor}'>"
            f"{escape(shape.text)}</text>"
        )
    look = f"class={quoteattr(shape.name)} " if shape.name else ""
    look += f"style='{_css(shape.style)}'"
    if isinstance(shape, Ellipse):
        (x, y), (rx, ry) = shape.center, shape.radii
        return (
            f"<ellipse cx='{x:.1f}' cy='{y:.1f}' rx='{rx:.1f}' ry='{ry:.1f}' {look}/>"
        )
    return f"<path d='{path_data(shape)}' {look}/>"


def _css(style: Style) -> str:
    if style.stroke == _NONE:
        return f"fill:{style.fill};fill-rule:evenodd;stroke:none"
    css = f"fill:{style.fill};fill-rule:evenodd;stroke:{style.stroke}"
    css += f";stroke-width:{style.width:.4g}px;stroke-linejoin:miter"
    if style.dashes:
        css += f";stroke-dasharray:{','.join(f'{n:.4g}' for n in style.dashes)}"
    return css


# --- on axes ----------------------------------------------------------------------


def draw_shapes(ax: Axes, shapes: Iterable[Shape], dpi: float) -> None:
    """Draw shapes on axes whose units are pixels, of which ``dpi`` are an inch."""
    points = 72 / dpi
    for shape in shapes:
        if isinstance(shape, Line):
            ax.text(
                *shape.at,
                shape.text,
                fontsize=shape.size * points,
                ha={"start": "left", "middle": "center", "end": "right"}[
                    _ANCHORS[shape.align]
                ],
                va="baseline",
                color="black",
                **AS_IT_IS,
            )
        else:
            ax.add_patch(_patch(shape, points))


def _patch(shape: Outline | Ellipse, points: float) -> Patch:
    """Return a shape as matplotlib's; a pixel is as many ``points`` wide."""
    patch: Patch
    if isinstance(shape, Ellipse):
        (rx, ry), style = shape.radii, shape.style
        patch = EllipsePatch(shape.center, 2 * rx, 2 * ry)
    else:
        style = shape.style
        patch = PathPatch(Path(shape.vertices, shape.codes))
    width = style.width * points
    patch.set(facecolor=style.fill, edgecolor=style.stroke, linewidth=width)
    patch.set(capstyle="butt", joinstyle="miter")
    if style.dashes:
        # Matplotlib wants them in units of the width of the line.
        unit = max(width, 1e-3) / points
        patch.set_linestyle((0, [n / unit for n in style.dashes]))
    return patch


def _sum(one: Pair, other: Pair) -> Pair:
    return one[0] + other[0], one[1] + other[1]
