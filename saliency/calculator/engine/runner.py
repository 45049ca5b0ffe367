"""Runs a model on rows, with its hooks, noise and dropout in place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Callable

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.disturbance import Disturbance
from saliency.calculator.engine.door import Door
from saliency.calculator.engine.extraction import Extraction
from saliency.calculator.engine.finite import WatchedLinks, leaves, suspects
from saliency.calculator.engine.forward_pass import Caught, ForwardPass
from saliency.calculator.engine.inputs import InputForms
from saliency.calculator.engine.overwritten import Overwritten
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.row_limit import RowLimit
from saliency.calculator.engine.rows import Rows, plain_rows
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.shared_start import SharedStart, sharing
from saliency.calculator.engine.stacked_calls import StackedCalls
from saliency.calculator.engine.subject import Subject, Target
from saliency.calculator.engine.unchanged import Unchanged
from saliency.calculator.randomness.drawn_networks import (
    DrawnNetworks,
    trained_network,
)
from saliency.calculator.randomness.dropout_posterior import DropoutPosterior
from saliency.calculator.randomness.random_streams import (
    GlobalRandomState,
    RandomStreams,
)
from saliency.checks import is_finite
from saliency.cpu import fast_cpu

import chainer
import chainer.functions as F

Disturb = Callable[[chainer.Variable, int, ForwardPass], None]
Watch = Callable[[], AbstractContextManager[Any]]


class Runner:
    """Runs the passes of one call, within its ``with`` block.

    Args:
        recipe (Recipe): How the method explains.
        subject (Subject): What is explained.
        settings (ComputeSettings): How samples are computed.
        n_example (int): Number of examples in the data.
        mean_will_do (bool): Whether nobody asks for more than the mean of samples.

    Attributes:
        run (Run): What this call holds.
        row_limit (RowLimit): How many rows of a pass fit into memory.
        clean (CleanPasses): Passes over the data as it is.
    """

    def __init__(
        self,
        recipe: Recipe,
        subject: Subject,
        settings: ComputeSettings,
        n_example: int,
        mean_will_do: bool,
    ) -> None:
        self.run = Run()
        self.row_limit = RowLimit()
        self.clean = CleanPasses(subject, self._run_clean, self.row_limit)
        self._recipe = recipe
        self._subject = subject
        self._settings = settings
        self._mean_will_do = mean_will_do
        self._streams = RandomStreams(settings.seed)
        self._global_random = GlobalRandomState(subject.device)
        self._dropout = DropoutPosterior(self._streams)
        self._networks = (
            None
            if settings.posterior is None
            else DrawnNetworks(settings.posterior, subject.model, self._streams)
        )
        self._disturbance = Disturbance(recipe, settings.noise_sampler, self._streams)
        self._links = subject.links
        self._door = Door(subject, self._links)
        self._extraction = Extraction(subject)
        self._input_forms = InputForms(subject)
        self._unchanged = Unchanged(self._links, n_example)
        self._suspects = suspects(self._links)
        self._blocks = contextlib.ExitStack()
        self._model_differentiates = False
        # Elements of the graph before the first dropout, for each example, and
        # behind, for each row; None where passes do not share their start.
        self._shared_sizes: tuple[float, float] | None = None
        self._drew_random_numbers = False

    def __enter__(self) -> Runner:
        with contextlib.ExitStack() as stack:
            stack.enter_context(trained_network())
            stack.enter_context(self._unchanged.during_call())
            stack.enter_context(chainer.using_device(self._subject.device))
            stack.enter_context(fast_cpu())
            # What @static_graph replays is not in the graph, and draws no new masks.
            stack.enter_context(chainer.using_config("use_static_graph", False))
            stack.enter_context(self._extraction.registered())
            self._blocks = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._blocks.close()

    @property
    def is_deterministic(self) -> bool:
        """Whether a pass is what the trained model does with the data as it is."""
        settings = self._settings
        is_disturbed = settings.train or settings.noise_sampler is not None
        return not is_disturbed and self._networks is None

    @property
    def draws_samples(self) -> bool:
        """Whether random numbers have been drawn for samples, as far as is known.

        What a posterior draws may be the same each time, and generators of the model's
        own are not seen.
        """
        has_noise = self._settings.noise_sampler is not None
        return has_noise or self._dropout.has_drawn or self._drew_random_numbers

    def number_of_calls(self, batch: UserBatch) -> int | None:
        """Return how many calls of the target's link are explained one by one.

        Where targets are only read, all calls are explained in one pass: None.

        Raises:
            ValueError: If there are several targets, which change together, and a
                link is called several times.
        """
        if not self._recipe.tells_calls_apart:
            return None
        if not self._recipe.changes_target and self._settings.noise_sampler is None:
            return None
        targets = self._subject.targets_of(batch.inputs)
        n_call = 1
        for position, target in enumerate(targets):
            if isinstance(target, int) or target.call is not None:
                continue
            if target.calls == "stack":
                continue
            n_call = self.clean.number_of_calls(batch, position)
            if n_call > 1 and len(targets) > 1:
                raise ValueError(
                    f"the link {target.describe_link()} of target {position} is called "
                    f"{n_call} times, and targets that change together need to be one "
                    "variable each; ask for one call in its extractor, call=0, 1, ..., "
                    "or pass an extractor for each"
                )
        return n_call if n_call > 1 else None

    def rows_of_pass(self, batch: UserBatch, batchsize: int) -> int:
        """Return how many rows of a batch a pass may have.

        Where samples share their start, it is as many as take the memory of
        ``batchsize`` rows that do not.
        """
        self._learn_dropout(batch)
        if self._shared_sizes is None:
            return batchsize
        before, behind = self._shared_sizes
        room = batchsize * (before + behind) - batch.size * before
        return max(batchsize, int(room / behind))

    def shapes_of_dropouts(self, batch: UserBatch) -> list[tuple[int, ...]]:
        """Return the shape of what each dropout function is applied to, in order.

        That is in a pass of the first example of a batch; from then on it is known
        which of them see the batch on axis 0.
        """
        one_example = plain_rows(np.zeros(1, int))
        learning = self._dropout.learning_batch_axes()
        with self._unchanged.during_pass(), learning as shapes:
            self._run_as_configured(batch, one_example, disturb=_leave)
        return shapes

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown of the model."""
        self._dropout = DropoutPosterior(self._streams)
        self._shared_sizes = None

    def borrowed_random(self, batch: UserBatch) -> AbstractContextManager[Any]:
        """Return a block for code of the user's, which may draw random numbers."""
        return self._global_random.borrowed(self._streams.global_seed(0, batch.start))

    @contextlib.contextmanager
    def one_pass(self, batch: UserBatch, rows: Rows) -> Iterator[ForwardPass]:
        """Return a block with a pass of rows, as the samples want it.

        The model is the network of the rows' sample, also on the way back; after the
        block it is as it was.
        """
        self._learn_dropout(batch)
        if self._subject.stacks_calls and self._disturbance.changes():
            self.clean.of(batch)  # before another network takes the model's place
        start = SharedStart(rows.example, rows.sample)
        shares = self._shared_sizes is not None and start.saves_rows
        with self._unchanged.during_pass(), self._network_of(rows):
            if self._suspects:
                self._check_suspects(batch, rows)
            yield self._run_as_configured(batch, rows, start if shares else None)

    def where_not_finite(self, batch: UserBatch, rows: Rows) -> str:
        """Return the link of a pass that first gave NaN or infinity, for a message."""
        watched = WatchedLinks()
        with self._unchanged.during_pass(), self._network_of(rows), watched:
            self._run_as_configured(batch, rows)
        return watched.described(self._links)

    def _check_suspects(self, batch: UserBatch, rows: Rows) -> None:
        """Raise a ValueError if what is not finite in the model is used."""
        watched = WatchedLinks()
        with watched:
            this = self._run_as_configured(batch, rows, keeps_graph=True)
        used = watched.called | leaves(this.outputs)
        for suspect in self._suspects:
            if suspect.is_one_of(used) and not is_finite(suspect.get()):
                raise suspect.error()
        self._suspects = []

    def first_example(self, batch: UserBatch, n_row: int) -> ForwardPass:
        """Return a pass of a batch's first example, several times, as samples run."""
        rows = plain_rows(np.zeros(n_row, int))
        with self._unchanged.during_pass():
            return self._run_as_configured(batch, rows, disturb=_leave)

    def _network_of(self, rows: Rows) -> AbstractContextManager[None]:
        if self._networks is None:
            return contextlib.nullcontext()
        return self._networks.of_sample(int(rows.sample[0]))

    def _learn_dropout(self, batch: UserBatch) -> None:
        """Learn from the first example what the dropout functions see."""
        is_known = self._dropout.knows_batch_axes or not batch.can_gather()
        if not self._settings.train or is_known:
            return
        self.shapes_of_dropouts(batch)
        may_share = self._recipe.shares_start and not self._unchanged.has_state
        may_share = may_share and not self.run.is_whole_target
        if self._settings.noise_sampler is None and may_share:
            self._shared_sizes = self._try_shared_start(batch)

    def _try_shared_start(self, batch: UserBatch) -> tuple[float, float] | None:
        """Return the sizes if the model can share the start of a pass, else None.

        Two examples with two samples each show whether it mixes rows from before the
        first dropout with those behind it: their numbers do not fit.
        """
        example = np.zeros(4, int)
        start = SharedStart(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
        start.examples[...] = 0
        with self._unchanged.during_pass():
            try:
                this = self._run_as_configured(
                    batch, plain_rows(example), start, disturb=_leave
                )
            except Exception:
                # Whatever a model says of numbers that do not fit. An error that has
                # another cause comes again in the pass that follows.
                return None
            fits = all(y.ndim > 0 and len(y) == len(example) for y in this.outputs)
            if not fits or this.drew_random_numbers:
                return None
            return start.sizes(this.outputs, this.all_targets)

    def _run_as_configured(
        self,
        batch: UserBatch,
        rows: Rows,
        start: SharedStart | None = None,
        disturb: Disturb | None = None,
        keeps_graph: bool = False,
    ) -> ForwardPass:
        """Run rows in the mode that samples want."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(chainer.using_config("train", self._settings.train))
            if self._settings.train:
                stack.enter_context(self._dropout)
            watch = partial(self._recipe.watch_forward, self.run)
            disturb = disturb or self._disturbance.apply
            run = partial(self._run, batch, rows, disturb, watch, start)
            needs_graph = self._recipe.needs_gradient and self.run.needs_graph(rows)
            return self._with_graph(run, needs_graph or keeps_graph)

    def _run_clean(self, batch: UserBatch, rows: Rows) -> ForwardPass:
        """Run rows with the trained model as it is."""
        run = partial(self._run, batch, rows, _leave, contextlib.nullcontext, None)
        with self._unchanged.during_pass(), chainer.using_config("train", False):
            return self._with_graph(run, False)

    def _with_graph(
        self, run: Callable[[], ForwardPass], needs_gradient: bool
    ) -> ForwardPass:
        """Run with a graph if a gradient is taken, by the method or by the model.

        A model that differentiates within its forward (forces, penalties) fails
        without a graph; then it is given one.
        """
        error: Exception | None = None
        if not (needs_gradient or self._model_differentiates):
            try:
                with chainer.no_backprop_mode():
                    return run()
            except MemoryError:
                raise
            except Exception as reason:
                error = reason
        with chainer.force_backprop_mode():
            try:
                this = run()
            except Exception:
                if error is None:
                    raise
                # It has another cause, which the first one tells better.
                raise error from error.__cause__
        self._model_differentiates = self._model_differentiates or error is not None
        return this

    def _run(
        self,
        batch: UserBatch,
        rows: Rows,
        disturb: Disturb,
        watch: Watch,
        start: SharedStart | None,
    ) -> ForwardPass:
        def seed() -> int:
            first = int(batch.index[rows.example[0]])
            return self._streams.global_seed(int(rows.sample[0]), first)

        forward = partial(self._forward, batch, rows, disturb, watch, start)
        this, drew_random_numbers = self._global_random.watch(forward, seed)
        this.drew_random_numbers = drew_random_numbers
        self._drew_random_numbers |= drew_random_numbers
        return this

    def _forward(
        self,
        batch: UserBatch,
        rows: Rows,
        disturb: Disturb,
        watch: Watch,
        start: SharedStart | None,
    ) -> ForwardPass:
        examples = rows.example if start is None else start.examples

        changes = disturb == self._disturbance.apply and self._disturbance.changes()

        def caught_at(position: int, target: Target) -> Caught:
            stacked = None
            if not isinstance(target, int) and target.calls == "stack":
                expected = None
                if changes:
                    expected = self.clean.stack_of_calls(batch, position)[examples]
                stacked = StackedCalls(expected)
            lengths = batch.lengths_at(position)
            if lengths is None:
                return Caught(None, stacked=stacked)
            longest = int(lengths.max())
            return Caught(lengths[rows.example], longest, stacked)

        def forward(inputs: list[Any]) -> ForwardPass:
            targets = self._subject.targets_of(inputs)
            this = ForwardPass(
                rows,
                batch.index[rows.example],
                self.run,
                [caught_at(*target) for target in enumerate(targets)],
                start=start,
                mean_will_do=self._mean_will_do,
            )
            # An input that is a target is going to be changed.
            overwritten = Overwritten()
            overwritten.watch(x for i, x in enumerate(inputs) if i not in targets)

            def catch(position: int, target: Any, call: int) -> None:
                at = this.at_target(position)
                # Of what was run before in the same pass, if its calls start over.
                del at.targets[call:], at.origins[call:]
                at.check_target(target, self._recipe.needs_gradient)
                disturb(target, call, at)
                at.targets.append(target)
                overwritten.watch([target])

            packed = this.lengths if self.run.target_layout.pads else None
            self._dropout.start_pass(this.sample_and_index(), packed)
            self._unchanged.begin_forward(this.index)
            if start is not None:
                start.begin()
            with watch(), sharing(start), self._door.opened(batch, inputs):
                this.outputs = self._extraction.forward(inputs, catch)
                if self.run.is_whole_output:
                    this.outputs = [F.expand_dims(y, 0) for y in this.outputs]
            overwritten.check()
            for one in this.caught:
                if one.stacked is not None:
                    one.stacked.check_complete()
                    one.origins = one.origins or [one.stacked.values]
            return this

        # The arrays of each try are its own, since the model may write into them.
        return self._input_forms.run(lambda: batch.gather(examples), forward)


def _leave(target: chainer.Variable, call: int, this: ForwardPass) -> None:
    # A copy, since a model may write into the array of its input.
    array = this.with_batch_axis(target.array.copy())
    if this.stacked is None:
        this.origins.append(array)
    else:
        this.stacked.receive(call, array)
