"""Command line and training that the LRP examples share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from data import Images

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import fast_cpu

import chainer
import chainer.links as L
from chainer import training
from chainer.datasets import TupleDataset
from chainer.training import extensions


def parser(description: str, out: str, data: str = "mnist") -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have.

    Args:
        description (str): The script's docstring; its first line is shown.
        out (str): Folder below ``results`` where files go.
        data (str): The large data set; scikit-learn's digits are the small one.
    """
    result = argparse.ArgumentParser(description=description.splitlines()[0])
    result.add_argument("--data", choices=("auto", data, "digits"), default="auto")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--device", default="@numpy", help="'@cupy:0' for a GPU")
    result.add_argument("--out", type=Path, default=Path("results") / out)
    return result


def add_epoch(arguments: argparse.ArgumentParser, large: int, small: int) -> None:
    """Add how long to train, by default ``large`` or ``small`` as the data set is."""
    arguments.add_argument(
        "--epoch", type=int, help=f"default: {large}; {small} for scikit-learn's digits"
    )
    arguments.set_defaults(epoch_by_size={"large": large, "small": small})


def add_weights(arguments: argparse.ArgumentParser) -> None:
    """Add the file of a network that was trained before."""
    arguments.add_argument("--weights", type=Path, help="a model.npz of such a network")


def begin(args: argparse.Namespace) -> None:
    """Make the folder, and seed what Chainer draws weights and batches from."""
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)


def train(
    model: chainer.Chain,
    images: Images,
    args: argparse.Namespace,
    train_set: Any = None,
) -> None:
    """Train a network with Chainer's Trainer, and leave it on the device.

    Args:
        model (chainer.Chain): Gives class scores.
        images (Images): To train and to test on.
        args (argparse.Namespace): With ``epoch``, ``device``, and ``out`` for the log.
        train_set (dataset or None): In place of the training images.
    """
    size = "large" if len(images.x_train) > 10_000 else "small"
    epoch = args.epoch or args.epoch_by_size[size]
    device = chainer.get_device(args.device)
    classifier = L.Classifier(model)
    classifier.to_device(device)
    optimizer = chainer.optimizers.Adam().setup(classifier)
    if train_set is None:
        train_set = TupleDataset(images.x_train, images.t_train)
    updater = training.StandardUpdater(
        chainer.iterators.SerialIterator(train_set, 100), optimizer, device=device
    )
    trainer = training.Trainer(updater, (epoch, "epoch"), out=str(args.out))
    test = chainer.iterators.SerialIterator(
        TupleDataset(images.x_test, images.t_test), 500, repeat=False, shuffle=False
    )
    trainer.extend(extensions.Evaluator(test, classifier, device=device))
    trainer.extend(extensions.LogReport())
    columns = ["epoch", "main/loss", "validation/main/accuracy", "elapsed_time"]
    if sys.stdout.isatty():  # what they write moves the cursor
        trainer.extend(extensions.PrintReport(columns))
        trainer.extend(extensions.ProgressBar(update_interval=10))
    else:
        trainer.extend(print_entry, trigger=(1, "epoch"))
    with fast_cpu():
        trainer.run()
    accuracy = trainer.observation["validation/main/accuracy"]
    print(f"\ntest accuracy: {float(accuracy):.4f}")


def print_entry(trainer: training.Trainer) -> None:
    """Print the newest entry of the log in one line, which moves no cursor."""
    entry = trainer.get_extension("LogReport").log[-1]
    print("  ".join(f"{key} {value:.6g}" for key, value in entry.items()), flush=True)


def trained(
    model: chainer.Chain,
    images: Images,
    args: argparse.Namespace,
    train_set: Any = None,
) -> None:
    """Load the weights that are given, or train the network and save it.

    Args:
        model (chainer.Chain): The network, which is left on the device.
        images (Images): To train and to test on.
        args (argparse.Namespace): With ``weights``, and what :func:`train` wants.
        train_set (dataset or None): As in :func:`train`.
    """
    if args.weights is None:
        train(model, images, args, train_set)
        chainer.serializers.save_npz(args.out / "model.npz", model)
        return
    try:
        chainer.serializers.load_npz(args.weights, model)
        model.to_device(args.device)
        reached = accuracy(model, images.x_test, images.t_test)
    except chainer.utils.type_check.InvalidType:
        raise SystemExit(
            f"--weights {args.weights}: for images of another size"
        ) from None
    except (OSError, KeyError, ValueError) as error:
        raise SystemExit(f"--weights {args.weights}: {error}") from error
    print(f"test accuracy: {reached:.4f}")


def accuracy(model: chainer.Chain, x: np.ndarray, t: np.ndarray) -> float:
    """Return the share of examples that a network gets right."""
    return float((scores_of(model, x).argmax(axis=1) == t).mean())


def scores_of(forward: Any, x: np.ndarray, batchsize: int = 500) -> np.ndarray:
    """Return what a network (or a part of it) gives, in evaluation mode, on the CPU.

    Args:
        forward (callable): From a batch on the network's device to a variable.
        x (array): Examples on the CPU.
        batchsize (int): How many go in at once.
    """
    send = getattr(forward, "__self__", forward).device.send  # of a link, or its method
    with chainer.using_config("train", False), chainer.no_backprop_mode(), fast_cpu():
        parts = [
            chainer.cuda.to_cpu(forward(send(x[i : i + batchsize])).array)
            for i in range(0, len(x), batchsize)
        ]
    return np.concatenate(parts)
