"""Deletion, insertion, pixel flipping and ROAD, against explicit loops."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    GaussianBlur,
    GradientCalculator,
    Superpixels,
    VariableMonitorLinkHook,
)
from saliency.metrics import ROAD, Deletion, Insertion, PixelFlipping
from saliency.metrics.road import imputed
from tests.networks import CNN, MLP, Fuse, Siamese, Tokens, build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples

RNG = np.random.default_rng(0)
X, SCORES, REFERENCE = RNG.standard_normal((3, 5, 4))
IMAGES = RNG.standard_normal((2, 2, 6, 6))
MAPS = RNG.standard_normal((2, 2, 6, 6))


def mlp_scores(x):
    return build(MLP)(x).array[:, 1]


def removed(f, x, reference, order, numbers):
    """Returns f without the first of the features in an order, for one row."""
    rows = np.stack([x] * len(numbers))
    for row, n in zip(rows, numbers):
        row[order[:n]] = reference[order[:n]]
    return f(rows)


def trapezoid(curve, x):
    return sum((b - a) * (g + h) / 2 for a, b, g, h in zip(x, x[1:], curve, curve[1:]))


class Counted:
    """A sum of squares that counts its rows."""

    n_row = 0

    def __call__(self, v):
        self.n_row += len(v)
        return F.sum(v**2, axis=1)


def additive(v):
    return F.sum(F.exp(v) * np.arange(1.0, 5.0), axis=1)


def evaluated(model, x):
    with chainer.using_config("train", False):
        return model(x).array


def score_of(f, x):
    return float(f(chainer.Variable(np.atleast_2d(x))).array[0])


class TestAgainstLoops:
    @pytest.mark.parametrize("batchsize", [None, 1, 7])
    def test_of_a_table(self, batchsize):
        settings = {"reference": REFERENCE, "class_index": 1}
        numbers, fractions = np.arange(5), np.linspace(0, 1, 5)
        found = {
            metric.__class__.__name__: metric.compute(SCORES, X, batchsize=batchsize)
            for metric in (
                Deletion(build(MLP), **settings),
                Insertion(build(MLP), **settings),
                PixelFlipping(build(MLP), **settings),
            )
        }
        for i, (x, r, scores) in enumerate(zip(X, REFERENCE, SCORES)):
            order = np.argsort(-scores)
            down = removed(mlp_scores, x, r, order, numbers)
            up = removed(mlp_scores, r, x, order, numbers)
            assert_allclose(found["Deletion"].curve[i], down, rtol=1e-12)
            assert_allclose(found["Insertion"].curve[i], up, rtol=1e-12)
            for name, curve in (("Deletion", down), ("Insertion", up)):
                assert_allclose(found[name].values[i], trapezoid(curve, fractions))
                assert_array_equal(found[name].fractions[i], fractions)
            assert_allclose(found["PixelFlipping"].values[i], (down[0] - down).mean())

    @pytest.mark.parametrize("share", [1.0, 0.5])
    def test_both_orders_share_their_ends(self, share):
        f = Counted()
        metric = PixelFlipping(
            None, eval_fun=f, reference=REFERENCE, order="difference", share=share
        )
        found = metric.compute(SCORES, X)
        n_point = 5 if share == 1 else 3
        n_row = 2 * n_point - (2 if share == 1 else 1)
        # Beside them, a few rows show that there is a value for each.
        assert 5 * n_row <= f.n_row <= 5 * n_row + 5
        orders = ("most", "least")
        most, least = (metric.replace(order=o).compute(SCORES, X) for o in orders)
        assert_allclose(found.values, most.values - least.values, rtol=1e-10)
        assert_allclose(found.curve, least.curve - most.curve, rtol=1e-10)
        flags = [metric.replace(order=o).larger_is_better for o in orders]
        assert flags == [True, False]

    def test_of_regions_of_images(self):
        model = build(CNN)
        groups = Superpixels(9, method="grid")
        blur = GaussianBlur(2)
        metric = Deletion(model, reference=blur, groups=groups, class_index="argmax")
        found = metric.compute(MAPS, IMAGES, batchsize=3)
        assert found.reference == "GaussianBlur(sigma=2.0)"
        classes = evaluated(model, IMAGES).argmax(axis=1)
        numbers = groups(IMAGES)[0, 0]
        for i, (x, blurred) in enumerate(zip(IMAGES, blur(IMAGES))):
            sums = [MAPS[i][:, numbers == g].sum() for g in range(9)]
            rows = [x.copy()]
            for g in np.argsort(-np.array(sums)):
                row = rows[-1].copy()
                row[:, numbers == g] = blurred[:, numbers == g]
                rows.append(row)
            expected = evaluated(model, np.stack(rows))[:, classes[i]]
            assert_allclose(found.curve[i], expected, rtol=1e-10)
        without_channels = metric.compute(MAPS.sum(axis=1), IMAGES)
        assert_allclose(without_channels.curve, found.curve, rtol=1e-10)
        with pytest.raises(ValueError, match="groups differ along an axis"):
            metric.replace(groups=np.arange(72).reshape(2, 6, 6)).compute(
                MAPS.sum(axis=1), IMAGES
            )

    def test_few_steps(self):
        metric = Deletion(
            None, eval_fun=lambda v: F.sum(v, axis=1), n_steps=3, reference=-1
        )
        scores = np.arange(8.0)[None]
        found = metric.compute(scores, np.zeros((1, 8)))
        assert_array_equal(found.fractions[0] * 8, [0, 3, 5, 8])
        assert_array_equal(found.curve[0], [0, -3, -5, -8])

    @pytest.mark.parametrize("n_steps", [32, 3])
    def test_examples_of_different_lengths(self, n_steps):
        """With three steps, there are as many numbers as the longest has elements."""
        lengths = [3, 1, 5]
        x = [row[:n] for row, n in zip(np.arange(15.0).reshape(3, 5) ** 2, lengths)]
        scores = np.full((3, 5), np.nan)
        for row, n in zip(scores, lengths):
            row[:n] = np.arange(n)
        for kind in (Deletion, Insertion):
            metric = kind(None, eval_fun=lambda v: F.sum(v, axis=1), n_steps=n_steps)
            found = metric.compute(
                scores, x, converter=partial(concat_examples, padding=0)
            )
            for i, one in enumerate(x):
                alone = metric.compute(np.arange(len(one))[None], one[None])
                n = min(len(one), n_steps) + 1
                assert_allclose(found.curve[i, :n], alone.curve[0])
                assert np.isnan(found.curve[i, n:]).all()
                assert_allclose(found.values[i], alone.values[0])


class TestAtLinks:
    def test_all_calls_of_a_link_are_changed_together(self):
        model = build(Siamese)
        extractor = VariableMonitorLinkHook(model.encoder)
        metric = Deletion(model, target_extractor=extractor, class_index=0)
        found = metric.compute(np.array([[3.0, 1, 2]] * 5), X)
        kept = np.array([[1, 1, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0]])
        left, right = (model.encoder(half).array for half in (X[:, :2], X[:, 2:]))
        for curve, a, b in zip(found.curve, left, right):
            hidden = F.tanh(a * kept) * F.sigmoid(b * kept)
            assert_allclose(curve, model.out(hidden).array[:, 0], rtol=1e-10)

    @pytest.mark.parametrize("batchsize", [None, 1, 4])
    def test_tokens_of_texts_of_different_lengths(self, batchsize):
        """Positions are removed with all their channels, and padding is left alone."""
        model = build(Tokens)
        texts = [np.array(t, np.int32) for t in ([1, 2, 3], [4], [5, 6, 7, 8, 9])]
        extractor = VariableMonitorLinkHook(model.embed)
        calculator = GradientCalculator(model, extractor, class_index=0)
        pad = {"converter": partial(concat_examples, padding=0)}
        metric = Deletion(model, target_extractor=extractor, class_index=0)
        found = metric.compute(calculator, texts, batchsize=batchsize, **pad)
        for i, text in enumerate(texts):
            alone = calculator.compute(text[None])[0, 0].sum(axis=1)
            rows = F.tanh(model.hidden(model.embed.W.array[text])).array
            removed = F.tanh(model.hidden(np.zeros((1, 4)))).array
            expected = [rows.sum(axis=0)]
            for token in np.argsort(-alone):
                expected.append(expected[-1] - rows[token] + removed[0])
            expected = model.out(np.stack(expected)).array[:, 0]
            assert_allclose(found.curve[i, : len(text) + 1], expected, rtol=1e-9)


def test_one_value_for_a_batch():
    """What is added to f by the other examples is the same at each step."""
    of_batch = Deletion(None, eval_fun=lambda v: F.sum(v**2))
    of_rows = Deletion(None, eval_fun=lambda v: F.sum(v**2, axis=1))
    found = of_batch.compute(SCORES, X, batchsize=5).curve
    others = (X**2).sum() - (X**2).sum(axis=1, keepdims=True)
    assert_allclose(found, of_rows.compute(SCORES, X).curve + others, rtol=1e-10)


class TestRankings:
    @pytest.mark.parametrize("kind", [Deletion, Insertion, PixelFlipping])
    def test_scale_does_not_matter_and_order_goes_with_the_data(self, kind):
        weights = np.arange(1.0, 5.0)
        metric = kind(None, eval_fun=lambda v: F.sum(v**2 * weights, axis=1))
        expected = metric.compute(SCORES, X).values
        assert_array_equal(metric.compute(SCORES * 1e-3, X).values, expected)
        order = np.array([2, 0, 3, 1])
        permuted = metric.replace(
            eval_fun=lambda v: F.sum(v**2 * weights[order], axis=1)
        )
        found = permuted.compute(SCORES[:, order], X[:, order])
        assert_allclose(found.values, expected, rtol=1e-12)

    def test_the_sign_turns_the_order_unless_scores_are_absolute(self):
        metric = PixelFlipping(None, eval_fun=additive)
        least = metric.replace(order="least").compute(-SCORES, X)
        assert_array_equal(metric.compute(SCORES, X).values, least.values)
        absolute = metric.replace(transform="absolute")
        expected = metric.compute(np.abs(SCORES), X).values
        assert_array_equal(absolute.compute(-SCORES, X).values, expected)
        assert (metric.compute(SCORES, X).values != expected).any()

    def test_ties_are_in_an_order_of_the_seed(self):
        metric = Deletion(None, eval_fun=additive)
        zeros = np.zeros((5, 4))
        found = metric.compute(zeros, X, seed=1)
        for same in (
            metric.compute(zeros + 3, X, seed=1, batchsize=3),
            metric.of_random(X, n_orders=1, seed=1),
        ):
            assert_allclose(same.curve, found.curve, rtol=1e-12)
        assert (metric.compute(zeros, X, seed=2).values != found.values).any()
        alike = metric.compute(np.zeros((9, 4)), np.stack([X[0]] * 9), seed=1)
        assert len(np.unique(alike.values.round(9))) > 3  # each has an order of its own
        # Where nothing is tied, nothing is drawn.
        first, second = (metric.compute(SCORES, X).values for _ in range(2))
        assert_array_equal(first, second)
        # What is not tied keeps its place.
        scores = np.array([[0.0, 1, 0, -1]] * 5)
        curves = metric.compute(scores, X, seed=1).curve
        f = partial(score_of, additive)
        for curve, x in zip(curves, X):
            assert_allclose(curve[1], f(x * [1, 0, 1, 1]))
            assert_allclose(curve[3], f(x * [0, 0, 0, 1]))

    @pytest.mark.parametrize("kind", [Deletion, Insertion])
    def test_the_floor_of_a_sum_is_the_middle(self, kind):
        metric = kind(None, eval_fun=additive)
        n = 100
        found = metric.of_random(X, n_orders=n, seed=0)
        at_x = np.array([score_of(additive, x) for x in X])
        expected = (at_x + score_of(additive, np.zeros(4))) / 2
        singles = [
            metric.compute(np.zeros((5, 4)), X, seed=seed).values for seed in range(20)
        ]
        error = np.std(singles, axis=0, ddof=1) / np.sqrt(n)
        assert (np.abs(found.values - expected) < 3 * error).all()
        assert found.metric == f"{kind.__name__}, random"
        batches = metric.of_random(X, n_orders=n, seed=0, batchsize=13)
        assert_allclose(batches.values, found.values, rtol=1e-12)

    def test_true_contributions_are_best(self):
        metric = Deletion(None, eval_fun=additive)
        true = (np.exp(X) - 1) * np.arange(1.0, 5.0)
        best = metric.compute(true, X).values
        for _ in range(10):
            other = metric.compute(RNG.standard_normal((5, 4)), X).values
            assert (best <= other + 1e-12).all()


class TestROAD:
    @pytest.fixture(autouse=True)
    def with_scipy(self):
        pytest.importorskip("scipy", reason="ROAD needs SciPy")

    def test_removed_pixels_are_means_of_their_neighbours(self):
        mask = np.random.default_rng(1).random((6, 6)) < 0.6
        image = IMAGES[0].copy()
        image[:, mask] = imputed(image, mask)
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
        weights = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
        for i, j in np.argwhere(mask):
            around = padded[:, i : i + 3, j : j + 3]
            there = ~np.isnan(around)
            mean = (np.where(there, around, 0) * weights).sum(axis=(1, 2))
            mean /= (there * weights).sum(axis=(1, 2))
            assert_allclose(image[:, i, j], mean, rtol=1e-10)
        assert_array_equal(image[:, ~mask], IMAGES[0][:, ~mask])

    def test_by_an_explicit_loop(self):
        model = build(CNN)
        metric = ROAD(model, class_index=0, noise=0, n_steps=4)
        found = metric.compute(MAPS, IMAGES)
        assert found.reference == "neighbours"
        for i, x in enumerate(IMAGES):
            order = np.argsort(-MAPS[i].sum(axis=0), axis=None)
            curve = []
            for n in (0, 8, 16, 24, 32):
                mask = np.isin(np.arange(36), order[:n]).reshape(6, 6)
                row = x.copy()
                if n:
                    row[:, mask] = imputed(x, mask)
                curve.append(evaluated(model, row[None])[0, 0])
            assert_allclose(found.curve[i], curve, rtol=1e-10)
            assert_allclose(found.values[i], np.mean(curve[0] - np.array(curve)))

    def test_its_noise_is_of_the_seed(self):
        metric = ROAD(build(CNN), class_index=0, noise=0.1, n_steps=3)
        first = metric.compute(MAPS, IMAGES, seed=1)
        same = metric.compute(MAPS, IMAGES, seed=1, batchsize=3)
        assert_allclose(same.curve, first.curve, rtol=1e-10)
        other = metric.compute(MAPS, IMAGES, seed=2).curve
        assert_allclose(other[:, 0], first.curve[:, 0])
        assert (other[:, 1:] != first.curve[:, 1:]).all()

    def test_an_image_of_one_colour_stays(self):
        metric = ROAD(build(CNN), class_index=0, noise=0, share=1)
        curve = metric.compute(MAPS[:1], np.full((1, 2, 6, 6), 3.0)).curve
        assert_allclose(curve, curve[0, 0], rtol=1e-10)

    def test_other_data_is_refused(self):
        with pytest.raises(ValueError, match="pixels of images"):
            ROAD(build(MLP), class_index=0).compute(SCORES, X)
        for dtype in ("uint8", "int64", "bool"):  # 0 less some noise had become 255
            with pytest.raises(TypeError, match=f"floating-point.*dtype {dtype}"):
                ROAD(lambda x: F.sum(x * 1.0, axis=(2, 3)), class_index=0).compute(
                    MAPS, np.zeros(IMAGES.shape, dtype)
                )
        with pytest.raises(ValueError, match="two groups or more"):
            ROAD(build(CNN), class_index=0, groups=np.zeros((1, 6, 6), int)).compute(
                MAPS, IMAGES
            )


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Deletion, {"transform": "abs"}, "'signed', 'absolute'"),
        (Deletion, {"n_steps": 0}, "n_steps must be"),
        (PixelFlipping, {"order": "morf"}, "'most', 'least', 'difference'"),
        (PixelFlipping, {"share": 0}, "share must be"),
        (ROAD, {"noise": -1}, "noise must be"),
    ],
)
def test_settings_are_checked(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(build(MLP), **settings)


def test_nothing_is_left_changed_after_an_exception():
    model = build(MLP, fuse=Fuse(blows_at=3))
    before = [p.array.tobytes() for p in model.params()]
    x = X.copy()
    with pytest.raises(RuntimeError, match="blown"):
        Deletion(model, class_index=0).compute(SCORES, x, batchsize=2)
    assert [p.array.tobytes() for p in model.params()] == before
    assert_array_equal(x, X)
