"""Functions where relevance has no meaning, with the reason."""

from __future__ import annotations

from typing import Any

from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.registry import handles

import chainer.functions as F


class Refusal:
    """The handler of functions where relevance has no meaning.

    Args:
        reason (str): Why, and what to do.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.__doc__ = f"An error: {reason}."

    def __call__(self, this: Application, rule: Any) -> InputRelevance:
        """Raise a ValueError that names the function and the reason."""
        raise ValueError(f"no relevance goes through {this.label}: {self.reason}")


def refuse(kind: str, *classes: type, because: str) -> None:
    """Declare a kind of functions that relevance does not go through.

    Args:
        kind (str): The name of the kind.
        classes (type): The function classes of Chainer that are of this kind.
        because (str): Why, and what to do.
    """
    handles(kind, *classes)(Refusal(because))


refuse(
    "loss",
    F.loss.absolute_error.AbsoluteError,
    F.loss.contrastive.Contrastive,
    F.loss.cross_covariance.CrossCovariance,
    F.loss.ctc.ConnectionistTemporalClassification,
    F.loss.decov.DeCov,
    F.loss.hinge.Hinge,
    F.loss.huber_loss.HuberLoss,
    F.loss.mean_absolute_error.MeanAbsoluteError,
    F.loss.mean_squared_error.MeanSquaredError,
    F.loss.negative_sampling.NegativeSamplingFunction,
    F.loss.sigmoid_cross_entropy.SigmoidCrossEntropy,
    F.loss.softmax_cross_entropy.SoftmaxCrossEntropy,
    F.loss.squared_error.SquaredError,
    F.loss.triplet.Triplet,
    because=("it is a loss; explain what the network gives instead (output_extractor)"),
)

refuse(
    "index",
    F.evaluation.accuracy.Accuracy,
    F.evaluation.binary_accuracy.BinaryAccuracy,
    F.evaluation.classification_summary.ClassificationSummary,
    F.evaluation.r2_score.R2_score,
    F.math.minmax.ArgMax,
    F.math.minmax.ArgMin,
    because="its output is an index or a count, without contributions",
)

refuse(
    "random",
    F.noise.gaussian.Gaussian,
    because="its output is random; explain the network without it",
)

refuse(
    "training statistics",
    F.normalization.batch_renormalization.BatchRenormalizationFunction,
    F.normalization.decorrelated_batch_normalization.DecorrelatedBatchNormalization,
    because=(
        "it normalizes by the statistics of the batch; explain the network in "
        "evaluation mode"
    ),
)

refuse(
    "matrix function",
    F.math.cholesky.Cholesky,
    F.math.det.BatchDet,
    F.math.inv.BatchInv,
    F.math.inv.Inv,
    because=(
        "no rule for it is known, since its output is no sum of contributions; "
        "register_handler takes one of yours"
    ),
)

refuse(
    "cuDNN",
    F.rnn.n_step_gru.NStepBiGRU,
    F.rnn.n_step_gru.NStepGRU,
    F.rnn.n_step_lstm.NStepBiLSTM,
    F.rnn.n_step_lstm.NStepLSTM,
    F.rnn.n_step_rnn.CudnnRNNWeightConcat,
    F.rnn.n_step_rnn.NStepBiRNNReLU,
    F.rnn.n_step_rnn.NStepBiRNNTanh,
    F.rnn.n_step_rnn.NStepRNNReLU,
    F.rnn.n_step_rnn.NStepRNNTanh,
    because=("cuDNN runs all its steps as one; set chainer.config.use_cudnn = 'never'"),
)

refuse(
    "opaque",
    F.theano.theano_function.TheanoFunction,
    F.util.forget.Forget,
    because="what happens inside is not in the graph; call the functions directly",
)

refuse(
    "backward",
    F.activation.clipped_relu.ClippedReLUGrad2,
    F.activation.clipped_relu.ClippedReLUGrad3,
    F.activation.elu.ELUGrad,
    F.activation.hard_sigmoid.HardSigmoidGrad,
    F.activation.leaky_relu._LeakyReLUGrad,
    F.activation.log_softmax.LogSoftmaxGrad,
    F.activation.prelu.PReLUFunctionGrad,
    F.activation.relu.ReLUGrad2,
    F.activation.relu.ReLUGradCudnn,
    F.activation.rrelu._RReLUGrad,
    F.activation.sigmoid.SigmoidGrad,
    F.activation.softmax._SoftmaxGrad,
    F.activation.softplus.SoftplusGrad,
    F.activation.swish.SwishGrad,
    F.activation.tanh.TanhGrad,
    F.array.as_strided.AsStridedGrad,
    F.array.diagonal.DiagonalGrad,
    F.array.get_item.GetItemGrad,
    F.array.im2col.Im2ColGrad,
    F.array.repeat.RepeatGrad,
    F.array.resize_images.ResizeImagesGrad,
    F.array.select_item.Assign,
    F.connection.bilinear.BilinearFunctionGrad,
    F.connection.convolution_2d.Convolution2DGradW,
    F.connection.convolution_nd.ConvolutionNDGradW,
    F.connection.embed_id.EmbedIDGrad,
    F.connection.linear.LinearGradData,
    F.connection.linear.LinearGradWeight,
    F.loss.negative_sampling.NegativeSamplingFunctionGrad,
    F.loss.sigmoid_cross_entropy.SigmoidCrossEntropyGrad,
    F.loss.softmax_cross_entropy._SoftmaxCrossEntropyGrad_NoDoubleBackprop,
    F.math.basic_math.AbsoluteGrad,
    F.math.basic_math.DivFromConstantGrad,
    F.math.basic_math.DivGrad,
    F.math.basic_math.PowConstVarGrad,
    F.math.basic_math.PowVarConstGrad,
    F.math.basic_math.PowVarVarGrad,
    F.math.batch_l2_norm_squared.BatchL2NormSquaredGrad,
    F.math.clip.ClipGrad,
    F.math.cumprod.Cumprodsum,
    F.math.einsum.DiagEinSum,
    F.math.linear_interpolate.LinearInterpolateGrad,
    F.math.matmul.BatchMatMulGrad,
    F.math.maximum.MaximumGrad,
    F.math.minimum.MinimumGrad,
    F.math.sparse_matmul.CooMatMulGradSP,
    F.math.trigonometric.ArccosGrad,
    F.math.trigonometric.ArcsinGrad,
    F.math.trigonometric.Arctan2Grad,
    F.math.trigonometric.ArctanGrad,
    F.math.trigonometric.CosGrad,
    F.math.trigonometric.SinGrad,
    F.noise.dropout.DropoutGrad,
    F.noise.dropout.DropoutGradCuDNN,
    F.normalization.batch_normalization.BatchNormalizationGrad,
    F.normalization.batch_normalization.FixedBatchNormalizationGrad,
    F.normalization.decorrelated_batch_normalization.DecorrelatedBatchNormalizationGrad,
    F.normalization.decorrelated_batch_normalization.FixedDecorrelatedBatchNormalizationGrad,
    F.normalization.group_normalization._MulInvStd,
    F.normalization.group_normalization._ScaleShiftGrad,
    F.normalization.group_normalization._XHat,
    F.normalization.group_normalization._XHatGrad,
    F.normalization.l2_normalization._SetItemZero,
    F.normalization.local_response_normalization.LocalResponseNormalizationGrad,
    F.pooling.average_pooling_2d.AveragePooling2DGrad,
    F.pooling.average_pooling_nd.AveragePoolingNDGrad,
    F.pooling.max_pooling_nd.MaxPoolingNDGrad,
    F.pooling.max_pooling_nd.MaxPoolingNDWithIndexes,
    F.pooling.roi_pooling_2d.ROIPooling2DGrad,
    F.pooling.unpooling_2d.Unpooling2DGrad,
    F.pooling.unpooling_nd.UnpoolingNDGrad,
    F.pooling.upsampling_2d.Upsampling2DGrad,
    F.rnn.lstm.LSTMGrad,
    F.rnn.slstm.SLSTMGrad,
    because="it belongs to the backward pass of another function",
)
