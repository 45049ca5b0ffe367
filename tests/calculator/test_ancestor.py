"""What went wrong in the saliency module of Chainer Chemistry does not go wrong here.

Each test is named after a flaw of it, and would fail there.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    OcclusionCalculator,
)
from tests.calculator.oracles import occlusion, run
from tests.networks import MLP, Fuse, Repeated, Sequence, build

import chainer
import chainer.functions as F
from chainer.dataset import concat_examples


@pytest.fixture
def model():
    return build(MLP, n_out=1, dropout=0.5, normalize=True)


def test_an_exception_does_not_leave_the_link_hook_registered(x):
    model = build(MLP, fuse=Fuse(blows_at=1))
    hook = VariableMonitorLinkHook(model.l1)
    with pytest.raises(RuntimeError, match="fuse"):
        GradientCalculator(model, hook).compute(x)
    assert chainer._get_link_hooks() == {}
    assert list(model.l1.local_link_hooks) == []


def test_an_exception_does_not_leave_noise_in_later_gradients(x):
    model = build(MLP, n_out=1, fuse=Fuse(blows_at=2))
    hook = VariableMonitorLinkHook(model.l1)
    calculator = GradientCalculator(model, hook)
    with pytest.raises(RuntimeError, match="fuse"):
        calculator.compute(x, batchsize=3, noise_sampler=GaussianNoiseSampler())
    model.fuse.blows_at = None
    vanilla = calculator.compute(x)
    assert_array_equal(vanilla, calculator.compute(x))
    of_rest = GradientCalculator(lambda h: model.layers[1](F.tanh(h)))
    assert_allclose(vanilla, of_rest.compute(run(model.l1, x)))


def test_noise_is_not_written_into_the_callers_data(model, x):
    before = x.copy()
    GradientCalculator(model).compute(x, M=3, noise_sampler=GaussianNoiseSampler())
    assert_array_equal(x, before)


@pytest.mark.parametrize(
    "new_calculator",
    [IntegratedGradientsCalculator, partial(OcclusionCalculator, slide_axis=1)],
)
def test_inputs_are_not_left_replaced(new_calculator, model, x):
    v = chainer.Variable(x.copy())
    new_calculator(model).compute(v)
    assert_array_equal(v.array, x)


def test_gradients_that_the_user_needs_are_not_overwritten(model, x):
    F.sum(model(x)).backward()
    before = [p.grad.copy() for p in model.params()]
    GradientCalculator(model).compute(x)
    for parameter, grad in zip(model.params(), before):
        assert_array_equal(parameter.grad, grad)


def test_bayes_grad_does_not_train_batch_normalization(model, x):
    norm = model.norms[0]
    before = norm.avg_mean.copy(), norm.avg_var.copy(), norm.N
    outputs = run(model, x)
    GradientCalculator(model).compute(x, M=30, train=True)
    assert_array_equal(norm.avg_mean, before[0])
    assert_array_equal(norm.avg_var, before[1])
    assert before[2] == norm.N
    assert_array_equal(run(model, x), outputs)


@pytest.mark.parametrize(
    ("new_calculator", "n_row"),
    [
        (GradientCalculator, 7 * 30),
        # At both ends of the paths as well, to see whether attributions add up.
        (partial(IntegratedGradientsCalculator, steps=10), 7 * 30 * 12),
        (partial(OcclusionCalculator, slide_axis=1), 7 * 30 * 5),
    ],
    ids=["gradient", "integrated_gradients", "occlusion"],
)
def test_samples_steps_and_windows_are_batched(new_calculator, n_row, x):
    sizes = []

    def model(v):
        sizes.append(len(v))
        return F.sum(v**2, axis=1, keepdims=True)

    new_calculator(model).compute(x, M=30, batchsize=100)
    assert sum(sizes) == n_row
    assert len(sizes) == -(-n_row // 100)


@pytest.mark.parametrize(
    "new_calculator",
    [IntegratedGradientsCalculator, partial(OcclusionCalculator, slide_axis=1)],
)
def test_a_feature_of_weight_zero_is_not_blamed_for_dropout(new_calculator, model, x):
    model.l1.W.array[:, 2] = 0
    samples = new_calculator(model).compute(x, M=10, train=True)
    assert np.abs(samples[..., 2]).max() < 1e-12


def test_integrated_gradients_take_an_array_as_baseline(model, x):
    calculator = IntegratedGradientsCalculator(model, baseline=x[0])
    assert_array_equal(calculator.compute(x)[:, 0], 0)


@pytest.mark.parametrize("steps", [2, 5])
def test_integrated_gradients_of_a_cube_are_not_off(steps, x):
    calculator = IntegratedGradientsCalculator(
        lambda v: F.sum(v**3, axis=1), steps=steps
    )
    assert_allclose(calculator.compute(x)[0], x**3, rtol=1e-12)


def test_occlusion_has_windows_larger_than_1_a_stride_and_a_fill(model, x):
    calculator = OcclusionCalculator(model, slide_axis=1, size=3, stride=2, fill="mean")
    expected = occlusion(
        lambda v: run(model, v)[:, 0], x, (1,), (3,), (2,), x.mean(axis=0)
    )
    assert_allclose(calculator.compute(x)[0], expected, atol=1e-13)


def test_occlusion_does_not_call_a_window_larger_than_the_input_zero(model, x):
    with pytest.raises(ValueError, match="size"):
        OcclusionCalculator(model, slide_axis=1, size=5).compute(x)


def test_classes_are_not_summed_silently(x):
    with pytest.warns(UserWarning, match="sum of the 3 columns"):
        GradientCalculator(build(MLP)).compute(x)


def test_retain_inputs_works(model, x):
    calculator = GradientCalculator(model)
    calculator.compute(x, retain_inputs=True)
    assert_array_equal(calculator.inputs[0], x)


def test_aggregate_documents_the_methods_that_it_has(model):
    calculator = GradientCalculator(model)
    for method in ("raw", "abs", "square"):
        assert repr(method) in calculator.aggregate.__doc__.replace("``", "")
        calculator.aggregate(np.ones((1, 2, 3)), method)
    with pytest.raises(ValueError, match="'abs'"):
        calculator.aggregate(np.ones((1, 2, 3)), "absolute")


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.zeros((0, 4)), ValueError, "data is empty"),
        (np.zeros((3, 4), int), TypeError, "no gradient"),
    ],
    ids=["empty", "integers"],
)
def test_bad_data_is_told_what_is_wrong(model, data, error, message):
    with pytest.raises(error, match=message):
        GradientCalculator(model).compute(data)


def test_a_disconnected_input_is_told_what_is_wrong(model, x):
    calculator = GradientCalculator(model, eval_fun=lambda v: model(v.array))
    with pytest.raises(ValueError, match="no influence"):
        calculator.compute(x)


def test_padding_does_not_look_like_zero_saliency(rng):
    sequences = [rng.normal(size=(n, 2)) for n in (2, 5)]
    samples = GradientCalculator(build(Sequence)).compute(
        sequences, converter=partial(concat_examples, padding=0)
    )
    assert np.isnan(samples[0, 0, 2:]).all()
    assert np.isfinite(samples[0, 1]).all()


def test_a_link_called_twice_gives_both_calls(x):
    model = build(Repeated)
    with VariableMonitorLinkHook(model.step) as hook:
        model(x)
    assert len(hook.variables) == 2


def test_noise_keeps_float32_the_global_state_and_has_a_seed(x):
    x = x.astype(np.float32)
    np.random.seed(0)
    before = np.random.get_state()[1].tobytes()
    first, second = (
        GaussianNoiseSampler().sample(x, np.random.default_rng(3)) for _ in range(2)
    )
    assert first.dtype == np.float32
    assert_array_equal(first, second)
    assert np.random.get_state()[1].tobytes() == before
