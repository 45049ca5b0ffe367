"""Draws the pictures of docs/metrics.md: curves, a ranking of methods, and a cascade.

    python docs/make_metric_pictures.py

The network and the images are those of examples/image/heatmaps.py, CIFAR-10. It takes
some minutes.
"""

from __future__ import annotations

import sys
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "image"))

from network import class_scores, load

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    BaseCalculator,
    BayesGradCalculator,
    DeepLiftCalculator,
    GaussianBlur,
    GradCAMCalculator,
    GradientCalculator,
    GuidedBackpropCalculator,
    ImageVisualizer,
    IntegratedGradientsCalculator,
    LRPCalculator,
    MetricVisualizer,
    OcclusionCalculator,
    SmoothGradCalculator,
    Superpixels,
)
from saliency.metrics import (
    Cascade,
    Deletion,
    Insertion,
    MaxSensitivity,
    MetricResult,
    ModelRandomisation,
    Sparseness,
)

import chainer
import chainer.functions as F

DOCS = Path(__file__).parent
N_IMAGE = 50
BLUR = GaussianBlur(5)
SHOWN = 5
QUIET = {"seed": 0, "show_progress": False}


class Method(NamedTuple):
    """A calculator, and how it is asked.

    Attributes:
        kind: Makes the calculator.
        settings: Arguments of its ``compute_aggregate``.
    """

    kind: Any
    settings: dict[str, Any]


_SIGNED = {"ch_axis": 2}
_SIZES = {"ch_axis": 2, "method": "abs"}
METHODS = {
    "VanillaGrad": Method(GradientCalculator, _SIZES),
    "SmoothGrad": Method(SmoothGradCalculator, {**_SIZES, "M": 10}),
    "BayesGrad": Method(BayesGradCalculator, {**_SIZES, "M": 10}),
    "GuidedBackprop": Method(GuidedBackpropCalculator, _SIZES),
    "GradientXInput": Method(
        partial(GradientCalculator, multiply_target=True), _SIGNED
    ),
    "IntegratedGradients": Method(
        partial(IntegratedGradientsCalculator, baseline=BLUR, steps=16), _SIGNED
    ),
    "DeepLIFT": Method(partial(DeepLiftCalculator, baseline=BLUR), _SIGNED),
    "LRP epsilon": Method(partial(LRPCalculator, rule="epsilon"), _SIGNED),
    "LRP zplus": Method(partial(LRPCalculator, rule="zplus"), _SIGNED),
    "GradCAM": Method(partial(GradCAMCalculator, layer="conv3_2"), {}),
    "Occlusion": Method(
        partial(OcclusionCalculator, size=8, stride=8, fill=BLUR), _SIGNED
    ),
}
#: As many as have colours of their own.
IN_CURVES = (
    *("VanillaGrad", "SmoothGrad", "GradientXInput", "IntegratedGradients"),
    *("LRP zplus", "GradCAM", "Occlusion"),
)
CASCADE = (*("/fc5", "/fc4", "/conv3_2", "/conv3_1", "/conv2_2", "/conv2_1", "/conv1"),)
IN_CASCADE = ("VanillaGrad", "GuidedBackprop", "IntegratedGradients", "LRP zplus")


def save(figure: Figure, name: str) -> None:
    """Save a picture in few colours, which make a quarter of the file."""
    file = BytesIO()
    figure.savefig(file, dpi=160, bbox_inches="tight")
    picture = Image.open(file).convert("RGB")
    few = picture.quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=3)
    colors = np.reshape(few.getpalette(), (-1, 3))
    colors[colors.min(axis=1) >= 250] = 255  # which the mean of a cluster may miss
    few.putpalette(colors.ravel().tolist())
    picture.quantize(palette=few, dither=0).save(DOCS / name, optimize=True)


def calculator(name: str, model: Any, classes: np.ndarray) -> BaseCalculator:
    """Return the calculator of a method."""
    return METHODS[name].kind(model, class_index=classes)


def measured(
    model: Any, x: np.ndarray, classes: np.ndarray
) -> tuple[dict[str, dict[str, MetricResult]], dict[str, MetricResult]]:
    """Return what each metric says of each method, and of a random ranking."""
    removal = {
        "eval_fun": lambda v: F.softmax(model(v)),
        "class_index": classes,
        "reference": BLUR,
        "groups": Superpixels(64, method="grid"),
    }
    of_scores = [Deletion(model, **removal), Insertion(model, **removal), Sparseness()]
    again = [MaxSensitivity(n_samples=4), ModelRandomisation(transform="absolute")]
    found: dict[str, dict[str, MetricResult]] = {}
    for name, method in METHODS.items():
        explainer = calculator(name, model, classes)
        settings = {**QUIET, **method.settings}
        scores = explainer.compute_aggregate(x, **settings)
        for metric in of_scores:
            result = metric.compute(scores, x)
            found.setdefault(result.metric, {})[name] = result
        for metric in again:
            result = metric.compute(explainer, x, **settings)
            found.setdefault(result.metric, {})[name] = result
    floors = {type(m).__name__: m.of_random(x, **QUIET) for m in of_scores[:2]}
    return found, floors


def cascades(model: Any, x: np.ndarray, classes: np.ndarray) -> dict[str, Cascade]:
    """Return the maps of an image by some methods while layers are drawn anew.

    Those are convolutions and linear layers. Behind other ones, most of this network's
    rectifiers are 0, and with most seeds all gradients; with this one they are not.
    """
    metric = ModelRandomisation(transform="absolute", layers=CASCADE, draw="permuted")
    return {
        name: metric.cascade(
            calculator(name, model, classes), x, **QUIET, **METHODS[name].settings
        )
        for name in IN_CASCADE
    }


def main() -> None:
    """Explain and measure, and save the pictures."""
    network = load("cifar")
    _, test = chainer.datasets.get_cifar10(scale=2.0)
    x, _ = chainer.dataset.concat_examples(test[:N_IMAGE])
    x -= 1
    classes = class_scores(network, x).argmax(axis=1)

    found, floors = measured(network.model, x, classes)
    floor = floors["Deletion"]
    figure = MetricVisualizer().visualize(
        {name: found["Deletion"][name].curve for name in IN_CURVES},
        floor.fractions,
        title="Deletion",
        xlabel="share of squares removed",
        ylabel="mean probability",
        random=floor.curve,
    )
    save(figure, "metric_curves.png")
    figure = MetricVisualizer().visualize_ranking(
        {
            metric: {name: result.values for name, result in results.items()}
            for metric, results in found.items()
        },
        {
            metric: results["VanillaGrad"].larger_is_better
            for metric, results in found.items()
        },
        random={metric: result.values for metric, result in floors.items()},
    )
    save(figure, "metric_ranking.png")

    draw_cascade(network.model, x, classes, SHOWN)


def draw_cascade(model: Any, x: np.ndarray, classes: np.ndarray, shown: int) -> None:
    """Save the picture of an image whose maps change."""
    one = slice(shown, shown + 1)
    of_methods = cascades(model, x[one], classes[one])
    figure = ImageVisualizer().visualize_cascade(
        [cascade.maps[0] for cascade in of_methods.values()],
        CASCADE,
        [(x[shown] + 1) / 2] * len(of_methods),
        similarities=[cascade.similarities[0] for cascade in of_methods.values()],
        row_titles=list(of_methods),
        max_maps=6,
        mode="heatmap",
    )
    save(figure, "metric_cascade.png")


if __name__ == "__main__":
    main()
