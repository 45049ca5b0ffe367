"""Functions of each element, and those that are taken for such."""

from __future__ import annotations

from typing import Any

from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.registry import handles
from saliency.lrp.rules import Taylor

import chainer.functions as F


@handles(
    "scaling",
    F.math.basic_math.Neg,
    F.math.basic_math.MulConstant,
    F.noise.dropout.Dropout,
    F.normalization.l2_normalization.NormalizeL2,
    F.normalization.local_response_normalization.LocalResponseNormalization,
    keeps_gates=True,
    hint="the input times a scale that counts as a constant",
)
@handles(
    "gate",
    F.activation.hard_sigmoid.HardSigmoid,
    F.activation.sigmoid.Sigmoid,
    F.math.ndtr.Ndtr,
    is_gate=True,
    hint="shares from 0 to 1: a signal that they multiply gets all relevance",
)
@handles(
    "elementwise",
    F.activation.clipped_relu.ClippedReLU,
    F.activation.elu.ELU,
    F.activation.leaky_relu.LeakyReLU,
    F.activation.log_softmax.LogSoftmax,
    F.activation.prelu.PReLUFunction,
    F.activation.relu.ReLU,
    F.activation.rrelu.RReLU,
    F.activation.softplus.Softplus,
    F.activation.swish.Swish,
    F.activation.tanh.Tanh,
    F.math.arctanh.Arctanh,
    F.math.basic_math.Absolute,
    F.math.basic_math.DivFromConstant,
    F.math.basic_math.PowConstVar,
    F.math.basic_math.PowVarConst,
    F.math.clip.Clip,
    F.math.digamma.DiGamma,
    F.math.erf.Erf,
    F.math.erfc.Erfc,
    F.math.erfcinv.ErfcInv,
    F.math.erfcx.Erfcx,
    F.math.erfinv.ErfInv,
    F.math.exponential.Exp,
    F.math.exponential.Log,
    F.math.exponential.Log10,
    F.math.exponential.Log2,
    F.math.exponential_m1.Expm1,
    F.math.hyperbolic.Cosh,
    F.math.hyperbolic.Sinh,
    F.math.lgamma.LGamma,
    F.math.log_ndtr.LogNdtr,
    F.math.logarithm_1p.Log1p,
    F.math.ndtri.Ndtri,
    F.math.polygamma.PolyGamma,
    F.math.sqrt.RsqrtGPU,
    F.math.sqrt.Sqrt,
    F.math.square.Square,
    F.math.trigonometric.Arccos,
    F.math.trigonometric.Arcsin,
    F.math.trigonometric.Arctan,
    F.math.trigonometric.Arctan2,
    F.math.trigonometric.Cos,
    F.math.trigonometric.Sin,
    F.math.trigonometric.Tan,
    F.math.zeta.Zeta,
    hint="a function of each element of the input, in the same place",
)
def elementwise(this: Application, rule: Any) -> InputRelevance:
    """Relevance goes through unchanged."""
    r = this.output_relevance
    active = this.active_indexes
    if len(active) > 1 or this.inputs[active[0]].shape != r.shape:
        raise ValueError(
            f"no relevance goes through {this.label}: its parameters depend on the "
            "target, too; register a handler for what should be done there"
        )
    return this.at_active([r])


@handles(
    "softmax",
    F.activation.softmax.Softmax,
    rule=Taylor,
    is_gate=True,
)
def softmax(this: Application, rule: Taylor | None) -> InputRelevance:
    """Relevance goes through unchanged; under Taylor(), in shares of its expansion."""
    if rule is None:
        return elementwise(this, rule)
    (x,), (s,) = this.inputs, this.outputs
    shares = rule.share(x, s, this.output_relevance, this.function.axis)
    rest = this.output_relevance.sum(dtype="d") - shares.sum(dtype="d")
    this.bias_relevance.append(this.xp.asarray(rest))
    return [shares]


@handles("concatenated ReLU", F.activation.crelu.CReLU)
def concatenated_relu(this: Application, rule: Any) -> InputRelevance:
    """Relevance of both halves goes through unchanged."""
    first, second = this.xp.split(this.output_relevance, 2, axis=this.function.axis)
    return [first + second]
