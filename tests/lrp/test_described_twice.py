"""The engine beside trained networks in plain NumPy, on real digits, for every rule."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import LRPCalculator, fast_cpu
from saliency.lrp import (
    AlphaBeta,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    WSquare,
    ZPlus,
)
from tests.lrp import oracle
from tests.lrp.numpy_network import (
    AveragePooling,
    Convolution,
    Flatten,
    Linear,
    MaxPooling,
    Network,
    ReLU,
)

import chainer
import chainer.functions as F

EXAMPLES = Path(__file__).parents[2] / "examples" / "lrp"
norm = oracle.epsilon(1e-6)  # at average pooling, where the composite says nothing

# What the calculator is given, and the formulas of affine layers, of the first of them,
# and of average pooling.
RULES = {
    "simple": ("lrp0", oracle.zero, None, oracle.zero),
    "epsilon": ("epsilon", oracle.epsilon(1e-6), None, norm),
    "epsilon of 1": (Epsilon(1.0), oracle.epsilon(1), None, norm),
    "alpha-beta (2, -1)": ("alpha2_beta1", oracle.alpha_beta(2, -1), None, norm),
    "alpha-beta (3, -2)": (AlphaBeta(3, -2), oracle.alpha_beta(3, -2), None, norm),
    "z+": ("zplus", oracle.zplus, None, oracle.zplus),
    "gamma": (Gamma(0.25), oracle.gamma(0.25), None, norm),
    "deep taylor": ("deep_taylor", oracle.zplus, oracle.box(0, 1), oracle.zplus),
    "w^2 first": (
        Composite(ZPlus(), first=WSquare()),
        oracle.zplus,
        oracle.w_square,
        norm,
    ),
    "flat first": (Composite(ZPlus(), first=Flat()), oracle.zplus, oracle.flat, norm),
}


@pytest.fixture(scope="module")
def example():
    """The modules that the scripts share."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import data
        import networks
    finally:
        sys.path.remove(str(EXAMPLES))
    return {"data": data, "networks": networks}


@pytest.fixture(
    scope="module", params=["digits", pytest.param("mnist", marks=pytest.mark.large)]
)
def digits(request, example):
    if request.param == "mnist":
        folder = chainer.dataset.get_dataset_directory("pfnet/chainer/mnist", False)
        if not (Path(folder) / "train.npz").exists():
            pytest.skip("MNIST is not in Chainer's data folder (CHAINER_DATASET_ROOT)")
    found = example["data"].load_digits(request.param)
    return found._replace(x_train=found.x_train[:6000], t_train=found.t_train[:6000])


def fit(model, digits, n_update):
    optimizer = chainer.optimizers.Adam(alpha=3e-3).setup(model)
    order = np.random.default_rng(0)
    with fast_cpu():
        for _ in range(n_update):
            rows = order.choice(len(digits.x_train), 64, replace=False)
            x, t = digits.x_train[rows], digits.t_train[rows]
            optimizer.update(lambda x, t: F.softmax_cross_entropy(model(x), t), x, t)


def layer_of(link):
    W, b = link.W.array, link.b.array
    return Linear(W, b) if W.ndim == 2 else Convolution(W, b)


def mlp(networks, x):
    model = networks.MLP()

    def describe():
        l1, l2, l3 = map(layer_of, (model.l1, model.l2, model.l3))
        return [Flatten(), l1, ReLU(), l2, ReLU(), l3]

    return model, describe


def cnn(networks, x):
    model = networks.CNN()

    def describe():
        first = [layer_of(model.conv1), ReLU(), MaxPooling()]
        second = [layer_of(model.conv2), ReLU(), MaxPooling()]
        return [*first, *second, Flatten(), layer_of(model.out)]

    return model, describe


def lenet(networks, x):
    model = networks.LeNet()

    def describe():
        layers = []
        for conv in (model.conv1, model.conv2, model.conv3):
            layers += [layer_of(conv), ReLU(), AveragePooling()]
        return [*layers, layer_of(model.conv4), Flatten()]

    return model, describe


@pytest.fixture(scope="module", params=[mlp, cnn, lenet], ids=lambda f: f.__name__)
def trained(request, digits, example):
    """A trained network in float64, its description, and some digits."""
    if request.param is lenet:
        enlarged = example["data"].enlarged
        digits = digits._replace(
            x_train=enlarged(digits.x_train), x_test=enlarged(digits.x_test)
        )
    state = np.random.get_state()
    np.random.seed(0)  # for Chainer's initial weights
    model, describe = request.param(example["networks"], digits.x_train)
    fit(model, digits, n_update=25 if request.param is cnn else 40)
    np.random.set_state(state)
    for parameter in model.params():
        parameter.array = parameter.array.astype(np.float64)
    x, t = digits.x_test[:200].astype(np.float64), digits.t_test[:200]
    # On a blank background all elements of a window are equal, but for rounding, and
    # then it is chance which of them max pooling takes.
    x = np.maximum(x, 0.02 * np.random.default_rng(0).random(x.shape))
    with chainer.using_config("train", False):
        scores = model(x).array
    assert (scores.argmax(axis=1) == t).mean() > 0.8
    # One true class, and one that the network is surest it is not: of negative score.
    classes = np.array([t[0], scores[1].argmin()])
    assert scores[1].min() < 0
    return model, Network(describe()), x[:2], classes


def start_of(scores, classes):
    """Returns the scores of the classes, and 0 for all others."""
    return scores * (np.arange(scores.shape[1]) == classes[:, None])


def assert_same(actual, expected):
    scale = abs(expected).max()
    assert scale > 0
    assert_allclose(actual, expected, rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.large
def test_forward_is_the_same(trained):
    model, network, x, _ = trained
    assert_same(model(x).array, network.forward(x))


@pytest.mark.large
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_that_of_the_second_description(trained, name):
    model, network, x, classes = trained
    rule, affine, first, pooling = RULES[name]
    start = start_of(network.forward(x), classes)
    of_layers = network.relevances(x, start, affine, first or affine, pooling)
    calculator = LRPCalculator(model, class_index=classes, rule=rule)
    assert_same(calculator.compute(x)[0], of_layers[0][0])


@pytest.mark.parametrize("name", ["simple", "epsilon of 1", "alpha-beta (2, -1)"])
def test_the_account_of_every_layer_is_that_of_the_second_description(trained, name):
    model, network, x, classes = trained
    rule, formula, _, pooling = RULES[name]
    start = start_of(network.forward(x), classes)
    of_layers = network.relevances(x, start, formula, formula, pooling)
    report = LRPCalculator(model, class_index=classes, rule=rule).conservation(x)
    expected = [
        (r.sum(), of_bias)
        for layer, (r, of_bias) in zip(network.layers, of_layers)
        if layer.is_affine
    ]
    affine = ("LinearFunction", "Convolution2DFunction")
    found = [(e.passed_on, e.bias) for e in report.entries if e.function in affine]
    found = found[::-1]
    assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * abs(start).max())
    assert_allclose(report.end, of_layers[0][0].sum(), rtol=1e-7)


class TestUnits:
    """Relevance that starts at the units of an inner layer."""

    @pytest.fixture
    def inner(self, trained):
        """The last link but one, and what is below its ReLU's output."""
        model, network, x, classes = trained
        at = [i for i, layer in enumerate(network.layers) if layer.is_affine][-2] + 2
        lower = Network(network.layers[:at])
        name = {"MLP": "l2", "CNN": "conv2", "LeNet": "conv3"}[type(model).__name__]
        return model, model[name], lower, x[:1], classes[:1]

    def test_one_unit_gives_its_row_of_the_map_to_the_input(self, inner):
        model, link, lower, x, _ = inner
        y = lower.forward(x)
        rng = np.random.default_rng(0)
        active = np.flatnonzero(y.ravel() > 0)
        for unit in rng.choice(active, 3, replace=False):
            one = np.zeros(y.size)
            one[unit] = 1
            one = one.reshape(y.shape)
            hook = VariableMonitorLinkHook(link)
            calculator = LRPCalculator(
                model, None, hook, relevance=one[0], rule="alpha2_beta1"
            )
            formula = oracle.alpha_beta(2, -1)
            ((expected, _), *_) = lower.relevances(x, one, formula, formula, norm)
            assert_same(calculator.compute(x)[0], expected)

    @pytest.mark.parametrize("rule", ["epsilon", "alpha2_beta1"])
    @pytest.mark.large
    def test_all_with_their_own_relevance_add_up_to_the_heatmap(self, inner, rule):
        model, link, _, x, classes = inner
        calculator = LRPCalculator(model, class_index=classes, rule=rule)
        whole = calculator.compute(x)[0, 0]
        path = next(path for path, known in model.namedlinks() if known is link)
        own = calculator.compute_layers(x, [path])[path][0, 0]
        if own.size < 500:
            each = np.diag(own.ravel()).reshape(-1, *own.shape)
        else:  # map by map
            each = np.eye(len(own))[:, :, None, None] * own
        injected = LRPCalculator(
            model,
            None,
            VariableMonitorLinkHook(link),
            relevance=each,
            rule=rule,
        ).compute(np.repeat(x, len(each), axis=0), batchsize=64)[0]
        assert len(each) >= 100
        assert_allclose(
            injected.sum(axis=0), whole, rtol=1e-6, atol=1e-9 * abs(whole).max()
        )
