"""Score-CAM and Ablation-CAM beside loops of single passes, a channel at a time."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose

from link_hooks import VariableMonitorLinkHook
from saliency import (
    AblationCAMCalculator,
    GaussianNoiseSampler,
    GradientCalculator,
    ScoreCAMCalculator,
)
from tests.calculator.test_feature_maps import (
    Branches,
    Transformer,
    interpolated,
    of_rank,
)
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L

Score = Callable[[np.ndarray], float]


def score_cam(A: np.ndarray, x: np.ndarray, f: Score) -> np.ndarray:
    """Score-CAM of one image ``(ch, ...)`` with its maps, without the last ReLU."""
    exps = []
    for A_k in A:
        H = interpolated(A_k, x.shape[1:])
        H = (H - H.min()) / ((H.max() - H.min()) or 1)
        exps.append(np.exp(f(x * H)))
    return sum(e / sum(exps) * A_k for e, A_k in zip(exps, A))


def ablation_cam(A: np.ndarray, head: Score) -> np.ndarray:
    result, y = np.zeros(A.shape[1:]), head(A)
    for k in range(len(A)):
        without = A.copy()
        without[k] = 0
        result += (y - head(without)) / abs(y) * A[k]
    return result


CAMS = [ScoreCAMCalculator, AblationCAMCalculator]
both = pytest.mark.parametrize("new_calculator", CAMS)


@both
@pytest.mark.parametrize("size", [(7,), (5, 7), (5, 4, 6)], ids=len)
def test_is_the_loop_for_maps_of_any_rank(new_calculator, size, rng):
    model = of_rank(size)
    x = rng.normal(size=(3, 2, *size))
    calculator = new_calculator(model, class_index=[1, 0, 2], layer="conv2")
    samples = calculator.compute(x)
    assert samples.shape == (1, 3, *size)
    for found, image, c in zip(samples[0], x, [1, 0, 2]):
        A = F.relu(model.conv2(F.relu(model.conv1(image[None])))).array[0]
        if new_calculator is ScoreCAMCalculator:
            one = score_cam(A, image, lambda v, c=c: model(v[None]).array[0, c])
        else:
            one = ablation_cam(A, lambda a, c=c: model.head(a[None]).array[0, c])
        assert one.any()
        expected = interpolated(one.clip(min=0), size)
        assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    for batchsize in (1, 2, 5):
        again = calculator.compute(x, batchsize=batchsize)
        assert_allclose(again, samples, rtol=1e-10, atol=1e-13)


class Normalized(chainer.Chain):
    """Batch normalization between the convolution and its ReLU, and a second path."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 4, 3, pad=1)
            self.norm = L.BatchNormalization(4)
            self.next = L.Convolution2D(4, 4, 3, pad=1)
            self.fc = L.Linear(4 * 36, 3)

    def maps(self, x: Any) -> Any:
        return F.relu(self.norm(self.conv(x)))

    def head(self, h: Any) -> Any:
        return self.fc(F.dropout(h + F.tanh(self.next(h))))

    def forward(self, x: Any) -> Any:
        return self.head(self.maps(x))


@pytest.fixture
def images(rng):
    return rng.normal(size=(4, 2, 6, 6))


def test_what_the_relu_behind_a_normalization_gives_is_ablated(images):
    model = build(Normalized)
    samples = AblationCAMCalculator(model, class_index=1, layer="conv").compute(images)
    with chainer.using_config("train", False):
        for found, image in zip(samples[0], images):
            A = model.maps(image[None]).array[0]
            one = ablation_cam(A, lambda a: model.head(a[None]).array[0, 1])
            assert_allclose(found, one.clip(min=0), rtol=1e-9, atol=1e-12)


@both
def test_the_last_convolution_several_layers_and_calls(new_calculator, rng):
    model, x = of_rank((4, 6)), rng.normal(size=(3, 2, 4, 6))
    one, two, both = (
        new_calculator(model, class_index=1, layer=layer).compute(x)
        for layer in ("conv1", None, ["conv1", "conv2"])
    )
    assert_allclose(both, (one + two) / 2, rtol=1e-10)
    shared = build(Branches)
    samples = new_calculator(shared, class_index=1, layer="conv").compute(x)
    for found, image in zip(samples[0], x):
        assert_allclose(found, of_branches(new_calculator, shared, image), rtol=1e-9)


def of_branches(new_calculator: Any, model: Branches, image: np.ndarray) -> np.ndarray:
    """Return the map of two calls of a layer, at two scales."""
    large, small = (A.array[0] for A in model.inner(image[None]))

    def head(a: np.ndarray, b: np.ndarray) -> float:
        return model.head(a[None], b[None]).array[0, 1]

    if new_calculator is ScoreCAMCalculator:
        parts = [
            score_cam(A, image, lambda v: model(v[None]).array[0, 1])
            for A in (large, small)
        ]
    else:
        parts = [
            ablation_cam(large, lambda a: head(a, small)),
            ablation_cam(small, lambda a: head(large, a)),
        ]
    return (parts[0] + interpolated(parts[1], (4, 6))).clip(min=0)


@both
@pytest.mark.parametrize("is_callable", [True, False])
def test_tokens_are_taken_as_maps(new_calculator, is_callable, rng):
    model, images = build(Transformer), rng.normal(size=(3, 2, 4, 6))

    def reshape(array: Any) -> Any:
        return array[:, 1:].reshape(len(array), 2, 3, 6).transpose(0, 3, 1, 2)

    samples = new_calculator(
        model,
        class_index=2,
        layer="mlp",
        reshape=reshape if is_callable else (2, 3),
    ).compute(images)
    for found, image in zip(samples[0], images):
        tokens = model.tokens(image[None]).array

        def head(A: np.ndarray, tokens: np.ndarray = tokens) -> float:
            patches = A.reshape(6, 6).T[None]
            return model.head(np.concatenate([tokens[:, :1], patches], 1)).array[0, 2]

        A = reshape(tokens)[0]
        if new_calculator is ScoreCAMCalculator:
            one = score_cam(A, image, lambda v: model(v[None]).array[0, 2])
        else:
            one = ablation_cam(A, head)
        expected = interpolated(one.clip(min=0), (4, 6))
        assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


@both
def test_the_noise_of_a_sample_is_the_same_in_all_passes(new_calculator, images):
    model = build(Normalized)
    how = {"M": 3, "seed": 0, "noise_sampler": GaussianNoiseSampler()}
    # The gradient of half of the square of what is noisy is what is noisy.
    square = GradientCalculator(lambda v: F.sum(v * v / 2, axis=(1, 2, 3)))
    noisy = square.compute(images, **how)
    calculator = new_calculator(model, class_index=1, layer="conv")
    samples = calculator.compute(images, **how)
    for of_sample, with_noise in zip(samples, noisy):
        plain = calculator.compute(with_noise)[0]
        assert_allclose(of_sample, plain, rtol=1e-9, atol=1e-12)
    assert_allclose(calculator.compute(images, batchsize=3, **how), samples, rtol=1e-9)


@both
def test_the_dropout_of_a_sample_is_the_same_in_all_passes(new_calculator, images):
    model = build(Normalized)
    calculator = new_calculator(model, class_index=1, layer="conv")
    how = {"M": 3, "seed": 0, "train": True}
    samples = calculator.compute(images, **how)
    assert (samples[0] != samples[1]).any()
    for batchsize in (1, 3):
        again = calculator.compute(images, batchsize=batchsize, **how)
        assert_allclose(again, samples, rtol=1e-9, atol=1e-12)


@both
def test_one_value_for_the_batch(new_calculator, images):
    """One image at a time is changed, and the score is that of the batch."""
    model = build(Normalized)
    new = partial(new_calculator, layer="conv")
    of_batch = new(model, eval_fun=lambda x: F.sum(model(x)[:, 1]) * 3)
    samples = of_batch.compute(images, batchsize=2)
    of_each = new(model, eval_fun=lambda x: model(x)[:, 1] * 3)
    expected = of_each.compute(images)
    if new_calculator is AblationCAMCalculator:
        with chainer.using_config("train", False):
            scores = model(images).array[:, 1]
        totals = scores.reshape(2, 2).sum(axis=1).repeat(2)
        expected *= abs(scores / totals)[:, None, None]
    assert_allclose(samples, expected, rtol=1e-9, atol=1e-12)


class TestWhatDoesNotFit:
    def test_a_score_of_zero(self, images):
        model = build(Normalized)
        calculator = AblationCAMCalculator(
            model, eval_fun=lambda x: model(x) * 0, class_index=1, layer="conv"
        )
        with pytest.raises(ValueError, match="score of example 0 is 0"):
            calculator.compute(images)

    def test_maps_that_no_link_gives(self, images):
        model = build(Normalized)
        one = np.ones(4)

        def apply(x: Any) -> Any:
            h = F.fixed_batch_normalization(model.conv(x), one, one, one, one)
            return model.head(F.relu(h))

        calculator = AblationCAMCalculator(
            model, eval_fun=apply, class_index=1, layer="conv"
        )
        with pytest.raises(ValueError, match=r"'conv'.*cannot be set to 0"):
            calculator.compute(images)

    def test_a_reshape_that_computes(self, rng):
        def reshape(array: Any) -> Any:
            maps = array[:, 1:].reshape(len(array), 2, 3, 6).transpose(0, 3, 1, 2)
            return maps + maps[:, :, ::-1]

        calculator = AblationCAMCalculator(
            build(Transformer), class_index=2, layer="mlp", reshape=reshape
        )
        with pytest.raises(ValueError, match="reshape must do no more than rearrange"):
            calculator.compute(rng.normal(size=(3, 2, 4, 6)))

    def test_a_target_that_maps_cannot_be_laid_over(self, rng):
        model = of_rank((4, 6))
        calculator = ScoreCAMCalculator(
            model,
            eval_fun=lambda x: model(F.transpose(x, (0, 3, 1, 2))),
            class_index=1,
            layer="conv2",
            resize=False,
        )
        with pytest.raises(ValueError, match="nothing shows which axes"):
            calculator.compute(rng.normal(size=(2, 4, 6, 2)))


def test_a_target_in_the_middle(images):
    """Masks are laid over the maps of another layer, which lead to those weighted."""
    model = build(Normalized)
    samples = ScoreCAMCalculator(
        model, VariableMonitorLinkHook(model.conv), class_index=1, layer="next"
    ).compute(images)
    with chainer.using_config("train", False):
        for found, image in zip(samples[0], images):
            h = model.conv(image[None]).array[0]

            def rest(v: np.ndarray) -> np.ndarray:
                return model.head(F.relu(model.norm(v[None]))).array[0, 1]

            A = model.next(F.relu(model.norm(h[None]))).array[0]
            one = score_cam(A, h, rest).clip(min=0)
            assert_allclose(found, one, rtol=1e-9, atol=1e-12)
