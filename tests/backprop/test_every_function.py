"""Every function class of Chainer: the walk gives what Chainer's own backward gives."""

from __future__ import annotations

import numpy as np
import pytest

from saliency.backprop.registry import Step, classes_with_products
from saliency.lrp.registry import KIND_OF_CLASS
from tests.backprop.cases import CASES
from tests.backprop.compared import Compared

import chainer
import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore")


def test_what_each_function_gives_is_what_chainer_gives():
    for f, xs in CASES:
        Compared(f, *xs).check()


@pytest.mark.large
def test_so_is_what_it_gives_in_the_middle_of_others():
    # What comes from above belongs to the walk, and what it gives goes on.
    for f, xs in CASES:
        Compared(in_the_middle(f), *xs).check()


def test_so_is_what_it_gives_at_each_input_alone():
    for f, xs in CASES:
        n_float = [i for i, x in enumerate(xs) if x.dtype.kind == "f"]
        for i in n_float if len(n_float) > 1 else ():
            Compared(in_the_middle(f), *xs, at=[i]).check()


def test_so_is_what_it_gives_without_some_of_its_outputs():
    n_several = 0
    for f, xs in CASES:
        n_output = len(Compared(f, *xs).graph())
        for i in range(n_output) if n_output > 1 else ():
            compared = Compared(f, *xs, without=[i])
            try:
                expected = compared.expected
            except TypeError:
                continue  # Chainer cannot
            compared.check(expected=expected)
            n_several += 1
    assert n_several > 5


class Elsewhere:
    """An array module that is not NumPy, but does what it does."""

    def __getattr__(self, name):
        return getattr(np, name)


def test_so_it_is_by_the_code_for_other_array_modules(monkeypatch):
    monkeypatch.setattr(Step, "xp", Elsewhere())
    for f, xs in CASES:
        Compared(in_the_middle(f), *xs).check()


@pytest.mark.parametrize(
    ("dtype", "rtol"),
    [
        ("float32", 1e-5),
        pytest.param("float16", 4e-2, marks=pytest.mark.large),
    ],
)
def test_so_it_is_in_other_precisions(dtype, rtol):
    n_checked = 0
    for f, xs in CASES:
        xs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in xs]
        try:
            compared = Compared(in_the_middle(f), *xs)
            expected = compared.expected
        except (TypeError, ValueError):
            continue  # Chainer cannot
        if not all(e is None or np.isfinite(e).all() for e in expected):
            continue
        compared.check(rtol, expected)
        n_checked += 1
    assert n_checked > 120


def test_every_product_and_every_function_of_chainer_is_tried_here():
    tried = set()
    for f, xs in CASES:
        compared = Compared(f, *xs)
        compared.graph()
        tried |= compared.classes
    assert classes_with_products() <= tried
    old_style = {KIND_OF_CLASS[cls].name for cls in KIND_OF_CLASS}
    assert old_style  # the table is not empty
    names = {cls.__name__ for cls in tried}
    # For a GPU, for a package that is not maintained, old-style functions (which are
    # in the graph as adapters), and those without a gradient.
    missing = {
        cls.__name__
        for cls, kind in KIND_OF_CLASS.items()
        if kind.name not in ("backward", "cuDNN", "index")
        and issubclass(cls, chainer.FunctionNode)
    }
    assert missing - names - {"RsqrtGPU", "TheanoFunction"} == set()


def in_the_middle(f):
    """Returns f behind and before others, for which an output is used twice."""

    def g(*xs):
        inner = [2.0 * x if x.dtype.kind == "f" else x for x in xs]
        ys = f(*inner)
        ys = ys if isinstance(ys, (tuple, list)) else (ys,)
        return [0.5 * F.tanh(y) + y if y.dtype.kind == "f" else y for y in ys]

    return g
