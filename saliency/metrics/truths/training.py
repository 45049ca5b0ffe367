"""Training of the small networks that planted truths need, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

from saliency.cpu import fast_cpu
from saliency.exclusive import seeded

import chainer
from chainer.dataset import concat_examples


def trained(
    new_model: Callable[[], chainer.Chain],
    examples: Sequence[tuple[Any, ...]],
    lossfun: Callable[[Any, Any], chainer.Variable],
    n_epoch: int,
    seed: int,
    alpha: float = 3e-3,
    batchsize: int = 50,
) -> chainer.Chain:
    """Return a network that was trained by Adam, and leave all else as it is.

    Args:
        new_model (callable): Makes the network, untrained.
        examples (sequence of tuple): Each holds the network's inputs, and a target.
        lossfun (callable): ``lossfun(y, t)``.
        n_epoch (int): How often each example is shown.
        seed (int): Of first parameters, dropout, and the order of examples.
        alpha (float): Adam's step, which falls to a tenth in the end.
        batchsize (int): How many examples are in a step.

    Returns:
        chainer.Chain: Without gradients.
    """
    rng = np.random.default_rng(seed)
    with seeded(seed), chainer.using_config("train", True), fast_cpu():
        model = new_model()
        optimizer = chainer.optimizers.Adam(alpha).setup(model)
        n_step = -(-len(examples) // batchsize)
        for _ in range(n_epoch):
            for chosen in np.array_split(rng.permutation(len(examples)), n_step):
                *inputs, t = concat_examples([examples[i] for i in chosen], padding=0)
                optimizer.update(_loss, model, inputs, t, lossfun)
            optimizer.alpha *= 0.1 ** (1 / n_epoch)
    model.cleargrads()
    return model


def _loss(
    model: chainer.Chain, inputs: Sequence[Any], t: Any, lossfun: Any
) -> chainer.Variable:
    loss: chainer.Variable = lossfun(model(*inputs), t)
    return loss


def outputs_of(
    model: chainer.Chain, examples: Sequence[Any] | np.ndarray, batchsize: int = 200
) -> np.ndarray:
    """Return what a network says of examples, in evaluation mode.

    Args:
        model (chainer.Chain): The network, on the CPU.
        examples (sequence or array): Inputs, or tuples of several.
        batchsize (int): How many go in at once.
    """
    parts = []
    with chainer.using_config("train", False), chainer.no_backprop_mode(), fast_cpu():
        for start in range(0, len(examples), batchsize):
            batch = concat_examples([*examples[start : start + batchsize]], padding=0)
            y = model(*batch) if isinstance(batch, tuple) else model(batch)
            parts.append(y.array)
    return np.concatenate(parts)
