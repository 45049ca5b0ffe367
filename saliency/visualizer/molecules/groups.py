"""Groups of the atoms of a molecule, whose scores are added up.

Every atom is in exactly one group. Hydrogens that are atoms of their own go with the
atom that they are bonded to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from saliency.checks import check_callable
from saliency.explanation.molecules import checked_molecules, mols_of
from saliency.visualizer.molecules.rdkit_modules import checked_mol, rd_chem

#: What the atoms are called that no pattern matches.
OTHER = "other"

#: SMARTS of common functional groups, from the special to the general; ``"aromatic
#: ring"`` is what is left of the aromatic atoms.
FUNCTIONAL_GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "carboxylic acid": "[CX3](=O)[OX2H1,OX1-]",
        "anhydride": "[CX3](=O)[OX2][CX3](=O)",
        "urea": "[NX3][CX3](=O)[NX3]",
        "carbamate": "[NX3][CX3](=O)[OX2]",
        "ester": "[CX3](=O)[OX2H0]",
        "amide": "[CX3](=O)[NX3]",
        "acyl halide": "[CX3](=O)[F,Cl,Br,I]",
        "nitro": "[$([NX3](=O)=O),$([NX3+](=O)[O-])](~[OX1])~[OX1]",
        "nitrile": "[CX2]#[NX1]",
        "sulfonamide": "[SX4](=O)(=O)[NX3]",
        "sulfonic acid": "[SX4](=O)(=O)[OX2H1,OX1-]",
        "sulfone": "[SX4](=O)(=O)",
        "sulfoxide": "[#16X3]=[OX1]",
        "phosphate": "[PX4](=O)([OX2,OX1-])([OX2,OX1-])[OX2,OX1-]",
        "aldehyde": "[CX3;H1,H2]=[OX1]",
        "ketone": "[$([CX3]([#6])[#6])]=[OX1]",
        "imine": "[CX3]=[NX2]",
        "phenol": "[OX2H;$(Oc)]",
        "alcohol": "[OX2H;$(O[CX4])]",
        "ether": "[OX2H0;$(O([#6])[#6])]",
        "thiol": "[SX2H]",
        "sulfide": "[SX2H0;$(S([#6])[#6])]",
        "amine": "[NX3,NX4+]",
        "halogen": "[F,Cl,Br,I;X1]",
        "alkyne": "[CX2]#[CX2]",
        "alkene": "[CX3]=[CX3]",
        "aromatic ring": "a",
    }
)


class AtomGroup(NamedTuple):
    """Some atoms of a molecule.

    Attributes:
        name: Such as ``'amide'``, or the SMILES of a fragment.
        atoms: Their indices in the molecule, sorted.
    """

    name: str
    atoms: tuple[int, ...]


#: What divides a molecule into groups, such as `functional_groups`.
Grouping = Callable[[Any], Sequence[AtomGroup]]


def functional_groups(
    mol: Any, smarts: Mapping[str, str] = FUNCTIONAL_GROUPS
) -> list[AtomGroup]:
    """Return the functional groups of a molecule, and what is between them.

    The patterns are tried in their order, and all matches of one before the next. A
    match counts if none of its atoms is in a group already: of patterns that overlap,
    the first one has the atoms. Matches of one pattern that are bonded within a ring
    are one group. What is left is called ``'other'``, a group for each piece that hangs
    together.

    Args:
        mol: The molecule, an `rdkit.Chem.Mol`.
        smarts: The patterns by the name of the group. With other patterns as a
            grouping of pictures: ``functools.partial(functional_groups, smarts=mine)``.

    Returns:
        The groups, in the order of their first atoms.

    Raises:
        ImportError: RDKit is not installed.
        ValueError: RDKit cannot read one of the patterns.
        TypeError: ``mol`` is no molecule.
    """
    heavy = _without_hydrogens(checked_mol(mol))
    groups: list[AtomGroup] = []
    taken: set[int] = set()
    for name, pattern in smarts.items():
        matched: list[set[int]] = []
        for match in heavy.GetSubstructMatches(_pattern(name, pattern)):
            if taken.isdisjoint(match):
                matched.append(set(match))
                taken.update(match)
        groups += [AtomGroup(name, tuple(a)) for a in _joined(heavy, matched)]
    rest = set(range(heavy.GetNumAtoms())) - taken
    groups += [AtomGroup(OTHER, tuple(piece)) for piece in _pieces(heavy, rest)]
    return _in_order(mol, heavy, groups)


def brics_fragments(mol: Any) -> list[AtomGroup]:
    """Return the fragments that BRICS cuts a molecule into, named by their SMILES.

    Degen, Wegscheid-Gerlach, Zaliani and Rarey (2008), "On the art of compiling and
    using 'drug-like' chemical fragment spaces", ChemMedChem 3(10).

    Args:
        mol: The molecule, an `rdkit.Chem.Mol`.

    Returns:
        The groups, in the order of their first atoms. A molecule that BRICS does not
        cut is one group.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: ``mol`` is no molecule.
    """
    heavy = _without_hydrogens(checked_mol(mol))
    brics: Any = import_module("rdkit.Chem.BRICS")
    cut = {frozenset(ends) for ends, _ in brics.FindBRICSBonds(heavy)}
    pieces = _pieces(heavy, set(range(heavy.GetNumAtoms())), cut)
    return _in_order(mol, heavy, [_named_by_smiles(heavy, piece) for piece in pieces])


def ring_systems(mol: Any) -> list[AtomGroup]:
    """Return the ring systems of a molecule, named by their SMILES, and the rest.

    Rings that have an atom in common are one system. What is left is called
    ``'other'``, a group for each piece that hangs together.

    Args:
        mol: The molecule, an `rdkit.Chem.Mol`.

    Returns:
        The groups, in the order of their first atoms.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: ``mol`` is no molecule.
    """
    heavy = _without_hydrogens(checked_mol(mol))
    systems: list[set[int]] = []
    for ring in heavy.GetRingInfo().AtomRings():
        apart = [system for system in systems if system.isdisjoint(ring)]
        fused = [system for system in systems if not system.isdisjoint(ring)]
        systems = [*apart, set(ring).union(*fused)]
    rest = set(range(heavy.GetNumAtoms())).difference(*systems)
    groups = [_named_by_smiles(heavy, system) for system in systems]
    groups += [AtomGroup(OTHER, tuple(piece)) for piece in _pieces(heavy, rest)]
    return _in_order(mol, heavy, groups)


def checked_groups(groups: Grouping, mol: Any) -> list[AtomGroup]:
    """Return the groups that a grouping gives, in which each atom is once.

    Raises:
        TypeError: ``groups`` cannot be called, or does not return groups.
        ValueError: An atom is in no group, in several, or is none of the molecule's.
    """
    check_callable("groups", groups)
    found = [AtomGroup(str(name), tuple(atoms)) for name, atoms in groups(mol)]
    atoms = sorted(atom for group in found for atom in group.atoms)
    if atoms != list(range(mol.GetNumAtoms())):
        raise ValueError(
            f"groups must have each of the {mol.GetNumAtoms()} atoms in exactly one "
            f"group, got the atoms {atoms}"
        )
    return found


def group_sums(scores: np.ndarray, groups: Sequence[AtomGroup]) -> np.ndarray:
    """Return the sum of the scores of each group, ``(n_group,)``, in float64."""
    return np.array([scores[list(g.atoms)].sum(dtype=np.float64) for g in groups])


def groups_of_atoms(groups: Sequence[AtomGroup]) -> np.ndarray:
    """Return which group each atom is in, ``(n_atom,)``."""
    index = np.empty(sum(len(group.atoms) for group in groups), int)
    for i, group in enumerate(groups):
        index[list(group.atoms)] = i
    return index


def atom_groups(
    molecules: Iterable[Any],
    grouping: Grouping = functional_groups,
    n_atom: int | None = None,
) -> np.ndarray:
    """Return which group each atom is in, as ``groups`` of calculators take it.

    Args:
        molecules: SMILES, or molecules of RDKit, one for each example of the data. The
            target is ``(N, atom, ...)``, with the atoms in the order of the molecule,
            as the output of the embedding is.
        grouping: What divides a molecule, such as :func:`functional_groups` or
            :func:`brics_fragments`.
        n_atom: How many atoms the target has room for; None is the number of atoms of
            the largest molecule.

    Returns:
        Of int, ``(N, n_atom, 1)``; -1 behind the last atom.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: ``molecules`` are no list of these, or ``grouping`` does not return
            groups.
        ValueError: RDKit cannot read a molecule; an atom is not in exactly one group;
            or ``n_atom`` is too small.
    """
    mols = mols_of(checked_molecules(molecules) or ())
    rows = [groups_of_atoms(checked_groups(grouping, mol)) for mol in mols]
    n_most = max(map(len, rows), default=0)
    if n_atom is not None and n_atom < n_most:
        raise ValueError(
            f"n_atom must be at least {n_most}, which a molecule has, got {n_atom}"
        )
    found = np.full((len(rows), n_atom or n_most, 1), -1)
    for numbers, row in zip(found, rows):
        numbers[: len(row), 0] = row
    return found


_INDEX = "_saliency_index"


def _without_hydrogens(mol: Any) -> Any:
    """Return a molecule without the hydrogens that patterns do not expect.

    Its atoms have the index that they have in the molecule as `_INDEX`.
    """
    chem = rd_chem()
    copy = chem.Mol(mol)
    for atom in copy.GetAtoms():
        atom.SetIntProp(_INDEX, atom.GetIdx())
    heavy = chem.RemoveHs(copy, sanitize=False)
    heavy.UpdatePropertyCache(strict=False)
    chem.GetSymmSSSR(heavy)
    return heavy


def _in_order(mol: Any, heavy: Any, groups: Iterable[AtomGroup]) -> list[AtomGroup]:
    """Return groups of heavy atoms as groups of all, by their first atoms."""
    index = [atom.GetIntProp(_INDEX) for atom in heavy.GetAtoms()]
    complete = []
    for name, heavy_atoms in groups:
        atoms = {index[i] for i in heavy_atoms}
        for i in sorted(atoms):
            atoms |= set(_neighbours(mol, i)).difference(index)
        complete.append(AtomGroup(name, tuple(sorted(atoms))))
    return sorted(complete, key=lambda group: group.atoms)


def _neighbours(mol: Any, atom: int) -> list[int]:
    return [other.GetIdx() for other in mol.GetAtomWithIdx(atom).GetNeighbors()]


def _pattern(name: str, smarts: str) -> Any:
    pattern = rd_chem().MolFromSmarts(smarts)
    if pattern is None:
        raise ValueError(f"smarts[{name!r}]={smarts!r} cannot be read by RDKit")
    return pattern


def _joined(mol: Any, matches: list[set[int]]) -> list[set[int]]:
    """Return matches, of which those are one that a bond of a ring joins."""
    joined: list[set[int]] = []
    for match in matches:
        around = {
            bond.GetOtherAtomIdx(i)
            for i in match
            for bond in mol.GetAtomWithIdx(i).GetBonds()
            if bond.IsInRing()
        }
        near = [group for group in joined if not group.isdisjoint(around)]
        joined = [group for group in joined if group.isdisjoint(around)]
        joined.append(match.union(*near))
    return joined


def _pieces(
    mol: Any, atoms: set[int], cut: Set[frozenset[int]] = frozenset()
) -> list[set[int]]:
    """Return the parts of some atoms that hang together without the bonds cut."""
    pieces = []
    left = set(atoms)
    while left:
        piece, new = set(), {min(left)}
        while new:
            piece |= new
            new = {
                j
                for i in new
                for j in _neighbours(mol, i)
                if j in left - piece and frozenset((i, j)) not in cut
            }
        pieces.append(piece)
        left -= piece
    return pieces


def _named_by_smiles(mol: Any, atoms: set[int]) -> AtomGroup:
    smiles = rd_chem().MolFragmentToSmiles(mol, sorted(atoms))
    return AtomGroup(smiles, tuple(atoms))
