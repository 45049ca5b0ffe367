"""Scores of atoms: their order, padding, what they add up to; the measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from sklearn.metrics import average_precision_score

from saliency import GradientCalculator, VariableMonitorLinkHook, cut_to_lengths
from tests.molecule.example import (
    SMILES,
    ggnn,
    logp,
    methods,
    molecules,
    nfp,
    solubility,
    substructure,
)
from tests.networks import build

import chainer
import chainer.functions as F

MOLS = [Chem.MolFromSmiles(s) for s in SMILES]
GRAPHS = [molecules.to_graph(mol) for mol in MOLS]
MODELS = {
    "ggnn": build(ggnn.GGNN, n_unit=6, dropout=0.3),
    "nfp": build(nfp.NFP, n_unit=6, n_bit=8, dropout=0.3),
}
NAMES = list(methods.signed_calculators(MODELS["ggnn"], 0.1))
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_method = pytest.mark.parametrize("name", NAMES)


def scores_of(model, name, graphs, M=1, **how):
    calculator, _ = methods.signed_calculators(model, 0.1)[name]
    how = {"seed": 0, "show_progress": False, **how}
    return methods.atom_scores(calculator, graphs, M, **how)


@st.composite
def permuted_molecules(draw):
    """A molecule, and an order of its atoms."""
    mol = MOLS[draw(st.integers(0, len(MOLS) - 1))]
    return mol, draw(st.permutations(range(mol.GetNumAtoms())))


class TestOrder:
    @pytest.mark.large
    @every_model
    @pytest.mark.parametrize("name", [n for n in NAMES if n[:2] not in ("Sm", "Ba")])
    @given(case=permuted_molecules())
    @settings(max_examples=3)
    def test_permuting_atoms_permutes_scores_and_nothing_else(self, model, name, case):
        mol, order = case
        graph = molecules.to_graph(mol, count_hydrogens=False)
        other = molecules.to_graph(Chem.RenumberAtoms(mol, list(order)))
        # Another molecule makes both be padded.
        largest = max(GRAPHS, key=lambda g: len(g[0]))
        scores, _ = scores_of(model, name, [graph, largest])
        permuted, _ = scores_of(model, name, [other, largest])
        assert_allclose(permuted, scores[list(order)], rtol=1e-7, atol=1e-10)

    @every_model
    @pytest.mark.parametrize("name", ["SmoothGrad x input", "BayesGrad x input"])
    def test_it_does_on_average_over_noise_and_masks(self, model, name):
        mol = MOLS[0]
        order = np.random.default_rng(0).permutation(mol.GetNumAtoms()).tolist()
        calculator, _ = methods.signed_calculators(model, 0.1)[name]
        means, errors = [], []
        for one in (mol, Chem.RenumberAtoms(mol, order)):
            samples = calculator.compute(
                [molecules.to_graph(one)],
                600,
                batchsize=600,
                converter=molecules.concat_mols,
                seed=0,
                show_progress=False,
            )[:, 0].sum(axis=2)
            means.append(samples.mean(axis=0))
            errors.append(samples.std(axis=0) / np.sqrt(600))
        z = (means[1] - means[0][order]) / np.hypot(errors[1], errors[0][order])
        assert np.abs(z).max() < 4.5
        assert np.abs(means[0]).max() > 10 * errors[0].max()  # it would show


class TestPadding:
    @pytest.mark.large
    @pytest.mark.filterwarnings("ignore:all M=2 samples are equal")
    @every_model
    @every_method
    def test_a_molecule_has_the_scores_that_it_has_alone(self, model, name):
        together = scores_of(model, name, GRAPHS[:6], M=2, batchsize=4)
        assert [len(s) for s in together] == [mol.GetNumAtoms() for mol in MOLS[:6]]
        # Noise and masks go by the index in the data; here it is the first.
        alone = scores_of(model, name, [GRAPHS[0]], M=2)
        assert_allclose(together[0], alone[0], rtol=1e-6, atol=1e-9)
        assert np.isfinite(np.concatenate(together)).all()

    @every_method
    def test_padding_is_nan_and_a_true_zero_is_zero(self, name):
        """Carbon has no influence on a model that counts the others."""
        model = build(ggnn.GGNN, n_unit=4, n_step=0)
        model.embed.W.array[6] = 0.1  # as the baseline
        model.embed.W.array[8] = 1

        def count_others(atoms, adjacency):
            is_other = (atoms.array > 0) & (atoms.array != 6)
            return F.sum(model.embed(atoms), axis=2) * is_other

        calculator, _ = methods.signed_calculators(model, 0.1)[name]
        calculator.eval_fun = lambda *x: F.sum(count_others(*x), axis=1, keepdims=True)
        graphs = [molecules.to_graph(Chem.MolFromSmiles(s)) for s in ("CCO", "CO")]
        found = calculator.compute_aggregate(
            graphs,
            1,
            "raw",
            3,
            converter=molecules.concat_mols,
            seed=0,
            show_progress=False,
        )
        assert calculator.lengths.tolist() == [3, 2]
        assert np.isnan(found).tolist() == [[False] * 3, [False, False, True]]
        assert_allclose(found[:, 0], 0, atol=1e-12)
        assert (found[[0, 1], [2, 1]] > 0.3).all()
        of_molecules = cut_to_lengths(found, calculator.lengths)
        assert [len(s) for s in of_molecules] == [3, 2]

    def test_more_padding_changes_nothing(self):
        model = MODELS["ggnn"]
        hook = VariableMonitorLinkHook(model.embed)
        calculator = GradientCalculator(model, target_extractor=hook)

        def wide(batch, device):
            atoms, adjacency = molecules.concat_mols(batch, device)
            pad = [(0, 0), (0, 0), (0, 7), (0, 7)]
            return np.pad(atoms, pad[1:3]), np.pad(adjacency, pad)

        how = {"show_progress": False}
        expected = calculator.compute(GRAPHS, converter=molecules.concat_mols, **how)
        found = calculator.compute(GRAPHS, converter=wide, **how)
        n_atom = expected.shape[2]
        real = ~np.isnan(expected)
        assert_allclose(found[:, :, :n_atom][real], expected[real], rtol=1e-10)


class TestCutToLengths:
    @given(
        lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
        axis=st.sampled_from([1, 2]),
    )
    def test_is_what_a_loop_cuts(self, lengths, axis):
        shape = (3, len(lengths), 5, 2)[2 - axis :]
        saliency = np.arange(np.prod(shape)).reshape(shape)
        found = cut_to_lengths(saliency, np.array(lengths), axis)
        for i, n in enumerate(lengths):
            of_example = saliency[i] if axis == 1 else saliency[:, i]
            expected = of_example[:n] if axis == 1 else of_example[:, :n]
            assert_array_equal(found[i], expected)
            assert found[i].shape == expected.shape

    def test_without_lengths_all_is_kept(self):
        saliency = np.ones((2, 3))
        assert [len(s) for s in cut_to_lengths(saliency, None)] == [3, 3]

    @pytest.mark.parametrize(
        "lengths, axis, message",
        [
            ([1], 1, "lengths must hold one for each of the 2 examples, got 1"),
            ([1, 4], 1, r"lengths must be ints in 0..3, .* got \[1, 4\]"),
            ([1, -1], 1, r"lengths must be ints in 0..3, .* got \[1, -1\]"),
            ([1, 1.5], 1, "lengths must be ints"),
            ([1, 1], 2, r"axis must be an int in 1..1 .*shape \(2, 3\), got 2"),
            ([1, 1], 0, "axis must be an int in 1..1"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, lengths, axis, message):
        with pytest.raises(ValueError, match=message):
            cut_to_lengths(np.ones((2, 3)), lengths, axis)


class TestSolubility:
    @pytest.mark.large
    def test_scores_add_up_to_what_the_molecule_has_above_nothing(self):
        model = MODELS["ggnn"]
        scores = solubility.explain(model, GRAPHS, 64, 0)
        atoms, adjacency = molecules.concat_mols(GRAPHS)
        zero = np.zeros((*atoms.shape, 6))
        with chainer.using_config("train", False):
            y = model(atoms, adjacency).array[:, 0]
            y0 = model.from_embedding(zero, adjacency, atoms).array[:, 0]
        assert_allclose([s.sum() for s in scores], y - y0, rtol=1e-6)

    def test_groups(self, capsys):
        mols = [Chem.MolFromSmiles(s) for s in ("OCC", "CCC", "C1CC1O")]
        scores = [np.array(s) for s in ([3.0, 0, -1], [-2.0, -3, -1], [0, 0, 0, -2.0])]
        solubility.print_groups(mols, scores)
        rows = [r for r in capsys.readouterr().out.splitlines() if r.startswith("|")]
        # OH: 3 and -2. Chains: the CH3 of ethanol, which has carbon neighbours alone,
        # and propane; the atom at the O and those of the ring are not of a chain.
        assert rows[2].startswith("| O of OH groups | 2 | +0.500 |")
        assert rows[2].endswith("| 50% |")
        assert rows[3].startswith("| C of alkyl chains | 4 | -1.750 |")
        assert rows[3].endswith("| 0% |")


class TestMeasures:
    def test_rank_correlations(self):
        truth = [np.array([1.0, 2, 3]), np.array([3.0, 1, 2]), np.array([1.0, 1, 1])]
        scores = [np.array([0.1, 0.2, 9]), np.array([5.0, 5, 5]), np.array([1.0, 2, 3])]
        with pytest.warns(UserWarning, match="taken as 0 for 1 examples"):
            assert_allclose(logp.rank_correlations(scores, truth), [1, 0])
        assert_allclose(logp.rank_correlations([-scores[0]], truth[:1]), [-1])

    def test_random_scores_have_none(self):
        rng = np.random.default_rng(0)
        truth = [molecules.logp_contributions(mol) for mol in MOLS] * 40
        scores = [rng.standard_normal(len(t)) for t in truth]
        assert abs(logp.rank_correlations(scores, truth).mean()) < 0.08

    def test_the_truth_in_a_grid_is_of_legible_molecules_with_both_signs(self):
        both, one, small = np.linspace(-1, 1, 12), np.ones(15), np.array([-1.0, 1])
        truth = [np.linspace(-1, 1, 30), both, one, -one, small, both, both]
        assert logp.drawn_molecules(truth, 2).tolist() == [1, 5]

    @given(st.integers(0, 1000))
    @pytest.mark.large
    def test_precision_and_recall(self, seed):
        rng = np.random.default_rng(seed)
        truth = rng.random(50) < 0.3
        truth[:2] = True, False
        precision, area = substructure.precision_recall(truth, truth + 0.0)
        assert_allclose(precision, 1)
        assert area == 1
        found = rng.random(50)
        precision, area = substructure.precision_recall(truth, found)
        assert_allclose(area, average_precision_score(truth, found), rtol=1e-12)
        # Of the first n atoms, how many are true, and which share of all those is it?
        n_true = truth[np.argsort(-found)].cumsum()
        share, recall = n_true / np.arange(1, 51), n_true / n_true[-1]
        assert precision[0] == share.max() or precision[0] == 1  # none are all true
        for at, r in list(zip(precision, substructure.RECALL))[1:]:
            assert_allclose(at, share[recall >= r].max())

    def test_scores_of_the_methods_are_squares(self):
        scores = substructure.explain(MODELS["ggnn"], GRAPHS, 3, 0)
        hook = VariableMonitorLinkHook(MODELS["ggnn"].embed)
        calculator = GradientCalculator(MODELS["ggnn"], target_extractor=hook)
        samples = calculator.compute(
            GRAPHS, converter=molecules.concat_mols, show_progress=False
        )[0]
        for found, of_molecule, (atoms, _) in zip(
            scores["VanillaGrad"], samples, GRAPHS
        ):
            expected = (of_molecule[: len(atoms)] ** 2).sum(axis=1)
            assert_allclose(found, expected, rtol=1e-6)
        for name in ("SmoothGrad", "BayesGrad", "BayesSmoothGrad"):
            assert not np.allclose(scores[name][0], scores["VanillaGrad"][0], rtol=1e-3)


def test_the_mean_embedding_is_over_all_atoms():
    model = MODELS["nfp"]
    rows = [model.embed.W.array[a] for atoms, _ in GRAPHS for a in atoms]
    assert_allclose(methods.mean_embedding(model, GRAPHS), np.mean(rows, axis=0))


@pytest.mark.large
def test_slow_methods_have_a_score_for_each_atom():
    model = MODELS["ggnn"]
    background = methods.atom_embeddings(model, GRAPHS)
    scores = logp.explain(model, GRAPHS[:2], background, 2, 0, with_slow=True)
    slow = {"Shapley", "Shapley from zero", "LIME", "LIME from zero"}
    assert scores.keys() == {*NAMES, *slow, "Expected Gradients", "random"}
    for of_molecules in scores.values():
        assert [len(s) for s in of_molecules] == [len(atoms) for atoms, _ in GRAPHS[:2]]
        assert np.ptp(np.concatenate(of_molecules)) > 0


def test_networks_of_chainer_chemistry_can_be_explained():
    models = pytest.importorskip("chainer_chemistry.models")
    model = models.GGNN(out_dim=1, hidden_channels=6, n_update_layers=2)
    model(*molecules.concat_mols(GRAPHS))  # draws the first weights
    hook = VariableMonitorLinkHook(model.embed)
    calculator = GradientCalculator(model, target_extractor=hook)
    scores = methods.atom_scores(calculator, GRAPHS, show_progress=False)
    assert [len(s) for s in scores] == [mol.GetNumAtoms() for mol in MOLS]
    assert np.abs(np.concatenate(scores)).max() > 0
