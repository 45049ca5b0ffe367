"""Windows that slide over images: their sizes, steps and padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from saliency.models.onnx.operators import Node

import chainer.functions as F

_AUTO = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")

#: What is added in front of an axis, and behind it.
Widths = list[tuple[int, int]]


class Windows(NamedTuple):
    """Windows of a convolution or a pooling.

    Attributes:
        kernel (tuple of int): Their sizes, for each axis of the image.
        strides (tuple of int): Steps from one to the next.
        dilations (tuple of int): Steps within one.
        pads (tuple of tuple of int): What is added before each axis, and behind it.
        auto_pad (str): ``'NOTSET'``, or how that is computed from the image.
        ceil_mode (bool): Whether the last window may go beyond the image.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    auto_pad: str = "NOTSET"
    ceil_mode: bool = False

    @classmethod
    def of(cls, kernel: Sequence[int], attributes: Mapping[str, Any]) -> Windows:
        """Return those of a node's attributes."""
        n = len(kernel)
        pads = list(attributes.get("pads") or [0] * (2 * n))
        auto_pad = attributes.get("auto_pad", "NOTSET")
        if auto_pad != "NOTSET":
            pads = [0] * (2 * n)
        return cls(
            tuple(kernel),
            tuple(attributes.get("strides") or [1] * n),
            tuple(attributes.get("dilations") or [1] * n),
            tuple(zip(pads[:n], pads[n:])),
            "NOTSET" if auto_pad == "VALID" else auto_pad,
            bool(attributes.get("ceil_mode", 0)),
        )

    @property
    def is_plain(self) -> bool:
        """Whether Chainer's padding, the same on both sides, is all that it needs."""
        is_even = all(low == high for low, high in self.pads)
        return is_even and self.auto_pad == "NOTSET" and not self.ceil_mode

    @property
    def spans(self) -> tuple[int, ...]:
        """How far each window reaches."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations))

    @property
    def lows(self) -> tuple[int, ...]:
        """The padding in front of each axis."""
        return tuple(low for low, _ in self.pads)

    def widths(self, sizes: Sequence[int]) -> Widths:
        """Return the padding around an image of these sizes."""
        if self.auto_pad == "NOTSET":
            return list(self.pads)
        found = []
        for n, span, stride in zip(sizes, self.spans, self.strides):
            total = max((-(-n // stride) - 1) * stride + span - n, 0)
            small, large = total // 2, total - total // 2
            is_upper = self.auto_pad == "SAME_UPPER"
            found.append((small, large) if is_upper else (large, small))
        return found

    def counts(self, sizes: Sequence[int], widths: Widths) -> tuple[int, ...]:
        """Return how many windows there are along each axis."""
        found = []
        axes = zip(sizes, widths, self.spans, self.strides)
        for n, (low, high), span, stride in axes:
            room = n + low + high - span
            count = room // stride + 1
            if self.ceil_mode and room % stride and count * stride < n + low:
                count += 1
            found.append(count)
        return tuple(found)

    def reaching(
        self, counts: Sequence[int], sizes: Sequence[int], widths: Widths
    ) -> Widths:
        """Return the padding with which all windows are within the image."""
        found = []
        for n, (low, high), c, span, s in zip(
            sizes, widths, counts, self.spans, self.strides
        ):
            found.append((low, max(high, (c - 1) * s + span - n - low)))
        return found

    def slices(self, counts: Sequence[int]) -> Iterator[tuple[slice, ...]]:
        """Yield where the first element of each window is, then the second, ..."""

        def along(axis: int) -> Iterator[tuple[slice, ...]]:
            if axis == len(self.kernel):
                yield ()
                return
            stride = self.strides[axis]
            for k in range(self.kernel[axis]):
                start = k * self.dilations[axis]
                stop = start + (counts[axis] - 1) * stride + 1
                for rest in along(axis + 1):
                    yield (slice(start, stop, stride), *rest)

        return along(0)


def padded(x: Any, widths: Widths, value: float = 0.0) -> Any:
    """Return images with a border of one value."""
    if all(pair == (0, 0) for pair in widths):
        return x
    return F.pad(x, [(0, 0), (0, 0), *widths], "constant", constant_values=value)


def refuse_padding(node: Node) -> Iterator[str]:
    """Yield what is wrong with the padding of a node."""
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    if auto_pad not in _AUTO:
        yield f"its auto_pad {auto_pad!r} is not known"
    pads = node.attributes.get("pads") or [0]
    if min(pads) < 0:
        yield f"its pads {list(pads)} are negative"
