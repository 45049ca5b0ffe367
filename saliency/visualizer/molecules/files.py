"""Molecules from SDF files."""

from __future__ import annotations

import gzip
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from saliency.checks import check_bool
from saliency.user_warnings import warn_user
from saliency.visualizer.molecules.rdkit_modules import rd_chem

_END = "$$$$"


def read_sdf(
    path: str | PathLike[str], *, remove_hs: bool = True, skip_broken: bool = False
) -> list[Any]:
    """Return the molecules of an SDF file.

    Each has its title as the property ``_Name``, which `atom_table` takes as its name,
    its data fields as properties, and the coordinates of the file. Coordinates in the
    plane are those that `MolVisualizer` draws it with.

    Args:
        path: The file, which may be packed with gzip (``.sdf.gz``).
        remove_hs: Whether hydrogens that the file lists are no atoms of the molecule.
            The network has to see the same atoms.
        skip_broken: Whether records that cannot be read are left out, with one warning,
            rather than an error.

    Returns:
        A list of `rdkit.Chem.Mol`.

    Raises:
        ImportError: RDKit is not installed.
        OSError: The file cannot be read.
        ValueError: A record cannot be read; the message says which one, and why. Or the
            file has no molecule.
    """
    check_bool("remove_hs", remove_hs)
    check_bool("skip_broken", skip_broken)
    chem = rd_chem()
    from rdkit import rdBase

    path = Path(fspath(path))
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    supplier = chem.SDMolSupplier()
    mols, broken = [], []
    with rdBase.BlockLogs():
        supplier.SetData(text, removeHs=bool(remove_hs))
        for i in range(len(supplier)):
            mol = supplier[i]
            if mol is None or not mol.GetNumAtoms():
                broken.append(_what_is_wrong(i, supplier.GetItemText(i)))
            else:
                mols.append(mol)
    if broken and not skip_broken:
        more = f"; {len(broken) - 1} more cannot be read" if len(broken) > 1 else ""
        raise ValueError(
            f"{path}: {broken[0]}{more}. skip_broken=True leaves such records out"
        )
    if not mols:
        raise ValueError(f"{path} has no molecule that RDKit can read")
    if broken:
        warn_user(
            f"{path}: left out {len(broken)} of {len(broken) + len(mols)} records; "
            f"first {broken[0]}"
        )
    return mols


def _what_is_wrong(index: int, record: str) -> str:
    """Return which record is broken, and why; its logs have to be blocked."""
    chem = rd_chem()
    title = record.split("\n", 1)[0].strip()
    name = f"record {index + 1} ({title!r})" if title else f"record {index + 1}"
    mol = chem.MolFromMolBlock(record.split(_END)[0], sanitize=False)
    if mol is None:
        return f"{name} is no molecule in the format of SDF"
    if not mol.GetNumAtoms():
        return f"{name} has no atoms"
    problems = [one.Message() for one in chem.DetectChemistryProblems(mol)]
    return f"{name} is no valid molecule: {problems[0] if problems else 'unknown'}"
