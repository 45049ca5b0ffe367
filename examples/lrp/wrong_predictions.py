"""What misled the network? Relevance for the class it predicts beside the true one.

Finds test digits that the network gets wrong:

    python examples/lrp/wrong_predictions.py
    python examples/lrp/wrong_predictions.py --weights results/lrp_mnist/model.npz

Without --weights it trains the network of mnist.py first.
"""

from __future__ import annotations

import numpy as np
from data import load_digits
from networks import CNN
from pictures import draw_grid
from training import (
    add_epoch,
    add_rule,
    add_weights,
    begin,
    parser,
    scores_of,
    trained,
)

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import LRPCalculator
from saliency.command_line import at_least


def main() -> None:
    arguments = parser(__doc__, "lrp_wrong_predictions")
    add_epoch(arguments, 2, 40)
    add_weights(arguments)
    add_rule(arguments, "alpha2_beta1")
    arguments.add_argument(
        "--shown",
        type=at_least(1),
        default=8,
        help="largest number of digits that are drawn",
    )
    args = arguments.parse_args()
    begin(args)

    digits = load_digits(args.data)
    model = CNN()
    trained(model, digits, args)

    scores = scores_of(model, digits.x_test)
    predicted = scores.argmax(axis=1)
    wrong = np.flatnonzero(predicted != digits.t_test)
    print(f"{len(wrong)} of {len(scores)} test digits are wrong")
    if not len(wrong):
        raise SystemExit("the network gets every test digit right")
    margin = scores.max(axis=1) - scores[np.arange(len(scores)), digits.t_test]
    wrong = wrong[margin[wrong].argsort()[::-1]][: args.shown]  # the surest first

    images = digits.x_test[wrong]
    asked = {"predicted\nclass": predicted[wrong], "true\nclass": digits.t_test[wrong]}
    maps = {
        name: LRPCalculator(model, class_index=classes, rule=args.rule).compute(images)
        for name, classes in asked.items()
    }
    heatmaps = {name: samples[0, :, 0] for name, samples in maps.items()}
    heatmaps["difference"] = np.subtract(*heatmaps.values())
    rows = [f"{true}, read as {guess}" for guess, true in zip(*asked.values())]
    for index, row in zip(wrong, rows):
        print(f"test digit {index}: {row}, {margin[index]:.2f} ahead")
    picture = args.out / "wrong_predictions.png"
    draw_grid(
        images,
        heatmaps,
        rows,
        "red: speaks for the class;\nblue: against it. One scale for each row",
        picture,
        scale="row",
    )
    print(f"\nPicture: {picture}")


if __name__ == "__main__":
    main()
