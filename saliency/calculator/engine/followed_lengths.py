"""Which input's lengths a target follows along axis 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.subject import Subject, Target


class _Seen(NamedTuple):
    """What two examples, each by itself, show of a target.

    Attributes:
        is_followed (bool): Whether its axis 1 is as long as they are.
        differs (bool): Whether its shape differs with their length, along any axis.
    """

    is_followed: bool
    differs: bool


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
        # By position of the target and of the input, and whether sizes were compared.
        self._seen: dict[tuple[int, int, bool], _Seen] = {}

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown."""
        self._seen = {}

    def told(self, batch: UserBatch, targets: Sequence[Target]) -> UserBatch:
        """Return the batch with the lengths that each target follows."""
        if not any(batch.is_ragged(i) for i in range(len(batch.lengths))):
            return replace(batch, lengths=())
        found = tuple(
            self.of_target(position, target, batch.lengths, batch.start)
            for position, target in enumerate(targets)
        )
        return replace(batch, lengths=found)

    def hide_ends(
        self, batch: UserBatch, targets: Sequence[Target], reads_padding: bool
    ) -> bool:
        """Tell whether it is not known where examples of a padded batch end.

        That is so for a target in which another axis than 1 is padded.

        Args:
            batch (UserBatch): The examples.
            targets (sequence): The targets.
            reads_padding (bool): Whether the method looks behind ends that are known.
        """
        for position, target in enumerate(targets):
            place = position, target, batch.start
            found = [seen for _, seen in self._seen_of(*place, batch.lengths)]
            is_known = any(seen.is_followed for seen in found)
            if not is_known:
                sizes = batch.sizes_beside_lengths()
                by_size = self._seen_of(*place, sizes, are_sizes=True)
                found += [seen for _, seen in by_size]
            differs = any(seen.differs for seen in found)
            if differs and (reads_padding or not is_known):
                return True
        return False

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
        for lengths, seen in self._seen_of(position, target, start, of_inputs):
            if seen.is_followed:
                return lengths
        return None

    def _seen_of(
        self,
        position: int,
        target: Target,
        start: int,
        of_inputs: Sequence[np.ndarray | None],
        *,
        are_sizes: bool = False,
    ) -> Iterator[tuple[np.ndarray, _Seen]]:
        """Give the lengths of inputs behind a target that differ, and what they show.

        The arguments are those of :meth:`of_target`; or lengths are sizes.
        """
        for i in self._subject.inputs_behind(target, len(of_inputs)):
            lengths = of_inputs[i] if i < len(of_inputs) else None
            if lengths is None or len(set(lengths)) == 1:
                continue
            key = position, i, are_sizes
            if key not in self._seen:
                ends = [int(lengths.argmin()), int(lengths.argmax())]
                shapes = [self._shape(start + k, position) for k in ends]
                is_followed = all(
                    len(shape) > 1 and shape[1] == lengths[k]
                    for k, shape in zip(ends, shapes)
                )
                self._seen[key] = _Seen(is_followed, shapes[0] != shapes[1])
            yield lengths, self._seen[key]

    def _shape(self, index: int, position: int) -> tuple[int, ...]:
        """Return the shape of an example's target, where nothing is padded."""
        one = self._batches.load(index, index + 1)
        return tuple(self._clean.target_shapes(one)[position])
