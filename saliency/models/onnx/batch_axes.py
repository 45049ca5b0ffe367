"""Where the batch is, in networks whose files have its size written into them.

Exporters write the shapes that they saw. Where they saw one example, a Reshape to
``(1, 512)`` has to become one to ``(n, 512)``, if its first axis is the batch, and only
then. So the batch is followed through the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from saliency.models.onnx.operators import Growth, Node, Place

#: The shape of an array.
Shape = tuple[int, ...]


_REDUCTIONS = frozenset(
    f"Reduce{name}"
    for name in (
        *("Mean", "Sum", "Max", "Min", "Prod"),
        *("L1", "L2", "LogSum", "LogSumExp", "SumSquare"),
    )
)
# What has fewer or more axes than its input, in the same order.
_MOVING = frozenset({"Gather", "Squeeze", "Unsqueeze"})
# What combines its inputs element by element, or copies the input along new axes.
_BROADCAST = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Max", "Min", "Mean", "Where"),
        *("PRelu", "MatMul", "Expand", "GatherND"),
    )
)
# What works along the first axis, unless it says along which.
_ALONG_FIRST = frozenset({"ArgMax", "ArgMin", "Gather", "GatherElements"})

#: What puts elements into the places that integers name.
SCATTERING = frozenset({"Scatter", "ScatterElements", "ScatterND"})


def place_behind(
    node: Node, inputs: Sequence[tuple[Shape, Place | None]], output: Shape, size: int
) -> Place | None:
    """Return where the batch is in an output of a node, if that is known.

    Args:
        node (Node): What is computed.
        inputs (sequence of tuple): The shape of each input, and where the batch is in
            it.
        output (tuple of int): The shape of what is given.
        size (int): The number of examples.
    """
    known = [(shape, place) for shape, place in inputs if place is not None]
    if not known:
        return None
    if node.type in _BROADCAST:
        return _in_broadcast(known, output)
    shape, place = known[0]
    if node.type == "Gather" and inputs[0][1] is None:
        return _in_gathered(node, shape, place, output)
    if _mixes(node, len(shape), place.axis):
        return None
    if node.type == "Transpose":
        order = node.attributes.get("perm", list(range(len(shape)))[::-1])
        return Place(order.index(place.axis), place.inner)
    if node.type in _MOVING or node.type in _REDUCTIONS:
        return _in_same_position(shape, place, output)
    if node.type in ("LSTM", "GRU", "RNN"):
        return _in_states(node, place, output)
    if node.type in ("Reshape", "Flatten"):
        return _in_reshaped(shape, place, output, size)
    axis = place.axis
    is_kept = len(output) > axis and output[axis] == shape[axis]
    return place if is_kept and (axis == 0 or len(output) == len(shape)) else None


def is_tied(node: Node, inputs: Sequence[tuple[Shape, Place | None]]) -> bool:
    """Tell whether a node scatters into the examples of the file's batch alone.

    Its integers may name examples, or something that it is given may have a row for
    each example of the file. What the integers name is trusted if they are computed
    from shapes, or from where elements are.

    Args:
        node (Node): One of :data:`SCATTERING`.
        inputs (sequence of tuple): As :func:`place_behind` takes them.
    """
    (data, place), (indices, named), (_, new) = inputs
    places = {p for p in (place, named, new) if p is not None}
    if not places:
        return False
    if node.type != "ScatterND":
        along = node.attributes.get("axis", 0) % len(data)
        return bool(node.fixed) or len(places) > 1 or places.pop().axis == along
    # The last axis of the integers names places in the first axes of the data; along
    # the others, slices are put there, as they are in the last axes of what is new.
    n_slice = len(data) - indices[-1]
    from_behind = [len(shape) - p.axis for shape, p in (inputs[0], inputs[2]) if p]
    is_named = not all(distance <= n_slice for distance in from_behind)
    return named is not None or bool(node.fixed - (set() if is_named else {1}))


def _in_gathered(
    node: Node, indices: Shape, place: Place, output: Shape
) -> Place | None:
    """Return where the batch is in the rows that its integers have picked."""
    n_axis = len(output) - len(indices) + 1  # of what they are picked from
    axis = node.attributes.get("axis", 0) % n_axis + place.axis
    return Place(axis, place.inner)


def _mixes(node: Node, ndim: int, batch: int) -> bool:
    """Tell whether a node works along the axis of the batch, and so mixes examples."""
    axis = node.attributes.get("axis", 0 if node.type in _ALONG_FIRST else None)
    if node.type in ("Flatten", "Unsqueeze"):
        return False
    if axis is None:
        return batch in [a % ndim for a in node.attributes.get("axes") or []]
    first: int = axis % ndim
    is_from_there_on = node.type.endswith("Normalization") or (
        node.type in ("Softmax", "LogSoftmax", "Hardmax") and node.opset < 13
    )
    return batch >= first if is_from_there_on else batch == first


def _in_broadcast(inputs: Sequence[tuple[Shape, Place]], output: Shape) -> Place | None:
    """Return the place that all inputs agree on; axes are counted from behind."""
    found = {Place(p.axis - len(shape), p.inner) for shape, p in inputs}
    shape, place = inputs[0]
    axis, inner = found.pop()
    if found or len(output) + axis < 0 or output[axis] != shape[place.axis]:
        return None
    return Place(len(output) + axis, inner)


def _in_same_position(shape: Shape, place: Place, output: Shape) -> Place | None:
    """Return the axis that is left of as many, or right of as many, as it was."""
    axis, n = place.axis, shape[place.axis]
    moved = len(output) - len(shape) + axis
    found = {a for a in (axis, moved) if 0 <= a < len(output) and output[a] == n}
    if len(found) > 1:
        found = {axis if output[: axis + 1] == shape[: axis + 1] else moved}
    return Place(found.pop(), place.inner) if found else None


def _in_states(node: Node, place: Place, output: Shape) -> Place | None:
    """Return where the batch is in the output of a recurrent layer, or its state."""
    if node.attributes.get("layout", 0):
        return place if place.axis == 0 else None
    return Place(len(output) - 2) if place.axis == 1 else None


def _in_reshaped(shape: Shape, place: Place, output: Shape, size: int) -> Place | None:
    """Return where the batch is once an array has been reshaped.

    The distance from one example to the next stays. Where axes of length 1 leave a
    choice, it is an axis of its own, at best the one in the same position.
    """
    distance = place.inner * math.prod(shape[place.axis + 1 :])
    found = []
    for axis, length in enumerate(output):
        behind = math.prod(output[axis + 1 :])
        inner = distance // max(behind, 1)
        if inner * behind == distance and inner and length % (inner * size) == 0:
            is_own = inner == 1 and length == size
            choice = (not (is_own and axis == place.axis), not is_own, inner, axis)
            found.append((choice, Place(axis, inner)))
    return min(found)[1] if found else None


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
    if growth.place is not None:
        axis = growth.place.axis
        written = list(shape)
        written[axis] = written[axis] * growth.written // growth.size
        filled = filled_shape(tuple(written), target, allowzero)
        place = _in_reshaped(tuple(written), growth.place, filled, growth.written)
        # Along which axis several examples are put would be a guess, unless it is their
        # own.
        if place is not None and filled[place.axis] == growth.written:
            grown = list(filled)
            grown[place.axis] = growth.size
            return tuple(grown)
    raise cannot_grow(f"Reshape of {shape} to {tuple(target)}", growth)


def cannot_grow(what: str, growth: Growth) -> ValueError:
    """Return the error for a part of a file that fits no other batch than its own."""
    return ValueError(
        f"the file is written for a batch of {growth.written}, and its {what} has no "
        f"place for {growth.size} examples: export it with a free batch axis, or give "
        f"it {growth.written} at a time (batchsize={growth.written} of calculators)"
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
