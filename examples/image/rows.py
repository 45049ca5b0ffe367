"""Photographs in a row of methods each: what the scripts that draw such grids share."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from methods import METHODS
from network import Network, class_scores

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, top_classes

DRAWN = 320  # pixels of a photograph's sides in the picture


def draw_rows(
    network: Network,
    args: argparse.Namespace,
    methods: Sequence[str],
    n_class: int = 5,
) -> dict[str, np.ndarray]:
    """Explain the predicted class of each photograph, and draw all maps in a grid.

    Prints the most probable classes, and how long each method took.

    Args:
        network (Network): The network.
        args (argparse.Namespace): The arguments of the script.
        methods (sequence of str): Names in ``METHODS``.
        n_class (int): How many classes are printed for each photograph.

    Returns:
        dict: From the name of a method to its maps, ``(n, h, w)``.
    """
    args.out.parent.mkdir(parents=True, exist_ok=True)
    network.model.to_device(args.device)
    seen = [network.crop(image, network.size) for _, image in args.images]
    x = np.stack([network.prepare(image) for image in seen])
    ranked = [
        top_classes(scores, n_class, network.labels)
        for scores in class_scores(network, x)
    ]
    for (path, _), classes in zip(args.images, ranked):
        print(f"{path}:", *classes, sep="\n  ")
    predicted = np.array([classes[0].index for classes in ranked])

    maps = {}
    for method in methods:
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
    return maps
