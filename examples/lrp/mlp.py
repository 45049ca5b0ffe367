"""A tour of LRP on a multilayer perceptron: train, save, load, explain, account.

Explains ten digits for their true class, one of them for every class, and all for "no
class", where the relevance is all scores of the output at once:

    python examples/lrp/mlp.py
    python examples/lrp/mlp.py --rule alpha2_beta1 --weights results/lrp_mlp/model.npz
"""

from __future__ import annotations

import numpy as np
from data import load_digits
from networks import MLP, N_CLASS
from pictures import draw_grid
from training import (
    accuracy,
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

import chainer


def main() -> None:
    arguments = parser(__doc__, "lrp_mlp")
    add_epoch(arguments, 5, 60)
    add_weights(arguments)
    add_rule(arguments, "epsilon")
    args = arguments.parse_args()
    begin(args)

    # Train and save, or take what was saved before.
    digits = load_digits(args.data)
    trained(MLP(), digits, args)

    # Load into a new network: it is the same one.
    model = MLP()
    chainer.serializers.load_npz(args.weights or args.out / "model.npz", model)
    model.to_device(args.device)
    reached = accuracy(model, digits.x_test, digits.t_test)
    print(f"test accuracy, loaded again: {reached:.4f}")

    shown = np.array([np.flatnonzero(digits.t_test == c)[0] for c in range(N_CLASS)])
    images, classes = digits.x_test[shown], digits.t_test[shown]
    scores = scores_of(model, images)

    def explain(x: np.ndarray, **what: object) -> np.ndarray:
        return LRPCalculator(model, rule=args.rule, **what).compute(x)[0, :, 0]

    # Every class, for each digit: row by row.
    every = {
        str(c): explain(images, class_index=c)  # what speaks for c in each digit
        for c in range(N_CLASS)
    }
    heatmaps = {
        "true class": explain(images, class_index=classes),
        "no class": explain(images, relevance=scores),
        **every,
    }
    picture = args.out / "mlp.png"
    draw_grid(
        images,
        heatmaps,
        digits.classes,
        f"{args.rule}: the true class, all scores at once, and every class, 0 to 9. "
        "Red: for it; blue: against it. One scale for each row",
        picture,
        scale="row",
    )

    # The walk is linear in what it starts with: "no class" is the sum of all classes.
    sum_of_classes = np.sum(list(every.values()), axis=0)
    difference = np.abs(heatmaps["no class"] - sum_of_classes).max()
    size = np.abs(heatmaps["no class"]).max()
    print(
        f"'no class' less the sum of all classes: {difference / size:.1e} of its size"
    )

    print(f"\nWhere the relevance of the true classes goes, by rule {args.rule}:")
    calculator = LRPCalculator(model, class_index=classes, rule=args.rule)
    print(calculator.conservation(images, show_progress=False))
    print(f"\nPicture: {picture}")


if __name__ == "__main__":
    main()
