"""What a graph has become: steps, one for each node that is not computed beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from saliency.models.onnx.operators import Node


@dataclass(frozen=True)
class Step:
    """A node that is run, and what goes into it.

    Attributes:
        node (Node): What is run.
        inputs (tuple of str): Names of values, empty for those that are left out.
        outputs (tuple of str): Names of values.
        link (str or None): The name of the link that runs it; None if nothing that it
            gives can have a gradient, or it runs other graphs.
        held (frozenset of int): Positions of the inputs that the link holds.
        bodies (dict): The graphs that it runs, by attribute.
        last_used (tuple of str): Values that no later step needs.
    """

    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    link: str | None = None
    held: frozenset[int] = frozenset()
    bodies: Mapping[str, Plan] = field(default_factory=dict)
    last_used: tuple[str, ...] = ()

    @property
    def needs(self) -> set[str]:
        """The names of all values that it needs, within its bodies as well."""
        found = {x for i, x in enumerate(self.inputs) if x and i not in self.held}
        return found.union(*(body.needs for body in self.bodies.values()))

    @property
    def links(self) -> set[str]:
        """The names of the links that run it, within its bodies as well."""
        own = set() if self.link is None else {self.link}
        return own.union(*(body.links for body in self.bodies.values()))


@dataclass(frozen=True)
class Plan:
    """The steps of a graph, in an order in which they can be run.

    Attributes:
        inputs (tuple of str): Names of the values that it is given.
        outputs (tuple of str): Names of the values that it gives.
        steps (tuple of Step): What is run.
        constants (dict): Arrays that are values from the start.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    constants: Mapping[str, np.ndarray]

    @property
    def needs(self) -> set[str]:
        """The names of the values that come from the graph around it."""
        own = {*self.inputs, *self.constants}
        own.update(name for step in self.steps for name in step.outputs)
        needed = set(self.outputs).union(*(step.needs for step in self.steps))
        return needed - own

    @property
    def links(self) -> set[str]:
        """The names of the links that run it."""
        return set().union(*(step.links for step in self.steps))

    def selected(self, outputs: Iterable[str]) -> Plan:
        """Return a plan of no more steps than these outputs need."""
        outputs = tuple(outputs)
        needed = set(outputs)
        steps: list[Step] = []
        for step in reversed(self.steps):
            if needed.isdisjoint(step.outputs):
                continue
            fresh = step.needs - needed
            last_used = {*fresh, *(set(step.outputs) - needed)}
            steps.append(replace(step, last_used=tuple(sorted(last_used))))
            needed |= step.needs
        constants = {k: v for k, v in self.constants.items() if k in needed}
        return Plan(self.inputs, outputs, tuple(reversed(steps)), constants)
