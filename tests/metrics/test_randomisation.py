"""Other networks, other classes, other explanations: how like the scores are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    BayesGradCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    SmoothGradCalculator,
)
from saliency.metrics import (
    Agreement,
    EfficientModelRandomisation,
    ModelRandomisation,
    RandomLogit,
)
from saliency.metrics.rank_correlation import rank_correlations
from tests.networks import CNN, MLP, Fuse, TwoInputs, build

import chainer
import chainer.functions as F
import chainer.links as L

X = np.random.default_rng(0).standard_normal((4, 6))


def state_of(model):
    arrays = {name: p.array for name, p in model.namedparams()}
    return {name: (id(array), array.tobytes()) for name, array in arrays.items()}


class TestRankCorrelations:
    def test_by_hand(self):
        a = np.array([[1.0, 2, 3, 4], [1, 1, 2, 5]])
        b = np.array([[10.0, 30, 20, 40], [0, 3, 3, 3]])
        # Ranks (0.5, 0.5, 2, 3) and (0, 2, 2, 2), minus 1.5.
        expected = [1 - 6 * 2 / (4 * 15), 2 / np.sqrt(4.5 * 3)]
        assert_allclose(rank_correlations(a, b), expected)

    def test_beside_scipy(self):
        stats = pytest.importorskip("scipy.stats")
        a, b = np.random.default_rng(0).standard_normal((2, 5, 3, 4)).round(1)
        expected = [
            stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b)
        ]
        assert_allclose(rank_correlations(a, b), expected, rtol=1e-10)

    def test_where_there_are_no_ranks(self):
        with pytest.warns(UserWarning, match="taken as 0 for 1 examples"):
            found = rank_correlations(np.array([[1.0, 2], [3, 3]]), np.eye(2))
        assert_array_equal(found, [-1, 0])
        with pytest.raises(ValueError, match="two or more to be ranked"):
            rank_correlations(np.ones((1, 1)), np.ones((1, 1)))


class TestModelRandomisation:
    @pytest.mark.parametrize("transform", ["signed", "absolute"])
    @pytest.mark.parametrize("draw", ["normal", "permuted"])
    def test_by_an_explicit_cascade(self, transform, draw):
        """A linear network, whose gradient is the product of the weights."""
        model = chainer.Sequential(build(L.Linear, 6, 5), build(L.Linear, 5, 4, seed=1))
        calculator = GradientCalculator(model, class_index=2)
        before = state_of(model)
        metric = ModelRandomisation(transform=transform, draw=draw)
        found = metric.compute(calculator, X, seed=3)
        assert state_of(model) == before

        take = np.abs if transform == "absolute" else np.asarray
        rng = np.random.default_rng(3)

        def drawn(values):
            if draw == "permuted":
                return rng.permuted(values)
            return rng.normal(values.mean(), values.std(), values.shape)

        W0, W1 = (model[i].W.array for i in (0, 1))
        original = take((W1 @ W0)[2])[None]
        W1 = drawn(W1)
        drawn(model[1].b.array)
        top = take((W1 @ W0)[2])[None]
        both = take((W1 @ drawn(W0))[2])[None]
        expected = [rank_correlations(original, one)[0] for one in (top, both)]
        assert_allclose(found.curve, [expected] * 4, rtol=1e-10)
        assert_allclose(found.values, found.curve[:, 1])
        assert_allclose(found.fractions, [[0.5, 1]] * 4)

    def test_the_order_is_that_of_the_calls(self):
        class Unsorted(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.b = L.Linear(6, 6)
                    self.c = L.Linear(6, 6)
                    self.a = L.Linear(6, 3)
                    self.unused = L.Linear(2, 2)

            def forward(self, x):
                return self.a(F.tanh(self.c(F.tanh(self.b(x)))))

        model = build(Unsorted)
        calculator = GradientCalculator(model, class_index=1)
        metric = ModelRandomisation()
        with pytest.warns(UserWarning, match="'/unused' have parameters and are not"):
            found = metric.compute(calculator, X, seed=0)
        given = metric.replace(layers=("/a", "/c", "/b"))
        assert_allclose(given.compute(calculator, X, seed=0).curve, found.curve)
        for layers in (("/d",), ()):
            with pytest.raises(ValueError, match=r"among '/a', '/b', '/c'"):
                metric.replace(layers=layers).compute(calculator, X)

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            (LRPCalculator, {}),
            (SmoothGradCalculator, {"M": 2}),
            (BayesGradCalculator, {"M": 2}),
            (IntegratedGradientsCalculator, {}),
        ],
    )
    def test_of_many_methods(self, kind, settings, recwarn):
        model = build(CNN, dropout=0.3)
        x = np.random.default_rng(0).standard_normal((2, 2, 6, 6))
        before = state_of(model)
        calculator = kind(model, class_index="argmax")
        found = ModelRandomisation().compute(calculator, x, seed=1, **settings)
        same = ModelRandomisation().compute(
            calculator, x, seed=1, batchsize=1, **settings
        )
        assert found.curve.shape == (2, 3)
        assert_allclose(found.curve, same.curve, rtol=1e-9)
        assert (abs(found.values) < 0.9).all()
        assert state_of(model) == before
        assert not recwarn.list  # BayesGrad would say so if there were no dropout

    @pytest.mark.parametrize("shared", ["parameter", "link"])
    def test_what_layers_share_is_drawn_with_the_first_of_them(self, shared, recwarn):
        class Tied(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.encoder = first = L.Linear(6, 6, nobias=True)
                    is_same = shared == "link"
                    self.decoder = first if is_same else L.Linear(6, 6, nobias=True)
                    self.last = L.Linear(6, 3)
                self.decoder.W = first.W

            def forward(self, x):
                return self.last(self.decoder(self.encoder(x)))

        model = build(Tied)
        calculator = GradientCalculator(model, class_index=1)
        found = ModelRandomisation(layers=["/last", "/decoder"]).cascade(
            calculator, X, seed=0
        )
        rng = np.random.default_rng(0)
        V, _, W = (
            rng.normal(one.mean(), one.std(), one.shape)
            for one in (model.last.W.array, model.last.b.array, model.encoder.W.array)
        )
        assert_allclose(found.maps[:, 2], np.tile(V[1] @ W @ W, (4, 1)), atol=1e-12)
        known = ModelRandomisation().cascade(calculator, X, seed=0)
        assert known.layers[0] == ("/last",)
        assert len(known.layers) == (2 if shared == "link" else 3)
        assert not recwarn.list  # all links are called

    def test_a_method_that_does_not_look_at_the_network(self):
        """Of a network that is its input, whatever its parameters, all maps agree."""

        class Constant(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.l = L.Linear(6, 1)

            def forward(self, x):
                return self.l(x) * 0 + F.sum(x**2, axis=1, keepdims=True)

        calculator = GradientCalculator(build(Constant), class_index=0)
        found = ModelRandomisation().compute(calculator, X)
        assert_allclose(found.values, 1)

    def test_the_model_is_unchanged_after_an_exception(self):
        model = build(MLP, n_in=6, fuse=Fuse(blows_at=3))
        before = state_of(model)
        with pytest.raises(RuntimeError, match="blown"):
            ModelRandomisation().compute(GradientCalculator(model, class_index=0), X)
        assert state_of(model) == before

    def test_its_maps_are_those_that_are_compared(self):
        model = build(CNN)
        x = np.random.default_rng(0).standard_normal((2, 2, 6, 6))
        before = state_of(model)
        calculator = IntegratedGradientsCalculator(model, class_index=1, steps=4)
        metric = ModelRandomisation(transform="absolute")
        found = metric.cascade(calculator, x, seed=1, ch_axis=2)
        assert state_of(model) == before
        result = metric.compute(calculator, x, seed=1, ch_axis=2)
        assert_array_equal(found.similarities, result.curve)
        first = np.abs(calculator.compute_aggregate(x, seed=1, ch_axis=2))
        assert_array_equal(found.maps[:, 0], first)
        assert found.maps.shape == (2, 1 + len(found.layers), 6, 6)
        again = [rank_correlations(first, found.maps[:, k]) for k in (1, 2, 3)]
        assert_array_equal(found.similarities, np.transpose(again))
        paths = [path for path, link in model.namedlinks() if [*link.params(False)]]
        assert sorted(sum(found.layers, ())) == sorted({*paths} - {"/"})

    def test_what_cannot_be_randomised_is_refused(self):
        metric = ModelRandomisation()
        for method in (metric.compute, metric.cascade):
            with pytest.raises(TypeError, match="must be a calculator for ModelRandom"):
                method(X, X)
        f = GradientCalculator(None, eval_fun=lambda v: F.sum(v**2, axis=1))
        with pytest.raises(TypeError, match=r"chainer\.Link"):
            metric.compute(f, X)
        with pytest.raises(ValueError, match="model with parameters"):
            metric.compute(GradientCalculator(chainer.Sequential(F.tanh)), X)
        with pytest.raises(ValueError, match="posterior must be None"):
            metric.compute(GradientCalculator(build(MLP)), X, posterior=1)
        with pytest.raises(ValueError, match="'normal', 'permuted'"):
            ModelRandomisation(draw="uniform")


class TestEfficientModelRandomisation:
    def test_by_an_explicit_histogram(self):
        model = build(L.Linear, 6, 3)
        calculator = GradientCalculator(model, class_index=1)
        before = state_of(model)
        metric = EfficientModelRandomisation(n_bins=5)
        found = metric.compute(calculator, X, seed=2)
        assert state_of(model) == before

        def entropy(scores):
            counts = np.histogram(scores, 5)[0]
            shares = counts[counts > 0] / len(scores)
            return -(shares * np.log(shares)).sum()

        W = model.W.array
        random = np.random.default_rng(2).normal(W.mean(), W.std(), W.shape)
        expected = (entropy(random[1]) - entropy(W[1])) / entropy(W[1])
        assert_allclose(found.values, [expected] * 4, rtol=1e-10)
        assert found.larger_is_better

    def test_scores_that_are_all_the_same_have_no_rise(self):
        model = build(L.Linear, 6, 1)
        model.W.array[...] = 2
        calculator = GradientCalculator(model, class_index=0)
        with pytest.raises(ValueError, match="of example 0 are the same"):
            EfficientModelRandomisation().compute(calculator, X)


class TestRandomLogit:
    @pytest.mark.parametrize("class_index", [1, -1, [0, 1, 2, 1], "argmax"])
    def test_of_a_linear_model_it_compares_the_weights(self, class_index):
        model = build(L.Linear, 6, 3)
        W = model.W.array
        classes = np.broadcast_to(class_index, 4)
        if class_index == "argmax":
            classes = model(X).array.argmax(axis=1)
        calculator = GradientCalculator(model, class_index=class_index)
        found = RandomLogit().compute(calculator, X, seed=0)
        for value, one in zip(found.values, classes):
            others = [c for c in range(3) if c != one % 3]
            allowed = [rank_correlations(W[[one]], W[[c]])[0] for c in others]
            assert np.isclose(value, allowed).any()
        same = RandomLogit().compute(calculator, X, seed=0, batchsize=3)
        assert_allclose(same.values, found.values)

    def test_opposite_classes(self):
        model = build(L.Linear, 6, 2)
        model.W.array[1] = -model.W.array[0]
        calculator = GradientCalculator(model, class_index="argmax")
        assert_allclose(RandomLogit().compute(calculator, X).values, -1)
        absolute = RandomLogit(transform="absolute")
        assert_allclose(absolute.compute(calculator, X).values, 1)

    def test_lrp_explains_the_predicted_class_by_default(self):
        model = build(MLP, n_in=6, activation=F.relu)
        found = RandomLogit().compute(LRPCalculator(model), X, seed=1)
        given = RandomLogit().compute(
            LRPCalculator(model, class_index="argmax"), X, seed=1
        )
        assert_array_equal(found.values, given.values)

    @pytest.mark.parametrize("class_index", [None, "sum", (1,)])
    def test_no_single_class_is_refused(self, class_index):
        calculator = GradientCalculator(build(MLP, n_in=6), class_index=class_index)
        with pytest.raises(ValueError, match="must explain one class"):
            RandomLogit().compute(calculator, X)

    def test_one_class_alone_is_refused(self):
        calculator = GradientCalculator(build(TwoInputs, n_in=6), class_index=0)
        with pytest.raises(ValueError, match="several classes"):
            RandomLogit().compute(calculator, (X, np.ones((4, 3))))


class TestAgreement:
    A = np.array([[5.0, -4, 3, 0.5, 0.1]])
    B = np.array([[4.0, 6, 0.3, -2, 0.2]])

    @pytest.mark.parametrize(
        ("measure", "k", "transform", "expected"),
        [
            # By size, A ranks 0 1 2 and B ranks 1 0 3.
            ("top", 3, "absolute", 2 / 3),
            ("top", 1, "absolute", 0),
            ("sign", 3, "absolute", 1 / 3),
            ("rank", 3, "absolute", 0),
            ("rank", 5, "absolute", 1 / 5),
            ("signed_rank", 5, "absolute", 1 / 5),
            # Signed, A ranks 0 2 3 4 1 and B ranks 1 0 2 4 3.
            ("top", 2, "signed", 1 / 2),
            ("rank", 4, "signed", 1 / 4),
        ],
    )
    def test_by_hand(self, measure, k, transform, expected):
        metric = Agreement(self.B, measure=measure, k=k, transform=transform)
        found = metric.compute(self.A)
        assert_allclose(found.values, [expected])
        assert found.larger_is_better is None

    def test_correlation(self):
        metric = Agreement(self.B, measure="correlation", transform="signed")
        expected = rank_correlations(self.A, self.B)
        assert_array_equal(metric.compute(self.A).values, expected)

    @pytest.mark.parametrize("measure", ["top", "rank", "sign", "signed_rank"])
    def test_what_it_promises(self, measure):
        scores = np.random.default_rng(0).standard_normal((5, 3, 4))
        other = np.random.default_rng(1).standard_normal((5, 3, 4))
        metric = Agreement(other, measure=measure, k=6)
        assert_array_equal(metric.replace(other=scores).compute(scores).values, 1)
        found = metric.compute(scores).values
        assert_array_equal(metric.compute(scores * 1e-9).values, found)
        back = metric.replace(other=scores).compute(other).values
        assert_array_equal(back, found)

    def test_ties_are_at_chance(self):
        """Of 8 features that are tied, 2 are among the first of both by chance."""
        zeros = np.zeros((500, 8))
        found = Agreement(zeros, k=2).compute(zeros, seed=0)
        assert abs(found.mean - 2 / 8) < 3 * found.standard_error
        again = Agreement(zeros, k=2).compute(zeros, seed=0)
        assert_array_equal(again.values, found.values)

    def test_calculators_and_arrays(self):
        model = build(MLP, n_in=6)
        gradient = GradientCalculator(model, class_index=1)
        ig = IntegratedGradientsCalculator(model, class_index=1)
        scores = [c.compute_aggregate(X) for c in (gradient, ig)]
        expected = Agreement(scores[1], k=2).compute(scores[0]).values
        for first in (gradient, scores[0]):
            for second in (ig, scores[1], ig.explain(X)):
                found = Agreement(second, k=2).compute(first, X).values
                assert_array_equal(found, expected)

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match="shape"):
            Agreement(np.ones((1, 4))).compute(self.A)
        with pytest.raises(ValueError, match="k must be at most"):
            Agreement(self.B, k=6).compute(self.A)
        with pytest.raises(ValueError, match="measure must be one of"):
            Agreement(self.B, measure="kendall")
        with pytest.raises(TypeError, match="takes M where a calculator"):
            Agreement(self.B).compute(self.A, M=2)
