"""The base of calculators that walk over the graph by themselves."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from link_hooks import RetainOutputHook
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.lrp.graph import Graph, Relevances


class GraphCalculator(BaseCalculator):
    """Walks from the explained output to the target, function by function.

    A subclass says what is done at each function (:meth:`walk`). The arguments are
    those of :class:`~saliency.calculator.base_calculator.BaseCalculator`.
    """

    run_state = (*BaseCalculator.run_state, "_hook")
    _hook: RetainOutputHook  # of the pass at hand

    @contextlib.contextmanager
    def watch_forward(self) -> Iterator[None]:
        """Keep what the functions of a pass are applied to."""
        self._hook = RetainOutputHook()
        with self._hook:
            yield

    def contribution(self, this: ForwardPass, classes: np.ndarray | None) -> Any:
        """Return what the walk brings to each row's target."""
        try:
            graph = Graph(this.outputs, this.targets, self._hook)
            return self.collect(this, self.walk(graph, this, classes))
        finally:
            self._hook.clear()

    def collect(self, this: ForwardPass, relevances: Relevances) -> Any:
        """Return the relevance of each row's target, ``(n_row,) + shape``."""
        found = [relevances.at(target) for target in this.targets]
        return this.of_explained_call(
            [
                t.xp.zeros_like(t.array) if r is None else r
                for t, r in zip(this.targets, found)
            ]
        )

    @abstractmethod
    def walk(
        self, graph: Graph, this: ForwardPass, classes: np.ndarray | None
    ) -> Relevances:
        """Walk over a pass's graph.

        Args:
            graph (Graph): From the pass's outputs to its targets.
            this (ForwardPass): The pass.
            classes (numpy.ndarray or None): Class of each row; None sums all.
        """
