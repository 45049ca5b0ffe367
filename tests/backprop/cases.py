"""Applications of every function of Chainer, with their inputs in float64."""

from __future__ import annotations

import numpy as np

from tests.lrp.handlers.test_every_function import trials
from tests.lrp.handlers.test_refusals import REFUSED
from tests.lrp.walked import between_0_and_1, normal

import chainer.functions as F

X = normal(2, 3, 4)
IMAGES = normal(2, 4, 6, 5)
U = between_0_and_1

#: Options, shapes and axes that the tables of LRP do not have: (function, inputs).
OWN = [
    # arithmetic, with broadcasting and with one input twice
    (lambda x, y: x + y, [X, normal(3, 1)]),
    (lambda x, y: x - y, [normal(4), X]),
    (lambda x, y: y - x, [normal(4), X]),
    (lambda x, y: x * y, [X, normal(1, 3, 1)]),
    (lambda x, y: x / y, [U(3, 4), U(2, 3, 4)]),
    (lambda x, y: x**y, [U(2, 3), U(3)]),
    (lambda x: x * x + x / x - x, [U(2, 3)]),
    (lambda x, y: F.add(x, y, x), [X, normal(4)]),
    (lambda x: -x + 1 - (2 - x) * 3 / 4, [X]),
    (lambda x: F.maximum(x, normal(4)), [X]),
    (F.maximum, [X, normal(3, 1)]),
    (F.minimum, [normal(4), X]),
    (lambda x: F.maximum(x, np.zeros((), x.dtype)), [X]),
    (lambda x: F.where(np.array([True, False, True, False]), x, x[:, :1]), [X]),
    (F.linear_interpolate, [U(2, 3), normal(2, 3), normal(2, 3, seed=2)]),
    # activations
    (lambda x: F.leaky_relu(x, -0.3), [X]),
    (lambda x: F.elu(x, -0.5), [X]),
    (lambda x: F.clipped_relu(x, 0.7), [X]),
    (lambda x: F.clip(x, None, 0.3), [X]),
    (lambda x: F.softplus(x, 2.0), [X]),
    (F.swish, [X, normal(3, 4)]),
    (F.swish, [X, normal(3)]),
    (lambda x: F.swish(x, np.asarray(0.5, x.dtype)), [X]),
    (F.prelu, [X, normal(3)]),
    (lambda x: F.crelu(x, axis=2), [X]),
    (lambda x: F.softmax(x, axis=2), [X]),
    (lambda x: F.softmax(x, axis=-1), [X]),
    (lambda x: F.log_softmax(x, axis=0), [X]),
    (lambda x: x * F.sigmoid(1.702 * x), [X]),
    (lambda x: 0.5 * x * (1 + F.erf(x / 2**0.5)), [X]),
    (lambda x: F.dropout(x, 0.3), [X]),
    # of shapes, axes and parts
    (lambda x: F.transpose(x, (2, 0, 1)), [X]),
    (lambda x: F.transpose(x, (-1, 0, -2)), [X]),
    (lambda x: F.moveaxis(x, (0, 2), (-1, 0)), [X]),
    (lambda x: F.rollaxis(x, 0, 3), [X]),
    (lambda x: F.rollaxis(x, -1, -2), [X]),
    (lambda x: F.rollaxis(x, 1, 1), [X]),
    (lambda x: F.swapaxes(x, -1, 0), [X]),
    (lambda x: F.expand_dims(x, -1), [X]),
    (lambda x: F.squeeze(x, (0, -1)), [normal(1, 3, 1, 1)]),
    (lambda x: F.flip(x, -1), [X]),
    (lambda x, y: F.concat([x, y, x], -1), [X, normal(2, 3, 1)]),
    (lambda x: F.concat([x]), [X]),
    (lambda x, y: F.stack([x, y, x], -1), [X, normal(2, 3, 4, seed=2)]),
    (lambda x, y: F.hstack([x, y]), [normal(3), normal(2)]),
    (lambda x, y: F.hstack([x, y]), [normal(), normal()]),
    (lambda x: F.hstack([x]), [normal()]),
    (lambda x, y: F.vstack([x, y]), [normal(3), normal(3)]),
    (lambda x: F.vstack([x]), [normal(3)]),
    (lambda x, y: F.dstack([x, y]), [normal(2), normal(2)]),
    (lambda x, y: F.dstack([x, y]), [X, normal(2, 3, 1)]),
    (lambda x: F.dstack([x]), [normal(2, 3)]),
    (lambda x: F.split_axis(x, 2, 2), [X]),
    (lambda x: F.split_axis(x, [0, 1, 1, 3], -1), [X]),
    (lambda x: F.separate(x, 2), [X]),
    (lambda x: x[1], [X]),
    (lambda x: x[..., ::-2], [X]),
    (lambda x: x[:, None, 1:, 3], [X]),
    (lambda x: x[0, 1, 2], [X]),
    (lambda x: x[np.int64(1), [0, 2, 0], 1:], [X]),
    (lambda x: x[x.array > 0], [X]),
    (lambda x: x[:, np.array([True, False, True])], [X]),
    (lambda x: x[True], [X]),
    (lambda x: F.pad(x, (1, 2), "constant"), [X]),
    (lambda x: F.broadcast_to(x, (2, 3, 4)), [normal(3, 1)]),
    (lambda x: F.broadcast_to(x, (2, 3, 4)), [X]),
    (lambda x: F.repeat(x, 2), [X]),
    (lambda x: F.repeat(x, 3, axis=1), [X]),
    (lambda x: F.tile(x, 2), [X]),
    (lambda x: F.tile(x, (2, 1, 3)), [normal(4)]),
    (lambda x: F.permutate(x, np.array([2, 0, 1]), axis=1, inv=True), [X]),
    (lambda x: F.diagonal(x, 1, 1, 2), [X]),
    (lambda x: F.im2col(x, (2, 3), stride=2, pad=(1, 0), cover_all=True), [IMAGES]),
    (lambda x: F.resize_images(x, (4, 9), mode="nearest"), [IMAGES]),
    (lambda x: F.resize_images(x, (3, 7), align_corners=False), [IMAGES]),
    (lambda x, y: F.scatter_add(x, [0, 1, 0], y), [normal(3, 2), normal(3, 2)]),
    (lambda x, y: F.scatter_add(x, slice(1, None), y), [normal(3, 2), normal(2, 2)]),
    (lambda x: F.identity(x, 2 * x), [X]),
    (lambda x: F.identity(x), [X]),
    (lambda x: F.cast(F.cast(x, "float32"), "float64"), [X]),
    (lambda x, y: F.broadcast(x, y, x), [normal(3, 1), normal(2, 1, 4)]),
    # reductions
    (lambda x: F.sum(x, axis=(0, -1)), [X]),
    (lambda x: F.sum(x, axis=1, keepdims=True), [X]),
    (lambda x: F.sum_to(x, (3, 1)), [X]),
    (F.mean, [X]),
    (lambda x: F.mean(x, axis=(-1, 0)), [X]),
    (lambda x: F.mean(x, axis=1, keepdims=True), [X]),
    (lambda x: F.average(x, axis=2, weights=np.arange(1, 5).astype(x.dtype)), [X]),
    (lambda x: F.max(x, axis=(0, 2)), [X.round()]),
    (lambda x: F.min(x, axis=-2, keepdims=True), [X.round()]),
    (F.min, [X]),
    (lambda x: F.logsumexp(x, axis=(-1, 0)), [X]),
    (lambda x: F.cumsum(x, axis=-1), [X]),
    (lambda x: F.cumsum(x), [X]),
    (F.batch_l2_norm_squared, [X]),
    # products
    *(
        (lambda x, y, a=a, b=b: F.matmul(x, y, a, b), [*pair])
        for a, b, *pair in [
            (False, False, normal(2, 3), normal(3, 4)),
            (True, False, normal(3, 2), normal(3, 4)),
            (False, True, normal(2, 3), normal(4, 3)),
            (True, True, normal(3, 2), normal(4, 3)),
            (True, False, normal(5, 3, 2), normal(3, 4)),
            (False, False, normal(2, 3), normal(5, 3, 4)),
            (False, False, normal(3), normal(3, 4)),
            (False, False, normal(2, 3), normal(3)),
            (False, False, normal(3), normal(3)),
        ]
    ),
    (lambda x, y: F.batch_matmul(x, y, transa=True), [normal(2, 3, 4), normal(2, 3)]),
    (lambda x, y: F.batch_matmul(x, y, transb=True), [X, normal(2, 5, 4)]),
    (lambda x, y: F.einsum("ijk,kl->lij", x, y), [X, normal(4, 2)]),
    (lambda x, y, z: F.einsum("ij,jk,kl->il", x, y, z), [normal(2, 2)] * 3),
    (lambda x: F.einsum("ijk->kji", x), [X]),
    (lambda x: F.einsum("iij->j", x), [normal(3, 3, 2)]),
    (lambda x, y: F.einsum("...i,i->...", x, y), [X, normal(4)]),
    (lambda x, y: F.tensordot(x, y, axes=([1, 2], [1, 0])), [X, normal(4, 3, 2)]),
    (lambda x, y: F.tensordot(x, y, axes=0), [normal(2), normal(3)]),
    # layers, at their weights as well
    (F.linear, [normal(2, 3), normal(4, 3), normal(4)]),
    (lambda x, W: F.linear(x, W, n_batch_axes=2), [X, normal(5, 4)]),
    (
        lambda x, W, b: F.convolution_2d(x, W, b, stride=(2, 1), pad=(0, 1), groups=2),
        [IMAGES, normal(6, 2, 2, 3), normal(6)],
    ),
    (lambda x, W: F.convolution_2d(x, W, cover_all=True, stride=2), [
        IMAGES,
        normal(3, 4, 3, 3),
    ]),
    (lambda x, W: F.convolution_2d(x, W, stride=2), [IMAGES, normal(3, 4, 1, 1)]),
    (lambda x, W: F.depthwise_convolution_2d(x, W, pad=1), [
        IMAGES,
        normal(1, 4, 3, 3),
    ]),
    (lambda x, W, b: F.convolution_1d(x, W, b, pad=1, dilate=2), [
        normal(2, 3, 8),
        normal(4, 3, 3),
        normal(4),
    ]),
    (lambda x, b: F.deconvolution_2d(x, normal(4, 3, 3, 3), b, stride=2, pad=1), [
        IMAGES,
        normal(3),
    ]),
    (
        lambda W: F.embed_id(np.array([[0, 2], [-1, 0]]), W, ignore_label=-1),
        [normal(3, 2)],
    ),
    # poolings
    (lambda x: F.max_pooling_2d(x, 3, stride=1, pad=1), [IMAGES.round()]),
    (lambda x: F.max_pooling_2d(x, (2, 3), cover_all=False), [IMAGES]),
    (lambda x: F.average_pooling_2d(x, 3, stride=2, pad=1), [IMAGES]),
    (lambda x: F.average_pooling_nd(x, 2, pad=1, pad_value=None), [IMAGES]),
    (lambda x: F.unpooling_2d(x, 2, cover_all=False), [IMAGES]),
    # normalizations
    (lambda x, gamma, beta: F.fixed_batch_normalization(
        x, gamma, beta, normal(4), U(4)), [IMAGES, normal(4), normal(4)]),
    (lambda x: F.fixed_batch_normalization(
        x, *normal(3, 6), U(6), axis=(0, 1, 3)), [IMAGES]),
    (lambda x: F.fixed_batch_normalization(
        x, *normal(3, 4, 6, 5), U(4, 6, 5)), [IMAGES]),
    (F.layer_normalization, [normal(4, 3), normal(3), normal(3)]),
    (lambda x, g, b: F.group_normalization(x, 2, g, b), [IMAGES, normal(4), normal(4)]),
    (lambda x: F.local_response_normalization(x, 3), [IMAGES]),
    (lambda x: F.normalize(x, axis=(1, 2)), [X]),
    # Chainer's own
    (lambda x: F.forget(lambda y: y * y, x), [X]),
    (lambda x: F.get_item(F.sum(x), ()), [X]),
]  # fmt: skip

_REFUSED = [(f, [x]) for f, x in REFUSED.values()]

_ALL = [*trials(), *OWN, *_REFUSED]

CASES = [(f, xs) for f, xs in _ALL if any(x.dtype.kind == "f" for x in xs)]
