"""The images of the LRP examples, and where they come from.

MNIST and CIFAR-10 are taken from Chainer's data folder (CHAINER_DATASET_ROOT). What is
not there is downloaded once from OpenML by scikit-learn, and put there. Where that
fails, scikit-learn's own digits of 8 x 8 pixels stand in.
"""

from __future__ import annotations

import colorsys
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency.download import written_whole

import chainer

# No connection, another file than expected, a connection that ends early.
DOWNLOAD_ERRORS = (OSError, ValueError, HTTPException, EOFError)
DIGITS = tuple("0123456789")
CIFAR_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


class Images(NamedTuple):
    """Images ``(n, ch, height, width)`` of float32, and the classes that they show.

    Digits lie in [0, 1], the images of CIFAR-10 in [-1, 1].
    """

    x_train: np.ndarray
    t_train: np.ndarray
    x_test: np.ndarray
    t_test: np.ndarray
    classes: tuple[str, ...]


class Source(NamedTuple):
    """A data set: its files in Chainer's data folder, and its name on OpenML."""

    folder: str
    files: tuple[str, ...]
    openml: str
    test_share: float


SOURCES = {
    "mnist": Source(
        "pfnet/chainer/mnist", ("test.npz", "train.npz"), "mnist_784", 1 / 7
    ),
    "cifar10": Source("pfnet/chainer/cifar", ("cifar-10.npz",), "CIFAR_10", 1 / 6),
}


def load_digits(name: str = "auto") -> Images:
    """Return MNIST or scikit-learn's digits; ``'auto'``: MNIST if it is available."""
    if _is_there("mnist", name):
        train, test = chainer.datasets.get_mnist(ndim=3)
        return _images(train, test, DIGITS)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    x = bunch.images[:, None].astype(np.float32) / 16
    t = bunch.target.astype(np.int32)
    x, u, t, s = train_test_split(x, t, test_size=0.2, random_state=0, stratify=t)
    return Images(x, t, u, s, DIGITS)


def load_colour_images(name: str = "auto") -> Images:
    """Return CIFAR-10, or digits of 32 x 32 pixels in colours that mean nothing."""
    if not _is_there("cifar10", name):
        digits = load_digits("digits")
        return digits._replace(
            x_train=_coloured(enlarged(digits.x_train), seed=0),
            x_test=_coloured(enlarged(digits.x_test), seed=1),
        )
    train, test = chainer.datasets.get_cifar10(scale=2.0)
    images = _images(train, test, CIFAR_CLASSES)
    return images._replace(x_train=images.x_train - 1, x_test=images.x_test - 1)


def enlarged(x: np.ndarray) -> np.ndarray:
    """Return digits of 32 x 32 pixels: those of 28 get a margin, those of 8 grow."""
    if x.shape[-1] == 8:
        return x.repeat(4, axis=-2).repeat(4, axis=-1)
    return np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))


def _coloured(x: np.ndarray, seed: int) -> np.ndarray:
    """Return each digit in a random hue, on black, in [-1, 1]."""
    hues = np.random.default_rng(seed).random(len(x))
    rgb = np.array([colorsys.hsv_to_rgb(hue, 0.8, 1) for hue in hues], x.dtype)
    return 2 * x * rgb[:, :, None, None] - 1


def _images(train: Any, test: Any, classes: tuple[str, ...]) -> Images:
    parts = [chainer.dataset.concat_examples(part[:]) for part in (train, test)]
    return Images(*parts[0], *parts[1], classes)


def _is_there(source: str, name: str) -> bool:
    """Tell whether a data set can be used, download it if need be, and say so."""
    if name == "auto" or name == source:
        try:
            _fetch(SOURCES[source])
        except DOWNLOAD_ERRORS as error:
            reason = " ".join(str(error).split())
            if name == source:
                raise SystemExit(f"{source} cannot be downloaded: {reason}") from error
            print(f"{source} cannot be downloaded ({reason}): scikit-learn's digits")
        else:
            print(f"data: {source}")
            return True
    print("data: digits")
    return False


def _fetch(source: Source) -> None:
    """Put a data set where Chainer looks for it, unless it is there.

    Raises:
        DOWNLOAD_ERRORS: If OpenML cannot be reached, or what comes is not whole.
    """
    folder = Path(chainer.dataset.get_dataset_directory(source.folder, False))
    if all((folder / file).exists() for file in source.files):
        return
    from sklearn.datasets import fetch_openml

    print(f"{source.openml} is downloaded from OpenML, once; it takes some minutes")
    # The parser that needs no pandas.
    bunch = fetch_openml(source.openml, version=1, as_frame=False, parser="liac-arff")
    x, t = bunch.data.astype(np.uint8), bunch.target.astype(np.int32)
    n_train = len(x) - round(len(x) * source.test_share)  # the test images come last
    if len(source.files) == 2:  # as Chainer keeps MNIST
        _save(folder / source.files[0], x=x[n_train:], y=t[n_train:])
        _save(folder / source.files[1], x=x[:n_train], y=t[:n_train])
        return
    _save(
        folder / source.files[0],
        train_x=x[:n_train],
        train_y=t[:n_train],
        test_x=x[n_train:],
        test_y=t[n_train:],
    )


def _save(path: Path, **arrays: np.ndarray) -> None:
    """Save arrays; a file of that name is whole."""
    with written_whole(path) as file:
        np.savez_compressed(file, **arrays)
