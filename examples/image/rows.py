"""A grid with a row of maps for each photograph, which several scripts draw."""

from __future__ import annotations

import argparse
import time

import numpy as np
from methods import Methods
from network import Network, class_scores

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, top_classes

DRAWN = 320  # pixels of a photograph's sides in the picture


def draw_rows(
    network: Network,
    args: argparse.Namespace,
    methods: Methods,
    n_class: int = 5,
    heading: str = "",
) -> None:
    """Explain the predicted class of each photograph, and draw all maps in a grid.

    Prints the most probable classes, how long each method took, and how much of the
    scores arrives at the pixels where a method shares them out.

    Args:
        network (Network): The network.
        args (argparse.Namespace): The arguments of the script.
        methods (dict): What computes their maps.
        n_class (int): How many classes are printed for each photograph.
        heading (str): What is above the predicted class beside each row.
    """
    args.out.parent.mkdir(parents=True, exist_ok=True)
    network.model.to_device(args.device)
    seen = [network.crop(image, network.size) for _, image in args.images]
    x = np.stack([network.prepare(image) for image in seen])
    scores = class_scores(network, x)
    ranked = [top_classes(of_image, n_class, network.labels) for of_image in scores]
    for (path, _), classes in zip(args.images, ranked):
        print(f"{path}:", *classes, sep="\n  ")
    predicted = np.array([classes[0].index for classes in ranked])

    maps = {}
    for method, compute in methods.items():
        start = time.perf_counter()
        maps[method] = compute(network, x, predicted, args.M, args.seed)
        line = f"{method}: {time.perf_counter() - start:.1f} s"
        if method.startswith("LRP"):
            kept = maps[method].sum(axis=(1, 2)) / scores.max(axis=1)
            line += f"; of the scores, {', '.join(f'{k:.0%}' for k in kept)} arrives"
        print(line)
    ImageVisualizer().visualize_grid(
        maps,
        [network.crop(image, DRAWN) for _, image in args.images],
        args.out,
        row_titles=[
            f"{heading}{best.label.partition(',')[0]}\n{best.probability:.1%}"
            for best, *_ in ranked
        ],
    )
    print(f"Picture: {args.out}")
