"""Why is it a 9, and what speaks against a 4? One digit, every class, six rules.

Relevance of the pixels of one digit for each *hypothetical* class, by each rule:

    python examples/lrp/rules.py
    python examples/lrp/rules.py --digit 4 --weights results/lrp_mnist/model.npz

Without --weights it trains the network of mnist.py first.
"""

from __future__ import annotations

import numpy as np
from data import load_digits
from networks import CNN, N_CLASS
from pictures import draw_grid
from training import (
    add_digit,
    add_epoch,
    add_weights,
    begin,
    parser,
    scores_of,
    trained,
)

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import LRPCalculator
from saliency.lrp import AlphaBeta, Composite, Epsilon, WSquare, ZPlus

RULES = {
    "simple": "lrp0",
    "epsilon = 1": Epsilon(1.0),
    # alpha + beta = 1, as Bach et al. write it.
    "alpha = 3\nbeta = -2": AlphaBeta(3, -2),
    "z+": ZPlus(),
    "deep taylor": "deep_taylor",
    "w² first,\nz+ above": Composite(ZPlus(), first=WSquare()),
}


def main() -> None:
    arguments = parser(__doc__, "lrp_rules")
    add_epoch(arguments, 2, 40)
    add_weights(arguments)
    add_digit(arguments, 9)
    args = arguments.parse_args()
    begin(args)

    digits = load_digits(args.data)
    model = CNN()
    trained(model, digits, args)

    image = digits.x_test[digits.t_test == args.digit][:1]
    (scores,) = scores_of(model, image)
    classes = np.arange(N_CLASS)
    copies = np.repeat(image, N_CLASS, axis=0)  # each is explained for another class
    maps = np.stack(
        [
            LRPCalculator(model, class_index=classes, rule=rule).compute(copies)[
                0, :, 0
            ]
            for rule in RULES.values()
        ]
    )
    titles = [f"{c}\n({score:.1f})" for c, score in zip(classes, scores)]
    picture = args.out / "rules.png"
    draw_grid(
        np.repeat(image, len(RULES), axis=0),
        dict(zip(titles, maps.swapaxes(0, 1))),
        list(RULES),
        "above: the class explained, and its score. "
        "red: speaks for that class; blue: against it. One scale for each row",
        picture,
        scale="row",
    )
    print("sum of the relevance, for each rule and class:")
    for rule, of_classes in zip(RULES, maps.sum(axis=(2, 3))):
        numbers = "".join(f"{value:9.2f}" for value in of_classes)
        print(f"{' '.join(rule.split()):20}{numbers}")
    print(f"{'score':20}{''.join(f'{score:9.2f}' for score in scores)}")
    print(f"\nPicture: {picture}")


if __name__ == "__main__":
    main()
