"""Files of all kinds: what is read, and what is refused with a reason."""

from __future__ import annotations

import importlib
import os
import sys
import tracemalloc

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper

import saliency
from tests.models.onnx.graphs import (
    FLOAT,
    INT64,
    convolutional,
    graph_of,
    info,
    model_of,
    node,
)

import chainer.functions as F

ROW = np.arange(3.0, dtype="f")
DATA = ROW.tobytes()


def added(value=ROW, opset=17):
    return model_of(
        [node("Add", "x c", "y", "sum")],
        [info("x", "n", 3)],
        [info("y", "n", 3)],
        opset,
        c=value,
    )


def test_paths_bytes_and_messages(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(added(), path)
    x = np.ones((2, 3), "f")
    for source in (path, str(path), path.read_bytes(), added()):
        assert_allclose(saliency.load_onnx(source)(x).array, x + ROW)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("saliency.models.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'chainer-saliency\[onnx\]'"):
        importlib.import_module("saliency.models.onnx")


@pytest.mark.parametrize("source", [3, None, ["model.onnx"]])
def test_what_is_no_model(source):
    with pytest.raises(TypeError, match=r"model must be a path, bytes or an onnx"):
        saliency.load_onnx(source)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        saliency.load_onnx(tmp_path / "no.onnx")


def test_files_that_are_cut_anywhere(tmp_path):
    data = convolutional(np.random.default_rng(0))[0].SerializeToString()
    path = tmp_path / "half.onnx"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half.onnx"):
        saliency.load_onnx(path)
    rng = np.random.default_rng(0)
    tracemalloc.start()
    for n_byte in [0, 1, len(data) - 1, *rng.integers(len(data), size=200)]:
        with pytest.raises(
            ValueError, match=r"model .*(complete|no graph|opset|valid)"
        ):
            saliency.load_onnx(data[:n_byte])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_damaged_files_give_errors_that_say_so():
    data = convolutional(np.random.default_rng(0))[0].SerializeToString()
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(80):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[rng.integers(len(data))] = rng.integers(256)
        try:
            saliency.load_onnx(bytes(damaged))
        except (ValueError, MemoryError):
            n_refused += 1
    assert n_refused > 20


def test_a_name_that_is_no_text():
    data = added().SerializeToString().replace(b"\x01y", b"\x01\xff")
    with pytest.raises(ValueError, match=r"it has a damaged name"):
        saliency.load_onnx(data)


def test_a_convolution_in_no_groups():
    nodes = [node("Conv", "x w", "y", "conv", group=0)]
    image = info("x", "n", 1, 3, 3)
    model = model_of(nodes, [image], [info("y")], w=np.ones((1, 1, 2, 2), "f"))
    with pytest.raises(ValueError, match=r"Conv \(conv\): no link can be made of it"):
        saliency.load_onnx(model)


def test_graphs_within_graphs_without_an_end():
    """Each node has an attribute with a graph, which has a node, ..."""
    data = b""
    for _ in range(2000):
        for tag in (0x32, 0x2A, 0x0A):  # AttributeProto.g, NodeProto.attribute, .node
            data = bytes([tag]) + _varint(len(data)) + data
    model = b"\x3a" + _varint(len(data)) + data + b"\x42\x02\x10\x11"
    with pytest.raises(ValueError, match=r"model cannot be read as ONNX"):
        saliency.load_onnx(model)


def _varint(n):
    """Returns a number as a file has it: seven bits in each byte."""
    return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + _varint(n // 128)


@pytest.mark.parametrize("opset", [6, 99])
def test_versions_that_are_not_known(opset):
    model = added()
    model.opset_import[0].version = opset
    with pytest.raises(ValueError, match=rf"opset of ONNX from 7 to .* {opset}"):
        saliency.load_onnx(model)


@pytest.mark.parametrize("opset", [10, 12, 13, 17, 18, 19, 21])
def test_weights_in_8_bits_are_those_that_they_stand_for(opset):
    """ONNX's reference implementation knows the operator from opset 19 on."""
    rng = np.random.default_rng(0)
    has_axis = opset >= 13
    n = 3 if has_axis else 1
    q = {
        "w": rng.integers(-128, 128, (4, 3)).astype(np.int8),
        "s": rng.uniform(0.05, 0.2, n).astype("f").reshape((n,) if has_axis else ()),
        "z": rng.integers(-9, 9, n).astype(np.int8).reshape((n,) if has_axis else ()),
    }
    axis = {"axis": 1} if has_axis else {}
    nodes = [
        node("DequantizeLinear", "w s z", "v", **axis),
        node("MatMul", "x v", "y"),
    ]
    model = model_of(nodes, [info("x", "n", 4)], [info("y", "n", 3)], opset, **q)
    x = rng.normal(size=(2, 4)).astype("f")
    expected = x @ ((q["w"] - q["z"].astype("f")) * q["s"])
    assert_allclose(saliency.load_onnx(model)(x).array, expected, rtol=1e-5)


def test_one_error_lists_all_nodes_that_cannot_be_loaded():
    nodes = [
        node("QuantizeLinear", "x s", "q", "to_int8"),
        node("DequantizeLinear", "q s", "d"),
        node("Celebrate", "d", "e", "party", domain="org.example"),
        node("Conv", "e w", "f", "odd", auto_pad="SAME_SOMEHOW"),
        node("AveragePool", "f", "g", kernel_shape=[1, 1], pads=[0, -1, 0, 0]),
        node("DeformConv", "g w o", "y", "bent"),
    ]
    model = model_of(
        nodes,
        [info("x", 1, 1, 5, 5), info("o", 1, 2, 5, 5)],
        [info("y", 1, 1, 5, 5)],
        19,
        s=np.float32(0.5),
        w=np.ones((1, 1, 1, 1), "f"),
    )
    model.opset_import.append(helper.make_opsetid("org.example", 1))
    with pytest.raises(ValueError) as caught:
        saliency.load_onnx(model)
    assert str(caught.value).splitlines() == [
        "model cannot be loaded:",
        "  QuantizeLinear (to_int8): it is quantised; load the file from before "
        "quantisation",
        "  DequantizeLinear (d): it is quantised; load the file from before "
        "quantisation",
        "  Celebrate (party): the operator is one of org.example",
        "  Conv (odd): its auto_pad 'SAME_SOMEHOW' is not known",
        "  AveragePool (g): its pads [0, -1, 0, 0] are negative",
        "  DeformConv (bent): no such operator is known",
    ]


def test_a_node_that_no_output_needs_is_no_reason():
    nodes = [node("Relu", "x", "y"), node("DeformConv", "x x x", "z")]
    model = model_of(nodes, [info("x", 1, 1, 2, 2)], [info("y", 1, 1, 2, 2)], 19)
    assert len(list(saliency.load_onnx(model).children())) == 1


def test_dead_constants_are_dropped():
    model = added()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(10**5), "dead"))
    assert sum(p.size for p in saliency.load_onnx(model).params()) == 3


@pytest.mark.parametrize(
    ("operator", "shape", "others"),
    [
        ("ConstantOfShape", np.array([2**40]), {}),
        ("Expand", np.array([2**40]), {"t": np.ones(1, "f")}),
        ("Tile", np.array([2**40]), {"t": np.ones(1, "f")}),
    ],
)
def test_huge_arrays_from_a_few_bytes(operator, shape, others):
    inputs = "t s" if others else "s"
    nodes = [node(operator, inputs, "big"), node("Add", "x big", "y")]
    model = model_of(nodes, [info("x", 1)], [info("y", 1)], s=shape, **others)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"{operator} .* constants would take"):
        saliency.load_onnx(model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.large
def test_arrays_that_double_again_and_again():
    nodes = [node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=0) for i in range(40)]
    nodes.append(node("Add", "x c40", "y"))
    model = model_of(nodes, [info("x", 1)], [info("y", 1)], c0=np.ones(1000, "f"))
    with pytest.raises(ValueError, match=r"constants would take \d+ bytes"):
        saliency.load_onnx(model)


def test_functions_that_double_again_and_again():
    functions = [
        helper.make_function(
            "mine",
            f"F{i}",
            ["a"],
            ["b"],
            [
                node(f"F{i + 1}", "a", "h", domain="mine"),
                node(f"F{i + 1}", "h", "b", domain="mine"),
            ],
            [helper.make_opsetid("mine", 1)],
        )
        for i in range(40)
    ]
    functions.append(
        helper.make_function(
            "mine",
            "F40",
            ["a"],
            ["b"],
            [node("Relu", "a", "b")],
            [helper.make_opsetid("", 17)],
        )
    )
    nodes = [node("F0", "x", "y", domain="mine")]
    model = model_of(nodes, [info("x", 1)], [info("y", 1)], functions=functions)
    with pytest.raises(ValueError, match=r"become more than 1000000 nodes"):
        saliency.load_onnx(model)


@pytest.mark.parametrize("dims", [[2**60], [2**31, 2**31], [-1]])
def test_a_tensor_that_says_that_it_is_huge(dims):
    model = added()
    (tensor,) = model.graph.initializer
    del tensor.dims[:]
    tensor.dims.extend(dims)
    with pytest.raises(ValueError, match="model"):
        saliency.load_onnx(model)


def test_functions_of_the_file_are_taken_apart():
    double = helper.make_function(
        "mine",
        "Double",
        ["a"],
        ["b"],
        [node("Add", "a a", "b")],
        [helper.make_opsetid("", 17)],
    )
    nodes = [
        node("Double", "x", "h", domain="mine"),
        node("Double", "h", "y", domain="mine"),
    ]
    model = model_of(nodes, [info("x", "n")], [info("y", "n")], functions=[double])
    assert_allclose(saliency.load_onnx(model)(ROW).array, 4 * ROW)


@pytest.mark.parametrize("n_function", [1, 2])
def test_functions_that_call_themselves(n_function):
    names = [f"F{i}" for i in range(n_function)]
    functions = [
        helper.make_function(
            "mine",
            name,
            ["a"],
            ["b"],
            [node(called, "a", "b", domain="mine")],
            [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)],
        )
        for name, called in zip(names, names[1:] + names[:1])
    ]
    nodes = [node("F0", "x", "y", domain="mine")]
    model = model_of(nodes, [info("x", 1)], [info("y", 1)], functions=functions)
    with pytest.raises(ValueError, match=r"calls itself|valid ONNX"):
        saliency.load_onnx(model)


def test_functions_of_onnx_are_taken_apart():
    q, k, v = (info(name, "n", 2, 4, 3) for name in "qkv")
    model = model_of(
        [node("Attention", "q k v", "y")], [q, k, v], [info("y", "n", 2, 4, 3)], 23
    )
    if not onnx.defs.has("Attention"):
        pytest.skip(f"onnx {onnx.__version__} has no Attention")
    q, k, v = np.random.default_rng(0).normal(size=(3, 5, 2, 4, 3)).astype("f")
    weights = F.softmax(F.matmul(q, k, transb=True) / np.sqrt(3), axis=3)
    expected = F.matmul(weights, v).array
    assert_allclose(
        saliency.load_onnx(model)(q, k, v).array, expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("opset", [11, 17])
def test_sequences_whose_members_are_known_are_taken_apart(opset):
    nodes = [
        node("SplitToSequence", "x sizes", "parts", axis=-1),
        node("SequenceAt", "parts last", "a"),
        node("SequenceAt", "parts first", "b"),
        node("SequenceConstruct", "b a b", "both"),
        node("ConcatFromSequence", "both", "c", axis=1),
        node("SequenceConstruct", "a b", "pair"),
        node("ConcatFromSequence", "pair", "d", "stack", axis=-1, new_axis=1),
    ]
    constants = {"sizes": np.array([2, 1, 2]), "last": np.array(-1)}
    outputs = [info("c", "n", 6), info("d", "n", 2, 2)]
    model = saliency.load_onnx(
        model_of(
            nodes,
            [info("x", "n", 5)],
            outputs,
            opset,
            first=np.array(0),
            **constants,
        )
    )
    x = np.arange(10.0, dtype="f").reshape(2, 5)
    a, b = x[:, 3:], x[:, :2]
    joined, stacked = model(x)
    assert_allclose(joined.array, np.concatenate([b, a, b], axis=1))
    assert_allclose(stacked.array, np.stack([a, b], axis=-1))
    assert "stack" in model.link_names


def test_sequences_whose_members_are_not_known_are_refused():
    nodes = [
        node("SplitToSequence", "x one", "parts", "in_ones", axis=1),
        node("SequenceAt", "parts i", "y", "which"),
    ]
    inputs = [info("x", "n", 5), info("i", dtype=INT64)]
    proto = model_of(nodes, inputs, [info("y", "n", 1)], one=np.array(1))
    with pytest.raises(ValueError) as caught:
        saliency.load_onnx(proto)
    assert str(caught.value).splitlines()[1:] == [
        "  SplitToSequence (in_ones): no such operator is known",
        "  SequenceAt (which): no such operator is known",
    ]


def test_a_sequence_as_the_output_is_refused():
    nodes = [node("SequenceConstruct", "x x", "s", "pair"), node("Identity", "s", "y")]
    output = helper.make_tensor_sequence_value_info("y", FLOAT, None)
    model = model_of(nodes, [info("x", "n")], [output])
    with pytest.raises(
        ValueError, match=r"SequenceConstruct \(pair\): no such operator"
    ):
        saliency.load_onnx(model)


class TestArraysInOtherFiles:
    """Tensors of the model that are in files beside it."""

    def saved(self, folder, location="weights.bin", data=DATA, **entries):
        """Writes a model whose constant is elsewhere, and returns its path."""
        model = added()
        (tensor,) = model.graph.initializer
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=value)
        folder.mkdir(exist_ok=True)
        (folder / "weights.bin").write_bytes(data)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        return folder / "model.onnx"

    def test_they_are_read(self, tmp_path, monkeypatch):
        path = self.saved(tmp_path / "a", data=b"abcd" + ROW.tobytes(), offset="4")
        x = np.zeros((1, 3), "f")
        assert_allclose(saliency.load_onnx(path)(x).array, ROW[None])
        monkeypatch.chdir(tmp_path / "a")
        assert_allclose(saliency.load_onnx("model.onnx")(x).array, ROW[None])

    @pytest.mark.parametrize(
        "location",
        [
            "../secret.bin",
            "sub/../../secret.bin",
            "{}/secret.bin",
            "link.bin",
            "linked/secret.bin",
            "",
            ".",
            "circle.bin",
            "a\0b",
            "..\\secret.bin",
        ],
    )
    def test_nothing_outside_of_the_folder_is_read(self, tmp_path, location):
        (tmp_path / "secret.bin").write_bytes(ROW.tobytes())
        folder = tmp_path / "model"
        path = self.saved(folder, location.format(tmp_path))
        os.symlink(tmp_path / "secret.bin", folder / "link.bin")
        os.symlink(tmp_path, folder / "linked")
        os.symlink(folder / "circle.bin", folder / "circle.bin")
        reason = r"within the model's folder|which is no file"
        with pytest.raises(ValueError, match=reason):
            saliency.load_onnx(path)

    def test_a_link_that_stays_within_the_folder(self, tmp_path):
        path = self.saved(tmp_path, "link.bin")
        os.symlink("weights.bin", tmp_path / "link.bin")
        saliency.load_onnx(path)

    @pytest.mark.parametrize(
        ("entries", "reason"),
        [
            ({"offset": "4"}, "ends at byte 16 of 'weights.bin', which has 12"),
            ({"length": "8"}, "must have 12 bytes, got 8"),
            ({"offset": "-4"}, "must have a count as offset, got '-4'"),
            ({"length": "1e9"}, "must have a count as length, got '1e9'"),
        ],
    )
    def test_places_that_are_not_in_the_file(self, tmp_path, entries, reason):
        with pytest.raises(ValueError, match=reason):
            saliency.load_onnx(self.saved(tmp_path, **entries))

    def test_a_file_that_is_missing(self, tmp_path):
        path = self.saved(tmp_path, "weights2.bin")
        with pytest.raises(ValueError, match=r"'weights2.bin', which is no file"):
            saliency.load_onnx(path)

    def test_a_tensor_within_a_graph_of_a_node(self, tmp_path):
        """Each of them is refused, and nothing else is said of it."""
        tensor = numpy_helper.from_array(ROW, "c")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../secret.bin")
        constant = helper.make_node("Constant", [], ["c"], "hidden", value=tensor)
        other = helper.make_node("Constant", [], ["d"], value=tensor)
        nodes = (constant, "c"), (other, "d")
        then, other = (graph_of([n], [], [info(o, 3)], o) for n, o in nodes)
        model = model_of(
            [node("If", "go", "y", then_branch=then, else_branch=other)],
            [info("go", dtype=TensorProto.BOOL)],
            [info("y", 3)],
        )
        (tmp_path / "secret.bin").write_bytes(DATA)
        path = tmp_path / "model" / "model.onnx"
        path.parent.mkdir()
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ValueError) as caught:
            saliency.load_onnx(path)
        _, *lines = str(caught.value).splitlines()
        found = {line.partition(":")[0] for line in lines}
        assert found == {"  Constant (hidden)", "  Constant (d)"}
        assert len(lines) == 2

    def test_a_tensor_within_a_function_of_the_file(self, tmp_path):
        path = self.saved(tmp_path)
        tensor = onnx.load(path, load_external_data=False).graph.initializer[0]
        function = helper.make_function(
            "mine",
            "Plus",
            ["a"],
            ["b"],
            [
                helper.make_node("Constant", [], ["k"], value=tensor),
                node("Add", "a k", "b"),
            ],
            [helper.make_opsetid("", 17)],
        )
        nodes = [node("Plus", "x", "y", domain="mine")]
        x, y = info("x", "n", 3), info("y", "n", 3)
        model = model_of(nodes, [x], [y], functions=[function])
        path.write_bytes(model.SerializeToString())
        x = np.ones((1, 3), "f")
        assert_allclose(saliency.load_onnx(path)(x).array, x + ROW)

    def test_a_model_without_a_folder(self, tmp_path):
        data = self.saved(tmp_path).read_bytes()
        with pytest.raises(ValueError, match=r"pass the model's path"):
            saliency.load_onnx(data)


def test_what_is_constant_is_computed_once():
    nodes = [
        node(
            "ConstantOfShape",
            "s",
            "ones",
            value=numpy_helper.from_array(np.ones(1, "f")),
        ),
        node("Mul", "ones c", "scaled"),
        node("Transpose", "scaled", "w", perm=[1, 0]),
        node("MatMul", "x w", "y", "product"),
    ]
    c = np.arange(6.0, dtype="f").reshape(2, 3)
    model = saliency.load_onnx(
        model_of(
            nodes, [info("x", "n", 3)], [info("y", "n", 2)], s=np.array([2, 3]), c=c
        )
    )
    assert [link.name for link in model.children()] == ["product"]
    assert_allclose(model.product.W.array, c)


def test_a_branch_that_is_constant_is_the_only_one():
    then = graph_of([node("Relu", "x", "a")], [], [info("a", "n")], "then")
    other = graph_of([node("Abs", "x", "b")], [], [info("b", "n")], "other")
    nodes = [
        node("Shape", "w", "shape"),
        node("Size", "shape", "rank"),
        node("Equal", "rank two", "is_matrix"),
        node("If", "is_matrix", "h", then_branch=then, else_branch=other),
        node("Neg", "h", "y"),
    ]
    model = saliency.load_onnx(
        model_of(
            nodes,
            [info("x", "n")],
            [info("y", "n")],
            w=np.ones((2, 2), "f"),
            two=np.array(2),
        )
    )
    assert [s.node.type for s in model._plan.steps] == ["Relu", "Neg"]
    assert_allclose(model(np.array([-1.0, 2], "f")).array, [0, -2])


def test_branches_and_loops_by_what_the_model_is_given():
    then = graph_of([node("Mul", "x w", "a", "twice")], [], [info("a", 2)], "then")
    other = graph_of([node("Abs", "x", "b")], [], [info("b", 2)], "other")
    bool_info = info("go", dtype=TensorProto.BOOL)
    body = graph_of(
        [node("Mul", "v w", "u", "in_loop"), node("Identity", "go", "on")],
        [info("i", dtype=INT64), bool_info, info("v", 2)],
        [info("on", dtype=TensorProto.BOOL), info("u", 2)],
        "body",
    )
    nodes = [
        node("Greater", "n two", "many"),
        node("If", "many", "h", then_branch=then, else_branch=other),
        node("Loop", "n  h", "y", body=body),
    ]
    model = saliency.load_onnx(
        model_of(
            nodes,
            [info("x", 2), info("n", dtype=INT64)],
            [info("y", 2)],
            w=np.array([2.0, 3], "f"),
            two=np.array(2),
        )
    )
    x = np.array([1.0, -2], "f")
    assert_allclose(model(x, np.array(2)).array, [4, 18])
    assert_allclose(model(x, np.array(3)).array, [16, -162])
    assert {"twice", "in_loop"} <= set(model.link_names)


def test_an_input_of_another_kind():
    model = model_of([node("Identity", "s", "t")], [], [])
    text = helper.make_tensor_value_info("s", TensorProto.STRING, [1])
    model.graph.input.append(text)
    model.graph.output.append(
        helper.make_tensor_value_info("t", TensorProto.STRING, [1])
    )
    with pytest.raises(ValueError, match="input 's' is no tensor of numbers"):
        saliency.load_onnx(model)


def test_constants_that_are_listed_as_inputs_are_none():
    model = added()
    model.graph.input.append(helper.make_tensor_value_info("c", FLOAT, [3]))
    assert saliency.load_onnx(model).input_names == ("x",)
