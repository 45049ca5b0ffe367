"""Gradients of Einstein sums with axes behind dots, beside those of their letters."""

from __future__ import annotations

import numpy as np
import pytest

from saliency.backprop import gradients

import chainer
import chainer.functions as F

RNG = np.random.default_rng(0)
CASES = {
    "own axes are summed up": ("n...i,n...j->n...", "nabi,nabj->nab"),
    "of one operand": ("i...->...", "iab->ab"),
    "behind the dots": ("...i->...", "abi->ab"),
    "no axis behind them is summed up": ("...i,...j->...ij", "abi,abj->abij"),
    "beside a matrix": ("ij,...j->...i", "ij,abj->abi"),
    "a diagonal": ("ii...->i...", "iiab->iab"),
}


@pytest.mark.parametrize("case", CASES)
def test_dots_are_what_letters_are(case: str) -> None:
    with_dots, with_letters = CASES[case]
    lengths = {"n": 2, "a": 3, "b": 3, "i": 3, "j": 2}
    operands = [
        chainer.Variable(RNG.standard_normal([lengths[c] for c in names]))
        for names in with_letters.split("->")[0].split(",")
    ]
    y, expected = (F.einsum(s, *operands) for s in (with_dots, with_letters))
    weights = RNG.standard_normal(y.shape)
    np.testing.assert_allclose(y.array, expected.array)
    wanted = chainer.grad([expected], operands, [chainer.Variable(weights)])
    for gradient, one in zip(gradients([y], operands, [weights]), wanted):
        np.testing.assert_allclose(gradient, one.array, 1e-9, 1e-9)
