"""Guided backpropagation and deconvnet against an unrolled network."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import (
    DeconvnetCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
)

import chainer
import chainer.functions as F

CALCULATORS = [GuidedBackpropCalculator, DeconvnetCalculator]


@pytest.fixture
def weights(rng):
    return [rng.normal(size=shape) for shape in ((5, 4), (6, 5), (3, 6))]


def network(weights, relu):
    def model(v):
        h = v
        for W in weights[:-1]:
            h = relu(F.matmul(h, W, transb=True))
        return F.matmul(h, weights[-1], transb=True)

    return model


def by_hand(weights, x, c, at_relu, activation=lambda z: z.clip(min=0)):
    """Returns the backward pass of class c, written out."""
    before = []
    h = x
    for W in weights[:-1]:
        before.append(h @ W.T)
        h = activation(before[-1])
    g = np.tile(weights[-1][c], (len(x), 1))
    for W, z in zip(weights[-2::-1], before[::-1]):
        g = at_relu(g, z) @ W
    return g


@pytest.mark.parametrize(
    ("calculator_class", "at_relu"),
    [
        (GuidedBackpropCalculator, lambda g, z: g.clip(min=0) * (z > 0)),
        (DeconvnetCalculator, lambda g, z: g.clip(min=0)),
    ],
)
def test_equals_the_backward_pass_written_out(calculator_class, at_relu, weights, x):
    calculator = calculator_class(network(weights, F.relu), class_index=2)
    expected = by_hand(weights, x, 2, at_relu)
    assert_allclose(calculator.compute(x, batchsize=3)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("calculator_class", CALCULATORS)
def test_of_a_network_that_only_adds_up_it_is_the_gradient(calculator_class, rng):
    """All gradients are positive there, and all units are on."""
    weights = [abs(rng.normal(size=shape)) for shape in ((5, 4), (6, 5), (3, 6))]
    x = abs(rng.normal(size=(7, 4)))
    model = network(weights, F.relu)
    samples = calculator_class(model, class_index=0).compute(x)
    assert_allclose(samples, GradientCalculator(model, class_index=0).compute(x))


def test_a_relu_in_line_counts(weights, x):
    """``F.clipped_relu`` with a bound out of reach is the same function."""
    usual = GuidedBackpropCalculator(network(weights, F.relu), class_index=0)
    clipped = GuidedBackpropCalculator(
        network(weights, lambda h: F.clipped_relu(h, 1e6)), class_index=0
    )
    assert_allclose(clipped.compute(x), usual.compute(x))


# Written so, each is one of the rectifiers; beside it, its derivative by hand.
WRITTEN = {
    "clipped_relu": (lambda h: F.clipped_relu(h, 0.5), lambda z: (z > 0) & (z < 0.5)),
    "leaky_relu": (lambda h: F.leaky_relu(h, 0.3), lambda z: np.where(z > 0, 1, 0.3)),
    "prelu": (
        lambda h: F.prelu(h, np.full(h.shape[1:], 0.3)),
        lambda z: np.where(z > 0, 1, 0.3),
    ),
    "rrelu": (  # in evaluation mode, the mean slope
        lambda h: F.rrelu(h, 0.1, 0.5),
        lambda z: np.where(z > 0, 1, 0.3),
    ),
    "maximum": (lambda h: F.maximum(h, np.zeros_like(h.array)), lambda z: z > 0),
    "zero_first": (lambda h: F.maximum(np.zeros_like(h.array), h), lambda z: z > 0),
    "where": (
        lambda h: F.where(h.array > 0, h, np.zeros_like(h.array)),
        lambda z: z > 0,
    ),
    "where_not": (
        lambda h: F.where(h.array <= 0, np.zeros_like(h.array), h),
        lambda z: z > 0,
    ),
    "clip": (lambda h: F.clip(h, 0.0, 0.5), lambda z: (z > 0) & (z < 0.5)),
}
every_way = pytest.mark.parametrize(
    ("relu", "derivative"), WRITTEN.values(), ids=WRITTEN
)


@every_way
def test_a_rectifier_is_known_however_it_is_written(relu, derivative, weights, x):
    def guided(g, z):
        return g.clip(min=0) * derivative(z)

    model = network(weights, relu)
    samples = GuidedBackpropCalculator(model, class_index=2).compute(x, batchsize=3)
    expected = by_hand(weights, x, 2, guided, activation=lambda z: relu_of(relu, z))
    assert_allclose(samples[0], expected, rtol=1e-10)
    plain = GradientCalculator(model, class_index=2).compute(x)
    assert abs(samples - plain).max() > 0.1

    deconv = DeconvnetCalculator(model, class_index=2).compute(x, batchsize=3)
    expected = by_hand(
        weights, x, 2, lambda g, z: g.clip(min=0), lambda z: relu_of(relu, z)
    )
    assert_allclose(deconv[0], expected, rtol=1e-10)


def relu_of(relu, z):
    with chainer.using_config("train", False):
        return relu(chainer.Variable(z)).array


def test_both_halves_of_a_concatenated_relu_are_rectifiers(rng):
    W1, W2 = rng.normal(size=(5, 4)), rng.normal(size=(3, 10))
    x = rng.normal(size=(7, 4))

    def model(v):
        h = F.matmul(v, W1, transb=True)
        return F.matmul(F.crelu(h), W2, transb=True)

    z = x @ W1.T
    first, second = W2[1, :5].clip(min=0), W2[1, 5:].clip(min=0)
    guided = (first * (z > 0) - second * (z < 0)) @ W1
    samples = GuidedBackpropCalculator(model, class_index=1).compute(x)
    assert_allclose(samples[0], guided, rtol=1e-10)
    deconv = np.tile((first - second) @ W1, (7, 1))
    samples = DeconvnetCalculator(model, class_index=1).compute(x)
    assert_allclose(samples[0], deconv, rtol=1e-10)


NOT_RECTIFIERS = {
    "tanh": F.tanh,
    "elu": F.elu,
    "maximum_of_another_value": lambda h: F.maximum(h, np.full_like(h.array, -1)),
    "maximum_of_two_signals": lambda h: F.maximum(h, 0 * h),
    "where_of_something_else": lambda h: F.where(
        h.array > -9, h, np.zeros_like(h.array)
    ),
    "a_mask_behind_what_is_positive": lambda h: F.where(
        h.array > -9, F.softplus(h), np.zeros_like(h.array)
    ),
    "clip": lambda h: F.clip(h, -1.0, 1.0),
}


@pytest.mark.parametrize("calculator_class", CALCULATORS)
@pytest.mark.parametrize("activation", NOT_RECTIFIERS.values(), ids=NOT_RECTIFIERS)
def test_without_a_rectifier_it_is_the_gradient_and_says_so(
    calculator_class, activation, weights, x
):
    model = network(weights, activation)
    calculator = calculator_class(model, class_index=1)
    expected = GradientCalculator(model, class_index=1).compute(x, M=3)
    for compute in (calculator.compute, calculator.compute_aggregate):
        with pytest.warns(UserWarning, match="no rectifier") as caught:
            samples = compute(x, M=3, batchsize=2)
        assert [w.filename for w in caught if "rectifier" in str(w.message)] == [
            __file__
        ]
        assert_allclose(samples, expected if samples.ndim == 3 else expected[0])


@pytest.mark.filterwarnings("ignore:no rectifier")
@pytest.mark.parametrize("calculator_class", CALCULATORS)
def test_an_example_whose_units_are_all_on_has_nothing_of_others(calculator_class, rng):
    """A ``where`` that leaves nothing out may be a mask, also beside other examples."""
    weights = [rng.normal(size=(3, 4)) * [[1], [1], [-1]], rng.normal(size=(2, 3))]
    x = np.linalg.pinv(weights[0]) @ np.array([[1, 2, 3], [1, -2, 3], [-1, 2, -3]]).T
    for relu in (WRITTEN["where"][0], WRITTEN["where_not"][0]):
        calculator = calculator_class(network(weights, relu), class_index=1)
        found = calculator.compute(x.T)
        alone = [calculator.compute(row[None])[:, 0] for row in x.T]
        assert_allclose(found, np.stack(alone, axis=1), rtol=1e-10)
        usual = calculator_class(network(weights, F.relu), class_index=1).compute(x.T)
        assert_allclose(found[:, 1:], usual[:, 1:], rtol=1e-10)


@pytest.mark.parametrize("calculator_class", CALCULATORS)
def test_a_maximum_is_a_rectifier_for_the_examples_whose_bound_is_zero(
    calculator_class, weights, x
):
    """The bound may be a part of the data."""
    bound = np.array([0.0, 0, -0.5, 0, 0.2, 0, -9])[:, None]
    first, last = weights[0], weights[-1][:, :5]

    def model(v, least):
        h = F.matmul(v, first, transb=True)
        h = F.maximum(h, F.broadcast_to(least, h.shape))
        return F.matmul(h, last, transb=True)

    calculator = calculator_class(model, class_index=1)
    found = calculator.compute((x, bound))
    alone = [calculator.compute((x[i : i + 1], bound[i : i + 1])) for i in (0, 1, 3)]
    assert_allclose(found[:, [0, 1, 3]], np.concatenate(alone, axis=1), rtol=1e-10)
    plain = GradientCalculator(model, class_index=1).compute((x, bound))
    others = bound[:, 0] != 0
    assert_allclose(found[:, others], plain[:, others])
    assert (abs(found - plain).max(axis=(0, 2))[~others] > 1e-3).all()


def test_one_rectifier_is_enough(weights, x, recwarn):
    activations = iter([F.tanh, F.relu] * 9)
    model = network(weights, lambda h: next(activations)(h))
    GuidedBackpropCalculator(model, class_index=1).compute(x, M=2, batchsize=7)
    assert not [w for w in recwarn if "rectifier" in str(w.message)]


class Static(chainer.Chain):
    """A network whose call is scheduled once, and then run as one function."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = chainer.links.Linear(4, 5)

    @chainer.graph_optimizations.static_graph.static_graph
    def forward(self, x):
        return F.relu(self.l1(x))


def test_a_static_graph_is_looked_into(x):
    model, x = Static(), x.astype("f")
    for _ in range(3):  # so that a schedule is there
        model(chainer.Variable(x))
    samples = GuidedBackpropCalculator(model, class_index=1).compute(x, batchsize=7)
    direct = lambda v: F.relu(model.l1(v))  # noqa: E731
    expected = GuidedBackpropCalculator(direct, class_index=1).compute(x)
    assert_allclose(samples, expected, rtol=1e-5)


def test_a_function_that_hides_others_is_refused(x):
    calculator = GuidedBackpropCalculator(
        lambda v: F.forget(lambda h: F.relu(h * h), v), class_index=1
    )
    with pytest.raises(ValueError, match=r"Forget.*not in the graph"):
        calculator.compute(x)
