"""The work of one call, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Union

import numpy as np

from saliency.calculator.engine.arranged_batches import ArrangedBatches
from saliency.calculator.engine.contributions import (
    Contribution,
    as_long_as_batch,
    check_samples,
    scores_not_finite,
)
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.engine.equal_samples import EqualSamples
from saliency.calculator.engine.explained_output import (
    Explained,
    class_of_examples,
    warn_of_axes,
    warn_of_sum,
)
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.padding import mark_padding
from saliency.calculator.engine.pass_size import FIRST_ROWS_AT_MOST
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.rows import (
    CannotFold,
    Extent,
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
from saliency.calculator.engine.subject import Subject
from saliency.calculator.engine.sums import Sums
from saliency.calculator.engine.values_of_batch import ValuesOfBatch
from saliency.calculator.randomness.drawn_networks import trained_network
from saliency.interrupts import held_back
from saliency.progress import Bar, NoBar, name_of_method, progress_bar

import chainer

# Where what each step contributes is kept, a batch has no more rows than these; and no
# more examples than those until one was explained, since only then it is known how many
# steps there are.
_MOST_KEPT = 1 << 20
_MOST_OF_UNKNOWN_STEPS = 8192

# What is explained of each example of a batch, or 'argmax' to ask the pass.
Classes = Union[Explained, str]


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
    total = settings.M * n_example
    bar = progress_bar(name_of_method(recipe), total, "row", show_progress)
    # In a pass of another call, which has drawn a network, the trained one is meant.
    with trained_network():
        runner = Runner(recipe, subject, settings, batches.n_example, mean_will_do)
    with held_back(), bar, runner.running():
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
        bar (Bar): Counts rows.

    Attributes:
        run (Run): What the call holds.
        gives_tuple (bool): Whether there are several targets, and a result for each.
        arranged (ArrangedBatches): How batches go through the model, and the lengths of
            what was explained.
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
        bar: Bar,
    ) -> None:
        self._recipe = recipe
        self._subject = subject
        self._settings = settings
        self._batches = batches
        self._runner = runner
        self._n_left = n_example
        self._stop = batches.n_example  # of the stretch of the data that is under way
        self._bar = bar
        self.run = recipe.start(batches, runner.clean) if run is None else run
        runner.run = self.run
        self.gives_tuple = subject.gives_tuple and recipe.tells_targets_apart
        self._folded = self.run.plan
        if settings.posterior is not None:
            self._folded = sample_by_sample(self._folded)
        self._plan: PassPlan = self._folded
        self._rows_before: int | None = None  # of an example in the batch before
        self.arranged = ArrangedBatches(
            subject, settings, batches, runner, self.run, recipe.reads_graph
        )
        self._has_compared = False  # samples with each other, in the first batch
        self._looked_at_output = False
        self._values_of_batch = ValuesOfBatch()

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown of the model.

        Then how the next is run, and so its last digits, depends on itself alone.
        """
        self._plan = self._folded
        self._rows_before = None
        self.arranged.learn_anew()
        self._runner.learn_anew()

    def batches(self, start: int, stop: int) -> Iterator[UserBatch]:
        """Give the examples from ``start`` to ``stop`` batch by batch.

        If the user does not say how many a batch has, and each was explained before the
        next is asked for, it has as many as fill a pass.
        """
        self._stop = stop
        while start < stop:
            batch = self._batches.load(start, self._end_of_batch(start))
            yield batch
            start += batch.size

    def _end_of_batch(self, start: int) -> int:
        """Return where the batch ends that begins at ``start``."""
        end = min(start + self._batches.batchsize, self._stop)
        if not self._may_fill_passes(start):
            return end
        is_last = end == self._stop
        if is_last and not self._settings.train:
            return end
        pass_size = self._runner.pass_size
        n_row = (self._stop - start) * self._rows_of_example
        if not pass_size.is_chosen and not (is_last and n_row <= FIRST_ROWS_AT_MOST):
            self._try_rows(start)
        shares = self._shares_start(start)
        if not shares and not (pass_size.is_chosen and self.arranged.is_plain):
            return end
        wanted = min(start + self._examples_wanted(shares), self._stop)
        if shares:
            return self._batches.end_of_alike(start, wanted)
        return max(end, self._batches.end_of_alike(start, max(wanted, end)))

    def _examples_wanted(self, shares_start: bool) -> int:
        """Return how many examples a batch is to have, so that its rows fill passes."""
        n_example = self._runner.pass_size.rows()
        if shares_start:  # the fewer examples, the more of their samples go in one pass
            n_example = self._runner.examples_of_pass(self._rows_of_example)
        elif self._recipe.keeps_steps:  # what all steps contribute is held
            most = _MOST_OF_UNKNOWN_STEPS
            if self._rows_before is not None:
                most = _MOST_KEPT // self._rows_before
            n_example = min(n_example // self._rows_of_example, most)
        return max(n_example, 1)

    @property
    def _rows_of_example(self) -> int:
        """How many rows an example has, as far as the batch before shows it."""
        return self._rows_before or self._settings.M

    def _may_fill_passes(self, start: int) -> bool:
        """Tell whether a batch may have as many examples as fill a pass.

        They keep their size where the user says it, the model takes them whole, or code
        of the user's sees them.
        """
        return (
            self._settings.batchsize is None
            and self._settings.postprocess_fn is None
            and self.run.plan is not whole_batch
            and self._plan is self._folded
            and self._batches.end_of_alike(start, start + 1) > start
        )

    def _try_rows(self, start: int) -> None:
        """Let an example show how many rows a pass is to have, if that is worth it."""
        one = self._batches.load(start, start + 1)
        self.arranged.learn(one)
        if self.arranged.is_plain:
            self._runner.try_rows(one)

    def _shares_start(self, start: int) -> bool:
        """Tell whether samples share a pass, as an example shows, up to dropout."""
        if not self._settings.train:
            return False
        one = self._batches.load(start, start + 1)
        targets = self._subject.targets_of(one.inputs)
        if not all(isinstance(target, int) for target in targets):
            return False
        n_example = min(
            self._runner.examples_of_pass(self._rows_of_example), self._stop - start
        )
        return self._runner.learns_to_share(one, max(n_example, 1))

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
            noise and dropout. With ``class_index='all'`` both are ``(size, n_class)``.
        """
        classes, scores = [], []
        for part in self.arranged.parts(batch):
            for this in self._runner.clean.of(part):
                explained, of_it = self._explained_of_clean(this)
                classes.append(explained)
                scores.append(chainer.cuda.to_cpu(of_it))
        found = [one for one in classes if isinstance(one, np.ndarray)]
        has_classes = len(found) == len(classes)
        return (
            np.concatenate(found) if has_classes else None,
            np.concatenate(scores),
        )

    def _explained_of_clean(self, this: ForwardPass) -> tuple[Explained, Any]:
        """Return what of the output is explained in each row of a clean pass.

        Returns:
            tuple: What is explained, and the scores of that, in float64.
        """
        class_index = self._subject.class_index
        if self._subject.explains_all_classes:
            scores = this.scores_of_all_classes().astype("d")
            return np.broadcast_to(np.arange(scores.shape[1]), scores.shape), scores
        if isinstance(class_index, str):
            classes: Explained = self._recipe.predicted_classes(this)
        else:
            n_example = self._batches.n_example
            classes = class_of_examples(class_index, this.index, n_example)
        return classes, this.scores(classes)

    def lengths_of_examples(
        self, of_batches: Sequence[tuple[np.ndarray | None, ...]]
    ) -> Lengths:
        """Return the true lengths of the examples, if they differ.

        Args:
            of_batches (sequence): ``lengths`` of all batches, as they were loaded.
        """
        return self.arranged.lengths_of_examples(of_batches, self.gives_tuple)

    def try_one_sample(self, batch: UserBatch) -> Iterator[list[np.ndarray]]:
        """Give the first sample of a batch, to see its shape and dtype.

        The progress bar does not count it.
        """
        bar, n_left = self._bar, self._n_left
        self._bar = NoBar()
        try:
            yield from self._explain(batch, 1)
        finally:
            self._bar, self._n_left = bar, n_left

    def _explain(self, batch: UserBatch, n_sample: int) -> Iterator[list[np.ndarray]]:
        compute = partial(self._samples, n_sample=n_sample)
        for samples in self.arranged.samples(batch, compute):
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

    def _samples(self, batch: UserBatch, n_sample: int) -> Iterator[list[np.ndarray]]:
        if not self.arranged.folds:
            self._plan = one_row
        elif not batch.can_gather():
            self._plan = whole_batch
        extent = Extent(
            n_sample,
            self._runner.number_of_calls(batch),
            self._recipe.number_of_steps(self.run, batch, self._runner.clean),
            batch.size,
        )
        if len(extent) > FIRST_ROWS_AT_MOST:
            self._runner.try_rows(batch)
        is_last = batch.start + batch.size >= self._stop
        self._runner.pass_size.begin(batch, len(extent), is_last)
        classes = self._classes(batch, extent)
        self._rows_before = extent.n_sample * extent.n_part
        # The bar tells how much is left if all examples are like these.
        self._bar.total = self._bar.n + self._rows_of_example * self._n_left
        self._n_left -= batch.size
        n_before = self._bar.n
        first = 0  # of the samples that are not complete
        while first < n_sample:
            if first:
                extent = replace(extent, n_sample=n_sample - first, first_sample=first)
            try:
                for completed in self._completed(batch, extent, classes):
                    for samples, _ in completed:
                        check_samples(samples, batch, first)
                    first += len(completed[0][0])
                    yield [
                        self._marked(samples, batch.lengths_at(position), target_ndim)
                        for position, (samples, target_ndim) in enumerate(completed)
                    ]
            except CannotFold as reason:
                self._plan = reason.plan
                done = n_before + first * extent.n_part * batch.size
                self._bar.update(done - self._bar.n)
            except MemoryError:
                raise
            except Exception:
                if not self._runner.pass_size.take_all():
                    raise

    def _marked(
        self, samples: np.ndarray, lengths: np.ndarray | None, target_ndim: int
    ) -> np.ndarray:
        """Return samples with NaN where elements are padding."""
        if self._recipe.is_of_examples:
            return samples
        return mark_padding(samples, lengths, target_ndim)

    def _completed(
        self, batch: UserBatch, extent: Extent, classes: Classes
    ) -> Iterator[list[tuple[np.ndarray, int]]]:
        """Give samples for each target, with the number of its axes."""
        sums: list[Sums] = []
        first = extent.first_sample
        run = partial(self._run_pass, batch, classes)
        can_split = self._plan is self._folded
        rows_of_pass = partial(self._runner.rows_of_pass, batch)
        for planned in self._plan(extent, rows_of_pass):
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
    ) -> tuple[Rows, list[Contribution]]:
        # The pass and its graph end here, before another pass is run.
        with self._runner.one_pass(batch, rows) as this:
            self._check_plan(this, batch)
            explained = self._explained(this, classes)
            # Passes without a graph may look at where the function is undefined.
            is_finite = this.is_finite(explained) or not self.run.needs_graph(rows)
            if is_finite:
                results = self._contributions(this, explained)
        if not is_finite:
            where = self._runner.where_not_finite(batch, rows)
            raise scores_not_finite(batch, this, explained, where)
        if batch.can_gather():
            run = partial(self._runner.first_example, batch)
            self._values_of_batch.refuse(this, run)
        return rows, results

    def _contributions(
        self, this: ForwardPass, explained: Explained
    ) -> list[Contribution]:
        """Return what rows contribute to the saliency of each target."""
        n_result = this.n_target if self._recipe.tells_targets_apart else 1
        return [
            self._contribution(this.at_target(position), explained)
            for position in range(n_result)
        ]

    def _contribution(self, this: ForwardPass, explained: Explained) -> Contribution:
        on_device = self._recipe.contribution(this, explained)
        origin = this.origins[0]
        self.arranged.length_of_target = origin.shape[1] if origin.ndim > 1 else 1
        dtype = origin.dtype
        result = dtype if dtype.kind == "f" else np.dtype(np.float32)
        of_rows: np.ndarray = chainer.cuda.to_cpu(on_device)
        if this.longest is not None and not self._recipe.keeps_steps:
            of_rows = as_long_as_batch(of_rows, this.longest, origin)
        return Contribution(of_rows, result, origin.ndim)

    def _explained(self, this: ForwardPass, classes: Classes) -> Explained:
        """Return what of the output is explained in each row of a pass."""
        if not self._looked_at_output:
            self._looked_at_output = True
            if self._subject.class_index is not None:
                warn_of_axes(this.outputs, self._subject.class_index)
            elif not self._subject.sum_is_asked_for:
                warn_of_sum(this.outputs, len(this.rows))
        if isinstance(classes, np.ndarray):
            of_rows: Explained = classes.take(this.rows.example)
            return of_rows
        if isinstance(classes, str):
            return self._recipe.predicted_classes(this)
        return classes

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
        if self._subject.explains_all_classes:
            return None
        if isinstance(class_index, str):
            if extent.n_part == 1 and self._runner.is_deterministic:
                return class_index  # the pass itself predicts: no other is needed
            predict = self._recipe.predicted_classes
            return self._runner.clean.predicted_classes(batch, predict)
        return class_of_examples(class_index, batch.index, self._batches.n_example)


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
