"""Products of stacks of matrices within the fast block, beside NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from saliency import fast_cpu
from saliency.cpu.threads import threads

import chainer
import chainer.functions as F

RNG = np.random.default_rng(0)


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


def test_another_dtype_is_left_to_chainer():
    a, b = STACKS["of one axis"]
    with fast_cpu():
        y = F.matmul(a, b.astype("d"))
    np.testing.assert_array_equal(y.array, a @ b.astype("d"))
