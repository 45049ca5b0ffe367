"""The networks for logP: the one that comes along, and how others are trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from molecules import (
    N_UNITED_ATOM,
    Graph,
    logp_contributions,
    nci_molecules,
    split,
    to_graph,
)
from nfp import NFP
from rdkit import Chem
from sklearn.metrics import r2_score
from training import predict, train

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency.models import logp
from saliency.models.ggnn import GGNN

import chainer
import chainer.functions as F

#: Trained by train_logp.py; they come with the package, for load_logp_network. ...
WEIGHTS = Path(logp.__file__).with_name("logp_ggnn.npz")
#: ... The settings and the result are in the file beside it.
RECORD = WEIGHTS.with_suffix(".json")

NETWORKS = {"ggnn": GGNN, "nfp": NFP}


class Molecules(NamedTuple):
    """RDKit's NCI molecules with what their atoms contribute to logP, in three parts.

    Attributes:
        mols (list): The molecules.
        graphs (list): Their graphs, whose atoms know the number of their hydrogens.
        truth (list): The contributions of the atoms of each, ``(n_atom,)``.
        training (array): Indices of the molecules that a network learns from.
        validation (array): Indices of those that tell when to stop.
        test (array): Indices of those that it is measured on.
    """

    mols: list[Chem.Mol]
    graphs: list[Graph]
    truth: list[np.ndarray]
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def examples(self, part: Sequence[int]) -> list[tuple[Any, ...]]:
        """Return ``(atoms, adjacency, logP)`` of some molecules."""
        return [
            (*self.graphs[i], np.array([self.truth[i].sum()], np.float32)) for i in part
        ]


def load_molecules(by: str = "random", seed: int = 0) -> Molecules:
    """Return the molecules, split at random or by their scaffolds."""
    mols = nci_molecules()
    rest, test = split(mols, by, 0.1, seed)
    of_rest, of_validation = split([mols[i] for i in rest], by, 0.1, seed)
    return Molecules(
        mols,
        [to_graph(mol, count_hydrogens=True) for mol in mols],
        [logp_contributions(mol) for mol in mols],
        rest[of_rest],
        rest[of_validation],
        test,
    )


def load_record() -> dict[str, Any]:
    """Return how the network that comes along was trained, and what it reaches."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def new_network(name: str) -> chainer.Chain:
    """Return an untrained network, with dropout for BayesGrad."""
    return NETWORKS[name](n_kind=N_UNITED_ATOM, dropout=0.1)


def load_network() -> chainer.Chain:
    """Return the network that comes along."""
    model = new_network("ggnn")
    chainer.serializers.load_npz(WEIGHTS, model)
    return model


def train_network(
    name: str, molecules: Molecules, epoch: int, seed: int, device: Any, out: Path
) -> chainer.Chain:
    """Return a network trained on the first part of the molecules."""
    np.random.seed(seed)  # Chainer draws its first weights from the global state
    return train(
        new_network(name),
        molecules.examples(molecules.training),
        F.mean_squared_error,
        (epoch, "epoch"),
        out,
        device,
        molecules.examples(molecules.validation),
    )


def predict_test(model: chainer.Chain, molecules: Molecules) -> np.ndarray:
    """Return the logP that a network predicts for the test molecules, ``(n_test,)``."""
    return predict(model, [molecules.graphs[i] for i in molecules.test])[:, 0]


def r2_of(predicted: np.ndarray, molecules: Molecules) -> float:
    """Return the R2 of what is predicted for the test molecules."""
    return r2_score([molecules.truth[i].sum() for i in molecules.test], predicted)
