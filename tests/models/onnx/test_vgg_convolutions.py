"""VGG's convolutions from ONNX files that begin with them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from sklearn.datasets import load_sample_image

from saliency import LRPCalculator, load_pretrained
from tests.models import reference
from tests.models.files import trained_vgg16
from tests.models.onnx.graphs import info, model_of, node

import chainer
import chainer.functions as F
from chainer.links.model.vision import vgg

# The first biases of the VGG16 that Keras and Caffe share.
KERAS = np.float32([0.73429835, 0.093403675, 0.06775674, 0.8862966])


def layer(source, name, W, b, **attributes):
    """Returns a convolution with its ReLU as nodes, and its arrays."""
    attributes = attributes or {"pads": [1, 1, 1, 1]}
    return [
        node("Conv", f"{source} {name}/W {name}/b", f"{name}/c", name, **attributes),
        node("Relu", f"{name}/c", name, f"{name}/relu"),
    ], {f"{name}/W": W, f"{name}/b": b}


def pool(source, name):
    return node("MaxPool", source, name, name, kernel_shape=[2, 2], strides=[2, 2])


def write_vgg(path, arrays):
    """Writes the convolutions of VGG as an exporter might, with other layers behind.

    Images have their channels last. The weights of one layer are a node, the padding of
    another goes by its other name, and a side branch leaves the row.
    """
    nodes = [node("Transpose", "x", "block0", perm=[0, 3, 1, 2])]
    constants, source = {}, "block0"
    for name in dict.fromkeys(key.partition("/")[0] for key in arrays):
        if "block0" < source[:6] < name[:6]:
            nodes.append(pool(source, f"{source}/pool"))
            source = nodes[-1].output[0]
        same = {"auto_pad": "SAME_UPPER"} if name == "block1_conv2" else {}
        W = np.ascontiguousarray(arrays[f"{name}/kernel"].transpose(3, 2, 0, 1))
        added, of_layer = layer(source, name, W, arrays[f"{name}/bias"], **same)
        nodes += added
        constants |= of_layer
        source = name
    W = onnx.numpy_helper.from_array(constants.pop("block2_conv1/W"))
    nodes.insert(0, helper.make_node("Constant", [], ["block2_conv1/W"], value=W))
    nodes += [
        node("GlobalAveragePool", source, "beside"),
        pool(source, "pool5"),
        *layer("pool5", "block6", np.ones((4, 512, 3, 3), "f"), np.ones(4, "f"))[0],
    ]
    constants |= {"block6/W": np.ones((4, 512, 3, 3), "f"), "block6/b": np.ones(4, "f")}
    outputs = [info("block6", "n", 4, 1, 1)]
    model = model_of(nodes, [info("x", "n", 32, 32, 3)], outputs, **constants)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def photograph():
    return np.ascontiguousarray(load_sample_image("flower.jpg")[100:132, 200:232])


@pytest.fixture(scope="module")
def arrays():
    return reference.convolutions_of_keras(np.random.default_rng(0))


@pytest.fixture(scope="module")
def vgg16(arrays, tmp_path_factory):
    """Returns a file with random numbers."""
    path = tmp_path_factory.mktemp("onnx") / "vgg16.onnx"
    write_vgg(path, arrays)
    return path


def pool5(model, photograph):
    x = vgg.prepare(photograph, size=None)[None]
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(x)["pool5"].array[0]


def distance(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


class TestConventions:
    """The file does not say which images its first convolution takes."""

    @pytest.mark.parametrize(
        ("convention", "prepare"),
        [("keras", reference.for_caffe), ("torchvision", reference.for_pytorch)],
    )
    def test_features_are_those_of_the_convention(
        self, convention, prepare, vgg16, arrays, photograph
    ):
        model = load_pretrained("vgg16", vgg16, top=False, convention=convention)
        expected = reference.pool5_of_keras(prepare(photograph), arrays)
        assert distance(pool5(model, photograph), expected) < 1e-5

    def test_of_an_unknown_first_convolution_it_must_be_said(self, vgg16):
        message = "pass convention='keras' .* or convention='torchvision'"
        with pytest.raises(ValueError, match=message):
            load_pretrained("vgg16", vgg16, top=False)

    @pytest.mark.large
    def test_that_of_keras_is_known(self, arrays, photograph, tmp_path):
        arrays = dict(arrays)
        arrays["block1_conv1/bias"] = np.concatenate([KERAS, np.zeros(60, "f")])
        write_vgg(tmp_path / "x.onnx", arrays)
        model = load_pretrained("vgg16", tmp_path / "x.onnx", top=False)
        expected = reference.pool5_of_keras(reference.for_caffe(photograph), arrays)
        assert distance(pool5(model, photograph), expected) < 1e-5

    def test_others_are_refused(self, vgg16):
        with pytest.raises(ValueError, match="convention must be one of 'keras', 'tor"):
            load_pretrained("vgg16", vgg16, top=False, convention="caffe")

    def test_it_is_for_onnx_files(self, tmp_path):
        with pytest.raises(ValueError, match="convention='keras' is for"):
            load_pretrained("vgg16", tmp_path / "x.h5", convention="keras")


def conv(n_out=64, n_in=3):
    return {"w": np.zeros((n_out, n_in, 3, 3), "f"), "b": np.zeros(n_out, "f")}


PADS = {"pads": [1, 1, 1, 1]}
RELU = node("Relu", "c", "r", "relu")


def first(inputs="x w b", **attributes):
    return node("Conv", inputs, "c", "conv", **{**PADS, **attributes})


def second(source="r", output="c2", weights="w2 b"):
    return node("Conv", f"{source} {weights}", output, output, **PADS)


SECOND = {"w2": np.zeros((64, 64, 3, 3), "f")}
TWO = [first(), RELU, second(), node("Relu", "c2", "r2")]
POOLED = [*TWO, pool("r2", "pool")]
REFUSED = {
    "no convolution": ([node("Relu", "x", "r")], {}, "it has no convolution"),
    "a kernel of 5": (
        [first(kernel_shape=[5, 5], pads=[2, 2, 2, 2]), RELU],
        {"w": np.zeros((64, 3, 5, 5), "f"), "b": np.zeros(64, "f")},
        r"as VGG does: Conv 'conv' has kernel_shape \[5, 5\], not \[3, 3\]",
    ),
    "a stride": (
        [first(strides=[2, 2]), RELU],
        conv(),
        r"as VGG does: Conv 'conv' has strides \[2, 2\], not \[1, 1\]",
    ),
    "no padding": (
        [node("Conv", "x w b", "c", "conv"), RELU],
        conv(),
        r"Conv 'conv' has pads \[0, 0, 0, 0\], not \[1, 1, 1, 1\]",
    ),
    "groups": (
        [first(group=3), RELU],
        {"w": np.zeros((64, 1, 3, 3), "f"), "b": np.zeros(64, "f")},
        "Conv 'conv' has group 3, not 1",
    ),
    "another activation": (
        [first(), node("LeakyRelu", "c", "r", "leaky")],
        conv(),
        "Conv 'conv' is followed by LeakyRelu 'leaky'",
    ),
    "computed weights": (
        [node("Relu", "w0", "w"), first(), RELU],
        {"w0": np.zeros((64, 3, 3, 3), "f"), "b": np.zeros(64, "f")},
        "the weight of Conv 'conv' is not in the file",
    ),
    "a narrow network": (
        [first(), RELU],
        conv(32),
        r"block1.conv1.weight must have shape \(64, 3, 3, 3\), got \(32, 3, 3, 3\)",
    ),
    "a bias of another shape": (
        [first(), RELU],
        {**conv(), "b": np.zeros(1, "f")},
        r"block1.conv1.bias must have shape \(64,\), got \(1,\)",
    ),
    "no bias": ([first("x w"), RELU], {"w": conv()["w"]}, "block1.conv1 has no bias"),
    "one convolution": (
        [first(), RELU, pool("r", "pool"), node("GlobalMaxPool", "pool", "y", "max")],
        conv(),
        "block1.conv2 is missing: MaxPool 'pool' is followed by GlobalMaxPool 'max'",
    ),
    "a normalization": (
        [*TWO[:3], node("Sigmoid", "c2", "y", "sigmoid")],
        {**conv(), **SECOND},
        "block1.conv2 is missing: Conv 'c2' is followed by Sigmoid 'sigmoid'",
    ),
    "two ways": (
        [first(), RELU, second("r", "c2"), second("r", "c3")],
        {**conv(), **SECOND},
        "Relu 'relu' is followed by Conv 'c2', Conv 'c3'",
    ),
    "an average": (
        [*TWO, node("AveragePool", "r2", "y", "mean", kernel_shape=[2, 2])],
        {**conv(), **SECOND},
        "block2.conv1 is missing: Relu 'r2' is followed by AveragePool 'mean'",
    ),
    "an overlapping pooling": (
        [*TWO, node("MaxPool", "r2", "y", "pool", kernel_shape=[3, 3])],
        {**conv(), **SECOND},
        r"block2.conv1 is missing: MaxPool 'pool' has kernel_shape \[3, 3\]",
    ),
    "the end": (
        POOLED,
        {**conv(), **SECOND},
        "block2.conv1 is missing: MaxPool 'pool' is followed by nothing",
    ),
    "one too many": (
        [*TWO, second("r2", "c3"), node("Relu", "c3", "r3")],
        {**conv(), **SECOND},
        "block 1 has 3 convolutions, not 2",
    ),
}


@pytest.mark.large
def test_a_deeper_one(photograph, tmp_path):
    arrays = reference.convolutions_of_keras(np.random.default_rng(0), 19)
    write_vgg(tmp_path / "vgg19.onnx", arrays)
    how = {"top": False, "convention": "keras"}
    model = load_pretrained("vgg19", tmp_path / "vgg19.onnx", **how)
    x = reference.for_caffe(photograph)
    expected = reference.pool5_of_keras(x, arrays, 19)
    assert distance(pool5(model, photograph), expected) < 1e-5


@pytest.mark.large
class TestTrained:
    """The real VGG16."""

    def test_features_are_those_of_onnxruntime(self, photograph, tmp_path):
        runtime = pytest.importorskip("onnxruntime")
        path = trained_vgg16()
        proto = onnx.load(path)
        nodes = proto.graph.node
        at = max(i for i, n in enumerate(nodes) if n.op_type == "MaxPool")
        last = nodes[at].output[0]
        del nodes[at + 1 :], proto.graph.output[:]
        proto.graph.output.append(info(last, "n", 512, "h", "w"))
        for axis in (1, 2):
            proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "size"
        session = runtime.InferenceSession(proto.SerializeToString())
        x = reference.for_caffe(photograph)
        (expected,) = session.run([last], {"input": x.transpose(1, 2, 0)[None]})
        model = load_pretrained("vgg16", path, top=False)
        assert distance(pool5(model, photograph), expected[0]) < 1e-5

    @pytest.mark.parametrize(
        "rule", ["lrp0", "epsilon", "zplus", "epsilon_gamma_box", "excitation_backprop"]
    )
    def test_relevance_is_kept_at_every_cut(self, rule):
        """But for what biases take, which is little in this network."""
        model = load_pretrained("vgg16", trained_vgg16(), top=False)
        photograph = load_sample_image("flower.jpg")[100:324, 200:424]
        x = vgg.prepare(photograph)[None]

        def score(x):
            return F.sum(model(x)["pool5"], axis=(2, 3))

        mean = np.float32([103.939, 116.779, 123.68])[:, None, None]
        box = {"low": 0 - mean, "high": 255 - mean}
        calculator = LRPCalculator(model, eval_fun=score, rule=rule, **box)
        report = calculator.conservation(x)
        layers = [entry.layer for entry in report.entries]
        assert len({name for name in layers if name.startswith("/conv")}) == 13
        biases = 0.0
        for entry in report.entries:
            biases += entry.bias
            assert entry.cut + biases == pytest.approx(report.start, rel=1e-5)
            assert entry.cut == pytest.approx(report.start, rel=0.1)
        if rule == "excitation_backprop":
            assert biases == 0
        pixels = calculator.compute(x).sum()
        assert pixels == pytest.approx(report.end, rel=1e-4)


class TestRefused:
    """What is no VGG16 is an error that names the first difference."""

    @pytest.mark.parametrize("case", REFUSED)
    def test_the_first_difference_is_named(self, case, tmp_path):
        nodes, constants, message = REFUSED[case]
        outputs = [info(nodes[-1].output[0], "n", 64, 8, 8)]
        model = model_of(nodes, [info("x", "n", 3, 8, 8)], outputs, **constants)
        onnx.save(model, tmp_path / "net.onnx")
        with pytest.raises(ValueError, match=message) as caught:
            load_pretrained("vgg16", tmp_path / "net.onnx", top=False)
        assert "net.onnx" in str(caught.value)

    def test_another_vgg(self, vgg16):
        with pytest.raises(ValueError, match="block 3 has 3 convolutions, not 4"):
            load_pretrained("vgg19", vgg16, top=False, convention="keras")

    @pytest.mark.parametrize(
        ("name", "top"), [("vgg16", True), ("resnet50", True), ("resnet50", False)]
    )
    def test_what_is_not_read_of_such_files(self, name, top, tmp_path):
        (tmp_path / "x.onnx").touch()
        with pytest.raises(ValueError, match="'vgg16' and 'vgg19' are read"):
            load_pretrained(name, tmp_path / "x.onnx", top=top)

    @pytest.mark.parametrize("content", [b"no such file, but some bytes", b""])
    def test_a_damaged_file(self, content, tmp_path):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.onnx' (cannot be|is not) read"):
            load_pretrained("vgg16", tmp_path / "x.onnx", top=False)

    def test_a_truncated_file(self, vgg16, tmp_path):
        (tmp_path / "x.onnx").write_bytes(vgg16.read_bytes()[:-1000])
        with pytest.raises(ValueError, match="is it complete"):
            load_pretrained("vgg16", tmp_path / "x.onnx", top=False)
