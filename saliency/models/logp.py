"""A small network for molecules that comes with the package, to try things on."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

from saliency.exclusive import seeded
from saliency.models.ggnn import GGNN
from saliency.models.molecule_graphs import (
    N_UNITED_ATOM,
    Graph,
    concat_mols,
    to_graph,
)

import chainer


class LogPNetwork(GGNN):
    """A gated graph network from molecules to Crippen's logP, ``(n, 1)``.

    It sees of an atom its element, how many hydrogens it has, and its bonds. Saliency
    is read at the link ``embed``, a vector for each atom.

    Args:
        dropout (float): Ratio of dropout, for BayesGrad.
    """

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__(n_kind=N_UNITED_ATOM, dropout=dropout)

    def prepare(self, molecule: Any) -> Graph:
        """Return a molecule as the network takes it.

        Args:
            molecule (str or rdkit.Chem.Mol): A SMILES, or a molecule of RDKit.

        Returns:
            tuple: Atoms ``(n_atom,)``, int32, and adjacency ``(4, n_atom, n_atom)``,
            float32. The atoms are in the order of RDKit.

        Raises:
            ImportError: If RDKit is not installed.
            TypeError: If it is neither; None is what RDKit reads of a broken SMILES.
            ValueError: If it cannot be read, has no atoms, or a dummy atom; or if it is
                not as RDKit reads a SMILES: with hydrogens as atoms, or with aromatic
                bonds as single and double ones.
        """
        from rdkit import Chem

        if isinstance(molecule, str):
            read = Chem.MolFromSmiles(molecule)
            if read is None:
                raise ValueError(f"molecule={molecule!r} cannot be read by RDKit")
            molecule = read
        elif isinstance(molecule, Chem.Mol):
            _check_form(molecule)
        else:
            raise TypeError(
                "molecule must be a SMILES or an rdkit.Chem.Mol, got "
                f"{type(molecule).__name__}"
            )
        return to_graph(molecule, count_hydrogens=True)

    #: Makes a batch of what :meth:`prepare` returns.
    converter = staticmethod(concat_mols)


def _check_form(mol: Any) -> None:
    """Check that a molecule is of the form of those that the network has learned from.

    Raises:
        ValueError: If it is not: the network would give another number.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        try:
            learned = Chem.RemoveHs(mol)  # and sanitizes it
        except ValueError as error:
            raise ValueError(f"mol cannot be sanitized by RDKit: {error}") from error
    n_hydrogen = mol.GetNumAtoms() - learned.GetNumAtoms()
    if n_hydrogen:
        raise ValueError(
            f"mol must not have hydrogens as atoms, got {n_hydrogen}; pass "
            "Chem.RemoveHs(mol)"
        )
    pairs = zip(mol.GetBonds(), learned.GetBonds())
    if any(one.GetBondType() != other.GetBondType() for one, other in pairs):
        raise ValueError(
            "mol must have aromatic bonds, got single and double ones in their place, "
            "as Chem.Kekulize makes them; pass a copy after Chem.SanitizeMol(copy)"
        )


def load_logp_network() -> LogPNetwork:
    """Return the network for logP, which is trained and comes with the package.

    It was trained on 3961 of the molecules of the NCI that RDKit has, by
    ``examples/molecule/train_logp.py``; on 490 others its R2 is 0.995. Crippen's logP
    is a sum over atoms, so that explanations of it can be compared with the truth.

    Example:
        >>> model = saliency.load_logp_network()
        >>> calculator = saliency.IntegratedGradientsCalculator(
        ...     model, target_extractor=saliency.VariableMonitorLinkHook(model.embed)
        ... )
        >>> smiles = ["CCO", "c1ccccc1O"]
        >>> graphs = [model.prepare(one) for one in smiles]
        >>> calculator.explain(
        ...     graphs, converter=model.converter, ch_axis=3, molecules=smiles
        ... ).plot()

    Returns:
        LogPNetwork: On the CPU.
    """
    with seeded(0):  # what is drawn here is replaced
        model = LogPNetwork()
    weights = resources.files("saliency.models") / "logp_ggnn.npz"
    with weights.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        chainer.serializers.NpzDeserializer(arrays).load(model)
    return model
