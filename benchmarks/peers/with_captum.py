"""Captum's methods on a twin, as its documentation runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from captum.attr import (
    DeepLift,
    DeepLiftShap,
    IntegratedGradients,
    NoiseTunnel,
    Occlusion,
    Saliency,
    ShapleyValueSampling,
)

from peers.tensors import array, tensor


def vanilla_grad(model: Any, x: np.ndarray, classes: np.ndarray, **more: Any) -> Any:
    """Return the gradient, with its sign."""
    inputs = tensor(x).requires_grad_()
    target = tensor(classes)
    found = Saliency(model).attribute(inputs, target=target, abs=False, **more)
    return array(found)


def smooth_grad(
    model: Any,
    x: np.ndarray,
    classes: np.ndarray,
    M: int,
    sigma: float,
    size: int,
    **more: Any,
) -> Any:
    """Return the mean gradient at M noisy inputs, ``size`` rows in one pass."""
    found = NoiseTunnel(Saliency(model)).attribute(
        tensor(x),
        nt_type="smoothgrad",
        nt_samples=M,
        nt_samples_batch_size=max(1, size // len(x)),
        stdevs=float(sigma),
        target=tensor(classes),
        abs=False,
        **more,
    )
    return array(found)


def bayes_grad(
    model: Any, x: np.ndarray, classes: np.ndarray, M: int, size: int
) -> Any:
    """Return the mean gradient of M networks with dropout.

    Captum has no BayesGrad: the nearest is a noise tunnel without noise around a model
    whose dropout is active.
    """
    drops = [layer for layer in model.modules() if isinstance(layer, torch.nn.Dropout)]
    for layer in drops:
        layer.train()
    try:
        return smooth_grad(model, x, classes, M, 0.0, size)
    finally:
        for layer in drops:
            layer.eval()


def integrated_gradients(
    model: Any, x: np.ndarray, classes: np.ndarray, n: int, size: int
) -> Any:
    """Return Integrated Gradients from 0, by n Gauss-Legendre points."""
    found = IntegratedGradients(model).attribute(
        tensor(x),
        target=tensor(classes),
        n_steps=n,
        internal_batch_size=max(size, len(x)),
    )
    return array(found)


def deep_lift(model: Any, x: np.ndarray, classes: np.ndarray) -> Any:
    """Return DeepLIFT from 0; the model must not apply a module twice."""
    return array(DeepLift(model).attribute(tensor(x), target=tensor(classes)).detach())


def deep_lift_shap(
    model: Any, x: np.ndarray, classes: np.ndarray, background: np.ndarray
) -> Any:
    """Return the mean of DeepLIFT over a background, all in one pass."""
    found = DeepLiftShap(model).attribute(
        tensor(x), baselines=tensor(background), target=tensor(classes)
    )
    return array(found.detach())


def occlusion(
    model: Any,
    x: np.ndarray,
    classes: np.ndarray,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    size: int,
) -> Any:
    """Return how far the score falls under a window that slides."""
    with torch.no_grad():
        found = Occlusion(model).attribute(
            tensor(x),
            sliding_window_shapes=window,
            strides=stride,
            target=tensor(classes),
            perturbations_per_eval=max(1, size // len(x)),
        )
    return array(found)


def shapley_sampling(
    model: Any, x: np.ndarray, classes: np.ndarray, n: int, size: int
) -> Any:
    """Return Shapley values by n random orders, from a baseline of 0."""
    with torch.no_grad():
        found = ShapleyValueSampling(model).attribute(
            tensor(x),
            target=tensor(classes),
            n_samples=n,
            perturbations_per_eval=max(1, size // len(x)),
        )
    return array(found)
