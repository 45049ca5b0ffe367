"""AttnLRP: the softmax, products, and a transformer described again in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import saliency
from saliency import LRPCalculator
from saliency.lrp import Composite, Epsilon, Taylor
from tests.lrp.walked import normal

import chainer
import chainer.functions as F
import chainer.links as L

EXPORTED = Path(__file__).parents[1] / "models" / "onnx" / "exported"


def relevance_of(f, *xs, start, **settings):
    """Returns the relevance of each of xs under AttnLRP, given that of the output."""
    settings = {"rule": "attn_lrp", "relevance": start, **settings}
    calculator = LRPCalculator(f, targets=tuple(range(len(xs))), **settings)
    data = xs if len(xs) > 1 else xs[0]
    return [samples[0] for samples in calculator.compute(data, show_progress=False)]


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


class TestSoftmax:
    def test_shares_are_those_of_the_taylor_expansion(self):
        x, r = normal(1, 5), normal(1, 5, seed=2)
        (found,) = relevance_of(F.softmax, x, start=r)
        # f_j(x) = sum_i J_ji x_i + rest, by differences; R_j is shared in proportion.
        h = 1e-6
        steps = h * np.eye(5)
        J = (softmax(x + steps) - softmax(x - steps)) / (2 * h)  # [i, j]
        assert_allclose(found[0], (x[0, :, None] * J / softmax(x)) @ r[0], rtol=1e-7)

    @pytest.mark.parametrize("axis", [1, 2])
    def test_along_every_axis(self, axis):
        x, r = normal(2, 3, 4), normal(2, 3, 4, seed=2)
        (found,) = relevance_of(lambda v: F.softmax(v, axis=axis), x, start=r)
        total = r.sum(axis=axis, keepdims=True)
        assert_allclose(found, x * (r - softmax(x, axis) * total), rtol=1e-10)

    def test_what_is_masked_gets_none(self):
        x = normal(2, 3, 4)
        mask = np.where([True, True, False, True], 0, -np.inf)

        def masked(v):
            return F.matmul(F.softmax(v + mask, axis=2), normal(2, 4, 5))

        calculator = LRPCalculator(masked, rule="attn_lrp", class_index="sum")
        found = calculator.compute(x)[0]
        assert np.isfinite(found).all()
        assert not found[..., 2].any()
        assert np.isfinite(calculator.conservation(x).entries[-1].bias)
        without = [0, 1, 3]
        calculator.model = lambda v: F.matmul(
            F.softmax(v, axis=2), normal(2, 4, 5)[:, without]
        )
        expected = calculator.compute(x[..., without])[0]
        assert_allclose(found[..., without], expected, atol=1e-5)


class TestProducts:
    def test_matrices_get_half_of_their_products_also_where_one_is_attention(self):
        a, v, r = normal(2, 3, 4), normal(2, 4, 5, seed=2), normal(2, 3, 5, seed=3)
        eps = 1e-6
        s = softmax(a)
        _, of_values = relevance_of(
            lambda a, v: F.matmul(F.softmax(a, axis=2), v), a, v, start=r
        )
        of_attention = np.zeros_like(s)
        expected = np.zeros_like(v)
        outputs = s @ v
        for n, j, i, p in np.ndindex(2, 3, 4, 5):
            o = 2 * outputs[n, j, p]
            share = s[n, j, i] * v[n, i, p] / (o + np.copysign(eps, o)) * r[n, j, p]
            of_attention[n, j, i] += share
            expected[n, i, p] += share
        assert_allclose(of_values, expected, rtol=1e-9)
        of_scores, _ = relevance_of(
            lambda a, v: F.matmul(F.softmax(a, axis=2), v), a, v, start=r
        )
        total = of_attention.sum(axis=2, keepdims=True)
        assert_allclose(of_scores, a * (of_attention - s * total), rtol=1e-9)

    def test_factors_get_half_each_also_where_one_is_a_gate(self):
        x, g, r = normal(2, 3), normal(2, 3, seed=2), normal(2, 3, seed=3)
        found = relevance_of(lambda x, g: x * F.sigmoid(g), x, g, start=r)
        assert_allclose(found[0], r / 2)
        assert_allclose(found[1], r / 2)

    @pytest.mark.parametrize(
        "f",
        [
            lambda x: x * F.sigmoid(x),
            lambda x: 0.5 * x * (1 + F.erf(x / np.sqrt(2))),
            lambda x: x * (0.5 * (F.tanh(0.8 * (x + 0.04 * x**3)) + 1)),
            lambda x: x / F.sqrt(F.mean(x * x, axis=1, keepdims=True) + 1e-5),
        ],
        ids=["swish", "gelu", "gelu by tanh", "root mean square"],
    )
    def test_one_function_of_a_signal_passes_all(self, f):
        x, r = normal(2, 3), normal(2, 3, seed=3)
        (found,) = relevance_of(f, x, start=r)
        assert_allclose(found, r)


WIDTH, N_TOKEN, N_HEAD = 4, 3, 2
SIZES = {
    **dict.fromkeys(("query", "key", "value", "out"), (WIDTH, WIDTH)),
    "up": (WIDTH, 6),
    "down": (6, WIDTH),
    "head": (WIDTH, 3),
}


class Transformer(chainer.Chain):
    """One layer: attention with two heads, a residual, swish, and the mean."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        normal = lambda *s: rng.normal(size=s)  # noqa: E731
        W = {name: normal(*size[::-1]) for name, size in SIZES.items()}
        b = {name: 0.1 * normal(size[1]) for name, size in SIZES.items()}
        gamma = [1 + 0.1 * normal(WIDTH) for _ in range(2)]
        beta = [0.1 * normal(WIDTH) for _ in range(2)]
        self.x = normal(1, N_TOKEN, WIDTH)
        with chainer.using_config("dtype", np.float64), self.init_scope():
            for name, size in SIZES.items():
                setattr(self, name, L.Linear(*size, initialW=W[name]))
                self[name].b.array[...] = b[name]
            for i in range(2):
                norm = L.LayerNormalization(WIDTH, eps=1e-5)
                setattr(self, f"norm{i}", norm)
                norm.gamma.array[...], norm.beta.array[...] = gamma[i], beta[i]

    def normalized(self, i, x):
        rows = self[f"norm{i}"](F.reshape(x, (-1, WIDTH)))
        return F.reshape(rows, x.shape)

    def heads(self, name, x):
        h = self[name](x, n_batch_axes=2)
        return F.transpose(F.reshape(h, (len(x), N_TOKEN, N_HEAD, -1)), (0, 2, 1, 3))

    def forward(self, x):
        h = self.normalized(0, x)
        query, key, value = (self.heads(n, h) for n in ("query", "key", "value"))
        scores = F.matmul(query, key, transb=True) / np.sqrt(WIDTH / N_HEAD)
        y = F.matmul(F.softmax(scores, axis=3), value)
        y = F.reshape(F.transpose(y, (0, 2, 1, 3)), x.shape)
        x = x + self.out(y, n_batch_axes=2)
        h = self.up(self.normalized(1, x), n_batch_axes=2)
        x = x + self.down(h * F.sigmoid(h), n_batch_axes=2)
        return self.head(F.mean(x, axis=1))


class TestTransformer:
    def test_the_relevance_is_that_of_the_authors(self):
        # lxt.explicit.functional of rachtibat/LRP-eXplains-Transformers at f043441,
        # with epsilon 1e-6 everywhere: x.grad after out[0, 1].backward(out[0, 1]), with
        # linear_epsilon, matmul, softmax, add2, mean, layer_norm, and a swish that
        # hands its relevance on.
        expected = [
            [-2.17278215, 2.51429026, 0.01170638, 1.05534605],
            [-0.24508903, 0.57635152, -0.06414194, -1.00896542],
            [-1.31481785, -4.64882794, 0.0542123, -0.09951392],
        ]
        model = Transformer()
        calculator = LRPCalculator(model, rule="attn_lrp", class_index=1)
        assert_allclose(calculator.compute(model.x)[0, 0], expected, atol=1e-4)

    def test_it_is_that_of_formulas_written_out(self):
        model = Transformer()
        calculator = LRPCalculator(model, rule="attn_lrp", class_index=2)
        found = calculator.compute(model.x)[0, 0]
        assert_allclose(found, _twin(model, 2), rtol=1e-4, atol=1e-6)

    def test_what_is_not_passed_on_stays_with_biases(self):
        model = Transformer()
        calculator = LRPCalculator(model, rule="attn_lrp", class_index=2)
        account = calculator.conservation(model.x)
        biases = sum(entry.bias for entry in account.entries)
        assert_allclose(account.start - biases, account.end, atol=1e-4)
        through = {e.function for e in account.entries if e.bias and "Soft" in e.rule}
        assert through == set()
        assert sum(e.rule == "Taylor()" for e in account.entries) == 1
        assert sum(e.rule == "Uniform(epsilon=1e-06)" for e in account.entries) == 3

    @pytest.mark.parametrize("kind", ["new", "old"])
    def test_attention_as_pytorch_exports_it(self, kind):
        model = saliency.load_onnx(EXPORTED / f"transformer_{kind}_free.onnx")
        with np.load(EXPORTED / "transformer.npz") as arrays:
            x, y = arrays["x"], arrays["y"]
        calculator = LRPCalculator(model, rule="attn_lrp", class_index=1)
        account = calculator.conservation(x)
        assert_allclose(account.start, y[:, 1].sum(), rtol=1e-4)
        assert any(entry.rule == "Taylor()" for entry in account.entries)
        # The token for the class, which is put beside those of the image, is constant.
        lost = sum(e.other for e in account.entries if e.function != "Concat")
        assert abs(lost) < 1e-3 * abs(y).sum()
        found = calculator.compute(x)
        as_gate = LRPCalculator(model, rule="epsilon", class_index=1).compute(x)
        assert np.isfinite(found).all()
        assert abs(found - as_gate).max() > 0.01 * abs(found).max()


def _twin(model, c):
    """Returns the relevance of the tokens for class c, layer by layer in NumPy."""
    eps = 1e-6

    def over(r, z):
        return r / (z + np.where(z < 0, -eps, eps))

    def linear(name, x):
        return x @ model[name].W.array.T + model[name].b.array

    def back_linear(name, x, r):
        return x * (over(r, linear(name, x)) @ model[name].W.array)

    def normalized(i, x):
        norm = model[f"norm{i}"]
        sigma = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        centred = x - x.mean(axis=1, keepdims=True)
        return norm.gamma.array * centred / sigma + norm.beta.array, sigma

    def back_normalized(i, x, r):
        """Scale and shift, the deviation as identity, then the centring."""
        y, sigma = normalized(i, x)
        s = over(r, y) * model[f"norm{i}"].gamma.array / sigma
        centring = np.eye(WIDTH) - 1 / WIDTH
        return x * (s @ centring)

    (x,) = model.x
    h, _ = normalized(0, x)
    q, k, v = (linear(name, h) for name in ("query", "key", "value"))
    halves = np.split(np.arange(WIDTH), N_HEAD)
    scale = 1 / np.sqrt(WIDTH / N_HEAD)
    scores = [scale * q[:, i] @ k[:, i].T for i in halves]
    attention = [softmax(z) for z in scores]
    y = np.concatenate([a @ v[:, i] for a, i in zip(attention, halves)], axis=1)
    attended = linear("out", y)
    x1 = x + attended
    h1, _ = normalized(1, x1)
    up = linear("up", h1)
    activated = up / (1 + np.exp(-up))
    more = linear("down", activated)
    x2 = x1 + more
    pooled = x2.mean(axis=0)

    r = np.zeros(3)
    r[c] = linear("head", pooled)[c]
    r = back_linear("head", pooled, r)
    r = x2 * over(r, pooled) / N_TOKEN
    r_more, r1 = more * over(r, x2), x1 * over(r, x2)
    r_up = back_linear("down", activated, r_more)
    r1 += back_normalized(1, x1, back_linear("up", h1, r_up))
    r_attended, r0 = attended * over(r1, x1), x * over(r1, x1)
    r_y = back_linear("out", y, r_attended)
    r_q, r_k, r_v = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for i, z, a in zip(halves, scores, attention):
        s = over(r_y[:, i], 2 * y[:, i])
        r_a = a * (s @ v[:, i].T)
        r_v[:, i] = v[:, i] * (a.T @ s)
        r_z = z * (r_a - a * r_a.sum(axis=1, keepdims=True))
        s = over(r_z, 2 * z / scale)
        r_q[:, i] = q[:, i] * (s @ k[:, i])
        r_k[:, i] = k[:, i] * (s.T @ q[:, i])
    r_h = sum(
        back_linear(name, h, r_)
        for name, r_ in zip(("query", "key", "value"), (r_q, r_k, r_v))
    )
    return r0 + back_normalized(0, x, r_h)


class TestComposing:
    def test_products_and_the_softmax_have_rules_of_their_own(self):
        for kind, rule, meant in (
            ("softmax", Epsilon(), r"Taylor\(\)"),
            ("product", Epsilon(), r"Uniform\(\)"),
            ("linear", Taylor(), r"a rule for sums"),
        ):
            with pytest.raises(TypeError, match=f"{kind}.* must be {meant}"):
                Composite(Epsilon(), by_kind={kind: rule})
        with pytest.raises(TypeError, match="rule must be a rule for sums"):
            LRPCalculator(F.softmax, rule=Taylor())

    def test_what_is_chosen_for_layers_is_not_asked_of_them(self):
        model = Transformer()
        rules = Composite(Epsilon(), choose=lambda layer: Epsilon(1e-6))
        found = LRPCalculator(model, rule=rules, class_index=1).compute(model.x)
        plain = LRPCalculator(model, rule="epsilon", class_index=1).compute(model.x)
        assert_allclose(found, plain)
