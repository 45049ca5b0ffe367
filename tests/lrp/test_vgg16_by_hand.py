"""z+ on VGG16 beside the four steps of the LRP tutorial, layer by layer in NumPy.

Montavon et al. (2019), "Layer-wise relevance propagation: an overview", section 10.3:
1. forward with the positive weights, 2. the relevance over that, 3. backward, 4. times
the activations. The layers are convolutions, max pooling (where relevance goes to the
winners), the flattening and the linear layers.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose

from saliency import LRPCalculator
from tests.networks import of_chainer

import chainer
import chainer.links as L

CONVOLUTIONS = (2, 2, 3, 3, 3)


@pytest.fixture(scope="module")
def model():
    """VGG16 for images of 32 x 32 pixels, whose last maps are 1 x 1."""
    model = of_chainer("VGG16Layers")
    del model.fc6
    with model.init_scope():
        model.fc6 = L.Linear(512, 4096)
    rng = np.random.default_rng(0)
    for link in model.children():
        scale = np.sqrt(2 / (link.W.size // len(link.W)))
        link.W.array = rng.normal(0, scale, link.W.shape)
        link.b.array = rng.normal(0, 0.1, link.b.shape)
    return model


def convolve(x: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Convolves images with 3 x 3 kernels, one pixel of padding."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.einsum(
        "nchwij,ocij->nohw", sliding_window_view(x, (3, 3), (2, 3)), W, optimize=True
    )


def pool(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


def to_winners(x: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Returns the relevance of what was pooled: all of it goes to the maximum."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2).swapaxes(3, 4)
    flat = blocks.reshape(n, c, h // 2, w // 2, 4)
    is_first = np.arange(4) == flat.argmax(axis=-1)[..., None]
    back = (is_first * R[..., None]).reshape(blocks.shape).swapaxes(3, 4)
    return back.reshape(x.shape)


def four_steps(
    a: np.ndarray, W: np.ndarray, b: np.ndarray, R: np.ndarray
) -> np.ndarray:
    """Returns the relevance of a layer's input, by positive contributions alone."""
    is_conv = W.ndim == 4
    parts = [(np.maximum(a, 0), np.maximum(W, 0)), (np.minimum(a, 0), np.minimum(W, 0))]
    bias = np.maximum(b, 0)
    forward = convolve if is_conv else (lambda a, W: a @ W.T)
    z = sum(forward(*part) for part in parts)  # step 1
    z = z + (bias[:, None, None] if is_conv else bias)
    s = np.divide(R, z, out=np.zeros_like(R), where=z != 0)  # step 2
    result = np.zeros_like(a)
    for of_a, of_W in parts:
        flipped = of_W[:, :, ::-1, ::-1].swapaxes(0, 1) if is_conv else of_W.T
        c = forward(s, flipped)  # step 3
        result += of_a * c  # step 4
    return result


def by_hand(model: L.VGG16Layers, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    layers = []  # (kind, what went in, W, b), from the image up
    h = x
    for block, count in enumerate(CONVOLUTIONS, 1):
        for i in range(1, count + 1):
            link = model[f"conv{block}_{i}"]
            W, b = link.W.array, link.b.array
            layers.append(("conv", h, W, b))
            h = np.maximum(convolve(h, W) + b[:, None, None], 0)
        layers.append(("pool", h, None, None))
        h = pool(h)
    h = h.reshape(len(h), -1)
    for name in ("fc6", "fc7", "fc8"):
        W, b = model[name].W.array, model[name].b.array
        layers.append(("fc", h, W, b))
        h = h @ W.T + b
        h = h if name == "fc8" else np.maximum(h, 0)
    R = np.zeros_like(h)
    rows = np.arange(len(h))
    R[rows, classes] = h[rows, classes]
    for kind, a, W, b in reversed(layers):
        if kind == "pool":
            R = to_winners(a, R.reshape(pool(a).shape))
        else:
            R = four_steps(a, W, b, R)
    return R


@pytest.mark.large
def test_zplus_is_the_four_steps(model):
    x = np.random.default_rng(1).normal(size=(2, 3, 32, 32))

    def forward(x: chainer.Variable) -> chainer.Variable:
        return model(x, layers=["fc8"])["fc8"]

    classes = np.array([3, 7])
    calculator = LRPCalculator(
        model, eval_fun=forward, class_index=classes, rule="zplus"
    )
    relevance = calculator.compute(x)[0]
    expected = by_hand(model, x, classes)
    assert expected.any()
    assert_allclose(relevance, expected, rtol=1e-8, atol=1e-10 * abs(expected).max())
