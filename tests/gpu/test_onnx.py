"""Operators of ONNX give on a GPU what their tests expect of them."""

from __future__ import annotations

import numpy as np
import pytest

import saliency

import chainer

pytestmark = pytest.mark.gpu

conformance = pytest.importorskip(
    "tests.models.onnx.test_conformance", reason="needs the package onnx"
)

# Families with many options, which are imported, and so computed, in a moment.
FAMILIES = [
    *("clip", "concat", "conv", "convtranspose", "einsum", "gather", "gathernd"),
    *("gemm", "gru", "loop", "lstm", "matmul", "pad", "reshape", "resize", "rnn"),
    *("scatterelements", "scatternd", "slice", "softmax", "split"),
]


def test_the_families_that_networks_are_made_of(monkeypatch):
    gpu = chainer.get_device("@cupy:0")
    load, explained = saliency.load_onnx, conformance.explained

    def load_to_gpu(model):
        loaded = load(model)
        loaded.to_device(gpu)
        return loaded

    def explained_on_gpu(x):
        x = explained(x)
        if isinstance(x, chainer.Variable):
            return chainer.Variable(gpu.send(x.array))
        return gpu.send(x) if isinstance(x, np.ndarray) else x

    monkeypatch.setattr(conformance.saliency, "load_onnx", load_to_gpu)
    monkeypatch.setattr(conformance, "explained", explained_on_gpu)
    passed, _ = conformance.run(FAMILIES)
    assert passed > 200
