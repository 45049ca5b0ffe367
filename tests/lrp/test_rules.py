"""Every rule at every affine layer is its paper's formula, computed densely."""

from __future__ import annotations

import numpy as np
import pytest

from saliency.lrp import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Norm,
    Pass,
    Rule,
    WinnerTakesAll,
    WSquare,
    Zero,
    ZPlus,
)
from saliency.lrp.rules import Half, Term, nothing
from tests.covering import every_pair
from tests.lrp import oracle
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L

LOW, HIGH = -4.0, 4.5


def linear(**kwargs):
    return L.Linear(6, 4, **kwargs), (6,)


def convolution(ndim, side, **kwargs):
    def new(**more):
        layer = L.ConvolutionND(ndim, 2, 4, 3, **kwargs, **more)
        return layer, (2,) + (side,) * ndim

    return new


def convolution_2d(**kwargs):
    def new(**more):
        return L.Convolution2D(2, 4, 3, **kwargs, **more), (2, 6, 5)

    return new


def depthwise(**kwargs):
    return L.DepthwiseConvolution2D(2, 2, 3, pad=1, **kwargs), (2, 4, 4)


def deconvolution(ndim, side, **kwargs):
    def new(**more):
        layer = L.DeconvolutionND(ndim, 2, 4, 3, **kwargs, **more)
        return layer, (2,) + (side,) * ndim

    return new


def deconvolution_2d(**kwargs):
    def new(**more):
        return L.Deconvolution2D(2, 4, 3, **kwargs, **more), (2, 3, 3)

    return new


LAYERS = {
    "linear": linear,
    "conv1d": convolution(1, 7),
    "conv1d_stride_pad": convolution(1, 7, stride=2, pad=1),
    "conv2d": convolution_2d(),
    "conv2d_stride_pad": convolution_2d(stride=2, pad=2),
    "conv2d_dilated": convolution_2d(dilate=2, pad=1),
    "conv2d_groups": convolution_2d(groups=2),
    "conv2d_all": convolution_2d(stride=(1, 2), pad=(2, 1), dilate=2, groups=2),
    "conv2d_depthwise": depthwise,
    "conv3d": convolution(3, 3),
    "conv3d_all": convolution(3, 3, stride=2, pad=2, dilate=2, groups=2),
    "deconv1d": deconvolution(1, 4),
    "deconv2d": deconvolution_2d(),
    "deconv2d_all": deconvolution_2d(stride=2, pad=1, groups=2),
    "deconv3d_stride_pad": deconvolution(3, 2, stride=2, pad=1),
}

BIASES = ["share", "ignore"]

RULES = {
    "zero": (Zero, oracle.zero),
    "epsilon": (Epsilon, oracle.epsilon(1e-6)),
    "large_epsilon": (
        lambda **bias: Epsilon(0.5, **bias),
        oracle.epsilon(0.5),
    ),
    "norm": (Norm, oracle.epsilon(1e-6)),
    "zplus": (ZPlus, oracle.zplus),
    "alpha2_beta1": (AlphaBeta, oracle.alpha_beta(2, -1)),
    "alpha1_beta0": (
        lambda **bias: AlphaBeta(1, 0, **bias),
        oracle.alpha_beta(1, 0),
    ),
    "alpha1.5_beta0.5": (
        lambda **bias: AlphaBeta(1.5, -0.5, **bias),
        oracle.alpha_beta(1.5, -0.5),
    ),
    "gamma": (Gamma, oracle.gamma(0.25)),
    "gamma_of_3": (lambda **bias: Gamma(3, **bias), oracle.gamma(3)),
    "infinite_gamma": (lambda **bias: Gamma(np.inf, **bias), oracle.gamma(np.inf)),
}

SUMS = {
    "average_pooling_2d": lambda v: F.average_pooling_2d(v, 3, stride=2, pad=1),
    "average_pooling_nd": lambda v: F.average_pooling_nd(v, 2),
    "sum": lambda v: F.sum(v, axis=2),
    "mean": lambda v: F.mean(v, axis=(2, 3)),
    "add": lambda v: v[:, 0] + v[:, 1],
    "sub": lambda v: v[:, 0] - v[:, 1],
    "add_constant": lambda v: v + 1.5,
    "sub_from_constant": lambda v: 1.5 - v,
    "add_three": lambda v: F.add(v[:, 0], v[:, 1], v[:, 0]),
    "broadcast": lambda v: v[:, :, :1] + v,
}

RULES_WITHOUT_BIAS = {
    "box": (Box(LOW, HIGH), oracle.box(LOW, HIGH)),
    "wsquare": (WSquare(), oracle.w_square),
    "flat": (Flat(), oracle.flat),
    "gradient": (Gradient(), oracle.gradient),
}

NOBIAS = {"with_bias": False, "without_bias": True}
SIGNS = ["both_signs", "not_negative"]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def layer_and_input(new_layer, rng, sign="both_signs", **kwargs):
    """Returns a layer with random weights and biases, and two examples for it."""
    shape = []

    def network():
        layer, of_input = new_layer(**kwargs)
        shape.extend(of_input)
        return layer

    layer = build(network)
    x = rng.normal(size=(2, *shape))
    # What comes from a ReLU has zeros.
    return layer, x if sign == "both_signs" else x.clip(min=0)


def check(rule, formula, layer, x, rng, bias="share"):
    """Compares rule and formula, for relevance of both signs."""
    relevance = rng.normal(size=layer(x).shape)
    found, of_bias = oracle.propagate(rule, layer, x, relevance)
    expected, bias_expected = oracle.of_layer(formula, layer, x, relevance, bias)
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * scale)
    assert of_bias == pytest.approx(bias_expected, rel=1e-9, abs=1e-9 * scale)


class TestJacobianOracle:
    @every_pair(
        rule_and_formula=RULES,
        new_layer=LAYERS,
        bias=BIASES,
        nobias=NOBIAS,
        sign=SIGNS,
    )
    def test_layers(self, rule_and_formula, new_layer, bias, nobias, sign, rng):
        new_rule, formula = rule_and_formula
        layer, x = layer_and_input(new_layer, rng, sign, nobias=nobias)
        check(new_rule(bias=bias), formula, layer, x, rng, bias)

    @every_pair(
        rule_and_formula=RULES_WITHOUT_BIAS, new_layer=LAYERS, nobias=NOBIAS, sign=SIGNS
    )
    def test_rules_in_which_the_bias_has_no_share(
        self, rule_and_formula, new_layer, nobias, sign, rng
    ):
        rule, formula = rule_and_formula
        layer, x = layer_and_input(new_layer, rng, sign, nobias=nobias)
        check(rule, formula, layer, x, rng)

    @pytest.mark.parametrize("new_layer", LAYERS.values(), ids=LAYERS)
    def test_a_box_with_bounds_for_each_channel(self, new_layer, rng):
        layer, x = layer_and_input(new_layer, rng)
        ones = (1,) * (x.ndim - 2)
        low = np.linspace(LOW, -3.5, x.shape[1]).reshape(-1, *ones)
        high = np.linspace(3.5, HIGH, x.shape[1]).reshape(-1, *ones)
        flat = [np.broadcast_to(v, x.shape[1:]).ravel() for v in (low, high)]
        check(Box(low, high), oracle.box(*flat), layer, x, rng)

    @every_pair(
        rule_and_formula=RULES,
        bias=BIASES,
        new_layer={n: LAYERS[n] for n in ("linear", "conv2d_all", "deconv1d")},
        n_norm=[1, 2],
    )
    def test_batch_normalization_behind_a_layer_is_one_with_it(
        self, rule_and_formula, bias, new_layer, n_norm, rng
    ):
        new_rule, formula = rule_and_formula
        layer, x = layer_and_input(new_layer, rng)
        norms = [build(L.BatchNormalization, 4, seed=i) for i in range(n_norm)]

        def both(v):
            h = layer(v)
            for norm in norms:
                h = norm(h)
            return h

        with chainer.using_config("train", False):
            check(new_rule(bias=bias), formula, both, x, rng, bias)

    @every_pair(rule_and_formula=RULES, bias=BIASES, sign=SIGNS)
    def test_batch_normalization_alone(self, rule_and_formula, bias, sign, rng):
        new_rule, formula = rule_and_formula
        norm, x = layer_and_input(lambda: (L.BatchNormalization(3), (3, 2)), rng, sign)
        with chainer.using_config("train", False):
            check(new_rule(bias=bias), formula, norm, x, rng, bias)

    @every_pair(rule_and_formula=RULES, f=SUMS, sign=SIGNS)
    def test_sums(self, rule_and_formula, f, sign, rng):
        new_rule, formula = rule_and_formula
        x = rng.normal(size=(2, 2, 4, 4))
        if sign == "not_negative":
            x = x.clip(min=0)
        check(new_rule(), formula, f, x, rng)

    def test_pass_leaves_relevance_as_it_is(self, rng):
        layer = build(L.Linear, 4, 4)
        x, relevance = rng.normal(size=(2, 2, 4))
        found, of_bias = oracle.propagate(Pass(), layer, x, relevance)
        np.testing.assert_array_equal(found, relevance)
        assert of_bias == 0


def shares(rule, x, W, b=None, relevance=1.0, dtype="d"):
    """Returns what one rule gives x, and the bias, at a linear layer."""
    x, W = np.array([x], dtype), np.array(W, dtype)
    b = None if b is None else np.array(b, dtype)
    relevance = np.full((1, len(W)), relevance, dtype)
    found, of_bias = oracle.propagate(rule, lambda v: F.linear(v, W, b), x, relevance)
    assert found.dtype == dtype
    return found[0], of_bias


class TestByHand:
    @pytest.mark.parametrize("rule", [ZPlus(), AlphaBeta(1, 0), Gamma(np.inf)], ids=str)
    def test_zplus_gives_nothing_to_a_negative_contribution(self, rule):
        found, _ = shares(rule, [3, -1], [[1, 1]], relevance=2)
        np.testing.assert_array_equal(found, [2, 0])

    def test_zplus_counts_negative_inputs_with_negative_weights(self):
        found, _ = shares(ZPlus(), [3, -1], [[1, -1]], relevance=2)
        np.testing.assert_allclose(found, [1.5, 0.5])

    def test_a_bias_takes_its_share(self):
        found, of_bias = shares(Zero(), [1, 2], [[1, 1]], [1], relevance=4)
        np.testing.assert_allclose(found, [1, 2])
        assert of_bias == 1

    def test_an_ignored_bias_takes_none(self):
        rule = Zero(bias="ignore")
        found, of_bias = shares(rule, [1, 2], [[1, 1]], [1], relevance=4)
        np.testing.assert_allclose(found, [4 / 3, 8 / 3])
        assert of_bias == 0

    def test_alpha_beta_takes_from_what_is_against_it(self):
        found, _ = shares(AlphaBeta(2, -1), [3, -1], [[1, 1]], relevance=2)
        np.testing.assert_allclose(found, [4, -2])

    def test_the_sign_of_zero_is_one_in_epsilon(self):
        found, _ = shares(Epsilon(0.5), [1, -1], [[1, 1]], relevance=3)
        np.testing.assert_array_equal(found, [6, -6])  # x w / (0 + 0.5) R

    def test_of_a_box_the_corner_has_no_relevance(self):
        found, _ = shares(Box(-1, 1), [-1, 1, 0], [[1, -1, 1]])
        np.testing.assert_allclose(found, [0, 0, 1])

    def test_wsquare_does_not_look_at_the_input(self):
        found, _ = shares(WSquare(), [0, 5], [[1, -2]], [7], relevance=5)
        np.testing.assert_allclose(found, [1, 4])

    def test_flat_looks_at_nothing(self):
        found, _ = shares(Flat(), [0, 5], [[1, -2]], [7], relevance=5)
        np.testing.assert_allclose(found, [2.5, 2.5])

    def test_gradient_multiplies_by_the_weights(self):
        found, _ = shares(Gradient(), [0, 5], [[1, -2]], [7], relevance=5)
        np.testing.assert_allclose(found, [5, -10])


EVERY_RULE = [
    Zero(),
    Epsilon(),
    Norm(),
    ZPlus(),
    AlphaBeta(2, -1),
    Gamma(),
    Gamma(np.inf),
    Box(-1, 1),
    WSquare(),
    Flat(),
]
every_rule = pytest.mark.parametrize("rule", EVERY_RULE, ids=str)


@pytest.mark.filterwarnings("error")
class TestNumbers:
    @every_rule
    def test_nothing_out_of_nothing(self, rule):
        found, _ = shares(rule, [0, 0], [[0, 0], [0, 0]])
        assert np.isfinite(found).all()

    @every_rule
    def test_inputs_near_the_smallest_number_do_not_overflow(self, rule):
        found, _ = shares(rule, [1e-38, 2e-38], [[1, 1]], relevance=1e6, dtype="f")
        assert np.isfinite(found).all()

    @every_rule
    @pytest.mark.parametrize("dtype", ["e", "f", "d"])
    def test_a_dtype_stays(self, rule, dtype, rng):
        W = rng.normal(size=(3, 4))
        shares(rule, rng.normal(size=4), W, rng.normal(size=3), dtype=dtype)

    @pytest.mark.parametrize(
        "rule",
        [AlphaBeta(np.float64(2), np.int64(-1)), Gamma(np.float64(0.3))],
        ids=str,
    )
    def test_settings_of_numpy_promote_nothing(self, rule, rng):
        shares(rule, rng.normal(size=4), rng.normal(size=(3, 4)), dtype="f")

    @every_rule
    def test_a_sum_of_everything_is_a_scalar(self, rule, rng):
        x = rng.uniform(0.1, 1, (2, 3)).astype("f")
        found, _ = oracle.propagate(rule, F.sum, x, np.array(2, "f"))
        assert found.shape == x.shape
        assert found.dtype == np.float32
        assert found.sum() == pytest.approx(4 if str(rule).startswith("Alpha") else 2)


class TestSettings:
    @pytest.mark.parametrize(
        "alpha_and_beta", [(2, 1), (1, 1), (0.5, 0.5), (2, 0), (np.nan, 0), ("2", -1)]
    )
    def test_of_alpha_beta_add_up_to_1(self, alpha_and_beta):
        both_conventions = r"alpha \+ beta = 1.*Bach.*alpha - beta = 1.*\(2, -1\)"
        with pytest.raises(ValueError, match=both_conventions):
            AlphaBeta(*alpha_and_beta)

    @pytest.mark.parametrize("epsilon", [0, -1, np.nan, np.inf, "small", None])
    def test_epsilon_is_positive(self, epsilon):
        with pytest.raises(ValueError, match="epsilon must be a number > 0"):
            Epsilon(epsilon)

    @pytest.mark.parametrize("gamma", [-0.1, np.nan, "large", None])
    def test_gamma_is_not_negative(self, gamma):
        with pytest.raises(ValueError, match="gamma must be a number >= 0"):
            Gamma(gamma)

    @pytest.mark.parametrize("rule", [Zero, Epsilon, Norm, ZPlus, AlphaBeta, Gamma])
    @pytest.mark.parametrize("bias", ["none", None, True])
    def test_a_bias_shares_or_is_ignored(self, rule, bias):
        with pytest.raises(ValueError, match="bias must be one of 'share', 'ignore'"):
            rule(bias=bias)

    @pytest.mark.parametrize(
        "low_and_high", [(1, 0), ([0, 2], [1, 1]), (np.nan, 1)], ids=str
    )
    def test_a_box_is_not_empty(self, low_and_high):
        with pytest.raises(ValueError, match="low must not be above high"):
            Box(*low_and_high)

    def test_the_bounds_of_a_box_fit_one_another(self):
        with pytest.raises(ValueError, match=r"low and high.*\(2,\) and \(3,\)"):
            Box(np.zeros(2), np.ones(3))

    def test_the_bounds_of_a_box_fit_the_input(self, rng):
        layer = build(L.Linear, 4, 2)
        rule = Box(np.zeros(3), np.ones(3))
        with pytest.raises(ValueError, match=r"low must.*\(2, 4\), got shape \(3,\)"):
            oracle.propagate(rule, layer, rng.normal(size=(2, 4)), np.ones((2, 2)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Zero(), "Zero()"),
        (ZPlus(bias="ignore"), "ZPlus(bias='ignore')"),
        (Epsilon(0.25), "Epsilon(epsilon=0.25)"),
        (Norm(), "Norm()"),
        (AlphaBeta(2, -1), "AlphaBeta(alpha=2.0, beta=-1.0)"),
        (Gamma(np.inf), "Gamma(gamma=inf)"),
        (Box(0, np.ones((3, 1, 1))), "Box(low=0, high=<array of shape (3, 1, 1)>)"),
        (WSquare(), "WSquare()"),
        (Flat(), "Flat()"),
        (Pass(), "Pass()"),
        (Gradient(), "Gradient()"),
        (WinnerTakesAll(), "WinnerTakesAll()"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rule_prints_as_it_is_made(rule, text):
    assert repr(rule) == text


@pytest.mark.parametrize(
    "rule", [Zero, Epsilon, Norm, ZPlus, AlphaBeta, Gamma, Box, WSquare, Flat]
)
def test_every_rule_cites_its_source(rule):
    assert "et al." in rule.__doc__


class MyRule(Rule):
    """A rule of one's own takes as many lines as its formula."""

    halves = (Half((Term(abs, abs),), nothing),)


def test_a_rule_of_ones_own():
    found, _ = shares(MyRule(), [1, -1], [[1, -3]], [5], relevance=4)
    np.testing.assert_allclose(found, [1, 3])
    assert repr(MyRule(bias="ignore")) == "MyRule(bias='ignore')"
