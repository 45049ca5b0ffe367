"""Of large molecules, the surroundings of the strongest atoms are drawn."""

from __future__ import annotations

import time
from xml.etree import ElementTree

import numpy as np
import pytest

Chem = pytest.importorskip("rdkit.Chem")

from saliency.visualizer.mol_visualizer import (  # noqa: E402
    MolVisualizer,
    SmilesVisualizer,
)
from saliency.visualizer.molecules.cells import compute_cell  # noqa: E402
from saliency.visualizer.molecules.parts import strongest_part  # noqa: E402

visualizer = MolVisualizer()


def part_of(smiles: str, strong: dict[int, float], max_atoms: int):
    mol = Chem.MolFromSmiles(smiles)
    scores = np.zeros(mol.GetNumAtoms())
    scores[list(strong)] = list(strong.values())
    return strongest_part(mol, scores, max_atoms, 1.0)


def smiles_of(part) -> list[str]:
    """Returns the fragments as RDKit writes them, with ``*`` for what is cut off."""
    return sorted(Chem.MolToSmiles(part.mol).split("."))


def test_a_molecule_that_is_small_enough_is_whole():
    part = part_of("CCO", {0: 1.0}, 3)
    assert part.atoms.tolist() == [0, 1, 2]
    assert part.n_left_out == 0
    assert smiles_of(part) == ["CCO"]


def test_what_is_within_two_bonds_is_drawn():
    part = part_of("CCCCCCCNCCCCCCC", {7: -1.0}, 5)
    assert part.atoms.tolist() == [5, 6, 7, 8, 9]
    assert part.n_left_out == 10
    assert smiles_of(part) == ["*CCNCC*"]


def test_the_strongest_come_first_as_far_as_there_is_room():
    chain = "C" * 40
    part = part_of(chain, {10: 1.0, 20: -3.0, 30: 2.0}, 10)
    assert part.atoms.tolist() == [18, 19, 20, 21, 22, 28, 29, 30, 31, 32]
    assert smiles_of(part) == ["*CCCCC*", "*CCCCC*"]


def test_pieces_that_meet_are_one():
    part = part_of("C" * 40, {10: 1.0, 14: 2.0}, 9)
    assert part.atoms.tolist() == list(range(8, 17))
    assert smiles_of(part) == ["*CCCCCCCCC*"]


def test_small_rings_are_whole():
    part = part_of("CCCCCCCc1ccccc1CCCCCCCCC", {7: 1.0}, 12)
    assert set(range(7, 13)) <= set(part.atoms.tolist())
    assert smiles_of(part)[0].count("=") == 3  # as bonds, of which parts can be cut


def test_ends_are_not_cut_off():
    """The oxygen is three bonds away: a bond to it would not tell which atom it is."""
    part = part_of("C" * 9 + "C(=O)N" + "C" * 9, {7: 1.0}, 9)
    assert smiles_of(part) == ["*CCC", "*CCCCC(*)=O"]


def test_hydrogens_are_those_of_the_whole():
    """The cut nitrogen is NH, as in the amide, and no NH2."""
    part = part_of("CCCCCC(=O)NCCCCCC", {5: 1.0}, 7)
    nitrogens = [a for a in part.mol.GetAtoms() if a.GetSymbol() == "N"]
    assert [atom.GetTotalNumHs() for atom in nitrogens] == [1]


def test_a_strong_atom_with_too_much_around_it_is_drawn_alone():
    part = part_of("CC(C)(C)CC", {1: 3.0, 5: 2.0}, 1)
    assert part.atoms.tolist() == [1]
    assert part.n_left_out == 5


def test_own_coordinates_are_kept():
    mol = Chem.MolFromSmiles("C" * 30)
    Chem.rdDepictor.Compute2DCoords(mol)
    whole = mol.GetConformer().GetPositions()
    scores = np.eye(30)[15]
    part = strongest_part(mol, scores, 5, 1.0)
    drawn = part.mol.GetConformer().GetPositions()
    np.testing.assert_array_equal(part.atoms, range(13, 18))
    np.testing.assert_allclose(drawn[:5], whole[13:18], atol=1e-6)
    # The dummies are where the first atoms that are left out were.
    np.testing.assert_allclose(drawn[5:], whole[[12, 18]], atol=1e-6)


def test_pieces_do_not_overlap_and_fill_the_picture():
    part = part_of("C" * 400, {i: 1.0 + i for i in range(5, 400, 20)}, 100)
    fragments = Chem.GetMolFrags(part.mol)
    assert len(fragments) == 20
    positions = part.mol.GetConformer().GetPositions()[:, :2]
    boxes = [
        (positions[list(f)].min(axis=0), positions[list(f)].max(axis=0))
        for f in fragments
    ]
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            assert (high < other_low).any() or (other_high < low).any()
    width, height = np.ptp(positions, axis=0)
    assert 0.5 < width / height < 2


def test_the_molecule_is_not_changed():
    mol = Chem.MolFromSmiles("c1ccccc1" * 5)
    before = mol.ToBinary(), Chem.MolToSmiles(mol)
    strongest_part(mol, np.arange(30.0), 12, 1.0)
    assert (mol.ToBinary(), Chem.MolToSmiles(mol)) == before


def test_scores_errors_and_limits_are_those_of_the_atoms():
    scores = np.zeros(30)
    scores[[4, 20]] = 2.0, 1.0
    errors = np.zeros(30)
    errors[20] = 1.5
    mol = Chem.MolFromSmiles("C" * 30)
    arguments = scores, mol, 0.1, lambda s: 10 * s, "a legend", errors
    cell = compute_cell(*arguments, 10, (500, 375))
    assert cell.scores.tolist() == [0, 0, 20, 0, 0, 0, 0, 10, 0, 0]
    assert cell.is_uncertain[7]
    assert cell.is_shown[[2, 7]].all()
    assert len(cell.all_scores) == 30
    assert cell.legend == "a legend\nand 20 more atoms"


@pytest.mark.parametrize("mode", ["highlight", "contour"])
@pytest.mark.large
def test_three_thousand_atoms_are_drawn_in_seconds(mode, tmp_path):
    mol = Chem.MolFromSmiles("C1CCCCC1" * 500)
    scores = np.random.default_rng(0).standard_normal(3000)
    start = time.perf_counter()
    svg = visualizer.visualize(scores, mol, tmp_path / "x.png", mode=mode)
    assert time.perf_counter() - start < 60  # two seconds, where nothing else runs
    title = next(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title"))
    n_left_out = int(title.text.split()[1].replace(",", ""))
    assert title.text == f"and {n_left_out:,} more atoms"
    assert 2700 <= n_left_out <= 2730


def test_all_are_drawn_on_request():
    svg = SmilesVisualizer().visualize(np.ones(310), "C" * 310, max_atoms=-1)
    assert "more atoms" not in svg
    assert "atom-309" in svg


def test_each_molecule_of_a_grid():
    rows = {"a": [np.ones(3), np.ones(40)], "b": [np.ones(3), np.arange(40.0)]}
    svg = SmilesVisualizer().visualize_grid(rows, ["CCO", "C" * 40], max_atoms=10)
    title = next(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title"))
    assert title.text.startswith("a; b; and ")
    assert title.text.count(" more atoms") == 2


@pytest.mark.parametrize("max_atoms", [0, -2, 1.5, None, True, "all"])
def test_a_number_of_atoms_that_is_none(max_atoms):
    with pytest.raises(ValueError, match=r"max_atoms must be -1 \(all\) or an int"):
        SmilesVisualizer().visualize(np.ones(3), "CCO", max_atoms=max_atoms)
