"""Sums of contributions: layers with weights, additions, poolings, linear maps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.lrp import Gradient, Pass, Zero, ZPlus
from tests.lrp.walked import (
    GRID,
    ROI_INDEXES,
    ROIS,
    Walked,
    as_matrix,
    flat,
    normal,
    quotient,
)

import chainer
import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


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
