"""Gradients of graphs beside Chainer's own, and what must not be touched by them."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from saliency.backprop import gradients
from saliency.backprop.padding import right_padding
from saliency.backprop.registry import classes_with_products

import chainer


class Compared:
    """The gradients of ``f(*xs)``, by the walk and by ``chainer.grad``.

    Each goes back through a graph of its own, since some functions of Chainer can be
    asked once. Nothing that the walk's graph holds may be changed by it.

    Args:
        f (callable): Returns a variable or several.
        xs (array): What it is applied to.
        at (sequence of int or None): At which of them gradients are taken; None is at
            all that have one.
        without (sequence of int): Which outputs are left out.
        train (bool): Whether it runs in training mode.
    """

    def __init__(self, f, *xs, at=None, without=(), train=True):
        self._f, self._xs, self._at, self._without = f, xs, at, without
        self._train = train

    def graph(self):
        """Makes a graph, the same one each time."""
        self.variables = [
            chainer.Variable(x.copy(), requires_grad=x.dtype.kind == "f")
            for x in self._xs
        ]
        np.random.seed(0)  # Chainer draws from it
        with chainer.using_config("train", self._train):
            ys = self._f(*self.variables)
        ys = ys if isinstance(ys, (tuple, list)) else (ys,)
        self.outputs = [
            y
            for i, y in enumerate(ys)
            if i not in self._without and y.dtype.kind == "f"
        ]
        floats = [i for i, x in enumerate(self._xs) if x.dtype.kind == "f"]
        at = floats if self._at is None else self._at
        self.targets = [self.variables[i] for i in at]
        self.functions = functions_behind(self.outputs)
        rng = np.random.default_rng(5)
        return [
            np.asarray(rng.normal(size=y.shape)).astype(y.dtype) for y in self.outputs
        ]

    @property
    def classes(self):
        """The classes of the functions in the graph that was made last."""
        return {type(f) for f in self.functions}

    @property
    def expected(self):
        """The arrays of Chainer's own gradients, which are wrong for padding alone."""
        weights = [chainer.Variable(w) for w in self.graph()]
        with right_padding():  # test_padding.py compares it with matrices
            grads = chainer.grad(self.outputs, self.targets, grad_outputs=weights)
        return [None if g is None else g.array for g in grads]

    @property
    def found(self):
        """The gradients of the walk, which changes nothing."""
        weights = self.graph()
        held = held_by(self.functions) + weights
        held += [v.array for v in self.variables + self.outputs]
        before = [array.copy() for array in held]
        found = gradients(self.outputs, self.targets, weights)
        for array, copy in zip(held, before):
            assert_array_equal(array, copy, str(self.classes))
        return found

    def check(self, rtol=1e-12, expected=None):
        """Checks that both are the same."""
        expected = self.expected if expected is None else expected
        found = self.found
        message = str(self.classes)
        assert [f is None for f in found] == [e is None for e in expected], message
        for f, e in zip(found, expected):
            if e is None:
                continue
            assert isinstance(f, np.ndarray)
            assert (f.dtype, f.shape) == (e.dtype, e.shape), message
            atol = rtol * np.abs(e[np.isfinite(e)]).max(initial=1e-30)
            assert_allclose(f, e, rtol, atol, err_msg=message)


def functions_behind(outputs):
    """Returns the functions that made variables."""
    found = {}
    waiting = [y.creator_node for y in outputs]
    while waiting:
        function = waiting.pop()
        if function is not None and function not in found:
            found[function] = None
            waiting.extend(x.creator_node for x in function.inputs)
    return list(found)


def held_by(functions):
    """Returns all arrays that functions and their variables hold."""
    found = []
    for function in functions:
        nodes = [*function.inputs, *(ref() for ref in function.outputs)]
        found += [node.data for node in nodes if node is not None]
        if type(function) not in classes_with_products():
            continue  # Chainer's own way may do with them what it likes
        values = list(vars(function).values())
        for value in values:
            if isinstance(value, (list, tuple)):
                values += value
        found += [value for value in values if isinstance(value, np.ndarray)]
    return [array for array in found if array is not None]
