"""Molecules with a functional group that decides about the class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.checks import check_at_least
from saliency.metrics.truths.molecules import is_in_match, padded, rdkit_module
from saliency.metrics.truths.training import outputs_of, trained
from saliency.metrics.truths.truth_set import (
    TruthSet,
    check_learned,
    check_seed,
    metrics_of_masks,
)
from saliency.models.ggnn import GGNN
from saliency.models.molecule_graphs import (
    N_UNITED_ATOM,
    Graph,
    concat_mols,
    to_graph,
)

import chainer.functions as F

#: What decides: a carboxylic acid, as a branch of SMILES and as a pattern.
GROUP, PATTERN = "C(=O)O", "[CX3](=O)[OX2H]"
#: What does not, with each of its parts: ketone, aldehyde, ester, amide, alcohol,
#: ether, amine, chloride, nitrile, phenyl.
DECOYS = (
    *("C(C)=O", "C=O", "C(=O)OC", "C(=O)N", "O", "OC", "N", "Cl", "C#N"),
    *("c1ccccc1",),
)
N_DECOY = 2  # in each molecule, beside the group or one more of them
SHORTEST, LONGEST = 5, 9  # chain of carbon
LEAST = 0.95  # for which share of held-out molecules the group has to decide


class PlantedMolecule(NamedTuple):
    """A molecule as SMILES with the group, and with a decoy in its place."""

    smiles: str
    without: str


def planted_substructures(
    n: int = 50, seed: int = 0, *, n_train: int = 500, n_epoch: int = 10
) -> TruthSet:
    """Return molecules with a functional group that decides, and a graph network.

    Chains of carbon with three branches at random places are generated. Those with a
    carboxylic acid are one class. All have other groups, which have all parts of the
    acid: ketones its C=O, alcohols its OH, esters both oxygens; a single atom does not
    tell. A small gated graph network learns the classes.

    Examples were held out, and have the acid; the network says that they do, and that
    they do not with a decoy in its place. The mask has the three heavy atoms of the
    acid. What an embedding of an atom says by itself and what its neighbours say is for
    the network to divide, so that a map that is right may be on some of the three.

    Args:
        n (int): Number of molecules.
        seed (int): One seed, one set.
        n_train (int): On how many pairs of molecules, with the acid and without, the
            network is trained.
        n_epoch (int): How often each is shown.

    Returns:
        TruthSet: Graphs, in which saliency is read at the embedding of atoms; its
        ``reference`` is the mean embedding of the atoms trained on. ``without`` has
        the graphs with a decoy in the place of the acid, and ``learned`` the share of
        held-out molecules for which the acid decides.

    Raises:
        ImportError: If RDKit is not installed.
        RuntimeError: If it is below 0.95, so that there is no truth.
        ValueError: If an argument is not allowed.
    """
    check_at_least("n", n, 1)
    check_seed(seed)
    check_at_least("n_train", n_train, 1)
    check_at_least("n_epoch", n_epoch, 1)
    rng = np.random.default_rng(seed)
    drawn = [drawn_molecule(rng) for _ in range(n_train + 2 * n + 100)]
    known, held_out = drawn[:n_train], _new(drawn[:n_train], drawn[n_train:])
    positive, negative = np.ones(1, np.int32), np.zeros(1, np.int32)
    examples = [
        (*_graph(smiles), t)
        for one in known
        for smiles, t in ((one.smiles, positive), (one.without, negative))
    ]
    model = trained(
        lambda: GGNN(n_kind=N_UNITED_ATOM, n_unit=16, dropout=0.1),
        examples,
        F.sigmoid_cross_entropy,
        n_epoch,
        seed,
        alpha=1e-2,
    )
    graphs, without = (
        [_graph(smiles) for smiles in column] for column in zip(*held_out)
    )
    said, said_without = (outputs_of(model, one)[:, 0] for one in (graphs, without))
    decides = (said > 0) & (said_without < 0)
    learned = float(decides.mean())
    check_learned("planted substructures", learned, LEAST)
    found = np.flatnonzero(decides)[:n].tolist()
    of_atoms = [_mask(held_out[i].smiles) for i in found]
    masks = padded(of_atoms, fill=0).astype(bool)
    return TruthSet(
        name="planted substructures",
        doc=(
            "Molecules that a graph network knows by their carboxylic acid, among "
            "other groups that have its parts."
        ),
        model=model,
        data=[graphs[i] for i in found],
        class_index=0,
        reference=_mean_embedding(model, examples),
        true_scores=padded(of_atoms),
        metrics=metrics_of_masks(masks),
        masks=masks,
        without=[without[i] for i in found],
        learned=learned,
        target_extractor=VariableMonitorLinkHook(model.embed),
        settings={"converter": concat_mols, "ch_axis": 3},
    )


def drawn_molecule(rng: Any) -> PlantedMolecule:
    """Return a molecule with the group, and the same one with a decoy in its place.

    Args:
        rng (numpy.random.Generator): Draws it.
    """
    n_carbon = int(rng.integers(SHORTEST, LONGEST, endpoint=True))
    places = rng.choice(np.arange(1, n_carbon - 1), N_DECOY + 1, replace=False)
    decoys = rng.choice(DECOYS, N_DECOY + 1).tolist()
    return PlantedMolecule(
        *(
            _chain(n_carbon, dict(zip(places.tolist(), [first, *decoys[1:]])))
            for first in (GROUP, decoys[0])
        )
    )


def _chain(n_carbon: int, branches: dict[int, str]) -> str:
    """Return the SMILES of a chain of carbon with branches at some of its atoms."""
    return "".join(
        f"C({branches[i]})" if i in branches else "C" for i in range(n_carbon)
    )


def _new(
    known: list[PlantedMolecule], drawn: list[PlantedMolecule]
) -> list[PlantedMolecule]:
    """Return those that are not known."""
    seen = {one.smiles for one in known}
    return [one for one in drawn if one.smiles not in seen]


def _graph(smiles: str) -> Graph:
    mol = rdkit_module("Chem").MolFromSmiles(smiles)
    return to_graph(mol, count_hydrogens=True)


def _mask(smiles: str) -> np.ndarray:
    """Return which atoms are those of the group."""
    chem = rdkit_module("Chem")
    return is_in_match(chem.MolFromSmiles(smiles), chem.MolFromSmarts(PATTERN))


def _mean_embedding(model: GGNN, examples: list[Any]) -> np.ndarray:
    """Return the mean embedding of the atoms of graphs, ``(n_unit,)``."""
    atoms = np.concatenate([atoms for atoms, *_ in examples])
    mean: np.ndarray = model.embed.W.array[atoms].mean(axis=0)
    return mean
