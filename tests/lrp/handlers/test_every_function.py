"""All functions of Chainer together: each has a kind, is tried, and is documented."""

from __future__ import annotations

import importlib
import pkgutil
import runpy
from pathlib import Path

import numpy as np
import pytest

from saliency.lrp import Zero
from saliency.lrp.registry import KIND_OF_CLASS, KINDS
from tests.lrp.handlers.test_elementwise import ELEMENTWISE
from tests.lrp.handlers.test_maxima import MAXIMA
from tests.lrp.handlers.test_products import SPARSE, A, B
from tests.lrp.handlers.test_refusals import REFUSED
from tests.lrp.handlers.test_routing import ROUTING
from tests.lrp.handlers.test_sums import LAYERS, SUMS
from tests.lrp.walked import ROI_INDEXES, ROIS, Walked, between_0_and_1, normal

import chainer
import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

U = between_0_and_1


def function_classes():
    """Returns the function classes of ``chainer.functions``, by module and name.

    Those that others only inherit from, which no graph holds, are left out.
    """
    found = {}
    for info in pkgutil.walk_packages(F.__path__, F.__name__ + "."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            is_here = getattr(value, "__module__", None) == info.name
            if is_here and isinstance(value, type) and computes(value):
                found[f"{info.name.rpartition('.')[2]}.{name}"] = value
    bases = {base for cls in found.values() for base in cls.__mro__[1:]}
    return {n: c for n, c in found.items() if c not in bases or c in KIND_OF_CLASS}


def computes(cls):
    """Tells whether a class is a function with a forward pass."""
    for base in (chainer.Function, chainer.FunctionNode):
        if issubclass(cls, base):
            ways = ("forward", "forward_cpu", "forward_gpu")
            return any(getattr(cls, w) is not getattr(base, w) for w in ways)
    return False


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + 1.0,
        lambda x: 1.0 - x,
        lambda x: x + x,
        lambda x: x - 0.5 * x,
        lambda x: x * x,
        lambda x: x / x,
        lambda x: x**2,
        lambda x: x**x,
        lambda x: 2.0 * F.exp(x),
        F.sum,
        F.max,
        F.prod,
        F.average,
        lambda x: F.maximum(x, 2 * x),
        lambda x: F.linear_interpolate(F.sigmoid(x), x, x),
        lambda x: F.reshape(x, (1,)),
        lambda x: F.broadcast_to(x, (2, 3)),
    ],
)
def test_an_array_without_axes_is_one_like_others(f):
    walked = Walked(lambda x: f(F.exp(F.sum(x))), normal(2, 3), rule=Zero())
    assert walked.relevance[0].shape == (2, 3)
    walked.check_conservation()


# Those that the tables above do not have: (function, its inputs).
OTHERS = [
    (lambda x: 1 - (x + 1), [normal(2, 3)]),
    (lambda x, y: F.matmul(x, y), [A, B]),
    (lambda x, y: F.batch_matmul(x, y), [A, B]),
    (lambda x: F.einsum("ij->j", x), [A[0]]),
    (lambda x: F.tensordot(x, B[0], axes=1), [A[0]]),
    (lambda x: F.sparse_matmul(SPARSE, x), [normal(3, 2)]),
    (lambda x, y: x * y / y**x, [U(2, 3), U(2, 3)]),
    (F.prod, [normal(2, 3)]),
    (F.cumprod, [normal(2, 3)]),
    (F.logsumexp, [normal(2, 3)]),
    (F.batch_l2_norm_squared, [normal(2, 3)]),
    (F.crelu, [normal(2, 3)]),
    (F.zoneout, [normal(2, 3), normal(2, 3)]),
    (lambda x: F.dropout(x), [normal(2, 3)]),
    (F.linear_interpolate, [normal(2, 3)] * 3),
    (F.lstm, [normal(3, 2), normal(3, 8)]),
    (F.slstm, [normal(3, 2), normal(3, 2), normal(3, 8), normal(3, 8)]),
    (F.tree_lstm, [normal(3, 2), normal(3, 2), normal(3, 10)]),
    (
        lambda x: F.roi_max_align_2d(x, ROIS.astype(x.dtype), ROI_INDEXES, 2, 1.0, 2),
        [normal(2, 2, 6, 6)],
    ),
    (lambda x: F.batch_normalization(x, *normal(2, 3)), [normal(4, 3)]),
    (lambda x: F.fixed_batch_normalization(x, *U(4, 3)), [normal(4, 3)]),
    (lambda x: F.layer_normalization(x, *normal(2, 3)), [normal(4, 3)]),
    (lambda x: F.group_normalization(x, 2, *normal(2, 4)), [normal(2, 4, 3)]),
    (
        lambda x: F.fixed_decorrelated_batch_normalization(
            x, normal(2, 2), normal(2, 2, 2), 2
        ),
        [normal(2, 4, 3)],
    ),
    (
        lambda x: F.local_convolution_2d(x, normal(3, 2, 2, 2, 3, 3)),
        [normal(1, 2, 4, 4)],
    ),
    (lambda x: F.simplified_dropconnect(x, normal(4, 3)), [normal(2, 3)]),
]


def test_every_function_class_has_a_kind_and_every_kind_a_handler():
    assert set(KIND_OF_CLASS) == set(function_classes().values())
    assert {kind.name for kind in KIND_OF_CLASS.values()} == set(KINDS)
    assert len(KIND_OF_CLASS) > 250


def trials():
    """Returns one application or more of every function: f and its inputs."""
    cases = [*ROUTING.values(), *SUMS.values()]
    result = [(f, [normal(*shape) for shape in shapes]) for f, shapes in cases]
    result += [(f, [x]) for f, x in ELEMENTWISE.values()]
    result += [(f, [normal(2, 2, 5, 5)]) for f in MAXIMA]
    result += [(f, [normal(1, 2, 5, 5)]) for f in LAYERS]
    result += OTHERS
    result += [(lambda x: F.embed_id(x, normal(3, 2)), [np.array([0, 1])])]
    return result


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_float32_stays_float32():
    n_checked = 0
    for f, xs in trials():
        xs = [x.astype("f") if x.dtype.kind == "f" else x for x in xs]
        walked = Walked(f, *xs, train=True)
        if {y.dtype for y in walked.outputs} == {np.dtype("f")}:
            found = {r.dtype for r in walked.relevance if r is not None}
            assert found == {np.dtype("f")}, walked.classes
            n_checked += 1
    assert n_checked > 150


def test_every_function_is_tried_here():
    tried = set()
    for f, xs in trials():
        tried |= Walked(f, *xs, train=True).classes
    names = {cls.__name__ for cls in tried} | set(REFUSED)
    # For a GPU, or for a package that is not maintained any more.
    elsewhere = {"RsqrtGPU", "TheanoFunction"}
    missing = {
        cls.__name__
        for cls, kind in KIND_OF_CLASS.items()
        if kind.name not in ("backward", "cuDNN")
    }
    assert missing - names - elsewhere == set()


def test_the_table_in_the_documentation_is_up_to_date():
    folder = Path(__file__).parents[3] / "docs"
    script = runpy.run_path(str(folder / "make_lrp_functions.py"))
    written = (folder / "lrp_functions.md").read_text(encoding="utf-8")
    assert written == script["document"](), "run docs/make_lrp_functions.py"
    for name in function_classes():
        assert f"{name}`" in written
