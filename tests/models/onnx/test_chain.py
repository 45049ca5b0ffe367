"""The chain that a file becomes: names, outputs, copies, batches."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto

import saliency
from link_hooks import VariableMonitorLinkHook
from tests.models.onnx.graphs import (
    FLOAT,
    INT64,
    convolutional,
    info,
    model_of,
    node,
    rounded,
)

import chainer
import chainer.functions as F
from chainer import links as L

RNG = np.random.default_rng(0)
X = rounded(RNG, 4, 3, 6, 6)


@pytest.fixture
def model():
    return saliency.load_onnx(convolutional(np.random.default_rng(1))[0])


def test_links_are_named_after_nodes(model):
    assert {link.name for link in model.children()} == {
        "body_conv1_Conv",
        "body_norm",
        "body_relu",
        "body_conv2_Conv",
        "body_Add",
        "pool",
        "Reshape",
        "fc_Gemm",
        "Softmax",
    }
    assert isinstance(model.body_conv1_Conv, L.Convolution2D)
    assert isinstance(model.body_norm, L.BatchNormalization)
    assert isinstance(model["fc_Gemm"], L.Linear)
    assert model.link_names["/body/conv1/Conv"] == "body_conv1_Conv"
    assert model.node_names["body_conv1_Conv"] == ("/body/conv1/Conv",)
    assert model.input_names == ("x",)
    assert model.output_names == ("out",)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["", ""], ["h", "y"]),
        (["7", "7"], ["Relu_7", "Relu_7_2"]),
        (["for", "params"], ["for_2", "params_2"]),
        (["a.b", "a/b"], ["a_b", "a_b_2"]),
        (["/", "\u96ea"], ["Relu", "Relu_2"]),
    ],
)
def test_names_that_are_none_in_python(names, expected):
    first, second = names
    nodes = [node("Relu", "x", "h", first), node("Relu", "h", "y", second)]
    model = saliency.load_onnx(model_of(nodes, [info("x", "n")], [info("y", "n")]))
    assert [link.name for link in model.children()] == expected


def test_names_are_the_same_every_time():
    data = convolutional(np.random.default_rng(1))[0].SerializeToString()
    first, second = (list(saliency.load_onnx(data).namedparams()) for _ in range(2))
    assert [name for name, _ in first] == [name for name, _ in second]


def test_outputs_can_be_selected(model):
    for name in ("s", "/body/Add", "body_Add"):
        inner = model.select(name)
        assert inner.output_names == ("s",)
        assert inner(X).shape == (4, 4, 6, 6)
        assert "fc_Gemm" not in {link.name for link in inner.children()}
        assert inner.body_conv1_Conv.W.array is model.body_conv1_Conv.W.array
    both = model.select(["r", "out"])(X)
    assert [y.shape for y in both] == [(4, 4, 6, 6), (4, 5)]
    assert len(list(model.children())) == 9


def test_outputs_that_there_are_not(model):
    with pytest.raises(ValueError, match=r"got 'body_Ad'; did you mean 'body_Add'"):
        model.select("body_Ad")
    with pytest.raises(ValueError, match="one output or more"):
        model.select([])
    with pytest.raises(TypeError, match="outputs"):
        model.select([3])


def test_the_scores_before_softmax(model):
    scores = model.before_softmax()
    assert scores.output_names == ("y",)
    assert_allclose(F.softmax(scores(X)).array, model(X).array, rtol=1e-5)
    with pytest.raises(ValueError, match=r"no output is made by Softmax.* by Gemm"):
        scores.before_softmax()


@pytest.mark.parametrize("is_shifted", [True, False])
def test_the_scores_before_a_softmax_in_parts(is_shifted):
    nodes = [
        node("Relu", "x", "scores"),
        node("ReduceMax", "scores", "largest", axes=[1]),
        node("Sub", "scores largest", "shifted"),
        node("Exp", "shifted" if is_shifted else "scores", "e"),
        node("ReduceSum", "e axes", "total"),
        node("Div", "e total", "y"),
    ]
    model = saliency.load_onnx(
        model_of(nodes, [info("x", "n", 3)], [info("y", "n", 3)], axes=np.array([1]))
    )
    x = rounded(RNG, 4, 3)
    assert model.before_softmax().output_names == ("scores",)
    assert_allclose(model(x).array, F.softmax(F.relu(x)).array, rtol=1e-5)


def test_copies_pickles_and_files(model, tmp_path):
    expected = model(X).array
    chainer.serializers.save_npz(tmp_path / "model.npz", model)
    again = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        model.copy("copy"),
        saliency.load_onnx(convolutional(np.random.default_rng(2))[0]),
    ]
    chainer.serializers.load_npz(tmp_path / "model.npz", again[-1])
    for other in again:
        assert_array_equal(other(X).array, expected)
    for parameter in model.params():
        parameter.array[...] = 0
    assert_array_equal(again[0](X).array, expected)
    assert_array_equal(again[1](X).array, expected)


def test_normalization_stays_as_it_is_in_training(model):
    expected = model(X).array
    with chainer.using_config("train", True):
        assert_array_equal(model(X).array, expected)


def test_dropout_follows_the_configuration():
    nodes = [node("Dropout", "x r", "y", "drop")]
    model = saliency.load_onnx(
        model_of(nodes, [info("x", "n", 50)], [info("y", "n", 50)], r=np.float32(0.4))
    )
    x = np.ones((20, 50), "f")
    with chainer.using_config("train", False):
        assert_array_equal(model(x).array, x)
    with chainer.using_config("train", True):
        share = (model(x).array == 0).mean()
    assert abs(share - 0.4) < 0.1
    samples = saliency.BayesGradCalculator(model, class_index=0).compute(
        x[:1], M=3, seed=0
    )
    assert len({s.tobytes() for s in samples}) > 1


def channels_dropped(low=0.0, scale="kept"):
    """Returns a network with Dropout2d, as PyTorch exports it in training mode."""
    nodes = [
        node("Conv", "x w", "c", "conv"),
        node("Shape", "x", "n", start=0, end=1),
        node("Concat", "n rest", "shape", axis=0),
        node("ConstantOfShape", "shape", "empty"),
        node("RandomUniformLike", "empty", "uniform", "draw", low=low, high=1.0),
        node("Less", "uniform kept", "is_kept"),
        node("Cast", "is_kept", "mask", to=FLOAT),
        node("Div", f"mask {scale}", "noise"),
        node("Mul", "noise c", "d", "drop"),
        node("Flatten", "d", "y"),
    ]
    numbers = {"kept": np.float32(0.75), "half": np.float32(0.5)}
    inputs, outputs = [info("x", 2, 1, 3, 3)], [info("y", 2, 16)]
    w, rest = np.ones((4, 1, 2, 2), "f"), np.array([4, 1, 1])
    return model_of(nodes, inputs, outputs, w=w, rest=rest, **numbers)


def test_channels_are_dropped_where_pytorch_writes_that_in_random_numbers():
    model = saliency.load_onnx(channels_dropped())

    def written(x):
        h = model.conv(x)
        mask = F.dropout(np.ones((len(x), 4, 1, 1), "f"), 0.25)
        return F.reshape(h * F.broadcast_to(mask, h.shape), (len(x), -1))

    x = rounded(RNG, 3, 1, 3, 3)
    with chainer.using_config("train", False):
        assert_array_equal(model(x).array, model.conv(x).array.reshape(3, -1))
    found, expected = (
        saliency.BayesGradCalculator(m, class_index="sum").compute(x, M=2, seed=0)
        for m in (model, written)
    )
    assert_array_equal(found, expected)
    assert len({sample.tobytes() for sample in found}) > 1


@pytest.mark.parametrize("other", [{"low": 0.5}, {"scale": "half"}])
def test_other_random_numbers_are_refused(other):
    with pytest.raises(ValueError, match=r"RandomUniformLike .draw.: no such operator"):
        saliency.load_onnx(channels_dropped(**other))


def test_one_link_for_nodes_that_share_their_weights():
    W = rounded(RNG, 4, 4)
    nodes = [node("Gemm", "x W", "h", "first"), node("Gemm", "h W", "y", "second")]
    model = saliency.load_onnx(
        model_of(nodes, [info("x", "n", 4)], [info("y", "n", 4)], W=W)
    )
    assert model.node_names == {"first": ("first", "second")}
    assert_allclose(model(W).array, W @ W @ W, rtol=1e-5)
    model.first.W.array[...] = np.eye(4)
    assert_allclose(model(W).array, W)


def test_vectors_that_are_written_once_are_of_each_layer():
    first, second, b = rounded(RNG, 4, 4), rounded(RNG, 4, 4), rounded(RNG, 4)
    nodes = [
        node("Gemm", "x first b", "h", "one"),
        node("Gemm", "h second b", "y", "two"),
    ]
    model = saliency.load_onnx(
        model_of(
            nodes,
            [info("x", "n", 4)],
            [info("y", "n", 4)],
            first=first,
            second=second,
            b=b,
        )
    )
    assert isinstance(model.one, L.Linear) and isinstance(model.two, L.Linear)
    assert_allclose(model(first).array, (first @ first + b) @ second + b, rtol=1e-4)


def test_one_parameter_for_nodes_of_several_kinds():
    W = rounded(RNG, 4, 4)
    nodes = [node("Gemm", "x W", "h", "product"), node("Mul", "h W", "y", "scaled")]
    model = saliency.load_onnx(
        model_of(nodes, [info("x", 4, 4)], [info("y", 4, 4)], W=W)
    )
    assert [name for name, _ in model.namedparams()] == ["/shared/W"]
    assert_allclose(model(W).array, W @ W * W, rtol=1e-5)
    assert_allclose(model.select("h")(W).array, W @ W, rtol=1e-5)


def test_a_table_of_embeddings_is_a_link():
    table = rounded(RNG, 10, 3)
    nodes = [
        node("Gather", "table ids", "e", "embed"),
        node("ReduceMean", "e", "y", axes=[1], keepdims=0),
    ]
    model = saliency.load_onnx(
        model_of(
            nodes,
            [info("ids", "n", "t", dtype=INT64)],
            [info("y", "n", 3)],
            table=table,
        )
    )
    ids = np.array([[1, 2], [-1, 0]])
    assert isinstance(model.embed, L.EmbedID)
    assert_allclose(model(ids).array, table[ids].mean(axis=1), rtol=1e-6)
    calculator = saliency.GradientCalculator(
        model, target_extractor=VariableMonitorLinkHook(model.embed), class_index=1
    )
    samples = calculator.compute(ids)
    assert_allclose(samples[0, :, :, 1], 0.5)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_one_row_of_a_table(dtype):
    table = rounded(RNG, 10, 3)
    kind = INT64 if dtype == "int64" else TensorProto.INT32
    model = saliency.load_onnx(
        model_of(
            [node("Gather", "table i", "y")],
            [info("i", dtype=kind)],
            [info("y", 3)],
            table=table,
        )
    )
    assert_array_equal(model(np.array(-2, dtype)).array, table[8])
    assert_array_equal(model(4).array, table[4])


def test_parameters_that_come_from_one_constant_are_apart():
    c = rounded(RNG, 4)
    nodes = [
        node("Reshape", "c size", "d"),
        node("Add", "x c", "a", "first"),
        node("Mul", "a d", "y", "second"),
    ]
    model = saliency.load_onnx(
        model_of(
            nodes, [info("x", "n", 4)], [info("y", "n", 4)], c=c, size=np.array([1, 4])
        )
    )
    model.first.B.array[...] = 0
    assert_array_equal(model.second.B.array, c[None])


def test_links_print_their_operator(model):
    assert "OperatorLink(operator=MaxPool)" in str(model)


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT16"])
def test_parameters_have_the_dtype_of_the_file(kind):
    dtype = TensorProto.DataType.Value(kind)
    shapes = {"w": (3, 2, 2, 2), "b": (3,), "v": (3, 2, 2, 2), "c": (2,), "t": (4, 32)}
    shapes.update({"m": (32, 5), "s": (5,), "u": (5, 3)})
    small = {k: 0.1 * rounded(RNG, *shape) for k, shape in shapes.items()}
    small.update({"one": np.ones(3), "zero": np.zeros(3)})
    numpy_dtype = "d" if kind == "DOUBLE" else "e"
    constants = {k: v.astype(numpy_dtype) for k, v in small.items()}
    nodes = [
        node("Conv", "x w b", "h1"),
        node("BatchNormalization", "h1 one zero zero one", "h2"),
        node("ConvTranspose", "h2 v c", "h3"),
        node("Flatten", "h3", "h4"),
        node("Gather", "t i", "e"),
        node("Add", "h4 e", "h5"),
        node("Gemm", "h5 m s", "h6"),
        node("MatMul", "h6 u", "y"),
    ]
    model = saliency.load_onnx(
        model_of(
            nodes,
            [info("x", "n", 2, 4, 4, dtype=dtype), info("i", "n", dtype=INT64)],
            [info("y", "n", 3, dtype=dtype)],
            **constants,
        )
    )
    x = rounded(RNG, 2, 2, 4, 4).astype(numpy_dtype)
    assert model(x, np.array([1, 2])).dtype == np.dtype(numpy_dtype)
    assert {p.dtype for p in model.params()} == {np.dtype(numpy_dtype)}


def assert_no_place(model, x):
    """Check that a file for one example is refused for several."""
    several = rf"written for a batch of 1, .* {len(x)} examples"
    with pytest.raises(ValueError, match=several):
        model(x)


class TestBatches:
    """Any batch size, whether the file leaves it open or not."""

    @pytest.mark.parametrize("batch", ["n", 1, 2])
    def test_rows_are_those_of_each_example_alone(self, batch):
        proto, _ = convolutional(np.random.default_rng(1), batch)
        if batch == 2:
            for tensor in proto.graph.initializer:
                if tensor.name == "size":
                    tensor.raw_data = np.array([2, -1]).tobytes()
        model = saliency.load_onnx(proto)
        n = 2 if batch == 2 else 1
        parts = [model(X[i : i + n]).array for i in range(0, 4, n)]
        assert_allclose(model(X).array, np.concatenate(parts), rtol=1e-5, atol=1e-7)

    def test_operators_that_move_the_batch(self):
        nodes = [
            node("Unsqueeze", "x first", "a"),  # (1, n, 4, 3)
            node("Transpose", "a", "b", perm=[2, 1, 0, 3]),  # (4, n, 1, 3)
            node("Expand", "b wide", "c"),  # (4, n, 2, 3)
            node("ReduceMean", "c", "d", axes=[2], keepdims=0),  # (4, n, 3)
            node("Gather", "d two", "e", axis=0),  # (n, 3)
            node("Unsqueeze", "e last", "f"),  # (n, 3, 1)
            node("Squeeze", "f last", "g"),
            node("Reshape", "g size", "h"),  # (1, 1, 3) in the file
            node("Flatten", "h", "y"),
        ]
        model = saliency.load_onnx(
            model_of(
                nodes,
                [info("x", 1, 4, 3)],
                [info("y", 1, 3)],
                first=np.array([0]),
                wide=np.array([4, 1, 2, 3]),
                two=np.array(2),
                last=np.array([2]),
                size=np.array([1, 1, 3]),
            )
        )
        x = rounded(RNG, 5, 4, 3)
        assert_array_equal(model(x).array, x[:, 2])

    def test_images_of_one_channel_in_a_batch_of_two(self):
        nodes = [node("Reshape", "x size", "y")]
        model = saliency.load_onnx(
            model_of(
                nodes, [info("x", 2, 1, 2, 2)], [info("y", 2, 4)], size=np.array([2, 4])
            )
        )
        x = rounded(RNG, 5, 1, 2, 2)
        assert_array_equal(model(x).array, x.reshape(5, 4))

    def test_shapes_that_are_computed(self):
        nodes = [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n", axis=0),
            node("Unsqueeze", "n axes", "n1"),
            node("Concat", "n1 rest", "size", axis=0),
            node("Reshape", "x size", "y"),
        ]
        model = saliency.load_onnx(
            model_of(
                nodes,
                [info("x", 1, 2, 3)],
                [info("y", 1, 6)],
                zero=np.array(0),
                axes=np.array([0]),
                rest=np.array([-1]),
            )
        )
        x = rounded(RNG, 5, 2, 3)
        assert_array_equal(model(x).array, x.reshape(5, 6))

    def test_a_token_that_the_file_has_once(self):
        nodes = [
            node("Concat", "token x", "t", axis=1),
            node("Add", "t places", "y"),
        ]
        token, places = rounded(RNG, 1, 1, 3), rounded(RNG, 1, 3, 3)
        model = saliency.load_onnx(
            model_of(
                nodes,
                [info("x", 1, 2, 3)],
                [info("y", 1, 3, 3)],
                token=token,
                places=places,
            )
        )
        x = rounded(RNG, 5, 2, 3)
        expected = np.concatenate([np.tile(token, (5, 1, 1)), x], axis=1) + places
        assert_allclose(model(x).array, expected)

    def test_time_in_front_of_the_batch(self):
        W, R = rounded(RNG, 1, 8, 3), rounded(RNG, 1, 8, 2)
        nodes = [
            node("Transpose", "x", "xt", perm=[1, 0, 2]),
            node("LSTM", "xt W R   h c", "ys", hidden_size=2),
            node("Reshape", "ys size", "r"),
            node("Transpose", "r", "y", perm=[1, 0, 2]),
        ]
        zero = np.zeros((1, 1, 2), "f")
        model = saliency.load_onnx(
            model_of(
                nodes,
                [info("x", 1, 4, 3)],
                [info("y", 1, 4, 2)],
                W=W,
                R=R,
                h=zero,
                c=zero,
                size=np.array([4, 1, 2]),
            )
        )
        x = rounded(RNG, 5, 4, 3)
        rows = [model(row[None]).array for row in x]
        assert_allclose(model(x).array, np.concatenate(rows), rtol=1e-5, atol=1e-7)

    def test_no_place_for_the_batch_is_an_error_that_says_so(self):
        nodes = [node("Reshape", "x size", "y")]
        model = saliency.load_onnx(
            model_of(nodes, [info("x", 1, 6)], [info("y", 6)], size=np.array([6]))
        )
        x = np.ones((2, 6), "f")
        assert model(x[:1]).shape == (6,)
        assert_no_place(model, x)

    @pytest.mark.parametrize(
        "nodes",
        [
            [node("Squeeze", "x", "y")],
            [node("Squeeze", "x axes", "y")],
            [node("Gather", "x zero", "y")],
            [node("Slice", "x axes one", "y")],
            [node("ReduceSum", "x axes", "y", keepdims=0)],
            [node("Concat", "x x", "y", axis=0)],
            [node("Softmax", "x", "y", axis=0)],
            [node("Reshape", "x halves", "y")],
            [node("ReduceMean", "x", "y", axes=[0], keepdims=0)],
        ],
    )
    def test_a_batch_that_gets_lost_is_an_error_that_says_so(self, nodes):
        model = saliency.load_onnx(
            model_of(
                nodes,
                [info("x", 1, 6)],
                [info("y")],
                axes=np.array([0]),
                zero=np.array(0),
                one=np.array([1]),
                halves=np.array([2, 3]),
            )
        )
        x = np.ones((3, 6), "f")
        model(x[:1])
        assert_no_place(model, x)

    @pytest.mark.parametrize("operation", ["Sub", "Mul", "Max"])
    @pytest.mark.parametrize(
        "lost",
        [
            node("Gather", "x zero", "g"),
            node("Gather", "x axes", "g"),
            node("Slice", "x axes one", "g"),
            node("ReduceMean", "x", "g", axes=[0], keepdims=1),
            node("ReduceMax", "x", "g", keepdims=0),
            node("Softmax", "x", "g", axis=0),
        ],
    )
    def test_what_mixes_examples_is_an_error_although_it_has_their_shape(
        self, lost, operation
    ):
        model = saliency.load_onnx(
            model_of(
                [lost, node(operation, "x g", "h"), node("Relu", "h", "y")],
                [info("x", 1, 6)],
                [info("y", 1, 6)],
                axes=np.array([0]),
                zero=np.array(0),
                one=np.array([1]),
            )
        )
        x = rounded(RNG, 3, 6)
        model(x[:1])
        assert_no_place(model, x)

    @pytest.mark.parametrize(
        "nodes",
        [
            [node("Gather", "x zero", "y")],
            [node("ArgMax", "x", "y", keepdims=0)],
            [node("ArgMin", "x", "y", keepdims=0)],
            [node("ArgMax", "x", "top", axis=1), node("GatherElements", "x top", "y")],
        ],
    )
    def test_a_batch_as_long_as_an_example_gets_lost_as_well(self, nodes):
        """What has no `axis` works along the first one, which is that of the batch."""
        proto = model_of(nodes, [info("x", 1, 3)], [info("y")], zero=np.array(0))
        model = saliency.load_onnx(proto)
        x = np.array([[3, 2, 1], [4, 6, 5], [9, 8, 7]], "f")
        model(x[:1])
        assert_no_place(model, x)

    @pytest.mark.parametrize(
        "nodes",
        [
            [node("ScatterND", "x first nine", "y")],
            [node("ScatterND", "x first nine", "y", reduction="add")],
            [node("ScatterND", "x example row", "y")],
            [node("ScatterND", "x first nine", "s"), node("Add", "s x", "y")],
            [node("ScatterND", "x rows row", "y")],
            [node("ScatterND", "row example x", "y")],
            [node("Transpose", "x", "t"), node("ScatterND", "t example nines", "y")],
            [node("ScatterElements", "x place nines", "y", axis=1)],
            [node("ScatterElements", "x zeros row", "y", axis=0)],
            [node("ScatterElements", "x zeros row", "y")],
            [node("ScatterElements", "x zeros x", "s"), node("Mul", "s x", "y")],
            [node("ScatterElements", "row top nines", "y", axis=1)],
            [node("ScatterElements", "x top nines", "y", axis=1)],
            [node("ScatterElements", "x rows largest", "y", axis=0)],
        ],
    )
    def test_integers_that_name_examples_are_an_error_that_says_so(self, nodes):
        """Examples behind those of the file would stay as they are."""
        nodes = [
            node("ArgMax", "x", "top", axis=1),
            node("ReduceMax", "x", "largest", axes=[1]),
            # As many as there are in the batch, and each names the first example.
            node("Sub", "top top", "rows"),
            *nodes,
        ]
        proto = model_of(
            nodes,
            [info("x", 1, 3)],
            [info("y")],
            first=np.array([[0, 1]]),
            example=np.array([[0]]),
            place=np.array([[1]]),
            zeros=np.zeros((1, 3), int),
            nine=np.array([9], "f"),
            nines=np.array([[9]], "f"),
            row=np.array([[7, 8, 9]], "f"),
        )
        model = saliency.load_onnx(proto)
        x = np.arange(6.0, dtype="f").reshape(2, 3)
        assert model(x[:1]).shape in ((1, 3), (3, 1))
        with pytest.raises(
            ValueError, match=r"batch of 1, and its Scatter.* \([ys]\) .*batchsize=1"
        ):
            model(x)

    @pytest.mark.parametrize(
        "nodes",
        [
            [node("ScatterElements", "x top largest", "y", axis=1, reduction="add")],
            # The batch is behind what the integers name.
            [
                node("Transpose", "x", "t"),
                node("Transpose", "largest", "l"),
                node("ScatterND", "t example l", "s", reduction="add"),
                node("Transpose", "s", "y"),
            ],
            # Where elements are says which example they are of.
            [
                node("Greater", "x nine", "large"),
                node("NonZero", "large", "where"),
                node("Transpose", "where", "rows"),
                node("GatherND", "x rows", "old"),
                node("Neg", "old", "new"),
                node("ScatterND", "x rows new", "y"),
            ],
        ],
    )
    def test_what_is_scattered_within_each_example(self, nodes):
        nodes = [
            node("ArgMax", "x", "top", axis=1),
            node("ReduceMax", "x", "largest", axes=[1]),
            *nodes,
        ]
        constants = {"example": np.array([[0]]), "nine": np.float32(9)}
        proto = model_of(nodes, [info("x", 1, 3)], [info("y", 1, 3)], **constants)
        model = saliency.load_onnx(proto)
        x = 6 * rounded(RNG, 5, 3) + 9
        rows = [model(row[None]).array for row in x]
        assert_allclose(model(x).array, np.concatenate(rows))


@pytest.mark.parametrize(
    ("inputs", "error", "reason"),
    [
        ([], TypeError, "takes 1 inputs .x., got 0"),
        ([X, X], TypeError, "takes 1 inputs .x., got 2"),
        ([X[0]], ValueError, r"input 'x' must have the shape .*'any', 3, 6, 6"),
        ([X[:, :2]], ValueError, "must have the shape"),
        ([X.astype(int)], TypeError, "input 'x' must have the dtype float32"),
    ],
)
def test_inputs_that_do_not_fit(model, inputs, error, reason):
    with pytest.raises(error, match=reason):
        model(*inputs)
