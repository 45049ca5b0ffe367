"""What multipliers are at single functions, by hand and in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import DeepLiftCalculator
from saliency.deep_lift import register_multipliers
from saliency.lrp import register_handler
from tests.deep_lift.compared import Compared

import chainer
import chainer.functions as F


def multipliers(f, *ends):
    """Returns those of the inputs of f, for the multiplier 1 of its output."""
    xs, xs0 = ([np.array(v, "d") for v in end] for end in zip(*ends))
    with chainer.no_backprop_mode():
        start = [np.ones_like(f(*map(chainer.Variable, xs)).array)]
    return Compared(f, xs, xs0, start=start).multipliers


@pytest.mark.parametrize(
    "relu",
    [
        F.relu,
        lambda h: F.maximum(h, np.zeros_like(h.array)),
        lambda h: h * (h.array > 0).astype("d"),
        lambda h: F.where(h.array > 0, h, np.zeros_like(h.array)),
        lambda h: F.clip(h, 0.0, 100.0),
        lambda h: -F.minimum(-h, np.zeros_like(h.array)),
        lambda h: F.leaky_relu(h, 0.0),
    ],
)
def test_a_relu_is_the_same_however_it_is_written(relu):
    x, x0 = [3.0, -1.0, 2.0, -1.0, 1.0, -2.0], [1.0, -3.0, -2.0, 3.0, 1.0, -2.0]
    (m,) = multipliers(relu, (x, x0))
    assert_allclose(m, [1, 0, 0.5, 0.75, 1, 0], atol=1e-15)


def test_a_leaky_relu_of_two_branches_is_rescaled():
    (m,) = multipliers(
        lambda h: F.where(h.array > 0, h, 0.1 * h), ([2.0, -1.0], [-2.0, 3.0])
    )
    assert_allclose(m, [(2 + 0.2) / 4, (-0.1 - 3) / -4])


def test_a_condition_that_comes_from_elsewhere_is_no_share_of_the_inputs():
    flags = iter([np.array([True]), np.array([True]), np.array([False])])
    f = lambda a: F.where(next(flags), a, np.array([50.0]))  # noqa: E731
    (m,) = multipliers(f, ([1.0], [0.9]))
    assert_allclose(m, [0.5])


def test_a_saturated_unit_passes_on_what_it_did_before():
    x, x0 = 6.0, -1.0
    (m,) = multipliers(F.tanh, ([x], [x0]))
    assert_allclose(m, [(np.tanh(x) - np.tanh(x0)) / (x - x0)])


@pytest.mark.parametrize("apart", [0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (F.sigmoid, lambda x: 1 / (2 + np.exp(x) + np.exp(-x))),
        (F.exp, np.exp),
        (F.log, lambda x: 1 / x),
        (lambda x: x**3, lambda x: 3 * x**2),
    ],
)
def test_near_the_baseline_it_is_the_gradient_to_many_digits(f, derivative, apart):
    (m,) = multipliers(f, ([0.7 + apart], [0.7]))
    assert_allclose(m, derivative(0.7 + apart / 2), rtol=1e-9 + apart**2)


def test_the_root_of_zero_has_no_infinite_multiplier():
    (m,) = multipliers(F.sqrt, ([0.0, 4.0], [0.0, 0.0]))
    assert_allclose(m, [0, 0.5])


def test_a_product_has_the_mean_of_the_other_factor():
    a, b = multipliers(lambda a, b: a * b, ([2.0], [1.0]), ([5.0], [-1.0]))
    assert_allclose([a, b], [[2], [1.5]])


def test_attention_and_other_matrix_products_have_the_mean_of_the_other_factor():
    rng = np.random.default_rng(0)
    a, a0, b, b0 = (rng.normal(size=(2, 2)) for _ in range(4))
    of_a, of_b = multipliers(F.matmul, (a, a0), (b, b0))
    ones = np.ones((2, 2))
    assert_allclose(of_a, ones @ ((b + b0) / 2).T)
    assert_allclose(of_b, ((a + a0) / 2).T @ ones)


def test_a_quotient_is_what_its_product_says():
    a, b = multipliers(lambda a, b: a / b, ([6.0], [1.0]), ([3.0], [1.0]))
    assert_allclose([a, b], [[0.5], [-0.75]])  # 1 / 2, and -(2 + 1) / 2 / 2


def test_a_power_has_shapley_values():
    a, b = multipliers(lambda a, b: a**b, ([3.0], [2.0]), ([2.0], [1.0]))
    # Of the base 3 and the exponent 2, from 2 and 1: 9, 3, 4, 2.
    assert_allclose([a, b], [[((9 - 4) + (3 - 2)) / 2], [((9 - 3) + (4 - 2)) / 2]])


def test_softmax_has_logarithmic_means():
    z, z0, m = np.array([1.0, 2.0, -1.0]), np.array([0.5, -1.0, 0.0]), [1.0, 0.0, 0.0]
    p, p0 = (np.exp(v) / np.exp(v).sum() for v in (z, z0))
    mean = (p - p0) / (np.log(p) - np.log(p0))
    expected = mean * (np.array(m) - mean[0] / mean.sum())
    found = Compared(
        lambda x: F.softmax(x, axis=1), [z[None]], [z0[None]], start=[np.array([m])]
    ).multipliers[0]
    assert_allclose(found, expected[None], rtol=1e-12)
    assert_allclose(found @ (z - z0), p[:1] - p0[:1], rtol=1e-12)


def test_softmax_behind_a_mask_of_minus_infinity():
    mask = np.array([[True, True, False]])
    f = lambda x: F.softmax(F.where(mask, x, np.full((1, 3), -np.inf)))  # noqa: E731
    this = Compared(f, [np.array([[1.0, 2, 3]])], [np.array([[0.0, 3, -1]])])
    assert this.multipliers[0][0, 2] == 0
    assert_allclose(this.found, this.expected)


def test_a_maximum_gives_all_to_the_element_that_made_it():
    x = np.array([[[5.0, 1, 2, 7, 0, 0]]])
    x0 = np.array([[[1.0, 3, 8, 2, 0, 0]]])
    pool = lambda x: F.max_pooling_1d(x, 2)  # noqa: E731
    (m,) = multipliers(pool, (x, x0))
    # 3 to 5, by the first; 8 to 7, by what was the largest; 0 and 0, by both.
    assert_allclose(m[0, 0], [2 / 4, 0, 1 / 6, 0, 0.5, 0.5])


def test_those_that_are_the_largest_together_share_a_maximum():
    x = np.array([[[[1.0, 0.5], [0.0, 0.0]]]])
    x0 = np.array([[[[2.0, 2.0], [2.0, 2 - 1e-15]]]])
    (m,) = multipliers(lambda x: F.max_pooling_2d(x, 2), (x, x0))
    assert_allclose(m * (x - x0), np.full((1, 1, 2, 2), -0.25))
    (m,) = multipliers(lambda x: F.max(x, axis=(2, 3)), (x, x0))
    assert_allclose(m * (x - x0), np.full((1, 1, 2, 2), -0.25))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.max(x, axis=2),
        lambda x: F.max_pooling_1d(x, 2)[:, :, 0],
        lambda x: F.maximum(x[:, :, 0], x[:, :, 1]),
    ],
)
def test_elements_in_float16_that_rounding_does_not_explain_do_not_share(f):
    x, baseline = (np.array([[pair]], np.float16) for pair in ([1, 1.5], [1.9, 2]))
    calculator = DeepLiftCalculator(f, class_index=0, baseline=baseline)
    assert_array_equal(calculator.compute(x), [[[[0, -0.5]]]])


class Cubed(chainer.FunctionNode):
    def forward(self, inputs):
        return (inputs[0] ** 3,)


class Doubled(Cubed):
    def forward(self, inputs):
        return (2 * inputs[0],)


class OfUser(chainer.Function):
    def forward(self, inputs):
        return (inputs[0] + 1,)


def test_functions_of_a_user_are_of_a_kind_or_have_multipliers_of_their_own():
    x, x0 = np.array([[2.0]]), np.array([[1.0]])
    explain = lambda f: DeepLiftCalculator(  # noqa: E731
        lambda v: f().apply((v,))[0], class_index=0, baseline=x0
    ).compute(x, show_progress=False)
    with pytest.raises(ValueError, match=r"multipliers of Cubed .*register_handler"):
        explain(Cubed)
    register_multipliers(Cubed, lambda pair: [pair.m * pair.dy / pair.dx(0)])
    assert_allclose(explain(Cubed), [[[7]]])
    register_multipliers(Doubled, lambda pair: [2 * pair.m, None])
    with pytest.raises(ValueError, match="multipliers of Doubled"):
        explain(Doubled)
    register_handler(OfUser, lambda this, rule: [this.output_relevance])
    with pytest.raises(ValueError, match="multipliers of OfUser"):
        DeepLiftCalculator(lambda v: OfUser()(v), class_index=0).compute(x)
    with pytest.raises(TypeError, match="function_class must be a class of functions"):
        register_multipliers("Cubed", list)
    with pytest.raises(TypeError, match="handler must be a callable"):
        register_multipliers(Cubed, "elementwise")


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: F.sum(F.forget(F.exp, x), axis=1), "goes through Forget .*directly"),
        (lambda x: F.batch_inv(F.reshape(x, (-1, 2, 2))), "goes through BatchInv "),
        (lambda x: F.prelu(x, x[0]), "goes through PReLUFunction .*parameters"),
        (lambda x: F.swish(x, x[0]), "goes through Swish .*parameters"),
    ],
)
def test_what_has_no_multipliers_is_named(f, message):
    x = np.array([[1.0, 2.0, 3.0, 5.0]])
    calculator = DeepLiftCalculator(f, class_index="sum", baseline=x[:, ::-1] ** 2)
    with pytest.raises(ValueError, match=message):
        calculator.compute(x, show_progress=False)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("slope", [0.01, 0.1, 0.2])
@pytest.mark.parametrize("baseline", [0, -1.5])
def test_rounding_does_not_decide_on_the_multiplier_of_a_mask(dtype, slope, baseline):
    def leaky(x):
        return x * np.where(x.array >= 0, 1, slope).astype(x.dtype)

    x = -abs(np.random.default_rng(0).standard_normal((20, 50))).astype(dtype)
    calculator = DeepLiftCalculator(leaky, baseline=baseline, class_index="sum")
    samples = calculator.compute(x)
    eps = np.finfo(dtype).eps
    assert_allclose(
        samples[0], slope * (x - x.dtype.type(baseline)), 1e3 * eps, 8 * eps
    )


@pytest.mark.parametrize("f", [
    lambda x: F.max(x, axis=1),
    lambda x: F.max_pooling_1d(x.transpose(0, 2, 1), x.shape[1])[:, :, 0],
    lambda x: -F.min(-x, axis=1),
    lambda x: F.maximum(F.maximum(x[:, 0], x[:, 1]), x[:, 2]),
])  # fmt: skip
def test_a_maximum_behind_a_mask_of_minus_infinity(f):
    x = np.random.default_rng(0).standard_normal((3, 3, 4)).astype("f")
    is_there = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0]], bool)

    def model(v, m):
        masked = np.broadcast_to(np.where(m, 0, -np.inf)[..., None], v.shape)
        return f(v + masked.astype("f"))

    samples = DeepLiftCalculator(model, baseline=0, class_index=1).compute(
        (x, is_there)
    )
    expected = np.where(is_there, x[..., 1], -np.inf).max(axis=1)
    assert_allclose(samples[0].sum(axis=(1, 2)), expected, 1e-5)
    assert not samples[0][~is_there].any()
