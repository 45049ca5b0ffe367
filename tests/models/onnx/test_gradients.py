"""Gradients and relevance go through every operator, and through networks of them."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import saliency
from saliency.models.onnx.families import OPERATORS
from tests.models.onnx.cases import (
    array,
    cases_of,
    families,
    has_tensors_alone,
    in_float64,
)
from tests.models.onnx.graphs import DOUBLE, graph_of, info, model_of, node

import chainer
import chainer.functions as F

# Older versions of ONNX have fewer operators.
WITH_GRADIENTS = {
    name
    for name, operator in OPERATORS.items()
    if not operator.gives_arrays and onnx.defs.has(name)
}
# Cases of these take long to make, ...
IN_NETWORKS = {"AveragePool", "LpPool", "MaxPool"}
# ... and those of these cannot be in float64, or are new. The networks below have both.
IN_NETWORKS |= {"Cast", "CastLike", "GlobalLpPool", "If", "LpNormalization", "Trilu"}
# What modules with cases were called up to version 1.17.
OLD_NAMES = {"batchnorm", "instancenorm"}
# Inputs that get no gradient, besides those that are settings: bounds and an example.
WITHOUT = {"Clip": {1, 2}, "CastLike": {1}}
# Where relevance has no meaning, LRP says so.
NO_RELEVANCE = {
    "Det": "no relevance goes through BatchDet",
    **dict.fromkeys(
        ("Ceil", "Floor", "Hardmax", "Round", "Sign"), "the target has no influence"
    ),
}


class Probe(NamedTuple):
    """A model, and what it is given.

    Attributes:
        model (OnnxChain): In float64.
        inputs (list of numpy.ndarray): One for each of its inputs.
        moved (list of int): The positions of those that have a gradient.
    """

    model: Any
    inputs: list[np.ndarray]
    moved: list[int]

    def total(self, inputs):
        """Returns a sum over all outputs, in which each element has another weight."""
        rng = np.random.default_rng(0)
        with chainer.using_config("train", False):
            found = self.model(*inputs)
        outputs = found if isinstance(found, tuple) else (found,)
        return sum(
            F.sum(y * rng.normal(size=y.shape)) for y in filter(is_double, outputs)
        )

    def derivatives(self, rng):
        """Returns a derivative along random steps, by gradients and by a difference."""
        steps = {i: 1e-6 * rng.normal(size=self.inputs[i].shape) for i in self.moved}
        up, down = (
            [
                x + sign * steps[i] if i in steps else x
                for i, x in enumerate(self.inputs)
            ]
            for sign in (1, -1)
        )
        by_gradients = sum(
            (g.array * step).sum()
            for g, step in zip(self.gradients(), steps.values())
            if g is not None
        )
        return by_gradients, (self.total(up).array - self.total(down).array) / 2

    def gradients(self):
        """Returns those of the inputs that are moved, None if it changes in jumps."""
        inputs = [chainer.Variable(x) if is_double(x) else x for x in self.inputs]
        return chainer.grad([self.total(inputs)], [inputs[i] for i in self.moved])

    def relevance(self):
        """Returns that of the first input that has a gradient, as an example."""
        position = self.moved[0]

        def total(x):
            inputs = [*self.inputs]
            inputs[position] = x[0]
            return F.reshape(self.total(inputs), (1,))

        calculator = saliency.LRPCalculator(self.model, eval_fun=total)
        return calculator.compute(self.inputs[position][None])[0, 0]


def is_double(x):
    return x is not None and x.dtype == np.float64


def probe_of(case):
    """Returns a case of one node in float64, None if gradients cannot be tried.

    Its first output has to be the one that comes with it.
    """
    (proto,) = case.model.graph.node
    names = [i.name for i in case.model.graph.input]
    if not has_tensors_alone(case) or not set(names) <= set(proto.input):
        return None
    case = in_float64(case) or case
    inputs = [np.asarray(array(x)) for x in case.data_sets[0][0]]
    is_finite = all(np.isfinite(x).all() for x in inputs)
    kept = OPERATORS[proto.op_type].settings | WITHOUT.get(proto.op_type, set())
    moved = [
        i
        for i, x in enumerate(inputs)
        if is_double(x) and list(proto.input).index(names[i]) not in kept
    ]
    if not is_finite or not moved:
        return None
    try:
        model = saliency.load_onnx(case.model)
    except ValueError:  # such nodes are not claimed to be known
        return None
    with chainer.using_config("train", False):
        found = model(*inputs)
    y = found[0] if isinstance(found, tuple) else found
    if not is_double(y):
        return None
    assert_allclose(y.array, array(case.data_sets[0][1][0]), case.rtol, case.atol)
    rng = np.random.default_rng(1)
    for i in moved:  # away from where it has an edge
        inputs[i] = inputs[i] + 1e-3 * rng.normal(size=inputs[i].shape)
    return Probe(model, inputs, moved)


@functools.cache
def probes():
    """Returns a probe for each operator that gradients can go through."""
    wanted = WITH_GRADIENTS - IN_NETWORKS
    names = {*map(str.lower, wanted), *OLD_NAMES}
    modules = {m for m in families() if m.replace("_", "") in names}
    found = {}
    for case in cases_of(sorted(modules)).values():
        nodes = case.model.graph.node
        name = nodes[0].op_type
        if len(nodes) == 1 and name in wanted - found.keys():
            probe = probe_of(case)
            found.update({name: probe} if probe else {})
    return found


@pytest.mark.large
def test_gradients_go_through_each_operator():
    assert probes().keys() == WITH_GRADIENTS - IN_NETWORKS
    rng = np.random.default_rng(2)
    for name, probe in probes().items():
        assert_allclose(*probe.derivatives(rng), rtol=1e-5, atol=1e-14, err_msg=name)


@pytest.mark.large
def test_relevance_goes_through_each_operator():
    for name, probe in probes().items():
        reason = NO_RELEVANCE.get(name)
        if reason is None:
            assert np.isfinite(probe.relevance()).all(), name
        else:
            with pytest.raises(ValueError, match=reason):
                probe.relevance()


def drawn(rng, *shape):
    return rng.normal(size=shape)


def of_doubles(nodes, x, y, output="y", **parameters):
    """Returns a model with one input and one output, of these shapes."""
    x, y = info("x", *x, dtype=DOUBLE), info(output, *y, dtype=DOUBLE)
    return model_of(nodes, [x], [y], 20, **parameters)


def recurrent(rng):
    """Returns layers of all three kinds in both directions, with peepholes."""
    nodes, x, width = [], "x", 3
    parameters = {"P": drawn(rng, 2, 6)}
    for kind, n_gate in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        name = f"{kind.lower()}{len(nodes)}"
        parameters[f"W{name}"] = drawn(rng, 2, 2 * n_gate, width)
        parameters[f"R{name}"] = drawn(rng, 2, 2 * n_gate, 2)
        parameters[f"B{name}"] = drawn(rng, 2, 4 * n_gate)
        inputs = f"{x} W{name} R{name} B{name}"
        peep = "    P" if kind == "LSTM" else ""
        nodes += [
            node(
                kind,
                inputs + peep,
                f"ys{name}",
                name,
                hidden_size=2,
                direction="bidirectional",
            ),
            node("Transpose", f"ys{name}", f"t{name}", perm=[0, 2, 1, 3]),
            node("Reshape", f"t{name} size", f"y{name}"),
        ]
        x, width = f"y{name}", 4
    parameters["size"] = np.array([0, 0, -1])
    return of_doubles(nodes, (2, "n", 3), (2, "n", 4), x, **parameters)


def mixed(rng):
    """Returns operators that are several of Chainer's functions."""
    then = [node("Tanh", "u", "f")], [], [info("f", dtype=DOUBLE)], "then"
    other = [node("Abs", "u", "g")], [], [info("g", dtype=DOUBLE)], "other"
    nodes = [
        node("Size", "x", "many"),
        node(
            "AveragePool",
            "x",
            "a",
            kernel_shape=[3, 2],
            strides=[2, 1],
            pads=[1, 0, 1, 1],
            ceil_mode=1,
        ),
        node("Resize", "a  scales", "r", mode="linear"),
        node("MaxPool", "r", "m", kernel_shape=[2, 2], dilations=[2, 1]),
        node("ConvTranspose", "m w", "c", strides=[2, 2], output_padding=[1, 0]),
        node("HardSwish", "c", "h"),
        node("LpPool", "h", "l", kernel_shape=[2, 2], p=3),
        node("Mish", "l", "s"),
        node("Cast", "s", "s1", to=DOUBLE),
        node("CastLike", "s1 w", "s2"),
        node("Trilu", "s2", "u"),
        node("Greater", "many few", "go_on"),
        node(
            "If",
            "go_on",
            "v",
            then_branch=graph_of(*then),
            else_branch=graph_of(*other),
        ),
        node("GlobalLpPool", "v", "y", p=2),
    ]
    parameters = {
        "w": drawn(rng, 2, 3, 2, 3),
        "scales": np.array([1, 1, 1.7, 2.3], "f"),
        "few": np.array(2),
    }
    return of_doubles(nodes, ("n", 2, 6, 5), ("n", 3, 1, 1), **parameters)


def sampled(rng):
    """Returns an image that is sampled where it says itself, in all ways."""
    nodes = [
        node("Conv", "x w", "d", strides=[2, 2]),
        node("Tanh", "d", "t"),
        node("Transpose", "t", "points", perm=[0, 2, 3, 1]),
        node("GridSample", "x points", "a", mode="linear", padding_mode="reflection"),
        node("GridSample", "x points", "b", mode="cubic", align_corners=1),
        node("Mul", "a b", "c"),
        node("LpNormalization", "c", "y", axis=1),
    ]
    w = drawn(rng, 2, 2, 2, 2)
    return of_doubles(nodes, ("n", 2, 5, 6), ("n", 2, 2, 3), w=w)


NETWORKS = {
    "sampled": (sampled, (2, 2, 5, 6), 0),
    "recurrent": (recurrent, (2, 2, 3), 1),
    "mixed": (mixed, (2, 2, 6, 5), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_relevance_go_through_networks(name):
    make, shape, batch = NETWORKS[name]
    model = saliency.load_onnx(make(np.random.default_rng(0)))
    rng = np.random.default_rng(1)
    x = rng.normal(size=shape)
    assert_allclose(*Probe(model, [x], [0]).derivatives(rng), rtol=1e-5)

    def total(x):
        y = F.moveaxis(model(F.moveaxis(x, 0, batch)), batch, 0)
        return F.sum(F.reshape(y, (len(y), -1)), axis=1)

    calculator = saliency.LRPCalculator(model, eval_fun=total)
    account = calculator.conservation(np.moveaxis(x, batch, 0))
    missing = sum(entry.other for entry in account.entries)
    assert abs(missing) < 1e-3 * abs(account.start)


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        ("LpNormalization", {"axis": 1}),
        ("MeanVarianceNormalization", {"axes": [1]}),
        ("ReduceL2", {"axes": [1]}),
        ("GlobalLpPool", {"p": 3}),
        ("LpPool", {"kernel_shape": [2]}),
    ],
)
def test_norms_of_zeros_have_a_gradient(operator, options):
    shape = (2, 4, 5) if "Pool" in operator else (2, 4)
    x, y = info("x", *shape, dtype=DOUBLE), info("y", dtype=DOUBLE)
    proto = model_of([node(operator, "x", "y", **options)], [x], [y], 11)
    data = np.ones(shape)
    data[1] = 0
    (gradient,) = Probe(saliency.load_onnx(proto), [data], [0]).gradients()
    assert np.isfinite(gradient.array).all()
    if not operator.endswith("Normalization"):
        assert gradient.array[0].any()
        assert not gradient.array[1].any()


@pytest.mark.parametrize(
    ("operator", "place", "slope"),
    [
        ("Asinh", 0.0, 1),
        ("Asinh", -0.0, 1),
        ("Asinh", -0.75, 0.8),
        ("Acosh", 1.25, 4 / 3),
        ("Acosh", 1.0, np.inf),
        ("Atanh", 0.0, 1),
        ("Atanh", 1.0, np.inf),
        ("Celu", 0.0, 1),
        ("Mish", 0.0, 0.6),
        ("Softsign", 0.0, 1),
    ],
)
def test_slopes_of_functions_at_zero_and_at_their_edges(operator, place, slope):
    proto = of_doubles([node(operator, "x", "y")], (1,), (1,))
    model = saliency.load_onnx(proto)
    with np.errstate(divide="ignore"):
        (gradient,) = Probe(model, [np.array([place])], [0]).gradients()
    weight = np.random.default_rng(0).normal()  # that of Probe.total
    assert_allclose(gradient.array, [slope * weight], rtol=1e-12)


@pytest.mark.parametrize("exponents", [0.0, [0.0], [0.0, 1.0, 2.0]])
def test_powers_of_zero_have_a_gradient(exponents):
    exponents = np.array(exponents)
    proto = of_doubles([node("Pow", "x e", "y")], (2, 3), (2, 3), e=exponents)
    model = saliency.load_onnx(proto)
    x = chainer.Variable(np.array([[0.0, 0.0, 0.0], [2.0, 3.0, 4.0]]))
    y = model(x)
    assert_allclose(y.array, x.array**exponents)
    with np.errstate(divide="ignore", invalid="ignore"):  # of the exponents' gradient
        (gradient,) = chainer.grad([F.sum(y)], [x])
    assert_allclose(gradient.array[0], np.broadcast_to(exponents == 1, 3))
    assert_allclose(gradient.array[1], exponents * x.array[1] ** (exponents - 1))


@pytest.mark.parametrize("place", [0.25, 0.5, 2.0])
def test_what_is_clipped_to_one_value_has_no_gradient(place):
    nodes = [node("Clip", "x a a", "y")]
    proto = of_doubles(nodes, (1,), (1,), a=np.array(0.5))
    probe = Probe(saliency.load_onnx(proto), [np.array([place])], [0])
    (gradient,) = probe.gradients()
    assert_array_equal(gradient.array, [0.0])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("i...->...", [(2, 3, 4)]),
        ("...i->...", [(2, 3, 4)]),
        ("i...->...i", [(2, 3, 4)]),
        ("i...->i...", [(2,)]),
        ("i...i->...", [(2, 3, 4, 2)]),
        ("...ij,...jk", [(2, 3, 4), (2, 4, 5)]),
        ("...a,...a", [(2, 3, 4), (2, 3, 4)]),
        ("b...,...a->b...", [(2, 3), (3, 4)]),
        ("Aa...,...b -> b...A", [(2, 3, 4, 2), (4, 2, 3)]),
        ("...i,...i->...", [(2, 3, 4), (4,)]),
        ("ij,j", [(2, 3), (3,)]),
    ],
)
def test_gradients_of_sums_of_products(equation, shapes):
    rng = np.random.default_rng(0)
    arrays = [drawn(rng, *shape) for shape in shapes]
    names = [f"x{i}" for i in range(len(shapes))]
    inputs = [info(n, *s, dtype=DOUBLE) for n, s in zip(names, shapes)]
    nodes = [node("Einsum", " ".join(names), "y", equation=equation)]
    expected = np.einsum(equation, *arrays)
    outputs = [info("y", *expected.shape, dtype=DOUBLE)]
    model = saliency.load_onnx(model_of(nodes, inputs, outputs, 20))
    probe = Probe(model, arrays, list(range(len(arrays))))
    assert_allclose(model(*arrays).array, expected)
    assert_allclose(*probe.derivatives(rng), rtol=1e-5)
