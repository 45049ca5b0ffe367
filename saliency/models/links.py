"""Parts in which other libraries' networks differ from Chainer's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import chainer
import chainer.functions as F
from chainer import links as L


class PadValueConvolution2D(L.Convolution2D):
    """Convolution of images with a colour of their own around them, not with zeros.

    Where a network's first convolution is made to take images less another mean colour,
    what stood for zero around them is another colour, too.

    Attributes:
        pad_value (numpy.ndarray): A number for each input channel.
    """

    def __init__(self, like: L.Convolution2D, pad_value: np.ndarray) -> None:
        """Take the place of a convolution of images, with its arrays."""
        super().__init__(
            like.W.shape[1],
            like.out_channels,
            like.ksize,
            like.stride,
            like.pad,
            initialW=like.W.array,
            initial_bias=like.b.array,
        )
        self.add_persistent("pad_value", np.asarray(pad_value, like.W.dtype))

    def forward(self, x: Any) -> chainer.Variable:
        """Apply the convolution to images ``(n, channel, height, width)``."""
        (top, left) = self.pad
        width = [(0, 0), (0, 0), (top, top), (left, left)]
        images = F.pad(x, width, "constant", constant_values=0)
        border = self.xp.zeros((1, *images.shape[1:]), images.dtype)
        border[...] = self.pad_value[:, None, None]
        border[:, :, top : top + x.shape[2], left : left + x.shape[3]] = 0
        images = images + self.xp.broadcast_to(border, images.shape)
        return F.convolution_2d(images, self.W, self.b, self.stride)


class _PaddedPool:
    """ResNet whose first pooling has padding, and windows within it alone.

    Attributes:
        pool_pad (int): The padding. It is saved with the weights, so that a file tells
            such a network from Chainer's.
    """

    pool_pad: int

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_persistent("pool_pad", 1)  # type: ignore[attr-defined]

    @property
    def functions(self) -> OrderedDict[str, list[Any]]:
        functions: OrderedDict[str, list[Any]] = super().functions  # type: ignore[misc]
        pool = partial(
            F.max_pooling_2d, ksize=3, stride=2, pad=self.pool_pad, cover_all=False
        )
        functions["pool1"] = [pool]
        return functions


class _Features:
    """A network that ends before its classifier.

    Without ``layers``, a call gives what comes last.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in ("fc6", "fc7", "fc8"):
            if hasattr(self, name):
                delattr(self, name)
                setattr(self, name, None)  # Chainer's `functions` looks for it

    @property
    def functions(self) -> OrderedDict[str, list[Any]]:
        functions: OrderedDict[str, list[Any]] = super().functions  # type: ignore[misc]
        names = list(functions)
        kept = names[: names.index("fc6")]
        return OrderedDict((name, functions[name]) for name in kept)

    def forward(
        self, x: Any, layers: Sequence[str] | None = None
    ) -> dict[str, chainer.Variable]:
        """Return the feature maps of layers, by name."""
        layers = list(self.functions)[-1:] if layers is None else layers
        maps: dict[str, chainer.Variable] = super().forward(x, layers)  # type: ignore[misc]
        return maps


class PaddedResNet50Layers(_PaddedPool, L.ResNet50Layers):
    """ResNet50 with padding before its first pooling."""


class PaddedResNet101Layers(_PaddedPool, L.ResNet101Layers):
    """ResNet101 with padding before its first pooling."""


class PaddedResNet152Layers(_PaddedPool, L.ResNet152Layers):
    """ResNet152 with padding before its first pooling."""


class VGG16Features(_Features, L.VGG16Layers):
    """VGG16 up to pool5."""


class VGG19Features(_Features, L.VGG19Layers):
    """VGG19 up to pool5."""


class ResNet50Features(_Features, L.ResNet50Layers):
    """ResNet50 up to pool5."""


class ResNet101Features(_Features, L.ResNet101Layers):
    """ResNet101 up to pool5."""


class ResNet152Features(_Features, L.ResNet152Layers):
    """ResNet152 up to pool5."""


class PaddedResNet50Features(_Features, PaddedResNet50Layers):
    """ResNet50 up to pool5, with padding before its first pooling."""


class PaddedResNet101Features(_Features, PaddedResNet101Layers):
    """ResNet101 up to pool5, with padding before its first pooling."""


class PaddedResNet152Features(_Features, PaddedResNet152Layers):
    """ResNet152 up to pool5, with padding before its first pooling."""
