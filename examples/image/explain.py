"""Which pixels made the network say this?

    python examples/image/explain.py photo.jpg --method smoothgrad --out heat.png
    python examples/image/explain.py photo.jpg --model vgg16 --weights FILE
    python examples/image/explain.py a.jpg b.jpg --method all --out grid.png

Prints the five most probable classes of each photograph, and draws the map of its
pixels by one method, or a grid of all methods. Without --model the small network of
this folder explains, which knows the ten classes of CIFAR-10 and sees 32 x 32 pixels.
--weights is what saliency.load_pretrained reads; without it, the weights are looked for
in Chainer's folder, and else downloaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from methods import METHODS, SHORT_NAMES
from network import (
    Network,
    add_arguments,
    class_scores,
    load,
    read_photograph,
    square,
)

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, class_index_of, top_classes

DRAWN = 384  # pixels of a photograph's sides in the picture, at least


def class_of(text: str | None, network: Network, predicted: int) -> int:
    """Return the class that the user asks for: by its index, its name, or predicted."""
    if text is None:
        return predicted
    if text.isdigit() and int(text) < len(network.labels):
        return int(text)
    try:
        return class_index_of(text, network.labels)
    except ValueError as error:
        raise SystemExit(f"--class: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+", help="photographs")
    add_arguments(parser)
    parser.add_argument("--method", choices=[*SHORT_NAMES, "all"], default="smoothgrad")
    parser.add_argument(
        "--class", dest="of_class", help="index or name; the predicted one"
    )
    parser.add_argument(
        "--mode", default="overlay", help="overlay, contour, mask, heatmap"
    )
    parser.add_argument("--out", type=Path, default=Path("heat.png"))
    args = parser.parse_args()

    network = load(args.model, args.weights)
    network.model.to_device(args.device)
    photographs = [read_photograph(path) for path in args.images]
    drawn = [square(one, max(network.size, DRAWN)) for one in photographs]
    x = np.stack([network.prepare(square(one, network.size)) for one in photographs])
    classes = []
    for path, of_image in zip(args.images, class_scores(network, x)):
        best = top_classes(of_image, labels=network.labels)
        print(f"{path}:", *best, sep="\n  ")
        classes.append(class_of(args.of_class, network, best[0].index))

    method = SHORT_NAMES.get(args.method)
    chosen = {method: METHODS[method]} if method else METHODS
    given = (network, x, np.array(classes), args.M, args.seed)
    maps = {name: compute(*given) for name, compute in chosen.items()}
    titles = [network.labels[c].partition(",")[0] for c in classes]
    if len(drawn) == 1 and len(maps) == 1:
        ImageVisualizer().visualize(
            maps[method][0],
            drawn[0],
            args.out,
            title=f"{titles[0]}: {method}",
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
