"""No relevance is lost or made on the way: random networks, cut everywhere."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from saliency.lrp import Gamma, Zero
from saliency.lrp.registry import handle
from tests.lrp import oracle

import chainer
import chainer.functions as F
import chainer.links as L

# What a random network is made of: on images, on vectors, and on both.
OF_IMAGES = [
    "convolution",
    "max_pooling",
    "average_pooling",
    "residual_convolution",
    "transpose",
    "flatten",
]
OF_VECTORS = ["linear", "maximum", "split_and_sum", "to_image_and_back"]
OF_BOTH = [
    "relu",
    "normalization",
    "residual",
    "concatenation",
    "shared",
    "arithmetic",
    "own_sum",
]
# With these, relevance is no longer input x gradient, but it is conserved.
CURVED = ["tanh", "gate"]


class RandomNetwork(chainer.Chain):
    """The named steps one after the other; all is drawn from one seed.

    What goes from one step to the next is a waist: everything passes through it.
    """

    def __init__(self, steps, widths, seed, has_bias):
        super().__init__()
        self.steps = steps
        self.widths = widths
        self.seed = seed
        self.has_bias = has_bias

    def forward(self, x):
        self.rng = np.random.default_rng(self.seed)
        self.waists = []
        self._links = {}
        h = x
        for step, width in zip(self.steps, self.widths):
            if hasattr(self, f"{step}_of_image") and h.ndim == 4:
                h = getattr(self, f"{step}_of_image")(h, width)
            elif hasattr(self, step):
                h = getattr(self, step)(h, width)
            self.waists.append(h)
        return self.linear(F.reshape(h, (len(x), -1)), 3)

    def new(self, link, name=None):
        """Returns a link with random parameters; that of a name only once."""
        if name in self._links:
            return self._links[name]
        for parameter in link.params():
            scale = 1 / np.sqrt(max(1, parameter[0].size))
            parameter.array = self.rng.normal(0, scale, parameter.shape)
        if name is not None:
            self._links[name] = link
        return link

    def linear(self, h, width, name=None):
        if h.ndim == 4:
            return self.convolution(h, width)
        link = L.Linear(h.shape[1], width, nobias=not self.has_bias)
        return self.new(link, name)(h)

    def convolution(self, h, width, ksize=3, name=None):
        if h.ndim == 2:
            return self.linear(h, width, name)
        options = {"pad": ksize // 2, "nobias": not self.has_bias}
        return self.new(L.Convolution2D(h.shape[1], width, ksize, **options), name)(h)

    def max_pooling(self, h, width):
        if h.ndim == 2 or min(h.shape[2:]) < 2:
            return h
        return F.max_pooling_2d(h, 2 + width % 2, stride=1 + width % 2)

    def average_pooling(self, h, width):
        if h.ndim == 2 or min(h.shape[2:]) < 2:
            return h
        return F.average_pooling_2d(h, 2, stride=1 + width % 2, pad=width % 2)

    def residual_convolution(self, h, width):
        return h + F.relu(self.convolution(h, h.shape[1]))

    def transpose(self, h, width):
        return h if h.ndim == 2 else F.transpose(h, (0, 1, 3, 2))

    def flatten(self, h, width):
        return F.reshape(h, (len(h), -1))

    def maximum(self, h, width):
        return F.maxout(self.linear(self.flatten(h, 0), 2 * width), 2)

    def split_and_sum(self, h, width):
        left, right = F.split_axis(self.linear(self.flatten(h, 0), 2 * width), 2, 1)
        return left - right * 0.3

    def to_image_and_back(self, h, width):
        n, n_unit = len(h), int(np.prod(h.shape[1:]))
        image = F.reshape(h, (n, 1, n_unit, 1))
        return F.squeeze(F.tile(image, (1, 1, 1, 2))[:, :, ::-1, 1:], (1, 3))

    def relu(self, h, width):
        return F.relu(h)

    def tanh(self, h, width):
        return F.tanh(h)

    def normalization(self, h, width):
        link = L.BatchNormalization(h.shape[1], use_beta=self.has_bias, dtype="d")
        self.new(link)
        link.avg_var[...] = self.rng.uniform(0.5, 2, h.shape[1])
        if self.has_bias:
            link.avg_mean[...] = self.rng.normal(size=h.shape[1])
        before = self.linear(h, h.shape[1]) if width % 2 else h
        return link(before)

    def residual(self, h, width):
        inner = F.relu(self.linear(h, width))
        h = h + F.relu(self.linear(inner, h.shape[1]))
        return h

    def concatenation(self, h, width):
        parts = [self.linear(h, width), F.relu(self.linear(h, 1)), h]
        return self.linear(F.concat(parts, axis=1), width)

    def shared(self, h, width):
        name = ("shared", h.ndim, h.shape[1])
        for _ in range(2):
            h = F.relu(self.linear(h, h.shape[1], name)) + h
        return h

    def arithmetic(self, h, width):
        h = -(2 * h - h / 4) * self.rng.uniform(0.5, 1, h.shape[1:])
        if self.has_bias:
            h = 1.5 - (h + 0.25) + self.rng.normal(size=(1, *h.shape[1:]))
        return h

    def own_sum(self, h, width):
        return h + h

    def gate(self, h, width):
        return h * F.sigmoid(self.linear(h, h.shape[1]))


def networks(steps, has_bias):
    """Draws a network of up to 12 steps, of 1 to 16 units each, and its input."""

    def new(names, widths, seed, side):
        network = RandomNetwork(names, widths, seed, has_bias)
        rng = np.random.default_rng(seed + 1)
        shape = (2, 2, side, side + 1) if side else (2, 5)
        return network, rng.normal(size=shape)

    return st.lists(st.sampled_from(steps), min_size=1, max_size=12).flatmap(
        lambda names: st.builds(
            new,
            st.just(names),
            st.lists(st.integers(1, 16), min_size=len(names), max_size=len(names)),
            st.integers(0, 2**20),
            st.sampled_from([0, 4, 5, 6]),
        )
    )


def explained(network, x, rule):
    """Returns the walk with a rule from the largest score of each example, and that."""

    def by_rule(this):
        return handle(this, rule)

    with chainer.using_config("train", False):
        y = network(chainer.Variable(x)).array
    start = y * (y == y.max(axis=1, keepdims=True))
    target, found = oracle.walk(network, x, by_rule, start, keep=None)
    return target, found, start.sum(axis=1)


def of_examples(relevance):
    return relevance.reshape(len(relevance), -1).sum(axis=1)


def cuts(found):
    """Yields what there is of relevance after each function, and what stayed above.

    What a function received is read at its outputs, where all that uses them has
    added up; what it passed on was counted when it did so.
    """
    front, stayed = found.start, 0.0
    for this in found.applications:
        nodes = [ref() for ref in this.function.outputs]
        received = sum(found.by_node[n].sum() for n in nodes if n in found.by_node)
        front += this.passed_on - received
        stayed += this.taken_by_bias
        yield front, stayed


BIASES = ["share", "ignore"]
STEPS = OF_IMAGES + OF_VECTORS + OF_BOTH * 2

many = hypothesis.settings(
    max_examples=60, suppress_health_check=list(hypothesis.HealthCheck)
)


@many
@hypothesis.given(networks(STEPS + CURVED, has_bias=False))
def test_without_biases_every_cut_has_the_relevance_of_the_output(drawn):
    network, x = drawn
    target, found, start = explained(network, x, Zero())
    tolerance = 1e-8 * max(1, np.abs(start).max())
    for relevance, _ in cuts(found):
        assert relevance == pytest.approx(start.sum(), abs=tolerance)
    for waist in [*network.waists, target]:
        there = of_examples(found.at(waist))
        np.testing.assert_allclose(there, start, rtol=0, atol=tolerance)


@many
@hypothesis.given(networks(STEPS, has_bias=False))
def test_without_biases_lrp_0_is_input_times_gradient(drawn):
    network, x = drawn
    target, found, _ = explained(network, x, Zero())
    variable = chainer.Variable(x)
    with chainer.using_config("train", False):
        y = network(variable)
    largest = (y.array == y.array.max(axis=1, keepdims=True)).astype("d")
    (gradient,) = chainer.grad([y], [variable], [chainer.Variable(largest)])
    expected = x * gradient.array
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(
        found.at(target), expected, rtol=1e-10, atol=1e-10 * scale
    )


@many
@hypothesis.given(networks(STEPS + CURVED, has_bias=True))
def test_with_biases_what_they_took_is_the_rest_at_every_cut(drawn):
    network, x = drawn
    target, found, start = explained(network, x, Zero())
    size = max(np.abs(r).sum() for r in found.by_node.values())
    tolerance = 1e-8 * max(1, size)
    for relevance, stayed in cuts(found):
        assert relevance + stayed == pytest.approx(start.sum(), abs=tolerance)
    assert found.at(target).sum() + stayed == pytest.approx(start.sum(), abs=tolerance)


@many
@hypothesis.given(networks(STEPS + CURVED, has_bias=True), st.sampled_from(BIASES))
def test_what_speaks_for_the_output_alone_never_makes_relevance_larger(drawn, bias):
    network, x = drawn
    _, found, start = explained(network, x, Gamma(np.inf, bias))
    for waist in network.waists:
        assert np.abs(found.at(waist)).sum() <= np.abs(start).sum() * (1 + 1e-9)
