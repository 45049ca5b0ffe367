"""Draws the paths and ellipses of RDKit's SVG as a PDF, by matplotlib."""

from __future__ import annotations

import re
from io import BytesIO
from xml.etree import ElementTree

from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Patch, PathPatch
from matplotlib.path import Path as Outline

_CODES = {"M": [Outline.MOVETO], "L": [Outline.LINETO], "Q": [Outline.CURVE3] * 2}


def pdf_of_svg(svg: bytes, size: tuple[int, int], dpi: float) -> bytes:
    """Return the picture as a PDF of vectors.

    Args:
        svg: The picture as RDKit writes it, with text as paths.
        size: Its width and height.
        dpi: How many pixels of it are an inch.

    Raises:
        ValueError: The SVG holds something other than paths and ellipses.
    """
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set(xlim=(0, size[0]), ylim=(size[1], 0))
    for element in ElementTree.fromstring(svg):
        tag = element.tag.rpartition("}")[2]
        if tag not in ("path", "ellipse"):
            raise ValueError(f"RDKit's SVG holds <{tag}>, which cannot become PDF")
        ax.add_patch(_path(element) if tag == "path" else _ellipse(element))
        _style(ax.patches[-1], element, points=72 / dpi)
    file = BytesIO()
    figure.savefig(file, format="pdf")
    return file.getvalue()


def _path(element: ElementTree.Element) -> Patch:
    vertices: list[tuple[float, float]] = []
    codes: list[int] = []
    for letter, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", element.attrib["d"]):
        if letter == "Z":
            vertices.append((0.0, 0.0))  # ignored by matplotlib
            codes.append(Outline.CLOSEPOLY)
            continue
        if letter not in _CODES:
            raise ValueError(f"RDKit's SVG has a path with {letter!r}, not M, L, Q, Z")
        values = [float(value) for value in re.findall(r"[-+.\de]+", numbers)]
        points = list(zip(values[::2], values[1::2]))
        vertices += points
        codes += _CODES[letter] * (len(points) // len(_CODES[letter]))
    return PathPatch(Outline(vertices, codes))


def _ellipse(element: ElementTree.Element) -> Patch:
    x, y, rx, ry = (float(element.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
    return Ellipse((x, y), 2 * rx, 2 * ry)


def _style(patch: Patch, element: ElementTree.Element, points: float) -> None:
    """Give a patch the colours and lines of an element; a pixel is ``points`` wide."""
    entries = re.findall(r"([\w-]+):([^;]+)", element.get("style", ""))
    style = {"fill": element.get("fill", "black"), "stroke": "none", **dict(entries)}
    width = float(style.get("stroke-width", "1").rstrip("px")) * points
    patch.set(facecolor=style["fill"], edgecolor=style["stroke"], linewidth=width)
    patch.set(capstyle="butt", joinstyle="miter")
    if "stroke-dasharray" in style:
        dashes = [float(n) * points for n in style["stroke-dasharray"].split(",")]
        # Matplotlib wants them in units of the width of the line.
        patch.set_linestyle((0, [n / max(width, 1e-3) for n in dashes]))
