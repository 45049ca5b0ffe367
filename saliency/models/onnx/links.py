"""Links of nodes that are none of Chainer's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from saliency.models.onnx.folding import evaluate
from saliency.models.onnx.names import link_name
from saliency.models.onnx.operators import OPERATORS, Call, Growth, Node, on_host

import chainer


class OperatorLink(chainer.Link):
    """A node of a graph as a link, which hooks, composites and extractors can name.

    Constants that go into the node are its parameters, if they are several finite
    floating-point numbers; all others are persistent values.

    Args:
        node (Node): What it computes; ``node.constants`` is what it holds.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        operator = OPERATORS[node.type]
        self.node = dataclasses.replace(node, constants={})
        self._held = {i: operator.input_name(i) for i in node.constants}
        self._fixed: dict[int, np.ndarray] = {}
        for i, value in node.constants.items():
            self._hold(i, value, i in operator.settings)

    def _hold(self, i: int, value: np.ndarray, is_setting: bool) -> None:
        """Take a constant as a parameter, a persistent value, or as it is."""
        if is_setting or value.size <= 1:
            self._fixed[i] = value
        else:
            _add(self, self._held[i], value)

    @property
    def printable_specs(self) -> Iterator[tuple[str, str]]:
        """What is printed of it: the operator."""
        yield "operator", self.node.type

    def forward(self, *inputs: Any, growth: Growth | None = None) -> Any:
        """Return what the node gives, a tuple if that is several.

        Args:
            inputs (Variable or array or None): Those that it does not hold.
            growth (Growth or None): How the batch differs from that of the file.
        """
        given = iter(inputs)
        n_input = len(inputs) + len(self._held)
        every = [
            self._constant(i) if i in self._held else next(given)
            for i in range(n_input)
        ]
        if any(isinstance(x, chainer.Variable) for x in every):
            call = Call(self.node, self.xp, growth)
            outputs = OPERATORS[self.node.type].apply(call, every)
        else:  # after an If that gives integers, for example
            outputs = evaluate(
                self.node, [x if x is None else on_host(x) for x in every]
            )
        return outputs if len(outputs) > 1 else outputs[0]

    def shape_of(self, i: int) -> tuple[int, ...]:
        """Return the shape of an input that it holds."""
        shape: tuple[int, ...] = self._constant(i).shape
        return shape

    def _constant(self, i: int) -> Any:
        return self._fixed[i] if i in self._fixed else getattr(self, self._held[i])


def _add(link: chainer.Link, name: str, value: np.ndarray) -> None:
    """Give a link a parameter or a persistent value.

    It is a copy: what has been computed from other constants may be a view of them.
    """
    value = np.array(value, order="C")
    if value.dtype.kind == "f" and np.isfinite(value).all():
        with link.init_scope():
            setattr(link, name, chainer.Parameter(value))
    else:
        link.add_persistent(name, value)


class SharedParameters(chainer.Link):
    """Parameters that nodes of several kinds use.

    Args:
        values (dict): Arrays by their names in the file.

    Attributes:
        names (dict): The names of the parameters by those in the file.
    """

    def __init__(self, values: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        for name, value in values.items():
            self.names[name] = link_name(name, "parameter", dir(self))
            _add(self, self.names[name], value)

    def values(self) -> dict[str, Any]:
        """Return parameters and arrays by their names in the file."""
        return {name: getattr(self, own) for name, own in self.names.items()}
