"""The graph networks, beside loops over atoms; molecules of different sizes."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem

from tests.molecule.example import SMILES, ggnn, molecules, nfp, training
from tests.networks import build

import chainer
import chainer.functions as F

GRAPHS = [molecules.to_graph(Chem.MolFromSmiles(s)) for s in SMILES]
NETWORKS = {
    "ggnn": lambda **settings: build(ggnn.GGNN, n_out=2, n_unit=5, **settings),
    "nfp": lambda **settings: build(nfp.NFP, n_out=2, n_unit=5, n_bit=7, **settings),
}
every_network = pytest.mark.parametrize("new", NETWORKS.values(), ids=NETWORKS)


def run(model, graphs):
    with chainer.using_config("train", False):
        return model(*molecules.concat_mols(graphs)).array


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def apply(link, x):
    return link.W.array @ x + link.b.array


def ggnn_by_hand(model, atoms, adjacency):
    """Li et al. 2016 and Gilmer et al. 2017, atom by atom."""
    n_unit = model.embed.W.shape[1]
    matrices = model.message.W.array.reshape(model.n_type, n_unit, n_unit)
    biases = model.message.b.array.reshape(model.n_type, n_unit)
    h0 = h = [model.embed.W.array[a] for a in atoms]
    for _ in range(model.n_step):
        new = []
        for v in range(len(atoms)):
            m = np.zeros(n_unit)
            for w in range(len(atoms)):
                for kind in range(model.n_type):
                    if adjacency[kind, v, w]:
                        m = m + matrices[kind] @ h[w] + biases[kind]
            gates = sigmoid(apply(model.gates_m, m) + apply(model.gates_h, h[v]))
            z, r = gates[:n_unit], gates[n_unit:]
            candidate = np.tanh(apply(model.new_m, m) + apply(model.new_h, r * h[v]))
            new.append((1 - z) * h[v] + z * candidate)
        h = new
    return sum(
        sigmoid(apply(model.gate, np.concatenate([a, b]))) * apply(model.value, a)
        for a, b in zip(h, h0)
    )


def nfp_by_hand(model, atoms, adjacency):
    """Duvenaud et al. 2015, algorithm 2, atom by atom."""
    h = [model.embed.W.array[a] for a in atoms]
    n_unit = len(h[0])
    fingerprint = 0
    for hash_, write in zip(model.hash, model.write):
        new = []
        for v in range(len(atoms)):
            near, bonds = h[v], np.zeros(4)
            for w in range(len(atoms)):
                for kind in range(4):
                    if adjacency[kind, v, w]:
                        near = near + h[w]
                        bonds = bonds + np.eye(4)[kind]
            degree = min(int(bonds.sum()), nfp.MAX_DEGREE)
            states = apply(hash_, np.concatenate([near, bonds]))
            new.append(np.maximum(states[degree * n_unit : (degree + 1) * n_unit], 0))
        h = new
        for of_atom in h:
            scores = np.exp(apply(write, of_atom))
            fingerprint = fingerprint + scores / scores.sum()
    return apply(model.out, np.maximum(apply(model.hidden, fingerprint), 0))


@pytest.mark.parametrize(
    "new, by_hand",
    [(NETWORKS["ggnn"], ggnn_by_hand), (NETWORKS["nfp"], nfp_by_hand)],
    ids=NETWORKS,
)
def test_as_its_article_says_in_a_padded_batch_as_alone(new, by_hand):
    model = new(dropout=0.3)  # which evaluation mode leaves out
    expected = [by_hand(model, *graph) for graph in GRAPHS]
    assert_allclose(run(model, GRAPHS), expected, rtol=1e-10)
    assert_allclose([run(model, [graph])[0] for graph in GRAPHS], expected, rtol=1e-10)


@every_network
def test_more_neighbours_than_the_network_knows(new):
    """Thorium with eight neighbours has the weights of six in NFP."""
    star = molecules.to_graph(Chem.MolFromSmiles("F[U](F)(F)(F)(F)(F)(F)F"))
    assert np.isfinite(run(new(), [star, GRAPHS[0]])).all()


@every_network
def test_training_mode_draws_masks_before_and_in_the_readout(new):
    model = new(dropout=0.5)
    np.random.seed(0)
    with chainer.using_config("train", True):
        samples = [model(*molecules.concat_mols(GRAPHS)).array for _ in range(2)]
    assert (samples[0] != samples[1]).mean() > 0.5


@every_network
def test_every_parameter_is_used(new):
    model = new()
    model.cleargrads()
    F.sum(model(*molecules.concat_mols(GRAPHS)) ** 2).backward()
    for path, parameter in model.namedparams():
        assert np.abs(parameter.grad).max() > 0, path


class TestTraining:
    def examples(self, n=48):
        rng = np.random.default_rng(0)
        chains = [
            "".join(rng.choice(list("CNO"), rng.integers(2, 9))) for _ in range(n)
        ]
        graphs = [molecules.to_graph(Chem.MolFromSmiles(s)) for s in chains]
        # What an output that adds up over atoms can express.
        return [(*g, np.array([(g[0] == 8).sum() / 4], np.float32)) for g in graphs]

    def new(self):
        np.random.seed(0)
        return ggnn.GGNN(n_unit=8, n_step=1)

    def train(self, model, tmp_path, length, validation_set=None, **settings):
        return training.train(
            model,
            self.examples(),
            F.mean_squared_error,
            length,
            tmp_path,
            validation_set=validation_set,
            **{"alpha": 0.02, **settings},
        )

    def loss(self, model):
        examples = self.examples()
        y = training.predict(model, examples)
        return np.mean((y - np.array([t for *_, t in examples])) ** 2)

    def test_learns(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        model = self.new()
        before = self.loss(model)
        self.train(model, tmp_path, (20, "epoch"))
        assert self.loss(model) < before / 10
        assert "total [" in capsys.readouterr().out  # the progress bar
        log = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
        assert [entry["epoch"] for entry in log] == list(range(2, 21, 2))

    def test_writes_no_escape_codes_where_there_is_no_terminal(self, tmp_path, capsys):
        self.train(self.new(), tmp_path, (1, "epoch"))
        printed, errors = capsys.readouterr()
        assert errors == ""
        (line,) = printed.splitlines(keepends=True)
        assert re.fullmatch(
            r"main/loss \S+  epoch 1  iteration 2  elapsed_time \S+\n", line
        )

    def test_ends_with_the_model_that_validated_best(self, tmp_path):
        """On labels of the other sign it gets worse the more it learns."""
        wrong = [(a, b, -t - 1) for a, b, t in self.examples()]
        model = self.new()
        done = self.train(
            model, tmp_path, (30, "epoch"), wrong, patience=2, batchsize=48
        )
        assert done is model
        best = self.new()
        chainer.serializers.load_npz(tmp_path / "best.npz", best)
        for (_, a), (_, b) in zip(
            sorted(model.namedparams()), sorted(best.namedparams())
        ):
            assert_array_equal(a.array, b.array)
        log = (tmp_path / "log").read_text(encoding="utf-8")
        assert '"epoch": 30' not in log  # it stopped early

    def test_the_step_falls_to_a_hundredth(self, tmp_path):
        model = self.new()
        steps = []

        class Spy(chainer.optimizers.Adam):
            def update(self, *args, **kwargs):
                steps.append(self.alpha)
                super().update(*args, **kwargs)

        original, chainer.optimizers.Adam = chainer.optimizers.Adam, Spy
        try:
            self.train(model, tmp_path, (10, "iteration"))
        finally:
            chainer.optimizers.Adam = original
        assert len(steps) == 10
        assert_allclose(steps, 0.02 * 0.01 ** (np.arange(10) / 10))

    def test_predictions_are_those_of_evaluation_mode(self):
        model = NETWORKS["ggnn"](dropout=0.5)
        graphs = GRAPHS * 11  # more than one batch
        expected = run(model, GRAPHS)
        assert_allclose(training.predict(model, graphs), np.tile(expected, (11, 1)))
