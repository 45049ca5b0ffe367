"""Grad-CAM beside its formula, computed from explicit gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import (
    GaussianNoiseSampler,
    GradCAMCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
)
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L


class CNN(chainer.Chain):
    """Two convolutions, one with batch normalization; all steps at hand."""

    def __init__(self, dtype: Any = np.float64) -> None:
        super().__init__()
        with chainer.using_config("dtype", dtype), self.init_scope():
            self.conv1 = L.Convolution2D(2, 3, 3, pad=1)
            self.bn1 = L.BatchNormalization(3)
            self.conv2 = L.Convolution2D(3, 4, 3, pad=1)
            self.fc = L.Linear(4 * 3 * 3, 5)

    def head(self, h: Any) -> Any:
        return self.fc(F.dropout(F.max_pooling_2d(h, 2)))

    def forward(self, x: Any) -> Any:
        h = F.relu(self.bn1(self.conv1(x)))
        return self.head(F.relu(self.conv2(h)))


@pytest.fixture
def model():
    model = build(CNN)
    rng = np.random.default_rng(5)
    model.bn1.avg_mean[...] = rng.normal(size=3)
    model.bn1.avg_var[...] = rng.uniform(0.5, 2, 3)
    return model


@pytest.fixture
def images(rng):
    return rng.normal(size=(4, 2, 6, 6))


def by_formula(
    model: CNN, x: np.ndarray, layer: str, classes: np.ndarray
) -> np.ndarray:
    """Computes eqs. 1 and 2 from the gradient at the feature maps, image by image."""
    result = []
    with chainer.using_config("train", False):
        for image, c in zip(x, classes):
            A = F.relu(model.bn1(model.conv1(image[None])))
            A1 = A = chainer.Variable(A.array)
            if layer == "conv2":
                A = chainer.Variable(F.relu(model.conv2(A1)).array)
                y = model.head(A)
            else:
                y = model.head(F.relu(model.conv2(A)))
            (gradient,) = chainer.grad([y[0, c]], [A])
            alpha = gradient.array[0].mean(axis=(1, 2))
            result.append(np.maximum(np.tensordot(alpha, A.array[0], 1), 0))
    return np.array(result)


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
@pytest.mark.parametrize("batchsize", [1, 3, 16])
def test_is_the_formula(model, images, layer, batchsize):
    classes = np.array([0, 3, 4, 3])
    calculator = GradCAMCalculator(model, class_index=classes, layer=layer)
    samples = calculator.compute(images, batchsize=batchsize)
    assert samples.shape == (1, 4, 6, 6)
    expected = by_formula(model, images, layer, classes)
    assert expected.any()
    assert_allclose(samples[0], expected, rtol=1e-10, atol=1e-12)


def test_without_a_relu_it_is_of_the_layers_own_output(model, images):
    def forward(x: Any) -> Any:
        return model.fc(F.max_pooling_2d(model.conv2(model.conv1(x)), 2))

    samples = GradCAMCalculator(
        model, eval_fun=forward, class_index=1, layer=model.conv2
    ).compute(images)
    A = chainer.Variable(model.conv2(model.conv1(images)).array)
    y = model.fc(F.max_pooling_2d(A, 2))
    (gradient,) = chainer.grad([F.sum(y[:, 1])], [A])
    alpha = gradient.array.mean(axis=(2, 3), keepdims=True)
    expected = np.maximum((alpha * A.array).sum(axis=1), 0)
    assert_allclose(samples[0], expected, rtol=1e-10)


def test_maps_of_a_smaller_layer_are_brought_to_the_size_of_the_image(images):
    conv = build(L.Convolution2D, 2, 3, 2, stride=2)
    forward = lambda x: F.sum(F.relu(conv(x)), axis=(2, 3))  # noqa: E731
    small = GradCAMCalculator(
        conv, eval_fun=forward, class_index=0, layer=conv, resize=False
    ).compute(images)
    large = GradCAMCalculator(
        conv, eval_fun=forward, class_index=0, layer=conv
    ).compute(images)
    assert small.shape == (1, 4, 3, 3)
    assert large.shape == (1, 4, 6, 6)
    # Pixel centres of the large map lie a fourth of a small pixel off its centres.
    inner = small[..., 0, 0] * 9 + 3 * (small[..., 0, 1] + small[..., 1, 0])
    inner = (inner + small[..., 1, 1]) / 16
    assert_allclose(large[..., 1, 1], inner, rtol=1e-6)
    assert_allclose(large[..., 0, 0], small[..., 0, 0], rtol=1e-6)


def test_calls_of_a_shared_layer_are_added_up_before_the_relu(images):
    conv = build(L.Convolution2D, 2, 2, 3, pad=1)

    def forward(x: Any) -> Any:
        return F.sum(F.relu(conv(F.relu(conv(x)))), axis=(2, 3))

    samples = GradCAMCalculator(
        conv, eval_fun=forward, class_index=1, layer=conv
    ).compute(images)
    first = chainer.Variable(F.relu(conv(images)).array)
    second = F.relu(conv(first))
    y = F.sum(F.sum(second, axis=(2, 3))[:, 1])
    total = 0
    for A in (first, second):
        (gradient,) = chainer.grad([y], [A])
        alpha = gradient.array.mean(axis=(2, 3), keepdims=True)
        total = total + (alpha * A.array).sum(axis=1)
    assert_allclose(samples[0], np.maximum(total, 0), rtol=1e-10, atol=1e-12)


def test_guided_is_the_product_with_guided_backpropagation(model, images):
    guided = GuidedBackpropCalculator(model, class_index=2).compute(images)
    maps = GradCAMCalculator(model, class_index=2, layer="conv2").compute(images)
    product = GuidedGradCAMCalculator(model, class_index=2, layer="conv2")
    samples = product.compute(images)
    assert samples.shape == (1, 4, 2, 6, 6)
    assert_allclose(samples, guided * maps[:, :, None], rtol=1e-10)


def test_noise_and_dropout_go_through_the_model(model, images):
    calculator = GradCAMCalculator(model, class_index=2, layer="conv2")
    how = {"train": True, "noise_sampler": GaussianNoiseSampler(), "seed": 0}
    samples = calculator.compute(images, M=3, **how)
    assert samples.shape == (3, 4, 6, 6)
    assert (samples[0] != samples[1]).any()
    assert_allclose(calculator.compute(images, M=3, batchsize=2, **how), samples)


def test_a_layer_is_found_by_its_path(images):
    inner = build(CNN)
    model = chainer.Sequential(inner)
    for path in ("0/conv2", "/0/conv2"):
        by_path, by_link = (
            GradCAMCalculator(model, layer=layer, class_index=0).compute(images)
            for layer in (path, inner.conv2)
        )
        assert_array_equal(by_path, by_link)


class TestBadInput:
    def test_an_unknown_path(self, model):
        with pytest.raises(ValueError, match=r"layer='conv3' .* conv1, conv2"):
            GradCAMCalculator(model, layer="conv3")

    def test_a_path_without_a_link(self):
        with pytest.raises(TypeError, match=r"layer must be a chainer\.Link where"):
            GradCAMCalculator(lambda x: x, layer="conv1")

    @pytest.mark.parametrize("layer", [3, [3], {"conv1"}])
    def test_of_a_wrong_kind(self, model, layer):
        with pytest.raises(
            TypeError, match=r"layer must be a chainer\.Link or the path"
        ):
            GradCAMCalculator(model, layer=layer)

    def test_a_layer_that_is_never_called(self, model, images):
        other = build(L.Convolution2D, 2, 2, 3)
        with pytest.raises(ValueError, match="was never called"):
            GradCAMCalculator(model, class_index=0, layer=other).compute(images)

    def test_a_layer_without_maps(self, model, images):
        with pytest.raises(ValueError, match=r"feature maps.*fc.*\(4, 5\)"):
            GradCAMCalculator(model, class_index=0, layer="fc").compute(images)

    def test_a_layer_without_influence(self, model, images):
        def forward(x: Any) -> Any:
            model.conv1(x)
            return F.sum(x, axis=(2, 3))

        with pytest.raises(ValueError, match="no influence"):
            GradCAMCalculator(
                model, eval_fun=forward, class_index=0, layer="conv1"
            ).compute(images)
