"""FullGrad: terms that add up to the score, in every kind of network, and the map."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import FullGradCalculator, GaussianNoiseSampler, GradientCalculator
from tests.lrp.test_composites import CNN
from tests.models_of_others.test_networks import CASES, Explained
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


def sums(array):
    return np.nansum(array.reshape(*array.shape[:2], -1), axis=2)


def total(terms):
    return sums(terms.inputs) + sum(map(sums, terms.biases.values()))


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(5, 2, 4, 4))


#: Residual, batch normalization, softmax and layer normalization, a recurrent state.
QUICK = {"ResNet", "TransformerEncoder", "StatefulLanguageModel"}


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.large)
        for name in CASES
    ],
)
def test_the_terms_add_up_to_the_score(name):
    this = Explained(name)
    calculator = this.case.calculator(FullGradCalculator, this.model)
    how = {"converter": this.case.converter, "show_progress": False}
    for i in range(2):
        terms = calculator.decomposition(this.data[i : i + 1], **how)
        rtol = 1e-10 if this.dtype == "d" else 1e-5
        assert_allclose(total(terms), terms.scores, rtol=rtol, atol=rtol)


class TestTerms:
    def test_of_biases_are_gradients_times_biases(self, images):
        cnn = build(CNN)
        terms = FullGradCalculator(cnn, class_index=1).decomposition(images)
        with chainer.using_config("train", False):
            y = cnn(chainer.Variable(images))
        assert_allclose(terms.scores, y.array[None, :, 1], rtol=1e-9)
        shift = cnn.norm.beta.array - cnn.norm.gamma.array * cnn.norm.avg_mean / (
            np.sqrt(cnn.norm.avg_var + cnn.norm.eps)
        )
        layers = {
            "/conv1": (cnn.conv1.b, cnn.conv1.b.array),
            "/norm": (cnn.norm.beta, shift),
            "/conv2": (cnn.conv2.b, cnn.conv2.b.array),
            "/up": (cnn.up.b, cnn.up.b.array),
            "/head/0": (cnn.head[0].b, cnn.head[0].b.array),
            "/head/1": (cnn.head[1].b, cnn.head[1].b.array),
        }
        assert list(terms.biases) == list(layers)
        for path, (parameter, bias) in layers.items():
            (gradient,) = chainer.grad([F.sum(y[:, 1])], [parameter])
            found = terms.biases[path][0]
            axes = (0, *range(2, found.ndim))
            assert_allclose(found.sum(axis=axes), gradient.array * bias, rtol=1e-9)

    def test_at_the_target_is_gradient_times_input(self, images):
        cnn = build(CNN)
        terms = FullGradCalculator(cnn, class_index=1).decomposition(images)
        expected = GradientCalculator(cnn, multiply_target=True, class_index=1)
        assert_allclose(terms.inputs, expected.compute(images), rtol=1e-9)

    def test_of_constants_and_curved_functions_are_implicit_biases(self):
        x = np.random.default_rng(0).normal(size=(3, 4))
        terms = FullGradCalculator(
            lambda v: F.sum(2 * F.softplus(v + 1), axis=1, keepdims=True),
            class_index=0,
        ).decomposition(x)
        slope = 1 / (1 + np.exp(-(x + 1)))
        expected = {
            "AddConstant": 2 * slope,
            "Softplus": 2 * (np.log1p(np.exp(x + 1)) - slope * (x + 1)),
        }
        assert list(terms.biases) == list(expected)
        for name, values in expected.items():
            assert_allclose(terms.biases[name][0], values, rtol=1e-9)

    def test_a_relu_network_without_biases_has_none(self):
        model = build(MLP, activation=F.relu)
        for layer in model.layers:
            layer.b.array[...] = 0
        x = np.random.default_rng(0).normal(size=(3, 4))
        terms = FullGradCalculator(model, class_index=1).decomposition(x)
        assert not any(values.any() for values in terms.biases.values())
        assert_allclose(sums(terms.inputs), terms.scores, rtol=1e-9)

    def test_a_layer_that_is_used_twice_has_two(self):
        layer = build(L.Linear, 4, 4)
        x = np.random.default_rng(0).normal(size=(3, 4))
        model = chainer.Sequential(layer, F.relu, layer)
        terms = FullGradCalculator(model, class_index=1).decomposition(x)
        assert len(terms.biases) == 2
        last = list(terms.biases.values())[1]
        assert_allclose(last[0], [layer.b.array * [0, 1, 0, 0]] * 3)
        assert_allclose(total(terms), terms.scores, rtol=1e-9)

    @pytest.mark.parametrize("batchsize", [1, 2, None])
    def test_rows_may_lie_along_another_axis(self, batchsize):
        """Then each example goes alone, which the sum of its terms shows."""
        layer = build(L.Linear, 3, 2)

        def time_major(v):  # (batch, time, 3)
            h = F.transpose(v, (1, 0, 2))
            h = F.softplus(layer(h, n_batch_axes=2))
            return F.sum(h, axis=0)

        x = np.random.default_rng(0).normal(size=(4, 5, 3))
        calculator = FullGradCalculator(time_major, class_index=1)
        terms = calculator.decomposition(x, batchsize=batchsize)
        assert_allclose(total(terms), terms.scores, rtol=1e-9)
        alone = [calculator.decomposition(one[None]) for one in x]
        expected = np.concatenate([one.biases["Softplus"] for one in alone], axis=1)
        assert_allclose(terms.biases["Softplus"], expected, rtol=1e-9)

    @pytest.mark.parametrize("is_added", [False, True])
    def test_of_masked_tokens_are_zeros(self, is_added):
        """Scores of tokens that are masked by -inf have no gradient."""
        layer = build(L.Linear, 3, 1)
        is_word = np.array([True, True, False])

        def attention(v):  # (batch, time, 3)
            scores = layer(v, n_batch_axes=2)[..., 0]
            masked = np.full(scores.shape, -np.inf)
            if is_added:
                scores += np.where(is_word, 0, masked)
            else:
                where = np.broadcast_to(is_word, scores.shape)
                scores = F.where(where, scores, masked)
            return F.sum(F.softmax(scores)[..., None] * v, axis=1)

        x = np.random.default_rng(0).normal(size=(2, 3, 3))
        terms = FullGradCalculator(attention, class_index=1).decomposition(x)
        assert_allclose(total(terms), terms.scores, rtol=1e-9)
        assert all(np.isfinite(of_one).all() for of_one in terms.biases.values())

    def test_of_samples_with_noise(self, images):
        calculator = FullGradCalculator(build(CNN), class_index=1)
        how = {"noise_sampler": GaussianNoiseSampler(), "seed": 0}
        terms = calculator.decomposition(images, 3, **how)
        assert terms.scores.shape == (3, 5)
        assert_allclose(total(terms), terms.scores, rtol=1e-9)
        again = calculator.decomposition(images, 3, batchsize=2, **how)
        assert_allclose(again.biases["/conv2"], terms.biases["/conv2"], rtol=1e-9)


def psi(terms, size):
    """Returns the magnitudes of an example's terms in [0, 1], resized axis by axis."""
    magnitudes = np.abs(terms)
    magnitudes = magnitudes - magnitudes.min()
    magnitudes = magnitudes / magnitudes.max()
    for axis, n in enumerate(size, 1):
        n_own = magnitudes.shape[axis]
        at = (np.arange(n) + 0.5) * n_own / n - 0.5
        magnitudes = np.apply_along_axis(
            lambda line, at=at, n=n_own: np.interp(at, np.arange(n), line),
            axis,
            magnitudes,
        )
    return magnitudes.sum(axis=0)


class TestMap:
    def test_is_the_sum_over_layers_and_channels(self, images):
        cnn = build(CNN)
        calculator = FullGradCalculator(cnn, class_index=1)
        terms = calculator.decomposition(images)
        found = calculator.compute(images)
        assert found.shape == (1, 5, 4, 4)
        for i in range(5):
            expected = psi(terms.inputs[0, i], (4, 4))
            for path in ("/conv1", "/norm", "/conv2", "/up"):
                expected = expected + psi(terms.biases[path][0, i], (4, 4))
            assert_allclose(found[0, i], expected, rtol=1e-9)

    def test_float32_stays(self, images):
        cnn = build(CNN, dtype=np.float32)
        calculator = FullGradCalculator(cnn, class_index=1)
        found = calculator.compute(images.astype("f"))
        assert found.dtype == np.float32
        terms = calculator.decomposition(images.astype("f"))
        assert terms.inputs.dtype == terms.biases["/norm"].dtype == np.float32
        wide = FullGradCalculator(build(CNN), class_index=1).compute(images)
        assert_allclose(found, wide, rtol=1e-3, atol=1e-4)


class TestRefusals:
    def test_a_table_has_no_map(self):
        x = np.random.default_rng(0).normal(size=(3, 4))
        calculator = FullGradCalculator(build(MLP), class_index=0)
        with pytest.raises(ValueError, match=r"map is one of images.*decomposition"):
            calculator.compute(x)

    def test_several_targets(self):
        with pytest.raises(ValueError, match="FullGradCalculator"):
            FullGradCalculator(lambda a, b: a + b, targets=(0, 1))

    def test_one_value_for_the_batch(self, images):
        cnn = build(CNN)
        calculator = FullGradCalculator(cnn, eval_fun=lambda v: F.sum(cnn(v)))
        for call in (calculator.compute, calculator.decomposition):
            with pytest.raises(ValueError, match="a row for each example"):
                call(images)

    def test_outputs_that_do_not_depend_on_the_target_are_no_terms(self):
        """An output without any way to the target is in no graph from there."""
        layer = build(L.Linear, 4, 2)
        x = np.random.default_rng(0).normal(size=(3, 4))

        def twice(v):
            layer(np.ones_like(v.array))
            return layer(v)

        calculator = FullGradCalculator(
            twice, output_extractor=VariableMonitorLinkHook(layer), class_index=1
        )
        with pytest.raises(ValueError, match="must add up to the score"):
            calculator.decomposition(x)

    def test_a_gradient_that_is_not_a_functions_own_leaves_a_bias(self):
        class Straight(chainer.FunctionNode):
            def forward(self, inputs):
                return (np.sign(inputs[0]),)

            def backward(self, indexes, grads):
                return grads

        x = np.random.default_rng(0).normal(size=(3, 4))
        terms = FullGradCalculator(
            lambda v: F.sum(Straight().apply((v,))[0], axis=1), class_index=0
        ).decomposition(x)
        assert_allclose(terms.biases["Straight"][0], np.sign(x) - x)
