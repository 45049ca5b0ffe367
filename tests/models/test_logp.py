"""The network for logP that comes with the package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency

import chainer

chem = pytest.importorskip("rdkit.Chem")


def test_the_global_random_state_stays() -> None:
    before = np.random.get_state()[1].tolist()
    saliency.load_logp_network()
    assert np.random.get_state()[1].tolist() == before


def test_its_logp_is_that_of_crippen() -> None:
    from rdkit.Chem import Crippen

    model = saliency.load_logp_network()
    smiles = ["CCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O", "CCCCCC", "Clc1ccccc1"]
    graphs = [model.prepare(one) for one in smiles]
    with chainer.using_config("train", False):
        found = model(*model.converter(graphs)).array
    expected = [Crippen.MolLogP(chem.MolFromSmiles(one)) for one in smiles]
    np.testing.assert_allclose(found[:, 0], expected, atol=0.5)


def test_smiles_and_molecules_are_the_same_to_it() -> None:
    model = saliency.load_logp_network()
    of_text = model.prepare("CC#N")
    of_molecule = model.prepare(chem.MolFromSmiles("CC#N"))
    for a, b in zip(of_text, of_molecule):
        np.testing.assert_array_equal(a, b)
    assert of_text[0].tolist() == [5 * 6 + 3, 5 * 6, 5 * 7]
    with pytest.raises(ValueError, match="molecule='C1CC' cannot be read by RDKit"):
        model.prepare("C1CC")


def test_molecules_in_another_form_than_it_has_learned() -> None:
    """Each has other atoms or bonds than the same molecule as a SMILES."""
    model = saliency.load_logp_network()
    phenol = chem.MolFromSmiles("Oc1ccccc1")
    with pytest.raises(ValueError, match=r"got 6; pass Chem\.RemoveHs\(mol\)"):
        model.prepare(chem.AddHs(phenol))
    for clears_flags in (False, True):
        other = chem.Mol(phenol)
        chem.Kekulize(other, clearAromaticFlags=clears_flags)
        with pytest.raises(ValueError, match="mol must have aromatic bonds, got"):
            model.prepare(other)
    chem.SanitizeMol(other)
    for found, expected in zip(model.prepare(other), model.prepare("Oc1ccccc1")):
        np.testing.assert_array_equal(found, expected)
    broken = chem.MolFromSmiles("c1cccc1", sanitize=False)
    with pytest.raises(ValueError, match="cannot be sanitized by RDKit: Can't kekul"):
        model.prepare(broken)
    with pytest.raises(TypeError, match=r"a SMILES or an rdkit\.Chem\.Mol, got None"):
        model.prepare(None)


@pytest.mark.parametrize("smiles", ["[2H]C", "[H][H]", "[H+]", "N->[Cu]", "[Na+].[F-]"])
def test_hydrogens_that_a_smiles_keeps(smiles: str) -> None:
    model = saliency.load_logp_network()
    of_molecule = model.prepare(chem.MolFromSmiles(smiles))
    for found, expected in zip(of_molecule, model.prepare(smiles)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["list", "array", "series", "molecules"])
def test_molecules_have_to_be_prepared(name: str) -> None:
    smiles = ["CCO", "CC#N"]
    data: Any = {
        "list": lambda: smiles,
        "array": lambda: np.array(smiles),
        "series": lambda: pytest.importorskip("pandas").Series(smiles),
        "molecules": lambda: [chem.MolFromSmiles(one) for one in smiles],
    }[name]()
    model = saliency.load_logp_network()
    calculator = saliency.GradientCalculator(
        model, target_extractor=saliency.VariableMonitorLinkHook(model.embed)
    )
    with pytest.raises(TypeError, match=r"pass \[model\.prepare\(one\) for one"):
        calculator.compute(data)
    prepared = [model.prepare(one) for one in data]
    samples = calculator.compute(prepared, converter=model.converter)
    assert samples.shape[:3] == (1, 2, 3)
