"""Products, gates and what is handled like them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.lrp import Pass, Zero, register_handler
from tests.lrp.walked import (
    CONDITION,
    TenTimes,
    Walked,
    as_matrix,
    between_0_and_1,
    normal,
)

import chainer
import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


U = between_0_and_1


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

    @pytest.mark.parametrize(
        "factor",
        [
            F.tanh,
            F.erf,
            lambda g: 2 + F.tanh(g),
            lambda g: 0.5 + F.erf(g),
            lambda g: 1 + g,
            lambda g: 1 + F.elu(g),
            lambda g: F.relu(F.sigmoid(g)),
        ],
    )
    def test_what_is_no_share_from_0_to_1_is_a_signal(self, factor):
        x, g = normal(2, 3), normal(2, 3, seed=2)
        walked = Walked(lambda x, g: x * factor(g), x, g, rule=Pass())
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
