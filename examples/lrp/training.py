"""Command line and training that the LRP examples share."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from data import Images

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import fast_cpu
from saliency.command_line import Parser, as_file, at_least
from saliency.lrp import PRESETS
from saliency.training import SaliencyReport

import chainer
import chainer.links as L
from chainer import training
from chainer.datasets import TupleDataset
from chainer.training import extensions


def parser(docstring: str, out: str, data: str = "mnist") -> Parser:
    """Return a parser with the options that all scripts have.

    Args:
        docstring (str): The script's docstring; its first line is shown.
        out (str): Folder below ``results`` where files go.
        data (str): The large data set; scikit-learn's digits are the small one.
    """
    result = Parser(docstring)
    result.add_argument(
        "--data",
        choices=("auto", data, "digits"),
        default="auto",
        help=f"images; auto: {data} if available, otherwise scikit-learn's digits",
    )
    result.add_common_arguments(f"results/{out}")
    return result


def add_epoch(arguments: argparse.ArgumentParser, large: int, small: int) -> None:
    """Add how long to train, by default ``large`` or ``small`` as the data set is."""
    arguments.add_argument(
        "--epoch",
        type=at_least(1),
        help=f"epochs of training (default: {large}; {small} for the small digits)",
    )
    arguments.set_defaults(epoch_by_size={"large": large, "small": small})


def add_weights(arguments: argparse.ArgumentParser) -> None:
    """Add the file of a network that was trained before."""
    arguments.add_argument(
        "--weights",
        type=as_file,
        help="model.npz of a network that was trained before",
    )


def add_rule(arguments: argparse.ArgumentParser, default: str) -> None:
    """Add the preset of rules by which relevance is passed back."""
    arguments.add_argument(
        "--rule", choices=PRESETS, default=default, help="preset of propagation rules"
    )


def add_digit(arguments: argparse.ArgumentParser, default: int) -> None:
    """Add which digit is explained."""
    arguments.add_argument(
        "--digit",
        type=int,
        choices=range(10),
        default=default,
        help="digit that the explained image shows",
    )


def begin(args: argparse.Namespace) -> None:
    """Make the folder, and seed what Chainer draws weights and batches from."""
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)


def train(
    model: chainer.Chain,
    images: Images,
    args: argparse.Namespace,
    train_set: Any = None,
    report: SaliencyReport | None = None,
) -> None:
    """Train a network with Chainer's Trainer, and leave it on the device.

    Args:
        model (chainer.Chain): Gives class scores.
        images (Images): To train and to test on.
        args (argparse.Namespace): With ``epoch``, ``device``, and ``out`` for the log.
        train_set (dataset or None): In place of the training images.
        report (SaliencyReport or None): Explains images in the course of the training.
    """
    epoch = number_of_epochs(images, args)
    device = args.device
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
    if report is not None:
        trainer.extend(report)
        columns.insert(-1, "saliency/sparseness")
    if sys.stdout.isatty():  # what they write moves the cursor
        trainer.extend(extensions.PrintReport(columns))
        trainer.extend(extensions.ProgressBar(update_interval=10))
    else:
        trainer.extend(print_entry, trigger=(1, "epoch"))
    with fast_cpu():
        trainer.run()
    accuracy = trainer.observation["validation/main/accuracy"]
    print(f"\ntest accuracy: {float(accuracy):.4f}")


def number_of_epochs(images: Images, args: argparse.Namespace) -> int:
    """Return how long to train: what ``--epoch`` says, or what suits the data set."""
    size = "large" if len(images.x_train) > 10_000 else "small"
    return args.epoch or args.epoch_by_size[size]


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
