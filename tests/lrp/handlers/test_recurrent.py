"""Cells of recurrent networks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.lrp import Zero
from tests.lrp.walked import Walked, between_0_and_1, normal

import chainer
import chainer.functions as F
import chainer.links as L

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


U = between_0_and_1


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TestRecurrent:
    def test_interpolation_shares_by_its_terms(self):
        p, x, y = U(2, 3), normal(2, 3), normal(2, 3, seed=2)
        walked = Walked(F.linear_interpolate, p, x, y, rule=Zero())
        s = walked.start[0] / (p * x + (1 - p) * y)
        assert walked.relevance[0] is None
        assert_allclose(walked.relevance[1], p * x * s)
        assert_allclose(walked.relevance[2], (1 - p) * y * s)

    def test_interpolation_between_constants_leaves_the_rest_to_the_gate(self):
        p, x, y = U(2, 3), normal(2, 3), normal(2, 3, seed=2)
        walked = Walked(lambda g: F.linear_interpolate(g, x, y), p, rule=Zero())
        s = walked.start[0] / (p * x + (1 - p) * y)
        assert_allclose(walked.relevance[0], p * (x - y) * s)
        walked.check_conservation()

    @pytest.mark.parametrize("n_going_on", [3, 2])
    @pytest.mark.parametrize("used", ["c and h", "c", "h"])
    def test_lstm(self, used, n_going_on):
        c, x = normal(3, 2), normal(n_going_on, 8, seed=2)

        def f(c, x):
            new_c, h = F.lstm(c, x)
            return {"c and h": (new_c, h), "c": new_c, "h": h}[used]

        walked = Walked(f, c, x, rule=Zero())
        parts = dict(zip(used.split(" and "), walked.start))
        of_c, of_x = np.zeros((3, 2)), np.zeros((n_going_on, 8))
        for n in range(3):
            for unit in range(2):
                r = parts["c"][n, unit] if "c" in parts else 0
                if n >= n_going_on:
                    of_c[n, unit] = r
                    continue
                r += parts["h"][n, unit] if "h" in parts else 0
                a, i, forget, _ = x[n, 4 * unit : 4 * unit + 4]
                kept = c[n, unit] * sigmoid(forget)
                new = np.tanh(a) * sigmoid(i)
                of_c[n, unit] = kept / (kept + new) * r
                of_x[n, 4 * unit] = new / (kept + new) * r
        assert_allclose(walked.relevance[0], of_c, atol=1e-12)
        assert_allclose(walked.relevance[1], of_x, atol=1e-12)

    def test_slstm(self):
        c1, c2 = normal(3, 2), normal(3, 2, seed=2)
        x1, x2 = normal(3, 8, seed=3), normal(3, 8, seed=4)
        walked = Walked(F.slstm, c1, c2, x1, x2, rule=Zero())
        expected = [np.zeros_like(v) for v in (c1, c2, x1, x2)]
        for n, unit in np.ndindex(3, 2):
            (a1, i1, f1, _), (a2, i2, f2, _) = (
                v[n, 4 * unit : 4 * unit + 4] for v in (x1, x2)
            )
            terms = [
                c1[n, unit] * sigmoid(f1),
                c2[n, unit] * sigmoid(f2),
                np.tanh(a1) * sigmoid(i1),
                np.tanh(a2) * sigmoid(i2),
            ]
            r = sum(start[n, unit] for start in walked.start)
            for array, index, term in zip(expected, [1, 1, 4, 4], terms):
                array[n, index * unit] = term / sum(terms) * r
        for found, array in zip(walked.relevance, expected):
            assert_allclose(found, array, atol=1e-12)

    def test_tree_lstm(self):
        c1, c2, x = normal(3, 2), normal(3, 2, seed=2), normal(3, 10, seed=3)
        walked = Walked(F.tree_lstm, c1, c2, x, rule=Zero())
        expected = [np.zeros_like(v) for v in (c1, c2, x)]
        for n, unit in np.ndindex(3, 2):
            a, i, _, f1, f2 = x[n, unit::2]
            terms = [
                c1[n, unit] * sigmoid(f1),
                c2[n, unit] * sigmoid(f2),
                np.tanh(a) * sigmoid(i),
            ]
            r = sum(start[n, unit] for start in walked.start)
            for array, term in zip(expected, terms):
                array[n, unit] = term / sum(terms) * r
        for found, array in zip(walked.relevance, expected):
            assert_allclose(found, array, atol=1e-12)

    def test_the_lstm_function_and_its_formula_in_line_agree(self):
        c, x = normal(3, 2), normal(3, 8, seed=2)

        def in_line(c, x):
            a, i, forget, o = F.separate(x.reshape(3, 2, 4), axis=2)
            new_c = F.tanh(a) * F.sigmoid(i) + c * F.sigmoid(forget)
            return new_c, F.tanh(new_c) * F.sigmoid(o)

        found = Walked(F.lstm, c, x, rule=Zero())
        expected = Walked(in_line, c, x, rule=Zero())
        assert_allclose(found.relevance[0], expected.relevance[0])
        assert_allclose(found.relevance[1], expected.relevance[1], atol=1e-12)

    @pytest.mark.parametrize("layer", [L.GRU, L.StatefulGRU, L.LSTM, L.StatelessGRU])
    def test_cells_conserve_relevance_but_for_biases(self, layer):
        with chainer.using_config("dtype", np.float64):
            cell = layer(3, 4)

        def f(x):
            if layer is L.StatelessGRU:
                return cell(cell(np.zeros((2, 4)), x), x)
            return cell(x) + cell(x)

        Walked(f, normal(2, 3), rule=Zero()).check_conservation()

    @pytest.mark.parametrize(
        "layer",
        [
            L.NStepLSTM,
            L.NStepBiLSTM,
            L.NStepGRU,
            L.NStepBiGRU,
            L.NStepRNNTanh,
            L.NStepBiRNNReLU,
        ],
    )
    def test_recurrent_networks_over_sequences_conserve_it_too(self, layer):
        np.random.seed(0)  # without one, all units of a step may be off now and then
        with chainer.using_config("dtype", np.float64):
            network = layer(2, 3, 4, 0.0)

        def f(x, y):
            *_, hs = network(*[None] * (2 if "LSTM" in layer.__name__ else 1), [x, y])
            return hs[0], hs[1]

        walked = Walked(f, normal(3, 3), normal(2, 3, seed=2), rule=Zero())
        walked.check_conservation()
