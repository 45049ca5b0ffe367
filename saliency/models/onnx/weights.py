"""Which constants of a file are parameters of which links."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.models.onnx.operators import Operator
from saliency.models.onnx.steps import Step


class Weights:
    """Which constants are parameters of one link, and which of several.

    Attributes:
        links (dict): The names of links that several nodes can share, with the
            positions of what they hold.
    """

    def __init__(self) -> None:
        self.links: dict[tuple[Any, ...], tuple[str, frozenset[int]]] = {}
        self._users: dict[str, set[tuple[Any, ...]]] = {}

    @property
    def shared(self) -> set[str]:
        """Names of constants that links of several kinds use."""
        return {name for name, users in self._users.items() if len(users) > 1}

    def count(self, operator: Operator, step: Step) -> None:
        """Take note of the constants of a step."""
        for i, value in step.node.constants.items():
            if _is_shareable(value) and i not in operator.settings:
                self._users.setdefault(step.inputs[i], set()).add(_signature(step))

    def key_of(self, step: Step) -> tuple[Any, ...]:
        """Return what all nodes have in common that one link can run, if any can."""
        constants = step.node.constants.items()
        held = {step.inputs[i] for i, value in constants if _is_shareable(value)}
        return () if not held or held & self.shared else _signature(step)


def _is_shareable(value: np.ndarray) -> bool:
    """Tell whether a constant that several nodes use is one parameter of theirs.

    Vectors are not: exporters write equal ones once, such as biases that are all zero,
    and links of layers are to have biases of their own.
    """
    return value.dtype.kind == "f" and value.ndim > 1 and value.size > 1


def _signature(step: Step) -> tuple[Any, ...]:
    """Return what two nodes have in common that are one and the same link."""
    constants = tuple((i, step.inputs[i]) for i in step.node.constants)
    left_out = tuple(not name for name in step.inputs)
    settings = sorted((k, _comparable(v)) for k, v in step.node.attributes.items())
    return (step.node.type, constants, left_out, step.node.n_output, tuple(settings))


def _comparable(value: Any) -> str:
    """Return an attribute as a text that another one has only if it is equal."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tobytes()!r}"
    return repr(value)
