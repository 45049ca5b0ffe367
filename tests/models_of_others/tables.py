"""Networks for rows of tables, for games, for physics; and ways to write them."""

from __future__ import annotations

import numpy as np

from tests.models_of_others.cases import explain, floats, ids, together

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import static_graph


@explain(floats(1, 2, 2), class_index="argmax")
class MLP(chainer.Chain):
    """Chainer's first example: sizes left open, images flattened by the first layer."""

    def __init__(self, n_units=4, n_out=3):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(None, n_units)
            self.l2 = L.Linear(None, n_units)
            self.l3 = L.Linear(None, n_out)

    def forward(self, x):
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))


@explain(
    floats(4),
    eval_fun=lambda model, x: F.softmax(model.predictor(x)),
    target="/predictor/l1",
)
def Classified():  # noqa: N802  (a network like the others)
    return L.Classifier(MLP())


@explain(floats(4), class_index=1, draws=True)
def SequentialLayers():  # noqa: N802
    layer = chainer.Sequential(L.Linear(4, 4), F.leaky_relu, F.dropout)
    return chainer.Sequential(
        layer.repeat(2), L.LayerNormalization(4), lambda h: F.concat([h, -h])
    )


@explain(floats(4), class_index=1)
class ListOfLayers(chainer.ChainList):
    """Links without names."""

    def __init__(self):
        super().__init__(L.Linear(4, 5), L.Linear(5, 5), L.Linear(5, 2))

    def __call__(self, x):
        for link in self.children():
            x = F.softplus(link(x))
        return x


@explain(floats(4), class_index=0, draws=True)
class StaticGraph(chainer.Chain):
    """Is written to be recorded once and replayed."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 5)
            self.bn = L.BatchNormalization(5)
            self.l2 = L.Linear(5, 2)

    @static_graph
    def __call__(self, x):
        return self.l2(F.dropout(F.relu(self.bn(self.l1(x))), 0.4))


@explain(floats(4), without={"lrp": "what is forgotten is not in the graph"})
class Forgets(chainer.Chain):
    """Saves memory: what is between its layers is computed again on the way back."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 5)
            self.l2 = L.Linear(5, 5)
            self.out = L.Linear(5, 2)

    def forward(self, x):
        h = F.forget(lambda v: F.tanh(self.l1(v)), x)
        h = F.forget(lambda v: F.relu(self.l2(v)), h)
        return self.out(h)


@explain(floats(5), class_index="argmax")
class Highway(chainer.Chain):
    """Goes around its layers as far as their gates say."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.ways = L.Highway(5, activate=F.tanh).repeat(3)
            self.out = L.Linear(5, 3)

    def forward(self, x):
        return self.out(self.ways(x))


@explain(floats(4), class_index=1, draws=True)
class Maxout(chainer.Chain):
    """Units that are the largest of several linear ones."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Maxout(4, 4, 3)
            self.l2 = L.Maxout(4, 2, 2)

    def forward(self, x):
        return self.l2(F.dropout(self.l1(x)))


@explain(
    together(floats(3), ids(5, 2)),
    class_index="sum",
    without={"conservation": "the categories have their part"},
)
class DeepFactorizationMachine(chainer.Chain):
    """Numbers and categories: pairs of their embeddings beside a perceptron."""

    def __init__(self, n_unit=2):
        super().__init__()
        with self.init_scope():
            self.of_numbers = chainer.Parameter(0, (3, n_unit))
            self.of_categories = L.EmbedID(5, n_unit)
            self.first_order = L.Linear(3, 1)
            self.deep = chainer.Sequential(L.Linear(5 * n_unit, 4), F.relu)
            self.out = L.Linear(4, 1)

    def forward(self, x, categories):
        if categories.ndim != 2 or (categories < 0).any():
            raise ValueError("no such category")
        numbers = F.scale(F.broadcast_to(x[:, :, None], (*x.shape, 2)), self.of_numbers)
        fields = F.concat([numbers, self.of_categories(categories)], axis=1)
        pairs = F.sum(fields, axis=1) ** 2 - F.sum(fields**2, axis=1)
        second_order = 0.5 * F.sum(pairs, axis=1, keepdims=True)
        deep = self.out(self.deep(F.reshape(fields, (len(x), -1))))
        return self.first_order(x) + second_order + deep


@explain(floats(4), class_index=0)
class MixtureOfExperts(chainer.Chain):
    """A gate decides how much each expert counts."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.gate = L.Linear(4, 3)
            self.experts = L.Linear(4, 3 * 2)

    def forward(self, x):
        weights = F.softmax(self.gate(x))
        values = F.reshape(F.tanh(self.experts(x)), (-1, 3, 2))
        return F.sum(F.broadcast_to(weights[:, :, None], values.shape) * values, axis=1)


@explain(
    floats(3),
    eval_fun=lambda model, x: F.sum(F.softmax(model(x)[0]) * model(x)[1], axis=1),
    class_index="sum",
)
class MixtureDensity(chainer.Chain):
    """Weights, means and variances of normal distributions; their mean is explained."""

    def __init__(self, n_kernel=3):
        super().__init__()
        self.n_kernel = n_kernel
        with self.init_scope():
            self.hidden = L.Linear(3, 4)
            self.out = L.Linear(4, 3 * n_kernel)

    def forward(self, x):
        return F.split_axis(self.out(F.tanh(self.hidden(x))), 3, axis=1)


@explain(
    together(floats(4), floats(1)),
    class_index=1,
    without={"conservation": "what is counted beside x has its part"},
)
class ArraysBesideVariables(chainer.Chain):
    """Asks and converts its other inputs as arrays, and x as a Variable."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 5)
            self.out = L.Linear(5, 2)

    def forward(self, x, weight):
        if (weight != 0).any() and not bool(np.isnan(weight).any()):
            weight = np.maximum(weight, 0.1).astype(x.array.dtype)
        scale = 1 + x.xp.abs(x.array).max(axis=1, keepdims=True)
        h = self.l1(x / scale.astype(x.dtype) * weight)
        return self.out(F.relu(h) + weight)


@explain(floats(4), class_index=1)
class PartsNotInUse(chainer.Chain):
    """Has a link that forward never calls, and that never got its parameters."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 4)
            self.old = L.Linear(None, 7)
            self.out = L.Linear(4, 2)

    def forward(self, x):
        return self.out(F.tanh(self.l1(x)))


@explain(floats(4, 2), class_index="argmax")
class DuelingDQN(chainer.Chain):
    """The value of a state and the advantages of actions, over several frames."""

    def __init__(self, n_action=3):
        super().__init__()
        self.n_action = n_action
        with self.init_scope():
            self.hidden = L.Linear(8, 6)
            self.a_stream = L.Linear(3, n_action)
            self.v_stream = L.Linear(3, 1)

    def __call__(self, x):
        activation = F.relu(self.hidden(x))
        h_a, h_v = F.split_axis(activation, 2, axis=1)
        ya = self.a_stream(h_a)
        mean = F.reshape(F.sum(ya, axis=1) / self.n_action, (len(x), 1))
        ya, mean = F.broadcast(ya, mean)
        ya, ys = F.broadcast(ya - mean, self.v_stream(h_v))
        return ya + ys


class Distribution:
    """What a policy returns in place of scores."""

    def __init__(self, logits):
        self.logits = logits

    @property
    def most_probable(self):
        return self.logits.array.argmax(axis=1)

    @property
    def log_prob_of_most_probable(self):
        return F.select_item(F.log_softmax(self.logits), self.most_probable)


class ActorCritic(chainer.Chain):
    """Gives a distribution and a value; goes on from the state of its LSTM."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.lstm = L.LSTM(4, 3)
            self.pi = L.Linear(3, 3)
            self.v = L.Linear(3, 1)

    def pi_and_v(self, x):
        h = self.lstm(x)
        return Distribution(self.pi(h)), self.v(h)


explain(
    floats(4),
    name="Policy",
    eval_fun=lambda model, x: model.pi_and_v(x)[0].log_prob_of_most_probable,
    class_index="sum",
)(ActorCritic)
explain(
    floats(4),
    name="Value",
    eval_fun=lambda model, x: model.pi_and_v(x)[1],
    class_index="sum",
)(ActorCritic)


class Energy(chainer.Chain):
    """The energy of particles, and the forces on them."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(2, 4)
            self.l2 = L.Linear(4, 1)

    def energy(self, positions):
        h = self.l2(F.tanh(self.l1(positions, n_batch_axes=2)), n_batch_axes=2)
        return F.sum(h, axis=(1, 2))

    def forward(self, positions):
        x = chainer.as_variable(positions)
        (minus_force,) = chainer.grad(
            [self.energy(x)], [x], enable_double_backprop=True
        )
        return -minus_force


explain(
    floats(3, 2),
    name="Forces",
    class_index=(0, 1),
    without={"lrp": "relevance has no meaning at a gradient"},
)(Energy)


def gradient_penalty(model, x):
    """Returns by how much the gradient of each row is not of length 1."""
    (g,) = chainer.grad([model.energy(x)], [x], enable_double_backprop=True)
    return (F.sqrt(F.batch_l2_norm_squared(g)) - 1) ** 2


explain(
    floats(3, 2),
    name="GradientPenalty",
    eval_fun=gradient_penalty,
    class_index="sum",
    without={"lrp": "relevance has no meaning at a gradient"},
)(Energy)


@explain(floats(3), class_index=1)
class EulerSteps(chainer.Chain):
    """One layer again and again: a differential equation, step by step."""

    def __init__(self, n_step=4):
        super().__init__()
        self.n_step = n_step
        with self.init_scope():
            self.f = L.Linear(3, 3)

    def __call__(self, x):
        for _ in range(self.n_step):
            x = x + F.tanh(self.f(x)) * (1.0 / self.n_step)
        return x


@explain(floats(2), class_index="sum")
class FourierFeatures(chainer.Chain):
    """Sines and cosines of fixed frequencies, which are persistent."""

    def __init__(self):
        super().__init__()
        self.add_persistent("B", np.random.RandomState(0).randn(2, 3))
        with self.init_scope():
            self.hidden = L.Linear(6, 4)
            self.out = L.Linear(4, 1)

    def forward(self, x):
        v = F.matmul(x, self.xp.asarray(self.B, x.dtype))
        h = F.concat([F.sin(v), F.cos(v)])
        return self.out(F.tanh(self.hidden(h)))


@explain(floats(3, 5), class_index="argmax")
class PointNet(chainer.Chain):
    """Points in any order: a matrix for each cloud, and the largest of all points."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.transform = L.Linear(15, 9)
            self.conv = L.ConvolutionND(1, 3, 4, 1)
            self.bn = L.BatchNormalization(4)
            self.fc = L.Linear(4, 3)

    def forward(self, x):
        matrix = F.reshape(F.tanh(self.transform(x)), (-1, 3, 3))
        h = F.matmul(matrix, x)
        h = F.relu(self.bn(self.conv(h)))
        return self.fc(F.max(h, axis=2))


@explain(
    floats(4),
    class_index=1,
    eval_fun=lambda model, x: model(x, layers=["fc2"])["fc2"],
    draws=True,
)
class LayersByName(chainer.Chain):
    """Returns the layers that are asked for, as Chainer's VGG16Layers does."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.fc1 = L.Linear(4, 4)
            self.fc2 = L.Linear(4, 3)

    @property
    def functions(self):
        return {"fc1": [self.fc1, F.relu, F.dropout], "fc2": [self.fc2]}

    def forward(self, x, layers=("fc2",)):
        activations = {}
        for key, functions in self.functions.items():
            for function in functions:
                x = function(x)
            if key in layers:
                activations[key] = x
        return activations
