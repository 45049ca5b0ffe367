"""One call of a model: step by step, as its plan says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from saliency.models.onnx.batch_axes import (
    SCATTERING,
    Shape,
    cannot_grow,
    is_tied,
    place_behind,
)
from saliency.models.onnx.families import OPERATORS
from saliency.models.onnx.folding import evaluate
from saliency.models.onnx.inputs import Input
from saliency.models.onnx.links import OperatorLink, SharedParameters
from saliency.models.onnx.operators import Call, Growth, Place, on_host
from saliency.models.onnx.steps import Plan, Step

import chainer


class Run:
    """One call of a model.

    Args:
        model (Chain): What is called.
        plan (Plan): Its steps.
        inputs (sequence): Variables and arrays.

    Attributes:
        values (dict): Variables and arrays by their names in the file.
    """

    def __init__(self, model: chainer.Chain, plan: Plan, inputs: Sequence[Any]) -> None:
        self._model = model
        self.values: dict[str, Any] = dict(zip(plan.inputs, inputs))
        for link in model.children():
            if isinstance(link, SharedParameters):
                self.values.update(link.values())
        self._growth = _growth(model.inputs, inputs)
        # Where the batch is in each value that depends on it, None where it is lost.
        self._places: dict[str, Place | None] = {}
        if self._growth is not None:
            for expected in model.inputs:
                if expected.batch is not None:
                    self._places[expected.name] = Place(expected.batch)

    def outputs(self, plan: Plan, values: dict[str, Any]) -> tuple[Any, ...]:
        """Return what a plan gives, and add what it computes to the values."""
        values.update(plan.constants)
        for step in plan.steps:
            self._check_scattering(step, values)
            outputs = self._step(step, values)
            self._follow(step, values, outputs)
            values.update((k, v) for k, v in zip(step.outputs, outputs) if k)
            for name in step.last_used:
                values.pop(name, None)
        return tuple(values[name] for name in plan.outputs)

    def _step(self, step: Step, values: dict[str, Any]) -> tuple[Any, ...]:
        inputs = [
            values[name] if name else None
            for i, name in enumerate(step.inputs)
            if i not in step.held
        ]
        if step.link is not None:
            return self._call_link(step, inputs)
        operator = OPERATORS[step.node.type]
        if step.bodies or operator.gives_arrays:
            call = Call(step.node, self._model.xp, None, self._bodies(step, values))
            return operator.apply(call, inputs)
        return evaluate(step.node, [x if x is None else on_host(x) for x in inputs])

    def _call_link(self, step: Step, inputs: Sequence[Any]) -> tuple[Any, ...]:
        link = self._model[step.link]
        if isinstance(link, OperatorLink):
            growth = self._growth_at(step)
            keywords = {} if growth is None else {"growth": growth}
            found = link(*inputs, **keywords)
        else:
            found = link(*[x if x is None else self._on_device(x) for x in inputs])
        return found if isinstance(found, tuple) else (found,)

    def _on_device(self, value: Any) -> Any:
        is_variable = isinstance(value, chainer.Variable)
        return value if is_variable else self._model.xp.asarray(value)

    def _bodies(self, step: Step, values: dict[str, Any]) -> dict[str, Any]:
        """Return the graphs within a node as functions."""

        def function_of(body: Plan) -> Any:
            def call(*inputs: Any) -> tuple[Any, ...]:
                inner = {**values, **dict(zip(body.inputs, inputs))}
                return self.outputs(body, inner)

            return call

        return {name: function_of(body) for name, body in step.bodies.items()}

    def _growth_at(self, step: Step) -> Growth | None:
        if self._growth is None:
            return None
        places = (self._places.get(x) for x in step.inputs)
        first = next((place for place in places if place is not None), None)
        return self._growth._replace(place=first)

    def _placed(
        self, step: Step, values: Mapping[str, Any]
    ) -> list[tuple[Shape, Place | None]]:
        """Return the shape of each input, and where the batch is in it."""
        link = None if step.link is None else self._model[step.link]
        return [
            (
                link.shape_of(i)
                if i in step.held and isinstance(link, OperatorLink)
                else getattr(values.get(name), "shape", ()),
                self._places.get(name),
            )
            for i, name in enumerate(step.inputs)
        ]

    def _check_scattering(self, step: Step, values: Mapping[str, Any]) -> None:
        """Raise a ValueError if a step would leave out examples, or change others.

        What it gives has the shape of its data, so that it would not be noticed behind.
        """
        node = step.node
        if self._growth is None or node.type not in SCATTERING:
            return
        if is_tied(node, self._placed(step, values)):
            raise cannot_grow(f"{node.type} ({node.name})", self._growth)

    def _follow(
        self, step: Step, values: Mapping[str, Any], outputs: Sequence[Any]
    ) -> None:
        """Note where the batch is in what a step gives."""
        if self._growth is None or step.needs.isdisjoint(self._places):
            return
        if step.node.type in ("Shape", "Size"):
            return
        inputs = self._placed(step, values)
        # What is scattered has been checked: its integers say where it belongs.
        is_lost = step.node.type not in SCATTERING and any(
            self._is_lost(name, values) for name in step.inputs
        )
        for name, output in zip(step.outputs, outputs):
            if name and hasattr(output, "shape"):
                self._places[name] = (
                    None
                    if is_lost
                    else place_behind(
                        step.node, inputs, output.shape, self._growth.size
                    )
                )

    def _is_lost(self, name: str, values: Mapping[str, Any]) -> bool:
        """Tell whether numbers come from the batch, but not one row of each example.

        What they are added to, or the like, mixes examples: ``x - x[0]``. Integers are
        shapes, as a rule.
        """
        is_float = getattr(values.get(name), "dtype", np.dtype(int)).kind == "f"
        return is_float and name in self._places and self._places[name] is None

    def check_growth(self, outputs: Iterable[str]) -> None:
        """Raise a ValueError if the batch is not that of the file, and gets lost."""
        if self._growth is None:
            return
        for name in self._places.keys() & set(outputs):
            place = self._places[name]
            shape = self.values[name].shape
            if place is None or shape[place.axis] != self._growth.size:
                raise cannot_grow(f"output {name!r}", self._growth)


def _growth(expected: Sequence[Input], inputs: Sequence[Any]) -> Growth | None:
    """Return how the batch differs from that of the file, if it does."""
    for i, x in zip(expected, inputs):
        written = i.written_batch
        if written is not None and written != x.shape[i.batch]:
            return Growth(None, x.shape[i.batch], written)
    return None
