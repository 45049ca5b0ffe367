"""Networks that are written twice, in Chainer and as a file, with equal parameters.

All is in float64. Each node of the file has the name of a link of the other network, so
that both can be compared node by node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import saliency
from tests.models.onnx.graphs import DOUBLE, info, model_of, node

import chainer
import chainer.functions as F
from chainer import links as L


class Step(chainer.Link):
    """A function as a link."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


class Shift(chainer.Link):
    """A sum with a parameter."""

    def __init__(self, b):
        super().__init__()
        with self.init_scope():
            self.b = chainer.Parameter(b)

    def forward(self, x):
        return x + self.b


class Rows(L.Linear):
    """A linear layer of the last axis."""

    def __init__(self, W, b=None):
        n_out, n_in = W.shape
        super().__init__(n_in, n_out, nobias=b is None, initialW=W, initial_bias=b)

    def forward(self, x):
        return super().forward(x, n_batch_axes=x.ndim - 1)


class LayerNormalization(L.LayerNormalization):
    """Of the last axis."""

    def __init__(self, gamma, beta):
        super().__init__(len(gamma), eps=1e-5)
        self.gamma.array[...], self.beta.array[...] = gamma, beta

    def forward(self, x):
        return F.reshape(super().forward(F.reshape(x, (-1, x.shape[-1]))), x.shape)


class LSTM(L.StatelessLSTM):
    """Step by step over ``(time, n, input)``; gives ``(time, 1, n, unit)``."""

    def __init__(self, W, R, b):
        n_unit = R.shape[1]
        super().__init__(W.shape[1], n_unit)
        # ONNX has the gates i, o, f, c one behind the other, Chainer c, i, f, o for
        # each unit.
        for link, array, name in (
            (self.upward, W, "W"),
            (self.lateral, R, "W"),
            (self.upward, b, "b"),
        ):
            i, o, f, c = np.split(array, 4)
            together = np.stack([c, i, f, o], axis=1).reshape(array.shape)
            getattr(link, name).array = together

    def forward(self, xs):
        # Zeros rather than None: a sum with them has a stabilizer of LRP, too.
        cell, hidden = None, chainer.Variable(np.zeros((xs.shape[1], self.state_size)))
        outputs = []
        for x in xs:
            cell, hidden = super().forward(cell, hidden, x)
            outputs.append(hidden)
        return F.expand_dims(F.stack(outputs), 1)


class GRU(chainer.Chain):
    """Step by step over ``(time, n, input)``; gives ``(time, 1, n, unit)``.

    The new content is reset after it has been multiplied, as PyTorch has it.
    """

    def __init__(self, W, R, of_x, of_h):
        super().__init__()
        with self.init_scope():
            self.up = Rows(W, of_x)
            for i, name in enumerate("zrh"):
                R_i, b_i = (np.split(a, 3)[i] for a in (R, of_h))
                setattr(self, name, Rows(R_i, b_i))

    def forward(self, xs):
        n_unit = self.z.W.shape[0]
        h = chainer.Variable(np.zeros((xs.shape[1], n_unit)))
        outputs = []
        for x in self.up(xs):
            x_z, x_r, x_h = F.split_axis(x, 3, axis=1)
            z = F.sigmoid(x_z + self.z(h))
            r = F.sigmoid(x_r + self.r(h))
            h = F.linear_interpolate(z, h, F.tanh(x_h + r * self.h(h)))
            outputs.append(h)
        return F.expand_dims(F.stack(outputs), 1)


class Twins(NamedTuple):
    """A network of a file, and the same in Chainer.

    Attributes:
        loaded (OnnxChain): Each of its links runs one node.
        written (Chain): It has links of the same names.
        x (numpy.ndarray): Data, ``(2, ...)``.
    """

    loaded: chainer.Chain
    written: chainer.Chain
    x: np.ndarray


def twins(name):
    """Returns the networks of a name in ``TWINS``."""
    with chainer.using_config("dtype", np.float64):
        nodes, constants, shape, links, forward = TWINS[name]()
    x, y = info("x", "n", *shape, dtype=DOUBLE), info("y", "n", 3, dtype=DOUBLE)
    constants.update(ratio=np.float32(0.25))
    return Twins(
        saliency.load_onnx(model_of(nodes, [x], [y], 20, **constants)),
        Written(links, forward),
        np.random.default_rng(2).normal(size=(2, *shape)),
    )


def drawn(**shapes):
    """Returns arrays of shapes, by their names in the file."""
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def turned(*axes):
    return Step(lambda x: F.transpose(x, axes))


def dropout():
    return Step(lambda x: F.dropout(x, 0.25))


class Written(chainer.Chain):
    """A network of links and a function."""

    def __init__(self, links, forward):
        super().__init__()
        self.run = forward
        with self.init_scope():
            for name, link in links.items():
                setattr(self, name, link)

    def forward(self, x):
        return self.run(self, x)


def perceptron():
    """Layers with dropout between them, one of them in two nodes."""
    p = drawn(w1=(6, 4), b1=6, w2=(5, 6), b2=5, w3=(5, 3), b3=3)
    nodes = [
        node("Flatten", "x", "x1", "flat"),
        node("Gemm", "x1 w1 b1", "a", "fc1", transB=1),
        node("Relu", "a", "b", "relu"),
        node("Dropout", "b ratio", "c", "drop1"),
        node("Gemm", "c w2 b2", "d", "fc2", transB=1),
        node("LeakyRelu", "d", "e", "leaky", alpha=0.25),
        node("Dropout", "e ratio", "f", "drop2"),
        node("MatMul", "f w3", "g", "product"),
        node("Add", "b3 g", "y", "shift"),
    ]
    links = {
        "flat": Step(lambda x: F.reshape(x, (len(x), -1))),
        "fc1": L.Linear(4, 6, initialW=p["w1"], initial_bias=p["b1"]),
        "relu": Step(F.relu),
        "drop1": dropout(),
        "fc2": L.Linear(6, 5, initialW=p["w2"], initial_bias=p["b2"]),
        "leaky": Step(lambda x: F.leaky_relu(x, 0.25)),
        "drop2": dropout(),
        "product": L.Linear(5, 3, nobias=True, initialW=p["w3"].T),
        "shift": Shift(p["b3"]),
    }

    def forward(m, x):
        h = m.drop1(m.relu(m.fc1(m.flat(x))))
        return m.shift(m.product(m.drop2(m.leaky(m.fc2(h)))))

    return nodes, p, (2, 2), links, forward


def convolutional():
    """Convolutions with a normalization, poolings and a residual sum."""
    p = drawn(
        w1=(4, 3, 3, 3),
        b1=4,
        gamma=4,
        beta=4,
        mean=4,
        var=4,
        w2=(4, 2, 1, 1),
        w3=(4, 1, 3, 3),
        b3=4,
        w4=(3, 8),
        b4=3,
    )
    p["var"] = np.square(p["var"])
    nodes = [
        node("Mul", "x half", "x1", "scaled"),
        node("Conv", "x1 w1 b1", "a", "conv1", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a gamma beta mean var", "b", "norm"),
        node("Relu", "b", "c", "relu"),
        node("Conv", "c w2", "d", "conv2", group=2),
        node("Add", "d c", "e", "sum"),
        node("MaxPool", "e", "f", "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "f w3 b3", "g", "depthwise", pads=[0, 0, 1, 1], group=4),
        node("Clip", "g low high", "h", "relu6"),
        node("AveragePool", "h", "i", "mean", kernel_shape=[2, 1]),
        node("Flatten", "i", "j", "flat"),
        node("Dropout", "j ratio", "k", "drop"),
        node("Gemm", "k w4 b4", "y", "fc", transB=1),
    ]
    links = {
        "scaled": Step(lambda x: x * 0.5),
        "conv1": L.Convolution2D(
            3, 4, 3, pad=1, initialW=p["w1"], initial_bias=p["b1"]
        ),
        "norm": L.BatchNormalization(
            4,
            eps=1e-5,
            dtype=np.float64,
            initial_gamma=p["gamma"],
            initial_beta=p["beta"],
            initial_avg_mean=p["mean"],
            initial_avg_var=p["var"],
        ),
        "relu": Step(F.relu),
        "conv2": L.Convolution2D(4, 4, 1, nobias=True, groups=2, initialW=p["w2"]),
        "sum": Step(lambda a, b: a + b),
        "pool": Step(lambda x: F.max_pooling_2d(x, 2, cover_all=False)),
        "depthwise": Uneven(4, 4, 3, groups=4, initialW=p["w3"], initial_bias=p["b3"]),
        "relu6": Step(F.relu6),
        "mean": Step(lambda x: F.average_pooling_2d(x, (2, 1), 1)),
        "flat": Step(lambda x: F.reshape(x, (len(x), -1))),
        "drop": dropout(),
        "fc": L.Linear(8, 3, initialW=p["w4"], initial_bias=p["b4"]),
    }

    def forward(m, x):
        # Statistics that training has left stay as they are under train=True.
        with chainer.using_config("train", False):
            h = m.norm(m.conv1(m.scaled(x)))
        h = m.relu(h)
        h = m.pool(m.sum(m.conv2(h), h))
        h = m.mean(m.relu6(m.depthwise(h)))
        return m.fc(m.drop(m.flat(h)))

    p.update(half=np.array(0.5), low=np.array(0.0), high=np.array(6.0))
    return nodes, p, (3, 6, 6), links, forward


class Uneven(L.Convolution2D):
    """A convolution with padding below and on the right alone."""

    def forward(self, x):
        return super().forward(F.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), "constant"))


def attention():
    """A block with attention of two heads, and a layer with GELU behind it."""
    p = drawn(
        gamma=4,
        beta=4,
        q=(4, 4),
        bq=4,
        k=(4, 4),
        v=(4, 4),
        o=(4, 4),
        w1=(4, 5),
        b1=5,
        w2=(5, 4),
        w3=(3, 4),
        b3=3,
    )
    nodes = [
        node("Reshape", "x tokens", "x1", "rows"),
        node("LayerNormalization", "x1 gamma beta", "n", "norm"),
        node("MatMul", "n q", "q0", "query"),
        node("Add", "bq q0", "q1", "query_shift"),
        node("MatMul", "n k", "k1", "key"),
        node("MatMul", "n v", "v1", "value"),
        *(node("Reshape", f"{i}1 heads", f"{i}2", f"heads_{i}") for i in "qkv"),
        node("Transpose", "q2", "q3", "turn_q", perm=[0, 2, 1, 3]),
        node("Transpose", "k2", "k3", "turn_k", perm=[0, 2, 3, 1]),
        node("Transpose", "v2", "v3", "turn_v", perm=[0, 2, 1, 3]),
        node("MatMul", "q3 k3", "s", "scores"),
        node("Mul", "s scale", "t", "scaled"),
        node("Softmax", "t", "w", "weights", axis=-1),
        node("MatMul", "w v3", "m", "mixed"),
        node("Transpose", "m", "m1", "turn_back", perm=[0, 2, 1, 3]),
        node("Reshape", "m1 whole", "m2", "together"),
        node("MatMul", "m2 o", "a", "projected"),
        node("Dropout", "a ratio", "b", "drop"),
        node("Add", "x1 b", "c", "sum1"),
        node("MatMul", "c w1", "d", "wide"),
        node("Add", "d b1", "e", "wide_shift"),
        node("Gelu", "e", "f", "gelu"),
        node("MatMul", "f w2", "g", "narrow"),
        node("Add", "c g", "h", "sum2"),
        node("ReduceMean", "h axis", "i", "mean", keepdims=0),
        node("Gemm", "i w3 b3", "y", "fc", transB=1),
    ]
    links = {
        "rows": Step(lambda x: F.reshape(x, (len(x), 3, 4))),
        "norm": LayerNormalization(p["gamma"], p["beta"]),
        "query": Rows(p["q"].T),
        "query_shift": Shift(p["bq"]),
        "key": Rows(p["k"].T),
        "value": Rows(p["v"].T),
        **{
            f"heads_{i}": Step(lambda x: F.reshape(x, (*x.shape[:2], 2, 2)))
            for i in "qkv"
        },
        "turn_q": turned(0, 2, 1, 3),
        "turn_k": turned(0, 2, 3, 1),
        "turn_v": turned(0, 2, 1, 3),
        "scores": Step(F.matmul),
        "scaled": Step(lambda x: x * 0.5),
        "weights": Step(lambda x: F.softmax(x, axis=3)),
        "mixed": Step(F.matmul),
        "turn_back": turned(0, 2, 1, 3),
        "together": Step(lambda x: F.reshape(x, (*x.shape[:2], 4))),
        "projected": Rows(p["o"].T),
        "drop": dropout(),
        "sum1": Step(lambda a, b: a + b),
        "wide": Rows(p["w1"].T),
        "wide_shift": Shift(p["b1"]),
        "gelu": Step(lambda x: 0.5 * x * (1 + F.erf(x / np.sqrt(2)))),
        "narrow": Rows(p["w2"].T),
        "sum2": Step(lambda a, b: a + b),
        "mean": Step(lambda x: F.mean(x, axis=1)),
        "fc": L.Linear(4, 3, initialW=p["w3"], initial_bias=p["b3"]),
    }

    def forward(m, x):
        x = m.rows(x)
        n = m.norm(x)
        q = m.turn_q(m.heads_q(m.query_shift(m.query(n))))
        k = m.turn_k(m.heads_k(m.key(n)))
        v = m.turn_v(m.heads_v(m.value(n)))
        mixed = m.mixed(m.weights(m.scaled(m.scores(q, k))), v)
        h = m.sum1(x, m.drop(m.projected(m.together(m.turn_back(mixed)))))
        h = m.sum2(h, m.narrow(m.gelu(m.wide_shift(m.wide(h)))))
        return m.fc(m.mean(h))

    p.update(
        tokens=np.array([0, 3, 4]),
        heads=np.array([0, 0, 2, 2]),
        whole=np.array([0, 0, 4]),
    )
    p.update(scale=np.array(0.5), axis=np.array([1]))
    return nodes, p, (12,), links, forward


def recurrent():
    """An LSTM, and a GRU behind it, as PyTorch exports them."""
    p = drawn(
        w1=(1, 16, 3),
        r1=(1, 16, 4),
        b1=(1, 32),
        w2=(1, 6, 4),
        r2=(1, 6, 2),
        b2=(1, 12),
        w3=(3, 2),
        b3=3,
    )
    nodes = [
        node("Transpose", "x", "a", "turn", perm=[1, 0, 2]),
        node("LSTM", "a w1 r1 b1", "b", "lstm", hidden_size=4),
        node("Squeeze", "b axis", "c", "flat1"),
        node("GRU", "c w2 r2 b2", "d", "gru", hidden_size=2, linear_before_reset=1),
        node("Squeeze", "d axis", "e", "flat2"),
        node("Gather", "e last", "f", "pick", axis=0),
        node("Dropout", "f ratio", "g", "drop"),
        node("Relu", "g", "h", "relu"),
        node("Gemm", "h w3 b3", "y", "fc", transB=1),
    ]
    links = {
        "turn": turned(1, 0, 2),
        "lstm": LSTM(p["w1"][0], p["r1"][0], p["b1"].reshape(2, 16).sum(axis=0)),
        "flat1": Step(lambda x: x[:, 0]),
        "gru": GRU(p["w2"][0], p["r2"][0], *p["b2"].reshape(2, 6)),
        "flat2": Step(lambda x: x[:, 0]),
        "pick": Step(lambda x: x[-1]),
        "drop": dropout(),
        "relu": Step(F.relu),
        "fc": L.Linear(2, 3, initialW=p["w3"], initial_bias=p["b3"]),
    }

    def forward(m, x):
        h = m.flat1(m.lstm(m.turn(x)))
        return m.fc(m.relu(m.drop(m.pick(m.flat2(m.gru(h))))))

    p.update(axis=np.array([1]), last=np.array(-1))
    return nodes, p, (2, 3), links, forward


TWINS = {f.__name__: f for f in (perceptron, convolutional, attention, recurrent)}
