"""How examples go through a model whose target may have no batch axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import NoBatchAxis
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.target_layout import (
    BATCH_FIRST,
    ONE_EXAMPLE,
    PACKED,
    TargetLayout,
)

import chainer

# Rounding errors of a pass of several rows, in units of the last digit.
_ROUNDING = 1000


class Arrangement(NamedTuple):
    """How examples go through the model.

    Attributes:
        layout (TargetLayout): How the targets of a pass's rows lie.
        folds (bool): Whether several rows go through the model together.
        length (int or None): That of each example's target, where targets are packed;
            None if it is that of the example.
        is_whole_output (bool): Whether the output of one example has no batch axis.
    """

    layout: TargetLayout = BATCH_FIRST
    folds: bool = True
    length: int | None = None
    is_whole_output: bool = False

    def with_lengths(self, batch: UserBatch) -> UserBatch:
        """Return a batch that knows the lengths of its packed targets."""
        lengths = batch.lengths_at(0)
        if self.length is not None:
            lengths = np.full(batch.size, self.length)
        return replace(batch, lengths=(lengths,))

    def tell(self, run: Run) -> None:
        """Let passes know of it."""
        run.target_layout = self.layout
        run.is_whole_output = self.is_whole_output

    def one_by_one(self) -> Arrangement:
        """Return the same for one row a pass."""
        layout = ONE_EXAMPLE if self.layout is PACKED else self.layout
        return self._replace(layout=layout, folds=False, length=None)


class ArrangementSearch:
    """Finds out how the examples of a batch go through a model.

    Examples that go through it alone show whether target and output have a batch axis.
    Several rows then go together only if that is seen to make no difference: two
    examples of different lengths, one of them twice, must have the targets and the
    outputs that they have alone, in order.

    Args:
        batches (Batches): The data.
        clean (CleanPasses): Runs the trained model on it as it is.
        run (Run): What the call holds.
        stacks_calls (bool): Whether the calls of the target's link are one target.
        reads_graph (bool): Whether the method reads more of a graph than its values.
    """

    def __init__(
        self,
        batches: Batches,
        clean: CleanPasses,
        run: Run,
        *,
        stacks_calls: bool,
        reads_graph: bool,
    ) -> None:
        self._batches = batches
        self._clean = clean
        self._run = run
        self._stacks_calls = stacks_calls
        self._reads_graph = reads_graph

    def examples(self, batch: UserBatch) -> list[UserBatch]:
        """Return each example of a batch by itself."""
        if batch.can_gather():
            return list(batch.one_by_one())
        return [self._batches.load(int(i), int(i) + 1) for i in batch.index]

    def of(self, batch: UserBatch) -> Arrangement:
        """Return the arrangement for a batch, with which the run is told of it."""
        Arrangement(ONE_EXAMPLE).tell(self._run)
        chosen = self._choose(batch)
        examples = self.examples(batch)
        alone = [self._clean.of(examples[i])[0] for i in chosen]
        seen = alone + [self._clean.of(one)[0] for one in self._long_one(batch)]
        has_batch_axis = all(_has_one_row(t) for this in seen for t in this.targets)
        found = Arrangement(
            layout=BATCH_FIRST if has_batch_axis else ONE_EXAMPLE,
            folds=False,
            is_whole_output=not all(
                y.size == 1 or _has_one_row(y) for this in seen for y in this.outputs
            ),
        )
        folding = None
        if batch.can_gather():
            folding = self._folding(batch, chosen, alone, found.layout)
        if folding is not None:
            try:
                is_same = self._makes_no_difference(folding, batch, chosen, alone)
            except NoBatchAxis:
                # The link is called for each word or node by itself: it sees one row,
                # however many examples there are.
                is_same = False
                if not self._stacks_calls:
                    found = found._replace(layout=ONE_EXAMPLE)
            if is_same and not found.is_whole_output:
                found = folding
        found.tell(self._run)
        return found

    def _choose(self, batch: UserBatch) -> list[int]:
        """Return two examples of different lengths, or all if that is not known."""
        lengths = batch.lengths_at(0)
        if lengths is None:
            return list(range(batch.size))
        return [int(lengths.argmax()), int(lengths.argmin())]

    def _long_one(self, batch: UserBatch) -> list[UserBatch]:
        """Return an example that is longer than 1, if the batch has none.

        A text of one word has one row of embeddings, with a batch axis or without.
        """
        lengths = batch.lengths_at(0)
        if lengths is None or lengths.max() > 1:
            return []
        longest = self._batches.longest()
        return [] if longest is None else [longest]

    def _folding(
        self,
        batch: UserBatch,
        chosen: list[int],
        alone: list[ForwardPass],
        layout: TargetLayout,
    ) -> Arrangement | None:
        """Return the arrangement that would let rows go together; None if none can."""
        if layout is BATCH_FIRST:
            return Arrangement()
        if self._stacks_calls or self._reads_graph:
            return None
        if any(t.ndim == 0 for a in alone for t in a.targets):
            return None
        found = [{len(t) for t in this.targets} for this in alone]
        lengths = batch.lengths_at(0)
        if lengths is not None and all(
            found[k] == {int(lengths[i])} for k, i in enumerate(chosen)
        ):
            return Arrangement(PACKED)
        of_all = set().union(*found)
        is_of_arrays = not any(isinstance(x, list) for x in batch.inputs)
        if is_of_arrays and len(of_all) == 1:
            return Arrangement(PACKED, length=of_all.pop())
        return None

    def _makes_no_difference(
        self,
        folding: Arrangement,
        batch: UserBatch,
        chosen: list[int],
        alone: list[ForwardPass],
    ) -> bool:
        """Tell whether examples have together what they have alone.

        Raises:
            NoBatchAxis: If targets are not of the layout.
        """
        folding.tell(self._run)
        positions = [0, len(chosen) - 1, 0]
        rows = np.array([chosen[k] for k in positions])
        if folding.layout is PACKED:
            batch = folding.with_lengths(batch)
        try:
            together = self._clean.of_rows(batch, rows)
        except (MemoryError, NoBatchAxis):
            raise
        except Exception:
            # Whatever a model says of a batch that it does not take. An error that has
            # another cause would have come before, with the examples alone.
            return False
        parts = [alone[k] for k in positions]
        return _are_concatenated(
            together.targets, [this.targets for this in parts]
        ) and _are_concatenated(together.outputs, [this.outputs for this in parts])


def _has_one_row(variable: Any) -> bool:
    return variable.ndim > 0 and len(variable) == 1


def _are_concatenated(whole: Sequence[Any], parts: list[list[Any]]) -> bool:
    """Tell whether variables are those of several passes, one behind the other.

    Along axis 1 they may be padded to the longest.
    """
    if any(len(part) != len(whole) for part in parts):
        return False
    return all(
        _is_concatenated(
            chainer.cuda.to_cpu(variable.array),
            [chainer.cuda.to_cpu(part[k].array) for part in parts],
        )
        for k, variable in enumerate(whole)
    )


def _is_concatenated(whole: np.ndarray, parts: list[np.ndarray]) -> bool:
    if any(part.ndim != whole.ndim or part.ndim == 0 for part in parts):
        return False
    if len(whole) != sum(map(len, parts)):
        return False
    longest = np.max([part.shape for part in parts], axis=0)
    if whole.shape[1:] != tuple(longest[1:].tolist()):
        return False
    start = 0
    for part in parts:
        place = (slice(start, start + len(part)), *map(slice, part.shape[1:2]))
        start += len(part)
        if not _is_close(whole[place], part):
            return False
    return True


def _is_close(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind != "f":
        return np.array_equal(found, expected)
    atol = _ROUNDING * np.finfo(expected.dtype).eps * abs(expected).max(initial=0)
    return np.allclose(found, expected, rtol=0, atol=atol)
