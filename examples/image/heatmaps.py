"""Heatmaps of every method for several images, one by one and in a grid.

    python examples/image/heatmaps.py
    python examples/image/heatmaps.py --method smoothgrad gradcam epsilongammabox
    python examples/image/heatmaps.py a.jpg b.jpg --model vgg16 --weights FILE

Without images, the small network of this folder explains some of CIFAR-10's test
images, of those that it gets right. They have to be in Chainer's folder of data sets
(CHAINER_DATASET_ROOT). Any other --model explains the two photographs that come with
scikit-learn.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from methods import NAMES, named
from network import (
    CLASSES,
    SIZE,
    Network,
    add_arguments,
    check_sizes,
    class_scores,
    load,
)
from PIL import Image

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, top_classes
from saliency.command_line import Parser
from saliency.models.imagenet import RankedClass

import chainer


def default_images(
    network: Network,
) -> tuple[list[np.ndarray], list[str], list[str | None]]:
    """Return images for the network, their names, and their classes if known."""
    folder = Path(chainer.dataset.get_dataset_directory("pfnet/chainer/cifar", False))
    if network.size == SIZE and not (folder / "cifar-10.npz").exists():
        raise SystemExit(
            f"The images of CIFAR-10 are not in {folder}. Download them by python -c "
            '"import saliency, chainer; chainer.datasets.get_cifar10()", or name a '
            "network that knows photographs, such as --model vgg16"
        )
    if network.size == SIZE:
        _, test = chainer.datasets.get_cifar10(scale=255.0)
        images, t = chainer.dataset.concat_examples(test[:500])
        images = np.moveaxis(images, 1, -1).round().astype(np.uint8)
        is_right = class_scores(network, network.prepare(images)).argmax(axis=1) == t
        shown = [np.flatnonzero(is_right & (t == k))[0] for k in (0, 1, 4, 5, 7)]
        classes = [CLASSES[t[i]] for i in shown]
        return (
            list(images[shown]),
            [f"{name}_{i}" for name, i in zip(classes, shown)],
            classes,
        )
    from sklearn.datasets import load_sample_images

    bunch = load_sample_images()
    names = [Path(name).stem for name in bunch.filenames]
    images = [
        network.crop(Image.fromarray(image), network.size) for image in bunch.images
    ]
    return images, names, [None] * len(images)


def row_title(true: str | None, predicted: RankedClass) -> str:
    """Return the true class if it is known, and the predicted one with its share."""
    label = predicted.label.partition(",")[0]
    lines = [f"predicted: {label}", f"{predicted.probability:.1%}"]
    return "\n".join(lines if true is None else [f"true: {true}", *lines])


def main() -> None:
    parser = Parser(__doc__)
    add_arguments(parser, n_image="*")
    parser.add_argument(
        "--method",
        choices=NAMES,
        nargs="+",
        default=["usual"],
        help="how to explain",
    )
    parser.add_common_arguments("results/image")
    args = parser.parse_args()
    check_sizes(parser, args)
    args.out.mkdir(parents=True, exist_ok=True)

    network = load(args.model, args.weights)
    network.model.to_device(args.device)
    if args.images:
        images = [network.crop(image, network.size) for _, image in args.images]
        names = [path.stem for path, _ in args.images]
        true: list[str | None] = [None] * len(images)
    else:
        images, names, true = default_images(network)
    x = np.stack([network.prepare(image) for image in images])
    scores = class_scores(network, x)
    best = [top_classes(of_image, labels=network.labels) for of_image in scores]
    for name, classes in zip(names, best):
        print(f"{name}:", *classes, sep="\n  ")
    predicted = np.array([classes[0].index for classes in best])
    titles = [classes[0].label.partition(",")[0] for classes in best]

    maps = {}
    for method, compute in named(args.method).items():
        start = time.perf_counter()
        maps[method] = compute(network, x, predicted, args.M, args.seed)
        print(f"{method}: {time.perf_counter() - start:.1f} s")
        for name, title, image, of_image in zip(names, titles, images, maps[method]):
            file = f"{name}_{method.replace(' ', '_')}.png"
            ImageVisualizer().visualize(
                of_image,
                image,
                args.out / file,
                title=f"{title}: {method}",
                show_colorbar=True,
            )
    ImageVisualizer().visualize_grid(
        maps,
        images,
        args.out / "grid.png",
        row_titles=[row_title(t, classes[0]) for t, classes in zip(true, best)],
    )
    print(f"\nPictures in {args.out}/, all of them in {args.out / 'grid.png'}")


if __name__ == "__main__":
    main()
