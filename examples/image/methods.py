"""The methods of the image examples, each from images to a map for every image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Callable

import numpy as np
from network import Network

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    AblationCAMCalculator,
    BaseCalculator,
    BayesGradCalculator,
    BlurIntegratedGradientsCalculator,
    DeconvnetCalculator,
    DeepLiftCalculator,
    EigenCAMCalculator,
    ExpectedGradientsCalculator,
    FeatureAblationCalculator,
    FullGradCalculator,
    GaussianBlur,
    GaussianNoiseSampler,
    GradCAMCalculator,
    GradCAMPlusPlusCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    GuidedGradCAMCalculator,
    GuidedIntegratedGradientsCalculator,
    HiResCAMCalculator,
    IntegratedGradientsCalculator,
    LayerCAMCalculator,
    LimeCalculator,
    LRPCalculator,
    OcclusionCalculator,
    RISECalculator,
    ScoreCAMCalculator,
    ShapleyCalculator,
    SmoothGradCalculator,
    Superpixels,
    XGradCAMCalculator,
    xrai,
)

CHANNELS = 2  # the axis of the channels in samples (M, N, ch, h, w)
#: Squares that are explained in the place of pixels, where each takes passes.
SQUARES = Superpixels(64, method="grid")


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
    return calculator.compute_aggregate(x, M, method, CHANNELS, seed=seed, **how)


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


def from_blurred(
    new_calculator: Callable[..., BaseCalculator], network: Network, *given: Any
) -> np.ndarray:
    """Return what each pixel adds, compared with a blurred image, ``(n, h, w)``."""
    return of_signs(partial(new_calculator, baseline=blur(network)), network, *given)


def expected_gradients(network: Network, x: np.ndarray, *given: Any) -> np.ndarray:
    # Each image beside all of them, blurred.
    ways = partial(ExpectedGradientsCalculator, background=blur(network)(x), steps=64)
    return of_signs(ways, network, x, *given)


def blur_integrated_gradients(network: Network, *given: Any) -> np.ndarray:
    sigma = network.size / 4
    return of_signs(
        partial(BlurIntegratedGradientsCalculator, max_sigma=sigma, steps=32),
        *(network, *given),
    )


def regions(network: Network, x: np.ndarray, *given: Any) -> np.ndarray:
    """Return Integrated Gradients of whole squares, ``(n, h, w)``."""
    maps = integrated_gradients(network, x, *given)
    return xrai(maps, segments=SQUARES(x)[:, 0]).scores


def of_squares(
    new_calculator: Callable[..., BaseCalculator], network: Network, *given: Any
) -> np.ndarray:
    """Return what each of 64 squares adds, compared with a blurred image."""
    squares = partial(new_calculator, groups=SQUARES)
    return from_blurred(squares, network, *given)


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
    return calculator.compute(x)[0]


def full_grad(
    network: Network, x: np.ndarray, classes: np.ndarray, *_: Any
) -> np.ndarray:
    calculator = FullGradCalculator(
        network.model, eval_fun=network.forward, class_index=classes
    )
    return calculator.compute(x)[0]


gradient_x_input = partial(GradientCalculator, multiply_target=True)


def guided_grad_cam(network: Network, *given: Any) -> np.ndarray:
    # Like a gradient's, its signs say whether brighter is better, not what counts.
    calculator = partial(GuidedGradCAMCalculator, layer=network.layer)
    return of_one_gradient(calculator, network, *given)


def lrp(preset: str, network: Network, *given: Any) -> np.ndarray:
    bounds = {"low": network.low, "high": network.high}
    return of_signs(partial(LRPCalculator, rule=preset, **bounds), network, *given)


#: From a method's name to what computes its maps: it is given the network, the images
#: ``(n, 3, h, w)``, a class for each, the number of samples and the seed.
Methods = dict[str, Callable[..., np.ndarray]]

METHODS: Methods = {
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

#: What is compared with a blurred image on other ways than the straight one.
PATHS: Methods = {
    "IntegratedGradients": METHODS["IntegratedGradients"],
    "ExpectedGradients": expected_gradients,
    "BlurIG": blur_integrated_gradients,
    "GuidedIG": partial(from_blurred, GuidedIntegratedGradientsCalculator),
    "DeepLIFT": partial(from_blurred, DeepLiftCalculator),
}

#: Scores of images that lack something, which take hundreds of passes.
MASKS: Methods = {
    "Occlusion": METHODS["Occlusion"],
    "FeatureAblation": partial(of_squares, FeatureAblationCalculator),
    "Shapley": partial(of_squares, partial(ShapleyCalculator, n_coalitions=1000)),
    "LIME": partial(of_squares, LimeCalculator),
    "RISE": partial(from_blurred, partial(RISECalculator, subtract_mean=True)),
}

#: The relatives of Grad-CAM, from the most like it to those of many passes.
CAMS: Methods = {
    "GradCAM": METHODS["GradCAM"],
    "GradCAM++": partial(of_maps, GradCAMPlusPlusCalculator),
    "XGradCAM": partial(of_maps, XGradCAMCalculator),
    "HiResCAM": partial(of_maps, HiResCAMCalculator),
    "LayerCAM": partial(of_maps, LayerCAMCalculator),
    "EigenCAM": partial(of_maps, EigenCAMCalculator),
    "AblationCAM": partial(of_maps, AblationCAMCalculator),
    "ScoreCAM": partial(of_maps, ScoreCAMCalculator),
}

#: Methods that go together.
GROUPS: dict[str, Methods] = {
    "usual": METHODS,
    "paths": PATHS,
    "masks": MASKS,
    "cams": CAMS,
}

#: Every method.
EVERY: Methods = {
    **METHODS,
    **PATHS,
    **MASKS,
    **CAMS,
    "GradientXInput": partial(of_signs, gradient_x_input),
    "FullGrad": full_grad,
    "XRAI": regions,
}

#: The methods by names that are easily typed, as in 'smoothgrad'.
SHORT_NAMES = {
    name.lower().removeprefix("lrp ").replace("_", ""): name for name in EVERY
}


def named(names: Sequence[str]) -> Methods:
    """Return methods by short names, by names of groups, or ``'all'``, each once."""
    found: Methods = {}
    for name in names:
        if name == "all":
            found.update(EVERY)
        elif name in GROUPS:
            found.update(GROUPS[name])
        else:
            found[SHORT_NAMES[name]] = EVERY[SHORT_NAMES[name]]
    return found


#: What :func:`named` takes.
NAMES = [*SHORT_NAMES, *GROUPS, "all"]
