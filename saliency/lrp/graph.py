"""The walk: relevance goes from the outputs of a graph back to its targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Callable, Optional

from link_hooks import RetainOutputHook
from saliency.array_types import Array
from saliency.backprop import input_gradients
from saliency.checks import no_influence
from saliency.lrp.arithmetic import add

import chainer

#: Relevance of each input of a function, None for those that get none.
InputRelevance = Sequence[Optional[Array]]


@dataclass
class Application:
    """One application of a function, as a rule sees it.

    Attributes:
        function (chainer.FunctionNode): The function.
        inputs (tuple of array): What it was applied to.
        outputs (tuple of array or None): What it gave; None where nobody used it.
        active (tuple of bool): Which inputs depend on a target. The others are
            parameters and constants: what they would get stays with them as bias.
        array_of (callable): ``array_of(node)`` returns the array of any variable node
            of the graph, or None.
        relevance (list of array or None): Relevance of the outputs; None is zero.
        link (chainer.Link or None): The link that applied it.
        merged (list of Application): Functions behind it that are treated as one
            with it, nearest first (batch normalization behind a convolution).
        input_relevance (list of array or None): Relevance that its inputs got from it.
        bias_relevance (list of array): What stayed with biases and constants.
        withheld (float): Sum of the relevance that a mask stopped at the outputs.
        keeps_account (bool): Whether somebody wants to know of its relevance after it
            has been passed on; else the arrays are let go, and nothing is noted.
    """

    function: chainer.FunctionNode
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    active: tuple[bool, ...]
    array_of: Callable[[chainer.variable.VariableNode], Array | None]
    relevance: list[Array | None]
    link: chainer.Link | None = None
    merged: list[Application] = field(default_factory=list)
    input_relevance: list[Array | None] = field(default_factory=list)
    bias_relevance: list[Array] = field(default_factory=list)
    withheld: float = 0.0
    keeps_account: bool = True

    @property
    def received(self) -> float:
        """Sum of the relevance of the outputs, with what a mask stopped there."""
        return sum(_sum(r) for r in self.relevance if r is not None) + self.withheld

    @property
    def passed_on(self) -> float:
        """Sum of the relevance that the active inputs got."""
        pairs = zip(self.input_relevance, self.active)
        return sum(_sum(r) for r, is_active in pairs if is_active and r is not None)

    @property
    def taken_by_bias(self) -> float:
        """Sum of what stayed with biases and constants."""
        return sum(_sum(r) for r in self.bias_relevance)

    @property
    def output_relevance(self) -> Array:
        """Relevance of the output, for functions with one output."""
        (r,) = self.relevance
        return r

    @cached_property
    def active_indexes(self) -> tuple[int, ...]:
        """Indexes of the inputs that depend on a target."""
        return tuple(i for i, is_active in enumerate(self.active) if is_active)

    def at_active(self, relevance: Iterable[Array | None]) -> list[Array | None]:
        """Return relevance of the active inputs in their places, None at the others."""
        result: list[Array | None] = [None] * len(self.inputs)
        for i, r in zip(self.active_indexes, relevance):
            result[i] = r
        return result

    @property
    def xp(self) -> Any:
        """The array module, NumPy or CuPy."""
        return chainer.backend.get_array_module(*self.inputs)

    @property
    def label(self) -> str:
        """The function's name, and where it was applied."""
        kind = type(function_of(self.function)).__name__
        if self.link is None:
            return f"{kind} (outside any link)"
        name = self.link.name or "/"
        return f"{kind} (in link '{name}', {type(self.link).__name__})"

    def gradient(
        self, relevance: Sequence[Array | None] | None = None
    ) -> list[Array | None]:
        """Return the gradients at the active inputs, None at the others.

        Args:
            relevance (sequence of array or None): What comes from above; this
                application's own relevance if None.
        """
        above = self.relevance if relevance is None else relevance
        found = input_gradients(self.function, self.active_indexes, above)
        return self.at_active(found)


@dataclass
class Relevances:
    """What a walk found.

    Attributes:
        by_node (dict): Relevance of each variable node that was kept.
        applications (list of Application): The functions in the order of the walk,
            from the outputs down, with the relevance of their outputs.
        start (float): Sum of the relevance of the outputs.
    """

    by_node: dict[chainer.variable.VariableNode, Array]
    applications: list[Application]
    start: float

    def at(self, variable: chainer.Variable) -> Array | None:
        """Return the relevance of a variable, or None if none reached it."""
        return self.by_node.get(variable.node)


class Graph:
    """The functions between targets and outputs, and the arrays they saw.

    Args:
        outputs (sequence of chainer.Variable): Where relevance starts.
        targets (sequence of chainer.Variable): Where it ends.
        hook (RetainOutputHook): Was active while the graph was made.

    Raises:
        ValueError: If no output depends on any target.
    """

    def __init__(
        self,
        outputs: Sequence[chainer.Variable],
        targets: Sequence[chainer.Variable],
        hook: RetainOutputHook,
    ) -> None:
        self._hook = hook
        self._outputs = [y.node for y in outputs]
        self._targets = {t.node for t in targets}
        functions = _functions_behind(self._outputs)
        self._active = _nodes_above(self._targets, functions)
        if not any(node in self._active for node in self._outputs):
            raise no_influence()
        # From the outputs down: a function comes after all that use its outputs.
        self.functions = sorted(
            (f for f in functions if any(x in self._active for x in f.inputs)),
            key=lambda f: -f.rank,
        )
        self._consumers: dict[chainer.variable.VariableNode, int] = {}
        for function in functions:
            for x in function.inputs:
                self._consumers[x] = self._consumers.get(x, 0) + 1

    def application(self, function: chainer.FunctionNode) -> Application:
        """Return a function with its arrays, and no relevance yet."""
        return Application(
            function,
            self._hook.get_inputs(function),
            self._hook.get_outputs(function),
            tuple(x in self._active for x in function.inputs),
            self._hook.get_array,
            [None] * len(function.outputs),
            self._hook.get_link(function),
        )

    def is_used(self, variable: chainer.Variable) -> bool:
        """Tell whether the outputs depend on a variable, or are it."""
        return variable.node in self._consumers or variable.node in self._outputs

    def is_on_the_way(self, variable: chainer.Variable) -> bool:
        """Tell whether a variable depends on a target, and an output on it."""
        return variable.node in self._active and self.is_used(variable)

    def is_used_once(self, node: chainer.variable.VariableNode) -> bool:
        """Tell whether one function alone uses a variable, and no one reads it."""
        is_read = node in self._outputs or node in self._targets
        return self._consumers.get(node, 0) == 1 and not is_read

    def walk(
        self,
        start: Sequence[Array],
        pass_back: Callable[[Application], InputRelevance],
        is_part_of: Callable[[Application, Application], bool] | None = None,
        keep: Iterable[chainer.Variable] | None = (),
        applications: Sequence[Application] | None = None,
        masks: Mapping[chainer.variable.VariableNode, Array] | None = None,
        keeps_account: bool = True,
    ) -> Relevances:
        """Pass relevance from the outputs to the targets.

        Each function is visited once, after everything that uses its outputs;
        relevance is added up at every variable. That makes sums, shared links and
        concatenation come out right without knowing of them.

        Args:
            start (sequence of array): Relevance of each output.
            pass_back (callable): ``pass_back(application)`` returns the relevance of
                its inputs, None for zero.
            is_part_of (callable or None): ``is_part_of(upper, lower)`` tells whether
                a function is treated as one with the only one that it follows.
            keep (iterable of chainer.Variable or None): Variables whose relevance is
                kept besides the targets'; None keeps all.
            applications (sequence of Application or None): The functions, in their
                order, where somebody has them already; they are given the relevance.
            masks (mapping or None): What the relevance of some variables is multiplied
                by before it goes on.
            keeps_account (bool): Whether applications keep the relevance that they got
                and gave.
        """
        masks = masks or {}
        relevance: dict[chainer.variable.VariableNode, Array] = {}
        for node, r in zip(self._outputs, start):
            _add(relevance, node, r)
        kept = None if keep is None else {v.node for v in keep} | self._targets
        result = Relevances({}, [], sum(_sum(r) for r in start))
        if applications is None:
            applications = [self.application(f) for f in self.functions]
        of_function = {this.function: this for this in applications}
        merges: dict[chainer.FunctionNode, bool] = {}
        for this in applications:
            function = this.function
            for i, ref in enumerate(function.outputs):
                node = ref()
                if node is None or node not in relevance:
                    continue
                this.relevance[i] = r = relevance.pop(node)
                if node in masks:
                    this.relevance[i] = r * masks[node]
                    this.withheld += _sum(r - this.relevance[i])
                if kept is None or node in kept:
                    result.by_node[node] = this.relevance[i]
            if all(r is None for r in this.relevance):
                continue
            result.applications.append(this)
            this.keeps_account = keeps_account
            lower = of_function.get(self._only_source(function))
            if (
                is_part_of
                and lower is not None
                and self._is_merged(this, of_function, is_part_of, merges)
            ):
                lower.merged = [this, *this.merged]
                this.input_relevance = this.at_active(this.relevance)
            else:
                this.input_relevance = list(pass_back(this))
            for x, is_active, r in zip(
                function.inputs, this.active, this.input_relevance
            ):
                if r is None:
                    continue
                if is_active:
                    _add(relevance, x, r)
                elif keeps_account:
                    this.bias_relevance.append(r)
            if not keeps_account:
                this.relevance, this.input_relevance = [], []
        for node, r in relevance.items():
            if kept is None or node in kept:
                result.by_node[node] = r
        return result

    def _is_merged(
        self,
        function: Application,
        applications: dict[chainer.FunctionNode, Application],
        is_part_of: Callable[[Application, Application], bool],
        known: dict[chainer.FunctionNode, bool],
    ) -> bool:
        """Tell whether a function is one with what stands below a chain of such.

        Args:
            function (Application): The function.
            applications (dict): All of them.
            is_part_of (callable): See :meth:`walk`.
            known (dict): What is known of functions; that of the chain is added.
        """
        # Chains may be longer than Python lets functions call themselves.
        chain = [function]
        while chain[-1].function not in known:
            below = applications.get(self._only_source(chain[-1].function))
            if below is None:
                known[chain[-1].function] = False
            else:
                chain.append(below)
        for i in reversed(range(len(chain) - 1)):
            upper, lower = chain[i], chain[i + 1]
            while not (found := is_part_of(upper, lower)) and known[lower.function]:
                lower = applications[self._only_source(lower.function)]
            known[upper.function] = found
        return known[function.function]

    def _only_source(
        self, function: chainer.FunctionNode
    ) -> chainer.FunctionNode | None:
        """Return the function that gives the only active input, if only for that."""
        active = [x for x in function.inputs if x in self._active]
        if len(active) != 1 or not self.is_used_once(active[0]):
            return None
        return active[0].creator_node


def function_of(
    node: chainer.FunctionNode,
) -> chainer.FunctionNode | chainer.Function:
    """Return the old-style function inside a node, or the node itself."""
    return getattr(node, "function", node)


def _sum(array: Array) -> float:
    return float(array.sum(dtype="d"))


def _add(
    relevance: dict[chainer.variable.VariableNode, Array],
    node: chainer.variable.VariableNode,
    r: Array,
) -> None:
    relevance[node] = add(relevance[node], r) if node in relevance else r


def _functions_behind(
    outputs: Sequence[chainer.variable.VariableNode],
) -> list[chainer.FunctionNode]:
    """Return all functions that the output nodes were made by."""
    found: dict[chainer.FunctionNode, None] = {}
    waiting = [node.creator_node for node in outputs]
    while waiting:
        function = waiting.pop()
        if function is not None and function not in found:
            found[function] = None
            waiting.extend(x.creator_node for x in function.inputs)
    return list(found)


def _nodes_above(
    targets: set[chainer.variable.VariableNode],
    functions: Iterable[chainer.FunctionNode],
) -> set[chainer.variable.VariableNode]:
    """Return the nodes that depend on the targets, and the targets."""
    active = set(targets)
    for function in sorted(functions, key=lambda f: f.rank):
        if any(x in active for x in function.inputs):
            active.update(ref() for ref in function.outputs if ref() is not None)
    return active
