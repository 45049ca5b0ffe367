"""DeepLIFT and DeepLiftSHAP through the public API."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import (
    DeepLiftCalculator,
    DeepLiftShapCalculator,
    GaussianNoiseSampler,
    IntegratedGradientsCalculator,
    LRPCalculator,
    list_examples,
)
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L

RNG = np.random.default_rng(4)
X = RNG.normal(size=(4, 3))
X0 = RNG.normal(size=3)


def explain(model, x=X, baseline=None, class_index=0, **call):
    """Returns contributions, after a check that they add up."""
    calculator = DeepLiftCalculator(model, class_index=class_index, baseline=baseline)
    samples = calculator.compute(x, show_progress=False, **call)
    delta = calculator.convergence_delta(samples, x, show_progress=False, **call)
    assert_allclose(delta, 0, atol=1e-10)
    return samples


def test_a_saturated_relu_as_in_figure_1_of_the_article():
    f = lambda x: 1 - F.relu(1 - F.sum(x, axis=1, keepdims=True))  # noqa: E731
    x = np.array([[1.0, 1.0], [0.25, 0.25], [2.0, 0.5]])
    # min(1, i1 + i2): of a sum s > 1, each input brings its share of the 1.
    expected = [[0.5, 0.5], [0.25, 0.25], [0.8, 0.2]]
    assert_allclose(explain(f, x), [expected])


def test_two_layers_by_hand():
    W, b = np.array([[1.0, -2.0], [0.5, 1.0]]), np.array([0.5, -1.0])
    v = np.array([2.0, -3.0])
    f = lambda x: F.linear(F.relu(F.linear(x, W, b)), v[None])  # noqa: E731
    x, x0 = np.array([[2.0, 1.0]]), np.array([-1.0, 0.5])
    # W x + b is (0.5, 1) here and (-1.5, -1) there: quotients 0.5 / 2 and 1 / 2.
    m = v @ (np.array([[0.5 / 2], [1 / 2]]) * W)
    assert_allclose(explain(f, x, x0), [m * (x - x0)])


def relu_network(x):
    h = F.relu(F.linear(x, W1))
    return F.linear(F.relu(F.linear(h, W2)) + h, W3)


W1, W2, W3 = (RNG.normal(size=shape) for shape in ((5, 3), (5, 5), (2, 5)))


def test_without_biases_and_from_0_it_is_lrp0():
    found = explain(relu_network, class_index=1)
    lrp = LRPCalculator(relu_network, class_index=1, rule="lrp0")
    assert_allclose(found, lrp.compute(X, show_progress=False), rtol=1e-10)


def test_of_a_linear_network_it_is_integrated_gradients():
    f = lambda x: F.linear(x, W1)  # noqa: E731
    paths = IntegratedGradientsCalculator(f, class_index=0, steps=1, baseline=X0)
    expected = paths.compute(X, show_progress=False)
    assert_allclose(explain(f, baseline=X0), expected, rtol=1e-12)


class Twin:
    """Draws what a PyTorch twin was filled with: for each layer W, then b."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def draw(self, *shape):
        return self.rng.normal(size=shape) / np.sqrt(shape[-1])

    def linear(self, n_in, n_out):
        w = self.draw(n_out, n_in), self.draw(n_out)
        return lambda x: F.linear(x, *w)

    def convolution(self, n_in, n_out, k):
        w = self.draw(n_out, n_in, k, k), self.draw(n_out)
        return lambda x: F.convolution_2d(x, *w)


class TestCaptum:
    """What Captum 0.9 gives, with PyTorch 2.13 in float64.

    The twins are nn.Sequential of the same layers, in the order of the code; all
    parameters are filled from numpy's default_rng(0) by ``normal(size=shape) /
    sqrt(shape[-1])``, and then data, and what it is compared with, are drawn from it.
    There is no ReLU beside max pooling, where Captum's contributions do not add up.
    """

    def test_of_a_perceptron(self):
        twin = Twin()
        l1, l2 = twin.linear(3, 4), twin.linear(4, 4)
        l3, l4 = twin.linear(4, 4), twin.linear(4, 2)
        f = lambda x: l4(F.sigmoid(l3(F.tanh(l2(F.relu(l1(x)))))))  # noqa: E731
        x, background = twin.rng.normal(size=(2, 3)), twin.rng.normal(size=(3, 3))
        expected = [
            [-0.0024159284, 0.0384914809, 0.0159199295],
            [0.0028374281, 0.0145931169, 0.0156856696],
        ]
        found = explain(f, x, background[0], class_index=1)
        assert_allclose(found, [expected], atol=1e-10)
        expected = [
            [0.0072135792, 0.0211346998, 0.0052398432],
            [0.0002193678, 0.0083399877, 0.0061494992],
        ]
        calculator = DeepLiftShapCalculator(f, class_index=1, background=background)
        found = calculator.compute(x, show_progress=False)
        assert_allclose(found, [expected], atol=1e-10)

    def test_of_a_convolution_and_max_pooling(self):
        twin = Twin()
        convolution = twin.convolution(1, 2, 2)
        l1, l2 = twin.linear(8, 4), twin.linear(4, 2)
        f = lambda x: l2(F.softplus(l1(F.max_pooling_2d(convolution(x), 2))))  # noqa: E731
        x, x0 = twin.rng.normal(size=(1, 1, 5, 5)), twin.rng.normal(size=(1, 5, 5))
        expected = [
            [0, -0.0057377613, -0.0005220692, -0.0348094895, -0.0361110525],
            [-0.1606143168, -0.0396513454, -0.0011535114, -0.304266456, 0.0037370316],
            [-0.0019385625, -0.2954943434, 0, 0, 0],
            [-0.0120089894, -0.0333020214, -0.0457055026, 0.2145838681, 0.0400132982],
            [0, -0.0238780522, 0.1810646146, 0.255279703, 0.025600229],
        ]
        assert_allclose(explain(f, x, x0), [[[expected]]], atol=1e-9)


class TestBaselines:
    model = staticmethod(relu_network)

    def test_a_list_is_averaged(self):
        each = [explain(relu_network, baseline=b) for b in (X0, 0, 0.5)]
        found = explain(relu_network, baseline=[X0, None, 0.5])
        assert_allclose(found, np.mean(each, axis=0), rtol=1e-10)

    def test_a_mean_a_callable_and_one_for_each_example(self):
        mean = explain(relu_network, baseline="mean")
        assert_allclose(mean, explain(relu_network, baseline=X.mean(axis=0)))
        halves = explain(relu_network, baseline=lambda x: x / 2)
        assert_allclose(halves, explain(relu_network, baseline=X / 2))

    def test_a_background_is_a_list_of_baselines(self):
        background = RNG.normal(size=(3, 3))
        of_list = explain(relu_network, baseline=list(background))
        for rows in (background, background.tolist()):
            calculator = DeepLiftShapCalculator(
                relu_network, class_index=0, background=rows
            )
            found = calculator.compute(X, show_progress=False)
            assert_allclose(found, of_list, rtol=1e-10)
            delta = calculator.convergence_delta(found, X, show_progress=False)
            assert_allclose(delta, 0, atol=1e-12)

    def test_of_a_sum_of_functions_of_one_element_it_is_the_shapley_value(self):
        f = lambda x: F.sum(F.exp(x) * F.sigmoid(x), axis=1, keepdims=True)  # noqa: E731
        g = lambda x: np.exp(x) / (1 + np.exp(-x))  # noqa: E731
        background = RNG.normal(size=(5, 3))
        calculator = DeepLiftShapCalculator(f, class_index=0, background=background)
        expected = g(X) - g(background).mean(axis=0)
        assert_allclose(calculator.compute(X, show_progress=False)[0], expected)

    def test_wrong_ones_are_refused(self):
        with pytest.raises(ValueError, match="baseline must be finite"):
            DeepLiftCalculator(relu_network, baseline=np.nan)
        with pytest.raises(ValueError, match="at least one row"):
            DeepLiftShapCalculator(relu_network, background=[])
        with pytest.raises(TypeError, match="background"):
            DeepLiftShapCalculator(relu_network)

    def test_explanations_know_the_base_value(self):
        calculator = DeepLiftCalculator(relu_network, class_index=1, baseline=X0)
        explanation = calculator.explain(X, show_progress=False)
        expected = relu_network(X0[None]).array[0, 1]
        assert_allclose(explanation.base_values, expected)
        total = explanation.values.sum(axis=1) + explanation.base_values
        assert_allclose(total, relu_network(X).array[:, 1])
        background = RNG.normal(size=(3, 3))
        calculator = DeepLiftShapCalculator(
            relu_network, class_index=1, background=background
        )
        found = calculator.explain(X, show_progress=False).base_values
        assert_allclose(found, relu_network(background).array[:, 1].mean())


class Dropped(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(3, 6)
            self.l2 = L.Linear(6, 2)

    def forward(self, x):
        return self.l2(F.dropout(F.tanh(self.l1(x))) * F.dropout(F.tanh(self.l1(x))))


@pytest.mark.parametrize("batchsize", [None, 3])
def test_masks_and_noise_are_the_same_at_the_baseline(batchsize):
    model = build(Dropped)
    how = {"train": True, "noise_sampler": GaussianNoiseSampler(), "M": 3, "seed": 1}
    samples = explain(model, baseline=[X0, 0], batchsize=batchsize, **how)
    assert np.ptp(samples, axis=0).min() > 0
    assert_allclose(samples, explain(model, baseline=[X0, 0], **how), rtol=1e-9)


class TestTargets:
    def test_several_targets_bring_the_difference_together(self):
        f = lambda a, b: F.sum(F.relu(a - b) * b, axis=1, keepdims=True)  # noqa: E731
        calculator = DeepLiftCalculator(
            f, class_index=0, targets="all", baseline=(0.5, X0)
        )
        data = (X, RNG.normal(size=X.shape))
        found = calculator.compute(data, show_progress=False)
        assert len(found) == 2
        delta = calculator.convergence_delta(found, data, show_progress=False)
        assert_allclose(delta, 0, atol=1e-14)

    def test_embeddings_of_sequences_of_different_lengths(self):
        class Texts(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.embed = L.EmbedID(7, 4)
                    self.rnn = L.NStepLSTM(1, 4, 5, 0)
                    self.out = L.Linear(5, 2)

            def forward(self, xs):
                return self.out(self.rnn(None, None, [self.embed(x) for x in xs])[0][0])

        model = build(Texts)
        data = [np.arange(n, dtype="i") for n in (3, 5, 2)]
        calculator = DeepLiftCalculator(
            model, VariableMonitorLinkHook(model.embed), class_index=1
        )
        how = {"converter": list_examples, "show_progress": False}
        found = calculator.compute(data, **how)
        assert found.shape == (1, 3, 5, 4)
        assert_allclose(calculator.convergence_delta(found, data, **how), 0, atol=1e-14)


def test_what_is_cut_off_from_the_graph_is_missed_with_a_warning():
    f = lambda x: F.sum(x + F.exp(x).array, axis=1, keepdims=True)  # noqa: E731
    with pytest.warns(UserWarning, match="cut off from the graph"):
        DeepLiftCalculator(f, class_index=0).compute(X, show_progress=False)


def test_another_way_at_the_baseline_is_an_error():
    def f(x):
        h = F.tanh(x) if x.array.any() else F.sigmoid(x)
        return F.sum(h, axis=1, keepdims=True)

    with pytest.raises(ValueError, match=r"another way .*Tanh .*Sigmoid"):
        DeepLiftCalculator(f, class_index=0).compute(X, show_progress=False)


LAYERS = {
    "linear": lambda h, W: F.linear(h, W),
    "reused relu": lambda h, W: F.relu(F.linear(F.relu(h), W)),
    "residual": lambda h, W: h + F.elu(F.linear(h, W)),
    "gate": lambda h, W: h * F.sigmoid(F.linear(h, W)),
    "shared": lambda h, W: F.linear(F.tanh(F.linear(h, W)), W),
    "concatenation": lambda h, W: F.linear(F.concat([h, F.relu(-h)]), np.tile(W, 2)),
    "maximum": lambda h, W: F.maximum(h, F.linear(h, W)),
    "max pooling": lambda h, W: F.max_pooling_1d(h[:, None], 2, 1, 1)[:, 0, :-1],
    "softmax": lambda h, W: F.softmax(F.linear(h, W)) * 3,
    "log-softmax": lambda h, W: F.log_softmax(h),
    "attention": lambda h, W: F.matmul(
        F.softmax(h[:, :, None] * h[:, None], axis=2), F.linear(h, W)[:, :, None]
    )[:, :, 0],
    "layer normalization": lambda h, W: F.layer_normalization(h, W[0], W[1]),
    "quotient": lambda h, W: h / (1 + F.square(F.linear(h, W))),
    "lstm": lambda h, W: F.lstm(h, F.linear(h, np.tile(W, (4, 1))))[1],
    "in-line relu": lambda h, W: F.where(h.array > 0, h, 0.2 * h),
}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=5),
    st.integers(0, 99),
    st.sampled_from([0.0, 1.0, "x"]),
)
def test_contributions_of_any_network_add_up(names, seed, baseline):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(4, 4)) for _ in names]

    def f(x):
        for name, W in zip(names, weights):
            x = LAYERS[name](x, W)
        return x

    x = rng.normal(size=(2, 4))
    baseline = x + rng.normal(size=4) * 1e-9 if baseline == "x" else baseline
    calculator = DeepLiftCalculator(f, class_index=1, baseline=baseline)
    found = calculator.compute(x, show_progress=False)
    delta = calculator.convergence_delta(found, x, show_progress=False)
    assert_allclose(delta, 0, atol=1e-10 * max(1, abs(found).max()))
