"""What has been found on the way back so far, added up at each variable."""

from __future__ import annotations

from typing import Any

from saliency.backprop.gradient import Gradient
from saliency.cpu import elementwise, is_fast


class Gradients:
    """The gradient at each variable node."""

    def __init__(self) -> None:
        self._found: dict[Any, Gradient] = {}

    def __contains__(self, node: Any) -> bool:
        return node in self._found

    def put(self, node: Any, gradient: Gradient) -> None:
        """Put a gradient in the place of what there was."""
        self._found[node] = gradient

    def pop(self, node: Any) -> Gradient | None:
        """Take the gradient at a node, None if there is none."""
        return self._found.pop(node, None)

    def add(self, node: Any, gradient: Gradient) -> None:
        """Add a gradient to what there is."""
        before = self._found.get(node)
        self._found[node] = gradient if before is None else _sum(before, gradient)


def _sum(a: Gradient, b: Gradient) -> Gradient:
    """Return the sum of gradients, in the memory of one that may be written into."""
    x, y = a.array, b.array
    out = None
    if x.shape == y.shape and x.dtype == y.dtype:
        out = x if a.is_owned else y if b.is_owned else None
        if elementwise.is_large(x) and is_fast(x, y):
            return Gradient(elementwise.add(x, y, out), is_owned=True)
    if out is not None:
        out += y if out is x else x
    return Gradient(x + y if out is None else out, is_owned=True)
