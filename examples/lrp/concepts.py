"""Which concepts does a network use for a digit, and what do they stand for?

A network is trained on digits. The maps of its last convolution are ranked by their
relevance for one digit (concept relevance propagation). For the first of them, the test
digits are found that each map is most relevant for, and those that activate it most.
Over each lies the relevance that goes through this map alone:

    python examples/lrp/concepts.py
    python examples/lrp/concepts.py --digit 7 --shown 4 --rule epsilon_plus
    python examples/lrp/concepts.py --weights results/lrp_concepts/model.npz
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data import load_digits
from networks import CNN
from training import add_digit, add_epoch, add_rule, add_weights, begin, parser, trained

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, LRPCalculator, diverging_cmap
from saliency.command_line import at_least

LAYER = "/conv2"
N_DIGIT = 8  # of each map


def most_relevant_maps(
    calculator: LRPCalculator, x: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps of the layer with most relevance in some images, and its share.

    Args:
        calculator (LRPCalculator): Explains the class of the images.
        x (array): Images, ``(n, 1, h, w)``.
        n (int): How many maps.
    """
    maps = calculator.compute_layers(x, [LAYER], show_progress=False)[LAYER][0]
    relevance = maps.sum(axis=(0, 2, 3), dtype="d")
    best = np.argsort(-relevance)[:n]
    return best, relevance[best] / relevance.sum()


def draw(
    calculator: LRPCalculator,
    x: np.ndarray,
    maps: np.ndarray,
    examples: np.ndarray,
    values: np.ndarray,
    title: str,
    path: Path,
) -> None:
    """Draw a row of digits for each map, with the relevance that goes through it.

    Args:
        calculator (LRPCalculator): Explains the predicted class.
        x (array): Images, ``(n, 1, h, w)``.
        maps (array): The maps of the layer.
        examples (array): Which images stand in the row of each.
        values (array): What is written below each.
        title (str): Title of the picture.
        path (path): File to write.
    """
    heatmaps = [
        calculator.replace(conditions={LAYER: int(one)}).compute(
            x[row], show_progress=False
        )[0]
        for one, row in zip(maps, examples)
    ]
    ImageVisualizer().visualize_rows(
        x[examples],
        heatmaps,
        path,
        title=title,
        cmap=diverging_cmap,
        row_titles=[f"map {one}" for one in maps],
        captions=[[f"{value:.2f}" for value in row] for row in values],
    )


def check_partition(calculator: LRPCalculator, x: np.ndarray) -> None:
    """Print how far all maps, each by itself, are from the ordinary heatmap."""
    whole = calculator.compute(x, show_progress=False)[0]
    n = calculator.model.conv2.out_channels
    parts = sum(
        calculator.replace(conditions={LAYER: one}).compute(x, show_progress=False)[0]
        for one in range(n)
    )
    difference = np.abs(parts - whole).max() / np.abs(whole).max()
    print(
        f"heatmaps through each of the {n} maps, added up: the ordinary heatmap "
        f"within {difference:.1e} of its largest value"
    )


def main() -> None:
    arguments = parser(__doc__, "lrp_concepts")
    add_epoch(arguments, large=3, small=15)
    add_weights(arguments)
    add_digit(arguments, 4)
    add_rule(arguments, "epsilon_plus")
    arguments.add_argument("--shown", type=at_least(1), default=5, help="maps, at most")
    args = arguments.parse_args()
    begin(args)

    digits = load_digits(args.data)
    model = CNN()
    trained(model, digits, args)
    of_digit = digits.x_test[digits.t_test == args.digit]
    calculator = LRPCalculator(model, class_index=args.digit, rule=args.rule)
    maps, shares = most_relevant_maps(calculator, of_digit, args.shown)
    print(f"\nmaps of {LAYER} with most relevance for the digit {args.digit}:")
    for one, share in zip(maps, shares):
        print(f"  map {one}: {share:.1%} of the relevance")

    predicted = LRPCalculator(model, rule=args.rule)
    # By the largest value of a map: below the rectifier, a sum would count against a
    # digit where the map is not active.
    found = predicted.reference_examples(
        digits.x_test, LAYER, N_DIGIT, maps, reduce="max", show_progress=False
    )
    print(f"\n{found}\n")
    classes = digits.t_test[found.by_relevance.examples]
    for one, row in zip(maps, classes):
        seen = ", ".join(digits.classes[t] for t in row)
        print(f"  map {one} is most relevant for digits that are {seen}")
    ways = {"relevance": found.by_relevance, "activation": found.by_activation}
    for name, (examples, values) in ways.items():
        title = f"Digits with the largest {name} (below each) of maps of {LAYER}"
        path = args.out / f"by_{name}.png"
        draw(predicted, digits.x_test, maps, examples, values, title, path)
    check_partition(predicted, digits.x_test[:2])
    print(f"\nPictures: {args.out / 'by_relevance.png'} and by_activation.png")


if __name__ == "__main__":
    main()
