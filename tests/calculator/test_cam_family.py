"""The relatives of Grad-CAM beside their formulas, pixel by pixel."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    AblationCAMCalculator,
    EigenCAMCalculator,
    FeatureAblationCalculator,
    FullGradCalculator,
    GradCAMCalculator,
    GradCAMPlusPlusCalculator,
    HiResCAMCalculator,
    IntegratedGradientsCalculator,
    LayerCAMCalculator,
    XGradCAMCalculator,
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
from chainer.dataset import concat_examples


def places(A: np.ndarray) -> list[tuple[int, ...]]:
    return list(np.ndindex(*A.shape[1:]))


def grad_cam_plus_plus(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    result = np.zeros(A.shape[1:])
    for k in range(len(A)):
        w = 0.0
        for ij in places(A):
            # Of Y = exp(S): the derivatives are those of S times Y, to the powers 1 to
            # 3, and Y itself is left out.
            second, third = g[k][ij] ** 2, g[k][ij] ** 3
            if g[k][ij] != 0:
                alpha = second / (
                    2 * second + sum(A[k][ab] * third for ab in places(A))
                )
                w += alpha * max(g[k][ij], 0)
        result += w * A[k]
    return result


def hires_cam(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    return sum(g[k] * A[k] for k in range(len(A)))


def layer_cam(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    return sum(np.maximum(g[k], 0) * A[k] for k in range(len(A)))


def xgrad_cam(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    result = np.zeros(A.shape[1:])
    for k in range(len(A)):
        total = A[k].sum()
        if total != 0:
            result += sum(A[k][ij] / total * g[k][ij] for ij in places(A)) * A[k]
    return result


def eigen_cam(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return the projection on the first axis, by power iteration."""
    matrix = A.reshape(len(A), -1).T
    v = np.ones(len(A))
    for _ in range(2000):
        v = matrix.T @ (matrix @ v)
        v /= np.linalg.norm(v)
    component = (matrix @ v).reshape(A.shape[1:])
    return component if component.sum() >= 0 else -component


FORMULAS: dict[Any, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    GradCAMPlusPlusCalculator: grad_cam_plus_plus,
    HiResCAMCalculator: hires_cam,
    LayerCAMCalculator: layer_cam,
    XGradCAMCalculator: xgrad_cam,
    EigenCAMCalculator: eigen_cam,
}
every_formula = pytest.mark.parametrize(
    ("new_calculator", "formula"), FORMULAS.items(), ids=lambda value: value.__name__
)


def gradient_of(head: Callable[[Any], Any], A: np.ndarray, c: int) -> np.ndarray:
    A = chainer.Variable(A[None])
    (gradient,) = chainer.grad([head(A)[0, c]], [A])
    return gradient.array[0]


@every_formula
@pytest.mark.parametrize("size", [(7,), (5, 7), (5, 4, 6)], ids=len)
def test_is_the_formula_for_maps_of_any_rank(new_calculator, formula, size, rng):
    model = of_rank(size)
    x = rng.normal(size=(3, 2, *size))
    calculator = new_calculator(model, class_index=1, layer="conv2")
    samples = calculator.compute(x, batchsize=2)
    assert samples.shape == (1, 3, *size)
    assert samples.any()
    for found, example in zip(samples[0], x):
        A = F.relu(model.conv2(F.relu(model.conv1(example[None])))).array[0]
        one = formula(A, gradient_of(model.head, A, 1)).clip(min=0)
        assert_allclose(found, interpolated(one, size), rtol=1e-7, atol=1e-10)
    assert_allclose(calculator.compute(x, batchsize=1), samples, rtol=1e-12)


@every_formula
def test_tokens_are_taken_as_maps(new_calculator, formula, rng):
    model = build(Transformer)
    # Behind the ReLU: Grad-CAM++ wants maps that are not negative.
    apply = lambda x: model.head(F.relu(model.tokens(x)))  # noqa: E731
    images = rng.normal(size=(3, 2, 4, 6))
    samples = new_calculator(
        model, eval_fun=apply, class_index=2, layer="mlp", reshape=(2, 3)
    ).compute(images)
    assert samples.shape == (1, 3, 4, 6)
    for found, image in zip(samples[0], images):
        tokens = F.relu(model.tokens(image[None])).array[0]
        gradient = gradient_of(model.head, tokens, 2)
        A, g = (t[1:].T.reshape(6, 2, 3) for t in (tokens, gradient))
        one = formula(A, g).clip(min=0)
        assert_allclose(found, interpolated(one, (4, 6)), rtol=1e-7, atol=1e-10)


@every_formula
def test_layers_are_averaged_and_calls_added_up(new_calculator, formula, rng):
    model = of_rank((4, 6))
    images = rng.normal(size=(3, 2, 4, 6))
    one, two, both = (
        new_calculator(model, class_index=1, layer=layer).compute(images)
        for layer in ("conv1", "conv2", ["conv1", "conv2"])
    )
    assert (one != two).any()
    assert_allclose(both, (one + two) / 2, rtol=1e-12)
    shared = build(Branches)
    samples = new_calculator(shared, class_index=1, layer="conv").compute(images)
    for found, image in zip(samples[0], images):
        large, small = (A.array for A in shared.inner(image[None]))
        of_large = gradient_of(partial(shared.head, small=small), large[0], 1)
        of_small = gradient_of(partial(shared.head, large), small[0], 1)
        first = formula(large[0], of_large)
        second = interpolated(formula(small[0], of_small), (4, 6))
        assert_allclose(found, (first + second).clip(min=0), rtol=1e-7, atol=1e-10)


class Words(chainer.Chain):
    """Reads words in pairs; there is no word where the number is -1."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(9, 4, ignore_label=-1)
            self.pairs = L.Convolution1D(4, 5, 2, pad=1)
            self.output = L.Linear(5, 3)

    def forward(self, words: Any) -> Any:
        h = F.relu(self.pairs(F.transpose(self.embed(words), (0, 2, 1))))
        has_word = np.pad(words >= 0, ((0, 0), (0, 1)))[:, None]
        h = h * np.broadcast_to(has_word.astype(h.dtype), h.shape)
        return self.output(F.tanh(F.sum(h, axis=2)))


@pytest.mark.parametrize("batchsize", [1, 2, 16])
@pytest.mark.parametrize(
    "new_calculator", [GradCAMCalculator, AblationCAMCalculator, *FORMULAS]
)
def test_padding_has_no_part_in_maps(new_calculator, batchsize, rng):
    model = build(Words)
    model.pairs.b.array[...] = rng.normal(size=5)
    hook = VariableMonitorLinkHook(model.embed)
    calculator = new_calculator(model, hook, class_index=1, resize=False)
    texts = [rng.integers(0, 9, n).astype("i") for n in (4, 1, 7, 3)]
    maps = calculator.compute(
        texts, converter=partial(concat_examples, padding=-1), batchsize=batchsize
    )
    assert maps.shape == (1, 4, 8)
    for found, text in zip(maps[0], texts):
        (alone,) = calculator.compute(text[None])[0]
        assert_allclose(found[: len(alone)], alone, rtol=1e-7)
        assert np.isnan(found[len(alone) :]).all()


@pytest.mark.filterwarnings("ignore:.*takes it for channels")
@pytest.mark.parametrize("batchsize", [1, 2, 16])
@pytest.mark.parametrize(
    "new_calculator", [FeatureAblationCalculator, IntegratedGradientsCalculator]
)
def test_padding_has_no_part_in_a_target_of_another_layout(
    new_calculator, batchsize, rng
):
    """What a convolution gives is ``(N, unit, length)``, so that no end is known."""
    model = build(Words)
    model.pairs.b.array[...] = rng.normal(size=5)
    hook = VariableMonitorLinkHook(model.pairs)
    calculator = new_calculator(model, hook, class_index=1)
    texts = [rng.integers(0, 9, n).astype("i") for n in (4, 1, 7, 3)]
    how = {"converter": partial(concat_examples, padding=-1), "batchsize": batchsize}
    samples = calculator.compute(texts, **how)
    assert samples.shape == (1, 4, 5, 8)
    for found, text in zip(samples[0], texts):
        (alone,) = calculator.compute(text[None])[0]
        n = alone.shape[1]
        assert_allclose(found[:, :n], alone, rtol=1e-7)
        assert np.isnan(found[:, n:]).all()
    of_units = calculator.compute_aggregate(texts, ch_axis=2, **how)
    assert_allclose(of_units, samples[0].sum(axis=1))


@pytest.mark.filterwarnings("ignore:.*takes it for channels")
@pytest.mark.parametrize("batchsize", [1, 2, 16])
@pytest.mark.parametrize(
    "new_calculator", [FeatureAblationCalculator, GradCAMCalculator, FullGradCalculator]
)
def test_padding_has_no_part_in_signals(new_calculator, batchsize, rng):
    """Signals ``(channel, time)`` are as long as they have channels, by ``len``."""
    model = of_rank((7,))
    apply = lambda x: F.sum(F.relu(model.conv1(x)), axis=2)  # noqa: E731
    calculator = new_calculator(model, eval_fun=apply, class_index=1)
    signals = [rng.normal(size=(2, n)) for n in (4, 3, 7)]
    how = {"converter": partial(concat_examples, padding=0), "batchsize": batchsize}
    explanation = calculator.explain(signals, **how)
    for i, signal in enumerate(signals):
        alone = calculator.explain(signal[None])
        n = signal.shape[1]
        assert_allclose(explanation.values[i, ..., :n], alone.values[0], rtol=1e-7)
        assert np.isnan(explanation.values[i, ..., n:]).all()
        assert_allclose(explanation.scores[i], alone.scores[0])
    with pytest.raises(ValueError, match="have different lengths"):
        calculator.explain(signals, ch_axis=-1, **how)


class Pooled(chainer.Chain):
    """Global average pooling and a linear layer behind the maps."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 5, 3)
            self.fc = L.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        return self.fc(F.mean(F.relu(self.conv(x)), axis=(2, 3)))


@pytest.mark.parametrize("new_calculator", [HiResCAMCalculator, XGradCAMCalculator])
def test_behind_global_average_pooling_it_is_grad_cam(new_calculator, rng):
    model, images = build(Pooled), rng.normal(size=(4, 2, 6, 6))
    expected = GradCAMCalculator(model, class_index="argmax").compute(images)
    assert expected.any()
    samples = new_calculator(model, class_index="argmax").compute(images)
    assert_allclose(samples, expected, rtol=1e-12)
    # That is CAM, the maps with the weights of the linear layer, over their size.
    A = F.relu(model.conv(images)).array
    classes = model(images).array.argmax(axis=1)
    cam = np.einsum("nk,nkij->nij", model.fc.W.array[classes], A) / 16
    raw = new_calculator(model, class_index="argmax", resize=False).compute(images)
    assert_allclose(raw[0], cam.clip(min=0), rtol=1e-12)


def test_hires_cam_adds_up_to_the_score_where_nothing_is_negative(rng):
    """As its paper proves of a convolution with one linear layer behind it."""
    model = of_rank((4, 6))
    model.conv2.b.array[:] += 10  # the ReLU is open everywhere
    model.head = lambda h: model.fc(h)
    model.fc.W.array = abs(model.fc.W.array)
    images = rng.normal(size=(3, 2, 4, 6))
    maps = HiResCAMCalculator(model, class_index=1, layer="conv2", resize=False)
    sums = maps.compute(images)[0].sum(axis=(1, 2))
    assert_allclose(sums, model(images).array[:, 1] - model.fc.b.array[1], rtol=1e-10)


@pytest.mark.parametrize(
    "new_calculator", [GradCAMPlusPlusCalculator, XGradCAMCalculator]
)
def test_maps_in_float16_may_add_up_to_more_than_its_largest_number(
    new_calculator, rng
):
    model, images = build(Pooled), rng.uniform(20, 60, (2, 2, 40, 40)).astype("e")
    for parameter in model.params():
        parameter.array = abs(parameter.array).astype("e")
    calculator = new_calculator(model, class_index=1)
    found = calculator.compute(images)
    assert found.dtype == np.float16
    assert F.relu(model.conv(images)).array.sum(axis=(2, 3), dtype="d").max() > 65504
    for parameter in model.params():
        parameter.array = parameter.array.astype("d")
    assert_allclose(found, calculator.compute(images.astype("d")), rtol=5e-3)


def test_xgrad_cam_keeps_the_sum_of_hires_cam(rng):
    """Sum by sum: what a map times its gradient adds up to is not lost by the mean."""
    A, g = abs(rng.normal(size=(2, 3, 4, 5, 6)))
    maps = [XGradCAMCalculator, HiResCAMCalculator, GradCAMCalculator]
    found, expected, other = (
        new(Pooled(), layer="conv").weighted(A, g).sum(axis=(1, 2)) for new in maps
    )
    assert_allclose(found, expected, rtol=1e-12)
    assert (abs(other - expected) > 1e-3).all()


def test_a_map_that_is_nowhere_active_has_no_weight_in_xgrad_cam(rng):
    A, g = rng.normal(size=(2, 1, 3, 4, 4))
    A[:, 1] = 0
    found = XGradCAMCalculator(Pooled(), layer="conv").weighted(A, g)
    assert_allclose(found[0], xgrad_cam(A[0], g[0]), rtol=1e-12)


def test_grad_cam_plus_plus_refuses_maps_without_weights(rng):
    conv = build(L.Convolution2D, 2, 3, 3)
    conv.b.array[:] = -10  # no ReLU behind it
    calculator = GradCAMPlusPlusCalculator(
        conv, eval_fun=lambda x: F.sum(conv(x), axis=(2, 3)), class_index=1, layer=conv
    )
    with pytest.raises(ValueError, match=r"maps of layer.*choose a layer with a ReLU"):
        calculator.compute(rng.normal(size=(2, 2, 6, 6)))


class TestEigenCAM:
    @pytest.fixture
    def images(self, rng):
        return rng.normal(size=(3, 2, 4, 6))

    def test_it_is_of_no_class(self, images, recwarn):
        model = of_rank((4, 6))
        of_none = EigenCAMCalculator(model, layer="conv2").compute(images)
        assert not recwarn.list  # of the columns of the output
        for class_index in (0, 2, "argmax"):
            one = EigenCAMCalculator(model, class_index=class_index, layer="conv2")
            assert_array_equal(one.compute(images), of_none)

    def test_its_explanation_has_neither_classes_nor_scores(self, images):
        explanation = EigenCAMCalculator(of_rank((4, 6))).explain(images)
        assert explanation.values.shape == (3, 4, 6)
        assert explanation.classes is None
        assert explanation.scores is None

    def test_behind_a_relu_the_map_is_nowhere_cut_off(self, images):
        model = of_rank((4, 6))
        maps = EigenCAMCalculator(model, layer="conv1", resize=False).compute(images)
        A = F.relu(model.conv1(images)).array
        assert ((maps[0] > 0) | (A == 0).all(axis=1)).all()

    def test_the_sign_does_not_depend_on_that_of_the_maps(self, images):
        """All maps turned: the same singular vector, and the other sign of the sum."""
        conv = build(L.Convolution2D, 2, 3, 2)
        new = partial(EigenCAMCalculator, conv, layer=conv, resize=False)
        up = new(eval_fun=lambda x: F.sum(conv(x), axis=(2, 3))).compute(images)
        conv.W.array, conv.b.array = -conv.W.array, -conv.b.array
        down = new(eval_fun=lambda x: F.sum(conv(x), axis=(2, 3))).compute(images)
        assert up.any()
        assert_allclose(up, down, rtol=1e-9)
