"""Networks that exported/make.py exported from PyTorch, by both of its exporters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import saliency

import chainer

FOLDER = Path(__file__).parent / "exported"
FILES = sorted(FOLDER.glob("*.onnx"))
# PyTorch's attention has heads and examples along one axis. With one example, nothing
# in the file tells where others would go.
OF_ONE = ("transformer_old_one", "transformer_new_one")


def loaded(path):
    name = path.stem.partition("_")[0]
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return saliency.load_onnx(path), arrays["x"], arrays["y"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_gives_what_it_gave_in_pytorch(path):
    model, x, y = loaded(path)
    step = 1 if path.stem in OF_ONE else len(x)
    with chainer.using_config("train", False):
        parts = [model(x[i : i + step]).array for i in range(0, len(x), step)]
    assert_allclose(np.concatenate(parts), y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OF_ONE)
def test_attention_that_is_written_for_one_example(name):
    model, x, _ = loaded(FOLDER / f"{name}.onnx")
    with pytest.raises(ValueError, match=r"batch of 1, and its Reshape .*batchsize=1"):
        model(x)
    free, _, _ = loaded(FOLDER / f"{name.replace('one', 'free')}.onnx")
    alone, together = (
        saliency.GradientCalculator(m, class_index=0).compute(x, batchsize=size)
        for m, size in ((model, 1), (free, 3))
    )
    assert_allclose(alone, together, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if "free" in p.stem and "text" not in p.stem],
    ids=lambda path: path.stem,
)
def test_relevance_is_kept(path):
    model, x, y = loaded(path)
    calculator = saliency.LRPCalculator(model, rule="epsilon", class_index=1)
    account = calculator.conservation(x)
    assert_allclose(account.start, y[:, 1].sum(), rtol=1e-4)
    # The token for the class, which is put beside those of the image, is a constant.
    lost = sum(e.other for e in account.entries if e.function != "Concat")
    assert abs(lost) < 1e-3 * abs(y).sum()
