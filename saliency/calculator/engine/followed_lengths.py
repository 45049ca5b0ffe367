"""Which input's lengths a target follows along axis 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.subject import Subject, Target


class FollowedLengths:
    """Finds out where axis 1 of a target is as long as the examples of an input.

    Args:
        subject (Subject): What is explained.
        batches (Batches): The data.
        clean (CleanPasses): Runs the trained model on it as it is.
    """

    def __init__(self, subject: Subject, batches: Batches, clean: CleanPasses) -> None:
        self._subject = subject
        self._batches = batches
        self._clean = clean
        # By position of the target and of the input.
        self._is_followed: dict[tuple[int, int], bool] = {}

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown."""
        self._is_followed = {}

    def told(self, batch: UserBatch, targets: Sequence[Target]) -> UserBatch:
        """Return the batch with the lengths that each target follows."""
        if not any(batch.is_ragged(i) for i in range(len(batch.lengths))):
            return replace(batch, lengths=())
        found = tuple(
            self.of_target(position, target, batch.lengths, batch.start)
            for position, target in enumerate(targets)
        )
        return replace(batch, lengths=found)

    def of_target(
        self,
        position: int,
        target: Target,
        of_inputs: Sequence[np.ndarray | None],
        start: int,
    ) -> np.ndarray | None:
        """Return the lengths of the input that axis 1 of a target follows, if any.

        Args:
            position (int): Which of the targets it is.
            target (int or VariableMonitorLinkHook): The target.
            of_inputs (sequence of numpy.ndarray or None): For each input, the lengths
                of consecutive examples.
            start (int): Index of the first of them.
        """
        for i in self._subject.inputs_behind(target, len(of_inputs)):
            lengths = of_inputs[i] if i < len(of_inputs) else None
            if lengths is None or len(set(lengths)) == 1:
                continue
            if (position, i) not in self._is_followed:
                # Two examples, each by itself, show if the axis is as long as they.
                self._is_followed[position, i] = all(
                    self._is_as_long(start + int(k), position, int(lengths[k]))
                    for k in (lengths.argmin(), lengths.argmax())
                )
            if self._is_followed[position, i]:
                return lengths
        return None

    def _is_as_long(self, index: int, position: int, length: int) -> bool:
        """Tell whether axis 1 of an example's target is as long as the example."""
        one = self._batches.load(index, index + 1)
        shape = self._clean.target_shapes(one)[position]
        return len(shape) > 1 and shape[1] == length
