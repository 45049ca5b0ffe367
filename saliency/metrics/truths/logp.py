"""Molecules whose atoms are known to contribute to logP, and a trained network."""

from __future__ import annotations

from typing import Any

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.checks import check_at_least
from saliency.explanation.packages import imported
from saliency.metrics.truth_correlation import TruthCorrelation
from saliency.metrics.truths.molecules import (
    logp_contributions,
    nci_smiles,
    padded,
    read_smiles,
)
from saliency.metrics.truths.training import outputs_of
from saliency.metrics.truths.truth_set import (
    TruthSet,
    check_learned,
    check_seed,
)
from saliency.models.logp import load_logp_network
from saliency.models.molecule_graphs import N_UNITED_ATOM, concat_mols, to_graph

#: The R2 that the network has to have on molecules that it does not know.
LEAST = 0.9
#: The share of the molecules that was held out, and the seed of the split.
HELD_OUT = 0.1
SPLIT_SEED = 0
N_OF_MEAN = 500  # molecules over whose atoms the mean embedding is taken


def logp(n: int = 50, seed: int = 0, *, model: Any = None) -> TruthSet:
    """Return molecules with what their atoms contribute to logP, and a graph network.

    Crippen's logP is a sum over atoms, so that it is known what each contributes, and
    a network has learned to predict it: the one that comes with this package
    (:func:`saliency.load_logp_network`), or yours. Molecules are some that it was not
    trained on, of the NCI file that comes with RDKit; those whose atoms all contribute
    the same are left out, since they have no order that could be found.

    The contributions are those of what the network has learned to predict, not of the
    network: as far as it predicts logP well, an explanation of it should find them, and
    there may be a way to predict it that divides it among the atoms in another way.
    They are of no reference, and are compared by their ranks within a molecule.

    Args:
        n (int): Number of molecules.
        seed (int): Of the choice among those that were held out.
        model (chainer.Chain or None): A network with a link ``embed``, of the atoms and
            the adjacency of ``to_graph(mol, count_hydrogens=True)``; on the CPU.

    Returns:
        TruthSet: Saliency is read at the embedding of atoms; its ``reference`` is the
        mean embedding of the atoms of 500 molecules that it may have been trained on.
        ``learned`` is the R2 on the molecules that were held out.

    Raises:
        FileNotFoundError: If this RDKit comes without its data.
        ImportError: If RDKit or scikit-learn is not installed.
        RuntimeError: If the R2 is below 0.9, so that there is no truth.
        ValueError: If an argument is not allowed.
    """
    check_at_least("n", n, 1)
    check_seed(seed)
    split = imported("sklearn.model_selection", "logp").train_test_split
    mols = read_smiles(nci_smiles()).mols
    known, held_out = split(
        np.arange(len(mols)), test_size=HELD_OUT, random_state=SPLIT_SEED
    )
    if model is None:
        model = load_logp_network()
    graphs = {i: to_graph(mols[i], count_hydrogens=True) for i in held_out.tolist()}
    truth = {i: logp_contributions(mols[i]) for i in graphs}
    predicted = outputs_of(model, [*graphs.values()])[:, 0]
    learned = _r2(predicted, np.array([one.sum() for one in truth.values()]))
    check_learned("logP", learned, LEAST)
    ordered = [i for i, one in truth.items() if np.ptp(one) > 1e-9]
    if n > len(ordered):
        raise ValueError(f"n must be at most {len(ordered)}, got {n}")
    chosen = np.random.default_rng(seed).permutation(ordered)[:n].tolist()
    contributions = padded([truth[i] for i in chosen])
    return TruthSet(
        name="logP",
        doc=(
            "Molecules, and what each atom contributes to Crippen's logP, which a "
            "graph network has learned to predict."
        ),
        model=model,
        data=[graphs[i] for i in chosen],
        class_index=0,
        reference=_mean_embedding(model, [mols[i] for i in known[:N_OF_MEAN].tolist()]),
        true_scores=contributions,
        metrics={"truth correlation": TruthCorrelation(contributions=contributions)},
        learned=learned,
        target_extractor=VariableMonitorLinkHook(model.embed),
        settings={"converter": concat_mols, "ch_axis": 3},
    )


def _r2(predicted: np.ndarray, true: np.ndarray) -> float:
    missed = ((predicted - true) ** 2).sum()
    return float(1 - missed / ((true - true.mean()) ** 2).sum())


def _mean_embedding(model: Any, mols: list[Any]) -> np.ndarray:
    """Return the mean embedding of the atoms of molecules, ``(n_unit,)``."""
    atoms = np.concatenate([to_graph(mol, count_hydrogens=True)[0] for mol in mols])
    counts = np.bincount(atoms, minlength=N_UNITED_ATOM)
    mean: np.ndarray = (counts / counts.sum()) @ model.embed.W.array[: len(counts)]
    return mean.astype(model.embed.W.dtype)
