"""An extension of trainers that lets a resumed training draw the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.user_warnings import warn_user

import chainer


class KeptRandomState(chainer.training.Extension):
    """Keeps NumPy's global random state in the snapshots of a trainer.

    Chainer draws the order of the examples and the masks of dropout from that state,
    and its own snapshots do not hold it: a training that is resumed sees the examples
    in another order. With this extension it computes the same numbers, byte for byte,
    as a training that was never interrupted::

        trainer.extend(saliency.training.KeptRandomState())
        trainer.extend(extensions.snapshot(), trigger=(1, "epoch"))

    Load the snapshot directly before ``trainer.run()``: loading it sets the random
    state, and numbers that are drawn between the two would advance it. The random state
    of a GPU is not kept, nor are those of the processes of a ``MultiprocessIterator``.
    """

    default_name = "random_state"
    trigger = (1, "epoch")  # never needed: it works in the snapshot alone

    def __call__(self, trainer: Any) -> None:
        """Do nothing; the snapshot calls :meth:`serialize`."""

    def serialize(self, serializer: Any) -> None:
        """Write the state into a snapshot, or set the one that a snapshot holds.

        Args:
            serializer (chainer.AbstractSerializer): As in Chainer.

        Warns:
            UserWarning: If the snapshot was taken without this extension.
        """
        state: Any = np.random.get_state()  # noqa: NPY002
        kind, words, *numbers = state
        try:
            words = serializer("words", np.array(words))
            numbers = serializer("numbers", np.array(numbers))
        except KeyError:
            warn_user(
                "the snapshot holds no random state, since it was taken without "
                "KeptRandomState: the order of the examples will be another one"
            )
            return
        if isinstance(serializer, chainer.Deserializer):
            position, has_gauss, gauss = numbers
            state = (kind, words, int(position), int(has_gauss), float(gauss))
            np.random.set_state(state)  # noqa: NPY002
