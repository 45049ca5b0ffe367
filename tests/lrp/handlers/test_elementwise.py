"""Functions of each element."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.lrp import Zero
from tests.lrp.walked import Walked, between_0_and_1, normal

import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


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


def test_relevance_of_both_halves_of_a_concatenated_relu_goes_through():
    x = normal(2, 3)
    walked = Walked(F.crelu, x)
    in_line = Walked(lambda v: F.concat([F.relu(v), F.relu(-v)]), x)
    assert_allclose(walked.relevance[0], in_line.relevance[0])
