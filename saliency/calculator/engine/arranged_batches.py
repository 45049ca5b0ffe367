"""Batches as they go through the model: together, or example by example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Callable

import numpy as np

from saliency.calculator.engine.arrangement import Arrangement, ArrangementSearch
from saliency.calculator.engine.dataset import Batches, UserBatch, lengths_if_ragged
from saliency.calculator.engine.followed_lengths import FollowedLengths
from saliency.calculator.engine.padding import join_targets
from saliency.calculator.engine.rows import NoBatchAxis
from saliency.calculator.engine.run import Lengths, Run
from saliency.calculator.engine.runner import Runner
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.subject import Subject, Target
from saliency.calculator.engine.target_layout import BATCH_FIRST, PACKED

# Computes samples of a batch: for each target ``(n,) + (size,) + target shape``.
Compute = Callable[[UserBatch], Iterator[list[np.ndarray]]]


class ArrangedBatches:
    """Takes batches apart where their examples cannot go through the model together.

    Args:
        subject (Subject): What is explained.
        settings (ComputeSettings): How samples are computed.
        batches (Batches): The data.
        runner (Runner): Runs the passes.
        run (Run): What the call holds.
        reads_graph (bool): Whether the method reads more of a graph than its values.

    Attributes:
        length_of_target (int): That of the example of the last pass; whoever runs
            passes writes it here.
    """

    def __init__(
        self,
        subject: Subject,
        settings: ComputeSettings,
        batches: Batches,
        runner: Runner,
        run: Run,
        reads_graph: bool,
    ) -> None:
        self.length_of_target = 0
        self._subject = subject
        self._settings = settings
        self._batches = batches
        self._runner = runner
        self._run = run
        self._followed = FollowedLengths(subject, batches, runner.clean)
        self._search = ArrangementSearch(
            batches,
            runner.clean,
            run,
            stacks_calls=subject.stacks_calls,
            reads_graph=reads_graph,
        )
        self._arrangement: Arrangement | None = None
        self._is_searched = False
        self._targets: tuple[Target, ...] = ()  # as the first batch shows
        # By the index of the example in the data, where targets have no batch axis.
        self._lengths: dict[int, int] = {}

    @property
    def folds(self) -> bool:
        """Whether several rows of the batch under way go through the model together."""
        assert self._arrangement is not None  # it has been found
        return self._arrangement.folds

    @property
    def is_plain(self) -> bool:
        """Whether rows go together, and targets have the batch axis in front."""
        found = self._arrangement
        return found is not None and found.folds and found.layout is BATCH_FIRST

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown of the model."""
        self._arrangement = None
        self._followed.learn_anew()

    def learn(self, one: UserBatch) -> None:
        """Learn from an example how batches go through, unless that takes a search."""
        self._targets = self._subject.targets_of(one.inputs)
        if self._arrangement is None and not self._needs_search(one):
            self._arrangement = Arrangement()

    def samples(self, batch: UserBatch, compute: Compute) -> Iterator[list[np.ndarray]]:
        """Give the samples of a batch in order, as they are completed.

        Args:
            batch (UserBatch): The examples.
            compute (callable): Gives the samples of those that go together.
        """
        self._targets = self._subject.targets_of(batch.inputs)
        arrangement = self._arranged(batch)
        while True:
            has_begun = False
            try:
                for samples in self._samples(batch, arrangement, compute):
                    has_begun = True
                    yield samples
                return
            except NoBatchAxis as reason:
                is_several = self._subject.gives_tuple
                if has_begun or is_several or not arrangement.folds:
                    raise ValueError(str(reason)) from None
                if self._is_searched:
                    arrangement = arrangement.one_by_one()
                else:
                    arrangement = self._search.of(batch)
                self._arrangement, self._is_searched = arrangement, True

    def parts(self, batch: UserBatch) -> list[UserBatch]:
        """Return the parts that a batch goes through the trained model in.

        Its samples have been computed.
        """
        assert self._arrangement is not None  # it has been found
        self._arrangement.tell(self._run)
        if self._arrangement.layout is PACKED:
            return [self._arrangement.with_lengths(batch)]
        if self._arrangement.folds and not self._hides_ends(batch):
            return [self._followed.told(batch, self._targets)]
        return list(self._one_by_one(batch, self._arrangement))

    # --- lengths of what was explained ---

    def is_ragged(self, batch: UserBatch) -> bool:
        """Tell whether examples of a batch, once explained, have different lengths."""
        found = self._lengths
        if batch.start in found:
            return len({found[i] for i in batch.index}) > 1
        of_inputs = (*batch.lengths, *batch.sizes)
        return any(of is not None and len({*of.tolist()}) > 1 for of in of_inputs)

    def lengths_of_examples(
        self, of_batches: Sequence[tuple[np.ndarray | None, ...]], gives_tuple: bool
    ) -> Lengths:
        """Return the true lengths of the examples, if they differ.

        Args:
            of_batches (sequence): ``lengths`` of all batches, as they were loaded.
            gives_tuple (bool): Whether each of several targets has lengths of its own.
        """
        found = self._lengths
        if found:
            return lengths_if_ragged([np.array([found[i] for i in sorted(found)])])
        of_inputs = [lengths_if_ragged(parts) for parts in zip(*of_batches)]
        if not gives_tuple:
            return of_inputs[0] if of_inputs else None
        return tuple(
            self._followed.of_target(position, target, of_inputs, 0)
            for position, target in enumerate(self._targets)
        )

    def lengths_of_targets(self) -> np.ndarray | None:
        """Return the length of each example's target, ``(N,)``.

        None where it is known from the data or the same for all, as far as the batches
        so far have shown.
        """
        if self._arrangement is None or self._arrangement.folds:
            return None
        self._arrangement.tell(self._run)
        shapes = [
            self._runner.clean.target_shapes(one)[0]
            for batch in self._batches
            for one in self._search.examples(batch)
        ]
        return np.array([shape[1] if len(shape) > 1 else 1 for shape in shapes])

    # --- how examples go through the model ---

    def _arranged(self, batch: UserBatch) -> Arrangement:
        """Return how the examples of a batch go through the model."""
        if self._arrangement is None:
            self._arrangement = Arrangement()
            self._is_searched = self._needs_search(batch)
            if self._is_searched:
                self._arrangement = self._search.of(batch)
        return self._arrangement

    def _needs_search(self, batch: UserBatch) -> bool:
        """Tell whether it has to be found out how examples go through the model.

        Of a list, the model may make anything. What comes as one array has the batch
        axis in front unless one example shows something else. In a batch, axis 0 may be
        as long by chance: an axis of time, or of all nodes where every graph has one.
        So one example is looked at, the longest where a converter joins examples.
        """
        if all(isinstance(target, int) for target in self._targets):
            return False
        is_one = not self._subject.gives_tuple
        if (
            is_one
            and batch.can_gather()
            and any(isinstance(x, list) for x in batch.inputs)
        ):
            return True
        if self._run.lacks_batch_axis is None:
            self._run.lacks_batch_axis = self._lacks_batch_axis(batch)
        return self._run.lacks_batch_axis

    def _lacks_batch_axis(self, batch: UserBatch) -> bool:
        """Tell whether axis 0 of one example's target is not that of the batch."""
        differ = None
        if not batch.can_gather():
            differ = self._batches.shortest_and_longest()
        index = batch.start if differ is None else differ[1]
        one = self._batches.load(index, index + 1)
        Arrangement().tell(self._run)
        try:
            self._runner.look_at_targets(one)
        except NoBatchAxis as reason:
            if self._subject.gives_tuple:
                raise ValueError(str(reason)) from None
            return True
        except Exception:
            # If it is not this example that the model does not take, it raises again.
            return False
        return False

    def _samples(
        self, batch: UserBatch, arrangement: Arrangement, compute: Compute
    ) -> Iterator[list[np.ndarray]]:
        arrangement.tell(self._run)
        if arrangement.layout is PACKED:
            batch = arrangement.with_lengths(batch)
            lengths = batch.lengths_at(0)
            assert lengths is not None  # the search has found them
            self._lengths.update(zip(batch.index, lengths))
            yield from compute(batch)
        elif arrangement.folds and not self._padding_matters(batch):
            yield from compute(self._followed.told(batch, self._targets))
        else:
            # Each by itself, since targets of examples may differ in shape.
            alone = []
            for one in self._one_by_one(batch, arrangement):
                alone.append(join_targets(list(compute(one)), 0, np.nan))
                if not arrangement.folds:
                    self._lengths[one.start] = self.length_of_target
            yield join_targets(alone, 1, np.nan)

    def _one_by_one(
        self, batch: UserBatch, arrangement: Arrangement
    ) -> Iterator[UserBatch]:
        """Give batches of one example each, without what was padded."""
        if not arrangement.folds:
            yield from self._search.examples(batch)
            return
        for index in batch.index.tolist():  # as the converter makes it of one alone
            yield replace(self._batches.load(index, index + 1), lengths=())

    def _padding_matters(self, batch: UserBatch) -> bool:
        """Tell whether results of an example depend on how far it is padded."""
        return self._hides_ends(batch) or self._padding_moves_masks(batch)

    def _hides_ends(self, batch: UserBatch) -> bool:
        """Tell whether padding matters since it is not known where examples end."""
        reads_padding = self._run.reads_padding
        return self._followed.hide_ends(batch, self._targets, reads_padding)

    def _padding_moves_masks(self, batch: UserBatch) -> bool:
        """Tell whether dropout masks of an example depend on how far it is padded.

        The numbers of a mask are drawn in a row, function by function. Those of an
        example are its own if padding makes nothing longer than axis 1, as for tokens,
        and calls no function more often, as in a loop over time.
        """
        if self._run.padding_moves_masks is not None:
            return self._run.padding_moves_masks
        pairs = [
            self._batches.shortest_and_longest(position)
            for position, lengths in enumerate(batch.lengths)
            if self._settings.train and lengths is not None
        ]
        self._run.padding_moves_masks = any(
            self._have_other_masks(*pair) for pair in pairs if pair is not None
        )
        return self._run.padding_moves_masks

    def _have_other_masks(self, short: int, long: int) -> bool:
        """Tell whether dropout masks of two examples differ in more than axis 1."""
        of_short, of_long = (
            self._runner.shapes_of_dropouts(self._batches.load(i, i + 1))
            for i in (short, long)
        )
        self._runner.learn_anew()
        return [(s[:1], s[2:]) for s in of_short] != [(s[:1], s[2:]) for s in of_long]
