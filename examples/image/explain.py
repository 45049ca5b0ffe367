"""Which pixels made the network say this?

    python examples/image/explain.py photo.jpg --method smoothgrad --out heat.png
    python examples/image/explain.py photo.jpg --model resnet50 --weights FILE
    python examples/image/explain.py a.jpg b.jpg --method all --out grid.png

Prints the five most probable classes of each photograph, and draws the map of its
pixels by one method, or a grid of all methods. VGG16, trained on ImageNet, explains if
no other --model is named. --weights is what saliency.load_pretrained reads; without it,
the weights are looked for in Chainer's folder, and else downloaded (550 MB for VGG16,
100 MB for ResNet50). The small network of this folder, --model cifar, knows the ten
classes of CIFAR-10 in images of 32 x 32 pixels, and refuses photographs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from methods import METHODS, SHORT_NAMES
from network import (
    add_arguments,
    check_size,
    class_scores,
    labels_of,
    load,
    read_photograph,
    square,
)

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, class_index_of, top_classes
from saliency.models.imagenet import RankedClass

MODES = ("overlay", "contour", "mask", "heatmap")
DRAWN = 384  # pixels of a photograph's sides in the picture, at least


def class_asked_for(text: str | None, labels: Sequence[str]) -> int | None:
    """Return the class that the user names, by its index or its name, if any."""
    if text is None:
        return None
    if text.isdigit() and int(text) < len(labels):
        return int(text)
    try:
        return class_index_of(text, labels)
    except ValueError as error:
        raise SystemExit(f"--class: {error}") from None


def title_of(index: int, ranked: Sequence[RankedClass]) -> str:
    """Return the explained class with its probability, and the most probable one."""
    explained = next(one for one in ranked if one.index == index)
    titles = [
        f"{one.label.partition(',')[0]} {one.probability:.0%}"
        for one in (explained, ranked[0])
    ]
    if explained == ranked[0]:
        return titles[0]
    return f"{titles[0]}\npredicted: {titles[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+", help="photographs")
    add_arguments(parser, model="vgg16")
    parser.add_argument("--method", choices=[*SHORT_NAMES, "all"], default="smoothgrad")
    parser.add_argument(
        "--class", dest="of_class", help="index or name; the predicted one"
    )
    parser.add_argument("--mode", choices=MODES, default="overlay")
    parser.add_argument("--out", type=Path, default=Path("heat.png"))
    args = parser.parse_args()

    photographs = [read_photograph(path) for path in args.images]
    for path, photograph in zip(args.images, photographs):
        check_size(args.model, photograph, path)
    asked_for = class_asked_for(args.of_class, labels_of(args.model))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    network = load(args.model, args.weights)
    network.model.to_device(args.device)
    drawn = [square(one, max(network.size, DRAWN)) for one in photographs]
    x = np.stack([network.prepare(square(one, network.size)) for one in photographs])
    indices, titles = [], []
    for path, of_image in zip(args.images, class_scores(network, x)):
        ranked = top_classes(of_image, len(network.labels), network.labels)
        print(f"{path}:", *ranked[:5], sep="\n  ")
        index = ranked[0].index if asked_for is None else asked_for
        indices.append(index)
        titles.append(title_of(index, ranked))

    method = SHORT_NAMES.get(args.method)
    chosen = {method: METHODS[method]} if method else METHODS
    given = (network, x, np.array(indices), args.M, args.seed)
    maps = {name: compute(*given) for name, compute in chosen.items()}
    if len(drawn) == 1 and len(maps) == 1:
        ImageVisualizer().visualize(
            maps[method][0],
            drawn[0],
            args.out,
            title=f"{titles[0]}\n{method}",
            mode=args.mode,
            show_colorbar=True,
        )
    else:
        ImageVisualizer().visualize_grid(
            maps, drawn, args.out, mode=args.mode, row_titles=titles
        )
    print(f"Picture: {args.out}")


if __name__ == "__main__":
    main()
