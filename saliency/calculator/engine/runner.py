"""Runs a model on rows, with its hooks, noise and dropout in place."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.engine.dataset import UserBatch
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.row_limit import RowLimit
from saliency.calculator.engine.rows import Rows
from saliency.calculator.engine.shared_start import SharedStart
from saliency.calculator.randomness.drawn_networks import DrawnNetworks
from saliency.calculator.randomness.dropout_posterior import DropoutPosterior
from saliency.calculator.randomness.posteriors import Posterior
from saliency.calculator.randomness.random_streams import (
    NOISE,
    GlobalRandomState,
    RandomStreams,
    RowStreams,
)
from saliency.cpu import fast_cpu

import chainer

if TYPE_CHECKING:
    from saliency.calculator.base_calculator import BaseCalculator

Catch = Callable[[Any, int], None]
Disturb = Callable[[Any, int, ForwardPass], None]


class ForwardRunner:
    """Runs the passes of one ``compute`` call; hooks are active within its block.

    Args:
        calculator (BaseCalculator): What is explained, and how targets are changed.
        train (bool): Whether parameters are drawn from the dropout posterior.
        noise_sampler: Has ``sample(array, rng)`` or ``sample(array)``; or None.
        streams (RandomStreams): Where all random numbers come from.
        posterior (Posterior or None): What networks are drawn from, one for each
            sample; a pass is then of one sample.

    Attributes:
        row_limit (RowLimit): How many rows of a pass fit into memory.
        mean_will_do (bool): Whether nobody asks for more than the mean of samples.
    """

    def __init__(
        self,
        calculator: BaseCalculator,
        train: bool,
        noise_sampler: Any,
        streams: RandomStreams,
        posterior: Posterior | None = None,
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
        self._networks = (
            None
            if posterior is None
            else DrawnNetworks(posterior, calculator.model, streams)
        )
        self._cleanup = contextlib.ExitStack()
        self._clean: tuple[UserBatch | None, list[ForwardPass]] = (None, [])
        self.row_limit = RowLimit()
        self.mean_will_do = False
        # Elements of the graph before the first dropout, for each example, and
        # behind, for each row; None where passes do not share their start.
        self._shared_sizes: tuple[float, float] | None = None

    @property
    def is_deterministic(self) -> bool:
        """Whether a pass is what the trained model does with the data as it is."""
        is_disturbed = self._train or self._noise_sampler is not None
        return not is_disturbed and self._networks is None

    def __enter__(self) -> ForwardRunner:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._global_random)
            stack.enter_context(chainer.using_device(self._calculator.device))
            stack.enter_context(fast_cpu())
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

    def drawn_network(self, rows: Rows) -> AbstractContextManager[None]:
        """Return a block in which the model is the network of the rows' sample.

        It is for the way back, too, which looks at the parameters again.
        """
        if self._networks is None:
            return contextlib.nullcontext()
        return self._networks.of_sample(int(rows.sample[0]))

    def run(self, batch: UserBatch, rows: Rows) -> ForwardPass:
        """Run rows with noise and dropout, changed as the calculator wants them."""
        with self._as_configured(batch):
            start = SharedStart(rows.example, rows.sample)
            shared = self._shared_sizes is not None and start.saves_rows
            return self._run(batch, rows, self._disturb, start if shared else None)

    def learn_anew(self) -> None:
        """Forget what the batches so far have shown of the model."""
        self._posterior = DropoutPosterior(self._streams)
        self._shared_sizes = None

    def rows_of_pass(self, batch: UserBatch, batchsize: int) -> int:
        """Return how many rows of a batch a pass may have.

        Where samples share their start, it is as many as take the memory of
        ``batchsize`` rows that do not.
        """
        with self._as_configured(batch):
            if self._shared_sizes is None:
                return batchsize
        before, behind = self._shared_sizes
        room = batchsize * (before + behind) - batch.size * before
        return max(batchsize, int(room / behind))

    @contextlib.contextmanager
    def _as_configured(self, batch: UserBatch) -> Iterator[None]:
        """Return a block in which the model runs as samples want it."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(chainer.using_config("train", self._train))
            stack.enter_context(
                chainer.using_config("enable_backprop", self._calculator.needs_gradient)
            )
            if self._train:
                stack.enter_context(self._posterior)
                self._learn_dropout(batch)
            stack.enter_context(self._calculator.watch_forward())
            yield

    def predicted_classes(self, batch: UserBatch) -> np.ndarray | None:
        """Return the class that the trained model predicts for each example."""
        passes = self._run_clean(batch)
        of_passes = [self._calculator.predicted_classes(this) for this in passes]
        found = [classes for classes in of_passes if classes is not None]
        return np.concatenate(found) if found else None

    def clean_targets(self, batch: UserBatch) -> list[Any]:
        """Return the targets of each example without noise, ``(size,) + shape``.

        There is one for each call of the target's link that is explained.
        """
        passes = [this.targets for this in self._run_clean(batch)]
        xp = self._calculator.device.xp
        return [xp.concatenate([t.array for t in of_call]) for of_call in zip(*passes)]

    def target_shape(self, batch: UserBatch) -> tuple[int, ...]:
        """Return the shape of a batch's target, ``(size,) + shape``."""
        if self._target_extractor is None:
            return batch.inputs[0].shape
        return (batch.size, *self._run_clean(batch)[0].targets[0].shape[1:])

    def number_of_calls(self, batch: UserBatch) -> int | None:
        """Return how many calls of the target's link are explained one by one.

        Where targets are only read, all calls are explained in one pass: None.
        """
        if self._target_extractor is None or self._target_extractor.call is not None:
            return None
        if not self._calculator.changes_target() and self._noise_sampler is None:
            return None
        n_call = len(self._run_clean(batch)[0].targets)
        return n_call if n_call > 1 else None

    def _run_clean(self, batch: UserBatch) -> list[ForwardPass]:
        """Run a batch as it is, in evaluation mode and without a graph.

        It takes one pass if that fits into memory, or one for each example where the
        model draws random numbers even so. The passes of the last batch are kept.
        """
        if self._clean[0] is not batch:
            self._clean = None, []

            def run(rows: Rows) -> ForwardPass:
                return self._run(batch, rows, _leave)

            rows = _plain_rows(np.arange(batch.size))
            can_split = batch.can_gather()
            with chainer.using_config("train", False), chainer.no_backprop_mode():
                passes = list(self.row_limit.passes(rows, run, can_split))
                if any(p.drew_random_numbers for p in passes) and can_split:
                    passes = [run(rows.cut(i, i + 1)) for i in range(batch.size)]
            self._clean = batch, passes
        return self._clean[1]

    def _learn_dropout(self, batch: UserBatch) -> None:
        """Learn from the first example what the dropout functions see."""
        if self._posterior.knows_batch_axes or not batch.can_gather():
            return
        with self._posterior.learning_batch_axes():
            self._run(batch, _plain_rows(np.zeros(1, int)), _leave)
        if self._noise_sampler is None and self._calculator.shares_start():
            self._shared_sizes = self._try_shared_start(batch)

    def _try_shared_start(self, batch: UserBatch) -> tuple[float, float] | None:
        """Return the sizes if the model can share the start of a pass, else None.

        Two examples with two samples each show whether it mixes rows from before the
        first dropout with those behind it: their numbers do not fit.
        """
        example = np.zeros(4, int)
        start = SharedStart(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
        start.examples[...] = 0
        try:
            this = self._run(batch, _plain_rows(example), _leave, start)
        except Exception:  # whatever the model raises about its rows
            return None
        fits = all(y.ndim > 0 and len(y) == len(example) for y in this.outputs)
        if not fits or this.drew_random_numbers:
            return None
        return start.sizes(this.outputs, this.targets)

    def _run(
        self,
        batch: UserBatch,
        rows: Rows,
        disturb: Disturb,
        start: SharedStart | None = None,
    ) -> ForwardPass:
        lengths = None if batch.lengths is None else batch.lengths[rows.example]
        this = ForwardPass(
            rows,
            batch.index[rows.example],
            lengths,
            start=start,
            mean_will_do=self.mean_will_do,
        )
        self._posterior.start_pass(this.sample_and_index())
        self._global_random.seed(
            self._streams.global_seed(int(rows.sample[0]), int(this.index[0]))
        )
        examples = rows.example if start is None else start.examples
        inputs = [_as_variable(x) for x in batch.gather(examples)]

        def catch(target: Any, call: int) -> None:
            self._check_target(target, this)
            disturb(target, call, this)
            this.targets.append(target)

        for extractor in (self._target_extractor, self._output_extractor):
            if extractor is not None:
                extractor.clear()
        if self._target_extractor is None:
            catch(inputs[0], 0)
            catching: AbstractContextManager[Any] = contextlib.nullcontext()
        else:
            catching = _catching(self._target_extractor, catch)
        sharing = contextlib.nullcontext() if start is None else start.at_dropout()
        with catching, sharing:
            result = self._calculator.eval_fun(*inputs)
        if self._target_extractor is not None:
            _asked_variables(self._target_extractor)
        this.outputs = self._outputs(result)
        this.drew_random_numbers = self._global_random.was_used()
        return this

    def _disturb(self, target: Any, call: int, this: ForwardPass) -> None:
        """Add noise to a target, and change it as the calculator wants it."""
        array = target.array
        origin = array
        if self._noise_sampler is not None:
            origin = array + self._noise(array, call, this)
        this.origins.append(origin)
        changed = self._calculator.change_target(origin, this)
        if this.rows.call is not None:
            changed = _where_rows(this.rows.call == call, changed, array)
        if this.lengths is not None and changed is not array:
            # What is put into padding would reach the example through its neighbours.
            changed = changed.copy()
            for row, original, length in zip(changed, array, this.lengths):
                row[length:] = original[length:]
        target.array = changed

    def _noise(self, array: Any, call: int, this: ForwardPass) -> Any:
        rows = this.sample_and_index()
        if this.lengths is None:
            return self._noise_of_rows(array, rows, call)
        noise = chainer.backend.get_array_module(array).zeros_like(array)
        for i, length in enumerate(this.lengths):
            part = array[i : i + 1, :length]
            noise[i, :length] = self._noise_of_rows(part, rows[i : i + 1], call)[0]
        return noise

    def _noise_of_rows(self, array: Any, rows: list[tuple[int, int]], call: int) -> Any:
        if self._noise_takes_rng:
            rng = RowStreams(self._streams, NOISE, rows, call)
            noise = self._noise_sampler.sample(array, rng=rng)
        else:
            noise = self._noise_sampler.sample(array)
        if noise.shape != array.shape:
            raise ValueError(
                "noise_sampler must give noise of the target's shape "
                f"{array.shape}, got shape {noise.shape}"
            )
        return noise.astype(array.dtype, copy=False)

    def _check_target(self, target: Any, this: ForwardPass) -> None:
        n_row = this.n_row_of_target
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
        if this.targets and target.shape != this.targets[0].shape:
            raise ValueError(
                "the calls of the target's link have different shapes, "
                f"{this.targets[0].shape} and {target.shape}, so their saliency does "
                "not add up; ask for one of them with call=0, 1, ... in "
                "target_extractor"
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


def _leave(target: Any, call: int, this: ForwardPass) -> None:
    this.origins.append(target.array)


def _plain_rows(examples: np.ndarray) -> Rows:
    """Return rows of sample 0 and step 0."""
    zeros = np.zeros_like(examples)
    return Rows(zeros, None, zeros, examples, np.arange(len(examples)))


def _where_rows(chosen: np.ndarray, array: Any, other: Any) -> Any:
    """Return the chosen rows of ``array`` and the others of ``other``."""
    result = other.copy()
    result[chosen] = array[chosen]
    return result


@contextlib.contextmanager
def _catching(extractor: VariableMonitorLinkHook, catch: Catch) -> Iterator[None]:
    """Have ``catch`` called with the extractor's variables during forward."""

    def process(hook: VariableMonitorLinkHook, args: Any, target: Any) -> None:
        call = len(hook.variables) - 1
        if hook.call in (None, call):
            catch(target, call)

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
    registered = (
        *chainer._get_link_hooks().values(),
        *extractor.target_link.local_link_hooks.values(),
    )
    if any(hook is extractor for hook in registered):
        return  # by the user, or in the other role
    extractor.target_link.add_hook(extractor, name)
    stack.callback(extractor.target_link.delete_hook, name)


def _as_variable(x: Any) -> Any:
    if not isinstance(x, chainer.get_array_types()):
        return x
    return chainer.Variable(x, requires_grad=x.dtype.kind == "f")
