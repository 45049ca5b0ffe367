"""Molecules as graphs: the atoms, their order, the data that they come from."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import Crippen

from tests.molecule.example import SMILES, molecules

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def data_file(variable):
    """The path that an environment variable holds, or skip."""
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} does not say where the file is")
    return Path(path)


class TestGraph:
    @pytest.mark.parametrize("smiles", SMILES)
    def test_atoms_and_bonds_are_the_molecules(self, smiles):
        mol = Chem.MolFromSmiles(smiles)
        atoms, adjacency = molecules.to_graph(mol)
        assert atoms.dtype == np.int32 and adjacency.dtype == np.float32
        assert atoms.tolist() == [a.GetAtomicNum() for a in mol.GetAtoms()]
        assert_array_equal(adjacency.sum(axis=0), Chem.GetAdjacencyMatrix(mol))
        assert_array_equal(adjacency, adjacency.transpose(0, 2, 1))
        orders = np.tensordot([1, 2, 3, 1.5], adjacency, 1)
        assert_array_equal(orders, Chem.GetAdjacencyMatrix(mol, useBO=True))

    def test_the_order_is_the_callers(self):
        atoms, _ = molecules.to_graph(Chem.MolFromSmiles("OCC"))
        assert atoms.tolist() == [8, 6, 6]

    def test_the_molecule_is_not_changed(self):
        mol = Chem.MolFromSmiles(ASPIRIN)
        before = mol.ToBinary(Chem.PropertyPickleOptions.AllProps)
        molecules.to_graph(mol, count_hydrogens=True)
        molecules.logp_contributions(mol)
        assert mol.ToBinary(Chem.PropertyPickleOptions.AllProps) == before
        assert mol.GetNumConformers() == 0

    def test_explicit_hydrogens_are_atoms(self):
        mol = Chem.AddHs(Chem.MolFromSmiles("CO"))
        atoms, adjacency = molecules.to_graph(mol)
        assert atoms.tolist() == [6, 8, 1, 1, 1, 1]
        assert adjacency[0].sum(axis=0).tolist() == [4, 2, 1, 1, 1, 1]
        # ... and are not counted a second time.
        atoms, _ = molecules.to_graph(mol, count_hydrogens=True)
        assert atoms.tolist() == [30, 40, 5, 5, 5, 5]

    def test_hydrogens_are_counted(self):
        atoms, _ = molecules.to_graph(Chem.MolFromSmiles("OC(C)C"), True)
        assert atoms.tolist() == [8 * 5 + 1, 6 * 5 + 1, 6 * 5 + 3, 6 * 5 + 3]
        atoms, _ = molecules.to_graph(Chem.MolFromSmiles("C"), True)
        assert atoms.tolist() == [34]
        heaviest, _ = molecules.to_graph(Chem.MolFromSmiles("[Og]"), True)
        assert heaviest.max() < molecules.N_UNITED_ATOM

    def test_other_bonds_count_as_single(self):
        mol = Chem.MolFromSmiles("N->[Cu]", sanitize=False)
        _, adjacency = molecules.to_graph(mol)
        assert adjacency[0].tolist() == [[0, 1], [1, 0]]

    @pytest.mark.parametrize(
        "smiles, message", [("CC*", r"dummy atom \(atom 2\)"), ("", "without")]
    )
    def test_what_is_no_graph_is_refused(self, smiles, message):
        with pytest.raises(ValueError, match=f"mol must .*{message}"):
            molecules.to_graph(Chem.MolFromSmiles(smiles))

    def test_a_batch_is_padded_with_what_is_no_atom(self):
        graphs = [molecules.to_graph(Chem.MolFromSmiles(s)) for s in ("CCO", "C#N")]
        examples = [(*graph, np.float32(i)) for i, graph in enumerate(graphs)]
        atoms, adjacency, t = molecules.concat_mols(examples)
        assert atoms.tolist() == [[6, 6, 8], [6, 7, 0]]
        assert_array_equal(adjacency[0], graphs[0][1])
        assert_array_equal(adjacency[1, :, :2, :2], graphs[1][1])
        assert not adjacency[1, :, 2].any() and not adjacency[1, :, :, 2].any()
        assert t.tolist() == [0, 1]


class TestTruth:
    @pytest.mark.parametrize("smiles", SMILES)
    @pytest.mark.parametrize("with_hydrogens", [False, True])
    def test_contributions_add_up_to_crippens_logp(self, smiles, with_hydrogens):
        mol = Chem.MolFromSmiles(smiles)
        if with_hydrogens:
            mol = Chem.AddHs(mol)
        contributions = molecules.logp_contributions(mol)
        assert contributions.shape == (mol.GetNumAtoms(),)
        assert_allclose(contributions.sum(), Crippen.MolLogP(mol), atol=1e-9)

    def test_an_atom_has_those_of_its_hydrogens(self):
        # Wildman and Crippen's table: C1 0.1441, C3 -0.2035, O2 -0.2893; a hydrogen at
        # carbon (H1) 0.1230, in an alcohol (H2) -0.2677.
        found = molecules.logp_contributions(Chem.MolFromSmiles("OCC"))
        expected = [-0.2893 - 0.2677, -0.2035 + 2 * 0.123, 0.1441 + 3 * 0.123]
        assert_allclose(found, expected, atol=1e-9)

    def test_every_match_counts(self):
        mol = Chem.MolFromSmiles("c1ccncc1CCc1ccccn1")
        found = molecules.is_in_match(mol, Chem.MolFromSmarts("c1ccncc1"))
        assert np.flatnonzero(~found).tolist() == [6, 7]


class TestData:
    @pytest.mark.large
    def test_nci(self, nci):
        assert len(nci) > 4800
        smiles = [Chem.MolToSmiles(mol) for mol in nci]
        assert len(set(smiles)) == len(smiles)
        assert all(molecules.to_graph(mol)[0].all() for mol in nci[:200])

    def test_repeated_and_unreadable_lines_are_left_out(self, capsys):
        lines, mols = molecules.from_smiles(["OCC", "CCO ", "C(", "", "C*", "CC"])
        assert lines == [0, 5]
        assert [mol.GetNumAtoms() for mol in mols] == [3, 2]
        assert mols[0].GetAtomWithIdx(0).GetSymbol() == "O"  # as it was written
        printed = capsys.readouterr().out
        assert "2 molecules" in printed and "3 that cannot be read" in printed
        assert "1 that come again" in printed

    @pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
    def test_a_column_of_a_table(self, tmp_path, name):
        text = 'id,smiles\n1,"CCO"\n2,C\n'
        path = tmp_path / name
        path.write_bytes(
            gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
        )
        assert molecules.read_column(path, "smiles") == ["CCO", "C"]
        with pytest.raises(SystemExit, match="no column 'logS', but id, smiles"):
            molecules.read_column(path, "logS")

    def test_a_table_that_is_not_there(self, tmp_path):
        with pytest.raises(SystemExit, match="no such file"):
            molecules.read_column(tmp_path / "x.csv", "smiles")

    def test_esol(self):
        path = data_file("ESOL_CSV")
        smiles = molecules.read_column(path, "smiles")
        column = "measured log solubility in mols per litre"
        y = np.array([float(y) for y in molecules.read_column(path, column)])
        assert len(smiles) == len(y) == 1128
        assert -12 < y.min() < y.max() < 2

    def test_tox21(self):
        path = data_file("TOX21_CSV")
        _, mols = molecules.from_smiles(molecules.read_column(path, "smiles"))
        assert len(mols) > 7000


class TestSplit:
    mols = molecules.from_smiles(
        [f"{'C' * n}{ring}" for n in range(8) for ring in ("c1ccncc1", "C1CC1", "O")]
    )[1]

    @pytest.mark.parametrize("by", ["random", "scaffold"])
    @given(seed=st.integers(0, 2**32 - 1))
    def test_each_molecule_is_in_one_part(self, by, seed):
        parts = molecules.split(self.mols, by, 0.3, seed)
        assert sorted([*parts[0], *parts[1]]) == list(range(len(self.mols)))
        assert min(map(len, parts)) > 0

    @given(seed=st.integers(0, 2**32 - 1))
    def test_no_scaffold_is_in_both_parts(self, seed):
        scaffolds = np.array(molecules.scaffolds(self.mols))
        first, second = molecules.split(self.mols, "scaffold", 0.3, seed)
        assert not set(scaffolds[first]) & set(scaffolds[second])

    def test_chains_have_no_scaffold_in_common(self):
        found = molecules.scaffolds([Chem.MolFromSmiles(s) for s in ("CC", "CCC")])
        assert len(set(found)) == 2
