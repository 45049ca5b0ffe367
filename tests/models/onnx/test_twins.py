"""Networks from files beside the same networks, written in Chainer by hand.

Every method has to give the same for both, and gradients are held against differences.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import saliency
from saliency.lrp.composites import PRESETS
from tests.models.onnx.graphs import convolutional, info, model_of, node, rounded

import chainer
import chainer.functions as F
from chainer import links as L

RNG = np.random.default_rng(3)


class Convolutional(chainer.Chain):
    """What ``convolutional`` is, up to the scores."""

    def __init__(self, p):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(
                3, 4, 3, pad=1, initialW=p["w1"], initial_bias=p["b1"]
            )
            self.norm = L.BatchNormalization(
                4,
                eps=1e-5,
                initial_gamma=p["gamma"],
                initial_beta=p["beta"],
                initial_avg_mean=p["mean"],
                initial_avg_var=p["var"],
            )
            self.conv2 = L.Convolution2D(4, 4, 1, nobias=True, initialW=p["w2"])
            self.fc = L.Linear(36, 5, initialW=p["w3"], initial_bias=p["b3"])

    def forward(self, x):
        h = F.relu(self.norm(self.conv1(x)))
        h = F.max_pooling_2d(self.conv2(h) + h, 2, 2, cover_all=False)
        return self.fc(F.reshape(h, (len(h), -1)))


@pytest.fixture(scope="module")
def networks():
    proto, parameters = convolutional(np.random.default_rng(1))
    return saliency.load_onnx(proto).before_softmax(), Convolutional(parameters)


X = rounded(RNG, 3, 3, 6, 6)
METHODS = {
    "gradient": (saliency.GradientCalculator, {}, {}),
    "gradient times input": (
        saliency.GradientCalculator,
        {"multiply_target": True},
        {},
    ),
    "smooth": (
        saliency.SmoothGradCalculator,
        {},
        {"M": 3, "seed": 0},
    ),
    "integrated": (saliency.IntegratedGradientsCalculator, {"steps": 4}, {}),
    "occlusion": (saliency.OcclusionCalculator, {"slide_axis": (2, 3), "size": 2}, {}),
    "grad cam": (saliency.GradCAMCalculator, {}, {}),
    "guided": (saliency.GuidedBackpropCalculator, {}, {}),
    "deconvnet": (saliency.DeconvnetCalculator, {}, {}),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_the_same(networks, name):
    method, options, how = METHODS[name]
    found, expected = (
        method(model, class_index="argmax", **options).compute(X, **how)
        for model in networks
    )
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert abs(expected).max() > 1e-3


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_lrp_gives_the_same(networks, preset):
    found, expected = (
        saliency.LRPCalculator(
            model, rule=preset, class_index="argmax", low=-5.0, high=5.0
        ).compute(X)
        for model in networks
    )
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert abs(expected).max() > 1e-3


def test_relevance_within_the_network_is_the_same_at_each_layer(networks):
    layers = {
        "/body_conv1_Conv": "/conv1",
        "/body_norm": "/norm",
        "/body_conv2_Conv": "/conv2",
        "/fc_Gemm": "/fc",
    }
    found, expected = (
        saliency.LRPCalculator(model, class_index=2).compute_layers(X, list(paths))
        for model, paths in zip(networks, (layers, layers.values()))
    )
    for path, other in layers.items():
        assert_allclose(found[path], expected[other], rtol=1e-4, atol=1e-5)


def test_relevance_is_kept_at_every_cut(networks):
    account = saliency.LRPCalculator(
        networks[0], rule="epsilon", class_index=2
    ).conservation(X)
    start = kept = account.start
    for entry in account.entries:
        kept -= entry.bias + entry.other
        assert_allclose(entry.cut, kept, atol=1e-4 * abs(start))
        assert abs(entry.other) < 1e-3 * max(abs(start), 1)


def in_float64(model):
    """Returns a model with the same numbers of more digits."""
    for link in model.links():
        for parameter in link.params(include_uninit=False):
            parameter.array = parameter.array.astype("d")
        for name in link._persistent:
            value = getattr(link, name)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                setattr(link, name, value.astype("d"))
    return model


def transformer(rng):
    """Returns one block as PyTorch exports it, with attention of one head."""
    weights = {name: rounded(rng, 4, 4) for name in ("q", "k", "v", "o")}
    nodes = [
        node("LayerNormalization", "x g b", "n", "norm"),
        *(node("MatMul", f"n {name}", f"n{name}") for name in "qkv"),
        node("Transpose", "nk", "kt", perm=[0, 2, 1]),
        node("MatMul", "nq kt", "scores"),
        node("Div", "scores root", "scaled"),
        node("Softmax", "scaled", "attention", axis=-1),
        node("MatMul", "attention nv", "mixed"),
        node("MatMul", "mixed o", "projected"),
        node("Add", "x projected", "h"),
        node("Gelu", "h", "y"),
    ]
    parameters = {"g": rounded(rng, 4), "b": rounded(rng, 4), "root": np.float32(2)}
    x, y = info("x", "n", 3, 4), info("y", "n", 3, 4)
    return model_of(nodes, [x], [y], 20, **weights, **parameters)


def recurrent(rng):
    """Returns layers of all three kinds in both directions, with peepholes."""
    nodes, x, width = [], "x", 3
    parameters = {"P": rounded(rng, 2, 6)}
    for kind, n_gate in (("RNN", 1), ("GRU", 3), ("LSTM", 4), ("LSTM", 4)):
        name = f"{kind.lower()}{len(nodes)}"
        parameters[f"W{name}"] = rounded(rng, 2, 2 * n_gate, width)
        parameters[f"R{name}"] = rounded(rng, 2, 2 * n_gate, 2)
        parameters[f"B{name}"] = rounded(rng, 2, 4 * n_gate)
        inputs = f"{x} W{name} R{name} B{name}"
        peep = "    P" if len(nodes) == 9 else ""
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
    x_info, y = info("x", 4, "n", 3), info(x, 4, "n", 4)
    return model_of(nodes, [x_info], [y], 14, **parameters)


def mixed(rng):
    """Returns operators that are several of Chainer's functions."""
    nodes = [
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
        node("ReduceL2", "s axes", "y", keepdims=0),
    ]
    parameters = {
        "w": rounded(rng, 2, 3, 2, 3),
        "scales": np.array([1, 1, 1.7, 2.3], "f"),
        "axes": np.array([2, 3]),
    }
    x, y = info("x", "n", 2, 6, 5), info("y", "n", 3)
    return model_of(nodes, [x], [y], 19, **parameters)


def sampled(rng):
    """Returns an image that is sampled where it says itself, in all ways."""
    nodes = [
        node("Conv", "x w", "c", strides=[2, 2]),
        node("Tanh", "c", "t"),
        node("Transpose", "t", "points", perm=[0, 2, 3, 1]),
        node("GridSample", "x points", "a", mode="linear", padding_mode="reflection"),
        node("GridSample", "x points", "b", mode="cubic", align_corners=1),
        node("Mul", "a b", "y"),
    ]
    x, y = info("x", "n", 2, 5, 6), info("y", "n", 2, 2, 3)
    return model_of(nodes, [x], [y], 20, w=rounded(rng, 2, 2, 2, 2))


NETWORKS = {
    "sampled": (sampled, (2, 2, 5, 6)),
    "convolutional": (lambda rng: convolutional(rng)[0], (2, 3, 6, 6)),
    "transformer": (transformer, (2, 3, 4)),
    "recurrent": (recurrent, (4, 2, 3)),
    "mixed": (mixed, (2, 2, 6, 5)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_finite_differences(name):
    make, shape = NETWORKS[name]
    model = in_float64(saliency.load_onnx(make(np.random.default_rng(0))))
    rng = np.random.default_rng(1)
    x = rng.normal(size=shape)
    weights = rng.normal(size=model(x).shape)

    def total(x):
        return F.sum(model(x) * weights)

    variable = chainer.Variable(x)
    (gradient,) = chainer.grad([total(variable)], [variable])
    for _ in range(5):
        step = 1e-6 * rng.normal(size=shape)
        difference = (total(x + step).array - total(x - step).array) / 2
        assert_allclose((gradient.array * step).sum(), difference, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_relevance_goes_through_each_network(name):
    make, shape = NETWORKS[name]
    model = saliency.load_onnx(make(np.random.default_rng(0)))
    x = rounded(np.random.default_rng(1), *shape)
    batch = 1 if name == "recurrent" else 0

    def total(x):
        y = F.moveaxis(model(F.moveaxis(x, 0, batch)), batch, 0)
        return F.sum(F.reshape(y, (len(y), -1)), axis=1)

    x = np.moveaxis(x, batch, 0)
    calculator = saliency.LRPCalculator(model, eval_fun=total, rule="epsilon")
    account = calculator.conservation(x)
    missing = sum(entry.other for entry in account.entries)
    assert abs(missing) < 1e-3 * abs(account.start)
