"""Which pixels made the network read this digit?

Trains a small convolutional network on MNIST and draws, for one digit of each class,
the relevance of its pixels by several rules of layer-wise relevance propagation:

    python examples/lrp/mnist.py
    python examples/lrp/mnist.py --data digits

MNIST is taken from Chainer's data folder (CHAINER_DATASET_ROOT); where it is not there,
scikit-learn's digits of 8 x 8 pixels are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import LRPCalculator, diverging_cmap

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import training
from chainer.datasets import TupleDataset
from chainer.training import extensions

RULES = ("epsilon", "gamma", "alpha2_beta1", "deep_taylor")


class Digits(NamedTuple):
    """Images ``(n, 1, height, width)`` in [0, 1], and the digits that they show."""

    x_train: np.ndarray
    t_train: np.ndarray
    x_test: np.ndarray
    t_test: np.ndarray


def load(name: str) -> Digits:
    if name == "auto":
        folder = Path(
            chainer.dataset.get_dataset_directory("pfnet/chainer/mnist", False)
        )
        name = "mnist" if (folder / "train.npz").exists() else "digits"
    print(f"data: {name}")
    if name == "mnist":
        parts = chainer.datasets.get_mnist(ndim=3)
        (x, t), (u, s) = (chainer.dataset.concat_examples(part[:]) for part in parts)
        return Digits(x, t, u, s)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    x = bunch.images[:, None].astype(np.float32) / 16
    t = bunch.target.astype(np.int32)
    x, u, t, s = train_test_split(x, t, test_size=0.2, random_state=0, stratify=t)
    return Digits(x, t, u, s)


class CNN(chainer.Chain):
    """Two 3 x 3 convolutions of 50 and 100 maps, max pooling, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, 50, 3)
            self.conv2 = L.Convolution2D(50, 100, 3)
            self.out = L.Linear(None, 10)

    def forward(self, x: Any) -> chainer.Variable:
        h = F.max_pooling_2d(F.relu(self.conv1(x)), 2)
        h = F.max_pooling_2d(F.relu(self.conv2(h)), 2)
        return self.out(h)


def train(digits: Digits, epoch: int, device: Any, out: Path) -> CNN:
    """Train with Chainer's Trainer."""
    classifier = L.Classifier(CNN())
    classifier.to_device(device)
    optimizer = chainer.optimizers.Adam().setup(classifier)
    updater = training.StandardUpdater(
        chainer.iterators.SerialIterator(
            TupleDataset(digits.x_train, digits.t_train), 100
        ),
        optimizer,
        device=device,
    )
    trainer = training.Trainer(updater, (epoch, "epoch"), out=str(out))
    test = chainer.iterators.SerialIterator(
        TupleDataset(digits.x_test, digits.t_test), 500, repeat=False, shuffle=False
    )
    trainer.extend(extensions.Evaluator(test, classifier, device=device))
    trainer.extend(extensions.LogReport())
    columns = ["epoch", "main/loss", "validation/main/accuracy", "elapsed_time"]
    trainer.extend(extensions.PrintReport(columns))
    trainer.extend(extensions.ProgressBar(update_interval=10))
    trainer.run()
    accuracy = trainer.observation["validation/main/accuracy"]
    print(f"\ntest accuracy: {float(accuracy):.4f}")
    return classifier.predictor


def draw(images: np.ndarray, heatmaps: dict[str, np.ndarray], path: Path) -> None:
    """Draw a row for each image: the image, and its relevance by each rule."""
    n_row, n_column = len(images), 1 + len(heatmaps)
    figure = Figure(figsize=(1.5 * n_column, 1.35 * n_row), layout="constrained")
    axes = figure.subplots(n_row, n_column)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    for ax, title in zip(axes[0], ("input", *heatmaps)):
        ax.set_title(title, fontsize=11)
    for digit, (row, image) in enumerate(zip(axes, images)):
        row[0].imshow(image[0], cmap="gray_r")
        row[0].set_ylabel(str(digit), rotation=0, labelpad=10, va="center")
        for ax, heatmap in zip(row[1:], heatmaps.values()):
            ax.imshow(heatmap[digit, 0], cmap=diverging_cmap, norm=CenteredNorm())
    figure.supxlabel("red: speaks for the digit; blue: against it", fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("auto", "mnist", "digits"), default="auto")
    parser.add_argument("--epoch", type=int, help="default: 2 for MNIST, 40 for digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="@numpy", help="'@cupy:0' for a GPU")
    parser.add_argument("--out", type=Path, default=Path("results/lrp_mnist"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)  # Chainer draws its first weights from the global state

    digits = load(args.data)
    epoch = args.epoch or (2 if len(digits.x_train) > 10_000 else 40)
    model = train(digits, epoch, chainer.get_device(args.device), args.out)
    chainer.serializers.save_npz(args.out / "model.npz", model)

    shown = np.array([np.flatnonzero(digits.t_test == digit)[0] for digit in range(10)])
    images = digits.x_test[shown]
    heatmaps = {
        rule: LRPCalculator(model, rule=rule).compute(images)[0] for rule in RULES
    }
    print("\nWhere the relevance of these ten goes, by rule epsilon:")
    print(
        LRPCalculator(model, rule="epsilon").conservation(images, show_progress=False)
    )
    draw(images, heatmaps, args.out / "digits.png")
    print(f"\nPicture: {args.out / 'digits.png'}")


if __name__ == "__main__":
    main()
