"""Layer-wise relevance propagation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.dataset import Batches
from saliency.calculator.explained_output import ClassIndex
from saliency.calculator.forward_pass import ForwardPass
from saliency.calculator.forward_runner import ForwardRunner
from saliency.calculator.graph_calculator import GraphCalculator
from saliency.calculator.reference import Reference
from saliency.lrp.composites import AnyRule, Assignment, Composite, composite
from saliency.lrp.conservation import Conservation
from saliency.lrp.graph import Graph, Relevances
from saliency.lrp.registry import is_part_of

import chainer


class LRPCalculator(GraphCalculator):
    r"""Relevance of the target by layer-wise relevance propagation.

    Bach et al. (2015), "On pixel-wise explanations for non-linear classifier decisions
    by layer-wise relevance propagation", PLoS ONE 10(7). The relevance of the output
    is passed back through every function of the graph, by a rule for each.

    Args:
        class_index: As in every calculator, but None is ``'argmax'``.
        rule (str, Rule or Composite): A preset (see
            :data:`saliency.lrp.composites.PRESETS`), a rule for all affine layers, or
            rules layer by layer.
        relevance (str, float or array): What the explained output starts with:
            ``'output'`` is its value; or a number; or an array of the shape of one
            example's output, or one for each example, in place of ``class_index``.
        low (float or array): Smallest value of the target, for presets with z^B.
        high (float or array): Largest value.

    Raises:
        TypeError: If ``rule`` is none of these.
        ValueError: If there is no such preset, or ``relevance`` is none of these.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        target_extractor: VariableMonitorLinkHook | None = None,
        output_extractor: VariableMonitorLinkHook | None = None,
        eval_fun: Callable[..., Any] | None = None,
        class_index: ClassIndex = None,
        device: Any = None,
        *,
        rule: Any = "epsilon",
        relevance: Any = "output",
        low: Any = 0.0,
        high: Any = 1.0,
    ) -> None:
        if class_index is None:
            class_index = "argmax"
        super().__init__(
            model, target_extractor, output_extractor, eval_fun, class_index, device
        )
        self.composite = _as_composite(rule, low, high)
        self.relevance = relevance
        self._start_value = _as_start(relevance)

    def predicted_classes(self, this: ForwardPass) -> np.ndarray | None:
        """Return the predicted classes; None where no class is meant.

        That is where the output is one value, or ``relevance`` is an array for all
        of it: then it may have any shape.
        """
        is_array = self._start_value is not None and np.ndim(self.relevance) > 0
        if is_array or this.gives_one_value():
            return None
        return super().predicted_classes(this)

    def compute_layers(
        self, data: Any, links: Sequence[str], **settings: Any
    ) -> dict[str, np.ndarray]:
        """Compute the relevance at the output of several links, in one pass.

        Args:
            data: As for :meth:`compute`.
            links (sequence of str): Paths of links, as in ``model.namedlinks()``.
            settings: The other arguments of :meth:`compute`.

        Returns:
            dict: For each path ``(M, N) + shape`` of the link's output. Where a link
            is called several times in a pass, the relevance of all calls is added up.

        Raises:
            ValueError: If the model has no such link, or it was not called.
        """
        of_layers = _LayersCalculator(self, links)
        flat = of_layers.compute(data, **settings)
        ends = np.cumsum([int(np.prod(shape)) for shape in of_layers.shapes])
        parts = np.split(flat, ends[:-1], axis=2)
        return {
            path: part.reshape(part.shape[:2] + shape)
            for path, part, shape in zip(links, parts, of_layers.shapes)
        }

    def conservation(self, data: Any, **settings: Any) -> Conservation:
        """Report the sum of the relevance at every cut, and where the rest went.

        Args:
            data: As for :meth:`compute`; sums are over all examples.
            settings: The other arguments of :meth:`compute`.
        """
        accountant = _AccountingCalculator(self)
        accountant.compute(data, **settings)
        return accountant.report

    def assignment(self, data: Any, **settings: Any) -> Assignment:
        """Return which rule each function gets; printed, it is a table.

        Args:
            data: As for :meth:`compute`; one example is enough.
            settings: The other arguments of :meth:`compute`.
        """
        accountant = _AccountingCalculator(self)
        accountant.compute(data, **settings)
        assert accountant.assigned is not None  # there is at least one pass
        return accountant.assigned

    def prepare(self, batches: Batches, runner: ForwardRunner) -> None:
        """Learn how many examples there are, for relevance that is given for each."""
        if self._start_value is not None:
            self._start_value.prepare(batches, runner)

    def walk(
        self, graph: Graph, this: ForwardPass, classes: np.ndarray | None
    ) -> Relevances:
        """Walk with the rule that the composite has for each function."""
        return self.walk_by_rules(graph, this, classes)[0]

    def walk_by_rules(
        self,
        graph: Graph,
        this: ForwardPass,
        classes: np.ndarray | None,
        keep: Sequence[chainer.Variable] = (),
    ) -> tuple[Relevances, Assignment]:
        """Walk, and return which rule each function got as well."""
        applications = [graph.application(function) for function in graph.functions]
        assignment = Assignment(self.composite, applications, self._paths())
        start = self._start(this, classes)
        relevances = graph.walk(start, assignment.handle, is_part_of, keep)
        return relevances, assignment

    def _start(self, this: ForwardPass, classes: np.ndarray | None) -> list[Any]:
        """Return the relevance that each output starts with."""
        if self._start_value is None:
            weights = this.weights(classes)
            return [w * y.array for w, y in zip(weights, this.outputs)]
        if np.ndim(self.relevance) == 0:
            return [w * w.dtype.type(self.relevance) for w in this.weights(classes)]
        return [
            y.xp.broadcast_to(self._start_value.at(y.array, this), y.shape)
            for y in this.outputs
        ]

    def _paths(self) -> dict[int, str]:
        if not isinstance(self.model, chainer.Link):
            return {}
        return {id(link): path for path, link in self.model.namedlinks()}


class _LikeAnother(LRPCalculator):
    """What explains as another calculator does, and gives something else."""

    def __init__(self, other: LRPCalculator) -> None:
        super().__init__(
            other.model,
            other.target_extractor,
            other.output_extractor,
            other.eval_fun,
            other.class_index,
            other.device,
            rule=other.composite,
            relevance=other.relevance,
        )


class _LayersCalculator(_LikeAnother):
    """The relevance at several links, flattened, one behind the other."""

    def __init__(self, other: LRPCalculator, links: Sequence[str]) -> None:
        super().__init__(other)
        if isinstance(links, str) or not links:
            raise ValueError(
                "links must be a list of paths, as in model.namedlinks(), and not "
                f"empty; got {links!r}"
            )
        model: Any = self.model
        is_link = isinstance(model, chainer.Link)
        of_model = dict(model.namedlinks()) if is_link else {}
        for path in links:
            if path not in of_model:
                raise ValueError(
                    "links must be paths of the model's links, such as "
                    f"{', '.join(list(of_model)[:4])}; got {path!r}"
                )
        self.shapes: list[tuple[int, ...]] = []
        self._monitors = [
            VariableMonitorLinkHook(of_model[path], name=f"saliency/layer{i}")
            for i, path in enumerate(links)
        ]

    @contextlib.contextmanager
    def watch_forward(self) -> Iterator[None]:
        """Catch the outputs of the links as well."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(super().watch_forward())
            for monitor in self._monitors:
                stack.enter_context(monitor)
            yield

    def walk(
        self, graph: Graph, this: ForwardPass, classes: np.ndarray | None
    ) -> Relevances:
        """Walk, and keep the relevance at the links."""
        for monitor in self._monitors:
            monitor.check_called()
        kept = [v for monitor in self._monitors for v in monitor.variables]
        return self.walk_by_rules(graph, this, classes, kept)[0]

    def collect(self, this: ForwardPass, relevances: Relevances) -> Any:
        """Return the relevance at the links, ``(n_row, n_element)``."""
        n_row = len(this.rows)
        flat = []
        self.shapes = []
        for monitor in self._monitors:
            variables = monitor.variables
            found = [relevances.at(v) for v in variables]
            total = sum(r for r in found if r is not None)
            total = total + variables[0].xp.zeros_like(variables[0].array)
            self.shapes.append(total.shape[1:])
            flat.append(total.reshape(n_row, -1))
            monitor.clear()
        return this.outputs[0].xp.concatenate(flat, axis=1)


class _AccountingCalculator(_LikeAnother):
    """The same relevance, with an account of it and of the rules."""

    def __init__(self, other: LRPCalculator) -> None:
        super().__init__(other)
        self.report = Conservation()
        self.assigned: Assignment | None = None

    def walk(
        self, graph: Graph, this: ForwardPass, classes: np.ndarray | None
    ) -> Relevances:
        """Walk, and account for it."""
        relevances, self.assigned = self.walk_by_rules(graph, this, classes)
        self.report.add(relevances, self.assigned)
        return relevances


def _as_start(relevance: Any) -> Reference | None:
    """Return the relevance to start with; None for the value of the output."""
    if isinstance(relevance, str) and relevance == "output":
        return None
    if relevance is None or isinstance(relevance, str) or callable(relevance):
        raise ValueError(
            f"relevance must be 'output', a number or an array, got {relevance!r}"
        )
    return Reference("relevance", relevance)


def _as_composite(rule: Any, low: Any, high: Any) -> Composite:
    if isinstance(rule, Composite):
        return rule
    if isinstance(rule, AnyRule):
        return Composite(rule)
    if not isinstance(rule, str):
        raise TypeError(
            f"rule must be the name of a preset, a Rule or a Composite, got {rule!r}"
        )
    return composite(rule, low, high)
