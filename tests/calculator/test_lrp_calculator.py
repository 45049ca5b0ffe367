"""LRPCalculator: what starts, where it ends, layers, and the account."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import GaussianNoiseSampler, GradientCalculator, LRPCalculator
from tests.calculator.oracles import run
from tests.networks import CNN, MLP, Repeated, TwoParts, build

import chainer
import chainer.functions as F
import chainer.links as L


def without_bias(model):
    for path, parameter in model.namedparams():
        if path.endswith("/b"):
            parameter.array[...] = 0
    return model


@pytest.fixture
def model():
    return without_bias(build(MLP, n_out=3, depth=3))


class TestStart:
    def test_is_the_output_of_the_predicted_class(self, model, x):
        samples = LRPCalculator(model, rule="lrp0").compute(x)
        assert_allclose(samples[0].sum(axis=1), run(model, x).max(axis=1), rtol=1e-9)

    @pytest.mark.parametrize("classes", [1, [0, 1, 2, 2, 1, 0, 1]], ids=str)
    def test_is_the_output_of_the_class_asked_for(self, model, classes, x):
        calculator = LRPCalculator(model, class_index=classes, rule="lrp0")
        expected = run(model, x)[np.arange(7), classes]
        assert_allclose(calculator.compute(x)[0].sum(axis=1), expected, rtol=1e-9)

    def test_may_be_a_number(self, model, x):
        samples = LRPCalculator(model, rule="lrp0", relevance=1).compute(x)
        assert_allclose(samples[0].sum(axis=1), 1, rtol=1e-9)

    def test_may_be_an_array_for_all_classes(self, model, x):
        start = np.array([1.0, -2.0, 0.5])
        samples = LRPCalculator(model, rule="lrp0", relevance=start).compute(x)
        assert_allclose(samples[0].sum(axis=1), start.sum(), rtol=1e-9)
        parts = [
            LRPCalculator(model, class_index=c, rule="lrp0", relevance=start[c])
            for c in range(3)
        ]
        assert_allclose(samples, sum(p.compute(x) for p in parts), rtol=1e-9)

    @pytest.mark.parametrize("how", [{}, {"M": 2, "train": True, "seed": 0}], ids=str)
    def test_may_be_an_array_of_the_shape_of_maps(self, rng, how):
        """No class is meant then, so the output need not be one score for each."""
        conv, images = build(L.Convolution2D, 2, 3, 3), rng.normal(size=(4, 2, 5, 5))
        start = rng.normal(size=(3, 3, 3))
        bias = conv.b.array[:, None, None]
        y = run(conv, images)
        expected = (start * (y - bias) / y).sum(axis=(1, 2, 3))  # the bias has a share
        calculator = LRPCalculator(conv, rule="lrp0", relevance=start)
        for samples in calculator.compute(images, **how):
            assert_allclose(samples.sum(axis=(1, 2, 3)), expected, rtol=1e-9)

    def test_of_each_unit_adds_up_to_the_whole(self, rng):
        """The walk is linear in the relevance that it starts with."""
        conv = build(L.Convolution2D, 2, 3, 3)
        images = rng.normal(size=(1, 2, 4, 4))
        y = run(conv, images)
        hook = VariableMonitorLinkHook(conv)
        units = np.eye(y.size).reshape(-1, *y.shape[1:]) * y
        for model, extractor in ((conv, None), (lambda x: F.tanh(conv(x)), hook)):
            for rule in ("lrp0", "epsilon", "alpha2_beta1", "deep_taylor"):
                given = {"rule": rule, "low": -5, "high": 5}
                whole = LRPCalculator(
                    model, None, extractor, relevance=y[0], **given
                ).compute(images)
                each = LRPCalculator(
                    model, None, extractor, relevance=units, **given
                ).compute(np.repeat(images, len(units), axis=0), batchsize=5)
                assert_allclose(each.sum(axis=1), whole[0], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("relevance", ["input", "argmax"])
    def test_is_nothing_else(self, model, relevance):
        with pytest.raises(ValueError, match="relevance"):
            LRPCalculator(model, relevance=relevance)

    def test_must_fit_the_output(self, model, x):
        calculator = LRPCalculator(model, relevance=np.ones(4))
        with pytest.raises(ValueError, match=r"relevance.*\(3,\).*\(4,\)"):
            calculator.compute(x)

    def test_is_the_output_where_it_is_one_value_for_each_example(self, x):
        model = without_bias(build(MLP, n_out=1))
        samples = LRPCalculator(model, rule="lrp0").compute(x)
        assert_allclose(samples[0].sum(axis=1), run(model, x)[:, 0], rtol=1e-9)

    def test_is_the_output_where_it_is_one_value_for_the_batch(self, x):
        model = without_bias(build(MLP, n_out=1))
        calculator = LRPCalculator(
            model, eval_fun=lambda v: F.mean(model(v)), rule="lrp0"
        )
        for how in ({}, {"noise_sampler": GaussianNoiseSampler(scale=0.0)}):
            samples = calculator.compute(x, **how)
            assert_allclose(samples.sum(), run(model, x).mean(), rtol=1e-9)


WITHOUT_CLASSES = {
    "sequence": (lambda v: F.stack([v, 2 * v], axis=1), r"\(7, 2, 4\)"),
    "maps": (lambda v: F.reshape(v, (-1, 1, 2, 2)), r"\(7, 1, 2, 2\)"),
}


class TestWithoutAPredictedClass:
    """The error says what LRP explains by default, and what to pass instead."""

    @pytest.mark.parametrize("how", [{}, {"noise_sampler": GaussianNoiseSampler()}])
    @pytest.mark.parametrize("name", WITHOUT_CLASSES)
    def test_of_one_output(self, name, how, x):
        model, shape = WITHOUT_CLASSES[name]
        with pytest.raises(ValueError, match=shape) as caught:
            LRPCalculator(model).compute(x, **how)
        message = str(caught.value)
        assert "LRP explains the predicted class by default" in message
        assert "argmax" not in message
        for advice in ("class_index=i", "(i, j)", "'sum'", "output_extractor"):
            assert advice in message

    def test_of_several_outputs(self, x):
        model = build(Repeated)
        calculator = LRPCalculator(model, None, VariableMonitorLinkHook(model.step))
        with pytest.raises(ValueError, match=r"LRP explains.*got shapes .*, "):
            calculator.compute(x)

    def test_argmax_is_named_where_it_was_asked_for(self, x):
        model, _ = WITHOUT_CLASSES["sequence"]
        with pytest.raises(ValueError, match="class_index='argmax' needs"):
            LRPCalculator(model, class_index="argmax").compute(x)

    @pytest.mark.filterwarnings("ignore:class_index picks along axis 1")
    @pytest.mark.parametrize("class_index", [1, "sum"])
    def test_what_it_advises_works(self, class_index, x):
        model, _ = WITHOUT_CLASSES["sequence"]
        samples = LRPCalculator(model, class_index=class_index).compute(x)
        assert_allclose(samples[0], x * (2 if class_index == 1 else 3), rtol=1e-6)


class TestInTheMiddle:
    @pytest.fixture
    def model(self):
        return build(lambda: TwoParts(L.Linear(4, 5), MLP(n_in=5, depth=3)))

    def test_it_stops_at_a_hidden_target(self, model, x):
        hook = VariableMonitorLinkHook(model.h)
        samples = LRPCalculator(model, hook, class_index=0).compute(x)
        expected = LRPCalculator(model.g, class_index=0).compute(run(model.h, x))
        assert_allclose(samples, expected, rtol=1e-12)

    def test_it_starts_at_a_hidden_output(self, model, x):
        hook = VariableMonitorLinkHook(model.h)
        samples = LRPCalculator(model, None, hook, class_index=2).compute(x)
        expected = LRPCalculator(model.h, class_index=2).compute(x)
        assert_allclose(samples, expected, rtol=1e-12)


def test_through_more_functions_than_python_lets_call_each_other(x):
    def forward(v):
        for _ in range(2000):
            v = F.identity(v)
        return F.sum(v, axis=1)

    assert_allclose(LRPCalculator(forward, rule="lrp0").compute(x)[0], x, rtol=1e-12)


class TestSampling:
    @pytest.mark.parametrize(
        "how",
        [{"train": True}, {"noise_sampler": GaussianNoiseSampler()}],
        ids=["dropout", "noise"],
    )
    def test_lrp0_of_each_sample_is_its_gradient_times_its_target(self, how, x):
        model = without_bias(build(MLP, dropout=0.5, depth=3, activation=F.relu))
        how = {**how, "M": 4, "seed": 0}
        samples = LRPCalculator(model, class_index=1, rule="lrp0").compute(x, **how)
        expected = GradientCalculator(
            model, class_index=1, multiply_target=True
        ).compute(x, **how)
        assert_allclose(samples, expected, rtol=1e-8, atol=1e-12)


class TestLayers:
    @pytest.fixture
    def cnn(self):
        return without_bias(build(CNN))

    @pytest.fixture
    def images(self, rng):
        return rng.normal(size=(3, 2, 6, 6))

    def test_come_in_one_call(self, model, x):
        paths = ["/layers/0", "/layers/1"]
        calculator = LRPCalculator(model, class_index=0)
        layers = calculator.compute_layers(x, paths, M=2)
        assert list(layers) == paths
        for path, link in zip(paths, model.layers):
            alone = LRPCalculator(model, VariableMonitorLinkHook(link), class_index=0)
            assert_allclose(layers[path], alone.compute(x, M=2), rtol=1e-9)

    def test_of_a_convolution_is_that_of_its_normalization(self, cnn, images):
        """Both are one function to a rule."""
        layers = LRPCalculator(cnn).compute_layers(images, ["/conv", "/norm"])
        assert layers["/conv"].shape == (1, 3, 4, 6, 6)
        assert_allclose(layers["/conv"], layers["/norm"])

    def test_of_a_link_that_is_called_twice_are_added_up(self, x):
        model = build(Repeated)
        relevance = LRPCalculator(model).compute_layers(x, ["/step"])["/step"]
        hook = VariableMonitorLinkHook(model.step)
        expected = LRPCalculator(model, hook).compute(x)
        assert_allclose(relevance, expected, rtol=1e-12)

    def test_that_are_none_of_the_model(self, cnn, images):
        with pytest.raises(ValueError, match=r"links.*'/conv9'"):
            LRPCalculator(cnn).compute_layers(images, ["/conv9"])

    @pytest.mark.parametrize("links", ["/conv", []])
    def test_must_be_asked_for_in_a_list(self, links, cnn, images):
        with pytest.raises(ValueError, match="links must be a list"):
            LRPCalculator(cnn).compute_layers(images, links)

    def test_leave_no_hooks(self, cnn, images):
        LRPCalculator(cnn).compute_layers(images, ["/conv"])
        assert not chainer._get_link_hooks()
        assert not chainer.get_function_hooks()


class TestAssignment:
    def test_prints_the_rule_of_every_layer(self, rng):
        images = rng.normal(size=(1, 2, 6, 6))
        calculator = LRPCalculator(build(CNN), rule="epsilon_alpha2_beta1_flat")
        table = str(calculator.assignment(images)).splitlines()
        rules = {line.split()[0]: line.split(maxsplit=2)[2] for line in table}
        assert rules["/conv"] == "Flat()"
        assert rules["/norm"] == "one with /conv"
        assert rules["/out"].startswith("Epsilon(")


class TestConservation:
    @pytest.mark.parametrize("rule", ["lrp0", "epsilon", "alpha2_beta1", "gamma"])
    def test_every_loss_is_accounted_for(self, rule, x):
        model = build(MLP, depth=3)
        calculator = LRPCalculator(model, class_index=1, rule=rule)
        report = calculator.conservation(x, batchsize=3)
        assert_allclose(report.start, run(model, x)[:, 1].sum(), rtol=1e-9)
        assert_allclose(report.end, calculator.compute(x).sum(), rtol=1e-9)
        lost = sum(e.bias + e.other for e in report.entries)
        assert_allclose(report.start - lost, report.end, rtol=1e-9)
        if rule == "lrp0":
            assert max(abs(e.other) for e in report.entries) < 1e-9

    def test_every_cut_is_the_output_without_bias(self, model, x):
        report = LRPCalculator(model, rule="lrp0").conservation(x)
        assert_allclose([e.cut for e in report.entries], report.start, rtol=1e-9)

    def test_prints_as_a_table_with_links_and_functions(self, model, x):
        lines = str(LRPCalculator(model).conservation(x)).splitlines()
        columns = "layer function rule received passed on bias other cut"
        assert lines[0].split() == columns.split()
        assert sum("LinearFunction" in line for line in lines) == 3
