"""Networks for molecules: atoms, which bonds are between them, where they are."""

from __future__ import annotations

import numpy as np

from tests.models_of_others.cases import explain, padded

import chainer
import chainer.functions as F
import chainer.links as L

N_ATOM, N_BOND, N_KIND = 4, 2, 5


def molecule(rng, dtype):
    """Draws atoms, and for each kind of bond which atoms have it, ``(2, n, n)``."""
    n = rng.integers(2, N_ATOM + 1)
    atoms = rng.integers(1, N_KIND, n).astype(np.int32)
    upper = np.triu(rng.random((N_BOND, n, n)) < 0.5, 1)
    upper[1] &= ~upper[0]
    return atoms, (upper | upper.transpose(0, 2, 1)).astype(dtype)


def positions(rng, dtype):
    n = rng.integers(2, N_ATOM + 1)
    atoms = rng.integers(1, N_KIND, n).astype(np.int32)
    return atoms, rng.normal(size=(n, 3)).astype(dtype)


class GRUUpdate(chainer.Chain):
    """Messages over the bonds of each kind go into a GRU, which has a state."""

    def __init__(self, n_unit):
        super().__init__()
        self.n_unit = n_unit
        with self.init_scope():
            self.message = L.Linear(n_unit, N_BOND * n_unit)
            self.gru = L.StatefulGRU(2 * n_unit, n_unit)

    def __call__(self, h, adj):
        n, n_atom, n_unit = h.shape
        m = F.reshape(self.message(h, n_batch_axes=2), (n, n_atom, n_unit, N_BOND))
        m = F.sum(F.matmul(adj, F.transpose(m, (0, 3, 1, 2))), axis=1)
        both = F.concat((h, m), axis=2)
        new = self.gru(F.reshape(both, (n * n_atom, 2 * n_unit)))
        return F.reshape(new, (n, n_atom, n_unit))

    def reset_state(self):
        self.gru.reset_state()


@explain(molecule, converter=padded, target="/embed")
class GGNN(chainer.Chain):
    """A state for each atom, and a gate that says which atoms count."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(N_KIND, n_unit)
            self.update = GRUUpdate(n_unit)
            self.i = L.Linear(2 * n_unit, 2)
            self.j = L.Linear(n_unit, 2)

    def __call__(self, atoms, adj):
        self.update.reset_state()
        h = first = self.embed(atoms)
        for _ in range(2):
            h = self.update(h, adj)
        gate = F.sigmoid(self.i(F.concat((h, first), axis=2), n_batch_axes=2))
        value = self.j(h, n_batch_axes=2)
        is_atom = self.xp.asarray(atoms != 0)[:, :, None].astype(value.dtype)
        return F.sum(gate * value * is_atom, axis=1)


@explain(molecule, converter=padded, target="/embed")
class NFP(chainer.Chain):
    """Weights by how many neighbours an atom has, and soft fingerprints."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(N_KIND, n_unit, ignore_label=0)
            self.hidden = chainer.ChainList(
                *[L.Linear(n_unit, n_unit) for _ in range(N_ATOM)]
            )
            self.bits = L.Linear(n_unit, 4, nobias=True)
            self.out = L.Linear(4, 2)

    def forward(self, atoms, adj):
        h = self.embed(atoms)
        bonds = (adj.sum(axis=1) > 0).astype(h.dtype)
        degree = bonds.sum(axis=2).astype(np.int32)
        h = h + F.matmul(self.xp.asarray(bonds), h)
        total = self.xp.zeros_like(h.array)
        for d, layer in enumerate(self.hidden):
            mask = (degree == d)[:, :, None].astype(h.dtype)
            total = total + F.sigmoid(layer(h, n_batch_axes=2)) * mask
        fingerprint = F.softmax(self.bits(total, n_batch_axes=2), axis=2)
        weight = (atoms != 0)[:, :, None].astype(h.dtype)
        return self.out(F.sum(fingerprint * weight, axis=1))


@explain(molecule, converter=padded, target="/embed", class_index=0)
class RelGCN(chainer.Chain):
    """A linear layer for each kind of bond and one for the atom itself."""

    def __init__(self, n_unit=4):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(N_KIND, n_unit)
            self.itself = L.Linear(n_unit, n_unit)
            self.edges = L.Linear(n_unit, n_unit * N_BOND)
            self.sigmoid_linear = L.Linear(n_unit, 2)
            self.tanh_linear = L.Linear(n_unit, 2)

    def __call__(self, x, adj):
        if x.dtype == self.xp.int32:
            x = self.embed(x)
        degree = adj.sum(axis=(1, 2))[:, None, :, None]
        adj = adj / np.maximum(degree, 1).swapaxes(2, 3)
        n, n_atom, n_unit = x.shape
        m = F.reshape(self.edges(x, n_batch_axes=2), (n, n_atom, n_unit, N_BOND))
        m = F.matmul(adj.astype(x.dtype), F.transpose(m, (0, 3, 1, 2)))
        h = F.tanh(self.itself(x, n_batch_axes=2) + F.sum(m, axis=1))
        gate = F.sigmoid(self.sigmoid_linear(h, n_batch_axes=2))
        return F.sum(gate * F.tanh(self.tanh_linear(h, n_batch_axes=2)), axis=1)


@explain(molecule, converter=padded, target="/embed", draws=True)
class GIN(chainer.Chain):
    """Sums over neighbours into perceptrons; a part is there from another task."""

    def __init__(self, n_unit=4):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(N_KIND, n_unit, ignore_label=0)
            self.mlps = chainer.Sequential(
                L.Linear(n_unit, n_unit), F.relu, L.Linear(n_unit, n_unit)
            ).repeat(2)
            self.eps = chainer.Parameter(0, ())
            self.other_task = L.Linear(None, 3)
            self.out = L.Linear(n_unit, 2)

    def forward(self, atoms, adj):
        h = self.embed(atoms)
        bonds = adj.sum(axis=1).astype(h.dtype)
        for mlp in self.mlps:
            n, n_atom, n_unit = h.shape
            m = F.matmul(bonds, h) + F.broadcast_to(self.eps + 1, h.shape) * h
            h = mlp(F.reshape(m, (n * n_atom, n_unit)))
            h = F.dropout(F.relu(F.reshape(h, (n, n_atom, n_unit))), ratio=0.3)
        return self.out(F.sum(h * (atoms != 0)[:, :, None], axis=1))


class Interaction(chainer.Chain):
    """Continuous filters over the distances of atoms."""

    def __init__(self, n_unit, centers):
        super().__init__()
        self.centers = centers
        with self.init_scope():
            self.filter_1 = L.Linear(len(centers), n_unit)
            self.filter_2 = L.Linear(n_unit, n_unit)
            self.before = L.Linear(n_unit, n_unit)
            self.behind = L.Linear(n_unit, n_unit)

    @staticmethod
    def shifted_softplus(x):
        return F.softplus(x) - np.log(2.0)

    def __call__(self, h, distance, is_pair):
        d = F.broadcast_to(distance[..., None], (*distance.shape, len(self.centers)))
        centers = self.xp.asarray(self.centers, h.dtype)
        rbf = F.exp(-10 * (d - F.broadcast_to(centers, d.shape)) ** 2)
        filters = self.shifted_softplus(self.filter_1(rbf, n_batch_axes=3))
        filters = self.filter_2(filters, n_batch_axes=3) * is_pair[..., None]
        v = self.before(h, n_batch_axes=2)[:, None]
        m = F.sum(F.broadcast_to(v, filters.shape) * filters, axis=2)
        m = self.shifted_softplus(self.behind(m, n_batch_axes=2))
        return h + m


class SchNet(chainer.Chain):
    """Atoms in space; the energy of a molecule is a sum over them."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(N_KIND, n_unit)
            self.interaction = Interaction(n_unit, np.linspace(0, 3, 4))
            self.atom = L.Linear(n_unit, 1)

    def energy(self, atoms, places):
        i, j = (F.expand_dims(places, axis) for axis in (2, 1))
        n, n_atom, _ = places.shape
        shape = (n, n_atom, n_atom, 3)
        square = F.sum((F.broadcast_to(i, shape) - F.broadcast_to(j, shape)) ** 2, 3)
        distance = F.sqrt(square + 1e-4)
        is_atom = (atoms != 0).astype(places.dtype)
        is_pair = is_atom[:, :, None] * is_atom[:, None]
        h = self.interaction(self.embed(atoms), distance, is_pair)
        e = self.atom(F.tanh(h), n_batch_axes=2) * is_atom[..., None]
        return F.sum(e, axis=(1, 2))

    forward = energy


explain(
    positions,
    name="SchNetOfAtoms",
    converter=padded,
    target="/embed",
    class_index="sum",
    without={"conservation": "half of a product goes to the distances"},
)(SchNet)
explain(
    positions,
    name="SchNetOfPlaces",
    converter=lambda examples, device: padded(examples, device)[::-1],
    eval_fun=lambda model, places, atoms: model.energy(atoms, places),
    class_index="sum",
    without={"conservation": "half of a product goes to the atoms"},
)(SchNet)


def force_on_first(model, places, atoms):
    (g,) = chainer.grad(
        [model.energy(atoms, places)], [places], enable_double_backprop=True
    )
    return -g[:, 0]


explain(
    positions,
    name="SchNetForces",
    converter=lambda examples, device: padded(examples, device)[::-1],
    eval_fun=force_on_first,
    class_index=2,
    without={"lrp": "relevance has no meaning at a gradient"},
)(SchNet)


def packed(examples, device):
    """Puts the atoms of all molecules in a row, with pairs of those that are bound."""
    atoms, pairs, owners = [], [], []
    start = 0
    for owner, (of_one, adjacency) in enumerate(examples):
        atoms.append(of_one)
        pairs.append(np.argwhere(adjacency.sum(axis=0)) + start)
        owners += [owner] * len(of_one)
        start += len(of_one)
    arrays = np.concatenate(atoms), np.concatenate(pairs), np.array(owners)
    return chainer.get_device(device).send(arrays)


@explain(molecule, converter=packed, target="/embed")
class PackedGraph(chainer.Chain):
    """The nodes of all graphs in a row; messages are added up by index."""

    def __init__(self, n_unit=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(N_KIND, n_unit)
            self.gate = L.Linear(2 * n_unit, n_unit)
            self.value = L.Linear(2 * n_unit, n_unit)
            self.out = L.Linear(n_unit, 2)

    def forward(self, atoms, pairs, owners):
        h = self.embed(atoms)
        if len(pairs):
            both = F.concat([h[pairs[:, 0]], h[pairs[:, 1]]])
            m = F.sigmoid(self.gate(both)) * F.softplus(self.value(both))
            h = F.scatter_add(h, pairs[:, 0], m)
        graphs = self.xp.zeros((int(owners.max()) + 1, h.shape[1]), h.dtype)
        return self.out(F.tanh(F.scatter_add(graphs, owners, h)))
