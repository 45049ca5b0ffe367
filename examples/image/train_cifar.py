"""Trains the small network that the image examples come with.

    python examples/image/train_cifar.py --out results/cifar

CIFAR-10 is taken from Chainer's data folder (CHAINER_DATASET_ROOT), or downloaded by
Chainer. The weights, and what they reach on the test images, go to ``--out``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from network import SIZE, CifarVGG

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import fast_cpu
from saliency.command_line import Parser, at_least

import chainer
import chainer.links as L
from chainer import training
from chainer.datasets import TransformDataset
from chainer.training import extensions

PAD = 4


def load() -> tuple[Any, Any]:
    """Return the training and the test images, in [-1, 1], with their classes."""
    train, test = chainer.datasets.get_cifar10(scale=2.0)
    return (
        TransformDataset(part, lambda pair: (pair[0] - 1, pair[1]))
        for part in (train, test)
    )


def augmented(pair: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
    """Return an image moved by up to four pixels, and mirrored or not."""
    x, t = pair
    if np.random.rand() < 0.5:
        x = x[:, :, ::-1]
    top, left = np.random.randint(0, 2 * PAD + 1, 2)
    x = np.pad(x, ((0, 0), (PAD, PAD), (PAD, PAD)))
    return x[:, top : top + SIZE, left : left + SIZE], t


def train(
    train_set: Any, test_set: Any, epoch: int, batchsize: int, device: Any, out: Path
) -> L.Classifier:
    classifier = L.Classifier(CifarVGG())
    classifier.to_device(device)
    optimizer = chainer.optimizers.NesterovAG(lr=0.02).setup(classifier)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(5e-4))
    updater = training.StandardUpdater(
        chainer.iterators.SerialIterator(
            TransformDataset(train_set, augmented), batchsize
        ),
        optimizer,
        device=device,
    )
    trainer = training.Trainer(updater, (epoch, "epoch"), out=str(out))
    n_update = epoch * len(train_set) // batchsize
    trainer.extend(
        extensions.PolynomialShift("lr", 1.0, n_update), trigger=(1, "iteration")
    )
    test = chainer.iterators.SerialIterator(test_set, 250, repeat=False, shuffle=False)
    trainer.extend(extensions.Evaluator(test, classifier, device=device))
    trainer.extend(extensions.LogReport())
    columns = ["epoch", "main/loss", "main/accuracy"]
    columns += ["validation/main/loss", "validation/main/accuracy", "elapsed_time"]
    if sys.stdout.isatty():  # what they write moves the cursor
        trainer.extend(extensions.PrintReport(columns))
        trainer.extend(extensions.ProgressBar(update_interval=20))
    else:
        trainer.extend(print_entry, trigger=(1, "epoch"))
    with fast_cpu():
        trainer.run()
    return classifier


def print_entry(trainer: training.Trainer) -> None:
    """Print the newest entry of the log in one line, which moves no cursor."""
    entry = trainer.get_extension("LogReport").log[-1]
    print("  ".join(f"{key} {value:.6g}" for key, value in entry.items()), flush=True)


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--epoch", type=at_least(1), default=50, help="epochs of training")
    add("--batchsize", type=at_least(1), default=64, help="images of a step")
    parser.add_common_arguments("results/cifar")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)  # Chainer's first weights and order, and the augmentation

    train_set, test_set = load()
    start = time.perf_counter()
    classifier = train(
        train_set, test_set, args.epoch, args.batchsize, args.device, args.out
    )
    minutes = (time.perf_counter() - start) / 60
    model = classifier.predictor.to_cpu()
    chainer.serializers.save_npz(args.out / "cifar_vgg.npz", model)
    report = extensions.Evaluator(
        chainer.iterators.SerialIterator(test_set, 250, repeat=False, shuffle=False),
        classifier.to_cpu(),
    )()
    record = {
        "test_accuracy": round(float(report["main/accuracy"]), 4),
        "n_train": len(train_set),
        "n_test": len(test_set),
        "minutes": round(minutes, 1),
        **{name: getattr(args, name) for name in ("epoch", "batchsize", "seed")},
    }
    (args.out / "cifar_vgg.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"\n{record}\nWeights: {args.out / 'cifar_vgg.npz'}")


if __name__ == "__main__":
    main()
