"""The content of pictures of molecules, without drawing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

pytest.importorskip("rdkit", reason="RDKit is not installed (extra 'molecule')")
from rdkit import Chem

from saliency import abs_max_scaler
from saliency.visualizer.grids import with_limits
from saliency.visualizer.molecules.cells import GREY, compute_cell, compute_cells

MOL = Chem.MolFromSmiles("CCO")


def grey_level(score: float) -> tuple[float, float, float]:
    return (score, score, score)


def compute(saliency, ratio=1.0, scaler=None, errors=None, mol=MOL):
    return compute_cell(saliency, mol, ratio, scaler, "", errors, -1, (500, 375))


def test_colours_are_of_scores_divided_by_the_limit():
    cell = compute([1.0, -2.0, 4.0])._replace(limit=4.0)
    atoms, bonds = cell.colors(grey_level, "highlight")
    assert atoms == {0: (0.25,) * 3, 1: (-0.5,) * 3, 2: (1.0,) * 3}
    # Of the weaker end; of 0 where the ends have different signs.
    assert bonds == {0: (0.0,) * 3, 1: (0.0,) * 3}
    cell = compute([-3.0, -2.0, -4.0])._replace(limit=4.0)
    assert cell.colors(grey_level, "highlight")[1] == {0: (-0.5,) * 3, 1: (-0.5,) * 3}


def test_atoms_that_are_not_shown_have_no_colour():
    cell = compute([1.0, -2.0, 4.0], ratio=2 / 3)
    assert_array_equal(cell.is_shown, [False, True, True])
    atoms, bonds = cell.colors(grey_level, "highlight")
    assert (list(atoms), list(bonds)) == ([1, 2], [1])


def test_uncertain_atoms_are_grey_and_not_on_the_plane():
    cell = compute([1.0, -2.0, 4.0], errors=[1.0, 3.0, 0.5, np.nan])
    atoms, bonds = cell.colors(grey_level, "highlight")
    assert (atoms[0], atoms[1], atoms[2]) == (GREY, GREY, (4.0,) * 3)
    assert bonds == {0: GREY}
    assert_array_equal(cell.on_plane, [False, False, True])
    assert cell.colors(grey_level, "contour") == ({0: GREY, 1: GREY}, {0: GREY})


def test_the_scaler_is_for_the_scores_and_not_for_the_choice_of_atoms():
    cell = compute([1.0, -2.0, 4.0, np.nan], ratio=1 / 3, scaler=lambda x: 1 / x)
    assert_array_equal(cell.scores, [1, -0.5, 0.25])
    assert_array_equal(cell.is_shown, [False, False, True])
    assert_array_equal(
        compute([1, -2, 4], scaler=abs_max_scaler).scores, [0.25, -0.5, 1]
    )


@pytest.mark.parametrize(
    ("scale", "limits"),
    [
        ("separate", [[3, 6], [10, 1]]),
        ("row", [[6, 6], [10, 10]]),
        ("column", [[10, 6], [10, 6]]),
        ("all", [[10, 10], [10, 10]]),
    ],
)
def test_limits_of_cells_that_share_a_scale(scale, limits):
    saliency = {"a": [[1, 2, 3], [10, 0, 0]], "b": [[0, 0, -6], [0, 0, 0]]}
    rows = compute_cells(
        *(saliency, [MOL, MOL], ["a", "b"], 1.0, None, None, None, -1, (250, 200))
    )
    found = [[cell.limit for cell in row] for row in with_limits(rows, scale, 100)]
    assert found == limits


def test_the_molecule_is_copied():
    cell = compute([1.0, -2.0, 4.0])
    assert cell.mol.GetNumConformers() == 1
    assert MOL.GetNumConformers() == 0
