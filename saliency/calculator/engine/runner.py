"""Runs a model on rows, with its hooks, noise and dropout in place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

from saliency.array_types import Array
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.disturbance import Disturbance
from saliency.calculator.engine.finite import WatchedLinks, leaves, suspects
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.learned_dropout import LearnedDropout
from saliency.calculator.engine.model_passes import (
    Disturb,
    ModelPasses,
    Treatment,
    leave,
)
from saliency.calculator.engine.pass_size import ROWS_OF_TRIAL, PassSize
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.row_limit import RowLimit
from saliency.calculator.engine.rows import Rows, plain_rows
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.shared_start import SharedStart
from saliency.calculator.engine.subject import Subject
from saliency.calculator.engine.trials import Trial
from saliency.calculator.engine.unchanged import Unchanged
from saliency.calculator.randomness.drawn_networks import (
    DrawnNetworks,
    trained_network,
)
from saliency.calculator.randomness.random_streams import (
    GlobalRandomState,
    RandomStreams,
)
from saliency.checks import is_finite
from saliency.cpu import fast_cpu, fused_with_graph
from saliency.gpu import fast_gpu
from saliency.light_apply import light_apply
from saliency.settings_of_thread import settings_of_thread

import chainer


class _AllSeen(BaseException):
    """Ends a pass of which nothing else is looked at. No model handles it."""


@contextlib.contextmanager
def _fast_code(device: Any) -> Iterator[None]:
    """Return a block in which Chainer's functions run on the code of this package."""
    with light_apply(), fast_cpu(), fused_with_graph():
        if device.xp is np:
            yield
            return
        with chainer.using_device(device), fast_gpu():
            yield


class Runner:
    """Runs the passes of one call, within the block :meth:`running`.

    Args:
        recipe (Recipe): How the method explains.
        subject (Subject): What is explained.
        settings (ComputeSettings): How samples are computed.
        n_example (int): Number of examples in the data.
        mean_will_do (bool): Whether nobody asks for more than the mean of samples.

    Attributes:
        row_limit (RowLimit): How many rows of a pass fit into memory.
        pass_size (PassSize): How many rows a pass is to have.
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
        self.row_limit = RowLimit()
        self.clean = CleanPasses(subject, self._run_clean, self.row_limit)
        self._recipe = recipe
        self._subject = subject
        self._settings = settings
        self._streams = RandomStreams(settings.seed)
        self._global_random = GlobalRandomState(subject.device)
        self._networks = (
            None
            if settings.posterior is None
            else DrawnNetworks(settings.posterior, subject.model, self._streams)
        )
        self._disturbance = Disturbance(recipe, settings.noise_sampler, self._streams)
        self._parts = parts = subject.parts
        is_on_cpu = subject.device.xp is np
        self.pass_size = PassSize(
            settings.batchsize, parts, is_on_cpu, recipe.holds_all_arrays
        )
        self._unchanged = Unchanged(parts, n_example)
        self._passes = ModelPasses(
            subject,
            parts,
            self._streams,
            self._global_random,
            self._unchanged,
            recipe.needs_gradient,
            mean_will_do,
        )
        self._suspects = suspects(parts, self._unchanged.attributes)
        self._learned = LearnedDropout(
            self._passes, self._run_left, self._may_share, mean_will_do
        )

    @property
    def run(self) -> Run:
        """What this call holds."""
        return self._passes.run

    @run.setter
    def run(self, run: Run) -> None:
        run.streams = self._streams
        self._passes.run = run

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Return the block in which passes are run."""
        unchanged = self._unchanged.during_call()
        extractors = self._passes.extraction.registered()
        # What @static_graph replays is not in the graph, and draws no new masks.
        as_it_is = settings_of_thread(use_static_graph=False)
        fast = _fast_code(self._subject.device)
        with trained_network(), unchanged, fast, as_it_is, extractors:
            yield

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
        return (
            has_noise
            or self._passes.dropout.has_drawn
            or self._passes.drew_random_numbers
        )

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

    def rows_of_pass(self, batch: UserBatch) -> int:
        """Return how many rows of a batch the next pass may have.

        Where samples share their start, it is as many as take the memory of those that
        do not.
        """
        if self._settings.train:
            self._learned.learn(batch)
        return self._learned.rows_of_pass(batch.size, self.pass_size.rows())

    def examples_of_pass(self, rows_of_example: int) -> int:
        """Return of how many examples all rows may go in one pass.

        Args:
            rows_of_example (int): How many rows each example has.
        """
        return self._learned.examples_of_pass(self.pass_size.rows(), rows_of_example)

    def try_rows(self, batch: UserBatch) -> None:
        """Let a trial show how many rows a pass is to have, if it is worth one.

        Args:
            batch (UserBatch): Its first example is tried.
        """
        size = self.pass_size
        if not (batch.can_gather() and size.is_worth_a_trial(batch)):
            return
        how = type(self._recipe), self._settings.train
        trial = Trial(self._parts, self._subject.eval_fun, how, batch)
        size.choice = trial.shown()
        if size.is_chosen:
            return
        try:
            if self._settings.train:
                self._learned.learn(batch)
            with size.counting(ROWS_OF_TRIAL):
                this = self.first_example(batch, ROWS_OF_TRIAL)
            are_independent = not (this.gives_one_value() or this.drew_random_numbers)
        except Exception:
            # If it is not the number of rows that the model does not take, the error
            # comes again in the pass that follows.
            are_independent = False
        if are_independent and size.choice is not None:
            trial.remember(size.choice)
        else:
            size.forget()

    def learns_to_share(self, batch: UserBatch, n_example: int) -> bool:
        """Tell whether samples share their start, as a batch of the data shows.

        Args:
            batch (UserBatch): The batch.
            n_example (int): How many examples a pass is going to be of.
        """
        if self._settings.train:
            self._learned.learn(batch)
        return self._learned.shares_start(n_example)

    def shapes_of_dropouts(self, batch: UserBatch) -> list[tuple[int, ...]]:
        """Return the shape of what each dropout function is applied to, in order.

        That is in a pass of the first example of a batch; from then on it is known
        which of them see the batch on axis 0.
        """
        return self._learned.shapes(batch)

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown of the model."""
        self._learned.forget()
        self.pass_size.forget()

    def borrowed_random(self, batch: UserBatch) -> AbstractContextManager[Any]:
        """Return a block for code of the user's, which may draw random numbers."""
        return self._global_random.borrowed(self._streams.global_seed(0, batch.start))

    @contextlib.contextmanager
    def one_pass(self, batch: UserBatch, rows: Rows) -> Iterator[ForwardPass]:
        """Return a block with a pass of rows, as the samples want it.

        The model is the network of the rows' sample, also on the way back; after the
        block it is as it was.
        """
        if self._settings.train:
            self._learned.learn(batch)
        if self._subject.stacks_calls and self._disturbance.changes():
            self.clean.of(batch)  # before another network takes the model's place
        start = self._learned.start_of(rows)
        with self._unchanged.during_pass(), self._network_of(rows):
            if self._suspects:
                self._check_suspects(batch, rows)
            with self.pass_size.counting(self._learned.rows_alone(rows, start)):
                this = self._run_as_configured(batch, rows, start)
            this.again = partial(self._run_as_configured, batch, rows)
            yield this

    def where_not_finite(self, batch: UserBatch, rows: Rows) -> str:
        """Return the link of a pass that first gave NaN or infinity, for a message."""
        watched = WatchedLinks()
        with self._unchanged.during_pass(), self._network_of(rows), watched:
            self._run_as_configured(batch, rows)
        return watched.described(self._subject.links)

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
        return self._run_left(batch, plain_rows(np.zeros(n_row, int)))

    def look_at_targets(self, one: UserBatch) -> None:
        """Run an example in evaluation mode until all of its targets have been caught.

        It ends there unless the user has hooks, which would see the beginning alone.

        Args:
            one (UserBatch): The example.

        Raises:
            NoBatchAxis: If axis 0 of a target is not the batch axis.
        """
        rows = plain_rows(np.zeros(1, int))
        if self._passes.extraction.has_other_hooks(self._parts.links):
            self._run_clean(one, rows, needs_graph=False)
            return
        unseen = set(range(len(self._subject.targets_of(one.inputs))))

        def note(target: chainer.Variable, call: int, this: ForwardPass) -> None:
            unseen.discard(this.position)
            if not unseen:
                raise _AllSeen

        with contextlib.suppress(_AllSeen):
            self._run_clean(one, rows, needs_graph=False, disturb=note)

    def _run_left(
        self, batch: UserBatch, rows: Rows, start: SharedStart | None = None
    ) -> ForwardPass:
        """Run rows in the mode that samples want, with the target left as it is."""
        with self._unchanged.during_pass():
            return self._run_as_configured(batch, rows, start, is_left=True)

    def _may_share(self) -> bool:
        """Tell whether the rows of a pass may share what comes before dropout."""
        return (
            self._recipe.shares_start
            and self._settings.noise_sampler is None
            and not self._unchanged.has_state
            and not self.run.is_whole_target
        )

    def _network_of(self, rows: Rows) -> AbstractContextManager[None]:
        if self._networks is None:
            return contextlib.nullcontext()
        return self._networks.of_sample(int(rows.sample[0]))

    def _run_as_configured(
        self,
        batch: UserBatch,
        rows: Rows,
        start: SharedStart | None = None,
        *,
        is_left: bool = False,
        keeps_graph: bool = False,
    ) -> ForwardPass:
        """Run rows in the mode that samples want.

        Args:
            batch (UserBatch): The examples.
            rows (Rows): The rows.
            start (SharedStart or None): The rows that share their start.
            is_left (bool): Whether the target is left as it is.
            keeps_graph (bool): Whether there is a graph in any case.
        """
        needs_graph = self._recipe.needs_gradient and self.run.needs_graph(rows)
        treatment = Treatment(
            leave if is_left else self._disturbance.apply,
            partial(self._recipe.watch_forward, self.run),
            start,
            {} if is_left else self._stacks(batch),
            needs_graph or keeps_graph,
        )
        is_training = self._settings.train
        dropout = self._passes.dropout if is_training else contextlib.nullcontext()
        with settings_of_thread(train=is_training), dropout:
            return self._passes.of(batch, rows, treatment)

    def _stacks(self, batch: UserBatch) -> dict[int, Array]:
        """Return the stacked calls of each target that are going to be changed."""
        if not (self._subject.stacks_calls and self._disturbance.changes()):
            return {}
        return {
            position: self.clean.stack_of_calls(batch, position)
            for position, target in enumerate(self._subject.targets_of(batch.inputs))
            if not isinstance(target, int) and target.calls == "stack"
        }

    def _run_clean(
        self,
        batch: UserBatch,
        rows: Rows,
        needs_graph: bool,
        disturb: Disturb = leave,
    ) -> ForwardPass:
        """Run rows with the trained model as it is."""
        treatment = Treatment(disturb, needs_graph=needs_graph)
        with self._unchanged.during_pass(), settings_of_thread(train=False):
            return self._passes.of(batch, rows, treatment)
