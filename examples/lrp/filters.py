"""What has the first layer learned? Its filters, or its weights as images.

    python examples/lrp/filters.py
    python examples/lrp/filters.py --data digits

Trains a LeNet for its convolution, and the perceptron of mlp.py for its linear layer.
"""

from __future__ import annotations

import numpy as np
from data import enlarged, load_digits
from networks import MLP, LeNet
from training import add_epoch, begin, parser, train

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import FilterVisualizer

import chainer

N_UNIT = 49


def main() -> None:
    arguments = parser(__doc__, "lrp_filters")
    add_epoch(arguments, 2, 40)
    args = arguments.parse_args()
    begin(args)

    digits = load_digits(args.data)
    lenet, mlp = LeNet(), MLP()
    large = digits._replace(
        x_train=enlarged(digits.x_train), x_test=enlarged(digits.x_test)
    )
    train(lenet, large, args)
    train(mlp, digits, args)

    W = chainer.cuda.to_cpu(lenet.conv1.W.array)
    FilterVisualizer().visualize(
        W,
        args.out / "conv1.png",
        f"{len(W)} filters of the first convolution, 5 x 5",
        n_column=5,
        labels=[str(i) for i in range(len(W))],
        unit="weight",
    )
    W = chainer.cuda.to_cpu(mlp.l1.W.array).reshape(-1, *digits.x_train.shape[2:])
    strongest = np.sort(np.square(W).sum(axis=(1, 2)).argsort()[-N_UNIT:])
    FilterVisualizer().visualize(
        W[strongest],
        args.out / "linear.png",
        f"weights of {len(strongest)} of the {len(W)} units of a linear layer",
        labels=[str(unit) for unit in strongest],
        unit="weight",
    )
    print(f"\nPictures: {args.out / 'conv1.png'} and {args.out / 'linear.png'}")


if __name__ == "__main__":
    main()
