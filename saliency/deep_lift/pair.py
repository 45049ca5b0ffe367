"""A function at the example and at its baseline, and how the two graphs match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from link_hooks import RetainOutputHook
from saliency.array_types import Array
from saliency.backprop import input_gradients
from saliency.lrp.graph import Application, Graph, function_of

import chainer


class Pair:
    r"""One function, applied on the way from x and on the way from the baseline x'.

    Handlers run where NumPy gives no warning of 0 / 0 and its like.

    Args:
        at_x (Application): The function at x; what its outputs have received are their
            multipliers.
        at_baseline (Application): The same function at x'.

    Attributes:
        inputs (tuple of array): What it was applied to at x.
        inputs0 (tuple of array): What it was applied to at x'.
        outputs (tuple of array or None): What it gave at x; None where nobody used it.
        outputs0 (tuple of array or None): What it gave at x'.
        multipliers (list of array or None): Those of its outputs; None is zero.
        active_indexes (tuple of int): Which inputs depend on the target.
    """

    def __init__(self, at_x: Application, at_baseline: Application) -> None:
        self.at_x = at_x
        self.at_baseline = at_baseline
        self.inputs, self.inputs0 = at_x.inputs, at_baseline.inputs
        self.multipliers = at_x.relevance
        self.active_indexes = at_x.active_indexes

    @cached_property
    def outputs(self) -> tuple[Array, ...]:
        """What it gave at x."""
        return self.at_x.outputs

    @cached_property
    def outputs0(self) -> tuple[Array, ...]:
        """What it gave at x'."""
        return self.at_baseline.outputs

    @property
    def function(self) -> Any:
        """The function at x, as users of Chainer write it."""
        return function_of(self.at_x.function)

    @property
    def label(self) -> str:
        """The function's name, and where it was applied."""
        return self.at_x.label

    @property
    def xp(self) -> Any:
        """The array module, NumPy or CuPy."""
        return self.at_x.xp

    @property
    def m(self) -> Array:
        """The multiplier of the output, for functions with one output."""
        return self.at_x.output_relevance

    @property
    def dy(self) -> Array:
        """The difference of the output, for functions with one output."""
        (y,), (y0,) = self.outputs, self.outputs0
        return y - y0

    def dx(self, i: int) -> Array:
        """Return the difference of an input."""
        return self.inputs[i] - self.inputs0[i]

    def mean(self, i: int) -> Array:
        """Return the mean of an input at x and at x', which may be the same there."""
        x, x0 = self.inputs[i], self.inputs0[i]
        return x if x is x0 else (x + x0) * x.dtype.type(0.5)

    def is_same(self, i: int) -> bool:
        """Tell whether an input is the same at x and at x'."""
        x, x0 = self.inputs[i], self.inputs0[i]
        return x is x0 or bool((x == x0).all())

    def at_active(self, multipliers: Iterable[Array | None]) -> list[Array | None]:
        """Return multipliers of the active inputs in their places, None elsewhere."""
        return self.at_x.at_active(multipliers)

    def gradient(self, m: Sequence[Array | None] | None = None) -> list[Array | None]:
        """Return the gradients at the active inputs at x, None at the others.

        Args:
            m (sequence of array or None): What comes from above; None is the
                multipliers of the outputs.
        """
        return self.at_x.gradient(m)

    def gradient0(self, m: Sequence[Array | None] | None = None) -> list[Array | None]:
        """Return the gradients at the active inputs at x', None at the others."""
        above = self.multipliers if m is None else m
        found = input_gradients(self.at_baseline.function, self.active_indexes, above)
        return self.at_active(found)


class Matched:
    """The functions of the graph at x, each with the one in its place at x'.

    Args:
        graph (Graph): From the outputs at x to the targets.
        outputs (sequence of chainer.Variable): The outputs at x.
        outputs0 (sequence of chainer.Variable): The outputs at x'.
        hook0 (RetainOutputHook): Was active while the graph at x' was made.

    Raises:
        ValueError: If the two graphs are not of the same functions.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[chainer.Variable],
        outputs0: Sequence[chainer.Variable],
        hook0: RetainOutputHook,
    ) -> None:
        self._hook0 = hook0
        self._between = set(graph.functions)
        self._at_baseline: dict[Any, Any] = {}
        for y, y0 in zip(outputs, outputs0):
            self._match(y.node, y0.node)
        # From the outputs down, so that a function is met after all that use it.
        for function in graph.functions:
            function0 = self._at_baseline[function]
            for x, x0 in zip(function.inputs, function0.inputs):
                self._match(x, x0)

    def _match(self, node: Any, node0: Any) -> None:
        function, function0 = node.creator_node, node0.creator_node
        if function not in self._between:
            return
        known = self._at_baseline.setdefault(function, function0)
        is_same = (
            known is function0
            and type(function_of(function)) is type(function_of(function0))
            and len(function.inputs) == len(function0.inputs)
            and node.shape == node0.shape
        )
        if not is_same:
            other = "nothing"
            if function0 is not None:
                other = type(function_of(function0)).__name__
            raise ValueError(
                "the model takes another way at the baseline than at the example, "
                "where DeepLIFT has to compare them function by function: "
                f"{type(function_of(function)).__name__} of shape {node.shape} is "
                f"{other} of shape {node0.shape} there. Pass another baseline, or a "
                "model whose control flow does not depend on the target"
            )

    def pair(self, at_x: Application) -> Pair:
        """Return an application at x with that at x'."""
        function0 = self._at_baseline[at_x.function]
        at_baseline = Application(
            function0,
            self._hook0.get_inputs(function0),
            self._hook0.get_outputs(function0),
            at_x.active,
            self._hook0.get_array,
            at_x.relevance,
        )
        return Pair(at_x, at_baseline)
