"""Groups of atoms: every atom in exactly one, and the sums of their scores."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit", reason="RDKit is not installed (extra 'molecule')")
from rdkit import Chem, RDConfig
from rdkit.Chem import BRICS, Fragments

from saliency import (
    FUNCTIONAL_GROUPS,
    AtomGroup,
    MolVisualizer,
    SmilesVisualizer,
    atom_color,
    brics_fragments,
    functional_groups,
    ring_systems,
)
from tests.visualizer.test_mol_visualizer import as_hex, atoms, bonds, elements

ASPIRIN = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
GROUPINGS = [functional_groups, brics_fragments, ring_systems]


def nci(n: int) -> list[Chem.Mol]:
    path = Path(RDConfig.RDDataDir, "NCI", "first_5K.smi")
    if not path.exists():
        pytest.skip("this RDKit comes without its data")
    lines = path.read_text(encoding="utf-8").splitlines()
    mols = [Chem.MolFromSmiles(line.split()[0]) for line in lines[: 3 * n] if line]
    return [mol for mol in mols if mol is not None and mol.GetNumAtoms()][:n]


def names_of(grouping, smiles: str) -> list[str]:
    return [group.name for group in grouping(Chem.MolFromSmiles(smiles))]


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_every_atom_is_in_exactly_one_group(grouping):
    for mol in [*nci(100), Chem.AddHs(ASPIRIN), Chem.MolFromSmiles("[H][H].[Na+]")]:
        groups = grouping(mol)
        found = [atom for group in groups for atom in group.atoms]
        assert sorted(found) == list(range(mol.GetNumAtoms()))
        assert [list(g.atoms) for g in groups] == sorted(
            sorted(g.atoms) for g in groups
        )


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_explicit_hydrogens_go_with_their_atoms(grouping):
    with_hydrogens = Chem.AddHs(ASPIRIN)
    n_atom = ASPIRIN.GetNumAtoms()
    groups = grouping(with_hydrogens)
    heavy = [(g.name, tuple(i for i in g.atoms if i < n_atom)) for g in groups]
    assert heavy == [tuple(group) for group in grouping(ASPIRIN)]
    for group in groups:
        for i in group.atoms[n_atom:]:
            (neighbour,) = with_hydrogens.GetAtomWithIdx(i).GetNeighbors()
            assert neighbour.GetIdx() in group.atoms


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        (
            "CC(=O)Oc1ccccc1C(=O)O",
            ["other", "ester", "aromatic ring", "carboxylic acid"],
        ),
        ("NC(=O)NCC(=O)NC", ["urea", "other", "amide", "other"]),
        ("O=C1C=CC(=O)C=C1", ["ketone", "alkene", "ketone", "alkene"]),
        ("NCC(=O)OC(C)=O", ["amine", "other", "anhydride", "other"]),
        ("CS(=O)(=O)N", ["other", "sulfonamide"]),
        ("[Na+].[Cl-]", ["other", "other"]),
        ("CC#CCS", ["other", "alkyne", "other", "thiol"]),
        ("c1ccc2ccccc2c1", ["aromatic ring"]),  # fused: one
        ("c1ccccc1-c1ccccc1", ["aromatic ring", "aromatic ring"]),
        ("CCC.CC", ["other", "other"]),
    ],
)
def test_functional_groups(smiles, expected):
    assert names_of(functional_groups, smiles) == expected


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("nitro", Fragments.fr_nitro),
        ("nitrile", Fragments.fr_nitrile),
        ("halogen", Fragments.fr_halogen),
        ("carboxylic acid", Fragments.fr_COO2),
    ],
)
def test_functional_groups_are_as_many_as_rdkit_counts(name, count):
    mols = [mol for mol in nci(300) if "." not in Chem.MolToSmiles(mol)]
    mols = [mol for mol in mols if count(mol)]
    assert len(mols) > 3
    for mol in mols:
        assert [g.name for g in functional_groups(mol)].count(name) == count(mol)


def test_of_patterns_that_overlap_the_first_has_the_atoms():
    mol = Chem.MolFromSmiles("CC(=O)N")
    carbonyl_first = {"carbonyl": "C=O", "amide": "C(=O)N"}
    assert functional_groups(mol, carbonyl_first) == [
        AtomGroup("other", (0,)),
        AtomGroup("carbonyl", (1, 2)),
        AtomGroup("other", (3,)),
    ]
    amide_first = {"amide": "C(=O)N", "carbonyl": "C=O"}
    assert functional_groups(mol, amide_first) == [
        AtomGroup("other", (0,)),
        AtomGroup("amide", (1, 2, 3)),
    ]


def test_a_pattern_that_cannot_be_read():
    with pytest.raises(ValueError, match=r"smarts\['mine'\]='C\(' cannot be read"):
        functional_groups(ASPIRIN, {"mine": "C("})
    with pytest.raises(TypeError, match="Mol, got str"):
        functional_groups("CCO")
    assert all(Chem.MolFromSmarts(smarts) for smarts in FUNCTIONAL_GROUPS.values())


def test_fragments_are_those_that_rdkit_breaks_a_molecule_into():
    for mol in [ASPIRIN, *nci(60)]:
        broken = BRICS.BreakBRICSBonds(mol)
        pieces = [
            {i for i in piece if i < mol.GetNumAtoms()}  # without the ends of the cuts
            for piece in Chem.GetMolFrags(broken)
        ]
        found = brics_fragments(mol)
        assert sorted(map(sorted, pieces)) == [list(group.atoms) for group in found]
    names = [group.name for group in brics_fragments(ASPIRIN)]
    assert names == ["CC=O", "O", "c1ccccc1", "O=CO"]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCCC", ["other"]),
        ("Cc1ccccc1", ["other", "c1ccccc1"]),
        ("c1ccc2ccccc2c1", ["c1ccc2ccccc2c1"]),  # fused
        ("C1CC12CC2", ["C1CC12CC2"]),  # spiro
        ("C1CC1CC1CC1", ["C1CC1", "other", "C1CC1"]),
        ("C1CC2CC1CC2", ["C1CC2CCC1C2"]),  # bridged
    ],
)
def test_ring_systems(smiles, expected):
    assert names_of(ring_systems, smiles) == expected


# --- pictures ---------------------------------------------------------------------

SCORES = np.array([0.5, -0.2, -0.9, -0.4, 0.1, 1, 1, 1, 1, 0, -0.2, -0.9, -0.4])


def test_a_group_has_the_colour_of_its_sum():
    svg = MolVisualizer().visualize(SCORES, ASPIRIN, groups=functional_groups)
    groups = functional_groups(ASPIRIN)
    sums = {group: SCORES[list(group.atoms)].sum() for group in groups}
    limit = max(map(abs, sums.values()))
    colors = {i: as_hex(atom_color(sums[g] / limit)) for g in groups for i in g.atoms}
    assert dict(atoms(svg)) == colors
    group_of = {i: group for group in groups for i in group.atoms}
    for bond in ASPIRIN.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        is_within = group_of[ends[0]] is group_of[ends[1]]
        color = colors[ends[0]] if is_within else None
        assert bonds(svg).get(bond.GetIdx()) == color


def test_the_sum_is_written_beside_each_group(monkeypatch):
    written = []
    monkeypatch.setattr(
        Chem.Atom, "SetProp", lambda *args, **_: written.append(args[1:]), raising=True
    )
    MolVisualizer().visualize(SCORES, ASPIRIN, groups=ring_systems)
    assert written == [
        ("atomNote", f"{x:+.2g}") for x in (SCORES[:4].sum(), 4.1, SCORES[10:].sum())
    ]
    svg = MolVisualizer().visualize(SCORES, ASPIRIN, groups=ring_systems)
    assert not [e for e in elements(svg, "path") if e.get("class") == "note"]
    monkeypatch.undo()
    svg = MolVisualizer().visualize(SCORES, ASPIRIN, groups=ring_systems)
    assert [e for e in elements(svg, "path") if e.get("class") == "note"]


def test_the_ratio_is_a_share_of_the_groups():
    how = {"groups": ring_systems, "visualize_ratio": 1 / 3}
    svg = MolVisualizer().visualize(SCORES, ASPIRIN, **how)
    assert [i for i, _ in atoms(svg)] == [4, 5, 6, 7, 8, 9]  # 4.1 is the strongest


def test_groups_of_a_grid_and_of_smiles():
    mine = partial(functional_groups, smarts={"carbonyl": "C=O"})
    one = SmilesVisualizer().visualize([1, -2, 3], "CC=O", groups=mine)
    assert [color for _, color in atoms(one)] == [
        as_hex(atom_color(x)) for x in (1, 1, 1)
    ]
    svg = SmilesVisualizer().visualize_grid(
        {"a": [[1, -2, 3], [4, 0]], "b": [[0, 0, -1], [1, 1]]},
        ["CC=O", "CC"],
        groups=mine,
    )
    assert len(atoms(svg)) == 10


def test_large_molecules_keep_the_sums_of_whole_groups():
    mol = Chem.MolFromSmiles("C" * 60 + "C(=O)O")
    scores = np.r_[np.full(60, 0.1), 1.0, 2.0, 3.0]
    svg = MolVisualizer().visualize(scores, mol, groups=functional_groups, max_atoms=20)
    assert len(set(atoms(svg))) >= 10
    assert "more atoms" in svg


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ("rings", TypeError, "groups must be callable, got 'rings'"),
        (lambda mol: [("a", [0, 1])], ValueError, "each of the 3 atoms in exactly one"),
        (lambda mol: [("a", [0, 1, 2]), ("b", [2])], ValueError, "exactly one"),
        (lambda mol: [("a", [0, 1, 3])], ValueError, r"got the atoms \[0, 1, 3\]"),
    ],
)
def test_groups_that_are_none(groups, error, message):
    with pytest.raises(error, match=message):
        SmilesVisualizer().visualize([1, 2, 3], "CCO", groups=groups)


def test_errors_of_atoms_are_not_those_of_groups():
    with pytest.raises(ValueError, match="leave out errors or groups"):
        SmilesVisualizer().visualize(
            [1, 2, 3], "CCO", errors=[1, 1, 1], groups=ring_systems
        )
