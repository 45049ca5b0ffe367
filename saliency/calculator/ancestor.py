"""Runs calculators that were written for Chainer Chemistry.

There a method is a subclass that overrides ``_compute_core(self, *inputs)``, which is
given the Variables of one batch, runs ``self.eval_fun`` and returns the saliency in a
tuple. It asks ``self.get_target_var(inputs)`` where saliency is read, and
``self.get_output_var(outputs)`` what is explained, which subclasses may override too.

A new method says what a pass contributes instead, see
:class:`~saliency.calculator.engine.recipe.Recipe`: only then its samples, and those of
small batches, share passes.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from logging import Logger, getLogger
from typing import Any, Callable, ClassVar

from link_hooks import VariableMonitorLinkHook
from saliency.array_types import Array
from saliency.backprop import gradients
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained, warn_of_sum
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.rows import whole_batch
from saliency.calculator.engine.run import Run
from saliency.calculator.engine.subject import Subject
from saliency.calculator.randomness.dropout_posterior import draw_same_masks
from saliency.checks import no_influence

import chainer

_LOGGER = getLogger("saliency")


class AncestorProtocol:
    """What subclasses that were written for Chainer Chemistry override and call.

    A subclass that overrides ``_compute_core`` or :meth:`get_target_var` is run batch
    by batch: each sample of each batch of ``batchsize`` examples by itself, and not
    folded with others, since its code may treat them as it likes. If that treats its
    rows independently, the result does not depend on ``batchsize``. All other promises
    hold for it. Noise is added to the target before it sees it; within one sample,
    every call of ``self.eval_fun`` gets the same noise and the same dropout masks. Runs
    of ``self.model`` itself are not told apart, so that each draws its own. What is
    explained is what ``get_output_var`` returns; ``class_index`` must not be given.

    If it derives from BaseCalculator, its constructor takes ``device`` and ``logger``
    as the fourth and the fifth argument, as there. A subclass that overrides nothing
    but :meth:`get_output_var` is run as any other calculator, with ``class_index``.
    """

    _runs_core: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        own = vars(cls)
        if "contribution" in own:
            if cls._runs_core:
                raise TypeError(
                    f"{cls.__name__} says in contribution what a pass contributes, but "
                    "derives from a class with a _compute_core or get_target_var of "
                    "its own; derive from the class before it"
                )
        elif "_compute_core" in own or "get_target_var" in own:
            cls._runs_core = True
            for name in _OF_RECIPE:
                setattr(cls, name, inspect.getattr_static(_CoreExplains, name))
        super().__init_subclass__(**kwargs)

    @classmethod
    def _declare(cls: Any) -> inspect.Signature:
        """Return the constructor's arguments, perhaps in Chainer Chemistry's order."""
        declared: inspect.Signature = super()._declare()  # type: ignore[misc]
        if not cls._runs_core or any(map(_explains_itself, cls.__mro__)):
            return declared
        logger = inspect.Parameter(
            "logger",
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=_LOGGER,
            annotation="Logger | None",
        )
        found = {**declared.parameters, "logger": logger}
        positional = ["model", "target_extractor", "output_extractor", "device"]
        first = [
            found.pop(name).replace(kind=logger.kind)
            for name in [*positional, "logger"]
        ]
        rest = [p.replace(kind=p.KEYWORD_ONLY) for p in found.values()]
        return declared.replace(parameters=[*first, *rest])

    @property
    def logger(self) -> Logger:
        """Where a subclass may report; by default, the logger of this package."""
        return vars(self).get("logger") or _LOGGER

    @logger.setter
    def logger(self, logger: Logger | None) -> None:
        vars(self)["logger"] = logger

    def _compute_core(self, *inputs: Any) -> Any:
        """Return the saliency of one batch, in a tuple.

        Args:
            inputs (chainer.Variable): What the model is called with.

        Returns:
            tuple: One array, ``(batch,) + shape``.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no _compute_core(*inputs) to call. Override "
            "it, or derive from GradientCalculator; or say where saliency is read with "
            "target_extractor=VariableMonitorLinkHook(link, extract_fn=...), which "
            "every calculator takes"
        )

    def get_target_var(self: Any, inputs: Any) -> Any:
        """Return the Variable at which saliency is read, after a forward pass.

        Args:
            inputs (tuple of chainer.Variable, or one): What the model was called with.
        """
        if self.target_extractor is None:
            return inputs[0] if isinstance(inputs, (tuple, list)) else inputs
        return _caught(self.target_extractor)

    def get_output_var(self: Any, outputs: Any) -> Any:
        """Return the Variable that is explained.

        Args:
            outputs: What ``eval_fun`` returned.
        """
        if self.output_extractor is None:
            return outputs
        return _caught(self.output_extractor)

    def _with_overrides(self: Any, subject: Subject) -> Subject:
        """Return what is explained if the methods above say something of it."""
        if self._runs_core:
            subject.refuse_several_targets(
                f"{type(self).__name__}, which has a _compute_core or get_target_var,"
            )
            if not (subject.class_index is None or self.class_index is None):
                raise ValueError(
                    f"class_index must be None for {type(self).__name__}, whose "
                    "_compute_core or get_target_var is its own; choose the output in "
                    f"get_output_var or eval_fun. Got {self.class_index!r}"
                )
            explain = partial(_run_core, self, subject)
            return _replaced(
                subject, eval_fun=explain, class_index=None, sum_is_asked_for=True
            )
        if type(self).get_output_var is not AncestorProtocol.get_output_var:
            choose = partial(_chosen_output, self, subject.eval_fun)
            return _replaced(subject, eval_fun=choose)
        return subject


class _CoreExplains(Recipe):
    """What the engine knows of a calculator whose core explains.

    The "output" of its passes is the saliency.
    """

    tells_calls_apart = False
    needs_gradient = False  # of the engine; the core takes it itself, if at all

    def start(self, batches: Batches, passes: CleanPasses) -> Run:
        return Run(plan=whole_batch)

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        saliency: Array = this.outputs[0].array
        return saliency


_OF_RECIPE = [
    name
    for name in (*vars(Recipe), *Recipe.__annotations__)
    if not name.startswith("_") and name not in ("check", "changes_target")
]


@dataclass(frozen=True)
class _WatchedSubject(Subject):
    """A subject whose ``eval_fun`` reads the output extractor itself.

    Attributes:
        watched (VariableMonitorLinkHook or None): That extractor.
    """

    watched: VariableMonitorLinkHook | None

    @property
    def extractors(self) -> tuple[VariableMonitorLinkHook, ...]:
        """All extractors that are registered, each once."""
        extra = () if self.watched is None else (self.watched,)
        return tuple(dict.fromkeys((*super().extractors, *extra)))


def _replaced(subject: Subject, **changes: Any) -> Subject:
    values = {field.name: getattr(subject, field.name) for field in fields(subject)}
    changes = {"output_extractor": None, "watched": subject.output_extractor, **changes}
    return _WatchedSubject(**{**values, **changes})


def _explains_itself(cls: Any) -> bool:
    """Tell whether a class says what a pass contributes."""
    own = vars(cls)
    if "contribution" not in own or own.get("_runs_core", False):
        return False
    return not getattr(own["contribution"], "__isabstractmethod__", False)


def _caught(extractor: VariableMonitorLinkHook) -> Any:
    return extractor.get_variable(-1 if extractor.call is None else extractor.call)


def _chosen_output(calculator: Any, eval_fun: Callable[..., Any], *inputs: Any) -> Any:
    return calculator.get_output_var(eval_fun(*inputs))


def _run_core(calculator: Any, subject: Subject, *inputs: Any) -> chainer.Variable:
    """Return what a calculator's core gives for the inputs of a pass."""
    # A copy, since other threads may use the calculator. What the core sets on it is
    # set on the calculator.
    copied = copy.copy(calculator)
    copied.eval_fun = partial(_run_afresh, subject)
    before = dict(vars(copied))
    try:
        with _kept_apart(subject), chainer.force_backprop_mode():
            result = copied._compute_core(*inputs)
    finally:
        now = vars(copied).items()
        vars(calculator).update(
            {name: v for name, v in now if before.get(name, before) is not v}
        )
    return chainer.Variable(_checked(result, len(inputs[0])), requires_grad=False)


def _run_afresh(subject: Subject, *inputs: Any) -> Any:
    """Run what is explained with the noise and the masks of the first time."""
    for extractor in subject.extractors:
        extractor.start_over()
    draw_same_masks()
    return subject.eval_fun(*inputs)


@contextlib.contextmanager
def _kept_apart(subject: Subject) -> Iterator[None]:
    """Return a block for code that writes into gradients and adds processes.

    The gradients of parameters begin as None, so that nothing is added to those of the
    user, and processes that are left behind are removed. What the model had before is
    put back after the pass.
    """
    if isinstance(subject.model, chainer.Link):
        for parameter in subject.model.params():
            parameter.cleargrad()
    before = [(hook, dict(hook.process_fns)) for hook in subject.extractors]
    try:
        yield
    finally:
        for hook, processes in before:
            hook.process_fns.clear()
            hook.process_fns.update(processes)


def _checked(result: Any, n_row: int) -> Array:
    """Return the one array that a core has to return."""
    if isinstance(result, (tuple, list)):
        if len(result) != 1:
            raise ValueError(
                f"_compute_core must return one array in a tuple, got {len(result)}"
            )
        (result,) = result
    if result is None:  # the gradient of what has none
        raise no_influence()
    array = result.array if isinstance(result, chainer.Variable) else result
    if not isinstance(array, chainer.get_array_types()):
        raise TypeError(
            f"_compute_core must return an array in a tuple, got {type(array).__name__}"
        )
    if array.ndim == 0 or len(array) != n_row:
        raise ValueError(
            f"_compute_core must return a row for each of {n_row} examples, got shape "
            f"{array.shape}"
        )
    return array


def gradient_core(calculator: Any, inputs: Sequence[Any]) -> tuple[Array]:
    """Return the gradient of the output at the target, for the core of a subclass.

    Args:
        calculator: Has ``eval_fun``, ``multiply_target`` and the methods above.
        inputs (sequence of chainer.Variable): What the model is called with.

    Raises:
        TypeError: If the target or the output is no Variable.
        ValueError: If the output does not depend on the target.
    """
    outputs = calculator.eval_fun(*inputs)
    target = calculator.get_target_var(inputs)
    output = calculator.get_output_var(outputs)
    for method, variable in (("get_target_var", target), ("get_output_var", output)):
        if not isinstance(variable, chainer.Variable):
            raise TypeError(
                f"{method} must return a chainer.Variable, got "
                f"{type(variable).__name__}"
            )
    if calculator.class_index is None:
        warn_of_sum([output], len(inputs[0]))
    (gradient,) = gradients([output], [target])
    if gradient is None:
        raise no_influence()
    return (gradient * target.array if calculator.multiply_target else gradient,)
