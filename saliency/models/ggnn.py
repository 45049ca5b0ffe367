"""A gated graph network for molecules."""

from __future__ import annotations

from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L


class GGNN(chainer.Chain):
    r"""Gated graph neural network with a matrix for each type of bond.

    Li et al. (2016), "Gated graph sequence neural networks", arXiv:1511.05493, in the
    form of Gilmer et al. (2017), "Neural message passing for quantum chemistry",
    arXiv:1704.01212, section 2:

    .. math::

        m_v &= \textstyle\sum_w A_{e_{vw}} h_w, \qquad h_v \leftarrow GRU(h_v, m_v) \\
        y &= \textstyle\sum_v \sigma(i(h_v, h_v^0)) \odot j(h_v)

    What stands behind a molecule's last atom (atom 0) sends and adds nothing. Dropout
    is on the messages and before the readout, for BayesGrad.

    Args:
        n_out (int): Number of outputs.
        n_unit (int): Length of an atom's state h.
        n_step (int): How many times messages are sent.
        n_type (int): Number of types of bonds.
        n_kind (int): Numbers that an atom can have, 0 (padding) among them.
        dropout (float): Ratio of dropout.
    """

    def __init__(
        self,
        n_out: int = 1,
        n_unit: int = 64,
        n_step: int = 3,
        n_type: int = 4,
        n_kind: int = 119,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_type, self.n_step, self.dropout = n_type, n_step, dropout
        with self.init_scope():
            self.embed = L.EmbedID(n_kind, n_unit)
            self.message = L.Linear(n_unit, n_type * n_unit)
            self.gates_m = L.Linear(n_unit, 2 * n_unit)
            self.gates_h = L.Linear(n_unit, 2 * n_unit)
            self.new_m = L.Linear(n_unit, n_unit)
            self.new_h = L.Linear(n_unit, n_unit)
            self.gate = L.Linear(2 * n_unit, n_out)
            self.value = L.Linear(n_unit, n_out)
        self.embed.W.array[0] = 0

    def forward(self, atoms: Any, adjacency: Any) -> chainer.Variable:
        """Return the outputs of each molecule, ``(batch, n_out)``.

        Args:
            atoms (array): Atomic numbers ``(batch, n_atom)``, 0 behind the last.
            adjacency (array): ``(batch, n_type, n_atom, n_atom)``.
        """
        return self.from_embedding(self.embed(atoms), adjacency, atoms)

    def from_embedding(self, h: Any, adjacency: Any, atoms: Any) -> chainer.Variable:
        """Return the outputs for embedded atoms, ``(batch, n_atom, n_unit)``."""
        h0 = h
        for _ in range(self.n_step):
            m = self.messages(h, adjacency)
            gates = self.gates_m(m, n_batch_axes=2) + self.gates_h(h, n_batch_axes=2)
            update, reset = F.split_axis(F.sigmoid(gates), 2, axis=2)
            new = self.new_m(m, n_batch_axes=2) + self.new_h(reset * h, n_batch_axes=2)
            h = (1 - update) * h + update * F.tanh(new)
        h = F.dropout(h, self.dropout)
        gate = F.sigmoid(self.gate(F.concat([h, h0], axis=2), n_batch_axes=2))
        is_atom = (chainer.as_variable(atoms).array > 0)[..., None]
        value = self.value(h, n_batch_axes=2) * is_atom.astype(h.dtype)
        return F.sum(gate * value, axis=1)

    def messages(self, h: Any, adjacency: Any) -> chainer.Variable:
        """Return what each atom receives from its neighbours."""
        n_graph, n_atom, _ = h.shape
        sent = F.dropout(self.message(h, n_batch_axes=2), self.dropout)
        sent = F.reshape(sent, (n_graph, n_atom, self.n_type, -1))
        return F.sum(F.matmul(adjacency, sent.transpose(0, 2, 1, 3)), axis=1)
