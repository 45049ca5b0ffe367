"""``calls="stack"``: one call of the embedding for each step, or for each tree node."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from link_hooks import VariableMonitorLinkHook
from saliency import (
    BayesGradCalculator,
    EnsemblePosterior,
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    list_examples,
)
from tests.covering import every_value
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.dataset import concat_examples

LENGTHS = [3, 5, 1, 4]
N_UNIT = 3


class Stepwise(chainer.Chain):
    """Embeds one step after the other; behind the end of a text nothing changes."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, N_UNIT)
            self.cell = L.Linear(N_UNIT + 4, 4)
            self.out = L.Linear(4, 2)

    def embedded(self, ids):
        return [self.embed(np.maximum(step, 0)) for step in ids.T]

    def forward(self, ids):
        ids = getattr(ids, "array", ids)
        h = chainer.Variable(np.zeros((len(ids), 4)))
        for x, step in zip(self.embedded(ids), ids.T):
            is_there = np.broadcast_to((step >= 0)[:, None], h.shape)
            h = F.where(is_there, F.tanh(self.cell(F.concat([x, h]))), h)
        return self.out(F.dropout(h, 0.3))


class AtOnce(Stepwise):
    """The same with all steps embedded at once."""

    def embedded(self, ids):
        return F.separate(self.embed(np.maximum(ids, 0)), axis=1)


METHODS = {
    "gradient": GradientCalculator,
    "times_target": partial(GradientCalculator, multiply_target=True),
    "smooth_grad": SmoothGradCalculator,
    "bayes_grad": BayesGradCalculator,
    "integrated_gradients": partial(IntegratedGradientsCalculator, steps=4),
    "own_baseline": partial(
        IntegratedGradientsCalculator,
        steps=3,
        baseline=[0.1, lambda target: target.min(axis=(1, 2), keepdims=True)],
    ),
    "adaptive": partial(IntegratedGradientsCalculator, steps=6, method="adaptive"),
    "occlusion": partial(OcclusionCalculator, slide_axis=1),
    "occlusion_2": partial(OcclusionCalculator, slide_axis=(1, 2), size=(1, 2)),
    "lrp": LRPCalculator,
}
padded = partial(concat_examples, padding=-1)


@pytest.fixture
def texts():
    rng = np.random.default_rng(2)
    return [rng.integers(0, 9, n).astype(np.int32) for n in LENGTHS]


def hook_of(model, calls="stack"):
    return VariableMonitorLinkHook(model.embed, calls=calls)


@every_value(new_calculator=METHODS, batchsize=[1, 3, 16])
def test_equal_a_twin_that_embeds_all_steps_at_once(new_calculator, batchsize, texts):
    how = {"M": 2, "seed": 0, "converter": padded, "batchsize": batchsize}
    results = []
    for cls in (Stepwise, AtOnce):
        model = build(cls)
        calls = "stack" if cls is Stepwise else "sum"
        calculator = new_calculator(model, hook_of(model, calls), class_index="argmax")
        results.append(calculator.compute(texts, **how))
        np.testing.assert_array_equal(calculator.lengths, LENGTHS)
    found, expected = results
    assert found.shape[:3] == (2, 4, 5)
    for i, n in enumerate(LENGTHS):
        assert np.isnan(found[:, i, n:]).all()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def test_a_mean_is_that_of_all_calls(texts):
    ids = np.stack([np.resize(text, 4) for text in texts])
    results = []
    for cls in (Stepwise, AtOnce):
        model = build(cls)
        calls = "stack" if cls is Stepwise else "sum"
        calculator = IntegratedGradientsCalculator(
            model, hook_of(model, calls), baseline="mean", class_index=1, steps=3
        )
        results.append(calculator.compute(ids))
        delta = calculator.convergence_delta(results[-1], ids)
        assert abs(delta).max() < 0.05
    np.testing.assert_allclose(*results, rtol=1e-9)


def test_all_calls_move_together_on_a_path(texts):
    model = build(Stepwise)
    calculator = IntegratedGradientsCalculator(
        model, hook_of(model), class_index=1, steps=40
    )
    found = calculator.compute(texts, converter=padded)
    assert (
        abs(calculator.convergence_delta(found, texts, converter=padded)).max() < 1e-9
    )


def test_noise_is_scaled_by_the_trained_model_and_by_no_other_network(texts):
    model = build(Stepwise)
    calculator = SmoothGradCalculator(model, hook_of(model), class_index=1)
    how = {"converter": padded, "seed": 3, "M": 2}
    second = [
        calculator.compute(
            texts,
            posterior=EnsemblePosterior([build(Stepwise, seed=i), build(Stepwise)]),
            **how,
        )[1]
        for i in (1, 2)
    ]
    np.testing.assert_array_equal(*second)
    np.testing.assert_allclose(second[0], calculator.compute(texts, **how)[1])


def test_noise_of_each_call_is_its_own(texts):
    model = build(Stepwise)
    ids = np.zeros((1, 6), np.int32)  # the same word at each step
    seen = []

    class Seen(GaussianNoiseSampler):
        def sample(self, array, rng):
            noise = super().sample(array, rng)
            seen.append(noise)
            return noise

    sampler = Seen(mode="absolute", scale=1.0)
    how = {"noise_sampler": sampler, "seed": 1}
    GradientCalculator(model, hook_of(model), class_index=0).compute(ids, **how)
    assert seen[0].shape == (1, 6, N_UNIT)
    assert len(np.unique(seen[0])) == 6 * N_UNIT


class Recurrent(chainer.Chain):
    """A cell whose calls depend on those before."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.cell = L.Linear(6, 3)
            self.out = L.Linear(3, 1)

    def forward(self, x):
        h = chainer.Variable(np.zeros((len(x), 3)))
        for t in range(x.shape[1]):
            h = self.cell(F.concat([x[:, t], F.tanh(h)]))
        return self.out(F.tanh(h))


def test_what_a_window_does_not_cover_follows_from_what_it_does(texts):
    model = build(Recurrent)
    x = np.random.default_rng(0).normal(size=(3, 4, 3))
    hook = VariableMonitorLinkHook(model.cell, calls="stack")
    calculator = OcclusionCalculator(model, hook, slide_axis=1, fill=0.2)
    found = calculator.compute(x, batchsize=5)
    assert found.shape == (1, 3, 4, 1)

    def score(covered):
        h = np.zeros((3, 3))
        for t in range(4):
            h = np.concatenate([x[:, t], np.tanh(h)], axis=1) @ model.cell.W.array.T
            h = h + model.cell.b.array
            if t == covered:
                h = np.full_like(h, 0.2)
        return (np.tanh(h) @ model.out.W.array.T + model.out.b.array)[:, 0]

    for t in range(4):
        np.testing.assert_allclose(
            found[0, :, t, 0], score(None) - score(t), rtol=1e-9, atol=1e-12
        )


class TreeSum(chainer.Chain):
    """A sentiment tree by recursion, as in Chainer's example: a node is a call."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, N_UNIT)
            self.join = L.Linear(2 * N_UNIT, N_UNIT)
            self.out = L.Linear(N_UNIT, 2)

    def of_node(self, node):
        if isinstance(node, tuple):
            left, right = map(self.of_node, node)
            return F.tanh(self.join(F.concat([left, right])))
        return self.embed(np.array([node], np.int32))

    def forward(self, trees):
        roots = [self.of_node(getattr(tree, "node", tree)) for tree in trees]
        return self.out(F.dropout(F.concat(roots, axis=0), 0.3))


class LeavesAtOnce(TreeSum):
    """The same, with the leaves of all trees embedded in one row."""

    def of_leaves(self, node, leaves):
        if isinstance(node, tuple):
            left, right = (self.of_leaves(child, leaves) for child in node)
            return F.tanh(self.join(F.concat([left, right])))
        return next(leaves)

    def forward(self, trees):
        ids = [leaf for tree in trees for leaf in leaves_of(tree)]
        embedded = self.embed(np.array(ids, np.int32))
        leaves = iter(F.split_axis(embedded, len(ids), axis=0))
        roots = [self.of_leaves(tree, leaves) for tree in trees]
        return self.out(F.dropout(F.concat(roots, axis=0), 0.3))


def leaves_of(node):
    if not isinstance(node, tuple):
        return [node]
    return [leaf for child in node for leaf in leaves_of(child)]


class Tree:
    """A tree as an object of its own."""

    def __init__(self, node):
        self.node = node


# In a list, so that NumPy and the converter take them for nothing but objects.
TREES = [[((1, 2), (3, (4, 5)))], [7], [(6, (1, 8))], [((2, 2), 3)]]


def as_trees(examples, device):
    return [example[0] for example in examples]


@pytest.mark.large
@every_value(new_calculator=METHODS, batchsize=[2, 16])
def test_leaves_of_trees(new_calculator, batchsize):
    found, expected = [], []
    how = {"M": 2, "seed": 0, "converter": as_trees, "batchsize": batchsize}
    model = build(TreeSum)
    calculator = new_calculator(model, hook_of(model), class_index=1)
    found = calculator.compute(TREES, **how)
    assert found.shape[:3] == (2, 4, 5)
    np.testing.assert_array_equal(calculator.lengths, [5, 1, 3, 3])
    model = build(LeavesAtOnce)
    twin = new_calculator(model, hook_of(model, "sum"), class_index=1)
    expected = twin.compute(TREES, **how)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)
    aggregated = calculator.compute_aggregate(TREES, **how)
    np.testing.assert_allclose(aggregated, found.mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize("batchsize", [1, 3])
def test_the_largest_tree_has_room_in_a_file(batchsize, tmp_path):
    model = build(TreeSum)
    calculator = GradientCalculator(model, hook_of(model), class_index=1)
    how = {"converter": list_examples, "batchsize": batchsize}
    trees = [Tree(tree) for (tree,) in TREES[::-1]]
    found = calculator.compute_aggregate(trees, out=tmp_path / "x.npy", **how)
    np.testing.assert_array_equal(calculator.lengths, [3, 3, 1, 5])
    np.testing.assert_array_equal(found, calculator.compute(trees, **how)[0])


class Uneven(Stepwise):
    """Embeds a step once more where an embedding is zero, as masks of users do."""

    def forward(self, ids):
        h = [self.embed(step) for step in getattr(ids, "array", ids).T]
        if not h[0].array.all():
            h.append(self.embed(ids[:, 0]))
        return self.out(self.cell(F.concat([sum(h), self.xp.zeros((len(ids), 4))])))


def test_another_number_of_calls_than_expected_is_refused():
    model = build(Uneven)
    calculator = OcclusionCalculator(model, hook_of(model), slide_axis=1)
    with pytest.raises(ValueError, match=r"calls='stack' needs as many calls .* 2 in"):
        calculator.compute(np.zeros((2, 2), np.int32))


def test_settings_of_the_hook():
    link = L.EmbedID(2, 2)
    hook = VariableMonitorLinkHook(link, calls="stack")
    assert repr(hook).endswith("calls='stack')")
    with pytest.raises(ValueError, match="calls must be 'sum' or 'stack', got 'mean'"):
        VariableMonitorLinkHook(link, calls="mean")
    with pytest.raises(ValueError, match="call=1 asks for one call"):
        VariableMonitorLinkHook(link, call=1, calls="stack")
    with pytest.raises(ValueError, match="calls='stack' is for target_extractor"):
        GradientCalculator(build(Stepwise), output_extractor=hook)
