"""Layer-wise relevance propagation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import CannotFold, one_row
from saliency.calculator.engine.run import Run
from saliency.calculator.graph_calculator import (
    GraphCalculator,
    GraphRun,
    graph_run_of,
)
from saliency.calculator.paths.reference import Reference, ReferenceForData
from saliency.calculator.reference_examples import BestSoFar, ReferenceExamples
from saliency.checks import check_choice, check_positive
from saliency.configured import takes_settings_of
from saliency.lrp.composites import (
    PRESETS,
    AnyRule,
    Assignment,
    Composite,
    composite,
)
from saliency.lrp.conditions import Channels, Conditions, check_channels
from saliency.lrp.conservation import Conservation
from saliency.lrp.graph import Graph, Relevances
from saliency.lrp.rules import Box
from saliency.user_warnings import warn_user

import chainer


class LRPCalculator(GraphCalculator):
    r"""Layer-wise relevance propagation: the output, passed back to the target.

    Bach et al. (2015), "On pixel-wise explanations for non-linear classifier decisions
    by layer-wise relevance propagation", PLoS ONE 10(7). The relevance of the output
    is passed back through every function of the graph, by a rule for each.

    Args:
        class_index: As in every calculator, but None is ``'argmax'``: the predicted
            class, for outputs of shape ``(batch, n_class)``.
        rule (str, Rule or Composite): A preset (see
            :data:`saliency.lrp.composites.PRESETS`), a rule for all affine layers, or
            rules layer by layer.
        relevance (str, float or array): What the explained output starts with:
            ``'output'`` is its value; or a number; or an array of the shape of one
            example's output, or one for each example, in place of ``class_index``.
        low (float or array): Smallest value that the target can have, for presets
            with z^B.
        high (float or array): Largest value. Each call warns once if an input of the
            rule is below ``low`` or above ``high``, be it by noise: SmoothGrad with
            these presets wants a box that is wider than the data.
        conditions (mapping or None): Concept relevance propagation (Achtibat et al.
            2023, "From attribution maps to human-understandable explanations through
            concept relevance propagation", Nature Machine Intelligence 5): the channels
            of layers that relevance goes through, and at all others of these layers it
            stops, as in ``{'/conv5': [3, 17], '/conv3': 8}``. The layers are paths of
            links, as in ``model.namedlinks()``; their channels an int or a list of
            ints, which count along axis 1 of the layer's output, or a tuple of ints and
            slices, an index into its axes behind the batch axis. What goes by a layer,
            as through a skip connection, is not stopped there.

    Raises:
        TypeError: If ``rule`` is none of these, or ``conditions`` is no mapping.
        ValueError: If there is no such preset, or ``relevance`` or ``conditions`` is
            none of these; and in a call, if a layer of ``conditions`` is not on the way
            to the output, or does not have these channels.

    The other arguments and what is raised are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    rule: Any = "epsilon"
    relevance: Any = "output"
    low: Any = 0.0
    high: Any = 1.0
    conditions: Mapping[str, Channels] | None = None

    none_means = "argmax"

    def check(self) -> None:
        """Raise if a setting of the walk is not allowed."""
        super().check()
        _check_rule(self.rule, self.low, self.high)
        _as_start(self.relevance)
        self._conditions()

    @property
    def composite(self) -> Composite:
        """The rules layer by layer that ``rule``, ``low`` and ``high`` stand for."""
        return _as_composite(self.rule, self.low, self.high)

    def start(self, batches: Batches, passes: CleanPasses) -> RelevanceRun:
        """Return the rules, and the relevance to start with."""
        start = _as_start(self.relevance)
        given = None if start is None else start.for_data(batches, passes)
        run = RelevanceRun(self.composite, given, self._conditions())
        run.explains_scores = np.ndim(self.relevance) == 0
        return run

    @contextlib.contextmanager
    def watch_forward(self, run: Run) -> Iterator[None]:
        """Keep what functions are applied to, and where conditions hold."""
        assert isinstance(run, RelevanceRun)  # what start has returned
        with super().watch_forward(run), run.conditions.watched():
            yield

    def predicted_classes(self, this: ForwardPass) -> np.ndarray | None:
        """Return the predicted classes; None where no class is meant.

        That is where the output is one value, or ``relevance`` is an array for all
        of it: then it may have any shape.

        Raises:
            ValueError: If the output is not one score for each class.
        """
        if np.ndim(self.relevance) > 0 or this.gives_one_value():
            return None
        if self.class_index is None:
            _check_has_classes(this)
        return super().predicted_classes(this)

    @takes_settings_of(BaseCalculator.compute, but=("retain_inputs",))
    def compute_layers(
        self, data: Any, links: Sequence[str], M: int = 1, **settings: Any
    ) -> dict[str, np.ndarray]:
        """Compute the relevance at the output of several links, in one pass.

        Args:
            links (sequence of str): Paths of links, as in ``model.namedlinks()``.

        Returns:
            dict: For each path ``(M, N) + shape`` of the link's output. Where a link
            is called several times in a pass, the relevance of all calls is added up.

        Raises:
            ValueError: If the model has no such link, or it was not called.
        """
        at_layers = _AtLayers(**self.settings(), links=links)
        flat = at_layers.compute(data, M, **settings)
        run = at_layers._last_run
        assert isinstance(run, _LayersRun)  # what its start has returned
        ends = np.cumsum([int(np.prod(shape)) for shape in run.shapes])
        parts = np.split(flat, ends[:-1], axis=2)
        return {
            path: part.reshape(part.shape[:2] + shape)
            for path, part, shape in zip(links, parts, run.shapes)
        }

    @takes_settings_of(
        BaseCalculator.compute, but=("M", "retain_inputs", "postprocess_fn")
    )
    def reference_examples(
        self,
        data: Any,
        layer: str,
        k: int = 8,
        channels: Sequence[int] | None = None,
        *,
        reduce: str = "sum",
        ch_axis: int = 1,
        **settings: Any,
    ) -> ReferenceExamples:
        """Find the examples that the channels of a layer are most relevant for.

        Relevance maximisation, and beside it activation maximisation: Achtibat et al.
        (2023), who call them reference examples. A channel's relevance is that for what
        is explained of each example, by default the predicted class; its activation is
        what the layer's link gives. What is in memory is one batch, and the best
        examples so far.

        Args:
            layer (str): Path of a link, as in ``model.namedlinks()``.
            k (int): How many examples of each channel.
            channels (sequence of int or None): The channels; None is all.
            reduce (str): What ranks an example: the ``'sum'`` or the largest value
                (``'max'``) of a channel, over all places and calls. Activations below
                a rectifier are better ranked by the largest, since what is negative
                there counts in a sum.
            ch_axis (int): The axis of channels in the layer's output.

        Returns:
            ReferenceExamples: It has ``by_relevance.examples`` and ``.values``,
            ``(n_channel, k)``, and the same in ``by_activation``; fewer than k where
            there are fewer examples.

        Raises:
            ValueError: If ``k``, ``reduce``, ``ch_axis`` or ``channels`` is not
                allowed, the model has no such link, or it was not called.
        """
        check_positive("k", k)
        check_positive("ch_axis", ch_axis)
        check_choice("reduce", reduce, _REDUCE)
        links_of_paths(self.model, [layer], "layer")
        scores = _ChannelScores(
            **self.settings(), links=[layer], reduce=reduce, ch_axis=ch_axis
        )
        best = BestSoFar(k), BestSoFar(k)
        n_seen = 0

        def keep_best(of_batch: np.ndarray) -> np.ndarray:
            nonlocal n_seen
            for kept, values in zip(best, of_batch.swapaxes(0, 1)):
                kept.add(values, n_seen)
            n_seen += len(of_batch)
            return np.zeros((len(of_batch), 0), bool)

        scores.compute(data, postprocess_fn=keep_best, **settings)
        run = scores._last_run
        assert isinstance(run, _LayersRun)  # what its start has returned
        chosen = _chosen_channels(channels, run.shapes[0][-1])
        return ReferenceExamples(layer, chosen, *(kept.get(chosen) for kept in best))

    @takes_settings_of(BaseCalculator.compute, but=("retain_inputs",))
    def conservation(self, data: Any, M: int = 1, **settings: Any) -> Conservation:
        """Report the sum of the relevance at every cut, and where the rest went.

        Sums are over all examples and samples.

        Args:
            M (int): Number of samples.

        Returns:
            Conservation: A table, which can be printed.
        """
        return self._account(data, M=M, **settings).report

    @takes_settings_of(BaseCalculator.compute, but=("retain_inputs",))
    def assignment(self, data: Any, M: int = 1, **settings: Any) -> Assignment:
        """Return which rule each function gets; printed, it is a table.

        One example as data is enough.

        Args:
            M (int): Number of samples.

        Returns:
            Assignment: A table, which can be printed.
        """
        assigned = self._account(data, M=M, **settings).assigned
        assert assigned is not None  # there is at least one pass
        return assigned

    def _account(self, data: Any, **settings: Any) -> _AccountRun:
        accountant = _Accountant(**self.settings())
        accountant.compute(data, **settings)
        run = accountant._last_run
        assert isinstance(run, _AccountRun)  # what its start has returned
        return run

    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        """Walk with the rule that the composite has for each function."""
        return self.walk_by_rules(graph, this, classes)[0]

    def walk_by_rules(
        self,
        graph: Graph,
        this: ForwardPass,
        classes: Explained,
        keep: Sequence[chainer.Variable] = (),
        keeps_account: bool = False,
    ) -> tuple[Relevances, Assignment]:
        """Walk, and return which rule each function got as well."""
        run = graph_run_of(this)
        assert isinstance(run, RelevanceRun)  # what start has returned
        applications = [graph.application(function) for function in graph.functions]
        assignment = Assignment(run.composite, applications, self._paths())
        start = self._start(run.start, this, classes)
        masks = run.conditions.masks(graph)
        relevances = graph.walk(
            *(start, assignment.handle, assignment.is_part_of, keep, applications),
            *(masks, keeps_account),
        )
        run.warn_of_boxes(assignment)
        return relevances, assignment

    def _start(
        self,
        given: ReferenceForData | None,
        this: ForwardPass,
        classes: Explained,
    ) -> list[Array]:
        """Return the relevance that each output starts with."""
        if given is None:
            weights = this.weights(classes)
            return [w * y.array for w, y in zip(weights, this.outputs)]
        if np.ndim(self.relevance) == 0:
            return [w * w.dtype.type(self.relevance) for w in this.weights(classes)]
        return [
            y.xp.broadcast_to(given.at(y.array, this), y.shape) for y in this.outputs
        ]

    def _conditions(self) -> Conditions:
        """Return the conditions, checked."""
        given = {} if self.conditions is None else self.conditions
        if not isinstance(given, Mapping):
            raise TypeError(
                "conditions must map paths of links to channels, as in "
                f"{{'/conv5': [3, 17]}}; got {given!r}"
            )
        links = links_of_paths(self.model, given, "conditions")
        for path, channels in given.items():
            check_channels(path, channels)
        return Conditions(links, given)

    def _paths(self) -> dict[int, str]:
        if not isinstance(self.model, chainer.Link):
            return {}
        return {id(link): path for path, link in self.model.namedlinks()}


class RelevanceRun(GraphRun):
    """What one call of LRP holds.

    Args:
        composite (Composite): The rules.
        start (ReferenceForData or None): The relevance that is given; None for the
            value of the output.
        conditions (Conditions): The channels that relevance goes through.

    Attributes:
        has_warned_of_box (bool): Whether the user knows of data outside of a box.
    """

    def __init__(
        self,
        composite: Composite,
        start: ReferenceForData | None,
        conditions: Conditions,
    ) -> None:
        super().__init__()
        self.composite = composite
        self.start = start
        self.conditions = conditions
        self.has_warned_of_box = False

    def warn_of_boxes(self, assignment: Assignment) -> None:
        """Warn, once in a call, if an input of a z^B rule is not in its box."""
        if self.has_warned_of_box:
            return
        for layer, rule in assignment.layers:
            this = layer.application
            x = this.inputs[this.active_indexes[0]]
            if isinstance(rule, Box) and not rule.holds(x):
                self.has_warned_of_box = True
                warn_user(
                    f"the z^B rule {rule!r} at {this.label} is for inputs from low to "
                    f"high, but got values from {float(x.min()):.4g} to "
                    f"{float(x.max()):.4g}, so its relevance is wrong. Pass the "
                    "smallest and the largest value that the data can have, with noise "
                    "if any, as low= and high= of LRPCalculator, or as Box(low, high)"
                )
                return


class _LayersRun(RelevanceRun):
    """What :meth:`LRPCalculator.compute_layers` holds.

    Args:
        run (RelevanceRun): What LRP holds.
        links (list of chainer.Link): The links whose outputs are asked for.

    Attributes:
        monitors (list of VariableMonitorLinkHook): Catch them.
        shapes (list of tuple): The shape of each, without the batch axis.
    """

    def __init__(self, run: RelevanceRun, links: Sequence[chainer.Link]) -> None:
        super().__init__(run.composite, run.start, run.conditions)
        self.monitors = [
            VariableMonitorLinkHook(link, name=f"saliency/layer{i}")
            for i, link in enumerate(links)
        ]
        self.shapes: list[tuple[int, ...]] = []


class _AtLayers(LRPCalculator):
    """The relevance at several links, flattened, one behind the other."""

    tells_targets_apart = False

    links: Any

    def check(self) -> None:
        super().check()
        self._find_links()

    def start(self, batches: Batches, passes: CleanPasses) -> _LayersRun:
        return _LayersRun(super().start(batches, passes), self._find_links())

    @contextlib.contextmanager
    def watch_forward(self, run: Run) -> Iterator[None]:
        assert isinstance(run, _LayersRun)  # what start has returned
        with contextlib.ExitStack() as stack:
            stack.enter_context(super().watch_forward(run))
            for monitor in run.monitors:
                stack.enter_context(monitor)
            yield

    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        run = graph_run_of(this)
        assert isinstance(run, _LayersRun)  # what start has returned
        for monitor in run.monitors:
            monitor.check_called()
        kept = [v for monitor in run.monitors for v in monitor.variables]
        return self.walk_by_rules(graph, this, classes, kept)[0]

    def collect(self, this: ForwardPass, relevances: Relevances) -> Array:
        """Return the relevance at the links, ``(n_row, n_element)``."""
        run = graph_run_of(this)
        assert isinstance(run, _LayersRun)  # what start has returned
        n_row = len(this.rows)
        flat, shapes = [], []
        for monitor in run.monitors:
            variables = monitor.variables
            found = [relevances.at(v) for v in variables]
            total = sum(r for r in found if r is not None)
            total = total + variables[0].xp.zeros_like(variables[0].array)
            if len(total) != n_row and n_row > 1:
                raise CannotFold(one_row)
            shapes.append(total.shape[1:] if len(total) == n_row else total.shape)
            flat.append(total.reshape(n_row, -1))
            monitor.clear()
        if run.shapes not in ([], shapes):
            raise ValueError(
                "compute_layers needs layers of one shape in all examples, got "
                f"{run.shapes} and {shapes}; pass examples of one length at a time"
            )
        run.shapes = shapes
        return this.outputs[0].xp.concatenate(flat, axis=1)

    def _find_links(self) -> list[chainer.Link]:
        if isinstance(self.links, str) or not self.links:
            raise ValueError(
                "links must be a list of paths, as in model.namedlinks(), and not "
                f"empty; got {self.links!r}"
            )
        return list(links_of_paths(self.model, self.links, "links").values())


class _ChannelScores(_AtLayers):
    """The relevance and the activation of each channel of a layer, ``(2, n)``."""

    reduce: str = "sum"
    ch_axis: int = 1

    def collect(self, this: ForwardPass, relevances: Relevances) -> Array:
        """Return both for each row, reduced over places and calls."""
        run = graph_run_of(this)
        assert isinstance(run, _LayersRun)  # what start has returned
        (monitor,) = run.monitors
        n_row = len(this.rows)
        xp = this.outputs[0].xp
        of_calls = []
        for variable in monitor.variables:
            activation = variable.array
            relevance = relevances.at(variable)
            if relevance is None:
                relevance = xp.zeros_like(activation)
            both = [self._by_channel(a, n_row) for a in (relevance, activation)]
            of_calls.append(xp.stack(both, axis=1))
        monitor.clear()
        values = xp.concatenate(of_calls, axis=3)
        run.shapes = [values.shape[1:3]]
        return getattr(values, self.reduce)(axis=3)

    def _by_channel(self, array: Array, n_row: int) -> Array:
        """Return what a layer gave as ``(n_row, n_channel, n_place)``."""
        if not 0 < self.ch_axis < array.ndim:
            raise ValueError(
                f"ch_axis must be one of the axes 1 to {array.ndim - 1} of the "
                f"layer's output of shape {array.shape}, got {self.ch_axis!r}"
            )
        if len(array) != n_row and n_row > 1:
            raise CannotFold(one_row)
        xp = chainer.backend.get_array_module(array)
        first = xp.moveaxis(array, self.ch_axis, 0)
        if len(array) != n_row:
            return first.reshape(1, len(first), -1)
        return xp.moveaxis(first.reshape(len(first), n_row, -1), 0, 1)


_REDUCE = ("sum", "max")


def _chosen_channels(channels: Any, n_channel: int) -> np.ndarray:
    """Return which channels are asked for, all for None."""
    every = np.arange(n_channel)
    if channels is None:
        return every
    chosen = np.atleast_1d(np.asarray(channels))
    is_allowed = chosen.ndim == 1 and chosen.size and chosen.dtype.kind in "iu"
    if not (is_allowed and np.isin(chosen, every).all()):
        raise ValueError(
            f"channels must be ints from 0 to {n_channel - 1}, or None for all; got "
            f"{channels!r}"
        )
    return chosen


def links_of_paths(
    model: Any, paths: Iterable[str], name: str
) -> dict[str, chainer.Link]:
    """Return links of a model by their paths.

    Args:
        model: The model; it has no such links if it is none itself.
        paths (iterable of str): As in ``model.namedlinks()``.
        name (str): What messages call the paths.

    Raises:
        ValueError: If there is no such link.
    """
    known = dict(model.namedlinks()) if isinstance(model, chainer.Link) else {}
    for path in paths:
        if not isinstance(path, str) or path not in known:
            raise ValueError(
                f"{name} must name the model's links by their paths, such as "
                f"{', '.join(list(known)[:4])}; got {path!r}"
            )
    return {path: known[path] for path in paths}


class _AccountRun(RelevanceRun):
    """What the account of relevance is kept in.

    Attributes:
        report (Conservation): Where relevance went, so far.
        assigned (Assignment or None): The rules of the last pass.
    """

    def __init__(self, run: RelevanceRun) -> None:
        super().__init__(run.composite, run.start, run.conditions)
        self.report = Conservation()
        self.assigned: Assignment | None = None


class _Accountant(LRPCalculator):
    """The same relevance, with an account of it and of the rules."""

    def start(self, batches: Batches, passes: CleanPasses) -> _AccountRun:
        return _AccountRun(super().start(batches, passes))

    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        run = graph_run_of(this)
        assert isinstance(run, _AccountRun)  # what start has returned
        relevances, run.assigned = self.walk_by_rules(
            graph, this, classes, keeps_account=True
        )
        run.report.add(relevances, run.assigned)
        return relevances


def _check_has_classes(this: ForwardPass) -> None:
    """Raise a ValueError unless a class can be predicted, for who asked for none."""
    shapes = [y.shape for y in this.outputs]
    if len(shapes) == 1 and len(shapes[0]) <= 2:
        return
    found = f"shape{'s' * (len(shapes) > 1)} {', '.join(map(str, shapes))}"
    raise ValueError(
        "LRP explains the predicted class by default (class_index=None), which needs "
        f"one output of shape (batch, n_class), got {found}. Say what to explain: "
        "class_index=i for index i of axis 1, (i, j) for one element of an output "
        "with another axis, 'sum' for all elements; or let output_extractor or "
        "eval_fun give scores of classes"
    )


def _as_start(relevance: Any) -> Reference | None:
    """Return the relevance to start with; None for the value of the output."""
    if isinstance(relevance, str) and relevance == "output":
        return None
    if relevance is None or isinstance(relevance, str) or callable(relevance):
        raise ValueError(
            f"relevance must be 'output', a number or an array, got {relevance!r}"
        )
    return Reference("relevance", relevance)


def _check_rule(rule: Any, low: Any, high: Any) -> None:
    """Raise if there are no such rules; presets are not made for that."""
    if isinstance(rule, str):
        check_choice("rule", rule, PRESETS)
        Box(low, high)
    else:
        _as_composite(rule, low, high)


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
