"""Molecules of which something is known for each atom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saliency.explanation.packages import imported


class ReadMolecules(NamedTuple):
    """The different molecules of some SMILES.

    Attributes:
        lines (list of int): In which line each of them is first.
        mols (list of rdkit.Chem.Mol): The molecules.
        n_unread (int): How many lines cannot be read, or are no graph of real atoms.
        n_again (int): How many hold a molecule that was there before.
    """

    lines: list[int]
    mols: list[Any]
    n_unread: int
    n_again: int


def rdkit_module(name: str) -> Any:
    """Return a module of RDKit.

    Raises:
        ImportError: If RDKit is not installed.
    """
    return imported(f"rdkit.{name}" if name else "rdkit", "a truth about molecules")


def read_smiles(lines: Sequence[str]) -> ReadMolecules:
    """Return the different molecules of some SMILES, and what was left out."""
    chem, rd_base = rdkit_module("Chem"), rdkit_module("rdBase")
    found: dict[str, tuple[int, Any]] = {}
    n_unread = n_again = 0
    with rd_base.BlockLogs():
        for i, line in enumerate(lines):
            mol = chem.MolFromSmiles(line.strip())
            if mol is None or not mol.GetNumAtoms() or has_dummy_atom(mol):
                n_unread += 1
                continue
            smiles = chem.MolToSmiles(mol)
            n_again += smiles in found
            found.setdefault(smiles, (i, mol))
    in_lines, mols = zip(*found.values()) if found else ((), ())
    return ReadMolecules([*in_lines], [*mols], n_unread, n_again)


def has_dummy_atom(mol: Any) -> bool:
    """Tell whether a molecule has an atom of no element."""
    return any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms())


def nci_smiles() -> list[str]:
    """Return the SMILES of the NCI file that comes with RDKit.

    Raises:
        FileNotFoundError: If this RDKit comes without its data.
        ImportError: If RDKit is not installed.
    """
    path = Path(rdkit_module("RDConfig").RDDataDir, "NCI", "first_5K.smi")
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: this RDKit comes without its data. The one on PyPI "
            "has it: pip install rdkit"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def logp_contributions(mol: Any) -> np.ndarray:
    """Return what each atom contributes to Crippen's logP, ``(n_atom,)``, float64.

    Wildman and Crippen (1999), "Prediction of physicochemical parameters by atomic
    contributions", J. Chem. Inf. Comput. Sci. 39(5). An atom is given its own
    contribution and those of its implicit hydrogens, so they add up to the logP.

    Args:
        mol (rdkit.Chem.Mol): The molecule.

    Raises:
        ImportError: If RDKit is not installed.
    """
    n_atom = mol.GetNumAtoms()
    with_hydrogens = rdkit_module("Chem").AddHs(mol)
    descriptors = rdkit_module("Chem.rdMolDescriptors")
    of_all = descriptors._CalcCrippenContribs(with_hydrogens)
    contributions = np.array([logp for logp, _ in of_all])
    for hydrogen in range(n_atom, len(contributions)):
        (neighbour,) = with_hydrogens.GetAtomWithIdx(hydrogen).GetNeighbors()
        contributions[neighbour.GetIdx()] += contributions[hydrogen]
    return contributions[:n_atom]


def is_in_match(mol: Any, pattern: Any) -> np.ndarray:
    """Return for each atom whether it is in a match of a pattern, bool.

    Args:
        mol (rdkit.Chem.Mol): The molecule.
        pattern (rdkit.Chem.Mol): That of a SMARTS.
    """
    found = np.zeros(mol.GetNumAtoms(), bool)
    for match in mol.GetSubstructMatches(pattern):
        found[list(match)] = True
    return found


def padded(rows: Sequence[np.ndarray], fill: float = np.nan) -> np.ndarray:
    """Return rows of different lengths as one array, filled up behind their ends."""
    result = np.full((len(rows), max(map(len, rows))), fill)
    for padded_row, row in zip(result, rows):
        padded_row[: len(row)] = row
    return result
