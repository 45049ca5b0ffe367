"""Products of stacks of matrices within the fast block, beside NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from saliency import fast_cpu
from saliency.cpu import compiled, products
from saliency.cpu.threads import threads

import chainer
import chainer.functions as F

RNG = np.random.default_rng(0)


needs_llvm = pytest.mark.skipif(
    not compiled.is_available(), reason="llvmlite is not installed"
)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype("f")


# All but the last two are divided. Factors, and whether each is transposed.
STACKS = {
    "of one axis": (normal(70, 64, 64), normal(70, 64, 64)),
    "of two axes": (normal(3, 24, 64, 64), normal(3, 24, 64, 64)),
    "of which both are repeated": (normal(1, 24, 64, 64), normal(3, 1, 64, 64)),
    "of more axes on the right": (normal(24, 64, 64), normal(3, 24, 64, 64)),
    "of more axes on the left": (normal(3, 24, 64, 64), normal(64, 64)),
    "that is a view": (normal(70, 64, 2, 64)[:, :, 1], normal(64, 64, 70).T),
    "of large matrices": (normal(2, 200, 300), normal(2, 300, 300)),
    "that is no stack": (normal(200, 300), normal(300, 300)),
    # Small matrices, of which products are compiled where there is a compiler.
    "of small matrices": (normal(90, 24, 24), normal(90, 24, 32)),
    "with rows and columns left over": (normal(5, 30, 27, 11), normal(5, 30, 11, 37)),
    "of axes that are not one": (normal(9, 8, 4, 24, 24), normal(9, 1, 4, 24, 24)),
    "of graphs": (normal(50, 4, 24, 24), normal(50, 24, 4, 32).transpose(0, 2, 1, 3)),
    "of small matrices, repeated": (normal(40, 24, 24), normal(24, 32)),
    "with few rows": (normal(900, 3, 24), normal(900, 24, 32)),
    "with few columns": (normal(900, 24, 32), normal(900, 32, 3)),
}


@pytest.mark.parametrize("transposes", [(), ("a",), ("b",), ("a", "b")])
@pytest.mark.parametrize("kind", STACKS)
def test_products_and_gradients_are_those_of_numpy(kind, transposes):
    a, b = STACKS[kind]
    trans = [name in transposes for name in ("a", "b")]
    given = [
        chainer.Variable(x.swapaxes(-1, -2) if flag else x)
        for x, flag in zip((a, b), trans)
    ]
    with fast_cpu():
        y = F.matmul(*given, *trans)
        gy = normal(*y.shape)
        gradients = chainer.grad([y], given, [gy])
    a64, b64, gy64 = (x.astype("d") for x in (a, b, gy))
    expected = [gy64 @ b64.swapaxes(-1, -2), a64.swapaxes(-1, -2) @ gy64]
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.array, a64 @ b64, rtol=1e-4, atol=1e-4)
    for gradient, product, x, flag in zip(gradients, expected, (a, b), trans):
        total = chainer.utils.sum_to(product, x.shape)
        found = gradient.array.swapaxes(-1, -2) if flag else gradient.array
        np.testing.assert_allclose(found, total, rtol=1e-4, atol=1e-3)


def test_all_threads_take_part(monkeypatch):
    shares: list[int] = []
    run = threads.run

    def counted(work, jobs, n_thread):
        shares.append(min(len(jobs), n_thread))
        return run(work, jobs, n_thread)

    monkeypatch.setattr(threads, "run", counted)
    with fast_cpu():
        F.matmul(*STACKS["of one axis"])
    assert shares == [len(threads)]


@needs_llvm
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("n_row", [8, 13, 24])
@pytest.mark.parametrize("n_term", [1, 24])
@pytest.mark.parametrize("n_column", [16, 24, 40, 45])
def test_compiled_products_are_those_of_float64(dtype, n_row, n_term, n_column):
    a = RNG.standard_normal((6, 7, n_row, n_term)).astype(dtype)
    b = RNG.standard_normal((6, n_term, 7, n_column)).astype(dtype)
    b = b.transpose(0, 2, 1, 3)
    out = np.empty((6, n_row, 7, n_column), dtype).transpose(0, 2, 1, 3)
    for left in (a, np.ascontiguousarray(a.swapaxes(2, 3)).swapaxes(2, 3)):
        out[...] = np.nan
        stacks = compiled.Stacks.of(left, b, out)
        assert stacks is not None
        threads.share(stacks.work(), 1e9)
        eps = np.finfo(dtype).eps * (n_term + 4)
        np.testing.assert_allclose(out, a.astype("d") @ b.astype("d"), eps, 10 * eps)


@needs_llvm
def test_a_matrix_does_not_depend_on_the_others():
    a, b = normal(400, 24, 24), normal(400, 24, 32)
    a[5, 3, 2], b[8, 0, 1] = np.nan, np.inf
    of_all = products.of_stacks(a, b)
    assert of_all is not None
    is_finite = np.isfinite(of_all).all(axis=(1, 2))
    assert np.flatnonzero(~is_finite).tolist() == [5, 8]
    assert np.isnan(of_all[5, 3]).all() and np.isfinite(of_all[5, :3]).all()
    for n_thread in (1, 2):
        with threadpool_limits(n_thread):
            of_some = products.of_stacks(a[3:300], b[3:300])
        np.testing.assert_array_equal(of_some, of_all[3:300])


@needs_llvm
def test_what_a_compiled_product_does_not_take():
    a, b, out = normal(40, 24, 24), normal(40, 24, 32), np.empty((40, 24, 32), "f")
    of = compiled.Stacks.of
    assert of(a, b, out) is not None
    columns_apart = np.asfortranarray(b)
    for arrays in [
        (a, b.astype("d"), out),
        (a, columns_apart, out),
        (a[:, :, :20], b, out),
        (a[:, :, :0], b[:, :0], out),
        (normal(40, 200, 200), normal(40, 200, 32), np.empty((40, 200, 32), "f")),
        (a.astype("e"), b.astype("e"), np.empty((40, 24, 32), "e")),
    ]:
        assert of(*arrays) is None
    np.testing.assert_allclose(products.of_stacks(a, columns_apart), a @ b, 1e-4, 1e-4)


def test_without_a_compiler(monkeypatch):
    a, b = STACKS["of graphs"]
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    np.testing.assert_allclose(products.of_stacks(a, b), a @ b, 1e-4, 1e-4)


def test_another_dtype_is_left_to_chainer():
    a, b = STACKS["of one axis"]
    with fast_cpu():
        y = F.matmul(a, b.astype("d"))
    np.testing.assert_array_equal(y.array, a @ b.astype("d"))
