"""What one writes with Chainer alone: pass after pass, ``backward()`` each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

import chainer
import chainer.functions as F

Forward = Callable[[Any], chainer.Variable]


def gradient(
    model: chainer.Link, forward: Forward, x: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return the gradient at x by ``cleargrads`` and ``backward()``."""
    target = chainer.Variable(x)
    model.cleargrads()
    F.sum(F.select_item(forward(target), classes)).backward()
    return target.grad


def vanilla_grad(
    model: chainer.Link, forward: Forward, x: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return the gradient, in evaluation mode."""
    with chainer.using_config("train", False):
        return gradient(model, forward, x, classes)


def smooth_grad(
    model: chainer.Link,
    forward: Forward,
    x: np.ndarray,
    classes: np.ndarray,
    M: int,
    sigma: float,
) -> np.ndarray:
    """Return the mean gradient at M noisy inputs."""
    rng = np.random.default_rng(0)
    total = np.zeros_like(x)
    with chainer.using_config("train", False):
        for _ in range(M):
            noise = rng.standard_normal(x.shape, dtype=np.float32)
            total += gradient(model, forward, x + np.float32(sigma) * noise, classes)
    return total / M


def bayes_grad(
    model: chainer.Link, forward: Forward, x: np.ndarray, classes: np.ndarray, M: int
) -> np.ndarray:
    """Return the mean gradient of M networks with dropout."""
    total = np.zeros_like(x)
    with chainer.using_config("train", True):
        for _ in range(M):
            total += gradient(model, forward, x, classes)
    return total / M


def integrated_gradients(
    model: chainer.Link, forward: Forward, x: np.ndarray, classes: np.ndarray, n: int
) -> np.ndarray:
    """Return Integrated Gradients from 0, by n Gauss-Legendre points."""
    points, weights = np.polynomial.legendre.leggauss(n)
    total = np.zeros_like(x)
    with chainer.using_config("train", False):
        for point, weight in zip((points + 1) / 2, weights / 2):
            at = np.float32(point) * x
            total += np.float32(weight) * gradient(model, forward, at, classes)
    return total * x


def occlusion(
    forward: Forward,
    x: np.ndarray,
    classes: np.ndarray,
    windows: Sequence[tuple[slice, ...]],
) -> np.ndarray:
    """Return how far the score falls in each window, averaged where they overlap."""
    rows = np.arange(len(x))
    total = np.zeros_like(x)
    count = np.zeros_like(x)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        score = forward(x).array[rows, classes]
        for window in windows:
            covered = x.copy()
            covered[(slice(None), *window)] = 0
            fall = score - forward(covered).array[rows, classes]
            total[(slice(None), *window)] += fall.reshape((-1,) + (1,) * (x.ndim - 1))
            count[(slice(None), *window)] += 1
    return total / count


def lrp_epsilon(
    layers: Sequence[Forward], x: np.ndarray, classes: np.ndarray, epsilon: float = 1e-6
) -> np.ndarray:
    """Return the relevance by LRP-epsilon, layer by layer.

    Each of ``layers`` is a layer behind the ReLU and the pooling that come before it,
    which let relevance through as it is.
    """
    with chainer.using_config("train", False):
        inputs, outputs = [], []
        h = x
        for layer in layers:
            inputs.append(chainer.Variable(h))
            outputs.append(layer(inputs[-1]))
            h = outputs[-1].array
        relevance = np.zeros_like(h)
        rows = np.arange(len(x))
        relevance[rows, classes] = h[rows, classes]
        for h, z in zip(reversed(inputs), reversed(outputs)):
            sign = np.where(z.array < 0, -1, 1).astype(x.dtype)
            s = relevance / (z.array + np.float32(epsilon) * sign)
            (gradient,) = chainer.grad([z], [h], [chainer.Variable(s)])
            relevance = h.array * gradient.array
    return relevance
