"""The base of calculators that walk over the graph by themselves."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from link_hooks import RetainOutputHook
from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.run import Run
from saliency.lrp.graph import Graph, Relevances


class GraphRun(Run):
    """What one call of a calculator that walks over the graph holds.

    Args:
        of_other_base: What the run is told that a method joins with this one.

    Attributes:
        hook (RetainOutputHook): Has what the functions of the last pass were applied
            to.
    """

    def __init__(self, *of_other_base: Any) -> None:
        super().__init__(*of_other_base)
        self.hook = RetainOutputHook()


class GraphCalculator(BaseCalculator):
    """Walks from the explained output to the target, function by function.

    A subclass says what is done at each function (:meth:`walk`). The arguments are
    those of :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    reads_graph = True
    holds_all_arrays = True

    def start(self, batches: Batches, passes: CleanPasses) -> GraphRun:
        """Return what holds the hook."""
        return GraphRun()

    @contextlib.contextmanager
    def watch_forward(self, run: Run) -> Iterator[None]:
        """Keep what the functions of a pass are applied to."""
        assert isinstance(run, GraphRun)  # what start has returned
        run.hook.clear()
        with run.hook:
            yield

    def contribution(self, this: ForwardPass, classes: Explained) -> Array:
        """Return what the walk brings to each row's target.

        There is one walk, to all targets: what depends on any of them takes part.
        """

        def walk() -> Relevances:
            graph = Graph(this.outputs, this.all_targets, hook)
            for position, one in enumerate(this.caught):
                if not any(map(graph.is_used, one.variables)):
                    this.run.warn_of_no_influence(position)
            return self.walk(graph, this, classes)

        hook = graph_run_of(this).hook
        try:
            return self.collect(this, this.once("walk", walk))
        finally:
            hook.clear()

    def collect(self, this: ForwardPass, relevances: Relevances) -> Array:
        """Return the relevance of each row's target, ``(n_row,) + shape``."""
        return this.of_explained_call(at_calls(this, relevances))

    @abstractmethod
    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        """Walk over a pass's graph.

        Args:
            graph (Graph): From the pass's outputs to its targets.
            this (ForwardPass): The pass.
            classes (numpy.ndarray, tuple or None): Class of each row, or an index into
                the axes of the output behind the batch axis; None sums all.
        """


def at_calls(this: ForwardPass, relevances: Relevances) -> list[Array]:
    """Return the relevance at each call of the target, as ``this.origins`` are."""
    found = [relevances.at(target) for target in this.targets]
    with_rows = [None if r is None else this.with_batch_axis(r) for r in found]
    calls: list[Array] = this.of_calls(this.or_zeros(with_rows))
    return calls


def graph_run_of(this: ForwardPass) -> GraphRun:
    """Return what the call of a pass holds."""
    assert isinstance(this.run, GraphRun)  # what start has returned
    return this.run
