"""Tables of the scores of atoms and of groups, and molecules from SDF files."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

pytest.importorskip("rdkit", reason="RDKit is not installed (extra 'molecule')")
from rdkit import Chem
from rdkit.Chem import rdDepictor

from saliency import (
    MolVisualizer,
    atom_table,
    brics_fragments,
    functional_groups,
    group_table,
    read_sdf,
)
from tests.visualizer.test_mol_visualizer import position

SMILES = ["OCC", "CC(=O)N"]
MOLS = [Chem.MolFromSmiles(one) for one in SMILES]
SCORES = [[0.25, -1.0, 2.0], [1.0, 2.0, 3.0, np.float32(0.5)]]


def read_csv(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_atom(tmp_path):
    MOLS[1].SetProp("_Name", "acetamide")
    rows = atom_table(SCORES, MOLS, tmp_path / "scores.csv")
    assert [row["score"] for row in rows] == [0.25, -1.0, 2.0, 1.0, 2.0, 3.0, 0.5]
    assert [row["atom"] for row in rows] == [0, 1, 2, 0, 1, 2, 3]
    assert "".join(row["symbol"] for row in rows) == "OCCCCON"
    assert rows[0] == {
        "molecule": 0,
        "name": "",
        "smiles": "CCO",
        "atom": 0,
        "symbol": "O",
        "score": 0.25,
    }
    assert {row["name"] for row in rows[3:]} == {"acetamide"}
    assert read_csv(tmp_path / "scores.csv") == [
        {key: str(value) for key, value in row.items()} for row in rows
    ]


@pytest.mark.parametrize("known", [0, 1])
def test_errors_of_some_molecules_stay_in_their_column(known, tmp_path):
    errors = [None, None]
    errors[known] = np.abs(SCORES[known]) / 2
    path = tmp_path / "scores.csv"
    rows = atom_table(SCORES, SMILES, path, errors=errors, groups=functional_groups)
    assert len({tuple(row) for row in rows}) == 1
    for row, written in zip(rows, read_csv(path)):
        expected = abs(row["score"]) / 2 if row["molecule"] == known else None
        assert row["error"] == expected
        assert written["error"] == ("" if expected is None else str(expected))
        assert written["group"] == row["group"]


def test_padding_errors_names_and_groups(tmp_path):
    padded = np.full((2, 5), np.nan)
    for row, scores in zip(padded, SCORES):
        row[: len(scores)] = scores
    rows = atom_table(
        padded,
        SMILES,
        tmp_path / "scores",
        errors=np.abs(padded) / 2,
        groups=functional_groups,
        names=["エタノール", "b, c"],
    )
    assert [row["error"] for row in rows[:3]] == [0.125, 0.5, 1.0]
    assert [row["group"] for row in rows] == [
        *("alcohol", "other", "other"),
        *("other", "amide", "amide", "amide"),
    ]
    assert rows[0]["smiles"] == "OCC"  # the one given, whose order atoms are in
    assert read_csv(tmp_path / "scores.csv")[0]["name"] == "エタノール"
    assert read_csv(tmp_path / "scores.csv")[-1]["name"] == "b, c"


def test_groups_add_up_to_their_atoms(tmp_path):
    path = tmp_path / "groups.csv"
    for groups in (functional_groups, brics_fragments):
        rows = group_table(SCORES, SMILES, path, groups=groups)
        for i, scores in enumerate(SCORES):
            of_molecule = [row for row in rows if row["molecule"] == i]
            assert sum(row["score"] for row in of_molecule) == pytest.approx(
                sum(scores)
            )
            assert sum(row["n_atom"] for row in of_molecule) == len(scores)
    rows = group_table(SCORES, SMILES, path)
    assert rows[-1]["group"] == "amide"
    assert rows[-1]["atoms"] == (1, 2, 3)
    assert rows[-1]["score"] == 5.5
    assert read_csv(path)[-1]["atoms"] == "1 2 3"


def test_a_table_becomes_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(atom_table(SCORES, SMILES))
    assert frame.groupby("molecule").score.sum().tolist() == [1.25, 6.5]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mols": "CCO"}, TypeError, r"for one molecule pass \[scores\] and \[mol\]"),
        ({"mols": []}, ValueError, "mols is empty"),
        ({"mols": ["CCO", 3]}, TypeError, "mol must be an rdkit.Chem.Mol, got int"),
        ({"mols": ["CCO", "C("]}, ValueError, r"smiles='C\(' cannot be read"),
        ({"scores": SCORES[:1]}, ValueError, "scores must hold one for each of the 2"),
        ({"scores": [[1, 2], SCORES[1]]}, ValueError, r"scores\[0\] must have a score"),
        (
            {"scores": [[1, 2, np.inf], SCORES[1]]},
            ValueError,
            r"scores\[0\] must be fin",
        ),
        (
            {"errors": [[1, 1, -1], SCORES[1]]},
            ValueError,
            r"errors\[0\] must be finite",
        ),
        ({"names": ["a"]}, ValueError, "names must hold one for each of the 2"),
        ({"save_filepath": "x.txt"}, ValueError, "supported formats: csv"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        atom_table(**{"scores": SCORES, "mols": SMILES, **arguments})


# --- SDF --------------------------------------------------------------------------


def records() -> list[str]:
    """Two molecules with names and coordinates; one is drawn on a line."""
    found = []
    for name, smiles in (("line", "CCCC"), ("エタノール", "CCO")):
        mol = Chem.MolFromSmiles(smiles)
        rdDepictor.Compute2DCoords(mol)
        if name == "line":
            for i in range(4):
                mol.GetConformer().SetAtomPosition(i, (1.5 * i, 0.0, 0.0))
        mol.SetProp("_Name", name)
        found.append(Chem.MolToMolBlock(mol) + "> <logP>\n1.5\n\n$$$$\n")
    return found


FIVE_BONDS = """five bonds


  6  5  0  0  0  0            999 V2000
""" + "".join(
    [
        *["    0.0000    0.0000    0.0000 C   0  0\n"] * 6,
        *[f"  1  {i}  1  0\n" for i in range(2, 7)],
        "M  END\n$$$$\n",
    ]
)


def test_molecules_of_a_file_have_their_names_data_and_places(tmp_path):
    path = tmp_path / "x.sdf"
    path.write_text("".join(records()), encoding="utf-8")
    packed = tmp_path / "x.sdf.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for one in (path, str(path), packed):
        mols = read_sdf(one)
        assert [mol.GetProp("_Name") for mol in mols] == ["line", "エタノール"]
        assert mols[0].GetProp("logP") == "1.5"
    svg = MolVisualizer().visualize(np.ones(4), mols[0])
    assert np.ptp([position(svg, i)[0] for i in range(4)]) <= 1
    (row, *_) = atom_table([np.ones(4), np.ones(3)], mols)
    assert row["name"] == "line"


def test_hydrogens_of_a_file_are_atoms_on_request(tmp_path):
    path = tmp_path / "x.sdf"
    mol = Chem.AddHs(Chem.MolFromSmiles("CO"))
    path.write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
    assert read_sdf(path)[0].GetNumAtoms() == 2
    assert read_sdf(path, remove_hs=False)[0].GetNumAtoms() == 6


def test_a_broken_record_is_named_with_the_reason(tmp_path, capfd):
    path = tmp_path / "x.sdf"
    first, second = records()
    path.write_text(first + FIVE_BONDS + "garbage\n\n\nno counts\n$$$$\n" + second)
    expected = r"record 2 \('five bonds'\) is no valid molecule: .*valence.*C.*5"
    with pytest.raises(ValueError, match=expected + ".*; 1 more cannot be read"):
        read_sdf(path)
    with pytest.warns(UserWarning, match="left out 2 of 4 records; first " + expected):
        mols = read_sdf(path, skip_broken=True)
    assert [mol.GetNumAtoms() for mol in mols] == [4, 3]
    assert capfd.readouterr().err == ""  # RDKit's own lines are in the message


def test_files_without_molecules(tmp_path):
    path = tmp_path / "x.sdf"
    path.write_text("garbage\n\n\nno counts\n$$$$\n")
    with pytest.raises(
        ValueError, match=r"record 1 \('garbage'\) is no molecule in the"
    ):
        read_sdf(path)
    with pytest.raises(ValueError, match="has no molecule that RDKit can read"):
        read_sdf(path, skip_broken=True)
    path.write_text("")
    with pytest.raises(ValueError, match="has no molecule that RDKit can read"):
        read_sdf(path)
    with pytest.raises(OSError, match="nothing"):
        read_sdf(tmp_path / "nothing.sdf")
    with pytest.raises(ValueError, match="remove_hs must be True or False"):
        read_sdf(path, remove_hs="no")
