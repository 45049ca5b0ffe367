"""Rows through the model: the target and the outputs are caught on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Callable, NamedTuple

from saliency.array_types import Array
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.door import Door
from saliency.calculator.engine.extraction import Extraction
from saliency.calculator.engine.forward_pass import Caught, ForwardPass
from saliency.calculator.engine.inputs import InputForms
from saliency.calculator.engine.overwritten import Overwritten
from saliency.calculator.engine.parts import Parts
from saliency.calculator.engine.rows import Rows
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.shared_start import SharedStart, sharing
from saliency.calculator.engine.stacked_calls import StackedCalls
from saliency.calculator.engine.subject import Subject, Target
from saliency.calculator.engine.unchanged import Unchanged
from saliency.calculator.randomness.dropout_posterior import DropoutPosterior
from saliency.calculator.randomness.random_streams import (
    GlobalRandomState,
    RandomStreams,
)
from saliency.settings_of_thread import settings_of_thread

import chainer
import chainer.functions as F

Disturb = Callable[[chainer.Variable, int, ForwardPass], None]


def leave(target: chainer.Variable, call: int, this: ForwardPass) -> None:
    """Keep a target's value, and leave it as it is."""
    # A copy, since a model may write into the array of its input.
    array = this.with_batch_axis(target.array.copy())
    if this.stacked is None:
        this.origins.append(array)
    else:
        this.stacked.receive(call, array)


class Treatment(NamedTuple):
    """What is done to the rows of a pass.

    Attributes:
        disturb (callable): ``disturb(target, call, this)`` keeps a target's value, and
            may change it.
        watch (callable): Returns a block around the forward pass.
        start (SharedStart or None): The rows that share what comes before the first
            dropout.
        stacks (dict): The stacked calls of a target in the trained model, ``(size,
            n_call) + shape``, by its position, where they are going to be changed.
        needs_graph (bool): Whether a gradient is taken.
    """

    disturb: Disturb = leave
    watch: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    start: SharedStart | None = None
    stacks: Mapping[int, Array] = {}
    needs_graph: bool = False


class ModelPasses:
    """Runs rows through the model, in the mode that chainer.config says.

    Args:
        subject (Subject): What is explained.
        parts (Parts): What the models consist of that are run.
        streams (RandomStreams): Where random numbers come from.
        global_random (GlobalRandomState): The generators that a model may draw from.
        unchanged (Unchanged): Puts back what a pass changes in the model.
        needs_gradient (bool): Whether targets must have a gradient.
        mean_will_do (bool): Whether nobody asks for more than the mean of samples.

    Attributes:
        run (Run): What this call holds.
        dropout (DropoutPosterior): Draws the masks of dropout.
        extraction (Extraction): Catches the target and the outputs.
        drew_random_numbers (bool): Whether the model has drawn numbers by itself.
    """

    def __init__(
        self,
        subject: Subject,
        parts: Parts,
        streams: RandomStreams,
        global_random: GlobalRandomState,
        unchanged: Unchanged,
        needs_gradient: bool,
        mean_will_do: bool,
    ) -> None:
        self.run = Run()
        self.dropout = DropoutPosterior(streams)
        self.extraction = Extraction(subject)
        self.drew_random_numbers = False
        self._subject = subject
        self._streams = streams
        self._global_random = global_random
        self._unchanged = unchanged
        self._needs_gradient = needs_gradient
        self._mean_will_do = mean_will_do
        self._door = Door(subject, parts)
        self._input_forms = InputForms(subject)
        self._model_differentiates = False

    def forget_dropout(self) -> None:
        """Forget what dropout functions have been seen to be applied to."""
        self.dropout = DropoutPosterior(self._streams)

    def of(self, batch: UserBatch, rows: Rows, treatment: Treatment) -> ForwardPass:
        """Run rows with a graph if a gradient is taken, by the method or by the model.

        A model that differentiates within its forward (forces, penalties) fails
        without a graph; then it is given one.
        """
        run = partial(self._run, batch, rows, treatment)
        error: Exception | None = None
        if not (treatment.needs_graph or self._model_differentiates):
            try:
                with settings_of_thread(enable_backprop=False):
                    return run()
            except MemoryError:
                raise
            except Exception as reason:
                error = reason
        with settings_of_thread(enable_backprop=True):
            try:
                this = run()
            except Exception:
                if error is None:
                    raise
                # It has another cause, which the first one tells better.
                raise error from error.__cause__
        self._model_differentiates = self._model_differentiates or error is not None
        return this

    def _run(self, batch: UserBatch, rows: Rows, treatment: Treatment) -> ForwardPass:
        def seed() -> int:
            first = int(batch.index[rows.example[0]])
            return self._streams.global_seed(int(rows.sample[0]), first)

        start = treatment.start
        examples = rows.example if start is None else start.examples

        def forward() -> ForwardPass:
            # The arrays of each try are its own, since the model may write into them.
            return self._input_forms.run(
                lambda: batch.gather(examples),
                lambda inputs: self._forward(batch, rows, treatment, inputs),
            )

        this, drew_random_numbers = self._global_random.watch(forward, seed)
        this.drew_random_numbers = drew_random_numbers
        self.drew_random_numbers |= drew_random_numbers
        return this

    def _forward(
        self, batch: UserBatch, rows: Rows, treatment: Treatment, inputs: list[Any]
    ) -> ForwardPass:
        start = treatment.start
        targets = self._subject.targets_of(inputs)
        this = ForwardPass(
            rows,
            batch.index.take(rows.example),
            self.run,
            [
                self._caught(batch, rows, treatment, *target)
                for target in enumerate(targets)
            ],
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
            at.check_target(target, self._needs_gradient)
            treatment.disturb(target, call, at)
            at.targets.append(target)
            overwritten.watch([target])

        if chainer.config.train:
            packed = this.lengths if self.run.target_layout.pads else None
            self.dropout.start_pass(this.sample_and_index(), packed)
        self._unchanged.begin_forward(this.index)
        if start is not None:
            start.begin()
        with treatment.watch(), sharing(start), self._door.opened(batch, inputs):
            this.outputs = self.extraction.forward(inputs, catch)
            if self.run.is_whole_output:
                this.outputs = [F.expand_dims(y, 0) for y in this.outputs]
        overwritten.check()
        for one in this.caught:
            if one.stacked is not None:
                one.stacked.check_complete()
                one.origins = one.origins or [one.stacked.values]
        return this

    def _caught(
        self,
        batch: UserBatch,
        rows: Rows,
        treatment: Treatment,
        position: int,
        target: Target,
    ) -> Caught:
        """Return what is caught of a target, empty as yet."""
        stacked = None
        if not isinstance(target, int) and target.calls == "stack":
            stack, start = treatment.stacks.get(position), treatment.start
            examples = rows.example if start is None else start.examples
            stacked = StackedCalls(None if stack is None else stack[examples])
        lengths = batch.lengths_at(position)
        if lengths is None:
            return Caught(None, stacked=stacked)
        return Caught(lengths[rows.example], int(lengths.max()), stacked)
