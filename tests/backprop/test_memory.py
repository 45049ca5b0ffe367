"""A gradient is written into only where nobody else holds it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from saliency import fast_cpu
from saliency.backprop import gradients, input_gradients
from saliency.backprop.gradient import Gradient
from saliency.backprop.registry import Memory, Step, known_of
from tests.backprop.cases import CASES
from tests.backprop.compared import Compared, held_by
from tests.lrp.walked import normal

import chainer
import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore")


def products_of_cases():
    """Yields each function of the cases that has a product, and what belongs to it.

    Yields:
        tuple: The function, what is known of it, the gradients at its outputs.
    """
    rng = np.random.default_rng(0)
    for f, xs in CASES:
        compared = Compared(f, *xs)
        compared.graph()
        for function in compared.functions:
            known = known_of(function)
            if known is not None:
                nodes = [ref() for ref in function.outputs]
                gys = [
                    None if y is None else np.asarray(rng.normal(size=y.shape))
                    for y in nodes
                ]
                yield compared, function, known, gys


def asked_of(function):
    return tuple(i for i, x in enumerate(function.inputs) if x.requires_grad)


def results_of(function, known, gys, is_owned):
    above = [None if g is None else Gradient(g, is_owned) for g in gys]
    with chainer.no_backprop_mode():
        results = known.product(Step(function, asked_of(function), above))
    return [
        np.asarray(r.array if isinstance(r, Gradient) else r)
        for r in results or ()
        if r is not None
    ]


def test_what_a_product_calls_new_is_new():
    n_checked = 0
    for _, function, known, gys in products_of_cases():
        if known.memory is not Memory.NEW:
            continue
        held = [*held_by([function]), *(g for g in gys if g is not None)]
        for result in results_of(function, known, gys, is_owned=False):
            assert result.flags.writeable
            assert not any(np.shares_memory(result, array) for array in held), function
            n_checked += 1
    assert n_checked > 150


def test_what_a_product_passes_on_are_parts_of_the_gradient_that_do_not_overlap():
    n_checked = 0
    for _, function, known, gys in products_of_cases():
        if known.memory is not Memory.PASSED_ON:
            continue
        held = held_by([function])
        results = results_of(function, known, gys, is_owned=False)
        for i, result in enumerate(results):
            others = [r for r in results[:i] if r is not result]
            assert not any(np.shares_memory(result, r) for r in [*others, *held])
            n_checked += 1
    assert n_checked > 60


def test_a_product_writes_into_what_is_owned_alone():
    for _, function, known, gys in products_of_cases():
        before = [None if g is None else g.copy() for g in gys]
        expected = results_of(function, known, gys, is_owned=False)
        for array, copy in zip(gys, before):
            if array is not None:
                assert_array_equal(array, copy, str(function))
        held = held_by([function])
        of_before = [array.copy() for array in held]
        found = results_of(function, known, gys, is_owned=True)
        for array, copy in zip(held, of_before):
            assert_array_equal(array, copy, str(function))
        for f, e in zip(found, expected):
            assert_array_equal(f, e, str(function))


# Graphs in which an array has several readers, one of which writes into its own.
SHARING = {
    "a gradient for two": lambda x: F.relu(x) + (-x),
    "twice the same": lambda x: F.relu(x + x),
    "views of one": lambda x: F.relu(x[0]) * F.reshape(x, (-1,))[:4].reshape(4),
    "parts, one of which is used": lambda x: F.split_axis(F.relu(x), 2, 0)[0],
    "a part beside the whole": lambda x: F.relu(F.concat([x, x[:1]], 0)),
    "both from one sum": lambda x: F.concat([F.relu(x), (-x)]) + 1.0,
    "a transpose beside it": lambda x: F.matmul(F.relu(x), -x, transa=True),
    "a mean": lambda x: F.mean(F.relu(2 * x)) + F.sum(-x),
    "a broadcast": lambda x: F.relu(F.broadcast_to((-x)[:, :1], x.shape)),
    "a sum that goes on": lambda x: F.relu(F.sum(-x, axis=0, keepdims=True) + x),
    "scaled twice": lambda x: F.scale(3 * (2 * F.relu(x)), x[0], axis=1) + x,
    "identities": lambda x: sum(F.identity(x, F.identity(-x))),
}


@pytest.mark.parametrize("name", SHARING)
def test_a_gradient_that_others_hold_is_not_written_into(name):
    Compared(SHARING[name], normal(2, 4)).check()


@pytest.mark.parametrize("name", SHARING)
def test_targets_on_the_way_keep_their_gradients(name):
    compared = Compared(SHARING[name], normal(2, 4))
    weights = compared.graph()
    nodes = {
        node: None
        for function in compared.functions
        for node in (*function.inputs, *(ref() for ref in function.outputs))
        if node is not None
    }
    targets = [node.get_variable() for node in nodes]
    found = gradients(compared.outputs, targets, weights)
    grad_outputs = [chainer.Variable(w) for w in weights]
    expected = chainer.grad(compared.outputs, targets, grad_outputs=grad_outputs)
    assert len(found) > 2
    for f, e in zip(found, expected):
        assert (f is None) == (e is None)
        if e is not None:
            assert_array_equal(f, e.array)


def test_the_weights_of_the_caller_stay_and_may_be_read_only():
    x = chainer.Variable(normal(2, 3))
    y = F.relu(-2 * x)
    weights = normal(2, 3, seed=2)
    weights.flags.writeable = False
    (found,) = gradients([y], [x], [weights])
    assert_array_equal(found, -2 * weights * (y.array > 0))


def test_one_weight_may_stand_for_several_outputs():
    x = chainer.Variable(normal(2, 3))
    ys = [(-x), F.relu(2 * x), x * x]
    w = normal(2, 3, seed=2)
    before = w.copy()
    (found,) = gradients(ys, [x], [w, w, w])
    expected = chainer.grad(ys, [x], grad_outputs=[chainer.Variable(w)] * 3)[0]
    assert_array_equal(found, expected.array)
    assert_array_equal(w, before)


class WritesIntoGradients(chainer.Function):
    """x**2 and 3 x; the gradient is computed in the memory of what came from above."""

    def forward(self, inputs):
        (x,) = inputs
        return x * x, 3 * x

    def backward(self, inputs, grad_outputs):
        of_square, of_multiple = grad_outputs
        of_square *= 2 * inputs[0]
        of_multiple *= 3
        of_square += of_multiple
        return (of_square,)


def test_an_old_style_function_may_write_into_what_it_is_given():
    # Those of Chainer do so, in losses. Both of its gradients are one array here.
    x = chainer.Variable(normal(2, 3))
    y, z = WritesIntoGradients()(x)
    w = normal(2, 3, seed=2)
    before = w.copy()
    (found,) = gradients([y + z], [x], [w])
    assert_allclose(found, before * (2 * x.array + 3), rtol=1e-12)
    assert_array_equal(w, before)


def test_average_pooling_without_its_padding_leaves_other_gradients_alone():
    # Chainer's function divides what it is given.
    x = chainer.Variable(normal(1, 1, 4))
    h = 2 * x
    pooled = F.average_pooling_1d(h, 3, stride=1, pad=1, pad_value=None)
    w = normal(1, 1, 4, seed=2)
    before = w.copy()
    (found,) = gradients([pooled + h], [x], [w])
    M = np.array([[3, 3, 0, 0], [2, 2, 2, 0], [0, 2, 2, 2], [0, 0, 3, 3]]) / 6
    assert_allclose(found[0, 0], 2 * (before[0, 0] @ M + before[0, 0]), rtol=1e-12)
    assert_array_equal(w, before)


def test_what_one_function_is_given_stays():
    x = chainer.Variable(normal(2, 3))
    y = F.dropout(F.relu(x), 0.5)
    gy = normal(2, 3, seed=3)
    before = gy.copy()
    (found,) = input_gradients(y.creator_node, (0,), [gy])
    assert_array_equal(found, gy * y.creator_node.mask)
    assert_array_equal(gy, before)


def test_results_do_not_change_when_memory_is_used_again():
    # Large arrays come from memory that is used again and again within the block.
    x = normal(2, 64, 60, 60).astype("f")
    W = normal(64, 64, 3, 3).astype("f") / 24

    def way_back(seed):
        v = chainer.Variable(x)
        y = F.relu(F.convolution_2d(F.relu(F.convolution_2d(v, W)), W)) + 1
        w = normal(*y.shape, seed=seed).astype("f")
        return gradients([y], [v], [w])[0]

    with fast_cpu():
        first = way_back(1)
        copy = first.copy()
        second = way_back(2)
        assert_array_equal(first, copy)
        assert_array_equal(way_back(2), second)
    assert_array_equal(first, copy)
