"""Molecules on a page: structures, SMILES, and which letters belong to which atom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.report.elements import scores_of
from saliency.report.encoding import rounded
from saliency.report.methods import Method
from saliency.visualizer.molecules.canvas import Measures, draw_molecule
from saliency.visualizer.molecules.parts import strongest_part
from saliency.visualizer.molecules.rdkit_modules import rd_chem
from saliency.visualizer.molecules.shapes import Outline, extent, path_data

_MOST = 2_000  # molecules on a page
_MOST_ATOMS = 300  # of a molecule that is drawn as a whole, as in pictures
# Sizes in pixels: the room of a structure, and the length of a bond. As a share of it,
# what is free around the atoms, for their colours.
_PANEL, _BOND, _MARGIN = (460, 340), 34.0, 0.55
# An atom of SMILES, in brackets or without; what else there is are bonds, branches and
# numbers of rings. Two letters come first: Cl is no carbon.
_ATOM = re.compile(r"(\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*])")


class _Smiles(NamedTuple):
    """A SMILES and the atoms in it.

    Attributes:
        text: The SMILES.
        atoms: The index of each atom of it in the molecule, in the order of the text;
            None for one that is a part of its neighbour, as an explicit hydrogen is.
    """

    text: str
    atoms: list[int | None]

    @property
    def pieces(self) -> list[tuple[str, int | None]]:
        """The text in pieces, with the index of the atom that each is."""
        parts = _ATOM.split(self.text)  # atoms are every second one
        of_parts: list[int | None] = [None] * len(parts)
        of_parts[1::2] = self.atoms
        return [(part, i) for part, i in zip(parts, of_parts) if part]


def number_shown(methods: Sequence[Method]) -> int:
    """Return how many examples a page shows."""
    return min(len(methods[0].explanation), _MOST)


def data_of(methods: Sequence[Method], n: int) -> dict[str, Any]:
    """Return the data of a page with the first n examples.

    Raises:
        ImportError: RDKit is not installed, or cannot draw on this system.
        ValueError: RDKit cannot read a molecule, or it has other atoms than scores.
    """
    shown = methods[0].explanation[:n]
    molecules = []
    for mol, text, row in zip(
        shown.to_mols(), shown.molecules or (), methods[0].layers[0]
    ):
        drawn = _drawn(mol, row)
        smiles = _smiles_of(mol, text)
        molecules.append({**drawn, "smiles": smiles.pieces})
    symbols = [list(names) for names in shown.element_names or ()]
    return {"molecules": molecules, "symbols": symbols, **scores_of(methods, n)}


def _drawn(mol: Any, scores: np.ndarray) -> dict[str, Any]:
    """Return the lines of a structure, and where its atoms and bonds are."""
    if mol.GetNumAtoms() == 0:
        nothing: list[Any] = []
        return {
            **dict.fromkeys(("paths", "atoms", "bonds"), nothing),
            **{"box": [0, 0, 1, 1], "bond": _BOND, "more": 0},
        }
    aspect = _PANEL[0] / _PANEL[1]
    given = np.nan_to_num(scores[: mol.GetNumAtoms()])
    part = strongest_part(mol, given, _MOST_ATOMS, aspect)
    drawing = draw_molecule(part.mol, _PANEL, {}, {}, 0.05, Measures(_BOND))
    n_atom = len(part.atoms)  # others are only there where bonds are cut
    places = drawing.positions[:n_atom]
    low, high = places.min(axis=0), places.max(axis=0)
    outlines = [shape for shape in drawing.shapes if isinstance(shape, Outline)]
    if outlines:
        least, greatest = extent(outlines)
        low, high = np.minimum(low, least), np.maximum(high, greatest)
    bond = drawing.bond or _BOND
    corner, size = low - _MARGIN * bond, high - low + 2 * _MARGIN * bond
    ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in part.mol.GetBonds()]
    return {
        "box": rounded([*corner, *size]),
        "paths": _paths(outlines),
        "atoms": [[int(i), *rounded(xy)] for i, xy in zip(part.atoms, places)],
        "bonds": [pair for pair in ends if max(pair) < n_atom],
        "bond": rounded(bond),
        "more": part.n_left_out,
    }


def _paths(outlines: Sequence[Outline]) -> list[list[Any]]:
    """Return lines and letters: how wide a line is, 0 for an area, and its path."""
    found: dict[tuple[float, tuple[float, ...]], list[str]] = {}
    for outline in outlines:
        style = outline.style
        is_line = style.stroke != "none" and style.fill == "none"
        key = (style.width if is_line else 0.0, style.dashes)
        found.setdefault(key, []).append(path_data(outline))
    return [
        [width, " ".join(map(str, dashes)), " ".join(paths)]
        for (width, dashes), paths in found.items()
    ]


def _smiles_of(mol: Any, text: str) -> _Smiles:
    """Return the SMILES of a molecule: the text that was given, if it is one."""
    if not text.startswith("{"):
        given = _as_given(mol, text)
        if given is not None:
            return given
    chem = rd_chem()
    copied = chem.Mol(mol)  # RDKit notes on it in which order it went
    smiles = chem.MolToSmiles(copied)
    order = copied.GetPropsAsDict(True, True).get("_smilesAtomOutputOrder", [])
    return _Smiles(smiles, [int(i) for i in order])


def _as_given(mol: Any, text: str) -> _Smiles | None:
    """Return the SMILES that was given; None if its atoms are not those of the mol.

    RDKit takes most explicit hydrogens out; all others keep their order.
    """
    chem = rd_chem()
    smiles = text.split()[0] if text.strip() else ""
    letters = _ATOM.findall(smiles)
    parameters = chem.SmilesParserParams()
    parameters.removeHs = False
    whole = chem.MolFromSmiles(smiles, parameters)
    if whole is None or whole.GetNumAtoms() != len(letters):
        return None
    for atom in whole.GetAtoms():
        atom.SetIntProp("_saliency_place", atom.GetIdx())
    kept = chem.RemoveHs(whole) if mol.GetNumAtoms() < len(letters) else whole
    numbers = [atom.GetAtomicNum() for atom in kept.GetAtoms()]
    if numbers != [atom.GetAtomicNum() for atom in mol.GetAtoms()]:
        return None
    atoms: list[int | None] = [None] * len(letters)
    for atom in kept.GetAtoms():
        atoms[atom.GetIntProp("_saliency_place")] = atom.GetIdx()
    return _Smiles(smiles, atoms)
