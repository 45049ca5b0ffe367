"""Molecules as graphs, which networks take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainer.dataset import concat_examples

#: What RDKit calls the types of bonds that graphs tell apart.
BOND_TYPES = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
#: Numbers that an atom can have in a graph: atomic numbers, and 0 for padding; ...
N_ELEMENT = 119
#: ... and with the number of its hydrogens, up to 4.
N_UNITED_ATOM = 5 * N_ELEMENT

Graph = tuple[np.ndarray, np.ndarray]


def to_graph(mol: Any, count_hydrogens: bool = False) -> Graph:
    """Return a molecule as a graph, its atoms in the order that they have in it.

    Hydrogens are atoms of their own where they are explicit atoms of the molecule.

    Args:
        mol (rdkit.Chem.Mol): The molecule. It is not changed.
        count_hydrogens (bool): Whether an atom's number tells its hydrogens, too: it
            is 5 times the atomic number, and the number of its hydrogens that are no
            atoms of their own, or 4 if there are more.

    Returns:
        tuple: Atoms ``(n_atom,)``, int32, and for each of :data:`BOND_TYPES` the
        adjacency, ``(4, n_atom, n_atom)``, float32. Bonds of other types (dative,
        zero order) count as single.

    Raises:
        ValueError: If the molecule has no atoms, or a dummy atom.
    """
    atoms = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.int32)
    if len(atoms) == 0:
        raise ValueError("mol must have an atom, got a molecule without")
    if not atoms.all():
        raise ValueError(
            f"mol must be of real atoms, got a dummy atom (atom {int(atoms.argmin())})"
        )
    if count_hydrogens:
        hydrogens = [min(atom.GetTotalNumHs(), 4) for atom in mol.GetAtoms()]
        atoms = 5 * atoms + np.array(hydrogens, np.int32)
    adjacency = np.zeros((len(BOND_TYPES), len(atoms), len(atoms)), np.float32)
    for bond in mol.GetBonds():
        kind = bond.GetBondType().name
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        known = kind if kind in BOND_TYPES else "SINGLE"
        adjacency[BOND_TYPES.index(known), [i, j], [j, i]] = 1
    return atoms, adjacency


def concat_mols(batch: Sequence[Any], device: Any = None) -> tuple[Any, ...]:
    """Make a batch of graphs ``(atoms, adjacency, ...)`` of different sizes.

    Smaller molecules are filled up with atoms 0 without bonds. The sizes are kept in
    the graphs: a calculator that is given a list of them has them in ``lengths``.

    Returns:
        tuple: Atoms ``(batch, n_atom)``, adjacency ``(batch, 4, n_atom, n_atom)``, and
        what comes after them as it is.
    """
    batches: tuple[Any, ...] = concat_examples(batch, device, padding=0)
    return batches
