"""Molecules: where they come from, and how networks take them."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem, RDConfig, rdBase
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold
from sklearn.model_selection import GroupShuffleSplit, train_test_split

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import MolVisualizer
from saliency.models.molecule_graphs import N_ELEMENT as N_ELEMENT
from saliency.models.molecule_graphs import N_UNITED_ATOM as N_UNITED_ATOM
from saliency.models.molecule_graphs import Graph as Graph
from saliency.models.molecule_graphs import concat_mols as concat_mols
from saliency.models.molecule_graphs import to_graph as to_graph


def from_smiles(lines: Sequence[str]) -> tuple[list[int], list[Chem.Mol]]:
    """Return the molecules of some SMILES, and in which line each of them is.

    What cannot be read or is no graph is left out, and so is what comes again; the
    numbers of those are printed.
    """
    found: dict[str, tuple[int, Chem.Mol]] = {}
    n_unread = n_again = 0
    with rdBase.BlockLogs():
        for i, line in enumerate(lines):
            mol = Chem.MolFromSmiles(line.strip())
            if mol is None or not mol.GetNumAtoms() or has_dummy_atom(mol):
                n_unread += 1
                continue
            smiles = Chem.MolToSmiles(mol)
            n_again += smiles in found
            found.setdefault(smiles, (i, mol))
    print(
        f"{len(found)} molecules; left out: {n_unread} that cannot be read, "
        f"{n_again} that come again"
    )
    return [i for i, _ in found.values()], [mol for _, mol in found.values()]


def has_dummy_atom(mol: Chem.Mol) -> bool:
    return any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms())


def nci_molecules() -> list[Chem.Mol]:
    """Return the different molecules of the NCI file that comes with RDKit."""
    path = Path(RDConfig.RDDataDir, "NCI", "first_5K.smi")
    if not path.exists():
        raise SystemExit(
            f"{path} is missing: this RDKit comes without its data. The one on PyPI "
            "has it: pip install rdkit"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    return from_smiles([line.split()[0] for line in lines if line.strip()])[1]


def read_column(path: str | os.PathLike[str], column: str) -> list[str]:
    """Return a column of a CSV file, which may be packed with gzip.

    Raises:
        SystemExit: If there is no such file or column.
    """
    path = Path(path)
    if not path.exists():
        raise SystemExit(f"{path}: there is no such file")
    open_ = gzip.open if path.suffix == ".gz" else open
    with open_(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if column not in (rows.fieldnames or ()):
            raise SystemExit(
                f"{path} has no column {column!r}, but {', '.join(rows.fieldnames)}"
            )
        return [row[column] for row in rows]


def scaffolds(mols: Sequence[Chem.Mol]) -> list[str]:
    """Return what stands for the scaffold of each molecule.

    Bemis and Murcko (1996), "The properties of known drugs. 1. Molecular frameworks",
    J. Med. Chem. 39(15). A molecule without rings has none, and counts as its own.
    """
    return [
        MurckoScaffold.MurckoScaffoldSmiles(mol=mol) or f"acyclic {i}"
        for i, mol in enumerate(mols)
    ]


def split(
    mols: Sequence[Chem.Mol], by: str, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of two parts, the second with a fraction of the molecules.

    By ``'scaffold'`` no scaffold is in both; else ``by`` is ``'random'``.
    """
    if by == "random":
        return tuple(
            train_test_split(
                np.arange(len(mols)), test_size=fraction, random_state=seed
            )
        )
    by_group = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
    return next(by_group.split(mols, groups=scaffolds(mols)))


def logp_contributions(mol: Chem.Mol) -> np.ndarray:
    """Return what each atom contributes to Crippen's logP, ``(n_atom,)``, float64.

    Wildman and Crippen (1999), "Prediction of physicochemical parameters by atomic
    contributions", J. Chem. Inf. Comput. Sci. 39(5). An atom is given its own
    contribution and those of its implicit hydrogens, so they add up to the logP.
    """
    n_atom = mol.GetNumAtoms()
    with_hydrogens = Chem.AddHs(mol)
    of_all = rdMolDescriptors._CalcCrippenContribs(with_hydrogens)
    contributions = np.array([logp for logp, _ in of_all])
    for hydrogen in range(n_atom, len(contributions)):
        (neighbour,) = with_hydrogens.GetAtomWithIdx(hydrogen).GetNeighbors()
        contributions[neighbour.GetIdx()] += contributions[hydrogen]
    return contributions[:n_atom]


def need_drawing() -> None:
    """End here with one line if RDKit cannot draw, not when all is computed."""
    try:
        MolVisualizer().visualize([0.0], Chem.MolFromSmiles("C"))
    except ImportError as error:
        raise SystemExit(str(error)) from None


def is_in_match(mol: Chem.Mol, pattern: Chem.Mol) -> np.ndarray:
    """Return for each atom whether it is in a match of a SMARTS pattern, bool."""
    found = np.zeros(mol.GetNumAtoms(), bool)
    for match in mol.GetSubstructMatches(pattern):
        found[list(match)] = True
    return found
