"""What is done with relevance at every function of ``chainer.functions``.

Each function is applied through the public API, by itself, to float64 arrays; what the
walk gives is held against something that knows nothing of how the project does it.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import RetainOutputHook
from saliency.lrp import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Pass,
    Zero,
    ZPlus,
    register_handler,
    registry,
)
from saliency.lrp.graph import Graph, function_of

import chainer
import chainer.functions as F
import chainer.links as L

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def float64_everywhere():
    """Some functions take float32 alone, for no reason but their type check."""
    with chainer.using_config("type_check", False):
        yield


class Walked:
    """The relevance of the inputs of f, for a random relevance of its outputs."""

    def __init__(self, f, *xs, rule=None, train=False, start=None):
        rng = np.random.default_rng(5)
        targets = [chainer.Variable(x) for x in xs]
        with RetainOutputHook() as hook, chainer.using_config("train", train):
            ys = f(*targets)
        ys = ys if isinstance(ys, (tuple, list)) else (ys,)
        self.graph = Graph(ys, targets, hook)
        self.outputs = [y.array for y in ys]
        dtypes = [y.dtype if y.dtype.kind == "f" else "d" for y in ys]
        self.start = start or [
            np.asarray(rng.normal(size=y.shape), dtype) for y, dtype in zip(ys, dtypes)
        ]
        handled = lambda this: registry.handle(this, rule)  # noqa: E731
        found = self.graph.walk(self.start, handled, registry.is_part_of)
        self.relevance = [found.at(t) for t in targets]
        self.of_bias = sum(a.taken_by_bias for a in found.applications)
        self.total = sum(r.sum() for r in self.relevance if r is not None)

    @property
    def classes(self):
        return {type(function_of(f)) for f in self.graph.functions}

    def check_conservation(self):
        expected = sum(r.sum() for r in self.start)
        assert_allclose(self.total + self.of_bias, expected, rtol=1e-9, atol=1e-9)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def between_0_and_1(*shape, seed=1):
    return np.random.default_rng(seed).uniform(0.1, 0.9, size=shape)


ROIS = np.array([[0.0, 0, 5, 5], [1, 1, 4, 5]])
ROI_INDEXES = np.array([0, 1], dtype=np.int32)
GRID = np.random.default_rng(7).uniform(-0.8, 0.8, size=(2, 2, 3, 3))
CONDITION = np.array([[True, False, True], [False, False, True]])


def _max_pooling_indexes():
    return F.max_pooling_2d(normal(2, 3, 4, 4), 2, return_indices=True)[1]


# Functions that hand on elements: name -> (function, shapes of its inputs).
ROUTING = {
    "as_strided": (lambda x: F.as_strided(x, (3, 2), (1, 2)), [(6,)]),
    "as_strided, overlapping": (lambda x: F.as_strided(x, (4, 3), (1, 1)), [(6,)]),
    "broadcast": (lambda x, y: F.broadcast(x, y), [(2, 3), (3,)]),
    "broadcast_to": (lambda x: F.broadcast_to(x, (4, 2, 3)), [(2, 1)]),
    "cast": (lambda x: F.cast(x, "f"), [(2, 3)]),
    "concat": (lambda x, y: F.concat([x, y, x]), [(2, 3), (2, 1)]),
    "copy": (lambda x: F.copy(x, -1), [(2, 3)]),
    "depth2space": (lambda x: F.depth2space(x, 2), [(2, 8, 2, 3)]),
    "diagonal": (lambda x: F.diagonal(x), [(3, 3)]),
    "dstack": (lambda x, y: F.dstack([x, y]), [(2, 3), (2, 3)]),
    "expand_dims": (lambda x: F.expand_dims(x, 1), [(2, 3)]),
    "flatten": (F.flatten, [(2, 3)]),
    "flip": (lambda x: F.flip(x, 1), [(2, 3)]),
    "fliplr": (F.fliplr, [(2, 3)]),
    "flipud": (F.flipud, [(2, 3)]),
    "get_item": (lambda x: x[:, 1:], [(2, 3)]),
    "get_item, repeated": (lambda x: x[[0, 0, 1, 0]], [(2, 3)]),
    "hstack": (lambda x, y: F.hstack([x, y]), [(2, 3), (2, 1)]),
    "im2col": (lambda x: F.im2col(x, 3, pad=1), [(1, 2, 4, 4)]),
    "moveaxis": (lambda x: F.moveaxis(x, 0, 2), [(2, 3, 4)]),
    "pad, constant": (lambda x: F.pad(x, 1, "constant"), [(2, 3)]),
    "pad, edge": (lambda x: F.pad(x, ((1, 0), (2, 1)), "edge"), [(2, 3)]),
    "pad, reflect": (lambda x: F.pad(x, ((0, 1), (1, 2)), "reflect"), [(2, 3)]),
    "pad, symmetric": (lambda x: F.pad(x, 2, "symmetric"), [(2, 3)]),
    "pad, wrap": (lambda x: F.pad(x, ((0, 0), (2, 3)), "wrap"), [(2, 3)]),
    "pad_sequence": (lambda x, y: F.pad_sequence([x, y]), [(2, 3), (4, 3)]),
    "permutate": (lambda x: F.permutate(x, np.array([2, 0, 1])), [(3, 2)]),
    "repeat": (lambda x: F.repeat(x, (1, 3), axis=0), [(2, 3)]),
    "reshape": (lambda x: F.reshape(x, (3, -1)), [(2, 3)]),
    "rollaxis": (lambda x: F.rollaxis(x, 2), [(2, 3, 4)]),
    "select_item": (lambda x: F.select_item(x, np.array([2, 1])), [(2, 3)]),
    "separate": (F.separate, [(2, 3)]),
    "shift": (F.shift, [(1, 9, 3, 3)]),
    "space2depth": (lambda x: F.space2depth(x, 2), [(2, 2, 4, 6)]),
    "split_axis": (lambda x: F.split_axis(x, [1], axis=1), [(2, 3)]),
    "squeeze": (F.squeeze, [(2, 1, 3)]),
    "stack": (lambda x, y: F.stack([x, y], axis=1), [(2, 3), (2, 3)]),
    "swapaxes": (lambda x: F.swapaxes(x, 0, 1), [(2, 3)]),
    "tile": (lambda x: F.tile(x, (2, 3)), [(2, 3)]),
    "transpose": (F.transpose, [(2, 3, 4)]),
    "transpose_sequence": (
        lambda x, y: F.transpose_sequence([x, y]),
        [(3, 2), (1, 2)],
    ),
    "unpooling_1d": (lambda x: F.unpooling_1d(x, 2, cover_all=False), [(1, 2, 3)]),
    "unpooling_2d": (lambda x: F.unpooling_2d(x, 2, outsize=(5, 6)), [(1, 2, 3, 3)]),
    "unpooling_3d": (
        lambda x: F.unpooling_3d(x, 2, cover_all=False),
        [(1, 1, 2, 2, 2)],
    ),
    "unpooling_nd": (lambda x: F.unpooling_nd(x, 3, stride=4), [(1, 1, 2)]),
    "upsampling_2d": (
        lambda x: F.upsampling_2d(x, _max_pooling_indexes(), 2, cover_all=False),
        [(2, 3, 2, 2)],
    ),
    "vstack": (lambda x, y: F.vstack([x, y]), [(2, 3), (1, 3)]),
    "where": (lambda x, y: F.where(CONDITION, x, y), [(2, 3), (2, 3)]),
    "embed_id, of its weights": (
        lambda w: F.embed_id(np.array([1, 0, 1]), w),
        [(3, 2)],
    ),
    "identity": (lambda x: F.identity(x), [(2, 3)]),
}


@pytest.mark.parametrize("name", ROUTING)
def test_relevance_goes_where_an_element_came_from(name):
    f, shapes = ROUTING[name]
    # The value of an element is its number; 0 is padding.
    sizes = [int(np.prod(shape)) for shape in shapes]
    numbers = np.split(np.arange(1.0, sum(sizes) + 1), np.cumsum(sizes)[:-1])
    walked = Walked(f, *(n.reshape(s) for n, s in zip(numbers, shapes)))
    expected = np.zeros(sum(sizes) + 1)
    for y, r in zip(walked.outputs, walked.start):
        for number, r_k in zip(y.ravel(), r.ravel()):
            expected[int(number)] += r_k
    found = np.concatenate([r.ravel() for r in walked.relevance])
    atol = 1e-6 if name == "cast" else 1e-10
    assert_allclose(found, expected[1:], rtol=0, atol=atol)


# Linear functions with positive weights: name -> (function, shapes of its inputs).
SUMS = {
    "add": (lambda x, y: x + y, [(2, 3), (2, 3)]),
    "add, broadcast": (lambda x, y: x + y, [(2, 3), (3,)]),
    "add, three": (lambda x, y, z: F.add(x, y, z), [(2, 3)] * 3),
    "subtract": (lambda x, y: x - y, [(2, 3), (3,)]),
    "add, to itself": (lambda x: x + x, [(2, 3)]),
    "sum": (lambda x: F.sum(x, axis=1), [(2, 3, 2)]),
    "sum, of all": (F.sum, [(2, 3)]),
    "sum_to": (lambda x: F.sum_to(x, (2, 1)), [(2, 3)]),
    "average": (lambda x: F.average(x, axis=(0, 2)), [(2, 3, 2)]),
    "average, weighted": (
        lambda x: F.average(x, axis=1, weights=np.array([1.0, 2, 3])),
        [(2, 3)],
    ),
    "mean": (lambda x: F.mean(x, axis=1, keepdims=True), [(2, 3)]),
    "cumsum": (lambda x: F.cumsum(x, axis=1), [(2, 3)]),
    "average_pooling_1d": (lambda x: F.average_pooling_1d(x, 2), [(2, 2, 4)]),
    "average_pooling_2d": (
        lambda x: F.average_pooling_2d(x, 3, stride=2, pad=1),
        [(1, 2, 5, 5)],
    ),
    "average_pooling_3d": (lambda x: F.average_pooling_3d(x, 2, 1), [(1, 1, 3, 3, 3)]),
    "average_pooling_nd": (
        lambda x: F.average_pooling_nd(x, 2, pad=1, pad_value=None),
        [(1, 2, 4, 4)],
    ),
    "resize_images": (lambda x: F.resize_images(x, (5, 7)), [(1, 2, 3, 4)]),
    "resize_images, smaller": (lambda x: F.resize_images(x, (2, 3)), [(1, 2, 4, 5)]),
    "roi_average_align_2d": (
        lambda x: F.roi_average_align_2d(
            x, ROIS.astype(x.dtype), ROI_INDEXES, 2, 1.0, 2
        ),
        [(2, 2, 6, 6)],
    ),
    "roi_average_pooling_2d": (
        lambda x: F.roi_average_pooling_2d(
            x, ROIS.astype(x.dtype), ROI_INDEXES, 2, 1.0
        ),
        [(2, 2, 6, 6)],
    ),
    "spatial_transformer_sampler": (
        lambda x: F.spatial_transformer_sampler(x, GRID.astype(x.dtype)),
        [(2, 2, 5, 5)],
    ),
    "scatter_add": (
        lambda x, y: F.scatter_add(x, [0, 0, 1], y),
        [(3, 2), (3, 2)],
    ),
    "scatter_add, to a constant": (
        lambda y: F.scatter_add(np.zeros((3, 2)), [0, 0, 1], y),
        [(3, 2)],
    ),
    "unpooling_2d, overlapping": (
        lambda x: F.unpooling_2d(x, 3, stride=2, pad=1, cover_all=False),
        [(1, 2, 3, 3)],
    ),
    "upsampling_2d, overlapping": (
        lambda x: F.upsampling_2d(
            x, np.array([[[[8, 6], [2, 0]]]]), 3, stride=2, cover_all=False
        ),
        [(1, 1, 2, 2)],
    ),
    "fft": (lambda x, y: F.fft((x, y)), [(2, 3), (2, 3)]),
    "ifft": (lambda x, y: F.ifft((x, y)), [(2, 3), (2, 3)]),
    "spatial_transformer_grid": (
        lambda theta: F.spatial_transformer_grid(theta, (2, 3)),
        [(2, 2, 3)],
    ),
}


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def quotient(r, z):
    """Returns r / z, and 0 for 0 / 0."""
    is_zero = abs(z) < 1e-14
    return np.where(is_zero, 0, r / np.where(is_zero, 1, z))


def as_matrix(f, xs):
    """Returns the matrix of a linear f, by feeding it unit vectors."""
    rows = []
    for i, x in enumerate(xs):
        for j in range(x.size):
            units = [np.zeros_like(other) for other in xs]
            units[i].ravel()[j] = 1
            with chainer.no_backprop_mode():
                ys = f(*units)
            ys = ys if isinstance(ys, (tuple, list)) else (ys,)
            rows.append(flat([chainer.as_variable(y).array for y in ys]))
    return np.array(rows)


@pytest.mark.parametrize("name", SUMS)
def test_summed_elements_share_by_their_contributions(name):
    f, shapes = SUMS[name]
    xs = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    walked = Walked(f, *xs, rule=Zero())
    z = flat(xs)[:, None] * as_matrix(f, xs)
    total = z.sum(axis=0)
    s = quotient(flat(walked.start), total)
    assert_allclose(flat(walked.relevance), z @ s, rtol=1e-10, atol=1e-10)


# There a rule only says what epsilon is.
LINEAR_MAPS = ("fft", "ifft", "spatial_transformer_grid", "average, weighted")


@pytest.mark.parametrize("name", [n for n in SUMS if n not in LINEAR_MAPS])
def test_summed_elements_share_by_their_positive_contributions(name):
    f, shapes = SUMS[name]
    xs = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    walked = Walked(f, *xs, rule=ZPlus())
    if name == "add, to itself":
        z = np.concatenate([xs[0].ravel()] * 2)[:, None] * np.tile(np.eye(6), (2, 1))
    else:
        z = flat(xs)[:, None] * as_matrix(f, xs)
    z = z.clip(min=0)
    total = z.sum(axis=0)
    s = quotient(flat(walked.start), total)
    expected = z @ s
    if name == "add, to itself":
        expected = expected[:6] + expected[6:]
    assert_allclose(flat(walked.relevance), expected, rtol=1e-10, atol=1e-10)


CONSTANT = np.array([[2.0, 5.0]])


@pytest.mark.parametrize(
    ("f", "weight", "constant"),
    [
        (lambda x: x + 3.0, 1, 3.0),
        (lambda x: x - 3.0, 1, -3.0),
        (lambda x: 1.0 - x, -1, 1.0),
        (lambda x: x + CONSTANT, 1, CONSTANT),
        (lambda x: CONSTANT - x, -1, CONSTANT),
    ],
)
def test_constants_take_their_share(f, weight, constant):
    x = np.array([[3.5, -1.5]])
    walked = Walked(f, x, rule=Zero())
    expected = weight * x / (weight * x + constant) * walked.start[0]
    assert_allclose(walked.relevance[0], expected)
    walked.check_conservation()


U = between_0_and_1
# Functions of each element: name -> (function, x).
ELEMENTWISE = {
    "clipped_relu": (F.clipped_relu, normal(2, 3)),
    "relu6": (F.relu6, normal(2, 3)),
    "elu": (F.elu, normal(2, 3)),
    "selu": (F.selu, normal(2, 3)),
    "hard_sigmoid": (F.hard_sigmoid, normal(2, 3)),
    "leaky_relu": (F.leaky_relu, normal(2, 3)),
    "log_softmax": (F.log_softmax, normal(2, 3)),
    "prelu": (lambda x: F.prelu(x, np.full(3, 0.3)), normal(2, 3)),
    "relu": (F.relu, normal(2, 3)),
    "rrelu": (lambda x: F.rrelu(x), normal(2, 3)),
    "sigmoid": (F.sigmoid, normal(2, 3)),
    "softmax": (F.softmax, normal(2, 3)),
    "softplus": (F.softplus, normal(2, 3)),
    "swish": (lambda x: F.swish(x, np.ones(3)), normal(2, 3)),
    "tanh": (F.tanh, normal(2, 3)),
    "arctanh": (F.arctanh, U(2, 3)),
    "absolute": (F.absolute, normal(2, 3)),
    "div from constant": (lambda x: 2.0 / x, normal(2, 3)),
    "power of a constant": (lambda x: 2.0**x, normal(2, 3)),
    "power": (lambda x: x**3, normal(2, 3)),
    "clip": (lambda x: F.clip(x, -0.5, 0.5), normal(2, 3)),
    "digamma": (F.digamma, U(2, 3)),
    "erf": (F.erf, normal(2, 3)),
    "erfc": (F.erfc, normal(2, 3)),
    "erfcinv": (F.erfcinv, U(2, 3)),
    "erfcx": (F.erfcx, normal(2, 3)),
    "erfinv": (F.erfinv, U(2, 3)),
    "exp": (F.exp, normal(2, 3)),
    "log": (F.log, U(2, 3)),
    "log2": (F.log2, U(2, 3)),
    "log10": (F.log10, U(2, 3)),
    "expm1": (F.expm1, normal(2, 3)),
    "cosh": (F.cosh, normal(2, 3)),
    "sinh": (F.sinh, normal(2, 3)),
    "lgamma": (F.lgamma, U(2, 3)),
    "log_ndtr": (F.log_ndtr, normal(2, 3)),
    "log1p": (F.log1p, U(2, 3)),
    "ndtr": (F.ndtr, normal(2, 3)),
    "ndtri": (F.ndtri, U(2, 3)),
    "polygamma": (lambda x: F.polygamma(np.ones((2, 3), dtype=int), x), U(2, 3)),
    "zeta": (lambda x: F.zeta(np.full((2, 3), 3.0), x), U(2, 3)),
    "sqrt": (F.sqrt, U(2, 3)),
    "rsqrt": (F.rsqrt, U(2, 3)),
    "square": (F.square, normal(2, 3)),
    "sin": (F.sin, normal(2, 3)),
    "cos": (F.cos, normal(2, 3)),
    "tan": (F.tan, normal(2, 3)),
    "arcsin": (F.arcsin, U(2, 3)),
    "arccos": (F.arccos, U(2, 3)),
    "arctan": (F.arctan, normal(2, 3)),
    "arctan2": (lambda x: F.arctan2(x, np.ones((2, 3))), normal(2, 3)),
    "dropout": (lambda x: F.dropout(x, mask=np.full((2, 3), 2.0)), normal(2, 3)),
    "negative": (lambda x: -x, normal(2, 3)),
    "multiplied": (lambda x: x * 3.0, normal(2, 3)),
    "divided": (lambda x: x / 3.0, normal(2, 3)),
    "normalize": (F.normalize, normal(2, 3)),
    "local_response_normalization": (
        F.local_response_normalization,
        normal(2, 6, 3, 3),
    ),
    "gumbel_softmax": (F.gumbel_softmax, np.log(U(2, 3))),
    "modulo": (lambda x: F.fmod(x, np.full((2, 3), 0.4)), normal(2, 3)),
    "multiplied by an array": (lambda x: x * normal(3), normal(2, 3)),
    "divided by an array": (lambda x: x / U(3), normal(2, 3)),
    "array divided by it": (lambda x: normal(2, 3) / x, U(2, 3)),
    "power of an array": (lambda x: normal(2, 3).clip(0.1) ** x, U(2, 3)),
    "power by an array": (lambda x: x ** np.full((2, 3), 2.0), U(2, 3)),
    "scale": (lambda x: F.scale(x, normal(3)), normal(2, 3)),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_relevance_goes_through_a_function_of_elements_unchanged(name):
    f, x = ELEMENTWISE[name]
    train = name == "dropout"
    if name == "gumbel_softmax":
        # The noise that is added is a constant, with a share of its own.
        walked = Walked(f, x, rule=Zero())
        walked.check_conservation()
        return
    walked = Walked(f, x, train=train)
    assert_allclose(walked.relevance[0], walked.start[0], rtol=1e-12)


MAXIMA = [
    lambda x: F.max_pooling_1d(x.reshape(2, 2, -1), 3, 2),
    lambda x: F.max_pooling_2d(x, 2),
    lambda x: F.max_pooling_2d(x, 3, stride=2, pad=1),
    lambda x: F.max_pooling_2d(x, 2, return_indices=True)[0],
    lambda x: F.max_pooling_3d(x.reshape(1, 2, 2, 5, 5), 2),
    lambda x: F.max_pooling_nd(x, 2),
    lambda x: F.spatial_pyramid_pooling_2d(x, 3, pooling="max"),
    lambda x: F.roi_pooling_2d(x, np.c_[ROI_INDEXES, ROIS].astype(x.dtype), 2, 2, 1.0),
    lambda x: F.roi_max_pooling_2d(x, ROIS.astype(x.dtype), ROI_INDEXES, 2, 1.0),
    lambda x: F.max(x, axis=1),
    lambda x: F.max(x, axis=(1, 3), keepdims=True),
    lambda x: F.max(x),
    lambda x: F.min(x, axis=2),
    lambda x: F.maxout(x.reshape(2, -1), 5),
    lambda x: F.maximum(x[:, 0], x[:, 1]),
    lambda x: F.minimum(x[:, 0], x[:, 1]),
]


class TestMaximum:
    @pytest.mark.parametrize("f", MAXIMA)
    def test_all_relevance_goes_to_the_winner(self, f):
        x = np.random.default_rng(2).permutation(100.0 + np.arange(100))
        walked = Walked(f, x.reshape(2, 2, 5, 5))
        expected = np.zeros(100)
        for winner, r in zip(walked.outputs[0].ravel(), walked.start[0].ravel()):
            expected[x == winner] += r
        assert_allclose(walked.relevance[0].ravel(), expected, atol=1e-10)

    @pytest.mark.parametrize(
        "f",
        [
            lambda x: F.max(x, axis=1),
            lambda x: F.min(x, axis=(0, 1)),
            lambda x: F.maximum(x[0], x[1]),
            lambda x: F.minimum(x[0], x[1]),
            lambda x: F.maxout(x, 2),
            lambda x: F.max_pooling_1d(x[:, None], 2),
        ],
    )
    def test_relevance_is_not_doubled_where_two_win(self, f):
        walked = Walked(f, np.ones((2, 4)))
        walked.check_conservation()

    def test_with_the_gradient_it_is_where_chainer_says_so(self):
        walked = Walked(lambda x: F.max(x, axis=1), np.ones((2, 3)), rule=Gradient())
        expected = np.repeat(walked.start[0][:, None], 3, axis=1)
        assert_allclose(walked.relevance[0], expected)

    def test_logsumexp_shares_by_the_softmax(self):
        x = normal(2, 3)
        walked = Walked(lambda v: F.logsumexp(v, axis=1), x)
        softmax = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        assert_allclose(walked.relevance[0], softmax * walked.start[0][:, None])

    def test_roi_max_align_shares_within_the_point_that_won(self):
        x = normal(2, 2, 6, 6)

        def f(v):
            return F.roi_max_align_2d(v, ROIS, ROI_INDEXES, 2, 1.0, 2)

        walked = Walked(f, x, rule=Zero())
        walked.check_conservation()
        # The derivative, by differences: the bilinear weights of that point.
        expected = np.zeros(x.size)
        for j in range(x.size):
            up, down = x.copy(), x.copy()
            up.ravel()[j] += 1e-6
            down.ravel()[j] -= 1e-6
            w = (f(up).array - f(down).array) / 2e-6
            y = walked.outputs[0]
            expected[j] = (x.ravel()[j] * w / y * walked.start[0]).sum()
        assert_allclose(walked.relevance[0].ravel(), expected, rtol=1e-5, atol=1e-6)


class TenTimes(chainer.FunctionNode):
    def forward(self, inputs):
        return (10 * inputs[0],)

    def backward(self, indexes, grads):
        return (10 * grads[0],)


class TestProduct:
    def test_a_signal_gets_all_and_its_gate_nothing(self):
        for gate in (F.sigmoid, F.hard_sigmoid, F.softmax):
            walked = Walked(lambda x, g, gate=gate: x * gate(g), normal(2, 3), U(2, 3))
            assert_allclose(walked.relevance[0], walked.start[0])
            assert walked.relevance[1] is None

    @pytest.mark.parametrize(
        "gate",
        [
            lambda g: 1 - F.sigmoid(g),
            lambda g: F.reshape(F.sigmoid(g.reshape(6)), (2, 3)),
            lambda g: F.split_axis(F.sigmoid(F.concat([g, g])), 2, axis=1)[1],
            lambda g: 0.5 * F.softmax(g),
            lambda g: F.where(CONDITION, F.softmax(g), np.zeros((2, 3))),
            lambda g: F.broadcast_to(F.sigmoid(g[:, :1]), (2, 3)),
        ],
    )
    def test_a_gate_may_be_changed_on_the_way(self, gate):
        walked = Walked(lambda x, g: gate(g) * x, normal(2, 3), normal(2, 3, seed=2))
        assert_allclose(walked.relevance[0], walked.start[0])
        assert walked.relevance[1] is None

    def test_a_gate_of_a_constant_gets_all(self):
        walked = Walked(lambda g: F.sigmoid(g) * normal(2, 3), normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])

    def test_two_signals_get_half_each(self):
        walked = Walked(lambda x, y: x * y, normal(2, 3), normal(3, seed=2))
        assert_allclose(walked.relevance[0], walked.start[0] / 2)
        assert_allclose(walked.relevance[1], walked.start[0].sum(axis=0) / 2)

    def test_a_square_gets_it_all(self):
        walked = Walked(lambda x: x * x, normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])

    @pytest.mark.parametrize(
        "f",
        [
            lambda x: x * F.sigmoid(x),
            lambda x: x * F.ndtr(x),
            lambda x: 0.5 * x * (1 + F.erf(x / np.sqrt(2))),
            lambda x: x * (0.5 * (F.tanh(0.8 * (x + 0.04 * x**3)) + 1)),
        ],
    )
    def test_activations_that_are_written_as_products_pass_it_unchanged(self, f):
        walked = Walked(f, normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])

    @pytest.mark.usefixtures("own_registry")
    @pytest.mark.parametrize("name", ["Sigmoid", "HardSigmoid", "Softmax", "Ndtr"])
    def test_what_is_merely_named_like_a_gate_is_a_signal(self, name):
        cls = type(name, (TenTimes,), {})
        register_handler(cls, "elementwise")
        walked = Walked(
            lambda x, y: x * cls().apply((y,))[0],
            *(normal(2, 3), normal(2, 3, seed=2)),
        )
        assert_allclose(walked.relevance[0], walked.start[0] / 2)
        assert_allclose(walked.relevance[1], walked.start[0] / 2)

    @pytest.mark.usefixtures("own_registry")
    def test_what_is_merely_named_dropout_does_not_keep_a_gate(self):
        class Dropout(TenTimes):
            pass

        register_handler(Dropout, "elementwise")
        walked = Walked(
            lambda x, g: x * Dropout().apply((F.sigmoid(g),))[0],
            *(normal(2, 3), normal(2, 3, seed=2)),
        )
        assert_allclose(walked.relevance[0], walked.start[0] / 2)
        assert_allclose(walked.relevance[1], walked.start[0] / 2)

    @pytest.mark.usefixtures("own_registry")
    def test_what_is_merely_named_like_a_part_of_a_gate_is_a_signal(self):
        class Tanh(TenTimes):
            pass

        register_handler(Tanh, "elementwise")
        walked = Walked(
            lambda x, y: x * (1 + Tanh().apply((y,))[0]),
            *(normal(2, 3), normal(2, 3, seed=2)),
            rule=Pass(),
        )
        assert_allclose(walked.relevance[0], walked.start[0] / 2)
        assert_allclose(walked.relevance[1], walked.start[0] / 2)

    def test_a_subclass_of_a_gate_is_a_gate(self):
        class Narrow(F.activation.sigmoid.Sigmoid):
            pass

        walked = Walked(
            lambda x, g: x * Narrow().apply((g,))[0],
            *(normal(2, 3), normal(2, 3, seed=2)),
        )
        assert_allclose(walked.relevance[0], walked.start[0])
        assert walked.relevance[1] is None

    @pytest.mark.usefixtures("own_registry")
    def test_a_gate_of_the_user_is_registered_as_one(self):
        register_handler(TenTimes, "gate")
        walked = Walked(
            lambda x, g: x * TenTimes().apply((g,))[0],
            *(normal(2, 3), normal(2, 3, seed=2)),
        )
        assert_allclose(walked.relevance[0], walked.start[0])
        assert walked.relevance[1] is None

    def test_squeeze_and_excitation_leaves_all_to_the_maps(self):
        def f(x):
            gate = F.sigmoid(F.average(x, axis=(2, 3), keepdims=True))
            return x * F.broadcast_to(gate, x.shape)

        walked = Walked(f, normal(2, 3, 4, 4))
        assert_allclose(walked.relevance[0], walked.start[0])

    def test_a_quotient_leaves_all_to_its_numerator(self):
        walked = Walked(lambda x, y: x / y, normal(2, 3), U(3))
        assert_allclose(walked.relevance[0], walked.start[0])
        assert walked.relevance[1] is None

    def test_a_power_leaves_all_to_its_base(self):
        walked = Walked(lambda x, y: x**y, U(2, 3), U(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])
        assert walked.relevance[1] is None

    @pytest.mark.parametrize("axis", [None, 0, (0, 1)])
    def test_factors_of_a_product_share_equally(self, axis):
        x = normal(2, 3)
        walked = Walked(lambda v: F.prod(v, axis=axis), x)
        r = np.asarray(walked.start[0])
        n = x.size // r.size
        assert_allclose(walked.relevance[0], np.broadcast_to(r / n, (2, 3)))

    @pytest.mark.parametrize("axis", [None, 0, 1, -1])
    def test_factors_of_each_cumulative_product_share_equally(self, axis):
        x = normal(2, 3)
        walked = Walked(lambda v: F.cumprod(v, axis=axis), x)
        r = walked.start[0]
        lines = r[None] if axis is None else np.moveaxis(r, axis, -1)
        expected = np.zeros(lines.shape)
        for i, line in np.ndenumerate(lines):
            for j in range(i[-1] + 1):
                expected[(*i[:-1], j)] += line / (i[-1] + 1)
        expected = expected[0] if axis is None else np.moveaxis(expected, -1, axis)
        assert_allclose(walked.relevance[0], expected.reshape(2, 3))

    def test_squares_share_in_proportion(self):
        x = normal(2, 3)
        walked = Walked(F.batch_l2_norm_squared, x)
        expected = x**2 / (x**2).sum(axis=1, keepdims=True) * walked.start[0][:, None]
        assert_allclose(walked.relevance[0], expected)


A = normal(2, 3, 4)
B = normal(2, 4, 5, seed=2)
SPARSE = chainer.utils.to_coo(np.array([[0, 2.0, 0], [1, 0, -1]]))
# Bilinear functions: name -> (function, both inputs).
BILINEAR = {
    "matmul": (F.matmul, A, B),
    "matmul, transposed": (lambda a, b: F.matmul(a, b, True, True), A, normal(2, 5, 3)),
    "batch_matmul": (F.batch_matmul, A, B),
    "einsum": (lambda a, b: F.einsum("bij,bjk->bki", a, b), A, B),
    "tensordot": (lambda a, b: F.tensordot(a, b, axes=1), A[0], B[0]),
    "bilinear": (
        lambda a, b: F.bilinear(a, b, normal(3, 4, 5)),
        A[:, :, 0],
        B[:, :, 0],
    ),
}


class TestMatrixProduct:
    @pytest.mark.parametrize("name", BILINEAR)
    def test_two_signals_get_half_of_their_products_each(self, name):
        f, a, b = BILINEAR[name]
        walked = Walked(f, a, b, rule=Zero())
        s = walked.start[0] / walked.outputs[0]
        for x, r, of in zip((a, b), walked.relevance, range(2)):
            with chainer.no_backprop_mode():
                parts = as_matrix(
                    (lambda v: f(v, b)) if of == 0 else (lambda v: f(a, v)), [x]
                )
            assert_allclose(r.ravel(), x.ravel() * (parts @ s.ravel()) / 2, rtol=1e-9)
        walked.check_conservation()

    @pytest.mark.parametrize("name", BILINEAR)
    def test_a_constant_factor_is_a_weight(self, name):
        f, a, b = BILINEAR[name]
        walked = Walked(lambda v: f(v, b), a, rule=Zero())
        z = a.ravel()[:, None] * as_matrix(lambda v: f(v, b), [a])
        expected = z @ (walked.start[0].ravel() / z.sum(axis=0))
        assert_allclose(walked.relevance[0].ravel(), expected, rtol=1e-9)

    @pytest.mark.parametrize(
        "f",
        [
            lambda x: F.sparse_matmul(SPARSE, x),
            lambda x: F.sparse_matmul(x, SPARSE, transa=True, transb=True),
            lambda x: F.einsum("ij->j", x),
            lambda x: F.einsum("ij,j->i", x, np.array([1.0, 2.0])),
        ],
    )
    def test_linear_ones_share_by_the_contributions(self, f):
        x = normal(3, 2)
        walked = Walked(f, x, rule=Zero())
        z = x.ravel()[:, None] * as_matrix(f, [x])
        expected = z @ (walked.start[0].ravel() / z.sum(axis=0))
        assert_allclose(walked.relevance[0].ravel(), expected, rtol=1e-9)

    def test_a_trace_goes_to_the_diagonal(self):
        x = normal(3, 3)
        walked = Walked(lambda v: F.einsum("ii->", v), x, rule=Zero())
        expected = np.diag(np.diag(x)) / np.trace(x) * walked.start[0]
        assert_allclose(walked.relevance[0], expected)

    @pytest.mark.parametrize(
        "attention",
        [
            lambda a: F.softmax(a, axis=2),
            lambda a: F.dropout(F.softmax(a, axis=2)),
            lambda a: F.transpose(F.softmax(a, axis=2), (0, 1, 2)),
        ],
    )
    def test_attention_is_a_gate_of_the_values(self, attention):
        attended = normal(2, 3, 4)
        walked = Walked(
            lambda a, v: F.matmul(attention(a), v), attended, B, rule=Zero()
        )
        assert walked.relevance[0] is None
        walked.check_conservation()
        with chainer.using_config("train", False):
            p = attention(chainer.Variable(attended)).array
        s = walked.start[0] / walked.outputs[0]
        assert_allclose(walked.relevance[1], B * np.einsum("bij,bik->bjk", p, s))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TestRecurrent:
    def test_interpolation_shares_by_its_terms(self):
        p, x, y = U(2, 3), normal(2, 3), normal(2, 3, seed=2)
        walked = Walked(F.linear_interpolate, p, x, y, rule=Zero())
        s = walked.start[0] / (p * x + (1 - p) * y)
        assert walked.relevance[0] is None
        assert_allclose(walked.relevance[1], p * x * s)
        assert_allclose(walked.relevance[2], (1 - p) * y * s)

    def test_interpolation_between_constants_leaves_the_rest_to_the_gate(self):
        p, x, y = U(2, 3), normal(2, 3), normal(2, 3, seed=2)
        walked = Walked(lambda g: F.linear_interpolate(g, x, y), p, rule=Zero())
        s = walked.start[0] / (p * x + (1 - p) * y)
        assert_allclose(walked.relevance[0], p * (x - y) * s)
        walked.check_conservation()

    @pytest.mark.parametrize("n_going_on", [3, 2])
    @pytest.mark.parametrize("used", ["c and h", "c", "h"])
    def test_lstm(self, used, n_going_on):
        c, x = normal(3, 2), normal(n_going_on, 8, seed=2)

        def f(c, x):
            new_c, h = F.lstm(c, x)
            return {"c and h": (new_c, h), "c": new_c, "h": h}[used]

        walked = Walked(f, c, x, rule=Zero())
        parts = dict(zip(used.split(" and "), walked.start))
        of_c, of_x = np.zeros((3, 2)), np.zeros((n_going_on, 8))
        for n in range(3):
            for unit in range(2):
                r = parts["c"][n, unit] if "c" in parts else 0
                if n >= n_going_on:
                    of_c[n, unit] = r
                    continue
                r += parts["h"][n, unit] if "h" in parts else 0
                a, i, forget, _ = x[n, 4 * unit : 4 * unit + 4]
                kept = c[n, unit] * sigmoid(forget)
                new = np.tanh(a) * sigmoid(i)
                of_c[n, unit] = kept / (kept + new) * r
                of_x[n, 4 * unit] = new / (kept + new) * r
        assert_allclose(walked.relevance[0], of_c, atol=1e-12)
        assert_allclose(walked.relevance[1], of_x, atol=1e-12)

    def test_slstm(self):
        c1, c2 = normal(3, 2), normal(3, 2, seed=2)
        x1, x2 = normal(3, 8, seed=3), normal(3, 8, seed=4)
        walked = Walked(F.slstm, c1, c2, x1, x2, rule=Zero())
        expected = [np.zeros_like(v) for v in (c1, c2, x1, x2)]
        for n, unit in np.ndindex(3, 2):
            (a1, i1, f1, _), (a2, i2, f2, _) = (
                v[n, 4 * unit : 4 * unit + 4] for v in (x1, x2)
            )
            terms = [
                c1[n, unit] * sigmoid(f1),
                c2[n, unit] * sigmoid(f2),
                np.tanh(a1) * sigmoid(i1),
                np.tanh(a2) * sigmoid(i2),
            ]
            r = sum(start[n, unit] for start in walked.start)
            for array, index, term in zip(expected, [1, 1, 4, 4], terms):
                array[n, index * unit] = term / sum(terms) * r
        for found, array in zip(walked.relevance, expected):
            assert_allclose(found, array, atol=1e-12)

    def test_tree_lstm(self):
        c1, c2, x = normal(3, 2), normal(3, 2, seed=2), normal(3, 10, seed=3)
        walked = Walked(F.tree_lstm, c1, c2, x, rule=Zero())
        expected = [np.zeros_like(v) for v in (c1, c2, x)]
        for n, unit in np.ndindex(3, 2):
            a, i, _, f1, f2 = x[n, unit::2]
            terms = [
                c1[n, unit] * sigmoid(f1),
                c2[n, unit] * sigmoid(f2),
                np.tanh(a) * sigmoid(i),
            ]
            r = sum(start[n, unit] for start in walked.start)
            for array, term in zip(expected, terms):
                array[n, unit] = term / sum(terms) * r
        for found, array in zip(walked.relevance, expected):
            assert_allclose(found, array, atol=1e-12)

    def test_the_lstm_function_and_its_formula_in_line_agree(self):
        c, x = normal(3, 2), normal(3, 8, seed=2)

        def in_line(c, x):
            a, i, forget, o = F.separate(x.reshape(3, 2, 4), axis=2)
            new_c = F.tanh(a) * F.sigmoid(i) + c * F.sigmoid(forget)
            return new_c, F.tanh(new_c) * F.sigmoid(o)

        found = Walked(F.lstm, c, x, rule=Zero())
        expected = Walked(in_line, c, x, rule=Zero())
        assert_allclose(found.relevance[0], expected.relevance[0])
        assert_allclose(found.relevance[1], expected.relevance[1], atol=1e-12)

    @pytest.mark.parametrize("layer", [L.GRU, L.StatefulGRU, L.LSTM, L.StatelessGRU])
    def test_cells_conserve_relevance_but_for_biases(self, layer):
        with chainer.using_config("dtype", np.float64):
            cell = layer(3, 4)

        def f(x):
            if layer is L.StatelessGRU:
                return cell(cell(np.zeros((2, 4)), x), x)
            return cell(x) + cell(x)

        Walked(f, normal(2, 3), rule=Zero()).check_conservation()

    @pytest.mark.parametrize(
        "layer",
        [
            L.NStepLSTM,
            L.NStepBiLSTM,
            L.NStepGRU,
            L.NStepBiGRU,
            L.NStepRNNTanh,
            L.NStepBiRNNReLU,
        ],
    )
    def test_recurrent_networks_over_sequences_conserve_it_too(self, layer):
        with chainer.using_config("dtype", np.float64):
            network = layer(2, 3, 4, 0.0)

        def f(x, y):
            *_, hs = network(*[None] * (2 if "LSTM" in layer.__name__ else 1), [x, y])
            return hs[0], hs[1]

        walked = Walked(f, normal(3, 3), normal(2, 3, seed=2), rule=Zero())
        walked.check_conservation()


def test_relevance_of_both_halves_of_a_concatenated_relu_goes_through():
    x = normal(2, 3)
    walked = Walked(F.crelu, x)
    in_line = Walked(lambda v: F.concat([F.relu(v), F.relu(-v)]), x)
    assert_allclose(walked.relevance[0], in_line.relevance[0])


def test_relevance_of_a_token_is_that_of_its_embedding():
    ids, W = np.array([[1, 0, 2]]), normal(3, 4)
    walked = Walked(lambda v: F.embed_id(v, W), ids)
    assert_allclose(walked.relevance[0], walked.start[0].sum(axis=-1))


@pytest.mark.parametrize("name", ["zoneout", "zoneout, in evaluation"])
def test_zoneout_leaves_relevance_to_the_state_that_was_taken(name):
    h, x = normal(2, 3), normal(2, 3, seed=2)
    walked = Walked(F.zoneout, h, x, train=name == "zoneout", rule=Zero())
    walked.check_conservation()
    if name == "zoneout":
        is_old = walked.outputs[0] == h
        assert_allclose(walked.relevance[0], walked.start[0] * is_old)
        assert_allclose(walked.relevance[1], walked.start[0] * ~is_old)


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


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + 1.0,
        lambda x: 1.0 - x,
        lambda x: x + x,
        lambda x: x - 0.5 * x,
        lambda x: x * x,
        lambda x: x / x,
        lambda x: x**2,
        lambda x: x**x,
        lambda x: 2.0 * F.exp(x),
        F.sum,
        F.max,
        F.prod,
        F.average,
        lambda x: F.maximum(x, 2 * x),
        lambda x: F.linear_interpolate(F.sigmoid(x), x, x),
        lambda x: F.reshape(x, (1,)),
        lambda x: F.broadcast_to(x, (2, 3)),
    ],
)
def test_an_array_without_axes_is_one_like_others(f):
    walked = Walked(lambda x: f(F.exp(F.sum(x))), normal(2, 3), rule=Zero())
    assert walked.relevance[0].shape == (2, 3)
    walked.check_conservation()


class TestRulesWithoutShares:
    def test_pass_splits_what_a_sum_has_received(self):
        walked = Walked(lambda x, y: x + y, normal(2, 3), normal(3), rule=Pass())
        assert_allclose(walked.relevance[0], walked.start[0] / 2)
        assert_allclose(walked.relevance[1], walked.start[0].sum(axis=0) / 2)

    def test_pass_leaves_it_as_it_is_at_layers_that_keep_the_shape(self):
        x, W = normal(2, 3, 4, 4), normal(3, 3, 1, 1)
        walked = Walked(lambda v: F.convolution_2d(v, W), x, rule=Pass())
        assert_allclose(walked.relevance[0], walked.start[0])

    @pytest.mark.parametrize(
        "f", [lambda x: F.sum(x, axis=1), lambda x: F.linear(x, normal(4, 3))]
    )
    def test_pass_says_where_it_does_not_fit(self, f):
        with pytest.raises(ValueError, match=r"Pass\(\) does not fit .*\(2, 3\)"):
            Walked(f, normal(2, 3), rule=Pass())

    @pytest.mark.parametrize(
        "f", [lambda x: F.average(x, axis=1), lambda x: F.linear(x, normal(4, 3))]
    )
    def test_gradient_is_the_gradient(self, f):
        x = chainer.Variable(normal(2, 3))
        walked = Walked(f, x.array, rule=Gradient())
        (expected,) = chainer.grad([f(x)], [x], [chainer.Variable(walked.start[0])])
        assert_allclose(walked.relevance[0], expected.array)


def test_where_a_network_looks_gets_no_relevance():
    """The grid of a spatial transformer is like a gate, or attention."""
    x, theta = normal(1, 2, 5, 5), 0.5 * np.eye(2, 3)[None]

    def f(x, theta):
        grid = F.spatial_transformer_grid(theta, (4, 4))
        return F.spatial_transformer_sampler(x, grid)

    both = Walked(f, x, theta, rule=Zero())
    alone = Walked(lambda v: f(v, theta), x, rule=Zero())
    assert_allclose(both.relevance[0], alone.relevance[0])
    assert both.relevance[1] is None


def test_deformable_convolution_conserves_relevance():
    x, offset, W = normal(1, 2, 5, 5), 0.3 * normal(1, 8, 4, 4), normal(3, 2, 2, 2)
    walked = Walked(
        lambda v: F.deformable_convolution_2d_sampler(v, offset, W), x, rule=Zero()
    )
    walked.check_conservation()


def test_local_convolution_shares_by_its_weights():
    x, W, b = normal(1, 2, 4, 4), normal(3, 2, 2, 2, 3, 3), normal(3, 2, 2)

    def f(v):
        return F.local_convolution_2d(v, W, b)

    walked = Walked(f, x, rule=Zero())
    bias = f(0 * x).array.ravel()
    z = x.ravel()[:, None] * (as_matrix(f, [x]) - bias)
    expected = z @ (walked.start[0].ravel() / (z.sum(axis=0) + bias))
    assert_allclose(walked.relevance[0].ravel(), expected, rtol=1e-10, atol=1e-10)
    walked.check_conservation()


@pytest.mark.parametrize("batchwise", [True, False])
def test_dropconnect_shares_by_the_weights_that_were_left(batchwise):
    x, W, b = normal(2, 3), normal(4, 3, seed=2), normal(4)
    mask = normal(2, 4, 3, seed=3) > 0 if batchwise else normal(4, 3, seed=3) > 0

    def f(v):
        return F.simplified_dropconnect(v, W, b, 0.5, True, mask, batchwise)

    walked = Walked(f, x, rule=Zero())
    z = np.einsum(
        "nj,njk->njk", x, np.swapaxes(2 * W * mask, -1, -2) + np.zeros((2, 1, 1))
    )
    s = walked.start[0] / (z.sum(axis=1) + b)
    assert_allclose(walked.relevance[0], np.einsum("njk,nk->nj", z, s))
    walked.check_conservation()


LAYERS = [
    lambda x: F.convolution_2d(x, normal(2, 2, 3, 3), dilate=1),
    lambda x: F.dilated_convolution_2d(x, normal(2, 2, 2, 2), dilate=2),
    lambda x: F.depthwise_convolution_2d(x, normal(3, 2, 3, 3)),
    lambda x: F.convolution_nd(x, normal(2, 2, 3, 3)),
    lambda x: F.deconvolution_2d(x, normal(2, 3, 3, 3), stride=2),
    lambda x: F.deconvolution_nd(x, normal(2, 3, 3, 3), normal(3)),
    lambda x: F.convolution_1d(x.reshape(1, 5, 10), normal(2, 5, 3), normal(2)),
    lambda x: F.convolution_3d(x.reshape(1, 2, 5, 5, 1), normal(2, 2, 3, 3, 1)),
    lambda x: F.deconvolution_1d(x.reshape(1, 5, 10), normal(5, 2, 3), normal(2)),
    lambda x: F.deconvolution_3d(x.reshape(1, 2, 5, 5, 1), normal(2, 2, 3, 3, 1)),
    lambda x: F.linear(x, normal(4, 50), normal(4)),
    lambda x: F.simplified_dropconnect(x, normal(4, 50), normal(4)),
    lambda x: F.bilinear(x, np.ones((1, 2)), normal(50, 2, 3)),
    lambda x: F.scale(F.bias(x, normal(2)), normal(2)),
]


@pytest.mark.parametrize("f", LAYERS)
def test_layers_without_padding_conserve_relevance_but_for_biases(f):
    Walked(f, normal(1, 2, 5, 5), rule=Zero()).check_conservation()


# Those that the tables above do not have: (function, its inputs).
OTHERS = [
    (lambda x: 1 - (x + 1), [normal(2, 3)]),
    (lambda x, y: F.matmul(x, y), [A, B]),
    (lambda x, y: F.batch_matmul(x, y), [A, B]),
    (lambda x: F.einsum("ij->j", x), [A[0]]),
    (lambda x: F.tensordot(x, B[0], axes=1), [A[0]]),
    (lambda x: F.sparse_matmul(SPARSE, x), [normal(3, 2)]),
    (lambda x, y: x * y / y**x, [U(2, 3), U(2, 3)]),
    (F.prod, [normal(2, 3)]),
    (F.cumprod, [normal(2, 3)]),
    (F.logsumexp, [normal(2, 3)]),
    (F.batch_l2_norm_squared, [normal(2, 3)]),
    (F.crelu, [normal(2, 3)]),
    (F.zoneout, [normal(2, 3), normal(2, 3)]),
    (lambda x: F.dropout(x), [normal(2, 3)]),
    (F.linear_interpolate, [normal(2, 3)] * 3),
    (F.lstm, [normal(3, 2), normal(3, 8)]),
    (F.slstm, [normal(3, 2), normal(3, 2), normal(3, 8), normal(3, 8)]),
    (F.tree_lstm, [normal(3, 2), normal(3, 2), normal(3, 10)]),
    (
        lambda x: F.roi_max_align_2d(x, ROIS.astype(x.dtype), ROI_INDEXES, 2, 1.0, 2),
        [normal(2, 2, 6, 6)],
    ),
    (lambda x: F.batch_normalization(x, *normal(2, 3)), [normal(4, 3)]),
    (lambda x: F.fixed_batch_normalization(x, *U(4, 3)), [normal(4, 3)]),
    (lambda x: F.layer_normalization(x, *normal(2, 3)), [normal(4, 3)]),
    (lambda x: F.group_normalization(x, 2, *normal(2, 4)), [normal(2, 4, 3)]),
    (
        lambda x: F.fixed_decorrelated_batch_normalization(
            x, normal(2, 2), normal(2, 2, 2), 2
        ),
        [normal(2, 4, 3)],
    ),
    (
        lambda x: F.local_convolution_2d(x, normal(3, 2, 2, 2, 3, 3)),
        [normal(1, 2, 4, 4)],
    ),
    (lambda x: F.simplified_dropconnect(x, normal(4, 3)), [normal(2, 3)]),
]

# Functions where relevance has no meaning: class -> (function, its inputs).
REFUSED = {
    "AbsoluteError": (lambda x: F.absolute_error(x, 0 * x), normal(2, 3)),
    "Contrastive": (
        lambda x: F.contrastive(x, 0 * x.array, np.array([0, 1])),
        normal(2, 3),
    ),
    "CrossCovariance": (lambda x: F.cross_covariance(x, normal(2, 3)), normal(2, 3)),
    "ConnectionistTemporalClassification": (
        lambda x: F.connectionist_temporal_classification(
            [x, x], np.array([[1], [2]], "i"), 0
        ),
        normal(2, 3),
    ),
    "DeCov": (F.decov, normal(2, 3)),
    "Hinge": (lambda x: F.hinge(x, np.array([0, 1])), normal(2, 3)),
    "HuberLoss": (lambda x: F.huber_loss(x, normal(2, 3, seed=2), 1.0), normal(2, 3)),
    "MeanAbsoluteError": (
        lambda x: F.mean_absolute_error(x, normal(2, 3, seed=2)),
        normal(2, 3),
    ),
    "MeanSquaredError": (
        lambda x: F.mean_squared_error(x, normal(2, 3, seed=2)),
        normal(2, 3),
    ),
    "NegativeSamplingFunction": (
        lambda x: F.negative_sampling(
            x,
            np.array([0, 1]),
            normal(3, 3),
            lambda shape: np.zeros(shape, "i"),
            2,
        ),
        normal(2, 3),
    ),
    "SigmoidCrossEntropy": (
        lambda x: F.sigmoid_cross_entropy(x, np.ones((2, 3), "i")),
        normal(2, 3),
    ),
    "SoftmaxCrossEntropy": (
        lambda x: F.softmax_cross_entropy(x, np.array([0, 1])),
        normal(2, 3),
    ),
    "SquaredError": (lambda x: F.squared_error(x, normal(2, 3, seed=2)), normal(2, 3)),
    "Triplet": (
        lambda x: F.triplet(x, normal(2, 3), normal(2, 3, seed=2)),
        normal(2, 3),
    ),
    "ArgMin": (F.argmin, normal(2, 3)),
    "ArgMax": (lambda x: F.argmax(x, axis=1), normal(2, 3)),
    "Accuracy": (lambda x: F.accuracy(x, np.array([0, 1])), normal(2, 3)),
    "BinaryAccuracy": (
        lambda x: F.binary_accuracy(x, np.ones((2, 3), "i")),
        normal(2, 3),
    ),
    "ClassificationSummary": (
        lambda x: F.classification_summary(x, np.array([0, 1])),
        normal(2, 3),
    ),
    "R2_score": (lambda x: F.r2_score(x, normal(2, 3, seed=2)), normal(2, 3)),
    "Gaussian": (lambda x: F.gaussian(x, np.zeros((2, 3))), normal(2, 3)),
    "BatchRenormalizationFunction": (
        lambda x: F.batch_renormalization(
            x,
            *normal(2, 3),
            np.ones(3),
            np.zeros(3),
            running_mean=np.zeros(3),
            running_var=np.ones(3),
            update_statistics=False,
        ),
        normal(4, 3),
    ),
    "DecorrelatedBatchNormalization": (
        lambda x: F.decorrelated_batch_normalization(x, groups=2),
        normal(8, 4),
    ),
    "Inv": (F.inv, normal(3, 3)),
    "BatchInv": (F.batch_inv, normal(2, 3, 3)),
    "BatchDet": (F.batch_det, normal(2, 3, 3)),
    "Cholesky": (lambda x: F.cholesky(F.matmul(x, x, transb=True)), normal(3, 3)),
    "Forget": (lambda x: F.forget(F.sin, x), normal(2, 3)),
}


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_a_function_where_relevance_has_no_meaning_says_so(name):
    f, x = REFUSED[name]
    with pytest.raises(
        ValueError, match=f"no relevance goes through {name} .*: .{{20}}"
    ):
        Walked(f, x, train=True)


@pytest.mark.parametrize(
    ("f", "match"),
    [
        (lambda x: F.linear(normal(2, 3), x), "LinearFunction .*weights"),
        (lambda x: F.linear(x, x), "LinearFunction .*weights"),
        (lambda x: F.prelu(x, x[0]), "PReLUFunction .*parameters"),
        (lambda x: F.arctan2(x, x), "Arctan2 .*parameters"),
        (
            lambda x: F.layer_normalization(x, x[0], x[1]),
            "LayerNormalization .*weights",
        ),
        (
            lambda x: F.select_item(normal(3, 3), F.argmax(x, axis=1)),
            "SelectItem .*ind",
        ),
        (lambda x: F.pad(x, 1, "mean"), "Pad .*'mean'"),
        (lambda x: F.pad(x, 1, "reflect", reflect_type="odd"), "Pad .*'reflect'"),
        (
            lambda x: F.spatial_transformer_sampler(
                normal(1, 1, 3, 3), F.reshape(F.tile(x, 2), (1, 2, 3, 3))
            ),
            "SpatialTransformerSampler .*weights",
        ),
    ],
)
def test_what_would_pass_silently_is_an_error(f, match):
    with pytest.raises((ValueError, TypeError, IndexError), match=match):
        Walked(f, normal(3, 3))


def test_every_function_class_has_a_kind_and_every_kind_a_handler():
    assert set(registry.kinds()) == set(registry.function_classes().values())
    assert set(registry.kinds().values()) == set(registry.HANDLERS)
    assert len(registry.kinds()) > 250


def trials():
    """Returns one application or more of every function: f and its inputs."""
    cases = [*ROUTING.values(), *SUMS.values()]
    result = [(f, [normal(*shape) for shape in shapes]) for f, shapes in cases]
    result += [(f, [x]) for f, x in ELEMENTWISE.values()]
    result += [(f, [normal(2, 2, 5, 5)]) for f in MAXIMA]
    result += [(f, [normal(1, 2, 5, 5)]) for f in LAYERS]
    result += OTHERS
    result += [(lambda x: F.embed_id(x, normal(3, 2)), [np.array([0, 1])])]
    return result


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_float32_stays_float32():
    n_checked = 0
    for f, xs in trials():
        xs = [x.astype("f") if x.dtype.kind == "f" else x for x in xs]
        walked = Walked(f, *xs, train=True)
        if {y.dtype for y in walked.outputs} == {np.dtype("f")}:
            found = {r.dtype for r in walked.relevance if r is not None}
            assert found == {np.dtype("f")}, walked.classes
            n_checked += 1
    assert n_checked > 150


def test_every_function_is_tried_here():
    tried = set()
    for f, xs in trials():
        tried |= Walked(f, *xs, train=True).classes
    names = {cls.__name__ for cls in tried} | set(REFUSED)
    # For a GPU, or for a package that is not maintained any more.
    elsewhere = {"RsqrtGPU", "TheanoFunction"}
    missing = {
        cls.__name__
        for cls, kind in registry.kinds().items()
        if kind not in ("backward", "cuDNN")
    }
    assert missing - names - elsewhere == set()


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


class Cubed(chainer.FunctionNode):
    def forward(self, inputs):
        self.retain_inputs((0,))
        return (inputs[0] ** 3,)

    def backward(self, indexes, grads):
        (x,) = self.get_retained_inputs()
        return (3 * x**2 * grads[0],)


class OldCubed(chainer.Function):
    def forward(self, inputs):
        return (inputs[0] ** 3,)

    def backward(self, inputs, grads):
        return (3 * inputs[0] ** 2 * grads[0],)


def apply(cls, x):
    f = cls()
    return f(x) if isinstance(f, chainer.Function) else f.apply((x,))[0]


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


@pytest.mark.usefixtures("own_registry")
class TestFunctionsOfTheUser:
    @pytest.mark.parametrize("cls", [Cubed, OldCubed])
    def test_an_unknown_one_is_named_with_its_link_and_the_line_that_helps(self, cls):
        class Layer(chainer.Link):
            def forward(self, x):
                return apply(cls, x)

        with chainer.using_config("dtype", np.float64):
            model = chainer.Sequential(L.Linear(3, 3), Layer())
        with pytest.raises(ValueError) as info:
            Walked(model, normal(2, 3))
        message = str(info.value)
        assert f"at {cls.__name__} (in link '1', Layer)" in message
        assert f"saliency.lrp.register_handler({cls.__name__}, kind)" in message
        for kind in ("elementwise", "gate", "scaling", "routing", "pooling", "product"):
            assert f"'{kind}': " in message

    @pytest.mark.parametrize("cls", [Cubed, OldCubed])
    def test_the_line_of_the_message_helps(self, cls):
        register_handler(cls, "elementwise")
        for _ in range(2):
            walked = Walked(lambda x: apply(cls, x), normal(2, 3))
            assert_allclose(walked.relevance[0], walked.start[0])

    def test_a_handler_gets_the_arrays_and_stays(self):
        seen = []

        def handler(this, rule):
            seen.append(this)
            return [2 * this.relevance[0]]

        register_handler(Cubed, handler)
        x = normal(2, 3)
        for _ in range(2):
            walked = Walked(lambda v: apply(Cubed, v), x)
            assert_allclose(walked.relevance[0], 2 * walked.start[0])
        assert len(seen) == 2
        assert_allclose(seen[1].inputs[0], x)
        assert_allclose(seen[1].outputs[0], x**3)

    def test_subclasses_are_meant_too(self):
        class Special(Cubed):
            pass

        register_handler(Cubed, registry.passing)
        walked = Walked(lambda x: apply(Special, x), normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])

    def test_a_subclass_of_a_function_of_chainer_is_known(self):
        class MyReLU(F.activation.relu.ReLU):
            pass

        walked = Walked(lambda x: apply(MyReLU, x), normal(2, 3))
        assert_allclose(walked.relevance[0], walked.start[0])

    def test_a_function_of_chainer_may_be_given_another_answer(self):
        register_handler(F.activation.relu.ReLU, lambda this, rule: this.gradient())
        x = normal(2, 3)
        walked = Walked(F.relu, x)
        assert_allclose(walked.relevance[0], walked.start[0] * (x > 0))

    @pytest.mark.parametrize(
        ("name", "f"),
        [
            ("weighted", lambda x: F.linear(x, normal(4, 3))),
            ("pooled", lambda x: F.sum(x, axis=1)),
            ("added", lambda x: F.add(x, x[::-1])),
        ],
    )
    def test_the_handlers_of_the_project_work_without_a_rule(self, name, f):
        expected = Walked(f, normal(2, 3))
        handler = getattr(registry, name)
        register_handler(type(f(chainer.Variable(normal(2, 3))).creator_node), handler)
        found = Walked(f, normal(2, 3), rule=None)
        assert_allclose(found.relevance[0], expected.relevance[0])

    def test_what_an_old_style_one_keeps_from_forward_stays(self):
        class Summed(chainer.Function):
            def forward(self, inputs):
                self.seen = inputs[0]
                return (inputs[0].sum(axis=1),)

            def backward(self, inputs, grads):
                return (np.repeat(grads[0][:, None], self.seen.shape[1], axis=1),)

        register_handler(Summed, "pooling")
        x = normal(2, 3)
        walked = Walked(lambda v: apply(Summed, v), x, rule=ZPlus())
        expected = Walked(lambda v: F.sum(v, axis=1), x, rule=ZPlus())
        assert_allclose(walked.relevance[0], expected.relevance[0])
        assert function_of(walked.graph.functions[0]).seen is x

    @pytest.mark.parametrize("wrong", [[np.ones(3)], [np.ones((2, 3))] * 2, []])
    def test_what_does_not_fit_the_inputs_is_an_error(self, wrong):
        register_handler(Cubed, lambda this, rule: wrong)
        with pytest.raises(ValueError, match=r"Cubed .*shapes are \[\(2, 3\)\], got"):
            Walked(lambda x: apply(Cubed, x), normal(2, 3))

    def test_what_is_no_class_of_functions_is_refused(self):
        for wrong in (F.relu, Cubed(), "Cubed", L.Linear, None):
            with pytest.raises(TypeError, match="function_class must be"):
                register_handler(wrong, "elementwise")

    def test_what_is_no_handler_is_refused(self):
        with pytest.raises(TypeError, match="handler must be"):
            register_handler(Cubed, None)
        with pytest.raises(ValueError, match=r"elementwise.*got 'elemental'"):
            register_handler(Cubed, "elemental")
        assert registry.kind_of(Cubed()) == "unknown"


def test_the_table_in_the_documentation_is_up_to_date():
    folder = Path(registry.__file__).parents[2] / "docs"
    script = runpy.run_path(str(folder / "make_lrp_functions.py"))
    written = (folder / "lrp_functions.md").read_text(encoding="utf-8")
    assert written == script["document"](), "run docs/make_lrp_functions.py"
    for name in registry.function_classes():
        assert f"{name}`" in written
