"""Scores of molecules as tables: a row for each atom, or for each group of atoms."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from os import PathLike
from typing import Any, NamedTuple

from saliency.array_types import Array
from saliency.visualizer.files import checked_path, write_file
from saliency.visualizer.grids import one_for_each_row
from saliency.visualizer.molecules.cells import checked_scores
from saliency.visualizer.molecules.groups import (
    Grouping,
    checked_groups,
    functional_groups,
    group_sums,
    groups_of_atoms,
)
from saliency.visualizer.molecules.rdkit_modules import (
    checked_mol,
    mol_of_smiles,
    rd_chem,
)
from saliency.visualizer.scores import checked_errors

#: A row of a table, by the names of its columns.
Row = dict[str, Any]


class _Molecule(NamedTuple):
    """A molecule with its scores, and the columns that say which one it is."""

    mol: Any
    scores: Any
    errors: Any
    columns: Row


def atom_table(
    scores: Sequence[Array],
    mols: Sequence[Any],
    save_filepath: str | PathLike[str] | None = None,
    *,
    errors: Sequence[Array] | None = None,
    groups: Grouping | None = None,
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Return a row for each atom of each molecule, and write them as CSV if asked to.

    ``pandas.DataFrame(rows)`` makes a data frame of them.

    Args:
        scores: The scores of each molecule's atoms, ``(n_atom,)``, real and finite: a
            list of them, or an array padded with NaN.
        mols: The molecules, each an `rdkit.Chem.Mol` or a SMILES.
        save_filepath: File to write, ``.csv``, in UTF-8. Default: none.
        errors: How far each score may be off, in the form of ``scores``; None for a
            molecule of which that is not known.
        groups: Divides a molecule into groups, such as `functional_groups`.
        names: A name for each molecule. Default: the title that it has from its file.

    Returns:
        Rows with ``molecule`` (its number in ``mols``), ``name``, ``smiles`` (the one
        given, or RDKit's canonical one), ``atom`` (its index in the molecule),
        ``symbol`` and ``score``; with errors or groups ``error`` and ``group``.

    Raises:
        ImportError: RDKit is not installed.
        ValueError: There are not as many scores, errors or names as molecules, an array
            has the wrong shape or is not finite, a SMILES cannot be read, or
            ``save_filepath`` cannot be written to.
        TypeError: An argument has the wrong type.
    """
    path = checked_path(save_filepath, ("csv",))
    rows = []
    for of in _molecules(scores, mols, errors, names):
        found = None if groups is None else checked_groups(groups, of.mol)
        index = None if found is None else groups_of_atoms(found)
        for i, atom in enumerate(of.mol.GetAtoms()):
            row = {
                **of.columns,
                "atom": i,
                "symbol": atom.GetSymbol(),
                "score": float(of.scores[i]),
            }
            if errors is not None:
                row["error"] = None if of.errors is None else float(of.errors[i])
            if found is not None and index is not None:
                row["group"] = found[index[i]].name
            rows.append(row)
    if path is not None:
        write_file(path, _as_csv(rows))
    return rows


def group_table(
    scores: Sequence[Array],
    mols: Sequence[Any],
    save_filepath: str | PathLike[str] | None = None,
    *,
    groups: Grouping = functional_groups,
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Return a row for each group of atoms of each molecule; see `atom_table`.

    Args:
        scores: As in `atom_table`.
        mols: As in `atom_table`.
        save_filepath: As in `atom_table`.
        groups: Divides a molecule into groups: `functional_groups`, `brics_fragments`,
            `ring_systems`, or a callable of your own.
        names: As in `atom_table`.

    Returns:
        Rows with ``molecule``, ``name`` and ``smiles``, the name of the ``group``, its
        ``atoms`` (their indices, a tuple), their number ``n_atom``, and as ``score``
        the sum of theirs. Those of a molecule's groups add up to those of its atoms.

    Raises:
        ImportError, TypeError: As in `atom_table`.
        ValueError: As there; or an atom is not in exactly one group.
    """
    path = checked_path(save_filepath, ("csv",))
    rows = []
    for of in _molecules(scores, mols, None, names):
        found = checked_groups(groups, of.mol)
        for group, score in zip(found, group_sums(of.scores, found)):
            rows.append(
                {
                    **of.columns,
                    "group": group.name,
                    "atoms": group.atoms,
                    "n_atom": len(group.atoms),
                    "score": float(score),
                }
            )
    if path is not None:
        write_file(path, _as_csv(rows))
    return rows


def _molecules(
    scores: Sequence[Array],
    mols: Sequence[Any],
    errors: Sequence[Array] | None,
    names: Sequence[str] | None,
) -> list[_Molecule]:
    """Return the molecules with their scores, checked."""
    if isinstance(mols, str) or not hasattr(mols, "__len__"):
        raise TypeError(
            "mols must be a list of molecules or of SMILES, got "
            f"{type(mols).__name__}; for one molecule pass [scores] and [mol]"
        )
    n = len(mols)
    if n == 0:
        raise ValueError("mols is empty; there must be at least one molecule")
    of_each = one_for_each_row("scores", scores, n, "molecule")
    off = one_for_each_row("errors", [None] * n if errors is None else errors, n, _NOUN)
    known = one_for_each_row("names", [None] * n if names is None else names, n, _NOUN)
    found = []
    for i, one in enumerate(mols):
        mol = mol_of_smiles(one) if isinstance(one, str) else checked_mol(one)
        n_atom = mol.GetNumAtoms()
        of_atoms = checked_scores(of_each[i], n_atom, f"scores[{i}]")
        error = off[i]
        if error is not None:
            error = checked_scores(error, n_atom, f"errors[{i}]")
            error = checked_errors(error, of_atoms, f"errors[{i}]")
        title = mol.GetProp("_Name") if mol.HasProp("_Name") else ""
        columns = {
            "molecule": i,
            "name": title if known[i] is None else str(known[i]),
            "smiles": one if isinstance(one, str) else rd_chem().MolToSmiles(mol),
        }
        found.append(_Molecule(mol, of_atoms, error, columns))
    return found


_NOUN = "molecule"


def _as_csv(rows: list[Row]) -> bytes:
    """Return rows as CSV; indices of atoms are divided by spaces."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows[0])
    for row in rows:
        cells = row.values()
        writer.writerow([" ".join(map(str, c)) if _is_many(c) else c for c in cells])
    return text.getvalue().encode("utf-8")


def _is_many(value: Any) -> bool:
    return isinstance(value, tuple)
