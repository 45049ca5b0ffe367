"""RDKit, which is imported where molecules are read or drawn, and not before."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def rd_chem() -> ModuleType:
    """Return ``rdkit.Chem``.

    Raises:
        ImportError: It is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError as reason:
        raise ImportError("molecules need RDKit: pip install rdkit") from reason
    return Chem


def rd_mol_draw() -> ModuleType:
    """Return RDKit's drawing module.

    Raises:
        ImportError: It is not installed, or the system lacks libraries that it needs.
    """
    rd_chem()
    try:
        from rdkit.Chem.Draw import rdMolDraw2D
    except ImportError as reason:
        raise ImportError(
            f"RDKit cannot draw here ({reason}); on Debian or Ubuntu: apt-get install "
            "libxrender1 libxext6 libx11-6"
        ) from reason
    return rdMolDraw2D


def checked_mol(mol: Any, hint: str = "") -> Any:
    """Return a molecule, or raise a TypeError if it is none."""
    if not isinstance(mol, rd_chem().Mol):
        raise TypeError(
            f"mol must be an rdkit.Chem.Mol, got {type(mol).__name__}{hint}"
        )
    return mol


def mol_of_smiles(smiles: str, add_hs: bool = False, canonical: bool = False) -> Any:
    """Return the molecule of a SMILES, with its atoms in the order of the scores.

    Args:
        smiles: The SMILES.
        add_hs: Whether all hydrogens are atoms, which come last.
        canonical: Whether the order is that of RDKit's canonical SMILES.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: ``smiles`` is no str.
        ValueError: RDKit cannot read it.
    """
    chem = rd_chem()
    if not isinstance(smiles, str):
        raise TypeError(f"smiles must be a str, got {type(smiles).__name__}")
    mol = chem.MolFromSmiles(smiles)
    if mol is None:
        raise ValueError(f"smiles={smiles!r} cannot be read by RDKit")
    if canonical:
        mol = chem.MolFromSmiles(chem.MolToSmiles(mol))
    return chem.AddHs(mol) if add_hs else mol
