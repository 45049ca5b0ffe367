"""Do the pixels that a method points to matter? Insertion and deletion on CIFAR-10.

python benchmarks/faithfulness.py
python benchmarks/faithfulness.py --images 50
python benchmarks/faithfulness.py --minutes 30    # as often as it takes

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

What a method got is kept in --parts, so that a run that was interrupted, or ended by
--minutes, goes on with the methods that are left; the table is written when all are
done. A file there is used as long as the images, the samples, the seed and the network
are the same; delete it to measure a method that was changed.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable

import numpy as np
from table import RESULTS, write_section

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import GaussianBlur, IntegratedGradientsCalculator, Superpixels, fast_cpu
from saliency.download import written_whole
from saliency.metrics import Deletion, Insertion

import chainer
import chainer.functions as F

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "image"))

from methods import EVERY, of_signs
from network import WEIGHTS, Network, class_scores, load

REGIONS = Superpixels(64, method="grid")  # of 4 x 4 pixels
PARTS = Path(__file__).parents[1] / "results" / "faithfulness"


def scores(network: Network, x: np.ndarray) -> np.ndarray:
    """Returns the class scores of each image."""
    parts = np.split(x, range(200, len(x), 200))
    with fast_cpu():
        return np.concatenate([class_scores(network, part) for part in parts])


def metrics_of(
    network: Network, classes: np.ndarray, blurred: np.ndarray
) -> dict[str, Insertion | Deletion]:
    """Returns what is measured: areas under the probability of a class."""
    settings: dict[str, Any] = {
        "model": network.model,
        "eval_fun": lambda x: F.softmax(network.forward(x)),
        "class_index": classes,
        "reference": blurred,
        "n_steps": 32,
    }
    return {
        "insertion of regions": Insertion(groups=REGIONS, **settings),
        "deletion of regions": Deletion(groups=REGIONS, **settings),
        "insertion of pixels": Insertion(**settings),
        "deletion of pixels": Deletion(**settings),
    }


def random_maps(
    network: Network, x: np.ndarray, classes: np.ndarray, M: int, seed: int
) -> np.ndarray:
    """Returns maps that know nothing."""
    return np.random.default_rng(seed).random((len(x), *x.shape[2:]))


def from_black(network: Network, *given: Any) -> np.ndarray:
    """Returns Integrated Gradients whose paths begin at a black image."""
    paths = partial(IntegratedGradientsCalculator, baseline=network.low, steps=32)
    return of_signs(paths, network, *given)


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "random": random_maps,
    "IntegratedGradients from black": from_black,
    **EVERY,
}


class Parts:
    """The areas of methods that are done, each in a file of its own.

    Args:
        folder (Path): Where the files are.
        record (str): What the areas depend on; a file with another one is not used.
    """

    def __init__(self, folder: Path, record: str) -> None:
        self.folder = folder
        self.record = record

    def path(self, method: str) -> Path:
        """Returns the file of a method."""
        return self.folder / f"{method.replace(' ', '_')}.npz"

    def read(self, method: str) -> dict[str, np.ndarray] | None:
        """Returns the areas of a method by metric; None if it is not done."""
        if not self.path(method).exists():
            return None
        with np.load(self.path(method)) as file:
            found = dict(file)
        return found if found.pop("record").item() == self.record else None

    def write(self, method: str, areas: dict[str, np.ndarray]) -> None:
        """Keeps the areas of a method; the file is whole or not there."""
        with written_whole(self.path(method)) as file:
            np.savez(file, record=np.array(self.record), **areas)


def mean_and_error(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def difference(areas: dict[str, np.ndarray]) -> np.ndarray:
    return areas["insertion of regions"] - areas["deletion of regions"]


def line(name: str, areas: dict[str, np.ndarray]) -> str:
    """Returns the row of a method."""
    columns = [*areas.values()]
    columns.insert(2, difference(areas))
    return f"| {' | '.join([name, *map(mean_and_error, columns)])} |"


def table(
    done: dict[str, dict[str, np.ndarray]], accuracy: float, args: argparse.Namespace
) -> str:
    """Returns the section, the best methods first."""
    ranked = sorted(done, key=lambda name: -difference(done[name]).mean())
    return "\n".join(
        [
            "## Faithfulness: insertion and deletion on CIFAR-10",
            "",
            f"`benchmarks/faithfulness.py`, {datetime.date.today()}. The network of "
            f"`examples/image`, {args.images} test images, accuracy on them "
            f"{accuracy:.2f}; M = {args.M}; areas under the probability "
            "of the predicted class (large is good for insertion, small for "
            "deletion), mean and standard error.",
            "",
            "| ranking | insertion of 4 x 4 regions | deletion | difference | "
            "insertion of pixels | deletion |",
            "|---|---|---|---|---|---|",
            *(line(name, done[name]) for name in ranked),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--images", type=int, default=200)
    add("--M", type=int, default=30, help="samples of Smooth/BayesGrad")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=RESULTS, help="the file to write")
    add("--minutes", type=float, help="begin no other method after so many minutes")
    add("--parts", type=Path, default=PARTS, help="where what is done is kept")
    args = parser.parse_args()

    network = load("cifar")
    _, test = chainer.datasets.get_cifar10(scale=2.0)
    x, t = chainer.dataset.concat_examples(test[: args.images])
    x = x - 1
    classes = scores(network, x).argmax(axis=1)
    metrics = metrics_of(network, classes, GaussianBlur(5)(x))
    weights = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]
    record = f"images={args.images} M={args.M} seed={args.seed} weights={weights}"
    parts = Parts(args.parts, record)
    done = {name: areas for name in METHODS if (areas := parts.read(name)) is not None}
    for name, areas in done.items():
        print(f"{line(name, areas)} kept")
    start = time.monotonic()
    for name in [name for name in METHODS if name not in done]:
        began = time.monotonic()
        if args.minutes and began - start > 60 * args.minutes:
            print(f"{len(METHODS) - len(done)} methods are left for the next run")
            return
        maps = METHODS[name](network, x, classes, args.M, args.seed)
        done[name] = {
            column: metric.compute(maps, x, seed=args.seed).values
            for column, metric in metrics.items()
        }
        parts.write(name, done[name])
        print(f"{line(name, done[name])} {time.monotonic() - began:.0f} s", flush=True)
    text = table(done, float((classes == t).mean()), args)
    print(f"\n{text}")
    write_section(args.out, "faithfulness", text)


if __name__ == "__main__":
    main()
