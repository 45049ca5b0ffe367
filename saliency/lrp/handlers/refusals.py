"""The kind of every function class of ``chainer.functions``."""

from __future__ import annotations

import functools
import importlib
import pkgutil

import chainer

# By kind, the classes as module.name. What is done at each kind: functions.HANDLERS.
_NAMES = {
    "linear": """
        linear.LinearFunction simplified_dropconnect.SimplifiedDropconnect""",
    "convolution": """
        convolution_2d.Convolution2DFunction convolution_nd.ConvolutionND
        local_convolution_2d.LocalConvolution2DFunction""",
    "deconvolution": """
        deconvolution_2d.Deconvolution2DFunction deconvolution_nd.DeconvolutionND""",
    "embedding": "embed_id.EmbedIDFunction",
    "addition": "basic_math.Add basic_math.MultiAdd",
    "subtraction": "basic_math.Sub",
    "added constant": "basic_math.AddConstant",
    "subtracted from constant": "basic_math.SubFromConstant",
    "scattered addition": "scatter_add.ScatterAdd",
    "pooling": """
        sum.Sum average.Mean cumsum.Cumsum average_pooling_2d.AveragePooling2D
        average_pooling_nd.AveragePoolingND resize_images.ResizeImages sum.SumTo""",
    "sampling": """
        roi_average_align_2d.ROIAverageAlign2D
        roi_average_pooling_2d.ROIAveragePooling2D
        spatial_transformer_sampler.SpatialTransformerSampler""",
    "linear map": """
        fft.FFT spatial_transformer_grid.SpatialTransformerGrid
        roi_max_align_2d.ROIMaxAlign2D
        decorrelated_batch_normalization.FixedDecorrelatedBatchNormalization""",
    "batch normalization": "batch_normalization.FixedBatchNormalization",
    "batch normalization (training)": "batch_normalization.BatchNormalization",
    "layer normalization": "layer_normalization.LayerNormalization",
    "group normalization": "group_normalization.GroupNormalization",
    "routing": """
        as_strided.AsStrided broadcast.Broadcast broadcast.BroadcastTo cast.Cast
        concat.Concat copy.Copy depth2space.Depth2Space diagonal.Diagonal
        dstack.Dstack expand_dims.ExpandDims flip.Flip fliplr.FlipLR flipud.FlipUD
        get_item.GetItem hstack.Hstack im2col.Im2Col moveaxis.Moveaxis
        pad_sequence.PadSequence permutate.Permutate repeat.Repeat reshape.Reshape
        rollaxis.Rollaxis select_item.SelectItem separate.Separate
        space2depth.Space2Depth split_axis.SplitAxis squeeze.Squeeze stack.Stack
        swapaxes.Swapaxes tile.Tile transpose.Transpose
        transpose_sequence.TransposeSequence vstack.Vstack zoneout.Zoneout
        where.Where identity.Identity shift.Shift""",
    "padding": "pad.Pad",
    "unpooling": """
        unpooling_2d.Unpooling2D unpooling_nd.UnpoolingND upsampling_2d.Upsampling2D""",
    "elementwise": """
        clipped_relu.ClippedReLU elu.ELU hard_sigmoid.HardSigmoid
        leaky_relu.LeakyReLU log_softmax.LogSoftmax prelu.PReLUFunction relu.ReLU
        rrelu.RReLU sigmoid.Sigmoid softmax.Softmax softplus.Softplus swish.Swish
        tanh.Tanh arctanh.Arctanh basic_math.Absolute basic_math.PowVarConst
        basic_math.DivFromConstant basic_math.PowConstVar clip.Clip digamma.DiGamma
        erf.Erf erfc.Erfc erfcinv.ErfcInv erfcx.Erfcx erfinv.ErfInv exponential.Exp
        exponential.Log exponential.Log2 exponential.Log10 exponential_m1.Expm1
        hyperbolic.Cosh hyperbolic.Sinh lgamma.LGamma log_ndtr.LogNdtr
        logarithm_1p.Log1p ndtr.Ndtr ndtri.Ndtri sqrt.Sqrt sqrt.RsqrtGPU
        square.Square trigonometric.Sin trigonometric.Cos trigonometric.Tan
        trigonometric.Arcsin trigonometric.Arccos trigonometric.Arctan
        dropout.Dropout polygamma.PolyGamma zeta.Zeta trigonometric.Arctan2""",
    "scaling": """
        basic_math.Neg basic_math.MulConstant l2_normalization.NormalizeL2
        local_response_normalization.LocalResponseNormalization""",
    "concatenated ReLU": "crelu.CReLU",
    "maximum": """
        max_pooling_nd.MaxPoolingND maximum.Maximum minimum.Minimum
        logsumexp.LogSumExp roi_pooling_2d.ROIPooling2D
        roi_max_pooling_2d.ROIMaxPooling2D""",
    "maximum over axes": "minmax.Max minmax.Min",
    "product": "basic_math.Mul",
    "product of elements": "prod.Prod",
    "cumulative product": "cumprod.Cumprod",
    "matrix product": """
        matmul.MatMul matmul.BatchMatMul einsum.EinSum tensordot.TensorDot
        sparse_matmul.CooMatMul bilinear.BilinearFunction""",
    "quotient": "basic_math.Div fmod.Fmod",
    "power": "basic_math.PowVarVar",
    "sum of squares": "batch_l2_norm_squared.BatchL2NormSquared",
    "interpolation": "linear_interpolate.LinearInterpolate",
    "LSTM": "lstm.LSTM",
    "S-LSTM": "slstm.SLSTM",
    "tree LSTM": "tree_lstm.TreeLSTM",
    "loss": """
        absolute_error.AbsoluteError contrastive.Contrastive
        cross_covariance.CrossCovariance ctc.ConnectionistTemporalClassification
        decov.DeCov hinge.Hinge huber_loss.HuberLoss
        mean_absolute_error.MeanAbsoluteError mean_squared_error.MeanSquaredError
        negative_sampling.NegativeSamplingFunction
        sigmoid_cross_entropy.SigmoidCrossEntropy
        softmax_cross_entropy.SoftmaxCrossEntropy squared_error.SquaredError
        triplet.Triplet""",
    "index": """
        minmax.ArgMin minmax.ArgMax accuracy.Accuracy binary_accuracy.BinaryAccuracy
        classification_summary.ClassificationSummary r2_score.R2_score""",
    "random": "gaussian.Gaussian",
    "training statistics": """
        batch_renormalization.BatchRenormalizationFunction
        decorrelated_batch_normalization.DecorrelatedBatchNormalization""",
    "matrix function": "inv.Inv inv.BatchInv det.BatchDet cholesky.Cholesky",
    "cuDNN": """
        n_step_gru.NStepGRU n_step_gru.NStepBiGRU n_step_lstm.NStepLSTM
        n_step_lstm.NStepBiLSTM n_step_rnn.NStepRNNTanh n_step_rnn.NStepRNNReLU
        n_step_rnn.NStepBiRNNTanh n_step_rnn.NStepBiRNNReLU
        n_step_rnn.CudnnRNNWeightConcat""",
    "opaque": "forget.Forget theano_function.TheanoFunction",
    "backward": """
        cumprod.Cumprodsum einsum.DiagEinSum max_pooling_nd.MaxPoolingNDWithIndexes
        group_normalization._XHat group_normalization._MulInvStd select_item.Assign
        l2_normalization._SetItemZero""",
}


@functools.cache
def function_classes() -> dict[str, type]:
    """Return the function classes of ``chainer.functions``, by module and name.

    Those that others only inherit from, which no graph holds, are left out.
    """
    import chainer.functions as package

    found = {}
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            is_here = getattr(value, "__module__", None) == info.name
            if is_here and isinstance(value, type) and _computes(value):
                found[f"{info.name.rpartition('.')[2]}.{name}"] = value
    bases = {base for cls in found.values() for base in cls.__mro__[1:]}
    named = {name for text in _NAMES.values() for name in text.split()}
    return {n: c for n, c in found.items() if c not in bases or n in named}


def _computes(cls: type) -> bool:
    """Tell whether a class is a function with a forward pass."""
    for base in (chainer.Function, chainer.FunctionNode):
        if issubclass(cls, base):
            ways = ("forward", "forward_cpu", "forward_gpu")
            return any(getattr(cls, w) is not getattr(base, w) for w in ways)
    return False


@functools.cache
def kinds() -> dict[type, str]:
    """Return the kind of each function class of ``chainer.functions``."""
    classes = function_classes()
    result = {classes[n]: kind for kind, text in _NAMES.items() for n in text.split()}
    for name, cls in classes.items():
        # The names of what is there for double backpropagation alone.
        if cls not in result and "Grad" in name:
            result[cls] = "backward"
    return result
