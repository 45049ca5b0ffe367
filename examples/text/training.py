"""Training of the networks of the text example."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import fast_cpu, list_examples

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import training
from chainer.training import extensions


def train(
    model: chainer.Chain,
    examples: Sequence[tuple[np.ndarray, np.ndarray]],
    lossfun: Callable[..., Any],
    epoch: int,
    out: Path,
    device: Any = "@numpy",
    batchsize: int = 64,
    alpha: float = 1e-2,
) -> chainer.Chain:
    """Train with Chainer's Trainer, with Adam whose step falls to a hundredth.

    Args:
        model (chainer.Chain): Takes a list of sentences. It is trained in place.
        examples (list): Pairs ``(words, t)``.
        lossfun (callable): ``lossfun(y, t)``.
        epoch (int): How often each example is seen.
        out (path): Folder for the log.
        device: Where to train.
        batchsize (int): Sentences in a step.
        alpha (float): Adam's step at the beginning.

    Returns:
        chainer.Chain: ``model``.
    """
    objective = L.Classifier(model, lossfun=lossfun)
    objective.compute_accuracy = False
    objective.to_device(device)
    optimizer = chainer.optimizers.Adam(alpha).setup(objective)
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(5))
    iterator = chainer.iterators.SerialIterator(examples, batchsize)
    updater = training.StandardUpdater(iterator, optimizer, convert, device)
    trainer = training.Trainer(updater, (epoch, "epoch"), out=str(out))
    trainer.extend(
        extensions.ExponentialShift("alpha", 0.01 ** (1 / epoch)), trigger=(1, "epoch")
    )
    trainer.extend(extensions.LogReport())
    if sys.stdout.isatty():  # what they write moves the cursor
        trainer.extend(
            extensions.PrintReport(["epoch", "iteration", "main/loss", "elapsed_time"])
        )
    else:
        trainer.extend(print_entry, trigger=(1, "epoch"))
    with fast_cpu():
        trainer.run()
    return model


def print_entry(trainer: training.Trainer) -> None:
    """Print the newest entry of the log in one line, which moves no cursor."""
    entry = trainer.get_extension("LogReport").log[-1]
    print("  ".join(f"{key} {value:.6g}" for key, value in entry.items()), flush=True)


def convert(
    batch: Sequence[tuple[np.ndarray, np.ndarray]], device: Any = None
) -> tuple[list[Any], Any]:
    """Return sentences in a list, and their targets in an array."""
    sentences, targets = list_examples(batch, device)
    return sentences, F.stack(targets, axis=0).array


def predict(model: chainer.Chain, sentences: Sequence[np.ndarray]) -> np.ndarray:
    """Return the output for each sentence in evaluation mode, ``(n,)``."""
    parts = []
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        for start in range(0, len(sentences), 100):
            batch = list_examples(sentences[start : start + 100], model.device)
            y = model(batch).array[:, 0]
            parts.append(chainer.cuda.to_cpu(y))
    return np.concatenate(parts)
