"""Integrated Hessians beside closed forms, the definition, Integrated Gradients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from saliency import (
    IntegratedGradientsCalculator,
    IntegratedHessiansCalculator,
)
from saliency.calculator.paths.quadrature import log_weighted
from tests.networks import MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(5, 4))


@pytest.fixture
def model():
    return build(MLP, activation=F.tanh, depth=3)


def name_of_relu(x):
    """Returns the name of the function that F.relu applies."""
    return type(F.relu(chainer.Variable(x)).creator_node).__name__


def hessians(f, data, **settings):
    settings = {"class_index": 0, **settings}
    return IntegratedHessiansCalculator(f, **settings).compute(data)


class TestClosedForms:
    @pytest.mark.parametrize("steps", [2, 25])
    def test_a_product(self, steps):
        """IG of x y is (xy / 2, xy / 2), and each half is shared by two again."""
        data = np.array([[2.0, 3.0], [1.0, -2.0]])
        found = hessians(lambda v: v[:, :1] * v[:, 1:], data, steps=steps)
        expected = np.full((2, 2, 2), 0.25) * data.prod(axis=1)[:, None, None]
        assert_allclose(found[0], expected, rtol=1e-12)

    def test_a_product_from_a_baseline(self):
        """(a + s)(b + t) at s = t = 1: a t and b s are the features' own."""
        a, b, s, t = 2.0, -1.0, 3.0, 5.0
        found = hessians(
            lambda v: v[:, :1] * v[:, 1:],
            np.array([[a + s, b + t]]),
            baseline=np.array([a, b]),
        )
        both = s * t / 4
        assert_allclose(found[0, 0], [[b * s + both, both], [both, a * t + both]])

    def test_powers(self):
        """Of x^2 y, IG_x is 2/3, and IG of that 4/9 for x and 2/9 for y."""
        x, y = 1.5, -2.0
        found = hessians(lambda v: v[:, :1] ** 2 * v[:, 1:], np.array([[x, y]]))
        assert_allclose(found[0, 0], np.array([[4, 2], [2, 1]]) / 9 * x * x * y)

    def test_features_that_do_not_interact(self, x):
        W = np.array([1.0, -2.0, 0.5, 3.0])

        def additive(v):
            return F.sum(W * F.tanh(v), axis=1, keepdims=True)

        found = hessians(additive, x)[0]
        expected = W * np.tanh(x)
        assert_allclose(np.einsum("nii->ni", found), expected, rtol=1e-8)
        off = found - np.einsum("ni,ij->nij", np.einsum("nii->ni", found), np.eye(4))
        assert_allclose(off, 0, atol=1e-14)

    def test_a_linear_function_has_no_second_derivative(self, x):
        linear = build(L.Linear, 4, 3)
        found = hessians(linear, x, class_index=2)[0]
        expected = [np.diag(row) for row in x * linear.W.array[2]]
        assert_allclose(found, expected, rtol=1e-10)


class TestNetworks:
    def test_it_is_integrated_gradients_of_integrated_gradients(self, model, x):
        """By the definition, with two integrals and differences of IG."""

        def attributions(points):
            calculator = IntegratedGradientsCalculator(model, class_index=1, steps=16)
            return calculator.compute(points, show_progress=False)[0]

        nodes, weights = np.polynomial.legendre.leggauss(12)
        nodes, weights = (nodes + 1) / 2, weights / 2
        point, h = x[0], 1e-5
        expected = np.zeros((4, 4))
        for t, w in zip(nodes, weights):
            around = t * point + h * np.concatenate([np.eye(4), -np.eye(4)])
            phi = attributions(around)
            slopes = (phi[:4] - phi[4:]) / (2 * h)  # [i, j], of phi_j along i
            expected += w * point[:, None] * slopes
        found = hessians(model, x, class_index=1)[0, 0]
        assert_allclose(found, expected, rtol=1e-6, atol=1e-9)

    def test_rows_add_up_to_integrated_gradients(self, model, x):
        how = {"class_index": 1, "baseline": [0.5, np.full(4, -1.0)]}
        found = hessians(model, x, **how)
        attributions = IntegratedGradientsCalculator(model, **how).compute(x)
        assert_allclose(found.sum(axis=3), attributions, rtol=1e-7, atol=1e-10)
        assert_allclose(found, found.swapaxes(2, 3), rtol=1e-9, atol=1e-14)
        calculator = IntegratedHessiansCalculator(model, **how)
        delta = calculator.convergence_delta(found, x)
        assert_allclose(delta, 0, atol=1e-7)

    def test_float32_stays(self, x):
        small = build(MLP, activation=F.tanh, depth=3, dtype=np.float32)
        found = hessians(small, x.astype("f"), class_index=1)
        assert found.dtype == np.float32
        wide = hessians(build(MLP, activation=F.tanh, depth=3), x, class_index=1)
        assert_allclose(found, wide, atol=1e-5)

    def test_too_few_steps_are_noticed(self):
        def steep(v):
            return F.sigmoid(40 * F.sum(v, axis=1, keepdims=True) - 20)

        with pytest.warns(UserWarning, match=r"miss f\(x\) - .*Pass more steps"):
            hessians(steep, np.array([[0.7, 0.8]]), steps=2)


class TestExplanations:
    @pytest.fixture
    def table(self, x):
        return pd.DataFrame(x, columns=["age", "weight", "pulse", "height"])

    def test_are_drawn_as_a_matrix(self, model, table):
        calculator = IntegratedHessiansCalculator(model, class_index=1)
        explanation = calculator.explain(table)
        (image,) = explanation.plot().axes[0].images
        magnitudes = abs(explanation.values).mean(axis=0)
        order = np.argsort(-magnitudes.sum(axis=1))
        assert_allclose(image.get_array(), magnitudes[np.ix_(order, order)])
        names = [t.get_text() for t in explanation.plot().axes[0].get_yticklabels()]
        assert names == [table.columns[i] for i in order]
        (image,) = explanation[2].plot("interactions").axes[0].images
        own = explanation.values[2]
        assert image.get_array().min() == own.min() < 0

    def test_of_several_classes_are_not_put_together(self, model, table):
        calculator = IntegratedHessiansCalculator(model, class_index=[0, 1, 0, 1, 2])
        with pytest.raises(ValueError, match="draws one class, but several were"):
            calculator.explain(table).plot()

    def test_what_is_no_matrix(self, model, table):
        explanation = IntegratedGradientsCalculator(model, class_index=1).explain(table)
        with pytest.raises(
            ValueError, match=r"'interactions' draws a matrix.*\(5, 4\)"
        ):
            explanation.plot("interactions")


class TestReLU:
    def test_has_no_second_derivative(self, x):
        for f, name in ((F.relu, "ReLU"), (F.leaky_relu, "LeakyReLU")):
            model = build(MLP, activation=f)
            with pytest.raises(ValueError, match=f"that of {name} is 0 beside"):
                hessians(model, x)
        with pytest.raises(ValueError, match="pass softplus=10"):
            hessians(build(MLP, activation=F.relu), x)

    @pytest.mark.parametrize(
        "f, alpha", [(F.selu, "1.673"), (lambda v: F.elu(v, 0.5), "0.5")]
    )
    def test_a_curve_with_a_kink_misses_what_is_there(self, x, f, alpha):
        with pytest.raises(ValueError, match=f"slope of ELU with alpha={alpha} jumps"):
            hessians(build(MLP, activation=f), x)

    def test_losses_that_jump(self, x):
        for loss in (
            lambda v: F.absolute_error(v, np.ones_like(v.array)),
            lambda v: F.mean_absolute_error(v, np.ones_like(v.array)),
        ):
            with pytest.raises(ValueError, match="AbsoluteError is 0 beside"):
                hessians(loss, x[:1], class_index="sum")

    def test_an_elu_without_a_kink_adds_up(self, x):
        model = build(MLP, activation=F.elu)
        found = hessians(model, x, steps=300)
        expected = IntegratedGradientsCalculator(
            model, class_index=0, steps=300
        ).compute(x)
        assert_allclose(found.sum(axis=3), expected, atol=1e-2)

    def test_is_a_softplus_if_asked_for(self, x):
        relu = build(MLP, activation=F.relu, depth=3)
        smooth = build(MLP, activation=lambda v: F.softplus(v, 5.0), depth=3)
        how = {"class_index": 1, "steps": 40}
        calculator = IntegratedHessiansCalculator(relu, softplus=5, **how)
        found = calculator.compute(x)
        assert_allclose(found, hessians(smooth, x, **how), rtol=1e-9)
        assert_allclose(calculator.convergence_delta(found, x), 0, atol=1e-6)
        # Outside, it is a ReLU still.
        assert name_of_relu(x) == "ReLU"

    def test_is_a_softplus_in_the_thread_of_the_call_alone(self, x):
        """Another thread runs the same network while it is explained."""
        relu = build(MLP, activation=F.relu, depth=3)
        names = []

        def watched(v):
            inside = name_of_relu(x)
            with ThreadPoolExecutor(1) as pool:
                names.append((inside, pool.submit(name_of_relu, x).result()))
            return relu(v)

        hessians(watched, x, class_index=1, softplus=5, steps=2)
        assert ("Softplus", "ReLU") in names
        assert {other for _, other in names} == {"ReLU"}

    def test_the_steeper_the_nearer_to_the_network(self, x):
        model = build(MLP, activation=F.relu, depth=3)
        expected = IntegratedGradientsCalculator(
            model, class_index=1, steps=64, method="adaptive"
        ).compute(x)
        off = [
            abs(
                hessians(model, x, class_index=1, softplus=beta, steps=200).sum(axis=3)
                - expected
            ).max()
            for beta in (2, 20)
        ]
        assert off[1] < off[0] / 5

    def test_an_old_style_function_has_none(self, x):
        class Cube(chainer.Function):
            def forward(self, inputs):
                return (inputs[0] ** 3,)

            def backward(self, inputs, grads):
                return (3 * inputs[0] ** 2 * grads[0],)

        with pytest.raises(ValueError, match="takes none of Cube"):
            hessians(lambda v: Cube()(v), x)


class TestRefusals:
    def test_images(self):
        with pytest.raises(ValueError, match=r"needs a table.*\(2, 1, 4, 4\)"):
            hessians(build(L.Convolution2D, 1, 1, 4), np.ones((2, 1, 4, 4)))

    def test_several_targets(self):
        with pytest.raises(ValueError, match="IntegratedHessiansCalculator"):
            IntegratedHessiansCalculator(lambda a, b: a + b, targets=(0, 1))

    @pytest.mark.parametrize("softplus", [0, -1.0, np.inf, "10", True])
    def test_a_softplus_of_what_is_no_number(self, softplus):
        with pytest.raises(ValueError, match="softplus must be a number > 0 or None"):
            IntegratedHessiansCalculator(F.tanh, softplus=softplus)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_the_quadrature_is_exact_for_polynomials(n):
    """The integral of t^k (-ln t) over [0, 1] is 1 / (k + 1)^2."""
    nodes, weights = log_weighted(n)
    for k in range(n):
        assert_allclose(weights @ nodes**k, 1 / (k + 1) ** 2, rtol=1e-12)
