"""The work of one call, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Union

import numpy as np
from tqdm.auto import tqdm

from saliency.calculator.engine.arrangement import Arrangement, ArrangementSearch
from saliency.calculator.engine.dataset import Batches, UserBatch, lengths_if_ragged
from saliency.calculator.engine.equal_samples import EqualSamples
from saliency.calculator.engine.explained_output import (
    Explained,
    class_of_examples,
    warn_of_axes,
    warn_of_sum,
)
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.padding import join_targets, mark_padding
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.rows import (
    CannotFold,
    Extent,
    NoBatchAxis,
    PassPlan,
    Rows,
    one_row,
    sample_by_sample,
    whole_batch,
    whole_batch_one_changed,
)
from saliency.calculator.engine.run import Lengths, Run
from saliency.calculator.engine.runner import Runner
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.subject import Subject, Target
from saliency.calculator.engine.sums import Sums
from saliency.calculator.engine.target_layout import PACKED
from saliency.calculator.engine.values_of_batch import ValuesOfBatch
from saliency.interrupts import held_back

import chainer

# What is explained of each example of a batch, or 'argmax' to ask the pass.
Classes = Union[Explained, str]

_SHORT = 1.0  # seconds; work that takes no longer has no progress bar


@contextlib.contextmanager
def running_job(
    recipe: Recipe,
    subject: Subject,
    settings: ComputeSettings,
    batches: Batches,
    n_example: int,
    *,
    run: Run | None = None,
    mean_will_do: bool = False,
    show_progress: bool = False,
) -> Iterator[Job]:
    """Return a job for a ``with`` block, after which nothing is left changed.

    Args:
        recipe (Recipe): How the method explains.
        subject (Subject): What is explained.
        settings (ComputeSettings): How samples are computed.
        batches (Batches): The data.
        n_example (int): How many examples of it are going to be explained.
        run (Run or None): What the call holds, if it was started elsewhere.
        mean_will_do (bool): Whether nobody asks for more than the mean of samples.
        show_progress (bool): Whether to show a progress bar.
    """
    bar = tqdm(
        desc=type(recipe).__name__.lstrip("_").replace("Calculator", ""),
        total=settings.M * n_example,
        unit="row",
        delay=_SHORT,
        disable=None if show_progress else True,  # None: only where somebody looks
    )
    runner = Runner(recipe, subject, settings, batches.n_example, mean_will_do)
    with held_back(), bar, runner:
        yield Job(recipe, subject, settings, batches, runner, run, n_example, bar)


class Job:
    """Explains batch after batch.

    Passes are folded until one shows that the model does not treat its rows
    independently; from then on they are laid out as the model needs it. What is in
    memory at a time is one pass, and the samples that its rows belong to.

    Args:
        recipe (Recipe): How the method explains.
        subject (Subject): What is explained.
        settings (ComputeSettings): How samples are computed.
        batches (Batches): The data.
        runner (Runner): Runs the passes.
        run (Run or None): What the call holds; None starts it.
        n_example (int): How many examples of the data are going to be explained.
        bar (tqdm.tqdm): Counts rows.

    Attributes:
        run (Run): What the call holds.
        gives_tuple (bool): Whether there are several targets, and a result for each.
    """

    def __init__(
        self,
        recipe: Recipe,
        subject: Subject,
        settings: ComputeSettings,
        batches: Batches,
        runner: Runner,
        run: Run | None,
        n_example: int,
        bar: tqdm,
    ) -> None:
        self._recipe = recipe
        self._subject = subject
        self._settings = settings
        self._batches = batches
        self._runner = runner
        self._n_left = n_example
        self._bar = bar
        self.run = recipe.start(batches, runner.clean) if run is None else run
        runner.run = self.run
        self.gives_tuple = subject.gives_tuple and recipe.tells_targets_apart
        # By the index of the example in the data, where targets have no batch axis.
        self._lengths_of_targets: dict[int, int] = {}
        self._folded = self.run.plan
        if settings.posterior is not None:
            self._folded = sample_by_sample(self._folded)
        self._plan: PassPlan = self._folded
        self._search = ArrangementSearch(
            batches,
            runner.clean,
            self.run,
            stacks_calls=subject.stacks_calls,
            reads_graph=recipe.reads_graph,
        )
        self._arrangement: Arrangement | None = None
        self._is_searched = False
        self._length_of_target = 0  # of the example of the last pass
        # Whether axis 1 of a target is as long as an input, by position of both.
        self._follows_lengths: dict[tuple[int, int], bool] = {}
        self._targets: tuple[Target, ...] = ()  # as the first batch shows
        self._has_compared = False  # samples with each other, in the first batch
        self._looked_at_output = False
        self._values_of_batch = ValuesOfBatch()

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown of the model.

        Then how the next is run, and so its last digits, depends on itself alone.
        """
        self._plan = self._folded
        self._arrangement = None
        self._follows_lengths = {}
        self._runner.learn_anew()

    def explain(self, batch: UserBatch) -> Iterator[list[np.ndarray]]:
        """Give the M saliency samples of a batch in order, as they are completed.

        They come several at a time, for each target ``(n,) + (size,) + target shape``;
        or, with ``postprocess_fn``, what that returns in place of each.
        """
        compared = EqualSamples(self._settings)
        for samples in self._explain(batch, self._settings.M):
            if not (self._has_compared or self._runner.draws_samples):
                compared.add(samples)
            yield samples
        if not (self._has_compared or self._runner.draws_samples):
            compared.warn()
        self._has_compared = True
        if self._n_left == 0:
            self.run.conclude()

    def classes_and_scores(
        self, batch: UserBatch
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Return what is explained of each example of a batch that was explained.

        Returns:
            tuple: The classes, ``(size,)``, or None where what is explained is no one
            column; and the scores, ``(size,)``, which the trained model gives without
            noise and dropout.
        """
        arrangement = self._arrangement
        assert arrangement is not None  # it has been found
        arrangement.tell(self.run)
        if arrangement.layout is PACKED:
            parts = [arrangement.with_lengths(batch)]
        elif arrangement.folds:
            parts = [self._with_lengths_of_target(batch)]
        else:
            parts = list(self._search.examples(batch))
        classes, scores = [], []
        for part in parts:
            for this in self._runner.clean.of(part):
                explained = self._explained_of_clean(this)
                classes.append(explained)
                scores.append(chainer.cuda.to_cpu(this.scores(explained)))
        found = [one for one in classes if isinstance(one, np.ndarray)]
        has_classes = len(found) == len(classes)
        return (
            np.concatenate(found) if has_classes else None,
            np.concatenate(scores),
        )

    def _explained_of_clean(self, this: ForwardPass) -> Explained:
        """Return what of the output is explained in each row of a clean pass."""
        class_index = self._subject.class_index
        if isinstance(class_index, str):
            return self._recipe.predicted_classes(this)
        return class_of_examples(class_index, this.index, self._batches.n_example)

    def lengths_of_examples(
        self, of_batches: Sequence[tuple[np.ndarray | None, ...]]
    ) -> Lengths:
        """Return the true lengths of the examples, if they differ.

        Args:
            of_batches (sequence): ``lengths`` of all batches, as they were loaded.
        """
        found = self._lengths_of_targets
        if found:
            return lengths_if_ragged([np.array([found[i] for i in sorted(found)])])
        of_inputs = [lengths_if_ragged(parts) for parts in zip(*of_batches)]
        if not self.gives_tuple:
            return of_inputs[0] if of_inputs else None
        return tuple(
            self._lengths_followed(position, of_inputs, 0)
            for position in range(len(self._targets))
        )

    def try_one_sample(self, batch: UserBatch) -> Iterator[list[np.ndarray]]:
        """Give the first sample of a batch, to see its shape and dtype.

        The progress bar does not count it.
        """
        bar, n_left = self._bar, self._n_left
        self._bar = tqdm(disable=True)
        try:
            yield from self._explain(batch, 1)
        finally:
            self._bar, self._n_left = bar, n_left

    def _explain(self, batch: UserBatch, n_sample: int) -> Iterator[list[np.ndarray]]:
        for samples in self._samples_of_any_target(batch, n_sample):
            if self._settings.postprocess_fn is None:
                yield samples
            else:
                with self._runner.borrowed_random(batch):
                    processed = [self._postprocessed(one) for one in zip(*samples)]
                yield [np.stack(of_target) for of_target in zip(*processed)]

    def _postprocessed(self, sample: tuple[np.ndarray, ...]) -> list[Any]:
        """Return what the user makes of one sample, for each target."""
        assert self._settings.postprocess_fn is not None
        if not self.gives_tuple:
            return [_as_numpy(self._settings.postprocess_fn(*sample))]
        result = self._settings.postprocess_fn(sample)
        if not (isinstance(result, (tuple, list)) and len(result) == len(sample)):
            raise TypeError(
                "postprocess_fn is given a tuple of one array for each target, and "
                f"must return {len(sample)} arrays in a tuple, got "
                f"{type(result).__name__}"
            )
        return [_as_numpy(array) for array in result]

    def _samples_of_any_target(
        self, batch: UserBatch, n_sample: int
    ) -> Iterator[list[np.ndarray]]:
        """Give samples, one example at a time where examples do not go together."""
        self._targets = self._subject.targets_of(batch.inputs)
        arrangement = self._arranged(batch)
        while True:
            has_begun = False
            try:
                for samples in self._arranged_samples(batch, n_sample, arrangement):
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
        if self.run.lacks_batch_axis is None:
            self.run.lacks_batch_axis = self._lacks_batch_axis(batch)
        return self.run.lacks_batch_axis

    def _lacks_batch_axis(self, batch: UserBatch) -> bool:
        """Tell whether axis 0 of one example's target is not that of the batch."""
        differ = None
        if not batch.can_gather():
            differ = self._batches.shortest_and_longest()
        index = batch.start if differ is None else differ[1]
        one = self._batches.load(index, index + 1)
        Arrangement().tell(self.run)
        try:
            self._runner.clean.of_rows(one, np.zeros(1, int))
        except NoBatchAxis as reason:
            if self._subject.gives_tuple:
                raise ValueError(str(reason)) from None
            return True
        except Exception:
            # If it is not this example that the model does not take, it raises again.
            return False
        return False

    def _arranged_samples(
        self, batch: UserBatch, n_sample: int, arrangement: Arrangement
    ) -> Iterator[list[np.ndarray]]:
        arrangement.tell(self.run)
        if arrangement.layout is PACKED:
            batch = arrangement.with_lengths(batch)
            lengths = batch.lengths_at(0)
            assert lengths is not None  # the search has found them
            self._lengths_of_targets.update(zip(batch.index, lengths))
            yield from self._samples(batch, n_sample)
        elif arrangement.folds and not self._padding_moves_masks(batch):
            yield from self._samples(self._with_lengths_of_target(batch), n_sample)
        else:
            # Each by itself, since targets of examples may differ in shape.
            alone = []
            for one in self._one_by_one(batch, arrangement):
                parts = list(self._samples(one, n_sample))
                alone.append(join_targets(parts, 0, np.nan))
                if not arrangement.folds:
                    self._lengths_of_targets[one.start] = self._length_of_target
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

    def is_ragged(self, batch: UserBatch) -> bool:
        """Tell whether examples of a batch, once explained, have different lengths."""
        found = self._lengths_of_targets
        if batch.start in found:
            return len({found[i] for i in batch.index}) > 1
        return any(batch.is_ragged(i) for i in range(len(batch.lengths)))

    def lengths_of_targets(self) -> np.ndarray | None:
        """Return the length of each example's target, ``(N,)``.

        None where it is known from the data or the same for all, as far as the batches
        so far have shown.
        """
        if self._arrangement is None or self._arrangement.folds:
            return None
        self._arrangement.tell(self.run)
        shapes = [
            self._runner.clean.target_shapes(one)[0]
            for batch in self._batches
            for one in self._search.examples(batch)
        ]
        return np.array([shape[1] if len(shape) > 1 else 1 for shape in shapes])

    def _padding_moves_masks(self, batch: UserBatch) -> bool:
        """Tell whether dropout masks of an example depend on how far it is padded.

        The numbers of a mask are drawn in a row, function by function. Those of an
        example are its own if padding makes nothing longer than axis 1, as for tokens,
        and calls no function more often, as in a loop over time.
        """
        if self.run.padding_moves_masks is not None:
            return self.run.padding_moves_masks
        pairs = [
            self._batches.shortest_and_longest(position)
            for position, lengths in enumerate(batch.lengths)
            if self._settings.train and lengths is not None
        ]
        self.run.padding_moves_masks = any(
            self._have_other_masks(*pair) for pair in pairs if pair is not None
        )
        return self.run.padding_moves_masks

    def _have_other_masks(self, short: int, long: int) -> bool:
        """Tell whether dropout masks of two examples differ in more than axis 1."""
        of_short, of_long = (
            self._runner.shapes_of_dropouts(self._batches.load(i, i + 1))
            for i in (short, long)
        )
        self._runner.learn_anew()
        return [(s[:1], s[2:]) for s in of_short] != [(s[:1], s[2:]) for s in of_long]

    def _samples(self, batch: UserBatch, n_sample: int) -> Iterator[list[np.ndarray]]:
        assert self._arrangement is not None  # it has been found
        if not self._arrangement.folds:
            self._plan = one_row
        elif not batch.can_gather():
            self._plan = whole_batch
        extent = Extent(
            n_sample,
            self._runner.number_of_calls(batch),
            self._recipe.number_of_steps(self.run, batch, self._runner.clean),
            batch.size,
        )
        classes = self._classes(batch, extent)
        # The bar tells how much is left if all examples are like these.
        rows_of_example = extent.n_sample * extent.n_part
        self._bar.total = self._bar.n + rows_of_example * self._n_left
        self._n_left -= batch.size
        n_before = self._bar.n
        first = 0  # of the samples that are not complete
        while first < n_sample:
            extent = replace(extent, n_sample=n_sample - first, first_sample=first)
            try:
                for completed in self._completed(batch, extent, classes):
                    for samples, _ in completed:
                        _check_result(samples, batch, first)
                    first += len(completed[0][0])
                    yield [
                        mark_padding(samples, batch.lengths_at(position), target_ndim)
                        for position, (samples, target_ndim) in enumerate(completed)
                    ]
            except CannotFold as reason:
                self._plan = reason.plan
                done = n_before + first * extent.n_part * batch.size
                self._bar.update(done - self._bar.n)

    def _completed(
        self, batch: UserBatch, extent: Extent, classes: Classes
    ) -> Iterator[list[tuple[np.ndarray, int]]]:
        """Give samples for each target, with the number of its axes."""
        sums: list[Sums] = []
        first = extent.first_sample
        run = partial(self._run_pass, batch, classes)
        can_split = self._plan is self._folded
        n_row = self._batches.batchsize
        if self._plan is self._folded:
            n_row = self._runner.rows_of_pass(batch, n_row)
        for planned in self._plan(extent, n_row):
            limit = self._runner.row_limit
            for rows, results in limit.passes(planned, run, can_split):
                keeps_steps = self._recipe.keeps_steps
                sums = sums or [Sums(extent, keeps_steps) for _ in results]
                for of_target, result in zip(sums, results):
                    of_target.add(rows, result.of_rows)
                self._bar.update(len(rows.explained))
                completed = [of_target.take_completed() for of_target in sums]
                if len(completed[0]):
                    n_completed = len(completed[0])
                    dtypes = [result.dtype for result in results]
                    # Under the same name, so that the sums are not held any longer.
                    completed = self.run.put_together(completed, dtypes, first)
                    first += n_completed
                    yield [
                        (samples, result.target_ndim)
                        for samples, result in zip(completed, results)
                    ]

    def _run_pass(
        self, batch: UserBatch, classes: Classes, rows: Rows
    ) -> tuple[Rows, list[_Contribution]]:
        # The pass and its graph end here, before another pass is run.
        with self._runner.one_pass(batch, rows) as this:
            self._check_plan(this, batch)
            explained = self._explained(this, classes)
            # Passes without a graph may look at where the function is undefined.
            is_finite = this.is_finite(explained) or not self.run.needs_graph(rows)
            if is_finite:
                results = self._contributions(this, explained)
        if not is_finite:
            raise self._not_finite(batch, this, explained)
        if batch.can_gather():
            run = partial(self._runner.first_example, batch)
            self._values_of_batch.refuse(this, run)
        return rows, results

    def _contributions(
        self, this: ForwardPass, explained: Explained
    ) -> list[_Contribution]:
        """Return what rows contribute to the saliency of each target."""
        n_result = this.n_target if self._recipe.tells_targets_apart else 1
        return [
            self._contribution(this.at_target(position), explained)
            for position in range(n_result)
        ]

    def _contribution(self, this: ForwardPass, explained: Explained) -> _Contribution:
        on_device = self._recipe.contribution(this, explained)
        origin = this.origins[0]
        self._length_of_target = origin.shape[1] if origin.ndim > 1 else 1
        dtype = origin.dtype
        result = dtype if dtype.kind == "f" else np.dtype(np.float32)
        of_rows: np.ndarray = chainer.cuda.to_cpu(on_device)
        if this.longest is not None and not self._recipe.keeps_steps:
            of_rows = _as_long_as_batch(of_rows, this.longest, origin)
        return _Contribution(of_rows, result, origin.ndim)

    def _explained(self, this: ForwardPass, classes: Classes) -> Explained:
        """Return what of the output is explained in each row of a pass."""
        if not self._looked_at_output:
            self._looked_at_output = True
            if self._subject.class_index is not None:
                warn_of_axes(this.outputs, self._subject.class_index)
            elif not self._subject.sum_is_asked_for:
                warn_of_sum(this.outputs, len(this.rows))
        if isinstance(classes, np.ndarray):
            of_rows: Explained = classes[this.rows.example]
            return of_rows
        if isinstance(classes, str):
            return self._recipe.predicted_classes(this)
        return classes

    def _not_finite(
        self, batch: UserBatch, this: ForwardPass, explained: Explained
    ) -> ValueError:
        """Return the error for scores that are not finite."""
        scores = chainer.cuda.to_cpu(this.scores(explained))
        row = int(np.argmin(np.isfinite(scores)))
        example = batch.start + this.rows.example[row]
        is_half = any(y.dtype == np.float16 for y in this.outputs)
        return ValueError(
            f"the explained output is {scores[row]:g} for example {example} (sample "
            f"{this.rows.sample[row]}) although the data is finite; "
            + self._runner.where_not_finite(batch, this.rows)
            + _FLOAT16_ENDS * is_half
        )

    def _with_lengths_of_target(self, batch: UserBatch) -> UserBatch:
        """Return the batch with the lengths that axis 1 of each target follows."""
        if not any(batch.is_ragged(i) for i in range(len(batch.lengths))):
            return replace(batch, lengths=())
        found = tuple(
            self._lengths_followed(position, batch.lengths, batch.start)
            for position in range(len(self._targets))
        )
        return replace(batch, lengths=found)

    def _lengths_followed(
        self, position: int, of_inputs: Sequence[np.ndarray | None], start: int
    ) -> np.ndarray | None:
        """Return the lengths of an input that axis 1 of a target follows, if any.

        Args:
            position (int): Which of the targets.
            of_inputs (sequence of numpy.ndarray or None): For each input, the lengths
                of consecutive examples.
            start (int): Index of the first of them.
        """
        target = self._targets[position]
        for i in self._subject.inputs_behind(target, len(of_inputs)):
            lengths = of_inputs[i] if i < len(of_inputs) else None
            if lengths is None or len(set(lengths)) == 1:
                continue
            if (position, i) not in self._follows_lengths:
                # Two examples, each by itself, show if the axis is as long as they.
                self._follows_lengths[position, i] = all(
                    self._axis_follows(start + int(k), position, int(lengths[k]))
                    for k in (lengths.argmin(), lengths.argmax())
                )
            if self._follows_lengths[position, i]:
                return lengths
        return None

    def _axis_follows(self, index: int, position: int, length: int) -> bool:
        """Tell whether axis 1 of an example's target is as long as the example."""
        one = self._batches.load(index, index + 1)
        shape = self._runner.clean.target_shapes(one)[position]
        return len(shape) > 1 and shape[1] == length

    def _check_plan(self, this: ForwardPass, batch: UserBatch) -> None:
        if self._plan is not self._folded or len(this.rows) == batch.size == 1:
            return
        if this.gives_one_value():
            changes_one = self._recipe.changes_one_example
            raise CannotFold(whole_batch_one_changed if changes_one else whole_batch)
        if this.drew_random_numbers and len(this.rows) > 1:
            raise CannotFold(one_row)

    def _classes(self, batch: UserBatch, extent: Extent) -> Classes:
        class_index = self._subject.class_index
        if isinstance(class_index, str) and class_index == "all":
            return None
        if isinstance(class_index, str):
            if extent.n_part == 1 and self._runner.is_deterministic:
                return class_index  # the pass itself predicts: no other is needed
            predict = self._recipe.predicted_classes
            return self._runner.clean.predicted_classes(batch, predict)
        return class_of_examples(class_index, batch.index, self._batches.n_example)


class _Contribution(NamedTuple):
    """What the rows of a pass contribute to the saliency of a target.

    Attributes:
        of_rows (numpy.ndarray): ``(n_row,) + shape``.
        dtype (numpy.dtype): In which samples are given.
        target_ndim (int): Number of axes of the target, with that of the batch.
    """

    of_rows: np.ndarray
    dtype: np.dtype
    target_ndim: int


def _as_long_as_batch(of_rows: np.ndarray, longest: int, origin: Any) -> np.ndarray:
    """Return contributions with room for the longest example of the batch.

    A model that pads by itself does so to the longest of the pass.
    """
    axis = of_rows.ndim - (origin.ndim - 1)
    if axis < 1 or not of_rows.shape[axis] == origin.shape[1] < longest:
        return of_rows
    room = [(0, 0)] * of_rows.ndim
    room[axis] = (0, longest - origin.shape[1])
    return np.pad(of_rows, room)


def _as_numpy(value: Any) -> Any:
    """Return what ``postprocess_fn`` gave, perhaps a Variable, as a NumPy array."""
    array = value.array if isinstance(value, chainer.Variable) else value
    if not (
        isinstance(array, chainer.get_array_types()) and array.dtype.kind in "fiub"
    ):
        raise TypeError(
            "postprocess_fn must return an array of numbers, got "
            f"{type(value).__name__}"
        )
    return chainer.cuda.to_cpu(array)


_FLOAT16_ENDS = (
    ". The largest number in float16 is 65504: compute in float32, with a model and "
    "data of that dtype"
)


def _check_result(samples: np.ndarray, batch: UserBatch, first: int) -> None:
    finite = np.isfinite(samples)
    if finite.all():
        return
    sample, example = np.argwhere(~finite)[0][:2]
    raise ValueError(
        f"the saliency of example {batch.start + example} (sample {first + sample}) is "
        "NaN or infinite although the data is finite; the model's output or its "
        "gradient overflows or is undefined there"
        + _FLOAT16_ENDS
        * (samples.dtype == np.float16)
    )
