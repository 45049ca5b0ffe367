"""Graphs side by side within a model, in which equal names are different things."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper

import saliency
from tests.models.onnx.graphs import INT64, graph_of, info, model_of, node, rounded

import chainer

BOOL = TensorProto.BOOL
RNG = np.random.default_rng(3)
ONES = np.ones((1, 2), "f")
X = rounded(RNG, 4, 2)
ROUND = [info("i", dtype=INT64), info("go", dtype=BOOL)]
A, B = rounded(RNG, 2, 2, 2)


def branch(*nodes, **constants):
    """Returns a branch of an If; its output is `o`."""
    return graph_of(list(nodes), [], [info("o", "n", 2)], "branch", **constants)


def times(matrix, x="x"):
    """Returns a branch with a constant `w`."""
    return branch(node("MatMul", f"{x} w", "o"), w=np.asarray(matrix, "f"))


def times_by_node(matrix):
    """Returns a branch in which `w` comes from a node."""
    tensor = numpy_helper.from_array(np.asarray(matrix, "f"))
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    return branch(constant, node("MatMul", "x w", "o"))


def through(operator):
    return branch(node(operator, "x", "h"), node("Relu", "h", "o"))


def with_count(n):
    """Returns a branch that adds an integer to the shape."""
    return branch(
        node("Shape", "x", "s"),
        node("Add", "s n", "t"),
        node("Cast", "t", "f", to=TensorProto.FLOAT),
        node("Mul", "x f", "o"),
        n=np.array(n),
    )


def body(*nodes, on="go", carried="v", **constants):
    """Returns a body of a Loop that makes `u` of what is carried."""
    every = [node("Identity", on, "on"), *nodes]
    inputs = [*ROUND, info(carried, "n", 2)]
    return graph_of(
        every, inputs, [info("on", dtype=BOOL), info("u", "n", 2)], "body", **constants
    )


def if_(condition, output, then, other):
    return node("If", condition, output, then_branch=then, else_branch=other)


def is_positive(x="x", name="c"):
    """Returns nodes that tell whether the sum of a value is more than `zero`."""
    total = f"{name}_total"
    return [
        node("ReduceSum", x, total, keepdims=0),
        node("Greater", f"{total} zero", name),
    ]


def proto_of(nodes, **constants):
    constants.setdefault("zero", np.float32(0))
    return model_of(
        nodes, [info("x", "n", 2)], [info("y", "n", 2)], opset=13, **constants
    )


def by_onnxruntime(proto, x):
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(proto.SerializeToString(), options)
    return session.run(None, {"x": x})[0]


def nested(condition, then, other):
    """Returns a branch that is another If, whose output is called as its own."""
    return branch(if_(condition, "p", then, other), node("Tanh", "p", "o"))


def rows(*nodes, **constants):
    """Returns a body of a Scan: a state `v`, a row `r`, and a row `q` that it gives."""
    return graph_of(
        list(nodes),
        [info("v", 2), info("r", 2)],
        [info("u", 2), info("q", 2)],
        "body",
        **constants,
    )


TWICE, HALF = np.array([2.0, 2], "f"), np.array([0.5, 0.5], "f")
MODELS = {
    "constants of branches": proto_of(
        [*is_positive(), if_("c", "y", times(A), times(B))]
    ),
    "constants by nodes": proto_of(
        [*is_positive(), if_("c", "y", times_by_node(A), times_by_node(B))]
    ),
    "values of branches": proto_of(
        [*is_positive(), if_("c", "y", through("Neg"), through("Identity"))]
    ),
    "integers of branches": proto_of(
        [*is_positive(), if_("c", "y", with_count([5, 1]), with_count([7, 2]))]
    ),
    "one integer, one variable": proto_of(
        [
            *is_positive(),
            if_(
                "c",
                "y",
                branch(
                    node("Shape", "x", "h"),
                    node("Cast", "h", "f", to=TensorProto.FLOAT),
                    node("Mul", "x f", "o"),
                ),
                through("Neg"),
            ),
        ]
    ),
    "outputs that are constants": proto_of(
        [
            *is_positive(),
            if_("c", "h", branch(o=np.ones((1, 2), "f")), branch(o=-ONES)),
            node("Mul", "x h", "y"),
        ]
    ),
    "conditions that are constant": proto_of(
        [
            if_("yes", "a", times(A), times(B)),
            if_("no", "b", times(A), times(B)),
            node("Sub", "a b", "y"),
        ],
        yes=np.array(True),
        no=np.array(False),
    ),
    "a name that comes later": proto_of(
        [
            if_("yes", "a", times(A), times(B)),
            node("Neg", "x", "w"),
            node("Mul", "a w", "o"),
            node("Abs", "o", "y"),
        ],
        yes=np.array(True),
    ),
    "ifs within ifs": proto_of(
        [
            *is_positive(),
            node("Neg", "x", "m"),
            *is_positive("m", "d"),
            if_(
                "c",
                "y",
                nested("d", times(A), times(B, "m")),
                nested("d", times(B), times(A, "m")),
            ),
        ]
    ),
    "values of the graph around": proto_of(
        [
            *is_positive(),
            node("MatMul", "x a", "m"),
            if_(
                "c",
                "y",
                branch(
                    node("Exp", "m", "h"),
                    if_(
                        "c",
                        "k",
                        branch(node("Add", "h m", "g"), node("Mul", "g t", "o")),
                        branch(node("Sub", "h m", "g"), node("Mul", "g t", "o")),
                    ),
                    node("Add", "k h", "o"),
                    t=TWICE,
                ),
                branch(node("Mul", "m t", "h"), node("Abs", "h", "o"), t=HALF),
            ),
        ],
        a=A,
    ),
    "loops": proto_of(
        [
            node("Loop", "n  x", "h", body=body(node("MatMul", "v w", "u"), w=A)),
            node("Loop", "n  h", "y", body=body(node("MatMul", "v w", "u"), w=B)),
        ],
        n=np.array(2),
    ),
    "loops with nodes": proto_of(
        [
            node(
                "Loop",
                "n  x",
                "h",
                body=body(
                    helper.make_node("Constant", [], ["w"], value_floats=[2.0, 3.0]),
                    node("Mul", "v w", "t"),
                    node("Tanh", "t", "u"),
                ),
            ),
            node(
                "Loop",
                "n  h",
                "y",
                body=body(
                    helper.make_node("Constant", [], ["w"], value_floats=[-1.0, 4.0]),
                    node("Sub", "v w", "t"),
                    node("Sin", "t", "u"),
                ),
            ),
        ],
        n=np.array(2),
    ),
    "loops within loops": proto_of(
        [
            node(
                "Loop",
                "n  x",
                "y",
                body=body(
                    node("Add", "v w", "t"),
                    node(
                        "Loop",
                        "n  t",
                        "k",
                        body=graph_of(
                            [
                                node("Identity", "on_again", "still"),
                                node("Mul", "z w", "s"),
                                node("Add", "s t", "r"),
                            ],
                            [
                                info("j", dtype=INT64),
                                info("on_again", dtype=BOOL),
                                info("z", "n", 2),
                            ],
                            [info("still", dtype=BOOL), info("r", "n", 2)],
                            "inner",
                        ),
                    ),
                    if_("go", "u", times(A, "k"), times(B, "k")),
                    w=HALF,
                ),
            ),
        ],
        n=np.array(2),
    ),
    "scans": proto_of(
        [
            node(
                "Scan",
                "start x",
                "e h",
                body=rows(node("Add", "v r", "u"), node("Mul", "u w", "q"), w=TWICE),
                num_scan_inputs=1,
            ),
            node(
                "Scan",
                "e h",
                "f y",
                body=rows(node("Mul", "v w", "u"), node("Sub", "u r", "q"), w=HALF),
                num_scan_inputs=1,
            ),
        ],
        start=np.zeros(2, "f"),
    ),
}


@pytest.mark.parametrize("x", [X, np.abs(X), -np.abs(X)], ids=["any", "+", "-"])
@pytest.mark.parametrize("name", MODELS)
def test_each_graph_has_names_of_its_own(name, x):
    found = saliency.load_onnx(MODELS[name])(chainer.Variable(x))
    expected = by_onnxruntime(MODELS[name], x)
    assert_allclose(chainer.as_array(found), expected, rtol=1e-5, atol=1e-6)


def test_branches_of_a_closed_form():
    model = saliency.load_onnx(MODELS["constants of branches"])
    assert_allclose(model(ONES).array, ONES @ A, rtol=1e-6)
    assert_allclose(model(-ONES).array, -ONES @ B, rtol=1e-6)


def test_each_constant_is_a_parameter_of_its_own():
    model = saliency.load_onnx(MODELS["conditions that are constant"])
    held = [link.W.array.T for link in model.children() if hasattr(link, "W")]
    assert_allclose(held, [A, B])
    assert len(model.link_names) == len(list(model.children()))


def test_a_constant_of_the_graph_around_is_one_parameter():
    inner = branch(node("MatMul", "x w", "o"))
    nodes = [*is_positive(), if_("c", "y", inner, inner)]
    model = saliency.load_onnx(proto_of(nodes, w=A))
    assert [p.shape for p in model.params() if p.ndim == 2] == [(2, 2)]
    assert_allclose(model(ONES).array, ONES @ A, rtol=1e-6)
    assert_allclose(model(-ONES).array, -ONES @ A, rtol=1e-6)


def test_constants_that_several_kinds_of_links_share():
    def of(matrix):
        return branch(
            node("MatMul", "x w", "h"),
            node("Mul", "h w", "k"),
            node("Add", "k w", "o"),
            w=matrix,
        )

    proto = proto_of([*is_positive(), if_("c", "y", of(A), of(B))])
    model = saliency.load_onnx(proto)
    x = np.abs(X[:2])
    for sign, w in ((1, A), (-1, B)):
        assert_allclose(model(sign * x).array, sign * x @ w * w + w, rtol=1e-5)
    model = model.select("y")
    assert_allclose(model(x).array, x @ A * A + A, rtol=1e-5)


def test_values_of_branches_can_be_selected():
    """What both branches call `o` is there twice: as it is, and with a number."""
    proto = MODELS["conditions that are constant"]
    model = saliency.load_onnx(proto)
    assert_allclose(model.select("o")(X).array, X @ A, rtol=1e-5)
    other = model.select("o_2")
    assert_allclose(other(X).array, X @ B, rtol=1e-5)
    assert [link.name for link in other.children()] == ["o_2"]
    # A branch that is never taken takes no name away.
    first, second = (
        [if_("c", "h", times(A), through("Exp")), node("Neg", "h", "y")],
        [if_("c", "a", through("Exp"), times(A)), node("Neg", "a", "y")],
    )
    for nodes, condition in ((first, True), (second, False)):
        model = saliency.load_onnx(proto_of(nodes, c=np.array(condition)))
        assert_allclose(model.select("o")(X).array, X @ A, rtol=1e-5)


def test_a_name_of_the_model_is_its_own():
    """Whatever an inner graph before it is called."""
    model = saliency.load_onnx(MODELS["a name that comes later"])
    assert_allclose(model.select("w")(X).array, -X)
    assert_allclose(model.select("o")(X).array, X @ A * -X, rtol=1e-5)
    assert model.output_names == ("y",)


def test_scores_of_branches_that_end_in_a_softmax():
    def of(matrix):
        return branch(
            node("MatMul", "x w", "h"), node("Softmax", "h", "o", axis=1), w=matrix
        )

    nodes = [
        if_("yes", "a", of(A), of(B)),
        if_("no", "b", of(A), of(B)),
        node("Identity", "b", "y"),
    ]
    proto = proto_of(nodes, yes=np.array(True), no=np.array(False))
    proto.graph.output.insert(0, info("a", "n", 2))
    first, second = saliency.load_onnx(proto).before_softmax()(X)
    assert_allclose(first.array, X @ A, rtol=1e-5)
    assert_allclose(second.array, X @ B, rtol=1e-5)


def test_a_node_that_is_needed_by_name_alone_is_no_reason():
    """Nothing needs the model's `h`: the branch has one of its own."""
    nodes = [
        *is_positive(),
        if_("c", "y", through("Neg"), through("Abs")),
        node("Celebrate", "x", "h", domain="org.example"),
    ]
    proto = proto_of(nodes)
    proto.opset_import.append(helper.make_opsetid("org.example", 1))
    assert_allclose(saliency.load_onnx(proto)(-ONES).array, ONES)


def test_inputs_of_a_body_that_are_called_as_values_around_it():
    """ONNX's checker lets them be; the nearer one is meant."""
    loop = body(node("Mul", "w w", "u"), carried="w")
    nodes = [node("MatMul", "x w", "h"), node("Loop", "n  h", "y", body=loop)]
    model = saliency.load_onnx(proto_of(nodes, w=A, n=np.array(1)))
    assert_allclose(model(X).array, (X @ A) ** 2, rtol=1e-5)


def test_an_input_with_a_constant_that_nothing_uses():
    proto = proto_of([node("Neg", "x", "y")], dead=TWICE)
    proto.graph.input.insert(0, info("dead", 2))
    model = saliency.load_onnx(proto)
    assert model.input_names == ("x",)
    assert_allclose(model(X).array, -X)


def test_gradients_go_through_the_branch_that_is_taken():
    model = saliency.load_onnx(MODELS["constants of branches"])
    calculator = saliency.GradientCalculator(model, class_index=1)
    found = calculator.compute(np.concatenate([ONES, -ONES]), batchsize=1)
    expected = np.stack([A[:, 1], B[:, 1]])
    assert_allclose(found.reshape(2, 2), expected, rtol=1e-5)


def test_a_loop_over_branches_keeps_what_it_carries():
    loop = body(
        *is_positive("v"),
        if_("c", "t", times(A, "v"), times(B, "v")),
        node("Add", "t x", "u"),
    )
    nodes = [node("Loop", "n  x", "y", body=loop)]
    model = saliency.load_onnx(proto_of(nodes, n=np.array(3)))
    expected = X
    for _ in range(3):
        expected = expected @ (A if expected.sum() > 0 else B) + X
    assert_allclose(model(X).array, expected, rtol=1e-4, atol=1e-5)
