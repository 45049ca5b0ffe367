"""Grad-CAM of any layer: any rank, tokens, calls, several layers, the last convolution.

All by the formula in NumPy: the gradient at the feature maps is a quotient of
differences, and maps are interpolated pixel by pixel.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from link_hooks import VariableMonitorLinkHook
from saliency import (
    GradCAMCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
)
from tests.networks import build

import chainer
import chainer.functions as F
import chainer.links as L


def slopes(f: Callable[[np.ndarray], float], A: np.ndarray) -> np.ndarray:
    """Return the gradient of a function at an array, by central differences."""
    result = np.zeros_like(A)
    for at in np.ndindex(*A.shape):
        step = np.zeros_like(A)
        step[at] = 1e-6
        result[at] = (f(A + step) - f(A - step)) / 2e-6
    return result


def weighted(f: Callable[[np.ndarray], float], A: np.ndarray) -> np.ndarray:
    """Return the sum over channels of maps ``(ch, ...)`` times their mean gradient."""
    gradient = slopes(f, A)
    return sum(gradient[k].mean() * A[k] for k in range(len(A)))


def interpolated(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Interpolate linearly, axis by axis, with centres of pixels aligned."""
    for axis, n_out in enumerate(size):
        n_in = values.shape[axis]
        places = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
        centres = np.arange(n_in)
        values = np.moveaxis(values, axis, -1)
        new = [np.interp(places, centres, line) for line in values.reshape(-1, n_in)]
        values = np.moveaxis(np.reshape(new, (*values.shape[:-1], n_out)), -1, axis)
    return values


def forward(*functions: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return x

    return apply


class OfRank(chainer.Chain):
    """Two convolutions with strides, and a head that takes places apart."""

    def __init__(self, rank: int, size: tuple[int, ...]) -> None:
        super().__init__()
        with self.init_scope():
            self.conv1 = L.ConvolutionND(rank, 2, 3, 2, stride=1)
            self.conv2 = L.ConvolutionND(rank, 3, 4, 2, stride=2)
            self.fc = L.Linear(None, 3)
        self(np.zeros((1, 2, *size)))

    def head(self, h: Any) -> Any:
        return self.fc(F.tanh(h))

    def forward(self, x: Any) -> Any:
        return self.head(F.relu(self.conv2(F.relu(self.conv1(x)))))


SIZES = [(7,), (5, 7), (5, 4, 6)]


def of_rank(size: tuple[int, ...]) -> OfRank:
    return build(OfRank, len(size), size)


@pytest.mark.parametrize("size", SIZES, ids=len)
@pytest.mark.parametrize("batchsize", [1, 3])
def test_maps_of_any_rank_have_the_size_of_the_target(size, batchsize, rng):
    model = of_rank(size)
    x = rng.normal(size=(3, 2, *size))
    samples = GradCAMCalculator(model, class_index=1, layer="conv2").compute(
        x, batchsize=batchsize
    )
    assert samples.shape == (1, 3, *size)
    for found, example in zip(samples[0], x):
        A = F.relu(model.conv2(F.relu(model.conv1(example[None])))).array[0]
        one = weighted(lambda a: model.head(a[None]).array[0, 1], A).clip(min=0)
        assert_allclose(found, interpolated(one, size), rtol=1e-6, atol=1e-8)
    assert samples.any()


@pytest.mark.parametrize("size", SIZES, ids=len)
def test_guided_grad_cam_of_any_rank_is_the_product(size, rng):
    model = of_rank(size)
    x = rng.normal(size=(3, 2, *size))
    maps = GradCAMCalculator(model, class_index=1, layer="conv2").compute(x)
    guided = GuidedBackpropCalculator(model, class_index=1).compute(x)
    samples = GuidedGradCAMCalculator(model, class_index=1, layer="conv2").compute(x)
    assert samples.any()
    assert_allclose(samples, guided * maps[:, :, None], rtol=1e-10)


class Transformer(chainer.Chain):
    """A vision transformer: patches, a class token, attention, a head."""

    def __init__(self, has_class_token: bool = True) -> None:
        super().__init__()
        self.has_class_token = has_class_token
        with self.init_scope():
            self.patches = L.Convolution2D(2, 6, 2, stride=2)
            self.token = chainer.Parameter(np.zeros((1, 1, 6)))
            self.norm = L.LayerNormalization(6)
            self.query_key_value = L.Linear(6, 18)
            self.mlp = L.Linear(6, 6)
            self.fc = L.Linear(6, 3)

    def embed(self, x: Any) -> Any:
        h = self.patches(x)
        h = F.transpose(F.reshape(h, (len(h), 6, -1)), (0, 2, 1))
        if self.has_class_token:
            token = F.broadcast_to(self.token, (len(h), 1, 6))
            h = F.concat([token, h], axis=1)
        return h

    def tokens(self, x: Any) -> Any:
        return self.mlp(self.embed(x), n_batch_axes=2)

    def head(self, h: Any) -> Any:
        q, k, v = F.split_axis(self.query_key_value(h, n_batch_axes=2), 3, axis=2)
        share = F.softmax(F.matmul(q, k, transb=True), axis=2)
        h = h + F.matmul(share, v)
        return self.fc(h[:, 0] if self.has_class_token else F.mean(h, axis=1))

    def forward(self, x: Any) -> Any:
        return self.head(self.tokens(x))


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, 2, 4, 6))


@pytest.mark.parametrize("has_class_token", [True, False])
@pytest.mark.parametrize("is_callable", [True, False])
def test_tokens_are_brought_into_rows_and_columns(has_class_token, is_callable, images):
    model = build(Transformer, has_class_token)
    first = int(has_class_token)

    def reshape(array: Any) -> Any:
        return array[:, first:].reshape(len(array), 2, 3, 6).transpose(0, 3, 1, 2)

    samples = GradCAMCalculator(
        model,
        class_index=2,
        layer="mlp",
        reshape=reshape if is_callable else (2, 3),
    ).compute(images, batchsize=2)
    assert samples.shape == (1, 3, 4, 6)
    assert samples.any()
    for found, image in zip(samples[0], images):
        tokens = model.tokens(image[None]).array[0]
        gradient = slopes(lambda t: model.head(t[None]).array[0, 2], tokens)
        alpha = gradient[first:].mean(axis=0)
        one = np.zeros((2, 3))
        for i, j in np.ndindex(2, 3):
            one[i, j] = max(0, alpha @ tokens[first + 3 * i + j])
        assert_allclose(found, interpolated(one, (4, 6)), rtol=1e-5, atol=1e-8)


def test_tokens_are_refused_without_a_shape(images):
    model = build(Transformer)
    for new_calculator in (GradCAMCalculator, GuidedGradCAMCalculator):
        calculator = new_calculator(model, class_index=0, layer="mlp")
        with pytest.raises(ValueError, match=r"\(3, 7, 6\).*pass reshape=\(h, w\)"):
            calculator.compute(images)


def test_tokens_behind_the_last_attention_are_refused(images):
    model = build(Transformer)

    def apply(x: Any) -> Any:
        h = model.mlp(model.embed(x), n_batch_axes=2)
        return model.fc(h[:, 0] * F.mean(model.embed(x)[:, 1:], axis=1))

    calculator = GradCAMCalculator(
        model, eval_fun=apply, class_index=0, layer="mlp", reshape=(2, 3)
    )
    with pytest.raises(ValueError, match="class token behind the last attention"):
        calculator.compute(images)


@pytest.mark.parametrize(
    ("reshape", "message"),
    [
        ((2, 2), r"reshape=\(2, 2\) needs tokens.*\(3, 7, 6\)"),
        (lambda array: array[0], "reshape must return an array"),
        (lambda array: None, "reshape must return an array"),
        (lambda array: array[:1], "reshape must return an array"),
    ],
)
def test_a_shape_that_does_not_fit(reshape, message, images):
    model = build(Transformer)
    calculator = GradCAMCalculator(model, class_index=0, layer="mlp", reshape=reshape)
    with pytest.raises(ValueError, match=message):
        calculator.compute(images)


class Branches(chainer.Chain):
    """One convolution, called on an image in two sizes."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 3, 3, pad=1)
            self.large = L.Linear(3 * 4 * 6, 3)
            self.small = L.Linear(3 * 2 * 3, 3)

    def inner(self, x: Any) -> list[Any]:
        return [F.relu(self.conv(x)), F.relu(self.conv(F.average_pooling_2d(x, 2)))]

    def head(self, large: Any, small: Any) -> Any:
        return F.tanh(self.large(large)) * self.small(small)

    def forward(self, x: Any) -> Any:
        return self.head(*self.inner(x))


@pytest.mark.parametrize("call", [None, 0, 1])
def test_calls_at_two_scales(call, images):
    model = build(Branches)
    samples = GradCAMCalculator(model, class_index=1, layer="conv", call=call).compute(
        images, batchsize=2
    )
    assert samples.shape == (1, 3, 4, 6)
    for found, image in zip(samples[0], images):
        assert_allclose(found, by_call(model, image)[call], rtol=1e-5, atol=1e-8)


def by_call(model: Branches, image: np.ndarray) -> dict[int | None, np.ndarray]:
    """Return the map of each call, and that of both together."""
    large, small = (A.array[0] for A in model.inner(image[None]))
    first = weighted(lambda a: model.head(a[None], small[None]).array[0, 1], large)
    second = weighted(lambda a: model.head(large[None], a[None]).array[0, 1], small)
    return {
        0: first.clip(min=0),
        1: interpolated(second.clip(min=0), (4, 6)),
        None: (first + interpolated(second, (4, 6))).clip(min=0),
    }


def test_calls_of_two_sizes_cannot_be_added_up_as_they_are(images):
    model = build(Branches)
    calculator = GradCAMCalculator(model, class_index=1, layer="conv", resize=False)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 6\).*resize=True"):
        calculator.compute(images)
    one = calculator.replace(call=1).compute(images)
    assert one.shape == (1, 3, 2, 3)


def test_a_call_that_there_is_not(images):
    calculator = GradCAMCalculator(build(Branches), class_index=1, layer="conv", call=2)
    with pytest.raises(ValueError, match=r"call=2.*called 2 times"):
        calculator.compute(images)


class Siamese(chainer.Chain):
    """One convolution, called on two images."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 3, 3)
            self.fc = L.Linear(3 * 2 * 4, 3)

    def forward(self, x1: Any, x2: Any) -> Any:
        return self.fc(F.relu(self.conv(x1)) * F.relu(self.conv(x2)))


def test_of_calls_on_two_images_that_on_the_target_counts(images):
    model = build(Siamese)
    data = (images, images[::-1].copy())
    calculator = GradCAMCalculator(model, class_index=1, layer="conv")
    samples = calculator.compute(data)
    assert_array_equal(samples, calculator.replace(call=0).compute(data))
    assert samples.any()
    with pytest.raises(ValueError, match="does not depend on the target"):
        calculator.replace(call=1).compute(data)


def test_several_layers_are_averaged(images):
    model = of_rank((4, 6))
    one, two, both = (
        GradCAMCalculator(model, class_index=1, layer=layer).compute(images)
        for layer in ("conv1", model.conv2, ["conv1", model.conv2])
    )
    assert (one != two).any()
    assert_allclose(both, (one + two) / 2, rtol=1e-12)
    guided = GuidedBackpropCalculator(model, class_index=1).compute(images)
    product = GuidedGradCAMCalculator(
        model, class_index=1, layer=["conv1", "conv2"]
    ).compute(images)
    assert_allclose(product, guided * both[:, :, None], rtol=1e-10)


def test_layers_of_two_sizes_cannot_be_averaged_as_they_are(images):
    calculator = GradCAMCalculator(
        of_rank((4, 6)), class_index=1, layer=["conv1", "conv2"], resize=False
    )
    with pytest.raises(ValueError, match="maps of the layers have different sizes"):
        calculator.compute(images)


class TestLastConvolution:
    """The layer that is taken if none is named."""

    @pytest.mark.parametrize(
        "new_calculator", [GradCAMCalculator, GuidedGradCAMCalculator]
    )
    def test_it_is_the_one_called_last(self, new_calculator, images):
        model = of_rank((4, 6))
        calculator = new_calculator(model, class_index=1)
        named = calculator.replace(layer="conv2")
        assert "layer=<the last convolution>" in repr(calculator)
        for how in ({}, {"M": 3, "batchsize": 2}):
            assert_array_equal(
                calculator.compute(images, **how), named.compute(images, **how)
            )
        assert "layer='conv2'" in repr(calculator)
        assert_array_equal(
            calculator.compute_aggregate(images), named.compute_aggregate(images)
        )

    def test_its_name_does_not_matter(self, images):
        """Chainer gives links in the order of their names, and conv10 < conv9."""
        model = chainer.Chain(
            **{f"conv{i}": build(L.Convolution2D, 2, 2, 1, seed=i) for i in (9, 10)}
        )

        def apply(x: Any) -> Any:
            return F.sum(model.conv10(F.relu(model.conv9(x))), axis=(2, 3))

        calculator = GradCAMCalculator(model, eval_fun=apply, class_index=1)
        calculator.compute(images)
        assert "layer='conv10'" in repr(calculator)

    def test_one_that_is_not_on_the_way_does_not_count(self, images):
        model = of_rank((4, 6))
        beside = build(L.Convolution2D, 2, 2, 1)

        def apply(x: Any) -> Any:
            y = model(x)
            beside(x)
            return y

        calculator = GradCAMCalculator(model, eval_fun=apply, class_index=1)
        expected = GradCAMCalculator(model, class_index=1, layer="conv2")
        assert_array_equal(calculator.compute(images), expected.compute(images))

    def test_maps_of_one_pixel_do_not_count(self, images):
        """As the convolutions of squeeze and excitation."""
        conv, gate = (build(L.Convolution2D, n, 3, 1) for n in (2, 3))

        def apply(x: Any) -> Any:
            h = F.relu(conv(x))
            share = F.sigmoid(gate(F.mean(h, axis=(2, 3), keepdims=True)))
            return F.mean(h * F.broadcast_to(share, h.shape), axis=(2, 3))

        calculator = GradCAMCalculator(conv, eval_fun=apply, class_index=1)
        expected = calculator.replace(layer=conv)
        assert_array_equal(calculator.compute(images), expected.compute(images))

    def test_all_give_one_pixel(self, images):
        conv = build(L.Convolution2D, 2, 3, 1)

        def apply(x: Any) -> Any:
            return conv(F.mean(x, axis=(2, 3), keepdims=True))[:, :, 0, 0]

        calculator = GradCAMCalculator(conv, eval_fun=apply, class_index=1)
        with pytest.raises(ValueError, match=r"maps of one pixel.*say which layer"):
            calculator.compute(images)

    def test_there_is_none(self, images):
        calculator = GradCAMCalculator(build(L.Linear, 48, 3), class_index=1)
        with pytest.raises(ValueError, match=r"no convolution.*say which layer"):
            calculator.compute(images)

    def test_one_outside_chainers_links_is_not_overlooked(self, images, rng):
        conv, W = build(L.Convolution2D, 2, 3, 1), rng.normal(size=(3, 3, 1, 1))

        def apply(x: Any) -> Any:
            return F.sum(F.convolution_2d(F.tanh(conv(x)), W), axis=(2, 3))

        calculator = GradCAMCalculator(conv, eval_fun=apply, class_index=1)
        with pytest.raises(ValueError, match="Convolution2DFunction is applied"):
            calculator.compute(images)


class TestTarget:
    """Which axes of the target are those of the maps."""

    @pytest.mark.parametrize(
        ("shape", "inside"),
        [
            ((3, 4, 6, 2), lambda x: F.transpose(x, (0, 3, 1, 2))),
            ((3, 48), lambda x: F.reshape(x, (-1, 2, 4, 6))),
        ],
        ids=["channels_last", "flat"],
    )
    def test_a_size_has_to_be_given(self, shape, inside, images, rng):
        model = of_rank((4, 6))
        x = rng.normal(size=shape)
        calculator = GradCAMCalculator(
            model, eval_fun=lambda x: model(inside(x)), class_index=1, layer="conv2"
        )
        with pytest.raises(ValueError, match=r"nothing shows.*resize=\(h, w\)"):
            calculator.compute(x)
        settings = {k: v for k, v in calculator.settings().items() if k != "resize"}
        guided = GuidedGradCAMCalculator(**settings)
        with pytest.raises(ValueError, match=r"nothing shows"):
            guided.compute(x)
        direct = GradCAMCalculator(model, class_index=1, layer="conv2")
        assert_array_equal(
            calculator.replace(resize=(4, 6)).compute(x),
            direct.compute(inside(x).array),
        )
        assert calculator.replace(resize=False).compute(x).shape == (1, 3, 1, 2)

    def test_words_of_a_sentence(self, rng):
        """The text classifier of Chainer's examples: (N, word, unit) is turned."""
        embed, conv = build(L.EmbedID, 9, 5), build(L.Convolution1D, 5, 3, 2)

        def apply(ids: Any) -> Any:
            return F.max(F.relu(conv(F.transpose(embed(ids), (0, 2, 1)))), axis=2)

        calculator = GradCAMCalculator(
            conv,
            VariableMonitorLinkHook(embed),
            eval_fun=apply,
            class_index=1,
            layer=conv,
        )
        ids = rng.integers(0, 9, (3, 7)).astype("i")
        with pytest.raises(ValueError, match="nothing shows"):
            calculator.compute(ids)
        assert calculator.replace(resize=(7,)).compute(ids).shape == (1, 3, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"call": -1}, "call must be an int >= 0 or None, got -1"),
        ({"call": True}, "call must be"),
        ({"reshape": (0, 2)}, "reshape must be a callable or None, or a tuple"),
        ({"reshape": [2, 2]}, "reshape must be"),
        ({"resize": (2, 2.5)}, "resize must be True or False, or a tuple"),
        ({"resize": ()}, "resize must be"),
        ({"layer": []}, "layer must name at least one link"),
    ],
)
def test_settings_that_are_not_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        GradCAMCalculator(of_rank((4, 6)), **settings)


def test_a_size_of_another_rank(images):
    calculator = GradCAMCalculator(of_rank((4, 6)), class_index=1, resize=(4,))
    with pytest.raises(ValueError, match=r"resize=\(4,\).*2 axes"):
        calculator.compute(images)


def test_a_layer_that_returns_no_variable(images):
    class Pair(chainer.Chain):
        def __init__(self) -> None:
            super().__init__()
            with self.init_scope():
                self.conv = L.Convolution2D(2, 2, 1)

        def forward(self, x: Any) -> Any:
            return self.conv(x), x

    pair = build(Pair)
    calculator = GradCAMCalculator(
        pair, eval_fun=lambda x: pair(x)[0], class_index=(0, 0, 0), layer=pair
    )
    with pytest.raises(TypeError, match=r"layer must return a .*Variable.*tuple"):
        calculator.compute(images)
