"""Where the batch is, in networks whose files have its size written into them.

Exporters write the shapes that they saw. Where they saw one example, a Reshape to
``(1, 512)`` has to become one to ``(n, 512)``, if its first axis is the batch, and only
then. So the axis of the batch is followed through the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from saliency.models.onnx.operators import Growth, Node

#: The shape of an array.
Shape = tuple[int, ...]

_REDUCTIONS = frozenset(
    f"Reduce{name}"
    for name in (
        *("Mean", "Sum", "Max", "Min", "Prod"),
        *("L1", "L2", "LogSum", "LogSumExp", "SumSquare"),
    )
)
# What combines its inputs element by element, or copies the input along new axes.
_BROADCAST = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Max", "Min", "Mean", "Where"),
        *("PRelu", "MatMul", "Expand"),
    )
)


def axis_behind(
    node: Node, inputs: Sequence[tuple[Shape, int | None]], output: Shape
) -> int | None:
    """Return the axis of the batch in the first output of a node, if it is known.

    Args:
        node (Node): What is computed.
        inputs (sequence of tuple): Shape and axis of the batch of each input.
        output (tuple of int): The shape of what is given.
    """
    if node.type in _BROADCAST:
        found = {a - len(s) for s, a in inputs if a is not None}
        return len(output) + found.pop() if len(found) == 1 else None
    shape, axis = next(((s, a) for s, a in inputs if a is not None), ((), None))
    if axis is None:
        return None
    if node.type == "Transpose":
        order = node.attributes.get("perm", list(range(len(shape)))[::-1])
        return int(order.index(axis))
    if node.type in ("Squeeze", "Unsqueeze", "Gather") or node.type in _REDUCTIONS:
        return _same_position(shape, axis, output)
    if node.type in ("LSTM", "GRU", "RNN"):
        return 2 if len(output) == 4 and axis == 1 else None
    if node.type == "Reshape":
        return _reshaped_axis(shape, axis, output)
    is_kept = len(output) > axis and output[axis] == shape[axis]
    return axis if is_kept and (axis == 0 or len(output) == len(shape)) else None


def _same_position(shape: Shape, axis: int, output: Shape) -> int | None:
    """Return the axis that is left of as many, or right of as many, as it was."""
    n = shape[axis]
    found = {a for a in (axis, len(output) - len(shape) + axis) if 0 <= a < len(output)}
    found = {a for a in found if output[a] == n}
    if len(found) == 1:
        return found.pop()
    return axis if axis in found and output[: axis + 1] == shape[: axis + 1] else None


def _reshaped_axis(shape: Shape, axis: int, output: Shape) -> int | None:
    """Return the axis that has as many elements in front of it, and is as long.

    Where axes of length 1 make that several, it is the one in the same position.
    """
    in_front = math.prod(shape[:axis])
    found = [
        candidate
        for candidate, n in enumerate(output)
        if n == shape[axis] and math.prod(output[:candidate]) == in_front
    ]
    if axis in found:
        return axis
    return found[0] if found else None


def grown_shape(
    shape: Shape, target: Sequence[int], allowzero: int, growth: Growth
) -> Shape:
    """Return the shape that a written Reshape has for the batch at hand.

    Args:
        shape (tuple of int): What is reshaped.
        target (sequence of int): As the file has it.
        allowzero (int): Whether 0 is a length, rather than that of the same axis.
        growth (Growth): How the batch differs from that of the file.

    Raises:
        ValueError: If the batch is nowhere in it.
    """
    if growth.axis is not None:
        written = list(shape)
        written[growth.axis] = written[growth.axis] * growth.written // growth.size
        filled = filled_shape(tuple(written), target, allowzero)
        axis = _reshaped_axis(tuple(written), growth.axis, filled)
        if axis is not None:
            n = shape[growth.axis]
            return (*filled[:axis], n, *filled[axis + 1 :])
    raise cannot_grow(f"Reshape of {shape} to {tuple(target)}", growth)


def cannot_grow(what: str, growth: Growth) -> ValueError:
    """Return the error for a part of a file that fits no other batch than its own."""
    return ValueError(
        f"the file is written for a batch of {growth.written}, and its {what} has no "
        f"place for {growth.size} examples: export it with a free batch axis, or give "
        f"it {growth.written} at a time"
    )


def filled_shape(shape: Shape, target: Sequence[int], allowzero: int = 0) -> Shape:
    """Return the shape that a Reshape gives: 0 keeps an axis, -1 is what is left."""
    if not allowzero:
        target = [shape[i] if n == 0 else n for i, n in enumerate(target)]
    known = math.prod(n for n in target if n != -1)
    rest = math.prod(shape) // max(known, 1)
    return tuple(rest if n == -1 else n for n in target)


def grown_target(target: Sequence[int], shape: Shape, growth: Growth) -> Shape:
    """Return the shape to which an Expand broadcasts an array of ``shape``."""
    if growth.axis is None:
        return tuple(target)
    result = list(target)
    axis = growth.axis + max(len(target) - len(shape), 0)
    if axis < len(result) and result[axis] == growth.written:
        result[axis] = growth.size
    return tuple(result)
