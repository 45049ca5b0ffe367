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
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.overwritten import Overwritten
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.row_limit import RowLimit
from saliency.calculator.engine.rows import Rows, plain_rows
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.shared_start import SharedStart, sharing
from saliency.calculator.engine.subject import Subject
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
from saliency.cpu import fast_cpu

import chainer

Disturb = Callable[[chainer.Variable, int, ForwardPass], None]
Watch = Callable[[], AbstractContextManager[Any]]


class Runner:
    """Runs the passes of one call, within its ``with`` block.

    Args:
        recipe (Recipe): How the method explains.
        subject (Subject): What is explained.
        settings (ComputeSettings): How samples are computed.
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
        self._door = Door(subject)
        self._extraction = Extraction(subject)
        self._unchanged = Unchanged(subject.model)
        self._blocks = contextlib.ExitStack()
        # Elements of the graph before the first dropout, for each example, and
        # behind, for each row; None where passes do not share their start.
        self._shared_sizes: tuple[float, float] | None = None

    def __enter__(self) -> Runner:
        with contextlib.ExitStack() as stack:
            stack.enter_context(trained_network())
            stack.enter_context(self._unchanged.during_call())
            stack.enter_context(chainer.using_device(self._subject.device))
            stack.enter_context(fast_cpu())
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

    def number_of_calls(self, batch: UserBatch) -> int | None:
        """Return how many calls of the target's link are explained one by one.

        Where targets are only read, all calls are explained in one pass: None.
        """
        extractor = self._subject.target_extractor
        if extractor is None or extractor.call is not None:
            return None
        if not self._recipe.changes_target and self._settings.noise_sampler is None:
            return None
        n_call = self.clean.number_of_targets(batch)
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
        start = SharedStart(rows.example, rows.sample)
        shares = self._shared_sizes is not None and start.saves_rows
        with self._unchanged.during_pass(), self._network_of(rows):
            yield self._run_as_configured(batch, rows, start if shares else None)

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
        one_example = plain_rows(np.zeros(1, int))
        with self._unchanged.during_pass(), self._dropout.learning_batch_axes():
            self._run_as_configured(batch, one_example, disturb=_leave)
        if self._settings.noise_sampler is None and self._recipe.shares_start:
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
            return start.sizes(this.outputs, this.targets)

    def _run_as_configured(
        self,
        batch: UserBatch,
        rows: Rows,
        start: SharedStart | None = None,
        disturb: Disturb | None = None,
    ) -> ForwardPass:
        """Run rows in the mode that samples want."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(chainer.using_config("train", self._settings.train))
            stack.enter_context(
                chainer.using_config("enable_backprop", self._recipe.needs_gradient)
            )
            if self._settings.train:
                stack.enter_context(self._dropout)
            watch = partial(self._recipe.watch_forward, self.run)
            disturb = disturb or self._disturbance.apply
            return self._run(batch, rows, disturb, watch, start)

    def _run_clean(self, batch: UserBatch, rows: Rows) -> ForwardPass:
        """Run rows with the trained model as it is."""
        with (
            self._unchanged.during_pass(),
            chainer.using_config("train", False),
            chainer.no_backprop_mode(),
        ):
            return self._run(batch, rows, _leave, contextlib.nullcontext)

    def _run(
        self,
        batch: UserBatch,
        rows: Rows,
        disturb: Disturb,
        watch: Watch,
        start: SharedStart | None = None,
    ) -> ForwardPass:
        def seed() -> int:
            first = int(batch.index[rows.example[0]])
            return self._streams.global_seed(int(rows.sample[0]), first)

        forward = partial(self._forward, batch, rows, disturb, watch, start)
        this, drew_random_numbers = self._global_random.watch(forward, seed)
        this.drew_random_numbers = drew_random_numbers
        return this

    def _forward(
        self,
        batch: UserBatch,
        rows: Rows,
        disturb: Disturb,
        watch: Watch,
        start: SharedStart | None,
    ) -> ForwardPass:
        this = ForwardPass(
            rows,
            batch.index[rows.example],
            None if batch.lengths is None else batch.lengths[rows.example],
            self.run,
            start=start,
            mean_will_do=self._mean_will_do,
        )

        overwritten = Overwritten()

        def catch(target: Any, call: int) -> None:
            this.check_target(target, self._recipe.needs_gradient)
            disturb(target, call, this)
            this.targets.append(target)
            overwritten.watch([target])

        self._dropout.start_pass(this.sample_and_index())
        examples = rows.example if start is None else start.examples
        inputs = [_as_variable(x) for x in batch.gather(examples)]
        overwritten.watch(inputs if self._subject.target_extractor else inputs[1:])
        with watch(), sharing(start), self._door.opened(batch, inputs):
            this.outputs = self._extraction.forward(inputs, catch)
        overwritten.check()
        return this


def _leave(target: chainer.Variable, call: int, this: ForwardPass) -> None:
    # A copy, since a model may write into the array of its input.
    this.origins.append(target.array.copy())


def _as_variable(x: Any) -> Any:
    if not isinstance(x, chainer.get_array_types()):
        return x
    return chainer.Variable(x, requires_grad=x.dtype.kind == "f")
