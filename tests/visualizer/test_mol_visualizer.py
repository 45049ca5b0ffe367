"""MolVisualizer and SmilesVisualizer, read back from the pictures."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

pytest.importorskip("rdkit", reason="RDKit is not installed (extra 'molecule')")
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from saliency import (
    MolVisualizer,
    SmilesVisualizer,
    abs_max_scaler,
    atom_color,
    magnitude_color,
    min_max_scaler,
    red_blue_cmap,
)
from saliency.visualizer.colors import UNSIGNED_KEY
from saliency.visualizer.molecules.shapes import shapes_of_svg

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
ALANINE_SALT = "C[C@H](N)C(=O)[O-].[Na+]"
GREY = "#D3D3D3"

visualizer = MolVisualizer()


def mol_of(smiles: str = "CCO") -> Chem.Mol:
    return Chem.MolFromSmiles(smiles)


# --- reading a picture back -------------------------------------------------------


def as_hex(color) -> str:
    # RDKit cuts off what is behind the point.
    return "#" + "".join(f"{int(255 * part + 1e-9):02X}" for part in color[:3])


def elements(svg: str, tag: str) -> list:
    root = ElementTree.fromstring(svg.encode())
    return [e for e in root.iter() if e.tag.endswith("}" + tag)]


def fill(element) -> str:
    return re.search(r"fill:(\w+|#\w+)", element.get("style", "fill:none")).group(1)


def atoms(svg: str) -> list[tuple[int, str]]:
    """Returns index and colour of each coloured atom, cell by cell."""
    found = [(e.get("class"), fill(e)) for e in elements(svg, "ellipse")]
    return [(int(name[5:]), color) for name, color in found]


def bonds(svg: str) -> dict[int, str]:
    """Returns the colour of each coloured bond."""
    found = {}
    for element in elements(svg, "path"):
        name = re.match(r"bond-(\d+) ", element.get("class", ""))
        # Wedges are filled, too, in black.
        if name and fill(element) not in ("none", "#000000"):
            found[int(name.group(1))] = fill(element)
    return found


def size(svg: str) -> tuple[int, int]:
    root = ElementTree.fromstring(svg.encode())
    return tuple(int(root.get(side)[:-2]) for side in ("width", "height"))


def png(path: Path) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(path.read_bytes())).convert("RGB"))


def position(svg: str, index: int) -> tuple[int, int]:
    """Returns row and column of a coloured atom in the PNG."""
    for element in elements(svg, "ellipse"):
        if element.get("class") == f"atom-{index}":
            return round(2 * float(element.get("cy"))), round(
                2 * float(element.get("cx"))
            )
    raise AssertionError(f"atom {index} has no colour")


def scores_of(n: int):
    number = st.floats(-10, 10, allow_subnormal=False).map(lambda x: round(x, 3))
    return st.lists(number, min_size=n, max_size=n)


# --- colours ----------------------------------------------------------------------


@given(scores_of(13))
@pytest.mark.large
def test_each_atom_and_bond_has_the_colour_of_its_score(scores):
    mol = mol_of(ASPIRIN)
    svg = visualizer.visualize(scores, mol)
    parts = np.array(scores) / (np.abs(scores).max() or 1)
    color = atom_color if min(scores) < 0 else magnitude_color
    assert atoms(svg) == [(i, as_hex(color(x))) for i, x in enumerate(parts)]
    expected = {}
    for bond in mol.GetBonds():
        ends = parts[[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]]
        weaker = min(ends, key=abs) if ends[0] * ends[1] > 0 else 0.0
        expected[bond.GetIdx()] = as_hex(color(weaker))
    assert bonds(svg) == expected


def test_a_bond_between_negative_atoms_is_coloured_like_them():
    svg = visualizer.visualize([-1, -1, 1], mol_of())
    assert bonds(svg) == {0: as_hex(atom_color(-1)), 1: "#FFFFFF"}


def test_the_color_function_is_asked_for_scores_within_the_limit():
    svg = visualizer.visualize(
        [0.5, -0.25, 0], mol_of(), scaler=None, color_fn=red_blue_cmap
    )
    assert [color for _, color in atoms(svg)] == ["#FF0000", "#7F7FFF", "#FFFFFF"]
    svg = visualizer.visualize(
        [0.5, -0.25, 0], mol_of(), scaler=None, color_fn=red_blue_cmap, limit=1
    )
    assert [color for _, color in atoms(svg)] == ["#FF7F7F", "#BFBFFF", "#FFFFFF"]


def test_a_map_of_zeros_is_white(caplog):
    svg = visualizer.visualize(np.zeros(3), mol_of())
    assert [color for _, color in atoms(svg)] == ["#FFFFFF"] * 3


@given(scores_of(13), st.floats(0, 1))
@pytest.mark.large
def test_the_ratio_colours_the_largest_as_many_as_it_says(scores, ratio):
    svg = visualizer.visualize(scores, mol_of(ASPIRIN), visualize_ratio=ratio)
    coloured = [i for i, _ in atoms(svg)]
    assert abs(len(coloured) - 13 * ratio) <= 0.5
    others = sorted(set(range(13)) - set(coloured))
    sizes = np.abs(scores)
    assert sizes[coloured].min(initial=np.inf) >= sizes[others].max(initial=0)


def test_half_of_four_atoms_are_two_also_if_all_scores_are_equal():
    svg = visualizer.visualize([1, 1, 1, 1], mol_of("CCCC"), visualize_ratio=0.5)
    assert [i for i, _ in atoms(svg)] == [0, 1]
    assert list(bonds(svg)) == [0]  # a bond to an atom without colour has none


def test_the_scaler_sees_the_atoms_alone():
    seen = []

    def scaler(scores):
        seen.append(scores.copy())
        return min_max_scaler(scores)

    svg = visualizer.visualize([3, 1, 2, np.nan], mol_of(), scaler=scaler)
    assert_array_equal(seen[0], [3, 1, 2])
    halves = [as_hex(magnitude_color(x)) for x in (1, 0, 0.5)]
    assert [color for _, color in atoms(svg)] == halves


# --- padding, order, hydrogens ----------------------------------------------------


def test_padding_is_cut_off_and_a_zero_is_not():
    padded = np.array([1, 0, -1, np.nan, np.nan], np.float32)
    plain = visualizer.visualize([1, 0, -1], mol_of())
    assert visualizer.visualize(padded, mol_of()) == plain
    with pytest.raises(ValueError, match=r"3 atoms.*got 5 scores"):
        visualizer.visualize(np.nan_to_num(padded), mol_of())


@given(st.permutations(range(7)))
@pytest.mark.large
def test_the_order_of_atoms_is_the_callers(order):
    mol = mol_of(ALANINE_SALT)
    scores = np.array([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7])
    permuted = Chem.RenumberAtoms(mol, list(order))
    before = dict(atoms(visualizer.visualize(scores, mol)))
    after = dict(atoms(visualizer.visualize(scores[list(order)], permuted)))
    assert after == {i: before[old] for i, old in enumerate(order)}


def test_scores_of_smiles_stand_in_its_order():
    # Canonical SMILES is CCO: there the oxygen would be the last atom.
    smiles = SmilesVisualizer()
    first = dict(atoms(smiles.visualize([1, 0, 0], "OCC")))
    assert first == dict(atoms(visualizer.visualize([1, 0, 0], mol_of("OCC"))))
    (label,) = {
        e.get("class")
        for e in elements(smiles.visualize([1, 0, 0], "OCC"), "path")
        if re.fullmatch(r"atom-\d", e.get("class", ""))
    }
    assert label == "atom-0"  # the letters OH, where the score is 1
    canonical = smiles.visualize([1, 0, 0], "OCC", use_canonical_smiles=True)
    assert canonical == smiles.visualize([1, 0, 0], "CCO")


def test_hydrogens_are_atoms_where_they_are_explicit():
    mol = Chem.AddHs(mol_of())
    svg = visualizer.visualize(np.arange(9), mol)
    assert [i for i, _ in atoms(svg)] == list(range(9))
    assert svg == SmilesVisualizer().visualize(np.arange(9), "CCO", add_Hs=True)


def test_stereo_is_drawn():
    svgs = [
        SmilesVisualizer().visualize(np.ones(6), smiles)
        for smiles in ("CC(N)C(=O)O", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O")
    ]
    n_path = [len(elements(svg, "path")) for svg in svgs]
    assert n_path[0] < min(n_path[1:])  # wedges are made of more than a line
    assert svgs[1] != svgs[2]


def test_all_parts_of_a_salt_are_drawn():
    svg = visualizer.visualize(np.arange(7), mol_of(ALANINE_SALT))
    assert [i for i, _ in atoms(svg)] == list(range(7))
    (top, left), (y, x) = (0, 0), position(svg, 6)
    assert top < y < 2 * size(svg)[1] and left < x < 2 * size(svg)[0]


@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "O", "[H][H]", "C1CC1", "*c1ccccc1"])
def test_molecules_of_few_atoms(smiles):
    mol = mol_of(smiles)
    n_atom, strongest = mol.GetNumAtoms(), as_hex(magnitude_color(1))
    highlight = visualizer.visualize(np.ones(n_atom), mol)
    assert atoms(highlight) == [(i, strongest) for i in range(n_atom)]
    height, width = 2 * np.array(size(highlight))[::-1]
    places = [position(highlight, i) for i in range(n_atom)]
    assert len(set(places)) == n_atom
    assert all(0 < y < height and 0 < x < width for y, x in places)
    contour = visualizer.visualize(np.ones(n_atom), mol, mode="contour")
    assert atoms(contour) == []
    assert strongest in {fill(element) for element in elements(contour, "path")}


def test_a_molecule_without_a_kekule_structure_is_drawn():
    mol = Chem.MolFromSmiles("c1cccc1", sanitize=False)
    svg = visualizer.visualize(np.arange(5), mol)
    assert len(atoms(svg)) == 5


def test_coordinates_of_the_caller_are_kept_if_they_are_flat():
    mol = mol_of("CCCC")
    rdDepictor.Compute2DCoords(mol)
    flat = visualizer.visualize(np.ones(4), mol)
    assert flat == visualizer.visualize(np.ones(4), mol_of("CCCC"))
    for i in range(4):  # on a line
        mol.GetConformer().SetAtomPosition(i, (1.5 * i, 0.0, 0.0))
    svg = visualizer.visualize(np.ones(4), mol)
    assert np.ptp([position(svg, i)[0] for i in range(4)]) <= 1
    mol.GetConformer().Set3D(True)
    assert visualizer.visualize(np.ones(4), mol) == flat


def test_the_callers_molecule_and_scores_are_not_changed():
    everything = Chem.PropertyPickleOptions.AllProps
    mol = Chem.MolFromSmiles("c1ccccc1[C@H](O)F")
    mol.SetProp("name", "mine")
    scores = np.arange(9.0)
    before = mol.ToBinary(everything)
    visualizer.visualize(scores, mol, mode="contour")
    visualizer.visualize_grid([scores], [mol])
    assert mol.ToBinary(everything) == before
    assert mol.GetNumConformers() == 0
    assert all(a.GetIsAromatic() for a in list(mol.GetAtoms())[:6])
    assert_array_equal(scores, np.arange(9.0))


# --- uncertainty ------------------------------------------------------------------


def test_what_cannot_be_told_from_zero_is_grey():
    svg = visualizer.visualize(
        [0.5, -0.5, -0.5, 2.0, 0.0],
        mol_of("CCCCC"),
        errors=[0.5, 0.6, 0.4, 1.0, 0.0, np.nan][:5],
    )
    grey = [i for i, color in atoms(svg) if color == GREY]
    assert grey == [0, 1]
    assert bonds(svg)[0] == GREY
    assert 1 not in bonds(svg)  # between one that is grey and one that is not
    assert dict(atoms(svg))[4] == "#FFFFFF"  # known to be zero
    plain = visualizer.visualize([0.5, -0.5, -0.5, 2.0, 0.0], mol_of("CCCCC"))
    assert size(svg)[1] > size(plain)[1]  # says what grey means
    certain = visualizer.visualize(
        [0.5, -0.5, -0.5, 2.0, 0.0], mol_of("CCCCC"), errors=np.zeros(5)
    )
    assert certain == plain


def test_errors_are_in_the_units_of_the_saliency_and_may_be_padded():
    svg = visualizer.visualize(
        [10, 20, 30], mol_of(), scaler=abs_max_scaler, errors=[15, 15, 15, np.nan]
    )
    assert [color == GREY for _, color in atoms(svg)] == [True, False, False]


def test_grey_atoms_leave_no_colour_on_the_plane(tmp_path):
    path = tmp_path / "x.png"
    svg = visualizer.visualize(
        [1, 0.2, 1], mol_of("CCC"), path, mode="contour", errors=[0, 0, 2]
    )
    assert atoms(svg) == [(2, GREY)]
    picture = png(path)
    where = position(svg, 2)
    around = picture[where[0] - 60 : where[0] + 60, where[1] + 20 : where[1] + 60]
    assert around.size
    assert np.ptp(around.astype(int), axis=2).max() == 0  # no red in it


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([1, 2], r"errors must have a score for each of the molecule's 3 atoms"),
        ([1, -2, 1], r"errors must be finite and not negative, got -2"),
        ([1, np.nan, 1], r"errors must be finite, got nan at atom 1"),
    ],
)
def test_bad_errors(errors, message):
    with pytest.raises(ValueError, match=message):
        visualizer.visualize([1, 2, 3], mol_of(), errors=errors)


# --- contours ---------------------------------------------------------------------


def test_contours_have_the_colours_of_the_scores_around_the_atoms(tmp_path):
    scores = np.zeros(20)
    scores[[0, -1]] = 1.0, -0.5
    mol = mol_of("C" * 20)
    picture_path = tmp_path / "x.png"
    how = {"mode": "contour", "show_key": False}
    svg = visualizer.visualize(scores, mol, picture_path, **how)
    assert atoms(svg) == [] and bonds(svg) == {}
    picture = png(picture_path).astype(int)
    reds = picture[..., 0] - picture[..., 2]
    # The strongest of each sign is near the colour of its score, beside black lines.
    red, blue = np.array(atom_color(1)), np.array(atom_color(-0.5))
    strongest = (
        picture.reshape(-1, 3)[reds.argmax()],
        picture.reshape(-1, 3)[reds.argmin()],
    )
    assert np.abs(strongest[0] / 255 - red).max() < 0.08
    assert np.abs(strongest[1] / 255 - blue).max() < 0.08
    # Left or right of the middle, and none in the middle.
    n = picture.shape[1]
    sides = reds[:, : n // 3], reds[:, n // 3 : 2 * n // 3], reds[:, 2 * n // 3 :]
    signs = [(side.max() > 20, side.min() < -20) for side in sides]
    assert signs in ([(1, 0), (0, 0), (0, 1)], [(0, 1), (0, 0), (1, 0)])
    assert np.ptp(picture[:, [0, -1]], axis=2).max() == 0  # and fade before the margin


@pytest.mark.parametrize(
    "n_atom",
    [40, 150, *(pytest.param(n, marks=pytest.mark.large) for n in (600, 1500))],
)
@pytest.mark.large
def test_contours_of_long_chains_can_be_seen(n_atom, tmp_path):
    """Bells of narrow bonds are wider than the bonds, and as strong as the scores."""
    scores = np.repeat([1.0, 0.0, -0.5], n_atom // 3 + 1)[:n_atom]
    path = tmp_path / "x.png"
    options = {"mode": "contour", "limit": 1.0, "max_atoms": -1, "show_key": False}
    visualizer.visualize(scores, mol_of("C" * n_atom), path, **options)
    picture = png(path).astype(int)
    reds = picture[..., 0] - picture[..., 2]
    strongest = [reds.max(axis=0), reds.min(axis=0)]
    columns = [np.flatnonzero(abs(strength) > 20) for strength in strongest]
    width = picture.shape[1]
    assert all(len(found) > width / 6 for found in columns)
    left, right = sorted(columns, key=lambda found: found[0])
    assert left.max() < width / 2 < right.min()
    # A chain of scores of 1 and of -0.5 shows these, not the sums of its neighbours.
    for at, score in ((reds.argmax(), 1.0), (reds.argmin(), -0.5)):
        found, expected = picture.reshape(-1, 3)[at] / 255, atom_color(score)
        assert np.abs(found - expected[:3]).max() < 0.2


@pytest.mark.parametrize("mode", ["highlight", "contour"])
@pytest.mark.large
def test_atoms_that_are_close_together_have_no_frames_in_red(mode, tmp_path):
    path = tmp_path / "x.png"
    how = {"mode": mode, "show_key": False}
    visualizer.visualize(np.zeros(600), mol_of("C" * 600), path, **how)
    assert np.ptp(png(path).astype(int), axis=2).max() == 0


@pytest.mark.large
def test_a_ring_of_contours_has_a_hole(tmp_path):
    mol = mol_of("C1CCCCCCCCCCC1")
    rdDepictor.Compute2DCoords(mol)
    angles = 2 * np.pi * np.arange(12) / 12
    for i, angle in enumerate(angles):
        point = (2.9 * np.cos(angle), 2.9 * np.sin(angle), 0.0)
        mol.GetConformer().SetAtomPosition(i, point)
    visualizer.visualize(np.ones(12), mol, tmp_path / "x.png", mode="contour")
    picture = png(tmp_path / "x.png")
    height, width = picture.shape[:2]
    assert_array_equal(picture[height // 2, width // 2], 255)
    strongest = 255 * np.array(magnitude_color(1))
    assert (np.abs(picture[height // 2] - strongest).max(axis=1) < 2).any()


# --- legends, colour bars, files --------------------------------------------------


def test_the_legend_is_below_the_molecule_and_in_the_title_of_the_svg():
    svg = visualizer.visualize([1, 2, 3], mol_of(), legend="logP ŷ\n<€ & y>")
    (title,) = elements(svg, "title")
    assert title.text == "logP ŷ <€ & y>"
    plain = visualizer.visualize([1, 2, 3], mol_of())
    one = visualizer.visualize([1, 2, 3], mol_of(), legend="logP")
    heights = [size(s)[1] for s in (plain, one, svg)]
    assert 10 < heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=1)


def test_letters_with_holes_are_drawn_as_matplotlib_draws_them(tmp_path):
    how = {"legend": "8B%gØ@€", "show_key": False}
    svg = visualizer.visualize([1, 2, 3], mol_of(), tmp_path / "x.png", **how)
    ours = png(tmp_path / "x.png")[top_of_texts(svg) :]
    figure = Figure(figsize=(5, 1), dpi=200)
    figure.text(0.5, 0.5, "8B%gØ@€", fontsize=14 * 72 / 100)
    figure.savefig(tmp_path / "y.png")
    theirs = png(tmp_path / "y.png")
    ink = [(255.0 - picture).sum() for picture in (ours, theirs)]
    assert ink[0] == pytest.approx(ink[1], rel=0.05)


def top_of_texts(svg: str) -> int:
    """Returns above which row of the PNG the first text begins."""
    (text, *_) = elements(svg, "text")
    return int(2 * (float(text.get("y")) - 15))


def dark_columns(path: Path, top: int) -> np.ndarray:
    return np.flatnonzero((png(path)[top:] < 100).any(axis=(0, 2)))


def test_a_long_legend_is_made_smaller_rather_than_cut(tmp_path):
    for name, legend in (("a", "x" * 20), ("b", "x" * 200)):
        path = tmp_path / f"{name}.png"
        how = {"legend": legend, "show_key": False}
        svg = visualizer.visualize([1, 2, 3], mol_of(), path, **how)
        columns = dark_columns(path, top_of_texts(svg))
        assert len(columns)
        assert columns.min() > 4 and columns.max() < 2 * size(svg)[0] - 4


def test_the_colour_bar_goes_from_minus_to_plus_the_limit(tmp_path):
    path = tmp_path / "x.png"
    how = {"show_colorbar": True, "show_key": False}
    visualizer.visualize([-1, 2, 3], mol_of(), path, **how)
    picture = png(path)[2 * 387 :]
    row = picture[np.argmax((picture != 255).any(axis=(1, 2))) + 10]
    inside = row[(row != 255).any(axis=1)][4:-4]
    for color, score in ((inside[0], -1), (inside[-1], 1)):
        assert np.abs(color - 255 * np.array(atom_color(score))).max() < 6
    assert inside[len(inside) // 2].min() > 245


def test_files_of_each_format(tmp_path):
    svg = visualizer.visualize([1, 2, 3], mol_of(), tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_text() == svg
    visualizer.visualize([1, 2, 3], mol_of(), str(tmp_path / "x.PNG"))
    picture = png(tmp_path / "x.PNG")
    assert picture.shape[:2] == (2 * size(svg)[1], 2 * size(svg)[0])
    for i, x in enumerate((1 / 3, 2 / 3, 1)):
        y, left = position(svg, i)
        color = np.array(magnitude_color(x)) * 255
        near = picture[y - 16 : y + 16, left - 16 : left + 16].reshape(-1, 3)
        assert (np.abs(near - color) < 1.5).all(axis=1).mean() > 0.4
    visualizer.visualize([1, 2, 3], mol_of(), tmp_path / "plain")
    assert (tmp_path / "plain.svg").read_text() == svg


def test_a_pdf_has_the_size_and_the_colours_and_no_pixels(tmp_path):
    path = tmp_path / "x.pdf"
    with matplotlib.rc_context({"pdf.compression": 0}):
        svg = visualizer.visualize([1, 2, 3], mol_of(), path)
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/Subtype /Image" not in content
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content).groups()
    assert_allclose([float(n) for n in box], 0.72 * np.array(size(svg)), atol=0.01)
    fills = [
        [float(n) for n in numbers]
        for numbers in re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) rg", content)
    ]
    for x in (1 / 3, 2 / 3, 1):
        assert np.abs(np.array(fills) - magnitude_color(x)).max(axis=1).min() < 0.005


def test_a_png_shows_the_structure_as_rdkit_draws_it(tmp_path):
    """Dative bonds, wedges and letters; by RDKit's own renderer of pixels."""
    mol = mol_of("N[C@@H](Cc1ccccc1)C(=O)O.[NH3]->[Fe]")
    path, how = tmp_path / "x.png", {"size": (500, 400), "show_key": False}
    visualizer.visualize(np.ones(14), mol, path, visualize_ratio=0, **how)
    drawer = rdMolDraw2D.MolDraw2DCairo(500, 400)
    options = drawer.drawOptions()
    options.useBWAtomPalette()
    options.padding, options.fixedBondLength = 0.05, 80
    options.bondLineWidth, options.maxFontSize = 1.6, 22
    drawer.DrawMolecule(rdMolDraw2D.PrepareMolForDrawing(mol))
    drawer.FinishDrawing()
    theirs = Image.open(BytesIO(drawer.GetDrawingText())).convert("RGB")
    ours = Image.open(path).convert("RGB").crop((0, 20, 1000, 820)).resize((500, 400))
    blurred = [
        np.asarray(picture.resize((50, 40)), float) for picture in (ours, theirs)
    ]
    assert np.ptp(blurred[1]) > 50
    assert np.abs(blurred[0] - blurred[1]).max() < 25


def outlines_of_pdf(content: bytes) -> list[list[tuple[float, ...]]]:
    """Returns the corners of each outline in an uncompressed PDF."""
    outlines: list = []
    for numbers, operator in re.findall(rb"((?:-?[\d.]+ )+)([mlvyc])\n", content):
        if operator == b"m":
            outlines.append([])
        outlines[-1].append(tuple(float(n) for n in numbers.split()[-2:]))
    return outlines


@pytest.mark.large
def test_no_outline_of_a_pdf_goes_there_and_back(tmp_path):
    """Viewers draw such a way of no width as a grey hairline."""
    path, how = tmp_path / "x.pdf", {"legend": "8B%gØ", "show_colorbar": True}
    scores = np.linspace(-1, 1, 13)
    with matplotlib.rc_context({"pdf.compression": 0}):
        visualizer.visualize(scores, mol_of(ASPIRIN), path, mode="contour", **how)
    outlines = outlines_of_pdf(path.read_bytes())
    assert len(outlines) > 50
    for corners in outlines:
        steps = list(zip(corners, corners[1:]))
        assert not {(b, a) for a, b in steps if a != b}.intersection(steps)


def test_texts_of_a_pdf_are_texts(tmp_path):
    path = tmp_path / "x.pdf"
    with matplotlib.rc_context({"pdf.compression": 0}):
        visualizer.visualize([-1, 2, 3], mol_of(), path, legend="ethanol")
    content = path.read_bytes()
    shown = re.findall(rb"BT\n(.*?)ET\n", content, re.DOTALL)
    texts = [b"".join(re.findall(rb"\(([^()]*)\)", letters)) for letters in shown]
    assert texts == [b"ethanol", b"speaks against", b"speaks for"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("<text>x</text>", "<text>"),
        ("<path d='M 0,0 C 1,1 2,2 3,3'/>", "path with 'C'"),
    ],
)
def test_what_is_not_understood_of_rdkits_is_not_left_out(shape, message):
    svg = f"<svg xmlns='http://www.w3.org/2000/svg'>{shape}</svg>"
    with pytest.raises(ValueError, match=message):
        shapes_of_svg(svg)


def test_jupyter_shows_what_is_returned():
    svg = visualizer.visualize([1, 2, 3], mol_of())
    assert isinstance(svg, str)
    assert svg._repr_svg_() == svg
    assert size(svg)[0] == 500


def test_the_call_of_chainer_chemistry(tmp_path):
    path = str(tmp_path / "x.png")
    SmilesVisualizer().visualize(
        np.array([0.1, -0.2, 0.3], np.float32),
        "CCO",
        save_filepath=path,
        visualize_ratio=0.7,
        color_fn=red_blue_cmap,
        scaler=abs_max_scaler,
        legend="t:1.0, p:0.9",
        add_Hs=False,
        use_canonical_smiles=False,
    )
    assert Path(path).read_bytes().startswith(b"\x89PNG")


# --- texts and keys ---------------------------------------------------------------


def texts(svg: str) -> list[str]:
    return [element.text for element in elements(svg, "text")]


def test_texts_of_an_svg_are_texts_in_any_script(tmp_path):
    path = tmp_path / "x.svg"
    words = {"title": "アスピリン <&>", "legends": ["面白い"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of letters that no font here has
        svg = visualizer.visualize_grid([[1, -2, 3]], [mol_of()], path, **words)
    expected = ["アスピリン <&>", "面白い", "speaks against", "speaks for"]
    assert texts(svg) == expected
    assert path.read_text(encoding="utf-8") == svg
    assert "アスピリン" in svg  # and no numbers of characters
    families = elements(svg, "text")[0].get("font-family")
    assert "DejaVu Sans" in families and "IPAexGothic" in families


def test_a_png_of_letters_that_no_font_has_warns_of_them(tmp_path):
    with pytest.warns(UserWarning, match="no font that is installed has the letters"):
        visualizer.visualize([1, 2, 3], mol_of(), tmp_path / "x.png", legend="\u9f8d")


def test_wide_letters_have_room_whatever_fonts_are_here():
    methods = {"a": [[1, 0, -1]]}
    sizes = [
        size(visualizer.visualize_grid(methods, [mol_of()], row_titles=[title]))
        for title in ("\u9f8d" * 10, "\u9f8d" * 20)
    ]
    assert sizes[1][0] - sizes[0][0] == pytest.approx(140, abs=2)  # an em each


def test_the_key_says_what_colours_mean():
    how = {"key_labels": ("lowers logP", "raises logP")}
    assert texts(visualizer.visualize([1, -2, 3], mol_of(), **how)) == list(
        how["key_labels"]
    )
    assert texts(visualizer.visualize([1, -2, 3], mol_of(), show_key=False)) == []
    of_magnitudes = visualizer.visualize([1, 2, 3], mol_of())
    assert texts(of_magnitudes) == ["no influence", "strong influence"]
    atom = as_hex(magnitude_color(1))
    assert atoms(of_magnitudes)[2] == (2, atom)
    assert atom in {fill(element) for element in elements(of_magnitudes, "path")}


def test_after_a_scaler_that_changes_signs_nothing_speaks_for_or_against():
    for scaler in (min_max_scaler, lambda scores: scores - 1):
        svg = visualizer.visualize([1, -2, 3], mol_of(), scaler=scaler)
        assert texts(svg) == ["low", "high"]
    labels = {"key_labels": ("less", "more")}
    svg = visualizer.visualize([1, -2, 3], mol_of(), scaler=min_max_scaler, **labels)
    assert texts(svg) == ["less", "more"]


def test_numbers_of_the_key_have_a_unit():
    how = {"show_colorbar": True, "limit": 4.0}
    relative = visualizer.visualize([1, -2, 4], mol_of(), show_colorbar=True)
    assert texts(relative)[:4] == ["\u22121", "0", "1", "relative score"]
    plain = visualizer.visualize([1, -2, 3], mol_of(), scaler=None, **how)
    assert texts(plain)[:4] == ["\u22124", "0", "4", "score"]
    magnitudes = visualizer.visualize([1, 2, 3], mol_of(), scaler=None, **how)
    assert texts(magnitudes)[:3] == ["0", "4", "score"]
    own = visualizer.visualize([1, 2, 3], mol_of(), scaler=np.sqrt, **how)
    assert "scaled score" in texts(own)


def test_a_picture_of_zeros_says_so():
    svg = visualizer.visualize(np.zeros(3), mol_of(), legend="ethanol")
    assert texts(svg) == ["ethanol", "all scores are 0"]
    svg = visualizer.visualize_grid([[0, 0, 0], [1, -1]], [mol_of(), mol_of("CC")])
    assert texts(svg) == ["all scores are 0", "speaks against", "speaks for"]


def test_magnitudes_of_a_method_are_purple_beside_signed_scores():
    scores = {"signed": [[1.0, -4.0, 2.0]], "magnitude": [[1.0, 4.0, 2.0]]}
    svg = visualizer.visualize_grid(scores, [mol_of()])
    signed = [as_hex(atom_color(x / 4)) for x in (1, -4, 2)]
    magnitudes = [as_hex(magnitude_color(x / 4)) for x in (1, 4, 2)]
    assert [color for _, color in atoms(svg)] == [*signed, *magnitudes]
    assert texts(svg)[-4:] == [*("speaks against", "speaks for"), *UNSIGNED_KEY]
    svg = visualizer.visualize_grid(scores, [mol_of()], color_fn=atom_color)
    assert atoms(svg)[3:] == [
        (i, as_hex(atom_color(x / 4))) for i, x in enumerate((1, 4, 2))
    ]
    assert texts(svg)[-2:] == ["speaks against", "speaks for"]


@pytest.mark.large
def test_long_legends_are_broken_between_words():
    legend = "a legend that is much too long to be in one line of a small molecule"
    svg = visualizer.visualize_grid([[1, 0, -1]], [mol_of()], legends=[legend])
    lines = texts(svg)[:-2]
    assert len(lines) == 2
    assert " ".join(lines) == legend
    longest = visualizer.visualize_grid([[1, 0, -1]], [mol_of()], legends=["x" * 400])
    assert texts(longest)[0].endswith("x\u2026")


# --- axes of matplotlib -----------------------------------------------------------


def test_a_molecule_beside_another_plot(tmp_path):
    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2)
    drawn = visualizer.visualize(
        [1, -2, 3], mol_of(), tmp_path / "x.jpg", ax=left, legend="ethanol"
    )
    assert drawn is figure
    assert [text.get_text() for text in left.texts] == [
        "ethanol",
        "speaks against",
        "speaks for",
    ]
    assert not right.texts and not right.patches
    svg = visualizer.visualize([1, -2, 3], mol_of())
    colors = {to_hex(patch.get_facecolor()).upper() for patch in left.patches}
    assert {color for _, color in atoms(svg)} <= colors
    assert Image.open(tmp_path / "x.jpg").size[0] > 800


def test_letters_on_axes_are_as_large_as_in_pictures():
    figure = Figure(figsize=(20, 10), dpi=50)
    ax = figure.add_subplot()
    visualizer.visualize([1, -2, 3], mol_of(), ax=ax, legend="ethanol")
    assert ax.texts[0].get_fontsize() == pytest.approx(14 * 0.72)
    unit = np.ptp(ax.transData.transform([(0, 0), (100, 0)])[:, 0])
    assert unit == pytest.approx(50, rel=0.02)  # 100 pixels are an inch


def test_what_are_no_axes():
    with pytest.raises(TypeError, match="ax must be one matplotlib Axes or None"):
        visualizer.visualize([1, -2, 3], mol_of(), ax=3)


# --- grids ------------------------------------------------------------------------

MOLS = [mol_of(s) for s in ("CCO", "CC", "c1ccncc1")]
SCORES = [[1, 0, -1], [2, 4], [0, 0, 0, -8, 0, 0]]


def colors_of_cells(svg: str, n_atoms: list[int]) -> list[list[str]]:
    colors = [color for _, color in atoms(svg)]
    assert len(colors) == sum(n_atoms)
    return [list(c) for c in np.split(colors, np.cumsum(n_atoms)[:-1])]


def expected_colors(scores, limit) -> list[str]:
    return [as_hex(atom_color(x / limit)) for x in scores]


def test_a_grid_has_one_scale_for_all():
    svg = visualizer.visualize_grid(SCORES, MOLS)
    expected = [expected_colors(scores, 8) for scores in SCORES]
    assert colors_of_cells(svg, [3, 2, 6]) == expected
    svg = visualizer.visualize_grid(SCORES, MOLS, scale="separate")
    expected = [expected_colors(s, m) for s, m in zip(SCORES, (1, 4, 8))]
    assert colors_of_cells(svg, [3, 2, 6]) == expected


def test_a_padded_array_will_do_for_a_grid():
    padded = np.full((3, 6), np.nan)
    for row, scores in zip(padded, SCORES):
        row[: len(scores)] = scores
    assert visualizer.visualize_grid(padded, MOLS) == visualizer.visualize_grid(
        SCORES, MOLS
    )


@pytest.mark.parametrize(
    ("scale", "limits"),
    [
        ("all", [8, 80, 8, 80, 8, 80]),
        ("row", [10, 10, 40, 40, 80, 80]),
        ("column", [8, 80, 8, 80, 8, 80]),
        ("separate", [1, 10, 4, 40, 8, 80]),
    ],
)
def test_the_scales_of_methods(scale, limits):
    methods = {"a": SCORES, "b": [10 * np.array(s) for s in SCORES]}
    svg = visualizer.visualize_grid(methods, MOLS, scale=scale)
    if scale == "all":
        limits = [80] * 6
    cells = [methods[name][i] for i in range(3) for name in "ab"]
    expected = [expected_colors(s, limit) for s, limit in zip(cells, limits)]
    assert colors_of_cells(svg, [3, 3, 2, 2, 6, 6]) == expected


def test_a_limit_is_that_of_all_molecules():
    svg = visualizer.visualize_grid(SCORES, MOLS, limit=16, scale="separate")
    expected = [expected_colors(scores, 16) for scores in SCORES]
    assert colors_of_cells(svg, [3, 2, 6]) == expected
    svg = visualizer.visualize_grid(SCORES, MOLS, limit=16, show_colorbar=True)
    assert texts(svg)[:4] == ["\u221216", "0", "16", "score"]


def test_beyond_the_percentile_colours_are_the_strongest():
    svg = visualizer.visualize_grid(SCORES, MOLS, percentile=50)
    sizes = np.abs(np.concatenate(SCORES))
    limit = np.percentile(sizes, 50) or sizes.max()
    expected = [expected_colors(scores, limit) for scores in SCORES]
    assert colors_of_cells(svg, [3, 2, 6]) == expected
    svg = visualizer.visualize_grid(SCORES, MOLS, percentile=80)
    expected = [expected_colors(s, np.percentile(sizes, 80)) for s in SCORES]
    assert colors_of_cells(svg, [3, 2, 6]) == expected


def test_rows_and_columns_of_a_grid():
    one = size(visualizer.visualize_grid([[1, 0, -1]], [mol_of()]))
    five = visualizer.visualize_grid([[1, 0, -1]] * 5, [mol_of()] * 5, n_column=2)
    assert size(five)[0] == 2 * one[0]
    # A row is as high as its molecules, which are flat.
    row = size(visualizer.visualize_grid([[1, 0, -1]] * 2, [mol_of()] * 2, n_column=1))
    assert size(five)[1] == pytest.approx(one[1] + 2 * (row[1] - one[1]), abs=2)
    assert row[1] - one[1] < 100
    methods = {"a": [[1, 0, -1]] * 3, "b": [[1, 0, -1]] * 3}
    width, height = size(visualizer.visualize_grid(methods, [mol_of()] * 3))
    assert width == 2 * 250
    assert height > size(five)[1]  # the names of the methods
    titled = visualizer.visualize_grid(
        methods, [mol_of()] * 3, row_titles=["x", "y", "z"], title="All"
    )
    assert size(titled)[0] > width and size(titled)[1] > height
    (title,) = elements(titled, "title")
    assert title.text == "All; a; b; x; y; z"


def letter_heights(svg: str) -> list[float]:
    """Returns how high the letters O of atoms are, molecule by molecule."""
    found = []
    for element in elements(svg, "path"):
        is_letter = re.fullmatch(r"atom-\d+", element.get("class", ""))
        if is_letter and element.get("d").count("M") == 2:  # an O has a hole
            y = re.findall(r"[\d.]+,([\d.]+)", element.get("d"))
            found.append(np.ptp(np.array(y, float)))
    return found


def test_letters_of_atoms_have_one_size_in_a_grid():
    mols = [mol_of("CCC=O"), mol_of("C" * 10 + "C=O"), mol_of("O=C1CCCCC1")]
    alone = [
        letter_heights(
            visualizer.visualize(np.ones(m.GetNumAtoms()), m, size=(250, 200))
        )
        for m in mols
    ]
    assert max(alone)[0] > 1.5 * min(alone)[0]
    scores = [np.ones(mol.GetNumAtoms()) for mol in mols]
    heights = letter_heights(visualizer.visualize_grid(scores, mols))
    assert len(heights) == 3
    assert np.ptp(heights) <= 0.2


def test_a_legend_of_one_molecule_is_close_below_it():
    svg = visualizer.visualize([1, -2, 3], mol_of(), legend="ethanol")
    (legend, *_) = elements(svg, "text")
    ellipses = elements(svg, "ellipse")
    bottom = max(float(e.get("cy")) + float(e.get("ry")) for e in ellipses)
    assert 10 < float(legend.get("y")) - bottom < 40
    assert size(svg)[1] > 375  # which is its room, with the key below it


def test_a_legend_is_close_below_its_molecule():
    mols = [mol_of("C" * 12), mol_of("C" * 12)]  # flat
    svg = visualizer.visualize_grid(
        {"a": [np.ones(12)] * 2}, mols, legends={"a": ["first", "second"]}
    )
    bottoms: list[float] = []
    for element in elements(svg, "ellipse"):
        bottom = float(element.get("cy")) + float(element.get("ry"))
        if element.get("class") == "atom-0":
            bottoms.append(bottom)
        bottoms[-1] = max(bottoms[-1], bottom)
    bases = {e.text: float(e.get("y")) for e in elements(svg, "text")}
    for bottom, legend in zip(bottoms, ("first", "second")):
        assert 0 < bases[legend] - bottom < 60
    assert size(svg)[1] < 2 * 200


def test_legends_and_errors_of_a_grid_go_by_the_names_of_methods():
    methods = {"a": SCORES, "b": SCORES}
    svg = visualizer.visualize_grid(
        methods,
        MOLS,
        legends={"b": ["one", "two", "three"]},
        errors={"b": [[2, 2, 2], [3, 3], np.zeros(6)]},
    )
    (title,) = elements(svg, "title")
    assert title.text == "a; b; one; two; three"
    cells = colors_of_cells(svg, [3, 3, 2, 2, 6, 6])
    assert [cell.count(GREY) for cell in cells] == [0, 3, 0, 1, 0, 0]
    plain = visualizer.visualize_grid(
        SCORES, MOLS, legends=["a", "b", "c"], errors=[[2, 2, 2], [3, 3], np.zeros(6)]
    )
    counts = [cell.count(GREY) for cell in colors_of_cells(plain, [3, 2, 6])]
    assert counts == [3, 1, 0]


@pytest.mark.parametrize("scale", ["all", "row", "column", "separate"])
def test_a_colour_bar_for_each_scale(scale):
    methods = {"a": SCORES, "b": SCORES}
    svg = visualizer.visualize_grid(methods, MOLS, scale=scale, show_colorbar=True)
    corners = set()
    for element in elements(svg, "path"):
        x, y = np.reshape(re.findall(r"[\d.]+", element.get("d")), (-1, 2)).T.astype(
            float
        )
        if fill(element) == "#000000" and np.ptp(x) == pytest.approx(142, abs=0.2):
            corners.add((x.min(), y.min(), x.max(), y.max()))
    width, height = size(svg)
    assert all(0 < a < c < width and 0 < b < d < height for a, b, c, d in corners)
    # The key is one with numbers only where there is one scale.
    assert len(corners) == {"all": 1, "column": 3, "row": 7, "separate": 7}[scale]


def test_a_grid_of_smiles(tmp_path):
    smiles = ["CCO", "CC", "c1ccncc1"]
    path = tmp_path / "grid.svg"
    svg = SmilesVisualizer().visualize_grid(SCORES, smiles, path, legends=smiles)
    assert path.read_text() == svg
    assert svg == visualizer.visualize_grid(SCORES, MOLS, legends=smiles)
    with_hydrogens = SmilesVisualizer().visualize_grid(
        [np.arange(9)], ["CCO"], add_Hs=True
    )
    assert len(atoms(with_hydrogens)) == 9


# --- refusals ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"saliency": [1, 2]}, ValueError, r"3 atoms.*got 2 scores"),
        ({"saliency": [1, np.nan, 2]}, ValueError, "finite, got nan at atom 1"),
        ({"saliency": [1, np.inf, np.nan]}, ValueError, "at atom 1 and 1 more"),
        ({"saliency": np.ones((2, 3))}, ValueError, r"saliency\[0\]"),
        ({"saliency": ["a", "b", "c"]}, TypeError, "saliency must hold real numbers"),
        ({"mol": "CCO"}, TypeError, "mol must be an rdkit.Chem.Mol, got str"),
        ({"mol": Chem.Mol()}, ValueError, "mol has no atoms"),
        ({"visualize_ratio": 1.1}, ValueError, r"visualize_ratio must be .*got 1.1"),
        ({"visualize_ratio": np.nan}, ValueError, "visualize_ratio must be"),
        ({"color_fn": "red"}, TypeError, "color_fn must be callable, got 'red'"),
        ({"scaler": 3}, TypeError, "scaler must be callable or None, got 3"),
        ({"legend": 3}, TypeError, "legend must be a str, got int"),
        ({"mode": "heat"}, ValueError, "mode must be one of 'highlight', 'contour'"),
        ({"limit": 0}, ValueError, "limit must be a number > 0 or None, got 0"),
        ({"limit": np.nan}, ValueError, "limit must be a number > 0 or None"),
        ({"size": (500, 10)}, ValueError, "size must be a width and a height"),
        ({"size": 500}, ValueError, "size must be a width and a height"),
        ({"save_filepath": "x.jpg"}, ValueError, "formats: pdf, png, svg"),
        ({"save_filepath": 3}, TypeError, "save_filepath must be"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    arguments = {
        "saliency": [1, 2, 3],
        "mol": mol_of(),
        "save_filepath": "x.png",
        **arguments,
    }
    with pytest.raises(error, match=message):
        visualizer.visualize(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mols": []}, ValueError, "mols is empty"),
        ({"saliency": []}, ValueError, "saliency must hold one for each of the 3"),
        ({"saliency": {}}, ValueError, "saliency must not be empty"),
        ({"saliency": {"a": SCORES[:2]}}, ValueError, r"saliency\['a'\] must hold one"),
        ({"saliency": {"a": [[1]] * 3}}, ValueError, r"saliency\['a'\]\[0\] must have"),
        ({"saliency": {3: SCORES}}, TypeError, "the name of a method"),
        ({"saliency": 3}, TypeError, "saliency must hold one for each molecule"),
        ({"legends": "abc"}, TypeError, "legends must hold one for each molecule"),
        ({"legends": ["a"]}, ValueError, "legends must hold one for each of the 3"),
        ({"legends": {"a": "b"}}, TypeError, "legends must be a list"),
        ({"legends": [1, 2, 3]}, TypeError, "legend must be a str, got int"),
        ({"errors": [[0, 0, 0]] * 3}, ValueError, r"errors\[1\] must have"),
        ({"scale": "mine"}, ValueError, "scale must be one of 'separate'"),
        ({"scale": "row"}, ValueError, "scale='row' needs methods"),
        ({"row_titles": ["a"] * 3}, ValueError, "row_titles need methods"),
        ({"n_column": 0}, ValueError, "n_column must be an int >= 1, got 0"),
        ({"percentile": 101}, ValueError, "percentile must be"),
        ({"limit": 0}, ValueError, "limit must be a number > 0 or None, got 0"),
        ({"key_labels": ("a",)}, ValueError, "key_labels must be two texts"),
        ({"title": None}, TypeError, "title must be a str"),
        ({"saliency": {"a": SCORES}, "legends": {"b": ["a"] * 3}}, ValueError, "'b'"),
        ({"saliency": {"a": SCORES}, "legends": ["a"] * 3}, TypeError, "must map"),
        ({"saliency": {"a": SCORES}, "row_titles": ["a"]}, ValueError, "row_titles"),
    ],
)
def test_bad_arguments_of_a_grid(arguments, error, message):
    arguments = {"saliency": SCORES, "mols": MOLS, **arguments}
    with pytest.raises(error, match=message):
        visualizer.visualize_grid(**arguments)


@pytest.mark.parametrize("smiles", ["C1CC", "xyz", "c1cccc1"])
def test_smiles_that_cannot_be_read(smiles):
    with pytest.raises(ValueError, match=re.escape(f"smiles={smiles!r}")):
        SmilesVisualizer().visualize([1, 2, 3], smiles)
    with pytest.raises(ValueError, match=re.escape(f"smiles={smiles!r}")):
        SmilesVisualizer().visualize_grid([[1, 2, 3]], [smiles])


@pytest.mark.parametrize("method", ["visualize", "visualize_grid"])
def test_smiles_have_the_arguments_of_molecules(method):
    of_mols, of_smiles = (
        dict(inspect.signature(getattr(visualizer_class, method)).parameters)
        for visualizer_class in (MolVisualizer, SmilesVisualizer)
    )
    for name in ("add_Hs", "use_canonical_smiles"):
        del of_smiles[name]
    names = ["smiles" if name in ("mol", "mols") else name for name in of_mols]
    assert list(of_smiles) == names
    defaults = [p.default for p in of_mols.values()]
    assert [p.default for p in of_smiles.values()] == defaults
    arguments = {"visualize": ([1, 2], "CC"), "visualize_grid": ([[1, 2]], ["CC"])}
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        getattr(SmilesVisualizer(), method)(*arguments[method], colour="red")
    with pytest.raises(ValueError, match="show_key must be True or False, got 'no'"):
        getattr(SmilesVisualizer(), method)(*arguments[method], show_key="no")


def test_what_is_no_smiles():
    with pytest.raises(TypeError, match="smiles must be a str, got Mol"):
        SmilesVisualizer().visualize([1, 2, 3], mol_of())


# --- where RDKit is missing -------------------------------------------------------


@pytest.mark.large
def test_without_rdkit_only_molecules_cannot_be_drawn():
    code = """
import sys
sys.modules["rdkit"] = None
from saliency import SmilesVisualizer, TableVisualizer
TableVisualizer().visualize([1, 2])
try:
    SmilesVisualizer().visualize([1, 2, 3], "CCO")
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "molecules need RDKit: pip install rdkit"


def test_where_the_system_lacks_libraries_one_line_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit.Chem.Draw", None)
    with pytest.raises(ImportError, match="apt-get install libxrender1") as caught:
        visualizer.visualize([1, 2, 3], mol_of())
    assert "\n" not in str(caught.value)
