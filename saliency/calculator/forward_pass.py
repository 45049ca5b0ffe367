"""One forward pass: the model's inputs go in, its target and output are caught."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.dataset import UserBatch
from saliency.calculator.dropout_posterior import DropoutPosterior
from saliency.calculator.explained_output import (
    chosen_scores,
    is_one_value,
    number_of_classes,
    predicted_classes,
    weights_of_classes,
)
from saliency.calculator.random_streams import (
    NOISE,
    GlobalRandomState,
    RandomStreams,
    RowStreams,
)
from saliency.calculator.sampling import Rows

import chainer

if TYPE_CHECKING:
    from saliency.calculator.base_calculator import BaseCalculator


@dataclass
class ForwardPass:
    """One forward pass and what was caught in it.

    Attributes:
        rows (Rows): The rows that went through.
        index (numpy.ndarray): Index in the data of each row's example.
        targets (list of chainer.Variable): Where saliency is read: one variable, or
            one for each call of the target extractor's link.
        origins (list of array): Value of each target with its noise, before the
            calculator changed it.
        outputs (list of chainer.Variable): What is explained; their scores add up.
        drew_random_numbers (bool): Whether the model used the global random state.
    """

    rows: Rows
    index: np.ndarray
    targets: list[Any] = field(default_factory=list)
    origins: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    drew_random_numbers: bool = False

    def sample_and_index(self) -> list[tuple[int, int]]:
        """Return for each row its sample and the index of its example."""
        return list(zip(self.rows.sample.tolist(), self.index.tolist()))

    def gives_one_value(self) -> bool:
        """Tell whether the output is one value for the whole batch."""
        return any(is_one_value(y.array, len(self.rows)) for y in self.outputs)

    def predicted_classes(self) -> np.ndarray:
        """Return the class of the largest score of each row."""
        if len(self.outputs) != 1 or self.gives_one_value():
            raise ValueError(
                "class_index='argmax' needs one output with a row for each example"
            )
        return predicted_classes(self.outputs[0].array)

    def scores(self, classes: np.ndarray | None) -> Any:
        """Return the explained score of each row, ``(n_row,)``, in float64.

        A value that stands for the whole batch is the score of all its rows.
        """
        xp = chainer.backend.get_array_module(self.outputs[0].array)
        total = sum(chosen_scores(y.array, classes) for y in self.outputs)
        return xp.broadcast_to(total, (len(self.rows),))

    def scores_of_all_classes(self) -> Any:
        """Return the scores of each row, ``(n_row, n_class)``, in float64.

        Raises:
            ValueError: If the output has no row for each example.
        """
        if self.gives_one_value():
            raise ValueError(
                "class_index='all' needs an output with a row for each example, got "
                "one value for the batch"
            )
        n_row = len(self.rows)
        return sum(
            y.array.reshape(n_row, number_of_classes(y.array, n_row), -1).sum(
                axis=2, dtype="d"
            )
            for y in self.outputs
        )

    def gradients(self, classes: np.ndarray | None) -> list[Any]:
        """Return the gradient of the summed scores at each target.

        Only what lies on the way from the outputs to the targets is computed.

        Raises:
            ValueError: If no output depends on any target.
        """
        weights = [
            chainer.Variable(weights_of_classes(y.array, classes), requires_grad=False)
            for y in self.outputs
        ]
        grads = chainer.grad(self.outputs, self.targets, grad_outputs=weights)
        if all(g is None for g in grads):
            raise ValueError(
                "the target has no influence on the output: no gradient reaches it. "
                "Is it used by the model (or the eval_fun), and is the way between "
                "them free of .array, argmax and no_backprop_mode?"
            )
        # A call of the target's link may well be one that the output does not use.
        return [
            t.xp.zeros_like(t.array) if g is None else g.array
            for t, g in zip(self.targets, grads)
        ]


class ForwardRunner:
    """Runs the passes of one ``compute`` call; hooks are active within its block.

    Args:
        calculator (BaseCalculator): What is explained, and how targets are changed.
        train (bool): Whether parameters are drawn from the dropout posterior.
        noise_sampler: Has ``sample(array, rng)`` or ``sample(array)``; or None.
        streams (RandomStreams): Where all random numbers come from.
    """

    def __init__(
        self,
        calculator: BaseCalculator,
        train: bool,
        noise_sampler: Any,
        streams: RandomStreams,
    ) -> None:
        self._calculator = calculator
        self._target_extractor = calculator.target_extractor
        self._output_extractor = calculator.output_extractor
        self._train = train
        self._noise_sampler = noise_sampler
        self._noise_takes_rng = (
            noise_sampler is not None
            and "rng" in inspect.signature(noise_sampler.sample).parameters
        )
        self._streams = streams
        self._global_random = GlobalRandomState(calculator.device)
        self._posterior = DropoutPosterior(streams)
        self._cleanup = contextlib.ExitStack()

    @property
    def is_deterministic(self) -> bool:
        """Whether a pass is what the trained model does with the data as it is."""
        return not self._train and self._noise_sampler is None

    def __enter__(self) -> ForwardRunner:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._global_random)
            stack.enter_context(chainer.using_device(self._calculator.device))
            for role, extractor in (
                ("target", self._target_extractor),
                ("output", self._output_extractor),
            ):
                if extractor is not None:
                    _register(extractor, f"saliency/{role}", stack)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def run(self, batch: UserBatch, rows: Rows) -> ForwardPass:
        """Run rows with noise and dropout, changed as the calculator wants them."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(chainer.using_config("train", self._train))
            stack.enter_context(
                chainer.using_config("enable_backprop", self._calculator.needs_gradient)
            )
            if self._train:
                stack.enter_context(self._posterior)
            return self._run(batch, rows, self._disturb)

    def run_clean(self, batch: UserBatch) -> ForwardPass:
        """Run a batch as it is, in evaluation mode and without a graph."""
        zeros, examples = np.zeros(batch.size, int), np.arange(batch.size)
        rows = Rows(zeros, zeros, examples, examples)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return self._run(batch, rows, _leave)

    def target_shape(self, batch: UserBatch) -> tuple[int, ...]:
        """Return the shape of a batch's target, ``(size,) + shape``."""
        if self._target_extractor is None:
            return batch.inputs[0].shape
        return self.run_clean(batch).targets[0].shape

    def _run(
        self, batch: UserBatch, rows: Rows, disturb: Callable[[Any, ForwardPass], None]
    ) -> ForwardPass:
        this = ForwardPass(rows, batch.index[rows.example])
        self._posterior.start_pass(this.sample_and_index())
        self._global_random.seed(
            self._streams.global_seed(int(rows.sample[0]), int(this.index[0]))
        )
        inputs = [_as_variable(x) for x in batch.gather(rows.example)]

        def catch(target: Any) -> None:
            self._check_target(target, len(rows))
            disturb(target, this)
            this.targets.append(target)

        if self._target_extractor is None:
            catch(inputs[0])
            result = self._calculator.eval_fun(*inputs)
        else:
            with _catching(self._target_extractor, catch):
                result = self._calculator.eval_fun(*inputs)
            _asked_variables(self._target_extractor)
        this.outputs = self._outputs(result)
        this.drew_random_numbers = self._global_random.was_used()
        return this

    def _disturb(self, target: Any, this: ForwardPass) -> None:
        """Add noise to a target, and change it as the calculator wants it."""
        origin = target.array
        if self._noise_sampler is not None:
            origin = origin + self._noise(origin, this)
        this.origins.append(origin)
        target.array = self._calculator.change_target(origin, this)

    def _noise(self, array: Any, this: ForwardPass) -> Any:
        sample = self._noise_sampler.sample
        if not self._noise_takes_rng:
            return sample(array)
        call = len(this.targets)
        rng = RowStreams(self._streams, NOISE, this.sample_and_index(), call)
        return sample(array, rng=rng)

    def _check_target(self, target: Any, n_row: int) -> None:
        if not isinstance(target, chainer.Variable):
            raise TypeError(
                "the target must be a chainer.Variable, got "
                f"{type(target).__name__}. Where target_extractor gives it, check its "
                "timing and extract_fn, and that the link is called with a Variable"
            )
        if target.ndim == 0 or len(target.array) != n_row:
            raise ValueError(
                "axis 0 of the target must be the batch axis: expected "
                f"{n_row} rows, got shape {target.shape}"
            )
        if self._calculator.needs_gradient and target.dtype.kind != "f":
            raise TypeError(
                f"the target is of dtype {target.dtype}, which has no gradient. For "
                "discrete inputs (atom numbers, tokens) read saliency at the "
                "embedding: target_extractor=VariableMonitorLinkHook(model.embed)"
            )

    def _outputs(self, result: Any) -> list[Any]:
        if self._output_extractor is not None:
            outputs = _asked_variables(self._output_extractor)
        else:
            outputs = [result]
        for y in outputs:
            if not isinstance(y, chainer.Variable):
                raise TypeError(
                    "the output must be a chainer.Variable, got "
                    f"{type(y).__name__}; pass an eval_fun that returns one, or an "
                    "output_extractor"
                )
        return outputs


def _leave(target: Any, this: ForwardPass) -> None:
    this.origins.append(target.array)


@contextlib.contextmanager
def _catching(
    extractor: VariableMonitorLinkHook, catch: Callable[[Any], None]
) -> Iterator[None]:
    """Have ``catch`` called with the extractor's variables during forward."""

    def process(hook: VariableMonitorLinkHook, args: Any, target: Any) -> None:
        if hook.call in (None, len(hook.variables) - 1):
            catch(target)

    extractor.clear()
    extractor.add_process("saliency/catch", process)
    try:
        yield
    finally:
        extractor.delete_process("saliency/catch")


def _asked_variables(extractor: VariableMonitorLinkHook) -> list[Any]:
    """Return the variables of the calls that the extractor is asked for."""
    extractor.check_called()
    if extractor.call is None:
        return list(extractor.variables)
    return [extractor.get_variable(extractor.call)]


def _register(
    extractor: VariableMonitorLinkHook, name: str, stack: contextlib.ExitStack
) -> None:
    """Register the hook at its link until the stack closes, and clear it then."""
    stack.callback(extractor.clear)
    if extractor in chainer._get_link_hooks().values():
        return  # the user's own ``with`` block has it running already
    extractor.target_link.add_hook(extractor, name)
    stack.callback(extractor.target_link.delete_hook, name)


def _as_variable(x: Any) -> Any:
    if not isinstance(x, chainer.get_array_types()):
        return x
    return chainer.Variable(x, requires_grad=x.dtype.kind == "f")
