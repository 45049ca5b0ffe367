"""Training of the networks of the molecule examples."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
from molecules import concat_mols

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import fast_cpu

import chainer
import chainer.links as L
from chainer import training
from chainer.training import extensions, triggers

VALIDATION = "validation/main/loss"


def train(
    model: chainer.Chain,
    train_set: Sequence[Any],
    lossfun: Callable[..., Any],
    length: tuple[int, str],
    out: Path,
    device: Any = "@numpy",
    validation_set: Sequence[Any] | None = None,
    batchsize: int = 32,
    alpha: float = 2e-3,
    patience: int = 20,
) -> chainer.Chain:
    """Train with Chainer's Trainer, with Adam whose step falls to a hundredth.

    With a validation set, training ends after ``patience`` epochs in which the loss
    on it did not fall, and the model is left as it was when that was lowest; it is in
    ``out/best.npz``, too.

    Args:
        model (chainer.Chain): Takes atoms and adjacency. It is trained in place.
        train_set (list): Examples ``(atoms, adjacency, t)``.
        lossfun (callable): ``lossfun(y, t)``.
        length (tuple): How long at most, such as ``(30, 'epoch')``.
        out (path): Folder for the log and snapshots.
        device: Where to train.
        validation_set (list or None): Examples that tell when to stop.
        batchsize (int): Molecules in a step.
        alpha (float): Adam's step at the beginning.
        patience (int): Epochs.

    Returns:
        chainer.Chain: ``model``.
    """
    objective = L.Classifier(model, lossfun=lossfun)
    objective.compute_accuracy = False
    objective.to_device(device)
    optimizer = chainer.optimizers.Adam(alpha).setup(objective)
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(5))
    iterator = chainer.iterators.SerialIterator(train_set, batchsize)
    updater = training.StandardUpdater(iterator, optimizer, concat_mols, device)
    columns = ["epoch", "iteration", "main/loss", "elapsed_time"]
    stop: Any = length
    if validation_set is not None:
        columns.insert(3, VALIDATION)
        stop = triggers.EarlyStoppingTrigger(
            monitor=VALIDATION, patience=patience, max_trigger=length
        )
    trainer = training.Trainer(updater, stop, out=str(out))
    if validation_set is not None:
        validation = chainer.iterators.SerialIterator(
            validation_set, 100, repeat=False, shuffle=False
        )
        trainer.extend(extensions.Evaluator(validation, objective, concat_mols, device))
        trainer.extend(
            extensions.snapshot_object(model, "best.npz"),
            trigger=triggers.MinValueTrigger(VALIDATION),
        )
    n, unit = length
    trainer.extend(
        extensions.ExponentialShift("alpha", 0.01 ** (1 / n)), trigger=(1, unit)
    )
    report = (max(1, n // 10), unit)
    trainer.extend(extensions.LogReport(trigger=report))
    if sys.stdout.isatty():  # what they write moves the cursor
        trainer.extend(extensions.PrintReport(columns), trigger=report)
        trainer.extend(extensions.ProgressBar(update_interval=20))
    else:
        trainer.extend(print_entry, trigger=report)
    with fast_cpu():
        trainer.run()
    if validation_set is not None:
        chainer.serializers.load_npz(out / "best.npz", model)
    return model


def print_entry(trainer: training.Trainer) -> None:
    """Print the newest entry of the log in one line, which moves no cursor."""
    entry = trainer.get_extension("LogReport").log[-1]
    print("  ".join(f"{key} {value:.6g}" for key, value in entry.items()), flush=True)


def predict(model: chainer.Chain, graphs: Sequence[Any]) -> np.ndarray:
    """Return the outputs of each graph in evaluation mode, ``(n, n_out)``."""
    parts = []
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        for start in range(0, len(graphs), 100):
            batch = [graph[:2] for graph in graphs[start : start + 100]]
            y = model(*concat_mols(batch, model.device)).array
            parts.append(chainer.cuda.to_cpu(y))
    return np.concatenate(parts)
