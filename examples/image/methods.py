"""The methods of the image examples, each from images to a map for every image."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import numpy as np
from network import Network

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    AblationCAMCalculator,
    BaseCalculator,
    BayesGradCalculator,
    DeconvnetCalculator,
    EigenCAMCalculator,
    GaussianBlur,
    GaussianNoiseSampler,
    GradCAMCalculator,
    GradCAMPlusPlusCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
    HiResCAMCalculator,
    IntegratedGradientsCalculator,
    LayerCAMCalculator,
    LRPCalculator,
    OcclusionCalculator,
    ScoreCAMCalculator,
    SmoothGradCalculator,
    XGradCAMCalculator,
)

CHANNELS = 2  # the axis of the channels in samples (M, N, ch, h, w)
BATCHSIZE = 8


def pixel_scores(
    new_calculator: Callable[..., BaseCalculator],
    network: Network,
    x: np.ndarray,
    classes: np.ndarray,
    M: int,
    seed: int,
    method: str,
    **how: Any,
) -> np.ndarray:
    """Return a score for each pixel, the sum over its channels, ``(n, h, w)``."""
    calculator = new_calculator(
        network.model, eval_fun=network.forward, class_index=classes
    )
    return calculator.compute_aggregate(
        x, M, method, CHANNELS, batchsize=BATCHSIZE, seed=seed, **how
    )


def of_gradients(*given: Any, **how: Any) -> np.ndarray:
    """Return the mean size of the gradient at each pixel, ``(n, h, w)``."""
    return pixel_scores(*given, method="abs", **how)


def of_signs(
    new_calculator: Callable[..., BaseCalculator],
    network: Network,
    x: np.ndarray,
    classes: np.ndarray,
    _: int,
    seed: int,
) -> np.ndarray:
    """Return what each pixel adds to the score or takes from it, ``(n, h, w)``."""
    return pixel_scores(new_calculator, network, x, classes, 1, seed, "raw")


def of_one_gradient(
    new_calculator: Callable[..., BaseCalculator],
    network: Network,
    x: np.ndarray,
    classes: np.ndarray,
    _: int,
    seed: int,
) -> np.ndarray:
    """Return the size of a gradient in which there is no chance, ``(n, h, w)``."""
    return of_gradients(new_calculator, network, x, classes, 1, seed)


def smooth_grad(network: Network, *given: Any) -> np.ndarray:
    return of_gradients(SmoothGradCalculator, network, *given)


def bayes_grad(network: Network, *given: Any) -> np.ndarray:
    return of_gradients(BayesGradCalculator, network, *given)


def bayes_smooth_grad(network: Network, *given: Any) -> np.ndarray:
    noise = GaussianNoiseSampler()
    return of_gradients(BayesGradCalculator, network, *given, noise_sampler=noise)


def blur(network: Network) -> GaussianBlur:
    """Return what makes of an image one that shows nothing, for paths and windows.

    A black one, where paths begin by default, says that what is dark does not matter.
    """
    return GaussianBlur(network.size / 10)


def integrated_gradients(network: Network, *given: Any) -> np.ndarray:
    paths = partial(IntegratedGradientsCalculator, baseline=blur(network), steps=32)
    return of_signs(paths, network, *given)


def occlusion(network: Network, *given: Any) -> np.ndarray:
    size = network.size // 8
    covers = partial(
        OcclusionCalculator, size=2 * size, stride=size, fill=blur(network)
    )
    return of_signs(covers, network, *given)


def of_maps(
    new_calculator: Callable[..., BaseCalculator],
    network: Network,
    x: np.ndarray,
    classes: np.ndarray,
    *_: Any,
) -> np.ndarray:
    """Return what the feature maps of a layer say for the class, ``(n, h, w)``."""
    calculator = new_calculator(
        network.model,
        eval_fun=network.forward,
        class_index=classes,
        layer=network.layer,
    )
    return calculator.compute(x, batchsize=BATCHSIZE)[0]


def guided_grad_cam(network: Network, *given: Any) -> np.ndarray:
    # Like a gradient's, its signs say whether brighter is better, not what counts.
    calculator = partial(GuidedGradCAMCalculator, layer=network.layer)
    return of_one_gradient(calculator, network, *given)


def lrp(preset: str, network: Network, *given: Any) -> np.ndarray:
    bounds = {"low": network.low, "high": network.high}
    return of_signs(partial(LRPCalculator, rule=preset, **bounds), network, *given)


#: From a method's name to what computes its maps: it is given the network, the images
#: ``(n, 3, h, w)``, a class for each, the number of samples and the seed.
METHODS: dict[str, Callable[..., np.ndarray]] = {
    "VanillaGrad": partial(of_one_gradient, GradientCalculator),
    "SmoothGrad": smooth_grad,
    "BayesGrad": bayes_grad,
    "BayesSmoothGrad": bayes_smooth_grad,
    "IntegratedGradients": integrated_gradients,
    "Occlusion": occlusion,
    "GradCAM": partial(of_maps, GradCAMCalculator),
    "GuidedGradCAM": guided_grad_cam,
    "GuidedBackprop": partial(of_one_gradient, GuidedBackpropCalculator),
    "Deconvnet": partial(of_one_gradient, DeconvnetCalculator),
    "LRP epsilon": partial(lrp, "epsilon"),
    "LRP zplus": partial(lrp, "zplus"),
    "LRP deep_taylor": partial(lrp, "deep_taylor"),
    "LRP epsilon_gamma_box": partial(lrp, "epsilon_gamma_box"),
}

#: The relatives of Grad-CAM, from the most like it to those of many passes.
CAMS: dict[str, Callable[..., np.ndarray]] = {
    "GradCAM": METHODS["GradCAM"],
    "GradCAM++": partial(of_maps, GradCAMPlusPlusCalculator),
    "XGradCAM": partial(of_maps, XGradCAMCalculator),
    "HiResCAM": partial(of_maps, HiResCAMCalculator),
    "LayerCAM": partial(of_maps, LayerCAMCalculator),
    "EigenCAM": partial(of_maps, EigenCAMCalculator),
    "AblationCAM": partial(of_maps, AblationCAMCalculator),
    "ScoreCAM": partial(of_maps, ScoreCAMCalculator),
}

#: The methods by names that are easily typed, as in 'smoothgrad'.
SHORT_NAMES = {
    name.lower().removeprefix("lrp ").replace("_", ""): name for name in METHODS
}
