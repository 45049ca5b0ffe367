"""Molecules as texts, which a file can hold, and as RDKit's objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from saliency.explanation.packages import imported


def checked_molecules(given: Any) -> tuple[str, ...] | None:
    """Return molecules as texts that keep all atoms and their order.

    Args:
        given (sequence or None): SMILES, which stay what they are, or molecules of
            RDKit. Those become a SMILES if it has their atoms in their order, and
            RDKit's JSON otherwise: where there are explicit hydrogens, coordinates, or
            an order that no SMILES has.

    Raises:
        TypeError: If they are no list, or one is neither.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(
            "molecules must be a list of SMILES or of molecules of RDKit, one for each "
            f"example, got {type(given).__name__}"
        )
    return tuple(_text_of(one) for one in given)


def mols_of(texts: Sequence[str]) -> list[Any]:
    """Return molecules of RDKit.

    Raises:
        ImportError: If RDKit is not installed.
        ValueError: If it cannot read one.
    """
    chem = imported("rdkit.Chem", "what reads molecules")
    mols = []
    for i, text in enumerate(texts):
        is_json = text.startswith("{")
        mol = chem.JSONToMols(text)[0] if is_json else chem.MolFromSmiles(text)
        if mol is None:
            raise ValueError(f"molecules[{i}]={text!r} cannot be read by RDKit")
        mols.append(mol)
    return mols


def symbols_of(texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the symbols of the atoms of each molecule, in their order."""
    return tuple(
        tuple(atom.GetSymbol() for atom in mol.GetAtoms()) for mol in mols_of(texts)
    )


def _text_of(molecule: Any) -> str:
    if isinstance(molecule, str):
        return molecule
    if not hasattr(molecule, "GetAtoms"):
        raise TypeError(
            "molecules must be SMILES or molecules of RDKit, got "
            f"{type(molecule).__name__} among them"
        )
    chem = imported("rdkit.Chem", "what reads molecules")
    if molecule.GetNumConformers() == 0:
        copied = chem.Mol(molecule)  # RDKit notes on it in which order it went
        smiles: str = chem.MolToSmiles(copied, canonical=False)
        if _is_in_order(chem, copied, smiles):
            return smiles
    text: str = chem.MolToJSON(molecule)
    return text


def _is_in_order(chem: Any, molecule: Any, smiles: str) -> bool:
    """Tell whether the SMILES that was just made has all atoms in their order."""
    order = list(molecule.GetPropsAsDict(True, True).get("_smilesAtomOutputOrder", []))
    again = chem.MolFromSmiles(smiles)
    if again is None or order != list(range(molecule.GetNumAtoms())):
        return False
    return [atom.GetAtomicNum() for atom in again.GetAtoms()] == [
        atom.GetAtomicNum() for atom in molecule.GetAtoms()
    ]
