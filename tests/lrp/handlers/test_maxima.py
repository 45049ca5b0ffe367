"""Functions that let the largest element through."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.lrp import Gradient, Zero
from tests.lrp.walked import ROI_INDEXES, ROIS, Walked, normal

import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


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
