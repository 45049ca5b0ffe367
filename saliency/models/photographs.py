"""Photographs: files that hold them, and networks that know what is on them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np

from saliency.checks import check_choice
from saliency.image_depths import as_eight_bits
from saliency.models import efficientnet
from saliency.models.imagenet import imagenet_labels
from saliency.models.pretrained import load_pretrained

import chainer
from chainer.links.model.vision import vgg

#: The last convolution of each network for photographs, by the name of the network.
LAST_CONVOLUTIONS = {
    "efficientnet-lite0": "head",
    "vgg16": "conv5_3",
    "vgg19": "conv5_4",
    **dict.fromkeys(("resnet50", "resnet101", "resnet152"), "res5/b2/conv3"),
}
_MEAN_COLOR = (123.68, 116.779, 103.939)  # red, green, blue, of the models of Caffe
_MEAN = np.array(_MEAN_COLOR[::-1], np.float32)[:, None, None]
#: The smallest and the largest values that VGG and ResNet take, ``(3, 1, 1)`` each:
#: blue, green and red from 0 to 255, less their means.
CAFFE_BOX = (0 - _MEAN, 255 - _MEAN)


class PhotographNetwork(NamedTuple):
    """A network, and what has to be known to explain it.

    Attributes:
        model (chainer.Chain): The network.
        forward (callable): From a batch to the class scores.
        prepare (callable): From an 8-bit RGB image to what the network takes.
        size (int): Height and width of its images.
        layer (str): The last convolution, for Grad-CAM.
        low (float or array): Smallest value of its input, for the z^B rule.
        high (float or array): Largest value of its input.
        labels (sequence of str): Names of the classes.
        crop (callable): From a photograph and a number of pixels to the square of it
            that the network sees, ``(size, size, 3)``, 8-bit RGB.
    """

    model: chainer.Chain
    forward: Callable[[Any], chainer.Variable]
    prepare: Callable[[Any], np.ndarray]
    size: int
    layer: str
    low: Any
    high: Any
    labels: Sequence[str] | np.ndarray
    crop: Callable[[Any, int], np.ndarray]


def photograph_network(
    name: str, path: str | PathLike[str] | None = None
) -> PhotographNetwork:
    """Return a network that is trained on ImageNet, with all that explaining it takes.

    Args:
        name (str): As :func:`saliency.load_pretrained` takes it.
        path (path or None): Its weights, as there.

    Returns:
        PhotographNetwork: The network, how it takes photographs, its layers and
        classes.

    Raises:
        ImportError, MemoryError, OSError, ValueError: As
            :func:`saliency.load_pretrained`.
    """
    check_choice("name", name, LAST_CONVOLUTIONS)
    model = load_pretrained(name, path)
    make = _efficientnet if name == "efficientnet-lite0" else _of_caffe
    return make(name, model)


def _efficientnet(name: str, model: chainer.Chain) -> PhotographNetwork:
    low, high = efficientnet.as_input(np.array([[[[0]]], [[[255]]]])).ravel()
    return PhotographNetwork(
        model,
        model,
        efficientnet.as_input,
        model.size,
        LAST_CONVOLUTIONS[name],
        low,
        high,
        model.labels,
        model.crop,
    )


def _of_caffe(name: str, model: chainer.Chain) -> PhotographNetwork:
    """Return VGG or ResNet, which take images as the models of Caffe did."""
    output = "fc8" if name.startswith("vgg") else "fc6"

    def forward(x: Any) -> chainer.Variable:
        return model(x, layers=[output])[output]

    return PhotographNetwork(
        model,
        forward,
        vgg.prepare,
        224,
        LAST_CONVOLUTIONS[name],
        *CAFFE_BOX,
        imagenet_labels(),
        square,
    )


def read_photograph(path: str | PathLike[str]) -> Any:
    """Return the photograph of a file: upright, in RGB, white where it is transparent.

    Grey images of 16 bits, and of floats, are brought to 8 bits: white is the largest
    number of their depth.

    Args:
        path (path): An image of any kind that Pillow reads.

    Returns:
        PIL.Image.Image: In RGB.

    Raises:
        OSError: If there is no such file, or it cannot be read to its end.
        ValueError: If it is no image, or of an unknown kind, or its numbers are those
            of no depth, such as negative ones.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(fspath(path))
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image, or of an unknown kind") from None
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(f"{path}: {error}") from error
    try:
        photograph = as_eight_bits(upright).convert("RGBA")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    white = Image.new("RGBA", photograph.size, "white")
    return Image.alpha_composite(white, photograph).convert("RGB")


def square(photograph: Any, size: int) -> np.ndarray:
    """Return the middle of a photograph in so many pixels.

    Args:
        photograph (PIL.Image.Image): In RGB.
        size (int): Pixels of a side.

    Returns:
        numpy.ndarray: ``(size, size, 3)``, 8-bit RGB.
    """
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(photograph, (size, size), Image.Resampling.BICUBIC))


def _scaled(
    mean: float | Sequence[float], scale: float | Sequence[float], order: int = 1
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from an image of 8-bit RGB to what a network takes."""
    means, scales = np.array(mean, np.float32), np.array(scale, np.float32)

    def prepare(image: np.ndarray) -> np.ndarray:
        x = (np.asarray(image, np.float32) - means) / scales
        return np.ascontiguousarray(np.moveaxis(x[..., ::order], -1, -3))

    return prepare


#: Ways in which networks take images of 8-bit RGB, ``(h, w, 3)``; each returns
#: ``(3, h, w)`` of float32: ``'unit'`` in [0, 1], ``'symmetric'`` in [-1, 1],
#: ``'torch'`` as the networks of torchvision want it, ``'caffe'`` in BGR without the
#: mean colour, as Chainer's VGG and ResNet and those of Keras.
PREPARATIONS = {
    "unit": _scaled(0, 255),
    "symmetric": _scaled(127.5, 127.5),
    "torch": _scaled((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": _scaled(_MEAN_COLOR, 1, order=-1),
}
