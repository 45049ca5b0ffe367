"""What tests of the examples for molecules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rdkit import Chem


@pytest.fixture(scope="session")
def nci() -> list[Chem.Mol]:
    """The molecules of the NCI file, read once. Nobody changes them."""
    from tests.molecule.example import molecules

    return molecules.nci_molecules()
