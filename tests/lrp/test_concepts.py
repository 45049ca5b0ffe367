"""Concept relevance propagation: conditions, and the examples that channels are for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import GaussianNoiseSampler, LRPCalculator
from saliency.calculator.reference_examples import BestSoFar
from tests.lrp.test_composites import CNN
from tests.networks import MLP, Repeated, build

import chainer
import chainer.functions as F
import chainer.links as L


@pytest.fixture
def cnn():
    return build(CNN)


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(5, 2, 4, 4))


@pytest.fixture
def x():
    return np.random.default_rng(2).normal(size=(7, 4))


def through(model, conditions, x, **settings):
    settings = {"rule": "lrp0", "class_index": 1, **settings}
    return LRPCalculator(model, conditions=conditions, **settings).compute(x)


class TestConditions:
    @pytest.mark.parametrize("rule", ["epsilon", "alpha2_beta1", "epsilon_gamma_box"])
    def test_those_that_partition_a_layer_add_up_to_plain_relevance(
        self, rule, cnn, images
    ):
        how = {"rule": rule, "low": -9, "high": 9}
        parts = [through(cnn, {"/conv1": c}, images, **how) for c in ([2, 0], 1, 3)]
        assert_allclose(sum(parts), through(cnn, None, images, **how), atol=1e-14)
        assert all(part.any() for part in parts)

    def test_it_is_the_sum_over_the_ways_through_the_channels(self):
        """R_i is the sum of w_ij x_i / z_j * w_jk a_j / z_k * R_k over some j and k."""
        model = build(MLP, n_out=3, depth=3, activation=F.relu)
        x = np.random.default_rng(0).normal(size=(1, 4))
        chosen, second = [0, 2, 5], [1, 3]
        weights = [link.W.array for link in model.layers]
        zs, a = [], [x[0]]
        for link in model.layers:
            zs.append(link.W.array @ a[-1] + link.b.array)
            a.append(np.maximum(zs[-1], 0))
        expected = np.zeros(4)
        for i in range(4):
            for j in chosen:
                for k in second:
                    r_k = weights[2][1, k] * a[2][k]
                    r_j = weights[1][k, j] * a[1][j] * (r_k / zs[1][k])
                    expected[i] += weights[0][j, i] * x[0, i] * (r_j / zs[0][j])
        found = through(model, {"/layers/0": chosen, "/layers/1": second}, x)
        assert_allclose(found[0, 0], expected, rtol=1e-9)

    def test_an_index_picks_places(self, cnn, images):
        everywhere = through(cnn, {"/conv1": 3}, images)
        rows = [
            through(cnn, {"/conv1": (3, slice(i, i + 2), slice(None))}, images)
            for i in (0, 2)
        ]
        assert_allclose(sum(rows), everywhere, atol=1e-14)

    def test_all_calls_of_a_link_are_meant(self, x):
        model = build(Repeated)
        how = {"class_index": 0}
        every = list(range(len(model.step.b)))
        whole = through(model, {"/step": every}, x, **how)
        assert_allclose(whole, through(model, None, x, **how), rtol=1e-12)
        parts = [through(model, {"/step": c}, x, **how) for c in every]
        # What goes through one channel and then through another is in none of them.
        assert abs(sum(parts) - whole).max() > 1e-3 * abs(whole).max()

    def test_what_goes_by_a_layer_is_not_stopped(self, images):
        def residual(v):
            return F.sum(v + conv(v), axis=(1, 2, 3))[:, None]

        conv = build(L.Convolution2D, 2, 2, 1, nobias=True)
        model = chainer.Sequential(conv)
        calculator = LRPCalculator(
            model, eval_fun=residual, rule="lrp0", conditions={"/0": 0}
        )
        found = calculator.compute(images)[0]
        W = conv.W.array[0, :, 0, 0]
        assert_allclose(found, images * (1 + W[:, None, None]), rtol=1e-9)

    def test_layers_are_shown_behind_their_conditions(self, cnn, images):
        calculator = LRPCalculator(cnn, class_index=1, conditions={"/conv2": [1, 3]})
        layers = calculator.compute_layers(images, ["/conv2"])["/conv2"]
        plain = LRPCalculator(cnn, class_index=1).compute_layers(images, ["/conv2"])
        assert not layers[:, :, [0, 2]].any()
        assert_array_equal(layers[:, :, [1, 3]], plain["/conv2"][:, :, [1, 3]])

    def test_the_account_has_what_was_stopped(self, cnn, images):
        calculator = LRPCalculator(
            cnn, rule="lrp0", class_index=1, conditions={"/conv1": 0}
        )
        account = calculator.conservation(images)
        lost = sum(entry.bias + entry.other for entry in account.entries)
        assert_allclose(account.start - lost, account.end, rtol=1e-9)
        assert_allclose(account.end, calculator.compute(images).sum(), rtol=1e-9)

    def test_results_depend_on_nothing_else(self, cnn, images, tmp_path):
        calculator = LRPCalculator(
            cnn, class_index=1, conditions={"/conv1": 0, "/conv2": [1, 2]}
        )
        how = {"M": 3, "noise_sampler": GaussianNoiseSampler(), "seed": 3}
        expected = calculator.compute(images, **how)
        assert_allclose(calculator.compute(images, batchsize=2, **how), expected)
        out = tmp_path / "many.npy"
        calculator.compute_aggregate(images, out=out, **how)
        assert_allclose(np.load(out), expected.mean(axis=0), rtol=1e-9)
        assert not chainer._get_link_hooks()

    @pytest.mark.parametrize(
        ("conditions", "message"),
        [
            ({"/conv9": 0}, r"conditions must name the model's links .*'/conv9'"),
            ({"/conv1": "all"}, r"conditions\['/conv1'\] must be an int.*'all'"),
            ({"/conv1": []}, r"conditions\['/conv1'\] must be"),
            ({"/conv1": [0.5]}, r"conditions\['/conv1'\] must be"),
            ({"/conv1": True}, r"conditions\['/conv1'\] must be"),
            ({"/conv1": ("a",)}, r"as a tuple must hold ints and slices"),
        ],
    )
    def test_others_are_refused_at_the_door(self, conditions, message, cnn):
        with pytest.raises(ValueError, match=message):
            LRPCalculator(cnn, conditions=conditions)

    def test_a_list_of_layers_is_refused(self, cnn):
        with pytest.raises(TypeError, match="conditions must map paths"):
            LRPCalculator(cnn, conditions=["/conv1"])

    @pytest.mark.parametrize(
        ("conditions", "message"),
        [
            ({"/conv1": 4}, r"\['/conv1'\].*does not have.*\(4, 4, 4\)"),
            ({"/conv1": [-1]}, "numbers of channels begin at 0"),
            ({"/conv1": (0, 0, 0, 0)}, "does not have"),
            ({"/conv1": (0, slice(4, 9))}, "does not have"),
        ],
    )
    def test_channels_that_a_layer_lacks(self, conditions, message, cnn, images):
        calculator = LRPCalculator(cnn, conditions=conditions)
        with pytest.raises(ValueError, match=message):
            calculator.compute(images)
        assert not chainer._get_link_hooks()

    def test_a_layer_that_is_not_on_the_way(self, cnn, images):
        below = VariableMonitorLinkHook(cnn.conv2)
        calculator = LRPCalculator(
            cnn, target_extractor=below, conditions={"/conv1": 0}
        )
        with pytest.raises(ValueError, match="'/conv1', which is not on the way"):
            calculator.compute(images)


def ranked(scores, k):
    """Returns the k best examples of each channel, and their scores, both by a loop."""
    order = [sorted(range(len(s)), key=lambda i: -s[i])[:k] for s in scores.T]
    return order, [[s[i] for i in best] for s, best in zip(scores.T, order)]


class TestReferenceExamples:
    @pytest.mark.parametrize("reduce", ["sum", "max"])
    @pytest.mark.parametrize("batchsize", [None, 2])
    def test_are_the_best_of_all(self, reduce, batchsize, cnn, images):
        calculator = LRPCalculator(cnn, class_index=[0, 1, 2, 1, 0])
        found = calculator.reference_examples(
            images, "/conv2", 3, reduce=reduce, batchsize=batchsize
        )
        layers = calculator.compute_layers(images, ["/conv2"])["/conv2"][0]
        hook = VariableMonitorLinkHook(cnn.conv2)
        with hook, chainer.using_config("train", False):
            cnn(images)
        activations = hook.get_variable().array
        for maps, own in (
            (layers, found.by_relevance),
            (activations, found.by_activation),
        ):
            scores = getattr(maps, reduce)(axis=(2, 3))
            examples, values = ranked(scores, 3)
            assert_array_equal(own.examples, examples)
            assert_allclose(own.values, values, rtol=1e-9)
        assert_array_equal(found.channels, range(4))

    def test_some_channels_in_an_order(self, cnn, images):
        calculator = LRPCalculator(cnn, class_index=1)
        every = calculator.reference_examples(images, "/conv2", 2)
        some = calculator.reference_examples(images, "/conv2", 2, [3, 1])
        assert_array_equal(some.channels, [3, 1])
        for name in ("by_relevance", "by_activation"):
            for own, all_of_them in zip(getattr(some, name), getattr(every, name)):
                assert_array_equal(own, all_of_them[[3, 1]])
        assert "by relevance" in str(some)
        assert len(str(some).splitlines()) == 3

    def test_there_may_be_fewer_than_asked_for(self, cnn, images):
        found = LRPCalculator(cnn).reference_examples(images[:2], "/conv2", 9)
        assert found.by_relevance.examples.shape == (4, 2)

    def test_channels_of_tokens_are_on_another_axis(self):
        linear = build(L.Linear, 3, 2)

        def of_tokens(v):
            return F.sum(linear(v, n_batch_axes=2), axis=1)

        tokens = np.random.default_rng(0).normal(size=(6, 5, 3))
        model = chainer.Sequential(linear)
        calculator = LRPCalculator(model, eval_fun=of_tokens, class_index=0)
        found = calculator.reference_examples(tokens, "/0", 4, ch_axis=2)
        layer = calculator.compute_layers(tokens, ["/0"])["/0"][0]
        examples, _ = ranked(layer.sum(axis=1), 4)
        assert_array_equal(found.by_relevance.examples, examples)

    def test_among_equals_the_first_comes_first(self):
        best = BestSoFar(2)
        best.add(np.array([[1.0], [2.0]]), 0)
        best.add(np.array([[2.0], [2.0]]), 2)
        found = best.get(np.array([0]))
        assert_array_equal(found.examples, [[1, 2]])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"k": 0}, "k must be an int >= 1"),
            ({"reduce": "mean"}, "reduce must be one of 'sum', 'max'"),
            ({"channels": [4]}, "channels must be ints from 0 to 3"),
            ({"channels": []}, "channels must be ints from 0 to 3"),
            ({"ch_axis": 4}, "ch_axis must be one of the axes 1 to 3"),
            ({"layer": "/conv9"}, "layer must name the model's links"),
        ],
    )
    def test_what_is_not_allowed(self, arguments, message, cnn, images):
        arguments = {"layer": "/conv2", **arguments}
        with pytest.raises(ValueError, match=message):
            LRPCalculator(cnn).reference_examples(images, **arguments)
