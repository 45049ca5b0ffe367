"""Do the pixels that a method points to matter? Insertion and deletion on CIFAR-10.

python benchmarks/faithfulness.py
python benchmarks/faithfulness.py --images 50

Petsiuk, Das and Saenko (2018), "RISE: randomized input sampling for explanation of
black-box models", arXiv:1806.07421, section 4.1. Regions are ranked by their saliency.
Deletion replaces them by those of a blurred image, the first ones first; insertion
goes from the blurred image to the image. The area under the probability of the
predicted class is small for deletion and large for insertion if the ranking is good.
Regions of 4 x 4 pixels are those of Samek et al. (2017), "Evaluating the visualization
of what a deep neural network has learned", arXiv:1509.06321: what is missing of an
image from which single pixels are taken, a network fills in from their neighbours. For
comparison, the areas for single pixels are there, too.
CIFAR-10 is taken from Chainer's data folder (CHAINER_DATASET_ROOT).
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from table import RESULTS, write_section

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import GaussianBlur, IntegratedGradientsCalculator, fast_cpu

import chainer
import chainer.functions as F

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "image"))

from methods import EVERY, of_signs
from network import Network, class_scores, load

N_STEP = 32
REGIONS = (4, 1)


def scores(network: Network, x: np.ndarray) -> np.ndarray:
    """Returns the class scores of each image."""
    parts = np.split(x, range(200, len(x), 200))
    with fast_cpu():
        return np.concatenate([class_scores(network, part) for part in parts])


def probability(network: Network, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Returns the probability of a class for each image."""
    p = F.softmax(scores(network, x)).array
    return p[np.arange(len(x)), classes]


def steps(
    start: np.ndarray, end: np.ndarray, order: np.ndarray
) -> Iterator[np.ndarray]:
    """Gives images on the way from start to end, as many pixels further each time."""
    n, n_pixel = order.shape
    x = start.reshape(n, 3, n_pixel).copy()
    goal = end.reshape(n, 3, n_pixel)
    yield x.reshape(start.shape)
    for part in np.array_split(np.arange(n_pixel), N_STEP):
        for i, pixels in enumerate(order[:, part]):
            x[i][:, pixels] = goal[i][:, pixels]
        yield x.reshape(start.shape)


def area(
    network: Network,
    start: np.ndarray,
    end: np.ndarray,
    order: np.ndarray,
    classes: np.ndarray,
) -> np.ndarray:
    """Returns the area under the curve of each image, in [0, 1]."""
    curve = [probability(network, x, classes) for x in steps(start, end, order)]
    return (np.array(curve[1:]) + curve[:-1]).mean(axis=0) / 2


def ranking(saliency: np.ndarray, region: int) -> np.ndarray:
    """Returns each image's pixels, region by region, the strongest region first."""
    n, height, width = saliency.shape
    pixels = np.arange(height * width).reshape(1, height, width)
    sums = by_region(saliency, region).sum(axis=2)
    order = np.argsort(-sums, axis=1, kind="stable")
    return by_region(pixels, region)[0, order].reshape(n, -1)


def by_region(maps: np.ndarray, region: int) -> np.ndarray:
    """Returns maps (n, h, w) as (n, region, pixel)."""
    n, height, width = maps.shape
    parts = maps.reshape(n, height // region, region, width // region, region)
    return parts.swapaxes(2, 3).reshape(n, -1, region**2)


def mean_and_error(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--M", type=int, default=30, help="samples of Smooth/BayesGrad")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to write")
    args = parser.parse_args()

    network = load("cifar")
    _, test = chainer.datasets.get_cifar10(scale=2.0)
    x, t = chainer.dataset.concat_examples(test[: args.images])
    x = x - 1
    classes = scores(network, x).argmax(axis=1)
    blurred = GaussianBlur(5)(x)
    rng = np.random.default_rng(args.seed)
    maps = {"random": rng.random((len(x), *x.shape[2:]))}
    from_black = partial(IntegratedGradientsCalculator, baseline=network.low, steps=32)
    maps["IntegratedGradients from black"] = of_signs(
        from_black, network, x, classes, 1, args.seed
    )
    for name, method in EVERY.items():
        maps[name] = method(network, x, classes, args.M, args.seed)
    rows = []
    for name, saliency in maps.items():
        areas = []
        for region in REGIONS:
            order = ranking(saliency, region)
            areas.append(area(network, blurred, x, order, classes))
            areas.append(area(network, x, blurred, order, classes))
        areas.insert(2, areas[0] - areas[1])
        cells = [name, *map(mean_and_error, areas)]
        rows.append((areas[2].mean(), f"| {' | '.join(cells)} |"))
        print(rows[-1][1], flush=True)
    text = "\n".join(
        [
            "## Faithfulness: insertion and deletion on CIFAR-10",
            "",
            f"`benchmarks/faithfulness.py`, {datetime.date.today()}. The network of "
            f"`examples/image`, {len(x)} test images, accuracy on them "
            f"{(classes == t).mean():.2f}; M = {args.M}; areas under the probability "
            "of the predicted class (large is good for insertion, small for "
            "deletion), mean and standard error.",
            "",
            "| ranking | insertion of 4 x 4 regions | deletion | difference | "
            "insertion of pixels | deletion |",
            "|---|---|---|---|---|---|",
            *(line for _, line in sorted(rows, key=lambda row: -row[0])),
        ]
    )
    print(f"\n{text}")
    write_section(args.out, "faithfulness", text)


if __name__ == "__main__":
    main()
