"""Molecules: where they come from, and how networks take them."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold
from sklearn.model_selection import GroupShuffleSplit, train_test_split

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import MolVisualizer
from saliency.metrics.truths.molecules import is_in_match as is_in_match
from saliency.metrics.truths.molecules import logp_contributions as logp_contributions
from saliency.metrics.truths.molecules import nci_smiles, read_smiles
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
    found = read_smiles(lines)
    print(
        f"{len(found.mols)} molecules; left out: {found.n_unread} that cannot be read, "
        f"{found.n_again} that come again"
    )
    return found.lines, found.mols


def nci_molecules() -> list[Chem.Mol]:
    """Return the different molecules of the NCI file that comes with RDKit."""
    try:
        return from_smiles(nci_smiles())[1]
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None


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


def need_drawing() -> None:
    """End here with one line if RDKit cannot draw, not when all is computed."""
    try:
        MolVisualizer().visualize([0.0], Chem.MolFromSmiles("C"))
    except ImportError as error:
        raise SystemExit(str(error)) from None
