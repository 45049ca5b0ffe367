"""What is for images: presets of LRP, feature maps, rectifiers, and their options."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import (
    AblationCAMCalculator,
    BlurIntegratedGradientsCalculator,
    ConductanceCalculator,
    DeconvnetCalculator,
    EigenCAMCalculator,
    EnsemblePosterior,
    FullGradCalculator,
    GaussianBlur,
    GradCAMCalculator,
    GradCAMPlusPlusCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
    GuidedIntegratedGradientsCalculator,
    HiResCAMCalculator,
    IntegratedGradientsCalculator,
    InternalInfluenceCalculator,
    LayerCAMCalculator,
    LRPCalculator,
    NeuronConductanceCalculator,
    OcclusionCalculator,
    ScoreCAMCalculator,
    SmoothGradCalculator,
    XGradCAMCalculator,
    fast_cpu,
)
from saliency.lrp import PRESETS
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L

pytestmark = pytest.mark.gpu

GPU = "@cupy:0"


class Residual(chainer.Chain):
    """Convolutions with a residual sum, grouped ones, all that pools, and dropout."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.first = L.Convolution2D(3, 4, 3, pad=1)
            self.norm = L.BatchNormalization(4)
            self.depthwise = L.Convolution2D(4, 4, 3, pad=1, groups=4)
            self.pointwise = L.Convolution2D(4, 4, 1)
            self.dilated = L.DilatedConvolution2D(4, 6, 3, pad=2, dilate=2)
            self.up = L.Deconvolution2D(6, 5, 2, stride=2)
            self.out = L.Linear(80, 3)

    def forward(self, x):
        h = F.relu(self.norm(self.first(x)))
        h = h + F.clipped_relu(self.pointwise(self.depthwise(h)), 6.0)
        h = F.max_pooling_2d(h, 2)
        h = F.leaky_relu(self.up(F.average_pooling_2d(self.dilated(h), 2)))
        return self.out(F.dropout(h, 0.4))


@pytest.fixture
def images(rng):
    return rng.uniform(size=(3, 3, 8, 8))


def on_both(new, data, **how):
    """Returns what a calculator gives on the CPU and on the GPU."""
    found = []
    for device in ("@numpy", GPU):
        model = build(Residual)
        model.to_device(device)
        found.append(new(model, class_index=1).compute(data, seed=0, **how))
    return found


def assert_equal(found, rtol=1e-8):
    on_cpu, on_gpu = found
    assert isinstance(on_gpu, np.ndarray)
    assert on_gpu.dtype == on_cpu.dtype
    assert_allclose(on_gpu, on_cpu, rtol=rtol, atol=rtol * np.abs(on_cpu).max())


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset, images):
    new = partial(LRPCalculator, rule=preset, low=0, high=1)
    assert_equal(on_both(new, images))


@pytest.mark.parametrize("link", ["first", "dilated", "out"])
def test_relevance_of_layers(link, images):
    maps = []
    for device in ("@numpy", GPU):
        model = build(Residual)
        model.to_device(device)
        hook = VariableMonitorLinkHook(model[link])
        maps.append(LRPCalculator(model, hook, rule="epsilon").compute(images))
    assert_equal(maps)


@pytest.mark.parametrize(
    "new",
    [
        GradCAMCalculator,
        GuidedGradCAMCalculator,
        GradCAMPlusPlusCalculator,
        HiResCAMCalculator,
        LayerCAMCalculator,
        XGradCAMCalculator,
        EigenCAMCalculator,
        ScoreCAMCalculator,
        AblationCAMCalculator,
        GuidedBackpropCalculator,
        DeconvnetCalculator,
        partial(IntegratedGradientsCalculator, steps=3, baseline=GaussianBlur(2.0)),
        partial(BlurIntegratedGradientsCalculator, steps=3, max_sigma=2.0),
        partial(GuidedIntegratedGradientsCalculator, steps=3),
        partial(ConductanceCalculator, layer="pointwise", steps=3),
        partial(NeuronConductanceCalculator, layer="first", neuron=(0, 1, 1), steps=3),
        partial(InternalInfluenceCalculator, layer="pointwise", steps=3),
        FullGradCalculator,
        partial(LRPCalculator, conditions={"/first": [0, 2], "/dilated": 1}),
        partial(OcclusionCalculator, slide_axis=(2, 3), size=3, stride=2),
        partial(OcclusionCalculator, slide_axis=(2, 3), size=2, fill=GaussianBlur(2.0)),
    ],
)
def test_methods(new, images):
    assert_equal(on_both(new, images, batchsize=2))


def test_all_classes_at_once(images):
    maps = []
    for device in ("@numpy", GPU):
        model = build(Residual)
        model.to_device(device)
        calculator = OcclusionCalculator(
            model, class_index="all", slide_axis=(2, 3), size=4, stride=4
        )
        maps.append(calculator.compute(images))
    assert_equal(maps)


def test_float32_within_rounding(images):
    images = images.astype("f")
    maps = []
    for device in ("@numpy", GPU):
        model = build(Residual, dtype=np.float32)
        model.to_device(device)
        maps.append(GradientCalculator(model, class_index=1).compute(images))
    assert_equal(maps, 1e-4)


@pytest.mark.parametrize("reduce", ["mean", "square"])
def test_results_in_a_file(reduce, images, tmp_path):
    found = []
    for device in ("@numpy", GPU):
        model = build(Residual)
        model.to_device(device)
        calculator = SmoothGradCalculator(model, class_index=1)
        how = {"M": 3, "seed": 0, "batchsize": 2}
        if reduce == "square":
            how |= {"method": "square", "ch_axis": 2}
        out = tmp_path / f"{device[1:4]}.npy"
        calculator.compute_aggregate(images, out=out, **how)
        found.append(np.load(out))
    assert_equal(found)


def test_posterior_of_several_networks(images):
    found = []
    for device in ("@numpy", GPU):
        members = [build(Residual, seed=seed) for seed in (1, 2)]
        model = build(Residual)
        for link in (model, *members):
            link.to_device(device)
        calculator = GradientCalculator(model, class_index=1)
        posterior = EnsemblePosterior(members)
        found.append(calculator.compute(images, M=4, seed=0, posterior=posterior))
    assert_equal(found)


def test_the_convolutions_for_the_cpu_leave_a_gpu_alone(images):
    model = build(Residual)
    model.to_device(GPU)
    calculator = GradientCalculator(model, class_index=1)
    with fast_cpu():
        found = calculator.compute(images)
    assert_allclose(found, calculator.compute(images), rtol=1e-10, atol=1e-12)


def test_data_on_the_gpu(images):
    model = build(Residual)
    expected = GradientCalculator(copy.deepcopy(model), class_index=1).compute(images)
    model.to_device(GPU)
    on_gpu = chainer.get_device(GPU).send(images)
    found = GradientCalculator(model, class_index=1).compute(on_gpu)
    assert_equal([expected, found])


def test_explain(images):
    found = []
    for device in ("@numpy", GPU):
        model = build(Residual)
        model.to_device(device)
        calculator = SmoothGradCalculator(model)
        explanation = calculator.explain(images, M=3, seed=0)
        found.append(explanation.scores)
    assert_equal(found)


def test_nothing_is_left_changed_by_an_error_in_the_middle(images):
    model = build(Residual)
    model.to_device(GPU)
    before = {path: p.array.get() for path, p in model.namedparams()}
    images[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        GradientCalculator(model, class_index=1).compute(images, batchsize=1)
    for path, p in model.namedparams():
        assert isinstance(p.array, chainer.get_device(GPU).xp.ndarray)
        np.testing.assert_array_equal(p.array.get(), before[path])
    assert not model.local_link_hooks
