"""Which pixels made the network read this digit?

Trains a small convolutional network on MNIST and draws, for one digit of each class,
the relevance of its pixels by several rules of layer-wise relevance propagation:

    python examples/lrp/mnist.py
    python examples/lrp/mnist.py --data digits

In the course of the training, an extension of Chainer's trainer draws the relevance of
the same digits, in saliency_epoch_1.png and so on, and the log says how sparse it is.

MNIST is taken from Chainer's data folder (CHAINER_DATASET_ROOT) or from OpenML. If
neither has it, scikit-learn's digits of 8 x 8 pixels are used.
"""

from __future__ import annotations

import numpy as np
from data import load_digits
from networks import CNN
from pictures import draw_grid
from training import add_epoch, begin, number_of_epochs, parser, train

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import ImageVisualizer, LRPCalculator
from saliency.training import SaliencyReport

import chainer

RULES = ("epsilon", "gamma", "alpha2_beta1", "deep_taylor")


def main() -> None:
    arguments = parser(__doc__, "lrp_mnist")
    add_epoch(arguments, 2, 40)
    args = arguments.parse_args()
    begin(args)

    digits = load_digits(args.data)
    shown = np.array([np.flatnonzero(digits.t_test == digit)[0] for digit in range(10)])
    images = digits.x_test[shown]
    model = CNN()
    report = SaliencyReport(
        LRPCalculator(model, rule="epsilon", class_index=range(10)),
        ImageVisualizer(),
        images,
        trigger=(number_of_epochs(digits, args) / 4, "epoch"),
        filename="saliency_epoch_{.updater.epoch_detail:.3g}.png",
        ch_axis=2,
    )
    train(model, digits, args, report=report)
    chainer.serializers.save_npz(args.out / "model.npz", model)

    heatmaps = {
        rule: LRPCalculator(model, rule=rule).compute(images)[0, :, 0] for rule in RULES
    }
    print("\nWhere the relevance of these ten goes, by rule epsilon:")
    print(
        LRPCalculator(model, rule="epsilon").conservation(images, show_progress=False)
    )
    caption = "red: speaks for the digit; blue: against it"
    picture = args.out / "digits.png"
    draw_grid(images, heatmaps, digits.classes, caption, picture)
    print(f"\nPicture: {picture}")


if __name__ == "__main__":
    main()
