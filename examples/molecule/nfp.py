"""A neural graph fingerprint for molecules."""

from __future__ import annotations

from typing import Any

import numpy as np

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
import saliency  # noqa: F401

import chainer
import chainer.functions as F
import chainer.links as L

#: Atoms with more neighbours than this are treated as if they had this many.
MAX_DEGREE = 6


class NFP(chainer.Chain):
    r"""Neural fingerprint: circular fingerprints with trained hash functions.

    Duvenaud et al. (2015), "Convolutional networks on graphs for learning molecular
    fingerprints", arXiv:1509.09292, algorithm 2: in each of R layers, with the N
    neighbours of atom v and the features b of its bonds,

    .. math::

        h_v \leftarrow \sigma(H^{|N|} [h_v + \textstyle\sum_{w \in N} h_w,
            \sum_{w \in N} b_{vw}]), \qquad
        f \leftarrow f + \textstyle\sum_v softmax(W h_v)

    A hidden layer reads the output from the fingerprint f. What stands behind a
    molecule's last atom (atom 0) adds nothing. Dropout is on the atoms of each layer
    and on the hidden layer, for BayesGrad.

    Args:
        n_out (int): Number of outputs.
        n_unit (int): Length of an atom's state h.
        n_bit (int): Length of the fingerprint.
        n_step (int): Number of layers R.
        n_type (int): Number of types of bonds.
        n_kind (int): Numbers that an atom can have, 0 (padding) among them.
        dropout (float): Ratio of dropout.
    """

    def __init__(
        self,
        n_out: int = 1,
        n_unit: int = 64,
        n_bit: int = 128,
        n_step: int = 3,
        n_type: int = 4,
        n_kind: int = 119,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        n_in, n_state = n_unit + n_type, (MAX_DEGREE + 1) * n_unit
        with self.init_scope():
            self.embed = L.EmbedID(n_kind, n_unit)
            self.hash = chainer.ChainList(
                *[L.Linear(n_in, n_state) for _ in range(n_step)]
            )
            self.write = chainer.ChainList(
                *[L.Linear(n_unit, n_bit) for _ in range(n_step)]
            )
            self.hidden = L.Linear(n_bit, n_unit)
            self.out = L.Linear(n_unit, n_out)
        self.embed.W.array[0] = 0

    def forward(self, atoms: Any, adjacency: Any) -> chainer.Variable:
        """Return the outputs of each molecule, ``(batch, n_out)``.

        Args:
            atoms (array): Atomic numbers ``(batch, n_atom)``, 0 behind the last.
            adjacency (array): ``(batch, n_type, n_atom, n_atom)``.
        """
        h = self.embed(atoms)
        atoms, adjacency = (chainer.as_variable(x).array for x in (atoms, adjacency))
        is_atom = (atoms > 0)[..., None].astype(h.dtype)
        adjacency = adjacency.astype(h.dtype, copy=False)
        is_bonded = adjacency.sum(axis=1)
        bonds = adjacency.sum(axis=3).transpose(0, 2, 1)
        of_degree = self._of_degree(bonds.sum(axis=2))
        fingerprint = 0
        for hash_, write in zip(self.hash, self.write):
            near = F.concat([h + F.matmul(is_bonded, h), bonds], axis=2)
            states = hash_(near, n_batch_axes=2).reshape(*of_degree.shape[:3], -1)
            h = F.relu(F.sum(states * of_degree, axis=2))
            h = F.dropout(h, self.dropout)
            bits = F.softmax(write(h, n_batch_axes=2), axis=2)
            fingerprint += F.sum(bits * is_atom, axis=1)
        hidden = F.dropout(F.relu(self.hidden(fingerprint)), self.dropout)
        return self.out(hidden)

    def _of_degree(self, n_neighbour: Any) -> Any:
        """Return what is 1 at each atom's degree, ``(batch, n_atom, degree, 1)``."""
        degree = n_neighbour.clip(max=MAX_DEGREE).astype(np.int32)
        return self.xp.eye(MAX_DEGREE + 1, dtype=n_neighbour.dtype)[degree][..., None]
