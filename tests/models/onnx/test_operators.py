"""Operators with options that the tests of ONNX do not try, beside onnxruntime."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import saliency
from tests.models.onnx.graphs import INT64, info, model_of, node, rounded

import chainer

RNG = np.random.default_rng(7)
IMAGES = rounded(RNG, 2, 4, 7, 6)
STEPS = rounded(RNG, 5, 2, 3)


def recurrent(kind, n_gate, inputs="x W R B", n_direction=1, **attributes):
    """Returns a case of a layer; its inputs by their names."""
    size = 4
    constants = {
        "W": rounded(RNG, n_direction, n_gate * size, 3),
        "R": rounded(RNG, n_direction, n_gate * size, size),
        "B": rounded(RNG, n_direction, 2 * n_gate * size),
        "h": rounded(RNG, n_direction, 2, size),
        "c": rounded(RNG, n_direction, 2, size),
        "P": rounded(RNG, n_direction, 3 * size),
        "lengths": np.array([5, 3], "int32"),
    }
    used = {k: v for k, v in constants.items() if k in inputs.split(" ")}
    outputs = "y yh yc" if kind == "LSTM" else "y yh"
    return (
        [node(kind, inputs, outputs, hidden_size=size, **attributes)],
        STEPS,
        used,
        {},
    )


def of_images(operator, inputs="x", opset=19, constants=None, **attributes):
    nodes = [node(operator, inputs, "y", **attributes)]
    return nodes, IMAGES, constants or {}, {"opset": opset}


def of_boxes(opset, **attributes):
    boxes = np.array([[0, 1, 4, 6], [1.3, 2.1, 1.9, 2.2], [-3, -2, 9, 8]], "f")
    constants = {"boxes": boxes, "i": np.array([1, 0, 1])}
    sizes = {"output_height": 3, "output_width": 2}
    return of_images("RoiAlign", "x boxes i", opset, constants, **sizes, **attributes)


W = rounded(RNG, 6, 2, 3, 2)
CASES = {
    "convolution in groups, uneven": of_images(
        "Conv", "x w", constants={"w": W}, group=2, pads=[2, 0, 1, 1], strides=[2, 1]
    ),
    "convolution, same upper": of_images(
        "Conv",
        "x w b",
        constants={"w": rounded(RNG, 3, 4, 2, 3), "b": rounded(RNG, 3)},
        auto_pad="SAME_UPPER",
        strides=[2, 2],
    ),
    "convolution, same lower": of_images(
        "Conv",
        "x w",
        constants={"w": rounded(RNG, 3, 4, 2, 3)},
        auto_pad="SAME_LOWER",
    ),
    "convolution of computed weights": (
        [
            node("Sigmoid", "w", "v"),
            node("Mul", "v s", "u"),
            node("Conv", "x u", "y", pads=[1, 1, 1, 1]),
        ],
        IMAGES,
        {"w": rounded(RNG, 3, 4, 3, 3)},
        {"more": {"s": rounded(RNG, 1, 1, 1, 1)}},
    ),
    "transposed convolution": of_images(
        "ConvTranspose",
        "x w b",
        constants={"w": rounded(RNG, 4, 2, 3, 3), "b": rounded(RNG, 4)},
        group=2,
        strides=[3, 2],
        pads=[0, 1, 2, 1],
        output_padding=[2, 1],
    ),
    "transposed convolution, same": of_images(
        "ConvTranspose",
        "x w",
        constants={"w": rounded(RNG, 4, 2, 3, 3)},
        strides=[2, 2],
        auto_pad="SAME_UPPER",
    ),
    "transposed convolution, larger than its windows reach": of_images(
        "ConvTranspose",
        "x w b",
        constants={"w": rounded(RNG, 4, 2, 1, 2), "b": rounded(RNG, 2)},
        strides=[3, 4],
        auto_pad="SAME_UPPER",
        output_shape=[21, 25],
    ),
    "transposed convolution of one axis": (
        [node("ConvTranspose", "x w b", "y", strides=[2], pads=[1, 0])],
        rounded(RNG, 2, 4, 7),
        {"w": rounded(RNG, 4, 2, 3), "b": rounded(RNG, 2)},
        {},
    ),
    "convolution of three axes, uneven": (
        [node("Conv", "x w", "y", pads=[0, 1, 0, 1, 0, 0])],
        rounded(RNG, 2, 3, 4, 5, 4),
        {"w": rounded(RNG, 2, 3, 2, 2, 2)},
        {},
    ),
    "max pooling, ceiled and uneven": of_images(
        "MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 1], ceil_mode=1
    ),
    "average pooling, ceiled, with the border": of_images(
        "AveragePool",
        kernel_shape=[3, 2],
        strides=[2, 3],
        pads=[1, 0, 1, 1],
        count_include_pad=1,
    ),
    "average pooling, dilated": of_images(
        "AveragePool", kernel_shape=[2, 2], dilations=[2, 3]
    ),
    "global norm": of_images("GlobalLpPool", p=3),
    "norm of dilated windows": of_images(
        "LpPool", kernel_shape=[2, 2], dilations=[2, 1], p=1, pads=[1, 0, 0, 0]
    ),
    "parametric relu of channels": of_images(
        "PRelu", "x s", constants={"s": rounded(RNG, 4, 1, 1)}
    ),
    "softmax of several axes": of_images("Softmax", opset=11, axis=2),
    "logarithm of softmax": of_images("LogSoftmax", opset=11, axis=-1),
    "clipped by attributes": of_images("Clip", opset=7, min=-0.5, max=0.3),
    "clipped to one value": of_images(
        "Clip", "x a b", constants={"a": np.float32(0.5), "b": np.float32(0.5)}
    ),
    "clipped to one value by attributes": of_images("Clip", opset=7, min=0.0, max=0.0),
    "clipped to an end below the other": of_images(
        "Clip", "x a b", constants={"a": np.float32(0.5), "b": np.float32(-0.5)}
    ),
    "relu by clipping": of_images("Clip", "x zero", constants={"zero": np.float32(0)}),
    "relu by a maximum": of_images("Max", "x zero", constants={"zero": np.float32(0)}),
    "padding that cuts": of_images(
        "Pad",
        "x p  a",
        constants={"p": np.array([-1, 2, 1, -2]), "a": np.array([2, -1])},
    ),
    "padding by reflection": of_images(
        "Pad", opset=7, pads=[0, 0, 2, 1, 0, 0, 1, 3], mode="reflect"
    ),
    "slices backwards": of_images(
        "Slice",
        "x s e a st",
        constants={
            "s": np.array([-1, 5]),
            "e": np.array([-99, 0]),
            "a": np.array([2, 3]),
            "st": np.array([-2, -1]),
        },
    ),
    "slices by attributes": of_images(
        "Slice", opset=7, starts=[1, -3], ends=[99, -1], axes=[1, 3]
    ),
    "split by attributes": (
        [node("Split", "x", "a b", axis=1, split=[1, 3]), node("Neg", "b", "y")],
        IMAGES,
        {},
        {"opset": 7},
    ),
    "depth and space": (
        [
            node("DepthToSpace", "x", "d", blocksize=2, mode="CRD"),
            node("SpaceToDepth", "d", "s", blocksize=2),
            node("DepthToSpace", "s", "y", blocksize=2),
        ],
        IMAGES,
        {},
        {},
    ),
    "normalization of neighbours": of_images("LRN", size=3, alpha=0.3, beta=0.7),
    "one norm": of_images("LpNormalization", axis=1, p=1),
    "computed normalization": (
        [
            node("Abs", "s", "v"),
            node("BatchNormalization", "x v v v v", "y"),
        ],
        IMAGES,
        {},
        {"more": {"s": rounded(RNG, 4)}},
    ),
    "enlarged, cubic": of_images(
        "Resize",
        "x  s",
        constants={"s": np.array([1, 1, 1.5, 2], "f")},
        mode="cubic",
    ),
    "enlarged in opset 10": of_images(
        "Resize", "x s", 10, {"s": np.array([1, 1, 2, 2], "f")}, mode="linear"
    ),
    "enlarged in opset 7": of_images(
        "Upsample", opset=7, scales=[1.0, 1, 2, 3], mode="nearest"
    ),
    "scaled product, shared bias": (
        [node("Gemm", "x w b", "y", alpha=0.5, beta=2.0)],
        rounded(RNG, 2, 4),
        {"w": rounded(RNG, 4, 3), "b": rounded(RNG, 1)},
        {},
    ),
    "product of transposed inputs": (
        [node("Gemm", "x w b", "y", transA=1, beta=0.5)],
        rounded(RNG, 4, 2),
        {"w": rounded(RNG, 4, 3), "b": rounded(RNG, 2, 3)},
        {},
    ),
    "product of a vector and a matrix": (
        [node("MatMul", "x w", "y")],
        rounded(RNG, 4),
        {"w": rounded(RNG, 4, 3)},
        {},
    ),
    "product of two vectors": (
        [node("MatMul", "x w", "y")],
        rounded(RNG, 4),
        {"w": rounded(RNG, 4)},
        {},
    ),
    "product of a vector and matrices": (
        [node("MatMul", "x w", "y")],
        rounded(RNG, 4),
        {"w": rounded(RNG, 2, 4, 3)},
        {},
    ),
    "products of matrices and a vector": (
        [node("MatMul", "w x", "y")],
        rounded(RNG, 4),
        {"w": rounded(RNG, 2, 3, 4)},
        {},
    ),
    "a matrix in front": (
        [node("MatMul", "w x", "y")],
        rounded(RNG, 2, 4, 3),
        {"w": rounded(RNG, 5, 4)},
        {},
    ),
    "power of a variable": (
        [node("Exp", "x", "e"), node("Pow", "e x", "y")],
        rounded(RNG, 2, 4),
        {},
        {},
    ),
    "layer normalization without a shift": (
        [node("LayerNormalization", "x s", "y", axis=1)],
        rounded(RNG, 2, 3, 4),
        {"s": rounded(RNG, 3, 4)},
        {},
    ),
    "boxes, some of them small or beyond the image": of_boxes(16, sampling_ratio=2),
    "boxes, with as many points as there are pixels": of_boxes(16, spatial_scale=0.6),
    "boxes in opset 10": of_boxes(10, spatial_scale=0.6),
    "spectra of half a window at a time": (
        [node("STFT", "x step window", "y")],
        rounded(RNG, 2, 21, 1),
        {"step": np.array(3), "window": rounded(RNG, 8)},
        {},
    ),
    "where, by what is given": (
        [node("Greater", "x zero", "p"), node("Where", "p x inf", "y")],
        rounded(RNG, 2, 3),
        {"zero": np.float32(0), "inf": np.full((1, 3), -np.inf, "f")},
        {},
    ),
    "largest elements, in opset 7": (
        [node("TopK", "x", "y i", k=2, axis=1)],
        rounded(RNG, 2, 5),
        {},
        {"opset": 9},
    ),
    "simple layer, reversed": recurrent("RNN", 1, direction="reverse"),
    "simple layer, relu, lengths": recurrent(
        "RNN", 1, "x W R B lengths h", activations=["Relu"]
    ),
    "gru, late reset, both ways, lengths": recurrent(
        "GRU",
        3,
        "x W R B lengths h",
        2,
        linear_before_reset=1,
        direction="bidirectional",
    ),
    "gru, early reset, clipped": recurrent("GRU", 3, clip=0.5),
    "gru without a bias": recurrent("GRU", 3, "x W R", linear_before_reset=1),
    "lstm, both ways, lengths": recurrent(
        "LSTM", 4, "x W R B lengths h c", 2, direction="bidirectional"
    ),
    "lstm with peepholes": recurrent("LSTM", 4, "x W R B  h c P"),
    "lstm of other functions": recurrent(
        "LSTM",
        4,
        activations=["HardSigmoid", "Affine", "Elu"],
        activation_alpha=[0.3, 0.5, 1.0],
        activation_beta=[0.4, 0.1],
        clip=2.0,
    ),
    "lstm, forget by input": recurrent("LSTM", 4, input_forget=1),
    "lstm, its functions named": recurrent(
        "LSTM", 4, activations=["Sigmoid", "Tanh", "Tanh"]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_gives_what_onnxruntime_gives(name):
    runtime = pytest.importorskip("onnxruntime")
    nodes, x, constants, options = CASES[name]
    others = options.get("more", {})
    inputs = [info(k, *v.shape) for k, v in {"x": x, **others}.items()]
    outputs = [o for o in nodes[-1].output if o != "i"]
    proto = model_of(
        nodes,
        inputs,
        [info(o) for o in outputs],
        options.get("opset", 17),
        **constants,
    )
    model = saliency.load_onnx(proto)
    for output in proto.graph.output:  # onnxruntime wants the right shape, or none
        output.type.tensor_type.ClearField("shape")
    session = runtime.InferenceSession(proto.SerializeToString())
    expected = session.run(None, {"x": x, **others})
    found = model(chainer.Variable(x), *others.values())
    found = found if isinstance(found, tuple) else (found,)
    for y, z in zip(found, expected):
        if y.shape != z.shape and z.min() == np.finfo(z.dtype).min:
            pytest.skip("this version of onnxruntime has windows that hold no pixel")
        assert_allclose(y.array, z, rtol=1e-5, atol=2e-6)


def pooled_with_places(x, **options):
    """Returns the largest elements of windows, and where they are in x."""
    axes = ["n", "c", "h", "w"][: x.ndim]
    proto = model_of(
        [node("MaxPool", "x", "y places", **options)],
        [info("x", *x.shape)],
        [info("y", *axes), info("places", *axes, dtype=INT64)],
    )
    y, places = saliency.load_onnx(proto)(x)
    return y.array, places


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": [2, 3]},
        {"pads": [1, 0, 2, 1]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 1]},
        {"auto_pad": "SAME_UPPER", "dilations": [1, 2]},
        {"strides": [3, 2], "dilations": [2, 1], "ceil_mode": 1},
    ],
)
def test_places_of_the_largest_elements_have_them(options, order):
    options = {"kernel_shape": [3, 2], "storage_order": int(order == "F"), **options}
    y, places = pooled_with_places(IMAGES, **options)
    # No two elements are equal, so that a place is known by what is there.
    assert len(np.unique(IMAGES)) == IMAGES.size
    images = IMAGES.transpose(0, 1, 3, 2) if order == "F" else IMAGES
    assert places.dtype == np.int64
    assert_array_equal(images.reshape(-1)[places], y)


@pytest.mark.parametrize("elements", [[1, 1, 0, 0], [-np.inf] * 4])
def test_the_first_of_equal_elements_is_the_largest(elements):
    """Of those in the image, even if they are no larger than the border."""
    x = np.array([[elements, elements]], "f")
    _, places = pooled_with_places(x, kernel_shape=[2], pads=[1, 0])
    assert_array_equal(places, [[[0, 0, 1, 2], [4, 4, 5, 6]]])


@pytest.mark.parametrize(
    "options",
    [{"dilations": [2], "output_padding": [1]}, {"output_shape": [8]}],
)
def test_a_transposed_convolution_can_be_longer_than_a_step(options):
    """As PyTorch has it; onnxruntime takes no more than a step behind the windows."""
    proto = model_of(
        [node("ConvTranspose", "x w b", "y", **options)],
        [info("x", "n", 1, 3)],
        [info("y", "n", 1, "m")],
        w=np.array([[[1, 10]]], "f"),
        b=np.array([0.5], "f"),
    )
    x = np.array([[[1, 2, 3]]], "f")
    found = saliency.load_onnx(proto)(x).array[0, 0]
    whole = (
        [1, 2, 13, 20, 30, 0] if "dilations" in options else [1, 12, 23, 30, 0, 0, 0, 0]
    )
    assert_allclose(found, np.array(whole) + 0.5)


@pytest.mark.parametrize("scale", [0.3, 1 / 3, 0.58, 0.7, 18 / 14, 1.4, 2.1])
@pytest.mark.parametrize(
    "options",
    [
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"},
        {"nearest_mode": "floor"},
        {"nearest_mode": "round_prefer_floor"},
        {"nearest_mode": "round_prefer_ceil"},
        {"mode": "linear"},
        {"mode": "cubic"},
    ],
)
def test_scales_are_those_of_onnxruntime(scale, options):
    runtime = pytest.importorskip("onnxruntime")
    proto = model_of(
        [node("Resize", "x  scales", "y", **options)],
        [info("x", 1, "n")],
        [info("y", 1, "m")],
        scales=np.array([1, scale], "f"),
    )
    model = saliency.load_onnx(proto)
    session = runtime.InferenceSession(proto.SerializeToString())
    for n in (9, 10, 14, 21, 50):
        x = np.arange(n, dtype="f")[None]
        (expected,) = session.run(None, {"x": x})
        found = model(x).array
        assert found.shape == expected.shape
        assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_lengths_in_old_opsets_are_rounded_before_they_are_cut():
    """1.4 in float32 is less than 1.4, but ten times that is 14 there."""
    proto = model_of(
        [node("Upsample", "x scales", "y")],
        [info("x", 1, "n")],
        [info("y", 1, "m")],
        9,
        scales=np.array([1, 1.4], "f"),
    )
    found = saliency.load_onnx(proto)(np.arange(10, dtype="f")[None])
    expected = [0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 7, 8, 9]
    assert_array_equal(found.array[0], expected)


def test_normalization_by_an_even_number_of_neighbours():
    """onnxruntime has no such windows: one more channel behind than in front."""
    proto = model_of(
        [node("LRN", "x", "y", size=4, alpha=0.3, beta=0.7, bias=2.0)],
        [info("x", "n", 4, 7, 6)],
        [info("y", "n", 4, 7, 6)],
    )
    found = saliency.load_onnx(proto)(IMAGES).array
    for c in range(4):
        near = IMAGES[:, max(c - 1, 0) : c + 3]
        scale = 2 + 0.3 / 4 * (near**2).sum(axis=1)
        assert_allclose(found[:, c], IMAGES[:, c] / scale**0.7, rtol=1e-5)


# The element at each place, of n that become m, in whole numbers.
ELEMENTS = {
    "asymmetric": lambda i, n, m: i * n // m,
    "align_corners": lambda i, n, m: i * (n - 1) // max(m - 1, 1),
    "half_pixel": lambda i, n, m: ((2 * i + 1) * n - m) // (2 * m),
    "half_pixel_symmetric": lambda i, n, m: ((2 * i + 1) * n - m) // (2 * m),
    "tf_half_pixel_for_nn": lambda i, n, m: (2 * i + 1) * n // (2 * m),
}


@pytest.mark.parametrize("mode", ELEMENTS)
def test_sizes_give_places_that_are_not_rounded(mode):
    """onnxruntime rounds in float32, and gives other elements of 14 that become 4."""
    options = {"coordinate_transformation_mode": mode, "nearest_mode": "floor"}
    proto = model_of(
        [node("Resize", "x   sizes", "y", **options)],
        [info("x", 1, "n"), info("sizes", 2, dtype=INT64)],
        [info("y", 1, "m")],
    )
    model = saliency.load_onnx(proto)
    pairs = itertools.product(range(1, 65, 7), range(1, 65))
    for n, m in [*pairs, (14, 18), (21, 27)]:
        found = model(np.arange(n, dtype="f")[None], np.array([1, m]))
        expected = np.clip(ELEMENTS[mode](np.arange(m), n, m), 0, n - 1)
        assert_array_equal(found.array[0], expected, f"{n} elements that become {m}")


def test_a_half_is_rounded_up_where_the_ratio_of_the_sides_is_kept():
    """0.7 of 45 is 31.5, but less in floating point."""
    options = {"keep_aspect_ratio_policy": "not_larger"}
    proto = model_of(
        [node("Resize", "x   sizes", "y", **options)],
        [info("x", "n", "m")],
        [info("y", "a", "b")],
        18,
        sizes=np.array([7, 99]),
    )
    assert saliency.load_onnx(proto)(np.zeros((10, 45), "f")).shape == (7, 32)
