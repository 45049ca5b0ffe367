"""Functions where relevance has no meaning."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lrp.walked import Walked, normal

import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


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
