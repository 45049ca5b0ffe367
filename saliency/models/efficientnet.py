"""EfficientNet-Lite0: a small network for photographs.

M. Tan and Q. Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks (2019), Table 1, in the variant for phones that its authors published in 2020:
without squeeze-and-excitation, and with ReLU6. Its blocks are the inverted residuals of
M. Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.checks import check_positive
from saliency.image_depths import as_eight_bits
from saliency.models.imagenet import imagenet_labels

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.utils.conv import get_conv_outsize

# Of TensorFlow's batch normalization.
_EPS = 1e-3


class Stage(NamedTuple):
    """Blocks that follow each other: a row of Table 1.

    Attributes:
        n_block (int): How many.
        ksize (int): Size of their depthwise convolutions.
        stride (int): Of the first block; the others have 1.
        expansion (int): By how much they widen what they take.
        n_out (int): Channels of what they give.
    """

    n_block: int
    ksize: int
    stride: int
    expansion: int
    n_out: int


#: The blocks of EfficientNet-Lite0.
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def blocks_of(stages: Sequence[Stage]) -> Iterator[tuple[str, Stage, int]]:
    """Yield the name, the stage and the stride of each block, in order."""
    for number, stage in enumerate(stages, 1):
        for i in range(stage.n_block):
            yield f"block{number}{chr(ord('a') + i)}", stage, 1 if i else stage.stride


class SameConvolution2D(L.Convolution2D):
    """Convolution with TensorFlow's padding ``SAME``, without bias.

    The output has ``ceil(size / stride)`` rows and columns. If the padding for that is
    uneven, the larger part of it is below and to the right.
    """

    def __init__(
        self, n_in: int, n_out: int, ksize: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(n_in, n_out, ksize, stride, nobias=True, groups=groups)

    def forward(self, x: Any) -> chainer.Variable:
        """Apply the convolution to ``(n, channel, height, width)``."""
        sizes = x.shape[2:]
        pads = [self._pads(size) for size in sizes]
        pad = tuple(before for before, _ in pads)
        # Chainer itself adds below and to the right what the last windows lack.
        cover_all = any(before != behind for before, behind in pads)
        if cover_all and not all(map(self._is_covered, sizes, pad)):
            x = F.pad(x, [(0, 0), (0, 0), *pads], "constant", constant_values=0)
            pad, cover_all = (0, 0), False
        options = {"cover_all": cover_all, "groups": self.groups}
        return F.convolution_2d(x, self.W, None, self.stride, pad, **options)

    def _n_out(self, size: int) -> int:
        stride: int = self.stride[0]
        return -(-size // stride)

    def _is_covered(self, size: int, before: int) -> bool:
        """Tell whether Chainer has as many windows if it covers all of an axis."""
        ksize, stride = self.W.shape[2], self.stride[0]
        n_out: int = get_conv_outsize(size, ksize, stride, before, cover_all=True)
        return n_out == self._n_out(size)

    def _pads(self, size: int) -> tuple[int, int]:
        """Return the padding before and behind an axis."""
        stride, ksize = self.stride[0], self.W.shape[2]
        pad = max((self._n_out(size) - 1) * stride + ksize - size, 0)
        return pad // 2, pad - pad // 2


class InvertedResidual(chainer.Chain):
    """Widens by a 1 x 1 convolution, filters each channel, and narrows linearly.

    The input is added to the output where both have the same shape.

    Args:
        n_in (int): Channels of the input.
        n_out (int): Channels of the output.
        ksize (int): Size of the depthwise convolution.
        stride (int): Its stride.
        expansion (int): By how much it widens; 1 is not at all.
    """

    def __init__(
        self, n_in: int, n_out: int, ksize: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        self.is_residual = stride == 1 and n_in == n_out
        self.expands = expansion != 1
        n_mid = expansion * n_in
        with self.init_scope():
            if self.expands:
                self.expand = SameConvolution2D(n_in, n_mid, 1)
                self.expand_bn = L.BatchNormalization(n_mid, eps=_EPS)
            self.depthwise = SameConvolution2D(n_mid, n_mid, ksize, stride, n_mid)
            self.depthwise_bn = L.BatchNormalization(n_mid, eps=_EPS)
            self.project = SameConvolution2D(n_mid, n_out, 1)
            self.project_bn = L.BatchNormalization(n_out, eps=_EPS)

    def forward(self, x: Any) -> chainer.Variable:
        """Apply the block to ``(n, channel, height, width)``."""
        h = F.relu6(self.expand_bn(self.expand(x))) if self.expands else x
        h = F.relu6(self.depthwise_bn(self.depthwise(h)))
        h = self.project_bn(self.project(h))
        return x + h if self.is_residual else h


class EfficientNetLite0(chainer.Chain):
    """EfficientNet-Lite0, from images ``(n, 3, 224, 224)`` to scores ``(n, 1000)``.

    The links are ``stem``, ``block1a`` to ``block7a`` (the number of the stage, and a
    letter for each of its blocks), ``head``, the last convolution, and ``fc``; a
    convolution's batch normalization has its name and ``_bn``.

    Args:
        stages (sequence of Stage): Its blocks.
        n_stem (int): Channels of the first convolution.
        n_head (int): Channels of the last one.
        n_class (int): How many classes it tells apart.
        dropout (float): Ratio of dropout before the last layer.

    Attributes:
        block_names (list of str): Names of the blocks, in order.
        dropout (float): See above.
    """

    #: Height and width of the images.
    size = 224

    def __init__(
        self,
        stages: Sequence[Stage] = STAGES,
        n_stem: int = 32,
        n_head: int = 1280,
        n_class: int = 1000,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.block_names: list[str] = []
        with self.init_scope():
            self.stem = SameConvolution2D(3, n_stem, 3, 2)
            self.stem_bn = L.BatchNormalization(n_stem, eps=_EPS)
            n_in = n_stem
            for name, stage, stride in blocks_of(stages):
                ksize, n_out = stage.ksize, stage.n_out
                block = InvertedResidual(n_in, n_out, ksize, stride, stage.expansion)
                setattr(self, name, block)
                self.block_names.append(name)
                n_in = n_out
            self.head = SameConvolution2D(n_in, n_head, 1)
            self.head_bn = L.BatchNormalization(n_head, eps=_EPS)
            self.fc = L.Linear(n_head, n_class)

    @property
    def labels(self) -> np.ndarray:
        """The names of ImageNet's classes, ``(1000,)`` of str."""
        return imagenet_labels()

    def forward(self, x: Any) -> chainer.Variable:
        """Return the scores of each class before softmax, ``(n, n_class)``.

        Args:
            x (array or Variable): Images as :meth:`prepare` returns them.
        """
        h = F.relu6(self.stem_bn(self.stem(x)))
        for name in self.block_names:
            h = self[name](h)
        h = F.relu6(self.head_bn(self.head(h)))
        h = F.average(h, axis=(2, 3))
        return self.fc(F.dropout(h, self.dropout))

    def prepare(self, image: Any) -> np.ndarray:
        """Return a photograph as the network takes it: :meth:`crop`, :func:`as_input`.

        Args:
            image (PIL.Image.Image or numpy.ndarray): A photograph of any size; an array
                is 8-bit RGB, ``(height, width, 3)``.

        Returns:
            numpy.ndarray: ``(3, 224, 224)`` of float32, RGB.

        Raises:
            TypeError: If an array is not 8-bit.
            ValueError: If an array is of another shape, or the numbers of an image are
                those of no depth, such as negative ones.
        """
        return as_input(self.crop(image))

    def crop(self, image: Any, size: int | None = None) -> np.ndarray:
        """Return the part of a photograph that the network sees.

        The largest square in the middle is resized to 256 x 256 pixels, and the 224 x
        224 in the middle of it are taken, as when the network was trained.

        Args:
            image (PIL.Image.Image or numpy.ndarray): See :meth:`prepare`.
            size (int or None): Pixels of a side, for a picture in another resolution;
                ``None`` is 224.

        Returns:
            numpy.ndarray: ``(size, size, 3)``, 8-bit RGB.

        Raises:
            TypeError: If an array is not 8-bit.
            ValueError: As :meth:`prepare`, or if ``size`` is not at least 1.
        """
        from PIL import Image

        size = self.size if size is None else size
        check_positive("size", size)
        if isinstance(image, np.ndarray):
            _check_image(image)
            image = Image.fromarray(image)
        image = _middle(as_eight_bits(image).convert("RGB"), min(image.size))
        resized = round(size * 256 / 224)
        image = image.resize((resized, resized), Image.Resampling.BICUBIC)
        return np.asarray(_middle(image, size))


def _check_image(image: np.ndarray) -> None:
    """Check that an array is an image of 8-bit RGB.

    Raises:
        TypeError: If it is not 8-bit.
        ValueError: If it is of another shape.
    """
    if image.dtype != np.uint8:
        raise TypeError(f"image must be of dtype uint8, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image must have the shape (height, width, 3), got {image.shape}"
        )


def as_input(images: np.ndarray) -> np.ndarray:
    """Return 8-bit images as the network takes them, (x - 127) / 128.

    Args:
        images (numpy.ndarray): RGB, ``(..., height, width, 3)``.

    Returns:
        numpy.ndarray: ``(..., 3, height, width)`` of float32.
    """
    x = (np.asarray(images, np.float32) - 127) / 128
    return np.ascontiguousarray(np.moveaxis(x, -1, -3))


def _middle(image: Any, size: int) -> Any:
    """Return the square of so many pixels in the middle of an image of Pillow."""
    left, top = ((n - size) // 2 for n in image.size)
    return image.crop((left, top, left + size, top + size))
