"""Names in pictures: drawn as they are, and never what makes a file unreadable."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from saliency.visualizer.filter_visualizer import FilterVisualizer
from saliency.visualizer.image_visualizer import ImageVisualizer
from saliency.visualizer.metric_visualizer import MetricVisualizer
from saliency.visualizer.mol_visualizer import MolVisualizer, SmilesVisualizer
from saliency.visualizer.names import in_lines, width_of
from saliency.visualizer.table_visualizer import TableVisualizer
from saliency.visualizer.text_visualizer import TextVisualizer
from tests.covering import every_value

# What was given, and what is drawn of it.
NAMES = {
    r"$\foo$": r"$\foo$",
    "$x^2$ and $y$": "$x^2$ and $y$",
    r"50 % of {a}_b \ & <c> -- ->": r"50 % of {a}_b \ & <c> -- ->",
    "\x1b[31mred\x00\x07\x7f\x9b": "[31mred",
    "lone \ud800surrogate,\ufffe no\U0001ffff letter": "lone surrogate, no letter",
}
SCORES = np.array([0.5, -0.25, 1.0])
PICTURE = np.zeros((6, 6, 3), np.uint8)


def table(name: str, path: object = None) -> Figure:
    texts = {"title": name, "xlabel": name, "save_filepath": path}
    return TableVisualizer().visualize(SCORES, [name, "b", "c"], **texts)


def summary(name: str, path: object = None) -> Figure:
    texts = {"title": name, "xlabel": name, "save_filepath": path}
    scores = np.arange(6.0).reshape(2, 3)
    return TableVisualizer().visualize_summary(
        scores, scores, [name, "b", "c"], **texts
    )


def image(name: str, path: object = None) -> Figure:
    return ImageVisualizer().visualize(np.eye(6), PICTURE, path, title=name)


def images(name: str, path: object = None) -> Figure:
    maps = {name: np.eye(6)[None], "other": np.eye(6)[None]}
    texts = {"title": name, "row_titles": [name]}
    return ImageVisualizer().visualize_grid(maps, [PICTURE], path, **texts)


def filters(name: str, path: object = None) -> Figure:
    texts = {"title": name, "labels": [name, "b"], "unit": name}
    return FilterVisualizer().visualize(np.ones((2, 3, 3)), path, **texts)


def curves(name: str, path: object = None) -> Figure:
    texts = {"title": name, "xlabel": name, "ylabel": name, "save_filepath": path}
    return MetricVisualizer().visualize({name: [[1, 0]]}, [0, 1], **texts)


def ranking(name: str, path: object = None) -> Figure:
    texts = {"title": name, "xlabel": name, "save_filepath": path}
    values = {"metric": {name: SCORES, "b": SCORES}}
    return MetricVisualizer().visualize_ranking(values, {"metric": True}, **texts)


def tokens(name: str, path: object = None) -> Figure:
    texts = {"title": name, "legends": name, "save_filepath": path}
    return TextVisualizer().visualize({name: SCORES}, [name, "b", "c"], **texts)


def molecule(name: str, path: object = None) -> str:
    return SmilesVisualizer().visualize(SCORES, "CCO", path, legend=name)


def molecules(name: str, path: object = None) -> str:
    texts = {"title": name, "row_titles": [name], "legends": {name: [name]}}
    return SmilesVisualizer().visualize_grid({name: [SCORES]}, ["CCO"], path, **texts)


FIGURES = {table: 3, summary: 3, image: 1, images: 3, filters: 3}
FIGURES.update({curves: 4, ranking: 3})
MOLECULES = [molecule, molecules]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", FIGURES)
def test_they_are_drawn_as_they_are(draw, name):
    figure = draw(name)
    if name == r"$\foo$":  # which no mathematics begins with
        figure.draw_without_rendering()
    drawn = [  # long names of columns may be in several lines
        text
        for text in figure.findobj(Text)
        if text.get_text().replace("\n", " ") == NAMES[name]
    ]
    assert len(drawn) >= FIGURES[draw]
    assert not any(text.get_parse_math() or text.get_usetex() for text in drawn)


@every_value(
    draw={draw.__name__: draw for draw in (*FIGURES, tokens, *MOLECULES)},
    font=["path", "none"],
)
@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # it is long
def test_an_svg_with_them_is_well_formed(draw, font, tmp_path):
    if draw in MOLECULES:
        pytest.importorskip("rdkit")
    with matplotlib.rc_context({"svg.fonttype": font}):
        draw(" ".join(NAMES), tmp_path / "x.svg")
    ElementTree.parse(tmp_path / "x.svg")


@pytest.mark.parametrize("draw", MOLECULES)
@pytest.mark.parametrize("name", NAMES)
def test_molecules_have_them_as_their_title(draw, name):
    pytest.importorskip("rdkit")
    svg = ElementTree.fromstring(draw(name))
    (title,) = svg.iter("{http://www.w3.org/2000/svg}title")
    assert " ".join(NAMES[name].split()) in title.text


def test_a_name_is_one_line_and_a_title_may_have_several():
    figure = TableVisualizer().visualize([1.0], ["a\nb\tc"], title="d\r\ne\tf")
    (ax,) = figure.axes
    assert ax.get_yticklabels()[0].get_text() == "a b c"
    assert ax.get_title() == "d\ne f"


def test_labels_of_atoms(tmp_path):
    chem = pytest.importorskip("rdkit.Chem")
    mol = chem.MolFromSmiles("CCO")
    for atom, name in zip(mol.GetAtoms(), ["$\\foo$", "a<b&\x01", "\u00e4"]):
        atom.SetProp("atomNote", name)
    svg = MolVisualizer().visualize(SCORES, mol)
    ElementTree.fromstring(svg)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a b", ["a b"]),
        ("one two three", ["one two", "three"]),
        ("to /features/block11/conv", ["to", "/features/", "block11/", "conv"]),
        (6 * "\u5c64", [5 * "\u5c64", "\u5c64"]),
        ("abcdefghijklm nop", ["abcdefghij", "klm nop"]),
        ("", [""]),
        ("a\nb\x00", ["a", "b"]),
    ],
)
def test_lines_are_no_wider_than_there_is_room_for(text, lines):
    found = in_lines(text, 10).split("\n")
    assert found == lines
    assert max(map(width_of, found)) <= 10
