"""Normalizations, alone and behind a layer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.lrp import AlphaBeta, Box, Epsilon, Flat, Gamma, WSquare, Zero, ZPlus
from tests.lrp.walked import Walked, as_matrix, between_0_and_1, normal, quotient

import chainer
import chainer.functions as F
import chainer.links as L

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


U = between_0_and_1


class TestNormalization:
    def _check_against_matrix(self, walked, x, weights, bias):
        """R_j = x_j w_jk / (z_k + b_k) R_k, with weights (n_in, n_out)."""
        z = x.ravel()[:, None] * weights
        y = z.sum(axis=0) + bias
        assert_allclose(y, walked.outputs[0].ravel(), rtol=1e-8)
        expected = z @ (walked.start[0].ravel() / y)
        assert_allclose(walked.relevance[0].ravel(), expected, rtol=1e-9, atol=1e-10)
        walked.check_conservation()

    @pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4)])
    def test_batch_normalization_alone(self, shape):
        x, gamma, beta, mean = normal(*shape), *normal(3, 3)
        var = U(3)
        walked = Walked(
            lambda v: F.fixed_batch_normalization(v, gamma, beta, mean, var),
            x,
            rule=Zero(),
        )
        expand = (None, slice(None)) + (None,) * (len(shape) - 2)
        scale = np.broadcast_to((gamma / np.sqrt(var + 2e-5))[expand], shape)
        shift = np.broadcast_to(beta[expand], shape) - mean[expand] * scale
        self._check_against_matrix(walked, x, np.diag(scale.ravel()), shift.ravel())

    def test_batch_normalization_in_training_mode_takes_statistics_as_constants(self):
        x, gamma, beta = normal(4, 3, 2), *normal(2, 3)
        walked = Walked(lambda v: F.batch_normalization(v, gamma, beta), x, rule=Zero())
        deviation = np.sqrt(x.var(axis=(0, 2), keepdims=True) + 2e-5)
        scale = np.broadcast_to(gamma[:, None] / deviation, x.shape)
        shift = beta[:, None] - x.mean(axis=(0, 2), keepdims=True) * scale
        self._check_against_matrix(walked, x, np.diag(scale.ravel()), shift.ravel())

    def test_layer_normalization_takes_the_deviation_as_constant(self):
        x, gamma, beta = normal(1, 5), *normal(2, 5)
        walked = Walked(lambda v: F.layer_normalization(v, gamma, beta), x, rule=Zero())
        centring = np.eye(5) - 1 / 5
        scale = gamma / np.sqrt(x.var() + 1e-5)
        self._check_against_matrix(walked, x, centring * scale, beta)

    def test_group_normalization_takes_the_deviation_as_constant(self):
        x, gamma, beta = normal(2, 4, 3), *normal(2, 4)
        walked = Walked(
            lambda v: F.group_normalization(v, 2, gamma, beta), x, rule=Zero()
        )
        weights = np.zeros((2, 4, 3, 2, 4, 3))
        for n, c, i in np.ndindex(x.shape):
            group = slice(0, 2) if c < 2 else slice(2, 4)
            deviation = np.sqrt(x[n, group].var() + 1e-5)
            weights[n, group, :, n, c, i] -= gamma[c] / deviation / 6
            weights[n, c, i, n, c, i] += gamma[c] / deviation
        bias = np.broadcast_to(beta[:, None], x.shape).ravel()
        self._check_against_matrix(walked, x, weights.reshape(24, 24), bias)

    @pytest.mark.parametrize("n_group", [None, 2])
    @pytest.mark.parametrize(
        "rule",
        [
            *(Zero(), Epsilon(0.1), ZPlus(), AlphaBeta(2, -1), Gamma(0.3)),
            *(WSquare(), Flat(), Box(-3, 4), ZPlus(bias="ignore")),
        ],
        ids=repr,
    )
    def test_with_a_constant_deviation_it_is_a_linear_layer(self, rule, n_group):
        """With the weights of centring and scale, under every rule."""
        x, gamma, beta = normal(1, 6), *normal(2, 6)
        if n_group is None:
            f = lambda v: F.layer_normalization(v, gamma, beta)  # noqa: E731
        else:
            f = lambda v: F.group_normalization(v, n_group, gamma, beta)  # noqa: E731
        n = 6 // (n_group or 1)
        rows = x.reshape(-1, n)
        deviation = np.repeat(np.sqrt(rows.var(axis=1) + 1e-5), n)
        W = np.eye(6) - np.kron(np.eye(6 // n), np.full((n, n), 1 / n))
        W *= (gamma / deviation)[:, None]
        # An element of another group is not connected, which Flat() cannot know of W.
        if n_group and isinstance(rule, Flat):
            parts = [slice(0, 3), slice(3, 6)]
        else:
            parts = [slice(0, 6)]
        found = Walked(f, x, rule=rule)
        for part in parts:
            expected = Walked(
                lambda v, part=part: F.linear(v, W[part, part], beta[part]),
                x[:, part],
                rule=rule,
                start=[found.start[0][:, part]],
            )
            assert_allclose(expected.outputs[0], found.outputs[0][:, part])
            assert_allclose(
                found.relevance[0][:, part], expected.relevance[0], rtol=1e-9, atol=1e-9
            )

    def test_decorrelated_batch_normalization_is_a_linear_map(self):
        x, mean, projection = normal(2, 4, 3), normal(2, 2), normal(2, 2, 2)

        def f(v):
            return F.fixed_decorrelated_batch_normalization(v, mean, projection, 2)

        walked = Walked(f, x, rule=Zero())
        bias = f(0 * x).array.ravel()
        self._check_against_matrix(walked, x, as_matrix(f, [x]) - bias, bias)

    def test_fixed_batch_renormalization_is_batch_normalization(self):
        x, gamma, beta, mean = normal(4, 3), *normal(3, 3)
        arrays = gamma, beta, mean, U(3)
        found = Walked(lambda v: F.fixed_batch_renormalization(v, *arrays), x)
        expected = Walked(lambda v: F.fixed_batch_normalization(v, *arrays), x)
        assert_allclose(found.relevance[0], expected.relevance[0])


def _fold(W, b, scale, shift, out_axis, groups):
    """Returns W and b of the layer whose channels are scaled and shifted."""
    W = W.copy()
    for channel, factor in enumerate(scale):
        if out_axis == 0:
            W[channel] *= factor
        else:
            n_in, n_out = len(W) // groups, W.shape[1]
            group, index = divmod(channel, n_out)
            W[group * n_in : (group + 1) * n_in, index] *= factor
    b = np.moveaxis(np.moveaxis(b, 0, -1) * scale + shift, -1, 0)
    return W, b


# name -> (the function of x, W and b, shapes of x, W and b, axis of W, groups)
FOLDED = {
    "linear": (F.linear, (2, 5), (4, 5), (4,), 0, 1),
    "convolution_1d": (
        lambda *a: F.convolution_1d(*a, pad=1),
        *((2, 2, 5), (4, 2, 3), (4,), 0, 1),
    ),
    "convolution_2d": (
        lambda *a: F.convolution_2d(*a, stride=2, pad=1),
        *((2, 2, 5, 5), (4, 2, 3, 3), (4,), 0, 1),
    ),
    "convolution_2d, groups": (
        lambda *a: F.convolution_2d(*a, groups=2),
        *((1, 4, 5, 5), (4, 2, 3, 3), (4,), 0, 2),
    ),
    "convolution_3d": (
        F.convolution_3d,
        *((1, 2, 3, 3, 3), (4, 2, 2, 2, 2), (4,), 0, 1),
    ),
    "convolution_nd": (F.convolution_nd, (2, 2, 5, 5), (4, 2, 3, 3), (4,), 0, 1),
    "local_convolution_2d": (
        F.local_convolution_2d,
        *((1, 2, 4, 4), (4, 2, 2, 2, 3, 3), (4, 2, 2), 0, 1),
    ),
    "deconvolution_1d": (F.deconvolution_1d, (2, 2, 4), (2, 4, 3), (4,), 1, 1),
    "deconvolution_2d": (
        lambda *a: F.deconvolution_2d(*a, stride=2, pad=1),
        *((2, 3, 3, 3), (3, 4, 3, 3), (4,), 1, 1),
    ),
    "deconvolution_2d, groups": (
        lambda *a: F.deconvolution_2d(*a, groups=2),
        *((1, 6, 3, 3), (6, 2, 3, 3), (4,), 1, 2),
    ),
    "deconvolution_nd, groups": (
        lambda *a: F.deconvolution_nd(*a, groups=2),
        *((1, 6, 3, 3), (6, 2, 3, 3), (4,), 1, 2),
    ),
}


FOLDED_RULES = [
    Zero(),
    Epsilon(0.1),
    ZPlus(),
    ZPlus(bias="ignore"),
    Gamma(0.5),
    AlphaBeta(2, -1),
    Flat(),
]


class TestBatchNormalizationBehindALayer:
    GAMMA, BETA, MEAN = normal(3, 4, seed=3)
    VAR = U(4)

    def _normalize(self, y):
        return F.fixed_batch_normalization(
            y, self.GAMMA, self.BETA, self.MEAN, self.VAR
        )

    def _scale_and_shift(self):
        scale = self.GAMMA / np.sqrt(self.VAR + 2e-5)
        return scale, self.BETA - self.MEAN * scale

    @pytest.mark.parametrize("rule", FOLDED_RULES, ids=repr)
    @pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "nobias"])
    @pytest.mark.parametrize("name", FOLDED)
    def test_is_one_with_it(self, name, with_bias, rule):
        f, of_x, of_W, of_b, out_axis, groups = FOLDED[name]
        x, W = normal(*of_x), normal(*of_W, seed=2)
        b = normal(*of_b) if with_bias else np.zeros(of_b)
        arguments = (W, b) if with_bias else (W,)
        found = Walked(lambda v: self._normalize(f(v, *arguments)), x, rule=rule)
        scale, shift = self._scale_and_shift()
        folded = _fold(W, b, scale, shift, out_axis, groups)
        expected = Walked(lambda v: f(v, *folded), x, rule=rule)
        assert_allclose(found.outputs[0], expected.outputs[0], rtol=1e-10, atol=1e-12)
        assert_allclose(
            found.relevance[0], expected.relevance[0], rtol=1e-10, atol=1e-10
        )
        assert_allclose(found.of_bias, expected.of_bias, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("rule", FOLDED_RULES, ids=repr)
    def test_so_are_scale_and_bias_links_behind_it(self, rule):
        with chainer.using_config("dtype", np.float64):
            chain = chainer.Sequential(
                L.Convolution2D(2, 4, 3),
                L.BatchNormalization(4),
                L.Scale(W_shape=(4,), bias_term=True),
                L.Bias(shape=(4,)),
            )
        for i, (_, p) in enumerate(sorted(chain.namedparams())):
            p.array = normal(*p.shape, seed=i)
        convolution, normalization, scaling, bias = chain
        normalization.avg_mean[...] = self.MEAN
        normalization.avg_var[...] = self.VAR
        factor = normalization.gamma.array / np.sqrt(self.VAR + 2e-5)
        shift = normalization.beta.array - self.MEAN * factor
        scale = scaling.W.array
        shift = shift * scale + scaling.bias.b.array + bias.b.array
        W, b = convolution.W.array, convolution.b.array
        folded = _fold(W, b, factor * scale, shift, 0, 1)
        x = normal(2, 2, 5, 5)
        found = Walked(chain, x, rule=rule)
        expected = Walked(lambda v: F.convolution_2d(v, *folded), x, rule=rule)
        assert_allclose(
            found.relevance[0], expected.relevance[0], rtol=1e-10, atol=1e-10
        )

    def test_not_where_the_layer_is_used_twice(self):
        x, W = normal(2, 5), normal(4, 5)

        def f(v):
            h = F.linear(v, W)
            return F.concat([self._normalize(h), h])

        walked = Walked(f, x, rule=Zero())
        z = x @ W.T
        scale, shift = self._scale_and_shift()
        normalized, as_it_is = np.split(walked.start[0], 2, axis=1)
        of_z = normalized * z * scale / (z * scale + shift) + as_it_is
        assert_allclose(walked.relevance[0], x * ((of_z / z) @ W), rtol=1e-9)

    def test_not_where_the_layer_is_an_output_itself(self):
        x, W = normal(2, 5), normal(4, 5)

        def f(v):
            h = F.linear(v, W)
            return self._normalize(h), h

        walked = Walked(f, x, rule=Zero())
        z = x @ W.T
        scale, shift = self._scale_and_shift()
        of_z = walked.start[0] * z * scale / (z * scale + shift) + walked.start[1]
        assert_allclose(walked.relevance[0], x * ((of_z / z) @ W), rtol=1e-9)

    def test_not_where_something_else_is_added(self):
        """A constant that is no bias of channels, or that the layer is broadcast to."""
        x, W = normal(1, 5), normal(4, 5)
        for constant in (normal(1, 4).repeat(2, 0), normal(2, 4), normal(3, 1, 4)):
            walked = Walked(lambda v, c=constant: F.linear(v, W) + c, x, rule=Zero())
            z = x @ W.T
            of_z = (walked.start[0] * z / (z + constant)).reshape(-1, 4).sum(axis=0)
            assert_allclose(walked.relevance[0], x * ((of_z / z) @ W), rtol=1e-9)


class Kept(chainer.Link):
    """Does something behind a convolution with what it keeps."""

    def __init__(self, then, **kept):
        super().__init__()
        self.then = then
        self.W = normal(4, 2, 3, 3, seed=2)
        with self.init_scope():
            self.learned = chainer.Parameter(kept.pop("learned", normal(4)))
        for name, value in kept.items():
            self.add_persistent(name, value)

    def forward(self, x):
        return self.then(self, F.convolution_2d(x, self.W))


def in_all_places(y, h):
    return F.broadcast_to(F.expand_dims(F.expand_dims(y, 1), 2), h.shape)


def reshaped_between(k, h):
    """Broadcasts to the rows, adds axes, takes one away and broadcasts once more."""
    y = F.broadcast_to(k.learned, h.shape[:2])
    y = F.squeeze(F.reshape(y, (*h.shape[:2], 1, 1, 1)), axis=4)
    return h * F.broadcast_to(y, h.shape)


# name -> (what follows the convolution, what is kept, scale and shift that it comes to)
ONE_WITH_THE_LAYER = {
    "parameter": (lambda k, h: in_all_places(k.learned, h) * h, {}, (normal(4), 0)),
    "parameter with all axes": (
        lambda k, h: h + k.learned,
        {"learned": normal(1, 4, 1, 1)},
        (1, normal(4)),
    ),
    "parameter for all channels": (
        lambda k, h: h * F.broadcast_to(k.learned, h.shape),
        {"learned": normal(1)},
        (normal(1), 0),
    ),
    "parameter, reshaped between": (reshaped_between, {}, (normal(4), 0)),
    "parameter with new axes": (
        lambda k, h: h + k.learned[:, None, None],
        {},
        (1, normal(4)),
    ),
    "parameter with new axes in all places": (
        lambda k, h: h * F.broadcast_to(k.learned[None, ..., None, None], h.shape),
        {},
        (normal(4), 0),
    ),
    "persistent": (lambda k, h: h + k.p, {"p": normal(4, 1, 1)}, (1, normal(4))),
    "view of a persistent": (
        lambda k, h: h + k.p[:, None, None],
        {"p": normal(4)},
        (1, normal(4)),
    ),
    "scale by a persistent": (
        lambda k, h: F.scale(h, k.p),
        {"p": normal(4)},
        (normal(4), 0),
    ),
}

# Each is the same in all places where the batch holds one example.
BY_ITSELF = {
    "array": (lambda k, h: h + normal(4, 1, 1), {}),
    "array of the batch": (lambda k, h: h + normal(9, 4, 1, 1)[: len(h)], {}),
    "parameter of the first rows": (
        lambda k, h: h + F.broadcast_to(k.learned[: len(h)][..., None, None], h.shape),
        {"learned": normal(9, 4)},
    ),
    "function of an array": (
        lambda k, h: h + F.linear(k.p[: len(h)], k.W[:, 0, 0, :2])[..., None, None],
        {"p": normal(9, 2)},
    ),
    "persistent with a row for each example": (
        lambda k, h: h + k.p[: len(h)],
        {"p": normal(9, 4, 1, 1)},
    ),
    "state of one example": (lambda k, h: h + k.p, {"p": normal(1, 4, 1, 1)}),
    "persistent that is looked up": (
        lambda k, h: h + k.p[: len(h), :, None, None],
        {"p": normal(9, 4)},
    ),
    "parameter in the order of the rows": (
        lambda k, h: h + k.learned[:, None, None, None][: len(h)],
        {"learned": normal(9)},
    ),
    "parameter for each place": (
        lambda k, h: h + F.broadcast_to(k.learned, h.shape),
        {"learned": normal(4, 2, 2)},
    ),
}


@pytest.mark.parametrize("n_example", [1, 3])
class TestConstantsBehindALayer:
    """Merged or not, by what they are: the number of examples does not matter."""

    @pytest.mark.parametrize("name", ONE_WITH_THE_LAYER)
    def test_of_the_channels_are_one_with_it(self, name, n_example):
        then, kept, (scale, shift) = ONE_WITH_THE_LAYER[name]
        link = Kept(then, **kept)
        ones = np.ones(4)
        W, b = _fold(link.W, np.zeros(4), scale * ones, shift * ones, 0, 1)
        x = normal(n_example, 2, 4, 4)
        found = Walked(link, x, rule=ZPlus())
        expected = Walked(lambda v: F.convolution_2d(v, W, b), x, rule=ZPlus())
        assert_allclose(found.relevance[0], expected.relevance[0], rtol=1e-10)

    @pytest.mark.parametrize("name", BY_ITSELF)
    def test_others_are_sums_of_their_own(self, name, n_example):
        then, kept = BY_ITSELF[name]
        link = Kept(then, **kept)
        x = normal(n_example, 2, 4, 4)
        found = Walked(link, x, rule=ZPlus())
        z = F.convolution_2d(x, link.W).array
        constant = found.outputs[0] - z
        positive = z.clip(min=0) + constant.clip(min=0)
        of_z = quotient(z.clip(min=0) * found.start[0], positive)
        expected = Walked(
            lambda v: F.convolution_2d(v, link.W), x, rule=ZPlus(), start=[of_z]
        )
        assert_allclose(found.relevance[0], expected.relevance[0], rtol=1e-8)
