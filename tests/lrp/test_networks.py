"""Whole networks: residual, recurrent, attentive, of molecules, and Chainer's own."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import GradientCalculator, LRPCalculator
from saliency.lrp import (
    PRESETS,
    AlphaBeta,
    Box,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Pass,
    WinnerTakesAll,
    Zero,
    ZPlus,
)
from saliency.lrp.rules import SumRule
from tests.calculator.oracles import run
from tests.calculator.test_promises import state_of
from tests.covering import every_value
from tests.networks import MLP, build, of_chainer

import chainer
import chainer.functions as F
import chainer.links as L

every_preset = pytest.mark.parametrize("preset", list(PRESETS))
# Of the presets, as many as have every rule and both treatments of biases.
EVERY_RULE = [
    "lrp0",
    "alpha2_beta1",
    "epsilon_plus_flat",
    "epsilon_gamma_box",
    "wwab",
    "excitation_backprop",
]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def of_examples(samples):
    return samples[0].reshape(samples.shape[1], -1).sum(axis=1)


def score(model, x, **kwargs):
    """Returns the largest score of each example."""
    return run(functools.partial(model, **kwargs), x).max(axis=1)


class Mixed(chainer.Chain):
    """ReLUs, both poolings, a shared link, residuals, concatenation; no biases."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(2, 4, 3, pad=1, nobias=True)
            self.conv2 = L.Convolution2D(4, 4, 3, pad=1, nobias=True)
            self.out = L.Linear(8 * 9, 3, nobias=True)

    def forward(self, x):
        h = F.relu(self.conv1(x))
        for _ in range(2):
            h = h + F.relu(self.conv2(h)) * 0.5
        h = F.concat([F.max_pooling_2d(h, 2), F.average_pooling_2d(h, 2)], axis=1)
        return self.out(h)


class TestLRP0:
    @pytest.fixture
    def images(self, rng):
        return rng.normal(size=(3, 2, 6, 6))

    @pytest.mark.parametrize("target", ["input", "hidden"])
    def test_without_biases_is_input_times_gradient(self, target, images):
        model = build(Mixed)

        def hook():
            return VariableMonitorLinkHook(model.conv1) if target == "hidden" else None

        samples = LRPCalculator(model, hook(), rule=Zero()).compute(images)
        expected = GradientCalculator(
            model, hook(), class_index="argmax", multiply_target=True
        ).compute(images)
        assert_allclose(samples, expected, rtol=1e-10, atol=1e-10)

    def test_is_what_epsilon_and_gamma_come_to_as_they_vanish(self, images):
        model = build(Mixed)
        expected = LRPCalculator(model, rule="lrp0").compute(images)
        for family in (Epsilon, Gamma):
            distances = []
            for value in (1e-2, 1e-4, 1e-6, 1e-8):
                samples = LRPCalculator(model, rule=family(value)).compute(images)
                distances.append(np.abs(samples - expected).max())
            assert distances == sorted(distances, reverse=True)
            assert distances[-1] < 1e-5 * np.abs(expected).max()


class TestGradient:
    """With the rule Gradient everywhere, an affine network gives its gradient."""

    class Normalized(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.conv = L.Convolution2D(2, 4, 3, pad=1)
                self.norm = L.BatchNormalization(4)
                self.scale = L.Scale(W_shape=(4,), bias_term=True)
                self.up = L.Deconvolution2D(4, 4, 3, pad=1)
                self.up_norm = L.BatchNormalization(4)
                self.fc = L.Linear(4, 5)
                self.fc_norm = L.BatchNormalization(5)
                self.out = L.Linear(5, 3)

        def forward(self, x):
            h = self.scale(self.norm(self.conv(x)))
            h = h + self.up_norm(self.up(h))
            h = F.mean(F.average_pooling_2d(h, 2), axis=(2, 3))
            return self.out(self.fc_norm(self.fc(h)) - 1)

    @pytest.mark.parametrize("rule", [Gradient(), Composite(Gradient())], ids=repr)
    def test_is_that_of_the_whole_network(self, rule, rng):
        model = build(self.Normalized)
        x = rng.normal(size=(3, 2, 4, 4))
        calculator = LRPCalculator(model, class_index=1, rule=rule, relevance=1)
        expected = GradientCalculator(model, class_index=1).compute(x)
        assert_allclose(calculator.compute(x), expected, rtol=1e-10, atol=1e-14)

    def test_at_one_layer_has_what_is_merged_with_it(self, rng):
        model = build(MLP, normalize=True, activation=lambda h: h)
        x = rng.normal(size=(3, 4))
        first, last = model.layers
        norm = model.norms[0]
        scale = norm.gamma.array / np.sqrt(norm.avg_var + norm.eps)
        of_y = last.W.array[1] * run(norm, run(first, x))
        rules = Composite(Zero(), by_link={"/layers/0": Gradient()})
        found = LRPCalculator(model, class_index=1, rule=rules).compute(x)[0]
        assert_allclose(found, (of_y * scale) @ first.W.array, rtol=1e-9)

    def test_pass_goes_through_what_is_merged_as_well(self, rng):
        model = build(MLP, n_hidden=4, normalize=True, activation=lambda h: h)
        x = rng.normal(size=(3, 4))
        first, last = model.layers
        of_y = last.W.array[1] * run(model.norms[0], run(first, x))
        rules = Composite(Zero(), by_link={"/layers/0": Pass()})
        found = LRPCalculator(model, class_index=1, rule=rules).compute(x)[0]
        assert_allclose(found, of_y, rtol=1e-9)

    def test_a_rule_of_ones_own_gets_the_layer_alone(self, rng):
        """It may look at the function, which knows nothing of a normalization."""

        class ByHand(SumRule):
            def share(self, this, affine):
                (y,) = this.outputs
                gradient = this.gradient([this.output_relevance / y])
                return this.at_active([this.inputs[0] * gradient[0]])

        model = build(self.Normalized)
        x = rng.normal(size=(3, 2, 4, 4))
        found = LRPCalculator(model, rule=Composite(ByHand(), sums=Zero())).compute(x)
        expected = LRPCalculator(model, rule=Zero()).compute(x)
        assert_allclose(found, expected, rtol=1e-8)


class TestTwins:
    """What is used twice is worth the sum of two that are used once."""

    class Unrolled(chainer.Chain):
        def __init__(self, first, second, out):
            super().__init__()
            with self.init_scope():
                self.first = first
                self.second = second
                self.out = out

        def forward(self, x):
            h = F.tanh(self.second(F.relu(self.first(x))))
            return self.out(h)

    @pytest.fixture
    def twins(self):
        def step(seed=0):
            return build(L.Linear, 4, 4, seed=seed)

        out = build(L.Linear, 4, 3, seed=1)
        shared = step()
        return self.Unrolled(shared, shared, out), self.Unrolled(step(), step(), out)

    @every_preset
    def test_a_link_used_twice_is_its_unrolled_twin(self, preset, twins, rng):
        x = rng.normal(size=(5, 4))
        shared, unrolled = (
            LRPCalculator(t, rule=preset, low=-5, high=5).compute(x) for t in twins
        )
        assert_allclose(shared, unrolled, rtol=1e-12)

    def test_its_relevance_is_the_sum_over_both_twins(self, twins, rng):
        x = rng.normal(size=(5, 4))
        shared, unrolled = (LRPCalculator(t, rule="lrp0") for t in twins)
        of_twins = unrolled.compute_layers(x, ["/first", "/second"])
        assert_allclose(
            shared.compute_layers(x, ["/first"])["/first"],
            of_twins["/first"] + of_twins["/second"],
        )

    @pytest.mark.parametrize("rule", [Zero(), Epsilon(), ZPlus(bias="ignore")], ids=str)
    def test_a_residual_sum_is_not_doubled(self, rule, rng):
        f = build(L.Linear, 4, 4, nobias=True)
        out = build(L.Linear, 4, 2, nobias=True, seed=1)

        def model(x):
            h = F.relu(x)
            h = h + F.relu(f(h))
            return out(h)

        x = rng.normal(size=(6, 4))
        samples = LRPCalculator(model, rule=rule).compute(x)
        assert_allclose(of_examples(samples), score(model, x), rtol=1e-4)


class ResNet18(chainer.Chain):
    """The network of 18 layers of He et al. (2015), with few channels.

    Without biases: batch normalization has neither mean nor beta.
    """

    class Block(chainer.Chain):
        def __init__(self, n_in, n_out, stride):
            super().__init__()
            with self.init_scope():
                self.conv1 = conv(n_in, n_out, 3, stride)
                self.norm1 = L.BatchNormalization(n_out, use_beta=False)
                self.conv2 = conv(n_out, n_out, 3)
                self.norm2 = L.BatchNormalization(n_out, use_beta=False)
                if stride > 1:
                    self.shortcut = conv(n_in, n_out, 1, stride)

        def forward(self, x):
            h = F.relu(self.norm1(self.conv1(x)))
            h = self.norm2(self.conv2(h))
            return F.relu(h + (self.shortcut(x) if hasattr(self, "shortcut") else x))

    def __init__(self, width=4):
        super().__init__()
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        with self.init_scope():
            self.conv = conv(3, width, 3)
            self.norm = L.BatchNormalization(width, use_beta=False)
            self.blocks = chainer.ChainList()
            for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
                self.blocks.append(self.Block(n_in, n_out, stride=2 if i else 1))
                self.blocks.append(self.Block(n_out, n_out, stride=1))
            self.out = L.Linear(8 * width, 10, nobias=True)

    def forward(self, x):
        h = F.relu(self.norm(self.conv(x)))
        for block in self.blocks:
            h = block(h)
        return self.out(F.mean(h, axis=(2, 3)))


def conv(n_in, n_out, ksize, stride=1):
    return L.Convolution2D(n_in, n_out, ksize, stride, pad=ksize // 2, nobias=True)


class TestResNet18:
    @pytest.fixture
    def model(self):
        model = build(ResNet18)
        for link in model.links():
            if isinstance(link, L.BatchNormalization):
                link.avg_mean[...] = 0
        return model

    def test_lrp_0_adds_up_to_the_output(self, model, rng):
        x = rng.normal(size=(2, 3, 16, 16))
        samples = LRPCalculator(model, rule="lrp0").compute(x)
        assert_allclose(of_examples(samples), score(model, x), rtol=1e-9)

    @pytest.mark.parametrize(
        "preset",
        ["epsilon", "zplus", "epsilon_plus", "epsilon_plus_flat", "deep_taylor"],
    )
    def test_stable_rules_neither_double_nor_explode(self, preset, model, rng):
        x = rng.normal(size=(2, 3, 16, 16))
        samples = LRPCalculator(model, rule=preset, low=-5, high=5).compute(x)
        assert_allclose(of_examples(samples), score(model, x), rtol=1e-3)
        if preset != "epsilon":
            assert (samples >= 0).all()


class Recurrent(chainer.Chain):
    """A classifier of sequences ``(batch, time, unit)`` by a stateful cell."""

    def __init__(self, cell):
        super().__init__()
        with self.init_scope():
            self.cell = cell(3, 5)
            self.out = L.Linear(5, 2)

    def forward(self, x):
        self.cell.reset_state()
        for t in range(x.shape[1]):
            h = self.cell(x[:, t])
        return self.out(h)


class RecurrentInOne(chainer.Chain):
    """A classifier of sequences by a link that runs over all steps at once."""

    def __init__(self, cell, n_out):
        super().__init__()
        with self.init_scope():
            self.cell = cell(2, 3, 5, 0.0)
            self.out = L.Linear(n_out, 2)

    def forward(self, x):
        states = [None] * self.cell.n_cells
        *_, ys = self.cell(*states, list(F.separate(x, axis=0)))
        return self.out(F.stack([y[-1] for y in ys]))


class Transformer(chainer.Chain):
    """An encoder of one block for token ids ``(batch, time)``, with a classifier."""

    def __init__(self, n_id=10, n_unit=6, n_head=2):
        super().__init__()
        self.n_head = n_head
        with self.init_scope():
            self.embed = L.EmbedID(n_id, n_unit)
            self.query = L.Linear(n_unit, n_unit)
            self.key = L.Linear(n_unit, n_unit)
            self.value = L.Linear(n_unit, n_unit)
            self.mix = L.Linear(n_unit, n_unit)
            self.norm1 = L.LayerNormalization(n_unit)
            self.wide = L.Linear(n_unit, 2 * n_unit)
            self.narrow = L.Linear(2 * n_unit, n_unit)
            self.norm2 = L.LayerNormalization(n_unit)
            self.out = L.Linear(n_unit, 3)

    def forward(self, ids):
        h = self.embed(ids)
        n, n_time, n_unit = h.shape
        position = np.sin(np.arange(n_time)[:, None] / 10 ** np.linspace(0, 2, n_unit))
        h = F.reshape(h + position[None].astype(h.dtype), (n * n_time, n_unit))
        h = self.norm1(h + self.attention(h, n, n_time))
        h = self.norm2(h + self.narrow(F.relu(self.wide(h))))
        return self.out(F.mean(F.reshape(h, (n, n_time, n_unit)), axis=1))

    def attention(self, h, n, n_time):
        of_h = self.query(h), self.key(h), self.value(h)
        q, k, v = (self.heads(each, n, n_time) for each in of_h)
        weights = F.softmax(F.matmul(q, k, transb=True) / np.sqrt(q.shape[2]), axis=2)
        mixed = F.reshape(F.matmul(weights, v), (n, self.n_head, n_time, -1))
        mixed = F.transpose(mixed, (0, 2, 1, 3))
        return self.mix(F.reshape(mixed, (n * n_time, -1)))

    def heads(self, h, n, n_time):
        h = F.reshape(h, (n, n_time, self.n_head, -1))
        return F.reshape(F.transpose(h, (0, 2, 1, 3)), (n * self.n_head, n_time, -1))


class GGNN(chainer.Chain):
    """Gated graph network for atoms and bonds: Li et al. (2015)."""

    def __init__(self, n_unit=5, n_bond_type=2, n_step=3):
        super().__init__()
        self.n_bond_type = n_bond_type
        self.n_step = n_step
        with self.init_scope():
            self.embed = L.EmbedID(8, n_unit)
            self.message = L.Linear(n_unit, n_bond_type * n_unit)
            self.update = L.StatelessGRU(n_unit, n_unit)
            self.gate = L.Linear(2 * n_unit, 3)
            self.signal = L.Linear(2 * n_unit, 3)

    def forward(self, atoms, bonds):
        first = h = self.embed(atoms)
        n, n_atom, n_unit = h.shape
        for _ in range(self.n_step):
            m = self.message(h, n_batch_axes=2)
            m = F.reshape(m, (n, n_atom, self.n_bond_type, n_unit))
            m = F.matmul(bonds, F.transpose(m, (0, 2, 1, 3)))
            m = F.reshape(F.sum(m, axis=1), (n * n_atom, n_unit))
            h = self.update(F.reshape(h, (n * n_atom, n_unit)), m)
            h = F.reshape(h, (n, n_atom, n_unit))
        both = F.concat([h, first], axis=2)
        gate = F.sigmoid(self.gate(both, n_batch_axes=2))
        return F.sum(gate * self.signal(both, n_batch_axes=2), axis=1)


class NFP(chainer.Chain):
    """Neural fingerprint for atoms and bonds: Duvenaud et al. (2015)."""

    def __init__(self, n_unit=5, n_fingerprint=6, n_step=3):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(8, n_unit)
            self.inner = chainer.ChainList(
                *[L.Linear(n_unit, n_unit) for _ in range(n_step)]
            )
            self.outer = chainer.ChainList(
                *[L.Linear(n_unit, n_fingerprint) for _ in range(n_step)]
            )
            self.out = L.Linear(n_fingerprint, 3)

    def forward(self, atoms, bonds):
        h = self.embed(atoms)
        is_bond = bonds.array.sum(axis=1)
        fingerprint = 0
        for inner, outer in zip(self.inner, self.outer):
            h = F.relu(inner(h + F.matmul(is_bond, h), n_batch_axes=2))
            parts = F.softmax(outer(h, n_batch_axes=2), axis=2)
            fingerprint = fingerprint + F.sum(parts, axis=1)
        return self.out(fingerprint)


def images(rng):
    return rng.normal(size=(2, 3, 8, 8))


def sequences(rng):
    return rng.normal(size=(3, 4, 3))


def tokens(rng):
    return rng.integers(0, 10, (3, 5)).astype(np.int32)


def molecules(rng):
    atoms = rng.integers(1, 8, (3, 4)).astype(np.int32)
    bonds = rng.integers(0, 2, (3, 2, 4, 4))
    return atoms, (bonds | bonds.transpose(0, 1, 3, 2)).astype("d")


NETWORKS = {
    "resnet18": (ResNet18, images),
    "gru": (functools.partial(Recurrent, L.StatefulGRU), sequences),
    "lstm": (functools.partial(Recurrent, L.LSTM), sequences),
    "peephole_lstm": (functools.partial(Recurrent, L.StatefulPeepholeLSTM), sequences),
    "n_step_gru": (functools.partial(RecurrentInOne, L.NStepGRU, 5), sequences),
    "n_step_lstm": (functools.partial(RecurrentInOne, L.NStepLSTM, 5), sequences),
    "n_step_bi_lstm": (functools.partial(RecurrentInOne, L.NStepBiLSTM, 10), sequences),
    "transformer": (Transformer, tokens),
    "ggnn": (GGNN, molecules),
    "nfp": (NFP, molecules),
}


@pytest.mark.large
@pytest.mark.parametrize(
    ("name", "preset"),
    [
        *(("resnet18", preset) for preset in PRESETS),
        *((name, preset) for name in list(NETWORKS)[1:] for preset in EVERY_RULE),
    ],
)
def test_presets_account_for_all_relevance_and_it_is_finite(name, preset, rng):
    network, new_data = NETWORKS[name]
    model, data = build(network), new_data(rng)
    hook = VariableMonitorLinkHook(model.embed) if hasattr(model, "embed") else None
    calculator = LRPCalculator(model, hook, rule=preset, low=-5, high=5)
    samples = calculator.compute(data)
    assert np.isfinite(samples).all()
    assert samples.any()
    report = calculator.conservation(data)
    stayed = sum(e.bias + e.other for e in report.entries)
    assert samples.sum() + stayed == pytest.approx(report.start, rel=1e-6)
    assert report.end == pytest.approx(samples.sum(), rel=1e-6, abs=1e-9)
    assert len(str(report).splitlines()) == len(report.entries) + 2


@functools.cache
def with_statistics(name):
    """Returns one of Chainer's own networks, with weights and statistics."""
    model = of_chainer(name)
    rng = np.random.default_rng(0)
    for link in model.links():
        if isinstance(link, L.BatchNormalization):
            link.avg_mean[...] = rng.normal(0, 0.1, link.avg_mean.shape)
            link.avg_var[...] = rng.uniform(0.5, 2, link.avg_var.shape)
    return model


# The layer that is explained, where the next one needs larger images.
OF_CHAINER = {
    "ResNet50Layers": ("fc6", 32),
    "GoogLeNet": ("inception_5b", 32),
    "VGG16Layers": ("pool5", 32),
}


@pytest.mark.large
@every_value(preset=list(PRESETS), name=list(OF_CHAINER))
def test_networks_of_chainer_with_every_preset(name, preset, rng):
    layer, side = OF_CHAINER[name]
    model = with_statistics(name)

    def scores(x):
        y = model(x, layers=[layer])[layer]
        return y if y.ndim == 2 else F.mean(y, axis=(2, 3))

    x = rng.uniform(-2, 2, (1, 3, side, side)).astype("f")
    calculator = LRPCalculator(model, eval_fun=scores, rule=preset, low=-2, high=2)
    samples = calculator.compute(x)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert samples.any()
    report = calculator.conservation(x)
    assert len(str(report).splitlines()) == len(report.entries) + 2
    stayed = sum(e.bias + e.other for e in report.entries)
    scale = float(np.abs(samples).sum())
    assert samples.sum() + stayed == pytest.approx(report.start, abs=1e-3 * scale)


class TestBadInput:
    """A clear error, and all is as it was before."""

    @pytest.fixture
    def model(self):
        model = build(MLP, normalize=True)
        for parameter in model.params():
            parameter.grad = np.ones_like(parameter.array)
        return model

    @pytest.fixture
    def x(self, rng):
        return rng.normal(size=(7, 4))

    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"rule": "epsilom"}, ValueError, "rule must be one of 'lrp0', 'epsilon'"),
            ({"rule": Epsilon}, TypeError, "rule must be.*preset.*Rule.*Composite"),
            ({"rule": None}, TypeError, "rule must be.*got None"),
            ({"rule": WinnerTakesAll()}, TypeError, r"rule.*got WinnerTakesAll\(\)"),
            ({"rule": Pass()}, ValueError, r"Pass\(\).*Linear.*\(7, 6\).*\(7, 3\)"),
            (
                {"rule": "zbab", "low": np.zeros(3)},
                ValueError,
                r"low must.*\(7, 4\), got shape \(3,\)",
            ),
            (
                {"rule": Composite(Zero(), first=Box(0, np.ones((2, 7, 4))))},
                ValueError,
                r"high must.*\(7, 4\), got shape \(2, 7, 4\)",
            ),
            ({"low": 2.0, "rule": "zbab"}, ValueError, "low must not be above high"),
            (
                {"rule": Composite(Zero(), by_link={"/fc1": Flat()})},
                ValueError,
                "by_link must have paths.*'/fc1'",
            ),
            ({"class_index": 3}, ValueError, "class_index must be in 0..2.*got 3"),
            ({"class_index": -1}, ValueError, "class_index must be in 0..2.*got -1"),
            ({"class_index": "largest"}, (TypeError, ValueError), "class_index"),
            ({"relevance": "input"}, ValueError, "relevance must be 'output'"),
            ({"relevance": np.ones(4)}, ValueError, r"relevance.*\(3,\).*\(4,\)"),
            ({"relevance": np.inf}, ValueError, "relevance|saliency.*infinite"),
            (
                {"eval_fun": lambda v: chainer.Variable(np.ones((7, 3)))},
                ValueError,
                "target has no influence on the output",
            ),
            (
                {"eval_fun": lambda v: F.log(0 * v)},
                ValueError,
                "explained output is -inf for example 0",
            ),
            ({"eval_fun": F.argmax}, ValueError, "no relevance goes through ArgMax"),
        ],
        ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
    )
    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_for_a_calculator(self, settings, error, message, model, x):
        before = state_of(model, x)
        with pytest.raises(error, match=message):
            LRPCalculator(model, **settings).compute(x)
        assert state_of(model, x) == before

    @pytest.mark.parametrize("rule", [AlphaBeta(2, -1), "zbab", Zero()], ids=str)
    def test_nothing_is_changed_where_all_is_well(self, rule, model, x):
        before = state_of(model, x)
        calculator = LRPCalculator(model, rule=rule, low=-5, high=5)
        calculator.compute(x)
        calculator.conservation(x)
        calculator.compute_layers(x, ["/layers/0"])
        assert state_of(model, x) == before

    def test_nothing_is_changed_where_a_handler_raises(self, model, x):
        def choose(layer):
            if layer.n_above == 1:
                raise RuntimeError("no idea")

        before = state_of(model, x)
        rules = Composite(Zero(), choose=choose)
        with pytest.raises(RuntimeError, match="no idea"):
            LRPCalculator(model, rule=rules).compute(x)
        assert state_of(model, x) == before


class TestGivenRelevance:
    @pytest.fixture
    def explained(self, rng):
        return build(MLP), rng.normal(size=(6, 4)), rng.normal(size=(6, 3))

    @pytest.mark.filterwarnings("ignore:all M=2 samples are equal")
    @pytest.mark.parametrize("how", [{"batchsize": 3}, {"batchsize": 4}, {"M": 2}])
    def test_may_have_a_row_for_each_example(self, how, explained):
        model, x, start = explained
        found = LRPCalculator(model, rule="lrp0", relevance=start).compute(x, **how)
        for i, samples in enumerate(found.transpose(1, 0, 2)):
            calculator = LRPCalculator(model, rule="lrp0", relevance=start[i])
            expected = calculator.compute(x[i : i + 1])[0, 0]
            assert_allclose(samples, np.tile(expected, (len(found), 1)), rtol=1e-9)

    @pytest.mark.parametrize("relevance", [None, np.nan, [1.0, np.inf, 0.0]], ids=str)
    def test_must_be_finite(self, relevance, explained):
        model, x, _ = explained
        with pytest.raises((TypeError, ValueError), match=r"^relevance must"):
            LRPCalculator(model, relevance=relevance).compute(x)
