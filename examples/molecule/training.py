"""Training of the networks of the molecule examples."""

from __future__ import annotations

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


def train(
    model: chainer.Chain,
    train_set: Sequence[Any],
    validation_set: Sequence[Any],
    lossfun: Callable[..., Any],
    epoch: int,
    out: Path,
    device: Any = "@numpy",
    batchsize: int = 32,
    alpha: float = 2e-3,
    patience: int = 20,
    show_progress: bool = True,
) -> chainer.Chain:
    """Train with Chainer's Trainer; return the model as it validated best.

    The step of Adam falls to a hundredth over ``epoch`` epochs. After ``patience``
    epochs without a better validation loss training ends. The best model is in
    ``out/best.npz``.

    Args:
        train_set (list): Examples ``(atoms, adjacency, t)``.
        validation_set (list): Examples that tell when to stop.
        lossfun (callable): ``lossfun(y, t)``.
    """
    objective = L.Classifier(model, lossfun=lossfun)
    objective.compute_accuracy = False
    objective.to_device(device)
    optimizer = chainer.optimizers.Adam(alpha).setup(objective)
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(5))
    iterator = chainer.iterators.SerialIterator(train_set, batchsize)
    updater = training.StandardUpdater(iterator, optimizer, concat_mols, device)
    monitor = "validation/main/loss"
    stop = triggers.EarlyStoppingTrigger(
        monitor=monitor, patience=patience, max_trigger=(epoch, "epoch")
    )
    trainer = training.Trainer(updater, stop, out=str(out))
    validation = chainer.iterators.SerialIterator(
        validation_set, 100, repeat=False, shuffle=False
    )
    trainer.extend(extensions.Evaluator(validation, objective, concat_mols, device))
    trainer.extend(
        extensions.ExponentialShift("alpha", 0.01 ** (1 / epoch)), trigger=(1, "epoch")
    )
    trainer.extend(
        extensions.snapshot_object(model, "best.npz"),
        trigger=triggers.MinValueTrigger(monitor),
    )
    trainer.extend(extensions.LogReport())
    if show_progress:
        columns = ["epoch", "main/loss", monitor, "elapsed_time"]
        trainer.extend(extensions.PrintReport(columns))
        trainer.extend(extensions.ProgressBar(update_interval=20))
    with fast_cpu():
        trainer.run()
    chainer.serializers.load_npz(out / "best.npz", model)
    return model


def predict(model: chainer.Chain, graphs: Sequence[Any]) -> np.ndarray:
    """Return the outputs of each graph in evaluation mode, ``(n, n_out)``."""
    parts = []
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        for start in range(0, len(graphs), 100):
            batch = [graph[:2] for graph in graphs[start : start + 100]]
            y = model(*concat_mols(batch, model.device)).array
            parts.append(chainer.cuda.to_cpu(y))
    return np.concatenate(parts)
