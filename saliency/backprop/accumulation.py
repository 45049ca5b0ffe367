"""What has been found on the way back so far, added up at each variable."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.backprop.gradient import Gradient
from saliency.cpu import elementwise, is_fast


class Gradients(dict[Any, Gradient]):
    """The gradient at each variable node."""

    def add(self, node: Any, gradient: Gradient) -> None:
        """Add a gradient to what there is."""
        before = self.get(node)
        self[node] = gradient if before is None else _sum(before, gradient)


def _sum(a: Gradient, b: Gradient) -> Gradient:
    """Return the sum of gradients, in the memory of one that may be written into."""
    x, y = a.array, b.array
    out = None
    if x.shape == y.shape and x.dtype == y.dtype:
        out = x if a.is_owned else y if b.is_owned else None
        if elementwise.is_large(x) and is_fast(x, y):
            return Gradient(
                elementwise.arithmetic(np.add, x, y, out=out), is_owned=True
            )
    if out is not None:
        out += y if out is x else x
    return Gradient(x + y if out is None else out, is_owned=True)
