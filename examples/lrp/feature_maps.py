"""What do inner layers look at, in a good network and in one that is hardly trained?

A LeNet is trained twice from the same weights, once to 99 % of the test digits, once to
about 42 %. The relevance of the true class is passed back from each pooling layer to
the maps below it, and drawn for both networks side by side:

    python examples/lrp/feature_maps.py
    python examples/lrp/feature_maps.py --digit 3 --rule epsilon
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from data import Images, enlarged, load_digits
from matplotlib.figure import Figure
from networks import LeNet
from tqdm.auto import tqdm
from training import accuracy, add_digit, add_rule, begin, parser

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import FilterVisualizer, LRPCalculator, fast_cpu
from saliency.command_line import at_least

import chainer
import chainer.functions as F

GOOD, BAD = 0.99, 0.42
# From the output down: what is pooled, and how many of its maps stand in a row.
LAYERS = {"/conv3": 20, "/conv2": 9, "/conv1": 5}


def train_until(
    model: chainer.Chain,
    digits: Images,
    goal: float,
    *,
    alpha: float,
    interval: int,
    n_test: int,
    most: int,
) -> None:
    """Train until so many test digits are right.

    Args:
        model (chainer.Chain): The network, on its device.
        digits (Images): To train and to test on.
        goal (float): Share of the test digits.
        alpha (float): Step size of Adam.
        interval (int): Updates between two tests.
        n_test (int): How many test digits decide, more or less.
        most (int): Updates after which it ends anyway.
    """
    step = max(1, len(digits.x_test) // n_test)
    x, t = digits.x_test[::step], digits.t_test[::step]
    optimizer = chainer.optimizers.Adam(alpha).setup(model)
    iterator = chainer.iterators.SerialIterator(
        chainer.datasets.TupleDataset(digits.x_train, digits.t_train), 100
    )

    def loss(x: Any, t: Any) -> chainer.Variable:
        return F.softmax_cross_entropy(model(x), t)

    with (
        fast_cpu(),
        tqdm(desc=f"train to {goal:.0%}", unit="update", disable=None) as bar,
    ):
        for update in range(1, most + 1):
            batch = chainer.dataset.concat_examples(iterator.next(), model.device)
            optimizer.update(loss, *batch)
            bar.update()
            if update % interval == 0:
                reached = accuracy(model, x, t)
                bar.set_postfix_str(f"test accuracy {reached:.3f}")
                if reached >= goal:
                    return
    print(f"{goal:.0%} is not reached in {most} updates")


def draw(networks: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Draw the relevance of each layer's maps, a column for each network.

    Args:
        networks (dict): From a network's title to its layers, from the output down,
            and those to their maps, ``(n, h, w)``.
        path (path): File to write.
    """
    layers = list(next(iter(networks.values())))
    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.subplots(len(layers), 2, height_ratios=(2.5, 3.1, 3.6, 3.2))
    for layer, row in zip(layers, axes):
        of_both = [of_network[layer] for of_network in networks.values()]
        limit = max(np.abs(maps).max() for maps in of_both)
        for ax, title, maps in zip(row, networks, of_both):
            n, height, width = maps.shape
            what = f"{n} maps of {layer}, " if layer in LAYERS else "input, "
            FilterVisualizer().visualize(
                maps,
                title=f"{title}: {what}{height} x {width}",
                n_column=LAYERS.get(layer, 1),
                limit=limit,
                unit="relevance",
                ax=ax,
            )
    figure.suptitle(
        "Relevance of the true class, 1 at the output, below each pooling layer.\n"
        "Red: for the class; blue: against it. One scale for each row"
    )
    figure.savefig(path, dpi=110)


def main() -> None:
    arguments = parser(__doc__, "lrp_feature_maps")
    add_digit(arguments, 4)
    add_rule(arguments, "alpha2_beta1")
    arguments.add_argument(
        "--most",
        type=at_least(1),
        default=5000,
        help="largest number of updates of a network",
    )
    args = arguments.parse_args()
    begin(args)

    digits = load_digits(args.data)
    digits = digits._replace(
        x_train=enlarged(digits.x_train), x_test=enlarged(digits.x_test)
    )
    start = LeNet()
    good, bad = start.copy("copy"), start.copy("copy")
    for model in (good, bad):
        model.to_device(args.device)
    most, n_test = args.most, len(digits.x_test)
    train_until(good, digits, GOOD, alpha=2e-3, interval=200, n_test=n_test, most=most)
    train_until(bad, digits, BAD, alpha=1e-4, interval=1, n_test=2000, most=most)

    image = digits.x_test[digits.t_test == args.digit][:1]
    networks = {}
    for name, model in (("good", good), ("bad", bad)):
        chainer.serializers.save_npz(args.out / f"{name}.npz", model)
        reached = accuracy(model, digits.x_test, digits.t_test)
        print(f"{name} network: test accuracy {reached:.4f}")
        calculator = LRPCalculator(
            model, class_index=args.digit, rule=args.rule, relevance=1
        )
        layers = calculator.compute_layers(image, list(LAYERS), show_progress=False)
        layers["input"] = calculator.compute(image, show_progress=False)
        title = f"network with {reached:.1%} right"
        networks[title] = {layer: maps[0, 0] for layer, maps in layers.items()}
        print(calculator.conservation(image, show_progress=False))
    picture = args.out / "feature_maps.png"
    draw(networks, picture)
    print(f"\nPicture: {picture}")


if __name__ == "__main__":
    main()
