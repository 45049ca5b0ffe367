"""Calls of Chainer Chemistry 0.7.1, with ``chainer_chemistry.`` dropped.

Its modules, names, orders of arguments and keywords. What it computed wrongly is in
test_ancestor.py, its subclasses are in test_ancestor_subclasses.py, and its visualizers
in tests/visualizer/test_ancestor_calls.py.
"""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook, is_link_hooks_available
from saliency.calculator import (
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
)
from tests.calculator.oracles import (
    backward_gradient,
    loop_over_batches,
    numerical_gradient,
    occlusion,
    run,
)
from tests.networks import CNN, MLP, build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples
from chainer.datasets import TupleDataset


@pytest.fixture
def model():
    return build(MLP, n_out=1, dropout=0.5)


@pytest.fixture
def eval_fun(model):
    return lambda v: 2 * model(v)


def gradient_of(model, x):
    return numerical_gradient(lambda v: run(model, v)[:, 0], x)


# --- modules and names ------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("saliency.calculator", "BaseCalculator"),
        ("saliency.calculator", "GradientCalculator"),
        ("saliency.calculator", "IntegratedGradientsCalculator"),
        ("saliency.calculator", "OcclusionCalculator"),
        ("saliency.calculator", "GaussianNoiseSampler"),
        ("saliency.calculator.base_calculator", "BaseCalculator"),
        ("saliency.calculator.calculator_utils", "GaussianNoiseSampler"),
        ("saliency.calculator.gradient_calculator", "GradientCalculator"),
        (
            "saliency.calculator.integrated_gradients_calculator",
            "IntegratedGradientsCalculator",
        ),
        ("saliency.calculator.occlusion_calculator", "OcclusionCalculator"),
        ("link_hooks", "VariableMonitorLinkHook"),
        ("link_hooks.variable_monitor_link_hook", "VariableMonitorLinkHook"),
    ],
)
def test_a_name_is_in_its_module(module, name):
    found = getattr(importlib.import_module(module), name)
    package = module.split(".")[0]
    assert found is getattr(importlib.import_module(package), name)


@pytest.mark.large
def test_packages_are_attributes_of_those_that_hold_them():
    """In a new process, where nothing else has imported them."""
    lines = [
        "from saliency import calculator, visualizer",
        "import saliency",
        "assert saliency.calculator is calculator",
        "assert saliency.visualizer is visualizer",
        "sampler = calculator.calculator_utils.GaussianNoiseSampler",
        "assert sampler is saliency.GaussianNoiseSampler",
        "scaler = visualizer.visualizer_utils.normalize_scaler",
        "assert scaler is saliency.normalize_scaler",
        "assert calculator.base_calculator.BaseCalculator is saliency.BaseCalculator",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_link_hooks_are_available():
    assert is_link_hooks_available is True


# --- constructors -----------------------------------------------------------------


def test_gradient_with_all_arguments_by_position(model, eval_fun, x):
    expected = x * 2 * gradient_of(model, x)
    for rest in ((True,), (True, None), (True, -1)):
        calculator = GradientCalculator(model, None, None, eval_fun, *rest)
        assert_allclose(calculator.compute(x)[0], expected, rtol=1e-6)


def test_a_fifth_zero_is_no_class(x):
    model = build(MLP)  # three classes
    sums = GradientCalculator(model, None, None, lambda v: F.sum(model(v), 1), 0)
    assert sums.multiply_target == 0
    assert sums.class_index is None
    assert_allclose(sums.compute(x)[0], backward_gradient(model, x), rtol=1e-12)
    with pytest.raises(ValueError, match=r"multiply_target must be .* got 2"):
        GradientCalculator(model, None, None, model, 2)


def test_integrated_gradients_with_all_arguments_by_position(x):
    def f(v):
        return F.sum(v**3, axis=1)

    calculator = IntegratedGradientsCalculator(f, None, None, f, 0, 7, -1)
    assert_allclose(calculator.compute(x)[0], x**3, rtol=1e-12)
    assert (calculator.baseline, calculator.steps, calculator.device) == (0, 7, -1)
    calculator = IntegratedGradientsCalculator(f, None, None, f, 0.5)
    assert_allclose(calculator.compute(x)[0], x**3 - 0.125, rtol=1e-12, atol=1e-14)


def test_integrated_gradients_with_an_array_as_fifth_argument(model, eval_fun, x):
    baseline = x.mean(axis=0)
    samples = IntegratedGradientsCalculator(
        model, None, None, eval_fun, baseline, 64
    ).compute(x)
    fall = 2 * (run(model, x) - run(model, baseline[None]))[:, 0]
    assert_allclose(samples[0].sum(axis=1), fall, rtol=1e-9)


def test_occlusion_with_all_arguments_by_position(rng):
    model = build(CNN)
    x = rng.normal(size=(3, 2, 6, 6))

    def eval_fun(v):
        return F.max(model(v), axis=1)

    samples = OcclusionCalculator(
        model, None, None, eval_fun, -1, False, 2, (2, 3)
    ).compute(x)
    assert samples.shape == (1, 3, 1, 6, 6)
    expected = occlusion(
        lambda v: run(model, v).max(axis=1), x, (2, 3), (2, 2), (1, 1), 0
    )
    assert_allclose(samples[0], expected, atol=1e-12)


@pytest.mark.parametrize("slide_axis", [1, (1,), [1]])
def test_occlusion_of_one_axis(slide_axis, model, x):
    samples = OcclusionCalculator(model, slide_axis=slide_axis).compute(x)
    expected = occlusion(lambda v: run(model, v)[:, 0], x, (1,), (1,), (1,), 0)
    assert_allclose(samples[0], expected, atol=1e-13)


@pytest.mark.parametrize("by", ["position", "name"])
def test_enable_backprop_is_taken_and_said_to_have_no_effect(by, model, x):
    with pytest.warns(UserWarning, match=r"enable_backprop has no effect.*Leave"):
        if by == "name":
            calculator = OcclusionCalculator(model, enable_backprop=True, slide_axis=1)
        else:
            calculator = OcclusionCalculator(model, None, None, None, None, True, 1, 1)
    expected = OcclusionCalculator(model, slide_axis=1, enable_backprop=False)
    assert_array_equal(calculator.compute(x), expected.compute(x))
    assert "enable_backprop" not in repr(calculator)


def test_a_model_that_takes_gradients_needs_no_enable_backprop(x):
    """What enable_backprop=True was for: forces, say."""

    def energy_and_force(v):
        y = F.sum(v**3, axis=1)
        (force,) = chainer.grad([y], [v], enable_double_backprop=True)
        return y + F.sum(force, axis=1)

    def by_hand(a):
        return (a**3).sum(axis=1) + (3 * a**2).sum(axis=1)

    samples = OcclusionCalculator(energy_and_force, slide_axis=1).compute(x)
    expected = occlusion(by_hand, x, (1,), (1,), (1,), 0)
    assert_allclose(samples[0], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("calculator", "others"),
    [
        (GradientCalculator, {"multiply_target": True}),
        (IntegratedGradientsCalculator, {"baseline": None, "steps": 25}),
        (OcclusionCalculator, {"size": 1, "slide_axis": 1}),
    ],
)
def test_all_arguments_by_name(calculator, others, model, eval_fun, x):
    hook = VariableMonitorLinkHook(target_link=model.l1, timing="pre")
    by_name = calculator(
        model=model,
        target_extractor=hook,
        output_extractor=None,
        eval_fun=eval_fun,
        device=-1,
        **others,
    )
    at_input = calculator(model, None, None, eval_fun, **others)
    assert_allclose(by_name.compute(x), at_input.compute(x), rtol=1e-12)


def test_the_output_extractor_is_the_third_argument(x):
    model = build(MLP, depth=3)
    hook = VariableMonitorLinkHook(model.layers[1], timing="post")
    with pytest.warns(UserWarning, match="sum of the 6 columns"):
        samples = GradientCalculator(model, None, hook, None, False).compute(x)
    expected = backward_gradient(
        lambda v: model.layers[1](model.activation(model.l1(v))), x
    )
    assert_allclose(samples[0], expected, rtol=1e-12)


# --- compute and aggregate ----------------------------------------------------------


def test_compute_with_all_arguments_by_position(model, x):
    calculator = GradientCalculator(model)
    noise = GaussianNoiseSampler("absolute", 0.1)
    samples = calculator.compute(
        x, 2, 3, concat_examples, True, lambda a: a * 2, np.abs, False, noise, False
    )
    assert samples.shape == (2, 7, 4)
    assert_array_equal(calculator.inputs[0], x * 2)
    quiet = GaussianNoiseSampler("absolute", 0)
    samples = calculator.compute(
        x, 1, 3, concat_examples, True, lambda a: a * 2, np.abs, False, quiet, False
    )
    assert_allclose(samples[0], np.abs(gradient_of(model, 2 * x)), rtol=1e-5)


def test_compute_with_all_arguments_by_name(model, x):
    samples = GradientCalculator(model).compute(
        data=x,
        M=1,
        batchsize=3,
        converter=concat_examples,
        retain_inputs=False,
        preprocess_fn=None,
        postprocess_fn=None,
        train=False,
        noise_sampler=None,
        show_progress=False,
    )
    assert_allclose(samples[0], gradient_of(model, x), rtol=1e-6)


def test_preprocess_fn_may_return_a_variable(model, x):
    samples = GradientCalculator(model).compute(
        x, preprocess_fn=lambda a: chainer.Variable(a * 2)
    )
    assert_allclose(samples[0], gradient_of(model, 2 * x), rtol=1e-6)


def test_postprocess_fn_may_return_a_variable(model, x):
    samples = GradientCalculator(model).compute(
        x, postprocess_fn=lambda saliency: F.sum(chainer.Variable(saliency), axis=1)
    )
    assert_allclose(samples[0], gradient_of(model, x).sum(axis=1), rtol=1e-6)


def test_a_sampler_without_a_seed(model, x):
    class Shift:
        def sample(self, target_array):
            return np.full(target_array.shape, 0.5)

    samples = GradientCalculator(model).compute(x, M=2, noise_sampler=Shift())
    for sample in samples:
        assert_allclose(sample, gradient_of(model, x + 0.5), rtol=1e-6)


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_the_noise_has_the_scale_that_it_is_given(mode, rng):
    x = rng.uniform(-3, 5, (2, 20000))
    sampler = GaussianNoiseSampler(mode=mode, scale=0.2)
    assert (sampler.mode, sampler.scale) == (mode, 0.2)
    size = np.ptp(x, axis=1) if mode == "relative" else 1
    assert_allclose(sampler.sample(x).std(axis=1), 0.2 * size, rtol=0.03)


def test_a_dataset_with_labels_in_batches(x):
    model = build(MLP)
    t = np.arange(7, dtype=np.int32) % 3

    def loss(v, t):
        return F.softmax_cross_entropy(model(v), t)

    samples = GradientCalculator(model, eval_fun=loss).compute(
        TupleDataset(x, t), batchsize=3, train=False
    )

    def by_hand(x, t):
        v = chainer.Variable(x.copy())
        loss(v, t).backward()
        return v.grad

    assert_allclose(samples[0], loop_over_batches(by_hand, 3, x, t), rtol=1e-10)


@pytest.mark.parametrize(
    ("method", "transform"),
    [("raw", lambda a: a), ("abs", np.abs), ("square", np.square)],
)
@pytest.mark.parametrize("ch_axis", [None, 2, (2, 3)])
def test_aggregate(method, transform, ch_axis, model, rng):
    samples = rng.normal(size=(5, 3, 2, 4))
    expected = transform(samples)
    if ch_axis is not None:
        expected = expected.sum(axis=ch_axis)
    expected = expected.mean(axis=0)
    aggregate = GradientCalculator(model).aggregate
    by_name = aggregate(saliency_arrays=samples, method=method, ch_axis=ch_axis)
    assert_allclose(by_name, expected, rtol=1e-12, atol=1e-15)
    assert_array_equal(aggregate(samples, method, ch_axis), by_name)


# --- the hook -----------------------------------------------------------------------


def test_the_hook_with_all_arguments_by_position(model, x):
    logger = logging.getLogger("of the user")

    def second(hook, args):
        assert hook.logger is logger
        return args.args[0]

    hook = VariableMonitorLinkHook(model.l1, "my hook", "pre", second, logger)
    assert (hook.name, hook.timing, hook.call) == ("my hook", "pre", None)
    v = chainer.Variable(x)
    with hook:
        model(v)
    assert hook.get_variable() is v


def test_the_hook_takes_no_call_by_position(model):
    with pytest.raises(TypeError, match=r"logger must be .*call=0"):
        VariableMonitorLinkHook(model.l1, "hook", "post", None, 0)


def test_a_process_that_is_deleted_twice(model, x, caplog):
    def double(hook, args, target_var):
        target_var.array *= 2

    hook = VariableMonitorLinkHook(target_link=model.l1)
    hook.add_process("double", double)
    with hook, chainer.using_config("train", False):
        model(x)
        doubled = hook.get_variable().array.copy()
        hook.delete_process("double")
        hook.delete_process("double")
        model(x)
    assert_allclose(doubled, 2 * hook.get_variable().array)
    assert len(caplog.records) == 1


def test_a_process_of_the_user_holds_for_a_calculator(model, x):
    def half(hook, args, target_var):
        target_var.array = target_var.array / 2

    hook = VariableMonitorLinkHook(model.l1)
    hook.add_process("half", half)
    samples = GradientCalculator(model, hook).compute(x)
    halved = run(model.l1, x) / 2
    expected = backward_gradient(lambda h: model.layers[1](F.tanh(h)), halved)
    assert_allclose(samples[0], expected, rtol=1e-12)
