"""Sums of contributions: layers with weights, additions, poolings, linear maps."""

from __future__ import annotations

from saliency.lrp.affine import Pooled, SignedSum, WeightedSum, check_weights, share
from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.handlers.routing import routing
from saliency.lrp.registry import handles
from saliency.lrp.rules import InProportion, SumRule, stabilised_quotient

import chainer.functions as F


@handles(
    "deconvolution",
    F.connection.deconvolution_2d.Deconvolution2DFunction,
    F.connection.deconvolution_nd.DeconvolutionND,
    rule=SumRule,
    has_weights=True,
)
@handles(
    "convolution",
    F.connection.convolution_2d.Convolution2DFunction,
    F.connection.convolution_nd.ConvolutionND,
    F.connection.local_convolution_2d.LocalConvolution2DFunction,
    rule=SumRule,
    has_weights=True,
)
@handles(
    "linear",
    F.connection.linear.LinearFunction,
    F.noise.simplified_dropconnect.SimplifiedDropconnect,
    rule=SumRule,
    has_weights=True,
    hint="an affine function of x, for the inputs x, W and perhaps b",
)
def weighted_sum(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares by the rule; the weights must not depend on the target."""
    check_weights(this)
    return share(this, rule, WeightedSum(this))


@handles(
    "addition",
    F.math.basic_math.Add,
    F.math.basic_math.MultiAdd,
    rule=SumRule,
    hint="the sum of the inputs",
)
def addition(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares of the terms by the rule."""
    return share(this, rule, SignedSum(this, [1] * len(this.inputs)))


@handles(
    "subtraction",
    F.math.basic_math.Sub,
    rule=SumRule,
    hint="the difference of two inputs",
)
def subtraction(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares of both terms by the rule, one with the weight -1."""
    return share(this, rule, SignedSum(this, [1, -1]))


@handles("added constant", F.math.basic_math.AddConstant, rule=SumRule)
def added_constant(this: Application, rule: SumRule | None) -> InputRelevance:
    """Share of x by the rule; the constant is a bias."""
    return share(this, rule, SignedSum(this, [1], this.function.value))


@handles(
    "subtracted from constant",
    F.math.basic_math.SubFromConstant,
    rule=SumRule,
    keeps_gates=True,
)
def subtracted_from_constant(this: Application, rule: SumRule | None) -> InputRelevance:
    """Share of x by the rule, with the weight -1; the constant is a bias."""
    return share(this, rule, SignedSum(this, [-1], this.function.value))


@handles("scattered addition", F.array.scatter_add.ScatterAdd, rule=SumRule)
def scattered_addition(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares by the rule of the array and of what is added to it in places."""
    return share(this, rule, Pooled(this, n_summed=2))


@handles(
    "pooling",
    F.math.sum.Sum,
    F.math.sum.SumTo,
    F.math.average.Mean,
    F.math.cumsum.Cumsum,
    F.pooling.average_pooling_2d.AveragePooling2D,
    F.pooling.average_pooling_nd.AveragePoolingND,
    F.array.resize_images.ResizeImages,
    rule=SumRule,
    hint="a sum, a mean or an interpolation, without negative weights",
)
def pooling(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares by the rule of all elements that are summed, averaged or interpolated."""
    check_weights(this)
    return share(this, rule, Pooled(this))


@handles(
    "sampling",
    F.pooling.roi_average_align_2d.ROIAverageAlign2D,
    F.pooling.roi_average_pooling_2d.ROIAveragePooling2D,
    F.array.spatial_transformer_sampler.SpatialTransformerSampler,
    rule=SumRule,
)
def sampling(this: Application, rule: SumRule | None) -> InputRelevance:
    """Shares by the rule of the points that are sampled, none for where they are."""
    if not this.active[0]:
        check_weights(this)
    return share(this, rule, Pooled(this))


@handles(
    "unpooling",
    F.pooling.unpooling_2d.Unpooling2D,
    F.pooling.unpooling_nd.UnpoolingND,
    F.pooling.upsampling_2d.Upsampling2D,
    rule=SumRule,
)
def unpooling(this: Application, rule: SumRule | None) -> InputRelevance:
    """Relevance is added up where the element came from; shares where areas overlap."""
    function = this.function
    if hasattr(function, "kh"):
        ksize, stride = (function.kh, function.kw), (function.sy, function.sx)
    else:
        ksize, stride = function.ksize, function.stride
    if any(k > s for k, s in zip(ksize, stride)):
        return pooling(this, rule)
    return routing(this, rule)


@handles(
    "linear map",
    F.math.fft.FFT,
    F.array.spatial_transformer_grid.SpatialTransformerGrid,
    F.pooling.roi_max_align_2d.ROIMaxAlign2D,
    F.normalization.decorrelated_batch_normalization.FixedDecorrelatedBatchNormalization,
    rule=InProportion,
    hint="any other linear function of the inputs",
)
def linear_map(this: Application, rule: InProportion | None) -> InputRelevance:
    """Shares in proportion to the contributions x_j w_jk of a linear map."""
    s = [
        None if r is None else stabilised_quotient(r, y, rule)
        for r, y in zip(this.relevance, this.outputs)
    ]
    gradient = this.gradient(s)
    shares = [None if g is None else x * g for x, g in zip(this.inputs, gradient)]
    total = sum((a * y).sum() for a, y in zip(s, this.outputs) if a is not None)
    rest = total - sum(x.sum() for x in shares if x is not None)
    this.bias_relevance.append(this.xp.asarray(rest))
    return shares
