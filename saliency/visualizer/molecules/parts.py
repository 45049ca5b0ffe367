"""Parts of large molecules: the surroundings of the strongest atoms, side by side.

RDKit takes minutes to lay out thousands of atoms, and nobody could tell them apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saliency.visualizer.molecules.rdkit_modules import rd_chem, rd_mol_draw

_REACH = 2  # bonds around a strong atom that are drawn with it
_SMALL_RING = 8  # atoms of a ring that is drawn whole
_GAP = 1.0  # between parts, in bond lengths of RDKit's


class Part(NamedTuple):
    """What is drawn of a molecule.

    Attributes:
        mol: The molecule, ready to be drawn.
        atoms: Which of the original atoms its first atoms are, ``(n_drawn,)``.
        n_left_out: How many are not drawn.
    """

    mol: Any
    atoms: np.ndarray
    n_left_out: int


def strongest_part(
    mol: Any, scores: np.ndarray, max_atoms: int | None, aspect: float
) -> Part:
    """Return a molecule, or the surroundings of its strongest atoms if it is too large.

    Bonds that are cut end in dummy atoms, which stand behind the others.

    Args:
        mol: The molecule, which is not changed.
        scores: Of its atoms, ``(n_atom,)``.
        max_atoms: How many atoms are drawn; None for all.
        aspect: The width of the picture, divided by its height.
    """
    copy = rd_chem().Mol(mol)
    if copy.GetNumConformers() and copy.GetConformer().Is3D():
        copy.RemoveAllConformers()
    n_atom = copy.GetNumAtoms()
    if max_atoms is None or n_atom <= max_atoms:
        prepared = rd_mol_draw().PrepareMolForDrawing(copy)
        return Part(prepared, np.arange(n_atom), 0)
    atoms = _surroundings(copy, np.argsort(-np.abs(scores), kind="stable"), max_atoms)
    has_places = copy.GetNumConformers() > 0
    prepared = rd_mol_draw().PrepareMolForDrawing(_cut_out(copy, atoms))
    if not has_places:
        _place_side_by_side(prepared, aspect)
    return Part(prepared, atoms, n_atom - len(atoms))


def _surroundings(mol: Any, order: np.ndarray, max_atoms: int) -> np.ndarray:
    """Return the first atoms of an order with what is around them, sorted."""
    rings: dict[int, set[int]] = {}
    for ring in mol.GetRingInfo().AtomRings():
        if len(ring) <= _SMALL_RING:
            for i in ring:
                rings.setdefault(i, set()).update(ring)
    kept: set[int] = set()
    for i in order.tolist():
        around = {i} | rings.get(i, set())
        for _ in range(_REACH):
            around |= {j for k in around for j in _neighbours(mol, k)}
        around |= {j for k in around for j in _neighbours(mol, k) if _is_end(mol, j)}
        if len(kept | around) > max_atoms:
            break
        kept |= around
    # Where the first has too much around it, the strongest atoms alone.
    return np.array(sorted(kept or set(order[:max_atoms].tolist())))


def _neighbours(mol: Any, atom: int) -> list[int]:
    return [other.GetIdx() for other in mol.GetAtomWithIdx(atom).GetNeighbors()]


def _is_end(mol: Any, atom: int) -> bool:
    return bool(mol.GetAtomWithIdx(atom).GetDegree() == 1)


def _cut_out(mol: Any, atoms: np.ndarray) -> Any:
    """Return a molecule of these atoms, in their order, and dummies at the cuts."""
    chem = rd_chem()
    chem.Kekulize(mol, clearAromaticFlags=True)  # a part of a ring is not aromatic
    edited = chem.RWMol(mol)
    kept = set(atoms.tolist())
    for i in atoms.tolist():
        atom = edited.GetAtomWithIdx(i)
        cut = [j for j in _neighbours(mol, i) if j not in kept]
        if cut:
            # It keeps its hydrogens, and has no neighbours to have a chirality of.
            atom.SetNumExplicitHs(atom.GetTotalNumHs())
            atom.SetNoImplicit(True)
            atom.SetChiralTag(chem.ChiralType.CHI_UNSPECIFIED)
        for j in cut:
            _end_bond(edited, i, j)
    edited.BeginBatchEdit()
    for i in range(mol.GetNumAtoms()):
        if i not in kept:
            edited.RemoveAtom(i)
    edited.CommitBatchEdit()
    part = edited.GetMol()
    part.UpdatePropertyCache(strict=False)
    chem.GetSymmSSSR(part)
    return part


def _end_bond(edited: Any, atom: int, other: int) -> None:
    """Let a bond of an atom end in a dummy in the place of the other one."""
    dummy = edited.AddAtom(rd_chem().Atom(0))
    bond = edited.GetBondBetweenAtoms(atom, other)
    edited.AddBond(atom, dummy, bond.GetBondType())
    if edited.GetNumConformers():
        places = edited.GetConformer()
        places.SetAtomPosition(dummy, places.GetAtomPosition(other))


def _place_side_by_side(mol: Any, aspect: float) -> None:
    """Move the fragments of a molecule into rows, from the largest on.

    RDKit has them in one row, which would be drawn very small.
    """
    places = mol.GetConformer()
    positions = places.GetPositions()
    boxes = []
    for fragment in rd_chem().GetMolFrags(mol):
        corners = positions[list(fragment), :2]
        low = corners.min(axis=0) - _GAP
        boxes.append((list(fragment), low, corners.max(axis=0) + _GAP - low))
    boxes.sort(key=lambda box: -box[2][1])  # the highest first
    area = sum(size[0] * size[1] for _, _, size in boxes)
    width = max(np.sqrt(area * aspect), max(size[0] for _, _, size in boxes))
    x = y = height = 0.0
    for fragment, low, size in boxes:
        if x + size[0] > width:
            x, y, height = 0.0, y - height, 0.0
        positions[fragment, :2] += (x, y) - low - (0, size[1])
        x, height = x + size[0], max(height, size[1])
    for i, position in enumerate(positions.tolist()):
        places.SetAtomPosition(i, position)
