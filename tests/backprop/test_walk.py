"""Which way gradients go, what is computed on it, and whose code is asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from saliency.backprop import gradients, input_gradients
from saliency.backprop.registry import Memory, vjp
from tests.backprop.compared import Compared
from tests.lrp.walked import normal

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.functions.activation.relu import ReLU
from chainer.functions.connection import linear as linear_module


class Squared(ReLU):
    """A ReLU of a user's, whose gradient is another one."""

    def backward(self, indexes, grad_outputs):
        return (7.0 * grad_outputs[0],)


class OldStyle(chainer.Function):
    """x**2 and 3 x."""

    def forward(self, inputs):
        (x,) = inputs
        return x * x, 3 * x

    def backward(self, inputs, grad_outputs):
        gx = 0
        for gy, slope in zip(grad_outputs, (2 * inputs[0], 3)):
            if gy is not None:
                gx = gx + gy * slope
        return (gx,)


class Accumulating(chainer.FunctionNode):
    """2 x + y, which adds up gradients by itself."""

    def forward(self, inputs):
        x, y = inputs
        return (2 * x + y,)

    def backward_accumulate(self, indexes, grad_outputs, grad_inputs):
        (gy,) = grad_outputs
        of_input = (2 * gy, gy)
        return tuple(
            of_input[i] if g is None else of_input[i] + g
            for i, g in zip(indexes, grad_inputs)
        )


OTHERS = {
    "a subclass": lambda x: F.tanh(Squared().apply((2 * x,))[0]) + x,
    "an old-style function": lambda x: sum(OldStyle()(F.exp(x))) * x,
    "one of its outputs": lambda x: F.relu(-OldStyle()(2 * x)[1]),
    "its own accumulation": lambda x: Accumulating().apply((F.sin(x), x))[0] * x,
    "the same input twice": lambda x: F.exp(Accumulating().apply((x, x))[0]) + x,
}


@pytest.mark.parametrize("name", OTHERS)
def test_functions_of_users_are_asked_for_their_gradients(name):
    Compared(OTHERS[name], normal(2, 3)).check()


def test_a_subclass_is_not_taken_for_its_base():
    x = chainer.Variable(normal(2, 3))
    (y,) = Squared().apply((x,))
    assert_array_equal(gradients([y], [x])[0], np.full((2, 3), 7.0))


def test_a_backward_that_somebody_replaced_is_asked(monkeypatch):
    x = chainer.Variable(normal(2, 3))
    y = F.relu(x)
    plain = gradients([y], [x])[0]
    y.creator_node.backward = lambda indexes, gys: (5.0 * gys[0],)
    assert_array_equal(gradients([y], [x])[0], np.full((2, 3), 5.0))
    del y.creator_node.backward
    monkeypatch.setattr(ReLU, "backward", Squared.backward)
    assert_array_equal(gradients([y], [x])[0], np.full((2, 3), 7.0))
    monkeypatch.undo()
    assert_array_equal(gradients([y], [x])[0], plain)


class Noting(chainer.FunctionHook):
    """Notes the functions of the way back."""

    name = "noting"

    def __init__(self):
        self.labels = []

    def backward_preprocess(self, function, in_data, out_grad):
        self.labels.append(function.label)

    def backward_postprocess(self, function, in_data, out_grad):
        self.labels.append(f"after {function.label}")


def test_function_hooks_see_the_way_back():
    x = chainer.Variable(normal(2, 3))
    y = F.exp(F.tanh(x))
    hook = Noting()
    with hook:
        (found,) = gradients([y], [x])
    assert hook.labels == ["exp", "after exp", "Tanh", "after Tanh"]
    assert_array_equal(found, chainer.grad([y], [x])[0].array)


def test_so_do_hooks_of_one_function():
    x = chainer.Variable(normal(2, 3))
    h = F.tanh(x)
    y = F.exp(h)
    hook = Noting()
    h.creator_node.add_hook(hook)
    gradients([y], [x])
    assert hook.labels == ["Tanh", "after Tanh"]


def test_debug_mode_finds_what_is_not_a_number():
    x = chainer.Variable(np.array([0.0, 1.0]))
    y = F.sqrt(F.sum(x[:1]))
    with np.errstate(all="ignore"):
        assert not np.isfinite(gradients([0 * y], [x])[0]).all()
        with chainer.using_config("debug", True), pytest.raises(RuntimeError):
            gradients([0 * y], [x])


def test_no_gradient_is_computed_that_nobody_asks_for(monkeypatch):
    def refuse(*_):
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(linear_module.LinearGradWeight, "forward", refuse)
    monkeypatch.setattr(F.activation.swish.SwishGrad, "forward", refuse)
    monkeypatch.setattr(F.math.basic_math.PowVarVarGrad, "forward", refuse)
    model = chainer.Sequential(L.Linear(3, 4), L.Swish((4,)), lambda h: (h * h) ** h)
    x = chainer.Variable(normal(2, 3).astype("f"))
    model(x)
    base = chainer.Variable(normal(2, 3) ** 2, requires_grad=False)
    v = chainer.Variable(normal(2, 3))
    assert gradients([F.swish(v, np.ones(3)) + base**2.0], [v])[0] is not None
    hidden = model[0](x)
    assert gradients([hidden], [x])[0] is not None
    # Of what is beside the way, nothing is computed either.
    beside = F.linear(v, normal(3, 3)) * F.exp(base)
    assert gradients([beside], [v])[0] is not None


def test_the_gradient_of_a_matrix_that_was_transposed_lies_as_it_does():
    a = chainer.Variable(normal(2, 3, 4, 5))
    x = chainer.Variable(normal(2, 5, 3, 6))
    b = x.transpose(0, 2, 1, 3)
    y = F.matmul(a, b)
    of_b, of_x = gradients([y], [b, x])
    assert of_b.transpose(0, 2, 1, 3).flags.c_contiguous
    (expected,) = chainer.grad([y], [x], grad_outputs=[np.ones_like(y.array)])
    assert_array_equal(of_x, expected.array)


def test_weights_can_be_targets():
    Compared(
        lambda x, W, b: F.relu(F.linear(F.tanh(x), W, b)),
        *(normal(2, 3), normal(4, 3), normal(4)),
        at=[1, 2],
    ).check()


def test_what_does_not_depend_on_a_target_is_none():
    x, z = chainer.Variable(normal(2)), chainer.Variable(normal(2))
    y = F.exp(x)
    assert gradients([y], [z, x, z])[0::2] == [None, None]
    assert gradients([y], []) == []


def test_outputs_and_targets_may_be_one_and_lie_on_the_way_to_each_other():
    x = chainer.Variable(normal(2))
    h = F.exp(x)
    y = h * h
    w = [normal(2, seed=seed) for seed in (1, 2, 3)]
    outputs, targets = [y, h, x], [x, h, y, x]
    found = gradients(outputs, targets, w)
    expected = chainer.grad(
        outputs, targets, grad_outputs=[chainer.Variable(a) for a in w]
    )
    for f, e in zip(found, expected):
        assert_array_equal(f, e.array)


def test_each_output_needs_a_weight():
    x = chainer.Variable(normal(2))
    with pytest.raises(ValueError, match="weights must have one entry for each"):
        gradients([2 * x, 3 * x], [x], [normal(2)])


def test_without_weights_each_element_counts_once():
    x = chainer.Variable(normal(2, 3).astype("f"))
    (found,) = gradients([3 * x, x], [x], [None, np.ones((2, 3), "f")])
    assert_array_equal(found, np.full((2, 3), 4, "f"))
    assert found.dtype == "f"


def test_outputs_whose_variables_are_gone_are_found_in_their_functions():
    def f(x):
        return F.sum(F.softmax(F.split_axis(F.exp(F.relu(x)), 2, axis=1)[1]) ** 2)

    Compared(f, normal(3, 4)).check()


def test_a_function_whose_output_nobody_has_keeps_what_it_needs():
    x = chainer.Variable(normal(2, 3))
    function = F.exp(x).creator_node
    assert function.outputs[0]() is None
    (found,) = input_gradients(function, (0,), [np.full((2, 3), 2.0)])
    assert_array_equal(found, 2 * np.exp(x.array))


def test_a_class_has_one_product():
    with pytest.raises(ValueError, match="one product each, got ReLU again"):
        vjp(ReLU, memory=Memory.NEW)(lambda step: None)


def test_a_parameter_that_another_graph_has_retained_meanwhile_is_read_anew():
    link = L.Linear(3, 2)
    x = chainer.Variable(normal(2, 3).astype("f"))
    y = link(x)
    W = link.W.array
    link.W._data, before = [5 * W], link.W._data
    F.sum(link(x)).backward()  # retains other weights in the node that both share
    link.W._data = before
    assert_allclose(gradients([y], [x])[0], np.ones((2, 2)) @ W, rtol=1e-6)


def test_a_number_of_gradients_that_is_wrong_is_an_error_as_in_chainer():
    class Wrong(chainer.FunctionNode):
        def forward(self, inputs):
            return (inputs[0] + inputs[1] + inputs[2],)

        def backward(self, indexes, grad_outputs):
            return grad_outputs * 2

    x = chainer.Variable(normal(2))
    y = Wrong().apply((x, x, x))[0]
    with pytest.raises(ValueError, match="number of gradients"):
        gradients([y], [x])


@pytest.mark.parametrize("lazy", [False, True])
def test_gradients_of_many_uses_are_added_up_in_chainers_order(lazy):
    def f(x):
        with chainer.using_config("lazy_grad_sum", lazy):
            h = 1.1 * x
            return sum(F.exp(0.1 * i * h) for i in range(7)) + h * h * h

    compared = Compared(f, normal(5))
    assert_array_equal(compared.found[0], compared.expected[0])


UNARY = [
    F.relu,
    F.tanh,
    F.sigmoid,
    F.exp,
    F.square,
    lambda x: F.leaky_relu(x, 0.1),
    lambda x: F.clipped_relu(x, 0.5),
    lambda x: 0.3 * x + 1,
    lambda x: 1 - x,
    lambda x: x / (2 + x * x),
    lambda x: F.softmax(x, axis=1),
    lambda x: F.dropout(x, 0.4),
    lambda x: F.transpose(F.reshape(x, (4, 3)))[:, ::-1],
    lambda x: F.broadcast_to(F.sum(x, axis=0), x.shape),
    lambda x: F.broadcast_to(F.max(x, axis=1, keepdims=True), x.shape),
    lambda x: F.concat(F.split_axis(x, [1, 3], 1)[::-1], 1),
    lambda x: F.pad(x[1:, :2], ((1, 0), (0, 2)), "constant"),
    lambda x: F.linear(x, normal(4, 4, seed=4)),
    lambda x: F.fixed_batch_normalization(x, *normal(3, 4), normal(4) ** 2 + 0.1),
    lambda x: F.identity(x),
]
BINARY = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    F.maximum,
    lambda x, y: F.where(normal(3, 4) > 0, x, y),
    lambda x, y: F.matmul(F.matmul(x, y, transb=True), y),
    lambda x, y: F.concat([x[:, :2], y[:, 2:]], 1),
    lambda x, y: F.linear_interpolate(F.sigmoid(x), x, y),
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_networks_at_random_have_chainers_gradients(data):
    np.random.seed(1)
    variables = [chainer.Variable(normal(3, 4, seed=s) / 2) for s in range(2)]
    pick = st.integers(0, 1_000)
    for _ in range(data.draw(st.integers(1, 8))):
        chosen = [variables[data.draw(pick) % len(variables)] for _ in range(2)]
        if data.draw(st.booleans()):
            variables.append(UNARY[data.draw(pick) % len(UNARY)](chosen[0]))
        else:
            variables.append(BINARY[data.draw(pick) % len(BINARY)](*chosen))
    some = st.lists(st.sampled_from(range(len(variables))), min_size=1, max_size=3)
    outputs = [variables[-1], *(variables[i] for i in data.draw(some))]
    targets = [variables[i] for i in data.draw(some)]
    weights = [normal(3, 4, seed=9 + i) for i in range(len(outputs))]
    grad_outputs = [chainer.Variable(w.copy()) for w in weights]
    expected = chainer.grad(outputs, targets, grad_outputs=grad_outputs)
    found = gradients(outputs, targets, weights)
    for f, e in zip(found, expected):
        assert (f is None) == (e is None)
        if e is not None:
            assert_array_equal(f, e.array)
